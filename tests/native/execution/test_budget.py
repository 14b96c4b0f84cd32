"""Exact budgets: a run stops after the step it was asked for, and however it is cut it does the same."""

import os
import signal
import threading
import time

import pytest

from tests.assembler import BASE
from vm.devices import Device
from vm.stop import StopReason

INTERRUPT, MSI, MTI, STI = 1 << 63, 3, 7, 5
MSIP = 0x200_0000                       # of the first hart
MIE = 1 << 3
MINUTES = 10**12                        # steps of a busy loop, on any engine and host
pytestmark = pytest.mark.usefixtures("dispatch")

# Branches, calls, memory, traps and CSRs; ends in wfi after about 2,600 steps.
MIXTURE = """
    .option norvc
    la   t0, handler
    csrw mtvec, t0
    la   s1, data
    li   s0, 60
1:  ld   t1, 0(s1)
    addi t1, t1, 3
    sd   t1, 0(s1)
    call work
    andi t2, s0, 7
    bnez t2, 2f
    ecall
2:  csrr t3, minstret
    add  s3, s3, t3
    csrr t3, mcycle
    add  s3, s3, t3
    csrr t3, time
    add  s3, s3, t3
    amoadd.d zero, s0, (s1)
    lw   zero, 1(zero)
    addi s0, s0, -1
    bnez s0, 1b
    wfi
work:
    li   t4, 5
1:  mul  s2, s2, t4
    add  s2, s2, t4
    addi t4, t4, -1
    bnez t4, 1b
    ret
    .balign 64
handler:
    csrr t5, mepc
    addi t5, t5, 4
    csrw mepc, t5
    csrr t6, mcause
    add  s4, s4, t6
    mret
    .balign 8
data:
    .dword 0
"""


def state(g) -> tuple:
    return (g.hart.pc, *g.hart.x, g.hart.steps, g["minstret"], g["mcycle"], g["mepc"], g["mcause"], g["mstatus"],
            g.word("data"), g.machine.clock.now_ns())


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 64, 1000])
def test_run_in_parts_is_the_same_as_one_run(budget, guest):
    whole = guest(MIXTURE)
    stop = whole.run()
    assert stop.reason is StopReason.IDLE
    parts = guest(MIXTURE)
    steps = 0
    while (stop := parts.run(instructions=budget)).reason is StopReason.BUDGET:
        assert stop.steps == budget
        steps += budget
    assert steps + stop.steps == whole.machine.steps
    assert state(parts) == state(whole)


@pytest.mark.parametrize("instructions", [0, 1, 2, 5, 63, 64, 65, 99_999, 100_000, 100_001, 250_000])
def test_budget_is_exact_in_straight_line_code_and_loops(instructions, guest):
    """One step per instruction of a chain of 300, which is more than a block holds."""
    source = ".option norvc\n li a0, 0\n1: " + "addi a0, a0, 1\n" * 300 + " j 1b\n"
    g = guest(source)
    stop = g.run(instructions=instructions)
    assert stop.reason is StopReason.BUDGET and stop.steps == instructions
    assert g.machine.steps == g.hart.steps == g["mcycle"] == g["minstret"] == instructions
    turns, rest = divmod(max(instructions - 1, 0), 301)
    assert g["a0"] == (turns * 300 + rest if instructions else g["a0"])
    assert g.hart.pc == BASE + (4 * (1 + rest) if instructions else 0)


def test_trapping_instructions_are_steps_but_do_not_retire(guest):
    g = guest(".option norvc; 1: ecall; j 1b; .balign 4; handler: mret")
    g["mtvec"] = g.address("handler")
    g["mepc"] = BASE
    g["mstatus"] = 3 << 11
    g.run(instructions=2)
    assert (g.hart.steps, g["mcycle"], g["minstret"]) == (2, 2, 1)


def test_stop_tells_the_next_instruction(guest):
    g = guest(".option norvc\n nop\n nop\n wfi")
    stop = g.run(instructions=2)
    assert (stop.pc, stop.hart, stop.steps, stop.exit_code, stop.cause) == (BASE + 8, 0, 2, None, None)


@pytest.mark.parametrize("harts", [2, 3])
def test_steps_of_all_harts_are_counted_together(harts, guest):
    g = guest("1: j 1b", harts=harts)
    stop = g.run(instructions=77_777)
    assert stop.steps == 77_777 == sum(hart.steps for hart in g.machine.harts)


def test_harts_in_parts_are_the_same_as_in_one_run(guest):
    source = """
        la   s1, data
    1:  amoadd.d t0, s0, (s1)
        add  s2, s2, t0
        addi s0, s0, 1
        j    1b
        .balign 8
    data:
        .dword 0
    """
    whole, parts = guest(source, harts=3), guest(source, harts=3)
    whole.run(instructions=100_000)
    for size in (1, 9, 990, 9_000, 30_000, 60_000):
        parts.run(instructions=size)
    for one, other in zip(whole.machine.harts, parts.machine.harts, strict=True):
        assert (one.pc, list(one.x), one.steps) == (other.pc, list(other.x), other.steps)
    assert whole.word("data") == parts.word("data")


# --- Timers in virtual time: a step is a nanosecond, a tick is a hundred ---------------------------------------------

@pytest.mark.parametrize("tick", [1, 2, 17, 1001])
def test_timer_interrupt_comes_at_the_exact_step(tick, guest):
    """Before the instruction that begins when mtime has reached mtimecmp."""
    g = guest(".option norvc\n1: addi a0, a0, 1\n addi a0, a0, 1\n addi a0, a0, 1\n j 1b")
    g["a0"] = 0
    g.native.mtimecmp = tick
    g["mie"], g["mstatus"] = 1 << MTI, MIE
    g.run(instructions=100 * tick)
    assert g["mcause"] == 0
    g.run(instructions=1)
    assert g["mcause"] == INTERRUPT | MTI
    assert g["mepc"] == BASE + 4 * (100 * tick % 4)
    assert g["a0"] == 100 * tick - 100 * tick // 4


def test_an_interrupt_that_the_last_step_enables_comes_in_the_next_run(guest):
    g = guest("sw s1, 0(s2); csrs mstatus, s3\nafter: addi s4, s4, 1; j after")
    g["s1"], g["s2"], g["s3"], g["mie"] = 1, MSIP, MIE, 1 << MSI
    g.run(instructions=2)
    assert (g.hart.pc, g["mcause"]) == (g.address("after"), 0)
    g.run(instructions=1)
    assert (g["mepc"], g["mcause"], g["s4"]) == (g.address("after"), INTERRUPT | MSI, 0)


def test_supervisor_timer_interrupt_comes_at_the_exact_step(guest):
    """Sstc: stimecmp written by the guest itself."""
    g = guest("""
        .option norvc
        csrr t0, time
        addi t0, t0, 3
        csrw stimecmp, t0
    1:  j    1b
    """)
    g.open_pmp()
    g["menvcfg"], g["mcounteren"], g["mideleg"], g["mie"], g["mstatus"] = 1 << 63, 2, 1 << STI, 1 << STI, 2
    g.hart.privilege = 1
    g.run(instructions=300)
    assert g["scause"] == 0
    g.run(instructions=1)
    assert (g["scause"], g["sepc"]) == (INTERRUPT | STI, BASE + 12)


def test_wfi_jumps_to_the_timer(guest):
    """While the only hart waits no steps pass, time does."""
    g = guest(".option norvc\n wfi\n spin: j spin")
    g.native.mtimecmp = 5_000
    g["mie"], g["mstatus"] = 1 << MTI, MIE
    g.run(instructions=2)
    assert (g["mcause"], g["mepc"]) == (INTERRUPT | MTI, BASE + 4)
    assert g.machine.clock.now_ns() == 500_000 + 1
    assert g.machine.steps == 2


def test_time_stands_at_the_step_that_reads_it(guest):
    g = guest(".option norvc\n" + "nop\n" * 250 + "csrr a0, time\n" + "nop\n" * 49 + "csrr a1, time\n wfi")
    g.finish()
    assert (g["a0"], g["a1"]) == (2, 3)


class Recorder(Device):
    """Notes what the machine that it is told of says of itself during each access."""

    def __init__(self):
        super().__init__()
        self.seen = []
        self.failures = 0
        self.value = 0x5A

    def note(self):
        if self.failures:
            self.failures -= 1
            raise self.error
        hart = self.machine.harts[0]
        self.seen.append((hart.pc, self.machine.clock.now_ns(), hart.steps, hart["minstret"], list(hart.x)[10:13]))

    def read(self, offset, size):
        self.note()
        return self.value

    def write(self, offset, size, value):
        self.note()


DEVICE = 0x4000_0000


def with_recorder(guest, source):
    device = Recorder()
    g = guest(source, devices=[(device, DEVICE)])
    g.device, device.machine = device, g.machine
    return g


@pytest.fixture
def recorded(guest):
    g = with_recorder(guest, """
        .option norvc
        li   a0, 1
        li   a1, 2
        sw   a0, 0(s0)
        addi a0, a0, 10
        lw   a2, 4(s0)
        addi a0, a0, 10
        wfi
    """)
    g["s0"], g["a2"] = DEVICE, 0
    return g


def test_device_sees_the_exact_state(recorded):
    """pc on the access, steps and time before it, registers as they are then."""
    recorded.finish()
    assert recorded.device.seen == [(BASE + 8, 2, 2, 2, [1, 2, 0]), (BASE + 16, 4, 4, 4, [11, 2, 0])]
    assert (recorded["a0"], recorded["a2"]) == (21, 0x5A)


@pytest.mark.parametrize("kind", [KeyError, ZeroDivisionError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("which", [0, 1], ids=["store", "load"])
def test_exception_of_a_device_comes_out_and_the_access_is_repeated(kind, which, recorded):
    device, error = recorded.device, kind("of the device")
    if which == 1:
        recorded.run(instructions=4)
    device.error, device.failures = error, 2
    for _ in range(2):
        with pytest.raises(kind) as caught:
            recorded.run()
        assert caught.value is error
        assert recorded.hart.pc == BASE + (8, 16)[which]
        assert recorded.machine.steps == recorded["minstret"] == (2, 4)[which]
        assert recorded["a2"] == 0
    recorded.finish()
    assert [seen[0] for seen in device.seen] == [BASE + 8, BASE + 16]
    assert (recorded["a0"], recorded["a2"], recorded.machine.steps) == (21, 0x5A, 7)


def test_value_that_is_no_number_is_the_devices_error(recorded):
    recorded.device.value = "five"
    with pytest.raises(TypeError):
        recorded.run()
    assert recorded.hart.pc == BASE + 16


def test_stop_that_a_device_asks_for_completes_the_access(recorded):
    recorded.device.note = recorded.machine.request_stop
    stop = recorded.run()
    assert stop.reason is StopReason.REQUESTED
    assert (stop.pc, stop.steps) == (BASE + 12, 3)


# --- From outside ----------------------------------------------------------------------------------------------------

def test_signal_interrupts_a_busy_loop(guest):
    """The handler does not wait for the end of the run: there would be minutes to go."""
    g = guest("1: addi a0, a0, 1; j 1b")

    def send():
        while not g.machine.steps:          # on a busy host run() may not have begun
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.05, send)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        g.run(instructions=MINUTES)
    timer.join()
    assert g.machine.steps < MINUTES
    steps = g.machine.steps
    assert g.run(instructions=10).steps == 10 and g.machine.steps == steps + 10


def test_another_thread_may_ask_for_a_stop(guest):
    g = guest("1: addi a0, a0, 1; j 1b")
    timer = threading.Timer(0.05, g.machine.request_stop)
    timer.start()
    assert g.machine.run(timeout=10).reason is StopReason.REQUESTED
    timer.join()


@pytest.mark.parametrize("access", ["sw a0, 0(s0)", "lw a1, 0(s0)"])
def test_device_may_set_pc(access, guest):
    """The access is done, and the hart goes on where it was sent, one step later."""
    g = with_recorder(guest, f".option norvc\n {access}\n li a0, 1\n wfi\n there: li a0, 2\n wfi")
    g.device.note = lambda: setattr(g.hart, "pc", g.address("there"))
    g["s0"], g["a0"], g["a1"] = DEVICE, 0, 0x5A
    stop = g.run(instructions=1)
    assert (stop.pc, stop.steps) == (g.address("there"), 1)
    g.finish()
    assert (g["a0"], g["a1"], g.machine.steps, g["minstret"]) == (2, 0x5A, 3, 3)


def test_device_may_set_a_csr_that_the_block_was_translated_for(guest):
    """FS is turned off while a block runs that was made with it on."""
    g = with_recorder(guest, ".option norvc\n fmv.d.x f0, a0\n sw a0, 0(s0)\n fmv.d.x f0, a0\n wfi")
    g.device.note = lambda: g.hart.csr.__setitem__("mstatus", 0)
    g["s0"], g["mstatus"] = DEVICE, 3 << 13
    assert g.trap().pc == BASE + 8


def test_device_that_code_is_fetched_from_sees_the_exact_time(guest):
    seen = []

    class Code(Device):
        def read(self, offset, size):
            seen.append(self.clock.now_ns())
            return (0x0001, 0x8302)[offset // 2]            # c.nop; c.jr t1

    g = guest(".option norvc\n nop\n nop\n jr s0", devices=[(Code(), DEVICE)])
    g["s0"], g["t1"] = DEVICE, g.address("trap_m")
    g.run(instructions=5)
    assert seen == [3, 4]
