"""Sessions of GDB with Debian's kernel, and with a program inside it: what it shows is checked.

The guest writes 5 and 6 to /proc/sys/kernel/panic, which is the kernel's variable `panic_timeout`, prints it, and runs
a program, for ever.
"""

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

import vm
from tests import tools
from tests.assembler import FLAGS, compile_elf
from tests.boot.kernel_symbols import read_kallsyms, write_elf
from tests.boot.linux import load_linux
from tests.gdb.sessions import SECONDS, session_of
from vm.devices import BlockDevice
from vm.images.busybox import QUICK_CMDLINE, debian_kernel, userspace_initrd
from vm.images.cpio import cpio_newc

pytestmark = [pytest.mark.network, tools.needs("gdb-multiarch")]

LONG_AGO = 1_500_000_000            # steps: what to go through takes longer than GDB takes to hear a signal
PANIC = "/proc/sys/kernel/panic"
COMMANDS = f"""
cat /proc/kallsyms >/dev/vda
echo here we are
while true; do
    echo 5 >{PANIC}; echo 6 >{PANIC}; cat {PANIC}
    /program
done
"""
# Counts on, asks for its process number, counts on again, and exits with what it has counted.
PROGRAM = """
.globl _start
_start:
    la   t0, counter
    ld   a0, 0(t0)
    addi a0, a0, 7
    sd   a0, 0(t0)
.globl ask
ask:
    li   a7, 172                # getpid
    ecall
.globl asked
asked:
    ld   a0, 0(t0)
    addi a0, a0, 1
.globl count
count:
    sd   a0, 0(t0)
    li   a7, 93                 # exit
    ecall
    .data
    .balign 8
.globl counter
counter: .dword 0
"""
AT_THE_USERS = "ENTRY(_start) SECTIONS { . = 0x10000; .text : { *(.text) } . = ALIGN(0x1000); .data : { *(.data) } }"
USERS = compile_elf((("program.S", PROGRAM),), FLAGS, AT_THE_USERS)


class Linux(NamedTuple):
    """The guest when it has just told the kernel's symbols, which are in a file."""

    snapshot: vm.Snapshot
    symbols: Path
    disk: Path

    @contextmanager
    def served(self) -> Iterator[tuple[vm.Machine, str]]:
        """A machine, and where GDB finds it; it must be killed inside."""
        path = str(self.symbols.with_name("gdb"))
        disk = BlockDevice(self.disk, discard=True)
        with self.snapshot.machine(devices={"virtio0": disk}) as machine, machine.gdb(path) as server:
            thread = threading.Thread(target=server.serve, daemon=True)
            thread.start()
            yield machine, server.address
            thread.join(SECONDS)
            assert not thread.is_alive()

    def session(self, *commands: str) -> list[str]:
        with self.served() as (_, address):
            return session_of(self.symbols, *commands, target=address)


@pytest.fixture(scope="module", params=[1, 2], ids="{} harts".format)
def linux(request, tmp_path_factory) -> Linux:
    folder = tmp_path_factory.mktemp("linux")
    disk, initrd, symbols = folder / "kallsyms", folder / "initrd", folder / "vmlinux"
    disk.write_bytes(bytes(16 << 20))
    first = userspace_initrd(COMMANDS).read_bytes()
    second = cpio_newc([("program", 0o100755, USERS.read_bytes(), (0, 0))])
    initrd.write_bytes(first + bytes(-len(first) % 4) + second)
    with vm.Machine(harts=request.param) as machine:
        machine.attach(BlockDevice(disk))
        machine.boot(debian_kernel(), initrd=initrd, cmdline=QUICK_CMDLINE)
        machine.console.expect("here we are")
        snapshot = machine.snapshot()
    write_elf(symbols, read_kallsyms(disk.read_bytes().rstrip(b"\0").decode()))
    return Linux(snapshot, symbols, disk)


def debugger_of(symbols: Path, address: str, *commands: str) -> subprocess.Popen:
    """GDB, doing these commands, for signals to be sent to it."""
    arguments = [argument for command in (f"target remote {address}", *commands) for argument in ("-ex", command)]
    return subprocess.Popen(["gdb-multiarch", "-nx", "-q", "-batch", *arguments, str(symbols)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def frames(trace: str) -> list[str]:
    """The functions of a backtrace, the innermost first."""
    return re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?(\S+) \(", trace, re.MULTILINE)


def change(told: str) -> tuple[int, int]:
    """Of a watchpoint that was met."""
    found = re.search(r"Old value = (\d+)\nNew value = (\d+)\n", told)
    assert found, told
    return int(found[1]), int(found[2])


def value(told: str) -> int:
    """Of `print`."""
    found = re.match(r"\$\d+ = (\S+)\n", told)
    assert found, told
    return int(found[1], 0)


def test_breakpoint_by_symbol_and_backtrace(linux):
    _, hit, trace, _, again, finished, frame = linux.session(
        "break proc_sys_write", "continue", "backtrace", "delete", "tbreak *vfs_write", "continue", "backtrace 2")
    assert "Breakpoint 1, " in hit and "in proc_sys_write ()" in hit
    assert frames(trace)[:6] == ["proc_sys_write", "vfs_write", "ksys_write", "__riscv_sys_write", "do_trap_ecall_u",
                                 "handle_exception"]
    assert "Temporary breakpoint 2" in again and "vfs_write ()" in finished
    assert frames(frame) == ["vfs_write", "ksys_write"]


def test_watchpoint_forwards_and_backwards(linux):
    """What the guest writes in turn is what GDB sees, and in the opposite order on the way back.

    Where a watchpoint is met GDB asks for one step more, as with RISC-V's own the access is still to come. Here that is
    done then: it stands right behind the store.
    """
    _, begun, *told = linux.session(
        "watch *(int *)&panic_timeout", "monitor history", *["continue"] * 4, "backtrace 5",
        *["reverse-continue"] * 3, "print *(int *)&panic_timeout", "continue", "reverse-stepi", "reverse-stepi",
        "info symbol $pc", "stepi 3")
    assert "a history is kept" in begun
    changes = [change(each) for each in told[:4]]
    assert changes[1:] in ([(5, 6), (6, 5), (5, 6)], [(6, 5), (5, 6), (6, 5)])
    assert frames(told[4]) == ["do_proc_dointvec_conv", "__do_proc_dointvec", "proc_dointvec", "proc_sys_call_handler",
                               "proc_sys_write"]
    back = [change(each) for each in told[5:8]]
    assert back == [(new, old) for old, new in reversed(changes[1:])]
    assert value(told[8]) == changes[1][0]
    assert change(told[9]) == changes[1]                    # the last that was undone, once more
    assert change(told[10]) == changes[1][::-1] and change(told[13]) == changes[1]
    assert "do_proc_dointvec_conv" in told[12]


def test_steps_lead_through_a_system_call(linux):
    """From the user's ecall to the kernel's entry, and out again by sret."""
    _, _, _, before, step, inside, symbol, _, out, after = linux.session(
        f"add-symbol-file {USERS}", "tbreak *ask", "continue", "print $priv", "stepi 2", "print $priv",
        "info symbol $pc", "tbreak *asked", "continue", "print $priv")
    assert (value(before), value(inside), value(after)) == (0, 1, 0)
    assert "handle_exception" in step and "handle_exception in section .text" in symbol
    assert "asked ()" in out


def test_program_inside_it(linux):
    _, _, hit, code, count, _, _, watched, _, _, ended, trace, status = linux.session(
        f"add-symbol-file {USERS}", "break *asked", "continue", "x/2i $pc", "print *(long *)&counter", "delete",
        "watch *(long *)&counter", "continue", "delete", "tbreak *do_exit", "continue", "backtrace", "print $a0 >> 8")
    assert "Breakpoint 1, " in hit and "in asked ()" in hit
    assert "=> 0x" in code and "<asked>:\tld\ta0,0(t0)" in code
    assert value(count) == 7
    assert change(watched) == (7, 8) and "in count ()" in watched
    assert "do_exit ()" in ended
    assert frames(trace) == ["do_exit", "__riscv_sys_exit", "do_trap_ecall_u", "handle_exception"]
    assert value(status) == 8


def test_writes_reach_the_kernel_and_the_program(linux):
    """The guest prints what is written to the kernel's variable, and the program ends with what is in its memory."""
    with linux.served() as (machine, address):
        _, _, first, *_, status = session_of(
            linux.symbols, "watch *(int *)&panic_timeout if *(int *)&panic_timeout == 6", "continue", "print $pc",
            "delete", "set var *(int *)&panic_timeout = 4321", f"add-symbol-file {USERS}", "tbreak *asked", "continue",
            "set var *(long *)&counter = 77", "tbreak *do_exit", "continue", "print $a0 >> 8", target=address)
        assert "do_proc_dointvec_conv" in first
        assert machine.console.output.splitlines()[-1] == b"4321"
    assert value(status) == 78


def test_interrupt_detach_and_attach_again(linux):
    """It runs on without GDB, past a breakpoint that was set; Ctrl-C is SIGINT, which GDB turns into the byte 3."""
    with linux.served() as (machine, address):
        told = session_of(linux.symbols, "break proc_sys_write", "continue", "detach", target=address)
        assert "Breakpoint 1, " in told[1] and "detached" in told[2]
        printed = machine.console.output.count(b"6\r\n")
        while machine.console.output.count(b"6\r\n") < printed + 10:
            time.sleep(0.001)
        commands = ("continue", "info threads", "break proc_sys_write", "continue", "kill")
        with debugger_of(linux.symbols, address, *commands) as debugger:
            assert debugger.stdout is not None
            told = ""
            while "0x" not in told:                     # of where it stands: it has come
                told += debugger.stdout.readline()
            steps = machine.steps
            while machine.steps < steps + 1_000_000:
                time.sleep(0.001)
            debugger.send_signal(2)
            told += debugger.communicate(timeout=SECONDS)[0]
    assert "received signal SIGINT" in told and "Breakpoint 1, " in told
    assert re.search(r'"hart 0".* \((started|suspended|waiting)', told)


def test_interrupt_of_a_search_of_the_past(linux):
    """For what has never happened: Ctrl-C ends it, and the machine is where it was."""
    with linux.served() as (machine, address):
        machine.keep_history()
        machine.run(instructions=LONG_AGO)
        commands = ("break panic", "print $pc", "reverse-continue", "print $pc", "kill")
        with debugger_of(linux.symbols, address, *commands) as debugger:
            steps = machine.steps
            while machine.steps >= steps:
                time.sleep(0.001)
            debugger.send_signal(2)
            told = debugger.communicate(timeout=SECONDS)[0]
        assert machine.steps == steps
    assert "received signal SIGINT" in told
    before, after = re.findall(r"^\$\d = .*?(0x[0-9a-f]+)", told, re.MULTILINE)
    assert before == after


def test_from_the_first_instruction(tmp_path):
    """Two harts, one of which Linux has not started yet; then GDB comes while a program runs."""
    with vm.Machine(harts=2) as machine, machine.gdb(str(tmp_path / "gdb")) as server:
        load_linux(machine, "echo here we are; while true; do :; done")
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        threads, _, privilege, satp, _ = session_of(debian_kernel(), "info threads", "stepi", "print $priv",
                                                    "print $satp", "detach", target=server.address)
        assert '"hart 0" (started, S) 0x0000000080200000' in threads and '"hart 1" (stopped, M)' in threads
        assert (value(privilege), value(satp)) == (1, 0)
        while b"here we are" not in machine.console.output and thread.is_alive():
            time.sleep(0.05)
        threads = ""
        while "(started, U)" not in threads:            # until it comes while the shell runs, not the kernel
            threads, *_ = session_of(debian_kernel(), "info threads", "detach", target=server.address)
        mode, code, _ = session_of(debian_kernel(), "print/x $satp >> 60", "x/2i $pc", "kill", target=server.address)
        assert value(mode) in (0xa, -6 & 0xffff_ffff_ffff_ffff)         # Sv57; GDB takes the register for signed
        assert "=> 0x" in code
        thread.join(SECONDS)
        assert not thread.is_alive()
