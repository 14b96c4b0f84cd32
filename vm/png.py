"""Portable Network Graphics (W3C recommendation, third edition), as far as to write a picture takes."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER = struct.Struct(">IIBBBBB")      # width, height, bits of a sample, kind, compression, filter, interlace
TRUECOLOUR = 2                          # the kind: red, green, blue
UNFILTERED = 0                          # of a row: what is on screens compresses best that way
LEVEL = 6                               # of zlib


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The file of an array (height, width, 3): red, green, blue."""
    import numpy as np  # here: to load it takes half as long as to start a machine without

    height, width, samples = pixels.shape
    rows = np.full((height, 1 + width * samples), UNFILTERED, np.uint8)
    rows[:, 1:] = pixels.reshape(height, width * samples)
    header = HEADER.pack(width, height, 8, TRUECOLOUR, 0, 0, 0)
    return (SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes(), LEVEL))
            + chunk(b"IEND", b""))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
