"""Requests to the compute device as they lie in guest memory, and the checks that need nothing but the request.

    request     u64 tag, u16 operation, u8 arrays, u8 0, u32 name length, u64 parameters[4], then the arrays, the name
    array       u8 type, u8 rank, u16 0, u32 segments, u64 offset, u64 shape[rank], s64 strides[rank], then for each
                segment u64 address, u64 length
    reply       u32 status, u32 which array, u64 bytes written

Nothing here trusts the guest: whatever a request says, it becomes a `Request` whose every array lies within its
segments, or it is `Refused`. Numbers are Python's, which do not overflow.
"""

from __future__ import annotations

import math
import struct
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

HEADER = struct.Struct("<QHBBI4Q")
ARRAY = struct.Struct("<BBHIQ")
SEGMENT = struct.Struct("<QQ")
REPLY = struct.Struct("<IIQ")
TAG = 8                                 # bytes at the front: of no meaning for what is computed

MAXIMUM_RANK = 8
MAXIMUM_ARRAYS = 8
MAXIMUM_SEGMENTS = 1 << 16              # of one array
MAXIMUM_REQUEST = 1 << 20               # bytes
MAXIMUM_NAME = 255
NO_ARRAY = 0xFFFF_FFFF                  # of a reply: no array is at fault
NUMPY, CUPY = 1, 2                      # backends, as the configuration space says it

# By their numbers in a request
TYPES: tuple[np.dtype[Any], ...] = tuple(np.dtype(name) for name in (
    "bool", "<i1", "<i2", "<i4", "<i8", "<u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8", "<c8", "<c16"))


class Status(IntEnum):
    OK = 0
    UNSUPPORTED = 1                     # no such operation here
    MALFORMED = 2                       # lengths, counts, reserved fields, parameters
    TYPE = 3                            # the operation has no such types
    SHAPE = 4                           # or no such shapes
    LAYOUT = 5                          # offset, strides or alignment
    ADDRESS = 6                         # a segment is not RAM
    LIMIT = 7                           # more than the device does in one request
    VALUE = 8                           # an index outside its array, or another value that has no result
    CANCELLED = 9
    NOT_FOUND = 10                      # no function of that name, no request with that tag
    FAILED = 11                         # the host's function raised
    BACKEND = 12                        # the host could not: out of memory, or its GPU


class Refused(Exception):
    """A request ends with a status other than OK, because of the array of that number. Nothing was written."""

    def __init__(self, status: Status, array: int = NO_ARRAY):
        super().__init__(status.name)
        self.status = status
        self.array = array


class Layout(NamedTuple):
    """An array of the guest.

    - pieces: of memory, (address, length), from the first byte of its elements to the last; none if it has none.
    - start: where element [0, 0, ...] begins, in bytes from the first of those.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    pieces: tuple[tuple[int, int], ...] = ()
    start: int = 0

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, as if each were there once."""
        return self.size * self.dtype.itemsize

    @property
    def dense(self) -> bool:
        """Whether the elements lie in the order of C, without gaps."""
        step = self.dtype.itemsize
        for length, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if length > 1 and stride != step:
                return False
            step *= length
        return True


class Request(NamedTuple):
    """A request without its tag, taken apart."""

    operation: int
    parameters: tuple[int, int, int, int]
    arrays: tuple[Layout, ...]
    name: str


def parse(data: bytes, largest: int) -> Request:
    """What a request of at least a header says. `largest`: bytes that an array may span. Raises Refused."""
    _, operation, count, reserved, name_length, *parameters = HEADER.unpack_from(data)
    if reserved or count > MAXIMUM_ARRAYS or name_length > MAXIMUM_NAME:
        raise Refused(Status.MALFORMED)
    position = HEADER.size
    arrays = []
    for number in range(count):
        try:
            layout, position = parse_array(data, position, largest)
        except Refused as refusal:
            raise Refused(refusal.status, number) from None
        arrays.append(layout)
    if position + name_length != len(data):
        raise Refused(Status.MALFORMED)
    try:
        name = data[position:].decode()
    except UnicodeDecodeError:
        raise Refused(Status.MALFORMED) from None
    return Request(operation, tuple(parameters), tuple(arrays), name)


def parse_array(data: bytes, position: int, largest: int) -> tuple[Layout, int]:
    """The array that is described at `position`, and where what follows begins. Raises Refused."""
    if len(data) - position < ARRAY.size:
        raise Refused(Status.MALFORMED)
    type_number, rank, reserved, count, offset = ARRAY.unpack_from(data, position)
    if reserved:
        raise Refused(Status.MALFORMED)
    if type_number >= len(TYPES):
        raise Refused(Status.TYPE)
    if rank > MAXIMUM_RANK or count > MAXIMUM_SEGMENTS:
        raise Refused(Status.LIMIT)
    position += ARRAY.size
    end = position + 16 * rank + SEGMENT.size * count
    if end > len(data):
        raise Refused(Status.MALFORMED)
    shape = struct.unpack_from(f"<{rank}Q", data, position)
    strides = struct.unpack_from(f"<{rank}q", data, position + 8 * rank)
    segments = merged(SEGMENT.iter_unpack(data[position + 16 * rank:end]))
    return laid_out(TYPES[type_number], shape, strides, offset, segments, largest), end


def laid_out(dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...], offset: int,
             segments: tuple[tuple[int, int], ...], largest: int) -> Layout:
    """The layout, checked: all elements lie in the segments, aligned. Raises Refused."""
    if math.prod([max(length, 1) for length in shape]) * dtype.itemsize > largest:
        raise Refused(Status.LIMIT)         # also of an array without elements, of which NumPy demands that
    if 0 in shape:
        return Layout(dtype, shape, strides)
    reaches = [(length - 1) * stride for length, stride in zip(shape, strides, strict=True)]
    low = offset + sum([reach for reach in reaches if reach < 0])
    high = offset + sum([reach for reach in reaches if reach > 0]) + dtype.itemsize
    if low < 0 or high > sum([length for _, length in segments]):
        raise Refused(Status.LAYOUT)
    if high - low > largest:
        raise Refused(Status.LIMIT)
    # The stride of a single element leads nowhere, and NumPy would have it in the array.
    strides = tuple([stride if length > 1 else 0 for length, stride in zip(shape, strides, strict=True)])
    if any([place % dtype.alignment for place in (segments[0][0], offset, *strides)]):
        raise Refused(Status.LAYOUT)
    return Layout(dtype, shape, strides, cut(segments, low, high), offset - low)


def cut(segments: tuple[tuple[int, int], ...], low: int, high: int) -> tuple[tuple[int, int], ...]:
    """The pieces of memory from byte `low` of the segments to the one before `high`."""
    found = []
    start = 0
    for address, length in segments:
        first, last = max(low - start, 0), min(high - start, length)
        if first < last:
            found.append((address + first, last - first))
        start += length
    return tuple(found)


def merged(segments: Any) -> tuple[tuple[int, int], ...]:
    """The (address, length) pairs with those that touch made one: drivers give memory page by page. Raises Refused."""
    found: list[tuple[int, int]] = []
    end = -1
    for address, length in segments:
        if address + length > 1 << 64:
            raise Refused(Status.ADDRESS)
        if not length:
            continue
        if address == end:
            found[-1] = found[-1][0], found[-1][1] + length
        else:
            found.append((address, length))
        end = address + length
    return tuple(found)


def apart(layout: Layout) -> bool:
    """Whether no two elements lie in the same bytes, as must be where they are written.

    Each stride must step over all that the smaller ones span: so it is with whatever is cut out of an array.
    """
    if not layout.pieces:
        return True                         # there are none
    span = layout.dtype.itemsize
    for stride, length in sorted((abs(stride), length) for stride, length in zip(layout.strides, layout.shape,
                                                                                strict=True) if length > 1):
        if stride < span:
            return False
        span += stride * (length - 1)
    return True
