"""The operations of Zfa against exact rational arithmetic.

RISC-V unprivileged manual, chapter "Zfa", version 1.0.
"""

import random
import struct
from fractions import Fraction

import pytest

from tests.native.arithmetic.floating_cases import (
    FEW_AND_MANY,
    ZFA,
    biased_random,
    check,
    check_operation,
    corners,
    operations_and_modes,
)
from tests.native.arithmetic.ieee754 import (
    DOUBLE,
    FORMATS,
    MODE_NAMES,
    MODES,
    NV,
    NX,
    RNE,
    RTZ,
    power,
    round_to,
    to_integer_modulo,
)
from tests.native.riscv.single import SingleSteps
from vm_native.riscv.instructions import encode
from vm_native.testing import floating


@FEW_AND_MANY
@pytest.mark.parametrize("suffix", FORMATS)
@operations_and_modes(ZFA)
def test_operation_equals_exact_arithmetic(operation, suffix, mode, count):
    """Result and flags on crossed corners and biased random operands."""
    check_operation(operation, suffix, mode, count)


@pytest.mark.parametrize("mode", MODES, ids=MODE_NAMES)
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("operation", ["fround", "froundnx"])
def test_rounding_to_integral_near_halves(operation, suffix, mode):
    """Quarters about small integers and about the largest number that has a fraction; only froundnx is inexact."""
    f = FORMATS[suffix]
    signals = NX if operation == "froundnx" else 0
    cases = []
    for edge in (0, 1, 2, 3, 8, 2 ** (f.precision - 2), 2 ** (f.precision - 1)):
        for quarters in range(-8, 9):
            a, flags = round_to(f, RNE, edge + Fraction(quarters, 4))
            if flags == 0:
                x = f.value(a)
                steps = {"rne": round(x), "rtz": int(x), "rdn": x // 1, "rup": -(-x // 1)}
                steps["rmm"] = int(abs(x) + Fraction(1, 2)) * (-1 if x < 0 else 1)
                n = Fraction(steps[MODE_NAMES[mode]])
                want = round_to(f, RNE, n, a // f.sign)[0]
                cases.append(((f.box(a),), (f.box(want), 0 if n == x else signals)))
    assert len(cases) > 50
    check(f"{operation}.{suffix}", mode, cases)


def test_modular_conversion():
    """fcvtmod.w.d keeps the low 32 bits of the truncated value; the flags are those of fcvt.w.d."""
    source = random.Random(1)
    operands = corners(DOUBLE) + [biased_random(source, DOUBLE) for _ in range(2000)]
    operands += [
        round_to(DOUBLE, RNE, sign * (power(exponent) * numerator + Fraction(quarters, 4)))[0]
        for exponent in (0, 15, *range(28, 90))
        for numerator in (1, 3, 0x1234567, 0x1FFFFFFFFFFFFF)
        for quarters in (-3, 0, 2)
        for sign in (1, -1)
    ]
    check("fcvtmod.w.d", RTZ, [((a,), to_integer_modulo(DOUBLE, a)) for a in operands])


@pytest.mark.parametrize(
    ("value", "low", "flags"),
    [
        (2.0**31, 0xFFFFFFFF80000000, NV),
        (-(2.0**31), 0xFFFFFFFF80000000, 0),
        (2.0**32 + 5.5, 5, NV),
        (-(2.0**32) - 5.0, 0xFFFFFFFFFFFFFFFB, NV),
        (-0.5, 0, NX),
        (2.0**84, 0, NV),
        (2.0**83 + 2.0**31, 0xFFFFFFFF80000000, NV),
        (float("inf"), 0, NV),
        (float("nan"), 0, NV),
    ],
)
def test_modular_conversion_by_example(value, low, flags):
    bits = int.from_bytes(struct.pack("<d", value), "little")
    assert floating.operate("fcvtmod.w.d", RTZ, bits) == (low, flags)


# The table of immediates, without the smallest normal number, infinity and NaN
CONSTANTS = {
    0: -1.0, 2: 2.0**-16, 3: 2.0**-15, 4: 2.0**-8, 5: 2.0**-7, 6: 0.0625, 7: 0.125, 8: 0.25, 9: 0.3125, 10: 0.375,
    11: 0.4375, 12: 0.5, 13: 0.625, 14: 0.75, 15: 0.875, 16: 1.0, 17: 1.25, 18: 1.5, 19: 1.75, 20: 2.0, 21: 2.5,
    22: 3.0, 23: 4.0, 24: 8.0, 25: 16.0, 26: 128.0, 27: 256.0, 28: 2.0**15, 29: 2.0**16,
}  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
def test_constants(suffix):
    """fli: 32 constants, none of which raises a flag; 2**16 is infinity in half precision."""
    f = FORMATS[suffix]
    want = {number: round_to(f, RNE, Fraction(value))[0] for number, value in CONSTANTS.items()}
    want |= {1: 1 << (f.precision - 1), 30: f.infinity, 31: f.nan}
    steps = SingleSteps(isa="rv64gc_zfh_zfa")
    steps.hart.csr["mstatus"] = 3 << 13                     # FS Dirty
    for number, bits in want.items():
        assert steps.is_legal(encode(f"fli.{suffix}", rd=10, imm=number))
        assert (steps.hart.f_bits[10], steps.hart.csr["fflags"]) == (f.box(bits), 0)
