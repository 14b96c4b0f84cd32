"""Directed programs in lockstep with Spike: privileged rules that a random stream seldom meets."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.assembler import assemble_elf
from tests.conformance import spike
from tests.conformance.compare import Lockstep
from tests.conformance.coverage import missing_causes
from tests.conformance.frame import Parameters, build
from tests.conformance.generator import assemble
from tests.conformance.image import Image
from tests.conformance.ours import Ours
from tests.conformance.rules import ONLY_ON_SPIKE
from tests.conformance.scenery import ALL, NAPOT, R_W_X
from tests.conformance.units import Unit
from vm_native.riscv.csrs import mask
from vm_native.riscv.instructions import encode
from vm_native.riscv.registers import CSR_NUMBERS

PROGRAMS = Path(__file__).parent / "programs"
WHOLE, USUAL, NARROW = "default_zkr", "rv64gc_zicntr_svade", "rv64ima_zicntr_zifencei_svade"
LIMIT = 400_000
DIRTY = mask("mstatus", "FS")
MODES = {"U": 0, "S": 1, "M": 3}
LEVELS = {"sv39": 3, "sv48": 4, "sv57": 5}
SPECIAL = ("paging", "misaligned_atomics")          # programs that have a test of their own
NAMES = sorted({path.stem for path in PROGRAMS.glob("*.S")}.difference(SPECIAL))
CASES = [(name, isa) for name in NAMES for isa in (WHOLE, USUAL)]
CASES += [(name, NARROW) for name in ("interrupts", "misaligned_jumps", "pmp", "privilege_stack", "traps")]


@cache
def machine(isa: str) -> Ours:
    return Ours(isa)


def compare(program: Image, isa: str, misaligned: bool = True) -> Lockstep:
    ours = machine(isa)
    records = spike.run(program, isa, LIMIT, misaligned)
    assert len(records) < LIMIT, "the program does not end"
    lockstep = Lockstep(ours)
    assert lockstep.compare(program, records) == len(records)
    assert ours.hart.pc == program.symbols["finish"]
    return lockstep


def directed(name: str, definitions: str = "") -> Image:
    source = definitions + (PROGRAMS / "common.inc").read_text() + (PROGRAMS / f"{name}.S").read_text()
    elf = ELFFile(io.BytesIO(assemble_elf(source).read_bytes()))
    symbols = {symbol.name: symbol["st_value"] for symbol in elf.get_section_by_name(".symtab").iter_symbols()}
    data = elf.get_section_by_name(".text").data().ljust(0x8000, b"\0")
    return Image(data, {name: symbols[name] for name in ("tohost", "finish")})


@cache
def causes(name: str, isa: str, definitions: str = "") -> frozenset[int]:
    """What a program raises; it is run once, for whichever test comes first."""
    return frozenset(compare(directed(name, definitions), isa).causes)


def levels(mode: str) -> str:
    return f".equ LEVELS, {LEVELS[mode]}\n"


@pytest.mark.parametrize("name, isa", CASES)
def test_directed_program_agrees_with_spike(name, isa):
    causes(name, isa)


def test_every_cause_is_raised():
    """Every exception and interrupt that this kind of hart can raise; coverage.py says which it cannot, and why."""
    found = frozenset().union(*(causes(name, isa) for name, isa in CASES))
    found |= causes("misaligned_atomics", WHOLE) | causes("paging", WHOLE, levels("sv39"))
    assert missing_causes(found) == []


@pytest.mark.parametrize("mode, isa", [*((mode, WHOLE) for mode in LEVELS), ("sv39", USUAL)])
def test_every_rule_of_paging_agrees_with_spike(mode, isa):
    causes("paging", isa, levels(mode))


def test_misaligned_atomics_agree_with_a_spike_without_zicclsm():
    """There the cause is the same: no value of Spike's is taken over."""
    assert not compare(directed("misaligned_atomics"), WHOLE, misaligned=False).adopted


@pytest.mark.parametrize("isa", (WHOLE, USUAL))
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("operation", ["csrrs", "csrrwi"])
def test_every_csr_agrees_with_spike(mode, operation, isa):
    """Reading all that have a name, and some numbers that have none; csrrwi, which writes, the read-only ones of them.

    Which of the 4,096 numbers are legal is test_legality.py's business.
    """
    numbers = sorted({*CSR_NUMBERS.values(), *range(0, 4096, 24)} - ONLY_ON_SPIKE.keys())
    numbers = [number for number in numbers if operation != "csrrwi" or number >> 10 == 3]
    source = {"zimm": 0} if operation == "csrrwi" else {"rs1": 0}
    words = [encode(operation, csr=number, rd=10, **source) for number in numbers]
    parameters = Parameters([0] * 32, [0] * 32, mode=MODES[mode], counteren=2**32 - 1, mstatus=DIRTY)
    parameters.pmpaddr[7], parameters.pmpcfg[7] = ALL, NAPOT | R_W_X
    compare(build(parameters, b"", assemble([Unit(4, lambda *_, w=word: [w]) for word in words]), b""), isa)
