"""Floating-point instructions on a hart: every row against Spike, and the rules around Zfh, Zfhmin and Zfa.

RISC-V unprivileged manual, chapters "F", "D", "Zfh and Zfhmin" and "Zfa".
"""

import random
from pathlib import Path

import pytest

from tests.assembler import assemble_elf
from tests.conformance.encoding import encode_on
from tests.native.arithmetic.floating_cases import biased_random, corners
from tests.native.arithmetic.ieee754 import DOUBLE, FORMATS, HALF, MODES, NV, SINGLE
from tests.native.riscv.single import END, signature, signature_on_spike
from vm_native.riscv.instructions import BY_NAME, ROWS, Row

ISA = "rv64gc_zfh_zfa"
EXTENSIONS = ("F", "D", "Zfhmin", "Zfh", "Zfa")
DYNAMIC = 7
REGISTERS = {"rd": 10, "rs1": 11, "rs2": 12, "rs3": 13}
ILLEGAL, FETCHED = 2, 0x8000_0000
FS_INITIAL, FS_CLEAN, FS_DIRTY = 1 << 13, 2 << 13, 3 << 13

# --- Against Spike


def rows_of(extension: str) -> list[Row]:
    """Those that compute; loads and stores have tests of their own."""
    return [row for row in ROWS if row.length == 4 and extension == row.extensions[0] and row.pieces == ()]


def operand_images(row: Row, count: int) -> list[tuple[int, int, int]]:
    """Register images: mostly proper operands of the row, some that are not boxed or boxed for another format."""
    source = random.Random(row.name)
    f = FORMATS.get(row.name.split(".")[-1], SINGLE)
    proper = corners(f)

    def image() -> int:
        choice = source.randrange(16)
        if not row.registers["rs1"][0].startswith("f"):     # from an integer register
            register = source.getrandbits(64) >> source.randrange(64)
            return register if choice % 2 else -register % 2**64
        if choice == 0:
            return source.getrandbits(64)
        if choice == 1:
            other = source.choice((HALF, SINGLE, DOUBLE))
            return other.box(biased_random(source, other))
        return f.box(source.choice(proper) if choice < 7 else biased_random(source, f))

    return [(image(), image(), image()) for _ in range(count)]


def program(rows: list[Row], count: int) -> Path:
    """Runs every row in every rounding mode that its encoding has, static and dynamic; results, then flags."""
    text, data, total = ["li t0, 3 << 13", "csrs mstatus, t0", "la s1, begin_signature"], [], 0
    for number, row in enumerate(rows):
        data += [f"operands_{number}:", *(f".dword {a:#x}, {b:#x}, {c:#x}" for a, b, c in operand_images(row, count))]
        forms = [(encode_on(REGISTERS, row.name), 0)]
        if row.rounds:
            forms = [(encode_on(REGISTERS, row.name, rm=mode), 4 - mode) for mode in MODES]
            forms += [(encode_on(REGISTERS, row.name, rm=DYNAMIC), mode) for mode in MODES]
        loads = "fld fa1, 0(s2); fld fa2, 8(s2); fld fa3, 16(s2)"
        if not row.registers["rs1"][0].startswith("f"):
            loads = "ld a1, 0(s2)"
        result = "fmv.x.d a0, fa0" if row.registers["rd"][0] == "frd" else ""
        for form, dynamic in forms:
            total += count
            text.append(f"""
                la    s2, operands_{number}
                li    s3, {count}
                fsrmi {dynamic}
            1:  {loads}
                fsflags x0
                .word {form:#x}
                {result}
                frflags a1
                sd    a0, 0(s1)
                sd    a1, 8(s1)
                addi  s1, s1, 16
                addi  s2, s2, 24
                addi  s3, s3, -1
                bnez  s3, 1b
            """)
    data += ["begin_signature:", f".zero {total * 16}", "end_signature:"]
    return assemble_elf("\n".join(text) + END + "\n".join(data))


@pytest.mark.parametrize("count", [12, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_results_and_flags_equal_spike(extension, count, tmp_path):
    """Every computing instruction in every static and dynamic rounding mode, with badly boxed operands among others."""
    rows = rows_of(extension)
    elf = program(rows, count)
    ours, theirs = signature(elf, ISA), signature_on_spike(elf, ISA, tmp_path)
    assert len(ours) >= 2 * count * len(rows)
    assert ours == theirs, difference(rows, count, ours, theirs)


def difference(rows: list[Row], count: int, ours: list[int], theirs: list[int]) -> str:
    position = next(i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]) // 2
    for row in rows:
        forms = 2 * len(MODES) if row.rounds else 1
        if position < forms * count:
            given = [hex(image) for image in operand_images(row, count)[position % count]]
            break
        position -= forms * count
    return f"{row.name}, form {position // count}, of {given}"


def test_constants_equal_spike(tmp_path):
    """fli: 32 constants in three formats, boxed."""
    words = [encode_on(REGISTERS, f"fli.{suffix}", number) for suffix in FORMATS for number in range(32)]
    lines = "\n".join(f".word {word:#x}; fsd fa0, (s1); addi s1, s1, 8" for word in words)
    elf = assemble_elf(f"li t0, 3 << 13; csrs mstatus, t0; la s1, begin_signature\n{lines}\n{END}"
                       f"begin_signature: .zero {8 * len(words)}\nend_signature:")
    assert signature(elf, ISA) == signature_on_spike(elf, ISA, tmp_path)


@pytest.mark.parametrize("name", ["flt.s", "fle.s", "flt.h", "fle.h"])
def test_unboxed_operand_of_a_comparison_is_invalid(guest, dispatch, name):
    """It is a NaN, in either place; the compiler of the handlers must not fold a comparison with it."""
    one = guest(f"""
        li    t0, 3 << 13
        csrs  mstatus, t0
        fmv.d.x fa1, a1
        fmv.d.x fa2, a2
        .word {encode_on(REGISTERS, name):#x}
        frflags a3
        wfi
    """, isa=ISA)
    for left, right in ((1, FORMATS[name[-1]].box(1)), (FORMATS[name[-1]].box(1), 1), (1, 2)):
        one.hart.pc = FETCHED
        one["a1"], one["a2"], one["fflags"] = left, right, 0
        one.finish()
        assert (one["a0"], one["a3"]) == (0, NV)


# --- What is there, and when it is illegal


@pytest.mark.parametrize(
    ("isa", "names"),
    [
        ("rv64gc", ()),
        ("rv64gc_zfhmin", ("Zfhmin", "Zfhmin D")),
        ("rv64gc_zfh", ("Zfhmin", "Zfhmin D", "Zfh")),
        ("rv64gc_zfa", ("Zfa", "Zfa D")),
        ("rv64gc_zfhmin_zfa", ("Zfhmin", "Zfhmin D", "Zfa", "Zfa D")),
        ("rv64imaf_zfh_zfa", ("Zfhmin", "Zfh", "Zfa", "Zfa Zfh")),
    ],
)
def test_only_named_extensions_are_on(guest, isa, names):
    """Each row is legal exactly where all of its extensions are on; Zfh brings Zfhmin."""
    one = guest("", isa=isa)
    for row in ROWS:
        if row.extensions[0] in ("Zfhmin", "Zfh", "Zfa"):
            legal = " ".join(row.extensions) in names
            assert is_legal(one, encode_on(REGISTERS, row.name)) == legal, row.name


def is_legal(one, word: int, fs: int = FS_DIRTY) -> bool:
    one.store(FETCHED, word, 4)
    one["mstatus"], one["a0"], one["zero"] = fs, 0, 0
    one.hart.pc = FETCHED
    one.run(1)
    return one.hart.pc == FETCHED + 4 or one["mcause"] != ILLEGAL


@pytest.mark.parametrize("name", ["flh", "fsh", "fadd.h", "fmv.x.h", "fclass.h", "fli.s", "fleq.d", "fcvtmod.w.d"])
def test_illegal_without_floating_point_state(guest, name):
    """mstatus.FS Off makes every floating-point instruction illegal."""
    one = guest("", isa=ISA)
    assert not is_legal(one, encode_on(REGISTERS, name), fs=0)
    assert is_legal(one, encode_on(REGISTERS, name), fs=FS_INITIAL)


@pytest.mark.parametrize(
    ("name", "fs"),
    [("flh", FS_DIRTY), ("fsh", FS_CLEAN), ("fadd.h", FS_DIRTY), ("fmv.x.h", FS_CLEAN), ("fmv.h.x", FS_DIRTY),
     ("fclass.h", FS_CLEAN), ("fli.h", FS_DIRTY), ("fround.d", FS_DIRTY)],
)  # fmt: skip
def test_dirty_state(guest, name, fs):
    """Whatever writes an f register makes mstatus.FS Dirty; what only reads leaves it."""
    one = guest("", isa=ISA)
    one["a1"] = FETCHED + 0x200
    one.store(FETCHED, encode_on(REGISTERS, name), 4)
    one["mstatus"] = FS_CLEAN
    one.hart.pc = FETCHED
    one.run(1)
    assert one["mstatus"] & FS_DIRTY == fs


@pytest.mark.parametrize("name", ["fadd.h", "fsqrt.h", "fmadd.h", "fcvt.h.s", "fcvt.w.h", "fround.d", "froundnx.h"])
def test_reserved_rounding_modes_are_illegal(guest, name):
    """Static modes 5 and 6, and the dynamic one while frm holds 5 to 7."""
    one = guest("", isa=ISA)
    word = encode_on(REGISTERS, name)
    one["frm"] = 0
    assert [mode for mode in range(8) if is_legal(one, word | mode << 12)] == [0, 1, 2, 3, 4, DYNAMIC]
    for frm in range(8):
        one["mstatus"] = FS_DIRTY
        one["frm"] = frm
        assert is_legal(one, word | DYNAMIC << 12) == (frm <= 4)
        assert is_legal(one, word | 4 << 12)


@pytest.mark.parametrize(
    ("name", "legal"), [("fcvtmod.w.d", [1]), ("fli.d", [0]), ("fclass.h", [0, 1]), ("fmv.h.x", [0])]
)
def test_funct3_without_rounding_mode(guest, name, legal):
    """Where the field is not a rounding mode, one value is the instruction; fmv.x.h stands beside fclass.h."""
    one = guest("", isa=ISA)
    word = BY_NAME[name].match & ~(7 << 12)
    assert [value for value in range(8) if is_legal(one, word | value << 12)] == legal


# --- Loads and stores

PLACE = 0x8010_0000


@pytest.mark.parametrize("offset", [0, 2, 1, 0xFFF], ids=["aligned", "half-word", "misaligned", "across pages"])
def test_load_boxes_and_store_takes_the_low_half_word(guest, dispatch, offset):
    """flh fills the upper 48 bits with ones; fsh stores 16 bits, boxed or not; neither looks at the value."""
    one = guest(f"""
        li   t0, 3 << 13
        csrs mstatus, t0
        li   a1, {PLACE + offset}
        .word {encode_on(REGISTERS, "flh"):#x}
        fmv.x.d a0, fa0
        li   a2, 0x1234567800007C01
        fmv.d.x fa2, a2
        .word {encode_on(REGISTERS, "fsh", 2):#x}
        frflags a3
        wfi
    """, isa=ISA)
    one.store(PLACE + offset, 0xAAAA_BBBB_FD01, 6)
    one.finish()
    assert one["a0"] == 0xFFFF_FFFF_FFFF_FD01
    assert one.word(PLACE + offset, 6) == 0xAAAA_7C01_FD01
    assert one["a3"] == 0
