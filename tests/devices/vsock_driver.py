"""A guest's end of a virtio socket device, by hand: packets in and out (virtio 1.2, section 5.10)."""

import struct
from typing import NamedTuple

from tests.devices.conftest import ScriptedMachine
from tests.devices.virtio_driver import WRITE, Driver
from vm.devices.virtio import Vsock

REQUEST, RESPONSE, RST, SHUTDOWN, RW, CREDIT_UPDATE, CREDIT_REQUEST = range(1, 8)
GUEST, HOST = 3, 2
STREAM, SEQPACKET = 1, 2
HEADER = struct.Struct("<QQIIIHHIII")
ROOM = 1 << 16                      # that the guest says it has
BUFFER_SIZE = 4096
PAUSE_NS = 10_000                   # of a device that has had many packets
TX_AREA, RX_AREA = 0x8004_0000, 0x8008_0000


class Packet(NamedTuple):
    source: int
    target: int
    source_port: int
    target_port: int
    size: int
    type: int
    op: int
    flags: int
    room: int
    taken: int
    data: bytes = b""


class Guest(ScriptedMachine):
    """The driver, and its machine."""

    def __init__(self, board, device=None, buffers=8):
        self.device = device or Vsock()
        super().__init__(self.device)
        self.board = board
        self.driver = Driver(board, self.device).start(queues=3, size=16)
        self.memory = board.memory
        self.given = []
        self.give(buffers)

    def give(self, count, size=BUFFER_SIZE):
        """Buffers for packets to the guest."""
        for _ in range(count):
            address = RX_AREA + len(self.given) % 16 * BUFFER_SIZE
            self.given.append(address)
            self.driver.queues[0].offer([(address, size, WRITE)])
        self.driver.notify(0)

    def packets(self):
        """What has come since the last call; the buffers are given again."""
        found = []
        for head, length in self.driver.queues[0].completed():
            raw = self.memory.read(RX_AREA + head * BUFFER_SIZE, length)
            found.append(Packet(*HEADER.unpack_from(raw), raw[HEADER.size:]))
        self.give(len(found))
        return found

    def post(self, op, source_port, target_port, data=b"", *, size=None, flags=0, room=ROOM, taken=0, kind=STREAM,
             source=GUEST, target=HOST):
        """Put a packet into the queue, and say nothing of it."""
        size = len(data) if size is None else size
        raw = HEADER.pack(source, target, source_port, target_port, size, kind, op, flags, room, taken) + data
        address = TX_AREA + self.driver.queues[1].offered % 16 * 0x4000
        self.memory.write(address, raw)
        self.driver.queues[1].offer([(address, len(raw), 0)])

    def send(self, *arguments, **options):
        self.post(*arguments, **options)
        self.driver.notify(1)
        self.board.advance(ns=PAUSE_NS)

    # --- Connections -------------------------------------------------------------------------------------------------

    def opened(self, port=1024, **options):
        """The host connects to this port: its end."""
        def answer():
            packet, = self.packets()
            assert (packet.op, packet.source, packet.target, packet.target_port) == (REQUEST, HOST, GUEST, port)
            self.send(RESPONSE, port, packet.source_port, **options)
        self.script.append(answer)
        return self.device.connect_to(port)
