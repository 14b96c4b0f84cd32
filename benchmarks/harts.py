"""How much more do harts do in threads than in turns? `python -m benchmarks.harts`.

Each hart has as much work of its own, in memory of its own, so twice the harts have twice the work. The times are the
host's clock's, of whole runs, one after another in turn; the least counts. A machine whose host has as many processors
as it has harts can do the work of all in the time of one.
"""

import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

import vm
from vm.guests.compiler import compile_c

FLAGS = ("-target", "riscv64-freestanding", "-mcpu=generic_rv64+m+a+f+d+c+zicsr", "-mcmodel=medany", "-O2", "-nostdlib",
         "-static", "-fno-sanitize=all", "-Wl,--build-id=none")
SCRIPT = "ENTRY(_start) SECTIONS { . = 0x80000000; .all : { *(.text .text.*) *(.data .data.*) *(.bss .bss.*) } }"
NEVER = (1 << 64) - 1


def seconds(program: Path, harts: int, threads: bool) -> float:
    """What the work of so many harts takes."""
    with vm.Machine(memory="16M", harts=harts, threads=threads) as machine:
        machine.load(program)
        for native in machine._natives:
            native.mtimecmp = NEVER         # from reset on the machine timer is due
        began = time.perf_counter()
        stop = machine.run()
        assert stop.reason is vm.StopReason.IDLE, stop
        return time.perf_counter() - began


@click.command(help=__doc__)
@click.option("--work", default=20_000, show_default=True, help="How often each hart goes through its memory.")
@click.option("--rounds", default=5, show_default=True, help="How often each is measured; the least counts.")
@click.option("--most", default=2, show_default=True, help="As many harts as that, in powers of two.")
def main(work: int, rounds: int, most: int) -> None:
    counts = [count for count in (1, 2, 4, 8) if count <= most]
    with tempfile.TemporaryDirectory() as folder:
        script, program = Path(folder) / "link.ld", Path(folder) / "harts.elf"
        script.write_text(SCRIPT)
        defined = (f"-DROUNDS={work}", f"-DHARTS={most}")
        compile_c(Path(__file__).parent, [*FLAGS, *defined, "-T", str(script), "harts.c"], program)
        kinds = [(harts, threads) for harts in counts for threads in (False, True)]
        taken = [{kind: seconds(program, *kind) for kind in kinds} for _ in range(rounds)]
    least = {kind: min(one[kind] for one in taken) for kind in kinds}
    table = Table("harts", "in turns", "in threads", "work of one hart in turns, at the same time")
    for harts in counts:
        turns, threads = least[harts, False], least[harts, True]
        table.add_row(str(harts), f"{turns:.2f} s", f"{threads:.2f} s", f"{harts * least[1, False] / threads:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
