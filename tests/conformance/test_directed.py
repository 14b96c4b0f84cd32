"""Directed programs in lockstep with Spike: privileged rules that a random stream seldom meets."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.assembler import assemble_elf
from tests.conformance import spike
from tests.conformance.compare import Lockstep
from tests.conformance.frame import Parameters, build
from tests.conformance.generator import Unit as CodeUnit
from tests.conformance.generator import assemble, by_name
from tests.conformance.image import Image
from tests.conformance.ours import Ours
from tests.conformance.rules import ONLY_ON_SPIKE
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.registers import CSR_NUMBERS

PROGRAMS = Path(__file__).parent / "programs"
ISAS = (isa_strings.DEFAULT, "rv64gc_zicntr_svade")
LIMIT = 400_000
LEVELS = {"sv39": 3, "sv48": 4, "sv57": 5}
MODES = {"U": 0, "S": 1, "M": 3}


@pytest.fixture(scope="module", params=ISAS)
def ours(request):
    return Ours(request.param)


def compare(program: Image, ours: Ours) -> None:
    records = spike.run(program, ours.isa, LIMIT)
    assert len(records) < LIMIT, "the program does not end"
    lockstep = Lockstep(ours)
    assert lockstep.compare(program, records) == len(records)
    assert ours.hart.pc == program.symbols["finish"]


def directed(name: str, definitions: str = "") -> Image:
    source = definitions + (PROGRAMS / "common.inc").read_text() + (PROGRAMS / f"{name}.S").read_text()
    elf = ELFFile(io.BytesIO(assemble_elf(source).read_bytes()))
    symbols = {symbol.name: symbol["st_value"] for symbol in elf.get_section_by_name(".symtab").iter_symbols()}
    data = elf.get_section_by_name(".text").data().ljust(0x8000, b"\0")
    return Image(data, {name: symbols[name] for name in ("tohost", "finish")})


@pytest.mark.parametrize("name", sorted(path.stem for path in PROGRAMS.glob("*.S") if path.stem != "paging"))
def test_directed_program_agrees_with_spike(name, ours):
    compare(directed(name), ours)


@pytest.mark.parametrize("mode", LEVELS)
def test_every_rule_of_paging_agrees_with_spike(mode, ours):
    if mode.capitalize() not in ours.machine.isa.extensions:
        pytest.skip(f"{ours.isa} has no {mode}")
    compare(directed("paging", f".equ LEVELS, {LEVELS[mode]}\n"), ours)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("operation", ["csrrs", "csrrwi"])
def test_every_csr_agrees_with_spike(mode, operation, ours):
    """Reading all that have a name, and some numbers that have none; csrrwi, which writes, the read-only ones of them.

    Which of the 4,096 numbers are legal is test_legality.py's business.
    """
    numbers = sorted({*CSR_NUMBERS.values(), *range(0, 4096, 24)} - ONLY_ON_SPIKE.keys())
    numbers = [number for number in numbers if operation != "csrrwi" or number >> 10 == 3]
    source = {"zimm": 0} if operation == "csrrwi" else {"rs1": 0}
    words = [by_name(operation, csr=number, rd=10, **source) for number in numbers]
    parameters = Parameters([0] * 32, [0] * 32, mode=MODES[mode], counteren=2**32 - 1, mstatus=0x6000)
    parameters.pmpaddr[7], parameters.pmpcfg[7] = 2**54 - 1, 0x1F
    compare(build(parameters, b"", assemble([CodeUnit(4, lambda *_, w=word: [w]) for word in words]), b""), ours)
