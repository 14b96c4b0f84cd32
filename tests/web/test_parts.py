"""What is sent of a screen and of the text, and how keys are called."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from vm.web import screen
from vm.web.keys import KEY_CODES
from vm.web.screen import RECTANGLE, Picture, View
from vm.web.scrollback import LIMIT, Scrollback


def painted(shown, update):
    """A page's canvas, with an update drawn on it."""
    width, height, left, top, across, down = RECTANGLE.unpack(update.content[:RECTANGLE.size])
    pixels = np.frombuffer(update.content[RECTANGLE.size:], np.uint8).reshape(down, across, 4)
    if shown is None or shown.shape[:2] != (height, width):
        shown = np.zeros((height, width, 4), np.uint8)
    shown[top:top + down, left:left + across] = pixels
    return shown


class Drawn:
    """A screen on which `draw` draws; how often its pixels were taken is `taken`."""

    def __init__(self, height, width, value=0):
        self.image = np.full((height, width, 4), value, np.uint8)
        self.generation = self.taken = 0

    def draw(self, where, value):
        self.image[where] = value
        self.generation += 1

    @property
    def resolution(self):
        return self.image.shape[1], self.image.shape[0]

    @property
    def pixels(self):
        self.taken += 1
        return self.image.copy()


def shown(view, drawn, *pictures):
    """Look at a screen for pages, and the update of the first."""
    changed = view.look(drawn)
    for picture in pictures:
        if changed is not None:
            picture.spoil(changed)
    return pictures[0].update(view.pixels)


def test_only_what_has_changed_is_sent():
    view, picture, drawn = View(), Picture(), Drawn(20, 30, 7)
    first = shown(view, drawn, picture)
    assert first.last and len(first.content) == RECTANGLE.size + 20 * 30 * 4
    drawn.draw(np.s_[0:0], 0)
    assert shown(view, drawn, picture) == (b"", True)
    drawn.draw(np.s_[3, 4], 1)
    drawn.draw(np.s_[9, 20], 1)
    second = shown(view, drawn, picture)
    assert RECTANGLE.unpack(second.content[:RECTANGLE.size]) == (30, 20, 4, 3, 17, 7)
    assert (painted(painted(None, first), second) == drawn.image).all()


def test_a_large_screen_comes_in_parts(monkeypatch):
    monkeypatch.setattr(screen, "MOST_PIXELS", 100)
    view, picture, drawn = View(), Picture(), Drawn(25, 30)
    drawn.image[:] = np.random.default_rng(1).integers(0, 256, (25, 30, 4), np.uint8)
    canvas = None
    for number in range(9):                 # of three rows each, the last of one
        drawn.draw(np.s_[:20], number)      # the guest goes on drawing at the top
        update = shown(view, drawn, picture)
        assert len(update.content) <= RECTANGLE.size + 400 and not update.last
        canvas = painted(canvas, update)
    assert (canvas[20:] == drawn.image[20:]).all()
    while not update.last:
        update = shown(view, drawn, picture)
        canvas = painted(canvas, update)
    assert (canvas == drawn.image).all() and shown(view, drawn, picture) == (b"", True)


def test_a_screen_of_another_size_is_all_new():
    view, picture = View(), Picture()
    shown(view, Drawn(20, 30), picture)
    turned = Drawn(30, 20)
    turned.generation = 1
    update = shown(view, turned, picture)
    assert RECTANGLE.unpack(update.content[:RECTANGLE.size]) == (20, 30, 0, 0, 20, 30)


def test_a_page_that_draws_slowly_gets_all_that_was_new_meanwhile():
    view, quick, slow, drawn = View(), Picture(), Picture(), Drawn(40, 50, 9)
    random = np.random.default_rng(2)
    canvases = {quick: None, slow: None}
    for number in range(60):
        top, left = random.integers(0, 40), random.integers(0, 50)
        drawn.draw(np.s_[top:top + random.integers(1, 9), left:left + random.integers(1, 9)], number)
        update = shown(view, drawn, quick, slow)
        if update.content:
            canvases[quick] = painted(canvases[quick], update)
        assert (canvases[quick] == drawn.image).all()
        if number % 7 == 0:
            canvases[slow] = painted(canvases[slow], slow.update(view.pixels))
            assert (canvases[slow] == drawn.image).all()


def test_pages_share_the_pixels():
    """Each has less than a bit of its own for a pixel, and they are taken once for all."""
    view, drawn = View(), Drawn(1024, 1024)
    view.look(drawn)
    tracemalloc.start()
    pictures = [Picture() for _ in range(10)]
    for picture in pictures:
        picture.update(view.pixels)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < len(pictures) * 1024 * 1024 // 8
    assert view.look(drawn) is None and drawn.taken == 1


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
