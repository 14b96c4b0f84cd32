"""`--record` and `--replay`: a run on the terminal, and the same again."""

import pytest

from tests.assembler import assemble_elf
from tests.cli.conftest import assert_fails_with_one_line

# Echoes until a q, then powers off.
ECHO = """
    li   s2, 0x10000000
1:  lb   a0, 5(s2)
    andi a0, a0, 1
    beqz a0, 1b
    lbu  a0, (s2)
    sb   a0, (s2)
    li   t0, 'q'
    bne  a0, t0, 1b
    li   t0, 0x100000
    li   t1, 0x5555
    sw   t1, (t0)
2:  j    2b
"""


@pytest.fixture(scope="module")
def echo():
    return assemble_elf(ECHO)


def test_a_recorded_run_comes_again_without_its_input(vm, echo, tmp_path):
    log = tmp_path / "session.vmlog"
    first = vm("run", echo, "--record", log, stdin=b"some keys, q")
    again = vm("run", echo, "--replay", log, "--engine", "interpreter", stdin=b"")
    assert (first.returncode, first.stdout) == (again.returncode, again.stdout) == (0, b"some keys, q")


def test_where_the_log_ends_the_run_does(vm, echo, tmp_path):
    log = tmp_path / "session.vmlog"
    first = vm("run", echo, "--record", log, "--max-instructions", "100000", stdin=b"no end")
    assert first.returncode == 124
    again = vm("run", echo, "--replay", log, stdin=b"")
    assert (again.returncode, again.stdout) == (0, b"no end") and b"the log ends here" in again.stderr


def test_keys_are_lost_while_a_log_is_replayed(vm, echo, tmp_path):
    log = tmp_path / "session.vmlog"
    vm("run", echo, "--record", log, stdin=b"keys q")
    again = vm("run", echo, "--replay", log, stdin=b"other keys")
    assert (again.returncode, again.stdout) == (0, b"keys q") and b"keys are lost" in again.stderr


def test_another_program_does_not_fit_the_log(vm, echo, tmp_path):
    log = tmp_path / "session.vmlog"
    vm("run", echo, "--record", log, stdin=b"keys q")
    other = assemble_elf(ECHO.replace("li   s2, 0x10000000", "li   s2, 0x10000000; li s3, 5"))
    assert "diverges at step" in assert_fails_with_one_line(vm("run", other, "--replay", log, stdin=b""), code=1)


def test_what_is_no_log_is_refused(vm, echo):
    assert "this is no log" in assert_fails_with_one_line(vm("run", echo, "--replay", echo), code=1)


@pytest.mark.parametrize("arguments, message", [
    (["--record", "a.vmlog", "--replay", "b.vmlog"], "either --record or --replay"),
    (["--record", "a.vmlog", "--clock", "real"], "--record needs --clock virtual"),
    (["--replay", "a.vmlog", "--clock", "real"], "--replay needs --clock virtual"),
])
def test_options_that_do_not_go_together(vm, echo, arguments, message):
    assert message in assert_fails_with_one_line(vm("run", echo, *arguments), code=2)
