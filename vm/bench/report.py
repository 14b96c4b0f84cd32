"""The benchmark report: as a table on the terminal, as JSON, as a page of HTML, as plots; and two of them compared.

What draws imports its library itself: rich takes long to load, and matplotlib need not be there.
"""

import html
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.util import find_spec
from io import StringIO
from math import isnan, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vm import __version__
from vm.bench.measure import HELD, REFUTED, Result
from vm.errors import VmError
from vm.host import cpu_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

CLAIMS = ("A claim is what was promised of a part before it was measured: by the goals of this project, or by what is "
          "published of the technique.")
HEADINGS = ("what", "baseline", "ours", "baseline takes", "ours takes", "ratio", "quartiles", "claim", "verdict")
NOTICEABLE = 0.02           # a smaller change of a ratio is not worth a word
STYLES = {HELD: "green", REFUTED: "red"}
COLOURS = {HELD: "#2e8b57", REFUTED: "#c0504d"}
CSS = """body { font: 15px/1.4 sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; width: 100%; margin-bottom: 2em } th, td { text-align: left; padding: .25em .7em;
border-bottom: 1px solid #ddd; vertical-align: top } td:nth-child(n+4):nth-child(-n+7) { text-align: right;
white-space: nowrap } .held { color: #06752b } .refuted { color: #b3261e } .note { color: #666 } svg { max-width: 100% }
"""


def document(results: Sequence[Result], quick: bool) -> dict[str, Any]:
    """All there is to know about a run, for JSON."""
    return {
        "vm": __version__, "date": datetime.now(UTC).isoformat(timespec="seconds"), "quick": quick,
        "host": {"cpu": cpu_model(), "cpus": os.cpu_count(), "system": f"{platform.system()} {platform.release()}",
                 "machine": platform.machine(), "python": platform.python_version(),
                 "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None},
        "rows": [stored(result) for result in results],
        "geometric means": geometric_means(results),
    }


def stored(result: Result) -> dict[str, Any]:
    """A row for JSON, which has no NaN: without its figures where there are none."""
    return {name: value for name, value in asdict(result).items() if value == value}


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Result]]:
    """A run that was stored as JSON."""
    try:
        run = json.loads(Path(path).read_text())
        results = [Result(**row | {"pairs": tuple(map(tuple, row["pairs"]))}) for row in run["rows"]]
        for row in results:
            if not all(isinstance(text, str) for text in (row.subject, row.name, row.baseline, row.ours, row.verdict)):
                raise TypeError
            sum((row.baseline_median, row.ours_median, row.ratio_low, row.ratio_high, 1 / row.ratio))    # are numbers
    except json.JSONDecodeError as error:
        raise VmError(f"{path}: not a report that vm bench --json wrote; not even JSON: {error}") from error
    except (ArithmeticError, ValueError, LookupError, TypeError) as error:
        raise VmError(f"{path}: not a report that vm bench --json wrote, or of another version of vm") from error
    return run, results


def geometric_means(results: Iterable[Result]) -> dict[str, float]:
    """Of the ratios, over the rows of each group."""
    groups: dict[str, list[float]] = {}
    for result in results:
        if result.group and result.measured:
            groups.setdefault(f"{result.subject}: {result.group}", []).append(result.ratio)
    return {group: prod(ratios) ** (1 / len(ratios)) for group, ratios in groups.items() if len(ratios) > 1}


def amount(value: float, unit: str) -> str:
    """A value with a fitting prefix."""
    if isnan(value):
        return "-"
    if not unit:
        return f"{value:,.0f}"
    if unit == "B":
        return f"{value / 2**20:.2f} MiB" if value >= 2**20 else f"{value / 1024:.1f} KiB"
    for prefix, scale in (("", 1), ("m", 1e-3), ("µ", 1e-6)):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}s"
    return f"{value * 1e9:.3g} ns"


def cells(result: Result) -> tuple[str, ...]:
    if not result.measured:
        figures = ["-"] * 4
    else:
        figures = [amount(result.baseline_median, result.unit), amount(result.ours_median, result.unit),
                   f"{result.ratio:.2f}x", f"{result.ratio_low:.2f}–{result.ratio_high:.2f}"]
    verdict = f"{result.verdict}: {result.note.splitlines()[0]}" if result.note else result.verdict
    return (result.name, result.baseline, result.ours, *figures, result.claim or "", verdict)


def lines(rows: Iterable[Result]) -> list[tuple[tuple[str, ...], str]]:
    """The cells of each row and its verdict. What was not measured for the same reason is one line."""
    found = [(cells(row), row.verdict) for row in rows if row.measured]
    missing: dict[str, list[Result]] = {}
    for row in rows:
        if not row.measured:
            missing.setdefault(row.note, []).append(row)
    for first, *others in missing.values():
        name, *rest = cells(first)
        found.append(((f"{name}, and {len(others)} more" if others else name, *rest), first.verdict))
    return found


def by_subject(results: Iterable[Result]) -> dict[str, list[Result]]:
    subjects: dict[str, list[Result]] = {}
    for result in results:
        subjects.setdefault(result.subject, []).append(result)
    return subjects


def new_table(*headings: str, title: str | None = None) -> "Table":
    """A table that wraps and never cuts off; without padding nine columns are readable on 100 characters."""
    from rich.table import Column, Table

    return Table(*(Column(heading, overflow="fold") for heading in headings), title=title, title_justify="left",
                 padding=0)


def tables(results: Sequence[Result]) -> Iterable["Table"]:
    """A table for each subject, and one of geometric means."""
    for subject, rows in by_subject(results).items():
        table = new_table(*HEADINGS, title=subject)
        for line, verdict in lines(rows):
            table.add_row(*line, style=STYLES.get(verdict))
        yield table
    means = geometric_means(results)
    if means:
        table = new_table("group", "ratio", title="geometric means")
        for group, mean in means.items():
            table.add_row(group, f"{mean:.2f}x")
        yield table


def compared(before: Sequence[Result], after: Sequence[Result]) -> "Table":
    """What changed from one run to another.

    Faster or slower is where the quartiles of the ratios lie apart, which is more than noise does, and the change is
    one that matters.
    """
    table = new_table("subject", "what", "ours took", "takes", "ratio was", "is", "change of the ratio", "verdict")
    old = {(row.subject, row.name, row.baseline, row.ours): row for row in before}
    for row in after:
        was = old.pop((row.subject, row.name, row.baseline, row.ours), None)
        if was is None or not was.measured or not row.measured:
            note = "new" if was is None else f"{was.verdict}, then {row.verdict}" if was.verdict != row.verdict else ""
            if note:
                table.add_row(row.subject, row.name, "", amount(row.ours_median, row.unit), "", "", "", note)
            continue
        apart = row.ratio_low > was.ratio_high or row.ratio_high < was.ratio_low
        change = row.ratio / was.ratio - 1
        note = ("faster" if change > 0 else "slower") if apart and abs(change) >= NOTICEABLE else ""
        table.add_row(row.subject, row.name, amount(was.ours_median, row.unit), amount(row.ours_median, row.unit),
                      f"{was.ratio:.2f}x", f"{row.ratio:.2f}x", f"{change * 100:+.1f}%", note,
                      style={"faster": "green", "slower": "red"}.get(note))
    for was in old.values():
        table.add_row(was.subject, was.name, amount(was.ours_median, was.unit), "", "", "", "", "gone")
    return table


def page(run: dict[str, Any], results: Sequence[Result]) -> str:
    """The report as one file of HTML, with plots where matplotlib is installed."""
    host = run["host"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>vm bench</title><style>{CSS}</style>",
        "<h1>Benchmarks</h1>",
        f"<p>vm {run['vm']}, {run['date']}, on {html.escape(host['cpu'])} ({host['cpus']} CPUs), "
        f"{html.escape(host['system'])}, Python {host['python']}. A ratio above 1 says that ours costs less; it is the "
        f"median over pairs of runs. {CLAIMS}</p>",
    ]
    pictures = plots(results)
    for subject, rows in by_subject(results).items():
        parts.append(f"<h2>{html.escape(subject)}</h2>")
        parts += [svg(figure) for name, figure in pictures.items() if name in (subject, f"{subject}-sweep")]
        parts.append("<table><tr>" + "".join(f"<th>{heading}" for heading in HEADINGS))
        for line, verdict in lines(rows):
            kind = verdict if verdict in STYLES else "note"
            parts.append(f'<tr class="{kind}">' + "".join(f"<td>{html.escape(cell)}" for cell in line))
        parts.append("</table>")
    means = geometric_means(results)
    parts.append("<h2>Geometric means</h2><table>")
    parts += [f"<tr><td>{html.escape(group)}<td>{mean:.2f}x" for group, mean in means.items()]
    return "\n".join([*parts, "</table></html>", ""])


def svg(figure: "Figure") -> str:
    text = StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight")
    return text.getvalue().partition("?>")[2].partition("dtd\">")[2]


def plots(results: Sequence[Result]) -> "dict[str, Figure]":
    """Pictures: for each subject the ratios as bars, and its sweeps as lines. Empty without matplotlib."""
    if find_spec("matplotlib") is None:
        return {}
    pictures = {}
    for subject, rows in by_subject(results).items():
        shown = [row for row in rows if row.measured]
        if bars := [row for row in shown if row.at is None]:
            pictures[subject] = bar_plot(subject, bars)
        if sweeps := [row for row in shown if row.at is not None]:
            pictures[f"{subject}-sweep"] = sweep_plot(subject, sweeps)
    return pictures


def bar_plot(subject: str, rows: Sequence[Result]) -> "Figure":
    """A bar for each row from 1x to its ratio, the quartiles as whiskers."""
    from matplotlib.figure import Figure

    rows = rows[::-1]
    figure = Figure(figsize=(9, 0.8 + 0.27 * len(rows)))
    axes = figure.add_subplot()
    places = range(len(rows))
    whiskers = [[row.ratio - row.ratio_low for row in rows], [row.ratio_high - row.ratio for row in rows]]
    axes.barh(places, [row.ratio - 1 for row in rows], left=1, height=0.7, xerr=whiskers,
              color=[COLOURS.get(row.verdict, "#5b7db1") for row in rows], error_kw={"elinewidth": 1, "ecolor": "#333"})
    for place, row in zip(places, rows, strict=True):
        axes.annotate(f" {row.ratio:.2f}x ", (max(row.ratio_high, 1), place), va="center", fontsize=7)
    axes.set_yticks(list(places), [f"{row.name}; beside: {row.baseline}" for row in rows], fontsize=7)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xscale("log")
    low, high = min([1, *(row.ratio_low for row in rows)]), max([1, *(row.ratio_high for row in rows)])
    axes.set_xlim(low / 1.15, high * (high / low) ** 0.12 * 1.1)
    axes.axvline(1, color="#333", linewidth=0.8)
    finish_plot(axes, axes.xaxis, f"{subject}: times as fast as the baseline")
    return figure


def sweep_plot(subject: str, rows: Sequence[Result]) -> "Figure":
    """A line for each group, the quartiles as a band."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(9, 4.5))
    axes = figure.add_subplot()
    for group in dict.fromkeys(row.group for row in rows):
        line = [row for row in rows if row.group == group]
        where = [row.at for row in line if row.at is not None]
        axes.plot(where, [row.ratio for row in line], marker="o", markersize=4, label=group)
        axes.fill_between(where, [row.ratio_low for row in line], [row.ratio_high for row in line], alpha=0.15)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.axhline(1, color="#333", linewidth=0.8)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,.0f}"))
    axes.set_xlabel(rows[0].axis, fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    finish_plot(axes, axes.yaxis, f"{subject}: times as fast as the baseline")
    return figure


def finish_plot(axes: Any, ratios: Any, title: str) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    ratios.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ratios.set_minor_locator(NullLocator())
    ratios.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}x"))
    axes.tick_params(labelsize=7)
    axes.set_title(title, fontsize=9, loc="left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def require_matplotlib() -> None:
    if find_spec("matplotlib") is None:
        raise VmError("plots need matplotlib: pip install matplotlib")


def save_plots(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write the plots as SVG and PNG. Raises VmError without matplotlib."""
    require_matplotlib()
    pictures = plots(results)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for subject, figure in pictures.items():
        for suffix in ("svg", "png"):
            path = folder / f"{subject}.{suffix}"
            figure.savefig(path, bbox_inches="tight", dpi=150)
            written.append(path)
    return written
