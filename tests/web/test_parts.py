"""What is sent of a screen and of the text, and how keys are called."""

from pathlib import Path

import numpy as np
import pytest

from vm.web import screen
from vm.web.keys import KEY_CODES
from vm.web.screen import RECTANGLE, Picture
from vm.web.scrollback import LIMIT, Scrollback


def painted(shown, update):
    """A page's canvas, with an update drawn on it."""
    width, height, left, top, across, down = RECTANGLE.unpack(update.content[:RECTANGLE.size])
    pixels = np.frombuffer(update.content[RECTANGLE.size:], np.uint8).reshape(down, across, 4)
    if shown is None or shown.shape[:2] != (height, width):
        shown = np.zeros((height, width, 4), np.uint8)
    shown[top:top + down, left:left + across] = pixels
    return shown


def test_only_what_has_changed_is_sent():
    picture, pixels = Picture(), np.full((20, 30, 4), 7, np.uint8)
    first = picture.update(pixels)
    assert first.last and len(first.content) == RECTANGLE.size + 20 * 30 * 4
    assert picture.update(pixels) == (b"", True)
    pixels[3, 4] = pixels[9, 20] = 1
    second = picture.update(pixels)
    assert RECTANGLE.unpack(second.content[:RECTANGLE.size]) == (30, 20, 4, 3, 17, 7)
    assert (painted(painted(None, first), second) == pixels).all()


def test_a_large_screen_comes_in_parts(monkeypatch):
    monkeypatch.setattr(screen, "MOST_PIXELS", 100)
    picture, pixels = Picture(), np.random.default_rng(1).integers(0, 256, (25, 30, 4), np.uint8)
    shown = None
    for number in range(9):                 # of three rows each, the last of one
        pixels[:20] = number                # the guest goes on drawing at the top
        update = picture.update(pixels)
        assert len(update.content) <= RECTANGLE.size + 400 and not update.last
        shown = painted(shown, update)
    assert (shown[20:] == pixels[20:]).all()
    while not update.last:
        update = picture.update(pixels)
        shown = painted(shown, update)
    assert (shown == pixels).all() and picture.update(pixels) == (b"", True)


def test_a_screen_of_another_size_is_all_new():
    picture = Picture()
    picture.update(np.zeros((20, 30, 4), np.uint8))
    update = picture.update(np.zeros((30, 20, 4), np.uint8))
    assert RECTANGLE.unpack(update.content[:RECTANGLE.size]) == (20, 30, 0, 0, 20, 30)


def test_text_is_kept_from_a_line_on():
    printed = Scrollback(b"first\n")
    line = b"x" * 99 + b"\n"
    for _ in range(2 * LIMIT // 100 + 1):
        printed.write(line)
    assert printed.start > 0 and LIMIT - 100 <= printed.end - printed.start <= 2 * LIMIT
    assert printed.since(printed.start, 100) == line
    assert printed.end == 6 + (2 * LIMIT // 100 + 1) * 100


def test_a_line_without_an_end_is_kept_in_part():
    printed = Scrollback(b"")
    printed.write(b"x" * (2 * LIMIT + 1))
    assert printed.end == 2 * LIMIT + 1 and printed.end - printed.start == LIMIT


def test_text_goes_back():
    printed = Scrollback(b"one")
    saved = printed.save()
    printed.write(b" two")
    era = printed.era
    printed.load(saved)
    assert printed.era != era and printed.since(printed.start, 100) == b"one" and printed.start == 7


@pytest.mark.skipif(not Path("/usr/include/linux/input-event-codes.h").exists(), reason="no headers of Linux here")
def test_keys_are_those_of_linux():
    lines = Path("/usr/include/linux/input-event-codes.h").read_text().splitlines()
    numbers = {words[1]: words[2] for words in map(str.split, lines) if len(words) > 2 and words[0] == "#define"}
    for name, linux in {"Escape": "KEY_ESC", "KeyQ": "KEY_Q", "Digit0": "KEY_0", "Numpad5": "KEY_KP5", "F12": "KEY_F12",
                        "IntlBackslash": "KEY_102ND", "ArrowUp": "KEY_UP", "MetaLeft": "KEY_LEFTMETA",
                        "NumpadEnter": "KEY_KPENTER", "AudioVolumeUp": "KEY_VOLUMEUP", "Slash": "KEY_SLASH"}.items():
        assert KEY_CODES[name] == int(numbers[linux], 0), name
    assert len(set(KEY_CODES.values())) == len(KEY_CODES)
