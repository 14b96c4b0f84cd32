"""The registers of a hart as a debugger numbers them, and their description in XML.

The features are those of the GDB manual, G.5.10 (RISC-V Features): org.gnu.gdb.riscv.cpu, .fpu, .csr, .virtual and
.vector. The numbers are GDB's own: x0 to x31, pc, f0 to f31, then the CSRs by theirs, the privilege, and v0 to v31.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vm.hart import Hart
from vm.registers import Registers
from vm_native.riscv.registers import CSR_NUMBERS, F_NAMES, X_NAMES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PC, F0, CSR0, PRIVILEGE, V0 = 32, 33, 65, 65 + 4096, 65 + 4096 + 1
VECTORS = 32
OF_FLOATS = ("fflags", "frm", "fcsr")       # CSRs that belong to the feature of the floating-point unit
POINTERS = {"ra": "code_ptr", "sp": "data_ptr", "gp": "data_ptr", "tp": "data_ptr"}
QUICK = (2, 8, PC)                  # sp, fp, pc: told with each stop, since every debugger asks for them


class HartRegisters:
    """All registers of one kind of hart. Raises KeyError for a number that it does not have."""

    def __init__(self, hart: Hart):
        self.float_bytes = 8 if "D" in hart.isa.extensions else 4 if "F" in hart.isa.extensions else 0
        self.vector_bytes = hart.isa.vlen // 8
        self.names = hart.csr.keys()
        self.numbers = [*range(PC + 1), *(range(F0, CSR0) if self.float_bytes else ())]     # of the packet `g`

    def size(self, number: int) -> int:
        """In bytes."""
        return self.vector_bytes if number >= V0 else self.float_bytes if F0 <= number < CSR0 else 8

    def read(self, hart: Hart, number: int) -> bytes:
        if self._checked_size(number) and number >= V0:
            return vectors_of(hart)[number - V0].tobytes()
        return (value_of(hart, number) & (1 << 64) - 1).to_bytes(8, "little")[:self._checked_size(number)]

    def write(self, hart: Hart, number: int, data: bytes) -> None:
        """Raises ValueError for data of another size, or a value that cannot be."""
        size = self._checked_size(number)
        if len(data) != size:
            raise ValueError(f"register {number} has {size} bytes")
        value = int.from_bytes(data, "little")
        if number < PC:
            hart.x[number] = value
        elif number == PC:
            hart.pc = value
        elif number < CSR0:
            hart.f_bits[number - F0] = value if size == 8 else value | 0xFFFF_FFFF << 32    # a single is NaN-boxed
        elif number < PRIVILEGE:
            hart.csr[number - CSR0] = value
        elif number == PRIVILEGE:
            hart.privilege = value
        else:
            import numpy as np  # here: it takes long to load

            vectors_of(hart)[number - V0] = np.frombuffer(data, dtype=np.uint8)

    def _checked_size(self, number: int) -> int:
        if not 0 <= number < V0 + VECTORS or not self.size(number):
            raise KeyError(number)
        return self.size(number)

    def description(self) -> str:
        """The target description."""
        features = [feature("cpu", [*(register(name, number, POINTERS.get(name, "int"))
                                      for number, name in enumerate(X_NAMES)), register("pc", PC, "code_ptr")])]
        if self.float_bytes:
            features.append(feature("fpu", [FLOATS[self.float_bytes], *(
                register(name, F0 + number, "float_register", 8 * self.float_bytes, "float")
                for number, name in enumerate(F_NAMES)), *map(csr, OF_FLOATS)]))
        features.append(feature("csr", [csr(name) for name in self.names if name not in OF_FLOATS]))
        features.append(feature("virtual", [register("priv", PRIVILEGE, "int")]))
        if self.vector_bytes:
            features.append(feature("vector", [vector_types(self.vector_bytes), *(
                register(f"v{number}", V0 + number, "riscv_vector", 8 * self.vector_bytes, "vector")
                for number in range(VECTORS))]))
        # An operating system of its own knowledge, GDB would step by breakpoints, and not know where mret goes.
        return (f'{HEAD}<!DOCTYPE target SYSTEM "gdb-target.dtd">\n<target version="1.0">\n'
                f"<architecture>riscv:rv64</architecture>\n<osabi>none</osabi>\n{''.join(features)}</target>\n")


HEAD = '<?xml version="1.0"?>\n'
FLOATS = {
    8: '<union id="float_register"><field name="float" type="ieee_single"/>'
       '<field name="double" type="ieee_double"/></union>',
    4: '<union id="float_register"><field name="float" type="ieee_single"/></union>',
}


def value_of(hart: Hart, number: int) -> int:
    if number < PC:
        return hart.x[number]
    if number == PC:
        return hart.pc
    if number < CSR0:
        return hart.f_bits[number - F0]
    return hart.csr[number - CSR0] if number < PRIVILEGE else hart.privilege


def vectors_of(hart: Hart) -> Registers[NDArray[np.uint8]]:
    assert hart.v is not None               # a register of no bytes has been refused
    return hart.v


def vector_types(size: int) -> str:
    """A register of so many bytes, as elements of each width."""
    widths = [(name, 1 << place) for place, name in enumerate(("bytes", "shorts", "words", "longs"))]
    types = "".join(f'<vector id="{name}" type="uint{8 * width}" count="{size // width}"/>'
                    for name, width in widths if width <= size)
    fields = "".join(f'<field name="{name}" type="{name}"/>' for name, width in widths if width <= size)
    return f'{types}<union id="riscv_vector">{fields}</union>'


def feature(name: str, lines: list[str]) -> str:
    return f'<feature name="org.gnu.gdb.riscv.{name}">\n' + "\n".join(lines) + "\n</feature>\n"


def register(name: str, number: int, kind: str, bits: int = 64, group: str = "general") -> str:
    return f'<reg name="{name}" bitsize="{bits}" type="{kind}" regnum="{number}" group="{group}"/>'


def csr(name: str) -> str:
    return (f'<reg name="{name}" bitsize="64" type="int" regnum="{CSR0 + CSR_NUMBERS[name]}" save-restore="no" '
            'group="csr"/>')
