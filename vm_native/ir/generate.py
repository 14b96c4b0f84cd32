"""The opcodes and what engines ask of them, from the uop table: `sources` gives the text of vm_native/ir/uop.pxd."""

from vm_native.ir.uops import UOPS


def sources() -> dict[str, str]:
    """Texts by file name."""
    names = [row.constant for row in UOPS]
    lines = ["# Opcodes of uops, in the order of vm_native/ir/uops.py.", "cdef enum:"]
    lines += [f"    {name} = {number}" for number, name in enumerate([*names, "UOP_COUNT"])]
    branches = ", ".join(row.constant for row in UOPS if row.is_branch)
    lines += ["", "cdef inline bint is_branch(int opcode) noexcept nogil:", f"    return opcode in ({branches})"]
    return {"vm_native/ir/uop.pxd": "\n".join([*lines, ""])}
