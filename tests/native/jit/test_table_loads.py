"""Loads from a table, of which the address is a sum that the load itself replaces: compiled code has the host do both
in one. Also where the address is outside of RAM, and the sum is wanted as it is."""

import struct
from random import Random

import pytest

from tests.assembler import BASE
from vm.devices import Device, reads

TABLE = BASE + 0x8_0000
END = BASE + (2 << 20)                  # of RAM
MMIO = 0x3000_0000
ENTRIES, TURNS = 64, 200
FORMATS = {"lb": "<b", "lbu": "<B", "lh": "<h", "lhu": "<H", "lw": "<i", "lwu": "<I", "ld": "<q"}
U64 = (1 << 64) - 1

# a0 index, a1 table, a2 sum of what has been loaded, s0 turns
PROGRAM = """
    .option norvc
1:  {index}
    {address}
    {load} a5, {offset}(a5)
    add  a2, a2, a5
    addi s0, s0, -1
    bnez s0, 1b
    wfi
"""
INDEX = {
    "as it is": "addi a0, a0, 1; andi a0, a0, 63",
    "a sum of 32 bits": "addiw a0, a0, 1; slliw a0, a0, 26; srliw a0, a0, 26",
}
ADDRESS = {
    0: ("add a5, a0, a1", "add a5, a1, a0", "mv a5, a0; add a5, a5, a1", "mv a5, a1; add a5, a0, a5"),
    1: ("slli a5, a0, 1; add a5, a5, a1",),
    2: ("slli a5, a0, 2; add a5, a1, a5", "slli a3, a0, 2; add a5, a3, a1; mv a4, a3"),
    3: ("slli a5, a0, 3; add a5, a5, a1",),
}


class Port(Device):
    """Says at which offset it was asked."""

    @reads(0)
    def first(self) -> int:
        return 1000

    @reads(8)
    def second(self) -> int:
        return 1008


def run(g, turns: int = TURNS, table: int = TABLE) -> int:
    g["a0"], g["a1"], g["s0"] = 0, table, turns
    g.finish()
    return g["a2"]


@pytest.mark.parametrize("load", FORMATS)
@pytest.mark.parametrize("index", INDEX)
def test_what_is_loaded(index, load, compiled):
    """Each sum in turn, at offsets 0, 8 and so on."""
    content = Random(load).randbytes((ENTRIES + 16) * 8)
    sums = [(shift, address) for shift, addresses in ADDRESS.items() for address in addresses]
    loads = "; ".join(f"{address}; {load} a5, {8 * i}(a5); add a2, a2, a5" for i, (_, address) in enumerate(sums))
    g = compiled(f".option norvc\n1: {INDEX[index]}; {loads}; addi s0, s0, -1; bnez s0, 1b; wfi")
    g.memory.write(TABLE, content)
    found = [struct.unpack_from(FORMATS[load], content, 8 * i + (turn % ENTRIES << shift))[0]
             for turn in range(1, TURNS + 1) for i, (shift, _) in enumerate(sums)]
    assert run(g) == sum(found) & U64


@pytest.mark.parametrize("turns", [1, 2, 50])
def test_a_table_that_is_a_device(turns, compiled):
    """After some turns in RAM, by the same code."""
    g = compiled(PROGRAM.format(index="xori a0, a0, 1", address="slli a5, a0, 3; add a5, a5, a1", load="ld", offset=0),
                 devices=[(Port(), MMIO)])
    assert run(g) == 0
    g.hart.pc = BASE
    assert run(g, turns, MMIO) == sum((1000, 1008)[turn % 2] for turn in range(1, turns + 1))


@pytest.mark.parametrize("table", [END - 8, END - 4, END, TABLE + 4093, 0])
def test_at_the_ends_of_ram_and_without_alignment(table, guest, compiled):
    """Where the load traps, the register has the address, as the interpreter says."""
    source = "la t0, trap; csrw mtvec, t0\n" + PROGRAM.format(
        index="xori a0, a0, 1", address="slli a5, a0, 2; add a5, a5, a1", load="lw", offset=0
    ) + ".balign 4\ntrap: wfi"
    results = []
    for g in (compiled(source, memory="2M"), guest(source, engine="interpreter", memory="2M")):
        run(g)
        g.hart.pc = BASE
        g["a2"] = 0
        run(g, 10, table)
        hart = g.hart
        results.append([hart.pc, hart.csr["mepc"], hart.csr["mcause"], hart.csr["mtval"], *hart.x])
    assert results[0] == results[1]
