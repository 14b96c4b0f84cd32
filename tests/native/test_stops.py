"""Whoever takes something from harts in threads has them stopped: each is done some times by hart 0, as others run.

A stop is counted when it happens, and what takes something away in the same moment shares one. So each program here
does one kind of thing, in steps that give the lock back; one that does nothing has a few, for the pages of its code.
"""

import pytest

from tests.guest import Guest
from vm.boards.virt import RAM_BASE
from vm.devices import Device
from vm.stop import StopReason

TIMES = 16                  # fewer than after which a line of code that changes is no longer kept
FEW = 6                     # stops of a program that does nothing
CLINT_MTIMECMP = 0x200_4000
RFENCE, SFENCE_VMA = 0x5246_4E43, 1
PROGRAM = """
    csrr s0, mhartid
    la   s1, done
    bnez s0, others
    li   s2, 0
    li   s3, {times}
{action}
    li   t0, 1
    sd   t0, 0(s1)
rest:
    wfi
    j    rest
others:
    ld   t0, 0(s1)
    beqz t0, others
    j    rest
    .balign 64
    .option norvc
changing:
    addi a0, zero, 0
    ret
    .option rvc
    .balign 64
beside:                     # on a page of code, and none
    .skip 64
    .balign 4096
area:
    .skip 4096
done:
    .dword 0
    .balign 4096
pages:
    .rept {times}
    ret
    .balign 4096
    .endr
"""


@pytest.fixture(params=["interpreter", "jit"])
def engine(request):
    return request.param


def guest(action: str, engine: str, **options) -> Guest:
    started = Guest(PROGRAM.format(action=action, times=TIMES), harts=3, threads=True, engine=engine, **options)
    for hart in started.machine.harts:
        hart.pc = started.machine.harts[0].pc
    return started


def stops(started: Guest) -> int:
    with started.machine as machine:
        assert machine.run().reason is StopReason.IDLE
        return machine.stats()["threads"]["stops"]["count"]


def test_a_program_of_few_pages_stops_others_rarely(engine):
    assert stops(guest("nop", engine)) < FEW


def test_others_stop_before_a_page_is_code(engine):
    """Their write tags of it are taken."""
    assert stops(guest("""
        la   s4, pages
        li   s5, 4096
    each:
        jalr s4
        add  s4, s4, s5
        addi s2, s2, 1
        bne  s2, s3, each
    """, engine)) >= TIMES


def test_others_stop_before_code_goes(engine):
    """Its blocks, which they may be in: the page has other code, so nothing is taken but these."""
    started = guest("""
        la   s4, changing
    each:
        addi s2, s2, 1
        slli t0, s2, 20     # addi a0, zero, number
        ori  t0, t0, 0x513
        sw   t0, 0(s4)
        fence.i
        jalr s4
        beq  a0, s2, next
        ebreak
    next:
        bne  s2, s3, each
    """, engine)
    count = stops(started)
    assert started["a0"] == TIMES
    assert TIMES <= count < TIMES + FEW


def test_others_stop_before_compiled_code_goes():
    """A loop that is compiled stores to data, and then beside code: it is given up, to be compiled anew for that."""
    def count(target: str) -> int:
        return stops(guest("".join(f"""
            la   s4, area
            la   s5, {target}
            li   t2, 2
        pass{number}:
            li   t1, 1000
        loop{number}:
            sd   t1, 0(s4)
            addi t1, t1, -1
            bnez t1, loop{number}
            mv   s4, s5
            addi t2, t2, -1
            bnez t2, pass{number}
        """ for number in range(TIMES)), "jit"))

    assert count("area") < FEW
    assert count("beside") >= TIMES


def test_a_hart_stops_before_its_timer_is_set_by_another(engine):
    assert stops(guest(f"""
        li   s4, {CLINT_MTIMECMP + 8}
        li   t0, -1
    each:
        sd   t0, 0(s4)
        addi s2, s2, 1
        bne  s2, s3, each
    """, engine)) >= TIMES


def test_a_hart_stops_before_its_translations_are_taken_by_another(engine):
    started = guest(f"""
        la   t0, supervisor
        csrw mepc, t0
        li   t0, 0x1800
        csrc mstatus, t0
        li   t0, 0x800
        csrs mstatus, t0
        mret
    supervisor:
        li   a0, 2          # hart 1
        li   a1, 0
        li   a2, {RAM_BASE}
        li   a3, 4096
        li   a6, {SFENCE_VMA}
        li   a7, {RFENCE}
        ecall
        addi s2, s2, 1
        bne  s2, s3, supervisor
    """, engine)
    started.open_pmp()
    started.native.sbi = True
    assert stops(started) >= TIMES
    assert started["a0"] == 0


class Writer(Device):
    """Stores to RAM what is there, when it is written to."""

    size = 4096

    def write(self, offset, size, value):
        self.memory.write(value, self.memory.read(value, 8))


def test_a_conditional_store_fails_after_a_devices_store(engine):
    """Nobody stops for that: the mark of the line tells."""
    device = RAM_BASE - 0x1000_0000
    started = guest(f"""
        la   s4, area
        li   s5, {device}
        li   s6, 0
    each:
        lr.d t0, (s4)
        sd   s4, 0(s5)
        sc.d t1, s2, (s4)
        add  s6, s6, t1
        addi s2, s2, 1
        bne  s2, s3, each
    """, engine, devices=[(Writer(), device)])
    assert stops(started) < FEW
    assert started["s6"] == TIMES
