"""Would the host's MMU translate for the guest, cheaper than the TLB does? `python -m benchmarks.host_windows`.

Each page of guest memory could be mapped into a reserved range of the host, where compiled code reaches it by one
addition, without comparing a page. (One comparison is left: a guest's address has 64 bits, and what a register holds
may be outside the range.) This takes the prices of what that needs: the signal and the mapping of a page that is
touched for the first time, and taking a mapping away again, as a fence or another address space asks for; beside them,
what a miss of the TLB costs in compiled code.
"""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from vm.bench.kernels import Kernels, best_engine
from vm.bench.rows.memory import HITS, MISSES
from vm.boards.virt import RAM_BASE

SOURCE = Path(__file__).with_suffix(".c")


@dataclass(frozen=True)
class Prices:
    """Nanoseconds of one page, and how many pages the host maps apart in one process."""

    filled: float                           # touched for the first time: fault, signal, mapping, the host's own fault
    used: float                             # touched again
    forgotten: float                        # taken away alone
    emptied: float                          # taken away with all others
    limit: int


def host_prices(pages: int) -> Prices:
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "host_windows"
        subprocess.run(["cc", "-O2", "-o", str(program), str(SOURCE)], check=True)
        return Prices(**json.loads(subprocess.run([program, str(pages)], check=True, capture_output=True).stdout))


def miss_price(rounds: int) -> float:
    """What a load that misses the TLB takes beyond one that does not, with 4 KiB pages in three levels."""
    kernels = Kernels(best_engine())
    satp = kernels.map_pages()
    misses, hits = (kernels.timer("pages", RAM_BASE, pages, satp=satp) for pages in (MISSES, HITS))
    return 1e9 * min(misses() - hits() for _ in range(rounds))


@click.command(help=__doc__)
@click.option("--pages", default=10_000, show_default=True, help="How many pages the guest touches.")
@click.option("--rounds", default=5, show_default=True, help="How often each is measured; the least counts.")
def main(pages: int, rounds: int) -> None:
    prices = [host_prices(pages) for _ in range(rounds)]
    filled, used, forgotten, emptied = (min(getattr(taken, name) for taken in prices)
                                        for name in ("filled", "used", "forgotten", "emptied"))
    miss = miss_price(rounds)
    table = Table("a page", "ns")
    for text, nanoseconds in (("touched first: signal and mapping", filled), ("touched again", used),
                              ("taken away alone", forgotten), ("taken away with all others", emptied),
                              ("a miss of the TLB, in compiled code", miss)):
        table.add_row(text, f"{nanoseconds:,.1f}")
    console = Console()
    console.print(table)
    console.print(f"A page that is shown and emptied costs {(filled + emptied) / miss:,.0f} misses; the host maps "
                  f"{min(taken.limit for taken in prices):,} pages apart in one process.")


if __name__ == "__main__":
    main()
