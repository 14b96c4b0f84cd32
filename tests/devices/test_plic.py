"""PLIC, against the RISC-V PLIC specification 1.0.0 and the layout of QEMU's `virt` board."""

import pytest

from vm.devices.plic import PLIC
from vm.errors import ConfigurationError

M0, S0, M1, S1 = range(4)
MEIP, SEIP = 11, 9


def priority(source):
    return 4 * source


def enables(context, word=0):
    return 0x2000 + 0x80 * context + 4 * word


def threshold(context):
    return 0x20_0000 + 0x1000 * context


def claim(context):
    return 0x20_0004 + 0x1000 * context


PENDING = 0x1000


@pytest.fixture
def plic(board):
    return board.connect(PLIC(board.harts))


def enable(plic, context, *sources, at=1):
    """Enable the sources for the context, with one priority, and drive none of them."""
    for word in range(3):
        plic.write(enables(context, word), 4, sum(1 << s % 32 for s in sources if s // 32 == word))
    for source in sources:
        plic.write(priority(source), 4, at)


@pytest.mark.parametrize("context, hart, pin", [(M0, 0, MEIP), (S0, 0, SEIP), (M1, 1, MEIP), (S1, 1, SEIP)])
def test_context_drives_its_pin_only(board, plic, context, hart, pin):
    enable(plic, context, 10)
    plic.line(10).raise_()
    assert board.harts[hart].changes == [(pin, True)]
    assert board.harts[1 - hart].changes == []


@pytest.mark.parametrize("source", [1, 31, 32, 64, 95])
def test_pending_bit_and_claim(plic, source):
    enable(plic, S0, source)
    plic.line(source).raise_()
    assert [plic.read(PENDING + 4 * word, 4) for word in range(3)] == [
        1 << source % 32 if word == source // 32 else 0 for word in range(3)]
    assert plic.read(claim(S0), 4) == source
    assert plic.read(PENDING + 4 * (source // 32), 4) == 0


def test_claim_lowers_the_pin(board, plic):
    enable(plic, S0, 10)
    plic.line(10).raise_()
    plic.read(claim(S0), 4)
    assert board.harts[0].changes == [(SEIP, True), (SEIP, False)]


def test_claim_with_nothing_pending_is_zero(plic):
    assert plic.read(claim(M0), 4) == 0


def test_claim_lowers_the_pins_of_other_contexts(board, plic):
    enable(plic, S0, 10)
    enable(plic, S1, 10)
    plic.line(10).raise_()
    assert plic.read(claim(S0), 4) == 10
    assert board.harts[1].pending == set()
    assert plic.read(claim(S1), 4) == 0


def test_highest_priority_first(plic):
    enable(plic, S0, 3, 40, 90)
    plic.write(priority(40), 4, 7)
    plic.write(priority(90), 4, 2)
    for source in (3, 40, 90):
        plic.line(source).raise_()
    assert [plic.read(claim(S0), 4) for _ in range(4)] == [40, 90, 3, 0]


def test_ties_go_to_the_lowest_number(plic):
    enable(plic, S0, 33, 5, 70, at=4)
    for source in (70, 33, 5):
        plic.line(source).raise_()
    assert [plic.read(claim(S0), 4) for _ in range(3)] == [5, 33, 70]


def test_priority_zero_never_interrupts(board, plic):
    enable(plic, S0, 10, at=0)
    plic.line(10).raise_()
    assert board.harts[0].pending == set()
    assert plic.read(claim(S0), 4) == 0
    plic.write(priority(10), 4, 1)
    assert board.harts[0].pending == {SEIP}


def test_threshold_masks_priorities_up_to_it(board, plic):
    enable(plic, S0, 10, at=3)
    plic.write(threshold(S0), 4, 3)
    plic.line(10).raise_()
    assert board.harts[0].pending == set()
    plic.write(threshold(S0), 4, 2)
    assert board.harts[0].pending == {SEIP}


def test_claim_ignores_the_threshold(plic):
    """"the claim operation is not affected by the setting of the priority threshold register"""
    enable(plic, S0, 10)
    plic.write(threshold(S0), 4, 7)
    plic.line(10).raise_()
    assert plic.read(claim(S0), 4) == 10


def test_level_that_is_high_on_completion_is_pending_again(board, plic):
    enable(plic, S0, 10)
    plic.line(10).raise_()
    assert plic.read(claim(S0), 4) == 10
    plic.write(claim(S0), 4, 10)
    assert board.harts[0].pending == {SEIP}
    assert plic.read(claim(S0), 4) == 10


def test_level_that_fell_is_not_pending_after_completion(board, plic):
    enable(plic, S0, 10)
    plic.line(10).raise_()
    plic.read(claim(S0), 4)
    plic.line(10).lower()
    plic.write(claim(S0), 4, 10)
    assert board.harts[0].pending == set()
    assert plic.read(claim(S0), 4) == 0


def test_gateway_holds_requests_until_completion(board, plic):
    enable(plic, S0, 10)
    line = plic.line(10)
    line.raise_()
    plic.read(claim(S0), 4)
    line.lower()
    line.raise_()
    assert plic.read(PENDING, 4) == 0
    plic.write(claim(S0), 4, 10)
    assert plic.read(PENDING, 4) == 1 << 10


def test_accepted_request_outlives_its_level(plic):
    """"the interrupt request remains present in the IP bit"""
    enable(plic, S0, 10)
    plic.line(10).raise_()
    plic.line(10).lower()
    assert plic.read(claim(S0), 4) == 10


def test_completion_counts_after_the_source_was_disabled(board, plic):
    """QEMU's sifive_plic.c, for guests that mask in the handler. (The specification would have it ignored, and the
    source silent for ever.)"""
    enable(plic, S0, 10)
    plic.line(10).raise_()
    plic.read(claim(S0), 4)
    plic.write(enables(S0), 4, 0)
    plic.write(claim(S0), 4, 10)
    plic.write(enables(S0), 4, 1 << 10)
    assert board.harts[0].pending == {SEIP}
    assert plic.read(claim(S0), 4) == 10


def test_source_in_service_is_given_to_nobody_else(board, plic):
    """Claimed and never completed, as some RTOS ports do of a source that they are done with."""
    enable(plic, S0, 10, 11)
    enable(plic, S1, 10)
    line = plic.line(10)
    line.raise_()
    assert plic.read(claim(S0), 4) == 10
    line.lower()
    line.raise_()
    assert board.harts[1].pending == set()
    assert plic.read(claim(S1), 4) == 0
    plic.line(11).raise_()
    assert plic.read(claim(S0), 4) == 11


def served(plic, context=S0):
    """One interrupt taken and completed; its source."""
    source = plic.read(claim(context), 4)
    plic.write(claim(context), 4, source)
    return source


class TestGatewayOfQemu:
    """Sources that QEMU's devices drive: a request for each time that the line is driven high, none for its level."""

    @pytest.fixture
    def line(self, plic):
        enable(plic, S0, 10)
        return plic.line(10, level_triggered=False)

    def test_line_left_high_interrupts_once(self, board, plic, line):
        line.raise_()
        assert served(plic) == 10
        assert board.harts[0].pending == set()
        assert plic.read(claim(S0), 4) == 0

    def test_line_driven_high_anew_interrupts_again(self, board, plic, line):
        line.raise_()
        served(plic)
        line.raise_()
        assert board.harts[0].pending == {SEIP}
        assert served(plic) == 10

    def test_what_comes_in_service_waits_for_the_completion(self, board, plic, line):
        line.raise_()
        plic.read(claim(S0), 4)
        line.raise_()
        assert board.harts[0].pending == set()
        plic.write(claim(S0), 4, 10)
        assert board.harts[0].pending == {SEIP}
        assert (served(plic), plic.read(claim(S0), 4)) == (10, 0)

    def test_what_came_and_went_in_service_is_forgotten(self, board, plic, line):
        line.raise_()
        plic.read(claim(S0), 4)
        line.raise_()
        line.lower()
        plic.write(claim(S0), 4, 10)
        assert board.harts[0].pending == set()

    def test_saved_in_service_it_goes_on_alike(self, board, plic, line):
        line.raise_()
        plic.read(claim(S0), 4)
        line.raise_()
        fresh = board.connect(PLIC(board.harts))
        fresh.line(10, level_triggered=False)
        fresh.load(plic.save())
        fresh.write(claim(S0), 4, 10)
        assert fresh.read(claim(S0), 4) == 10


@pytest.mark.parametrize("source", [0, 96, 0xFFFF_FFFF])
def test_completion_of_no_source_is_ignored(plic, source):
    enable(plic, S0, 10)
    plic.line(10).raise_()
    plic.read(claim(S0), 4)
    plic.write(claim(S0), 4, source)
    assert plic.read(PENDING, 4) == 0


def test_disabling_lowers_the_pin(board, plic):
    enable(plic, S0, 10)
    plic.line(10).raise_()
    plic.write(enables(S0), 4, 0)
    assert board.harts[0].pending == set()


def test_enables_of_a_context_are_its_own(plic):
    for context in range(4):
        for word in range(3):
            plic.write(enables(context, word), 4, 0x100 * context + 2 + word)
    assert [[plic.read(enables(context, word), 4) for word in range(3)] for context in range(4)] == [
        [0x100 * context + 2, 0x100 * context + 3, 0x100 * context + 4] for context in range(4)]


def test_source_zero_does_not_exist(plic):
    plic.write(priority(0), 4, 7)
    plic.write(enables(S0), 4, 1)
    assert plic.read(priority(0), 4) == 0
    assert plic.read(enables(S0), 4) == 0


def test_priority_and_threshold_have_three_bits(plic):
    plic.write(priority(7), 4, 0xFFFF_FFFF)
    plic.write(threshold(S1), 4, 0xFFFF_FFFF)
    assert plic.read(priority(7), 4) == 7
    assert plic.read(threshold(S1), 4) == 7


def test_pending_is_read_only(plic):
    plic.write(PENDING, 4, 0xFFFF_FFFF)
    assert plic.read(PENDING, 4) == 0


def test_registers_end_with_the_sources_and_contexts(plic):
    for offset in (priority(96), PENDING + 12, enables(S0, 3), enables(4), threshold(4)):
        plic.write(offset, 4, 7)
        assert plic.read(offset, 4) == 0


@pytest.mark.parametrize("source", [0, 96, -1])
def test_no_line_to_a_source_that_does_not_exist(plic, source):
    with pytest.raises(ConfigurationError, match="1 to 95"):
        plic.line(source)


def test_too_many_harts_are_refused(board):
    with pytest.raises(ConfigurationError, match="512"):
        PLIC(board.harts[:1] * 513)


def test_reset_lowers_the_pins_and_clears_the_registers(board, plic):
    blank = PLIC(board.harts).save()
    enable(plic, S0, 10, 11)
    plic.write(threshold(M0), 4, 3)
    plic.line(10).raise_()
    plic.line(11).raise_()
    plic.read(claim(S0), 4)
    plic.reset()
    plic.line(10).lower()
    plic.line(11).lower()
    assert board.harts[0].pending == set()
    assert plic.save() == blank


def test_loaded_into_a_fresh_one_they_are_equal_and_go_on_alike(board, plic):
    enable(plic, S0, 10, 40, 41, at=2)
    plic.write(priority(41), 4, 5)
    for source in (10, 40, 41):
        plic.line(source).raise_()
    assert plic.read(claim(S0), 4) == 41
    changes = len(board.harts[0].changes)
    fresh = board.connect(PLIC(board.harts))
    fresh.load(plic.save())
    assert fresh.save() == plic.save()
    assert len(board.harts[0].changes) == changes
    assert [fresh.read(claim(S0), 4) for _ in range(3)] == [10, 40, 0]
    fresh.write(claim(S0), 4, 41)
    assert fresh.read(claim(S0), 4) == 41
