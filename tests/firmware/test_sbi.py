"""SBI calls served by the machine: numbers, answers and errors as in the RISC-V SBI specification 3.0."""

import re
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.firmware.supervisor import Supervisor
from vm.errors import BusError
from vm.firmware import Firmware
from vm.stop import StopReason
from vm_native.riscv.isa import parse
from vm_native.riscv.registers import CSR_NUMBERS

RAM, RAM_SIZE = 0x8000_0000, 0x10000
A0, A1, A2, A6, A7 = 10, 11, 12, 16, 17
BASE, HSM, SRST, DBCN = 0x10, 0x48534D, 0x53525354, 0x4442434E
U64 = (1 << 64) - 1
POWER_OFF, RESET, EXIT = StopReason.POWER_OFF, StopReason.RESET, StopReason.EXIT
SUCCESS, NOT_SUPPORTED, INVALID_PARAM, INVALID_ADDRESS, ALREADY_AVAILABLE = 0, -2, -3, -5, -6


class Registers:
    """A hart as far as the firmware sees it."""

    def __init__(self, number, state):
        self.id = number
        self.x = [0] * 32
        self.csr = dict.fromkeys(CSR_NUMBERS.values(), 0)
        self.csr |= {0xF11: 0x11, 0xF12: 0x22, 0xF13: 0x33}         # mvendorid, marchid, mimpid
        self.state = state
        self.started_at = None
        self.isa = parse("default")

    def read_x(self, number):
        return self.x[number]

    def write_x(self, number, value):
        self.x[number] = value

    def read_csr(self, number):
        return self.csr[number]

    def write_csr(self, number, value):
        self.csr[number] = value

    def start(self, address, opaque):
        self.state, self.started_at = "started", (address, opaque)

    def stop(self):
        self.state = "stopped"

    def suspend(self):
        self.state = "suspended"


class Ram:
    """Guest memory that is all RAM."""

    def __init__(self):
        self.data = bytearray(RAM_SIZE)

    def _slice(self, address, size, access):
        if not (RAM <= address and address + size <= RAM + RAM_SIZE):
            raise BusError(address, access)
        return memoryview(self.data)[address - RAM:address - RAM + size]

    def view(self, address, size):
        return self._slice(address, size, "read").toreadonly()

    @contextmanager
    def writable(self, address, size):
        yield self._slice(address, size, "write")


class Bench:
    """Firmware of a machine with two harts, the second stopped, and a console that can be typed on."""

    def __init__(self):
        self.harts = [Registers(0, "started"), Registers(1, "stopped")]
        self.ram = Ram()
        self.printed = b""
        self.typed = b""
        self.requests = []
        self.firmware = Firmware(self.harts, self.ram, self.print, self.take,
                                 lambda reason, code: self.requests.append((reason, code)))

    def print(self, data):
        self.printed += data

    def take(self, count):
        taken, self.typed = self.typed[:count], self.typed[count:]
        return taken

    def call(self, extension, function=0, *arguments):
        """(error, value) as signed error and unsigned value."""
        x = self.harts[0].x
        x[A7], x[A6], x[A1], x[A2] = extension, function, 0xDEAD, 0xDEAD
        for index, argument in enumerate(arguments):
            x[A0 + index] = argument
        self.firmware.handle(self.harts[0])
        assert all(0 <= value <= U64 for value in x)
        return x[A0] - (1 << 64 if x[A0] >> 63 else 0), x[A1]


@pytest.fixture
def bench():
    return Bench()


def test_specification_version_is_3_0(bench):
    assert bench.call(BASE, 0) == (SUCCESS, 0x0300_0000)


def test_implementation_is_none_that_the_specification_lists(bench):
    """Table "SBI Implementation IDs": 0 (BBL) to 11 are taken as of 3.0."""
    error, value = bench.call(BASE, 1)
    assert error == SUCCESS and value > 0xFF


@pytest.mark.parametrize(
    "extension", [0x10, 0x54494D45, 0x735049, 0x52464E43, 0x48534D, 0x53525354, 0x504D55, 0x4442434E, 0x46574654,
                  *range(9)])
def test_probe_finds(bench, extension):
    assert bench.call(BASE, 3, extension) == (SUCCESS, 1)


@pytest.mark.parametrize("extension", [0x53555350, 0x535441, 0x0900_0000, 0x11, U64])
def test_probe_does_not_find(bench, extension):
    assert bench.call(BASE, 3, extension) == (SUCCESS, 0)


def test_machine_ids_come_from_the_csrs(bench):
    assert [bench.call(BASE, function) for function in (4, 5, 6)] == [(0, 0x11), (0, 0x22), (0, 0x33)]


PAGE = (Path(__file__).parents[2] / "docs/sbi.md").read_text()
ON_PAGE = {int(extension, 16): {int(number) for number in re.findall(r"\b(\d+) `", functions)}
           for extension, functions in re.findall(r"^\| [A-Z]+ \| (0x[0-9a-f]+) \| (.*) \|$", PAGE, re.MULTILINE)}
LEGACY_ON_PAGE = {int(extension, 16) for extension in re.findall(r"(0x[0-9a-f]) `", PAGE)}


def test_page_names_what_the_firmware_is_asked_for_first():
    """SBI 3.0, chapter 4: every implementation has BASE; Linux asks for the others by these numbers."""
    assert ON_PAGE[BASE] == set(range(7)) and ON_PAGE.keys() > {0x54494D45, 0x735049, 0x52464E43, HSM, SRST}
    assert LEGACY_ON_PAGE == set(range(9))


@pytest.mark.parametrize("extension", [*ON_PAGE, *range(10), 0x53555350, 0x535441, 0x4E41434C])
def test_what_is_on_the_page_is_served_and_nothing_else(extension):
    """By the core or here: of the whole machine, as its guest calls it."""
    for function in range(10):
        served = function in ON_PAGE.get(extension, ()) or extension in LEGACY_ON_PAGE
        s = Supervisor("default_h")
        assert (s.ecall(extension, function)[0] != NOT_SUPPORTED) == served, function
        s.machine.close()


@pytest.mark.parametrize("call", [(0x504D55, 7), (0x504D55, 9), (0x46574654, 2), (BASE, 7), (HSM, 4), (SRST, 1),
                                  (DBCN, 3), (9, 0)])
def test_unknown_call_is_not_supported(bench, call):
    assert bench.call(*call)[0] == NOT_SUPPORTED


def test_all_registers_but_a0_and_a1_survive_a_call(bench):
    bench.harts[0].x[:] = range(100, 132)
    bench.call(BASE, 0)
    kept = [number for number in range(32) if number not in (A0, A1, A2, A6, A7)]
    assert [bench.harts[0].x[number] for number in kept] == [100 + number for number in kept]


# --- Legacy -----------------------------------------------------------------------------------------------------------

def test_legacy_putchar_prints_the_low_byte_and_leaves_a1(bench):
    assert bench.call(1, 0, 0x141) == (0, 0xDEAD)
    assert bench.printed == b"A"


def test_legacy_getchar_gives_what_was_typed_then_minus_one(bench):
    bench.typed = b"z"
    assert bench.call(2) == (ord("z"), 0xDEAD)
    assert bench.call(2) == (-1, 0xDEAD)


def test_legacy_shutdown(bench):
    bench.call(8)
    assert bench.requests == [(POWER_OFF, 0)]


# --- Hart state management --------------------------------------------------------------------------------------------

def test_hart_start_hands_over_address_and_opaque(bench):
    assert bench.call(HSM, 0, 1, RAM + 0x200, 0x1234) == (SUCCESS, 0)
    assert bench.harts[1].started_at == (RAM + 0x200, 0x1234)
    assert bench.call(HSM, 2, 1) == (SUCCESS, 0)


@pytest.mark.parametrize("hart, address, error", [
    (2, RAM, INVALID_PARAM),
    (U64, RAM, INVALID_PARAM),
    (0, RAM, ALREADY_AVAILABLE),
    (0, RAM + 1, ALREADY_AVAILABLE),
    (1, 0x1000_0000, INVALID_ADDRESS),
    (1, RAM + 1, INVALID_ADDRESS),
    (1, RAM + RAM_SIZE, INVALID_ADDRESS),
])
def test_hart_start_refuses(bench, hart, address, error):
    assert bench.call(HSM, 0, hart, address, 0)[0] == error
    assert bench.harts[1].started_at is None


@pytest.mark.parametrize("state", ["started", "waiting", "suspended"])
def test_hart_that_was_not_stopped_is_available_already(bench, state):
    bench.harts[1].state = state
    assert bench.call(HSM, 0, 1, RAM, 0) == (ALREADY_AVAILABLE, 0)
    assert (bench.harts[1].state, bench.harts[1].started_at) == (state, None)


def test_hart_stop_stops_the_caller_and_does_not_return(bench):
    before = bench.call(HSM, 1, 7)
    assert [hart.state for hart in bench.harts] == ["stopped", "stopped"]
    assert before == (7, 0xDEAD)                        # what the caller had in a0 and a1


def test_hart_starts_again_after_each_stop(bench):
    """As the state machine of chapter 9 has it, any number of times."""
    for turn in range(3):
        assert bench.call(HSM, 0, 1, RAM + 4 * turn, turn) == (SUCCESS, 0)
        assert bench.harts[1].started_at == (RAM + 4 * turn, turn)
        assert bench.call(HSM, 0, 1, RAM, 0)[0] == ALREADY_AVAILABLE
        bench.harts[1].stop()
        assert bench.call(HSM, 2, 1) == (SUCCESS, 1)


@pytest.mark.parametrize("state, number", [("started", 0), ("waiting", 0), ("stopped", 1), ("suspended", 4)])
def test_hart_status(bench, state, number):
    bench.harts[1].state = state
    assert bench.call(HSM, 2, 1) == (SUCCESS, number)


def test_hart_status_of_no_hart(bench):
    assert bench.call(HSM, 2, 7)[0] == INVALID_PARAM


@pytest.mark.parametrize("kind, address, error", [
    (0x0000_0001, RAM, INVALID_PARAM),                  # reserved
    (0x0FFF_FFFF, RAM, INVALID_PARAM),
    (0x1000_0000, RAM, INVALID_PARAM),                  # platform specific, retentive
    (0x7FFF_FFFF, RAM, INVALID_PARAM),
    (0x8000_0001, RAM, INVALID_PARAM),                  # reserved
    (0x9000_0000, RAM, INVALID_PARAM),                  # platform specific, non-retentive
    (0xFFFF_FFFF, RAM, INVALID_PARAM),
    (0x8000_0000, RAM + 1, INVALID_ADDRESS),
    (0x8000_0000, 0x1000_0000, INVALID_ADDRESS),        # a device
    (0x8000_0000, RAM + RAM_SIZE, INVALID_ADDRESS),
])
def test_hart_suspend_refuses(bench, kind, address, error):
    assert bench.call(HSM, 3, kind, address, 0) == (error, 0)
    assert (bench.harts[0].state, bench.harts[0].started_at) == ("started", None)


@pytest.mark.parametrize("high", [0, 1 << 32, 0xFFFF_FFFF << 32])
def test_retentive_suspend_returns_and_has_no_use_for_the_address(bench, high):
    """The type is 32 bits wide, whatever the register holds above."""
    assert bench.call(HSM, 3, high, 1, 0) == (SUCCESS, 0)
    assert (bench.harts[0].state, bench.harts[0].started_at) == ("suspended", None)


@pytest.mark.parametrize("high", [0, 0xFFFF_FFFF << 32])
def test_non_retentive_suspend_goes_on_at_the_address(bench, high):
    bench.call(HSM, 3, high | 0x8000_0000, RAM + 0x200, 0x1234)
    assert (bench.harts[0].state, bench.harts[0].started_at) == ("suspended", (RAM + 0x200, 0x1234))


# --- System reset -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, reason, request_", [
    (0, 0, (POWER_OFF, 0)), (0, 1, (EXIT, 1)), (1, 0, (RESET, None)), (2, 0, (RESET, None)), (1, 1, (RESET, None)),
])
def test_system_reset(bench, kind, reason, request_):
    bench.call(SRST, 0, kind, reason)
    assert bench.requests == [request_]


@pytest.mark.parametrize("kind, reason", [(3, 0), (0xF000_0000, 0), (0, 2), (0, 0xE000_0000), (0, 0xF000_0000)])
def test_system_reset_refuses(bench, kind, reason):
    assert bench.call(SRST, 0, kind, reason)[0] == INVALID_PARAM
    assert bench.requests == []


# --- Debug console ----------------------------------------------------------------------------------------------------

def test_console_write_prints_memory(bench):
    bench.ram.data[0x100:0x105] = b"hello"
    assert bench.call(DBCN, 0, 5, RAM + 0x100, 0) == (SUCCESS, 5)
    assert bench.printed == b"hello"


def test_console_read_gives_no_more_than_was_typed(bench):
    bench.typed = b"ls\n"
    assert bench.call(DBCN, 1, 16, RAM + 0x80, 0) == (SUCCESS, 3)
    assert bench.ram.data[0x80:0x90] == b"ls\n" + bytes(13)


def test_console_read_gives_no_more_than_asked(bench):
    bench.typed = b"abcdef"
    assert bench.call(DBCN, 1, 4, RAM, 0) == (SUCCESS, 4)
    assert bench.typed == b"ef"


def test_console_read_of_nothing_does_not_wait(bench):
    assert bench.call(DBCN, 1, 4, RAM, 0) == (SUCCESS, 0)


def test_console_write_byte(bench):
    assert bench.call(DBCN, 2, 0x2142) == (SUCCESS, 0)
    assert bench.printed == b"B"


@pytest.mark.parametrize("function", [0, 1])
@pytest.mark.parametrize("size, low, high", [
    (1, 0x1000_0000, 0),                                # a device
    (2, RAM + RAM_SIZE - 1, 0),                         # across the end of RAM
    (U64, RAM, 0),
    (16, U64 - 7, 0),
    (1, RAM, 1),                                        # beyond 64 bits
])
def test_console_refuses_what_is_not_ram(bench, function, size, low, high):
    bench.typed = b"kept"
    assert bench.call(DBCN, function, size, low, high) == (INVALID_PARAM, 0)
    assert (bench.printed, bench.typed) == (b"", b"kept")
