"""What a monitor says of itself: VESA Enhanced EDID 1.4, one block of 128 bytes, with one timing of its own.

The timing is one of those that VESA CVT 1.2 calls reduced blanking: what a picture without a beam needs.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

LARGEST = 4095                      # pixels in each direction: a timing has 12 bits
REFRESH_RATES = 60, 30, 15          # Hz: the first whose pixel clock can be written down
SMALLEST_CLOCK, LARGEST_CLOCK = 1000, 0xFFFF        # in units of 10 kHz; what is slower is taken for no timing

HORIZONTAL_BLANK, HORIZONTAL_FRONT, HORIZONTAL_SYNC = 160, 48, 32       # pixels; CVT, table 5.4 (reduced blanking)
SHORTEST_VERTICAL_BLANK = 460e-6    # seconds
VERTICAL_FRONT, SHORTEST_VERTICAL_BACK = 3, 6           # lines
VERTICAL_SYNCS = {(4, 3): 4, (16, 9): 5, (16, 10): 6, (5, 4): 7, (15, 9): 7}        # lines, by width : height
OTHER_SYNC = 10
POSITIVE_H_NEGATIVE_V = 0x1A        # separate sync, as CVT has it for reduced blanking

HEADER = bytes.fromhex("00ffffffffffff00")
MAKER, PRODUCT, NAME = "VMX", 1, b"vm screen"
MODEL_YEAR = 2026
DIGITAL_8_BITS = 0xA0               # of each colour; the kind of interface is not said
GAMMA = 2.2
SRGB_AND_NATIVE = 0x06              # sRGB is the colour space, and the first timing that of the pixels
# Of sRGB (IEC 61966-2-1): x and y of red, green, blue and white
CHROMATICITIES = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), (0.3127, 0.3290))
ESTABLISHED = bytes([0x21, 0x08, 0x00])     # 640x480, 800x600 and 1024x768 at 60 Hz: for who wants less
UNUSED_TIMING = b"\x01\x01"
DOTS_PER_INCH = 96
NAME_TAG, DUMMY_TAG = 0xFC, 0x10


class Timing(NamedTuple):
    clock: int                      # in units of 10 kHz
    blank: int                      # lines between two pictures
    sync: int                       # how many of these are the pulse


def edid(width: int, height: int) -> bytes:
    """The block for a screen of so many pixels, 1 to 4095 in each direction."""
    timing = next(found for rate in REFRESH_RATES if (found := timing_of(width, height, rate)).clock <= LARGEST_CLOCK)
    letters = sum(ord(letter) - ord("A") + 1 << shift for letter, shift in zip(MAKER, (10, 5, 0), strict=True))
    block = HEADER + struct.pack(">H", letters) + struct.pack("<HI", PRODUCT, 0)
    block += bytes([0xFF, MODEL_YEAR - 1990, 1, 4])     # no week: the year is the model's
    block += bytes([DIGITAL_8_BITS, *(min(millimetres(pixels) // 10, 255) or 1 for pixels in (width, height)),
                    round(GAMMA * 100) - 100, SRGB_AND_NATIVE])
    block += colours() + ESTABLISHED + 8 * UNUSED_TIMING
    block += detailed(width, height, timing)
    block += descriptor(NAME_TAG, (NAME + b"\n").ljust(13))
    block += 2 * descriptor(DUMMY_TAG, bytes(13)) + b"\0"       # no extensions
    return block + bytes([-sum(block) & 0xFF])


def timing_of(width: int, height: int, rate: int) -> Timing:
    line = (1 / rate - SHORTEST_VERTICAL_BLANK) / height                # seconds, about
    sync = next((lines for (across, down), lines in VERTICAL_SYNCS.items() if width * down == height * across),
                OTHER_SYNC)
    blank = max(int(SHORTEST_VERTICAL_BLANK / line) + 1, VERTICAL_FRONT + sync + SHORTEST_VERTICAL_BACK)
    clock = rate * (width + HORIZONTAL_BLANK) * (height + blank) // 250_000 * 25       # in steps of 0.25 MHz
    return Timing(max(clock, SMALLEST_CLOCK), blank, sync)


def millimetres(pixels: int) -> int:
    return round(pixels * 25.4 / DOTS_PER_INCH)


def colours() -> bytes:
    """Ten bits each: the low two of all come first (3.7)."""
    values = [round(value * 1024) for pair in CHROMATICITIES for value in pair]
    low = [sum((value & 3) << shift for value, shift in zip(four, (6, 4, 2, 0), strict=True))
           for four in (values[:4], values[4:])]
    return bytes([*low, *(value >> 2 for value in values)])


def detailed(width: int, height: int, timing: Timing) -> bytes:
    """A detailed timing descriptor (3.10.2): low bytes, and the high bits of several together."""
    across, down = millimetres(width), millimetres(height)
    return struct.pack(
        "<H16B", timing.clock,
        width & 0xFF, HORIZONTAL_BLANK & 0xFF, width >> 8 << 4 | HORIZONTAL_BLANK >> 8,
        height & 0xFF, timing.blank & 0xFF, height >> 8 << 4 | timing.blank >> 8,
        HORIZONTAL_FRONT, HORIZONTAL_SYNC, VERTICAL_FRONT << 4 | timing.sync, 0,
        across & 0xFF, down & 0xFF, across >> 8 << 4 | down >> 8,
        0, 0, POSITIVE_H_NEGATIVE_V)


def descriptor(tag: int, data: bytes) -> bytes:
    return bytes([0, 0, 0, tag, 0]) + data
