"""The registers of a hart from Python: two files of 32 by number and by name, and the CSRs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from vm.arguments import integer
from vm.display import hexadecimal, html_table, in_rows
from vm_native.riscv.csrs import CSRS, is_there
from vm_native.riscv.hart import NativeHart
from vm_native.riscv.registers import CSR_NUMBERS, F_NAMES, F_NUMBERS, X_NAMES, X_NUMBERS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Buffer

Value = TypeVar("Value")
FloatName = Literal[
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5",
    "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
    "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", "f14", "f15", "f16", "f17",
    "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", "f26", "f27", "f28", "f29", "f30", "f31",
]

HTML_COLUMNS = 4
TOLD = ("mstatus", "mcause", "mepc", "mtval", "mtvec", "satp")      # of the CSRs, in a line
DRAWS = "seed"                          # the one whose reading changes something: it draws entropy


class Registers(Generic[Value]):
    """One register file of 32: `registers[10]`, `registers["a0"]`, `registers[10:18]`; readable and writable.

    Names are the ABI's or numbers, like "a0" and "x10", in upper or lower case. A slice is a list, and takes as many
    values as it has registers. Raises IndexError for a number and KeyError for a name that is none.
    """

    def __init__(self, kind: str, names: Sequence[str], numbers: Mapping[str, int], read: Callable[[int], Value],
                 write: Callable[[int, Value], None]):
        """`kind` is for people. `names` are in the order of the registers, `numbers` has all others as well."""
        self._kind = kind
        self._names = names
        self._numbers = numbers
        self._read = read
        self._write = write

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Value]:
        return (self._read(number) for number in range(len(self)))

    @overload
    def __getitem__(self, which: int | str) -> Value: ...

    @overload
    def __getitem__(self, which: slice) -> list[Value]: ...

    def __getitem__(self, which: int | str | slice) -> Value | list[Value]:
        if isinstance(which, slice):
            return [self._read(number) for number in range(len(self))[which]]
        return self._read(self._number(which))

    @overload
    def __setitem__(self, which: int | str, value: Value) -> None: ...

    @overload
    def __setitem__(self, which: slice, value: Iterable[Value]) -> None: ...

    def __setitem__(self, which: int | str | slice, value: Value | Iterable[Value]) -> None:
        if not isinstance(which, slice):
            self._write(self._number(which), value)         # type: ignore[arg-type]    # as the overloads say
            return
        numbers, values = range(len(self))[which], list(value)      # type: ignore[arg-type]
        if len(numbers) != len(values):
            raise ValueError(f"{len(values)} values for {len(numbers)} registers")
        for number, one in zip(numbers, values, strict=True):
            self._write(number, one)

    def _number(self, which: int | str) -> int:
        if not isinstance(which, str):
            return integer("register", which)
        number = self._numbers.get(which.lower())
        if number is None:
            raise no_such(f"{self._kind} register", which, self._numbers)
        return number

    def _shown(self) -> Iterator[tuple[str, str]]:
        """Names and values, as people read them."""
        for name, value in zip(self._names, self, strict=True):
            yield name, f"{value:#x}" if isinstance(value, int) else f"{value!r}"

    def __repr__(self) -> str:
        told = [f"{name} {text}" for name, text in self._shown() if text not in ("0x0", "0.0")]
        rest = "" if len(told) == len(self) else "the others 0" if told else "all 0"
        return f"<{self._kind} registers: {', '.join(filter(None, (*told, rest)))}>"

    def _repr_html_(self) -> str:
        return html_table(f"{self._kind} registers", in_rows(self._shown(), HTML_COLUMNS))

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._names)


class ControlRegisters:
    """CSRs by name or number: `csr["satp"]`. Writing follows the register's WARL rules, whatever the privilege.

    Names are in upper or lower case. Iteration gives the names of those that the hart has, so that `dict(csr)` has all
    values; `seed` is left out, because reading it draws from the machine's entropy.

    Raises KeyError for one that the hart does not have, or for writing a read-only one; ValueError for a value that
    does not fit 64 bits.
    """

    def __init__(self, hart: NativeHart):
        self._hart = hart

    def __getitem__(self, name: str | int) -> int:
        value = self._hart.read_csr(csr_number(name))
        if value is None:
            raise KeyError(self._missing(name))
        return value

    def __setitem__(self, name: str | int, value: int) -> None:
        number = csr_number(name)
        if not self._hart.write_csr(number, bits(value)):
            readonly = number >> 10 == 3 and self._hart.read_csr(number) is not None
            raise KeyError(f"CSR {name!r} is read-only" if readonly else self._missing(name))

    def _missing(self, name: str | int) -> str:
        number = csr_number(name)
        needs = {" or ".join(row.needs.split()) for row in CSRS if number in dict(row.registers()).values()}
        text = repr(name) if isinstance(name, str) else f"{name:#x}"
        return f"this hart has no CSR {text}" + "".join(f", which comes with {extension}" for extension in needs)

    def keys(self) -> list[str]:
        """The names of those that the hart has, without `seed`; families such as pmpaddr0 to pmpaddr63 in full."""
        extensions = self._hart.isa.extensions
        return [name for row in CSRS if row.name != DRAWS and is_there(row, extensions) for name, _ in row.registers()]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name.lower() in self.keys() or name.lower() == DRAWS
                                          and "Zkr" in self._hart.isa.extensions)

    def __repr__(self) -> str:
        return f"<{len(self)} CSRs: {', '.join(f'{name} {self[name]:#x}' for name in TOLD)}, ...>"

    def _repr_html_(self) -> str:
        return html_table("CSRs that are not 0", in_rows(
            ((name, hexadecimal(value)) for name in self if (value := self[name])), HTML_COLUMNS))

    def _ipython_key_completions_(self) -> list[str]:
        return self.keys()


def integer_registers(hart: NativeHart) -> Registers[int]:
    return Registers("integer", X_NAMES, X_NUMBERS, hart.read_x,
                     lambda number, value: hart.write_x(number, bits(value)))


def float_images(hart: NativeHart) -> Registers[int]:
    """The floating-point registers as 64 bits each."""
    return Registers("floating-point", F_NAMES, F_NUMBERS, hart.read_f,
                     lambda number, value: hart.write_f(number, bits(value)))


def vector_registers(native: NativeHart) -> Registers[NDArray[np.uint8]]:
    """The vector registers of a hart: arrays of bytes, which are copies."""
    names = [f"v{number}" for number in range(32)]

    def read(number: int) -> NDArray[np.uint8]:
        import numpy as np  # here: to load it takes half as long as to start a machine without

        return np.frombuffer(bytearray(native.read_v(number)), dtype=np.uint8)

    def write(number: int, value: Buffer | NDArray[Any]) -> None:
        native.write_v(number, memoryview(value).cast("B").tobytes())

    return Registers("vector", names, {name: number for number, name in enumerate(names)}, read, write)


def bits(value: int) -> int:
    """A value for a register of 64 bits, unsigned or in two's complement."""
    value = integer("value", value)
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError(f"{value:#x} does not fit a register of 64 bits; mask it with & (1 << 64) - 1")
    return value & (1 << 64) - 1


def csr_number(name: str | int) -> int:
    if not isinstance(name, str):
        return integer("csr", name)
    number = CSR_NUMBERS.get(name.lower())
    if number is None:
        raise no_such("CSR", name, CSR_NUMBERS)
    return number


def no_such(kind: str, name: str, names: Iterable[str]) -> KeyError:
    """An error that says what may have been meant, or what there is."""
    from difflib import get_close_matches  # here: it takes long to import, and few need it

    known = list(names)
    close = get_close_matches(name.lower(), known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known[:6])} and so on"
    return KeyError(f"no {kind} is called {name!r}; {hint}")
