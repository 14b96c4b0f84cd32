"""`vm run`: a bare-metal program."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vm.cli.ending import Ending, run_until
from vm.cli.options import (
    DISPLAY_OPTION,
    GDB_OPTION,
    MAX_INSTRUCTIONS_OPTION,
    TIMEOUT_OPTION,
    Address,
    build_machine,
    log_options,
    machine_options,
    refuse_one_stream,
    refuse_unfit,
)
from vm.cli.places import refuse_unwritable
from vm.cli.screen import refuse_unfit_screenshot, screen_options
from vm.errors import LoadError

if TYPE_CHECKING:
    from vm.loaders.common import Program, Range
    from vm.machine import Machine


@click.command(epilog="Example: vm run firmware.elf --memory 64M --timeout 10")
@click.argument("file", metavar="FILE")
@machine_options(memory="128M", clock="virtual")
@screen_options
@log_options
@GDB_OPTION
@DISPLAY_OPTION
@click.option("--address", type=Address(), metavar="ADDR", help="Load FILE as raw bytes here, as in 0x80000000.")
@MAX_INSTRUCTIONS_OPTION
@TIMEOUT_OPTION
@click.option("--aot", type=click.Path(dir_okay=False, path_type=Path), metavar="IMAGE",
              help="Begin with the compiled code of `vm compile`.")
@click.option("--signature", metavar="FILE",
              help="Afterwards write the words between begin_signature and end_signature here.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing about how FILE ended; the exit code does.")
def run(file: str, address: int | None, max_instructions: int | None, timeout: float | None, aot: Path | None,
        signature: str | None, quiet: bool, record: str | None, replay: str | None, gdb: str | None,
        display: int | None, screenshot: str | None, **options: Any) -> int:
    """Run FILE, an ELF or raw bytes, in machine mode; its console is this terminal. - is standard input.

    \b
    Exit codes:
      the guest's own; 0 if it powers the machine off, or after Ctrl-A X
      1    FILE is wrong
      2    an option is
      124  not done within --max-instructions or --timeout, or it waits for ever
      139  a trap that no handler of the guest takes
      141  nobody reads the output any more
    """
    from vm.cli.logs import audience_or, logged
    from vm.terminal import Terminal

    refuse_unfit(record, replay, options["clock"])
    ending = Ending(None, gdb, display, timeout, max_instructions, quiet)
    ending.refuse_unfit(replay)
    refuse_one_stream(gdb, file)
    refuse_unfit_screenshot(screenshot, options["screen"])
    if signature is not None:
        refuse_unwritable("--signature", signature)
    with build_machine(**options) as machine:
        program = machine.load(sys.stdin.buffer if file == "-" else file, address=address)
        if aot is not None:
            from vm.ahead import take_compiled

            take_compiled(machine, aot)
        place = None if signature is None else place_of_signature(program, machine.board.ram)
        with logged(machine, record, replay):
            code = run_until(ending, machine, file, audience_or(machine, Terminal))
        if screenshot is not None:
            machine.screenshot().save(screenshot)
        if signature is not None and place is not None:
            write_signature(machine, place, signature)
        return code


def place_of_signature(program: Program, ram: Range) -> Range:
    """Raises LoadError, before the program has run, where there will be no signature."""
    from vm.loaders.common import Range

    symbols = program.symbols
    for name in ("begin_signature", "end_signature"):
        if name not in symbols:
            raise LoadError(f"{program.path}: no symbol {name}, which --signature needs")
    start, end = symbols["begin_signature"].address, symbols["end_signature"].address
    place = Range(start, end - start)
    if place.size < 0 or not ram.contains(place):
        raise LoadError(f"{program.path}: begin_signature to end_signature ({place}) is not in RAM ({ram})")
    return place


def write_signature(machine: Machine, place: Range, path: str) -> None:
    """The signature that riscv-arch-test compares: one 32-bit word a line, eight hexadecimal digits."""
    words = machine.memory.array(place.base, place.size // 4, "<u4")
    Path(path).write_text("".join(f"{word:08x}\n" for word in words))
