"""Virtio input devices: a keyboard, and a tablet as a pointer that is told where it is.

Virtio 1.2, section 5.8. Queue 0 takes the buffers that events go into, queue 1 what the driver tells the device, as
which lights are on. An event is that of Linux's evdev: u16 type, u16 code, u32 value; those of one moment are a report,
which ends with SYN_REPORT. What a device is able to is in its configuration space, by what the driver selects there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import ClassVar

from vm.arguments import whole_number
from vm.devices.port import Port
from vm.devices.virtio.keys import BUTTONS, KEYS, SHIFT, US_LAYOUT
from vm.devices.virtio.transport import VirtioDevice
from vm.errors import ConfigurationError, MalformedQueue

EVENTS, STATUS = 0, 1               # queues
EVENT = struct.Struct("<HHI")
EV_SYN, EV_KEY, EV_REL, EV_ABS, EV_LED, EV_REP = 0x00, 0x01, 0x02, 0x03, 0x11, 0x14
SYN_REPORT = EVENT.pack(EV_SYN, 0, 0)
REL_HWHEEL, REL_WHEEL = 6, 8
ABS_X, ABS_Y = 0, 1
LEDS = {0: "num lock", 1: "caps lock", 2: "scroll lock"}
REP_DELAY, REP_PERIOD = 0, 1

ID_NAME, ID_SERIAL, ID_DEVIDS, PROP_BITS, EV_BITS, ABS_INFO = 0x01, 0x02, 0x03, 0x10, 0x11, 0x12
SELECTION = struct.Struct("<BBB5x")         # select, subsel, size; what was selected follows
DEVICE_IDS = struct.Struct("<HHHH")         # bus, vendor, product, version
AXIS = struct.Struct("<IIIII")              # smallest, largest, fuzz, flat, resolution
BUS_VIRTUAL, VENDOR = 0x06, 0x1AF4

REACH = 32767                       # of an axis of the tablet
MOST_WAITING = 16384                # events that the driver has given no buffer for; what comes then is lost
NEXT_REPORT = 0                     # event
REPORT_NS = 1_000_000               # of guest time from a report to the next, as of a fast USB device: programs read
                                    # what comes, and what is too much at once they never see


class InputDevice(Port, VirtioDevice):
    """What a keyboard and a tablet have in common.

    `pressed` has the keys and buttons that the guest has been told are down, by number.

    Reports wait while the guest has no buffer, up to a bound; `dropped` counts those that were lost, among them all
    that come while no driver runs.
    """

    device_id = 18
    queue_count = 2
    state = VirtioDevice.state + ("select", "subselect", "waiting", "resting", "pressed")
    unsaved = VirtioDevice.unsaved + Port.unsaved + ("dropped",)

    name: ClassVar[str]
    product: ClassVar[int]
    codes: ClassVar[Mapping[str, int]]                  # keys and buttons by name
    bits: ClassVar[Mapping[int, Iterable[int]]]         # by type, the codes of all events there may be
    axes: ClassVar[Mapping[int, bytes]] = {}

    pressed: list[int]

    def __init__(self) -> None:
        self.dropped = 0
        self.resting = False                # a report was just given: the next has to wait
        super().__init__()

    # --- From the host -----------------------------------------------------------------------------------------------

    def code_of(self, code: int | str) -> int:
        """The number of a key or button that may be given by name. Raises ConfigurationError for none of its."""
        number = self.codes.get(code) if isinstance(code, str) else whole_number("code", code)
        if number is None or number not in self.codes.values():
            raise ConfigurationError(f"code={code!r}: the {self.name} has {', '.join(list(self.codes)[:3])}, ... of "
                                     "Linux's input-event-codes.h; see vm.devices.virtio.keys")
        return number

    def send(self, *events: tuple[int, int, int]) -> None:
        """A report: events of (type, code, value)."""
        self.receive(b"".join(EVENT.pack(type, code, value & 0xFFFF_FFFF) for type, code, value in events) + SYN_REPORT)

    def accept(self, data: bytes) -> None:
        """A report has come in. A key that was pressed is released, however much is waiting: guests remember."""
        if not self._running:
            self.dropped += 1
            return
        events = list(EVENT.iter_unpack(data))
        releases = all(value == 0 and code in self.pressed for type, code, value in events if type == EV_KEY)
        if len(self.waiting) // EVENT.size > MOST_WAITING and not (releases and events[0][0] == EV_KEY):
            self.dropped += 1
            return
        for type, code, value in events:
            if type == EV_KEY:
                self.pressed = switched(self.pressed, code, value)
        self.waiting += data
        self.serve(EVENTS)

    # --- To the guest ------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        if self.resting:
            self.events.cancel(self, NEXT_REPORT)
        self.resting = False
        self.select = 0
        self.subselect = 0
        self.waiting = bytearray()          # events for which the driver has given no buffer yet
        self.pressed = []
        super().reset()

    def on_event(self, event: int, data: int) -> None:
        self.resting = False
        self.serve(EVENTS)

    def handle(self, index: int) -> None:
        if index == EVENTS:
            self._give_report()
        else:
            self._take_status()

    def _give_report(self) -> None:
        """The events of one report, or of as much of it as there are buffers for."""
        queue = self.queues[EVENTS]
        while self.waiting and not self.resting and (chain := queue.next()):
            if chain.writable.size < EVENT.size:
                raise MalformedQueue(f"a buffer for events of {chain.writable.size} bytes")
            event = bytes(self.waiting[:EVENT.size])
            queue.push(chain, chain.writable.write(event))
            del self.waiting[:EVENT.size]
            if event == SYN_REPORT:
                self.resting = True
                self.events.schedule(REPORT_NS, self, NEXT_REPORT)

    def _take_status(self) -> None:
        queue = self.queues[STATUS]
        for chain in queue.chains():
            event, _ = chain.readable.split(EVENT.size)
            if event.size < EVENT.size:
                raise MalformedQueue(f"a status event of {event.size} bytes")
            self.hear(*EVENT.unpack(event.read()))
            queue.push(chain, 0)

    def hear(self, type: int, code: int, value: int) -> None:
        """The guest tells the device something."""

    # --- Configuration (5.8.4, 5.8.5) --------------------------------------------------------------------------------

    def config(self) -> bytes:
        selected = self._selection()
        return SELECTION.pack(self.select, self.subselect, len(selected)) + selected

    def _selection(self) -> bytes:
        """What the driver has selected; nothing where there is no such thing."""
        if self.select == EV_BITS:
            return bitmap(self.bits.get(self.subselect, ()))
        if self.select == ABS_INFO:
            return self.axes.get(self.subselect, b"")
        if self.subselect:
            return b""
        return {
            ID_NAME: self.name.encode(),
            ID_DEVIDS: DEVICE_IDS.pack(BUS_VIRTUAL, VENDOR, self.product, 1),
        }.get(self.select, b"")

    def write_config(self, offset: int, data: bytes) -> None:
        for place, value in enumerate(data, offset):
            if place == 0:
                self.select = value
            elif place == 1:
                self.subselect = value


def switched(those: Iterable[int], code: int, value: int) -> list[int]:
    """Those that are down or lit, in order, with one more if the value says so, else without it."""
    return sorted({*those, code} if value else {*those} - {code})


def bitmap(numbers: Iterable[int]) -> bytes:
    """Bit n of byte n // 8, as short as it can be."""
    whole = sum(1 << number for number in numbers)
    return whole.to_bytes((whole.bit_length() + 7) // 8, "little")


class Keyboard(InputDevice):
    """A keyboard with the keys of a PC's, to which a program does what a hand does.

    Keys are those of Linux's input-event-codes.h, by name ("KEY_A") or number; ConfigurationError for one that it has
    not.
    """

    state = InputDevice.state + ("lit",)

    name = "vm keyboard"
    product = 1
    codes = KEYS
    bits = {EV_KEY: KEYS.values(), EV_LED: LEDS, EV_REP: (REP_DELAY, REP_PERIOD)}

    def press(self, *codes: int | str) -> None:
        """Press keys, one after the other, and hold them."""
        self._strike([(self.code_of(code), True) for code in codes])

    def release(self, *codes: int | str) -> None:
        """Release keys, one after the other."""
        self._strike([(self.code_of(code), False) for code in codes])

    def tap(self, *codes: int | str) -> None:
        """Press keys together, and release them in the other order: tap("KEY_LEFTCTRL", "KEY_C")."""
        numbers = [self.code_of(code) for code in codes]
        self._strike([*((number, True) for number in numbers), *((number, False) for number in reversed(numbers))])

    def type(self, text: str) -> None:
        """Type text on a US keyboard: a key goes down or up each millisecond of guest time.

        Raises ConfigurationError for a character that it has no key for, and for text that is too long to wait until
        the guest takes it; nothing is typed then.
        """
        strokes: list[tuple[int, bool]] = []
        for character in text:
            if character not in US_LAYOUT:
                raise ConfigurationError(f"a US keyboard has no key for {character!r}; press the keys that the guest's "
                                         "layout has for it")
            key, shifted = US_LAYOUT[character]
            around = [SHIFT] * shifted
            strokes += [*((one, True) for one in (*around, key)), *((one, False) for one in (key, *around))]
        room = MOST_WAITING - len(self.waiting) // EVENT.size
        if 2 * len(strokes) > room:         # each is an event and the end of its report
            raise ConfigurationError(f"a text of {len(text)} characters is too long: there is room for {room // 2} "
                                     f"strokes, and this is {len(strokes)}; type a part, and let the guest run")
        self._strike(strokes)

    def _strike(self, strokes: Iterable[tuple[int, bool]]) -> None:
        for number, down in strokes:
            self.send((EV_KEY, number, int(down)))

    def reset(self) -> None:
        self.lit: list[int] = []
        super().reset()

    def hear(self, type: int, code: int, value: int) -> None:
        if type == EV_LED and code in LEDS:
            self.lit = switched(self.lit, code, value)

    @property
    def lights(self) -> list[str]:
        """Those that the guest has lit, of "num lock", "caps lock", "scroll lock"."""
        return [LEDS[code] for code in self.lit]


class Tablet(InputDevice):
    """A pointer that is told where it is on the screen, with five buttons and two wheels.

    Buttons are "BTN_LEFT", "BTN_RIGHT", "BTN_MIDDLE", "BTN_SIDE" and "BTN_EXTRA", or their numbers.
    """

    name = "vm tablet"
    product = 2
    codes = BUTTONS
    bits = {EV_KEY: BUTTONS.values(), EV_REL: (REL_HWHEEL, REL_WHEEL), EV_ABS: (ABS_X, ABS_Y)}
    axes = {ABS_X: AXIS.pack(0, REACH, 0, 0, 0), ABS_Y: AXIS.pack(0, REACH, 0, 0, 0)}

    def move(self, x: float, y: float) -> None:
        """Go there: a float is a fraction of the screen, 0.0 to 1.0, an int the tablet's own measure, 0 to 32767.

        From the upper left. Raises ConfigurationError for a place off the tablet.
        """
        self.send((EV_ABS, ABS_X, measured("x", x)), (EV_ABS, ABS_Y, measured("y", y)))

    def button(self, code: int | str, pressed: bool) -> None:
        """Press a button, or release it."""
        self.send((EV_KEY, self.code_of(code), int(pressed)))

    def click(self, code: int | str = "BTN_LEFT") -> None:
        """Press a button and release it."""
        self.button(code, True)
        self.button(code, False)

    def wheel(self, n: int, across: int = 0) -> None:
        """Turn the wheel by so many notches, away from the user if positive; `across` that which goes to the right."""
        turns = ((REL_WHEEL, whole_number("n", n)), (REL_HWHEEL, whole_number("across", across)))
        if events := [(EV_REL, code, notches) for code, notches in turns if notches]:
            self.send(*events)


def measured(name: str, place: float) -> int:
    """A place on an axis, in the tablet's measure. Raises ConfigurationError."""
    if isinstance(place, float):
        if not 0 <= place <= 1:
            raise ConfigurationError(f"{name}={place}: a fraction of the screen is from 0.0 to 1.0; whole numbers are "
                                     f"from 0 to {REACH}")
        return round(place * REACH)
    number = whole_number(name, place)
    if not 0 <= number <= REACH:
        raise ConfigurationError(f"{name}={place}: from 0 to {REACH}; fractions of the screen are floats")
    return number
