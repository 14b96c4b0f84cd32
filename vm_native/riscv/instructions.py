"""The instruction set: one row per instruction. The decoder, tools, tests and documentation read it.

Patterns are written as in the manual, most significant bit first. Fields: `rd rs1 rs2 rs3` are x registers,
`frd frs1 frs2 frs3` f registers, with `'` the three-bit form of compressed instructions (x8-x15, f8-f15); `imm[...]`
is sign-extended, `uimm[...]` is not, with the bits named as the manual names them; the prefix `nz` demands a value
other than zero, `<=10` behind it one that is not larger. `rd!=0,2` excludes registers. `rm` is a rounding mode; `csr`,
`pred` and the like are read by helpers.

A row says what its instruction becomes:
    uop=        the uop of that name (by default the one called like the instruction, if there is none of the others)
    helper=     a function of the front end (helpers.pyx); `leaves` if the block ends there
                (operate_fp is the floating-point unit's exact path: the row's name tells it what to compute)
    expands=    for compressed instructions: the row it stands for, registers that differ, and a fixed immediate
Extensions name what must be on: all of the words; of names joined by `|`, any one.

The table reads both ways: `encode` assembles single instructions.
"""

import re
from collections.abc import Collection
from typing import NamedTuple


class Piece(NamedTuple):
    """Immediate bits [target, target + width) stand at instruction bits [source, source + width)."""

    source: int
    target: int
    width: int


class Row(NamedTuple):
    name: str
    pattern: str
    extensions: tuple[str, ...]
    uop: str
    helper: str
    leaves: bool
    base: "Row | None"
    length: int                             # bytes
    mask: int
    match: int
    registers: dict[str, tuple[str, int]]   # operand -> (field as written, lowest bit), or ("x2", 0) for a fixed one
    excluded: dict[str, tuple[int, ...]]    # operand -> registers that this row does not cover
    fields: dict[str, tuple[int, int]]      # the others, as `rm` and `csr` -> (lowest bit, width)
    pieces: tuple[Piece, ...]
    constant: int                           # the immediate of a row that has no pieces
    sign_bit: int                           # of the immediate, or -1
    nonzero: bool
    at_most: int                            # the largest immediate that this row covers, or -1

    @property
    def rounds(self) -> bool:
        """Whether it has a rounding mode field."""
        return "rm" in self.fields

    @property
    def own_registers(self) -> dict[str, tuple[str, int]]:
        """Those of `registers` that have a field: no fixed ones, and none that is another operand, too."""
        return {operand: place for operand, place in self.registers.items() if place[0].strip("f'") == operand}

    def is_on(self, extensions: Collection[str]) -> bool:
        """Whether a hart with these extensions has the instruction."""
        return all(any(name in extensions for name in word.split("|")) for word in self.extensions)


ROWS: list[Row] = []
BY_NAME: dict[str, Row] = {}

WIDTHS = {"rm": 3, "csr": 12, "zimm": 5, "aq": 1, "rl": 1, "fm": 4, "pred": 4, "succ": 4}
REGISTER = re.compile(r"(f?r(?:d|s1|s2|s3))('?)(?:!=([\d,]+))?")
IMMEDIATE = re.compile(r"(nz)?(u?)imm\[([\d:|]+)\](?:<=(\d+))?")


def I(name: str, pattern: str, extensions: str, *, uop: str = "", helper: str = "", leaves: bool = False,
      expands: str = "") -> None:
    """Add one instruction."""
    length = 4 if pattern.endswith("11") else 2
    base, fixed = None, {}
    if expands:
        base_name, *changes = expands.split()
        base = BY_NAME[base_name]
        fixed = dict(change.split("=") for change in changes)
    constant = int(fixed.pop("imm", 0))
    position = length * 8
    mask = match = 0
    registers: dict[str, tuple[str, int]] = {}
    excluded: dict[str, tuple[int, ...]] = {}
    fields: dict[str, tuple[int, int]] = {}
    pieces: list[Piece] = []
    signed = nonzero = False
    at_most = -1
    for token in pattern.split():
        if set(token) <= {"0", "1"}:
            position -= len(token)
            mask |= ((1 << len(token)) - 1) << position
            match |= int(token, 2) << position
        elif found := REGISTER.fullmatch(token):
            field, short, exclude = found.groups()
            position -= 3 if short else 5
            operand = field.removeprefix("f")
            registers[operand] = (field + short, position)
            if exclude:
                excluded[operand] = tuple(map(int, exclude.split(",")))
        elif found := IMMEDIATE.fullmatch(token):
            nonzero |= bool(found[1])
            signed |= not found[2]
            at_most = int(found[4] or at_most)
            for bits in found[3].split("|"):
                high, _, low = bits.partition(":")
                width = int(high) - int(low or high) + 1
                position -= width
                pieces.append(Piece(position, int(low or high), width))
        else:
            position -= WIDTHS[token]
            fields[token] = (position, WIDTHS[token])
    assert position == 0, f"{name}: {position} bits are not covered by the pattern"
    named = dict(registers)
    for operand, source in fixed.items():
        registers[operand] = named[source] if source in named else (source, 0)
    top = max((piece.target + piece.width - 1 for piece in pieces), default=-1) if signed else -1
    row = Row(name, pattern, tuple(extensions.split()), base.uop if base else uop or ("" if helper else name),
              base.helper if base else helper, base.leaves if base else leaves, base, length, mask, match, registers,
              excluded, fields, tuple(pieces), constant, top, nonzero, at_most)
    ROWS.append(row)
    BY_NAME[name] = row


def encode(name: str, *, imm: int = 0, **operands: int) -> int:
    """The word of an instruction: `encode("addi", rd=10, rs1=10, imm=-1)`. Raises ValueError for what does not fit it.

    Registers are numbers, 8 to 15 for the three-bit form, and must all be given; a field like `rm` that is not is 0.
    `imm` is the value that the instruction works with: lui's has twelve zeroes, a jump's is the distance.
    """
    row = BY_NAME[name]
    if unknown := operands.keys() - row.own_registers.keys() - row.fields.keys():
        raise ValueError(f"{name}: has no {', '.join(sorted(unknown))}")
    word = row.match
    for operand, (field, position) in row.own_registers.items():
        first, count = (8, 8) if field.endswith("'") else (0, 32)
        number = operands.get(operand, -1)
        if not first <= number < first + count:
            raise ValueError(f"{name}: {operand} is a register from {first} to {first + count - 1}")
        word |= number - first << position
    for field, (position, width) in row.fields.items():
        value = operands.get(field, 0)
        if not 0 <= value < 1 << width:
            raise ValueError(f"{name}: {field} has {width} bits")
        word |= value << position
    for piece in row.pieces:
        word |= (imm >> piece.target & (1 << piece.width) - 1) << piece.source
    if immediate_of(row, word) != imm:
        raise ValueError(f"{name}: has no immediate {imm}")
    return word


def immediate_of(row: Row, word: int) -> int:
    """The immediate that stands in a word, sign-extended where the row says so; 0 if none does."""
    value = sum((word >> piece.source & (1 << piece.width) - 1) << piece.target for piece in row.pieces)
    return value - (value >> row.sign_bit << row.sign_bit + 1) if row.sign_bit >= 0 else value


# --- RV32I and RV64I, unprivileged specification chapters 2 and 4 ----------------------------------------------------
I("lui",    "imm[31:12] rd 0110111", "I", uop="li")
I("auipc",  "imm[31:12] rd 0010111", "I", uop="wide")
I("jal",    "imm[20|10:1|11|19:12] rd 1101111", "I")
I("jalr",   "imm[11:0] rs1 000 rd 1100111", "I")
I("beq",    "imm[12|10:5] rs2 rs1 000 imm[4:1|11] 1100011", "I")
I("bne",    "imm[12|10:5] rs2 rs1 001 imm[4:1|11] 1100011", "I")
I("blt",    "imm[12|10:5] rs2 rs1 100 imm[4:1|11] 1100011", "I")
I("bge",    "imm[12|10:5] rs2 rs1 101 imm[4:1|11] 1100011", "I")
I("bltu",   "imm[12|10:5] rs2 rs1 110 imm[4:1|11] 1100011", "I")
I("bgeu",   "imm[12|10:5] rs2 rs1 111 imm[4:1|11] 1100011", "I")
I("lb",     "imm[11:0] rs1 000 rd 0000011", "I")
I("lh",     "imm[11:0] rs1 001 rd 0000011", "I")
I("lw",     "imm[11:0] rs1 010 rd 0000011", "I")
I("ld",     "imm[11:0] rs1 011 rd 0000011", "I")
I("lbu",    "imm[11:0] rs1 100 rd 0000011", "I")
I("lhu",    "imm[11:0] rs1 101 rd 0000011", "I")
I("lwu",    "imm[11:0] rs1 110 rd 0000011", "I")
I("sb",     "imm[11:5] rs2 rs1 000 imm[4:0] 0100011", "I")
I("sh",     "imm[11:5] rs2 rs1 001 imm[4:0] 0100011", "I")
I("sw",     "imm[11:5] rs2 rs1 010 imm[4:0] 0100011", "I")
I("sd",     "imm[11:5] rs2 rs1 011 imm[4:0] 0100011", "I")
I("addi",   "imm[11:0] rs1 000 rd 0010011", "I")
I("slti",   "imm[11:0] rs1 010 rd 0010011", "I")
I("sltiu",  "imm[11:0] rs1 011 rd 0010011", "I")
I("xori",   "imm[11:0] rs1 100 rd 0010011", "I")
I("ori",    "imm[11:0] rs1 110 rd 0010011", "I")
I("andi",   "imm[11:0] rs1 111 rd 0010011", "I")
I("slli",   "000000 uimm[5:0] rs1 001 rd 0010011", "I")
I("srli",   "000000 uimm[5:0] rs1 101 rd 0010011", "I")
I("srai",   "010000 uimm[5:0] rs1 101 rd 0010011", "I")
I("add",    "0000000 rs2 rs1 000 rd 0110011", "I")
I("sub",    "0100000 rs2 rs1 000 rd 0110011", "I")
I("sll",    "0000000 rs2 rs1 001 rd 0110011", "I")
I("slt",    "0000000 rs2 rs1 010 rd 0110011", "I")
I("sltu",   "0000000 rs2 rs1 011 rd 0110011", "I")
I("xor",    "0000000 rs2 rs1 100 rd 0110011", "I")
I("srl",    "0000000 rs2 rs1 101 rd 0110011", "I")
I("sra",    "0100000 rs2 rs1 101 rd 0110011", "I")
I("or",     "0000000 rs2 rs1 110 rd 0110011", "I")
I("and",    "0000000 rs2 rs1 111 rd 0110011", "I")
I("addiw",  "imm[11:0] rs1 000 rd 0011011", "I")
I("slliw",  "0000000 uimm[4:0] rs1 001 rd 0011011", "I")
I("srliw",  "0000000 uimm[4:0] rs1 101 rd 0011011", "I")
I("sraiw",  "0100000 uimm[4:0] rs1 101 rd 0011011", "I")
I("addw",   "0000000 rs2 rs1 000 rd 0111011", "I")
I("subw",   "0100000 rs2 rs1 000 rd 0111011", "I")
I("sllw",   "0000000 rs2 rs1 001 rd 0111011", "I")
I("srlw",   "0000000 rs2 rs1 101 rd 0111011", "I")
I("sraw",   "0100000 rs2 rs1 101 rd 0111011", "I")
I("fence",  "fm pred succ rs1 000 rd 0001111", "I", uop="nothing")
I("ecall",  "000000000000 00000 000 00000 1110011", "I", helper="ecall", leaves=True)
I("ebreak", "000000000001 00000 000 00000 1110011", "I", helper="ebreak", leaves=True)

# --- Zifencei, chapter 6 ----------------------------------------------------------------------------------------------
I("fence.i", "imm[11:0] rs1 001 rd 0001111", "Zifencei", helper="fence_i", leaves=True)

# --- M, chapter 12 ----------------------------------------------------------------------------------------------------
I("mul",    "0000001 rs2 rs1 000 rd 0110011", "M")
I("mulh",   "0000001 rs2 rs1 001 rd 0110011", "M")
I("mulhsu", "0000001 rs2 rs1 010 rd 0110011", "M")
I("mulhu",  "0000001 rs2 rs1 011 rd 0110011", "M")
I("div",    "0000001 rs2 rs1 100 rd 0110011", "M")
I("divu",   "0000001 rs2 rs1 101 rd 0110011", "M")
I("rem",    "0000001 rs2 rs1 110 rd 0110011", "M")
I("remu",   "0000001 rs2 rs1 111 rd 0110011", "M")
I("mulw",   "0000001 rs2 rs1 000 rd 0111011", "M")
I("divw",   "0000001 rs2 rs1 100 rd 0111011", "M")
I("divuw",  "0000001 rs2 rs1 101 rd 0111011", "M")
I("remw",   "0000001 rs2 rs1 110 rd 0111011", "M")
I("remuw",  "0000001 rs2 rs1 111 rd 0111011", "M")

# --- A, chapter 13 ----------------------------------------------------------------------------------------------------
for _width_code, _suffix in (("010", "w"), ("011", "d")):
    I(f"lr.{_suffix}", f"00010 aq rl 00000 rs1 {_width_code} rd 0101111", "A")
    I(f"sc.{_suffix}", f"00011 aq rl rs2 rs1 {_width_code} rd 0101111", "A")
    for _code, _operation in (
        ("00001", "swap"), ("00000", "add"), ("00100", "xor"), ("01100", "and"), ("01000", "or"),
        ("10000", "min"), ("10100", "max"), ("11000", "minu"), ("11100", "maxu"),
    ):
        I(f"amo{_operation}.{_suffix}", f"{_code} aq rl rs2 rs1 {_width_code} rd 0101111", "A")

# --- Zacas and Zabha, chapters 15 and 16 ------------------------------------------------------------------------------
I("amocas.w", "00101 aq rl rs2 rs1 010 rd 0101111", "Zacas")
I("amocas.d", "00101 aq rl rs2 rs1 011 rd 0101111", "Zacas")
I("amocas.q", "00101 aq rl rs2 rs1 100 rd 0101111", "Zacas", helper="amocas_q", leaves=True)
for _width_code, _suffix in (("000", "b"), ("001", "h")):
    I(f"amocas.{_suffix}", f"00101 aq rl rs2 rs1 {_width_code} rd 0101111", "Zabha Zacas")
    for _code, _operation in (
        ("00001", "swap"), ("00000", "add"), ("00100", "xor"), ("01100", "and"), ("01000", "or"),
        ("10000", "min"), ("10100", "max"), ("11000", "minu"), ("11100", "maxu"),
    ):
        I(f"amo{_operation}.{_suffix}", f"{_code} aq rl rs2 rs1 {_width_code} rd 0101111", "Zabha")

# --- Zawrs, chapter 14: a stall that may end at any time ends at once -----------------------------------------------
I("wrs.nto", "000000001101 00000 000 00000 1110011", "Zawrs", helper="wrs_nto", leaves=True)
I("wrs.sto", "000000011101 00000 000 00000 1110011", "Zawrs", uop="nothing")

# --- Zicbom, Zicboz, Zicbop, chapter 19; prefetches are ori to x0 ---------------------------------------------------
I("cbo.inval", "000000000000 rs1 010 00000 0001111", "Zicbom", helper="cbo_inval")
I("cbo.clean", "000000000001 rs1 010 00000 0001111", "Zicbom", helper="cbo_clean")
I("cbo.flush", "000000000010 rs1 010 00000 0001111", "Zicbom", helper="cbo_clean")
I("cbo.zero",  "000000000100 rs1 010 00000 0001111", "Zicboz", helper="cbo_zero", leaves=True)

# --- Zicsr, chapter 7 -------------------------------------------------------------------------------------------------
I("csrrw",  "csr rs1 001 rd 1110011", "Zicsr", helper="csr", leaves=True)
I("csrrs",  "csr rs1 010 rd 1110011", "Zicsr", helper="csr", leaves=True)
I("csrrc",  "csr rs1 011 rd 1110011", "Zicsr", helper="csr", leaves=True)
I("csrrwi", "csr zimm 101 rd 1110011", "Zicsr", helper="csr", leaves=True)
I("csrrsi", "csr zimm 110 rd 1110011", "Zicsr", helper="csr", leaves=True)
I("csrrci", "csr zimm 111 rd 1110011", "Zicsr", helper="csr", leaves=True)

# --- F and D, chapters 20 and 21 --------------------------------------------------------------------------------------
I("flw",    "imm[11:0] rs1 010 frd 0000111", "F")
I("fsw",    "imm[11:5] frs2 rs1 010 imm[4:0] 0100111", "F", uop="sw")
I("fld",    "imm[11:0] rs1 011 frd 0000111", "D", uop="ld")
I("fsd",    "imm[11:5] frs2 rs1 011 imm[4:0] 0100111", "D", uop="sd")
for _code, _s, _ext, _helper in (("00", "s", "F", ""), ("01", "d", "D", ""), ("10", "h", "Zfh", "operate_fp")):
    I(f"fmadd.{_s}",   f"frs3 {_code} frs2 frs1 rm frd 1000011", _ext, helper=_helper)
    I(f"fmsub.{_s}",   f"frs3 {_code} frs2 frs1 rm frd 1000111", _ext, helper=_helper)
    I(f"fnmsub.{_s}",  f"frs3 {_code} frs2 frs1 rm frd 1001011", _ext, helper=_helper)
    I(f"fnmadd.{_s}",  f"frs3 {_code} frs2 frs1 rm frd 1001111", _ext, helper=_helper)
    I(f"fadd.{_s}",    f"00000{_code} frs2 frs1 rm frd 1010011", _ext, helper=_helper)
    I(f"fsub.{_s}",    f"00001{_code} frs2 frs1 rm frd 1010011", _ext, helper=_helper)
    I(f"fmul.{_s}",    f"00010{_code} frs2 frs1 rm frd 1010011", _ext, helper=_helper)
    I(f"fdiv.{_s}",    f"00011{_code} frs2 frs1 rm frd 1010011", _ext, helper=_helper)
    I(f"fsqrt.{_s}",   f"01011{_code} 00000 frs1 rm frd 1010011", _ext, helper=_helper)
    I(f"fsgnj.{_s}",   f"00100{_code} frs2 frs1 000 frd 1010011", _ext, helper=_helper)
    I(f"fsgnjn.{_s}",  f"00100{_code} frs2 frs1 001 frd 1010011", _ext, helper=_helper)
    I(f"fsgnjx.{_s}",  f"00100{_code} frs2 frs1 010 frd 1010011", _ext, helper=_helper)
    I(f"fmin.{_s}",    f"00101{_code} frs2 frs1 000 frd 1010011", _ext, helper=_helper)
    I(f"fmax.{_s}",    f"00101{_code} frs2 frs1 001 frd 1010011", _ext, helper=_helper)
    I(f"feq.{_s}",     f"10100{_code} frs2 frs1 010 rd 1010011", _ext, helper=_helper)
    I(f"flt.{_s}",     f"10100{_code} frs2 frs1 001 rd 1010011", _ext, helper=_helper)
    I(f"fle.{_s}",     f"10100{_code} frs2 frs1 000 rd 1010011", _ext, helper=_helper)
    I(f"fclass.{_s}",  f"11100{_code} 00000 frs1 001 rd 1010011", _ext, helper=_helper)
    for _from, _integer in (("00000", "w"), ("00001", "wu"), ("00010", "l"), ("00011", "lu")):
        I(f"fcvt.{_integer}.{_s}", f"11000{_code} {_from} frs1 rm rd 1010011", _ext, helper=_helper)
        I(f"fcvt.{_s}.{_integer}", f"11010{_code} {_from} rs1 rm frd 1010011", _ext, helper=_helper)
I("fmv.x.w",  "1110000 00000 frs1 000 rd 1010011", "F")
I("fmv.w.x",  "1111000 00000 rs1 000 frd 1010011", "F")
I("fmv.x.d",  "1110001 00000 frs1 000 rd 1010011", "D", uop="mv")
I("fmv.d.x",  "1111001 00000 rs1 000 frd 1010011", "D", uop="mv")
I("fcvt.s.d", "0100000 00001 frs1 rm frd 1010011", "D")
I("fcvt.d.s", "0100001 00000 frs1 rm frd 1010011", "D")

# --- Zfhmin: with Zfh the rows of binary16 above ----------------------------------------------------------------------
I("flh",      "imm[11:0] rs1 001 frd 0000111", "Zfhmin")
I("fsh",      "imm[11:5] frs2 rs1 001 imm[4:0] 0100111", "Zfhmin", uop="sh")
I("fmv.x.h",  "1110010 00000 frs1 000 rd 1010011", "Zfhmin")
I("fmv.h.x",  "1111010 00000 rs1 000 frd 1010011", "Zfhmin")
I("fcvt.s.h", "0100000 00010 frs1 rm frd 1010011", "Zfhmin")
I("fcvt.h.s", "0100010 00000 frs1 rm frd 1010011", "Zfhmin", helper="operate_fp")
I("fcvt.d.h", "0100001 00010 frs1 rm frd 1010011", "Zfhmin D", helper="operate_fp")
I("fcvt.h.d", "0100010 00001 frs1 rm frd 1010011", "Zfhmin D", helper="operate_fp")

# --- Zfa --------------------------------------------------------------------------------------------------------------
for _code, _s, _ext in (("00", "s", "Zfa"), ("01", "d", "Zfa D"), ("10", "h", "Zfa Zfh")):
    I(f"fli.{_s}",      f"11110{_code} 00001 uimm[4:0] 000 frd 1010011", _ext, uop="wide")
    I(f"fminm.{_s}",    f"00101{_code} frs2 frs1 010 frd 1010011", _ext, helper="operate_fp")
    I(f"fmaxm.{_s}",    f"00101{_code} frs2 frs1 011 frd 1010011", _ext, helper="operate_fp")
    I(f"fround.{_s}",   f"01000{_code} 00100 frs1 rm frd 1010011", _ext, helper="operate_fp")
    I(f"froundnx.{_s}", f"01000{_code} 00101 frs1 rm frd 1010011", _ext, helper="operate_fp")
    I(f"fleq.{_s}",     f"10100{_code} frs2 frs1 100 rd 1010011", _ext, helper="operate_fp")
    I(f"fltq.{_s}",     f"10100{_code} frs2 frs1 101 rd 1010011", _ext, helper="operate_fp")
I("fcvtmod.w.d", "1100001 01000 frs1 001 rd 1010011", "Zfa D", helper="operate_fp")

# --- Privileged specification, chapters 3 and 12 ----------------------------------------------------------------------
I("mret",       "0011000 00010 00000 000 00000 1110011", "I", helper="mret", leaves=True)
I("sret",       "0001000 00010 00000 000 00000 1110011", "S", helper="sret", leaves=True)
I("wfi",        "0001000 00101 00000 000 00000 1110011", "I", helper="wfi", leaves=True)
I("sfence.vma", "0001001 rs2 rs1 000 00000 1110011", "S", helper="sfence_vma", leaves=True)
I("sinval.vma", "0001011 rs2 rs1 000 00000 1110011", "Svinval", helper="sfence_vma", leaves=True)
I("sfence.w.inval",  "0001100 00000 00000 000 00000 1110011", "Svinval", helper="sfence_inval")
I("sfence.inval.ir", "0001100 00001 00000 000 00000 1110011", "Svinval", helper="sfence_inval")

# --- Zicond, chapter 11; Zimop, chapter 8 ---------------------------------------------------------------------------
I("czero.eqz", "0000111 rs2 rs1 101 rd 0110011", "Zicond")
I("czero.nez", "0000111 rs2 rs1 111 rd 0110011", "Zicond")
for _n in range(32):
    I(f"mop.r.{_n}", f"1{_n >> 4}00{_n >> 2 & 3:02b}0111{_n & 3:02b} rs1 100 rd 1110011", "Zimop", uop="li")
for _n in range(8):
    I(f"mop.rr.{_n}", f"1{_n >> 2}00{_n & 3:02b}1 rs2 rs1 100 rd 1110011", "Zimop", uop="li")

# --- Zba, Zbb, Zbc, Zbs, Zbkb, Zbkc, Zbkx, chapter 28 ---------------------------------------------------------------
I("add.uw",    "0000100 rs2 rs1 000 rd 0111011", "Zba")
I("sh1add",    "0010000 rs2 rs1 010 rd 0110011", "Zba")
I("sh2add",    "0010000 rs2 rs1 100 rd 0110011", "Zba")
I("sh3add",    "0010000 rs2 rs1 110 rd 0110011", "Zba")
I("sh1add.uw", "0010000 rs2 rs1 010 rd 0111011", "Zba")
I("sh2add.uw", "0010000 rs2 rs1 100 rd 0111011", "Zba")
I("sh3add.uw", "0010000 rs2 rs1 110 rd 0111011", "Zba")
I("slli.uw",   "000010 uimm[5:0] rs1 001 rd 0011011", "Zba")
I("andn",      "0100000 rs2 rs1 111 rd 0110011", "Zbb|Zbkb")
I("orn",       "0100000 rs2 rs1 110 rd 0110011", "Zbb|Zbkb")
I("xnor",      "0100000 rs2 rs1 100 rd 0110011", "Zbb|Zbkb")
I("clz",       "0110000 00000 rs1 001 rd 0010011", "Zbb")
I("ctz",       "0110000 00001 rs1 001 rd 0010011", "Zbb")
I("cpop",      "0110000 00010 rs1 001 rd 0010011", "Zbb")
I("sext.b",    "0110000 00100 rs1 001 rd 0010011", "Zbb")
I("sext.h",    "0110000 00101 rs1 001 rd 0010011", "Zbb")
I("clzw",      "0110000 00000 rs1 001 rd 0011011", "Zbb")
I("ctzw",      "0110000 00001 rs1 001 rd 0011011", "Zbb")
I("cpopw",     "0110000 00010 rs1 001 rd 0011011", "Zbb")
I("zext.h",    "0000100 00000 rs1 100 rd 0111011", "Zbb")
I("min",       "0000101 rs2 rs1 100 rd 0110011", "Zbb")
I("minu",      "0000101 rs2 rs1 101 rd 0110011", "Zbb")
I("max",       "0000101 rs2 rs1 110 rd 0110011", "Zbb")
I("maxu",      "0000101 rs2 rs1 111 rd 0110011", "Zbb")
I("orc.b",     "0010100 00111 rs1 101 rd 0010011", "Zbb")
I("rol",       "0110000 rs2 rs1 001 rd 0110011", "Zbb|Zbkb")
I("ror",       "0110000 rs2 rs1 101 rd 0110011", "Zbb|Zbkb")
I("rori",      "011000 uimm[5:0] rs1 101 rd 0010011", "Zbb|Zbkb")
I("rolw",      "0110000 rs2 rs1 001 rd 0111011", "Zbb|Zbkb")
I("rorw",      "0110000 rs2 rs1 101 rd 0111011", "Zbb|Zbkb")
I("roriw",     "0110000 uimm[4:0] rs1 101 rd 0011011", "Zbb|Zbkb")
I("rev8",      "0110101 11000 rs1 101 rd 0010011", "Zbb|Zbkb")
I("brev8",     "0110100 00111 rs1 101 rd 0010011", "Zbkb")
I("pack",      "0000100 rs2 rs1 100 rd 0110011", "Zbkb")
I("packh",     "0000100 rs2 rs1 111 rd 0110011", "Zbkb")
I("packw",     "0000100 rs2 rs1 100 rd 0111011", "Zbkb")
I("clmul",     "0000101 rs2 rs1 001 rd 0110011", "Zbc|Zbkc")
I("clmulh",    "0000101 rs2 rs1 011 rd 0110011", "Zbc|Zbkc")
I("clmulr",    "0000101 rs2 rs1 010 rd 0110011", "Zbc")
I("xperm4",    "0010100 rs2 rs1 010 rd 0110011", "Zbkx")
I("xperm8",    "0010100 rs2 rs1 100 rd 0110011", "Zbkx")
I("bclr",      "0100100 rs2 rs1 001 rd 0110011", "Zbs")
I("bext",      "0100100 rs2 rs1 101 rd 0110011", "Zbs")
I("binv",      "0110100 rs2 rs1 001 rd 0110011", "Zbs")
I("bset",      "0010100 rs2 rs1 001 rd 0110011", "Zbs")
I("bclri",     "010010 uimm[5:0] rs1 001 rd 0010011", "Zbs")
I("bexti",     "010010 uimm[5:0] rs1 101 rd 0010011", "Zbs")
I("binvi",     "011010 uimm[5:0] rs1 001 rd 0010011", "Zbs")
I("bseti",     "001010 uimm[5:0] rs1 001 rd 0010011", "Zbs")

# --- Zknd, Zkne, Zknh, Zksed, Zksh: scalar cryptography specification 1.0.1, chapter 3 ------------------------------
I("aes64ds",    "0011101 rs2 rs1 000 rd 0110011", "Zknd")
I("aes64dsm",   "0011111 rs2 rs1 000 rd 0110011", "Zknd")
I("aes64im",    "0011000 00000 rs1 001 rd 0010011", "Zknd")
I("aes64es",    "0011001 rs2 rs1 000 rd 0110011", "Zkne")
I("aes64esm",   "0011011 rs2 rs1 000 rd 0110011", "Zkne")
I("aes64ks1i",  "0011000 1 uimm[3:0]<=10 rs1 001 rd 0010011", "Zknd|Zkne")
I("aes64ks2",   "0111111 rs2 rs1 000 rd 0110011", "Zknd|Zkne")
I("sha256sum0", "0001000 00000 rs1 001 rd 0010011", "Zknh")
I("sha256sum1", "0001000 00001 rs1 001 rd 0010011", "Zknh")
I("sha256sig0", "0001000 00010 rs1 001 rd 0010011", "Zknh")
I("sha256sig1", "0001000 00011 rs1 001 rd 0010011", "Zknh")
I("sha512sum0", "0001000 00100 rs1 001 rd 0010011", "Zknh")
I("sha512sum1", "0001000 00101 rs1 001 rd 0010011", "Zknh")
I("sha512sig0", "0001000 00110 rs1 001 rd 0010011", "Zknh")
I("sha512sig1", "0001000 00111 rs1 001 rd 0010011", "Zknh")
I("sm3p0",      "0001000 01000 rs1 001 rd 0010011", "Zksh")
I("sm3p1",      "0001000 01001 rs1 001 rd 0010011", "Zksh")
I("sm4ed",      "uimm[1:0] 11000 rs2 rs1 000 rd 0110011", "Zksed")
I("sm4ks",      "uimm[1:0] 11010 rs2 rs1 000 rd 0110011", "Zksed")

# --- C, chapter 27: quadrants 0, 1, 2 ---------------------------------------------------------------------------------
I("c.addi4spn", "000 nzuimm[5:4|9:6|2|3] rd' 00", "Zca", expands="addi rs1=x2")
I("c.fld",      "001 uimm[5:3] rs1' uimm[7:6] frd' 00", "Zcd", expands="fld")
I("c.lw",       "010 uimm[5:3] rs1' uimm[2|6] rd' 00", "Zca", expands="lw")
I("c.ld",       "011 uimm[5:3] rs1' uimm[7:6] rd' 00", "Zca", expands="ld")
I("c.fsd",      "101 uimm[5:3] rs1' uimm[7:6] frs2' 00", "Zcd", expands="fsd")
I("c.sw",       "110 uimm[5:3] rs1' uimm[2|6] rs2' 00", "Zca", expands="sw")
I("c.sd",       "111 uimm[5:3] rs1' uimm[7:6] rs2' 00", "Zca", expands="sd")
I("c.addi",     "000 imm[5] rd imm[4:0] 01", "Zca", expands="addi rs1=rd")
I("c.addiw",    "001 imm[5] rd!=0 imm[4:0] 01", "Zca", expands="addiw rs1=rd")
I("c.li",       "010 imm[5] rd imm[4:0] 01", "Zca", expands="addi rs1=x0")
I("c.addi16sp", "011 nzimm[9] 00010 nzimm[4|6|8:7|5] 01", "Zca", expands="addi rd=x2 rs1=x2")
I("c.lui",      "011 nzimm[17] rd!=2 nzimm[16:12] 01", "Zca", expands="lui")
I("c.srli",     "100 uimm[5] 00 rd' uimm[4:0] 01", "Zca", expands="srli rs1=rd")
I("c.srai",     "100 uimm[5] 01 rd' uimm[4:0] 01", "Zca", expands="srai rs1=rd")
I("c.andi",     "100 imm[5] 10 rd' imm[4:0] 01", "Zca", expands="andi rs1=rd")
I("c.sub",      "100011 rd' 00 rs2' 01", "Zca", expands="sub rs1=rd")
I("c.xor",      "100011 rd' 01 rs2' 01", "Zca", expands="xor rs1=rd")
I("c.or",       "100011 rd' 10 rs2' 01", "Zca", expands="or rs1=rd")
I("c.and",      "100011 rd' 11 rs2' 01", "Zca", expands="and rs1=rd")
I("c.subw",     "100111 rd' 00 rs2' 01", "Zca", expands="subw rs1=rd")
I("c.addw",     "100111 rd' 01 rs2' 01", "Zca", expands="addw rs1=rd")
I("c.j",        "101 imm[11|4|9:8|10|6|7|3:1|5] 01", "Zca", expands="jal rd=x0")
I("c.beqz",     "110 imm[8|4:3] rs1' imm[7:6|2:1|5] 01", "Zca", expands="beq rs2=x0")
I("c.bnez",     "111 imm[8|4:3] rs1' imm[7:6|2:1|5] 01", "Zca", expands="bne rs2=x0")
I("c.slli",     "000 uimm[5] rd uimm[4:0] 10", "Zca", expands="slli rs1=rd")
I("c.fldsp",    "001 uimm[5] frd uimm[4:3|8:6] 10", "Zcd", expands="fld rs1=x2")
I("c.lwsp",     "010 uimm[5] rd!=0 uimm[4:2|7:6] 10", "Zca", expands="lw rs1=x2")
I("c.ldsp",     "011 uimm[5] rd!=0 uimm[4:3|8:6] 10", "Zca", expands="ld rs1=x2")
I("c.jr",       "1000 rs1!=0 00000 10", "Zca", expands="jalr rd=x0")
I("c.mv",       "1000 rd rs2!=0 10", "Zca", expands="add rs1=x0")
I("c.ebreak",   "1001 00000 00000 10", "Zca", expands="ebreak")
I("c.jalr",     "1001 rs1!=0 00000 10", "Zca", expands="jalr rd=x1")
I("c.add",      "1001 rd rs2!=0 10", "Zca", expands="add rs1=rd")
I("c.fsdsp",    "101 uimm[5:3|8:6] frs2 10", "Zcd", expands="fsd rs1=x2")
I("c.swsp",     "110 uimm[5:2|7:6] rs2 10", "Zca", expands="sw rs1=x2")
I("c.sdsp",     "111 uimm[5:3|8:6] rs2 10", "Zca", expands="sd rs1=x2")

# --- Zcb and Zcmop, chapters 27 and 8 ---------------------------------------------------------------------------------
I("c.lbu",      "100000 rs1' uimm[0|1] rd' 00", "Zcb", expands="lbu")
I("c.lhu",      "100001 rs1' 0 uimm[1] rd' 00", "Zcb", expands="lhu")
I("c.lh",       "100001 rs1' 1 uimm[1] rd' 00", "Zcb", expands="lh")
I("c.sb",       "100010 rs1' uimm[0|1] rs2' 00", "Zcb", expands="sb")
I("c.sh",       "100011 rs1' 0 uimm[1] rs2' 00", "Zcb", expands="sh")
I("c.zext.b",   "100111 rd' 11000 01", "Zcb", expands="andi rs1=rd imm=255")
I("c.sext.b",   "100111 rd' 11001 01", "Zcb Zbb", expands="sext.b rs1=rd")
I("c.zext.h",   "100111 rd' 11010 01", "Zcb Zbb", expands="zext.h rs1=rd")
I("c.sext.h",   "100111 rd' 11011 01", "Zcb Zbb", expands="sext.h rs1=rd")
I("c.zext.w",   "100111 rd' 11100 01", "Zcb Zba", expands="add.uw rs1=rd rs2=x0")
I("c.not",      "100111 rd' 11101 01", "Zcb", expands="xori rs1=rd imm=-1")
I("c.mul",      "100111 rd' 10 rs2' 01", "Zcb M", expands="mul rs1=rd")
for _n in range(1, 16, 2):
    I(f"c.mop.{_n}", f"01100{_n >> 1:03b}1 00000 01", "Zcmop", uop="nothing")
