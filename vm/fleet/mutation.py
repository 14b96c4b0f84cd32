"""Inputs from inputs: what AFL calls havoc and splice, with words of a dictionary.

Everything follows from the generator that is given, so that a seed says what a fuzzer does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

# Values at which programs go wrong: the ends of what so many bits hold, and powers of two.
INTERESTING = {
    1: (-128, -1, 0, 1, 16, 32, 64, 100, 127),
    2: (-32768, -129, -1, 128, 255, 256, 512, 1000, 1024, 4096, 32767),
    4: (-2147483648, -100663046, -32769, -1, 32768, 65535, 65536, 100663045, 2147483647),
}
BYTES_OF = {size: tuple((value % (1 << 8 * size)).to_bytes(size, order) for value in values
                        for order in ("little", "big"))
            for size, values in INTERESTING.items()}
LARGEST_SUM = 35                        # added to a number, or taken from it
LONGEST_BLOCK = 64                      # copied, inserted or taken away
LONGEST_WALK = 128                      # bytes of an input that is changed at every place
MOST_STACKED = 3                        # powers of two, of changes to one input


def walk(data: bytes) -> Iterator[bytes]:
    """Every interesting value at every place, for inputs that are not long."""
    if len(data) > LONGEST_WALK:
        return
    for size in (2, 1, 4):
        for at in range(len(data) - size + 1):
            for value in BYTES_OF[size]:
                if data[at:at + size] != value:
                    yield data[:at] + value + data[at + size:]


class Mutator:
    """Makes inputs of at most `longest` bytes. `words` are those of a dictionary."""

    def __init__(self, random: Random, longest: int, words: Sequence[bytes] = ()):
        self._random = random
        self._longest = longest
        self._words = list(words)
        changes: list[Callable[[bytearray], None]] = [
            self._flip_bit, self._set_byte, self._set_interesting, self._add, self._set_random, self._remove,
            self._remove, self._insert_copy, self._insert_same, self._overwrite_copy, self._overwrite_same]
        if self._words:
            changes += [self._overwrite_word, self._insert_word, self._insert_word]
        self._changes = changes

    def havoc(self, data: bytes) -> bytes:
        """Several changes at once."""
        changed = bytearray(data)
        random = self._random.random
        changes, count = self._changes, len(self._changes)
        for _ in range(1 << int(random() * (MOST_STACKED + 1))):
            if not changed:
                changed.append(int(random() * 256))
            changes[int(random() * count)](changed)
        return bytes(changed[:self._longest])

    def splice(self, data: bytes, other: bytes) -> bytes:
        """The beginning of one and the end of the other, then havoc."""
        if len(data) < 2 or len(other) < 2:
            return self.havoc(data)
        return self.havoc(data[:self._below(len(data))] + other[self._below(len(other)):])

    def _below(self, end: int) -> int:
        return int(self._random.random() * end)

    def _block(self, size: int) -> tuple[int, int]:
        """Where some of so many bytes begin, and how many: mostly few."""
        length = 1 + self._below(min(size, 4 if self._random.random() < 0.5 else LONGEST_BLOCK))
        return self._below(size - length + 1), length

    # --- In place ----------------------------------------------------------------------------------------------------

    def _flip_bit(self, data: bytearray) -> None:
        data[self._below(len(data))] ^= 1 << self._below(8)

    def _set_byte(self, data: bytearray) -> None:
        data[self._below(len(data))] = self._below(256)

    def _set_random(self, data: bytearray) -> None:
        start, length = self._block(len(data))
        data[start:start + length] = self._random.randbytes(length)

    def _number(self, data: bytearray) -> tuple[int, int]:
        """Where a number may lie, and of how many bytes."""
        size = (1, 2, 4)[self._below(3)]
        if size > len(data):
            size = 1
        return self._below(len(data) - size + 1), size

    def _set_interesting(self, data: bytearray) -> None:
        start, size = self._number(data)
        values = BYTES_OF[size]
        data[start:start + size] = values[self._below(len(values))]

    def _add(self, data: bytearray) -> None:
        start, size = self._number(data)
        order = "little" if self._random.random() < 0.5 else "big"
        number = int.from_bytes(data[start:start + size], order)    # type: ignore[arg-type]
        number += self._below(2 * LARGEST_SUM + 1) - LARGEST_SUM
        data[start:start + size] = (number % (1 << 8 * size)).to_bytes(size, order)     # type: ignore[arg-type]

    def _overwrite_copy(self, data: bytearray) -> None:
        start, length = self._block(len(data))
        to = self._below(len(data) - length + 1)
        data[to:to + length] = data[start:start + length]

    def _overwrite_same(self, data: bytearray) -> None:
        start, length = self._block(len(data))
        data[start:start + length] = bytes((self._below(256),)) * length

    def _overwrite_word(self, data: bytearray) -> None:
        word = self._words[self._below(len(self._words))]
        if len(word) <= len(data):
            start = self._below(len(data) - len(word) + 1)
            data[start:start + len(word)] = word

    # --- Longer and shorter ------------------------------------------------------------------------------------------

    def _remove(self, data: bytearray) -> None:
        if len(data) > 1:
            start, length = self._block(len(data) - 1)
            del data[start:start + length]

    def _insert(self, data: bytearray, piece: bytes) -> None:
        if len(data) + len(piece) <= self._longest:
            at = self._below(len(data) + 1)
            data[at:at] = piece

    def _insert_copy(self, data: bytearray) -> None:
        start, length = self._block(len(data))
        self._insert(data, bytes(data[start:start + length]))

    def _insert_same(self, data: bytearray) -> None:
        _, length = self._block(LONGEST_BLOCK)
        self._insert(data, bytes((self._below(256),)) * length)

    def _insert_word(self, data: bytearray) -> None:
        self._insert(data, self._words[self._below(len(self._words))])
