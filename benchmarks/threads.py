"""Work that a Linux spreads over its harts, in turns, in threads and in QEMU: `python -m benchmarks.threads`.

The guest says by its own clock, which is the host's, how long its work took: boots do not count. QEMU has a thread for
each of its processors (multi-threaded TCG). What is natively built is the same files, by the host's own compiler for
its own processor: it need not be of the guest's version, so that is for the order of magnitude.
"""

import re
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.table import Table

import vm
from benchmarks.c_program import c_program
from benchmarks.debian_work import SETUP, initrd_of
from vm.bench.contenders import QEMU, not_installed, qemu
from vm.images.busybox import QUICK_CMDLINE, debian_kernel, opensbi

MEMORY = "2G"
FILES = 24
MOST_SECONDS = 600
NATIVE = "native"
TOOK = re.compile(r"work took (\d+)\.(\d\d) s")
TIMED = """
begin=$(busybox awk '{ print int($1 * 100) }' /proc/uptime)
WORK
end=$(busybox awk '{ print int($1 * 100) }' /proc/uptime)
busybox awk "BEGIN { printf \\"work took %.2f s\\\\n\\", ($end - $begin) / 100 }"
"""


class Work(NamedTuple):
    script: str                         # JOBS: how many of them at a time
    packages: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()         # in /root, by name


WORKS = {
    "hashes": Work("""
busybox seq 8 | busybox xargs -P JOBS -I{} sh -c 'busybox seq {}00000 | busybox sha256sum' >/tmp/sums
"""),
    f"a build of {FILES} files in C": Work("make -s -C /root -j JOBS", ("gcc", "libc6-dev", "make"),
                                           tuple(c_program(FILES).items())),
}


def time_vm(initrd: Path, harts: int, threads: bool) -> str:
    with vm.Machine(MEMORY, harts=harts, threads=threads, clock="real") as machine:
        machine.boot(debian_kernel(), initrd=initrd, cmdline=QUICK_CMDLINE, firmware=opensbi()["fw_dynamic.bin"])
        machine.run(timeout=MOST_SECONDS)
        return machine.console.text


def time_qemu(initrd: Path, harts: int) -> str:
    return qemu(["-smp", str(harts), "-m", MEMORY, "-bios", opensbi()["fw_dynamic.bin"], "-kernel", debian_kernel(),
                 "-initrd", initrd, "-append", QUICK_CMDLINE]).output


def time_native(work: Work, jobs: int) -> float:
    """By the host, of what is in files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in work.files:
            Path(folder, name).write_text(text)
        began = time.perf_counter()
        subprocess.run(["make", "-s", "-C", folder, "-j", str(jobs)], check=True)
        return time.perf_counter() - began


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--harts", default=2, show_default=True, help="Of those that have several, and jobs at a time.")
@click.option("--only", type=click.Choice(list(WORKS)), multiple=True, help="This work; repeatable.")
def main(rounds: int, harts: int, only: tuple[str, ...]) -> None:
    """Time parallel work under a Linux."""
    machines = {"1 hart": partial(time_vm, harts=1, threads=False),
                f"{harts} in turns": partial(time_vm, harts=harts, threads=False),
                f"{harts} in threads": partial(time_vm, harts=harts, threads=True)}
    if not not_installed(QEMU):
        machines |= {"QEMU, 1": partial(time_qemu, harts=1), f"QEMU, {harts}": partial(time_qemu, harts=harts)}
    builds_natively = not not_installed("make") and not not_installed("gcc")
    table = Table("work", *(f"{name}, s" for name in [*machines, NATIVE]), title="Parallel work, the best of each")
    for name, work in WORKS.items():
        if only and name not in only:
            continue
        script = SETUP + TIMED.replace("WORK", work.script.replace("JOBS", str(harts)))
        initrd = initrd_of(work.packages, script, work.files)
        best = dict.fromkeys([*machines, NATIVE], float("inf"))
        for number in range(rounds):
            for machine, run in machines.items():
                click.echo(f"round {number + 1}: {name}, {machine}", err=True)
                if (took := TOOK.search(output := run(initrd))) is None:
                    raise click.ClickException(f"{name}, {machine}: not done\n{output[-2000:]}")
                best[machine] = min(best[machine], int(took[1]) + int(took[2]) / 100)
            if work.files and builds_natively:
                best[NATIVE] = min(best[NATIVE], time_native(work, harts))
        table.add_row(name, *(f"{seconds:.2f}" if seconds < float("inf") else "-" for seconds in best.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
