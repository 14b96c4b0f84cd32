"""A hart from Python: its registers by number and by name, its CSRs, its view of memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from vm.arguments import integer
from vm.display import hexadecimal, html_table, in_rows, text_table
from vm.errors import Access, PageFault
from vm.memory import Memory
from vm.privilege import GUESTS, Privilege
from vm.registers import (
    ControlRegisters,
    FloatName,
    Registers,
    bits,
    float_images,
    integer_registers,
    no_such,
    vector_registers,
)
from vm.sizes import PAGE_SIZE
from vm_native.riscv.hart import NativeHart
from vm_native.riscv.isa import Isa
from vm_native.riscv.registers import CAUSES, CSR_NUMBERS, F_NAMES, F_NUMBERS, X_NAMES, X_NUMBERS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

State = Literal["started", "stopped", "waiting", "suspended"]

TABLE_COLUMNS = 4
OF_DATA: tuple[Access, ...] = "read", "write"
SUM = 1 << 18                           # privileged specification, section 3.1.6


class VirtualMemory:
    """Memory through the MMU of one hart, as its current privilege and `satp` see it. Addresses are virtual.

    Every method raises `PageFault` where there is no translation and `BusError` where it leads to nothing. Reading or
    writing changes no accessed or dirty bit; permission is that of a load or a store of the hart.
    """

    def __init__(self, hart: NativeHart, memory: Memory):
        self._hart = hart
        self._memory = memory

    def physical(self, address: int, access: Access = "read") -> int:
        """The physical address behind a virtual one; `access` is 'read', 'write' or 'execute', else a ValueError."""
        if access not in get_args(Access):
            raise ValueError(f"access={access!r}: there is {', '.join(map(repr, get_args(Access)))}")
        self._memory.refuse_unusable(access)
        found = self._hart.translate(integer("address", address) % (1 << 64), access)
        if found is None:
            raise PageFault(address, access, self._refused(address % (1 << 64), access))
        return found

    def _refused(self, address: int, access: Access) -> str:
        """Why the hart may not access a page that is there; empty where none is."""
        for other in OF_DATA:               # of fetches the mode may be another (MPRV)
            if self._hart.translate(address, other) is not None:
                return f"the page is there for {other}, not for {access}"
        kept = self._hart.save()
        mode = self._hart.privilege
        status = CSR_NUMBERS["vsstatus" if mode in GUESTS else "mstatus"]
        try:
            self._hart.write_csr(status, (self._hart.read_csr(status) or 0) | SUM)
            if self._hart.translate(address, access) is not None:
                return ("the page is a user's, and SUM in mstatus is 0, so that S-mode may not look there now; of a "
                        "Linux, machine.linux.read(address, size, machine.linux.current(hart)) does")
            if mode in (Privilege.USER, Privilege.VIRTUAL_USER):
                self._hart.privilege = mode | Privilege.SUPERVISOR
                if self._hart.translate(address, access) is not None:
                    return "the page is S-mode's, and the hart is in U-mode"
        finally:
            self._hart.load(kept)
        return ""

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes, across pages."""
        if integer("size", size) < 0:
            raise ValueError(f"size={size}: must not be negative")
        return b"".join(self._memory.read(physical, part) for physical, part in self._pieces(address, size, "read"))

    def write(self, address: int, data: Buffer | NDArray[Any]) -> None:
        """Write a buffer, across pages; nothing is written unless all of it can be."""
        source = memoryview(data).cast("B")
        pieces = list(self._pieces(address, len(source), "write"))
        offset = 0
        for physical, part in pieces:
            self._memory.write(physical, source[offset : offset + part])
            offset += part

    def _pieces(self, address: int, size: int, access: Access) -> Iterator[tuple[int, int]]:
        address = integer("address", address)
        while size > 0:
            part = min(size, PAGE_SIZE - address % PAGE_SIZE)
            yield self.physical(address, access), part
            address += part
            size -= part

    def __repr__(self) -> str:
        satp = self._hart.read_csr(CSR_NUMBERS["satp"]) or 0
        privilege = Privilege(self._hart.privilege).letter
        return f"<virtual memory of hart {self._hart.id}: privilege {privilege}, satp {satp:#x}>"


class Hart:
    """A hart of a machine. `print(hart)` shows its registers; `dict(hart)` has pc and the integer registers by name.

    - x: integer registers, 64 bits unsigned. Negative values are accepted for writing, as two's complement; below
      -2**63 and from 2**64 on it is a ValueError.
    - f: floating-point registers as Python floats (double precision; a single that is NaN-boxed reads as a NaN).
    - f_bits: the same as raw 64-bit images.
    - v: vector registers as arrays of bytes, `hart.v[8].view("<u4")` of words; they are copies. A register takes any
      buffer of its size: `hart.v[8] = numpy.arange(4, dtype="<u4")`. None on a hart without vectors.
    - csr: control and status registers by name.
    - virtual: memory through this hart's MMU.

    All of them by any of their names, in upper or lower case: `hart["a0"]`, `hart["x10"]`, `hart["fa0"]`,
    `hart["pc"]`, `hart["satp"]`. Raises KeyError for what is none, or what this hart does not have.
    """

    __slots__ = ("_native", "csr", "f", "f_bits", "v", "virtual", "x")

    def __init__(self, native: NativeHart, memory: Memory):
        self._native = native
        self.x = integer_registers(native)
        self.f: Registers[float] = Registers("floating-point", F_NAMES, F_NUMBERS, self._read_double,
                                             self._write_double)
        self.f_bits = float_images(native)
        self.v = vector_registers(native) if native.isa.vlen else None
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
        self._native.pc = bits(value)

    @property
    def privilege(self) -> int:
        """0 user, 1 supervisor, 3 machine; of a hart with H also 4 and 5, virtual user and supervisor. Writable."""
        return self._native.privilege

    @privilege.setter
    def privilege(self, value: int) -> None:
        self._native.privilege = integer("privilege", value)

    @property
    def steps(self) -> int:
        """Retired instructions and instructions that trapped, since the machine was built."""
        return self._native.steps

    @property
    def state(self) -> State:
        """'started', 'stopped', 'waiting' (for an interrupt, in wfi) or 'suspended' (the same, as it asked of SBI)."""
        return self._native.state

    def _read_double(self, number: int) -> float:
        value: float = struct.unpack("<d", struct.pack("<Q", self.f_bits[number]))[0]
        return value

    def _write_double(self, number: int, value: float) -> None:
        try:
            image = struct.pack("<d", value)
        except struct.error:
            raise TypeError(f"value={value!r}: must be a number") from None
        self.f_bits[number] = struct.unpack("<Q", image)[0]

    @overload
    def __getitem__(self, name: FloatName) -> float: ...    # type: ignore[overload-overlap]

    @overload
    def __getitem__(self, name: str) -> int: ...

    def __getitem__(self, name: str) -> float:
        file, key = self._find(name)
        return self.pc if file is None else file[key]

    def __setitem__(self, name: str, value: float) -> None:
        file, key = self._find(name)
        if file is None:
            self.pc = value                     # type: ignore[assignment]  # that says what is wrong with a float
        else:
            file[key] = value

    def _find(self, name: str) -> tuple[Any, str]:
        """What holds the register, None for the pc, and its name in lower case."""
        if not isinstance(name, str):
            raise TypeError(f"hart[{name!r}]: a name, like 'a0', 'pc' or 'satp'; by number there are hart.x, f and csr")
        key = name.lower()
        if key == "pc":
            return None, key
        for names, file in ((X_NUMBERS, self.x), (F_NUMBERS, self.f), (CSR_NUMBERS, self.csr)):
            if key in names:
                return file, key
        raise no_such("register", name, ("pc", *X_NUMBERS, *F_NUMBERS, *CSR_NUMBERS))

    def keys(self) -> list[str]:
        """The names that `dict(hart)` has: "pc", then the integer registers as the ABI calls them."""
        return ["pc", *X_NAMES]

    def __repr__(self) -> str:
        return f"<hart {self.id}: {self.state}, pc {self.pc:#x}, privilege {Privilege(self.privilege).letter}>"

    def __str__(self) -> str:
        return f"{repr(self)[1:-1]}\n{text_table(self._rows())}"

    def _repr_html_(self) -> str:
        return html_table(repr(self)[1:-1], self._rows())

    def _rows(self) -> list[tuple[str, ...]]:
        return in_rows(((name, hexadecimal(value)) for name, value in zip(X_NAMES, self.x, strict=True)), TABLE_COLUMNS)

    def _ipython_key_completions_(self) -> list[str]:
        return [*self.keys(), *F_NAMES, *self.csr.keys()]

    def __dir__(self) -> list[str]:
        return public_names(self)


def cause_name(cause: int) -> str:
    """The name of an exception or an interrupt, by the number in mcause."""
    return CAUSES.get(cause, "unknown cause")


def public_names(thing: object, but: tuple[str, ...] = ()) -> list[str]:
    """What completion shows of an object."""
    return [name for name in object.__dir__(thing) if not name.startswith("_") and name not in but]
