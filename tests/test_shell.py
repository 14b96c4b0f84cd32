"""What a command prints is passed on as it comes, without the mark behind it; tests/boot/test_shell.py has a guest."""

import re

import pytest

from vm.shell import MARK_SIZE, Follower

NAME = "0123456789abcdef"
END = f"\x1d255 {NAME}\x1d".encode()


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("printed, expected", [
    (b"", b""),
    (b"one\r\ntwo\r\n", b"one\ntwo\n"),
    (b"a\rb\r\r\n", b"a\rb\r\n"),
    (b"\x1d\x1d255 0123\x1d", b"\x1d\x1d255 0123\x1d"),
    (b"x" * 100 + b"\x1d" + b"y" * 100, b"x" * 100 + b"\x1d" + b"y" * 100),
], ids=["nothing", "lines", "returns", "half a mark", "long"])
def test_output_comes_whole_in_pieces_of_any_size(printed, expected, size):
    shown = []
    follower = Follower(re.compile(rb"\x1d(\d+) %b\x1d" % NAME.encode()), shown.append)
    stream = printed + END + b"~ # next"
    for start in range(0, len(stream), size):
        follower.write(stream[start:start + size])
    assert b"".join(shown) == expected


def test_output_does_not_wait_for_the_end():
    shown = []
    Follower(re.compile(END), shown.append).write(b"working...")
    assert shown == [b"working..."]


def test_the_longest_mark_is_what_can_be_held_back():
    assert len(END) == MARK_SIZE
