"""The benchmark page of the documentation, from a stored run: `python -m benchmarks.page RUN.json`.

The run (`vm bench --full --json RUN.json`) becomes docs/benchmarks.json, and docs/benchmarks.md with plots beside it is
made of that.
"""

import shutil
from pathlib import Path
from textwrap import wrap

import click

from vm.bench.report import CLAIMS, HEADINGS, by_subject, geometric_means, lines, read, save_plots

DOCS = Path(__file__).parents[1] / "docs"
STORED = DOCS / "benchmarks.json"
FIRST = ("programs", "startup", "system")       # what users wait for; the others are what the machine is made of
SUMMARY = {                                     # of groups and rows, what each says to somebody new
    "programs: integer, beside qemu": "programs on integers, beside qemu-system-riscv64",
    "programs: floating point, beside qemu": "programs in floating point, beside qemu-system-riscv64",
    "programs: integer, beside unicorn": "programs on integers, beside Unicorn",
    "programs: floating point, beside unicorn": "programs in floating point, beside Unicorn",
    "programs: integer, beside native": "programs on integers, beside the same source compiled for the host",
    "programs: floating point, beside native": "programs in floating point, beside the same",
    "Debian's installer: kernel, shell, power-off": "Debian's installer, from power-on to a shell and off, beside QEMU",
    "a machine and its first instruction, inside Python": "a new machine in a running Python, beside a QEMU process",
    "memory of a machine with 128 MiB of RAM": "memory of one more machine with 128 MiB of RAM, beside a QEMU process",
}


def row(cells) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def summary(results) -> list[str]:
    ratios = geometric_means(results) | {result.name: result.ratio for result in results if result.measured}
    return [row((words, f"{ratios[name]:.2f}x")) for name, words in SUMMARY.items() if name in ratios]


def text() -> str:
    """The page of the stored run."""
    run, results = read(STORED)
    host = run["host"]
    verdicts = [result.verdict for result in results if result.claim]
    parts = [
        "---", "hide: [navigation, toc]", "---", "", "# Benchmarks", "",
        "How many times less it costs here; geometric means where there is more than one program:", "",
        row(("what", "times less")), "|---|---|", *summary(results), "",
        "Made by `python -m benchmarks.page` from a run of `vm bench`. Each row below has both sides in turn, in one",
        "run; a ratio above 1 says that ours costs less, and is the median over the pairs.", "",
        f"vm {run['vm']}, {run['date'][:10]}, on {host['cpu']} ({host['cpus']} CPUs, load {host['load']:.1f} at the "
        f"end), {host['system']}, Python {host['python']}; the {'quick' if run['quick'] else 'full'} set.", "",
        f"Of {len(verdicts)} claims, {verdicts.count('held')} held and {verdicts.count('refuted')} were refuted.",
        *wrap(f"{CLAIMS} What was refuted stays on the page.", 120),
    ]
    subjects = by_subject(results)
    for subject, rows in sorted(subjects.items(), key=lambda item: FIRST.index(item[0]) if item[0] in FIRST else 9):
        parts += ["", f"## {subject.capitalize()}", ""]
        parts += [f"![{name}](benchmarks/{name}.svg)\n" for name in (subject, f"{subject}-sweep")
                  if (DOCS / f"benchmarks/{name}.svg").exists()]
        parts += [row(HEADINGS), "|" + "---|" * len(HEADINGS)]
        parts += [row(cells) for cells, _ in lines(rows)]
    means = geometric_means(results)
    if means:
        parts += ["", "## Geometric means", "", "| group | ratio |", "|---|---|"]
        parts += [row((group, f"{mean:.2f}x")) for group, mean in means.items()]
    return "\n".join([*parts, ""])


@click.command()
@click.argument("report", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(report: Path) -> None:
    """Store the run REPORT and make the page."""
    _, results = read(report)
    if report.resolve() != STORED:
        shutil.copyfile(report, STORED)
    pictures = DOCS / "benchmarks"
    shutil.rmtree(pictures, ignore_errors=True)
    save_plots(results, pictures)
    for png in pictures.glob("*.png"):
        png.unlink()
    (DOCS / "benchmarks.md").write_text(text())


if __name__ == "__main__":
    main()
