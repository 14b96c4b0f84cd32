"""`vm bench`: what the machine costs, each thing beside a baseline."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryFile

import click


class Subject(click.Choice):
    """One of the subjects, which are looked up when they are asked for: other commands do without vm.bench."""

    def __init__(self) -> None:
        self.case_sensitive = True

    @property
    def choices(self) -> tuple[str, ...]:       # type: ignore[override]
        from vm.bench.rows import SUBJECTS

        return SUBJECTS


@click.group(invoke_without_command=True, no_args_is_help=False,
             epilog="Example: vm bench --quick --html report.html")
@click.option("--quick/--full", "quick", default=True, show_default=True, help="In a minute or two, or all in an hour.")
@click.option("--only", "subjects", multiple=True, type=Subject(), help="This subject; repeatable.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the report here.")
@click.option("--html", "html_file", type=click.Path(dir_okay=False, path_type=Path), help="Write a page here.")
@click.option("--plots", type=click.Path(file_okay=False, path_type=Path), help="Write plots (SVG, PNG) here.")
@click.pass_context
def bench(context: click.Context, quick: bool, subjects: tuple[str, ...], json_file: Path | None,
          html_file: Path | None, plots: Path | None) -> int:
    """Measure the machine, each thing beside a baseline in the same run, and say which claims hold.

    What is not built or not installed is left out and said so. A busy host makes the figures worth less.
    """
    if context.invoked_subcommand:
        return 0
    check_places([file for file in (json_file, html_file) if file], plots)
    from vm.bench.measure import FAILED, measure
    from vm.bench.report import document, page, save_plots
    from vm.bench.rows import SUBJECTS, subject

    results = []
    interrupt = None
    try:
        for name in subjects or SUBJECTS:
            for row in subject(name).rows(quick):
                now = f"{name}: {row.name}, beside {row.baseline}"
                click.echo(f"\r\033[K{now}" if stderr_is_terminal() else now, err=True, nl=not stderr_is_terminal())
                results.append(measure(row))
    except KeyboardInterrupt as error:      # what was measured until then is shown and written all the same
        interrupt = error
    if stderr_is_terminal():
        click.echo("\r\033[K", err=True, nl=False)
    stored = document(results, quick)
    if json_file:
        json_file.write_text(json.dumps(stored, indent=1) + "\n")
    if html_file:
        html_file.write_text(page(stored, results))
    if plots:
        save_plots(results, plots)
    show(results)
    if interrupt:
        click.echo("interrupted: these are the rows measured until then", err=True)
        raise interrupt
    return int(any(result.verdict == FAILED for result in results))


@bench.command(epilog="Example: vm bench compare before.json after.json")
@click.argument("before", type=click.Path(exists=True, dir_okay=False))
@click.argument("after", type=click.Path(exists=True, dir_okay=False))
def compare(before: str, after: str) -> int:
    """Show what changed between two reports that --json wrote."""
    from vm.bench.report import compared, read

    console().print(compared(read(before)[1], read(after)[1]))
    return 0


def check_places(files: list[Path], folder: Path | None) -> None:
    """Raise OSError or VmError now, not after minutes of measuring, for what cannot be written."""
    for file in files:
        there = os.path.lexists(file)
        file.open("a").close()
        if not there:
            file.unlink()
    if folder:
        from vm.bench.report import require_matplotlib

        require_matplotlib()
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass


def stderr_is_terminal() -> bool:
    return sys.stderr.isatty()


def console():
    """As wide as the terminal or COLUMNS, else 100."""
    from rich.console import Console

    from vm.settings import given

    return Console(width=None if sys.stdout.isatty() or given("COLUMNS") else 100)


def show(results: list) -> None:
    from vm.bench.report import CLAIMS, tables

    for table in tables(results):
        console().print(table)
    console().print("A ratio is the median over pairs of runs, not one column by the other. Quartiles far apart: a "
                    "busy host.")
    console().print(CLAIMS)
