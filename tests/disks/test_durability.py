"""A process that writes a disk is killed at any moment: what was flushed is there, and the image is sound."""

import os
import random
import signal
import struct
import subprocess
import sys
import textwrap

import pytest

from tests.disks.conftest import content_of
from vm import disks
from vm.disks.chain import open_image

SIZE = 8 << 20
ROUNDS = 50
WRITES = 6                      # between two flushes

# Writes sectors that name their round, flushes, and says so; it goes through the device, as a guest would.
CHILD = textwrap.dedent("""
    import os, random, struct, sys
    from tests.devices.conftest import Board
    from tests.devices.block_driver import DISCARD, FLUSH, OUT, Disk, ranges
    from vm.devices import BlockDevice

    path, seed, size, writes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    draw = random.Random(seed)
    board = Board()
    disk = Disk(board, BlockDevice(path)).start()
    number = 0

    def say(line):
        os.write(1, line.encode() + b"\\n")           # all of it, or nothing

    while True:
        for _ in range(writes):
            sector = draw.randrange(size // 512 - 128)
            if draw.random() < 0.2:
                say(f"Z {sector} 128")
                assert disk.request(DISCARD, payload=ranges((sector, 128, 0)))[0] == 0
            else:
                count = draw.choice([1, 8, 100])
                data = struct.pack("<Q", seed << 32 | number) * 64 * count
                say(f"W {sector} {count} {seed << 32 | number}")
                assert disk.request(OUT, sector, data)[0] == 0
            number += 1
        assert disk.request(FLUSH)[0] == 0
        say("F")
""")


def expected_after(lines, before):
    """What sectors may hold: those that were flushed a value each, those written since the old and the new ones."""
    flushed = dict(before)
    may = {}
    for line in lines:
        kind, *numbers = line.split()
        if kind == "F":
            flushed |= {sector: values[-1] for sector, values in may.items()}
            may = {}
            continue
        sector, count, *value = map(int, numbers)
        for each in range(sector, sector + count):
            may.setdefault(each, []).append(value[0] if value else 0)
    return flushed, may


@pytest.mark.parametrize("kind", ["raw", "qcow2", "overlay"])
def test_killed_at_any_moment(tmp_path, qemu_img, kind):
    path = tmp_path / "disk.img"
    if kind == "overlay":
        disks.create(tmp_path / "base.img", SIZE)
        disks.create(path, backing="base.img")
    else:
        disks.create(path, SIZE, format=kind)
    draw = random.Random(kind)
    holds = {}
    for number in range(ROUNDS if kind != "raw" else 5):
        child = subprocess.Popen([sys.executable, "-c", CHILD, path, str(number + 1), str(SIZE), str(WRITES)],
                                 stdout=subprocess.PIPE, text=True, cwd=os.getcwd())
        lines = [child.stdout.readline() for _ in range(draw.randrange(1, 60))]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines(keepends=True)
        child.wait()
        child.stdout.close()
        assert all(line[0] in "WZF" and line.endswith("\n") for line in lines)
        if kind != "raw":
            checked = subprocess.run(["qemu-img", "check", path], capture_output=True, text=True)
            assert checked.returncode in (0, 3), checked.stdout + checked.stderr        # 3: clusters nobody uses
        image = open_image(path, read_only=True)
        data = content_of(image)
        image.close()
        flushed, may = expected_after(lines, holds)
        holds = {}
        for sector in range(SIZE // 512):
            value, = set(struct.unpack_from("<64Q", data, 512 * sector))
            assert value in [flushed.get(sector, 0), *may.get(sector, [])], (number, sector)
            holds[sector] = value


def test_the_order_of_what_reaches_the_disk(tmp_path, monkeypatch):
    """When the power fails, of all that was written since the last fdatasync any part may be on the disk, and the
    tables must make sense with each. So an entry that names a cluster is written after a sync that followed its count.
    """
    path = tmp_path / "disk.qcow2"
    disks.create(path, "64M", format="qcow2")
    image = open_image(path)
    events = []
    real = image.file.write, image.file.flush
    monkeypatch.setattr(image.file, "write",
                        lambda offset, views: (events.append(offset // 65536), real[0](offset, views)))
    monkeypatch.setattr(image.file, "flush", lambda: (events.append("sync"), real[1]()))
    image.write(0, [memoryview(b"w" * 65536)])
    image.flush()
    # 0 header, 1 and 2 reference counts, 3 the L1 table, 4 the L2 table, 5 the data
    assert events == [5, 2, 4, "sync", 3, "sync"]
    events.clear()
    image.write(65536, [memoryview(b"w" * 65536)])
    image.flush()
    assert events == [6, 2, "sync", 4, "sync"]
    events.clear()
    image.zero(0, 65536, unmap=True)
    image.write(131072, [memoryview(b"w" * 65536)])         # not into what is free only when the table says so
    image.flush()
    assert events == [7, 2, "sync", 4, 4, "sync"]
    events.clear()
    image.write(196608, [memoryview(b"w" * 65536)])
    image.flush()
    assert events == [5, 2, "sync", 4, "sync"]
    image.close()
