"""Breaks the machine on purpose, and sees whether the conformance tests notice.

    python -m tests.conformance.mutate --seed 1 [--count 20]

Draws mutations (see mutations.py) and, for each, makes a copy of the tree without git, breaks it there, rebuilds what
that touches, and runs the tests that CI runs until the first failure. Nothing happens to the tree itself. Ends with
exit code 1 if more than one mutation in ten survives.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.conformance.mutations import INSTRUCTIONS, Mutation, draw

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("build", "tests", "vm", "vm_native", "setup.py", "pyproject.toml", "README.md")
FOLDER = "tests/conformance"
LOCKSTEP = f"{FOLDER}/test_lockstep.py"
SHRINK = "phases=(Phase.generate, Phase.shrink)"        # the first failure is enough here
TESTS = (LOCKSTEP, *(f"{FOLDER}/test_{name}.py" for name in ("disassembly", "directed", "legality", "programs")))
TIMEOUT = 1800


class Tree:
    """A copy of the project to break."""

    def __init__(self, source: Path, place: Path):
        self.place = place
        ignored = shutil.ignore_patterns("__pycache__")
        for name in COPIED:
            if (source / name).is_dir():
                shutil.copytree(source / name, place / name, symlinks=True, ignore=ignored)
            else:
                shutil.copy2(source / name, place / name)

    def run(self, command: list[str]) -> tuple[int | None, str]:
        """Exit code (None: it took too long and was ended) and output."""
        environment = {**os.environ, "PYTHONPATH": str(self.place), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen([sys.executable, *command], cwd=self.place, env=environment, stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True)
            try:
                code: int | None = process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                if process.poll() is None:              # with Spike, and on Ctrl-C too
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            output.seek(0)
            return code, output.read()

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the one place that says `old`; append if that is empty."""
        path = self.place / file
        text = path.read_text()
        if old and text.count(old) != 1:
            raise SystemExit(f"{file} says {text.count(old)} times, not once: {old}")
        path.write_text(text.replace(old, new) if old else text + new)

    def build(self) -> None:
        code, output = self.run(["setup.py", "build_ext", "--inplace"])
        if code != 0:
            raise SystemExit(f"the build failed:\n{output[-3000:]}")

    def test(self, tests: Sequence[str] = TESTS) -> tuple[bool, str]:
        """Whether the tests passed, and what failed first."""
        code, output = self.run(["-m", "pytest", "-x", "-q", "--tb=line", "-rfE", "-p", "no:cacheprovider", *tests])
        if code is None:
            return False, f"not done after {TIMEOUT} s"
        failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return code == 0, failed[0] if failed else output[-300:]


def in_order(mutation: Mutation) -> list[str]:
    """All of the tests; first those that are likely to find it. Random programs meet most rows in seconds."""
    first = "directed"
    if mutation.file == INSTRUCTIONS:
        first = "legality" if "match=" in mutation.new or "extensions=" in mutation.new else "lockstep"
    return sorted(TESTS, key=lambda name: first not in name)


def check(master: Path, mutation: Mutation) -> tuple[bool, str]:
    """Whether the tests caught it, and by what."""
    with tempfile.TemporaryDirectory(prefix="vm-mutant-") as folder:
        tree = Tree(master, Path(folder))
        tree.edit(mutation.file, mutation.old, mutation.new)
        if mutation.file != INSTRUCTIONS:       # that one is read when a hart is made
            tree.build()
        passed, how = tree.test(in_order(mutation))
        return not passed, how


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=20)
    arguments = parser.parse_args()
    mutations = draw(Random(arguments.seed), arguments.count)
    survivors = []
    with tempfile.TemporaryDirectory(prefix="vm-mutate-") as folder:
        master = Tree(ROOT, Path(folder))
        master.edit(LOCKSTEP, SHRINK, "phases=(Phase.generate,)")
        master.build()
        passed, how = master.test()
        if not passed:
            raise SystemExit(f"the tests fail without a mutation: {how}")
        for mutation in mutations:
            start = time.monotonic()
            caught, how = check(master.place, mutation)
            survivors += [] if caught else [mutation.name]
            seconds = time.monotonic() - start
            print(f"{'caught  ' if caught else 'SURVIVED'} {seconds:4.0f} s  {mutation.name}  {how[:150]}", flush=True)
    print(f"seed {arguments.seed}: {len(mutations) - len(survivors)} of {len(mutations)} caught")
    return int(len(survivors) * 10 > len(mutations))


if __name__ == "__main__":
    sys.exit(main())
