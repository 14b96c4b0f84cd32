"""What a guest's screen shows, as the smallest rectangle that is new to a page."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECTANGLE = struct.Struct("<6H")        # width and height of the screen; left, top, width, height of what follows


class Picture:
    """What one page has of a screen."""

    def __init__(self) -> None:
        self._shown: NDArray[np.uint32] | None = None

    def update(self, pixels: NDArray[np.uint8]) -> bytes:
        """What has changed, as RECTANGLE and rows of RGBA; nothing where nothing has. `pixels`: (height, width, 4)."""
        now = np.ascontiguousarray(pixels).view(np.uint32)[..., 0]
        height, width = now.shape
        left, top, right, bottom = 0, 0, width, height
        if self._shown is not None and self._shown.shape == now.shape:
            differs = self._shown != now
            rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
            if not len(rows):
                return b""
            left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        self._shown = now.copy()
        where: Any = (width, height, left, top, right - left, bottom - top)
        return RECTANGLE.pack(*where) + now[top:bottom, left:right].tobytes()
