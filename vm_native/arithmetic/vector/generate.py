"""The functions of table.py in Cython: `sources` gives the text, setup.py writes and compiles it.

    vector_elements.pxi     a function for each operation, and the table of them
"""

import re
from pathlib import Path

from vm_native.arithmetic.vector.table import OPERATIONS

# What integer.pxd has, by name
INTEGER_FUNCTIONS = sorted(set(re.findall(
    r"(\w+)(?: \"\w+\")?\([^()]*\) noexcept nogil", (Path(__file__).parents[1] / "integer.pxd").read_text()
)))


def sources() -> dict[str, str]:
    """Texts by file name."""
    text = "\n".join(one.expression for one in OPERATIONS)
    used = [name for name in INTEGER_FUNCTIONS if re.search(rf"\b{name}\(", text)]
    lines = ["# Made by vm_native/arithmetic/vector/generate.py.",
             "from vm_native.arithmetic.vector.estimates cimport reciprocal, reciprocal_square_root",
             "from vm_native.arithmetic.integer cimport (", *(f"    {name}," for name in used), ")", ""]
    for operation in OPERATIONS:
        lines += [
            f"cdef uint64_t {function(operation.name)}(Element* e, uint64_t a, uint64_t b, uint64_t d) noexcept nogil:",
            f"    return {operation.expression}", "",
        ]  # fmt: skip
    lines += [f"cdef Compute[{len(OPERATIONS)}] computes", ""]
    lines += [f"computes[{number}] = {function(one.name)}" for number, one in enumerate(OPERATIONS)]
    return {"vector_elements.pxi": "\n".join(lines) + "\n"}


def function(name: str) -> str:
    return "element_" + name.replace(".", "_")
