"""A driver of the compute device, written from docs/devices/compute.md: requests by hand, arrays in guest memory."""

import struct
from typing import NamedTuple

import numpy as np

from tests.devices.conftest import Board
from tests.devices.virtio_driver import RAM, WRITE, Driver
from vm import Machine

OK, UNSUPPORTED, MALFORMED, TYPE, SHAPE, LAYOUT, ADDRESS, LIMIT = range(8)
VALUE, CANCELLED, NOT_FOUND, FAILED, BACKEND = range(8, 13)
EMPTY, COPY, ADD, MATMUL, SORT, CALL, CANCEL = 0x00, 0x01, 0x40, 0x90, 0x88, 0xF0, 0xFF
ALL_AXES = (1 << 64) - 1
NO_ARRAY = 0xFFFF_FFFF
TYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
         "float64", "complex64", "complex128")
REQUESTS = RAM + 0x10_0000          # where requests and replies lie, a slot each
SLOT = 0x2_0000
ARRAYS = RAM + 0x80_0000            # and arrays, one behind the other
MEMORY = 64 << 20


class Array(NamedTuple):
    """An array as a request describes it."""

    type: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    segments: tuple[tuple[int, int], ...]

    def packed(self):
        words = [word & (1 << 64) - 1 for word in (*self.shape, *self.strides)]
        words += [word for segment in self.segments for word in segment]
        head = struct.pack("<BBHIQ", self.type, len(self.shape), 0, len(self.segments), self.offset)
        return head + struct.pack(f"<{len(words)}Q", *words)


class Reply(NamedTuple):
    status: int
    array: int
    written: int


def request(operation, arrays=(), parameters=(), name=b"", tag=0):
    words = [*(word & (1 << 64) - 1 for word in parameters), 0, 0, 0, 0][:4]
    head = struct.pack("<QHBBI4Q", tag, operation, len(arrays), 0, len(name), *words)
    return head + b"".join(array.packed() for array in arrays) + name


def type_of(dtype):
    return TYPES.index(np.dtype(dtype).name)


class Computer:
    """A compute device on a bench, with the RAM of a machine, and its driver."""

    def __init__(self, device, machine=None):
        self.machine = machine or Machine(memory=MEMORY)
        self.board = Board()
        self.board.memory = self.memory = self.machine.memory
        self.device = device
        self.driver = Driver(self.board, device).start(queues=device.queue_count)
        self.free = ARRAYS
        self.slot = 0

    def place(self, values):
        """Put an array in guest memory, with the strides that it has here; returns its description."""
        values = np.asarray(values)
        low, high = np.lib.array_utils.byte_bounds(values)
        start = values.__array_interface__["data"][0]
        address, self.free = self.free, self.free + (high - low + 63 & ~63)
        assert self.free < RAM + MEMORY
        array = Array(type_of(values.dtype), values.shape, values.strides, start - low, ((address, high - low),))
        if values.size:
            with self.memory.writable(address, high - low) as view:
                self.over(array, view)[...] = values
        return array

    def room(self, shape, dtype):
        return self.place(np.zeros(shape, dtype))

    def over(self, array, view):
        return np.ndarray(array.shape, TYPES[array.type], view, array.offset, array.strides)

    def value(self, array):
        """A copy of what the array holds."""
        return self.over(array, b"".join(self.memory.read(*segment) for segment in array.segments)).copy()

    def offer(self, data, index=0):
        """Make a request available; returns where its reply will be."""
        address, self.slot = REQUESTS + SLOT * (self.slot % 8), self.slot + 1
        self.memory.write(address + 0x100, data)
        self.memory.write(address, b"\xEE" * 16)
        self.driver.queues[index].offer([(address + 0x100, len(data), 0), (address, 16, WRITE)])
        return address

    def reply(self, address):
        return Reply(*struct.unpack("<IIQ", self.memory.read(address, 16)))

    def ask(self, data, index=0):
        """A request, and its reply."""
        address = self.offer(data, index)
        self.driver.notify(index)
        self.driver.acknowledge()
        return self.reply(address)

    def do(self, operation, inputs, output, parameters=(), index=0):
        """An operation on descriptions; returns the reply."""
        return self.ask(request(operation, [*inputs, output], parameters), index)

    def close(self):
        self.device.close()
        self.machine.close()
