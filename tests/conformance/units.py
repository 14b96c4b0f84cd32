"""Pieces of random programs: a few instruction words that are placed together, and what they are made of.

Register use: x2, x8, x9, x14 usually point into DATA or CONSTANTS, x31 counts backward branches down, x4 is where the
frame goes on after a failed fetch. Random instructions seldom write them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.conformance.frame import DATA, DATA_SIZE
from vm_native.riscv.instructions import encode

POINTERS = (2, 8, 9, 14)
RESUME, FUEL = 4, 31
KEPT = {RESUME, FUEL, *POINTERS}


@dataclass
class Unit:
    """A few instruction words. `words(here, target)` gives them for where they stand and where branches lead.

    Addresses are offsets in the image, so that code runs wherever the image is mapped.
    """

    size: int
    words: Callable[[int, int], list[int]]
    ahead: int = 0              # how many units a branch skips; negative: goes back


def address_into(register: int, here: int, target: int) -> list[int]:
    """auipc and addi: `register` = `target`, as seen from `here`."""
    distance = target - here
    upper = (distance + 0x800) >> 12 << 12
    return [encode("auipc", imm=upper, rd=register), encode("addi", imm=distance - upper, rd=register, rs1=register)]


def data_address(random: Random) -> int:
    """An offset in the image worth pointing at: aligned, odd, at the end of a page."""
    page = random.randrange(DATA, DATA + DATA_SIZE, 0x1000)
    kind = random.random()
    if kind < 0.5:
        return page + random.randrange(0, 0x1000, 16)
    if kind < 0.7:
        return page + random.randrange(0x1000)
    return min(page + 0x1000 + random.randrange(-9, 9), DATA + DATA_SIZE - 16)
