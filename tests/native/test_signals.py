"""Exceptions of signal handlers, at whatever instant, lose nothing that a guest asked for and repeat nothing."""

import ctypes
import gc
import os
import random
import signal
import threading
import time

import pytest

from tests.assembler import BASE
from vm.devices import BlockDevice, Device
from vm.stop import StopReason

PORT = 0x4000_0000
INTERRUPTIONS = 900                     # of each guest on each engine: more than ten thousand together

# These tests take the timer that would end one which takes too long.
pytestmark = pytest.mark.timeout(method="thread")


class Tick(Exception):
    """What the handler raises."""


def tick(number, frame):
    raise Tick


@pytest.fixture
def alarm():
    """SIGALRM raises Tick. Nothing is collected meanwhile: what is raised in a finalizer goes no further."""
    gc.collect()
    gc.disable()
    previous = signal.signal(signal.SIGALRM, tick)
    yield signal.SIGALRM
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)
    gc.enable()


# --- Ten thousand interruptions ---------------------------------------------------------------------------------------

# Prints a digit after the other; s2 counts, so that a step more or less shows.
PRINTING = """
    li s0, 0x10000000; li t0, '0'; li t1, '9'
1:  sb t0, 0(s0); addi t0, t0, 1; addi s2, s2, 1; ble t0, t1, 1b
    li t0, '0'; j 1b
"""
# The same through `tohost`: each time waits for the answer.
TALKING = """
    .option norvc
    la s0, tohost; la s1, fromhost; li s3, 0x0101000000000000 + '0'; li s4, 10
1:  add t0, s3, t1; sd t0, 0(s0); addi s2, s2, 1
2:  ld t2, 0(s1); beqz t2, 2b; sd zero, 0(s1)
    addi t1, t1, 1; blt t1, s4, 1b
    li t1, 0; j 1b
    .balign 64; tohost: .dword 0
    .balign 64; fromhost: .dword 0
"""
# An S-mode guest that asks the firmware for the version of SBI; s3 counts answers that are none.
CALLING = """
    li s4, 0x3000000
1:  li a7, 0x10; li a6, 0; li a0, 0x111; li a1, 0x222; ecall
    addi s2, s2, 1; bnez a0, 2f; beq a1, s4, 1b
2:  addi s3, s3, 1; j 1b
"""
# Reads a sector of a disk again and again by polling, and sums what it reads; s3 counts what went wrong.
READING = """
    li s0, 0x10001000
    li t0, 3; sw t0, 0x70(s0)
    li t0, 1; sw t0, 0x24(s0); sw t0, 0x20(s0)
    li t0, 11; sw t0, 0x70(s0)
    li t0, 8; sw t0, 0x38(s0)
    la t0, descriptors; sw t0, 0x80(s0); la t0, available; sw t0, 0x90(s0); la t0, used; sw t0, 0xa0(s0)
    li t0, 1; sw t0, 0x44(s0)
    li t0, 15; sw t0, 0x70(s0)
    la s1, available; la s4, used; la s5, buffer; la s6, status
1:  li t0, 0xff; sb t0, 0(s6); sd zero, 0(s5)
    addi s2, s2, 1; sh s2, 2(s1); fence; sw zero, 0x50(s0)
2:  lhu t0, 2(s4); xor t0, t0, s2; slli t0, t0, 48; bnez t0, 2b
    lbu t0, 0(s6); snez t0, t0; add s3, s3, t0
    ld t0, 0(s5); add s7, s7, t0
    j 1b
    .balign 16
descriptors:
    .dword header; .word 16; .half 1, 1
    .dword buffer; .word 512; .half 3, 2
    .dword status; .word 1; .half 2, 0
    .balign 16; available: .zero 64
    .balign 16; used: .zero 128
    .balign 16; header: .word 0, 0; .dword 1
status: .byte 0
    .balign 16; buffer: .zero 512
"""


@pytest.fixture
def make(guest, tmp_path):
    """make(name, engine): one of the guests above."""
    image = tmp_path / "disk.img"
    image.write_bytes(random.Random(1).randbytes(4096))

    def build(name, engine):
        if name == "reading":
            return guest(READING, engine=engine, devices=[(BlockDevice(image, read_only=True),)])
        if name != "calling":
            return guest({"printing": PRINTING, "talking": TALKING}[name], engine=engine)
        g = guest(CALLING, engine=engine)
        g.native.sbi = True
        g.hart.privilege = 1
        g.open_pmp()
        return g

    return build


@pytest.mark.parametrize("engine", ["interpreter", "auto"])
@pytest.mark.parametrize("name", ["printing", "talking", "calling", "reading", "printing", "calling"])
def test_interrupted_run_equals_one_that_is_not(make, alarm, name, engine):
    g, rest = make(name, engine), random.Random(2)
    interrupted = 0
    while interrupted < INTERRUPTIONS:
        try:
            signal.setitimer(signal.ITIMER_REAL, rest.uniform(0.00002, 0.0006))
            stop = g.machine.run(timeout=60)
        except Tick:
            interrupted += 1
        else:
            pytest.fail(f"{interrupted} signals have interrupted the run, and then one has not: {stop}")
    signal.setitimer(signal.ITIMER_REAL, 0)
    g.run(instructions=1)           # what is due at the last step has been done
    plain = make(name, engine)
    plain.run(instructions=g.machine.steps)
    assert plain.machine.steps == g.machine.steps and plain["s2"] > 0
    assert g["s3"] == plain["s3"]
    assert list(g.hart.x) == list(plain.hart.x) and g.hart.pc == plain.hart.pc
    assert g.machine.console.output == plain.machine.console.output
    assert g.memory.read(BASE, 0x20_0000) == plain.memory.read(BASE, 0x20_0000)


# --- One at a chosen instant ------------------------------------------------------------------------------------------

class Port(Device):
    """Calls back with each value that is written to it, and counts."""

    size = 8

    def __init__(self, callback):
        super().__init__()
        self.callback = callback
        self.written = []

    def write(self, offset, size, value):
        self.callback()
        self.written.append(value)


WRITES = f"li a0, {PORT}; li a1, 5; sw a1, 0(a0); addi a1, a1, 1; sw a1, 0(a0); wfi"


def test_access_that_a_signal_meets_is_finished_once(guest, alarm):
    port = Port(lambda: signal.raise_signal(signal.SIGALRM))
    g = guest(WRITES, devices=[(port, PORT)])
    for expected in ([5], [5, 6]):
        with pytest.raises(Tick):
            g.run()
        assert port.written == expected
    g.finish()


def test_what_the_device_raises_comes_out_before_what_the_handler_raises(guest, alarm):
    """Neither is lost: the one is the other's context. The access has not happened."""
    def fail():
        if not port.written:
            port.callback = lambda: None
            signal.raise_signal(signal.SIGALRM)
            raise ZeroDivisionError

    port = Port(fail)
    g = guest(WRITES, devices=[(port, PORT)])
    with pytest.raises(Tick) as caught:
        g.run()
    assert isinstance(caught.value.__context__, ZeroDivisionError)
    g.finish()
    assert port.written == [5, 6]


def run_interrupted_at_the_end(g) -> None:
    """The handler raises when the guest has asked for its end."""
    real = g.machine.board.test.on_request

    def power_off(reason, code):
        real(reason, code)
        signal.raise_signal(signal.SIGALRM)

    g.machine.board.test.on_request = power_off
    with pytest.raises(Tick):
        g.run()


def test_end_that_the_guest_asked_for_is_not_lost(guest, alarm):
    """The handler raises when the run is about to return."""
    g = guest("li a1, 0x100000; li a2, 0x5555; sw a2, 0(a1); wfi")
    run_interrupted_at_the_end(g)
    assert (g.run().reason, g.run().reason) == (StopReason.POWER_OFF, StopReason.IDLE)


def test_reset_forgets_the_end_that_was_not_told(guest, alarm):
    g = guest("li a1, 0x100000; li a2, 0x5555; bnez a0, 1f; sw a2, 0(a1); 1: wfi")
    run_interrupted_at_the_end(g)
    g.machine.reset()
    g["a0"] = 1
    assert g.run().reason is StopReason.IDLE


def test_trap_that_ends_a_run_is_not_lost(guest, alarm):
    """And its steps are counted once."""
    plain, g = guest(".half 0"), guest(".half 0")
    plain["mtvec"] = g["mtvec"] = 0
    request = g.machine._runner.request

    def interrupted(reason, code):
        request(reason, code)
        signal.raise_signal(signal.SIGALRM)

    g.machine._runner.request = interrupted
    with pytest.raises(Tick):
        g.run()
    stop = g.run()
    assert stop.message == plain.run().message and "illegal instruction" in stop.message
    assert g.machine.steps == plain.machine.steps


def test_handlers_are_called_in_the_frame_of_the_run_and_get_their_number(guest, alarm):
    seen = []
    signal.signal(alarm, lambda number, frame: seen.append((number, frame.f_code.co_name)))
    g = guest(WRITES, devices=[(Port(lambda: signal.raise_signal(signal.SIGALRM)), PORT)])
    g.finish()
    assert [number for number, _ in seen] == [signal.SIGALRM] * 2 and all(name for _, name in seen)


def test_handlers_are_in_place_again_after_a_run(guest, alarm):
    def fail():
        assert signal.getsignal(signal.SIGALRM) is not tick
        raise ZeroDivisionError

    g = guest(WRITES, devices=[(Port(fail), PORT)])
    before = [signal.getsignal(number) for number in signal.valid_signals()]
    with pytest.raises(ZeroDivisionError):
        g.run()
    assert [signal.getsignal(number) for number in signal.valid_signals()] == before
    with pytest.raises(Tick):
        signal.raise_signal(alarm)


def test_handler_that_a_callback_installs_stays(guest, alarm):
    heard = []
    g = guest(WRITES, devices=[(Port(lambda: signal.signal(alarm, lambda *_: heard.append(1))), PORT)])
    g.finish()
    signal.raise_signal(alarm)
    assert heard == [1]


def test_handler_of_a_signal_that_restarts_system_calls_still_does(guest, alarm):
    """siginterrupt(3). Python would try again itself, so the kernel is asked for the flag."""
    signal.siginterrupt(alarm, False)
    g = guest(WRITES, devices=[(Port(lambda: None), PORT)])
    g.finish()
    assert restarts(alarm)
    signal.siginterrupt(alarm, True)
    g.hart.pc = BASE
    g.finish()
    assert not restarts(alarm)


def restarts(number):
    """Whether the handler has SA_RESTART."""
    class Action(ctypes.Structure):
        _fields_ = (("handler", ctypes.c_void_p), ("mask", ctypes.c_ubyte * 128), ("flags", ctypes.c_int),
                    ("restorer", ctypes.c_void_p))

    action = Action()
    assert ctypes.CDLL(None).sigaction(number, None, ctypes.byref(action)) == 0
    return bool(action.flags & 0x1000_0000)


@pytest.mark.parametrize("block", [lambda pipe: time.sleep(600), lambda pipe: os.read(pipe, 1), lambda pipe: spin()],
                         ids=["sleeps", "reads", "computes"])
def test_device_that_takes_for_ever_can_be_interrupted(guest, alarm, block):
    """There the handler is called in the middle after all; the access has not happened."""
    pipe = os.pipe()
    port = Port(lambda: block(pipe[0]))
    g = guest(WRITES, devices=[(port, PORT)])
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    with pytest.raises(Tick):
        g.run()
    assert port.written == [] and signal.getsignal(alarm) is tick
    port.callback = lambda: None
    g.finish()
    assert port.written == [5, 6]
    for end in pipe:
        os.close(end)


def spin():
    while True:
        pass


@pytest.mark.parametrize("source", ["1: j 1b", "1: wfi; j 1b"])
def test_machine_that_computes_or_sleeps_can_be_interrupted(guest, alarm, source):
    g = guest(source, clock="real")
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    with pytest.raises(Tick):
        g.machine.run(timeout=600)


def test_device_that_runs_another_machine(guest, alarm):
    """The inner run is a part of the outer's access: what comes during it waits for the end of both."""
    inner = guest(WRITES, devices=[(Port(lambda: signal.raise_signal(signal.SIGALRM)), PORT)])
    outer = guest(WRITES, devices=[(port := Port(inner.finish), PORT)])
    with pytest.raises(Tick):
        outer.run()
    assert port.written == [5] and inner["a1"] == 6


def test_machine_in_another_thread_leaves_handlers_alone(guest, alarm):
    """Python runs them in the main thread."""
    g = guest(WRITES, devices=[(Port(lambda: handlers.append(signal.getsignal(alarm))), PORT)])
    handlers = []
    thread = threading.Thread(target=g.finish)
    thread.start()
    thread.join()
    assert handlers == [tick, tick]


def test_fork_by_another_thread_has_its_handlers(guest, alarm):
    """The child has that thread alone, and nobody in it will ever end what the main thread was about."""
    codes = []

    def fork():
        child = os.fork()
        if child == 0:
            try:
                signal.raise_signal(alarm)
            except Tick:
                os._exit(signal.getsignal(alarm) is not tick)
            os._exit(2)
        codes.append(os.waitpid(child, 0)[1])

    def callback():
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()

    g = guest(WRITES, devices=[(Port(callback), PORT)])
    g.finish()
    assert codes == [0, 0]


def test_request_of_a_handler_ends_the_run(guest, alarm):
    """A handler need not raise."""
    g = guest("1: j 1b")
    signal.signal(alarm, lambda *_: g.machine.request_stop())
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    assert g.machine.run(timeout=600).reason is StopReason.REQUESTED
