"""What each part of the JIT brings, and what compiling costs: `python -m benchmarks.ablation --help`.

One switch is off at a time. The machine with everything on and those with a part off take turns on each program, the
best of the rounds counts, and the means are geometric: the slow-down of a class of programs without the part.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks.compare import Results, compare
from benchmarks.debian_boot import MEMORY, WORK
from vm.bench.contenders import MEMORY_MIB, available
from vm.bench.guests.build import PROGRAMS, elf
from vm.bench.processes import in_child
from vm.bench.variants import named, without
from vm.errors import VmError
from vm.images.busybox import CMDLINE, debian_kernel, userspace_initrd
from vm.machine import Machine
from vm_native.jit.compiler import SWITCHES

WHOLE = "jit"
MIB = 1 << 20


@dataclass(frozen=True)
class Translation:
    """What compiling took for one guest."""

    guest: str
    traces: int
    instructions: int
    host_bytes: int
    compile_ns: int
    compiled: float                         # share of the steps that ran in compiled code

    @property
    def speed(self) -> float:
        """Guest instructions a second."""
        return self.instructions / self.compile_ns * 1e9

    @property
    def density(self) -> float:
        """Bytes of host code for a guest instruction."""
        return self.host_bytes / self.instructions


def ablated(switch: str) -> str:
    return named(WHOLE, without(switch))


def slowdowns(results: Results, switches: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    """How many times as long each class of programs takes without a part."""
    return {kind: {switch: results.mean(programs, WHOLE, ablated(switch)) for switch in switches}
            for kind, programs in results.groups().items()}


def translation(guest: str, stats: dict[str, Any]) -> Translation:
    jit = stats["jit"]
    return Translation(guest, jit["traces"], jit["instructions"], jit["host_bytes"], jit["compile_ns"], jit["compiled"])


def translation_of(program: str) -> Translation:
    job = {"do": "run", "engine": "jit", "program": str(elf(program)), "memory": f"{MEMORY_MIB}M"}
    return translation(program, in_child(job, {})["statistics"])


def boot() -> dict[str, Any]:
    """Debian's boot with the work of benchmarks.debian_boot, in a process of its own: counters, and memory by use."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(boot_here)


def boot_here() -> dict[str, Any]:
    with Machine(memory=MEMORY, engine="jit", clock="real") as machine:
        machine.boot(debian_kernel(), initrd=userspace_initrd(WORK), cmdline=CMDLINE)
        stop = machine.run(timeout=300)
        if stop.reason.value != "power-off":
            raise VmError(f"Debian's boot: {stop}\n{machine.console.output[-2000:].decode(errors='replace')}")
        return {"stats": machine.stats(), "memory": memory_by_use(), "guest_ram": machine.board.ram.size}


def memory_by_use() -> dict[str, int]:
    """Bytes in use by this process, of proc(5)'s smaps: guest RAM, code memory, everything else."""
    used = {"guest RAM": 0, "code memory": 0, "everything else": 0}
    kind = ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        key, _, rest = line.partition(" ")
        if not key.endswith(":"):                   # the first line of a mapping
            kind = "guest RAM" if "vm-ram" in line else "code memory" if "/dev/zero" in line else "everything else"
        elif key == "Pss:":                         # code memory is mapped twice, its pages count once
            used[kind] += int(rest.split()[0]) * 1024
    return used


def switch_table(means: dict[str, dict[str, float | None]], switches: tuple[str, ...]) -> Table:
    table = Table(title="time without a part of the JIT, times the time with all of them; geometric means")
    table.add_column("programs")
    for switch in switches:
        table.add_column(switch.replace("_", " "), justify="right")
    for kind, row in means.items():
        table.add_row(kind, *("-" if row[switch] is None else f"{row[switch]:.2f}x" for switch in switches))
    return table


def translation_table(found: list[Translation]) -> Table:
    table = Table(title="compiling")
    for heading in ("guest", "traces", "instructions", "bytes an instruction", "M instructions/s", "compiled steps"):
        table.add_column(heading, justify="left" if heading == "guest" else "right")
    for one in found:
        table.add_row(one.guest, f"{one.traces:,}", f"{one.instructions:,}", f"{one.density:.1f}",
                      f"{one.speed / 1e6:.2f}", f"{one.compiled:.2%}")
    return table


def boot_table(booted: dict[str, Any]) -> Table:
    table = Table("of", "MiB", title="memory in use after Debian's boot")
    for kind, size in booted["memory"].items():
        table.add_row(kind, f"{size / MIB:.1f}")
    table.add_row("together", f"{sum(booted['memory'].values()) / MIB:.1f}")
    table.add_section()
    table.add_row("of these, blocks of uops", f"{booted['stats']['bytes'] / MIB:.1f}")
    pauses = booted["stats"]["jit"]["pauses_ns"]
    table.caption = (f"{pauses['count']} regions reclaimed; pauses: median {pauses['p50'] / 1e3:.0f} µs, "
                     f"99% {pauses['p99'] / 1e3:.0f} µs, longest {pauses['max'] / 1e3:.0f} µs")
    return table


def split(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [name for name in text.split(",") if text and name not in known]:
        raise click.ClickException(f"{unknown[0]}: there is {', '.join(known)}")
    return tuple(text.split(",")) if text else ()


@click.command()
@click.option("--programs", default=",".join(PROGRAMS), help="Names, with commas between.  [default: all]")
@click.option("--switches", default=",".join(SWITCHES), show_default=True, help="Parts to turn off, or nothing.")
@click.option("--rounds", default=3, show_default=True, help="Turns of each machine; the best counts.")
@click.option("--cpu", is_flag=True, help="Measure processor time, not time on the wall: for a busy host.")
@click.option("--boot", "with_boot", is_flag=True, help="Boot Debian, too (downloads its packages once).")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the results here.")
def main(programs: str, switches: str, rounds: int, cpu: bool, with_boot: bool, json_file: Path | None) -> None:
    """Turn off one part of the JIT at a time, and measure what compiling costs."""
    chosen, parts = split(programs, tuple(PROGRAMS)), split(switches, SWITCHES)
    console = Console(width=None if sys.stdout.isatty() else 140)
    stored: dict[str, Any] = {}

    def say(text: str) -> None:
        click.echo(text, err=True)

    try:
        if parts:
            machines = available([WHOLE, *map(ablated, parts)], say)
            if WHOLE not in machines:
                raise VmError("there is nothing to turn off")
            results = compare(chosen, machines, rounds, cpu, say)
            stored["slowdowns"] = slowdowns(results, parts)
            stored["seconds"] = results.seconds
            console.print(switch_table(stored["slowdowns"], parts))
        found = [translation_of(program) for program in chosen]
        if with_boot:
            stored["boot"] = boot()
            found.append(translation("Debian's boot", stored["boot"]["stats"]))
        stored["translation"] = [asdict(one) | {"instructions_per_second": one.speed, "bytes_per_instruction":
                                                one.density} for one in found]
        console.print(translation_table(found))
        if with_boot:
            console.print(boot_table(stored["boot"]))
    except VmError as error:
        raise click.ClickException(str(error)) from error
    if json_file:
        json_file.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()
