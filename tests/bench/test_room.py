"""vm.bench is a room of its own: what does not measure does not enter it."""

import json
import subprocess
import sys

import pytest

from vm.bench.guests.build import EMPTY, elf

RUN = f"""
from vm.cli import main
try:
    main(["run", {str(elf(EMPTY))!r}])
except SystemExit as end:
    assert not end.code, end.code
"""
HELP = RUN.replace('"run", ', '"run", "--help", ')
BENCH = RUN.replace('"run"', '"bench", "--help"').replace(repr(str(elf(EMPTY))), "")


def modules_after(code: str) -> list[str]:
    """The modules of vm that are there when the code has run in a Python of its own."""
    code += "\nimport json, sys; print(json.dumps([name for name in sys.modules if name.startswith('vm')]))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("code", ["import vm, vm.cli", RUN, HELP], ids=["import", "run", "help"])
def test_nothing_of_it_is_imported_at_the_start(code: str):
    modules = modules_after(code)
    assert "vm.cli" in modules
    assert not [name for name in modules if name.startswith("vm.bench")]


def test_its_command_enters_it():
    assert "vm.bench.rows" in modules_after(BENCH)
