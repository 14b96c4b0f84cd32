"""What a guest's screen shows, as the rectangles that are new to a page."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vm.devices import Screen

RECTANGLE = struct.Struct("<6H")        # width and height of the screen; left, top, width, height of what follows
MOST_PIXELS = 1 << 21                   # of one rectangle: a whole screen of 1920 x 1080
MOST_SHOWN = 1 << 24                    # pixels of a screen that pages are shown at all: 4096 x 4096


class Update(NamedTuple):
    """RECTANGLE and its rows of RGBA, nothing where all is known; `last`: nothing else is new."""

    content: bytes
    last: bool


class Spans:
    """Of each row the columns from `left` to before `right`; those of a row that has none are `width` and 0."""

    def __init__(self, height: int, width: int):
        """All of each row."""
        self.width = width
        self.left = np.zeros(height, np.uint16)
        self.right = np.full(height, width, np.uint16)

    @classmethod
    def true(cls, points: NDArray[np.bool_]) -> Spans:
        """The smallest that hold what is true of (height, width) points."""
        height, width = points.shape
        spans = cls(height, width)
        spans.clear(0, height)
        rows = np.flatnonzero(points.any(axis=1))
        spans.left[rows] = points[rows].argmax(axis=1)
        spans.right[rows] = width - points[rows, ::-1].argmax(axis=1)
        return spans

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.left), self.width

    def clear(self, top: int, bottom: int) -> None:
        self.left[top:bottom] = self.width
        self.right[top:bottom] = 0

    def add(self, others: Spans) -> None:
        np.minimum(self.left, others.left, out=self.left)
        np.maximum(self.right, others.right, out=self.right)


class View:
    """What a screen has shown when somebody looked last, the same for all pages.

    - pixels: (height, width), RGBA in each; none before the first look.
    - too_large: the resolution, where that is no size to show, and `pixels` are what was seen before.
    """

    def __init__(self) -> None:
        self.pixels: NDArray[np.uint32] = np.zeros((0, 0), np.uint32)
        self.too_large: tuple[int, int] | None = None
        self._generation: int | None = None

    def look(self, screen: Screen) -> Spans | None:
        """See what the screen shows now, and return where that differs; None where it is the same."""
        if screen.generation == self._generation:
            return None
        self._generation = screen.generation
        width, height = screen.resolution
        self.too_large = (width, height) if width * height > MOST_SHOWN else None
        if self.too_large is not None:
            return None
        now = np.ascontiguousarray(screen.pixels).view(np.uint32)[..., 0]
        before, self.pixels = self.pixels, now
        return Spans.true(before != now) if before.shape == now.shape else Spans(*now.shape)


class Picture:
    """What one page does not have of a view: spans, no pixels."""

    def __init__(self) -> None:
        self._new = Spans(0, 0)
        self._next = 0                  # row, from which on it is looked at first: all of it has its turn

    def spoil(self, changed: Spans) -> None:
        """The view is another there."""
        if changed.shape == self._new.shape:
            self._new.add(changed)

    def update(self, pixels: NDArray[np.uint32]) -> Update:
        """The smallest rectangle that holds what is new, or a part of it. `pixels`: (height, width)."""
        if self._new.shape != pixels.shape:
            self._new, self._next = Spans(*pixels.shape), 0         # all is new
        new = self._new
        rows = np.flatnonzero(new.left < new.right)
        if not len(rows):
            return Update(b"", last=True)
        left, right, end = int(new.left[rows].min()), int(new.right[rows].max()), int(rows[-1]) + 1
        top = int(rows[np.searchsorted(rows, self._next)]) if self._next < end else int(rows[0])
        bottom = min(end, top + max(MOST_PIXELS // (right - left), 1))
        self._next = bottom if bottom < end else 0
        new.clear(top, bottom)
        height, width = pixels.shape
        where = RECTANGLE.pack(width, height, left, top, right - left, bottom - top)
        return Update(where + pixels[top:bottom, left:right].tobytes(), last=(top, bottom) == (rows[0], end))
