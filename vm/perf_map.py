"""The file by which Linux `perf` names compiled code: /tmp/perf-PID.map, lines of start, size (hexadecimal) and name.

perf looks into it only when it reports, and knows no time in it: whatever addresses a sample fell on are named as the
file has them at the end. So the file is written between runs, keeps the names of code that is gone until other code
stands in its place, and no two of its lines overlap. It is the process's, and all its machines write into one.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path


class PerfMap:
    def __init__(self) -> None:
        self._starts: list[int] = []                        # sorted
        self._places: dict[int, tuple[int, str]] = {}       # size and name, by start
        self._lock = threading.Lock()                       # machines of several threads end their runs at once

    @property
    def path(self) -> Path:
        return Path(f"/tmp/perf-{os.getpid()}.map")

    def update(self, journal: Iterable[tuple[int, int, int]], name: Callable[[int], str]) -> None:
        """Enter what `JitCompiler.take_journal` gave, and write the file if that was anything."""
        places = [(start, size, name(pc) if pc else "vm: shared by all compiled code") for pc, start, size in journal]
        if not places:
            return
        with self._lock:
            for place in places:
                self.enter(*place)
            self.write()

    def enter(self, start: int, size: int, name: str) -> None:
        """What stood there before, or reached into it, is gone."""
        first = bisect_left(self._starts, start)
        if first and self._starts[first - 1] + self._places[self._starts[first - 1]][0] > start:
            first -= 1
        last = bisect_left(self._starts, start + size)
        for gone in self._starts[first:last]:
            del self._places[gone]
        self._starts[first:last] = [start]
        self._places[start] = size, name

    def write(self) -> None:
        import tempfile  # here: it takes long to load

        # By way of another file: perf, or somebody's link in that directory, must not meet half a one.
        handle, temporary = tempfile.mkstemp(prefix="perf-", dir=self.path.parent)
        with open(handle, "w") as file:
            for start in self._starts:
                size, name = self._places[start]
                file.write(f"{start:x} {size:x} {name}\n")
        os.replace(temporary, self.path)


PERF_MAP = PerfMap()        # of this process
