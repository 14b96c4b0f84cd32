"""`--compute`, and what `vm info --compute` says."""

from importlib.util import find_spec

import numpy as np
import pytest

import vm as package
from tests.cli.conftest import assert_fails_with_one_line
from vm.guests.compute import FOLDER

EXAMPLE = str(FOLDER / "example.elf")


def test_guest_computes(vm):
    result = vm("run", "--compute", "numpy", EXAMPLE)
    assert result.returncode == 0 and result.stdout.endswith(b"compute: 0 wrong\n")
    assert vm("run", EXAMPLE).stdout == b"compute: no device (1)\n"


def test_a_recorded_run_is_replayed(vm, tmp_path):
    log = str(tmp_path / "compute.vmlog")
    recorded = vm("run", "--compute", "numpy", "--record", log, EXAMPLE)
    replayed = vm("run", "--compute", "numpy", "--replay", log, EXAMPLE)
    assert recorded.returncode == replayed.returncode == 0 and recorded.stdout == replayed.stdout


@pytest.mark.skipif(find_spec("cupy") is not None, reason="CuPy is installed here")
def test_no_backend_stands_in_for_another(vm):
    message = assert_fails_with_one_line(vm("run", "--compute", "cupy", EXAMPLE), code=2)
    assert "CuPy cannot be loaded" in message and "backend='numpy'" in message


def test_info_says_who_can_compute(vm):
    result = vm("info", "--compute")
    assert result.returncode == 0
    numpy, cupy = result.stdout.decode().splitlines()
    assert numpy.startswith(f"numpy  NumPy {np.__version__}, ") and cupy.startswith("cupy   ")


def test_a_restored_machine_computes(vm, tmp_path):
    path = str(tmp_path / "compute.vmsnap")
    with package.Machine(memory="16M") as machine:
        machine.attach(package.devices.ComputeDevice(latency_ns=20_000))
        machine.load(EXAMPLE)
        machine.run(instructions=400_000)
        machine.snapshot().save(path)
    result = vm("restore", path)
    assert result.returncode == 0 and result.stdout.endswith(b"compute: 0 wrong\n")
