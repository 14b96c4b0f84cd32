"""Counters of events, as the firmware hands them to a supervisor (SBI specification 3.0, chapter 11).

A hart's counters have the numbers of their CSRs: 0 cycle, 2 instret, 3 to 31 hpmcounter3 to 31, where it has Zihpm.
What they count stands in `mhpmevent`, and whether they do in `mcountinhibit`. The firmware's own have the numbers
behind, and count what the core notes of its calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vm.firmware.hart import Answer, Hart, read, write
from vm.state import Stateful
from vm_native.riscv.csrs import EVENTS, mask
from vm_native.riscv.registers import CSR_NUMBERS
from vm_native.riscv.sbi_numbers import HARDWARE_EVENTS, Error, FirmwareEvent

CYCLE, INSTRET = 0, 2                           # 1 is time, which is none of them
FIRST = 3                                       # of the counters that can be programmed
HARDWARE_COUNTERS = 32
FIRMWARE_COUNTERS = range(HARDWARE_COUNTERS, HARDWARE_COUNTERS + 16)
COUNTERS = FIRMWARE_COUNTERS.stop
WIDTH = 63 << 12                                # of what counter_get_info tells: one less than the bits
OF_FIRMWARE = 1 << 63

# event_idx: a type above a code
CODE_BITS = 16
GENERAL, RAW, RAW_V2, FIRMWARE = 0, 2, 3, 0xF   # 1 is caches, which there are none of
FIXED = {EVENTS["CYCLES"]: CYCLE, EVENTS["INSTRUCTIONS"]: INSTRET}  # what the counters that cannot be programmed count
KNOWN = frozenset(EVENTS.values()) - {EVENTS["NONE"]}

# Flags of config_matching, start and stop
SKIP_MATCH, CLEAR_VALUE, AUTO_START = 1, 2, 4
FILTERS = {1 << 3: "VUINH", 1 << 4: "VSINH", 1 << 5: "UINH", 1 << 6: "SINH", 1 << 7: "MINH"}
CONFIG_FLAGS = 0xFF
SET_INIT_VALUE, INIT_SNAPSHOT = 1, 2
RESET, TAKE_SNAPSHOT = 1, 2
START_FLAGS = STOP_FLAGS = 3

OVERFLOWN = mask("mhpmevent", "OF")
PENDING = mask("mip", "LCOFIP")
VALUES_OF_FIXED = {CYCLE: "mcycle", INSTRET: "minstret"}
FILTERS_OF_FIXED = {CYCLE: "mcyclecfg", INSTRET: "minstretcfg"}     # Smcntrpmf
U64 = (1 << 64) - 1


class Pmu(Stateful):
    """The counters of all harts.

    events: by hart, what each counter was configured for, an event_idx by its number. values: by hart, what each of the
    firmware's shows while it stands; while it counts, that less what has happened. started: by hart, which of these do.
    """

    state = ("events", "values", "started")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.events: dict[int, dict[int, int]] = {}
        self.values: dict[int, dict[int, int]] = {}
        self.started: dict[int, list[int]] = {}

    def begin(self, hart: Hart) -> None:
        """The hart is started: none of its counters is configured."""
        for counter in self.events.pop(hart.id, {}):
            if FIRST <= counter < HARDWARE_COUNTERS:
                write(hart, f"mhpmevent{counter}", 0)
        self.values.pop(hart.id, None)
        self.started.pop(hart.id, None)
        write(hart, "mcountinhibit", inhibited(hart))

    # --- What there is -----------------------------------------------------------------------------------------------

    def info(self, hart: Hart, counter: int) -> Answer:
        if not is_there(hart, counter):
            return Error.INVALID_PARAM, 0
        if counter in FIRMWARE_COUNTERS:
            return Error.SUCCESS, OF_FIRMWARE | WIDTH
        return Error.SUCCESS, WIDTH | CSR_NUMBERS["cycle"] + counter

    # --- Configuring -------------------------------------------------------------------------------------------------

    def configure(self, hart: Hart, base: int, chosen: int, flags: int, event: int, data: int) -> Answer:
        """Find a counter of those chosen that is free and can count the event, which stands from then on."""
        counters = list(selected(base, chosen))
        if not counters or not all(is_there(hart, counter) for counter in counters) or flags & ~CONFIG_FLAGS:
            return Error.INVALID_PARAM, 0
        candidates = counters[:1] if flags & SKIP_MATCH else \
            [counter for counter in in_order(hart, counters) if not self.is_busy(hart, counter)]
        for counter in candidates:
            if can_count(hart, counter, event, data):
                break
        else:
            return Error.NOT_SUPPORTED, 0
        self.stand(hart, counter)
        self.events.setdefault(hart.id, {})[counter] = event
        if counter not in FIRMWARE_COUNTERS:
            program(hart, counter, event, data, flags)
        if flags & CLEAR_VALUE:
            self.set(hart, counter, 0)
        if flags & AUTO_START:
            self.go(hart, counter)
        return Error.SUCCESS, counter

    def is_busy(self, hart: Hart, counter: int) -> bool:
        """Whether the supervisor has configured it. That cycle and instret count from reset on is nothing to it."""
        return counter in self.events.get(hart.id, ())

    # --- Starting and stopping ---------------------------------------------------------------------------------------

    def start(self, hart: Hart, base: int, chosen: int, flags: int, initial: int) -> Answer:
        counters = list(selected(base, chosen))
        if not self.are_configured(hart, counters) or flags & ~START_FLAGS:
            return Error.INVALID_PARAM, 0
        if flags & INIT_SNAPSHOT:
            return Error.NO_SHMEM, 0
        error = Error.SUCCESS
        for counter in counters:
            if self.counts(hart, counter):
                error = Error.ALREADY_STARTED
                continue
            if flags & SET_INIT_VALUE:
                self.set(hart, counter, initial)
            self.go(hart, counter)
        return error, 0

    def stop(self, hart: Hart, base: int, chosen: int, flags: int) -> Answer:
        """Those that nobody has configured can be stopped, too: kernels begin with that."""
        counters = list(selected(base, chosen))
        if not all(is_there(hart, counter) for counter in counters) or flags & ~STOP_FLAGS:
            return Error.INVALID_PARAM, 0
        if flags & TAKE_SNAPSHOT:
            return Error.NO_SHMEM, 0
        error = Error.SUCCESS
        for counter in counters:
            if self.counts(hart, counter):
                self.stand(hart, counter)
            else:
                error = Error.ALREADY_STOPPED
            if flags & RESET:
                self.forget(hart, counter)
        return error, 0

    def are_configured(self, hart: Hart, counters: Sequence[int]) -> bool:
        return all(is_there(hart, counter) and self.is_busy(hart, counter) for counter in counters)

    def counts(self, hart: Hart, counter: int) -> bool:
        if counter in FIRMWARE_COUNTERS:
            return counter in self.started.get(hart.id, ())
        return not read(hart, "mcountinhibit") >> counter & 1

    def go(self, hart: Hart, counter: int) -> None:
        if counter in FIRMWARE_COUNTERS:
            self._change(hart, counter, -self._happened(hart, counter))
            self.started.setdefault(hart.id, []).append(counter)
            return
        # An interrupt that is pending may be this one's: who takes it looks at the bit.
        if counter >= FIRST and not read(hart, "mip") & PENDING:
            write(hart, f"mhpmevent{counter}", read(hart, f"mhpmevent{counter}") & ~OVERFLOWN)
        write(hart, "mcountinhibit", read(hart, "mcountinhibit") & ~(1 << counter))

    def stand(self, hart: Hart, counter: int) -> None:
        if counter not in FIRMWARE_COUNTERS:
            write(hart, "mcountinhibit", read(hart, "mcountinhibit") | 1 << counter)
        elif self.counts(hart, counter):
            self._change(hart, counter, self._happened(hart, counter))
            self.started[hart.id].remove(counter)

    def forget(self, hart: Hart, counter: int) -> None:
        """It counts no event any more."""
        if self.events.get(hart.id, {}).pop(counter, None) is not None and counter < HARDWARE_COUNTERS:
            write(hart, FILTERS_OF_FIXED.get(counter, f"mhpmevent{counter}"), 0)

    # --- Values ------------------------------------------------------------------------------------------------------

    def set(self, hart: Hart, counter: int, value: int) -> None:
        if counter not in FIRMWARE_COUNTERS:
            write(hart, VALUES_OF_FIXED.get(counter, f"mhpmcounter{counter}"), value)
            return
        self._change(hart, counter, value - self.value(hart, counter))

    def value(self, hart: Hart, counter: int) -> int:
        """Of one of the firmware's."""
        value = self.values.get(hart.id, {}).get(counter, 0)
        return value + self._happened(hart, counter) & U64 if self.counts(hart, counter) else value

    def read(self, hart: Hart, counter: int) -> Answer:
        if counter not in FIRMWARE_COUNTERS or not self.is_busy(hart, counter):
            return Error.INVALID_PARAM, 0
        return Error.SUCCESS, self.value(hart, counter)

    def _happened(self, hart: Hart, counter: int) -> int:
        return hart.firmware_event(parts_of(self.events[hart.id][counter])[1])

    def _change(self, hart: Hart, counter: int, by: int) -> None:
        values = self.values.setdefault(hart.id, {})
        values[counter] = values.get(counter, 0) + by & U64


def selected(base: int, chosen: int) -> Iterator[int]:
    """The numbers of a set of counters, which are no more than a mask has bits."""
    return (base + bit & U64 for bit in range(64) if chosen >> bit & 1)


def is_there(hart: Hart, counter: int) -> bool:
    return counter in (CYCLE, INSTRET) or counter in FIRMWARE_COUNTERS or \
        FIRST <= counter < HARDWARE_COUNTERS and "Zihpm" in hart.isa.extensions


def inhibited(hart: Hart) -> int:
    """mcountinhibit of a hart that is started: cycle and instret count, as they do without firmware."""
    return sum(1 << counter for counter in range(FIRST, HARDWARE_COUNTERS) if is_there(hart, counter))


def in_order(hart: Hart, counters: Sequence[int]) -> list[int]:
    """Those first that can do most: with Sscofpmf programmable ones overflow and filter, which cycle does not."""
    if "Sscofpmf" in hart.isa.extensions:
        return sorted(counters, key=lambda counter: counter < FIRST)
    return list(counters)


def parts_of(event: int) -> tuple[int, int]:
    """The type and the code of an event_idx."""
    return event >> CODE_BITS, event & (1 << CODE_BITS) - 1


def hardware_event(event: int, data: int) -> int | None:
    """What `mhpmevent` calls it; None where no hart counts that."""
    kind, code = parts_of(event)
    if kind == GENERAL:
        return HARDWARE_EVENTS.get(code)
    return data if kind in (RAW, RAW_V2) and not code and data in KNOWN else None


def is_counted(event: int, data: int) -> bool:
    """Whether there is a counter for it, on a hart that has all of them."""
    kind, code = parts_of(event)
    return code < len(FirmwareEvent) if kind == FIRMWARE else hardware_event(event, data) is not None


def can_count(hart: Hart, counter: int, event: int, data: int) -> bool:
    if counter in FIRMWARE_COUNTERS:
        return parts_of(event)[0] == FIRMWARE and is_counted(event, data)
    own = hardware_event(event, data)
    return own is not None and (counter >= FIRST or FIXED.get(own) == counter)


def program(hart: Hart, counter: int, event: int, data: int, flags: int) -> None:
    filters = mask("mhpmevent", " ".join(name for bit, name in FILTERS.items() if flags & bit))
    if counter in FILTERS_OF_FIXED:
        write(hart, FILTERS_OF_FIXED[counter], filters)
    else:
        write(hart, f"mhpmevent{counter}", filters | (hardware_event(event, data) or 0))
