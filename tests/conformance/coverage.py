"""How often the lockstep tests execute each row of the instruction table, and which traps they raise.

    python -m tests.conformance.coverage

runs the lockstep tests of CI and ends with a report: rows executed fewer than 100 times and causes that were never
raised make it fail. As a plugin, `pytest -p tests.conformance.coverage`, it does the same for any choice of tests.
Only steps that were compared with Spike count. Instructions that trapped do not, unless a trap is what they are for.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence

import pytest

from tests.conformance.compare import Lockstep
from tests.conformance.image import Image
from tests.conformance.spike import INTERRUPT, Record
from vm_native.riscv.instructions import ROWS

ENOUGH = 100
SCALAR = [row for row in ROWS if not row.vector]        # those of vectors are counted by test_vectors.py's long run
TESTS = tuple(f"tests/conformance/test_{name}.py" for name in ("lockstep", "directed", "programs"))
# The causes that the privileged specification, 3.1.15, gives a number, and why a hart of this kind never raises some.
CAUSES = (*range(24), *(INTERRUPT | number for number in range(14)))
HYPERVISOR, RESERVED = "hypervisor extension: test_guest_csrs.py and test_guest_memory.py", "reserved"
UNRAISABLE = {
    10: HYPERVISOR,
    14: RESERVED,
    16: "double trap: Smdbltrp and Ssdbltrp, which are not here",
    17: RESERVED,
    18: "software check: Zicfilp and Zicfiss, which are not here",
    19: "hardware error: the memory of this machine has none to report",
    **dict.fromkeys(range(20, 24), HYPERVISOR),
    **dict.fromkeys((INTERRUPT | number for number in (0, 4, 8)), RESERVED),
    **dict.fromkeys((INTERRUPT | number for number in (2, 6, 10, 12)), HYPERVISOR),
}


def missing_causes(causes: Iterable[int]) -> list[str]:
    """What could have been raised and was not."""
    found = set(causes) | UNRAISABLE.keys()
    return [f"{'interrupt' if cause & INTERRUPT else 'exception'} {cause & ~INTERRUPT}"
            for cause in CAUSES if cause not in found]


class Coverage:
    """What has been seen."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.causes: Counter[int] = Counter()
        self.steps = self.programs = 0

    def add(self, lockstep: Lockstep) -> None:
        """Count the steps that were compared."""
        self.programs += 1
        self.steps += len(lockstep.states)
        self.causes += lockstep.causes
        self.rows += lockstep.rows()

    def rare_rows(self) -> list[str]:
        return [row.name for row in SCALAR if self.rows[row.name] < ENOUGH]

    def report(self) -> list[str]:
        fewest = sorted(SCALAR, key=lambda row: self.rows[row.name])[:10]
        lines = [f"{self.steps} steps of {self.programs} programs, {len(SCALAR)} rows"]
        lines.append("fewest: " + ", ".join(f"{row.name} {self.rows[row.name]}" for row in fewest))
        lines += [f"{name}: {self.rows[name]} times, not {ENOUGH}" for name in self.rare_rows()]
        lines += [f"{name}: never raised" for name in missing_causes(self.causes)]
        exceptions = [f"{cause} ({self.causes[cause]})" for cause in sorted(self.causes) if not cause & INTERRUPT]
        interrupts = [f"{cause & ~INTERRUPT} ({self.causes[cause]})"
                      for cause in sorted(self.causes) if cause & INTERRUPT]
        lines.append(f"raised: exceptions {', '.join(exceptions)}; interrupts {', '.join(interrupts)}")
        return lines


COVERAGE = Coverage()


def pytest_configure() -> None:
    compare = Lockstep.compare

    def counted(lockstep: Lockstep, image: Image, records: Sequence[Record]) -> int:
        try:
            return compare(lockstep, image, records)
        finally:
            COVERAGE.add(lockstep)

    Lockstep.compare = counted  # type: ignore[method-assign]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK and (COVERAGE.rare_rows() or missing_causes(COVERAGE.causes)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("coverage of the instruction table")
    for line in COVERAGE.report():
        terminalreporter.write_line(line)


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "tests.conformance.coverage", *TESTS]))
