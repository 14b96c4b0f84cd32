"""A picture of what happened when and where: points over time and address, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from vm.sizes import PAGE_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 760, 260, 150, 26, 22
MOST_POINTS = 4_000                     # of more, evenly many are left out
MOST_LABELS = 8
DOT = 2
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")      # by group


def scatter(steps: NDArray[Any], addresses: NDArray[Any], groups: NDArray[Any], names: Sequence[str],
            title: str) -> str:
    """A self-contained <svg> of three arrays of one length: time goes right, and addresses go up.

    Pages in which nothing is are left out, so that code, data and stack are seen side by side. `groups` are indices of
    `names`, each of which has a colour.
    """
    shown = slice(None, None, max(1, -(-len(steps) // MOST_POINTS)))
    steps, addresses, groups = (np.asarray(values)[shown].astype(np.uint64) for values in (steps, addresses, groups))
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
             f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
             f'<text x="{LEFT}" y="14">{escape(title)}</text>',
             f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - 8}" height="{HEIGHT - TOP - BOTTOM}" fill="none" '
             'stroke="#999"/>']
    if len(steps):
        lines += [*points(steps, addresses, groups), *labels(steps, addresses)]
    for number, name in enumerate(names):
        lines.append(f'<text x="{WIDTH - 8 - 70 * (len(names) - number)}" y="14" '
                     f'fill="{COLOURS[number % len(COLOURS)]}">{escape(name)}</text>')
    return "\n".join([*lines, "</svg>\n"])


def places(addresses: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The pages that there are, in order; and for each address how many of them, and parts of one, are below it."""
    pages, numbers = np.unique(addresses // np.uint64(PAGE_SIZE), return_inverse=True)
    return pages, numbers + (addresses % np.uint64(PAGE_SIZE)).astype(np.float64) / PAGE_SIZE


def points(steps: NDArray[Any], addresses: NDArray[Any], groups: NDArray[Any]) -> list[str]:
    pages, heights = places(addresses)
    width, height = WIDTH - LEFT - 8 - DOT, HEIGHT - TOP - BOTTOM - DOT
    span = max(int(steps.max() - steps.min()), 1)
    across = LEFT + (steps - steps.min()).astype(np.float64) * width / span
    down = TOP + height - heights * height / len(pages)
    return [f'<rect x="{x:.1f}" y="{y:.1f}" width="{DOT}" height="{DOT}" fill="{COLOURS[group % len(COLOURS)]}"/>'
            for x, y, group in zip(across.tolist(), down.tolist(), groups.tolist(), strict=True)]


def labels(steps: NDArray[Any], addresses: NDArray[Any]) -> list[str]:
    """Where pages begin, and which steps are first and last."""
    pages, _ = places(addresses)
    height = HEIGHT - TOP - BOTTOM
    every = -(-len(pages) // MOST_LABELS)
    lines = [f'<text x="{LEFT - 6}" y="{TOP + height - number * height / len(pages):.1f}" text-anchor="end">'
             f"{int(pages[number]) * PAGE_SIZE:#x}</text>" for number in range(0, len(pages), every)]
    lines.append(f'<text x="{LEFT}" y="{HEIGHT - 8}">step {int(steps.min()):,}</text>')
    lines.append(f'<text x="{WIDTH - 8}" y="{HEIGHT - 8}" text-anchor="end">{int(steps.max()):,}</text>')
    return lines
