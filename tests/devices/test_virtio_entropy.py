"""Virtio entropy device (virtio 1.2, section 5.4)."""

from tests.devices.virtio_driver import DEVICE_ID, WRITE, Driver
from vm.devices.virtio import Entropy


def ask(driver, length):
    """Random bytes as the guest gets them."""
    address, length = driver.place(bytes(length))
    driver.queues[0].offer([(address, length, WRITE)])
    driver.notify()
    assert driver.queues[0].completed()[-1][1] == length
    return driver.memory.read(address, length)


def test_device_id(board):
    assert Driver(board, Entropy()).get(DEVICE_ID) == 4


def test_every_request_gives_other_bytes(board):
    driver = Driver(board, Entropy()).start()
    assert len({ask(driver, 64) for _ in range(4)}) == 4


def test_bytes_follow_from_the_seed(board):
    answers = []
    for seed in (1, 1, 2):
        driver = Driver(board, Entropy(seed)).start()
        board.memory.write(driver.queues[0].available, bytes(0x8000))
        answers.append(ask(driver, 64))
    assert answers[0] == answers[1] != answers[2]


def test_bytes_look_random(board):
    """Of 32,768 bits about half are set: within six standard deviations (90.5 each)."""
    driver = Driver(board, Entropy()).start()
    bits = int.from_bytes(ask(driver, 4096), "little").bit_count()
    assert abs(bits - 16_384) < 543


def test_stream_continues_after_load(board):
    driver = Driver(board, Entropy(seed=5)).start()
    ask(driver, 8)
    saved = driver.device.save()
    twin = board.connect(Entropy())
    twin.load(saved)
    assert twin.save() == saved
    assert (twin.seed, twin.requests) == (5, 1)


def test_huge_request_gets_a_part(board):
    driver = Driver(board, Entropy()).start()
    driver.queues[0].offer([(0x8005_0000, 0x2_0000, WRITE)])
    driver.notify()
    assert driver.queues[0].completed() == [(0, 0x1_0000)]
