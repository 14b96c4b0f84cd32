"""How often the lockstep tests execute each row of the instruction table, and which traps they raise.

    python -m tests.conformance.coverage

runs the lockstep tests of CI and ends with a report: rows executed fewer than 100 times and causes that were never
raised make it fail. As a plugin, `pytest -p tests.conformance.coverage`, it does the same for any choice of tests.
Only steps that were compared with Spike count. Instructions that trapped do not, unless a trap is what they are for.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.conformance.compare import Lockstep
from tests.conformance.image import Image
from tests.conformance.spike import CAUSES, INTERRUPT, Record
from vm_native.riscv.instructions import ROWS

ENOUGH = 100
TESTS = ("tests/conformance/test_lockstep.py", "tests/conformance/test_directed.py")
# Instructions whose work is a trap: breakpoints and environment calls.
CALLS = (3, 8, 9, 11)
INTERRUPTS = tuple(INTERRUPT | number for number in (1, 3, 5, 7, 9, 11, 13))
# Causes that cannot be had beside Spike, and the tests that raise them.
ELSEWHERE = {
    0: "needs a hart without C: test_legality.py, tests/native/test_decode.py",
    4: "Spike takes an access fault for misaligned atomics: tests/native/test_atomics.py",
    6: "the same",
    INTERRUPT | 7: "Spike's clock is not exact to the step: tests/native/test_traps.py",
    INTERRUPT | 11: "Spike has no device that raises it: tests/native/test_traps.py",
}



class Coverage:
    """What has been seen."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.causes: Counter[int] = Counter()
        self.steps = self.programs = 0

    def add(self, lockstep: Lockstep, records: Sequence[Record]) -> None:
        """Count the steps that were compared."""
        self.programs += 1
        words: Counter[int] = Counter()
        compared = records[: len(lockstep.states)]
        self.steps += len(compared)
        for record in compared:
            for trap in (record.trap, record.interrupt):
                if trap is not None:
                    self.causes[trap.cause] += 1
            if record.trap is None or record.trap.cause in CALLS:
                words[record.word] += 1
        for word, count in words.items():
            row = lockstep.ours.recogniser.row(word)
            if row is not None:
                self.rows[row.name] += count

    def rare_rows(self) -> list[str]:
        return [row.name for row in ROWS if self.rows[row.name] < ENOUGH]

    def missing_causes(self) -> list[str]:
        names = {cause: name.decode() for name, cause in CAUSES.items()}
        names |= {cause: f"interrupt {cause & ~INTERRUPT}" for cause in INTERRUPTS}
        return [name for cause, name in names.items() if not self.causes[cause] and cause not in ELSEWHERE]

    def report(self) -> list[str]:
        fewest = sorted(ROWS, key=lambda row: self.rows[row.name])[:10]
        lines = [f"{self.steps} steps of {self.programs} programs, {len(ROWS)} rows"]
        lines.append("fewest: " + ", ".join(f"{row.name} {self.rows[row.name]}" for row in fewest))
        lines += [f"{name}: {self.rows[name]} times, not {ENOUGH}" for name in self.rare_rows()]
        lines += [f"{name}: never raised" for name in self.missing_causes()]
        exceptions = [str(cause) for cause in sorted(self.causes) if not cause & INTERRUPT]
        interrupts = [str(cause & ~INTERRUPT) for cause in sorted(self.causes) if cause & INTERRUPT]
        lines.append(f"raised: exceptions {', '.join(exceptions)}; interrupts {', '.join(interrupts)}")
        return lines


COVERAGE = Coverage()


def pytest_configure() -> None:
    compare = Lockstep.compare

    def counted(lockstep: Lockstep, image: Image, records: Sequence[Record]) -> int:
        try:
            return compare(lockstep, image, records)
        finally:
            COVERAGE.add(lockstep, records)

    Lockstep.compare = counted  # type: ignore[method-assign]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK and (COVERAGE.rare_rows() or COVERAGE.missing_causes()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("coverage of the instruction table")
    for line in COVERAGE.report():
        terminalreporter.write_line(line)


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "tests.conformance.coverage", *TESTS]))
