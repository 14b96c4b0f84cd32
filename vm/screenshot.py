"""A picture of what a guest shows, as a value."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vm.boards.placed import DevicesOfBoard
from vm.devices import Screen
from vm.errors import ConfigurationError
from vm.png import png

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Screenshot:
    """What `Machine.screenshot` took. In a notebook it shows itself.

    `pixels` is an array (height, width, 4): red, green, blue, and 255. `bytes(screenshot)` is a PNG file.
    """

    def __init__(self, pixels: NDArray[np.uint8]):
        self.pixels = pixels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in pixels."""
        height, width = self.pixels.shape[:2]
        return width, height

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a PNG file. Raises OSError."""
        Path(path).write_bytes(bytes(self))

    def __bytes__(self) -> bytes:
        return png(self.pixels[..., :3])

    def _repr_png_(self) -> bytes:
        return bytes(self)

    def __repr__(self) -> str:
        width, height = self.size
        return f"<Screenshot: {width} x {height}>"


def taken(board: DevicesOfBoard) -> Screenshot:
    """Of the first screen there is. Raises ConfigurationError for none."""
    screen = board.first(Screen)
    if screen is None:
        raise ConfigurationError("the machine has no screen: attach a vm.devices.Screen before the guest is booted")
    return Screenshot(screen.pixels)
