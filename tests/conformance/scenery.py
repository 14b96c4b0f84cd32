"""What a random program finds around it: privilege mode, paging, PMP, delegation, status bits. All follow from a seed."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

from tests.conformance.frame import Parameters


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
        return b""


def sceneries(extensions: frozenset[str]) -> st.SearchStrategy[Scenery]:
    return st.builds(Scenery, st.integers(0, (1 << 32) - 1), st.just(3))
