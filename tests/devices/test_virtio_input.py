"""Virtio input devices (virtio 1.2, section 5.8): a keyboard and a tablet. Events are those of Linux's evdev."""

import random
import struct

import pytest

from tests.devices.virtio_driver import CONFIG, NEEDS_RESET, STATUS, WRITE, Driver
from vm.devices import Keyboard, Tablet
from vm.devices.virtio.keys import KEYS
from vm.errors import ConfigurationError

SYN, KEY, REL, ABS, LED, REP = 0, 1, 2, 3, 0x11, 0x14
ID_NAME, ID_SERIAL, ID_DEVIDS, PROP_BITS, EV_BITS, ABS_INFO = 1, 2, 3, 0x10, 0x11, 0x12
REPORT = (SYN, 0, 0)
A, B, LEFTSHIFT, BTN_LEFT = 30, 48, 42, 0x110       # linux/input-event-codes.h
MS = 1_000_000


class InputDriver(Driver):
    """Gives buffers, and reads the events that came."""

    def __init__(self, board, device, buffers=64):
        super().__init__(board, device)
        self.start(queues=2, size=64)
        self.places = {}
        for _ in range(buffers):
            self.offer()
        self.notify(0)

    def offer(self):
        place = self.place(bytes(8))
        self.places[self.queues[0].offer([(*place, WRITE)])] = place

    def events(self, ns=0):
        """Those that have come up to then, as (type, code, value); their buffers are given back."""
        self.board.advance(ns=ns)
        come = []
        for head, length in self.queues[0].completed():
            assert length == 8
            come.append(struct.unpack("<HHi", self.memory.read(*self.places[head])))
        return come

    def selected(self, select, subselect=0):
        """What the configuration space has for a selection; `size` says how much."""
        self.set(CONFIG, select, 1)
        self.set(CONFIG + 1, subselect, 1)
        size = self.get(CONFIG + 2, 1)
        assert not any(self.get(CONFIG + 8 + at, 1) for at in range(size, 128))
        return bytes(self.get(CONFIG + 8 + at, 1) for at in range(size))

    def bits(self, kind):
        data = self.selected(EV_BITS, kind)
        return {8 * at + bit for at, byte in enumerate(data) for bit in range(8) if byte >> bit & 1}


@pytest.fixture
def keyboard():
    return Keyboard()


@pytest.fixture
def tablet():
    return Tablet()


@pytest.fixture
def driver(board, keyboard):
    return InputDriver(board, keyboard)


# --- Who they are -----------------------------------------------------------------------------------------------------

def test_a_keyboard_says_what_it_has(driver):
    assert driver.get(0x008) == 18
    assert driver.selected(ID_NAME) == b"vm keyboard"
    assert driver.selected(ID_SERIAL) == b"" and driver.selected(PROP_BITS) == b""
    assert struct.unpack("<4H", driver.selected(ID_DEVIDS)) == (6, 0x1AF4, 1, 1)
    assert driver.bits(KEY) == set(KEYS.values()) >= {1, A, B, LEFTSHIFT, 28, 57, 88, 103, 111, 125}
    assert driver.bits(LED) == {0, 1, 2} and driver.bits(REP) == {0, 1}
    assert driver.bits(REL) == driver.bits(ABS) == set()
    assert driver.selected(ABS_INFO) == b""


def test_a_tablet_says_what_it_has(board, tablet):
    driver = InputDriver(board, tablet)
    assert driver.selected(ID_NAME) == b"vm tablet"
    assert driver.bits(KEY) == {0x110, 0x111, 0x112, 0x113, 0x114}
    assert driver.bits(REL) == {6, 8} and driver.bits(ABS) == {0, 1}
    for axis in (0, 1):
        assert struct.unpack("<5I", driver.selected(ABS_INFO, axis)) == (0, 32767, 0, 0, 0)
    assert driver.selected(ABS_INFO, 2) == b""


def test_what_there_is_not_has_no_size(driver):
    for select, subselect in ((0, 0), (ID_NAME, 1), (0x20, 0), (255, 255), (EV_BITS, 255)):
        assert driver.selected(select, subselect) == b""


@pytest.mark.parametrize("name, code", [
    ("ESC", 1), ("1", 2), ("0", 11), ("EQUAL", 13), ("Q", 16), ("ENTER", 28), ("LEFTCTRL", 29), ("L", 38),
    ("GRAVE", 41), ("BACKSLASH", 43), ("Z", 44), ("SLASH", 53), ("LEFTALT", 56), ("SPACE", 57), ("CAPSLOCK", 58),
    ("F10", 68), ("SCROLLLOCK", 70), ("KP7", 71), ("KPDOT", 83), ("102ND", 86), ("F12", 88), ("RIGHTALT", 100),
    ("HOME", 102), ("DELETE", 111), ("POWER", 116), ("PAUSE", 119), ("LEFTMETA", 125), ("COMPOSE", 127),
])  # fmt: skip
def test_names_of_keys(name, code):
    """linux/input-event-codes.h"""
    assert KEYS[f"KEY_{name}"] == code


# --- Events -----------------------------------------------------------------------------------------------------------

def test_a_key(driver, keyboard):
    keyboard.press("KEY_A")
    assert driver.events() == [(KEY, A, 1), REPORT]
    assert driver.acknowledge() == 1
    assert keyboard.pressed == [A]
    keyboard.release(A)
    assert driver.events(MS) == [(KEY, A, 0), REPORT]
    assert keyboard.pressed == []


def test_reports_come_a_millisecond_apart(driver, keyboard):
    """So that who reads them in the guest comes to."""
    keyboard.tap("KEY_A")
    assert driver.events() == [(KEY, A, 1), REPORT]
    assert driver.events(MS - 1) == []
    assert driver.events(1) == [(KEY, A, 0), REPORT]


def test_text_is_typed_on_a_us_keyboard(driver, keyboard):
    keyboard.type("aB")
    assert [event for event in driver.events(10 * MS) if event != REPORT] == [
        (KEY, A, 1), (KEY, A, 0), (KEY, LEFTSHIFT, 1), (KEY, B, 1), (KEY, B, 0), (KEY, LEFTSHIFT, 0)]


@pytest.mark.parametrize("signs, key", [("1!", 2), ("-_", 12), ("'\"", 40), ("`~", 41), ("\\|", 43), ("/?", 53)])
def test_signs_of_a_us_keyboard(driver, keyboard, signs, key):
    for shifted, sign in enumerate(signs):
        keyboard.type(sign)
        codes = [code for type, code, value in driver.events(10 * MS) if type == KEY and value]
        assert codes == [LEFTSHIFT] * shifted + [key]


def test_keys_together(driver, keyboard):
    keyboard.tap("KEY_LEFTCTRL", "KEY_C")
    assert [event for event in driver.events(10 * MS) if event != REPORT] == [
        (KEY, 29, 1), (KEY, 46, 1), (KEY, 46, 0), (KEY, 29, 0)]


def test_a_tablet_moves(board, tablet):
    driver = InputDriver(board, tablet)
    tablet.move(0.5, 1.0)
    tablet.move(0, 32767)
    tablet.wheel(-2)
    tablet.wheel(0, across=1)
    tablet.wheel(0)
    tablet.click()
    assert driver.events(10 * MS) == [
        (ABS, 0, 16384), (ABS, 1, 32767), REPORT, (ABS, 0, 0), (ABS, 1, 32767), REPORT, (REL, 8, -2), REPORT,
        (REL, 6, 1), REPORT, (KEY, BTN_LEFT, 1), REPORT, (KEY, BTN_LEFT, 0), REPORT]
    tablet.button("BTN_RIGHT", True)
    assert tablet.pressed == [0x111]


@pytest.mark.parametrize("act, said", [
    (lambda keys, pen: keys.press("KEY_NOTHING"), "code='KEY_NOTHING': the vm keyboard has KEY_ESC"),
    (lambda keys, pen: keys.press(BTN_LEFT), "code=272"),
    (lambda keys, pen: keys.tap("KEY_A", "BTN_LEFT"), "code='BTN_LEFT'"),
    (lambda keys, pen: keys.type("aé"), "no key for 'é'"),
    (lambda keys, pen: pen.button("KEY_A", True), "the vm tablet has BTN_LEFT"),
    (lambda keys, pen: pen.move(1.5, 0.0), "x=1.5: a fraction"),
    (lambda keys, pen: pen.move(0, 32768), "y=32768: from 0 to 32767"),
    (lambda keys, pen: pen.move(0.0, -0.1), "y=-0.1"),
    (lambda keys, pen: pen.move(float("nan"), 0.0), "x=nan"),
    (lambda keys, pen: pen.wheel("1"), "n='1'"),
])  # fmt: skip
def test_what_there_is_not_is_refused(board, driver, keyboard, act, said):
    tablet = Tablet()
    pen = InputDriver(board, tablet)
    with pytest.raises(ConfigurationError, match=said):
        act(keyboard, tablet)
    assert driver.events(10 * MS) == pen.events(10 * MS) == []


# --- What waits -------------------------------------------------------------------------------------------------------

def test_events_wait_for_buffers(board, keyboard):
    driver = InputDriver(board, keyboard, buffers=0)
    keyboard.tap("KEY_A")
    assert driver.events(10 * MS) == []
    for _ in range(3):
        driver.offer()
    driver.notify(0)
    assert driver.events(10 * MS) == [(KEY, A, 1), REPORT, (KEY, A, 0)]
    driver.offer()
    driver.notify(0)
    assert driver.events() == [REPORT]


def test_without_a_driver_nothing_waits(board, keyboard):
    driver = Driver(board, keyboard)
    keyboard.press("KEY_A")
    assert (keyboard.dropped, keyboard.pressed, keyboard.waiting) == (1, [], b"")
    driver.start(queues=2)
    keyboard.press("KEY_A")
    assert keyboard.pressed == [A]
    driver.set(STATUS, 0)
    assert (keyboard.pressed, keyboard.waiting) == ([], b"")


def test_what_waits_is_bounded(board, keyboard):
    """Keys that are down come up all the same: a guest would have them down for ever."""
    InputDriver(board, keyboard, buffers=0)
    keyboard.press("KEY_B")
    for _ in range(10_000):
        keyboard.tap("KEY_A")
    assert len(keyboard.waiting) // 8 <= 16386 and keyboard.dropped > 3000
    keyboard.release("KEY_B")
    assert keyboard.pressed == []
    full = len(keyboard.waiting)
    keyboard.release("KEY_B")
    keyboard.press("KEY_B")
    assert (len(keyboard.waiting), keyboard.pressed) == (full, [])


def test_text_that_has_no_room_is_refused(driver, keyboard):
    with pytest.raises(ConfigurationError, match="a text of 5000 characters is too long: there is room for 8192"):
        keyboard.type("a" * 5000)
    assert driver.events(10 * MS) == []
    keyboard.type("a" * 4000)
    with pytest.raises(ConfigurationError, match="there is room for 19"):
        keyboard.type("a" * 100)


def test_a_reset_forgets_the_pause(board, driver, keyboard):
    keyboard.press("KEY_A")
    driver.set(STATUS, 0)
    assert not board.events.queue
    again = InputDriver(board, keyboard)
    keyboard.press("KEY_A")
    assert again.events() == [(KEY, A, 1), REPORT]


# --- What the guest says ----------------------------------------------------------------------------------------------

def tells(driver, *event):
    driver.queues[1].offer([(*driver.place(struct.pack("<HHi", *event)), 0)])
    driver.notify(1)


def test_lights(driver, keyboard):
    tells(driver, LED, 1, 1)
    tells(driver, LED, 0, 1)
    tells(driver, REP, 0, 250)
    tells(driver, LED, 7, 1)
    tells(driver, SYN, 0, 0)
    assert keyboard.lights == ["num lock", "caps lock"]
    tells(driver, LED, 1, 0)
    assert keyboard.lights == ["num lock"]
    assert driver.queues[1].completed() == [(number, 0) for number in range(6)]


def test_malformed_buffers_need_a_reset(board, driver, keyboard):
    driver.queues[1].offer([(*driver.place(bytes(7)), 0)])
    driver.notify(1)
    assert driver.get(STATUS) & NEEDS_RESET
    other = Driver(board, Keyboard()).start(queues=2)
    other.queues[0].offer([(*other.place(bytes(7)), WRITE)])
    other.device.press("KEY_A")
    assert other.get(STATUS) & NEEDS_RESET


@pytest.mark.parametrize("seed", range(3))
def test_anything_that_a_driver_may_write(board, seed):
    """To the configuration, and to both queues: what is read stays within its field, and events come as they were."""
    numbers = random.Random(seed)
    driver = InputDriver(board, Tablet() if seed else Keyboard())
    for _ in range(500):
        size = numbers.choice([1, 2, 4])
        driver.set(CONFIG + numbers.randrange(0, 140, size), numbers.randrange(1 << 8 * size), size)
        assert driver.get(CONFIG + 2, 1) <= 128
        tells(driver, numbers.randrange(1 << 16), numbers.randrange(1 << 16), numbers.randrange(-1 << 31, 1 << 31))
    code = next(iter(driver.device.codes.values()))
    driver.device.send((KEY, code, 1))
    assert driver.events() == [(KEY, code, 1), REPORT]


# --- State ------------------------------------------------------------------------------------------------------------

def test_state_has_what_is_down_and_what_waits(board, driver, keyboard):
    keyboard.press("KEY_LEFTSHIFT", "KEY_A")
    tells(driver, LED, 1, 1)
    saved = keyboard.save()
    other = keyboard.twin()
    board.connect(other)
    other.load(saved)
    assert other.save() == saved
    assert (other.pressed, other.lights) == ([A, LEFTSHIFT], ["caps lock"])
    keyboard.release("KEY_A")
    assert saved["pressed"] == [A, LEFTSHIFT]
