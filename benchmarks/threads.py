"""Work that a Linux spreads over its harts, in turns, in threads and in QEMU: `python -m benchmarks.threads`.

The guest says by its own clock, which is the host's, how long its work took: boots do not count. QEMU has a thread for
each of its processors (multi-threaded TCG).
"""

import re
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.table import Table

import vm
from benchmarks.debian_work import SETUP, initrd_of
from vm.bench.contenders import QEMU, not_installed, qemu
from vm.images.busybox import QUICK_CMDLINE, debian_kernel, opensbi

MEMORY = "1G"
MOST_SECONDS = 600
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


WORKS = {
    "hashes": Work("""
busybox seq 8 | busybox xargs -P JOBS -I{} sh -c 'busybox seq {}00000 | busybox sha256sum' >/tmp/sums
"""),
    "a build of 16 files in C": Work("""
i=0; while [ $i -lt 16 ]; do
    k=0; while [ $k -lt 60 ]; do
        echo "int f$k(int *a, int n) { int s = $k; for (int i = 0; i < n; i++) s += a[i] * (s >> 3) ^ i; return s; }"
        k=$((k+1))
    done > /tmp/made$i.c
    i=$((i+1))
done
busybox seq 0 15 | busybox xargs -P JOBS -I{} gcc -O2 -c /tmp/made{}.c -o /tmp/made{}.o
""", ("gcc", "libc6-dev")),
}


def time_vm(initrd: Path, harts: int, threads: bool) -> str:
    with vm.Machine(MEMORY, harts=harts, threads=threads, clock="real") as machine:
        machine.boot(debian_kernel(), initrd=initrd, cmdline=QUICK_CMDLINE, firmware=opensbi()["fw_dynamic.bin"])
        machine.run(timeout=MOST_SECONDS)
        return machine.console.text


def time_qemu(initrd: Path, harts: int) -> str:
    return qemu(["-smp", str(harts), "-m", MEMORY, "-bios", opensbi()["fw_dynamic.bin"], "-kernel", debian_kernel(),
                 "-initrd", initrd, "-append", QUICK_CMDLINE]).output


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
    table = Table("work", *(f"{name}, s" for name in machines), title="Parallel work, the best of each")
    for name, work in WORKS.items():
        if only and name not in only:
            continue
        script = SETUP + TIMED.replace("WORK", work.script.replace("JOBS", str(harts)))
        initrd = initrd_of(work.packages, script)
        best = dict.fromkeys(machines, float("inf"))
        for number in range(rounds):
            for machine, run in machines.items():
                click.echo(f"round {number + 1}: {name}, {machine}", err=True)
                if (took := TOOK.search(output := run(initrd))) is None:
                    raise click.ClickException(f"{name}, {machine}: not done\n{output[-2000:]}")
                best[machine] = min(best[machine], int(took[1]) + int(took[2]) / 100)
        table.add_row(name, *(f"{seconds:.2f}" for seconds in best.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
