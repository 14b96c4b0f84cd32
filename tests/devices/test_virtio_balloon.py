"""Virtio memory balloon (virtio 1.2, section 5.5): queue 0 inflates, queue 1 deflates, then statistics and reports."""

import struct

import pytest

from tests.devices.conftest import ScriptedMachine
from tests.devices.virtio_driver import CONFIG, DEVICE_ID, NEEDS_RESET, RAM, STATUS, WRITE, Driver
from vm.devices.virtio import Balloon
from vm.errors import ConfigurationError, ExpectTimeout, SnapshotError

PAGE = 4096
F_STATS_VQ, F_DEFLATE_ON_OOM, F_REPORTING = (1 << bit for bit in (1, 2, 5))
GIVEN = RAM + 0x8_0000              # where pages are that can be given
NUMBER = GIVEN // PAGE


class Guest(Driver):
    """A driver of a balloon, and its machine."""

    def __init__(self, board, features=F_STATS_VQ | F_DEFLATE_ON_OOM | F_REPORTING):
        super().__init__(board, Balloon())
        self.start(features, queues=5)
        self.script = ScriptedMachine(self.device).script
        board.memory.write(GIVEN, b"\xaa" * 16 * PAGE)

    def name(self, index, *numbers):
        self.queues[index].offer([(*self.place(struct.pack(f"<{len(numbers)}I", *numbers)), 0)])
        self.notify(index)

    def say(self, **statistics):
        """Statistics, by number of the tag."""
        data = b"".join(struct.pack("<HQ", int(tag[1:]), value) for tag, value in statistics.items())
        self.queues[2].offer([(*self.place(data), 0)])
        self.notify(2)

    def pages(self):
        """Of the sixteen, those that are still as they were."""
        return [number for number in range(16) if self.memory.read(GIVEN + number * PAGE, PAGE) == b"\xaa" * PAGE]

    @property
    def needs_reset(self):
        return bool(self.get(STATUS) & NEEDS_RESET)


@pytest.fixture
def guest(board):
    return Guest(board)


def test_id_features_and_configuration(board):
    driver = Driver(board, Balloon())
    assert driver.get(DEVICE_ID) == 5
    assert driver.offered_features() & 0xFF == F_STATS_VQ | F_DEFLATE_ON_OOM | F_REPORTING
    assert Driver(board, Balloon(False, False)).offered_features() & 0xFF == F_STATS_VQ
    assert (driver.get(CONFIG), driver.get(CONFIG + 4)) == (0, 0)


def test_pages_go_into_the_balloon(guest):
    """In any order, some of them twice; others stay as they are."""
    guest.name(0, NUMBER + 3, NUMBER + 9, NUMBER + 2, NUMBER + 3, NUMBER + 1)
    assert guest.pages() == [0, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15]
    assert guest.memory.read(GIVEN + PAGE, PAGE) == bytes(PAGE)
    assert guest.queues[0].completed() == [(0, 0)] and guest.acknowledge() == 1


def test_pages_come_out_as_they_are(guest):
    guest.name(1, NUMBER, NUMBER + 1)
    assert guest.pages() == [*range(16)]
    assert guest.queues[1].completed() == [(0, 0)]


def test_the_size_that_is_wanted_and_that_is(guest):
    guest.device.resize("64K")
    assert guest.acknowledge() == 2                     # a change of the configuration
    assert guest.get(CONFIG) == 16 and (guest.device.target, guest.device.actual) == (64 << 10, 0)
    guest.script += [lambda: guest.set(CONFIG + 4, 16), lambda: pytest.fail("it runs on")]
    guest.device.settle()
    assert guest.device.actual == 64 << 10 and len(guest.script) == 1
    guest.script.clear()
    guest.device.resize(0)
    assert guest.get(CONFIG) == 0
    with pytest.raises(ExpectTimeout, match="did not make its balloon 0 bytes large in 2 seconds"):
        guest.device.settle(seconds=2)


def test_the_driver_writes_the_actual_size_alone(guest):
    guest.set(CONFIG, 99)
    guest.set(CONFIG + 4, 0x12, size=1)
    guest.set(CONFIG + 6, 0x34, size=1)
    guest.set(CONFIG + 8, 99)
    assert (guest.device.target_pages, guest.device.actual_pages) == (0, 0x34_0012)


@pytest.mark.parametrize("size", ["1", -4096, 4097, "256MB"])
def test_what_is_no_size(guest, size):
    with pytest.raises(ConfigurationError, match="balloon size"):
        guest.device.resize(size)


def test_statistics_are_asked_for(guest):
    """The buffer stays with the device until then (5.5.6.3)."""
    guest.say(t4=1000, t5=2000)
    assert guest.device.stats == {"memfree": 1000, "memtot": 2000}
    assert guest.queues[2].completed() == []

    def answer():
        assert guest.queues[2].completed() == [(0, 0)]
        guest.say(t0=1, t3=7, t77=5)                    # no such tag
    guest.script += [answer, lambda: pytest.fail("it runs on")]
    assert guest.device.refresh() == guest.device.stats == {"swap_in": 1, "minflt": 7}


def test_a_driver_that_breaks_the_rules_gives_no_statistics(guest):
    guest.queues[2].publish(99)                         # there is no such descriptor
    with pytest.raises(ExpectTimeout, match="the guest gave no statistics of its memory in 60 seconds"):
        guest.device.refresh()
    assert guest.needs_reset


def test_statistics_that_are_no_whole_ones(guest):
    guest.queues[2].offer([(*guest.place(struct.pack("<HQ", 4, 1) * 100 + b"rest"), 0)])
    guest.notify(2)
    assert guest.device.stats == {"memfree": 1}


def test_without_statistics(board):
    with pytest.raises(ConfigurationError, match="no driver in the guest gives statistics"):
        Guest(board, features=0).device.refresh()


@pytest.mark.parametrize("features, index", [(F_STATS_VQ | F_REPORTING, 3), (F_STATS_VQ | F_REPORTING, 4),
                                             (F_REPORTING, 2), (F_REPORTING, 4)])
def test_free_pages_are_reported(board, features, index):
    """Queue 4 by the specification, the next one behind those that there are by Linux; only whole pages are free."""
    guest = Guest(board, features)
    guest.queues[index].offer([(GIVEN, 2 * PAGE, WRITE), (GIVEN + 5 * PAGE + 8, 3 * PAGE, WRITE)])
    guest.notify(index)
    assert guest.pages() == [2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15]
    assert guest.queues[index].completed() == [(0, 0)]


def test_without_reporting_nothing_is_free(board):
    guest = Guest(board, features=0)
    for index in (2, 3, 4):
        guest.queues[index].offer([(GIVEN, 2 * PAGE, WRITE)])
        guest.notify(index)
        assert guest.queues[index].completed() == []
    assert guest.pages() == [*range(16)]


@pytest.mark.parametrize("number", [0, RAM // PAGE - 1, (RAM + (1 << 20)) // PAGE, 0xFFFF_FFFF])
def test_pages_that_are_no_ram_break_the_rules(guest, number):
    guest.name(0, NUMBER, number)
    assert guest.needs_reset


def test_half_a_number_breaks_the_rules(guest):
    guest.queues[0].offer([(*guest.place(bytes(6)), 0)])
    guest.notify(0)
    assert guest.needs_reset


@pytest.mark.parametrize("index, flag, times", [(0, 0, 4), (4, WRITE, 5000)])
def test_buffers_that_are_too_large_break_the_rules(guest, index, flag, times):
    """As long as RAM, again and again in one chain."""
    segments = [(RAM, 1 << 20, flag)] * min(times, 200)
    table = guest.place(bytes(16 * len(segments)))[0]
    length = (1 << 20) if index == 0 else (8 << 20)
    guest.queues[index].offer_indirect([(RAM, length, flag) for _ in segments], table)
    guest.device.queues[index].indirect = True
    guest.notify(index)
    assert guest.needs_reset


def test_much_at_once_lets_the_harts_go_on_in_between(board, guest, monkeypatch):
    """However often the driver notifies."""
    monkeypatch.setattr("vm.devices.virtio.balloon.AT_ONCE", 4)
    for number in (0, 2, 4, 6):
        guest.queues[0].offer([(*guest.place(struct.pack("<2I", NUMBER + number, NUMBER + number + 1)), 0)])
    for _ in range(3):
        guest.notify(0)
        assert guest.pages() == [*range(2, 16)] and len(board.events.queue) == 1
    board.advance(ns=10_000)
    assert guest.pages() == [*range(4, 16)]
    board.advance(ns=30_000)
    assert guest.pages() == [*range(8, 16)] and board.events.queue == []


@pytest.mark.parametrize("index", [0, 1])
def test_numbers_that_are_read_again_and_again_are_work(board, guest, index):
    """A pause after 2**18 of them, though they name one page, and none goes into the balloon."""
    board.memory.write(RAM + 0x5_0000, struct.pack("<I", NUMBER + 96) * (1 << 17))      # half a MiB
    for _ in range(8):
        guest.queues[index].offer([(RAM + 0x5_0000, 1 << 19, 0)])
    for _ in range(3):
        guest.notify(index)
        assert guest.device.queues[index].index == 2
    for done in (4, 6, 8):
        board.advance(ns=10_000)
        assert guest.device.queues[index].index == done


def test_a_pause_survives_a_snapshot_and_ends_with_a_reset(board, guest, monkeypatch):
    monkeypatch.setattr("vm.devices.virtio.balloon.AT_ONCE", 1)
    guest.name(0, NUMBER)
    twin = board.connect(guest.device.twin())
    twin.load(guest.device.save())
    guest.name(0, NUMBER + 1)
    twin.serve(0)
    assert guest.pages() == [*range(1, 16)]
    twin.on_event(0, 0)                                 # as the event does that is saved with the machine
    assert guest.pages() == [*range(2, 16)]
    guest.set(STATUS, 0)
    assert [device for _, _, device, _, _ in board.events.queue] == [twin]


@pytest.mark.parametrize("name, value", [
    ("target_pages", -1), ("target_pages", 1 << 32), ("actual_pages", "3"), ("actual_pages", True), ("work", -1),
    ("work", (1 << 18) + 1), ("reports", -1), ("asked", 1), ("statistics", [(16, 0)]), ("statistics", [(4, -1)]),
    ("statistics", [(4,)]), ("statistics", [4]), ("statistics", 4),
])
def test_a_damaged_state_is_refused(guest, name, value):
    guest.device.resize(PAGE)
    before = guest.device.save()
    with pytest.raises(SnapshotError, match=f"the saved state of a Balloon is damaged: {name} is"):
        guest.device.load(before | {"target_pages": 7} | {name: value})
    assert guest.device.save() == before


def test_a_driver_that_comes_anew_finds_what_is_wanted(guest):
    guest.device.resize(PAGE)
    guest.set(CONFIG + 4, 1)
    guest.say(t4=1000)
    guest.set(STATUS, 0)
    assert (guest.device.target, guest.device.actual, guest.device.stats) == (PAGE, 0, {})


def test_the_state_goes_to_another_device(board, guest):
    guest.device.resize(8 * PAGE)
    guest.set(CONFIG + 4, 3)
    guest.say(t4=1000)
    twin = board.connect(guest.device.twin())
    twin.load(guest.device.save())
    assert (twin.target, twin.actual, twin.stats) == (8 * PAGE, 3 * PAGE, {"memfree": 1000})
