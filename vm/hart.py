"""A hart from Python: its registers by number and by name, its CSRs, its view of memory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vm.errors import PageFault
from vm.memory import Memory
from vm.sizes import PAGE_SIZE
from vm_native.riscv.hart import NativeHart
from vm_native.riscv.isa import Isa
from vm_native.riscv.registers import CAUSES, CSR_NUMBERS, F_NUMBERS, X_NUMBERS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

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

    def __init__(self, hart: NativeHart):
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


class VirtualMemory:
    """Memory through the MMU of one hart, as its current privilege and `satp` see it. Addresses are virtual.

    Every method raises `PageFault` where there is no translation and `BusError` where it leads to nothing. Reading or
    writing changes no accessed or dirty bit; permission is that of a load or a store of the hart.
    """

    def __init__(self, hart: NativeHart, memory: Memory):
        self._hart = hart
        self._memory = memory

    def physical(self, address: int, access: str = "read") -> int:
        """The physical address behind a virtual one; `access` is 'read', 'write' or 'execute'."""
        self._memory.refuse_unusable(access)
        found = self._hart.translate(address % (1 << 64), access)
        if found is None:
            raise PageFault(address, access)
        return found

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes, across pages."""
        return b"".join(self._memory.read(physical, part) for physical, part in self._pieces(address, size, "read"))

    def write(self, address: int, data: Buffer | NDArray[Any]) -> None:
        """Write a buffer, across pages; nothing is written unless all of it can be."""
        source = memoryview(data).cast("B")
        pieces = list(self._pieces(address, len(source), "write"))
        offset = 0
        for physical, part in pieces:
            self._memory.write(physical, source[offset : offset + part])
            offset += part

    def _pieces(self, address: int, size: int, access: str) -> Iterator[tuple[int, int]]:
        while size > 0:
            part = min(size, PAGE_SIZE - address % PAGE_SIZE)
            yield self.physical(address, access), part
            address += part
            size -= part


class Hart:
    """A hart of a machine.

    - x: integer registers, 64 bits unsigned. Negative values are accepted for writing, as two's complement; below
      -2**63 and from 2**64 on it is a ValueError.
    - f: floating-point registers as Python floats (double precision; a single that is NaN-boxed reads as a NaN).
    - f_bits: the same as raw 64-bit images.
    - csr: control and status registers by name.
    - virtual: memory through this hart's MMU.
    """

    __slots__ = ("_native", "csr", "f", "f_bits", "virtual", "x")

    def __init__(self, native: NativeHart, memory: Memory):
        self._native = native
        self.x: Registers[int] = Registers(native.read_x, lambda number, value: native.write_x(number, bits(value)))
        self.f: Registers[float] = Registers(self._read_double, self._write_double)
        self.f_bits: Registers[int] = Registers(native.read_f,
                                                lambda number, value: native.write_f(number, bits(value)))
        self.csr = ControlRegisters(native)
        self.virtual = VirtualMemory(native, memory)

    @property
    def id(self) -> int:
        """mhartid."""
        return self._native.id

    @property
    def isa(self) -> Isa:
        """What the hart has."""
        return self._native.isa

    @property
    def pc(self) -> int:
        """Virtual address of the next instruction. Writable, which ends a wfi; an odd address raises ValueError."""
        return self._native.pc

    @pc.setter
    def pc(self, value: int) -> None:
        self._native.pc = value

    @property
    def privilege(self) -> int:
        """0 user, 1 supervisor, 3 machine. Writable."""
        return self._native.privilege

    @privilege.setter
    def privilege(self, value: int) -> None:
        self._native.privilege = value

    @property
    def steps(self) -> int:
        """Retired instructions and instructions that trapped, since the machine was built."""
        return self._native.steps

    @property
    def state(self) -> str:
        """'started', 'stopped' or 'suspended' (waiting for an interrupt)."""
        return self._native.state

    def _read_double(self, number: int) -> float:
        value: float = struct.unpack("<d", struct.pack("<Q", self.f_bits[number]))[0]
        return value

    def _write_double(self, number: int, value: float) -> None:
        self.f_bits[number] = struct.unpack("<Q", struct.pack("<d", value))[0]

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


def cause_name(cause: int) -> str:
    """The name of an exception or an interrupt, by the number in mcause."""
    return CAUSES.get(cause, "unknown cause")
