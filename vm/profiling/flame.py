"""A flame graph: the tree of calls as one SVG, which needs nothing beside it.

Each call is a box as wide as its share of the weight, on the box of its caller; siblings stand by name. The colour says
the privilege, its shade the function. Where the mouse is on a box, the viewer shows its numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from colorsys import hls_to_rgb
from typing import NamedTuple
from xml.sax.saxutils import escape
from zlib import crc32

from vm.profiling.tree import Frame, Node

WIDTH, MARGIN, HEADER, FOOTER = 1200, 10, 58, 30
ROW, LETTER, BASELINE = 18, 6.7, 13         # pixels: of a box with the line below it; of a letter; of the text in a box
NARROWEST = 0.1
ROOM_FOR_TEXT = 3 * LETTER
# Hue, saturation and lightness of each kind of frame; the lightness is of the darkest.
HUES = {"user": (95, 45, 66), "supervisor": (30, 85, 66), "machine": (210, 60, 70), "waiting": (0, 0, 82),
        "group": (0, 0, 88)}
SHADES, HUE_RANGE = 12, 36


class Box(NamedTuple):
    """A call in the picture. `left` and `width` are shares of the whole, `level` counts from the root."""

    node: Node
    level: int
    left: float
    width: float


def boxes(root: Node, narrowest: float = 0.0) -> Iterator[Box]:
    """Every call that is at least so wide, callers first."""
    waiting = [Box(root, 0, 0.0, 1.0)] if root.weight else []
    while waiting:
        box = waiting.pop()
        yield box
        left = box.left
        for child in box.node.children.values():
            width = child.weight / root.weight
            if width >= narrowest:
                waiting.append(Box(child, box.level + 1, left, width))
            left += width


def color(frame: Frame) -> tuple[int, int, int]:
    """Hue, saturation and lightness: of one function always the same."""
    hue, saturation, lightness = HUES[frame.kind]
    if frame.kind in ("waiting", "group"):
        return hue, saturation, lightness
    turn, shade = divmod(crc32(frame.name.encode(errors="replace")), SHADES)
    return hue + turn % HUE_RANGE - HUE_RANGE // 2, saturation, lightness + shade


def rgb(color: tuple[int, int, int]) -> tuple[float, float, float]:
    """Red, green and blue, up to 1, of hue, saturation and lightness."""
    hue, saturation, lightness = color
    return hls_to_rgb(hue / 360, lightness / 100, saturation / 100)


def written(color: tuple[int, int, int]) -> str:
    """As every viewer reads it: hsl() is of CSS 3."""
    return "#" + bytes(round(part * 255) for part in rgb(color)).hex()


def clean(text: str) -> str:
    """As it may stand in XML 1.0."""
    return escape("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))


def flame_graph(root: Node, unit: str, subtitle: str) -> str:
    """The document."""
    scale = WIDTH - 2 * MARGIN
    drawn = list(boxes(root, NARROWEST / scale))
    levels = 1 + max((box.level for box in drawn), default=0)
    height = HEADER + levels * ROW + FOOTER
    bottom = HEADER + (levels - 1) * ROW
    kinds = [kind for kind in HUES if kind != "group" and any(box.node.frame.kind == kind for box in drawn)]
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="monospace" font-size="11">',
        "<title>Flame graph</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="22" font-size="15" font-family="sans-serif">Flame graph</text>',
        f'<text x="{MARGIN}" y="42" font-family="sans-serif" fill="#555555">{clean(subtitle)}</text>',
        *(element(box, scale, bottom, root.weight, unit) for box in drawn),
        *legend(kinds, height),
        "</svg>\n"))


def element(box: Box, scale: int, bottom: int, whole: int, unit: str) -> str:
    """A box, with what it says under the mouse, and its name where there is room."""
    node = box.node
    x, y, width = MARGIN + box.left * scale, bottom - box.level * ROW, box.width * scale
    name = clean(node.frame.name)
    told = (f"{name} ({node.frame.kind})\n{node.weight:,} {unit}, {node.weight / whole:.2%}\n"
            f"own: {node.own:,} {unit}, {node.own / whole:.2%}")
    text = ""
    if width >= ROOM_FOR_TEXT:
        shown = clean(shortened(node.frame.name, int((width - 4) / LETTER)))
        text = f'<text x="{x + 3:.2f}" y="{y + BASELINE}">{shown}</text>'
    return (f'<g><title>{told}</title><rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{ROW - 1}" rx="1" '
            f'stroke="#ffffff" stroke-width="0.5" fill="{written(color(node.frame))}"/>{text}</g>')


def shortened(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[:max(letters - 2, 1)]}.."


def legend(kinds: list[str], height: int) -> Iterator[str]:
    for place, kind in enumerate(kinds):
        x, y = MARGIN + place * 110, height - 18
        yield (f'<rect x="{x}" y="{y}" width="11" height="11" fill="{written(HUES[kind])}"/>'
               f'<text x="{x + 16}" y="{y + 10}" font-family="sans-serif">{kind}</text>')
