"""kallsyms: the symbols that a kernel carries with itself, found by what their tables look like.

scripts/kallsyms.c of the kernel writes the tables, kernel/kallsyms.c reads them:

- token table: 256 strings, each ended by a zero byte; token index: where each begins, 16 bits each.
- names: of each symbol a length, in one byte or, with bit 7 set, in two, and so many tokens. Put together they are nm's
  letter and the name.
- markers: where the names of every 256th symbol begin, 32 bits each.
- offsets: the address of each symbol less the relative base, 32 bits each.

Each table begins at a multiple of 8. Up to Linux 6.3 offsets, relative base and number stand before the names, later
offsets and relative base stand behind the token index. Between markers and tokens there may be something else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from vm.linux.names import Listed
from vm.linux.paging import KERNEL_HALF

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOKENS = 256
BYTES_OF_INDEX = 2 * TOKENS
DIGITS = b"".join(b"%d\0" % digit for digit in range(10))      # each digit is a token that stands for itself
LONGEST_TOKENS = 1 << 15            # bytes of the token table, at most
SYMBOLS_OF_MARKER = 256
FEWEST_MARKERS = 4                  # by which they are known; a kernel has thousands of symbols
SHORTEST, LONGEST = 2, 128          # bytes of a name in the table, on average over 256
BIG = 0x80                          # in a length: it goes on in the next byte


class Names(NamedTuple):
    """Where the names lie in the image, how many there are, and where that is said."""

    start: int
    number: int
    stored_at: int


def read_kallsyms(image: bytes) -> list[Listed]:
    """The symbols of the kernel in a piece of memory, which begins at a multiple of 8; none where there is no kernel.

    Addresses are those at which it runs: it has relocated the base.
    """
    for start, tokens in token_tables(image):
        index_at = aligned(start + sum(len(token) + 1 for token in tokens))
        for names in names_before(image, start):
            addresses = addresses_of(image, names, index_at + BYTES_OF_INDEX)
            if addresses is not None:
                texts = expanded(image, names, tokens)
                return [Listed(address, text[:1], text[1:])
                        for address, text in zip(addresses, texts, strict=True)]
    return []


def aligned(offset: int) -> int:
    return (offset + 7) // 8 * 8


# --- Tokens ----------------------------------------------------------------------------------------------------------

def token_tables(image: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Where such a table begins, and its tokens: strings whose places are those that the index behind them has."""
    at = image.find(DIGITS)
    while at >= 0:
        for start in starts_of_tokens(image, at):
            tokens = image[start:start + LONGEST_TOKENS].split(b"\0", TOKENS)[:TOKENS]
            places, place = [], 0
            for token in tokens:
                places.append(place)
                place += len(token) + 1
            index = image[aligned(start + place):][:BYTES_OF_INDEX] if place < 1 << 16 else b""
            if len(tokens) == TOKENS and index == struct.pack(f"<{TOKENS}H", *places):
                yield start, tokens
        at = image.find(DIGITS, at + 1)


def starts_of_tokens(image: bytes, digit: int) -> range:
    """Where the table may begin in which "0" is at an offset; what is in front of its first token may be anything."""
    second = digit
    for _ in range(ord("0") - 1):
        second = image.rfind(b"\0", 0, max(second - 1, 0)) + 1
    first = image.rfind(b"\0", 0, max(second - 1, 0)) + 1
    return range(aligned(max(first, second - LONGEST_TOKENS)), second, 8)


# --- Names -----------------------------------------------------------------------------------------------------------

def names_before(image: bytes, tokens_at: int) -> Iterator[Names]:
    """Names with markers in front of the tokens that fit each other, the nearest markers first."""
    import numpy as np

    words: NDArray[Any] = np.frombuffer(image, "<u4", tokens_at // 4)
    steps = np.diff(words.astype(np.int64))
    fitting = (steps >= SHORTEST * SYMBOLS_OF_MARKER) & (steps <= LONGEST * SYMBOLS_OF_MARKER)
    begins = words[:-FEWEST_MARKERS] == 0
    for ahead in range(FEWEST_MARKERS):
        begins &= fitting[ahead:len(begins) + ahead]
    for place in np.flatnonzero(begins[::2])[::-1] * 2:
        run = fitting[place:]
        markers = words[place:][:1 + (len(run) if run.all() else int(np.argmin(run)))]
        numbers = words[:place:2]
        # What follows the markers may look like one or two more.
        right = (numbers <= SYMBOLS_OF_MARKER * len(markers)) & (numbers > SYMBOLS_OF_MARKER * (len(markers) - 3))
        for candidate in np.flatnonzero(right)[::-1]:
            names = Names(8 * int(candidate) + 8, int(numbers[candidate]), 8 * int(candidate))
            if fit(image, names, markers.tolist(), 4 * int(place)):
                yield names


def fit(image: bytes, names: Names, markers: list[int], end: int) -> bool:
    """Whether the names lie where the markers say, and end where these begin."""
    wanted = -(-names.number // SYMBOLS_OF_MARKER)
    at = names.start
    for place in range(names.number):
        if place % SYMBOLS_OF_MARKER == 0 and at - names.start != markers[place // SYMBOLS_OF_MARKER]:
            return False
        length, begin = length_at(image, at)
        at = begin + length
        if at > end or not length:
            return False
    return wanted <= len(markers) and aligned(at) == end


def length_at(image: bytes, at: int) -> tuple[int, int]:
    """How many tokens a name has, and where they begin."""
    length = image[at]
    return (length & ~BIG | image[at + 1] << 7, at + 2) if length & BIG else (length, at + 1)


def expanded(image: bytes, names: Names, tokens: list[bytes]) -> Iterator[bytes]:
    """The letter and the name of each symbol."""
    at = names.start
    for _ in range(names.number):
        length, begin = length_at(image, at)
        at = begin + length
        yield b"".join([tokens[byte] for byte in image[begin:at]])


# --- Addresses -------------------------------------------------------------------------------------------------------

def addresses_of(image: bytes, names: Names, behind_tokens: int) -> list[int] | None:
    """The address of each symbol: they are sorted, and all of them the kernel's. None where they are not there."""
    size = aligned(4 * names.number)
    offsets_at = aligned(behind_tokens)
    return (sorted_addresses(image, names.number, offsets_at, offsets_at + size)
            or sorted_addresses(image, names.number, names.stored_at - 8 - size, names.stored_at - 8))


def sorted_addresses(image: bytes, count: int, offsets_at: int, base_at: int) -> list[int] | None:
    import numpy as np

    if offsets_at < 0 or base_at + 8 > len(image):
        return None
    base, = struct.unpack_from("<Q", image, base_at)
    offsets = np.frombuffer(image, "<u4", count, offsets_at).astype(np.int64)
    if not base & KERNEL_HALF or (np.diff(offsets) < 0).any():
        return None
    return [base + offset for offset in offsets.tolist()]
