"""SBI FWFT (specification 3.0, chapter 18): features of the supervisor's that firmware switches, on real harts."""

import pytest

from tests.firmware.supervisor import ISA, Supervisor
from vm_native.riscv.csrs import mask

FWFT, SET, GET, HSM, HART_START = 0x46574654, 0, 1, 0x48534D, 0
SUCCESS, NOT_SUPPORTED, INVALID_PARAM, DENIED, DENIED_LOCKED = 0, -2, -3, -4, -14
MISALIGNED, LANDING_PAD, SHADOW_STACK, DOUBLE_TRAP, PTE_AD, PMLEN = range(6)
LOCK = 1
LPE, SSE, ADUE, PMM = (mask("menvcfg", name) for name in ("LPE", "SSE", "ADUE", "PMM"))
EVERYTHING = ISA + "_zicfilp_zicfiss_smnpm"


@pytest.fixture
def supervisor():
    made = []

    def make(isa: str = EVERYTHING, **options) -> Supervisor:
        made.append(Supervisor(isa, **options))
        return made[-1]

    yield make
    for one in made:
        one.machine.close()


@pytest.mark.parametrize("feature, bit", [(LANDING_PAD, LPE), (SHADOW_STACK, SSE), (PTE_AD, ADUE)])
def test_feature_is_a_bit_that_is_off_at_first(feature, bit, supervisor):
    s = supervisor()
    assert s.call(FWFT, GET, feature) == (SUCCESS, 0)
    for value in (1, 1, 0):
        assert s.call(FWFT, SET, feature, value) == (SUCCESS, 0)
        assert s.call(FWFT, GET, feature) == (SUCCESS, value)
        assert s.hart["menvcfg"] & bit == bit * value
    assert s.call(FWFT, SET, feature, 2) == (INVALID_PARAM, 0)


def test_length_of_pointer_masks(supervisor):
    """menvcfg.PMM: 2 for 7 bits, 3 for 16; no other length is one that a hart can be asked for."""
    s = supervisor()
    for length, encoded in ((7, 2), (16, 3), (0, 0)):
        assert s.call(FWFT, SET, PMLEN, length) == (SUCCESS, 0)
        assert s.call(FWFT, GET, PMLEN) == (SUCCESS, length)
        assert (s.hart["menvcfg"] & PMM) >> 32 == encoded
    assert s.call(FWFT, SET, PMLEN, 8) == (INVALID_PARAM, 0)


def test_misaligned_accesses_are_the_supervisors(supervisor):
    """There is nobody else to serve them: that cannot be changed."""
    s = supervisor()
    assert s.call(FWFT, GET, MISALIGNED) == (SUCCESS, 1)
    assert s.call(FWFT, SET, MISALIGNED, 1) == (SUCCESS, 0)
    assert s.call(FWFT, SET, MISALIGNED, 0) == (DENIED, 0)
    assert s.hart["medeleg"] & (1 << 4 | 1 << 6) == 1 << 4 | 1 << 6


@pytest.mark.parametrize("feature", [LANDING_PAD, SHADOW_STACK, DOUBLE_TRAP, PTE_AD, PMLEN])
def test_hart_without_the_extension(feature, supervisor):
    s = supervisor("rv64gc_zicntr_svade")
    assert s.call(FWFT, GET, feature) == s.call(FWFT, SET, feature, 1) == (NOT_SUPPORTED, 0)


@pytest.mark.parametrize("feature", [6, 0x3FFF_FFFF, 0x4000_0000, 0x8000_0000, 0xC000_0000])
def test_features_that_there_are_not(feature, supervisor):
    s = supervisor()
    assert s.call(FWFT, GET, feature) == s.call(FWFT, SET, feature, 1) == (DENIED, 0)


def test_locked_feature_stays(supervisor):
    """Until the hart is started again; the value that it has may be set."""
    s = supervisor(harts=2)
    assert s.call(FWFT, SET, PTE_AD, 1, LOCK) == (SUCCESS, 0)
    assert s.call(FWFT, SET, PTE_AD, 0) == (DENIED_LOCKED, 0)
    assert s.call(FWFT, SET, PTE_AD, 1) == (SUCCESS, 0)
    assert s.call(FWFT, SET, PTE_AD, 1, hart=1) == s.call(FWFT, SET, PTE_AD, 0, hart=1) == (SUCCESS, 0)
    s.natives[0].stop()
    assert s.call(HSM, HART_START, 0, 0x8000_0000, 0, hart=1) == (SUCCESS, 0)
    assert s.call(FWFT, GET, PTE_AD) == (SUCCESS, 0)
    assert s.call(FWFT, SET, PTE_AD, 1) == (SUCCESS, 0)


def test_reserved_flags(supervisor):
    assert supervisor().call(FWFT, SET, PTE_AD, 1, 2) == (INVALID_PARAM, 0)


def test_default_hart_updates_pages_from_the_start(supervisor):
    """Svadu without Svade: that is its reset value."""
    assert supervisor("default").call(FWFT, GET, PTE_AD) == (SUCCESS, 1)


def test_locks_are_part_of_a_snapshot(supervisor):
    s = supervisor()
    before = s.machine.snapshot()
    s.call(FWFT, SET, LANDING_PAD, 1, LOCK)
    locked = s.machine.snapshot()
    s.machine.restore(before)
    assert s.call(FWFT, SET, LANDING_PAD, 0) == (SUCCESS, 0)
    s.machine.restore(locked)
    assert s.call(FWFT, SET, LANDING_PAD, 0) == (DENIED_LOCKED, 0)
