"""What is computed of elements: one row per operation, from which its function in C is made (generate.py).

E(name, kinds, expression): `a` is the element of the first vector (vs2), `b` that of the second, or the scalar or
immediate, `d` what the destination held. `kinds` says of the result, a and b how wide operands become 64 bits: `u`
zeroes, `s` the sign, `f` the bits of a floating-point number, `-` is not there. Of the result only the low bits count,
as many as its elements have.

`e` is the Element of element.pxd: `e.bits` is the selected element width, `e.number` the floating-point format of that
width and `e.wide` the one of twice that; `e.carry` is the bit of the mask where that is an operand. Functions are those
of element.pxd, elements.pyx and integer.pxd.

Floating point has a second expression for the host's FPU, where it has both formats and rounds as is asked; flags are
left in its status word (no isless(): gcc 12 makes loops of it that are not quiet). There `a`, `b` and `d` are numbers,
all as wide as the result, but for conversions; functions are those of floating.pxd, and `fused`.

This file is data. It imports nothing: generators use it before anything is compiled.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Operation(NamedTuple):
    name: str
    kinds: str
    expression: str
    host: str

    @property
    def is_truth(self) -> bool:
        """Whether the result is a bit of a mask."""
        return self.name in TRUTHS

    @property
    def reads_destination(self) -> bool:
        return re.search(r"\bd\b", self.expression) is not None

    def is_float(self, operand: str) -> bool:
        """Whether `d`, `a` or `b` is a floating-point number."""
        return self.kinds["dab".index(operand)] == "f"


OPERATIONS: list[Operation] = []
NUMBERS: dict[str, int] = {}


def E(name: str, kinds: str, expression: str, host: str = "") -> None:
    NUMBERS[name] = len(OPERATIONS)
    OPERATIONS.append(Operation(name, kinds, expression, host))


# What there are loops for, besides elements that are all as wide (loops/kernels.pxd)
TRUTHS = frozenset("madc msbc seq sne sltu slt sleu sle sgtu sgt feq fne flt fle fgt fge".split())
WIDENING = frozenset("add sub adds subs mul muls mulsu macc maccs maccsu maccus wsll".split())
NARROWING = frozenset(
    "nsrl nsra nclipu nclip fncvt.f.f fncvt.f.xu fncvt.f.x fncvt.xu.f fncvt.x.f fncvt.rtz.xu.f fncvt.rtz.x.f".split())
REDUCING = frozenset("add and or xor minu min maxu max fadd fmin fmax".split())
SUMS = frozenset("add adds fwsum".split())
# Of reductions: what leaves the other operand as it is; the sizes of the last two take a sign bit
IDENTITIES = {"and": "ONES", "minu": "ONES", "min": "LARGEST", "max": "LEAST"}


# Integers
E("add",    "uuu", "a + b")
E("sub",    "uuu", "a - b")
E("rsub",   "uuu", "b - a")
E("adds",   "uss", "a + b")             # of wider elements than a and b are
E("subs",   "uss", "a - b")
E("and",    "uuu", "a & b")
E("or",     "uuu", "a | b")
E("xor",    "uuu", "a ^ b")
E("andn",   "uuu", "a & ~b")
E("minu",   "uuu", "a if a < b else b")
E("maxu",   "uuu", "b if a < b else a")
E("min",    "uss", "a if signed64(a) < signed64(b) else b")
E("max",    "uss", "b if signed64(a) < signed64(b) else a")
E("second", "uuu", "b")                 # moves
E("zext",   "uu-", "a")
E("sext",   "us-", "a")
E("merge",  "uuu", "b if e.carry else a")

E("sll",    "uuu", "a << (b & <uint64_t>(e.bits - 1))")
E("srl",    "uuu", "a >> (b & <uint64_t>(e.bits - 1))")
E("sra",    "usu", "<uint64_t>(signed64(a) >> (b & <uint64_t>(e.bits - 1)))")
E("wsll",   "uuu", "a << (b & <uint64_t>(2 * e.bits - 1))")
E("nsrl",   "uuu", "a >> (b & <uint64_t>(2 * e.bits - 1))")
E("nsra",   "usu", "<uint64_t>(signed64(a) >> (b & <uint64_t>(2 * e.bits - 1)))")

E("adc",    "uuu", "a + b + e.carry")
E("sbc",    "uuu", "a - b - e.carry")
E("madc",   "uuu", "carries(e, a, b)")
E("msbc",   "uuu", "a < b or a == b and e.carry != 0")
E("seq",    "uuu", "a == b")
E("sne",    "uuu", "a != b")
E("sltu",   "uuu", "a < b")
E("slt",    "uss", "signed64(a) < signed64(b)")
E("sleu",   "uuu", "a <= b")
E("sle",    "uss", "signed64(a) <= signed64(b)")
E("sgtu",   "uuu", "a > b")
E("sgt",    "uss", "signed64(a) > signed64(b)")

E("mul",    "uuu", "a * b")
E("muls",   "uss", "a * b")
E("mulsu",  "usu", "a * b")
E("mulh",   "uss", "high_signed(a, b) if e.bits == 64 else a * b >> e.bits")
E("mulhu",  "uuu", "high_unsigned(a, b) if e.bits == 64 else a * b >> e.bits")
E("mulhsu", "usu", "high_signed_unsigned(a, b) if e.bits == 64 else a * b >> e.bits")
E("macc",   "uuu", "d + a * b")
E("maccs",  "uss", "d + a * b")
E("maccsu", "uus", "d + a * b")         # b, of vs1 or rs1, is the signed one
E("maccus", "usu", "d + a * b")
E("nmsac",  "uuu", "d - a * b")
E("madd",   "uuu", "a + d * b")
E("nmsub",  "uuu", "a - d * b")
E("divu",   "uuu", "divide_unsigned64(a, b)")
E("div",    "uss", "divide64(a, b)")
E("remu",   "uuu", "remainder_unsigned64(a, b)")
E("rem",    "uss", "remainder64(a, b)")

# Fixed point
E("saddu",  "uuu", "saturated_unsigned(e, <int128>a + <int128>b)")
E("sadd",   "uss", "saturated(e, <int128>signed64(a) + <int128>signed64(b))")
E("ssubu",  "uuu", "saturated_unsigned(e, <int128>a - <int128>b)")
E("ssub",   "uss", "saturated(e, <int128>signed64(a) - <int128>signed64(b))")
E("aaddu",  "uuu", "<uint64_t>shifted(e, <int128>a + <int128>b, 1)")
E("aadd",   "uss", "<uint64_t>shifted(e, <int128>signed64(a) + <int128>signed64(b), 1)")
E("asubu",  "uuu", "<uint64_t>shifted(e, <int128>a - <int128>b, 1)")
E("asub",   "uss", "<uint64_t>shifted(e, <int128>signed64(a) - <int128>signed64(b), 1)")
E("smul",   "uss", "saturated(e, shifted(e, <int128>signed64(a) * <int128>signed64(b), e.bits - 1))")
E("ssrl",   "uuu", "<uint64_t>shifted(e, <int128>a, <int>(b & <uint64_t>(e.bits - 1)))")
E("ssra",   "usu", "<uint64_t>shifted(e, <int128>signed64(a), <int>(b & <uint64_t>(e.bits - 1)))")
E("nclipu", "uuu", "saturated_unsigned(e, shifted(e, <int128>a, <int>(b & <uint64_t>(2 * e.bits - 1))))")
E("nclip",  "usu", "saturated(e, shifted(e, <int128>signed64(a), <int>(b & <uint64_t>(2 * e.bits - 1))))")

# Zvbb and Zvbc
E("brev8",  "uu-", "reversed_bits_in_bytes(a)")
E("rev8",   "uu-", "reversed_bytes(a) >> (64 - e.bits)")
E("brev",   "uu-", "reversed_bits_in_bytes(reversed_bytes(a)) >> (64 - e.bits)")
E("clz",    "uu-", "leading_zeros64(a) - (64 - e.bits)")
E("ctz",    "uu-", "trailing_zeros(a) if a else e.bits")
E("cpop",   "uu-", "population64(a)")
E("rol",    "uuu", "rotated_left(e, a, b)")
E("ror",    "uuu", "rotated_left(e, a, 0 - b)")
E("clmul",  "uuu", "carryless_low(a, b)")
E("clmulh", "uuu", "carryless_high(a, b)")

# Floating point
E("fadd",    "fff", "fadd(e, e.number, a, b)", "a + b")
E("fsub",    "fff", "fadd(e, e.number, a, negated(e.number, b))", "a - b")
E("frsub",   "fff", "fadd(e, e.number, b, negated(e.number, a))", "b - a")
E("fmul",    "fff", "fmul(e, e.number, a, b)", "a * b")
E("fdiv",    "fff", "fdiv(e, e.number, a, b)", "a / b")
E("frdiv",   "fff", "fdiv(e, e.number, b, a)", "b / a")
E("fsqrt",   "ff-", "softfloat.square_root(e.number, a, e.rounding, &e.flags)", "square_root(a)")
E("frsqrt7", "ff-", "reciprocal_square_root(e.number, a, &e.flags)")
E("frec7",   "ff-", "reciprocal(e.number, a, e.rounding, &e.flags)")
E("fclass",  "uf-", "1ULL << softfloat.class_of(e.number, a)")
E("fmin",    "fff", "extreme(e, a, b, False)", "minimum(a, b)")
E("fmax",    "fff", "extreme(e, a, b, True)", "maximum(a, b)")
E("fsgnj",   "fff", "a & ~sign_bit(e.number) | b & sign_bit(e.number)")
E("fsgnjn",  "fff", "a & ~sign_bit(e.number) | ~b & sign_bit(e.number)")
E("fsgnjx",  "fff", "a ^ b & sign_bit(e.number)")
E("fsecond", "fff", "b")
E("fmerge",  "fff", "b if e.carry else a")
E("feq",     "uff", "softfloat.equal(e.number, a, b, True, &e.flags)", "a == b")
E("fne",     "uff", "not softfloat.equal(e.number, a, b, True, &e.flags)", "a != b")
E("flt",     "uff", "softfloat.less(e.number, a, b, False, &e.flags)", "a < b")
E("fle",     "uff", "fle(e, a, b)", "a <= b")
E("fgt",     "uff", "softfloat.less(e.number, b, a, False, &e.flags)", "a > b")
E("fge",     "uff", "fle(e, b, a)", "a >= b")
# The last two say whether the product and the addend change their signs
for _name, _product, _addend in (("macc", 0, 0), ("nmacc", 1, 1), ("msac", 0, 1), ("nmsac", 1, 0)):
    _host = f"fused({'-' * _product}a, b, {'-' * _addend}d)"
    E(f"f{_name}",  "fff", f"fma(e, e.number, a, b, d, {_product}, {_addend})", _host)
    E(f"fw{_name}", "fff", f"fma(e, e.wide, widened(e, a), widened(e, b), d, {_product}, {_addend})", _host)
for _name, _product, _addend in (("madd", 0, 0), ("nmadd", 1, 1), ("msub", 0, 1), ("nmsub", 1, 0)):
    E(f"f{_name}",  "fff", f"fma(e, e.number, d, b, a, {_product}, {_addend})",
      f"fused({'-' * _product}d, b, {'-' * _addend}a)")
E("fwadd",   "fff", "fadd(e, e.wide, widened(e, a), widened(e, b))", "a + b")
E("fwsub",   "fff", "fadd(e, e.wide, widened(e, a), negated(e.wide, widened(e, b)))", "a - b")
E("fwmul",   "fff", "fmul(e, e.wide, widened(e, a), widened(e, b))", "a * b")
E("fwadd.w", "fff", "fadd(e, e.wide, a, widened(e, b))", "a + b")
E("fwsub.w", "fff", "fadd(e, e.wide, a, negated(e.wide, widened(e, b)))", "a - b")
E("fwsum",   "fff", "fadd(e, e.wide, widened(e, a), b)", "a + b")     # of reductions: b is the sum so far

# Conversions: the format of numbers, the width of integers, and the rounding
for _suffix, _signed in (("xu", "False"), ("x", "True")):
    for _rtz, _rounding in (("", "e.rounding"), (".rtz", "RTZ")):
        for _shape, _format, _width in (("", "number", "e.bits"), ("w", "number", "2 * e.bits"),
                                        ("n", "wide", "e.bits")):
            E(f"f{_shape}cvt{_rtz}.{_suffix}.f", "uf-",
              f"softfloat.to_integer(e.{_format}, a, {_signed}, {_width}, {_rounding}, &e.flags)",
              f"{'truncated' if _rtz else 'rounded'}_{'' if _suffix == 'x' else 'u'}int{{bits}}(a)")
for _suffix, _kind, _from in (("xu", "u", "from_unsigned"), ("x", "s", "from_signed")):
    for _shape, _format in (("", "number"), ("w", "wide"), ("n", "number")):
        E(f"f{_shape}cvt.f.{_suffix}", f"f{_kind}-", f"{_from}(e, e.{_format}, a)", "a")
E("fwcvt.f.f",     "ff-", "widened(e, a)", "a")
E("fncvt.f.f",     "ff-", "softfloat.convert(e.wide, e.number, a, e.rounding, &e.flags)", "a")
E("fncvt.rod.f.f", "ff-", "narrowed_to_odd(e, a)")
