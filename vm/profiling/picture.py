"""The flame graph as a picture of pixels, drawn by matplotlib."""

from __future__ import annotations

import os
from typing import Any

from vm.errors import ConfigurationError
from vm.profiling.flame import boxes, color, rgb, shortened
from vm.profiling.tree import Node
from vm.whole_file import naming

INCHES, INCHES_A_ROW, DPI = 12.0, 0.22, 150
LETTERS = 160                               # as many fit into the whole width
NARROWEST = 1 / (INCHES * DPI)


def drawing() -> tuple[Any, Any]:
    """What matplotlib draws with. Raises ConfigurationError where it is missing."""
    try:
        from matplotlib.figure import Figure  # here: it is an extra
        from matplotlib.patches import Rectangle
    except ImportError as error:
        raise ConfigurationError("a picture needs matplotlib: pip install 'vm-emulator[plot]'; a flame graph as SVG "
                                 "does without") from error
    return Figure, Rectangle


def refuse_undrawable(path: str | os.PathLike[str]) -> None:
    """Raise ConfigurationError where no picture of that name can be drawn."""
    figure_class, _ = drawing()
    kinds = figure_class().canvas.get_supported_filetypes()
    kind = os.fsdecode(path).rpartition("/")[2].rpartition(".")[2].lower()
    if kind not in kinds:
        raise ConfigurationError(f"{os.fsdecode(path)}: its name says what kind of picture it is, such as .png; there "
                                 f"are {', '.join(sorted(kinds))}")


def write_picture(root: Node, subtitle: str, path: str | os.PathLike[str]) -> None:
    """Write it in the format that the name says, such as .png. Raises ConfigurationError for another, and without
    matplotlib.
    """
    refuse_undrawable(path)
    figure_class, rectangle_class = drawing()
    drawn = list(boxes(root, NARROWEST))
    levels = 1 + max((box.level for box in drawn), default=0)
    figure = figure_class(figsize=(INCHES, 0.8 + levels * INCHES_A_ROW), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    for box in drawn:
        axes.add_patch(rectangle_class((box.left, box.level), box.width, 0.95, edgecolor="white", linewidth=0.3,
                                       facecolor=rgb(color(box.node.frame))))
        letters = int(box.width * LETTERS)
        if letters >= 3:
            axes.text(box.left + 0.002, box.level + 0.45, shortened(box.node.frame.name, letters), fontsize=7,
                      family="monospace", verticalalignment="center", clip_on=True, parse_math=False)
    axes.set(xlim=(0, 1), ylim=(0, levels), xticks=[], yticks=[])
    axes.set_title(subtitle, fontsize=9, loc="left")
    for spine in axes.spines.values():
        spine.set_visible(False)
    with naming(path):
        figure.savefig(path)
