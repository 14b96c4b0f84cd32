"""Hostile drivers: rings, descriptors and messages that no driver would make, for every virtio device.

A case is a seed and nothing else. It fills a ring with chains of random descriptors, most of them nearly right, puts
messages that the device knows where some of them point, changes some bytes, notifies the device and lets time pass.
Whatever comes, the device raises nothing, and once it is reset it answers as ever. To see a case, or to run many:

    python -m tests.fuzz.rings net 7
    python -m tests.fuzz.rings all 0 1000000
"""

from __future__ import annotations

import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.devices.conftest import RAM_BASE, RAM_SIZE, Board
from tests.devices.virtio_driver import (
    ACKNOWLEDGE,
    CONFIG,
    F_EVENT_IDX,
    INDIRECT,
    NEEDS_RESET,
    NEXT,
    QUEUE_NOTIFY,
    QUEUE_NUM,
    QUEUE_READY,
    STATUS,
    WRITE,
    Driver,
)
from vm import Machine
from vm.devices import (
    Balloon,
    BlockDevice,
    ComputeDevice,
    Device,
    Entropy,
    Keyboard,
    Network,
    Screen,
    SharedFolder,
    Tablet,
    VirtioConsole,
    Vsock,
)
from vm.net import User

DESCRIPTOR = struct.Struct("<QIHH")
SIZE = 8                            # of a queue
BUFFERS = RAM_BASE + 0x8_0000       # where most descriptors point; the rings lie below
TABLES = RAM_BASE + 0x7_0000        # of indirect descriptors
PLACES = 4                          # of messages, a page each
ODD = (0, 1, 2, 3, 8, 11, 12, 23, 24, 44, 64, 4095, 4096, 0x8000, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0xFFFF_FFFF)
CASES_OF_A_DEVICE = 500             # before a new one is made
SECOND = 10**9


class Kind(NamedTuple):
    """A device, and beginnings of the messages that it knows."""

    make: Callable[[Path], Device]
    messages: tuple[bytes, ...]
    queues: int


def ethernet(kind: int, payload: bytes) -> bytes:
    return bytes(12) + b"\xff" * 6 + bytes.fromhex("525400123456") + struct.pack(">H", kind) + payload


def ipv4(protocol: int, payload: bytes, target: str = "0a000202") -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
    return ethernet(0x0800, head + bytes.fromhex("0a00020f" + target) + payload)


def gpu(command: int, *words: int) -> bytes:
    return struct.pack("<IIQIB3x", command, 0, 0, 0, 0) + struct.pack(f"<{len(words)}I", *words)


def p9(kind: int, body: bytes) -> bytes:
    return struct.pack("<IBH", 7 + len(body), kind, 1) + body


def compute(operation: int, *arrays: bytes, first: int = 0) -> bytes:
    return struct.pack("<QHBBI4Q", 7, operation, len(arrays), 0, 0, first, 0, 0, 0) + b"".join(arrays)


VECTOR = struct.pack("<BBHIQQqQQ", 11, 1, 0, 1, 0, 4, 8, BUFFERS + 0x2000, 32)        # four doubles


def socket(op: int, size: int = 0) -> bytes:
    return struct.pack("<QQIIIHHIII", 3, 2, 1000, 7, size, 1, op, 0, 4096, 0) + bytes(size)


KINDS = {
    "block": Kind(lambda folder: BlockDevice(folder / "disk.img"), tuple(
        struct.pack("<IIQ", kind, 0, sector) for kind in (0, 1, 4, 8, 11, 13) for sector in (0, 7, 1 << 60)), 1),
    "compute": Kind(lambda folder: ComputeDevice(max_bytes=1 << 16, max_work=1 << 16), (
        compute(0), compute(0x40, VECTOR, VECTOR, VECTOR), compute(0x88, VECTOR, VECTOR), compute(0x01, VECTOR, VECTOR),
        compute(0x98, VECTOR, VECTOR), compute(0xB0, VECTOR, first=9), compute(0xF0), compute(0xFF)), 2),
    "console": Kind(lambda folder: VirtioConsole(), (b"text",), 2),
    "entropy": Kind(lambda folder: Entropy(), (b"",), 1),
    "net": Kind(lambda folder: Network(User(restrict=True)), (
        ethernet(0x0806, bytes.fromhex("0001080006040001525400123456" + "0a00020f" + "000000000000" + "0a000202")),
        ipv4(1, b"\x08\0\0\0\0\1\0\1" + bytes(32)),
        ipv4(6, struct.pack(">HHIIBBHHH", 1000, 80, 1, 0, 0x50, 2, 9, 0, 0)),
        ipv4(17, struct.pack(">HHHH", 68, 67, 248, 0) + b"\1\1\6\0" + bytes(232) + bytes.fromhex("63825363350101ff")),
        ipv4(17, struct.pack(">HHHH", 1000, 53, 8 + 17, 0) + bytes(12) + b"\1a\0\0\1", "0a000203"),
        ethernet(0x86DD, struct.pack(">IHBB", 0x6000_0000, 8, 58, 255) + bytes(32) + b"\x85\0\0\0\0\0\0\0")), 2),
    "balloon": Kind(lambda folder: Balloon(), (
        struct.pack("<4I", 0x8_00A0, 0x8_00A1, 0x8_00B0, 0xFFFF_FFFF),
        struct.pack("<HQHQ", 4, 1 << 20, 5, 1 << 30)), 5),
    "gpu": Kind(lambda folder: Screen(64, 64), (
        gpu(0x100), gpu(0x10A, 0, 0), gpu(0x101, 1, 2, 64, 64), gpu(0x103, 0, 0, 64, 64, 0, 1),
        gpu(0x106, 1, 1, BUFFERS, 0, 16384, 0), gpu(0x105, 0, 0, 64, 64, 0, 0, 1, 0), gpu(0x104, 0, 0, 64, 64, 1, 0),
        gpu(0x102, 1, 0), gpu(0x107, 1, 0), gpu(0x300, 0, 0, 0, 0, 1, 0, 0, 0)), 2),
    "keyboard": Kind(lambda folder: Keyboard(), (struct.pack("<HHI", 17, 1, 1),), 2),
    "tablet": Kind(lambda folder: Tablet(), (struct.pack("<HHI", 17, 1, 1),), 2),
    "9p": Kind(lambda folder: SharedFolder(folder / "shared"), (
        p9(100, struct.pack("<IH", 8192, 8) + b"9P2000.L"), p9(104, struct.pack("<IIHHI", 0, 0xFFFF_FFFF, 0, 0, 0)),
        p9(110, struct.pack("<IIH", 0, 1, 0)), p9(110, struct.pack("<IIHH", 0, 2, 1, 4) + b"file"),
        p9(110, struct.pack("<IIHH", 0, 3, 1, 2) + b".."), p9(12, struct.pack("<II", 2, 2)),
        p9(116, struct.pack("<IQI", 2, 0, 4000)), p9(118, struct.pack("<IQI", 2, 0, 5) + b"bytes"),
        p9(24, struct.pack("<IQ", 2, 0x7FF)), p9(40, struct.pack("<IQI", 1, 0, 4000)), p9(120, struct.pack("<I", 2)),
        p9(72, struct.pack("<IH", 0, 1) + b"d" + struct.pack("<II", 0o755, 0))), 1),
    "vsock": Kind(lambda folder: Vsock(), tuple(socket(op) for op in range(8)) + (socket(5, 64),), 3),
}  # fmt: skip


class Bench:
    """A device with a driver that does what cases say."""

    def __init__(self, kind: Kind, folder: Path):
        self.kind = kind
        self.machine = Machine(memory=RAM_SIZE)     # whose RAM it is: the core copies, clears and gives back
        self.board = Board()
        self.board.memory = self.machine.memory
        self.device = kind.make(folder)
        self.driver = Driver(self.board, self.device)
        self.start(F_EVENT_IDX)

    def close(self) -> None:
        self.device.close()
        self.machine.close()

    def start(self, without: int) -> None:
        self.driver.set(STATUS, 0)
        self.driver.queues = []
        self.board.memory.clear(RAM_BASE, TABLES - RAM_BASE)
        self.driver.start(self.driver.offered_features() & ~without, self.kind.queues, SIZE)

    def run(self, seed: int) -> None:
        """One case."""
        random = Random(seed)
        driver, memory = self.driver, self.board.memory
        if random.random() < 0.02 or driver.get(STATUS) & NEEDS_RESET:
            self.start(random.choice((0, F_EVENT_IDX)))
        index = random.randrange(self.kind.queues)
        queue = driver.queues[index]
        for place in range(PLACES):
            memory.write(BUFFERS + 0x1000 * place, self.message(random))
        table, heads = self.chains(random)
        memory.write(queue.descriptors, table)
        count = random.choice((1, 2, len(heads), SIZE if random.random() < 0.9 else random.randrange(0x1_0000)))
        offered = int.from_bytes(memory.read(queue.used + 2, 2), "little") + count & 0xFFFF
        ring = [random.choice(heads) if random.random() < 0.99 else random.randrange(256) for _ in range(SIZE)]
        memory.write(queue.available, struct.pack(f"<HH{SIZE}H", random.randrange(2), offered, *ring))
        if random.random() < 0.01:
            driver.set(random.choice((QUEUE_NUM, QUEUE_READY, STATUS, CONFIG)), random.choice((0, 1, 3, ACKNOWLEDGE)))
        driver.set(QUEUE_NOTIFY, index)
        driver.acknowledge()
        self.board.advance(ns=random.choice((0, 10**5, SECOND)))

    def message(self, random: Random) -> bytearray:
        """One that the device knows, or nearly."""
        message = bytearray(random.choice(self.kind.messages))
        for _ in range(random.choice((0, 0, 0, 1, 3)) if message else 0):
            message[random.randrange(len(message))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        return message

    def chains(self, random: Random) -> tuple[bytes, list[int]]:
        """A table of chains, and their heads: what is read before what is written, but for a mistake now and then."""
        rows: list[list[int]] = []
        heads = []
        while len(rows) < SIZE:
            count = min(random.choice((1, 2, 2, 3)), SIZE - len(rows))
            readable = 1 if random.random() < 0.8 else random.randrange(count + 1)
            heads.append(len(rows))
            for position in range(count):
                length = random.choice((len(random.choice(self.kind.messages)), random.randrange(300), 4096, 4096))
                rows.append([BUFFERS + 0x1000 * random.randrange(PLACES), length,
                             WRITE * (position >= readable) | NEXT * (position < count - 1), len(rows) + 1])
        if random.random() < 0.1:               # through a table of its own, which is what the ring had before
            self.board.memory.write(TABLES, b"".join(DESCRIPTOR.pack(*row) for row in rows))
            rows[heads[0]] = [TABLES, 16 * random.choice((1, 2, SIZE)), INDIRECT, 0]
        if random.random() < 0.15:
            row = random.choice(rows)
            row[0] = random.choice((0, RAM_BASE + RAM_SIZE - 16, RAM_BASE + RAM_SIZE - 1, (1 << 64) - 1, row[0]))
            row[1] = random.choice(ODD)
            row[2] = random.choice((row[2], row[2], random.randrange(1 << 16)))
            row[3] = random.randrange(SIZE + 2)
        return b"".join(DESCRIPTOR.pack(*row) for row in rows), heads


@contextmanager
def scene(name: str) -> Iterator[Callable[[], Bench]]:
    """What makes a bench of a kind, in place of the one before."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as last:
        (Path(folder) / "disk.img").write_bytes(bytes(1 << 20))
        (Path(folder) / "shared").mkdir()
        (Path(folder) / "shared" / "file").write_bytes(b"content" * 1000)

        def make() -> Bench:
            last.close()
            bench = Bench(KINDS[name], Path(folder))
            last.callback(bench.close)
            return bench

        yield make


def run(name: str, first: int, count: int) -> None:
    """So many cases of a kind, from a seed on. A failure names the seed."""
    with scene(name) as make:
        bench = None
        for seed in range(first, first + count):
            if bench is None or seed % CASES_OF_A_DEVICE == 0:
                bench = make()
            try:
                bench.run(seed)
            except Exception as error:
                error.add_note(f"python -m tests.fuzz.rings {name} {seed - seed % CASES_OF_A_DEVICE} "
                               f"{seed % CASES_OF_A_DEVICE + 1}")
                raise


def main(arguments: list[str]) -> None:
    names = list(KINDS) if arguments[0] == "all" else [arguments[0]]
    first, count = int(arguments[1]), int(arguments[2]) if len(arguments) > 2 else 1
    for name in names:
        start = time.perf_counter()
        run(name, first, count)
        print(f"{name}: {count:,} rings in {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
