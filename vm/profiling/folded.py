"""Folded stacks: a line for each, the frames from the outermost on with semicolons between, and a number.

What flamegraph.pl reads, and speedscope and others beside it.
"""

from __future__ import annotations

from collections.abc import Iterable

from vm.profiling.tree import Weighted


def folded_stacks(stacks: Iterable[Weighted]) -> str:
    """In order of their text."""
    return "".join(sorted(f"{';'.join(clean(frame.name) for frame in path)} {weight}\n" for path, weight in stacks))


def clean(name: str) -> str:
    """A name has no semicolon and no end of line there."""
    return " ".join(name.replace(";", ",").split())
