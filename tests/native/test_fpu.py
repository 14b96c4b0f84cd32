"""vm_native.riscv.fpu against exact rational arithmetic, and against NumPy.

Rules from IEEE 754-2019 and the RISC-V unprivileged manual, chapters "F" and "D". The oracle computes with
fractions.Fraction and rounds with `round_to`, written from the standard and sharing nothing with the code under test.
Every operation runs in all five rounding modes on the exact path, and to nearest on the host's FPU.
"""

import ctypes
import itertools
import platform
import random
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import isqrt

import numpy as np
import pytest

from vm_native.riscv import fpu

NX, UF, OF, DZ, NV = 1, 2, 4, 8, 16
RNE, RTZ, RDN, RUP, RMM = MODES = range(5)
MODE_NAMES = ("rne", "rtz", "rdn", "rup", "rmm")
INFINITY, NAN = "infinity", "nan"


@cache
def power(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


@dataclass(frozen=True)
class Format:
    precision: int
    width: int

    @property
    def emax(self) -> int:
        return (1 << (self.width - self.precision - 1)) - 1

    @property
    def emin(self) -> int:
        return 1 - self.emax

    @property
    def sign(self) -> int:
        return 1 << (self.width - 1)

    @property
    def infinity(self) -> int:
        return self.sign - (1 << (self.precision - 1))

    @property
    def nan(self) -> int:
        return self.infinity | 1 << (self.precision - 2)

    def box(self, bits: int) -> int:
        return bits | (1 << 64) - (1 << self.width)

    def value(self, bits: int) -> Fraction | str:
        """The magnitude and sign as a number, INFINITY (of either sign) or NAN."""
        exponent, fraction = divmod(bits & (self.sign - 1), 1 << (self.precision - 1))
        if bits & (self.sign - 1) >= self.infinity:
            return NAN if fraction else INFINITY
        if exponent:
            fraction |= 1 << (self.precision - 1)
        magnitude = fraction * power(max(exponent, 1) - 1 + self.emin - self.precision + 1)
        return -magnitude if bits & self.sign else magnitude

    def signals(self, bits: int) -> bool:
        return self.value(bits) is NAN and not bits >> (self.precision - 2) & 1


SINGLE, DOUBLE = Format(24, 32), Format(53, 64)
FORMATS = {"s": SINGLE, "d": DOUBLE}


# --- The oracle


def integer_by(mode: int, x: Fraction) -> int:
    """x rounded to an integer in a rounding-direction attribute (4.3)."""
    floor = x.numerator // x.denominator
    rest = x - floor
    half = Fraction(1, 2)
    if mode == RDN or rest == 0:
        return floor
    if mode == RUP:
        return floor + 1
    if mode == RTZ:
        return floor if x > 0 else floor + 1
    if rest != half:
        return floor + (rest > half)
    if mode == RNE:
        return floor + (floor & 1)
    return floor + (x > 0)


def round_to(f: Format, mode: int, x: Fraction, zero_sign: int = 0) -> tuple[int, int]:
    """Bits and flags of x in format f; zero_sign is the sign of an exact zero."""
    if x == 0:
        return f.sign * zero_sign, 0
    exponent = abs(x.numerator).bit_length() - x.denominator.bit_length()
    if abs(x) < power(exponent):
        exponent -= 1
    quantum = power(exponent - f.precision + 1)
    unbounded = abs(integer_by(mode, x / quantum)) * quantum                # exponent range unbounded (7.4, 7.5)
    sign = f.sign if x < 0 else 0
    if unbounded >= power(f.emax + 1):
        to_infinity = mode in (RNE, RMM) or (mode == RUP and x > 0) or (mode == RDN and x < 0)
        return sign | f.infinity - (not to_infinity), OF | NX
    quantum = max(quantum, power(f.emin - f.precision + 1))
    steps = abs(integer_by(mode, x / quantum))
    inexact = steps * quantum != abs(x)
    flags = (NX if inexact else 0) | (UF if inexact and unbounded < power(f.emin) else 0)
    biased = max(exponent, f.emin) - f.emin
    return sign | (biased << (f.precision - 1)) + steps, flags              # steps brings the implicit one, or a carry


def sum_of(f: Format, mode: int, x: Fraction, sign_x: int, y: Fraction, sign_y: int) -> tuple[int, int]:
    zero_sign = sign_x if x == y == 0 and sign_x == sign_y else int(mode == RDN)
    return round_to(f, mode, x + y, zero_sign)


def fused(f: Format, mode: int, a: int, b: int, c: int) -> tuple[int, int]:
    x, y, z = f.value(a), f.value(b), f.value(c)
    sign, sign_c = int((a ^ b) & f.sign != 0), int(c & f.sign != 0)
    if any(map(f.signals, (a, b, c))) or (INFINITY in (x, y) and 0 in (x, y)):
        return f.nan, NV
    if NAN in (x, y, z):
        return f.nan, 0
    if INFINITY in (x, y):
        return (f.nan, NV) if z is INFINITY and sign != sign_c else (f.infinity | sign * f.sign, 0)
    if z is INFINITY:
        return c, 0
    return sum_of(f, mode, x * y, sign, z, sign_c)


def added(f: Format, mode: int, a: int, b: int) -> tuple[int, int]:
    x, y = f.value(a), f.value(b)
    if f.signals(a) or f.signals(b) or (x is y is INFINITY and a != b):
        return f.nan, NV
    if NAN in (x, y):
        return f.nan, 0
    if INFINITY in (x, y):
        return (a if x is INFINITY else b), 0
    return sum_of(f, mode, x, int(a & f.sign != 0), y, int(b & f.sign != 0))


def multiplied(f: Format, mode: int, a: int, b: int) -> tuple[int, int]:
    x, y, sign = f.value(a), f.value(b), (a ^ b) & f.sign
    if f.signals(a) or f.signals(b) or (INFINITY in (x, y) and 0 in (x, y)):
        return f.nan, NV
    if NAN in (x, y):
        return f.nan, 0
    return (sign | f.infinity, 0) if INFINITY in (x, y) else round_to(f, mode, x * y, sign // f.sign)


def divided(f: Format, mode: int, a: int, b: int) -> tuple[int, int]:
    x, y, sign = f.value(a), f.value(b), (a ^ b) & f.sign
    if f.signals(a) or f.signals(b) or x is y is INFINITY or (x == 0 and y == 0):
        return f.nan, NV
    if NAN in (x, y):
        return f.nan, 0
    if x is INFINITY:
        return sign | f.infinity, 0
    if y is INFINITY:
        return sign, 0
    return (sign | f.infinity, DZ) if y == 0 else round_to(f, mode, x / y, sign // f.sign)


def rooted(f: Format, mode: int, a: int) -> tuple[int, int]:
    x = f.value(a)
    if f.signals(a) or (a & f.sign and x is not NAN and x != 0):
        return f.nan, NV
    if x is NAN:
        return f.nan, 0
    if x is INFINITY or x == 0:
        return a, 0
    scale = 1 << 2400                                       # every operand times it is an integer
    radicand = int(x * scale)
    root = isqrt(radicand)
    root_with_rest = Fraction(root) + (Fraction(1, 2) if root * root != radicand else 0)
    return round_to(f, mode, root_with_rest / (1 << 1200))


def least_or_greatest(f: Format, a: int, b: int, greatest: bool) -> tuple[int, int]:
    """minimumNumber, maximumNumber (9.6)."""
    flags = NV if f.signals(a) or f.signals(b) else 0
    numbers = [v for v in (a, b) if f.value(v) is not NAN]
    if not numbers:
        return f.nan, flags

    def order(v: int) -> tuple[Fraction, bool]:
        x = f.value(v)
        if x is INFINITY:
            x = power(2000) * (-1 if v & f.sign else 1)
        return x, not v & f.sign

    return (max if greatest else min)(numbers, key=order), flags


def compared(f: Format, a: int, b: int, relation: str) -> tuple[int, int]:
    if NAN in (f.value(a), f.value(b)):
        return 0, NV if relation != "feq" or f.signals(a) or f.signals(b) else 0
    x, y = ((power(2000) * (-1 if v & f.sign else 1)) if f.value(v) is INFINITY else f.value(v) for v in (a, b))
    return int({"feq": x == y, "flt": x < y, "fle": x <= y}[relation]), 0


def to_integer(f: Format, mode: int, a: int, kind: str) -> tuple[int, int]:
    width = 32 if "w" in kind else 64
    low, high = (0, 2**width - 1) if "u" in kind else (-(2 ** (width - 1)), 2 ** (width - 1) - 1)
    x, flags = f.value(a), NV
    if x is NAN or (x is INFINITY and not a & f.sign):
        n = high
    elif x is INFINITY:
        n = low
    else:
        n = integer_by(mode, x)
        flags = NX if n != x else 0
        if not low <= n <= high:
            n, flags = min(max(n, low), high), NV
    return sign_extended(n, width), flags


def sign_extended(n: int, width: int) -> int:
    n &= 2**width - 1
    return (n - (n >> (width - 1) << width)) % 2**64


def class_of(f: Format, a: int) -> int:
    x, negative = f.value(a), bool(a & f.sign)
    if x is NAN:
        return 1 << (8 if f.signals(a) else 9)
    if x is INFINITY:
        step = 0
    elif x == 0:
        step = 3
    else:
        step = 2 if abs(x) < power(f.emin) else 1
    return 1 << (step if negative else 7 - step)


def expected(name: str, mode: int, a: int, b: int, c: int) -> tuple[int, int]:
    """Bits (unboxed if floating) and flags."""
    operation, *rest = name.split(".")
    f = FORMATS[rest[-1] if rest[-1] in FORMATS else rest[0]]
    s = f.sign
    match operation:
        case "fadd":
            return added(f, mode, a, b)
        case "fsub":
            return added(f, mode, a, b ^ s) if f.value(b) is not NAN else added(f, mode, a, b)
        case "fmul":
            return multiplied(f, mode, a, b)
        case "fdiv":
            return divided(f, mode, a, b)
        case "fsqrt":
            return rooted(f, mode, a)
        case "fmadd":
            return fused(f, mode, a, b, c)
        case "fmsub":
            return fused(f, mode, a, b, c ^ s)
        case "fnmsub":
            return fused(f, mode, a ^ s, b, c)
        case "fnmadd":
            return fused(f, mode, a ^ s, b, c ^ s)
        case "fmin" | "fmax":
            return least_or_greatest(f, a, b, operation == "fmax")
        case "fsgnj":
            return a & ~s | b & s, 0
        case "fsgnjn":
            return a & ~s | (b ^ s) & s, 0
        case "fsgnjx":
            return a ^ b & s, 0
        case "feq" | "flt" | "fle":
            return compared(f, a, b, operation)
        case "fclass":
            return class_of(f, a), 0
    raise AssertionError(name)


# --- Operands


def corners(f: Format) -> list[int]:
    p = f.precision
    one = f.emax << (p - 1)
    positive = [
        0, 1, 2, 3, (1 << (p - 1)) - 1, 1 << (p - 1), (1 << (p - 1)) + 1,   # zero, subnormals, smallest normals
        one - 1, one, one + 1, one + 2, one + (1 << (p - 2)), one + (1 << (p - 1)),
        one - (p << (p - 1)), one + ((p - 1) << (p - 1)) + 1, one // 2 + 1,
        f.infinity - 1, f.infinity - (1 << (p - 1)), f.infinity, f.nan, f.infinity | 1, f.nan | 5,
    ]  # fmt: skip
    return positive + [v | f.sign for v in positive]


def few_corners(f: Format) -> list[int]:
    p = f.precision
    one = f.emax << (p - 1)
    positive = [0, 1, 1 << (p - 1), one, f.infinity - 1, f.infinity]
    return positive + [v | f.sign for v in positive] + [f.nan, f.infinity | 1]


def biased_random(source: random.Random, f: Format) -> int:
    """Any pattern, but often with an extreme or middling exponent and a fraction of few or nearly all ones."""
    p, exponent_max = f.precision, 2 * f.emax + 1
    exponent = source.choice((
        source.randrange(exponent_max + 1), 0, 1, exponent_max - 1, exponent_max,
        f.emax + source.randrange(-3, 4), f.emax + source.randrange(-2 * p, 2 * p),
        f.emax // 2 + source.randrange(-4, 4),
    ))  # fmt: skip
    fraction = source.choice((
        source.getrandbits(p - 1), 0, 1 << source.randrange(p - 1), (1 << source.randrange(p)) - 1,
        (1 << (p - 1)) - (1 << source.randrange(p - 1)), source.getrandbits(p // 2) << (p - 1 - p // 2),
    ))  # fmt: skip
    return source.getrandbits(1) << (f.width - 1) | exponent << (p - 1) | fraction


def operands(name: str, f: Format, arity: int, count: int):
    source = random.Random(name)
    if arity == 1:
        yield from ((a, 0, 0) for a in corners(f))
    elif arity == 2:
        yield from ((a, b, 0) for a, b in itertools.product(corners(f), repeat=2))
    else:
        yield from itertools.product(few_corners(f), repeat=3)
    for _ in range(count):
        a, b, c = (biased_random(source, f) for _ in range(3))
        if arity == 3 and source.random() < 0.5:             # cancellation: c close to -a * b
            product = multiplied(f, RNE, a, b)[0]
            if f.value(product) not in (NAN, INFINITY):
                c = (product ^ f.sign) + source.randrange(-2, 3) & (2 * f.sign - 1)
        elif arity == 2 and source.random() < 0.2:
            b = a + source.randrange(-2, 3) & (2 * f.sign - 1) ^ source.getrandbits(1) * f.sign
        yield a, b, c


ARITY = {
    **dict.fromkeys(("fadd", "fsub", "fmul", "fdiv", "fmin", "fmax"), 2),
    **dict.fromkeys(("fsgnj", "fsgnjn", "fsgnjx", "feq", "flt", "fle"), 2),
    **dict.fromkeys(("fmadd", "fmsub", "fnmsub", "fnmadd"), 3),
    **dict.fromkeys(("fsqrt", "fclass"), 1),
}
TO_BITS = ("feq", "flt", "fle", "fclass")
ROUNDED = ("fadd", "fsub", "fmul", "fdiv", "fsqrt", "fmadd", "fmsub", "fnmsub", "fnmadd")


def report(mismatches: list[tuple]) -> str:
    return "\n".join(f"{name} {path} {[hex(v) for v in given]}: got {got[0]:#x}, flags {got[1]:#x}; "
                     f"want {want[0]:#x}, {want[1]:#x}" for name, path, given, got, want in mismatches[:8])  # fmt: skip


def has_fast_path(name: str) -> bool:
    return fpu.HAS_FMA or ARITY.get(name.split(".")[0]) != 3


def check(name: str, mode: int, cases) -> None:
    """Compare the exact path, and the fast one where it serves this mode, with cases of (images, want)."""
    mismatches = []
    conversion = name.startswith(("fcvt.w", "fcvt.l"))
    for given, want in cases:
        got = {MODE_NAMES[mode]: fpu.operate(name, mode, *given)}
        if mode == RNE and has_fast_path(name):
            got["fast"] = fpu.operate_fast(name, *given)
        elif mode == RTZ and conversion:
            got["fast rtz"] = fpu.operate_fast(name, *given, towards_zero=True)
        mismatches += [(name, path, given, g, want) for path, g in got.items() if g != want]
    assert not mismatches, report(mismatches)


# --- Tests


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("operation", "mode"),
    [pytest.param(o, m, id=f"{o}-{MODE_NAMES[m]}") for o in ARITY for m in MODES if m == RNE or o in ROUNDED],
)
def test_operation_equals_exact_arithmetic(operation, suffix, mode):
    """Result and flags of every computing instruction, on crossed corners and biased random operands."""
    name, f = f"{operation}.{suffix}", FORMATS[suffix]

    def cases():
        for given in operands(name, f, ARITY[operation], 1000):
            bits, flags = expected(name, mode, *given)
            yield tuple(map(f.box, given)), (bits if operation in TO_BITS else f.box(bits), flags)

    check(name, mode, cases())


@pytest.mark.parametrize("mode", MODES, ids=MODE_NAMES)
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", ["w", "wu", "l", "lu"])
def test_conversion_to_integer(kind, suffix, mode):
    """Rounds, saturates and sign-extends 32-bit results; what does not fit is invalid and not inexact."""
    f = FORMATS[suffix]
    width = 32 if "w" in kind else 64
    source = random.Random(kind + suffix)
    images = corners(f) + [biased_random(source, f) for _ in range(500)]
    for edge in (0, 1, 2, 3, 2 ** (width - 1), 2**width):
        for quarters in range(-8, 9):
            for sign in (1, -1):
                bits, _ = round_to(f, RNE, sign * (edge + Fraction(quarters, 4)))
                images += [bits, bits ^ 1]
    check(f"fcvt.{kind}.{suffix}", mode, [((f.box(a),), to_integer(f, mode, a, kind)) for a in images])


@pytest.mark.parametrize("mode", MODES, ids=MODE_NAMES)
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", ["w", "wu", "l", "lu"])
def test_conversion_from_integer(kind, suffix, mode):
    """Rounds once from the exact integer; the W forms ignore the upper half of the register."""
    f = FORMATS[suffix]
    width = 32 if "w" in kind else 64
    source = random.Random(kind + suffix)
    registers = [2**i + d for i in range(64) for d in (-1, 0, 1)]
    registers += [source.getrandbits(64) >> source.randrange(64) for _ in range(1000)]
    registers += [(1 << 63 | 1 << 39) + d >> s for d in (-1, 0, 1) for s in range(40)]         # ties of single
    registers += [(1 << 63 | 1 << 10) + d >> s for d in (-1, 0, 1) for s in range(12)]         # ties of double
    cases = []
    for register in registers + [-r % 2**64 for r in registers]:
        n = sign_extended(register, width) if "u" not in kind else register % 2**width
        if "u" not in kind and n >= 2**63:
            n -= 2**64
        bits, flags = round_to(f, mode, Fraction(n))
        cases.append(((register,), (f.box(bits), flags)))
    check(f"fcvt.{suffix}.{kind}", mode, cases)


@pytest.mark.parametrize("mode", MODES, ids=MODE_NAMES)
@pytest.mark.parametrize(("name", "source", "target"), [("fcvt.s.d", DOUBLE, SINGLE), ("fcvt.d.s", SINGLE, DOUBLE)])
def test_conversion_between_formats(name, source, target, mode):
    """Narrowing rounds with overflow and underflow; a signalling NaN is invalid; any NaN becomes canonical."""
    generator = random.Random(name)
    images = corners(source) + [biased_random(generator, source) for _ in range(1000)]
    edges = [power(target.emin), power(target.emin - target.precision + 1), power(target.emax)]
    for edge, numerator, scale in itertools.product(edges, range(-5, 6), (1 << i for i in (0, 22, 23, 24, 25, 26))):
        for whole in (1, 2, Fraction(1, 2)):                # around the ends of the target's range
            bits, _ = round_to(source, RNE, edge * (whole + Fraction(numerator, scale)))
            images += [bits, bits ^ source.sign]
    cases = []
    for a in images:
        x = source.value(a)
        sign = target.sign if a & source.sign else 0
        if x is NAN:
            want = target.nan, NV if source.signals(a) else 0
        elif x is INFINITY:
            want = target.infinity | sign, 0
        else:
            want = round_to(target, mode, x, int(sign != 0))
        cases.append(((source.box(a),), (target.box(want[0]), want[1])))
    check(name, mode, cases)


@pytest.mark.parametrize(
    ("name", "image", "want"),
    [
        ("fmv.x.w", 0x1234567880000001, 0xFFFFFFFF80000001),
        ("fmv.x.w", 0xFFFFFFFF7F800001, 0x7F800001),
        ("fmv.w.x", 0x123456787F800001, 0xFFFFFFFF7F800001),
        ("fmv.x.d", 0x7FF0000000000001, 0x7FF0000000000001),
        ("fmv.d.x", 0xFFF0000000000001, 0xFFF0000000000001),
    ],
)
def test_move_keeps_the_bits(name, image, want):
    """fmv transfers patterns: no flag for a signalling NaN, no look at the boxing of its source."""
    assert fpu.operate(name, RNE, image) == fpu.operate_fast(name, image) == (want, 0)


@pytest.mark.parametrize("name", [n for n in fpu.OPERATIONS if n.endswith(".s") and not n.startswith("fmv")])
def test_unboxed_single_is_canonical_nan(name):
    """A single whose upper half is not all ones is read as the canonical NaN ("D", NaN boxing)."""
    for bad in (0x3F800000, 0xFFFFFFFE3F800000, 0x7F800001, 0x7FFFFFFF3F800000):
        for position in range(ARITY.get(name.split(".")[0], 1)):
            broken, plain = ([SINGLE.box(0x40490FDB)] * 3 for _ in range(2))
            broken[position], plain[position] = bad, SINGLE.box(SINGLE.nan)
            for mode in MODES:
                assert fpu.operate(name, mode, *broken) == fpu.operate(name, mode, *plain)
            if has_fast_path(name):
                assert fpu.operate_fast(name, *broken) == fpu.operate_fast(name, *plain)


NUMPY = {
    "fadd": np.add, "fsub": np.subtract, "fmul": np.multiply, "fdiv": np.divide, "fsqrt": lambda a, b: np.sqrt(a),
    "feq": np.equal, "flt": np.less, "fle": np.less_equal, "fmin": np.fmin, "fmax": np.fmax,
}  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("operation", NUMPY)
def test_result_equals_numpy(operation, suffix):
    """Round-to-nearest results, against an implementation that nobody here wrote."""
    name, f = f"{operation}.{suffix}", FORMATS[suffix]
    source = random.Random("numpy" + name)
    left, right = ([biased_random(source, f) for _ in range(3000)] for _ in range(2))
    integer, floating = (np.uint32, np.float32) if suffix == "s" else (np.uint64, np.float64)
    with np.errstate(all="ignore"):
        values = NUMPY[operation](*(np.array(v, integer).view(floating) for v in (left, right)))
    for a, b, value in zip(left, right, values, strict=True):
        if operation in TO_BITS:
            want = int(value)
        elif np.isnan(value):
            want = f.box(f.nan)
        elif value == 0 and operation in ("fmin", "fmax"):   # NumPy leaves the sign of zero open
            continue
        else:
            want = f.box(int(value.view(integer)))
        if operation in ("fmin", "fmax") and (f.signals(a) or f.signals(b)):
            continue                                         # older minNum rules: NaN for a signalling operand
        given = f.box(a), f.box(b)
        assert fpu.operate(name, RNE, *given)[0] == fpu.operate_fast(name, *given)[0] == want, [hex(v) for v in given]


TONEAREST, UPWARD = 0, 0x800                                # x86-64's FE_* values
ALL_EXCEPT, INEXACT = 0x3D, 0x20
x86_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="uses x86-64's FE_* values")


@pytest.fixture
def host():
    """The C library's floating-point environment, put back afterwards."""
    library = ctypes.CDLL(None)
    yield library
    library.fesetround(TONEAREST)
    library.feclearexcept(ALL_EXCEPT)


@x86_only
def test_guest_flags_do_not_reach_the_host(host):
    """Dividing 1 by 3 in the guest leaves the host's exception flags as they were."""
    host.feclearexcept(ALL_EXCEPT)
    result = fpu.operate_fast("fdiv.d", 0x3FF0000000000000, 0x4008000000000000)
    left_over = host.fetestexcept(ALL_EXCEPT)
    assert result == (0x3FD5555555555555, NX)
    assert left_over == 0


@x86_only
def test_host_flags_do_not_reach_the_guest(host):
    """An inexact result of the host before is not seen by an exact guest operation, and is still there after."""
    host.feclearexcept(ALL_EXCEPT)
    host.feraiseexcept(INEXACT)
    result = fpu.operate_fast("fadd.d", 0, 0)
    left_over = host.fetestexcept(ALL_EXCEPT)
    assert result == (0, 0)
    assert left_over == INEXACT


@x86_only
def test_host_rounding_mode_does_not_reach_the_guest(host):
    """With the host rounding upwards the guest still rounds to nearest, and the host's mode survives."""
    host.fesetround(UPWARD)
    result = fpu.operate_fast("fdiv.d", 0x3FF0000000000000, 0x4008000000000000)
    mode = host.fegetround()
    host.fesetround(TONEAREST)
    assert result == (0x3FD5555555555555, NX)
    assert mode == UPWARD


@pytest.mark.parametrize("mode", [-1, 5, 6, 7])
def test_reserved_rounding_mode_is_refused(mode):
    """Modes 5 to 7 are reserved in frm; resolving 7 (dynamic) is the hart's business."""
    with pytest.raises(ValueError, match="reserved"):
        fpu.operate("fadd.d", mode, 0, 0)
