"""`--screen` and `--screenshot`: a screen, with a keyboard and a tablet, and a picture of what it shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from vm.cli.places import refuse_unwritable

if TYPE_CHECKING:
    from vm.machine import Machine

ORDINARY = "1280x800"
ON_THE_SCREEN = "console=tty0"          # first on a kernel's command line: its messages show there, too


class Size(click.ParamType):
    """`WxH`: width and height."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if not (found := re.fullmatch(r"(\d+)x(\d+)", value, re.ASCII)):
            self.fail(f"{value}: write a size as {ORDINARY}, or none where another option follows", param, ctx)
        return int(found[1]), int(found[2])


def screen_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options `--screen` and `--screenshot`."""
    for option in (
        click.option("--screenshot", metavar="FILE", help="Write what the screen shows at the end to FILE, as PNG."),
        click.option("--screen", type=Size(), is_flag=False, flag_value=ORDINARY, metavar="[WxH]",
                     help=f"A screen of so many pixels, {ORDINARY} where none are said, with a keyboard and a tablet."),
    ):
        command = option(command)
    return command


def attach_screen(machine: Machine, size: tuple[int, int]) -> None:
    """A screen of that size, a keyboard and a tablet."""
    from vm.devices import Keyboard, Screen, Tablet

    for device in (Screen(*size), Keyboard(), Tablet()):
        machine.attach(device)


def refuse_unfit_screenshot(screenshot: str | None, screen: tuple[int, int] | None) -> None:
    """Raises UsageError for a picture of no screen, or one that cannot be written."""
    if screenshot is not None and screen is None:
        raise click.UsageError("--screenshot goes with --screen", click.get_current_context())
    if screenshot is not None:
        refuse_unwritable("--screenshot", screenshot)
