"""What compiled code does itself, without a call of the interpreter's function: `stats()` counts these."""

import struct
from pathlib import Path

import pytest

import vm
from tests.assembler import BASE
from tests.native.arithmetic.ieee754 import FORMATS, MODES, RMM, RNE
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.csrs import mask
from vm_native.riscv.instructions import BY_NAME, ROWS, encode

EXTENSIONS = isa_strings.parse(isa_strings.DEFAULT).extensions
DYNAMIC = 7
COUNT, LOOPS = 5, 200                           # a register, and what is in it
HOST = set(Path("/proc/cpuinfo").read_text().split())
NEEDED = {"clmul": "pclmulqdq", "aes64ks2": "", "aes64": "aes"}     # of the host, by first letters; of halves, f16c
INTEGER = [
    row.name for row in ROWS
    if row.is_on(EXTENSIONS) and row.extensions[0].startswith(("M", "Zb", "Zicond", "Zk")) and row.length == 4
    and row.uop not in ("", "sm4ed", "sm4ks")
]  # fmt: skip
FORMULAS = ("fadd", "fsub", "fmul", "fdiv", "fsqrt", "fmadd", "fmsub", "fnmsub", "fnmadd", "fround", "froundnx")
INTEGERS = ("w", "wu", "l", "lu")
ROUNDED = [
    *(f"{name}.{suffix}" for name in FORMULAS for suffix in FORMATS),
    *(f"fcvt.{integer}.{suffix}" for integer in INTEGERS for suffix in FORMATS),
    *(f"fcvt.{suffix}.{integer}" for integer in INTEGERS for suffix in FORMATS),
    *(f"fcvt.{a}.{b}" for a in FORMATS for b in FORMATS if a != b),
]  # fmt: skip
WITHOUT_MODE = ("fmin", "fmax", "fminm", "fmaxm", "feq", "flt", "fle", "fltq", "fleq", "fsgnj", "fsgnjn", "fsgnjx",
                "fclass")  # fmt: skip
UNROUNDED = [
    *(f"{name}.{suffix}" for name in WITHOUT_MODE for suffix in FORMATS),
    "fcvtmod.w.d", "fmv.x.w", "fmv.w.x", "fmv.x.d", "fmv.d.x", "fmv.x.h", "fmv.h.x",
]  # fmt: skip


def fallbacks(name: str, values: tuple[int, int, int], rounding: int = RNE, frm: int = RNE) -> int:
    """How many there are in a loop that performs the instruction twice in each turn."""
    row = BY_NAME[name]
    needed = next((NEEDED[start] for start in NEEDED if name.startswith(start)), "f16c" if ".h" in name else "")
    if needed and needed not in HOST:
        pytest.skip(f"{name} needs {needed}")
    machine = vm.Machine(memory=1 << 20, engine="jit", settings=vm.Settings(hot=0))
    hart = machine.harts[0]
    places = {operand: place for operand, place in zip(("rd", "rs1", "rs2", "rs3"), (10, 11, 12, 13), strict=True)
              if operand in row.registers}
    word = encode(name, imm=1 if row.pieces else 0, **places, **({"rm": rounding} if row.rounds else {}))
    words = [word, word, encode("addi", rd=COUNT, rs1=COUNT, imm=-1), encode("bne", rs1=COUNT, rs2=0, imm=-12)]
    machine.memory.write(BASE, struct.pack("<5I", *words, encode("jal", rd=0)))
    hart.pc, hart.x[COUNT], hart.csr["mstatus"], hart.csr["frm"] = BASE, LOOPS, mask("mstatus", "FS"), frm
    for number, value in zip((11, 12, 13), values, strict=True):
        hart.x[number] = hart.f_bits[number] = value
    machine.run(instructions=4 * LOOPS)
    assert hart.x[COUNT] == 0
    count = machine.stats()["jit"]["fallbacks"]
    machine.close()
    return count


def numbers(name: str) -> tuple[int, int, int]:
    """Three normal numbers of the instruction's format, or integers that are none exactly."""
    source = name.split(".")[-1]
    if source not in FORMATS or name.startswith(("fmv.w", "fmv.d", "fmv.h")):
        return 2**63 + 12345, 7, 9
    f = FORMATS[source]
    one = f.emax << (f.precision - 1)
    return tuple(f.box(one + offset) for offset in (5, 1 << f.precision - 1, 1 << f.precision - 2))


@pytest.mark.parametrize("name", INTEGER)
def test_integers(name):
    assert fallbacks(name, (0x0123_4567_89AB_CDEF, 0x0706_0504_0302_0100, 0)) == 0


@pytest.mark.parametrize("name", UNROUNDED)
def test_floating_point_without_rounding(name):
    assert fallbacks(name, numbers(name)) == 0


@pytest.mark.parametrize("suffix", FORMATS)
def test_zeros(suffix):
    """Of which programs ask for the class, or the smaller, as often as of others."""
    zero, minus_zero = FORMATS[suffix].box(0), FORMATS[suffix].box(FORMATS[suffix].sign)
    for name in ("fclass", "fmin", "fmax"):
        assert fallbacks(f"{name}.{suffix}", (zero, minus_zero, zero)) == 0
        assert fallbacks(f"{name}.{suffix}", (minus_zero, zero, zero)) == 0


@pytest.mark.parametrize("name", ROUNDED)
def test_rounding(name):
    """In every mode that the host has, in the instruction or in frm; to integers also in the other."""
    for mode in MODES:
        if mode != RMM:
            assert fallbacks(name, numbers(name), DYNAMIC, mode) == 0
        if mode != RMM or name.startswith(("fcvt.w", "fcvt.l", "fround")):
            assert fallbacks(name, numbers(name), mode) == 0
            assert fallbacks(name, numbers(name), mode, MODES[mode - 1]) == 0
