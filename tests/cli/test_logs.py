"""`--record` and `--replay`: a run on the terminal, and the same again."""

import pytest

from tests.cli.conftest import assert_fails_with_one_line


@pytest.fixture
def echo(guest):
    return guest("echo")


@pytest.fixture
def log(vm, echo, tmp_path):
    """Of a session in which keys were typed until a q."""
    path = tmp_path / "session.vmlog"
    assert vm("run", echo, "--record", path, input=b"some keys, q").stdout == b"> some keys, q"
    return path


def test_a_recorded_run_comes_again_without_its_input(vm, echo, log):
    again = vm("run", echo, "--replay", log, "--engine", "interpreter", input=b"")
    assert (again.returncode, again.stdout) == (0, b"> some keys, q")


def test_where_the_log_ends_the_run_does(vm, echo, tmp_path):
    path = tmp_path / "session.vmlog"
    first = vm("run", echo, "--record", path, "--max-instructions", "100000", input=b"no end")
    assert first.returncode == 124
    again = vm("run", echo, "--replay", path, input=b"")
    assert (again.returncode, again.stdout) == (0, first.stdout) and b"the log ends here" in again.stderr


def test_keys_are_lost_while_a_log_is_replayed(vm, echo, log):
    again = vm("run", echo, "--replay", log, input=b"other keys")
    assert (again.returncode, again.stdout) == (0, b"> some keys, q") and b"keys are lost" in again.stderr


def test_another_program_does_not_fit_the_log(vm, guest, log):
    said = assert_fails_with_one_line(vm("run", guest("waiting-echo"), "--replay", log), code=1)
    assert "stand in another program than the one that was recorded" in said


def test_a_reset_is_in_the_log(vm, guest, tmp_path):
    path = tmp_path / "session.vmlog"
    assert vm("run", guest("reset-once"), "--record", path).stdout == b"ab"
    again = vm("run", guest("reset-once"), "--replay", path)
    assert (again.returncode, again.stdout, again.stderr) == (0, b"ab", b"")


def test_what_is_no_log_is_refused(vm, echo):
    assert "this is no log" in assert_fails_with_one_line(vm("run", echo, "--replay", echo), code=1)


@pytest.mark.parametrize("arguments, message", [
    (["--record", "a.vmlog", "--replay", "b.vmlog"], "either --record or --replay"),
    (["--record", "a.vmlog", "--clock", "real"], "--record needs --clock virtual"),
    (["--replay", "a.vmlog", "--clock", "real"], "--replay needs --clock virtual"),
    (["--record", "no-such-folder/a.vmlog"], "no folder that can be written: no-such-folder"),
])
def test_options_that_do_not_go_together(vm, echo, arguments, message):
    assert message in assert_fails_with_one_line(vm("run", echo, *arguments), code=2)
