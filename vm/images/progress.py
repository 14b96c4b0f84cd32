"""Progress of downloads: a bar on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

# Called with the bytes received and the size; False for silence. For None, a bar on standard error if it is a terminal.
Progress = Callable[[int, int], None] | Literal[False]


@contextmanager
def download_progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A callable(received, total) that draws a bar on standard error; None if that is no terminal."""
    if sys.stderr is None or sys.stderr.closed or not sys.stderr.isatty():
        yield None
        return
    from rich import progress as bars
    from rich.console import Console  # here: elsewhere nobody waits for it to load

    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.DownloadColumn(),
               bars.TransferSpeedColumn(), bars.TimeRemainingColumn())
    with bars.Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = None                         # nothing shows until something is downloaded
        last = 0

        def progress(received: int, total: int) -> None:
            nonlocal task, last
            if task is None:
                task = bar.add_task(label, total=total)
            elif received < last:           # the next file
                bar.reset(task, total=total)
            last = received
            bar.update(task, completed=received, total=total)

        yield progress
