"""The uop table: name, operands, one-line semantics. Opcodes, handlers, and later compiled code are made from it.

Operands: `rd`, `rs1`, `rs2`, `rs3` are register slots of 64 bits, read as unsigned; `imm` is a sign-extended 32-bit
constant; `wide` is a 64-bit constant. `rs3` and `wide` stand in a second slot behind the uop.

Semantics, one of:
    rd = EXPRESSION                     over the operands, with functions of vm_native.arithmetic
    rd = loadN(rs1 + imm)               N bits; loadsN extends the sign, loadboxedN fills with ones
    storeN(rs1 + imm, rs2)
    rd = reserveN(rs1)                  load-reserved
    rd = conditionalN(rs1, rs2)         store-conditional: 0 on success, 1 on failure
    rd = atomicN OPERATION(rs1, rs2)    read-modify-write, gives the old value
    rd = exchangeN(rs1, rs2, rd)        compare-and-swap: stores rs2 if memory holds rd; gives the old value
    branch if CONDITION                 way 0 of the block if true, way 1 if not
    jump; rd = next                     way 0; `rd` becomes the address behind the block (way 1)
    jump (rs1 + imm); rd = next         indirect, bit 0 of the target cleared
    fall                                way 1
    nothing                             takes a step, needs no handler
    call                                the front end's helper number imm; the instruction word stands in a second slot
    call; leave                         the same, then back to the run loop at way 1

This file is data: it imports nothing, and generators run it by path.
"""

from typing import NamedTuple


class UopRow(NamedTuple):
    name: str
    operands: tuple[str, ...]
    semantics: str

    @property
    def slots(self) -> int:
        """How many slots of a block the uop takes."""
        return 2 if "rs3" in self.operands or "wide" in self.operands or self.semantics.startswith("call") else 1

    @property
    def is_branch(self) -> bool:
        """Whether it ends a block in one of two ways, on a condition."""
        return self.semantics.startswith("branch")


UOPS: list[UopRow] = []


def constant(row: UopRow) -> str:
    """The opcode as sources name it: UOP_ADDI."""
    return "UOP_" + row.name.upper().replace(".", "_")


def U(name: str, operands: str, semantics: str) -> None:
    UOPS.append(UopRow(name, tuple(operands.split()), semantics))


# Constants and moves
U("li",     "rd imm",      "rd = imm")
U("wide",   "rd wide",     "rd = wide")
U("mv",     "rd rs1",      "rd = rs1")

# Integer, register and register
U("add",    "rd rs1 rs2",  "rd = rs1 + rs2")
U("sub",    "rd rs1 rs2",  "rd = rs1 - rs2")
U("sll",    "rd rs1 rs2",  "rd = rs1 << (rs2 & 63)")
U("slt",    "rd rs1 rs2",  "rd = signed64(rs1) < signed64(rs2)")
U("sltu",   "rd rs1 rs2",  "rd = rs1 < rs2")
U("xor",    "rd rs1 rs2",  "rd = rs1 ^ rs2")
U("srl",    "rd rs1 rs2",  "rd = rs1 >> (rs2 & 63)")
U("sra",    "rd rs1 rs2",  "rd = signed64(rs1) >> (rs2 & 63)")
U("or",     "rd rs1 rs2",  "rd = rs1 | rs2")
U("and",    "rd rs1 rs2",  "rd = rs1 & rs2")
U("addw",   "rd rs1 rs2",  "rd = sext32(rs1 + rs2)")
U("subw",   "rd rs1 rs2",  "rd = sext32(rs1 - rs2)")
U("sllw",   "rd rs1 rs2",  "rd = sext32(rs1 << (rs2 & 31))")
U("srlw",   "rd rs1 rs2",  "rd = sext32(low32(rs1) >> (rs2 & 31))")
U("sraw",   "rd rs1 rs2",  "rd = signed64(sext32(rs1)) >> (rs2 & 31)")

# Integer, register and constant
U("addi",   "rd rs1 imm",  "rd = rs1 + imm")
U("slti",   "rd rs1 imm",  "rd = signed64(rs1) < signed64(imm)")
U("sltiu",  "rd rs1 imm",  "rd = rs1 < imm")
U("xori",   "rd rs1 imm",  "rd = rs1 ^ imm")
U("ori",    "rd rs1 imm",  "rd = rs1 | imm")
U("andi",   "rd rs1 imm",  "rd = rs1 & imm")
U("slli",   "rd rs1 imm",  "rd = rs1 << imm")
U("srli",   "rd rs1 imm",  "rd = rs1 >> imm")
U("srai",   "rd rs1 imm",  "rd = signed64(rs1) >> imm")
U("addiw",  "rd rs1 imm",  "rd = sext32(rs1 + imm)")
U("slliw",  "rd rs1 imm",  "rd = sext32(rs1 << imm)")
U("srliw",  "rd rs1 imm",  "rd = sext32(low32(rs1) >> imm)")
U("sraiw",  "rd rs1 imm",  "rd = signed64(sext32(rs1)) >> imm")

# Multiplication and division
U("mul",    "rd rs1 rs2",  "rd = rs1 * rs2")
U("mulh",   "rd rs1 rs2",  "rd = high_signed(rs1, rs2)")
U("mulhsu", "rd rs1 rs2",  "rd = high_signed_unsigned(rs1, rs2)")
U("mulhu",  "rd rs1 rs2",  "rd = high_unsigned(rs1, rs2)")
U("div",    "rd rs1 rs2",  "rd = divide64(rs1, rs2)")
U("divu",   "rd rs1 rs2",  "rd = divide_unsigned64(rs1, rs2)")
U("rem",    "rd rs1 rs2",  "rd = remainder64(rs1, rs2)")
U("remu",   "rd rs1 rs2",  "rd = remainder_unsigned64(rs1, rs2)")
U("mulw",   "rd rs1 rs2",  "rd = sext32(rs1 * rs2)")
U("divw",   "rd rs1 rs2",  "rd = divide32(rs1, rs2)")
U("divuw",  "rd rs1 rs2",  "rd = divide_unsigned32(rs1, rs2)")
U("remw",   "rd rs1 rs2",  "rd = remainder32(rs1, rs2)")
U("remuw",  "rd rs1 rs2",  "rd = remainder_unsigned32(rs1, rs2)")

# Zicond, Zba, Zbb, Zbkb, Zbc, Zbkx, Zbs
U("czero.eqz", "rd rs1 rs2", "rd = rs1 if rs2 else 0")
U("czero.nez", "rd rs1 rs2", "rd = 0 if rs2 else rs1")
U("add.uw",    "rd rs1 rs2", "rd = low32(rs1) + rs2")
for _shift in (1, 2, 3):
    U(f"sh{_shift}add",    "rd rs1 rs2", f"rd = (rs1 << {_shift}) + rs2")
    U(f"sh{_shift}add.uw", "rd rs1 rs2", f"rd = (low32(rs1) << {_shift}) + rs2")
U("slli.uw",   "rd rs1 imm", "rd = low32(rs1) << imm")
U("andn",      "rd rs1 rs2", "rd = rs1 & ~rs2")
U("orn",       "rd rs1 rs2", "rd = rs1 | ~rs2")
U("xnor",      "rd rs1 rs2", "rd = ~(rs1 ^ rs2)")
U("clz",       "rd rs1",     "rd = leading_zeros64(rs1)")
U("ctz",       "rd rs1",     "rd = trailing_zeros64(rs1)")
U("cpop",      "rd rs1",     "rd = population64(rs1)")
U("clzw",      "rd rs1",     "rd = leading_zeros64(low32(rs1)) - 32")
U("ctzw",      "rd rs1",     "rd = trailing_zeros64(rs1 | <uint64_t>1 << 32)")
U("cpopw",     "rd rs1",     "rd = population64(low32(rs1))")
U("sext.b",    "rd rs1",     "rd = <int8_t>rs1")
U("sext.h",    "rd rs1",     "rd = <int16_t>rs1")
U("zext.h",    "rd rs1",     "rd = <uint16_t>rs1")
U("min",       "rd rs1 rs2", "rd = rs1 if signed64(rs1) < signed64(rs2) else rs2")
U("minu",      "rd rs1 rs2", "rd = rs1 if rs1 < rs2 else rs2")
U("max",       "rd rs1 rs2", "rd = rs2 if signed64(rs1) < signed64(rs2) else rs1")
U("maxu",      "rd rs1 rs2", "rd = rs2 if rs1 < rs2 else rs1")
U("rol",       "rd rs1 rs2", "rd = rotate_left64(rs1, rs2)")
U("ror",       "rd rs1 rs2", "rd = rotate_right64(rs1, rs2)")
U("rolw",      "rd rs1 rs2", "rd = sext32(rotate_left32(rs1, rs2))")
U("rorw",      "rd rs1 rs2", "rd = sext32(rotate_right32(rs1, rs2))")
U("rori",      "rd rs1 imm", "rd = rotate_right64(rs1, imm)")
U("roriw",     "rd rs1 imm", "rd = sext32(rotate_right32(rs1, imm))")
U("orc.b",     "rd rs1",     "rd = filled_bytes(rs1)")
U("rev8",      "rd rs1",     "rd = reversed_bytes(rs1)")
U("brev8",     "rd rs1",     "rd = reversed_bits_in_bytes(rs1)")
U("pack",      "rd rs1 rs2", "rd = low32(rs1) | rs2 << 32")
U("packh",     "rd rs1 rs2", "rd = <uint8_t>rs1 | <uint64_t><uint8_t>rs2 << 8")
U("packw",     "rd rs1 rs2", "rd = sext32(<uint16_t>rs1 | rs2 << 16)")
U("clmul",     "rd rs1 rs2", "rd = carryless_low(rs1, rs2)")
U("clmulh",    "rd rs1 rs2", "rd = carryless_high(rs1, rs2)")
U("clmulr",    "rd rs1 rs2", "rd = carryless_high(rs1, rs2) << 1 | carryless_low(rs1, rs2) >> 63")
U("xperm4",    "rd rs1 rs2", "rd = permuted_nibbles(rs1, rs2)")
U("xperm8",    "rd rs1 rs2", "rd = permuted_bytes(rs1, rs2)")
for _suffix, _operand, _index in (("", "rs2", "(rs2 & 63)"), ("i", "imm", "imm")):
    U(f"bclr{_suffix}", f"rd rs1 {_operand}", f"rd = rs1 & ~(<uint64_t>1 << {_index})")
    U(f"bext{_suffix}", f"rd rs1 {_operand}", f"rd = rs1 >> {_index} & 1")
    U(f"binv{_suffix}", f"rd rs1 {_operand}", f"rd = rs1 ^ <uint64_t>1 << {_index}")
    U(f"bset{_suffix}", f"rd rs1 {_operand}", f"rd = rs1 | <uint64_t>1 << {_index}")

# Scalar cryptography
for _name in ("aes64es", "aes64esm", "aes64ds", "aes64dsm", "aes64ks2"):
    U(_name, "rd rs1 rs2", f"rd = {_name}(rs1, rs2)")
for _name in ("aes64im", "sha256sig0", "sha256sig1", "sha256sum0", "sha256sum1", "sha512sig0", "sha512sig1",
              "sha512sum0", "sha512sum1", "sm3p0", "sm3p1"):
    U(_name, "rd rs1", f"rd = {_name}(rs1)")
U("aes64ks1i", "rd rs1 imm", "rd = aes64ks1i(rs1, imm)")
U("sm4ed",     "rd rs1 rs2 imm", "rd = sm4ed(rs1, rs2, imm)")
U("sm4ks",     "rd rs1 rs2 imm", "rd = sm4ks(rs1, rs2, imm)")

# Memory
U("lb",     "rd rs1 imm",  "rd = loads8(rs1 + imm)")
U("lh",     "rd rs1 imm",  "rd = loads16(rs1 + imm)")
U("lw",     "rd rs1 imm",  "rd = loads32(rs1 + imm)")
U("ld",     "rd rs1 imm",  "rd = load64(rs1 + imm)")
U("lbu",    "rd rs1 imm",  "rd = load8(rs1 + imm)")
U("lhu",    "rd rs1 imm",  "rd = load16(rs1 + imm)")
U("lwu",    "rd rs1 imm",  "rd = load32(rs1 + imm)")
U("flw",    "rd rs1 imm",  "rd = loadboxed32(rs1 + imm)")
U("flh",    "rd rs1 imm",  "rd = loadboxed16(rs1 + imm)")
U("sb",     "rs1 rs2 imm", "store8(rs1 + imm, rs2)")
U("sh",     "rs1 rs2 imm", "store16(rs1 + imm, rs2)")
U("sw",     "rs1 rs2 imm", "store32(rs1 + imm, rs2)")
U("sd",     "rs1 rs2 imm", "store64(rs1 + imm, rs2)")

# Atomics
U("lr.w",   "rd rs1",      "rd = reserve32(rs1)")
U("lr.d",   "rd rs1",      "rd = reserve64(rs1)")
U("sc.w",   "rd rs1 rs2",  "rd = conditional32(rs1, rs2)")
U("sc.d",   "rd rs1 rs2",  "rd = conditional64(rs1, rs2)")
for _suffix, _bits in (("b", 8), ("h", 16), ("w", 32), ("d", 64)):
    for _operation in ("swap", "add", "xor", "and", "or", "min", "max", "minu", "maxu"):
        U(f"amo{_operation}.{_suffix}", "rd rs1 rs2", f"rd = atomic{_bits} {_operation}(rs1, rs2)")
    U(f"amocas.{_suffix}", "rd rs1 rs2", f"rd = exchange{_bits}(rs1, rs2, rd)")

# Ends of blocks
U("beq",    "rs1 rs2",     "branch if rs1 == rs2")
U("bne",    "rs1 rs2",     "branch if rs1 != rs2")
U("blt",    "rs1 rs2",     "branch if signed64(rs1) < signed64(rs2)")
U("bge",    "rs1 rs2",     "branch if signed64(rs1) >= signed64(rs2)")
U("bltu",   "rs1 rs2",     "branch if rs1 < rs2")
U("bgeu",   "rs1 rs2",     "branch if rs1 >= rs2")
U("jal",    "rd",          "jump; rd = next")
U("jalr",   "rd rs1 imm",  "jump (rs1 + imm); rd = next")
U("fall",   "",            "fall")
U("nothing", "",           "nothing")

# Everything rare
U("call",       "rd rs1 rs2 imm", "call")
U("call.leave", "rd rs1 rs2 imm", "call; leave")

# Floating point, round to nearest even, NaN-boxed singles
for _format in ("s", "d"):
    for _operation in ("add", "sub", "mul", "div", "min", "max", "sgnj", "sgnjn", "sgnjx", "eq", "lt", "le"):
        U(f"f{_operation}.{_format}", "rd rs1 rs2", f"rd = f{_operation}_{_format}(rs1, rs2)")
    for _operation in ("madd", "msub", "nmsub", "nmadd"):
        U(f"f{_operation}.{_format}", "rd rs1 rs2 rs3", f"rd = f{_operation}_{_format}(rs1, rs2, rs3)")
    for _operation in ("sqrt", "class"):
        U(f"f{_operation}.{_format}", "rd rs1", f"rd = f{_operation}_{_format}(rs1)")
    for _integer in ("w", "wu", "l", "lu"):
        U(f"fcvt.{_integer}.{_format}", "rd rs1", f"rd = fcvt_{_integer}_{_format}(rs1)")
        U(f"fcvt.{_integer}.{_format}.rtz", "rd rs1", f"rd = fcvt_{_integer}_{_format}_rtz(rs1)")
        U(f"fcvt.{_format}.{_integer}", "rd rs1", f"rd = fcvt_{_format}_{_integer}(rs1)")
U("fcvt.s.d", "rd rs1", "rd = fcvt_s_d(rs1)")
U("fcvt.d.s", "rd rs1", "rd = fcvt_d_s(rs1)")
U("fmv.x.w",  "rd rs1", "rd = fmv_x_w(rs1)")
U("fmv.w.x",  "rd rs1", "rd = fmv_w_x(rs1)")
U("fcvt.s.h", "rd rs1", "rd = fcvt_s_h(rs1)")
U("fmv.x.h",  "rd rs1", "rd = fmv_x_h(rs1)")
U("fmv.h.x",  "rd rs1", "rd = fmv_h_x(rs1)")
