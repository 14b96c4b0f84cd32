"""Virtio console (virtio 1.2, section 5.3): queue 0 receives, queue 1 transmits."""

import pytest

from tests.devices.virtio_driver import CONFIG, INTERRUPT_STATUS, NEEDS_RESET, STATUS, WRITE, Driver
from vm.devices.virtio import VirtioConsole


@pytest.fixture
def driver(board):
    return Driver(board, VirtioConsole()).start(queues=2)


def test_output(driver):
    printed = bytearray()
    driver.device.output = printed.extend
    head = driver.queues[1].offer([(*driver.place(b"hello, "), 0), (*driver.place(b"world\n"), 0)])
    driver.notify(1)
    assert printed == b"hello, world\n"
    assert driver.queues[1].completed() == [(head, 0)]


def test_input_into_a_waiting_buffer(driver):
    address, length = driver.place(bytes(16))
    head = driver.queues[0].offer([(address, length, WRITE)])
    driver.notify(0)
    assert driver.get(INTERRUPT_STATUS) == 0
    driver.device.receive(b"root\n")
    assert driver.queues[0].completed() == [(head, 5)]
    assert driver.memory.read(address, 5) == b"root\n"
    assert driver.acknowledge() == 1


def test_input_waits_for_buffers(driver):
    driver.device.receive(b"abcdef")
    first, second = driver.place(bytes(4)), driver.place(bytes(4))
    heads = [driver.queues[0].offer([(*buffer, WRITE)]) for buffer in (first, second)]
    driver.notify(0)
    assert driver.queues[0].completed() == [(heads[0], 4), (heads[1], 2)]
    assert driver.memory.read(*first) + driver.memory.read(second[0], 2) == b"abcdef"


def test_input_before_the_driver_is_kept(board):
    driver = Driver(board, VirtioConsole())
    driver.device.receive(b"early")
    driver.start(queues=2)
    address, length = driver.place(bytes(8))
    driver.queues[0].offer([(address, length, WRITE)])
    driver.notify(0)
    assert driver.memory.read(address, 5) == b"early"


def test_input_buffer_that_cannot_be_written_needs_a_reset(driver):
    driver.queues[0].offer([(*driver.place(bytes(8)), 0)])
    driver.device.receive(b"x")
    assert driver.get(STATUS) & NEEDS_RESET


def test_failing_output_leaves_the_buffer_available(driver):
    """An exception of the host's callback passes, and the repeated notification prints the same buffer."""
    def fail(data):
        raise RuntimeError("host")
    driver.device.output = fail
    driver.queues[1].offer([(*driver.place(b"once"), 0)])
    with pytest.raises(RuntimeError, match="host"):
        driver.notify(1)
    printed = bytearray()
    driver.device.output = printed.extend
    driver.notify(1)
    assert printed == b"once"


def test_size_of_the_terminal(driver):
    driver.device.resize(132, 50)
    assert (driver.get(CONFIG, 2), driver.get(CONFIG + 2, 2)) == (132, 50)


def test_state_keeps_pending_input(board, driver):
    driver.device.receive(b"pending")
    saved = driver.device.save()
    twin = board.connect(VirtioConsole())
    twin.load(saved)
    assert twin.save() == saved
    assert twin.input == b"pending"
