"""A hart from Python: its registers by number and by name, its CSRs, its view of memory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from vm.memory import Memory, VirtualMemory
from vm_native.riscv.hart import NativeHart
from vm_native.riscv.registers import CSR_NUMBERS, F_NUMBERS, X_NUMBERS

Value = TypeVar("Value")


class Registers(Generic[Value]):
    """One register file: `registers[10]`, readable and writable."""

    def __init__(self, read: Callable[[int], Value], write: Callable[[int, Value], None]):
        self._read = read
        self._write = write

    def __len__(self) -> int:
        return 32

    def __getitem__(self, number: int) -> Value:
        return self._read(number)

    def __setitem__(self, number: int, value: Value) -> None:
        self._write(number, value)

    def __iter__(self) -> Iterator[Value]:
        return (self._read(number) for number in range(32))


class ControlRegisters:
    """CSRs by name or number: `csr["satp"]`. Writing follows the register's WARL rules, whatever the privilege.

    Raises KeyError for one that the hart does not have, or for writing a read-only one; ValueError for a value that
    does not fit 64 bits.
    """

    def __init__(self, hart: Hart):
        self._hart = hart

    def __getitem__(self, name: str | int) -> int:
        value = self._hart.read_csr(csr_number(name))
        if value is None:
            raise KeyError(f"this hart has no CSR {name!r}")
        return value

    def __setitem__(self, name: str | int, value: int) -> None:
        if not self._hart.write_csr(csr_number(name), bits(value)):
            raise KeyError(f"this hart has no writable CSR {name!r}")


def bits(value: int) -> int:
    """A value for a register of 64 bits, unsigned or in two's complement."""
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError(f"{value:#x} does not fit a register of 64 bits; mask it with & (1 << 64) - 1")
    return value & (1 << 64) - 1


def csr_number(name: str | int) -> int:
    if isinstance(name, int):
        return name
    number = CSR_NUMBERS.get(name.lower())
    if number is None:
        raise KeyError(f"no CSR is called {name!r}")
    return number


class Hart(NativeHart):
    """A hart of a machine. `hart.pc`, `hart.privilege` and `hart.steps` are there too.

    - x: integer registers, 64 bits unsigned. Negative values are accepted for writing, as two's complement; below
      -2**63 and from 2**64 on it is a ValueError.
    - f: floating-point registers as Python floats (double precision; a single that is NaN-boxed reads as a NaN).
    - f_bits: the same as raw 64-bit images.
    - csr: control and status registers by name.
    - virtual: memory through this hart's MMU.
    """

    def connect(self, memory: Memory) -> None:
        """Give the hart its views; the machine does this once."""
        self.x: Registers[int] = Registers(self.read_x, lambda number, value: self.write_x(number, bits(value)))
        self.f: Registers[float] = Registers(self._read_double, self._write_double)
        self.f_bits: Registers[int] = Registers(self.read_f, lambda number, value: self.write_f(number, bits(value)))
        self.csr = ControlRegisters(self)
        self.virtual = VirtualMemory(self, memory)

    def _read_double(self, number: int) -> float:
        value: float = struct.unpack("<d", struct.pack("<Q", self.read_f(number)))[0]
        return value

    def _write_double(self, number: int, value: float) -> None:
        self.write_f(number, struct.unpack("<Q", struct.pack("<d", value))[0])

    def __getitem__(self, name: str) -> Any:
        """A register by any of its names: `hart["a0"]`, `hart["fa0"]`, `hart["pc"]`, `hart["satp"]`."""
        if name == "pc":
            return self.pc
        if name in X_NUMBERS:
            return self.x[X_NUMBERS[name]]
        if name in F_NUMBERS:
            return self.f[F_NUMBERS[name]]
        return self.csr[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "pc":
            self.pc = value
        elif name in X_NUMBERS:
            self.x[X_NUMBERS[name]] = value
        elif name in F_NUMBERS:
            self.f[F_NUMBERS[name]] = value
        else:
            self.csr[name] = value

    def __repr__(self) -> str:
        return f"<hart {self.id}: {self.state}, pc {self.pc:#x}, privilege {'USHM'[self.privilege]}>"
