"""The opcodes and what engines ask of them, from the uop table: `sources` gives the text of vm_native/ir/uop.pxd.

Generators make lists of lines; here is also what all of them do with such lists.
"""

from collections.abc import Iterable

from vm_native.ir.uops import UOPS


def sources() -> dict[str, str]:
    """Texts by file name."""
    names = [row.constant for row in UOPS]
    lines = ["# Opcodes of uops, in the order of vm_native/ir/uops.py.", "cdef enum:"]
    lines += [f"    {name} = {number}" for number, name in enumerate([*names, "UOP_COUNT"])]
    branches = ", ".join(row.constant for row in UOPS if row.is_branch)
    lines += ["", "cdef inline bint is_branch(int opcode) noexcept nogil:", f"    return opcode in ({branches})"]
    return {"vm_native/ir/uop.pxd": as_text(lines)}


def as_text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def indent(lines: Iterable[str], levels: int = 1) -> list[str]:
    return ["    " * levels + line for line in lines]
