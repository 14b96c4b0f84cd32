"""What a row of the benchmark report is, and how it is measured.

A row sets our side beside a baseline. Both are measured in pairs, one run after the other, and who begins changes from
pair to pair; what counts is the median of the pairs' ratios, so that a slow spell of the host falls on both. A value is
a cost: seconds, bytes, or a count; a ratio above 1 says that our side costs less. A file of vm/bench/rows is a subject;
it has a function `rows(quick)` that yields rows. What is not there raises NotBuilt, when the row is measured.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import nan
from statistics import median, quantiles
from typing import Any

from vm.bench.errors import NotBuilt, RunFailed

FEW = 5                                 # fewer pairs have no quartiles worth the name
Pair = tuple[float, float]              # baseline, ours

HELD, REFUTED, MEASURED, NOT_BUILT, FAILED = "held", "refuted", "measured", "not built", "failed"


@dataclass(frozen=True)
class Claim:
    """A claim holds if the median ratio is at least this."""

    ratio: float
    text: str


@dataclass(frozen=True)
class Row:
    subject: str
    name: str
    baseline: str                       # what each side is, in a few words
    ours: str
    pairs: Callable[[], Iterable[Pair]]
    claim: Claim | None = None
    unit: str = "s"                     # of the values: s, B, or nothing
    group: str = ""                     # rows of one group have a geometric mean
    at: float | None = None             # the group is a sweep: where on it the row stands, and what of
    axis: str = ""


@dataclass(frozen=True)
class Result:
    subject: str
    name: str
    baseline: str
    ours: str
    unit: str
    group: str
    at: float | None
    axis: str
    claim: str | None
    verdict: str
    note: str = ""                      # why there is no measurement
    baseline_median: float = nan
    ours_median: float = nan
    ratio: float = nan                  # median of the pairs' ratios
    ratio_low: float = nan              # quartiles of them; of few the extremes
    ratio_high: float = nan
    pairs: tuple[Pair, ...] = ()

    @property
    def measured(self) -> bool:
        return bool(self.pairs)


def in_turn(baseline: Callable[[], float], ours: Callable[[], float], rounds: int) -> Callable[[], Iterator[Pair]]:
    """The pairs of two functions that each return one value."""
    def pairs() -> Iterator[Pair]:
        for turn in range(rounds):
            if turn % 2:
                own, other = ours(), baseline()
            else:
                other, own = baseline(), ours()
            yield other, own
    return pairs


def measure(row: Row) -> Result:
    """Measure one row."""
    facts: dict[str, Any] = {
        "subject": row.subject, "name": row.name, "baseline": row.baseline, "ours": row.ours, "unit": row.unit,
        "group": row.group, "at": row.at, "axis": row.axis, "claim": row.claim.text if row.claim else None,
    }
    try:
        pairs = tuple(row.pairs())
    except NotBuilt as reason:
        return Result(**facts, verdict=NOT_BUILT, note=str(reason))
    except RunFailed as error:
        return Result(**facts, verdict=FAILED, note=str(error))
    ratios = [baseline / ours for baseline, ours in pairs]
    low, middle, high = quartiles(ratios)
    verdict = MEASURED if row.claim is None else HELD if middle >= row.claim.ratio else REFUTED
    return Result(
        **facts, verdict=verdict, baseline_median=median(pair[0] for pair in pairs),
        ours_median=median(pair[1] for pair in pairs), ratio=middle, ratio_low=low, ratio_high=high, pairs=pairs,
    )


def quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) < FEW:
        return min(values), median(values), max(values)
    low, middle, high = quantiles(values, method="inclusive")
    return low, middle, high
