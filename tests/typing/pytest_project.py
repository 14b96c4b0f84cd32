"""A user's tests with fixtures of its own: what checkers say of them, the console and a device."""
# pyright: strict

from collections.abc import Iterator
from pathlib import Path
from typing import assert_type

import pytest

import vm
from vm.devices import UART, Device, reads, writes

FIRMWARE = Path("firmware.elf")


class Led(Device):
    """A GPIO with one output."""

    compatible = "example,led"
    state = ("lit",)

    def __init__(self, colour: str = "red") -> None:
        super().__init__()
        self.colour = colour
        self.lit = False

    @reads(0x00)
    def read_output(self) -> int:
        return int(self.lit)

    @writes(0x00)
    def write_output(self, value: int) -> None:
        self.lit = bool(value & 1)

    def reset(self) -> None:
        super().reset()
        self.lit = False


@pytest.fixture
def led() -> Led:
    return Led()


@pytest.fixture
def machine(led: Led) -> Iterator[vm.Machine]:
    with vm.Machine(memory="64MiB", engine="auto", clock="virtual") as machine:
        assert_type(machine.attach(led, address=0x1001_0000, irq=20), str)
        machine.load(FIRMWARE)
        yield machine


def test_boots_and_checks_itself(machine: vm.Machine, led: Led) -> None:
    machine.console.expect("checks passed", seconds=1)
    stop = machine.run(seconds=1)
    assert stop.reason is vm.StopReason.POWER_OFF and stop.exit_code == 0, stop
    assert led.lit


def test_crash(machine: vm.Machine) -> None:
    machine.console.send(b"crash\n")
    with pytest.raises(vm.ExpectStopped) as caught:
        machine.console.expect("prompt")
    assert_type(caught.value.stop, vm.Stop)
    assert caught.value.stop.cause == 5


@pytest.mark.parametrize("register", ["a0", "mcause"])
def test_registers(machine: vm.Machine, register: str) -> None:
    machine.run(instructions=1000, until=lambda machine: machine.harts[0]["a0"] == 5)
    hart = machine.harts[0]
    assert_type(hart[register], int)
    assert hart[register] == hart.csr["mcause"] & 0xFF


def test_bare() -> None:
    with vm.Machine(board="bare", harts=2) as machine:
        machine.map(0x1000, "4K", data=b"\x13\0\0\0")
        machine.attach(UART(), address=0x4000_0000)
        for hart in machine.harts:
            hart.pc = 0x1000
        with pytest.raises(vm.ConfigurationError):
            machine.map(0x1000, "4K")
        assert machine.run().reason is vm.StopReason.TRAP_LOOP
