"""Options that say who knows the names of functions, beside the program."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vm.machine import Machine


class Moved(click.ParamType):
    """An ELF file, where it was linked or moved by an offset."""

    name = "symbols"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        file, plus, offset = value.rpartition("+0x")
        if not plus or os.path.exists(value):
            return value, 0
        try:
            return file, int(offset, 16)
        except ValueError:
            self.fail(f"{value!r}: write FILE, or FILE+0x1000 for one that was moved", param, ctx)


SYMBOLS_OPTION = click.option("--symbols", type=Moved(), metavar="FILE[+0xOFFSET]", multiple=True,
                              help="Another ELF file of the guest, such as vmlinux; repeatable.")
LINUX_OPTION = click.option("--linux", is_flag=True, help="Find the symbols of a Linux in its memory, at the end.")


def find_linux(machine: Machine) -> None:
    """From now on names of its kernel are known. Raises LinuxError where there is none."""
    _ = machine.linux.symbols
