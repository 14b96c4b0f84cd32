"""The pairs of neighbouring uops that get one handler: pairs.txt, chosen and written by benchmarks/fusion.py.

A line of the file names the first uop and the second, and may end in `rs1` or `rs2`: that operand of the second is the
register that the first writes, so the handler passes the value on without reading it back.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from vm_native.ir.semantics import Assign, Call, Load, Store
from vm_native.ir.uops import UopRow

PAIRS_FILE = Path(__file__).parent / "pairs.txt"
PASSED = ("rs1", "rs2")


class Pair(NamedTuple):
    first: UopRow
    second: UopRow
    passed: str | None      # which operand of the second is the first's result

    def __str__(self) -> str:
        return " ".join((self.first.name, self.second.name, *filter(None, [self.passed])))


def may_begin(row: UopRow) -> bool:
    """Whether a uop always goes on with the next one, unless it takes a slow path."""
    return isinstance(row.meaning, Assign | Load | Store)


def may_end(row: UopRow) -> bool:
    return not isinstance(row.meaning, Call)


def make_pair(first: UopRow, second: UopRow, passed: str | None = None) -> Pair:
    assert may_begin(first) and may_end(second), f"{first.name} and {second.name} cannot be fused"
    assert passed is None or "rd" in first.operands and passed in second.operands, f"{first.name} passes nothing"
    return Pair(first, second, passed)


def read_pairs(rows: Iterable[UopRow], lines: Sequence[str] | None = None) -> list[Pair]:
    """The pairs of the file, in its order, over the rows of the uop table."""
    by_name = {row.name: row for row in rows}
    pairs = []
    for line in PAIRS_FILE.read_text().splitlines() if lines is None else lines:
        if line and not line.startswith("#"):
            first, second, *passed = line.split()
            assert not passed or passed in ([name] for name in PASSED), f"{PAIRS_FILE.name}: {line}"
            pairs.append(make_pair(by_name[first], by_name[second], *passed))
    return pairs
