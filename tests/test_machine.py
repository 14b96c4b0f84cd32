"""The machine: what it refuses, its limits, what a stop tells, resets."""

import copy
import gc
import os
import pickle
import shutil
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

import vm
from tests.assembler import BASE, assemble, assemble_elf
from vm.devices import Device
from vm.errors import ConfigurationError, LoadError, MachineBusy, VmError
from vm.stop import StopReason
from vm_native.jit.compiler import unavailable

POWER_OFF = "li t0, 0x100000; li t1, {}; sw t1, 0(t0); after: j after"
SPIN = ".option norvc\n1: addi a0, a0, 1\n j 1b"


# --- Building --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options, words", [
    ({"memory": 0}, "memory"), ({"memory": -4096}, "memory"), ({"memory": 1000}, "4096"), ({"memory": "12K3"}, "12K3"),
    ({"memory": "lots"}, "lots"), ({"memory": "1E"}, ""), ({"memory": 1 << 70}, ""), ({"harts": 0}, "harts=0"),
    ({"harts": 9}, "harts=9"), ({"harts": -1}, "harts=-1"), ({"isa": "rv32gc"}, "rv64"), ({"isa": "rv64gq"}, "q"),
    ({"isa": "rv64gc_zmagic"}, "zmagic"), ({"isa": "rv64mac"}, "base"), ({"isa": ""}, "rv64"),
    ({"seed": -1}, "seed=-1"), ({"clock": "sundial"}, "sundial"), ({"engine": "steam"}, "steam"),
    ({"harts": "2"}, "harts='2'"), ({"harts": 1.0}, "harts=1.0"), ({"isa": 5}, "isa=5"), ({"seed": "a"}, "seed='a'"),
    ({"seed": None}, "seed=None"), ({"threads": "no"}, "threads='no'"), ({"engine": 5}, "engine=5"),
    ({"settings": {}}, "settings={}"), ({"memory": 1.5}, "1.5"), ({"memory": b"1M"}, "1M"),
])  # fmt: skip
def test_what_cannot_be_built_is_refused(options, words):
    with pytest.raises(ConfigurationError) as caught:
        vm.Machine(**{"memory": "2M", **options})
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value, VmError) and isinstance(caught.value, ValueError)


@pytest.mark.parametrize("limit, size", [("RLIMIT_AS", 4 << 30), ("RLIMIT_AS", 0), ("RLIMIT_FSIZE", 1 << 20)])
def test_memory_that_the_host_does_not_give_is_refused(limit, size):
    """In a child, as the limits are the process's; 0 for one that RAM fits into, and its tables do not."""
    script = f"""
import resource, vm
import vm.machine
now = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.{limit}, ({size} or now + (64 << 30) + (48 << 20),) * 2)
try:
    vm.Machine(memory="64G", engine="interpreter")
except vm.ConfigurationError as error:
    print(error)
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert process.stdout.startswith("memory='64G': ") and process.stdout.count("\n") == 1
    assert "give the machine less" in process.stdout


def test_memory_larger_than_the_host_s_costs_what_is_touched():
    with vm.Machine(memory="1T") as machine:
        before = shared_memory()
        machine.memory.write(BASE + (1 << 40) - 4096, b"end")
        assert machine.memory.read(BASE + (1 << 40) - 4096, 3) == b"end"
        assert shared_memory() - before <= 2 << 20


def test_machine_without_a_guest_does_not_run():
    with vm.Machine(memory="2M") as machine:
        with pytest.raises(LoadError, match="nothing is loaded"):
            machine.run()
        with pytest.raises(LoadError, match="nothing is loaded"):
            machine.reset()


def test_raw_bytes_are_loaded_at_an_address(tmp_path):
    path = tmp_path / "program.bin"
    path.write_bytes(assemble("li a0, 7; wfi"))
    with vm.Machine(memory="2M") as machine:
        machine.load(path, address=BASE + 0x8000)
        assert machine.run().reason is StopReason.IDLE
        assert machine.harts[0]["a0"] == 7 and machine.harts[0].pc > BASE + 0x8000


@pytest.mark.parametrize("use", [copy.copy, copy.deepcopy, pickle.dumps])
def test_machine_cannot_be_copied_and_says_why(use):
    with vm.Machine(memory="1M") as machine, pytest.raises(TypeError, match="a machine holds .* copied or pickled"):
        use(machine)


def shared_memory() -> int:
    """Bytes of memfd pages that this process has mapped and touched: RssShmem of proc(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssShmem:")) << 10


def mappings_of_ram() -> int:
    return Path("/proc/self/maps").read_text().count("/memfd:vm-ram")


def test_close_gives_everything_back_at_once(guest):
    """Not when the garbage collector comes by: a machine is in circles of references."""
    size = 32 << 20
    gc.collect()
    gc.disable()
    try:
        for _ in range(2):
            mapped, mappings, descriptors = shared_memory(), mappings_of_ram(), len(os.listdir("/proc/self/fd"))
            g = guest("li a0, 5; 1: addi a0, a0, -1; bnez a0, 1b; wfi", memory=f"{size}")
            g.memory.write(BASE + 4096, bytes(size - 4096))
            g.finish()
            assert shared_memory() > mapped + size // 2     # not all: the host may take back pages of other machines
            g.machine.close()
            assert shared_memory() < mapped + size // 2
            assert len(os.listdir("/proc/self/fd")) == descriptors
            assert mappings_of_ram() <= mappings        # a machine of another test may have gone, too
    finally:
        gc.enable()


def test_many_machines_run_side_by_side(guest):
    """All state hangs off the machine."""
    machines = [guest(SPIN) for _ in range(4)]
    for number, g in enumerate(machines):
        g["a0"] = 1000 * number
    for _ in range(3):
        for number, g in enumerate(machines):
            g.run(instructions=2 * (number + 1))
    assert [g["a0"] for g in machines] == [1000 * number + 3 * (number + 1) for number in range(4)]


# --- Limits ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("seconds, steps", [(0, 0), (1e-9, 1), (1e-6, 1000), (0.000123456, 123_456)])
def test_seconds_are_of_guest_time(seconds, steps, guest):
    g = guest(SPIN)
    stop = g.machine.run(seconds=seconds)
    assert (stop.reason, stop.steps) == (StopReason.DEADLINE, steps)


def test_seconds_of_a_waiting_guest_pass_at_once(guest):
    g = guest("wfi")
    stop = g.machine.run(seconds=3600)
    assert (stop.reason, stop.steps) == (StopReason.DEADLINE, 1)
    assert g.machine.clock.now_ns() == 3600 * 10**9


def test_until_is_looked_at_before_the_first_step_and_stops(guest):
    g = guest(SPIN)
    stop = g.machine.run(until=lambda machine: True)
    assert (stop.reason, stop.steps) == (StopReason.CONDITION, 0)
    stop = g.machine.run(until=lambda machine: machine.steps >= 25_000)
    assert (stop.reason, stop.steps) == (StopReason.CONDITION, 30_000)


def test_until_does_not_change_what_the_guest_does(guest):
    plain, watched = guest(SPIN), guest(SPIN)
    plain.run(instructions=55_555)
    watched.run(instructions=55_555, until=lambda machine: False)
    assert plain["a0"] == watched["a0"] and plain.hart.pc == watched.hart.pc


def test_what_until_raises_comes_out(guest):
    def fail(machine):
        raise ZeroDivisionError

    g = guest(SPIN)
    with pytest.raises(ZeroDivisionError):
        g.machine.run(until=fail)
    assert g.run(instructions=5).steps == 5


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_timeout_is_of_host_time(timeout, guest):
    g = guest(SPIN)
    start = time.monotonic()
    stop = g.machine.run(timeout=timeout)
    assert stop.reason is StopReason.TIMEOUT
    assert time.monotonic() - start >= timeout


def test_the_first_limit_counts(guest):
    g = guest(SPIN)
    assert g.machine.run(instructions=10, seconds=1, timeout=10).reason is StopReason.BUDGET
    assert g.machine.run(instructions=10**9, seconds=1e-6, timeout=10).reason is StopReason.DEADLINE


def test_idle_when_nothing_will_ever_happen(guest):
    g = guest("wfi; after: j after", harts=2)
    stop = g.machine.run()
    assert (stop.reason, stop.steps) == (StopReason.IDLE, 2)
    assert {hart.pc for hart in g.machine.harts} == {g.address("after")}


def test_real_clock_sleeps_until_the_timer(guest):
    """wfi under clock="real" waits for the timer in real time, and takes few steps."""
    g = guest("csrr t0, time; li t1, 300000; add t0, t0, t1; csrw stimecmp, t0; wfi; li a0, 5; 1: j 1b", clock="real")
    g["menvcfg"], g["mie"], g["a0"] = 1 << 63, 1 << 5, 0
    start = time.monotonic()
    g.machine.run(until=lambda machine: machine.harts[0]["a0"] == 5, timeout=60)
    assert time.monotonic() - start >= 0.03
    assert g["a0"] == 5


def test_real_clock_without_anything_to_wait_for(guest):
    g = guest("wfi", clock="real")
    assert g.machine.run().reason is StopReason.IDLE


# --- Stops -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("value, reason, code", [
    (0x5555, StopReason.POWER_OFF, 0), (0x7777, StopReason.RESET, None), (3 << 16 | 0x3333, StopReason.EXIT, 3),
])  # fmt: skip
def test_stop_through_the_test_device(value, reason, code, guest):
    """After the store; the machine may run on."""
    g = guest(POWER_OFF.format(value))
    stop = g.run()
    assert (stop.reason, stop.exit_code, stop.pc, stop.hart) == (reason, code, g.address("after"), 0)
    assert g.run(instructions=5).reason is StopReason.BUDGET


def test_stop_names_the_hart(guest):
    g = guest(f"li t2, 2; bne a0, t2, idle; {POWER_OFF.format(0x5555)}; idle: wfi; j idle", harts=4)
    stop = g.run()
    assert (stop.reason, stop.hart) == (StopReason.POWER_OFF, 2)


def test_stop_has_a_message_only_for_traps(guest):
    assert guest("wfi").run().message == ""
    g = guest("nop; .half 0; nop")
    g["mtvec"] = 0
    stop = g.run()
    assert stop.reason is StopReason.TRAP_LOOP
    assert stop.message == f"hart 0: illegal instruction (cause 2) at pc {BASE + 2:#x}, tval 0x0"


def test_request_before_a_run_stops_it_at_once(guest):
    g = guest(SPIN)
    g.machine.request_stop()
    assert g.run().steps == 0
    assert g.run(instructions=5).steps == 5


# --- Callbacks -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("call", [
    lambda machine: machine.run(instructions=1), lambda machine: machine.reset(), lambda machine: machine.close(),
    lambda machine: machine.load(assemble_elf("wfi")), lambda machine: machine.boot("Image"),
], ids=["run", "reset", "close", "load", "boot"])  # fmt: skip
def test_machine_is_busy_inside_a_callback(call, guest):
    """From a device and from `until`; the error goes through run() and the machine is whole afterwards."""
    class Caller(Device):
        def read(self, offset, size):
            call(g.machine)

    g = guest("lw a1, 0(a0); wfi", devices=[(Caller(), 0x4000_0000)])
    g["a0"] = 0x4000_0000
    with pytest.raises(MachineBusy):
        g.run()
    with pytest.raises(MachineBusy):
        g.machine.run(until=call)
    g["a0"] = BASE
    g.finish()


# --- Reset -----------------------------------------------------------------------------------------------------------

def test_reset_starts_over(guest):
    g = guest("la t0, word; lw t1, 0(t0); addi t1, t1, 1; sw t1, 0(t0); add s1, s1, t1; wfi; .balign 8; word: .word 5")
    g.finish()
    assert g.word("word", 4) == 6 and g["s1"] == 6
    steps, now = g.machine.steps, g.machine.clock.now_ns()
    g.native.set_interrupt(3, True)
    g["mie"], g["pmpcfg0"] = 8, 0x80
    g.machine.reset()
    assert g.hart.pc == BASE and g["s1"] == 0 and g.word("word", 4) == 5
    assert (g["mie"], g["mip"], g["pmpcfg0"], g["mtvec"]) == (0, 1 << 7, 0, 0)       # the machine timer is due
    assert (g.machine.steps, g.machine.clock.now_ns()) == (steps, now)
    g.finish()
    assert g["s1"] == 6


def test_reset_keeps_memory_that_the_program_does_not_cover(guest):
    g = guest("wfi")
    g.memory.write(BASE + 0x10000, b"kept")
    g.machine.reset()
    assert g.memory.read(BASE + 0x10000, 4) == b"kept"


def test_reset_after_code_has_changed_itself(guest):
    g = guest(".option norvc\n addi a0, a0, 1\n sw t1, 0(t0)\n wfi")
    for _ in range(2):
        g["a0"], g["t0"], g["t1"] = 0, BASE, 0x0645_0513    # addi a0, a0, 100
        g.finish()
        assert g["a0"] == 1
        g.hart.pc = BASE
        g.finish()
        assert g["a0"] == 101
        g.machine.reset()


def test_load_replaces_the_program(guest):
    g = guest("li a0, 1; wfi")
    g.finish()
    g.machine.load(assemble_elf("li a0, 2; wfi"))
    g.finish()
    assert g["a0"] == 2


def test_failed_load_leaves_the_machine_as_it_was(guest, tmp_path):
    g = guest("li a0, 1; wfi")
    with pytest.raises(LoadError):
        g.machine.load(tmp_path / "nothing.elf")
    g.finish()
    assert g["a0"] == 1


def test_same_inputs_same_run(guest):
    source = "1: csrr t0, time; add s0, s0, t0; mul s0, s0, s0; amoadd.d t1, s0, (a1); j 1b"
    first, second = guest(source, harts=2), guest(source, harts=2)
    for g in (first, second):
        g.run(instructions=123_457)
    for one, other in zip(first.machine.harts, second.machine.harts, strict=True):
        assert list(one.x) == list(other.x) and one.pc == other.pc
    assert first.memory.read(BASE, 0x20_0000) == second.memory.read(BASE, 0x20_0000)


def test_entropy_follows_the_seed(guest):
    """The seed CSR gives 16 bits at a time (scalar cryptography 4.1)."""
    def drawn(seed: int) -> list[int]:
        g = guest("1: csrrw t0, 0x015, zero; j 1b", isa="rv64gc_zkr", seed=seed)
        found = []
        for _ in range(30):
            g.run(instructions=2)
            found.append(g["t0"])
        return found

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert all(value >> 30 == 2 for value in drawn(1))


@pytest.mark.parametrize("limit", [1e300, float("inf")])
def test_limits_that_are_never_reached(limit, guest):
    stop = guest("1: j 1b").run(instructions=1000, seconds=limit, timeout=limit)
    assert (stop.reason, stop.steps) == (StopReason.BUDGET, 1000)


@pytest.mark.parametrize("name, value, told", [
    ("code_bytes", 0, "VM_JIT_BYTES.*at least"), ("hot", 2**32, "VM_JIT_HOT=4294967296: .* 0 to 4294967295"),
    ("seed", -1, "VM_JIT_SEED=-1: "), ("draft_bytes", 2**64, "VM_JIT_DRAFT_BYTES=18446744073709551616: "),
])
def test_settings_of_the_compiler_out_of_range(name, value, told):
    if unavailable():
        pytest.skip("this host compiles nothing")
    with pytest.raises(ConfigurationError, match=told):
        vm.Machine(engine="jit", settings=vm.Settings(**{name: value}))


@pytest.mark.parametrize("limit", [{"instructions": -1}, {"instructions": 1.5}, {"seconds": -1}, {"timeout": -1}])
def test_limits_that_are_none(limit, guest):
    g = guest(SPIN)
    with pytest.raises(ConfigurationError, match="limit .*negative"):
        g.machine.run(**limit)
    assert g.machine.steps == 0


@pytest.mark.parametrize("argument, value", [
    ("seconds", "a"), ("timeout", "1"), ("seconds", 1j), ("until", True), ("until", "pc"), ("instructions", "5"),
])
def test_arguments_of_run_are_named(argument, value, guest):
    g = guest(SPIN)
    with pytest.raises(ConfigurationError, match=f"^{argument}="):
        g.machine.run(**{argument: value})
    assert g.machine.steps == 0


@pytest.mark.parametrize("argument, value", [("address", "x"), ("address", 1.5), ("irq", "x")])
def test_arguments_of_attach_are_named(argument, value):
    with vm.Machine(memory="2M") as machine, pytest.raises(ConfigurationError, match=f"^{argument}="):
        machine.attach(Device(), **{"address": 0x1001_0000, argument: value})


@pytest.mark.parametrize("limit", ["seconds", "timeout"])
def test_limit_that_is_no_number(limit, tmp_path):
    program = tmp_path / "loop.bin"
    program.write_bytes((0x6F).to_bytes(4, "little"))
    with vm.Machine(memory="16M") as machine:
        machine.load(program, address=0x8000_0000)
        with pytest.raises(ConfigurationError, match="NaN"):
            machine.run(**{limit: float("nan")})


# --- What it shows ---------------------------------------------------------------------------------------------------

def test_machine_shows_itself(guest):
    g = guest("wfi", harts=2, engine="interpreter")
    text = repr(g.machine)
    assert text.startswith("<Machine: virt, 2 harts, RAM 0x80000000..0x80200000 (2 MiB), virtual clock at 0.000000000")
    assert "interpreter" in text and text.endswith("0 steps>") and str(g.machine.program.path) in text
    g.finish()
    assert "2 steps" in repr(g.machine)
    g.machine.close()
    assert repr(g.machine).endswith("2 steps, closed>")


def test_everything_shows_addresses_in_hexadecimal(guest):
    g = guest("lw a0, 0(zero)")
    g["mtvec"] = 0
    stop = g.machine.run()
    assert repr(stop) == f"Stop(reason=trap-loop, pc={BASE:#x}, hart=0, steps=2, cause=5, value=0x0)"
    assert repr(g.machine.memory) == f"<memory: RAM {BASE:#x}..{BASE + 0x20_0000:#x} (2 MiB)>"
    assert repr(g.machine.clock) == "<virtual clock at 0.000000002 s>"
    assert repr(g.machine.console) == "<Console: 0 bytes printed, the last ''>"
    assert repr(g.hart.virtual) == "<virtual memory of hart 0: privilege M, satp 0x0>"


def test_stop_tells_the_exit_code(guest):
    stop = guest(POWER_OFF.format("0x73333")).run()
    assert "reason=exit" in repr(stop) and "exit_code=7" in repr(stop) and "cause" not in repr(stop)


def test_notebooks_get_tables(guest):
    g = guest("li a0, 0x1234; wfi")
    stop = g.finish()
    for thing, told in ((g.machine, "virt"), (g.hart, "0000000000001234"), (stop, "idle"), (g.hart.x, "0x1234"),
                        (g.hart.f, "fa0"), (g.hart.csr, "misa")):
        table = thing._repr_html_()
        assert table.startswith("<table>") and table.endswith("</table>") and told in table
        assert table.count("<tr>") == table.count("</tr>") > 0


def test_completion_shows_public_names_only(guest):
    machine = guest("wfi").machine
    assert set(dir(machine)) == {
        "agent", "attach", "board", "boot", "breakpoint", "clock", "close", "console", "coverage", "detach",
        "edge_map", "equals", "fork", "gdb", "harts", "isa", "keep_history", "limits", "linux", "load", "lookup", "map",
        "memory", "on_block", "on_csr", "on_ecall", "on_execute", "on_mmio", "on_read", "on_trap", "on_write",
        "probes", "profile", "program", "read_symbols", "record", "replay", "request_stop", "reset", "restore",
        "run", "run_back", "screenshot", "shell", "snapshot", "stats", "step_back", "steps", "trace", "usage",
        "watchpoint", "web"}


# --- A checkout that is not built ------------------------------------------------------------------------------------

@pytest.mark.parametrize("use", ["vm.Machine", "vm.copy"])
def test_checkout_that_is_not_built_says_so(use, tmp_path):
    root = Path(vm.__file__).parents[1]
    for package in ("vm", "vm_native"):
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    result = subprocess.run([sys.executable, "-c", f"import vm; {use}"], cwd=tmp_path, text=True, capture_output=True,
                            env=os.environ | {"PYTHONPATH": str(tmp_path)}, check=False)
    last = result.stderr.splitlines()[-1]
    if not list(tmp_path.glob("vm_native/*.pyx")):
        pytest.skip("an installed package has no sources that could be built")
    assert last.startswith(f"ModuleNotFoundError: the sources in {tmp_path} are not built")
    assert "pip install -e ." in last


def test_module_that_never_was_is_not_said_to_be_unbuilt():
    with pytest.raises(ModuleNotFoundError, match="^No module named 'vm_native.nothing'$"):
        import_module("vm_native.nothing")
