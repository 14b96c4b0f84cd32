"""`vm demo`: the guest that comes with the package."""

from __future__ import annotations

import re
import sys
import time
from importlib.resources import as_file, files

import click

from vm.cli.options import ENGINE_OPTION
from vm.settings import given


@click.command(epilog="Example: vm demo")
@ENGINE_OPTION
def demo(engine: str | None) -> int:
    """Show what the machine can do: a guest of ours, in a few seconds, without a network."""
    from vm.cli.session import conclusion
    from vm.machine import Machine
    from vm.terminal import write_all

    with as_file(files("vm.guests.demo") / "demo.elf") as path, Machine(engine=engine) as machine:
        machine.load(path)
        machine.console.record = False
        plain = bytes if shows_colours() else Plain()
        machine.console.mirror = lambda data: write_all(1, plain(data))
        start = time.perf_counter()
        stop = machine.run()
        seconds = time.perf_counter() - start
        retired = machine.harts[0].csr["minstret"]
        code, message = conclusion(machine, stop)
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
