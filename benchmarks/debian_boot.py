"""Debian's kernel to a busybox userspace and power-off, ours beside QEMU: `python -m benchmarks.debian_boot`.

Both run the same OpenSBI (fw_dynamic), kernel, initrd and command line, in real time, taking turns; the best counts.
"""

import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.peers import TIMEOUT, Run, RunFailed, qemu
from tests.guest_images import READY, debian_kernel, opensbi, userspace_initrd

COMMAND_LINE = "console=ttyS0"
MEMORY = "512M"


def boot_vm(firmware: Path, kernel: Path, initrd: Path, engine: str) -> Run:
    import vm

    start = time.perf_counter()
    machine = vm.Machine(memory=MEMORY, clock="real", engine=engine)
    machine.boot(kernel, initrd=initrd, cmdline=COMMAND_LINE, firmware=firmware)
    stop = machine.run(timeout=TIMEOUT)
    seconds = time.perf_counter() - start
    output = machine.console.output.decode(errors="replace")
    if stop.reason != vm.StopReason.POWER_OFF:
        raise RunFailed(f"vm: {stop}\n{output[-2000:]}")
    return Run(seconds, output)


def boot_qemu(firmware: Path, kernel: Path, initrd: Path) -> Run:
    return qemu(["-m", MEMORY, "-bios", firmware, "-kernel", kernel, "-initrd", initrd, "-append", COMMAND_LINE])


@click.command()
@click.option("--engine", default="interpreter", show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(engine: str, rounds: int) -> None:
    """Time a whole boot on both machines."""
    files = opensbi()["fw_dynamic.bin"], debian_kernel(), userspace_initrd("")
    machines = {"qemu": lambda: boot_qemu(*files), f"vm ({engine})": lambda: boot_vm(*files, engine)}
    best = dict.fromkeys(machines, float("inf"))
    for _ in range(rounds):
        for name, boot in machines.items():
            try:
                run = boot()
            except RunFailed as error:
                raise click.ClickException(str(error)) from error
            if READY not in run.output:
                raise click.ClickException(f"{name}: no userspace\n{run.output[-2000:]}")
            best[name] = min(best[name], run.seconds)
    table = Table("machine", "seconds", "times qemu", title="Debian boot to power-off")
    for name, seconds in best.items():
        table.add_row(name, f"{seconds:.2f}", f"{seconds / best['qemu']:.2f}x")
    Console().print(table)


if __name__ == "__main__":
    main()
