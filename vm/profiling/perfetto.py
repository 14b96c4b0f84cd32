"""A profile as a trace that ui.perfetto.dev opens, and chrome://tracing and speedscope: what ran when, call in call.

Chrome's Trace Event Format, in JSON: calls begin ("B") and end ("E"), and metadata ("M"). Pairs lie in each other by
their order, whatever a reader rounds times to, as complete events ("X") would not. An address space is a process there,
a hart in it a thread. Samples of the same calls that follow each other are one call; times are microseconds of the
guest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from vm.profiling.moments import Moment
from vm.profiling.tree import Path


class Track:
    """One hart in one address space, a thread of this number: the calls that have not ended yet."""

    def __init__(self, process: int, hart: int, number: int):
        self.place: dict[str, Any] = {"pid": process, "tid": number}
        self.name = f"hart {hart}"
        self._calls: list[dict[str, Any]] = []
        self._path: Path = ()
        self._end_ns = 0
        self.events: list[dict[str, Any]] = []

    def add(self, moment: Moment) -> None:
        same = 0
        if moment.begin_ns == self._end_ns:
            for one, other in zip(self._path, moment.path, strict=False):
                if one != other:
                    break
                same += 1
        self._end(same)
        for frame in moment.path[same:]:
            call: dict[str, Any] = {"name": frame.name, "cat": frame.kind, "ph": "B", "ts": moment.begin_ns / 1000,
                                    **self.place, "args": {"samples": 0}}
            self._calls.append(call)
            self.events.append(call)
        for call in self._calls:
            call["args"]["samples"] += 1
        self._path, self._end_ns = moment.path, moment.end_ns

    def end(self) -> None:
        self._end(0)

    def _end(self, same: int) -> None:
        """All calls but so many of the outermost are over."""
        self.events += [{"ph": "E", "ts": self._end_ns / 1000, **self.place} for _ in self._calls[same:]]
        del self._calls[same:]


def trace_events(moments: Iterable[Moment]) -> str:
    """The file. Moments of one hart come in order of time."""
    processes: dict[str, int] = {}
    tracks: dict[tuple[int, int], Track] = {}
    running: dict[int, Track] = {}
    for moment in moments:
        process = processes.setdefault(moment.process, len(processes) + 1)
        track = tracks.setdefault((process, moment.hart), Track(process, moment.hart, len(tracks) + 1))
        before = running.get(moment.hart, track)
        if before is not track:
            before.end()
        running[moment.hart] = track
        track.add(moment)
    for track in tracks.values():
        track.end()
    events = [{"name": "process_name", "ph": "M", "pid": number, "args": {"name": name}}
              for name, number in processes.items()]
    events += [{"name": "thread_name", "ph": "M", **track.place, "args": {"name": track.name}}
               for track in tracks.values()]
    events += [event for track in tracks.values() for event in track.events]
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns"})
