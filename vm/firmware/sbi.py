"""The supervisor binary interface, served by the machine (RISC-V SBI specification 3.0).

Calls that are made often (TIME, IPI, RFENCE, and the legacy calls that they replace) are served by the compiled core
and never come here; `probe` says that they exist. Everything else is here: base, legacy console and shutdown, hart
state management, system reset, debug console; counters and features are in files of their own.

The caller has decoded the `ecall` and moves the pc past it. Addresses that the supervisor passes are physical.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from struct import Struct
from typing import Protocol

from vm.errors import BusError
from vm.firmware.features import Features
from vm.firmware.hart import Answer, Hart
from vm.firmware.pmu import COUNTERS, Pmu, is_counted
from vm.state import Stateful
from vm.stop import Request, StopReason
from vm_native.riscv.registers import CSR_NUMBERS
from vm_native.riscv.sbi_numbers import FUNCTIONS, Error, Extension

SPECIFICATION = 3 << 24 | 0                 # 3.0
IMPLEMENTATION = 0x766D                     # "vm"; not assigned by the specification, whose list is short and dense
IMPLEMENTATION_VERSION = 1

PRESENT = frozenset(Extension)              # the core serves TIME, IPI, RFENCE and their legacy forms

# Hart states by name, as the harts call them; one in wfi is none of the firmware's
HART_STATES = {"started": 0, "waiting": 0, "stopped": 1, "suspended": 4}

SUSPEND_RETENTIVE = 0x0000_0000
SUSPEND_NON_RETENTIVE = 0x8000_0000

# System reset
SHUTDOWN, COLD_REBOOT, WARM_REBOOT = range(3)
NO_REASON, SYSTEM_FAILURE = range(2)

A0, A1, A2, A3, A6, A7 = 10, 11, 12, 13, 16, 17      # registers

# Of PMU event info: event, whether it is counted, what else says which it is
EVENT_ENTRY = Struct("<IIQ")
MOST_EVENTS = 1 << 16           # at once: nobody waits longer for an answer

U32 = (1 << 32) - 1
U64 = (1 << 64) - 1

Result = Answer | None                      # None: the call does not return


class GuestMemory(Protocol):
    """What the firmware uses of guest memory; all of it raises BusError for anything but RAM."""

    def view(self, address: int, size: int) -> memoryview: ...
    def writable(self, address: int, size: int) -> AbstractContextManager[memoryview]: ...


class Firmware(Stateful):
    """Answers environment calls from S-mode.

    `console_output` takes bytes that the guest prints; `console_input` gives at most so many bytes that were typed,
    without waiting. `on_request(reason, code)` asks for the end of the run: POWER_OFF, RESET, or, for a shutdown after
    a system failure, EXIT with code 1. Between two calls `pmu` and `features` keep something, which are saved as parts
    of the machine.
    """

    unsaved = ("pmu", "features", "_harts", "_memory", "_output", "_input", "_request")

    def __init__(
        self,
        harts: Sequence[Hart],
        memory: GuestMemory,
        console_output: Callable[[bytes], None],
        console_input: Callable[[int], bytes],
        on_request: Request,
    ):
        self._harts = {hart.id: hart for hart in harts}
        self._memory = memory
        self._output = console_output
        self._input = console_input
        self._request = on_request
        self.pmu = Pmu()
        self.features = Features()

    def reset(self) -> None:
        """The machine starts anew."""
        self.pmu.reset()
        self.features.reset()

    def handle(self, hart: Hart) -> None:
        """Serve the call in a7 (extension), a6 (function), a0... (arguments); the answer goes to a0 and a1."""
        extension = hart.read_x(A7)
        if legacy := LEGACY.get(extension):
            hart.write_x(A0, legacy(self, hart) & U64)      # legacy calls leave a1 alone
            return
        function = CALLS.get((extension, hart.read_x(A6)))
        result = function(self, hart) if function else (Error.NOT_SUPPORTED, 0)
        if result is not None:
            error, value = result
            hart.write_x(A0, error & U64)
            hart.write_x(A1, value & U64)

    # --- Legacy calls (chapter 5): no function number, one result ----------------------------------------------------

    def _legacy_putchar(self, hart: Hart) -> int:
        self._output(bytes([hart.read_x(A0) & 0xFF]))
        return 0

    def _legacy_getchar(self, hart: Hart) -> int:
        typed = self._input(1)
        return typed[0] if typed else -1

    def _legacy_shutdown(self, hart: Hart) -> int:
        self._request(StopReason.POWER_OFF, 0)
        return 0

    # --- Hart state management (chapter 9) ---------------------------------------------------------------------------

    def _hart_start(self, hart: Hart) -> Result:
        target = self._harts.get(hart.read_x(A0))
        address = hart.read_x(A1)
        if target is None:
            return Error.INVALID_PARAM, 0
        if target.state != "stopped":
            return Error.ALREADY_AVAILABLE, 0
        if not self._is_code(address):
            return Error.INVALID_ADDRESS, 0
        self.pmu.begin(target)
        self.features.begin(target)
        target.start(address, hart.read_x(A2))
        return Error.SUCCESS, 0

    def _hart_stop(self, hart: Hart) -> Result:
        hart.stop()
        return None

    def _hart_status(self, hart: Hart) -> Result:
        target = self._harts.get(hart.read_x(A0))
        return (Error.SUCCESS, HART_STATES[target.state]) if target else (Error.INVALID_PARAM, 0)

    def _hart_suspend(self, hart: Hart) -> Result:
        kind, address = hart.read_x(A0) & U32, hart.read_x(A1)
        if kind == SUSPEND_RETENTIVE:
            hart.suspend()
            return Error.SUCCESS, 0                       # what the hart finds when it wakes
        if kind != SUSPEND_NON_RETENTIVE:
            return Error.INVALID_PARAM, 0
        if not self._is_code(address):
            return Error.INVALID_ADDRESS, 0
        hart.start(address, hart.read_x(A2))              # which it does not before it wakes
        hart.suspend()
        return None

    # --- System reset (chapter 10) -----------------------------------------------------------------------------------

    def _system_reset(self, hart: Hart) -> Result:
        kind, reason = hart.read_x(A0) & U32, hart.read_x(A1) & U32
        if kind > WARM_REBOOT or reason > SYSTEM_FAILURE:
            return Error.INVALID_PARAM, 0
        if kind != SHUTDOWN:
            self._request(StopReason.RESET, None)
        elif reason == SYSTEM_FAILURE:
            self._request(StopReason.EXIT, 1)
        else:
            self._request(StopReason.POWER_OFF, 0)
        return Error.SUCCESS, 0

    # --- Counters (chapter 11) ---------------------------------------------------------------------------------------

    def _counter_read_high(self, hart: Hart) -> Result:
        """Of 64 bits there are none above."""
        return self.pmu.read(hart, hart.read_x(A0))[0], 0

    def _event_info(self, hart: Hart) -> Result:
        """Say in memory, of each event that is asked for there, whether there is a counter for it."""
        address, high, count, flags = (hart.read_x(number) for number in (A0, A1, A2, A3))
        if flags or address % EVENT_ENTRY.size:
            return Error.INVALID_PARAM, 0
        if high:
            return Error.INVALID_ADDRESS, 0
        if count > MOST_EVENTS:
            return Error.FAILED, 0
        try:
            with self._memory.writable(address, count * EVENT_ENTRY.size) as table:
                entries = list(EVENT_ENTRY.iter_unpack(table))
                if any(event >> 20 for event, _, _ in entries):
                    return Error.INVALID_PARAM, 0
                for place, (event, _, data) in enumerate(entries):
                    EVENT_ENTRY.pack_into(table, place * EVENT_ENTRY.size, event, is_counted(event, data), data)
        except BusError:
            return Error.INVALID_ADDRESS, 0
        return Error.SUCCESS, 0

    # --- Features (chapter 18) ---------------------------------------------------------------------------------------

    def _feature_set(self, hart: Hart) -> Result:
        return self.features.set(hart, hart.read_x(A0) & U32, hart.read_x(A1), hart.read_x(A2))

    def _feature_get(self, hart: Hart) -> Result:
        return self.features.get(hart, hart.read_x(A0) & U32)

    # --- Debug console (chapter 12): num_bytes, base_addr_lo, base_addr_hi -------------------------------------------

    def _console_write(self, hart: Hart) -> Result:
        size, address, high = hart.read_x(A0), hart.read_x(A1), hart.read_x(A2)
        if size == 0:
            return Error.SUCCESS, 0
        if high:
            return Error.INVALID_PARAM, 0
        try:
            text = bytes(self._memory.view(address, size))
        except BusError:
            return Error.INVALID_PARAM, 0
        self._output(text)
        return Error.SUCCESS, size

    def _console_read(self, hart: Hart) -> Result:
        size, address, high = hart.read_x(A0), hart.read_x(A1), hart.read_x(A2)
        if size == 0:
            return Error.SUCCESS, 0
        if high or not self._is_ram(address, size):
            return Error.INVALID_PARAM, 0
        typed = self._input(size)
        if typed:
            with self._memory.writable(address, len(typed)) as target:
                target[:] = typed
        return Error.SUCCESS, len(typed)

    def _console_write_byte(self, hart: Hart) -> Result:
        self._output(bytes([hart.read_x(A0) & 0xFF]))
        return Error.SUCCESS, 0

    def _is_code(self, address: int) -> bool:
        """Whether a hart can go on there: an instruction can be fetched."""
        return not address & 1 and self._is_ram(address, 2)

    def _is_ram(self, address: int, size: int) -> bool:
        try:
            self._memory.view(address, size)
        except BusError:
            return False
        return True


def of_counters(call: Callable[..., Answer], arguments: int, firmware: Firmware, hart: Hart) -> Result:
    """What the counters answer, asked with so many arguments."""
    return call(firmware.pmu, hart, *(hart.read_x(A0 + number) for number in range(arguments)))


def always(value: int, firmware: Firmware, hart: Hart) -> Result:
    """What is said of this implementation."""
    return Error.SUCCESS, value


def probe(firmware: Firmware, hart: Hart) -> Result:
    return Error.SUCCESS, int(hart.read_x(A0) in PRESENT)


def read_identity(csr: str, firmware: Firmware, hart: Hart) -> Result:
    """One of the CSRs that every hart has and that say what it is."""
    value = hart.read_csr(CSR_NUMBERS[csr])
    assert value is not None
    return Error.SUCCESS, value


LEGACY: dict[int, Callable[[Firmware, Hart], int]] = {
    Extension.LEGACY_PUTCHAR: Firmware._legacy_putchar,
    Extension.LEGACY_GETCHAR: Firmware._legacy_getchar,
    Extension.LEGACY_SHUTDOWN: Firmware._legacy_shutdown,
}
SERVED: dict[Extension, dict[str, Callable[[Firmware, Hart], Result]]] = {
    Extension.BASE: {
        "get_spec_version": partial(always, SPECIFICATION),
        "get_impl_id": partial(always, IMPLEMENTATION),
        "get_impl_version": partial(always, IMPLEMENTATION_VERSION),
        "probe_extension": probe,
        "get_mvendorid": partial(read_identity, "mvendorid"),
        "get_marchid": partial(read_identity, "marchid"),
        "get_mimpid": partial(read_identity, "mimpid"),
    },
    Extension.HSM: {
        "hart_start": Firmware._hart_start,
        "hart_stop": Firmware._hart_stop,
        "hart_get_status": Firmware._hart_status,
        "hart_suspend": Firmware._hart_suspend,
    },
    Extension.SRST: {"system_reset": Firmware._system_reset},
    Extension.PMU: {
        "num_counters": partial(always, COUNTERS),
        "counter_get_info": partial(of_counters, Pmu.info, 1),
        "counter_config_matching": partial(of_counters, Pmu.configure, 5),
        "counter_start": partial(of_counters, Pmu.start, 4),
        "counter_stop": partial(of_counters, Pmu.stop, 3),
        "counter_fw_read": partial(of_counters, Pmu.read, 1),
        "counter_fw_read_hi": Firmware._counter_read_high,
        "event_get_info": Firmware._event_info,
    },
    Extension.FWFT: {"fwft_set": Firmware._feature_set, "fwft_get": Firmware._feature_get},
    Extension.DBCN: {
        "console_write": Firmware._console_write,
        "console_read": Firmware._console_read,
        "console_write_byte": Firmware._console_write_byte,
    },
}
CALLS: dict[tuple[int, int], Callable[[Firmware, Hart], Result]] = {        # by what a7 and a6 have
    (extension, FUNCTIONS[extension].index(name)): function
    for extension, functions in SERVED.items() for name, function in functions.items()
}
