"""`vm info`: what is installed, what it runs on, and what the machine looks like."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vm.boards import Virt
    from vm.machine import Machine

Row = tuple[str, ...]


@click.command(epilog="Example: vm info")
def info() -> None:
    """Show versions, how the core was built, the host and the machine's memory map."""
    from vm.machine import Machine

    with Machine() as machine:
        show("vm", ("", ""), facts(machine))
        show("memory map", ("address", "size", "interrupt", "device"), memory_map(machine.board))


def facts(machine: Machine) -> list[Row]:
    from vm.images.cache import cache_directory
    from vm_native.interpreter.run import forms

    return [
        ("version", version("vm")),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()}, {platform.python_compiler()})"),
        ("engine", f"interpreter, {machine.statistics()['dispatch']} dispatch (built: {', '.join(forms())})"),
        ("ISA", machine.isa.string),
        ("host", f"{platform.system()} {platform.release()} on {platform.machine()}"),
        ("host CPU", f"{cpu_model()}, {os.cpu_count()} CPUs"),
        ("cache", str(cache_directory())),
    ]


def cpu_model() -> str:
    """The name that the kernel has for the processor, where it has one."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def memory_map(board: Virt) -> list[Row]:
    rows = [(placed.address, placed.device.size, placed.irq, f"{name} ({placed.device.compatible})")
            for name, placed in board.devices.items()]
    rows.append((board.ram.base, board.ram.size, None, "RAM"))
    return [(f"{address:#x}", f"{size:#x}", "" if irq is None else str(irq), what)
            for address, size, irq, what in sorted(rows, key=lambda row: row[0])]


def show(title: str, headings: Row, rows: list[Row]) -> None:
    """A table on a terminal; elsewhere columns that other programs can take apart."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(*headings, title=title, title_justify="left", show_header=any(headings))
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in [headings, *rows] if any(headings) else rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
