"""What the core takes from the tables of this folder: `sources` gives the texts, setup.py writes and compiles them.

    vm_native/riscv/constants.pxd   numbers of CSRs, their fields, interrupts, causes; of the SBI
    csr_table.pxi                   reading, writing and resetting by number, for csr.pyx

Imported before anything is compiled.
"""

from collections.abc import Iterable, Iterator

from vm_native.ir.generate import as_text, indent
from vm_native.riscv.csrs import (
    ALL_ONES,
    BY_NAME,
    CAUSES,
    CSRS,
    FEATURES,
    GUEST_FILES,
    INTERRUPTS,
    PMP_ENTRIES,
    TRIGGERS,
    Csr,
    Field,
)
from vm_native.riscv.sbi_numbers import Error, Extension, FirmwareEvent

HEADER = "# Made by vm_native/riscv/generate.py from csrs.py and sbi_numbers.py."


# What rows name of other modules than csr.pyx
FUNCTIONS = {
    "guest_csrs": (
        "guest_has_shadow_stack", "guest_may_compare", "guest_may_configure", "guest_may_count", "guest_may_draw",
        "guest_may_enable", "guest_may_translate", "read_hvip", "read_vsip", "vstimecmp_enabled", "write_hgatp",
        "write_hvip", "write_vsip",
    ),
    "integrity": ("shadow_stack_enabled",),
    "counters": (
        "counters_changed", "read_mcycle", "read_mhpmcounter", "read_mhpmevent", "read_minstret", "read_scountovf",
        "write_mcycle", "write_mhpmcounter", "write_minstret",
    ),
    "aia": (
        "aia_enabled", "guest_has_file", "guest_may_reach", "guest_may_see_pending", "guest_may_see_top",
        "guest_may_select", "mireg_enabled", "mtopei_enabled", "read_mireg", "read_mtopei", "read_mtopi", "read_mvip",
        "read_sireg", "read_stopei", "read_stopi", "read_vsireg", "read_vstopei", "read_vstopi", "selection_enabled",
        "sireg_enabled", "stopei_enabled", "vsireg_enabled", "vstopei_enabled", "write_hgeie", "write_mireg",
        "write_mtopei", "write_mvip", "write_sireg", "write_stopei", "write_vsireg", "write_vstopei",
    ),
}


def sources() -> dict[str, str]:
    """Texts by file name."""
    table = as_text([*legal_values(), *access(), *reading(), *writing(), *resetting()])
    features = [f"    {name}," for name in map(feature, FEATURES) if name in table]
    head = [HEADER, "from vm_native.riscv.constants cimport (", *features, ")"]
    for module, names in FUNCTIONS.items():
        head += [f"from vm_native.riscv.{module} cimport (", *(f"    {name}," for name in names), ")"]
    return {"vm_native/riscv/constants.pxd": as_text(constants()), "csr_table.pxi": as_text(head) + table}


def feature(extension: str) -> str:
    return "FEATURE_" + extension.upper()


def unsigned(value: int) -> str:
    return f"0x{value:X}ULL"


# --- Constants -------------------------------------------------------------------------------------------------------

def constants() -> Iterator[str]:
    """Small numbers are enums. Masks are macros of C: 64 bits, unsigned, and nothing to load from memory."""
    yield from (HEADER, "from libc.stdint cimport uint64_t")
    numbers = {f"CSR_{row.name.upper()}": row.number for row in BY_NAME.values()}
    yield from enum("Csr", dict(sorted(numbers.items(), key=lambda item: item[1])))
    yield from enum("Feature", {feature(name): 1 << bit for bit, name in enumerate(FEATURES)})
    yield from enum("Interrupt", {f"IRQ_{row.name}": row.number for row in INTERRUPTS})
    yield from enum("Cause", {row.name: row.number for row in CAUSES})
    yield from enum("SbiExtension", {f"SBI_{one.name}": one.value for one in Extension})
    yield from enum("SbiError", {f"SBI_ERR_{one.name}": one.value for one in Error})
    yield from enum("SbiFirmwareEvent", {f"SBI_EVENT_{one.name}": one.value for one in FirmwareEvent})
    events = BY_NAME["mhpmevent"].indices
    yield from enum("", {"PMP_ENTRIES": PMP_ENTRIES, "EVENT_COUNTERS": len(events), "TRIGGERS": TRIGGERS,
                         "GUEST_FILES": GUEST_FILES, "FIRMWARE_EVENTS": len(FirmwareEvent)})
    masks, shifts = {}, {}
    for row in CSRS:
        for field in () if row.view else row.fields or ():
            name = f"{row.name}_{field.name}".upper()
            masks[name] = field.mask
            masks |= {f"{name}_{value_name}": value << field.low for value_name, value in field.legal.items()}
            if field.high > field.low:
                shifts[name + "_SHIFT"] = field.low
    yield from enum("", shifts)
    yield from ("", "cdef extern from *:", '    """')
    yield from (f"    #define VM_{name} {unsigned(value)}" for name, value in masks.items())
    yield '    """'
    yield from (f'    uint64_t {name} "VM_{name}"' for name in masks)


def enum(name: str, values: dict[str, int]) -> Iterator[str]:
    yield from ("", f"cdef enum {name}".rstrip() + ":")
    yield from (f"    {key} = {value:#x}" for key, value in values.items())


# --- Legal values ----------------------------------------------------------------------------------------------------

def is_restricted(row: Csr) -> bool:
    """Whether it is stored, and a legal value may differ from what is written."""
    if row.state is None or not row.writable:
        return False
    return row.writable != ALL_ONES or any(map(is_selective, row.fields or ()))


def is_selective(field: Field) -> bool:
    """Whether there are values that the field does not take."""
    return 0 < len(field.legal) <= field.mask >> field.low


def legal_values() -> Iterator[str]:
    for row in CSRS:
        if is_restricted(row):
            yield from ("", "", f"cdef inline uint64_t legal_{row.name}(Hart* hart, uint64_t value) noexcept nogil:")
            yield from indent(legal_value(row))


def legal_value(row: Csr) -> Iterator[str]:
    """Whatever is not there becomes 0, and a field with a value that it does not take, too."""
    masks: dict[str, int] = {}
    for field in row.fields:
        if field.is_writable:
            masks[field.needs] = masks.get(field.needs, 0) | field.mask
    yield f"cdef uint64_t writable = {unsigned(masks.pop('', 0))}"
    for extension, mask in masks.items():
        yield from (f"if {has(extension)}:", f"    writable |= {unsigned(mask)}")
    yield "value &= writable"
    for field in row.fields:
        if is_selective(field):
            kept = [unsigned(value << field.low) for value in field.legal.values() if value]
            mask = unsigned(field.mask)
            yield f"if value & {mask} not in ({', '.join(kept)}):" if kept[1:] else f"if value & {mask} != {kept[0]}:"
            yield f"    value &= ~{mask}"
    for extension, fixed in fixed_values(row).items():
        line = f"value |= {unsigned(fixed)}"
        yield from [f"if {has(extension)}:", "    " + line] if extension else [line]
    yield "return value"


def fixed_values(row: Csr) -> dict[str, int]:
    """Of its fields, by what they need."""
    found: dict[str, int] = {}
    for field in row.fields or ():
        if field.fixed:
            found[field.needs] = found.get(field.needs, 0) | field.fixed << field.low
    return found


def has(extensions: str) -> str:
    """Whether a hart has any one of them, or all of those joined by +."""
    features = " | ".join(map(feature, extensions.replace("+", " ").split()))
    if "+" in extensions:
        return f"hart.state.features & ({features}) == {features}"
    return f"hart.state.features & ({features})" if " " in extensions else f"hart.state.features & {features}"


# --- Switches over the number ----------------------------------------------------------------------------------------

def is_of(row: Csr) -> str:
    """Whether `number` is the row's, or one of its family's."""
    if row.indices is None:
        return f"number == {row.number:#x}"
    last = row.number + row.indices[-1] - row.indices[0]
    multiple = f" and not number % {row.indices.step}" if row.indices.step > 1 else ""
    return f"{row.number:#x} <= number <= {last:#x}{multiple}"


def switch(cases: Iterable[tuple[Csr, list[str]]]) -> Iterator[str]:
    """Single numbers first, for these become a switch of C; then the families, with their `index`."""
    cases = list(cases)
    word = "if"
    for row, body in cases:
        if row.indices is None:
            yield f"{word} {is_of(row)}:  # {row.name}"
            yield from indent(body)
            word = "elif"
    yield "else:"
    word = "if"
    for row, body in cases:
        if row.indices is not None:
            yield f"    {word} {is_of(row)}:  # {row.name}"
            offset = row.number - row.indices[0]
            uses_index = any("index" in line for line in body)
            yield from indent([f"index = number - {offset:#x}"] * uses_index + body, 2)
            word = "elif"
    yield from ("    else:", "        return False")


def access() -> Iterator[str]:
    yield from ("", "", "cdef inline bint access_enabled(Hart* hart, int number, bint writes) noexcept nogil:")
    yield '    """Whether state beyond the privilege lets a register be accessed now, if it exists."""'
    yield from condition([(row, row.access) for row in CSRS], "hart, number, writes")
    yield from ("", "", "cdef inline bint guest_enabled(Hart* hart, int number) noexcept nogil:")
    yield '    """Whether the host lets its guest access one that it may access itself."""'
    yield from condition([(row, row.guest) for row in CSRS], "hart, number")


def condition(functions: list[tuple[Csr, str]], arguments: str) -> Iterator[str]:
    word = "if"
    for function in dict.fromkeys(name for _, name in functions if name):
        numbers = " or ".join(is_of(row) for row, name in functions if name == function)
        yield from indent([f"{word} {numbers}:", f"    return {function}({arguments})"])
        word = "elif"
    yield "    return True"


def place(row: Csr) -> str:
    return "hart.state." + row.state.format("index")


def seen_through(row: Csr, bits: int) -> str:
    """Those of these bits of another register that a view shows."""
    through = f"hart.state.{row.through}" if row.through else ""
    known = unsigned(bits) if bits != ALL_ONES else ""
    return " & ".join(filter(None, (through, known)))


def value_of(row: Csr) -> str:
    if row.constant is not None:
        return str(row.constant)
    if row.part:
        return f"{value_of(row.view)} >> {row.part.low} & {row.part.mask >> row.part.low:#x}"
    if row.view:
        bits = sum(field.mask for field in row.fields) if row.fields else ALL_ONES
        return " & ".join(filter(None, (value_of(row.view), seen_through(row, bits))))
    if row.read:
        return f"{row.read}(hart)" if row.indices is None else f"{row.read}(hart, index)"
    return place(row)


def reading() -> Iterator[str]:
    yield from ("", "", "cdef bint csr_read(Hart* hart, int number, uint64_t* value) noexcept nogil:")
    yield "    cdef int index"
    yield from indent(switch((row, [*existing(row), f"value[0] = {value_of(row)}"]) for row in CSRS))
    yield "    return True"


def existing(row: Csr) -> list[str]:
    return [f"if not {has(row.needs)}:", "    return False"] if row.needs else []


def store(row: Csr, value: str) -> list[str]:
    """Lines that write a register; none where nothing can be changed."""
    if row.part:
        old, field = value_of(row.view), row.part
        kept, new = f"{old} & ~{unsigned(field.mask)}", f"{value} << {field.low} & {unsigned(field.mask)}"
        return store(row.view, f"{kept} | {new}")
    if row.view:
        old, seen = place(row.view), seen_through(row, row.writable)
        return [f"mask = {seen}", *store(row.view, f"{old} & ~mask | {value} & mask")]
    if row.write:
        return [f"{row.write}(hart, {value})" if row.indices is None else f"{row.write}(hart, index, {value})"]
    if row.state is None or not row.writable:
        return []
    legal = f"legal_{row.name}(hart, {value})" if is_restricted(row) else value
    return [f"{place(row)} = {legal}", *([f"{row.after}(hart)"] if row.after else [])]


def writing() -> Iterator[str]:
    yield from ("", "", "cdef bint csr_write(Hart* hart, int number, uint64_t value) noexcept nogil:")
    yield from ("    cdef int index", "    cdef uint64_t mask")
    rows = [row for row in CSRS if not row.is_readonly]
    yield from indent(switch((row, [*existing(row), *store(row, "value")] or ["pass"]) for row in rows))
    yield "    return True"


def resetting() -> Iterator[str]:
    yield from ("", "", "cdef void reset_csrs(Hart* hart) noexcept nogil:")
    yield '    """What is not 0 after reset; the caller has cleared the rest."""'
    for row in CSRS:
        if not row.state:
            continue
        if initial := row.initial(frozenset()):
            yield f"    {place(row)} = {unsigned(initial)}"
        for extension, fixed in fixed_values(row).items():
            if extension:
                yield from (f"    if {has(extension)}:", f"        {place(row)} |= {unsigned(fixed)}")
        for field in row.fields or ():
            if field.without:
                yield f"    if {has(field.needs)} and not {has(field.without)}:"
                yield f"        {place(row)} |= {unsigned(field.mask)}"
