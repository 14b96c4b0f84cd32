"""The functions of table.py in Cython: `sources` gives the text, setup.py writes and compiles it.

    vector_elements.pxi     a function for each operation on elements of any width, and the table of them
    vector_loops.pxi        a loop for each operation, variant of widths and selected width (loops/kernels.pxd)
"""

import re
from collections.abc import Iterator
from pathlib import Path

from vm_native.arithmetic.vector.table import IDENTITIES, NARROWING, OPERATIONS, REDUCING, SUMS, WIDENING, Operation

MADE = "# Made by vm_native/arithmetic/vector/generate.py."
BLOCK = 16                  # bytes of elements, as in loops/kernels.pxd
# What integer.pxd has, by name
INTEGER_FUNCTIONS = sorted(set(re.findall(
    r"(\w+)(?: \"\w+\")?\([^()]*\) noexcept nogil", (Path(__file__).parents[1] / "integer.pxd").read_text()
)))
# By variant: how much wider than the selected width the result and a are, as powers of two; and which that can be
VARIANTS = {
    "PLAIN": (0, 0, range(4)), "WIDE": (1, 0, range(3)), "WIDE_FIRST": (1, 1, range(3)), "NARROW": (0, 1, range(3)),
    "HALVES": (0, -1, range(1, 4)), "QUARTERS": (0, -2, range(2, 4)), "EIGHTHS": (0, -3, range(3, 4)),
    "BYTES": (None, 0, range(4)),
}
SOFT = re.compile(r"\b(softfloat\.|fadd\(|fmul\(|fdiv\(|fma\(|fle\(|widened|from_|narrowed_|reciprocal)")
MORE_THAN_32 = re.compile(r"\b(?!signed64\b)[a-z]\w*\(")     # a function that takes 64 bits


def sources() -> dict[str, str]:
    """Texts by file name."""
    lines = [MADE,
             "from vm_native.arithmetic.vector.element cimport (",
             "    carries, extreme, int128, rotated_left, saturated, saturated_unsigned, shifted,",
             ")",
             "from vm_native.arithmetic.vector.estimates cimport reciprocal, reciprocal_square_root",
             *integer_functions([one.expression for one in OPERATIONS])]
    for operation in OPERATIONS:
        lines += [
            f"cdef uint64_t {function(operation.name)}(Element* e, uint64_t a, uint64_t b, uint64_t d) noexcept nogil:",
            f"    return {operation.expression}", "",
        ]  # fmt: skip
    lines += [f"cdef Compute[{len(OPERATIONS)}] computes", f"cdef Needs[{len(OPERATIONS)}] needs", ""]
    lines += [f"computes[{number}] = {function(one.name)}" for number, one in enumerate(OPERATIONS)]
    for number, one in enumerate(OPERATIONS):
        lines += [f"needs[{number}].{name} = True" for name in needs_of(one)]
        if one.name in IDENTITIES:
            lines.append(f"needs[{number}].identity = {IDENTITIES[one.name]}")
    return {"vector_elements.pxi": "\n".join(lines) + "\n", "vector_loops.pxi": loops()}


def integer_functions(expressions: list[str]) -> list[str]:
    """The import of those that are used."""
    text = "\n".join(expressions)
    used = [name for name in INTEGER_FUNCTIONS if re.search(rf"\b{name}\(", text)]
    return ["from vm_native.arithmetic.integer cimport (", *(f"    {name}," for name in used), ")", ""]


def function(name: str) -> str:
    return "element_" + name.replace(".", "_")


def needs_of(one: Operation) -> Iterator[str]:
    """Fields of Needs in elements.pxd."""
    if one.reads_destination:
        yield "destination"
    if "saturated" in one.expression or "extreme" in one.expression:
        yield "zeros"
    for operand in "dab":
        if one.is_float(operand):
            yield f"float_{operand}"


# --- Loops -----------------------------------------------------------------------------------------------------------

def loops() -> str:
    """All loops and their places in the table of kernels.pxd."""
    integers = [one for one in OPERATIONS if not SOFT.search(one.expression)]
    expressions = [one.expression for one in integers if "carryless" not in one.expression]
    lines = [MADE, *integer_functions(expressions)]
    entries = []
    for number, one in enumerate(OPERATIONS):
        for variant in variants_of(one):
            for size in VARIANTS[variant][2]:
                if one in integers and size >= smallest(one):
                    lines += integer_loop(one, variant, size)
                    entries.append(f"table.loops[{number}][<int>{variant}][{size}] = {loop_name(one, variant, size)}")
                elif one.host and (text := host_loop(one, variant, size)):
                    lines += text
                    condition = "if FUSES: " if "fused(" in one.host else ""
                    entries.append(f"{condition}table.floats[{number}][<int>{variant}][{size}] = "
                                   f"{loop_name(one, variant, size)}")
        for variant, name in (("REDUCTION", REDUCING), ("WIDE_REDUCTION", SUMS)):
            for size in range(4 if variant == "REDUCTION" else 3):
                if one.name in name and (text := reduction(one, variant, size)):
                    lines += text
                    kind = "floats" if one.host else "loops"
                    entries.append(f"table.{kind}[{number}][<int>{variant}][{size}] = {loop_name(one, variant, size)}")
    return "\n".join(lines + entries) + "\n"


def smallest(one: Operation) -> int:
    """log2 of the bytes of the narrowest elements that an operation has."""
    return 3 if "carryless" in one.expression else 1 if one.is_float("a") else 0


def variants_of(one: Operation) -> Iterator[str]:
    if one.name in ("zext", "sext"):
        yield from ("HALVES", "QUARTERS", "EIGHTHS")
    elif one.name in NARROWING:
        yield "NARROW"
    elif one.is_truth:
        yield "BYTES"
    else:
        if one.name.startswith("fw"):
            if one.name in SUMS:
                return
            yield "WIDE_FIRST" if one.name.endswith(".w") else "WIDE"
            return
        yield "PLAIN"
        if one.name in WIDENING:
            yield from ("WIDE", "WIDE_FIRST")


def loop_name(one: Operation, variant: str, size: int) -> str:
    return f"loop_{one.name.replace('.', '_')}_{variant.lower()}_{8 << size}"


def integer_type(size: int, signed: bool) -> str:
    return f"{'' if signed else 'u'}int{8 << size}_t"


def head(one: Operation, variant: str, size: int) -> list[str]:
    rest = (BLOCK >> size) - 1
    return [
        f"cdef void {loop_name(one, variant, size)}(Out out, const uint8_t* d_, const uint8_t* a_, const uint8_t* b_, "
        "const uint8_t* carry, uint64_t count, Element* e_) noexcept nogil:",
        f"    cdef uint64_t i, n = count + {rest} & ~{rest}ULL",
    ]  # fmt: skip


def integer_loop(one: Operation, variant: str, size: int) -> list[str]:
    d, a = (None if width is None else size + width for width in VARIANTS[variant][:2])
    bits, largest = 8 << size, max(d or 0, a or 0, size)
    text = one.expression.replace("carryless_", "product_")
    text = re.sub(r"sign_bit\(e\.number\)", f"{1 << bits - 1:#x}ULL", text)
    narrow = largest <= 2 and not MORE_THAN_32.search(text) and not ("e.bits == 64" in text and largest == 2)
    if "e.bits == 64" in text and bits < 64:
        text = text.partition(" else ")[2]
        narrow = largest <= 1
    work = 32 if narrow else 64
    if narrow:
        text = re.sub(r"signed64\(", "<int32_t>(", text).replace("<uint64_t>", "<uint32_t>")
    text = re.sub(r"\be\.bits\b", str(bits), text)
    if bits < 32 or bits == 32 and variant != "NARROW":
        text = text.replace("<int128>", "<int64_t>")
    lines = [*head(one, variant, size), f"    cdef uint{work}_t a, b, d = 0"]
    element = re.search(r"\be\b", text) is not None
    if element:
        lines += ["    cdef Element k", "    cdef Element* e = &k",
                  f"    k.bits, k.fixed_rounding, k.flags, k.saturated = {bits}, e_.fixed_rounding, 0, 0"]
        if "extreme" in text:
            lines.append(f"    k.number = binary{bits}()")
    lines.append("    for i in range(n):")
    for name, width, kind in (("d", d, one.kinds[0]), ("a", a, one.kinds[1]), ("b", size, one.kinds[2])):
        if width is not None and re.search(rf"\b{name}\b", text):
            signed = kind == "s" and name != "d"
            cast = f"<uint{work}_t><int{work}_t>" if signed else ""
            lines.append(f"        {name} = {cast}(<const {integer_type(width, signed)}*>{name}_)[i]")
    if element and ("e.carry" in text or "carries(" in text):
        lines.append("        k.carry = carry[i] & 1")
    target = integer_type(d, False) if d is not None else "uint8_t"
    value = f"({text}) != 0" if d is None else text
    lines.append(f"        (<{target}*>out)[i] = <{target}>({value})")
    if "saturated" in text:
        lines.append("    e_.saturated |= k.saturated")
    if "extreme" in text:
        lines.append("    e_.flags |= k.flags")
    return [*lines, ""]


def host_type(kind: str, size: int) -> str | None:
    """Of an operand; None where the host's FPU has none."""
    if kind == "f":
        return {2: "float", 3: "double"}.get(size)
    return integer_type(size, kind == "s") if size < 4 else None


def host_loop(one: Operation, variant: str, size: int) -> list[str]:
    """Nothing where the host does not have the formats."""
    d, a = (None if width is None else size + width for width in VARIANTS[variant][:2])
    types = {"d": "uint8_t" if d is None else host_type(one.kinds[0], d), "a": host_type(one.kinds[1], a or size),
             "b": host_type(one.kinds[2], size) if one.kinds[2] != "-" else "float"}
    if None in types.values():
        return []
    text = one.host.format(bits=8 << (size if d is None else d))
    if re.search(r"_u?int(8|16)\(", text):
        return []
    wider = types["d"] if d is not None and one.kinds[0] == "f" and one.kinds[1] == "f" and variant != "NARROW" else ""
    lines, loads = head(one, variant, size), []
    for name in "abd":
        if re.search(rf"\b{name}\b", text):
            lines.append(f"    cdef {wider or types[name]} {name}")
            loads.append(f"        {name} = (<const {types[name]}*>{name}_)[i]")
    lines += ["    for i in range(n):", *loads]
    return [*lines, f"        (<{types['d']}*>out)[i] = <{types['d']}>({text})", ""]


def reduction(one: Operation, variant: str, size: int) -> list[str]:
    """Of a into one element, from the first of b on."""
    d, cast = size + (variant == "WIDE_REDUCTION"), ""
    if one.host:
        source, target = host_type("f", size), host_type("f", d)
        if source is None or target is None:
            return []
        work, text = target, one.host
    else:
        source, target = (integer_type(width, one.kinds[1] == "s") for width in (size, d))
        work, text = target, re.sub(r"signed64\(", "(", one.expression)
        if one.name in SUMS:            # modulo
            work, cast = integer_type(d, False), f"<{integer_type(d, False)}><{target}>"
    lines = head(one, variant, size)
    if one.host:                # in order, and only those that count
        lines[-1] = "    cdef uint64_t i, n = count"
    return [
        *lines, f"    cdef {work} a, b = (<const {target}*>b_)[0]", "    for i in range(n):",
        *(["        if carry != NULL and not carry[i]:", "            continue"] if one.host else []),
        f"        a = {cast}(<const {source}*>a_)[i]", f"        b = <{work}>({text})",
        f"    (<{target}*>out)[0] = b", "",
    ]  # fmt: skip
