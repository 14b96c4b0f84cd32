"""Virtio memory balloon: the guest gives pages back to the host, as many as it is asked for, and those that are free.

Virtio 1.2, section 5.5. Queue 0 has pages that go into the balloon and queue 1 those that come out, as arrays of u32
page numbers. Behind them, where they are negotiated, come a queue of statistics, u16 tag and u64 value each, and one in
which buffers are free pages themselves; the specification numbers these 2 and 4, Linux without gaps, and either works.

A page that is given reads as zeros afterwards, and takes none of the host's memory until it is written again: as
`Memory.clear` does it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Any

from vm.devices.port import ProgramPort
from vm.devices.virtio.queue import Chain, Queue
from vm.devices.virtio.transport import VirtioDevice
from vm.errors import ConfigurationError, MalformedQueue, SnapshotError
from vm.sizes import PAGE_SIZE, parse_size

INFLATE, DEFLATE = 0, 1             # queues
F_STATS_VQ, F_DEFLATE_ON_OOM, F_REPORTING = 1, 2, 5
CONFIG = struct.Struct("<II")       # num_pages, actual
ACTUAL = slice(4, 8)                # of the configuration space: what the driver writes
NUMBER = struct.Struct("<I")
STATISTIC = struct.Struct("<HQ")
# By tag; the last six are Linux's, which the specification does not have yet
STATISTICS = ("swap_in", "swap_out", "majflt", "minflt", "memfree", "memtot", "avail", "caches", "htlb_pgalloc",
              "htlb_pgfail", "oom_kill", "alloc_stall", "async_scan", "direct_scan", "async_reclaim", "direct_reclaim")
MOST_STATISTICS = 64                # that are looked at
MOST_NUMBERS = 1 << 18              # pages that a buffer names, or is: a GiB
AT_ONCE = 1 << 18                   # pages that are cleared, and numbers that are read, before the harts go on
PAUSE_NS = 10_000                   # of the guest, until the next ones are
GO_ON = 0                           # event
LIMITS = {"target_pages": 0xFFFF_FFFF, "actual_pages": 0xFFFF_FFFF, "reports": 1 << 64, "work": AT_ONCE}   # of state
OPERATION = struct.Struct("<BI")


class Action(IntEnum):
    """What the host's program does: the operation of an input."""

    RESIZE = 1                      # pages
    REFRESH = 2


class Balloon(ProgramPort, VirtioDevice):
    """A balloon in the guest's memory. Sizes are in bytes, multiples of 4096, or text as "256M".

    - deflate_on_oom: the guest takes pages out again rather than end programs.
    - reporting: pages that are free in the guest are given back unasked; Linux does that in blocks of 2 MiB, some two
      seconds after they have become free.

    Of a machine of which a snapshot was taken, or that is a fork, the host has back at once what comes in stretches of
    256 KiB or more; the rest is cleared, and so needs no room in files of snapshots.
    """

    device_id = 5
    queue_count = 5
    state = VirtioDevice.state + ("target_pages", "actual_pages", "statistics", "reports", "asked", "work")
    setup = ("deflate_on_oom", "reporting")
    unsaved = VirtioDevice.unsaved + ProgramPort.unsaved

    actual_pages: int                       # as the driver says
    statistics: list[tuple[int, int]]       # by tag, of those that have a name
    reports: int                            # how often the driver has given some
    asked: bool                             # for others, and the driver does not know yet
    work: int                               # since the last pause, as AT_ONCE counts it

    def __init__(self, deflate_on_oom: bool = True, reporting: bool = True):
        self.deflate_on_oom = deflate_on_oom
        self.reporting = reporting
        self.target_pages = 0
        self.work = 0
        super().__init__()

    # --- For the host's program --------------------------------------------------------------------------------------

    @property
    def target(self) -> int:
        """How large the balloon is to be, bytes."""
        return self.target_pages * PAGE_SIZE

    @property
    def actual(self) -> int:
        """How large it is, as the guest's driver says."""
        return self.actual_pages * PAGE_SIZE

    @property
    def stats(self) -> dict[str, int]:
        """What the guest said of its memory at the last `refresh`; nothing before.

        Names are those of the specification's tags (virtio 1.2, section 5.5.6.3), as memfree, memtot and avail, in
        bytes, and majflt, a count. Of what the guest does not say there is nothing.
        """
        return {STATISTICS[tag]: value for tag, value in self.statistics}

    def resize(self, size: int | str) -> None:
        """Ask the guest for a balloon of this size: what is in it, is the host's. It follows as the machine runs.

        Raises ConfigurationError for what is no size.
        """
        pages = 0 if size == 0 else parse_size(size, "balloon size") // PAGE_SIZE
        self.tell("resize", OPERATION.pack(Action.RESIZE, pages))

    def settle(self, *, seconds: float = 60, timeout: float | None = None) -> None:
        """Let the machine run until the balloon is as large as it is to be.

        - seconds, timeout: limits of guest and host time.

        Raises ExpectTimeout and ExpectStopped as `Console.expect` does. A guest may have less to give than it is asked
        for.
        """
        __tracebackhide__ = True
        self.run_until(lambda: self.actual_pages == self.target_pages,
                       f"the guest did not make its balloon {self.target:,} bytes large", "it did", seconds, timeout)

    def refresh(self, *, seconds: float = 60, timeout: float | None = None) -> dict[str, int]:
        """Ask the guest for its statistics, let the machine run until they come, and return them, as `stats`.

        Raises ConfigurationError where no driver runs the device that gives any, and what `settle` raises.
        """
        __tracebackhide__ = True
        if not self._running or not self.negotiated(F_STATS_VQ):
            raise ConfigurationError("no driver in the guest gives statistics of its memory")
        before = self.reports
        self.tell("refresh", OPERATION.pack(Action.REFRESH, 0))
        self.run_until(lambda: self.reports != before, "the guest gave no statistics of its memory", "it did", seconds,
                       timeout)
        return self.stats

    def hear(self, data: bytes) -> None:
        action, pages = OPERATION.unpack(data)
        if action == Action.RESIZE:
            self.target_pages = pages
            self.config_changed()
        elif (index := self._queue_of_statistics) is not None:
            self.asked = True
            self.serve(index)

    # --- Configuration -----------------------------------------------------------------------------------------------

    def features(self) -> int:
        return 1 << F_STATS_VQ | self.deflate_on_oom << F_DEFLATE_ON_OOM | self.reporting << F_REPORTING

    def config(self) -> bytes:
        return CONFIG.pack(self.target_pages, self.actual_pages)

    def write_config(self, offset: int, data: bytes) -> None:
        config = bytearray(self.config())
        config[offset:offset + len(data)] = data
        self.actual_pages, = NUMBER.unpack(config[ACTUAL])
        self.happened()

    # --- Queues ------------------------------------------------------------------------------------------------------

    @property
    def _queue_of_statistics(self) -> int | None:
        return 2 if self.negotiated(F_STATS_VQ) else None

    def _reports_pages(self, index: int) -> bool:
        return self.negotiated(F_REPORTING) and index in (4, 2 + self.negotiated(F_STATS_VQ))

    def handle(self, index: int) -> None:
        queue = self.queues[index]
        if index == self._queue_of_statistics:
            self._read_statistics(queue)
        elif index in (INFLATE, DEFLATE) or self._reports_pages(index):
            self._take_pages(index, queue)

    def _take_pages(self, index: int, queue: Queue) -> None:
        for chain in queue.chains():
            if self._pauses:
                return
            ranges = free_ranges(chain) if self._reports_pages(index) else runs(page_numbers(chain))
            for first, count in ranges:
                if index != DEFLATE:                # those that come out are the guest's at once
                    self.memory.clear(first * PAGE_SIZE, count * PAGE_SIZE)
                self._count_work(count)
            queue.push(chain, 0)
            self._count_work(chain.readable.size // NUMBER.size)

    @property
    def _pauses(self) -> bool:
        return self.work >= AT_ONCE

    def _count_work(self, amount: int) -> None:
        if not self._pauses:
            self.work = min(self.work + amount, AT_ONCE)
            if self._pauses:
                self.events.schedule(PAUSE_NS, self, GO_ON)

    def on_event(self, event: int, data: int) -> None:
        """The harts have had their turn."""
        self.work = 0
        for index in range(self.queue_count):
            if index != self._queue_of_statistics:
                self.serve(index)

    def _read_statistics(self, queue: Queue) -> None:
        """The driver's buffer stays until more is wanted: to give it back is to ask."""
        chain = queue.next()
        if chain is None:
            return
        if self.asked:
            self.asked = False
            queue.push(chain, 0)
            return
        data = chain.readable.split(MOST_STATISTICS * STATISTIC.size)[0].read()
        whole = len(data) - len(data) % STATISTIC.size
        self.statistics = [(tag, value) for tag, value in STATISTIC.iter_unpack(data[:whole]) if tag < len(STATISTICS)]
        self.reports += 1
        self.happened()

    # --- Life --------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """A driver that comes anew finds an empty balloon, and the size that is asked for."""
        if self._pauses:
            self.events.cancel(self, GO_ON)
        self.work = 0
        self.actual_pages = 0
        self.statistics = []
        self.reports = 0
        self.asked = False
        super().reset()

    def refuse_unfit(self, saved: Mapping[str, Any]) -> None:
        super().refuse_unfit(saved)
        fits = {name: type(saved[name]) is int and 0 <= saved[name] <= most for name, most in LIMITS.items()}
        fits["asked"] = isinstance(saved["asked"], bool)
        fits["statistics"] = isinstance(saved["statistics"], list) and all(map(is_statistic, saved["statistics"]))
        for name, does in fits.items():
            if not does:
                raise SnapshotError(f"the saved state of a {type(self).__name__} is damaged: {name} is "
                                    f"{saved[name]!r:.200}")


def is_statistic(value: Any) -> bool:
    """Whether it is one of `statistics`."""
    return (isinstance(value, tuple) and [*map(type, value)] == [int, int] and 0 <= value[0] < len(STATISTICS)
            and 0 <= value[1] < 1 << 64)


def page_numbers(chain: Chain) -> list[int]:
    """Those in a buffer, in order, each once."""
    size = chain.readable.size
    if size % NUMBER.size or size > MOST_NUMBERS * NUMBER.size:
        raise MalformedQueue(f"page numbers in {size} bytes: {NUMBER.size} bytes each, and at most {MOST_NUMBERS:,}")
    return sorted({number for number, in NUMBER.iter_unpack(chain.readable.read())})


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Numbers in order as (first, how many in a row)."""
    first = count = 0
    for number in numbers:
        if number != first + count:
            if count:
                yield first, count
            first, count = number, 0
        count += 1
    if count:
        yield first, count


def free_ranges(chain: Chain) -> Iterator[tuple[int, int]]:
    """The whole pages in a buffer that is free memory: (number of the first, how many)."""
    if chain.writable.size > MOST_NUMBERS * PAGE_SIZE:
        raise MalformedQueue(f"a buffer of {chain.writable.size:,} free bytes: at most {MOST_NUMBERS:,} pages")
    for address, length in chain.writable.segments:
        first, end = -(-address // PAGE_SIZE), (address + length) // PAGE_SIZE
        if first < end:
            yield first, end - first
