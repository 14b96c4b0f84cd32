"""`vm info --csrs`: the table of control and status registers, for people."""

from __future__ import annotations

from vm.cli.markdown import markdown_table
from vm_native.riscv.csrs import CSRS, Csr, Field, is_there
from vm_native.riscv.isa import DEFAULT, parse

HEADINGS = ("number", "name", "access", "extension", "reset", "fields")
LEVELS = "USHM"                         # by bits 9:8 of a number
SHOWN = DEFAULT + "_h_smmpm_smnpm_ssnpm_smcntrpmf_zicfilp_zicfiss_smaia"


def csr_rows(isa: str = DEFAULT) -> list[tuple[str, ...]]:
    """Those that a hart of this ISA has, by number."""
    extensions = parse(isa).extensions
    rows = [row for row in CSRS if is_there(row, extensions)]
    return [
        (numbers(row), names(row), LEVELS[row.number >> 8 & 3] + ("RO" if row.is_readonly else "RW"), either(row.needs),
         after_reset(row, extensions), content(row, extensions))
        for row in sorted(rows, key=lambda row: row.number)
    ]


def csr_page() -> str:
    """The table as a page of the documentation."""
    lines = [
        "# Control and status registers", "",
        "Made by `vm info --csrs --markdown` from the table that the core reads: what the default hart has, and a hart",
        "with the hypervisor and others that are off by default; `vm info --csrs rv64gc` shows those of another",
        "instruction set. Access is the lowest privilege, as the privileged manual writes it; enables such as",
        "`mcounteren` and `mstatus.TVM` come on top. The bits of a field stand behind its name, then the values that",
        "it takes, where they have names, and the extension without which it is 0. Other bits are 0. Of `hgeip` and",
        "`hgeie` there are the bits of guests that have an interrupt file, 1 to `aia_guests`: without, both are 0.", "",
        *markdown_table(HEADINGS, csr_rows(SHOWN)),
    ]
    return "\n".join(lines) + "\n"


def either(needs: str) -> str:
    return needs.replace(" ", " or ").replace("+", " and ")


def numbers(row: Csr) -> str:
    found = [number for _, number in row.registers()]
    return f"{found[0]:#05x}" if row.indices is None else f"{found[0]:#05x} to {found[-1]:#05x}"


def names(row: Csr) -> str:
    if row.indices is None:
        return row.name
    even = " (even)" if row.indices.step == 2 else ""
    return f"{row.name}{row.indices[0]} to {row.indices[-1]}{even}"


def after_reset(row: Csr, extensions: frozenset[str]) -> str:
    value = row.initial(extensions)
    return f"{value:#x}" if row.state and value is not None else ""


def content(row: Csr, extensions: frozenset[str]) -> str:
    if row.constant is not None:
        return f"always {row.constant}"
    if row.fields is None and row.state:
        return "any value"
    if row.view and row.part:
        return f"{row.view.name}.{row.part.name}"
    fields = [describe(field) for field in row.fields or () if is_there(field, extensions)]
    shown = row.view and row.view.name + (f" where {row.through} is 1" if row.through else "")
    each = f"{64 // row.each} times" if row.each < 64 else ""
    return ": ".join(filter(None, (shown, each, ", ".join(fields)))) or ("always 0" if row.fields else "")


def describe(field: Field) -> str:
    notes = [
        " ".join(f"{name}={value}" for name, value in field.legal.items()),
        f"always {field.fixed}" if field.fixed is not None else "",
        "read-only" if field.readonly else "",
        either(field.needs),
    ]
    bits = str(field.low) if field.high == field.low else f"{field.high}:{field.low}"
    said = "; ".join(filter(None, notes))
    return f"{field.name} {bits}" + (f" ({said})" if said else "")
