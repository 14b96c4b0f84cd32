"""What a guest has the screen's device do costs it time, and no notification holds up the host."""

import struct

import numpy as np
import pytest

from tests.devices.gpu_driver import (
    B8G8R8X8,
    CREATE,
    F_EDID,
    FENCE,
    GET_DISPLAY_INFO,
    MOVE_CURSOR,
    OK_NODATA,
    TRANSFER,
    UNREF,
    UPDATE_CURSOR,
    GpuDriver,
)
from tests.devices.virtio_driver import NEEDS_RESET, RAM, STATUS, WRITE
from vm.devices import Screen


@pytest.fixture
def screen():
    return Screen(640, 480)


@pytest.fixture
def driver(board, screen):
    return GpuDriver(board, screen)


def test_work_without_end_waits(board, screen):
    """A guest that has a large picture copied again and again does not hold up its host: the device rests meanwhile."""
    driver = GpuDriver(board, screen)
    driver.create(1, 4096, 4096)
    pieces = [(RAM, 1 << 20)] * 64
    assert driver.attach(1, *pieces) == OK_NODATA
    board.advance(ns=1_000_000)
    request = driver.place(struct.pack("<I20x4IQI4x", TRANSFER, 0, 0, 4096, 4096, 0, 1))
    for _ in range(4):
        driver.queues[0].offer([(*request, 0)])
    driver.notify()
    assert len(driver.queues[0].completed()) == 1
    driver.notify()
    assert len(driver.queues[0].completed()) == 0
    board.advance(ns=1_000_000)
    assert len(driver.queues[0].completed()) == 1
    driver.set(STATUS, 0)
    assert not board.events.queue
    board.advance(ns=9_000_000)
    assert len(driver.queues[0].completed()) == 0


def done_without_end(driver, queue, commands):
    """How many are done while no time passes, of no more than two thousand."""
    requests = [driver.place(struct.pack("<I20x", type) + body) for type, body in commands]
    done = 0
    for _ in range(2000 // len(requests)):
        for request in requests:
            driver.queues[queue].offer([(*request, 0)])
        driver.notify(queue)
        done += (more := len(driver.queues[queue].completed()))
        if more < len(requests):
            break
    return done


CREATE_LARGE = CREATE, struct.pack("<4I", 1, B8G8R8X8, 4096, 4096)      # 64 MiB
POINT_AT_1 = struct.pack("<Iii4xI12x", 0, 0, 0, 1)


@pytest.mark.parametrize("queue, commands, done", [
    (0, [(0, b"")], 1025),                                              # 64 KiB each, of 64 MiB
    (0, [CREATE_LARGE, (UNREF, struct.pack("<I4x", 1))], 1),
    (1, [(MOVE_CURSOR, POINT_AT_1)], 1025), (1, [(UPDATE_CURSOR, POINT_AT_1)], 820),
])  # fmt: skip
def test_all_that_is_done_counts_as_work(driver, board, queue, commands, done):
    if queue:
        driver.picture(1, np.zeros((64, 64, 4), np.uint8))
    board.advance(ns=10_000_000)
    assert done_without_end(driver, queue, commands) == done


def test_to_look_at_many_resources_counts_as_work(driver, board):
    for number in range(1, 4097):
        driver.create(number, 1, 1)
    board.advance(ns=10_000_000)
    assert done_without_end(driver, 0, [(CREATE, struct.pack("<4I", 5000, B8G8R8X8, 1, 1))]) == 61      # 1 MiB each


def test_to_copy_what_a_snapshot_holds_counts_as_work(driver, screen, board):
    driver.create(1, 4096, 4096)
    driver.attach(1, (RAM, 4))
    transfer = TRANSFER, struct.pack("<4IQI4x", 0, 0, 1, 1, 0, 1)
    board.advance(ns=10_000_000)
    assert done_without_end(driver, 0, [transfer]) > 900
    board.advance(ns=10_000_000)
    driver.queues[0].completed()
    screen.save()
    assert done_without_end(driver, 0, [transfer]) == 1


def test_the_device_rests_as_long_as_it_has_worked(driver, board):
    """As after the largest picture: for each 64 MiB a millisecond."""
    requests = [driver.place(struct.pack("<I20x", type) + body) for type, body in [
        (CREATE, struct.pack("<4I", 1, B8G8R8X8, 16384, 4096)), (0, b"")]]
    for request in requests:
        driver.queues[0].offer([(*request, 0)])
    driver.notify()
    board.advance(ns=3_999_999)
    assert len(driver.queues[0].completed()) == 1
    board.advance(ns=1)
    assert len(driver.queues[0].completed()) == 1
    board.advance(ns=9_000_000)
    assert not board.events.queue


def test_a_notification_is_of_one_ring(board, screen):
    """Whatever the answers write: here the first of each ring takes the high byte of the index of the used ring for the
    low one of a descriptor's address, and the second what is there for the high one of the index of the available ring.
    """
    driver = GpuDriver(board, screen)
    driver.set(STATUS, 0)
    driver.queues.clear()
    driver.start(features=F_EDID, queues=1, size=256)
    queue = driver.queues[0]
    driver.free = driver.free + 255 & ~255
    table, _ = driver.place([*range(1, 20), *[19] * 237])           # the next; it ends after 20 rings
    command = driver.place(struct.pack("<II", GET_DISPLAY_INFO, FENCE))
    low, (zeros, _), (scratch, _) = driver.place(b"\2"), driver.place(bytes(16)), driver.place(bytes(16))
    queue.chain([(*command, 0), (queue.used + 3, 1, 0), (zeros, 15, 0),
                 (scratch, 8, WRITE), (queue.descriptors + 16 * 18, 1, WRITE)])
    queue.chain([(*command, 0), (*low, 0), (table, 1, 0), (zeros, 14, 0),
                 (scratch, 8, WRITE), (queue.available + 2, 2, WRITE)], first=16)
    queue.chain([(*command, 0), (zeros, 16, 0)], first=32)
    for slot in range(256):
        queue.half(queue.available + 4 + 2 * slot, {0: 0, 1: 16}.get(slot, 32))
    queue.half(queue.available + 2, 2)
    driver.notify()
    assert queue.half(queue.used + 2) == 256
    board.advance(ns=1_000_000)
    assert queue.half(queue.used + 2) == 512
    board.advance(ns=100_000_000)
    assert queue.half(queue.used + 2) == 19 * 256 + 2 and not driver.get(STATUS) & NEEDS_RESET
