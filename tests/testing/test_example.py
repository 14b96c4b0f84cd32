"""docs/examples/firmware is a project that builds, and whose tests pass, as it stands."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tools
from tests.testing.plugin import PLUGIN

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "firmware"


@pytest.fixture(params=["ziglang", "riscv64-unknown-elf-gcc"])
def project(request, tmp_path):
    """A copy of it, built by one of the compilers that its Makefile speaks of."""
    tools.require("make")
    arguments = [f"PYTHON={sys.executable}"]
    if request.param == "ziglang":
        pytest.importorskip("ziglang")
    else:
        tools.require(request.param)
        arguments.append(f"CC={request.param}")
    folder = tmp_path / "firmware"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("build", "__pycache__", ".pytest_cache"))
    subprocess.run(["make", "-C", folder, *arguments], check=True, timeout=300)
    return folder


def run_tests(folder, *arguments):
    """What pytest prints there, in a process of its own."""
    path = os.pathsep.join([str(EXAMPLE.parents[2]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, text=True, timeout=300,
                          capture_output=True, check=False)


def test_all_tests_of_the_example_pass(project):
    """Fifty of them and a few, which begin with one snapshot."""
    result = run_tests(project)
    assert result.returncode == 0, result.stdout
    assert int(re.search(r"(\d+) passed in", result.stdout)[1]) >= 50


def test_a_mistake_in_the_firmware_is_found(project):
    """The tests of the example are no show: each kind fails when what it tests is wrong."""
    source = project / "main.c"
    text = source.read_text()
    for right, wrong in (("0xedb88320", "0xedb88321"), ("> number;", "< number;"),
                         ("(uint64_t)number, 16", "(uint64_t)number, 8")):
        assert text.count(right) == 1
        text = text.replace(right, wrong)
    source.write_text(text)
    subprocess.run(["make", "-C", project, f"PYTHON={sys.executable}"], check=True, timeout=300)
    result = run_tests(project, "-q")
    failed = {line.partition("::")[2].partition("[")[0] for line in result.stdout.splitlines()
              if line.startswith("FAILED")}
    assert failed == {"test_crc", "test_sort", "test_hex"}, result.stdout
