"""`--screen` and `--screenshot`: a screen, with a keyboard and a tablet, and a picture of what it shows."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from vm.errors import ConfigurationError

if TYPE_CHECKING:
    from vm.machine import Machine

ORDINARY = "1280x800"
ON_THE_SCREEN = "console=tty0"          # first on a kernel's command line: its messages show there, too


def size_of(text: str) -> tuple[int, int]:
    """Width and height of `WxH`. Raises ConfigurationError."""
    if not (found := re.fullmatch(r"(\d+)x(\d+)", text, re.ASCII)):
        raise ConfigurationError(f"--screen {text}: write a size as {ORDINARY}, or none where another option follows")
    return int(found[1]), int(found[2])


def attach_screen(machine: Machine, text: str) -> None:
    """A screen of that size, a keyboard and a tablet."""
    from vm.devices import Keyboard, Screen, Tablet

    for device in (Screen(*size_of(text)), Keyboard(), Tablet()):
        machine.attach(device)


def refuse_unfit(screen: str | None, screenshot: str | None) -> None:
    """Raises UsageError for a picture of no screen, or one that cannot be written: at the end it would be lost."""
    folder = os.path.dirname(screenshot or "") or "."
    if screenshot is not None and screen is None:
        raise click.UsageError("--screenshot goes with --screen", click.get_current_context())
    if screenshot is not None and (os.path.isdir(screenshot) or not os.access(folder, os.W_OK)):
        raise click.UsageError(f"--screenshot {screenshot}: is a folder, or in none that can be written; name a file",
                               click.get_current_context())
