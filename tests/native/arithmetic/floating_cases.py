"""Operands for tests of floating point, and the comparison of what it gives with what is expected.

Every operation goes the exact path (vm_native/arithmetic/operations.pyx); where a uop does it on the host's FPU, the
interpreter performs that too, in the rounding modes that the host has. Compiled code performs the instruction with the
rounding mode in itself, and in frm.
"""

import itertools
import random
from collections.abc import Iterable, Iterator

import pytest

from tests.native.arithmetic.compiled import DYNAMIC, perform
from tests.native.arithmetic.ieee754 import (
    FORMATS,
    INFINITY,
    MODE_NAMES,
    MODES,
    NAN,
    RMM,
    RNE,
    RTZ,
    Format,
    expected,
    multiplied,
)
from vm_native.ir.uops import UOPS
from vm_native.riscv.instructions import BY_NAME
from vm_native.testing import floating


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
    exponent = min(max(exponent, 0), exponent_max)
    return source.getrandbits(1) << (f.width - 1) | exponent << (p - 1) | fraction


def operands(name: str, f: Format, arity: int, count: int) -> Iterator[tuple[int, int, int]]:
    """At most `count` combinations of corners, then as many random operands."""
    source = random.Random(name)
    if arity == 3:
        crossed = list(itertools.product(few_corners(f), repeat=3))
    else:
        crossed = list(itertools.product(corners(f), corners(f) if arity == 2 else [0], [0]))
    yield from source.sample(crossed, min(count, len(crossed)))
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
    **dict.fromkeys(("fadd", "fsub", "fmul", "fdiv", "fmin", "fmax", "fminm", "fmaxm"), 2),
    **dict.fromkeys(("fsgnj", "fsgnjn", "fsgnjx", "feq", "flt", "fle", "fleq", "fltq"), 2),
    **dict.fromkeys(("fmadd", "fmsub", "fnmsub", "fnmadd"), 3),
    **dict.fromkeys(("fsqrt", "fclass", "fround", "froundnx"), 1),
}
ZFA = ("fminm", "fmaxm", "fround", "froundnx", "fleq", "fltq")
TO_BITS = ("feq", "flt", "fle", "fleq", "fltq", "fclass")
ROUNDED = ("fadd", "fsub", "fmul", "fdiv", "fsqrt", "fmadd", "fmsub", "fnmsub", "fnmadd", "fround", "froundnx")

FEW_AND_MANY = pytest.mark.parametrize("count", [250, pytest.param(4000, marks=pytest.mark.slow)])


def operations_and_modes(operations: Iterable[str]) -> pytest.MarkDecorator:
    """Every operation in the rounding modes that it has, under the names of both."""
    return pytest.mark.parametrize(
        ("operation", "mode"),
        [
            pytest.param(operation, mode, id=f"{operation}-{MODE_NAMES[mode]}")
            for operation in operations
            for mode in MODES
            if mode == RNE or operation in ROUNDED
        ],
    )


def report(mismatches: list[tuple]) -> str:
    return "\n".join(f"{name} {path} {[hex(v) for v in given]}: got {got[0]:#x}, flags {got[1]:#x}; "
                     f"want {want[0]:#x}, {want[1]:#x}" for name, path, given, got, want in mismatches[:8])  # fmt: skip


UOP_NAMES = {row.name for row in UOPS}


def has_uop(name: str) -> bool:
    """Whether a uop does it on this host, in the rounding modes that it has."""
    return name in UOP_NAMES and (floating.HAS_FMA or ARITY.get(name.split(".")[0]) != 3)


def check(name: str, mode: int, cases: Iterable[tuple[tuple[int, ...], tuple[int, int]]]) -> None:
    """Compare the exact path, and the uop where one serves this mode, with cases of (images, want)."""
    cases, mismatches = list(cases), []
    rounds, other_mode = BY_NAME[name].rounds, RTZ if mode == RNE else RNE
    ways = {"compiled, dynamic": (DYNAMIC, mode), "compiled, static": (mode, other_mode)}
    ways = ways if rounds else {"compiled": (RNE, RNE)}
    compiled = {way: perform(name, *modes, [given for given, _ in cases]) for way, modes in ways.items()}
    for place, (given, want) in enumerate(cases):
        got = {way: results[place] for way, results in compiled.items()}
        got[MODE_NAMES[mode]] = floating.operate(name, mode, *given)
        if mode != RMM and has_uop(name):
            got[f"uop {name}"] = floating.perform_uop(name, *given, rounding_mode=mode)
        if mode == RTZ and has_uop(f"{name}.rtz"):
            got[f"uop {name}.rtz"] = floating.perform_uop(f"{name}.rtz", *given)
        mismatches += [(name, path, given, g, want) for path, g in got.items() if g != want]
    assert not mismatches, report(mismatches)


def check_operation(operation: str, suffix: str, mode: int, count: int) -> None:
    """Every result and flag against the oracle, on crossed corners and biased random operands."""
    name, f = f"{operation}.{suffix}", FORMATS[suffix]

    def cases() -> Iterator[tuple[tuple[int, ...], tuple[int, int]]]:
        for given in operands(name, f, ARITY[operation], count):
            bits, flags = expected(name, mode, *given)
            yield tuple(map(f.box, given)), (bits if operation in TO_BITS else f.box(bits), flags)

    check(name, mode, cases())
