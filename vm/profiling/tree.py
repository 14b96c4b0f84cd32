"""What the samples of a profile add up to: paths of named frames, the tree of calls, and a line for each function."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple


class Frame(NamedTuple):
    """One level of a stack. `kind` is a privilege, "waiting", or "group": what samples are put together by."""

    name: str
    kind: str


Path = tuple[Frame, ...]                    # the outermost first


class Weighted(NamedTuple):
    """All samples with one path."""

    path: Path
    weight: int


@dataclass
class Node:
    """A call, with all that it has led to. Children are in order of their names."""

    frame: Frame
    weight: int = 0                         # of it and of what it called
    own: int = 0
    children: dict[Frame, Node] = field(default_factory=dict)


class Line(NamedTuple):
    """A function in a table. Shares are of all samples, from 0 to 1."""

    name: str
    kind: str                               # the word of a privilege, as "user"; "waiting"
    own: int                                # steps, or guest nanoseconds, in the function itself
    total: int                              # and in what it called; a recursion counts once
    own_share: float
    total_share: float


def call_tree(stacks: Iterable[Weighted], name: str) -> Node:
    """The tree of all, below a root of that name."""
    root = Node(Frame(name, "group"))
    for path, weight in sorted(stacks):
        node = root
        node.weight += weight
        for frame in path:
            node = node.children.setdefault(frame, Node(frame))
            node.weight += weight
        node.own += weight
    return root


def lines(stacks: Iterable[Weighted]) -> list[Line]:
    """The functions, those with the most of their own first."""
    own: dict[Frame, int] = {}
    total: dict[Frame, int] = {}
    everything = 0
    for path, weight in stacks:
        everything += weight
        own[path[-1]] = own.get(path[-1], 0) + weight
        for frame in {frame for frame in path if frame.kind != "group"}:
            total[frame] = total.get(frame, 0) + weight
    found = [Line(frame.name, frame.kind, own.get(frame, 0), weight, own.get(frame, 0) / everything,
                  weight / everything) for frame, weight in total.items()]
    return sorted(found, key=lambda line: (-line.own, -line.total, line.name, line.kind))
