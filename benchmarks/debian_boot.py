"""Debian's kernel, busybox, fixed shell work and power-off, ours beside QEMU: `python -m benchmarks.debian_boot`.

All run the same kernel, initrd and command line with 512 MiB in real time, QEMU and ours under the same OpenSBI
(fw_dynamic); ours under the firmware that is built in, too. They take turns, the best counts, and all of a process
counts, Python's start included.
"""

import json
import sys
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from vm.bench.contenders import QEMU, available, not_installed, qemu
from vm.bench.errors import RunFailed
from vm.bench.processes import VM, Run, timed
from vm.bench.variants import ENGINE, variant
from vm.errors import VmError
from vm.images.busybox import CMDLINE, READY, debian_kernel, opensbi, userspace_initrd

MEMORY = "512M"
WORK = """
i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; echo "counted $i"
dd if=/dev/zero bs=64k count=64 2>/dev/null | sha256sum
i=0; while [ $i -lt 20 ]; do i=$((i+1)); /bin/busybox true; done
find / -xdev 2>/dev/null | sort | wc -l
"""


def boot_vm(kernel: Path, initrd: Path, firmware: Path | None, engine: str, settings: dict[str, str],
            memory: str = MEMORY) -> Run:
    command = [sys.executable, "-c", VM, "boot", "--kernel", kernel, "--initrd", initrd, "--append", CMDLINE,
               "--memory", memory, "--net", "none"]
    return timed(command + (["--firmware", firmware] if firmware else []), settings | {ENGINE: engine})


def boot_qemu(kernel: Path, initrd: Path, firmware: Path, memory: str = MEMORY) -> Run:
    return qemu(["-m", memory, "-bios", firmware, "-kernel", kernel, "-initrd", initrd, "-append", CMDLINE])


@click.command()
@click.option("--engines", default="interpreter,jit", show_default=True, help="As in benchmarks.compare.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--cpu", is_flag=True, help="Measure processor time, not time on the wall: for a busy host.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the results here.")
def main(engines: str, rounds: int, cpu: bool, json_file: Path | None) -> None:
    """Time a whole boot."""
    kernel, initrd, firmware = debian_kernel(), userspace_initrd(WORK), opensbi()["fw_dynamic.bin"]
    boots = {}
    if not_installed(QEMU) is None:
        boots["qemu"] = partial(boot_qemu, kernel, initrd, firmware)
    for name in available(engines.split(","), lambda text: click.echo(text, err=True)):
        engine, settings = variant(name)
        boots[f"{name}, OpenSBI"] = partial(boot_vm, kernel, initrd, firmware, engine, settings)
        boots[f"{name}, built-in SBI"] = partial(boot_vm, kernel, initrd, None, engine, settings)
    best = dict.fromkeys(boots, float("inf"))
    for number in range(rounds):
        for name, boot in boots.items():
            click.echo(f"round {number + 1}: {name}", err=True)
            try:
                run = boot()
                if READY not in run.output or "counted 2000" not in run.output:
                    raise RunFailed(f"no userspace, or its work is not done\n{run.output[-2000:]}")
            except VmError as error:
                raise click.ClickException(f"{name}: {error}") from error
            best[name] = min(best[name], run.cpu_seconds if cpu else run.seconds)
    table = Table("machine", "seconds", "times qemu", title="Debian boot, shell work, power-off")
    for name, seconds in best.items():
        table.add_row(name, f"{seconds:.2f}", f"{seconds / best['qemu']:.2f}x" if "qemu" in best else "-")
    Console().print(table)
    if json_file:
        json_file.write_text(json.dumps({"seconds": best}, indent=1) + "\n")


if __name__ == "__main__":
    main()
