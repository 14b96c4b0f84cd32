"""Floating point against exact rational arithmetic, and against NumPy.

Rules from IEEE 754-2019 and the RISC-V unprivileged manual, chapters "F", "D" and "Zfh". Every operation runs in all
five rounding modes on the exact path and in compiled code, and in those that the host has on its FPU, as uops.
"""

import ctypes
import gc
import itertools
import platform
import random
from fractions import Fraction

import numpy as np
import pytest

from tests.native.arithmetic.compiled import DYNAMIC, perform
from tests.native.arithmetic.floating_cases import (
    ARITY,
    FEW_AND_MANY,
    TO_BITS,
    ZFA,
    biased_random,
    check,
    check_operation,
    corners,
    has_uop,
    operations_and_modes,
)
from tests.native.arithmetic.ieee754 import (
    DOUBLE,
    FORMATS,
    HALF,
    INFINITY,
    MODE_NAMES,
    MODES,
    NAN,
    NV,
    NX,
    RNE,
    RUP,
    power,
    round_to,
    sign_extended,
    to_integer,
)
from vm_native.arithmetic.operations import OPERATIONS
from vm_native.riscv.instructions import BY_NAME
from vm_native.testing import floating


@FEW_AND_MANY
@pytest.mark.parametrize("suffix", FORMATS)
@operations_and_modes(operation for operation in ARITY if operation not in ZFA)
def test_operation_equals_exact_arithmetic(operation, suffix, mode, count):
    """Result and flags of every computing instruction, on crossed corners and biased random operands."""
    check_operation(operation, suffix, mode, count)


@FEW_AND_MANY
@pytest.mark.parametrize("mode", MODES, ids=MODE_NAMES)
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", ["w", "wu", "l", "lu"])
def test_conversion_to_integer(kind, suffix, mode, count):
    """Rounds, saturates and sign-extends 32-bit results; what does not fit is invalid and not inexact."""
    f = FORMATS[suffix]
    width = 32 if "w" in kind else 64
    source = random.Random(kind + suffix)
    images = corners(f) + [biased_random(source, f) for _ in range(count)]
    for edge in (0, 1, 2, 3, 2 ** (width - 1), 2**width):
        for quarters in range(-8, 9):
            for sign in (1, -1):
                bits, _ = round_to(f, RNE, sign * (edge + Fraction(quarters, 4)))
                images += [bits, bits ^ 1]
    check(f"fcvt.{kind}.{suffix}", mode, [((f.box(a),), to_integer(f, mode, a, kind)) for a in images])


@FEW_AND_MANY
@pytest.mark.parametrize("mode", MODES, ids=MODE_NAMES)
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", ["w", "wu", "l", "lu"])
def test_conversion_from_integer(kind, suffix, mode, count):
    """Rounds once from the exact integer; the W forms ignore the upper half of the register."""
    f = FORMATS[suffix]
    width = 32 if "w" in kind else 64
    source = random.Random(kind + suffix)
    registers = [2**i + d for i in range(64) for d in (-1, 0, 1)]
    registers += [source.getrandbits(64) >> source.randrange(64) for _ in range(count)]
    registers += [(1 << 63 | 1 << 39) + d >> s for d in (-1, 0, 1) for s in range(40)]         # ties of single
    registers += [(1 << 63 | 1 << 10) + d >> s for d in (-1, 0, 1) for s in range(12)]         # ties of double
    registers += [65504 + d for d in range(-33, 34)]                                           # the largest half
    cases = []
    for register in registers + [-r % 2**64 for r in registers]:
        n = sign_extended(register, width) if "u" not in kind else register % 2**width
        if "u" not in kind and n >= 2**63:
            n -= 2**64
        bits, flags = round_to(f, mode, Fraction(n))
        cases.append(((register,), (f.box(bits), flags)))
    check(f"fcvt.{suffix}.{kind}", mode, cases)


@FEW_AND_MANY
@pytest.mark.parametrize("mode", MODES, ids=MODE_NAMES)
@pytest.mark.parametrize("name", ["fcvt.s.d", "fcvt.d.s", "fcvt.s.h", "fcvt.h.s", "fcvt.d.h", "fcvt.h.d"])
def test_conversion_between_formats(name, mode, count):
    """Narrowing rounds with overflow and underflow; a signalling NaN is invalid; any NaN becomes canonical."""
    target, source = (FORMATS[suffix] for suffix in name.split(".")[1:])
    generator = random.Random(name)
    images = corners(source) + [biased_random(generator, source) for _ in range(count)]
    edges = [power(target.emin), power(target.emin - target.precision + 1), power(target.emax)]
    scales = [1, *(1 << target.precision + i for i in range(-2, 3))]
    for edge, numerator, scale in itertools.product(edges, range(-5, 6), scales):
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
        ("fmv.x.h", 0x1234567812348001, 0xFFFFFFFFFFFF8001),
        ("fmv.x.h", 0xFFFFFFFFFFFF7C01, 0x7C01),
        ("fmv.h.x", 0x1234567812347C01, 0xFFFFFFFFFFFF7C01),
    ],
)
def test_move_keeps_the_bits(name, image, want):
    """fmv transfers patterns: no flag for a signalling NaN, no look at the boxing of its source."""
    uop = BY_NAME[name].uop                                 # the double has a register to itself: a move is a move
    assert floating.perform_uop(uop, image) == (want, 0)


NARROW = [name for name in OPERATIONS if name.endswith((".s", ".h"))]


@pytest.mark.parametrize("name", NARROW)
def test_unboxed_operand_is_canonical_nan(name):
    """A single or half whose upper bits are not all ones is read as the canonical NaN ("D", NaN boxing)."""
    f = FORMATS[name[-1]]
    one, bit = f.box(f.emax << (f.precision - 1)), 1 << f.width
    pairs = []
    for bad in (one % bit, one ^ bit, one ^ 1 << 63, f.infinity | 1, DOUBLE.infinity):
        arity = ARITY.get(name.split(".")[0], 1)
        for positions in [*([i] for i in range(arity)), range(arity)]:
            broken, plain = ([one + 5] * 3 for _ in range(2))
            for position in positions:
                broken[position], plain[position] = bad, f.box(f.nan)
            pairs.append((broken, plain))
            for mode in MODES:
                assert floating.operate(name, mode, *broken) == floating.operate(name, mode, *plain)
            if has_uop(name):
                assert floating.perform_uop(name, *broken) == floating.perform_uop(name, *plain)
    for rounding, frm in itertools.product((*MODES, DYNAMIC) if BY_NAME[name].rounds else (RNE,), (RNE, RUP)):
        assert perform(name, rounding, frm, [broken for broken, _ in pairs]) == perform(
            name, rounding, frm, [plain for _, plain in pairs])


NUMPY = {
    "fadd": np.add, "fsub": np.subtract, "fmul": np.multiply, "fdiv": np.divide, "fsqrt": lambda a, b: np.sqrt(a),
    "feq": np.equal, "flt": np.less, "fle": np.less_equal, "fmin": np.fmin, "fmax": np.fmax,
}  # fmt: skip


NUMPY_TYPES = {"s": (np.uint32, np.float32), "d": (np.uint64, np.float64), "h": (np.uint16, np.float16)}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("operation", NUMPY)
def test_result_equals_numpy(operation, suffix):
    """Round-to-nearest results, against an implementation that nobody here wrote."""
    name, f = f"{operation}.{suffix}", FORMATS[suffix]
    source = random.Random("numpy" + name)
    left, right = ([biased_random(source, f) for _ in range(3000)] for _ in range(2))
    integer, numpy_type = NUMPY_TYPES[suffix]
    with np.errstate(all="ignore"):
        values = NUMPY[operation](*(np.array(v, integer).view(numpy_type) for v in (left, right)))
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
        assert floating.operate(name, RNE, *given)[0] == want, [hex(v) for v in given]
        if has_uop(name):
            assert floating.perform_uop(name, *given)[0] == want, [hex(v) for v in given]


@pytest.mark.parametrize("suffix", ["s", "d"])
def test_every_half_widens_as_in_numpy_and_narrows_back(suffix):
    """Widening is exact, so that narrowing gives the same half; NaNs become canonical."""
    f = FORMATS[suffix]
    integer, numpy_type = NUMPY_TYPES[suffix]
    halves = np.arange(1 << 16, dtype=np.uint16)
    wide = halves.view(np.float16).astype(numpy_type).view(integer)
    for half, want in zip(halves.tolist(), wide.tolist(), strict=True):
        narrow, flags = half, 0
        if HALF.value(half) is NAN:
            want, narrow, flags = f.nan, HALF.nan, NV if HALF.signals(half) else 0
        assert floating.operate(f"fcvt.{suffix}.h", RNE, HALF.box(half)) == (f.box(want), flags)
        if suffix == "s":
            assert floating.perform_uop("fcvt.s.h", HALF.box(half)) == (f.box(want), flags)
        assert floating.operate(f"fcvt.h.{suffix}", RNE, f.box(want)) == (HALF.box(narrow), 0)


TONEAREST, UPWARD = 0, 0x800                                # x86-64's FE_* values
ALL_EXCEPT, INEXACT = 0x3D, 0x20
x86_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="uses x86-64's FE_* values")


@pytest.fixture
def host():
    """The C library's floating-point environment, put back afterwards.

    Nothing is collected meanwhile: Hypothesis has a callback that then computes how long that took.
    """
    library = ctypes.CDLL(None)
    gc.disable()
    yield library
    gc.enable()
    library.fesetround(TONEAREST)
    library.feclearexcept(ALL_EXCEPT)


@x86_only
def test_guest_flags_do_not_reach_the_host(host):
    """Dividing 1 by 3 in the guest leaves the host's exception flags as they were."""
    host.feclearexcept(ALL_EXCEPT)
    result = floating.perform_uop("fdiv.d", 0x3FF0000000000000, 0x4008000000000000)
    left_over = host.fetestexcept(ALL_EXCEPT)
    assert result == (0x3FD5555555555555, NX)
    assert left_over == 0


@x86_only
def test_host_flags_do_not_reach_the_guest(host):
    """An inexact result of the host before is not seen by an exact guest operation, and is still there after."""
    host.feclearexcept(ALL_EXCEPT)
    host.feraiseexcept(INEXACT)
    result = floating.perform_uop("fadd.d", 0, 0)
    left_over = host.fetestexcept(ALL_EXCEPT)
    assert result == (0, 0)
    assert left_over == INEXACT


@x86_only
def test_host_rounding_mode_does_not_reach_the_guest(host):
    """With the host rounding upwards the guest still rounds to nearest, and the host's mode survives."""
    host.fesetround(UPWARD)
    result = floating.perform_uop("fdiv.d", 0x3FF0000000000000, 0x4008000000000000)
    mode = host.fegetround()
    host.fesetround(TONEAREST)
    assert result == (0x3FD5555555555555, NX)
    assert mode == UPWARD


@pytest.mark.parametrize("mode", [-1, 5, 6, 7])
def test_reserved_rounding_mode_is_refused(mode):
    """Modes 5 to 7 are reserved in frm; resolving 7 (dynamic) is the hart's business."""
    with pytest.raises(ValueError, match="reserved"):
        floating.operate("fadd.d", mode, 0, 0)
