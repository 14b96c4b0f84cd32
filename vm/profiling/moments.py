"""The samples of a profile in order of time, for formats that show when something was."""

from __future__ import annotations

from typing import NamedTuple

from vm.profiling.tree import Path


class Moment(NamedTuple):
    """One sample: where a hart was in a piece of guest time."""

    begin_ns: int
    end_ns: int
    process: str
    hart: int
    path: Path
