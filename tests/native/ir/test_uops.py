"""The language of the uop table, as it is read."""

import pytest

from vm_native.ir.semantics import (
    Assign,
    Atomic,
    Branch,
    Call,
    Conditional,
    Exchange,
    Fall,
    Jump,
    JumpIndirect,
    Load,
    Reserve,
    Store,
    parse,
)
from vm_native.ir.uops import UOPS

ROWS = {row.name: row for row in UOPS}
MEANINGS = {
    "add": Assign("rs1 + rs2"),
    "fadd.s": Assign("single(rs1) + single(rs2)", "single"),
    "fmv.w.x": Assign("rs1", "bits32"),
    "lbu": Load(8, ""),
    "lw": Load(32, "signed"),
    "flh": Load(16, "boxed"),
    "sd": Store(64),
    "lr.w": Reserve(32),
    "sc.d": Conditional(64),
    "amominu.h": Atomic(16, "minu"),
    "amocas.b": Exchange(8),
    "bltu": Branch("rs1 < rs2"),
    "jal": Jump(),
    "jalr": JumpIndirect(),
    "fall": Fall(),
    "call": Call(exits=False),
    "call.exit": Call(exits=True),
}


@pytest.mark.parametrize("name", MEANINGS)
def test_meaning(name):
    assert ROWS[name].meaning == MEANINGS[name]


def test_every_row_has_a_meaning_of_its_own_kind():
    """No row falls through to a plain assignment because its form is misspelt: an expression calls no statement."""
    for row in UOPS:
        if isinstance(row.meaning, Assign):
            assert not row.meaning.expression.startswith(("load", "reserve", "conditional", "atomic", "exchange")), row


@pytest.mark.parametrize("text", ["", "rd =", "branch rs1", "store8(rs1, rs2)", "word(rd) = rs1", "call; return"])
def test_what_is_no_semantics_is_refused(text):
    with pytest.raises(ValueError, match="not understood"):
        parse(text)


@pytest.mark.parametrize(
    ("property", "names", "others"),
    [
        ("only_writes_rd", ["add", "fadd.d", "li"], ["ld", "sd", "jal", "call", "amoadd.w"]),
        ("is_branch", ["beq", "bgeu"], ["jal", "fall", "slt"]),
        ("ends_block", ["beq", "jal", "jalr", "fall", "call.exit"], ["add", "sd", "call"]),
    ],
)
def test_properties(property, names, others):
    assert [name for name in (*names, *others) if getattr(ROWS[name], property)] == names


def test_second_slots():
    """For a third source, a wide constant, the word that a helper looks at, and what is said of an access."""
    two = {row.name for row in UOPS if row.cells == 2}
    fused = {f"f{name}.{s}" for name in ("madd", "msub", "nmsub", "nmadd") for s in "sdh"}
    assert two == {"wide", "call", "call.exit", "probe.access"} | fused
