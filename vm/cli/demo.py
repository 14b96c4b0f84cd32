"""`vm demo`: the guest that comes with the package."""

from __future__ import annotations

import re
import sys
import time
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import click

from vm.cli.options import ENGINE_OPTION
from vm.settings import given

if TYPE_CHECKING:
    from vm.engine import Engine


@click.command(epilog="Example: vm demo")
@ENGINE_OPTION
def demo(engine: Engine | None) -> int:
    """Show what the machine can do: a guest of ours, in a few seconds, without a network."""
    from vm.cli.session import conclusion
    from vm.machine import Machine
    from vm.outlet import Outlet

    with as_file(files("vm.guests.demo") / "demo.elf") as path, Machine(engine=engine) as machine:
        machine.load(path)
        machine.console.record = False
        plain = bytes if shows_colours() else Plain()
        screen = Outlet(1)
        machine.console.mirror = lambda data: screen.write(plain(data))
        start = time.perf_counter()
        stop = machine.run()
        seconds = time.perf_counter() - start
        retired = machine.harts[0].csr["minstret"]
        code, message = conclusion(machine, stop)
        screen.drain()
        screen.close()
    if message:
        click.echo(f"vm: demo: {message}", err=True)
    click.echo(f"\n{retired:,} instructions retired in {seconds:.2f} s: {retired / seconds / 1e6:,.0f} MIPS")
    return code


def shows_colours() -> bool:
    """Whether standard output does, and may (https://no-color.org)."""
    return sys.stdout.isatty() and not given("NO_COLOR") and given("TERM") != "dumb"


class Plain:
    """Takes colours out of what comes, in pieces that may end within a sequence."""

    def __init__(self) -> None:
        self.kept = b""

    def __call__(self, data: bytes) -> bytes:
        text, self.kept = re.sub(rb"\x1b\[[0-9;]*m", b"", self.kept + data), b""
        if unfinished := re.search(rb"\x1b(\[[0-9;]*)?$", text):
            text, self.kept = text[:unfinished.start()], unfinished[0]
        return text
