"""Options that say which code counts, and where something is written."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vm.loaders import Program

ADDRESSES = re.compile(r"(0x[0-9a-fA-F]+|\d+)-(0x[0-9a-fA-F]+|\d+)")


def place_in(program: Program | None, text: str | None) -> range | str | None:
    """What `--where` means: addresses from A up to and without B, or the name of a function."""
    if text is None or (program is not None and text in program.symbols):
        return text
    found = ADDRESSES.fullmatch(text)
    if found is None:
        of = "" if program is None else f" of {program.path}"
        raise click.UsageError(f"--where {text}: is no function{of}, and no addresses, as in 0x80000000-0x80001000",
                               click.get_current_context())
    start, end = (int(number, 0) for number in found.groups())
    return range(start, end)


def refuse_unwritable(**paths: str | None) -> None:
    """Raises UsageError now: at the end what is to be written would be lost. Paths by the names of their options."""
    for name, path in paths.items():
        folder = os.path.dirname(path or "") or "."
        if path and not os.access(folder, os.W_OK):
            raise click.UsageError(f"--{name} {path}: no folder that can be written: {folder}",
                                   click.get_current_context())
