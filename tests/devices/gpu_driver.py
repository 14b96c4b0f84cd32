"""What a driver of the GPU device says (virtio 1.2, section 5.7.6), on the driver of tests."""

import struct
from typing import NamedTuple

from tests.devices.virtio_driver import F_INDIRECT_DESC, WRITE, Driver

GET_DISPLAY_INFO, CREATE, UNREF, SET_SCANOUT, FLUSH, TRANSFER = range(0x100, 0x106)
ATTACH, DETACH, GET_CAPSET_INFO, GET_CAPSET, GET_EDID = range(0x106, 0x10B)
UPDATE_CURSOR, MOVE_CURSOR = 0x300, 0x301
OK_NODATA, OK_DISPLAY_INFO, OK_EDID = 0x1100, 0x1101, 0x1104
UNSPEC, OUT_OF_MEMORY, INVALID_SCANOUT, INVALID_RESOURCE, INVALID_CONTEXT, INVALID_PARAMETER = range(0x1200, 0x1206)
FENCE, RING = 1, 2
F_EDID = 1 << 1

B8G8R8A8, B8G8R8X8, A8R8G8B8, X8R8G8B8, R8G8B8A8, X8B8G8R8, A8B8G8R8, R8G8B8X8 = 1, 2, 3, 4, 67, 68, 121, 134
HEADER = struct.Struct("<IIQIB3x")
LONGEST, ROOM = 2048, 0x4000        # bytes of an answer, and of all that one command needs
LONGEST_REST = 4_000_000            # ns: after a resource as large as all may be


class Answer(NamedTuple):
    type: int
    flags: int
    fence: int
    context: int
    ring: int
    body: bytes


class GpuDriver(Driver):
    """`command` says anything; the others are the commands, which give the type of the answer."""

    def __init__(self, board, device):
        super().__init__(board, device)
        self.start(features=F_EDID | F_INDIRECT_DESC, queues=2)
        self.buffers = self.free        # where commands go, one at a time
        self.free += ROOM

    def command(self, type, body=b"", flags=0, fence=0, context=0, ring=0, queue=0, room=LONGEST):
        free, self.free = self.free, self.buffers
        request = self.place(HEADER.pack(type, flags, fence, context, ring) + body)
        answer = self.place(bytes(room)) if room else None
        assert self.free <= self.buffers + ROOM
        self.free = free
        self.queues[queue].offer([(*request, 0), *([(*answer, WRITE)] if room else [])])
        self.notify(queue)
        if not (completed := self.queues[queue].completed()):       # it rests
            self.board.advance(ns=LONGEST_REST)
            completed = self.queues[queue].completed()
        (_, written), = completed
        data = self.memory.read(answer[0], written) if room else b""
        return Answer(*HEADER.unpack_from(data), data[HEADER.size:]) if len(data) >= HEADER.size else None

    def kind(self, type, body=b"", **options):
        return self.command(type, body, **options).type

    def create(self, number, width, height, format=B8G8R8X8):
        return self.kind(CREATE, struct.pack("<4I", number, format, width, height))

    def attach(self, number, *pieces):
        entries = b"".join(struct.pack("<QI4x", *piece) for piece in pieces)
        return self.kind(ATTACH, struct.pack("<II", number, len(pieces)) + entries)

    def detach(self, number):
        return self.kind(DETACH, struct.pack("<I4x", number))

    def unref(self, number):
        return self.kind(UNREF, struct.pack("<I4x", number))

    def transfer(self, number, x, y, width, height, offset=0):
        return self.kind(TRANSFER, struct.pack("<4IQI4x", x, y, width, height, offset, number))

    def scanout(self, number, x, y, width, height, scanout=0):
        return self.kind(SET_SCANOUT, struct.pack("<6I", x, y, width, height, scanout, number))

    def flush(self, number, x, y, width, height):
        return self.kind(FLUSH, struct.pack("<5I4x", x, y, width, height, number))

    def cursor(self, type, number=0, x=0, y=0, scanout=0, **options):
        body = struct.pack("<Iii4xIII4x", scanout, x, y, number, 0, 0)
        return self.command(type, body, queue=1, **options)

    def picture(self, number, pixels, format=B8G8R8X8):
        """A resource with this content, (height, width, 4) bytes of its format; returns where the guest has it."""
        height, width = pixels.shape[:2]
        self.free = (self.free + 4095) & ~4095
        place = self.place(pixels.tobytes())
        assert self.create(number, width, height, format) == OK_NODATA
        assert self.attach(number, place) == OK_NODATA
        assert self.transfer(number, 0, 0, width, height) == OK_NODATA
        return place[0]
