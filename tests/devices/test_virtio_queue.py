"""Split virtqueues (virtio 1.2, section 2.7), driven through the entropy device, which takes any writable buffer."""

import random

import pytest

from tests.devices.virtio_driver import (
    F_EVENT_IDX,
    F_INDIRECT_DESC,
    INDIRECT,
    INTERRUPT_STATUS,
    NEEDS_RESET,
    NEXT,
    RAM,
    STATUS,
    WRITE,
    Driver,
)
from vm.devices.virtio import Entropy

RAM_END = RAM + (1 << 20)


def start(board, features=F_INDIRECT_DESC, size=8):
    driver = Driver(board, Entropy(seed=1)).start(features, size=size)
    return driver, driver.queues[0]


def test_chained_descriptors_are_one_buffer(board):
    driver, queue = start(board)
    parts = [driver.place(bytes(length)) for length in (3, 16, 5)]
    head = queue.offer([(*part, WRITE) for part in parts])
    driver.notify()
    assert queue.completed() == [(head, 24)]
    assert all(any(driver.memory.read(*part)) for part in parts)


def test_rings_wrap(board):
    """More buffers than the queue has entries, and the free-running indices pass 2**16."""
    driver, queue = start(board, size=2)
    saved = driver.device.save()
    saved["queue_states"][0] |= {"index": 0xFFFD, "signalled": 0xFFFD}
    driver.device.load(saved)
    queue.offered = queue.seen = 0xFFFD
    for _ in range(6):
        head = queue.offer([(*driver.place(bytes(1)), WRITE)])
        driver.notify()
        assert queue.completed() == [(head, 1)]
        assert driver.acknowledge() == 1
    assert queue.half(queue.used + 2) == 3


def test_several_buffers_with_one_notification(board):
    driver, queue = start(board)
    heads = [queue.offer([(*driver.place(bytes(4)), WRITE)]) for _ in range(8)]
    driver.notify()
    assert queue.completed() == [(head, 4) for head in heads]


def test_indirect_table(board):
    driver, queue = start(board)
    parts = [driver.place(bytes(8)), driver.place(bytes(4))]
    head = queue.offer_indirect([(*part, WRITE) for part in parts], driver.place(bytes(32))[0])
    driver.notify()
    assert queue.completed() == [(head, 12)]
    assert any(driver.memory.read(*parts[1]))


def test_indirect_table_after_direct_descriptors(board):
    """2.7.5.3.2: direct descriptors may come before a single indirect one."""
    driver, queue = start(board)
    table = driver.place(bytes(16))[0]
    queue.describe(table, 0, *driver.place(bytes(4)), WRITE)
    head = queue.offer([(*driver.place(bytes(8)), WRITE), (table, 16, INDIRECT)])
    driver.notify()
    assert queue.completed() == [(head, 12)]


def test_no_interrupt_flag(board):
    driver, queue = start(board)
    queue.half(queue.available, 1)
    queue.offer([(*driver.place(bytes(4)), WRITE)])
    driver.notify()
    assert queue.completed() and driver.get(INTERRUPT_STATUS) == 0


def test_event_index_suppresses_until_the_buffer_asked_for(board):
    """2.7.7: used_event 2 asks for an interrupt when the third buffer is used."""
    driver, queue = start(board, F_EVENT_IDX)
    queue.set_used_event(2)
    interrupts = []
    for _ in range(4):
        queue.offer([(*driver.place(bytes(4)), WRITE)])
        driver.notify()
        interrupts.append(driver.acknowledge())
    assert interrupts == [0, 0, 1, 0]


def test_event_index_inside_a_batch_interrupts(board):
    driver, queue = start(board, F_EVENT_IDX)
    queue.set_used_event(2)
    for _ in range(5):
        queue.offer([(*driver.place(bytes(4)), WRITE)])
    driver.notify()
    assert driver.acknowledge() == 1


def test_event_index_ignores_the_flag(board):
    """2.7.7.2: with the feature negotiated the device ignores the lower bit of the available ring's flags."""
    driver, queue = start(board, F_EVENT_IDX)
    queue.half(queue.available, 1)
    queue.offer([(*driver.place(bytes(4)), WRITE)])
    driver.notify()
    assert driver.acknowledge() == 1


def test_device_asks_for_the_notification_of_the_next_buffer(board):
    driver, queue = start(board, F_EVENT_IDX)
    for _ in range(3):
        queue.offer([(*driver.place(bytes(4)), WRITE)])
    driver.notify()
    assert queue.avail_event() == 3


def test_state_survives_save_and_load(board):
    driver, queue = start(board, F_EVENT_IDX)
    queue.offer([(*driver.place(bytes(4)), WRITE)])
    driver.notify()
    saved = driver.device.save()
    driver.device = board.connect(Entropy(seed=2))
    driver.device.load(saved)
    assert driver.device.save() == saved
    queue.offer([(*driver.place(bytes(4)), WRITE)])
    driver.notify()
    assert len(queue.completed()) == 2


def loop(driver, queue):
    queue.describe(queue.descriptors, 0, *driver.place(bytes(4)), WRITE | NEXT, 0)
    queue.publish(0)


def next_out_of_table(driver, queue):
    queue.describe(queue.descriptors, 0, *driver.place(bytes(4)), WRITE | NEXT, 8)
    queue.publish(0)


def head_out_of_table(driver, queue):
    queue.publish(8)


def too_many_available(driver, queue):
    queue.half(queue.available + 2, 9)


def index_went_back(driver, queue):
    queue.half(queue.available + 2, 0xFFFF)


def buffer_outside_ram(driver, queue):
    queue.offer([(0x1000, 4, WRITE)])


def buffer_over_the_end_of_ram(driver, queue):
    queue.offer([(RAM_END - 4, 8, WRITE)])


def buffer_around_the_address_space(driver, queue):
    queue.offer([((1 << 64) - 4, 8, WRITE)])


def buffers_of_more_than_4_gigabytes(driver, queue):
    queue.offer([(RAM, 0xFFFF_FFFF, 0), (RAM, 0xFFFF_FFFF, WRITE)])


def readable_after_writable(driver, queue):
    queue.offer([(*driver.place(bytes(4)), WRITE), (*driver.place(bytes(4)), 0)])


def nested_indirect(driver, queue):
    table = driver.place(bytes(16))[0]
    queue.offer_indirect([(table, 16, INDIRECT)], table)


def indirect_and_next(driver, queue):
    table = driver.place(bytes(16))[0]
    queue.describe(table, 0, *driver.place(bytes(4)), WRITE)
    queue.offer([(table, 16, INDIRECT), (*driver.place(bytes(4)), WRITE)])


def indirect_of_odd_length(driver, queue):
    queue.offer([(*driver.place(bytes(17)), INDIRECT)])


def indirect_of_no_length(driver, queue):
    queue.offer([(driver.place(bytes(16))[0], 0, INDIRECT)])


def indirect_outside_ram(driver, queue):
    queue.offer([(0x1000, 16, INDIRECT)])


def indirect_loop(driver, queue):
    table = driver.place(bytes(32))[0]
    buffer = driver.place(bytes(4))
    queue.describe(table, 0, *buffer, WRITE | NEXT, 1)
    queue.describe(table, 1, *buffer, WRITE | NEXT, 0)
    queue.offer([(table, 32, INDIRECT)])


@pytest.mark.parametrize("malform", [
    loop, next_out_of_table, head_out_of_table, too_many_available, index_went_back, buffer_outside_ram,
    buffer_over_the_end_of_ram, buffer_around_the_address_space, buffers_of_more_than_4_gigabytes,
    readable_after_writable, nested_indirect, indirect_and_next, indirect_of_odd_length, indirect_of_no_length,
    indirect_outside_ram, indirect_loop,
])
def test_malformed_queue_needs_a_reset(board, malform):
    """2.1.2: the device sets DEVICE_NEEDS_RESET and sends a configuration change notification; nothing is used."""
    driver, queue = start(board)
    malform(driver, queue)
    driver.notify()
    assert driver.get(STATUS) & NEEDS_RESET
    assert driver.acknowledge() == 2
    assert queue.completed() == []


def test_indirect_needs_to_be_negotiated(board):
    driver, queue = start(board, features=0)
    queue.offer_indirect([(*driver.place(bytes(4)), WRITE)], driver.place(bytes(16))[0])
    driver.notify()
    assert driver.get(STATUS) & NEEDS_RESET


def test_device_that_needs_a_reset_serves_nothing(board):
    driver, queue = start(board)
    head_out_of_table(driver, queue)
    driver.notify()
    queue.half(queue.available + 2, 0)
    queue.offered = 0
    queue.offer([(*driver.place(bytes(4)), WRITE)])
    driver.notify()
    assert queue.completed() == []


@pytest.mark.parametrize("seed", range(20))
def test_random_rings_never_raise(board, seed):
    """Whatever stands in the rings, a notification returns."""
    driver, queue = start(board, F_INDIRECT_DESC | F_EVENT_IDX)
    source = random.Random(seed)
    for _ in range(50):
        board.memory.write(queue.descriptors, source.randbytes(16 * queue.size))
        for index in range(queue.size):
            address = source.choice([RAM + source.randrange(1 << 20), source.getrandbits(64)])
            queue.describe(queue.descriptors, index, address, source.choice([16, 32, source.getrandbits(32)]),
                           source.randrange(8), source.randrange(10))
        queue.publish(source.randrange(9))
        driver.notify()
        if driver.get(STATUS) & NEEDS_RESET:
            driver.set(STATUS, 0)
            driver, queue = start(board, F_INDIRECT_DESC | F_EVENT_IDX)
            board.memory.write(queue.available, bytes(0x8000))


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_a_chain_that_comes_again_is_followed_anew_where_it_changed(board, changed):
    """By its content: its first descriptor, its second, or that it has a third."""
    driver, queue = start(board)
    old, new = [driver.place(bytes(4)) for _ in range(2)], driver.place(bytes(4))
    head = queue.chain([(*part, WRITE) for part in old])
    for _ in range(2):
        queue.publish(head)
        driver.notify()
    assert queue.completed() == [(head, 8)] * 2
    segments = old[:]
    segments[changed:changed + 1] = [new]
    queue.chain([(*part, WRITE) for part in segments])
    queue.publish(head)
    driver.notify()
    assert queue.completed() == [(head, 4 * len(segments))]
    assert any(driver.memory.read(*new))


def test_a_second_descriptor_that_is_another_chain_s_does_not_count(board):
    """The first stands alone; what lies behind it may be anything, as an indirect table that is none."""
    driver, queue = start(board)
    part = driver.place(bytes(4))
    queue.chain([(*part, WRITE)])
    queue.describe(queue.descriptors, 1, 0, 3, INDIRECT | NEXT, 7)
    for _ in range(2):
        queue.publish(0)
        driver.notify()
    assert queue.completed() == [(0, 4)] * 2
