"""The opcodes and what engines ask of them, from the uop table: `sources` gives the text of vm_native/ir/uop.pxd.

Generators make lists of lines; here is also what all of them do with such lists.
"""

from collections.abc import Iterable

from vm_native.ir.semantics import Atomic, Conditional, Exchange, Load, MemoryAccess, Reserve, Store
from vm_native.ir.uops import UOPS

# What a uop does to memory, as a number; 0: nothing.
ACCESSES: dict[type, str] = {Load: "ACCESS_LOADS", Reserve: "ACCESS_LOADS", Store: "ACCESS_STORES",
                             Conditional: "ACCESS_STORES_IF", Atomic: "ACCESS_BOTH", Exchange: "ACCESS_BOTH"}


def sources() -> dict[str, str]:
    """Texts by file name."""
    names = [row.constant for row in UOPS]
    lines = ["# Opcodes of uops, in the order of vm_native/ir/uops.py.", "cdef enum:"]
    lines += [f"    {name} = {number}" for number, name in enumerate([*names, "UOP_COUNT"])]
    branches = ", ".join(row.constant for row in UOPS if row.is_branch)
    lines += ["", "cdef inline bint is_branch(int opcode) noexcept nogil:", f"    return opcode in ({branches})"]
    lines += [*access_lines()]
    return {"vm_native/ir/uop.pxd": as_text(lines)}


def access_lines() -> list[str]:
    """What a uop does to memory."""
    groups: dict[tuple[int, str], list[str]] = {}
    for row in UOPS:
        if isinstance(row.meaning, MemoryAccess):
            groups.setdefault((row.meaning.bits // 8, ACCESSES[type(row.meaning)]), []).append(row.constant)
    lines = ["", "cdef enum:"]
    lines += [f"    {name} = {number}" for number, name in enumerate(dict.fromkeys(ACCESSES.values()), 1)]
    lines += ["", "cdef inline int access_of(int opcode, int* size) noexcept nogil:", "    size[0] = 0"]
    for (size, access), names in groups.items():
        lines += [f"    if opcode in ({', '.join(names)}{',' * (len(names) == 1)}):", f"        size[0] = {size}",
                  f"        return {access}"]
    return [*lines, "    return 0"]


def as_text(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def indent(lines: Iterable[str], levels: int = 1) -> list[str]:
    return ["    " * levels + line for line in lines]
