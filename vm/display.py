"""How things show in a notebook and in a terminal: tables of names and values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def hexadecimal(value: int) -> str:
    """A register of 64 bits, as wide as it is."""
    return f"{value:016x}"


def html_table(caption: str, rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells; the first of a row is its heading where there are two, each odd one where there are more."""
    from html import escape  # here: only notebooks need it

    lines = []
    for row in rows:
        cells = (f"<th style='text-align: left'>{escape(cell)}</th>" if column % 2 == 0 else
                 f"<td style='text-align: left'><code>{escape(cell)}</code></td>" for column, cell in enumerate(row))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><caption>{escape(caption)}</caption>{''.join(lines)}</table>"


def text_table(rows: Iterable[Sequence[str]]) -> str:
    """Names and values by turns, in columns."""
    return "\n".join("  ".join(f"{name:>4} {value}" for name, value in zip(row[::2], row[1::2], strict=True))
                     for row in rows)


def in_rows(pairs: Iterable[tuple[str, str]], columns: int) -> list[tuple[str, ...]]:
    """So many names, each with its value, in a row."""
    cells = [cell for pair in pairs for cell in pair]
    return [tuple(cells[start:start + 2 * columns]) for start in range(0, len(cells), 2 * columns)]


def size_text(size: int) -> str:
    """A multiple of 1 KiB, in the largest unit of which it is one."""
    for shift, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB")):
        if size % (1 << shift) == 0:
            return f"{size >> shift} {unit}"
    return f"{size >> 10} KiB"


def printable(name: str) -> str:
    """A name that may have bytes in it which are no UTF-8, as those of symbols: shown as question marks."""
    return name.encode(errors="replace").decode()
