"""Running backwards: where the machine stands then, that it goes on from there as before, and what is found."""

import random
import threading

import pytest

import vm
from tests.assembler import BASE, FLAGS, compile_elf
from vm.devices import Device, reads
from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")
DATA = BASE + 0x10_0000
# Every hart counts, stores all over, prints, and is interrupted by its timer, at times of its own; none ever ends.
BUSY = """
    csrr s0, mhartid
    la   t0, tick; csrw mtvec, t0
    li   t0, 0x2004000; slli t1, s0, 3; add s5, t0, t1          # mtimecmp of the CLINT
    li   t0, 0x200bff8; ld t1, 0(t0); addi t1, t1, 3; sd t1, 0(s5)
    li   t0, 0x80; csrw mie, t0; csrsi mstatus, 8
    li   s1, 0x80100000; li s2, 0x10000000; li s6, 0x9e3779b97f4a7c15
loop:
    addi s3, s3, 1
    mul  t0, s3, s6; srli t0, t0, 46; andi t0, t0, -8; add t0, t0, s1
    sd   s3, 0(t0)
    amoadd.d t1, s3, (s1)
    andi t2, s3, 255; bnez t2, loop
    andi t2, s0, 15; addi t2, t2, 'a'; sb t2, 0(s2)
    j    loop
    .balign 4
tick:
    li   t6, 0x200bff8; ld t5, 0(t6); addi t5, t5, 7; sd t5, 0(s5)
    addi s4, s4, 1
    mret
"""
# What is typed is printed, and counted.
ECHO = """
    li   s2, 0x10000000
wait:
    addi s3, s3, 1
    lbu  t0, 5(s2); andi t0, t0, 1; beqz t0, wait
    lbu  t0, 0(s2)
    sb   t0, 0(s2)
    addi s4, s4, 1
    j    wait
"""


class Stopper(Device):
    """Reading it stops the machine."""

    size = 0x1000
    unsaved = ("stop",)

    @reads(0x00)
    def value(self) -> int:
        self.stop()
        return 0


def state(machine: vm.Machine):
    """What tells two moments apart, without a snapshot."""
    return (machine.steps, [dict(hart) for hart in machine.harts], machine.memory.read(DATA, 1 << 17),
            machine.console.output)


@pytest.mark.parametrize("harts", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_every_step_can_be_gone_back_to_and_on_from(harts, seed, guest):
    """At random moments, in random order; compared with snapshots of the machine that had never been later."""
    draw = random.Random(seed)
    machine = guest(BUSY, harts=harts).machine
    past = machine.keep_history(spacing=30_000, snapshots=8)
    seen = {}
    for _ in range(8):
        machine.run(instructions=draw.choice([1, 2, 300, 10_000, 70_001]) + draw.randrange(50))
        seen[machine.steps] = machine.snapshot()
    for steps in draw.sample(sorted(seen), 5):
        if steps > machine.steps:
            machine.run(instructions=steps - machine.steps)
        else:
            machine.step_back(machine.steps - steps)
        assert machine.steps == steps and machine.equals(seen[steps]), machine.equals(seen[steps])
    machine.step_back(machine.steps - draw.randrange(machine.steps))
    machine.run(instructions=max(seen) - machine.steps)
    assert machine.equals(seen[max(seen)]), machine.equals(seen[max(seen)])
    assert past.snapshots <= 8 and past.beginning == 0


def test_single_steps_back_are_single_steps(guest):
    machine = guest(BUSY, harts=2).machine
    machine.keep_history()
    machine.run(instructions=30_000)
    states = []
    for _ in range(40):
        machine.run(instructions=1)
        states.append(state(machine))
    for expected in reversed(states):
        assert state(machine) == expected
        stop = machine.step_back()
        assert (stop.reason, stop.steps, stop.pc) == (StopReason.BUDGET, 1, machine.harts[stop.hart].pc)
    assert machine.step_back(0).steps == 0


def test_both_engines_and_a_machine_without_history_do_the_same(guest):
    plain, going_back = guest(BUSY).machine, guest(BUSY).machine
    plain.run(instructions=123_456)
    going_back.keep_history(spacing=10_000)
    going_back.run(instructions=200_000)
    going_back.step_back(200_000 - 123_456)
    assert state(plain) == state(going_back) and plain.clock.now_ns() == going_back.clock.now_ns()


# --- What comes from outside -----------------------------------------------------------------------------------------

def test_input_comes_again_at_its_step(guest):
    machine = guest(ECHO).machine
    machine.keep_history()
    for text in ("ab", "c", "d"):
        machine.run(instructions=5_000)
        machine.console.send(text)
    machine.run(instructions=5_000)
    end = state(machine)
    assert machine.console.output == b"abcd"
    machine.step_back(12_345)
    assert machine.console.output in (b"ab", b"abc")
    machine.step_back(machine.steps)
    assert machine.console.output == b""
    machine.run(instructions=20_000)
    assert state(machine) == end


def test_something_else_from_outside_is_another_future(guest):
    machine = guest(ECHO).machine
    machine.keep_history()
    machine.run(instructions=5_000)
    machine.console.send("first")
    machine.run(instructions=5_000)
    machine.step_back(7_000)
    machine.console.send("other")
    machine.run(instructions=50_000)
    assert machine.console.output == b"other"
    machine.step_back(49_999)
    machine.run(instructions=49_999)
    assert machine.console.output == b"other"


@pytest.mark.parametrize("change", ["memory", "register", "clear", "reset"])
def test_what_the_program_does_is_part_of_the_past(change, guest):
    g = guest(BUSY)
    machine = g.machine
    machine.keep_history(spacing=10_000)
    machine.run(instructions=25_000)
    if change == "memory":
        machine.memory.write(DATA, bytes(range(64)))
    elif change == "register":
        g["s3"] = 1 << 40
    elif change == "clear":
        machine.memory.clear(DATA, 1 << 16)
    else:
        machine.reset()
    machine.run(instructions=1_000)
    shortly, _ = state(machine), machine.run(instructions=40_000)
    end = state(machine)
    machine.step_back(40_000)
    assert state(machine) == shortly
    machine.step_back(20_000)                       # before the change
    machine.run(instructions=60_000)
    assert state(machine) == end


def test_input_in_the_middle_of_a_run(guest):
    """A callback types while the guest runs."""
    machine = guest(ECHO).machine
    machine.keep_history(spacing=10_000)
    typed = []

    def type_something(machine):
        if machine.steps // 25_000 > len(typed):
            typed.append(machine.steps)
            machine.console.send(str(len(typed)))
        return False

    machine.run(instructions=100_000, until=type_something)
    end = state(machine)
    assert machine.console.output == b"123"
    machine.step_back(60_000)
    assert machine.console.output == b"1"
    machine.run(instructions=60_000)
    assert state(machine) == end


# What is typed is printed and summed up; the timer of each hart interrupts it, and all store.
BOTH = BUSY.replace("    j    loop\n", """
    lbu  t0, 5(s2); andi t0, t0, 1; beqz t0, loop
    lbu  t0, 0(s2); sb t0, 0(s2); add s7, s7, t0
    j    loop
""")


class Model:
    """What has come from outside, at which step: a new machine that is told the same must come to the same state."""

    def __init__(self, guest, harts):
        self.make = lambda: guest(BOTH, harts=harts).machine
        self.came = []                  # (step, action, argument), in order

    def come(self, machine, action, argument):
        """Something else from outside is another future: what would have come later does not come."""
        self.came = [entry for entry in self.came if entry[0] <= machine.steps]
        self.came.append((machine.steps, action, argument))
        apply(machine, action, argument)

    def state_at(self, steps):
        with self.make() as machine:
            for step, action, argument in self.came:
                if step <= steps:
                    machine.run(instructions=step - machine.steps)
                    apply(machine, action, argument)
            machine.run(instructions=steps - machine.steps)
            return state(machine)


def apply(machine, action, argument):
    if action == "type":
        machine.console.send(argument)
    elif action == "write":
        machine.memory.write(DATA + argument % 4096 * 8, argument.to_bytes(8, "little"))
    else:
        machine.harts[argument % len(machine.harts)]["s3"] = argument


@pytest.mark.parametrize("harts", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_leads_where_a_new_machine_comes(harts, seed, guest):
    draw = random.Random(seed)
    model = Model(guest, harts)
    machine = model.make()
    past = machine.keep_history(spacing=4_000, snapshots=draw.choice([40, 64]))
    for _ in range(30):
        action = draw.choice(["run", "run", "run", "back", "back", "type", "write", "register", "run back", "text"])
        if action == "run":
            machine.run(instructions=draw.choice([1, 50, 3_000, 20_000]))
        elif action == "back":
            machine.step_back(draw.randrange(min(machine.steps - past.beginning, 30_000) + 1))
        elif action == "run back":
            breakpoint = machine.breakpoint(machine.program.symbols["tick"].address)
            machine.run_back(draw.choice([breakpoint, ("write", DATA, 8)]))
            breakpoint.remove()
            machine.run(instructions=1)     # an interrupt may have been taken already, which is no step
        elif action == "text":
            machine.run_back("a")
        else:
            model.come(machine, action, "xy" if action == "type" else draw.randrange(1, 1 << 40))
        assert state(machine) == model.state_at(machine.steps), action
    assert past.beginning == 0


class Dice(Device):
    """Has a number for the guest that nobody knows before; a write makes it interrupt."""

    deterministic = False

    def __init__(self):
        super().__init__()
        self.thrown = []

    def read(self, offset, size):
        self.thrown.append(random.randrange(1 << 32))
        return self.thrown[-1]


def test_what_a_device_alone_knows_comes_again(guest):
    """It is asked once, whatever is gone back over."""
    dice = Dice()
    source = """
        li s1, 0x4000000
    1:  addi s3, s3, 1; andi t0, s3, 1023; bnez t0, 1b
        ld t1, 0(s1); add s4, s4, t1; j 1b"""
    machine = guest(source, devices=[(dice, 0x400_0000)]).machine
    machine.keep_history(spacing=2_000)
    machine.run(instructions=20_000)
    end, thrown = state(machine), list(dice.thrown)
    assert len(thrown) >= 4
    for count in (1, 3_100, 15_000):
        machine.step_back(count)
        machine.run(instructions=count)
        assert state(machine) == end and dice.thrown == thrown


def test_nothing_is_printed_twice(guest):
    machine = guest(BUSY).machine
    machine.keep_history()
    mirrored = bytearray()
    machine.console.mirror = mirrored.extend
    machine.run(instructions=100_000)
    once = bytes(mirrored)
    machine.step_back(10)
    machine.run_back("aaa")
    assert bytes(mirrored) == once


# --- Running back to something ---------------------------------------------------------------------------------------

def forward(g, probe_of, reason, until=120_000):
    """The steps at which a machine that runs forwards stops at a probe."""
    probe_of(g)
    found = []
    while g.machine.steps < until:
        stop = g.machine.run(instructions=until - g.machine.steps)
        if stop.reason is reason:
            found.append((g.machine.steps, stop.hart, stop.hits[0].pc))
    return found


@pytest.mark.parametrize("harts", [1, 2])
def test_breakpoints_are_met_in_the_opposite_order(harts, guest):
    def probe_of(g):
        return g.machine.breakpoint(g.address("tick"))

    expected = forward(guest(BUSY, harts=harts), probe_of, StopReason.BREAKPOINT)
    g = guest(BUSY, harts=harts)
    g.machine.keep_history(spacing=5_000, snapshots=6)
    g.machine.run(instructions=120_000)
    probe = probe_of(g)
    for step, hart, pc in reversed(expected[-40:]):
        stop = g.machine.run_back(probe)
        assert (stop.reason, g.machine.steps, stop.hart, stop.pc) == (StopReason.BREAKPOINT, step, hart, pc)
        assert g.machine.harts[hart].pc == pc and stop.hits[0].probe is probe
    stop = g.machine.run()                          # on past it, to the next one
    assert (stop.reason, g.machine.steps) == (StopReason.BREAKPOINT, expected[-39][0])


@pytest.mark.parametrize("access", ["write", "read", "access"])
def test_watchpoints_are_met_before_the_access(access, guest):
    def probe_of(g):
        return g.machine.watchpoint(DATA + 0x100, size=64, access=access)

    expected = forward(guest(BUSY, harts=2), probe_of, StopReason.WATCHPOINT)
    g = guest(BUSY, harts=2)
    g.machine.keep_history(spacing=5_000)
    g.machine.run(instructions=120_000)
    probe_of(g)
    for step, hart, pc in reversed(expected[-10:]):
        stop = g.machine.run_back()
        assert (stop.reason, g.machine.steps, stop.hart, stop.pc) == (StopReason.WATCHPOINT, step - 1, hart, pc)
    assert expected or access == "read"


def test_text_is_found_before_its_last_byte(guest):
    machine = guest(BUSY, harts=2).machine
    machine.keep_history(spacing=5_000)
    machine.run(instructions=120_000)
    output = machine.console.output
    at = output.rindex(b"ab")
    assert machine.run_back("ab").reason is StopReason.CONDITION
    assert machine.console.output == output[: at + 1]
    machine.run(instructions=1)
    assert machine.console.output == output[: at + 2]


def test_what_never_happened_leaves_the_machine_where_it_is(guest):
    g = guest(BUSY)
    g.machine.keep_history(spacing=3_000)
    g.machine.run(instructions=50_000)
    here = state(g.machine)
    never = g.machine.breakpoint(g.address("trap_s"))
    for until in (never, None, "never printed", ("write", BASE + 0x1F_0000, 8)):
        stop = g.machine.run_back(until)
        assert (stop.reason, stop.steps) == (StopReason.BEGINNING, 0)
        assert state(g.machine) == here


PROGRAM = ("""
#include <stdint.h>
struct { uint64_t log[8]; volatile uint64_t limit; } shared;
volatile uint64_t next, total;

__attribute__((noinline)) void configure(uint64_t value) { shared.limit = value; }
__attribute__((noinline)) void note(uint64_t *log, uint64_t value) { log[next++] = value; }     // never wraps around

void main(uint64_t hart)
{
    if (hart == 0)
        configure(1000);
    for (uint64_t i = 0; ; i++) {
        total += i;
        if (hart == 1 && i % 2048 == 2047 && next < 9)
            note(shared.log, i);
    }
}
""", ".globl _start\n_start: la sp, stacks; addi t0, a0, 1; slli t0, t0, 12; add sp, sp, t0; call main\n"
     ".bss\n.balign 16\nstacks: .space 8192\n")
SCRIPT = """
ENTRY(_start) SECTIONS { . = 0x80000000; .text : { *start*(.text) *(.text*) } .data : { *(.data*) *(.bss*) } }
"""


def test_the_store_that_made_a_variable_wrong_is_found(dispatch):
    """A log that never wraps around overwrites the variable behind it, from another hart, long before anyone looks."""
    elf = compile_elf((("start.S", PROGRAM[1]), ("main.c", PROGRAM[0])), (*FLAGS, "-O1", "-mcmodel=medany"), SCRIPT)
    with vm.Machine(memory="2M", harts=2) as machine:
        machine.load(elf)
        machine.keep_history(spacing=100_000)
        machine.run(instructions=3_000_000)
        symbols = machine.program.symbols
        limit = symbols["shared"].address + 8 * 8

        def value():
            return int.from_bytes(machine.memory.read(limit, 8), "little")

        assert value() != 1000
        stop = machine.run_back(("write", limit, 8))
        assert (stop.reason, stop.hart) == (StopReason.WATCHPOINT, 1)
        assert symbols.lookup(stop.pc).startswith("note") and machine.harts[1].pc == stop.pc
        assert value() == 1000
        machine.run(instructions=1)
        assert value() != 1000
        machine.step_back(1)
        stop = machine.run_back(("write", limit, 8))
        assert stop.hart == 0 and symbols.lookup(stop.pc).startswith("configure") and value() == 0
        assert machine.run_back(("write", limit, 8)).reason is StopReason.BEGINNING


# --- Bounds and refusals ---------------------------------------------------------------------------------------------

def test_snapshots_are_few_and_dense_where_it_was_last(guest):
    machine = guest(BUSY).machine
    past = machine.keep_history(spacing=1_000, snapshots=16)
    machine.run(instructions=1_000_000)
    steps = [mark.steps for mark in past._marks]
    assert len(steps) <= 16 and steps[0] == 0 and machine.steps - steps[-1] <= 1_000
    gaps = [later - earlier for earlier, later in zip(steps, steps[1:], strict=False)]
    assert max(gaps[-3:]) < max(gaps[:3]) / 10
    assert max(gaps) < machine.steps * 3 / 4


def test_memory_that_is_copied_has_a_bound(guest):
    machine = guest(BUSY).machine
    past = machine.keep_history(spacing=1_000, memory="1M")
    machine.run(instructions=1_000_000)
    assert 0 < past.copied_bytes <= 1 << 20
    machine.step_back(999_000)
    assert machine.steps == 1_000


def test_beginning_moves_on_where_more_came_from_outside_than_there_is_room_for(guest):
    machine = guest(ECHO).machine
    past = machine.keep_history(snapshots=4)
    for number in range(9):
        machine.run(instructions=1_000)
        machine.console.send(str(number))
    machine.run(instructions=1_000)
    assert past.beginning == 6_000 and past.snapshots == 4
    with pytest.raises(vm.ConfigurationError, match="from 0 to 4,000"):
        machine.step_back(4_001)
    machine.step_back(4_000)
    machine.run(instructions=4_000)
    assert machine.console.output == b"012345678"


def test_an_interruption_leaves_the_machine_where_it_was(guest, monkeypatch):
    machine = guest(BUSY).machine
    past = machine.keep_history(spacing=10_000)
    machine.run(instructions=100_000)
    here = machine.snapshot()

    def interrupted(step):
        machine._runner.run(1, None, None, None)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(past, "_run_to", interrupted)
        with pytest.raises(KeyboardInterrupt):
            machine.step_back(7)
    assert machine.equals(here), machine.equals(here)
    machine.step_back(7)
    machine.run(instructions=7)
    assert machine.equals(here), machine.equals(here)


@pytest.mark.parametrize("go", [
    lambda machine: machine.step_back(90_000), lambda machine: machine.run_back(("write", DATA + 4, 1)),
    lambda machine: machine.run_back(b"a")], ids=["step", "probe", "text"])
def test_request_of_another_thread_ends_it(go, guest, monkeypatch):
    """The machine is then where it was; and the next run, which nobody asked to stop, runs."""
    machine = guest(BUSY).machine
    past = machine.keep_history(spacing=1_000_000)
    machine.run(instructions=100_000)
    here, run_to = machine.snapshot(), past._run_to

    def asked_to_stop(step):
        thread = threading.Thread(target=machine.request_stop)
        thread.start()
        thread.join()
        run_to(step)

    with monkeypatch.context() as patch:
        patch.setattr(past, "_run_to", asked_to_stop)
        assert go(machine).reason is StopReason.REQUESTED
    assert machine.equals(here), machine.equals(here)
    assert machine.run(instructions=5)[:4:3] == (StopReason.BUDGET, 5)
    machine.request_stop()                              # before it begins
    assert go(machine).reason is StopReason.REQUESTED
    assert machine.run(instructions=5)[:4:3] == (StopReason.BUDGET, 5)


def test_request_of_a_device_in_the_past_does_not_end_it(guest):
    stopper = Stopper()
    asking = "li s0, 0x50000000; 1: lw t0, 0(s0); addi s1, s1, 1; j 1b"
    machine = guest(asking, devices=[(stopper, 0x5000_0000)]).machine
    stopper.stop = machine.request_stop
    machine.keep_history(spacing=1_000_000)
    for _ in range(100):
        assert machine.run().reason is StopReason.REQUESTED
    assert machine.step_back(machine.steps - 30).reason is StopReason.BUDGET
    assert machine.steps == 30


@pytest.mark.parametrize("change", [
    lambda machine: machine.load(b"\x6f\0\0\0", BASE), lambda machine: machine.restore(machine.snapshot()),
    lambda machine: machine.map(0x40_0000_0000, 4096), lambda machine: machine.record()],
    ids=["load", "restore", "map", "record"])
def test_what_makes_another_machine_of_it_is_refused(change, guest):
    machine = guest(BUSY).machine
    machine.keep_history()
    machine.run(instructions=1_000)
    with pytest.raises(vm.ConfigurationError, match="history"):
        change(machine)
    machine.step_back(1_000)


def test_without_a_history_there_is_no_way_back(guest):
    machine = guest(BUSY).machine
    for call in (machine.step_back, machine.run_back):
        with pytest.raises(vm.ConfigurationError, match=r"call keep_history\(\)"):
            call()
    with machine.keep_history() as past:
        machine.run(instructions=100)
        machine.step_back(50)
        with pytest.raises(vm.ConfigurationError, match="recorded already"):
            machine.keep_history()
    past.stop()
    assert (past.snapshots, past.copied_bytes, past.beginning) == (0, 0, machine.steps)
    with pytest.raises(vm.ConfigurationError, match=r"call keep_history\(\)"):
        machine.step_back()


@pytest.mark.parametrize("until, said", [
    (None, "no breakpoint or watchpoint is set"), ("", "say which"), (42, "a breakpoint, a watchpoint"),
    (("write", 0x1000, 8), "not RAM"), (("execute", BASE, 8), "'write'"), ([], "set")])
def test_what_cannot_be_run_back_to_is_refused(until, said, guest):
    machine = guest(BUSY).machine
    machine.keep_history()
    machine.run(instructions=1_000)
    with pytest.raises(vm.ConfigurationError, match=said):
        machine.run_back(until)
    assert machine.steps == 1_000 and machine.probes == ()


@pytest.mark.parametrize("count", [-1, 1_001, 1 << 70])
def test_step_that_is_not_in_the_history_is_refused(count, guest):
    machine = guest(BUSY).machine
    machine.keep_history()
    machine.run(instructions=1_000)
    with pytest.raises(vm.ConfigurationError, match="from 0 to 1,000"):
        machine.step_back(count)
    assert machine.steps == 1_000


@pytest.mark.parametrize("arguments", [{"spacing": 10}, {"snapshots": 3}, {"memory": "none"}, {"spacing": 1.5}])
def test_history_that_cannot_be_kept_is_refused(arguments, guest):
    machine = guest(BUSY).machine
    with pytest.raises(vm.ConfigurationError):
        machine.keep_history(**arguments)
    machine.keep_history()


def test_real_time_does_not_come_again(guest):
    machine = guest(BUSY, clock="real").machine
    with pytest.raises(vm.ConfigurationError, match="virtual"):
        machine.keep_history()
