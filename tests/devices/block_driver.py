"""A driver of the block device, for tests (virtio 1.2, section 5.2)."""

import struct

from tests.devices.virtio_driver import DATA, WRITE, Driver
from vm.devices.virtio import BlockDevice

IN, OUT, FLUSH, GET_ID, DISCARD, SECURE_ERASE, WRITE_ZEROES = 0, 1, 4, 8, 11, 14, 13
OK, IOERR, UNSUPP = 0, 1, 2
F_SEG_MAX, F_RO, F_BLK_SIZE, F_FLUSH, F_CONFIG_WCE, F_DISCARD, F_WRITE_ZEROES = (
    1 << bit for bit in (2, 5, 6, 9, 11, 13, 14))

SECTORS = 256
LATENCY = BlockDevice.latency_ns


class Disk(Driver):
    """A block driver: one request at a time, waited for."""

    def request(self, kind, sector=0, payload=b"", length=0):
        """Returns (status, data, length in the used ring)."""
        self.free = DATA
        status = self.place(b"\xff")
        segments = [(*self.place(struct.pack("<IIQ", kind, 0, sector)), 0)]
        if payload:
            segments.append((*self.place(payload), 0))
        data = self.place(bytes(length))
        if length:
            segments.append((*data, WRITE))
        head = self.queues[0].offer([*segments, (*status, WRITE)])
        self.notify()
        self.board.advance(ns=LATENCY)
        (used, written), = self.queues[0].completed()
        assert used == head
        return self.memory.read(*status)[0], self.memory.read(*data), written

    def write(self, sector, payload):
        return self.request(OUT, sector, payload)[0]

    def read(self, sector, count=1):
        status, data, _ = self.request(IN, sector, length=512 * count)
        assert status == OK
        return data


def pattern(sectors, start=0):
    """Every sector filled with its number plus one."""
    return b"".join(bytes([(start + index) % 255 + 1]) * 512 for index in range(sectors))


def ranges(*items):
    return b"".join(struct.pack("<QII", *item) for item in items)
