"""A host without the tools that tests call: one line names the package, and CI takes it for a failure."""

from types import SimpleNamespace

import pytest

from tests import tools
from tests.conftest import failed_if_required


def skipped(reason: str) -> SimpleNamespace:
    return SimpleNamespace(skipped=True, outcome="skipped", longrepr=("test.py", 1, f"Skipped: {reason}"))


def test_missing_tools_are_one_line_that_names_the_packages(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="^needs dtc, gpgv: apt install device-tree-compiler gpgv$"):
        tools.require("dtc", "gpgv")


def test_tool_that_is_there_skips_nothing(monkeypatch, tmp_path):
    (tmp_path / "dtc").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    tools.require("dtc")
    assert not tools.needs("dtc").args[0]


@pytest.mark.parametrize("reason, outcome", [
    ("needs dtc: apt install device-tree-compiler", "failed"),
    ("could not import 'capstone': No module named 'capstone'", "failed"),
    ("this host compiles nothing", "skipped"),
])
def test_skip_for_want_of_a_tool_fails_in_ci(monkeypatch, reason, outcome):
    monkeypatch.setattr(tools, "REQUIRED", True)
    assert failed_if_required(skipped(reason)).outcome == outcome
    monkeypatch.setattr(tools, "REQUIRED", False)
    assert failed_if_required(skipped(reason)).outcome == "skipped"
