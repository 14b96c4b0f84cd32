"""Commands that no driver would give: random, and such as a driver gives with something changed.

Whatever comes, the device answers one of the specification's responses (virtio 1.2, section 5.7.6.7) and stays within
its bounds, and a screen after it can still be looked at, saved and loaded.
"""

import random
import struct

import pytest

from tests.devices.gpu_driver import (
    ATTACH,
    CREATE,
    DETACH,
    FLUSH,
    GET_DISPLAY_INFO,
    GET_EDID,
    INVALID_PARAMETER,
    MOVE_CURSOR,
    OK_DISPLAY_INFO,
    OK_EDID,
    OK_NODATA,
    SET_SCANOUT,
    TRANSFER,
    UNREF,
    UNSPEC,
    UPDATE_CURSOR,
    GpuDriver,
)
from tests.devices.virtio_driver import CONFIG, RAM
from vm.devices import Screen

ANSWERS = {OK_NODATA, OK_DISPLAY_INFO, OK_EDID, *range(UNSPEC, INVALID_PARAMETER + 1)}
ODD = (0, 1, 2, 63, 64, 4096, 16384, 16385, (1 << 31) - 1, 1 << 31, (1 << 32) - 4, (1 << 32) - 1)
HOST_MEMORY, PIECES = 256 << 20, 1 << 17


def likely(random):
    """A command that a driver might give, of few resources, so that most of them are there."""
    number = random.randrange(6)
    x, y, width, height = (random.randrange(80) for _ in range(4))
    place = RAM + random.randrange(1 << 20)
    count = random.randrange(5)
    pieces = b"".join(struct.pack("<QI4x", place, random.randrange(1 << 14)) for _ in range(count))
    return random.choice([
        (GET_DISPLAY_INFO, b""), (GET_EDID, struct.pack("<I4x", random.randrange(2))),
        (CREATE, struct.pack("<4I", number, random.choice([1, 2, 67, 134]), 64, random.choice([64, width]))),
        (UNREF, struct.pack("<I4x", number)), (DETACH, struct.pack("<I4x", number)),
        (SET_SCANOUT, struct.pack("<6I", 0, 0, width, height, 0, number)),
        (FLUSH, struct.pack("<5I4x", x, y, width, height, number)),
        (TRANSFER, struct.pack("<4IQI4x", x, y, width, height, random.randrange(1 << 14), number)),
        (ATTACH, struct.pack("<II", number, count) + pieces),
        (UPDATE_CURSOR, struct.pack("<Iii4xI12x", 0, x, -y, number)),
        (MOVE_CURSOR, struct.pack("<Iii4xI12x", 0, -x, y, number)),
    ])


def changed(random, body):
    """With a word replaced, or cut, or longer."""
    body = bytearray(body + bytes(8))
    place = random.randrange(0, len(body) - 3, 4)
    value = random.choice([*ODD, random.randrange(1 << 32)])
    body[place:place + 4] = value.to_bytes(4, "little")
    return bytes(body[:random.choice([len(body), len(body) - 8, random.randrange(len(body))])])


def attack(board, seed, commands):
    driver = GpuDriver(board, screen := Screen(100, 80))
    numbers = random.Random(seed)
    answers = set()
    for step in range(commands):
        type, body = likely(numbers)
        if numbers.randrange(3) == 0:
            body = changed(numbers, body)
        if numbers.randrange(20) == 0:
            type = numbers.choice([*ODD, numbers.randrange(0x100, 0x110)])
        flags = numbers.choice([0, 0, 1, 2, 3, 0xFFFF_FFFF])
        answer = driver.command(type, body, flags, fence=step, queue=numbers.randrange(2))
        assert answer.type in ANSWERS and answer.flags == flags & 3
        answers.add(answer.type)
        if numbers.randrange(50) == 0:
            driver.set(CONFIG + numbers.randrange(16), numbers.randrange(1 << 32))
            board.advance(ns=1_000_000)
        if step % 100 == 0:
            held = sum(len(picture.content) for picture, _ in screen._resources.values())
            assert held <= HOST_MEMORY
            assert sum(len(backing.pieces) for _, backing in screen._resources.values() if backing) <= PIECES
            if held < 1 << 22:
                width, height = screen.resolution
                assert screen.pixels.shape == (height, width, 4)
                saved = screen.save()
                other = Screen()
                other.load(saved)
                assert other.save() == saved
    return answers


@pytest.mark.parametrize("seed", range(3))
def test_commands_of_all_kinds(board, seed):
    """The answers show that the commands get far enough to matter."""
    assert attack(board, seed, 2000) >= ANSWERS - {0x1104, 0x1201, 0x1204}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_commands_of_all_kinds(board, seed):
    attack(board, seed, 20_000)
