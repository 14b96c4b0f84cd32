"""Harts in threads: they run at the same time, and whoever looks finds all of them between two instructions."""

import os
import signal
import threading
import time

import pytest

import vm
from tests.guest import Guest
from vm.devices import Device
from vm.errors import ConfigurationError
from vm.stop import StopReason

HARTS = 4
ROUNDS = 20_000
# Each hart: a0 is its number. All wait at the end; hart 0 does so when the others have said that they are done.
BEGIN = """
    csrr s0, mhartid
    la   s1, area
"""
END = """
    la   t0, done
    li   t1, 1
    amoadd.d zero, t1, (t0)
    bnez s0, rest
waiting:
    .word 0x0100000f        # pause
    ld   t1, 0(t0)
    li   t2, HARTS
    bne  t1, t2, waiting
    fence
rest:
    wfi
    j    rest
    .balign 4096
area:
    .skip 4096
done:
    .dword 0
""".replace("HARTS", str(HARTS))


@pytest.fixture(params=["interpreter", "jit"])
def engine(request):
    return request.param


def guest(source: str, engine: str, **options) -> Guest:
    harts = options.pop("harts", HARTS)
    started = Guest(BEGIN + source + END, harts=harts, threads=True, engine=engine, **options)
    for hart in started.machine.harts:
        hart.pc = started.machine.harts[0].pc
    return started


def test_triggers_of_several_harts_are_set_at_the_same_time(engine):
    """Each time blocks go, of which others may be running some."""
    turns = 2_000
    started = guest(f"""
        la   s2, f
        li   s3, 0x6800000000001044     # mcontrol6: execute, in M-mode
        li   s4, {turns}
    1:  csrw tselect, zero
        csrw tdata2, s2
        csrw tdata1, s3
        csrw tdata1, zero
        call f
        addi s4, s4, -1
        bnez s4, 1b
        j    2f
    f:  addi s5, s5, 1
        ret
    2:
    """, engine, isa="default_sdtrig")
    started.finish()
    assert [hart["s5"] for hart in started.machine.harts] == [turns] * HARTS


def test_atomic_additions_of_all_harts_add_up(engine):
    started = guest(f"""
        li   t0, {ROUNDS}
        li   t1, 3
    again:
        amoadd.d zero, t1, (s1)
        addi t0, t0, -1
        bnez t0, again
    """, engine)
    with started.machine:
        assert started.machine.run().reason is StopReason.IDLE
        assert started.word("area") == 3 * ROUNDS * HARTS


def test_room_for_code_is_made_while_harts_run(engine):
    """All run the same code, twice, and it is more than there is room for: blocks of 128 MB, compiled or not."""
    blocks, length, turns = 80_000, 60, 2
    started = guest("""
        li   s2, 2
        li   a3, 0
    again:
        li   t0, 0x80200000
        jalr s3, t0
        addi s2, s2, -1
        bnez s2, again
    """, engine, memory="64M", settings=vm.Settings(hot=0, code_bytes=1 << 20))
    block = [0x0016_8693] * (length - 1) + [0x0040_006F]            # addi a3, a3, 1; j .+4
    tail = [0x0009_8067]                                            # jr s3
    with started.machine:
        started.memory.write(0x8020_0000, b"".join(word.to_bytes(4, "little") for word in block * blocks + tail))
        assert started.machine.run().reason is StopReason.IDLE
        assert [hart["a3"] for hart in started.machine.harts] == [turns * blocks * (length - 1)] * HARTS
        stats = started.machine.stats()
    assert stats["evictions"] > blocks // 10
    if engine == "jit":
        assert stats["jit"]["reclaimed"] >= 2


def test_additions_by_reservation_add_up(engine):
    started = guest(f"""
        li   t0, {ROUNDS}
    again:
        lr.d t1, (s1)
        addi t1, t1, 1
        sc.d t2, t1, (s1)
        bnez t2, again
        addi t0, t0, -1
        bnez t0, again
    """, engine)
    with started.machine:
        assert started.machine.run().reason is StopReason.IDLE
        assert started.word("area") == ROUNDS * HARTS


def test_stores_to_other_words_of_the_line_do_not_end_a_loop_of_reservations(engine):
    started = guest(f"""
        li   t0, {ROUNDS}
        slli t3, s0, 3
        add  t3, t3, s1
    again:
        lr.d t1, (s1)
        addi t1, t1, 1
        sc.d t2, t1, (s1)
        bnez t2, again
        beqz s0, next
        sd   t0, 0(t3)          # hart N stores to word N
    next:
        addi t0, t0, -1
        bnez t0, again
    """, engine)
    with started.machine:
        assert started.machine.run().reason is StopReason.IDLE
        assert started.word("area") == ROUNDS * HARTS


def test_a_conditional_store_fails_after_another_harts_store_of_the_same_value(engine):
    """Hart 1 stores what is there while hart 0 waits between the two: specification, section 13.2."""
    started = guest("""
        addi s2, s1, 512        # a flag, in another line
        beqz s0, first
        li   t0, 1
        bne  s0, t0, over
    other:
        ld   t1, 0(s2)
        beqz t1, other
        sd   zero, 0(s1)
        fence
        li   t1, 2
        sd   t1, 0(s2)
        j    over
    first:
        lr.d t1, (s1)
        li   t0, 1
        sd   t0, 0(s2)
        li   t0, 2
    until:
        ld   t1, 0(s2)
        bne  t1, t0, until
        sc.d s3, t1, (s1)
    over:
    """, engine)
    with started.machine:
        assert started.machine.run().reason is StopReason.IDLE
        assert started["s3"] == 1
        assert started.word("area") == 0


def test_steps_are_exact(engine):
    started = guest("loop: j loop", engine)
    with started.machine as machine:
        for limit in (1, 7, 1_000, 123_457, 1_000_000):
            before = machine.steps
            assert machine.run(instructions=limit).reason is StopReason.BUDGET
            assert machine.steps - before == limit
            assert sum(hart.steps for hart in machine.harts) == machine.steps
        machine.run(seconds=0.2)
        assert all(hart.steps > 10_000 for hart in machine.harts)


def test_no_thread_outlives_a_run(engine):
    started = guest("loop: j loop", engine)
    with started.machine as machine:
        before = threading.active_count()
        machine.run(instructions=100_000)
        assert threading.active_count() == before


def test_control_c_ends_a_run(engine):
    started = guest("loop: j loop", engine)
    with started.machine as machine:
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            machine.run()
        timer.join()
        assert machine.run(instructions=10_000).reason is StopReason.BUDGET


def test_a_stop_is_asked_for_from_another_thread(engine):
    started = guest("loop: j loop", engine)
    with started.machine as machine:
        timer = threading.Timer(0.1, machine.request_stop)
        timer.start()
        assert machine.run().reason is StopReason.REQUESTED
        timer.join()


class Register(Device):
    """Counts its accesses, and notes who is inside; raises on the hundredth where it is told to."""

    size = 4096

    def __init__(self, raises: bool = False):
        self.count, self.inside, self.most, self.raises = 0, 0, 0, raises
        super().__init__()

    def read(self, offset, size):
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.0001)
        self.count += 1
        self.inside -= 1
        if self.raises and self.count == 100:
            raise LookupError("the hundredth")
        return self.count

    def write(self, offset, size, value):
        self.read(offset, size)


DEVICE = 0x1000_0000 + 0x100000
ASKING = f"""
    li   s4, {DEVICE}
    li   t0, 50
again:
    lw   t1, 0(s4)
    addi s5, s5, 1
    addi t0, t0, -1
    bnez t0, again
"""


def test_devices_are_entered_by_one_hart_at_a_time(engine):
    device = Register()
    started = guest(ASKING, engine, devices=[(device, DEVICE)])
    with started.machine:
        assert started.machine.run().reason is StopReason.IDLE
        assert device.count == 50 * HARTS
        assert device.most == 1


def test_an_exception_of_a_device_surfaces_unchanged_and_the_access_is_repeated(engine):
    device = Register(raises=True)
    started = guest(ASKING, engine, devices=[(device, DEVICE)])
    with started.machine as machine:
        with pytest.raises(LookupError, match="the hundredth"):
            started.machine.run()
        inside = [hart for hart in machine.harts if hart.pc == started.address("again")]
        assert inside
        assert started.machine.run().reason is StopReason.IDLE
        assert [hart["s5"] for hart in machine.harts] == [50] * HARTS
        assert device.count == 50 * HARTS + 1


def test_code_that_another_hart_writes_is_run_as_it_was_written(engine):
    """Hart 0 writes one instruction again and again, says so, and the others run it behind a fence.i."""
    started = guest("""
        la   s2, changing
        addi s3, s1, 512        # number of the change
        addi s4, s1, 1024       # how many have seen it, all together
        li   s5, 0
        li   s6, 40
        bnez s0, reader
    writer:
        addi s5, s5, 1
        slli t0, s5, 20         # addi a0, zero, number
        li   t1, 0x513
        or   t0, t0, t1
        sw   t0, 0(s2)
        fence
        sd   s5, 0(s3)
        li   t2, 3
        mul  t2, t2, s5
    all:
        .word 0x0100000f    # pause
        ld   t0, 0(s4)
        blt  t0, t2, all
        blt  s5, s6, writer
        j    over
    reader:
        addi s5, s5, 1
    until:
        .word 0x0100000f
        ld   t0, 0(s3)
        blt  t0, s5, until
        fence.i
        jal  ra, changing
        bne  a0, s5, wrong
        li   t0, 1
        amoadd.d zero, t0, (s4)
        blt  s5, s6, reader
        j    over
    wrong:
        ebreak
        .balign 64
        .option norvc
    changing:
        addi a0, zero, 0
        ret
        .balign 64
    over:
    """, engine)
    with started.machine as machine:
        assert started.machine.run().reason is StopReason.IDLE
        assert all(hart["s5"] == 40 for hart in machine.harts)


def test_interrupts_of_others_wake_a_hart(engine):
    """Harts 1 to 3 wait in wfi, hart 0 sends each a software interrupt by the CLINT, a hundred times."""
    started = guest("""
        li   s4, 0x2000000      # msip
        addi s3, s1, 512
        slli t0, s0, 6
        add  s3, s3, t0         # count of this hart
        li   s6, 100
        beqz s0, sender
        li   t0, 8
        csrw mie, t0
        slli t1, s0, 2
        add  s4, s4, t1
        li   s5, 0
    next:
        wfi
        csrr t0, mip
        andi t0, t0, 8
        beqz t0, next
        sw   zero, 0(s4)
        addi s5, s5, 1
        sd   s5, 0(s3)
        blt  s5, s6, next
        j    over
    sender:
        li   s5, 1
    each:
        li   t2, 1
    send:
        slli t0, t2, 2
        add  t0, t0, s4
        li   t1, 1
        sw   t1, 0(t0)
        slli t0, t2, 6
        add  t0, t0, s3
    taken:
        ld   t1, 0(t0)
        bne  t1, s5, taken
        addi t2, t2, 1
        li   t0, 4
        blt  t2, t0, send
        addi s5, s5, 1
        ble  s5, s6, each
    over:
    """, engine)
    with started.machine as machine:
        assert started.machine.run().reason is StopReason.IDLE
        assert [hart["s5"] for hart in machine.harts] == [101, 100, 100, 100]


def test_a_timer_wakes_a_waiting_hart(engine):
    started = guest("""
        li   t0, 0x80
        csrw mie, t0
        li   t0, 0x2004000      # mtimecmp
        slli t1, s0, 3
        add  t0, t0, t1
        li   t1, 0x200bff8      # mtime
        ld   t2, 0(t1)
        li   t3, 200000         # 20 ms
        add  s3, t2, t3
        sd   s3, 0(t0)
    next:
        wfi
        csrr t0, mip
        andi t0, t0, 0x80
        beqz t0, next
        ld   s4, 0(t1)
        csrw mie, zero
    """, engine)
    with started.machine as machine:
        assert started.machine.run().reason is StopReason.IDLE
        assert all(hart["s4"] >= hart["s3"] for hart in machine.harts)


def test_a_snapshot_of_running_harts_goes_on_in_a_fork(engine):
    started = guest(f"""
        li   t0, {20 * ROUNDS}
        li   t1, 1
    again:
        amoadd.d zero, t1, (s1)
        addi t0, t0, -1
        bnez t0, again
    """, engine)
    with started.machine as machine:
        machine.run(instructions=100_000)
        snapshot = machine.snapshot()
        with machine.fork() as fork:
            for each in (machine, fork):
                assert each.run().reason is StopReason.IDLE
                area = machine.program.symbols["area"].address
                assert int.from_bytes(each.memory.read(area, 8), "little") == 20 * ROUNDS * HARTS
        machine.restore(snapshot)
        assert machine.run().reason is StopReason.IDLE
        assert started.word("area") == 20 * ROUNDS * HARTS


def test_hooks_see_all_harts_at_rest(engine):
    started = guest("""
        li   t0, 30
    again:
        nop
    here:
        addi t0, t0, -1
        bnez t0, again
    """, engine)
    seen = []

    def called(hart, *_):
        seen.append(hart.id)
        assert sum(other.steps for other in started.machine.harts) == started.machine.steps
        assert hart.pc == started.address("here")

    with started.machine as machine:
        machine.on_execute(started.address("here"), called)
        assert started.machine.run().reason is StopReason.IDLE
        assert sorted(seen) == sorted(30 * list(range(HARTS)))


TOUCHES = 20
TOUCHING = f"""
    li   t0, {TOUCHES}
    li   t1, 1
again:
    amoadd.d zero, t1, (s1)
touch:
    addi t0, t0, -1
    bnez t0, again
"""


def stops(machine: vm.Machine) -> list[vm.Stop]:
    """What the runs end for, until all harts wait."""
    found = [machine.run()]
    while found[-1].reason is not StopReason.IDLE:
        found.append(machine.run())
    return found[:-1]


def test_each_hart_stops_at_a_breakpoint_each_time(engine):
    started = guest(TOUCHING, engine)
    with started.machine as machine:
        machine.breakpoint(started.address("touch"))
        found = stops(machine)
        assert [stop.reason for stop in found] == [StopReason.BREAKPOINT] * len(found)
        assert sum(len(stop.hits) for stop in found) == len(found) == TOUCHES * HARTS
        for number in range(HARTS):
            assert sum(stop.hart == number for stop in found) == TOUCHES


def test_each_access_of_each_hart_is_told_of(engine):
    started = guest(TOUCHING, engine)
    with started.machine as machine:
        machine.watchpoint(started.address("area"), size=8, access="write")
        found = stops(machine)
        assert [stop.reason for stop in found] == [StopReason.WATCHPOINT] * len(found)
        assert sum(len(stop.hits) for stop in found) == TOUCHES * HARTS


class Angry(Device):
    """Raises at each second access."""

    def __init__(self):
        self.count = 0
        super().__init__()

    def read(self, offset, size):
        self.count += 1
        if self.count % 2:
            raise LookupError(f"{self.count}")
        return 0

    def write(self, offset, size, value):
        self.read(offset, size)


def test_each_exception_of_a_device_surfaces(engine):
    device, raised = Angry(), []
    started = guest(ASKING, engine, devices=[(device, DEVICE)])
    with started.machine as machine:
        while True:
            try:
                assert machine.run().reason is StopReason.IDLE
                break
            except LookupError as error:
                raised.append(int(str(error)))
        assert sorted(raised) == list(range(1, device.count + 1, 2))
        assert [hart["s5"] for hart in machine.harts] == [50] * HARTS


def test_each_exit_is_told_of_with_its_hart(engine):
    """All harts write their exit codes to the test device, at the same time."""
    started = guest("""
        addi t0, s0, 1
        slli t0, t0, 16
        li   t1, 0x3333
        or   t0, t0, t1
        li   t1, 0x100000
        sw   t0, 0(t1)
    """, engine)
    with started.machine as machine:
        found = stops(machine)
        assert sorted((stop.hart, stop.exit_code) for stop in found) == [(n, n + 1) for n in range(HARTS)]


def test_what_needs_turns_is_refused():
    with pytest.raises(ConfigurationError, match="leave the clock out"):
        vm.Machine(threads=True, clock="virtual")
    with guest("", "interpreter").machine as machine:
        with pytest.raises(ConfigurationError, match="without threads=True"):
            machine.trace("blocks")
        with pytest.raises(ConfigurationError):
            machine.record()


def test_memory_from_outside_is_seen_by_running_harts(engine):
    started = guest("""
        bnez s0, over
    until:
        ld   t0, 0(s1)
        beqz t0, until
    over:
    """, engine)
    with started.machine as machine:
        timer = threading.Timer(0.1, machine.memory.write, (started.address("area"), b"\1" + bytes(7)))
        timer.start()
        assert started.machine.run().reason is StopReason.IDLE
        timer.join()
