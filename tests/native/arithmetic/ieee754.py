"""IEEE 754-2019 binary arithmetic in exact rationals: the oracle for vm_native/arithmetic.

Written from the standard and the RISC-V unprivileged manual (chapters "F", "D", "Zfh", "Zfa") with fractions.Fraction;
it shares nothing with the code under test.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import isqrt

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


HALF, SINGLE, DOUBLE = Format(11, 16), Format(24, 32), Format(53, 64)
FORMATS = {"s": SINGLE, "d": DOUBLE, "h": HALF}


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


def least_or_greatest_or_nan(f: Format, a: int, b: int, greatest: bool) -> tuple[int, int]:
    """minimum, maximum (9.6)."""
    bits, flags = least_or_greatest(f, a, b, greatest)
    return f.nan if NAN in (f.value(a), f.value(b)) else bits, flags


def integral(f: Format, mode: int, a: int, signals_inexact: bool) -> tuple[int, int]:
    """roundToIntegral (5.9)."""
    x = f.value(a)
    if x is NAN:
        return f.nan, NV if f.signals(a) else 0
    if x is INFINITY:
        return a, 0
    n = integer_by(mode, x)
    bits, flags = round_to(f, RNE, Fraction(n), a // f.sign)
    assert flags == 0
    return bits, NX if signals_inexact and n != x else 0


def compared(f: Format, a: int, b: int, relation: str) -> tuple[int, int]:
    if NAN in (f.value(a), f.value(b)):
        return 0, NV if relation in ("flt", "fle") or f.signals(a) or f.signals(b) else 0
    x, y = ((power(2000) * (-1 if v & f.sign else 1)) if f.value(v) is INFINITY else f.value(v) for v in (a, b))
    return int({"feq": x == y, "flt": x < y, "fltq": x < y, "fle": x <= y, "fleq": x <= y}[relation]), 0


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


def to_integer_modulo(f: Format, a: int) -> tuple[int, int]:
    """fcvtmod: what is out of range wraps; the flags are those of a saturating conversion."""
    x, (_, flags) = f.value(a), to_integer(f, RTZ, a, "w")
    return sign_extended(0 if x in (NAN, INFINITY) else integer_by(RTZ, x), 32), flags


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
        case "fminm" | "fmaxm":
            return least_or_greatest_or_nan(f, a, b, operation == "fmaxm")
        case "fround" | "froundnx":
            return integral(f, mode, a, operation == "froundnx")
        case "feq" | "flt" | "fle" | "fltq" | "fleq":
            return compared(f, a, b, operation)
        case "fclass":
            return class_of(f, a), 0
    raise AssertionError(name)
