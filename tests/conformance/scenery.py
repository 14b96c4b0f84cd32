"""What a random program finds around it: privilege mode, paging, PMP, delegation, status bits. All follow from a seed."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

from tests.conformance.frame import Parameters

LOCKED, NAPOT = 0x80, 0x18


class Scenery(NamedTuple):
    seed: int
    mode: int

    def arrange(self, parameters: Parameters) -> bytes:
        """Fill in `parameters`; returns the page tables."""
        random = Random(self.seed + 1)
        parameters.mode = self.mode
        parameters.mstatus = random.choice((0x2000, 0x4000, 0x6000, 0x6000)) if parameters.floating else 0
        parameters.fcsr = random.choice((0, 0, 0x20, 0x40, 0x60, 0x80)) | random.choice((0, 31))
        parameters.counteren = random.choice((0, 7, 7, 2))
        # Entry 0: what lies below RAM is out of reach, in M-mode too, as the two machines differ there.
        parameters.pmpaddr[0] = (1 << 31) - 1 >> 3
        parameters.pmpcfg[0] = LOCKED | NAPOT
        return b""


def sceneries(extensions: frozenset[str]) -> st.SearchStrategy[Scenery]:
    return st.builds(Scenery, st.integers(0, (1 << 32) - 1), st.just(3))


def random_scenery(random: Random, extensions: frozenset[str]) -> Scenery:
    return Scenery(random.getrandbits(32), 3)
