"""What a guest's screen shows, as the rectangles that are new to a page."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECTANGLE = struct.Struct("<6H")        # width and height of the screen; left, top, width, height of what follows
MOST_PIXELS = 1 << 21                   # of one rectangle: a whole screen of 1920 x 1080


class Update(NamedTuple):
    """RECTANGLE and its rows of RGBA, nothing where all is known; `last`: nothing else is new."""

    content: bytes
    last: bool


class Picture:
    """What one page has of a screen."""

    def __init__(self) -> None:
        self._shown = np.zeros((0, 0), np.uint32)
        self._next = 0                  # row, from which on it is looked at first: all of it has its turn

    def update(self, pixels: NDArray[np.uint8]) -> Update:
        """The smallest rectangle that holds what has changed, or a part of it. `pixels`: (height, width, 4)."""
        now = np.ascontiguousarray(pixels).view(np.uint32)[..., 0]
        if self._shown.shape != now.shape:
            self._shown = ~now                          # all is new
        differs = self._shown != now
        rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
        if not len(rows):
            return Update(b"", last=True)
        left, right, end = int(columns[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        top = int(rows[np.searchsorted(rows, self._next)]) if self._next < end else int(rows[0])
        bottom = min(end, top + max(MOST_PIXELS // (right - left), 1))
        self._next = bottom if bottom < end else 0
        new = now[top:bottom, left:right]
        self._shown[top:bottom, left:right] = new
        height, width = now.shape
        where = RECTANGLE.pack(width, height, left, top, right - left, bottom - top)
        return Update(where + new.tobytes(), last=(top, bottom) == (rows[0], end))
