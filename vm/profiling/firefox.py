"""A profile as profiler.firefox.com opens it: its processed profile format, in JSON.

The format is that of version 60 (docs-developer/CHANGELOG-formats.md of the Firefox Profiler), which later versions of
the viewer bring up to date when they read it. Tables are columns of equal length; an address space is a process there,
a hart in it a thread. Times are milliseconds of the guest, and so are weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from vm.profiling.moments import Moment
from vm.profiling.tree import Frame, Path

PROCESSED_VERSION = 60
GECKO_VERSION = 31                          # of the format that Firefox itself writes, which this one is made from
NS_PER_MS = 1_000_000
COLORS = {"other": "grey", "user": "green", "supervisor": "orange", "machine": "blue", "waiting": "transparent"}
CATEGORIES = list(COLORS)
NOTHING = -1                                # no library, no address


class Table:
    """Columns, to which rows are added once each: `number` gives where a row stands."""

    def __init__(self, *columns: str, **constant: Any):
        """`constant` columns have one value in all rows."""
        self._columns: dict[str, list[Any]] = {name: [] for name in columns}
        self._constant = constant
        self._numbers: dict[tuple[Any, ...], int] = {}

    def number(self, *row: Any) -> int:
        place = self._numbers.setdefault(row, len(self._numbers))
        if place == len(next(iter(self._columns.values()))):
            for column, value in zip(self._columns.values(), row, strict=True):
                column.append(value)
        return place

    def data(self) -> dict[str, Any]:
        length = len(self._numbers)
        return {**self._columns, **{name: [value] * length for name, value in self._constant.items()},
                "length": length}


class Shared:
    """The tables that all threads refer to."""

    def __init__(self) -> None:
        self._strings: dict[str, int] = {}
        self._functions = Table("name", isJS=False, relevantForJS=False, resource=NOTHING, source=None,
                                lineNumber=None, columnNumber=None)
        self._frames = Table("func", "category", address=NOTHING, inlineDepth=0, subcategory=0, nativeSymbol=None,
                             innerWindowID=0, line=None, column=None)
        self._stacks = Table("frame", "prefix")

    def stack(self, path: Path) -> int | None:
        """The number of a call stack; None for one of no frames."""
        number = None
        for frame in path:
            number = self._stacks.number(self._frame(frame), number)
        return number

    def _frame(self, frame: Frame) -> int:
        name = self._strings.setdefault(frame.name, len(self._strings))
        return self._frames.number(self._functions.number(name), CATEGORIES.index(frame.kind))

    def data(self) -> dict[str, Any]:
        return {
            "stackTable": self._stacks.data(),
            "frameTable": self._frames.data(),
            "funcTable": self._functions.data(),
            "resourceTable": {"lib": [], "name": [], "host": [], "type": [], "length": 0},
            "nativeSymbols": {"libIndex": [], "address": [], "name": [], "functionSize": [], "length": 0},
            "sources": {"uuid": [], "filename": [], "length": 0},
            "stringArray": list(self._strings),
        }


def processed_profile(moments: Iterable[Moment], interval_ns: int) -> str:
    """The file. Moments of one hart come in order of time."""
    shared = Shared()
    threads: dict[tuple[str, int], list[tuple[int | None, float, float]]] = {}
    for begin_ns, end_ns, process, hart, path in moments:
        threads.setdefault((process, hart), []).append(
            (shared.stack(path), end_ns / NS_PER_MS, (end_ns - begin_ns) / NS_PER_MS))
    processes = {process: number for number, process in enumerate(dict.fromkeys(process for process, _ in threads), 1)}
    return json.dumps({
        "meta": meta(interval_ns / NS_PER_MS),
        "libs": [],
        "shared": shared.data(),
        "threads": [thread(process, processes[process], hart, rows) for (process, hart), rows in threads.items()],
    })


def meta(interval_ms: float) -> dict[str, Any]:
    return {
        "interval": interval_ms, "startTime": 0, "processType": 0, "stackwalk": 1, "product": "vm-emulator",
        "version": GECKO_VERSION, "preprocessedProfileVersion": PROCESSED_VERSION, "markerSchema": [],
        "categories": [{"name": name, "color": color, "subcategories": ["Other"]} for name, color in COLORS.items()],
        "symbolicated": True, "symbolicationNotSupported": True, "usesOnlyOneStackType": True,
        "sourceCodeIsNotOnSearchfox": True, "keepProfileThreadOrder": True,
    }  # fmt: skip


def thread(process: str, pid: int, hart: int, rows: list[tuple[int | None, float, float]]) -> dict[str, Any]:
    stacks, times, weights = map(list, zip(*rows, strict=True))
    return {
        "name": f"hart {hart}", "processName": process, "pid": str(pid), "tid": f"{pid}.{hart}",
        "isMainThread": False, "processType": "default", "processStartupTime": 0, "processShutdownTime": None,
        "registerTime": 0, "unregisterTime": None, "pausedRanges": [],
        "samples": {"stack": stacks, "time": times, "weight": weights, "weightType": "tracing-ms",
                    "length": len(rows)},
        "markers": {"data": [], "name": [], "startTime": [], "endTime": [], "phase": [], "category": [], "length": 0},
    }  # fmt: skip
