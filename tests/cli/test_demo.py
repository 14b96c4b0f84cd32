"""`vm demo`: its colours, which a user can turn off (https://no-color.org)."""

import os

import pexpect
import pytest

from tests.cli.conftest import COMMAND
from vm.cli.demo import Plain

COLOUR = b"\x1b[38;5;"


@pytest.mark.parametrize("environment, coloured", [
    ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False),
])
def test_colours_on_a_terminal(environment, coloured):
    process = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "demo"], timeout=120,
                            env=os.environ | {"TERM": "xterm"} | environment)
    output = process.read()
    assert (COLOUR in output) == (b"\x1b" in output) == coloured
    assert b"...." in output and b"MIPS" in output


def test_no_colours_into_a_file_or_pipe(vm):
    output = vm("demo", environment={"NO_COLOR": "", "TERM": "xterm"}).stdout
    assert b"\x1b" not in output and b"...." in output and b"MIPS" in output


def test_colours_go_wherever_pieces_end():
    text = b"a\x1b[38;5;17mb\x1b[0m\x1b[2Jc\x1bd"
    for size in range(1, len(text)):
        plain = Plain()
        pieces = [plain(text[at:at + size]) for at in range(0, len(text), size)]
        assert b"".join(pieces) == b"ab\x1b[2Jc\x1bd"
