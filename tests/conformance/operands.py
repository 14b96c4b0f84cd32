"""Values that find mistakes: corners of integers, floating-point numbers, immediates, and CSRs to try."""

from __future__ import annotations

import struct
from random import Random

from tests.conformance.rules import NOT_WRITTEN, ONLY_ON_SPIKE
from vm_native.riscv.registers import CSR_NUMBERS

U64 = (1 << 64) - 1
INTEGERS = [0, 1, 2, 3, 7, 8, 31, 32, 63, 64, U64, U64 - 1]
INTEGERS += [1 << n for n in (7, 8, 15, 16, 31, 32, 52, 62, 63)]
INTEGERS += [(1 << n) - 1 for n in (7, 8, 15, 16, 31, 32, 52, 62, 63)]
INTEGERS += [U64 - (1 << n) + 1 for n in (7, 15, 31, 32, 52)]
INTEGERS += [0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA, 0x0123_4567_89AB_CDEF, 0x8000_0000_7FFF_FFFF]

# Sign is added by the drawing. Each: 0, smallest and largest subnormal, smallest normal, around one, three, limits of
# integers, largest, infinity, signalling and quiet NaNs.
HALF = [
    0, 1, 0x3FF, 0x400, 0x3BFF, 0x3C00, 0x3C01, 0x4200, 0x5BF8, 0x5C00, 0x7800, 0x7BFF, 0x7C00, 0x7C01, 0x7DFF,
    0x7E00, 0x7FFF,
]  # fmt: skip
SINGLE = [
    0, 1, 0x7F_FFFF, 0x80_0000, 0x80_0001, 0x3F00_0000, 0x3F7F_FFFF, 0x3F80_0000, 0x3F80_0001, 0x4040_0000, 0x4B7F_FFFF,
    0x4EFF_FFFF, 0x4F00_0000, 0x4F7F_FFFF, 0x4F80_0000, 0x5F00_0000, 0x5F80_0000, 0x7F7F_FFFF, 0x7F80_0000,
    0x7F80_0001, 0x7FBF_FFFF, 0x7FC0_0000, 0x7FFF_FFFF,
]  # fmt: skip
DOUBLE = [
    0, 1, 0xF_FFFF_FFFF_FFFF, 0x10_0000_0000_0000, 0x3810_0000_0000_0000, 0x380F_FFFF_FFFF_FFFF, 0x3690_0000_0000_0000,
    0x3FDF_FFFF_FFFF_FFFF, 0x3FE0_0000_0000_0000, 0x3FEF_FFFF_FFFF_FFFF, 0x3FF0_0000_0000_0000, 0x3FF0_0000_0000_0001,
    0x3FF8_0000_0000_0000, 0x4008_0000_0000_0000, 0x41DF_FFFF_FFC0_0000, 0x41E0_0000_0000_0000, 0x41EF_FFFF_FFE0_0000,
    0x41F0_0000_0000_0000, 0x43E0_0000_0000_0000, 0x43EF_FFFF_FFFF_FFFF, 0x43F0_0000_0000_0000, 0x47EF_FFFF_E000_0000,
    0x47EF_FFFF_F000_0000, 0x47F0_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000, 0x7FF0_0000_0000_0001,
    0x7FF7_FFFF_FFFF_FFFF, 0x7FF8_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF,
]  # fmt: skip

READ_ONLY = tuple(number for number in CSR_NUMBERS.values() if number >> 10 == 3)
# What the frame's handlers live by; written only by units that know what they do.
KEPT = {CSR_NUMBERS[name] for name in ("mtvec", "mscratch", "stvec", "sscratch", "satp", "stimecmp")}
KEPT |= {number for name, number in CSR_NUMBERS.items() if name.startswith("pmp")}
WRITABLE = tuple(sorted(set(CSR_NUMBERS.values()) - set(READ_ONLY) - KEPT - set(NOT_WRITTEN)))
USUAL = tuple(CSR_NUMBERS[name] for name in "fflags frm fcsr sstatus mstatus mepc sepc mie mip".split())


def integer(random: Random) -> int:
    """64 bits, often a corner or near one."""
    kind = random.random()
    if kind < 0.6:
        return random.choice(INTEGERS)
    if kind < 0.75:
        return (random.choice(INTEGERS) + random.randint(-3, 3)) & U64
    return random.getrandbits(64) >> random.choice((0, 0, 0, 16, 32, 48))


def floating(random: Random) -> int:
    """The image of an f register: a half, single or double, sometimes badly boxed."""
    kind = random.random()
    if kind < 0.42:
        value = random.choice(DOUBLE) if random.random() < 0.6 else random.getrandbits(63)
        return value | random.getrandbits(1) << 63
    if kind < 0.84:
        value = random.choice(SINGLE) if random.random() < 0.6 else random.getrandbits(31)
        return 0xFFFF_FFFF_0000_0000 | value | random.getrandbits(1) << 31
    if kind < 0.94:
        return 0xFFFF_FFFF_FFFF_0000 | random.choice(HALF) | random.getrandbits(1) << 15
    return random.getrandbits(64)


def constants(random: Random, size: int) -> bytes:
    """A page to load from: integers in the first half, floating-point numbers in the second."""
    half = size // 16
    values = [integer(random) for _ in range(half)] + [floating(random) for _ in range(half)]
    return struct.pack(f"<{2 * half}Q", *values)


def immediate(random: Random, bits: int, signed_bit: int) -> int:
    """A value that an immediate of these bits can have."""
    value = bit_pattern(random, bits, signed_bit)
    return value - (value >> signed_bit << signed_bit + 1) if signed_bit >= 0 else value


def bit_pattern(random: Random, bits: int, signed_bit: int) -> int:
    kind = random.random()
    if kind < 0.2:
        return 0
    if kind < 0.4:
        return bits
    if kind < 0.5 and signed_bit >= 0:
        return 1 << signed_bit
    if kind < 0.6:
        return bits & ~(1 << signed_bit) if signed_bit >= 0 else bits & -bits
    if kind < 0.8:
        return random.getrandbits(4) & bits or bits & -bits
    return random.getrandbits(64) & bits


def csr(random: Random, writes: bool) -> int:
    """A CSR number: one that is there, seldom any."""
    kind = random.random()
    if kind < 0.4:
        return random.choice(USUAL)
    if kind < 0.95 or writes:
        return random.choice(WRITABLE)
    number = random.choice(READ_ONLY + tuple(KEPT)) if kind < 0.98 else random.getrandbits(12)
    return number if number not in ONLY_ON_SPIKE else random.choice(USUAL)
