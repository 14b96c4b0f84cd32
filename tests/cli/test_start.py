"""A short run must be short: what takes long to load is loaded by those who use it."""

import json
import subprocess
import sys

from vm.bench.guests.build import EMPTY, elf

RUN = "from vm.cli import main; main()"
LOADED = "import atexit, json, sys; atexit.register(lambda: print(json.dumps([*sys.modules]), file=sys.stderr)); "

NOT_NEEDED = {
    "numpy", "rich", "capstone", "matplotlib",              # of other commands
    "tempfile", "ctypes", "pdb", "http", "subprocess", "elftools",     # of parts that are not in use
    "vm.bench", "vm.images", "vm.cli.bench", "vm.cli.info",
    "vm_native.ir.uops", "vm_native.ir.semantics", "vm_native.riscv.instructions",      # tables of the build
}


def loaded_by(*arguments: str) -> set[str]:
    command = [sys.executable, "-c", LOADED + RUN, *arguments]
    run = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return set(json.loads(run.stderr.splitlines()[-1]))


def test_a_run_loads_nothing_that_it_does_not_use():
    """Each of these costs milliseconds, the largest a hundred."""
    loaded = loaded_by("run", str(elf(EMPTY)))
    assert "vm.machine" in loaded
    assert loaded & NOT_NEEDED == set()


def test_help_loads_no_core():
    loaded = loaded_by("--help")
    assert not {name for name in loaded if name.startswith(("vm_native.riscv", "vm_native.execution", "vm.machine"))}
