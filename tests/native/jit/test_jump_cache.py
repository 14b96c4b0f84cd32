"""Compiled code finds in the jump cache what the run loop has put there, at whichever address it stands.

Both work out the entry of a pc, the one in C (`jump_cache_index`), the other in instructions of its own.
"""

from random import Random

import pytest

from tests.assembler import BASE
from vm_native.riscv.instructions import encode

TABLE, TARGETS = BASE + 0x1000, range(BASE + 0x4000, BASE + 0xF_0000, 2)
COUNT = 500
LOOP = """
    .option norvc
1:  ld   t0, (s1)
    jalr ra, t0
back:
    addi s1, s1, 8
    bne  s1, s2, 1b
    wfi
"""


def entry_of(pc: int) -> int:
    """Pages apart by a power of two do not share their entries."""
    return (pc >> 1 ^ pc >> 6) % 32768


def places(random: Random, used: list[int]) -> list[int]:
    """Addresses that share an entry neither with each other nor with those in use, and are two instructions apart."""
    entries, found = {entry_of(pc) for pc in used}, []
    while len(found) < COUNT:
        pc = random.choice(TARGETS)
        if entry_of(pc) not in entries and all(abs(pc - other) >= 8 for other in found):
            entries.add(entry_of(pc))
            found.append(pc)
    return found


def ret(pc: int, back: int) -> int:
    """Back by a register: the entry is worked out while it runs."""
    return encode("jalr", rd=0, rs1=1)


def jump(pc: int, back: int) -> int:
    """Back into another page: the entry is known when the trace is compiled."""
    return encode("jal", rd=0, imm=back - pc)


@pytest.mark.parametrize("instruction", [ret, jump])
def test_every_address_is_found(instruction, compiled, counters):
    g = compiled(LOOP)
    back = g.address("back")
    targets = places(Random(7), [BASE, back, back + 8])
    for number, pc in enumerate(targets):
        g.store(TABLE + 8 * number, pc)
        g.memory.write(pc, instruction(pc, back).to_bytes(4, "little"))

    def unknown() -> int:
        """How often the run loop had to look a target up, while all were jumped to once."""
        before = counters(g)["exits"]["unknown"]
        g["s1"], g["s2"], g.hart.pc = TABLE, TABLE + 8 * COUNT, BASE
        g.finish()
        return counters(g)["exits"]["unknown"] - before

    assert unknown() > COUNT / 2        # all are new
    assert unknown() <= 1               # wfi
