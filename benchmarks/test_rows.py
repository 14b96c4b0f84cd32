"""The rows of `vm bench` for pytest-benchmark: `pytest benchmarks -o python_files=test_rows.py`.

A row is measured once, in pairs, and its two sides are then given to pytest-benchmark through a clock that stands still
but for the values: what it prints, stores and compares is what `vm bench` reports. `--full` takes the long rows, too.
"""

from functools import cache

import pytest

from vm.bench.measure import HELD, MEASURED, REFUTED, Result, Row, measure
from vm.bench.rows import SUBJECTS, subject


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


clock = Clock()
result_of = cache(measure)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rows = [row for name in SUBJECTS for row in subject(name).rows(not metafunc.config.getoption("full"))]
    metafunc.parametrize("row", rows, ids=[f"{row.subject}: {row.name}, {row.baseline}" for row in rows])


@pytest.mark.parametrize("side", [0, 1], ids=["baseline", "ours"])
@pytest.mark.benchmark(timer=clock)
def test_row(benchmark, row: Row, side: int):
    result: Result = result_of(row)
    if result.verdict not in (HELD, REFUTED, MEASURED):
        pytest.skip(f"{result.verdict}: {result.note}")
    values = iter([pair[side] for pair in result.pairs])

    def wind_back() -> None:
        clock.now = 0.0                 # nanoseconds on top of a large number would be rounded

    def spend() -> None:
        clock.now += next(values)

    benchmark.group = f"{row.subject}: {row.name}"
    benchmark.name = row.ours if side else row.baseline
    benchmark.extra_info.update(verdict=result.verdict, claim=result.claim, ratio=result.ratio, unit=result.unit)
    benchmark.pedantic(spend, setup=wind_back, rounds=len(result.pairs))
