"""Runs litmus tests and prints what was seen: python -m tests.litmus [--mode MODE] [--engine ENGINE] NAME...

`MP+` is all tests that begin so. An outcome that the model of the mode forbids has an exclamation mark, one that no
order of all accesses explains a tilde.
"""

import sys
import time

import click

from tests.litmus.machines import ENGINES, MODES, STRONGEST, Laboratory
from tests.litmus.model import allowed
from tests.litmus.program import CELLS, Run
from tests.litmus.shapes import shapes


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--mode", type=click.Choice(MODES), default="threads", show_default=True)
@click.option("--engine", type=click.Choice(ENGINES), default="jit", show_default=True)
@click.option("--runs", default=1_000_000, show_default=True)
@click.option("--together", default=CELLS, show_default=True, help="Runs after which harts meet, a power of two.")
@click.option("--delay", default=15, show_default=True, help="How long harts wait at most, a power of two less one.")
def main(names: tuple[str, ...], mode: str, engine: str, runs: int, together: int, delay: int) -> None:
    laboratory = Laboratory(mode, engine)
    bad = 0
    with laboratory.machine:
        for shape in shapes().values():
            if shape.name not in names and not any(name[-1] == "+" and shape.name.startswith(name) for name in names):
                continue
            began = time.perf_counter()
            found = laboratory.observe(shape, Run(-(-runs // CELLS), together, delay))
            print(f"{shape.name}: {shape.text}  ({time.perf_counter() - began:.2f} s)")
            for outcome, count in sorted(found.items(), key=lambda item: -item[1]):
                wrong = outcome not in allowed(shape, STRONGEST[mode])
                bad += wrong
                mark = "!" if wrong else " " if outcome in allowed(shape, "SC") else "~"
                values = (f"{label}={value}" for label, value in zip(shape.labels, outcome, strict=True))
                print(f"{count:>12} {mark} {'  '.join(values)}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
