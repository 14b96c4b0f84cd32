"""Options that say which code counts, and where something is written."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from vm.whole_file import naming

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from vm.loaders import Program

STANDARD_OUTPUT = "-"               # as the path of a file to write
STDOUT = 1
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
    if not start < end <= 1 << 64:
        raise click.UsageError(f"--where {text}: A-B is from A up to and without B, in 64 bits",
                               click.get_current_context())
    return range(start, end)


def refuse_unwritable(option: str, path: str, whole: bool = False) -> None:
    """Raises UsageError now: at the end what is to be written would be lost.

    `whole`: by vm.whole_file, which makes a file beside it; else it may be a device, like /dev/null.
    """
    folder = os.path.dirname(path) or "."
    there = os.path.exists(path)
    if os.path.isdir(path or folder):
        what = "is a folder; name a file"
    elif whole and there and not os.path.isfile(path):
        what = "is no file"
    elif os.access(path if there and not whole else folder, os.W_OK):
        return
    else:
        what = "cannot be written" if there else f"no folder that can be written: {folder}"
    raise click.UsageError(f"{option} {path}: {what}", click.get_current_context())


def refuse_outputs(**paths: str | None) -> None:
    """The same for several, by the names of their options, of which one may be standard output."""
    to_stdout = [f"--{name}" for name, path in paths.items() if path == STANDARD_OUTPUT]
    if len(to_stdout) > 1:
        raise click.UsageError(f"{' and '.join(to_stdout)}: one of them can be standard output",
                               click.get_current_context())
    for name, path in paths.items():
        if path is not None and path != STANDARD_OUTPUT:
            refuse_unwritable(f"--{name}", path)


class NamedFile(io.FileIO):
    """A file to write, whose errors name it."""

    def write(self, data: Buffer) -> int:
        with naming("standard output" if self.name == STDOUT else self.name):
            return super().write(data)


def open_to_write(path: str) -> io.BufferedWriter:
    if path == STANDARD_OUTPUT:
        return io.BufferedWriter(NamedFile(STDOUT, "w", closefd=False))
    with naming(path):
        return io.BufferedWriter(NamedFile(path, "w"))


def write_output(path: str, write: Callable[[str], None], kind: str) -> None:
    """Let `write` write a file; or another, whose name ends in its kind, and that to standard output."""
    if path != STANDARD_OUTPUT:
        write(path)
        return
    from tempfile import NamedTemporaryFile  # here: a run has no use for it

    with NamedTemporaryFile(suffix=f".{kind}") as file:
        write(file.name)
        sys.stdout.buffer.write(file.read())
        sys.stdout.buffer.flush()
