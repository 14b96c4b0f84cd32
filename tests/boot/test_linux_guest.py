"""What `machine.linux` sees of Debian's kernel, beside what the guest's own tools print."""

import random
import re
import subprocess
from base64 import b64encode

import pytest
from elftools.elf.elffile import ELFFile

import vm
from tests import tools
from tests.boot.linux import load_linux
from vm.images import debian, debian_package, extract
from vm.linux import LinuxGuest

pytestmark = pytest.mark.network

STAT = re.compile(r"(\d+) \((.*)\) (\S) (\d+) ")


@pytest.fixture(scope="module")
def shell():
    with vm.Machine(memory="256M", harts=2) as machine:
        machine.boot(*debian())
        yield machine.shell()


@pytest.fixture(scope="module")
def linux(shell):
    return shell.machine.linux


def test_version(shell, linux):
    assert linux.version + "\n" == shell.run("cat /proc/version").output


def test_symbols_are_those_of_kallsyms(shell, linux):
    """Global ones, which are there once: every 50th line of the kernel's."""
    listed = shell.run("awk 'NR % 50 == 0 && NF == 3 && $2 ~ /[A-Z]/' /proc/kallsyms").output.splitlines()
    assert len(listed) > 500
    assert [f"{linux.symbols[line.split()[2]].address:x}" for line in listed] == [line.split()[0] for line in listed]


def test_addresses_have_names(shell, linux):
    for line in shell.run("grep -E ' T (schedule|do_exit|vfs_read)$' /proc/kallsyms").output.splitlines():
        address, _, name = line.split()
        assert linux.lookup(int(address, 16)) == name
        assert linux.lookup(int(address, 16) + 2) == f"{name}+0x2"
    assert linux.lookup(0x10000) is None


def test_hooks_by_names_of_the_kernel(shell, linux):
    """In the process that calls it: the shell's child leaves, with the status in a0."""
    seen = []
    shell.run("true")
    with shell.machine.on_execute("do_exit", lambda hart: seen.append((linux.current(hart).name, hart["a0"] >> 8))):
        shell.run("sh -c 'exit 7'; true")
    assert ("sh", 7) in seen
    breakpoint = shell.machine.breakpoint("do_exit", privilege=0)      # user code never executes that
    assert shell.run("sh -c 'exit 7' || echo left").output == "left\n"
    breakpoint.remove()


def test_profile_has_names_of_the_kernel(shell, linux):
    with shell.machine.profile(10_007, symbols=linux) as profile:
        shell.run("ls -lR /proc > /dev/null")
    assert "vfs_" in profile.folded() and "handle_exception" in profile.folded()


def test_functions_of_modules_have_names(shell, linux):
    line = shell.run("grep ' virtblk_probe' /proc/kallsyms").output
    address, _, name, _ = line.split()
    assert linux.lookup(int(address, 16) + 4) == f"virtio_blk:{name}+0x4"


def test_processes(shell, linux):
    """Number, name, state and parent as /proc/PID/stat has them; there a worker's name says also what it works on."""
    tasks = {task.pid: task for task in linux.processes()}
    seen = STAT.findall(shell.run("cd /proc; for p in [0-9]*; do cat $p/stat; done; cd /").output)
    assert len(seen) > 30
    assert {int(pid) for pid, *_ in seen} <= tasks.keys()
    resting = 0
    for pid, name, state, parent in seen:
        task = tasks[int(pid)]
        assert name.startswith(task.name) and task.ppid == int(parent) and task.tgid == task.pid
        resting += task.state == state
    assert resting >= len(seen) - 4             # the shell, and a worker that carries its output
    kernel_threads = {pid for pid, task in tasks.items() if task.page_table is None}
    assert all((tasks[pid].ppid in (0, 2) and pid != 1) == (pid in kernel_threads) for pid in tasks)


def test_a_process_that_comes_is_seen(shell, linux):
    shell.run("sleep 1000 & pid=$!")
    pid = int(shell.run("echo $pid").output)
    task = process_with(linux, pid)
    assert (task.name, task.state) == ("sleep", "S")
    shell.run("kill $pid; wait $pid")
    assert pid not in {one.pid for one in linux.processes()}


THREADS = """
.globl _start
_start:
    li s0, 3
    la s1, stacks
1:  li a7, 220              # clone: with CLONE_VM, FS, FILES, SIGHAND, THREAD and SYSVSEM
    li a0, 0x50f00
    addi s1, s1, 256
    mv a1, s1
    ecall
    beqz a0, 2f
    addi s0, s0, -1
    bnez s0, 1b
2:  li a7, 73               # ppoll, without an end
    li a0, 0
    li a1, 0
    li a2, 0
    li a3, 0
    ecall
    j 2b
.bss
stacks: .space 4096
"""


def test_threads_of_a_process(shell, linux, tmp_path):
    """As /proc/PID/task has them; where there is one, it is the process."""
    tools.require("riscv64-unknown-elf-gcc")
    (tmp_path / "threads.s").write_text(THREADS)
    options = ("-nostdlib", "-s", "-Wl,-z,max-page-size=4096")
    subprocess.run(["riscv64-unknown-elf-gcc", *options, "-o", "threads", "threads.s"], cwd=tmp_path, check=True)
    program = b64encode((tmp_path / "threads").read_bytes()).decode()
    shell.run(f"echo {program} | base64 -d > /run/threads; chmod +x /run/threads; /run/threads & pid=$!; sleep 0.1")
    listed = {int(pid) for pid in shell.run("ls /proc/$pid/task").output.split()}
    pid = int(shell.run("echo $pid").output)
    threads = linux.threads()
    assert len(listed) == 4 and {one.pid for one in threads if one.tgid == pid} == listed
    assert {one.page_table for one in threads if one.tgid == pid} == {process_with(linux, pid).page_table}
    assert [one for one in threads if one.pid == one.tgid] == linux.processes()
    shell.run("kill $pid; wait $pid")


def process_with(linux, pid):
    return next(one for one in linux.processes() if one.pid == pid)


@pytest.fixture(scope="module")
def bash():
    """A shell with bash beside it, a program with libraries: it has more mappings than a node of the tree has slots."""
    with vm.Machine(memory="256M") as machine:
        machine.boot(*debian(packages=["bash"]))
        shell = machine.shell()
        shell.run("bash -c 'while true; do :; done' & pid=$!; sleep 0.1")
        yield shell


def task_of(shell, variable):
    return process_with(shell.machine.linux, int(shell.run(f"echo {variable}").output))


@pytest.mark.parametrize("variable, fewest", [("$pid", 17), ("$$", 6)])
def test_mappings(bash, variable, fewest):
    """As /proc/PID/maps has them; what it calls [heap], [stack] and so on has no file."""
    printed = bash.run(f"cat /proc/{variable}/maps").output
    listed = re.findall(r"^(\w+)-(\w+) (\S+) (\w+) \S+ \d+ *(.*)$", printed, re.MULTILINE)
    assert len(listed) >= fewest
    found = bash.machine.linux.mappings(task_of(bash, variable))
    assert [(one.start, one.end, one.permissions, one.offset, one.path) for one in found] == [
        (int(start, 16), int(end, 16), permissions, int(offset, 16), path if path.startswith("/") else None)
        for start, end, permissions, offset, path in listed]


@pytest.fixture(scope="module")
def libc(bash):
    """Its path in the guest, its file, and where bash has it."""
    (path, file), = extract(debian_package("libc6"), "*/libc.so.6").items()
    return path, file, int(bash.run(f"grep {path} /proc/$pid/maps | head -n 1").output.partition("-")[0], 16)


def value(file, name):
    """The address of a symbol, as pyelftools reads it from the file."""
    with file.open("rb") as stream:
        return ELFFile(stream).get_section_by_name(".dynsym").get_symbol_by_name(name)[0]["st_value"]


def test_symbols_of_a_library_from_its_file(bash, libc, tmp_path):
    path, file, base = libc
    place = tmp_path / path
    place.parent.mkdir(parents=True)
    place.write_bytes(file.read_bytes())
    task, linux = task_of(bash, "$pid"), LinuxGuest(bash.machine.memory, bash.machine.harts)
    linux.read_programs(tmp_path)
    assert linux.lookup(base + value(file, "qsort_r") + 4, task) == "libc.so.6:qsort_r+0x4"
    assert linux.lookup(base + 0x30, task) == "libc.so.6+0x30"
    with pytest.raises(vm.LoadError, match="is no folder"):
        linux.read_programs(tmp_path / "nowhere")


def test_symbols_of_a_library_from_guest_memory(bash, libc):
    """The dynamic linker has touched those that bash calls."""
    _, file, base = libc
    task, linux = task_of(bash, "$pid"), bash.machine.linux
    assert linux.lookup(base + value(file, "malloc") + 4, task) == "libc.so.6:malloc+0x4"
    assert linux.lookup(base + 0x30, task) == "libc.so.6+0x30"


def test_where_a_program_is(bash):
    """bash spins: the hart is in it, or in the kernel for it."""
    machine, names = bash.machine, set()
    for _ in range(100):
        machine.run(instructions=10_007)
        hart = machine.harts[0]
        if (task := machine.linux.current(hart)).name == "bash":
            names.add(machine.linux.lookup(hart.pc, task).partition("+")[0])
    assert "bash" in names and all(names)


def test_files_below_a_mount_and_processes_that_ended(shell, linux):
    shell.run("mkdir -p /mnt/below; mount -t tmpfs none /mnt; mkdir /mnt/folder; cp /usr/bin/busybox /mnt/folder/tail;"
              "/mnt/folder/tail -f /dev/null & pid=$!; sleep 1")
    pid = int(shell.run("echo $pid").output)
    task = process_with(linux, pid)
    assert linux.mappings(task)[0].path == "/mnt/folder/tail"
    assert linux.lookup(0x10010, task) == "tail+0x10"
    assert linux.read(0x10000, 4, task) == b"\x7fELF"
    shell.run("kill $pid; wait $pid; umount /mnt")
    with pytest.raises(vm.LinuxError, match="has ended"):
        linux.mappings(task)
    with pytest.raises(vm.LinuxError, match="no memory of its own"):
        linux.mappings(next(one for one in linux.processes() if one.name == "kthreadd"))


def test_modules(shell, linux):
    listed = [line.split() for line in shell.run("cat /proc/modules").output.splitlines()]
    assert [(one.name, str(one.size), str(one.references), one.state, f"{one.address:#x}")
            for one in linux.modules()] == [(line[0], line[1], line[2], line[4], line[5]) for line in listed]


def test_log(shell, linux):
    printed = shell.run("dmesg").output.splitlines()
    assert "\n".join(map(str, linux.dmesg())).splitlines() == printed


def test_log_goes_around_its_ring():
    """Records that are overwritten are gone; those left are what /dev/kmsg has (Documentation/ABI/testing/dev-kmsg)."""
    with vm.Machine(memory="256M") as machine:
        machine.boot(*debian()[:2], "console=ttyS0 quiet cryptomgr.notests log_buf_len=64K")
        shell = machine.shell()
        shell.run("i=0; while [ $i -lt 5000 ]; do echo $i the quick brown fox $i > /dev/kmsg; i=$((i + 1)); done")
        printed = shell.run("timeout 1 cat /dev/kmsg").output
        records = re.findall(r"^(\d+),\d+,(\d+),.*?;(.*)", printed, re.MULTILINE)
        assert 1000 < len(records) < 5000
        assert [(record.level, record.nanoseconds // 1000, record.text) for record in machine.linux.dmesg()] == [
            (int(level) % 8, int(microseconds), text) for level, microseconds, text in records]


def test_current_task_at_any_instruction(shell, linux):
    """A program that makes system calls all the time: in it, in the kernel, and on the way it is what the hart runs."""
    machine = shell.machine
    shell.run("(exec dd if=/dev/zero of=/dev/null bs=1 2>/dev/null) & pid=$!")
    pid = int(shell.run("echo $pid").output)
    seen = set()
    for _ in range(300):
        machine.run(instructions=9_973)
        for hart in machine.harts:
            task = linux.current(hart)
            seen.add((task.pid, hart.privilege))
            if hart.privilege == 0:
                assert task.page_table == (hart.csr["satp"] & (1 << 44) - 1) << 12
    assert {(pid, 0), (pid, 1)} <= seen
    for hart in machine.harts:
        if linux.current(hart).pid == pid:
            for _ in range(1000):               # through the entry and the exit of several calls
                machine.run(instructions=1)
                assert linux.current(hart).pid in (pid, 0)
    shell.run("kill $pid; wait $pid")


def test_nothing_of_the_guest_changes(shell, linux):
    before = shell.machine.snapshot()
    linux.processes(), linux.modules(), linux.dmesg(), linux.current(shell.machine.harts[0])
    assert shell.machine.equals(before)


def test_damaged_tables_are_errors_of_the_guest(linux, shell):
    """Whatever a structure says: what is found is found, and all else is a GuestError, and ends."""
    machine, chance = shell.machine, random.Random(1)
    task = linux.processes()[0]
    places = [linux.symbols[name].address for name in ("init_task", "modules", "prb", "printk_rb_static")]
    places += [one.address for one in linux.threads()[:20]]
    snapshot, errors = machine.snapshot(), 0
    for _ in range(150):
        machine.restore(snapshot)
        for _ in range(20):
            place = chance.choice(places) + chance.randrange(3000)
            value = chance.choice((bytes(8), b"\xff" * 8, chance.randbytes(8), chance.randbytes(1)))
            machine.memory.write(linux._kernel().tables.physical(place), value)
        for action in (linux.processes, linux.threads, linux.modules, linux.dmesg, lambda: linux.mappings(task),
                       lambda: linux.lookup(0x10000, task), lambda: linux.current(machine.harts[0])):
            try:
                action()
            except vm.GuestError:
                errors += 1
    machine.restore(snapshot)
    assert errors and linux.processes()[0] == task


def test_a_log_of_another_size_is_damaged(shell, linux):
    """Not one with most of its records gone."""
    machine, kernel = shell.machine, linux._kernel()
    ring = kernel.structure("printk_ringbuffer", kernel.tables.integer(kernel.address("prb")))
    bits = ring.number("desc_ring.count_bits")
    place = kernel.tables.physical(ring.address("desc_ring.count_bits"))
    try:
        machine.memory.write(place, (bits - 2).to_bytes(4, "little"))
        with pytest.raises(vm.LinuxError, match="log is damaged"):
            linux.dmesg()
    finally:
        machine.memory.write(place, bits.to_bytes(4, "little"))
    assert linux.dmesg()


def test_a_module_with_more_symbols_than_there_can_be_is_damaged(shell, linux):
    machine, kernel = shell.machine, linux._kernel()
    module = next(kernel.members(kernel.address("modules"), "module", "list"))
    place = kernel.tables.physical(module.pointed("kallsyms", "mod_kallsyms").address("num_symtab"))
    count = machine.memory.read(place, 4)
    try:
        machine.memory.write(place, b"\xff" * 4)
        with pytest.raises(vm.LinuxError, match="symbols .* are damaged"):
            linux.modules()
    finally:
        machine.memory.write(place, count)
    assert linux.modules()


def test_much_memory_is_read_in_one_go(shell, linux):
    """Of the mapping of all RAM: the content is that at the physical addresses."""
    size = 32 << 20
    start = linux.processes()[0].address & -(2 << 20)
    physical = linux._kernel().tables.physical(start)
    assert linux.read(start, size) == shell.machine.memory.read(physical, size)


@pytest.mark.parametrize(("call", "error"), [
    (lambda linux: linux.read(0, -1), ValueError), (lambda linux: linux.read("x", 1), TypeError),
    (lambda linux: linux.lookup("x"), TypeError), (lambda linux: linux.mappings("init"), TypeError)])
def test_what_is_no_address_size_or_task_is_named(call, error, linux):
    with pytest.raises(error, match=r"size=-1|address='x'|not str"):
        call(linux)


def test_a_profile_from_the_start_outlives_that_there_is_no_linux_yet():
    """Paging is on before the kernel is mapped where it says."""
    with vm.Machine(memory="256M") as machine:
        machine.boot(*debian())
        values = []
        machine.on_csr("satp", lambda access: (values.append(access.value), machine.request_stop()), access="write")
        while len(set(values)) < 3:
            machine.run()
        with machine.profile(1, symbols=machine.linux, call_frames=False) as profile:
            machine.run(instructions=5)
        with pytest.raises(vm.LinuxError):
            machine.linux.lookup(machine.harts[0].pc)
        assert len(profile) == 5 and len(profile.folded().splitlines()) > 0


def test_a_panic_is_in_the_log_of_the_guest_that_hangs():
    with vm.Machine(memory="256M") as machine:
        load_linux(machine, "exit 1")
        with pytest.raises(vm.UnexpectedOutput, match="Kernel panic"):
            machine.shell()
        texts = [record.text for record in machine.linux.dmesg()]
        assert any("Kernel panic - not syncing: Attempted to kill init!" in text for text in texts)
        assert machine.linux.lookup(machine.harts[0].pc)


@pytest.mark.parametrize("option, mode", [("no4lvl", 8), ("no5lvl", 9)])
def test_page_tables_of_less_levels(option, mode):
    """Sv39 and Sv48 (Documentation/admin-guide/kernel-parameters.txt); else it is Sv57."""
    with vm.Machine(memory="256M") as machine:
        machine.boot(*debian()[:2], f"console=ttyS0 quiet cryptomgr.notests {option}")
        shell = machine.shell()
        assert machine.harts[0].csr["satp"] >> 60 == mode
        pid = int(shell.run("echo $$").output)
        assert pid in {task.pid for task in machine.linux.processes()}
        assert machine.linux.version + "\n" == shell.run("cat /proc/version").output


def test_reports_name_addresses_of_a_linux_that_was_looked_at(shell, linux):
    machine = shell.machine
    address = linux.symbols["schedule"].address
    assert machine.lookup(address + 2) == "schedule+0x2"
    with vm.Machine(memory="256M") as fresh:
        load_linux(fresh, "exec sh")
        fresh.shell()
        assert fresh.lookup(address) is None and fresh.linux.lookup(address) == fresh.lookup(address)
        fresh.memory.clear(0x80000000, 256 << 20)
        assert fresh.lookup(address) is None


def test_symbols_of_a_system_map(shell, tmp_path):
    """The kernel runs elsewhere than where it was linked: all addresses move by the same."""
    names = ("_start|linux_banner|swapper_pg_dir|init_task|__start_BTF|__stop_BTF|schedule|do_exit")
    listed = [line.split() for line in shell.run(f"grep -E ' ({names})$' /proc/kallsyms").output.splitlines()]
    path = tmp_path / "System.map"
    path.write_text("".join(f"{int(address, 16) - 0x1200000:016x} {kind} {name}\n" for address, kind, name in listed))
    by_map, by_kallsyms = LinuxGuest(shell.machine.memory, shell.machine.harts), shell.machine.linux
    by_map.read_symbols(path)
    assert {name: f"{symbol.address:x}" for name, symbol in by_map.symbols.items()} == {
        name: address for address, _, name in listed}
    assert by_map.processes() == by_kallsyms.processes()
    with pytest.raises(vm.LinuxError, match="symbols have no prb: .*System.map"):
        by_map.dmesg()


def test_a_system_map_of_another_kernel_is_refused(shell, tmp_path):
    path = tmp_path / "System.map"
    path.write_text("".join(f"ffffffff8{place:07x} T {name}\n"
                            for place, name in enumerate(("_start", "linux_banner", "swapper_pg_dir"))))
    linux = LinuxGuest(shell.machine.memory, shell.machine.harts)
    linux.read_symbols(path)
    with pytest.raises(vm.LinuxError, match=r"System\.map is of another kernel"):
        linux.processes()


def test_a_kernel_is_found_again_after_a_reset():
    with vm.Machine(memory="256M") as machine:
        load_linux(machine, "exec sh")
        with pytest.raises(vm.LinuxError, match="no hart has paging on"):
            machine.linux.processes()
        for _ in range(2):
            machine.shell()
            assert machine.linux.processes()[0].name == "sh"
            machine.reset()
            machine.memory.clear(0x80000000, 256 << 20)
            with pytest.raises(vm.LinuxError, match="no hart has paging on"):
                machine.linux.processes()
            load_linux(machine, "exec sh")
