"""What rows of the instruction table say of their instructions, and how their notation is read."""

import pytest

from vm_native.ir.uops import UOPS
from vm_native.riscv.instructions import BY_NAME, NOTHING, ROWS, encode
from vm_native.riscv.instructions.pattern import Piece, read_pattern
from vm_native.riscv.instructions.row import I


def names(holds) -> set[str]:
    """Of the rows of which that holds, without the format at the end."""
    return {row.name.removesuffix(".s").removesuffix(".d").removesuffix(".h") for row in ROWS if holds(row)}


def test_names_are_unique_and_lead_to_a_uop_or_a_helper():
    assert list(BY_NAME) == [row.name for row in ROWS]
    assert {row.uop for row in ROWS if row.uop} <= {uop.name for uop in UOPS} | {NOTHING}
    assert all(bool(row.uop) != bool(row.helper) for row in ROWS)


def test_rows_are_in_the_order_of_the_manual():
    """Compressed ones come last."""
    order = "addi csrrw mop.r.0 mul lr.w cbo.zero fadd.s fadd.h fli.s sh1add aes64ds mret c.addi".split()
    assert sorted(order, key=list(BY_NAME).index) == order
    assert all(row.length == 2 for row in ROWS[ROWS.index(BY_NAME["c.addi4spn"]):])


def test_flags_are_raised_without_rounding_by():
    """Chapters "F" and "Zfa": comparisons, minimum and maximum of a signalling NaN; fcvtmod.w.d rounds to zero."""
    assert names(lambda row: row.raises and not row.rounds) == {
        "feq", "flt", "fle", "fmin", "fmax", "fleq", "fltq", "fminm", "fmaxm", "fcvtmod.w",
    }


def test_floating_point_state_is_left_as_it_is_by():
    """Privileged specification, section "Extension Context Status": what writes neither f registers nor fcsr.

    Vector instructions find that out when they are run.
    """
    assert names(lambda row: row.uses_f and not row.writes_f and not row.vector) == {
        "fsw", "fsd", "fsh", "c.fsd", "c.fsdsp", "fmv.x.w", "fmv.x", "fclass",
    }


@pytest.mark.parametrize("name, source, leaves", [
    ("csrrw", {"rs1": 0}, True), ("csrrs", {"rs1": 0}, False), ("csrrs", {"rs1": 16}, True),
    ("csrrc", {"rs1": 0}, False), ("csrrwi", {"zimm": 0}, True), ("csrrsi", {"zimm": 0}, False),
    ("csrrci", {"zimm": 1}, True),
])  # fmt: skip
def test_only_a_csr_instruction_that_writes_ends_the_block(name, source, leaves):
    """Chapter "Zicsr", table "Conditions determining whether a CSR instruction reads or writes"."""
    assert bool(encode(name, rd=31, csr=0xFFF, **source) & BY_NAME[name].exit_bits) == leaves


def test_pattern_is_read():
    """c.addiw and c.lui, chapter "C"; lr.w, chapter "A"."""
    columns = read_pattern("011 nzimm[17] rd!=0,2 nzimm[16:12] 01")
    assert (columns["length"], columns["mask"], columns["match"]) == (2, 0xE003, 0x6001)
    assert columns["pieces"] == (Piece(12, 17, 1), Piece(2, 12, 5))
    assert (columns["sign_bit"], columns["nonzero"], columns["at_most"]) == (17, True, -1)
    assert columns["registers"] == {"rd": ("rd", 7)} and columns["excluded"] == {"rd": (0, 2)}
    assert read_pattern("100 uimm[5] 00 rd' uimm[4:0] 01")["registers"] == {"rd": ("rd'", 7)}
    assert read_pattern("00010 aq rl 00000 rs1 010 rd 0101111")["fields"] == {"aq": (26, 1), "rl": (25, 1)}
    assert read_pattern("0011000 1 uimm[3:0]<=10 rs1 001 rd 0010011")["at_most"] == 10


def test_compressed_row_is_what_it_stands_for():
    row = BY_NAME["c.zext.b"]
    assert (row.base, row.uop, row.constant) == (BY_NAME["andi"], "andi", 255)
    assert row.registers == {"rd": ("rd'", 7), "rs1": ("rd'", 7)} and row.own_registers == {"rd": ("rd'", 7)}
    assert BY_NAME["c.li"].registers["rs1"] == ("x0", 0)


@pytest.mark.parametrize("pattern, options, message", [
    ("imm[11:0] rs1 000 rd 001011", {}, "does not fill"),
    ("imm[11:0] rs1 000 rd 0010011", {"wide": "pc"}, "no constant"),
])  # fmt: skip
def test_row_that_cannot_be_is_refused(pattern, options, message):
    before = len(ROWS)
    with pytest.raises(AssertionError, match=message):
        I("no.such", pattern, "I", **options)
    assert len(ROWS) == before and "no.such" not in BY_NAME
