"""The opcodes, made from the uop table: `sources` gives the text of vm_native/ir/uop.pxd.

Run by path, before anything is compiled.
"""

import runpy
from pathlib import Path

TABLE = runpy.run_path(str(Path(__file__).parent / "uops.py"))


def sources() -> dict[str, str]:
    """Texts by file name."""
    names = [TABLE["constant"](row) for row in TABLE["UOPS"]]
    lines = ["# Opcodes of uops, in the order of vm_native/ir/uops.py.", "cdef enum:"]
    lines += [f"    {name} = {number}" for number, name in enumerate([*names, "UOP_COUNT"])]
    return {"vm_native/ir/uop.pxd": "\n".join([*lines, ""])}
