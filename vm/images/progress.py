"""Progress of downloads: a bar on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def download_progress(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A callable(received, total) that draws a bar on standard error; None if that is no terminal."""
    if sys.stderr is None or sys.stderr.closed or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # here: elsewhere nobody waits for it to load
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
               TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
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
