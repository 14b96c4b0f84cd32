"""Random numbers of the compute device: the same of a seed on every host, with every NumPy and every backend.

Philox4x64-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011) with the seed as key
and a counter from 1 gives words of 64 bits, whose order NumPy keeps for good; the distributions are made of them here,
since those of numpy.random may change.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 1 << 16                       # numbers; an even number, since normal ones come in pairs


def as_double(word: int) -> float:
    """A parameter that is the bits of a double."""
    value: float = struct.unpack("<d", struct.pack("<Q", word))[0]
    return value


def uniform(words: NDArray[np.uint64], low: int, high: int) -> NDArray[Any]:
    """At least the double `low`, less than `high` but for rounding: of the upper 53 bits of each word."""
    least = as_double(low)
    return least + (as_double(high) - least) * ((words >> np.uint64(11)) * 2.0 ** -53)


def normal(words: NDArray[np.uint64], mean: int, deviation: int) -> NDArray[Any]:
    """By Box and Muller: of two words one radius and one angle, which give two numbers."""
    first, second = ((words[start::2] >> np.uint64(11)) * 2.0 ** -53 for start in (0, 1))
    radius, angle = np.sqrt(-2 * np.log1p(-first)), 2 * np.pi * second
    numbers = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=-1).reshape(-1)
    return as_double(mean) + as_double(deviation) * numbers


def integers(words: NDArray[np.uint64], low: int, count: int) -> NDArray[Any]:
    """`low` and the `count` - 1 numbers above it, modulo 2**64; of 0, any: the remainder of the word."""
    return np.uint64(low) + (words % np.uint64(count) if count else words)


def fill(output: NDArray[Any], make: Any, seed: int, first: int, second: int) -> None:
    """`make` one of the functions above: its numbers in the order of C, each cast to the output's type."""
    source = np.random.Philox(key=seed)
    done = 0
    with np.errstate(all="ignore"):
        while done < output.size:
            count = min(AT_ONCE, output.size - done)
            words = source.random_raw(count + count % 2)
            output.flat[done:done + count] = make(words, first, second)[:count].astype(output.dtype)
            done += count
