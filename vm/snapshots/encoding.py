"""Plain data as bytes, and back: None, bool, int of any size, float, str, bytes, list, tuple and dict of these.

A value is one byte that says its kind, and what that needs; lengths and counts are unsigned LEB128. What is made of
other values begins with their number. The same value gives the same bytes, on every computer and Python; the order of
a dict is kept. Reading makes values of these kinds alone and runs no code of what it reads. A length or a count is
held against the bytes that are left before anything is made of it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

DEEPEST = 64                            # values in values; what a machine saves has about 6
LONGEST_LENGTH = 9                      # bytes of a LEB128 number, which makes 63 bits
FLOAT = struct.Struct("<d")
TEXT = ("utf-8", "surrogatepass")       # names of files that are no UTF-8 have surrogates


class EncodingError(ValueError):
    """The bytes are no encoded value, or the value is not plain data. The message says what and where."""


def encode(value: Any) -> bytes:
    """Raises EncodingError for what is not plain data, subclasses included, and for more than DEEPEST levels."""
    out = bytearray()
    _write(out, value, 0)
    return bytes(out)


def decode(data: bytes) -> Any:
    """The value whose encoding is exactly `data`. Raises EncodingError for all other bytes."""
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise EncodingError(f"byte {reader.at}: {len(data) - reader.at} bytes follow the value")
    return value


# --- Writing ---------------------------------------------------------------------------------------------------------

def _write(out: bytearray, value: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise EncodingError(f"more than {DEEPEST} levels of values in values")
    writer = WRITERS.get(type(value))
    if writer is None:
        raise EncodingError(f"a {type(value).__qualname__} is not plain data")
    writer(out, value, depth)


def _write_length(out: bytearray, length: int) -> None:
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)


def _write_bytes(out: bytearray, kind: bytes, data: bytes) -> None:
    out += kind
    _write_length(out, len(data))
    out += data


def _write_int(out: bytearray, value: int, _depth: int) -> None:
    """Two's complement, little-endian, in as few bytes as hold it; 0 has none."""
    size = ((value if value >= 0 else ~value).bit_length() + 8) // 8 if value else 0
    _write_bytes(out, b"i", value.to_bytes(size, "little", signed=True))


def _write_values(out: bytearray, kind: bytes, values: list[Any] | tuple[Any, ...], depth: int) -> None:
    out += kind
    _write_length(out, len(values))
    for value in values:
        _write(out, value, depth + 1)


def _write_dict(out: bytearray, value: dict[Any, Any], depth: int) -> None:
    out += b"m"
    _write_length(out, len(value))
    for key, one in value.items():
        _write(out, key, depth + 1)
        _write(out, one, depth + 1)


WRITERS: dict[type, Callable[[bytearray, Any, int], None]] = {
    type(None): lambda out, _value, _depth: out.extend(b"N"),
    bool: lambda out, value, _depth: out.extend(b"T" if value else b"F"),
    int: _write_int,
    float: lambda out, value, _depth: out.extend(b"d" + FLOAT.pack(value)),
    str: lambda out, value, _depth: _write_bytes(out, b"s", value.encode(*TEXT)),
    bytes: lambda out, value, _depth: _write_bytes(out, b"b", value),
    list: lambda out, value, depth: _write_values(out, b"l", value, depth),
    tuple: lambda out, value, depth: _write_values(out, b"t", value, depth),
    dict: _write_dict,
}


# --- Reading ---------------------------------------------------------------------------------------------------------

class _Reader:
    def __init__(self, data: bytes):
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise EncodingError(f"byte {self.at}: {size} bytes are to follow, and {len(self.data) - self.at} do")
        self.at += size
        return self.data[self.at - size:self.at]

    def length(self) -> int:
        start, value = self.at, 0
        for place in range(LONGEST_LENGTH):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if not byte and place:
                    break
                return value
        raise EncodingError(f"byte {start}: not a length")

    def count(self) -> int:
        """How many values follow, of which each has a byte at least."""
        start, count = self.at, self.length()
        if count > len(self.data) - self.at:
            raise EncodingError(f"byte {start}: {count} values do not fit in the {len(self.data) - self.at} bytes left")
        return count

    def value(self, depth: int) -> Any:
        start = self.at
        if depth > DEEPEST:
            raise EncodingError(f"byte {start}: more than {DEEPEST} levels of values in values")
        reader = READERS.get(self.take(1))
        if reader is None:
            raise EncodingError(f"byte {start}: no kind of value begins with {self.data[start]:#04x}")
        return reader(self, depth)

    def integer(self, _depth: int) -> int:
        start, data = self.at, self.take(self.length())
        value = int.from_bytes(data, "little", signed=True)
        written = bytearray()
        _write_int(written, value, 0)
        if len(written) != 1 + self.at - start:
            raise EncodingError(f"byte {start}: a number in more bytes than it needs")
        return value

    def text(self, _depth: int) -> str:
        start = self.at
        try:
            return self.take(self.length()).decode(*TEXT)
        except UnicodeDecodeError as error:
            raise EncodingError(f"byte {start}: not UTF-8 ({error.reason})") from None

    def values(self, depth: int) -> list[Any]:
        return [self.value(depth + 1) for _ in range(self.count())]

    def mapping(self, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for _ in range(self.count()):
            start, key = self.at, self.value(depth + 1)
            try:
                if key in found:
                    raise EncodingError(f"byte {start}: a key for the second time")
            except TypeError:
                raise EncodingError(f"byte {start}: a key that is no key") from None
            found[key] = self.value(depth + 1)
        return found


READERS: dict[bytes, Callable[[_Reader, int], Any]] = {
    b"N": lambda _reader, _depth: None,
    b"T": lambda _reader, _depth: True,
    b"F": lambda _reader, _depth: False,
    b"i": _Reader.integer,
    b"d": lambda reader, _depth: FLOAT.unpack(reader.take(FLOAT.size))[0],
    b"s": _Reader.text,
    b"b": lambda reader, _depth: reader.take(reader.length()),
    b"l": _Reader.values,
    b"t": lambda reader, depth: tuple(reader.values(depth)),
    b"m": _Reader.mapping,
}
