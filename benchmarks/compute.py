"""What the compute device costs a bare-metal guest: `python -m benchmarks.compute`.

The guest (vm/guests/compute/bench.c) calls a function of the host before and behind each thing that is measured, and
that looks at the clock; beside each product and each sum NumPy does the same on arrays of its own, in turn. Of several
the least counts. Memory is what NumPy allocates while the guest adds arrays of more than 1 GB.
"""

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field

import click
import numpy as np
from rich.console import Console
from rich.table import Table

import vm
from vm.guests.compute import FOLDER

ROUNDS, SIDE, PRODUCTS, ADDITIONS, ELEMENTS = 20_000, 1024, 24, 8, 43 << 20       # as bench.c has them
MEMORY = "1100M"
AIM_NS, AIM_OF_NUMPY = 20_000, 0.9


@dataclass
class Stopwatch:
    """What the guest calls. `own`: what NumPy does before each thing from then on; None for the first."""

    guest: list[float] = field(default_factory=list)        # seconds of the host
    numpy: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    allocated: int = 0                                      # by NumPy, at most, in the last thing
    began: tuple[float, float] | None = None

    def mark(self) -> None:
        if self.began is not None:
            self.guest.append(time.perf_counter() - self.began[0])
            self.processor.append(time.process_time() - self.began[1])
            self.began = None
            if tracemalloc.is_tracing():
                self.allocated = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            return
        if len(self.guest) > 0:
            work = self.product if len(self.guest) <= PRODUCTS else self.addition
            self.numpy.append(seconds(work))
        if len(self.guest) == PRODUCTS + ADDITIONS:         # the last one
            tracemalloc.start()
        self.began = time.perf_counter(), time.process_time()

    def __post_init__(self) -> None:
        source = np.random.default_rng(1)
        left, right, result = source.random((SIDE, SIDE)), source.random((SIDE, SIDE)), np.empty((SIDE, SIDE))
        terms = np.ones(ELEMENTS), np.ones(ELEMENTS), np.empty(ELEMENTS)
        self.product: Callable[[], object] = lambda: np.matmul(left, right, out=result)
        self.addition: Callable[[], object] = lambda: np.add(*terms[:2], out=terms[2])


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measured() -> Stopwatch:
    watch = Stopwatch()
    device = vm.devices.ComputeDevice()
    device.register("mark", watch.mark)
    with vm.Machine(memory=MEMORY) as machine:
        machine.attach(device)
        machine.load(FOLDER / "bench.elf")
        stop = machine.run()
        assert stop.reason is vm.StopReason.POWER_OFF and stop.exit_code == 0, stop
    return watch


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True, help="How often all of it is measured; the least counts.")
def main(rounds: int) -> None:
    watches = [measured() for _ in range(rounds)]
    empty = min(watch.guest[0] for watch in watches) / ROUNDS
    processor = min(watch.processor[0] for watch in watches) / ROUNDS
    table = Table("in the host's time", "guest", "NumPy", "")
    table.add_row("an empty operation, there and back", f"{1e6 * empty:.1f} us", "",
                  f"{1e6 * processor:.1f} us of the processor; the aim is {AIM_NS / 1000:.0f} us")
    for name, first, count, aim in (
            (f"matmul {SIDE} x {SIDE}, double", 1, PRODUCTS, f"; the aim is {AIM_OF_NUMPY:.0%}"),
            ("add, 3 arrays of 344 MiB", 1 + PRODUCTS, ADDITIONS, "")):
        guest = min(min(watch.guest[first:first + count]) for watch in watches)
        numpy = min(min(watch.numpy[first - 1:first - 1 + count]) for watch in watches)
        table.add_row(name, f"{1e3 * guest:.1f} ms", f"{1e3 * numpy:.1f} ms",
                      f"{numpy / guest:.0%} of NumPy's speed{aim}")
    table.add_row("memory beside the guest's in an add", f"{max(watch.allocated for watch in watches) / 1024:.0f} KiB",
                  "", "1,032 MiB went through")
    Console().print(table)


if __name__ == "__main__":
    main()
