"""`vm demo`: its colours, which a user can turn off (https://no-color.org)."""

import pytest

from vm.cli.demo import Plain

COLOUR = b"\x1b[38;5;"


@pytest.mark.parametrize("setting, coloured", [("", True), ("1", False)])
def test_no_color(vm, setting, coloured):
    output = vm("demo", environment={"NO_COLOR": setting}).stdout
    assert (COLOUR in output) == (b"\x1b" in output) == coloured
    assert b"...." in output and b"MIPS" in output


def test_colours_go_wherever_pieces_end():
    text = b"a\x1b[38;5;17mb\x1b[0m\x1b[2Jc\x1bd"
    for size in range(1, len(text)):
        plain = Plain()
        pieces = [plain(text[at:at + size]) for at in range(0, len(text), size)]
        assert b"".join(pieces) == b"ab\x1b[2Jc\x1bd"
