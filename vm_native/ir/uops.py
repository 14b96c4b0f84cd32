"""The uop table: name, operands, one-line semantics. Opcodes, handlers and what engines know of uops follow from it.

Operands: `rd`, `rs1`, `rs2`, `rs3` are register slots of 64 bits, read as unsigned; `imm` is a sign-extended 32-bit
constant; `wide` is a 64-bit constant. `rs3` and `wide` stand in a second cell behind the uop.

Semantics, one of:
    rd = EXPRESSION                     over the operands, with functions of vm_native.arithmetic
    VIEW(rd) = EXPRESSION               the same for a register seen in another way, see below
    rd = loadN(rs1 + imm)               N bits; loadsN extends the sign, loadboxedN fills with ones
    storeN(rs1 + imm, rs2)
    rd = reserveN(rs1)                  load-reserved
    rd = conditionalN(rs1, rs2)         store-conditional: 0 on success, 1 on failure
    rd = atomicN OPERATION(rs1, rs2)    read-modify-write, gives the old value
    rd = exchangeN(rs1, rs2, rd)        compare-and-swap: stores rs2 if memory holds rd; gives the old value
    branch if CONDITION                 exit 0 of the block if true, exit 1 if not
    jump; rd = next                     exit 0; `rd` becomes the address behind the block (exit 1)
    jump (rs1 + imm); rd = next         indirect, bit 0 of the target cleared
    fall                                exit 1
    call                                the front end's helper number imm; the instruction word stands in a second cell
    call; exit                         the same, then back to the run loop at exit 1
    order                               what other harts see of stores before it is seen before loads behind it are done
    probe NAME                         a function of vm_native.probes.records, of the instruction that it stands before

Views of a register, read in an expression as VIEW(rs1) and written as VIEW(rd):
    single, double, half    a floating-point number. A narrow one that is not properly boxed reads as NaN. Written, a
                            number or integer is rounded to the format; a NaN becomes the default one; a narrow number
                            is boxed
    bits32, bits64, bits16  the bit pattern of such a number: read unboxed, written boxed, and not looked at
On numbers, == is IEEE 754's quiet comparison, < and <= are its signalling ones, and unary minus only turns the sign.
All raise the exceptions of IEEE 754, and what rounds does so as the host is told to, see arithmetic/floating.pxd.

A row may stand anywhere: opcodes follow the order of the table, and nothing depends on that order.

This file is data. It and semantics.py import nothing that must be compiled: generators use them.
"""

from typing import NamedTuple

from vm_native.ir.semantics import Assign, Branch, Call, Fall, Jump, JumpIndirect, Meaning, parse


class UopRow(NamedTuple):
    name: str
    operands: tuple[str, ...]
    semantics: str

    @property
    def meaning(self) -> Meaning:
        return parse(self.semantics)

    @property
    def cells(self) -> int:
        """How many cells of a block the uop takes."""
        return 2 if "rs3" in self.operands or "wide" in self.operands or isinstance(self.meaning, Call) else 1

    @property
    def constant(self) -> str:
        """The opcode as sources name it: UOP_ADDI."""
        return "UOP_" + self.name.upper().replace(".", "_")

    @property
    def only_writes_rd(self) -> bool:
        """Whether it does nothing else (but raise floating-point flags, if it computes with such numbers)."""
        return isinstance(self.meaning, Assign)

    @property
    def is_branch(self) -> bool:
        """Whether it ends a block in one of two ways, on a condition."""
        return isinstance(self.meaning, Branch)

    @property
    def ends_block(self) -> bool:
        """Whether what follows is another block, not the next uop."""
        return isinstance(self.meaning, Branch | Jump | JumpIndirect | Fall) or self.meaning == Call(exits=True)


UOPS: list[UopRow] = []


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

# Everything rare
U("call",       "rd rs1 rs2 imm", "call")
U("call.exit", "rd rs1 rs2 imm", "call; exit")

# Where harts have threads
U("order",      "",              "order")

# What is written down for recorders, see vm_native/probes/instrument.pyx
U("probe.block",  "",            "probe block")
U("probe.end",    "",            "probe end")
U("probe.exit",   "",            "probe exit")
U("probe.step",   "imm",         "probe step")
U("probe.access", "rs1 rs2 imm wide", "probe access")
U("probe.loaded", "",            "probe loaded")

# Floating point
# Halves are computed as singles, and their fused products as doubles: that has so many digits that rounding it again
# gives what rounding once would (2p + 2 for + - * / and the square root; all that count of a product and a sum).
for _s, _number, _bits, _sign in (("s", "single", "bits32", "0x80000000ULL"),
                                  ("d", "double", "bits64", "0x8000000000000000ULL"),
                                  ("h", "half", "bits16", "0x8000ULL")):
    _a, _b = (f"{_number}({_operand})" for _operand in ("rs1", "rs2"))
    _fused = ("<double>" if _s == "h" else "") + _number
    _bits_a, _bits_b = (f"{_bits}({_operand})" for _operand in ("rs1", "rs2"))
    U(f"fadd.{_s}",   "rd rs1 rs2",     f"{_number}(rd) = {_a} + {_b}")
    U(f"fsub.{_s}",   "rd rs1 rs2",     f"{_number}(rd) = {_a} - {_b}")
    U(f"fmul.{_s}",   "rd rs1 rs2",     f"{_number}(rd) = {_a} * {_b}")
    U(f"fdiv.{_s}",   "rd rs1 rs2",     f"{_number}(rd) = {_a} / {_b}")
    U(f"fmin.{_s}",   "rd rs1 rs2",     f"{_number}(rd) = minimum({_a}, {_b})")
    U(f"fmax.{_s}",   "rd rs1 rs2",     f"{_number}(rd) = maximum({_a}, {_b})")
    U(f"fsgnj.{_s}",  "rd rs1 rs2",     f"{_bits}(rd) = {_bits_a} & ~{_sign} | {_bits_b} & {_sign}")
    U(f"fsgnjn.{_s}", "rd rs1 rs2",     f"{_bits}(rd) = {_bits_a} & ~{_sign} | ~{_bits_b} & {_sign}")
    U(f"fsgnjx.{_s}", "rd rs1 rs2",     f"{_bits}(rd) = {_bits_a} ^ {_bits_b} & {_sign}")
    U(f"feq.{_s}",    "rd rs1 rs2",     f"rd = {_a} == {_b}")
    U(f"flt.{_s}",    "rd rs1 rs2",     f"rd = {_a} < {_b}")
    U(f"fle.{_s}",    "rd rs1 rs2",     f"rd = {_a} <= {_b}")
    U(f"fmadd.{_s}",  "rd rs1 rs2 rs3", f"{_number}(rd) = fma({_fused}(rs1), {_fused}(rs2), {_fused}(rs3))")
    U(f"fmsub.{_s}",  "rd rs1 rs2 rs3", f"{_number}(rd) = fma({_fused}(rs1), {_fused}(rs2), -{_fused}(rs3))")
    U(f"fnmsub.{_s}", "rd rs1 rs2 rs3", f"{_number}(rd) = fma(-{_fused}(rs1), {_fused}(rs2), {_fused}(rs3))")
    U(f"fnmadd.{_s}", "rd rs1 rs2 rs3", f"{_number}(rd) = fma(-{_fused}(rs1), {_fused}(rs2), -{_fused}(rs3))")
    U(f"fsqrt.{_s}",  "rd rs1",         f"{_number}(rd) = square_root({_a})")
    U(f"fminm.{_s}",  "rd rs1 rs2",     f"{_number}(rd) = minimum_or_nan({_a}, {_b})")
    U(f"fmaxm.{_s}",  "rd rs1 rs2",     f"{_number}(rd) = maximum_or_nan({_a}, {_b})")
    U(f"fltq.{_s}",   "rd rs1 rs2",     f"rd = isless({_a}, {_b})")
    U(f"fleq.{_s}",   "rd rs1 rs2",     f"rd = islessequal({_a}, {_b})")
    U(f"fround.{_s}", "rd rs1",         f"{_number}(rd) = integral({_a})")
    U(f"froundnx.{_s}", "rd rs1",       f"{_number}(rd) = integral_exact({_a})")
    U(f"fclass.{_s}", "rd rs1",         f"rd = <uint64_t>1 << class_of_{_bits}({_bits_a})")
    for _suffix, _rounded in (("", "rounded"), (".rtz", "truncated")):
        U(f"fcvt.w.{_s}{_suffix}",  "rd rs1", f"rd = {_rounded}_int32({_a})")
        U(f"fcvt.wu.{_s}{_suffix}", "rd rs1", f"rd = sext32({_rounded}_uint32({_a}))")
        U(f"fcvt.l.{_s}{_suffix}",  "rd rs1", f"rd = {_rounded}_int64({_a})")
        U(f"fcvt.lu.{_s}{_suffix}", "rd rs1", f"rd = {_rounded}_uint64({_a})")
    U(f"fcvt.{_s}.w",  "rd rs1", f"{_number}(rd) = <int32_t>rs1")
    U(f"fcvt.{_s}.wu", "rd rs1", f"{_number}(rd) = <uint32_t>rs1")
    U(f"fcvt.{_s}.l",  "rd rs1", f"{_number}(rd) = <int64_t>rs1")
    U(f"fcvt.{_s}.lu", "rd rs1", f"{_number}(rd) = <uint64_t>rs1")
U("fcvt.s.d", "rd rs1", "single(rd) = double(rs1)")
U("fcvt.d.s", "rd rs1", "double(rd) = single(rs1)")
U("fcvt.s.h", "rd rs1", "single(rd) = half(rs1)")
U("fcvt.d.h", "rd rs1", "double(rd) = half(rs1)")
U("fcvt.h.s", "rd rs1", "half(rd) = single(rs1)")
U("fcvt.h.d", "rd rs1", "half(rd) = double(rs1)")
U("fcvtmod.w.d", "rd rs1", "rd = modular_int32(double(rs1))")
U("fmv.x.w",  "rd rs1", "rd = <int32_t>rs1")
U("fmv.w.x",  "rd rs1", "bits32(rd) = rs1")
U("fmv.x.h",  "rd rs1", "rd = <int16_t>rs1")
U("fmv.h.x",  "rd rs1", "bits16(rd) = rs1")
