"""A virtio driver as tests need it: registers, rings, descriptors by hand (virtio 1.2, sections 2.7, 4.2)."""

import struct

MAGIC, VERSION, DEVICE_ID, VENDOR = 0x000, 0x004, 0x008, 0x00C
DEVICE_FEATURES, DEVICE_FEATURES_SEL, DRIVER_FEATURES, DRIVER_FEATURES_SEL = 0x010, 0x014, 0x020, 0x024
PAGE_SIZE, QUEUE_ALIGN, QUEUE_PAGE = 0x028, 0x03C, 0x040          # legacy
QUEUE_SEL, QUEUE_NUM_MAX, QUEUE_NUM, QUEUE_READY, QUEUE_NOTIFY = 0x030, 0x034, 0x038, 0x044, 0x050
INTERRUPT_STATUS, INTERRUPT_ACK, STATUS = 0x060, 0x064, 0x070
QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE = 0x080, 0x090, 0x0A0
SHM_SEL, SHM_LEN, SHM_BASE = 0x0AC, 0x0B0, 0x0B8
CONFIG_GENERATION, CONFIG = 0x0FC, 0x100

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 64, 128
F_INDIRECT_DESC, F_EVENT_IDX, F_VERSION_1 = 1 << 28, 1 << 29, 1 << 32
NEXT, WRITE, INDIRECT = 1, 2, 4

RAM = 0x8000_0000
DATA = RAM + 0x4_0000               # where `place` puts buffers, below it the queues: 0x1_0000 bytes each


class DriverQueue:
    """One queue's rings in guest memory. Offers buffers as lists of (address, length, flags)."""

    def __init__(self, memory, base, size):
        self.memory = memory
        self.size = size
        self.descriptors, self.available, self.used = base, base + 0x4000, base + 0x8000
        self.offered = 0            # available ring's idx
        self.seen = 0               # used ring's idx as far as `completed` has read it
        self.free = 0               # next descriptor

    def half(self, address, value=None):
        if value is None:
            return int.from_bytes(self.memory.read(address, 2), "little")
        self.memory.write(address, (value & 0xFFFF).to_bytes(2, "little"))

    def describe(self, table, index, address, length, flags=0, following=0):
        self.memory.write(table + 16 * index, struct.pack("<QIHH", address, length, flags, following))

    def chain(self, segments, table=None, first=0, wrap=1 << 16):
        """Descriptors for the segments, linked; returns the index of the first."""
        for position, (address, length, flags) in enumerate(segments):
            index, following = (first + position) % wrap, (first + position + 1) % wrap
            last = position == len(segments) - 1
            self.describe(table or self.descriptors, index, address, length, flags | (0 if last else NEXT),
                          0 if last else following)
        return first

    def offer(self, segments):
        """Make a buffer of direct descriptors available; returns its head."""
        head = self.chain(segments, first=self.free, wrap=self.size)
        self.free = (self.free + len(segments)) % self.size
        self.publish(head)
        return head

    def offer_indirect(self, segments, table):
        """The same through a table of its own."""
        self.chain(segments, table)
        return self.offer([(table, 16 * len(segments), INDIRECT)])

    def publish(self, head):
        self.half(self.available + 4 + 2 * (self.offered % self.size), head)
        self.offered += 1
        self.half(self.available + 2, self.offered)

    def completed(self):
        """The (head, length) of every buffer that came back since the last call."""
        stop = self.half(self.used + 2)
        back = []
        while self.seen & 0xFFFF != stop:
            back.append(struct.unpack("<II", self.memory.read(self.used + 4 + 8 * (self.seen % self.size), 8)))
            self.seen += 1
        return back

    def set_used_event(self, index):
        self.half(self.available + 4 + 2 * self.size, index)

    def avail_event(self):
        return self.half(self.used + 4 + 8 * self.size)


class Driver:
    """A driver of one device. `start` does all of section 3.1.1; single steps can be done by hand."""

    def __init__(self, board, device):
        self.board = board
        self.device = board.connect(device)
        self.memory = board.memory
        self.queues = []
        self.free = DATA

    def get(self, offset, size=4):
        return self.device.read(offset, size)

    def set(self, offset, value, size=4):
        self.device.write(offset, size, value)

    def offered_features(self):
        self.set(DEVICE_FEATURES_SEL, 0)
        low = self.get(DEVICE_FEATURES)
        self.set(DEVICE_FEATURES_SEL, 1)
        return self.get(DEVICE_FEATURES) << 32 | low

    def negotiate(self, features):
        """Up to FEATURES_OK; returns whether the device accepted."""
        self.set(STATUS, ACKNOWLEDGE)
        self.set(STATUS, ACKNOWLEDGE | DRIVER)
        for half in (0, 1):
            self.set(DRIVER_FEATURES_SEL, half)
            self.set(DRIVER_FEATURES, features >> 32 * half & 0xFFFF_FFFF)
        self.set(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK)
        return bool(self.get(STATUS) & FEATURES_OK)

    def set_up_queue(self, index, size=8):
        queue = DriverQueue(self.memory, RAM + 0x1_0000 * index, size)
        self.set(QUEUE_SEL, index)
        self.set(QUEUE_NUM, size)
        for register, address in ((QUEUE_DESC, queue.descriptors), (QUEUE_DRIVER, queue.available),
                                  (QUEUE_DEVICE, queue.used)):
            self.set(register, address & 0xFFFF_FFFF)
            self.set(register + 4, address >> 32)
        self.set(QUEUE_READY, 1)
        self.queues.append(queue)
        return queue

    def start(self, features=None, queues=1, size=8):
        """All of the initialization, by default with every feature but the event index; returns the driver."""
        assert self.negotiate(self.offered_features() & ~F_EVENT_IDX if features is None else features | F_VERSION_1)
        for index in range(queues):
            self.set_up_queue(index, size)
        self.set(STATUS, self.get(STATUS) | DRIVER_OK)
        return self

    def notify(self, index=0):
        self.set(QUEUE_NOTIFY, index)

    def acknowledge(self):
        """Acknowledge all interrupts; returns what they were."""
        causes = self.get(INTERRUPT_STATUS)
        self.set(INTERRUPT_ACK, causes)
        return causes

    def place(self, data):
        """Put a buffer into guest memory (bytes, or a number of zeros); returns (address, length)."""
        data = bytes(data)
        address, self.free = self.free, self.free + (len(data) + 15 & ~15)
        self.memory.write(address, data)
        return address, len(data)
