"""`vm disasm`: the code of an ELF file, by capstone; lines as objdump(1) prints them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from vm.cli.listing import address_of, instructions
from vm.errors import LoadError, VmError

if TYPE_CHECKING:
    from vm.loaders import Symbols

SHT_PROGBITS = 1            # sh_type
SHF_EXECINSTR = 4           # sh_flags
PF_X = 1                    # p_flags
FILE_LIMIT = 4 << 30

EXAMPLES = """\b
Examples:
  vm disasm firmware.elf --symbol main --count 20
  vm disasm firmware.elf --jit --at main"""


@click.command(epilog=EXAMPLES)
@click.argument("file", metavar="FILE")
@click.option("--start", metavar="ADDR|NAME", help="Begin here, as in 0x80000000 or main.")
@click.option("--symbol", metavar="NAME", help="Only this function.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="So many instructions at most.")
@click.option("--jit", is_flag=True, help="Run FILE and show the host code of its hottest trace beside it.")
@click.option("--at", metavar="ADDR|NAME", help="With --jit: the trace at this address or symbol.")
@click.option("--traces", type=click.IntRange(min=1), metavar="N", help="With --jit: so many traces.  [default: 1]")
@click.option("--cold", is_flag=True, help="With --jit: also the code out of line.")
@click.option("--instructions", "limit", type=click.IntRange(min=1), metavar="N",
              help="With --jit: run so many at most.  [default: 100000000]")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="With --jit: run so long on the host at most.  [default: 10]")
def disasm(file: str, start: str | None, symbol: str | None, count: int | None, jit: bool, at: str | None,
           traces: int | None, cold: bool, limit: int | None, timeout: float | None) -> None:
    """Disassemble the code of FILE, a RISC-V ELF executable."""
    statically = start is not None or symbol is not None or count is not None
    if jit and statically:
        raise click.UsageError("--start, --symbol and --count exclude --jit, which has --at and --traces",
                               click.get_current_context())
    if not jit and (at, traces, cold, limit, timeout) != (None, None, False, None, None):
        raise click.UsageError("--at, --traces, --cold, --instructions and --timeout go with --jit",
                               click.get_current_context())
    if start is not None and symbol is not None:
        raise click.UsageError("--start and --symbol exclude each other", click.get_current_context())
    code, symbols = read_code(file)         # first: what is wrong with it shows also where capstone is missing
    decoder = new_decoder()
    if jit:
        from vm.cli.compiled import show_compiled

        for line in show_compiled(file, at, limit or 100_000_000, timeout or 10, cold, traces or 1, decoder):
            click.echo(line)
    else:
        show_code(file, code, symbols, start, symbol, count, decoder)


def show_code(file: str, code: list[tuple[int, bytes]], symbols: Symbols, start: str | None, symbol: str | None,
              count: int | None, decoder: Any) -> None:
    """What stands in the file."""
    begin, end = 0 if start is None else address_of(file, start, symbols), 1 << 64
    if symbol is not None:
        if symbol not in symbols:
            raise LoadError(f"{file}: has no symbol {symbol!r}; `nm {file}` lists those that it has")
        begin, size = symbols[symbol]
        end = begin + (size or end)
    code = clipped(code, begin, end)
    if not code:
        raise LoadError(f"{file}: has no code there; without --start and --symbol all of it is shown")
    names = {address: name for name, (address, _) in symbols.items() if symbols.lookup(address) == name}
    for line in with_labels(islice(instructions(decoder, code, symbols), count), names):
        click.echo(line)


def new_decoder() -> Any:
    try:
        import capstone
    except ImportError:
        raise VmError("disasm needs capstone; install it with: pip install capstone") from None
    return capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC)


def read_code(file: str) -> tuple[list[tuple[int, bytes]], Symbols]:
    """What is executable in an ELF file, as (virtual address, bytes), and its symbols.

    By sections, which keep data apart; by segments if the file has no sections.
    """
    from vm.loaders.common import read_file
    from vm.loaders.elf import PT_LOAD, read_headers

    elf = read_headers(read_file(file, FILE_LIMIT))
    code = [(section.address, elf.content(section)) for section in elf.sections
            if section.flags & SHF_EXECINSTR and section.type == SHT_PROGBITS]
    if not code:
        code = [(segment.vaddr, elf.file.data[segment.offset:segment.offset + segment.filesz])
                for segment in elf.segments if segment.flags & PF_X and segment.type == PT_LOAD]
    return sorted(code), elf.symbols()


def clipped(code: list[tuple[int, bytes]], start: int, end: int) -> list[tuple[int, bytes]]:
    """The part of the code at start..end."""
    pieces = [(max(address, start), content[max(start - address, 0):max(end - address, 0)])
              for address, content in code]
    return [(address, content) for address, content in pieces if content]


def with_labels(rows: Iterator[tuple[int, str]], names: dict[int, str]) -> Iterator[str]:
    first = True
    for address, line in rows:
        if name := names.get(address):
            yield f"{'' if first else chr(10)}{address:016x} <{name}>:"
        yield line
        first = False
