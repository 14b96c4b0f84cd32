"""Rows: pairs, medians, verdicts."""

import pytest

from vm.bench.errors import NotBuilt, RunFailed
from vm.bench.measure import Claim, Row, in_turn, measure


def row(*pairs: tuple[float, float], claim: Claim | None = None) -> Row:
    return Row("subject", "name", "theirs", "ours", lambda: iter(pairs), claim=claim)


def test_sides_take_turns_to_begin():
    calls = []

    def side(name: str, value: float):
        def call() -> float:
            calls.append(name)
            return value
        return call

    assert list(in_turn(side("baseline", 2.0), side("ours", 1.0), 3)()) == [(2.0, 1.0)] * 3
    assert calls == ["baseline", "ours", "ours", "baseline", "baseline", "ours"]


def test_ratio_is_the_median_of_the_pairs_ratios():
    result = measure(row((10, 1), (4, 2), (9, 3)))
    assert (result.ratio, result.ratio_low, result.ratio_high) == (3, 2, 10)
    assert (result.baseline_median, result.ours_median, result.verdict) == (9, 2, "measured")


def test_many_pairs_have_quartiles():
    result = measure(row(*((ratio, 1.0) for ratio in range(1, 10))))
    assert (result.ratio_low, result.ratio, result.ratio_high) == (3, 5, 7)


@pytest.mark.parametrize("claimed, verdict", [(2.0, "held"), (2.1, "refuted")])
def test_a_claim_is_held_from_its_ratio_on(claimed: float, verdict: str):
    assert measure(row((4, 2), claim=Claim(claimed, "a claim"))).verdict == verdict


@pytest.mark.parametrize("error, verdict", [(NotBuilt("no engine"), "not built"), (RunFailed("it trapped"), "failed")])
def test_what_cannot_be_measured_says_why(error: Exception, verdict: str):
    def pairs():
        yield 1.0, 1.0
        raise error

    result = measure(Row("subject", "name", "theirs", "ours", pairs, claim=Claim(1, "a claim")))
    assert (result.verdict, result.note, result.measured) == (verdict, str(error), False)
