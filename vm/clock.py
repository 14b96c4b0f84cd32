"""The machine's clock as devices see it: guest nanoseconds, the timebase, and the date."""

import time
from collections.abc import Mapping
from typing import Any, Literal

from vm.errors import ConfigurationError, SnapshotError
from vm.state import Stateful
from vm_native.clock import NativeClock

# With a virtual clock the guest's calendar starts here, a day later for each step of the seed, whatever the host's
# calendar says: 2025-01-01 00:00 UTC.
VIRTUAL_EPOCH_NS = 1_735_689_600 * 10**9
DAY_NS = 86_400 * 10**9
SEED_DAYS = 365


ClockKind = Literal["virtual", "real"]


def clock_of(said: ClockKind | None, threads: bool) -> ClockKind:
    """What a machine has. Raises ConfigurationError for time that counts the steps of harts that run at one time."""
    if not isinstance(threads, bool):
        raise ConfigurationError(f"threads={threads!r}: True or False")
    if threads and said == "virtual":
        raise ConfigurationError('clock="virtual" with threads=True: harts in threads have the time of the host; leave '
                                 'the clock out, or the threads')
    return said or ("real" if threads else "virtual")


class Clock(NativeClock, Stateful):
    """Guest time. `kind` is "virtual" (a function of steps) or "real" (the host's clock).

    `now_ns()` counts from power-on and is exact to the step; `ticks()` is the timebase, 10 MHz as on QEMU's virt board.

    A real clock that is loaded goes on at the guest time that was saved, and with the date of that.
    """

    FREQUENCY = 10_000_000

    state = ("steps", "skipped_ns", "tick_offset", "epoch_at_start", "real_ns")
    unsaved = ("kind",)

    def __init__(self, kind: ClockKind = "virtual", seed: int = 0, ns_per_step: int = 1):
        super().__init__(real=kind == "real", ns_per_step=ns_per_step, frequency=self.FREQUENCY)
        self.kind: ClockKind = kind
        if kind == "real":
            self.epoch_at_start = time.time_ns()
        else:
            self.epoch_at_start = VIRTUAL_EPOCH_NS + seed % SEED_DAYS * DAY_NS

    def __repr__(self) -> str:
        return f"<{self.kind} clock at {self.now_ns() / 10**9:.9f} s>"

    @property
    def real_ns(self) -> int | None:
        """Guest time of a clock that no count of steps gives; None for a virtual one."""
        return self.now_ns() if self.kind == "real" else None

    @real_ns.setter
    def real_ns(self, value: int | None) -> None:
        if value is not None:
            self.set_real_ns(value)

    def refuse_unfit(self, saved: Mapping[str, Any]) -> None:
        super().refuse_unfit(saved)
        if (saved["real_ns"] is None) is not (self.kind == "virtual"):
            raise SnapshotError(f"the saved state is of a machine with another kind of clock than this one, which is "
                                f"{self.kind}: build the machine with the same clock=")

    def epoch_ns(self) -> int:
        """The date: nanoseconds since 1970-01-01 00:00 UTC."""
        return self.epoch_at_start + self.now_ns()

    def set_epoch_ns(self, value: int) -> None:
        """Set the guest's date; the host's stays as it is."""
        self.epoch_at_start += value - self.epoch_ns()

    def renew(self, identity: int) -> None:
        """Another machine has another date: a virtual clock is moved to another day, as by another seed."""
        if self.kind == "virtual":
            self.epoch_at_start += (1 + identity % SEED_DAYS) * DAY_NS
