"""Registers, negotiation and life of virtio devices over MMIO (virtio 1.2, sections 2.1, 2.2, 3.1 and 4.2)."""

import pytest

from tests.devices.virtio_driver import (
    ACKNOWLEDGE,
    CONFIG,
    CONFIG_GENERATION,
    DEVICE_FEATURES,
    DEVICE_FEATURES_SEL,
    DEVICE_ID,
    DRIVER,
    DRIVER_FEATURES,
    DRIVER_FEATURES_SEL,
    DRIVER_OK,
    F_EVENT_IDX,
    F_INDIRECT_DESC,
    F_VERSION_1,
    INTERRUPT_STATUS,
    MAGIC,
    NEEDS_RESET,
    PAGE_SIZE,
    QUEUE_ALIGN,
    QUEUE_DESC,
    QUEUE_NUM,
    QUEUE_NUM_MAX,
    QUEUE_PAGE,
    QUEUE_READY,
    QUEUE_SEL,
    RAM,
    SHM_BASE,
    SHM_LEN,
    SHM_SEL,
    STATUS,
    VENDOR,
    VERSION,
    WRITE,
    Driver,
    DriverQueue,
)
from vm.devices.virtio import EmptySlot, Entropy, VirtioConsole


@pytest.fixture
def driver(board):
    return Driver(board, VirtioConsole())


def test_identity(driver):
    assert (driver.get(MAGIC), driver.get(VERSION), driver.get(DEVICE_ID)) == (0x7472_6976, 2, 3)
    assert driver.get(VENDOR) == 0x554D_4551        # "QEMU": xv6 and its kin look for it


def test_empty_slot_has_device_id_zero(board):
    """4.2.2: a driver must ignore a device with id 0; the magic value and version still identify the transport."""
    driver = Driver(board, EmptySlot())
    assert (driver.get(MAGIC), driver.get(VERSION), driver.get(DEVICE_ID)) == (0x7472_6976, 2, 0)
    assert driver.get(QUEUE_NUM_MAX) == 0
    assert driver.offered_features() == 0


def test_common_features_are_offered(driver):
    features = driver.offered_features()
    assert features & (F_VERSION_1 | F_INDIRECT_DESC | F_EVENT_IDX) == F_VERSION_1 | F_INDIRECT_DESC | F_EVENT_IDX


def test_features_beyond_64_bits_read_as_zero(driver):
    driver.set(DEVICE_FEATURES_SEL, 2)
    assert driver.get(DEVICE_FEATURES) == 0


@pytest.mark.parametrize("features", [0, F_INDIRECT_DESC])
def test_driver_need_not_accept_version_1(board, features):
    """6.1: a device may fail to operate then; QEMU's do not, and teaching kernels never write the upper half."""
    driver = Driver(board, Entropy())
    assert driver.negotiate(features)
    queue = driver.set_up_queue(0)
    driver.set(STATUS, driver.get(STATUS) | DRIVER_OK)
    queue.offer([(*driver.place(bytes(8)), WRITE)])
    driver.notify()
    assert queue.completed() == [(0, 8)]
    assert driver.get(INTERRUPT_STATUS) == 1


def test_driver_that_skips_features_ok_has_accepted_nothing(board):
    """As legacy drivers go (3.1.2); what they wrote to DriverFeatures does not count, nor on QEMU."""
    driver = Driver(board, Entropy())
    driver.set(STATUS, ACKNOWLEDGE | DRIVER)
    driver.set(DRIVER_FEATURES, F_EVENT_IDX)
    queue = driver.set_up_queue(0)
    driver.set(STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK)
    queue.offer([(*driver.place(bytes(8)), WRITE)])
    driver.notify()
    assert queue.completed() == [(0, 8)]
    assert not driver.device.negotiated(29)


def test_features_ok_is_refused_for_a_feature_that_is_not_offered(driver):
    assert not driver.negotiate(F_VERSION_1 | 1 << 34)


def test_driver_may_try_again_with_fewer_features(driver):
    assert not driver.negotiate(F_VERSION_1 | 1 << 34)
    assert driver.negotiate(F_VERSION_1)


def test_features_are_fixed_after_features_ok(driver):
    driver.negotiate(F_VERSION_1)
    driver.set(DRIVER_FEATURES_SEL, 0)
    driver.set(DRIVER_FEATURES, 1)
    assert not driver.device.negotiated(0)


def test_status_bits_only_accumulate(driver):
    driver.set(STATUS, ACKNOWLEDGE)
    driver.set(STATUS, DRIVER)
    assert driver.get(STATUS) == ACKNOWLEDGE | DRIVER


def test_driver_cannot_set_needs_reset(driver):
    driver.set(STATUS, ACKNOWLEDGE | NEEDS_RESET)
    assert driver.get(STATUS) == ACKNOWLEDGE


def test_queues_that_do_not_exist_have_size_zero(driver):
    driver.set(QUEUE_SEL, 1)
    assert driver.get(QUEUE_NUM_MAX) == 256
    driver.set(QUEUE_SEL, 2)
    assert driver.get(QUEUE_NUM_MAX) == 0
    driver.set(QUEUE_READY, 1)
    assert driver.get(QUEUE_READY) == 0


def test_queue_becomes_ready(driver):
    driver.start(queues=2)
    assert driver.get(QUEUE_READY) == 1


@pytest.mark.parametrize("size", [0, 3, 512])
def test_bad_queue_size_needs_a_reset(driver, size):
    driver.negotiate(F_VERSION_1)
    driver.set_up_queue(0, size)
    assert driver.get(QUEUE_READY) == 0
    assert driver.get(STATUS) & NEEDS_RESET


@pytest.mark.parametrize("address", [RAM + 8, 0x1000, RAM + (1 << 20) - 16, (1 << 64) - 16])
def test_bad_queue_area_needs_a_reset(driver, address):
    """Misaligned, outside RAM, over its end, at the end of the address space."""
    driver.negotiate(F_VERSION_1)
    driver.set(QUEUE_SEL, 0)
    driver.set(QUEUE_NUM, 8)
    driver.set(QUEUE_DESC, address & 0xFFFF_FFFF)
    driver.set(QUEUE_DESC + 4, address >> 32)
    driver.set(QUEUE_READY, 1)
    assert driver.get(QUEUE_READY) == 0
    assert driver.get(STATUS) & NEEDS_RESET


def test_ready_queue_cannot_be_moved(driver):
    driver.start(queues=1)
    driver.set(QUEUE_DESC, 0x1234_0000)
    assert driver.device.queues[0].descriptors == RAM


def test_queue_stops_and_starts_anew(board):
    driver = Driver(board, Entropy()).start()
    driver.queues[0].offer([(*driver.place(bytes(8)), WRITE)])
    driver.notify()
    driver.set(QUEUE_READY, 0)
    assert driver.get(QUEUE_READY) == 0
    driver.memory.write(RAM, bytes(0x1_0000))
    queue = driver.set_up_queue(0)
    queue.offer([(*driver.place(bytes(8)), WRITE)])
    driver.notify()
    assert queue.completed() == [(0, 8)]


def test_notification_before_driver_ok_is_not_served(board):
    driver = Driver(board, Entropy())
    driver.negotiate(F_VERSION_1)
    queue = driver.set_up_queue(0)
    queue.offer([(*driver.place(bytes(8)), WRITE)])
    driver.notify()
    assert queue.completed() == []


def test_interrupt_stays_until_acknowledged(board):
    driver = Driver(board, Entropy()).start()
    driver.queues[0].offer([(*driver.place(bytes(8)), WRITE)])
    driver.notify()
    assert driver.device.irq.level
    assert driver.acknowledge() == 1
    assert not driver.device.irq.level
    assert driver.get(INTERRUPT_STATUS) == 0


def test_acknowledging_one_cause_keeps_the_line_up_for_the_other(board):
    driver = Driver(board, VirtioConsole()).start(queues=2)
    driver.queues[1].offer([(*driver.place(b"x"), 0)])
    driver.notify(1)
    driver.device.resize(100, 40)
    assert driver.get(INTERRUPT_STATUS) == 3
    driver.set(0x064, 1)
    assert driver.device.irq.level


def test_reset_returns_to_the_initial_state(board):
    driver = Driver(board, Entropy())
    fresh = driver.device.save()
    driver.start(queues=1)
    driver.queues[0].offer([(*driver.place(bytes(8)), WRITE)])
    driver.notify()
    driver.set(STATUS, 0)
    assert driver.device.save() == fresh | {"requests": 1}
    assert driver.get(STATUS) == 0


def test_device_works_again_after_a_reset(board):
    driver = Driver(board, Entropy()).start()
    driver.set(STATUS, 0)
    driver.queues.clear()
    driver.start()
    driver.queues[0].offer([(*driver.place(bytes(8)), WRITE)])
    driver.notify()
    assert driver.queues[0].completed() == [(0, 8)]


def test_configuration_takes_every_width(board):
    driver = Driver(board, VirtioConsole(columns=0x1234, rows=0x5678))
    assert driver.get(CONFIG, 2) == 0x1234
    assert driver.get(CONFIG + 1, 1) == 0x12
    assert driver.get(CONFIG, 4) == 0x5678_1234
    assert driver.get(CONFIG, 8) == 0x5678_1234
    assert driver.get(CONFIG + 0x80, 4) == 0


def test_configuration_change_counts_the_generation_and_interrupts(board):
    driver = Driver(board, VirtioConsole()).start(queues=2)
    before = driver.get(CONFIG_GENERATION)
    driver.device.resize(132, 50)
    assert driver.get(CONFIG_GENERATION) == before + 1
    assert driver.acknowledge() == 2


def test_configuration_change_before_driver_ok_does_not_interrupt(driver):
    driver.device.resize(132, 50)
    assert driver.get(INTERRUPT_STATUS) == 0


def test_no_shared_memory_regions(driver):
    """4.2.2: a region that does not exist has the length and base -1."""
    driver.set(SHM_SEL, 0)
    assert [driver.get(offset) for offset in (SHM_LEN, SHM_LEN + 4, SHM_BASE, SHM_BASE + 4)] == [0xFFFF_FFFF] * 4


class LegacyDriver(Driver):
    """Of before virtio 1 (4.2.4): features of 32 bits, no FEATURES_OK, a page number for the queue."""

    def __init__(self, board, device):
        device.legacy = True
        super().__init__(board, device)
        self.set(PAGE_SIZE, 4096)

    def set_up_queue(self, index, size=8, alignment=None):
        base = RAM + 0x1_0000 * index
        queue = DriverQueue(self.memory, base, size)
        queue.available = base + 16 * size
        end = queue.available + 6 + 2 * size
        queue.used = end + -end % (alignment or 4096)
        self.set(QUEUE_SEL, index)
        self.set(QUEUE_NUM, size)
        if alignment:
            self.set(QUEUE_ALIGN, alignment)
        self.set(QUEUE_PAGE, base // 4096)
        self.queues.append(queue)
        return queue


class TestLegacy:
    @pytest.fixture
    def driver(self, board):
        return LegacyDriver(board, Entropy())

    def asks(self, driver):
        """One request, and how it came back."""
        driver.queues[0].offer([(*driver.place(bytes(8)), WRITE)])
        driver.notify()
        return driver.queues[0].completed()

    def test_identity_and_features(self, driver):
        assert driver.get(VERSION) == 1
        assert driver.offered_features() == F_INDIRECT_DESC | F_EVENT_IDX

    @pytest.mark.parametrize("size, alignment", [(8, None), (128, None), (256, 4096), (8, 64), (1, 4)])
    def test_queue_lies_as_in_section_2_7_2(self, driver, size, alignment):
        driver.set_up_queue(0, size, alignment)
        assert driver.get(QUEUE_PAGE) == RAM // 4096
        driver.set(STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK)
        assert self.asks(driver) == [(0, 8)]
        assert driver.acknowledge() == 1

    def test_features_count_as_they_are_written(self, driver):
        """What is not offered is left out, as QEMU does; there is nothing to refuse it by."""
        driver.set(DRIVER_FEATURES, 0xFFFF_FFFF)
        assert driver.device.negotiated(28) and not driver.device.negotiated(0)
        driver.set_up_queue(0)
        driver.set(STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK)
        table, _ = driver.place(bytes(64))
        driver.queues[0].offer_indirect([(*driver.place(bytes(8)), WRITE)], table)
        driver.notify()
        assert driver.queues[0].completed() == [(0, 8)]

    def test_page_zero_stops_the_queue(self, driver):
        driver.set_up_queue(0)
        driver.set(STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK)
        driver.set(QUEUE_PAGE, 0)
        assert driver.get(QUEUE_PAGE) == 0
        assert self.asks(driver) == []

    def test_page_size_outlives_the_drivers_reset(self, board, driver):
        """Linux writes it once, before the first reset."""
        driver.set(STATUS, 0)
        driver.set_up_queue(0)
        assert driver.get(QUEUE_PAGE) == RAM // 4096
        driver.device.reset()
        assert driver.device.save()["page_size"] == 0

    @pytest.mark.parametrize("page", [1, 0xFFFF_FFFF])
    def test_page_outside_ram_needs_a_reset(self, driver, page):
        driver.set(QUEUE_SEL, 0)
        driver.set(QUEUE_NUM, 8)
        driver.set(QUEUE_PAGE, page)
        assert driver.get(STATUS) & NEEDS_RESET
        assert driver.get(QUEUE_PAGE) == 0

    def test_modern_device_has_no_queue_page(self, board):
        driver = Driver(board, Entropy())
        driver.set(PAGE_SIZE, 4096)
        driver.set(QUEUE_NUM, 8)
        driver.set(QUEUE_PAGE, RAM // 4096)
        assert (driver.get(QUEUE_PAGE), driver.get(QUEUE_READY)) == (0, 0)
