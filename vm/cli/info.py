"""`vm info`: what is installed, what it runs on, and what the machine looks like."""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING

import click

from vm.cli.markdown import markdown_table
from vm.errors import ConfigurationError
from vm.host import cpu_model

if TYPE_CHECKING:
    from vm.boards import Board
    from vm.machine import Machine

Row = tuple[str, ...]
EVENT_HEADINGS = ("mhpmevent", "SBI general event", "perf", "counts")
EVENT_TEXTS = {                         # by name what perf calls it, if not by its number, and what it is
    "CYCLES": ("`cycles`, `ref-cycles`", "steps: instructions that retire or trap"),
    "INSTRUCTIONS": ("`instructions`", "instructions that retire"),
    "EXCEPTIONS": ("", "exceptions, calls of the environment among them"),
    "INTERRUPTS": ("", "interrupts that are taken"),
}
ISA_HEADINGS = ("extension", "version", "by default", "instructions", "what it is")
CONTENT_HEADINGS = ("extension", "version", "status", "has it", "what it is")
PROFILE_HEADINGS = ("extension", "profile", "status", "here", "tests")


@click.command(epilog="Example: vm info --isa")
@click.option("--isa", metavar="[ISA]", is_flag=False, flag_value="",
              help="Show instead the extensions of the instruction set, or those of this ISA string or profile.")
@click.option("--csrs", metavar="[ISA]", is_flag=False, flag_value="default",
              help="Show instead the control and status registers, of this ISA string or by default.")
@click.option("--compute", is_flag=True, help="Show instead who can compute for a guest: vm run --compute.")
@click.option("--markdown", is_flag=True, help="With --isa or --csrs: as the page docs/isa.md or docs/csrs.md.")
def info(isa: str | None, csrs: str | None, compute: bool, markdown: bool) -> None:
    """Show versions, how the core was built, the host and the machine's memory map."""
    from vm.machine import Machine

    if csrs:
        show_csrs(csrs, markdown)
        return
    if compute:
        from vm.devices.virtio.compute.backends import facts as backends

        show("backends", ("", ""), [*backends()])
        return
    if isa is not None or markdown:
        if markdown:
            click.echo(isa_page(), nl=False)
        elif isa:
            show_contents(isa)
        else:
            show("instruction set", ISA_HEADINGS, isa_rows())
        return

    with Machine(engine="interpreter") as machine:     # there everywhere
        show("vm", ("", ""), facts(machine))
        show("memory map", ("address", "size", "interrupt", "device"), memory_map(machine.board))


def facts(machine: Machine) -> list[Row]:
    from vm import __version__
    from vm.images.cache import cache_directory
    from vm_native.interpreter.forms import forms
    from vm_native.memory.copy import implementations, instruction_set

    return [
        ("version", __version__),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()}, {platform.python_compiler()})"),
        ("engine", engine()),
        ("interpreter", f"{machine.stats()['dispatch']} dispatch (built: {', '.join(forms())}; VM_DISPATCH chooses)"),
        ("compiled code", instructions()),
        ("ISA", machine.isa.string),
        ("host", f"{platform.system()} {platform.release()} on {platform.machine()}"),
        ("host CPU", f"{cpu_model()}, {os.cpu_count()} CPUs"),
        ("memory copies", f"{instruction_set} (here: {', '.join(implementations())}; choose with VM_COPY)"),
        ("cache", str(cache_directory())),
    ]


def engine() -> str:
    """What runs the guest where nothing else is asked for, and why."""
    from vm.engine import ENGINES
    from vm.settings import given
    from vm_native.jit.compiler import unavailable

    chosen = given("VM_ENGINE") or "auto"
    if chosen not in ENGINES:
        raise ConfigurationError(f"VM_ENGINE={chosen}: there is {', '.join(ENGINES)}")
    missing = unavailable()
    auto = "jit" if missing is None else f"interpreter: {missing}"
    return f"auto, which is {auto} here" if chosen == "auto" else f"{chosen}, by VM_ENGINE; auto is {auto} here"


def instructions() -> str:
    """Which of the host's compiled code is made of."""
    from vm.settings import Settings
    from vm_native.jit.compiler import instruction_sets, unavailable

    if missing := unavailable():
        return f"none: {missing}"
    used = [name for name, there in instruction_sets().items() if there]
    if "AVX-512" not in used or Settings.from_environment().switches.get("avx512", True):
        return ", ".join(used)
    used.remove("AVX-512")
    return f"{', '.join(used)}; not AVX-512, by VM_JIT_AVX512=0"


def show_csrs(isa: str, markdown: bool) -> None:
    from vm.cli.csrs import HEADINGS, csr_page, csr_rows

    if markdown:
        click.echo(csr_page(), nl=False)
        return
    try:
        rows = csr_rows() if isa == "default" else csr_rows(isa)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    show("control and status registers", HEADINGS, rows)


def isa_rows() -> list[Row]:
    """Every extension that an ISA string may name. Instructions are those that need it, also together with others."""
    from vm_native.riscv.instructions import ROWS
    from vm_native.riscv.isa import DEFAULT, EXTENSIONS, LETTERS, parse

    default = parse(DEFAULT).extensions
    rows: list[Row] = []
    for name, extension in (LETTERS | EXTENSIONS).items():
        count = sum(name in word.split("|") for row in ROWS for word in row.extensions)
        rows.append((name, extension.version, "on" if name in default else "off", str(count or ""), extension.text))
    return rows


def show_contents(isa: str) -> None:
    """What a hart of this ISA string has; of a profile of RVA23 also what is left to choose."""
    from vm_native.riscv import isa as isa_strings

    try:
        has, named = isa_strings.parse(isa).extensions, isa_strings.named_in(isa)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    known = isa_strings.LETTERS | isa_strings.EXTENSIONS
    statuses = statuses_in(isa)
    rows: list[Row] = []
    for name in [*known, *(name for name in statuses if name not in known)]:
        if name in has or name in statuses:
            version, text = known.get(name, ("", "is not there"))
            status = statuses.get(name) or ("named" if name in named else "follows")
            rows.append((name, version, status, "yes" if name in has else "no", text))
    show(isa, CONTENT_HEADINGS, rows)


def statuses_in(isa: str) -> dict[str, str]:
    """By the name of an extension what the profile that an ISA string begins with says of it; of RVA23 alone."""
    from vm_native.riscv.rva23 import MANDATORY, ROWS

    profiles = {"rva23u64": "U", "rva23s64": "US"}.get(isa.lower().partition("_")[0], "")
    return {"I": MANDATORY} | {row.name: row.status for row in ROWS if row.profile in profiles} if profiles else {}


def event_rows() -> list[Row]:
    """What programmable counters count."""
    from vm_native.riscv.csrs import EVENTS
    from vm_native.riscv.sbi_numbers import HARDWARE_EVENTS

    return [(f"{EVENTS[name]:#x}", ", ".join(str(code) for code, own in HARDWARE_EVENTS.items() if own == EVENTS[name]),
             perf or f"`r{EVENTS[name]:x}`", text) for name, (perf, text) in EVENT_TEXTS.items()]


def isa_page() -> str:
    """The table as a page of the documentation."""
    from vm_native.riscv.isa import DEFAULT, PROFILES

    profiles = ", ".join(f"`{name}`" for name in PROFILES)
    lines = [
        "# Instruction set", "",
        "Made by `vm info --isa --markdown` from the tables that the decoder reads.", "",
        f"`isa=` of `vm.Machine` and `--isa` take a string like `rv64gc_zba`, a profile ({profiles}) or `default`,",
        "with or without more behind it, as in `default_zkr`. Strings are written as the unprivileged manual names",
        "extensions: in either case, with or without versions. What is off, and everything else,",
        "traps as an illegal instruction. Vectors are off by default: `rv64gcv` has registers of 128 bits, and",
        "`zvl256b` to `zvl1024b` behind it make them longer. So is the hypervisor: `default_h` has it; pointer",
        "masking: `default_ssnpm_smnpm_smmpm`; and control-flow integrity: `default_zicfilp_zicfiss`. The",
        "default machine is", "", f"    {DEFAULT}", "",
        "Like the CPU of QEMU's `virt` board it has Svadu without Svade: hardware sets the A and D bits of page tables",
        "from reset (`menvcfg.ADUE` is 1). So does a hart of which neither is said. With Svade, alone or beside Svadu,",
        "a clear bit faults until software sets `menvcfg.ADUE`.", "",
        "Linux needs `m`, `a` and `zifencei`; `vm boot` refuses an instruction set without them. Where `zicntr` is",
        "missing, the built-in firmware emulates `time`, `cycle` and `instret` for the kernel, as OpenSBI does. `zkr`",
        "is for firmware that lends its `seed` to the kernel: the built-in one, and OpenSBI from 1.4 on.", "",
        *markdown_table(ISA_HEADINGS, isa_rows()), "",
        "## Counters", "",
        "With Zihpm each of the counters 3 to 31 counts the event that its `mhpmevent` names; 0 is none, and so is any",
        "other number, which is not kept. `cycle` and `instret` count the first two.", "",
        *markdown_table(EVENT_HEADINGS, event_rows()), "",
        "Each count follows from what the guest does: it is the same on both engines, in a replay, after a restore.",
        "So misses of TLBs are no event: they tell of the emulator. A hart that waits takes no steps. Traps and",
        "returns belong to the mode that they come from, for the filters of Sscofpmf and Smcntrpmf, too; an",
        "instruction that sets a filter, an event or `mcountinhibit` is counted by the new setting.", "",
        "With Sscofpmf a counter overflows at its step, also in compiled code and with a real clock: the interrupt",
        "(LCOFI) is pending before the next instruction.", "",
        "Linux has these as `perf` events, under the built-in firmware and OpenSBI, which has them from the device",
        "tree; samples need Sscofpmf. The firmware's own events are counted where the machine is the firmware.", "",
        "## RVA23", "",
        "`rva23u64` and `rva23s64` are harts with what version 1.0 of the profiles demands and nothing else,",
        "`rva23s64` with what is mandatory in both; options come behind it, as in `rva23s64_zicfilp_zicfiss`.", "",
        *markdown_table(PROFILE_HEADINGS, profile_rows()),
    ]
    return "\n".join(lines) + "\n"


def profile_rows() -> list[Row]:
    """Every extension that the text of RVA23 names."""
    from vm_native.riscv.isa import EXTENSIONS, LETTERS
    from vm_native.riscv.rva23 import ROWS

    known = LETTERS | EXTENSIONS
    return [(row.name, f"RVA23{row.profile}64", row.status, "yes" if row.name in known else "no", row.tested)
            for row in ROWS]


def memory_map(board: Board) -> list[Row]:
    rows = []
    for name, placed in board.devices.items():
        bindings = placed.device.compatible.replace("\0", ", ")
        rows.append((placed.address, placed.device.size, placed.irq, f"{name} ({bindings})" if bindings else name))
    rows.append((board.ram.base, board.ram.size, None, "RAM"))
    return [(f"{address:#x}", f"{size:#x}", "" if irq is None else str(irq), what)
            for address, size, irq, what in sorted(rows, key=lambda row: row[0])]


def show(title: str, headings: Row, rows: list[Row]) -> None:
    """A table on a terminal; elsewhere columns that other programs can take apart."""
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Column, Table

        columns = (Column(heading, overflow="fold") for heading in headings)
        table = Table(*columns, title=title, title_justify="left", show_header=any(headings))
        for row in rows:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in [headings, *rows] if any(headings) else rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
