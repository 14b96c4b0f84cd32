"""The opcodes and what engines ask of them, from the uop table: `sources` gives the text of vm_native/ir/uop.pxd.

Run by path, before anything is compiled.
"""

import runpy
from pathlib import Path

TABLE = runpy.run_path(str(Path(__file__).parent / "uops.py"))


def sources() -> dict[str, str]:
    """Texts by file name."""
    rows, constant = TABLE["UOPS"], TABLE["constant"]
    names = [constant(row) for row in rows]
    lines = ["# Opcodes of uops, in the order of vm_native/ir/uops.py.", "cdef enum:"]
    lines += [f"    {name} = {number}" for number, name in enumerate([*names, "UOP_COUNT"])]
    branches = ", ".join(constant(row) for row in rows if row.is_branch)
    lines += ["", "cdef inline bint is_branch(int opcode) noexcept nogil:", f"    return opcode in ({branches})"]
    return {"vm_native/ir/uop.pxd": "\n".join([*lines, ""])}
