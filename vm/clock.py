"""The machine's clock as devices see it: guest nanoseconds, the timebase, and the date."""

import time
from typing import Literal

from vm_native.clock import NativeClock

# With a virtual clock the guest's calendar starts here, a day later for each step of the seed, whatever the host's
# calendar says: 2025-01-01 00:00 UTC.
VIRTUAL_EPOCH_NS = 1_735_689_600 * 10**9
DAY_NS = 86_400 * 10**9
SEED_DAYS = 365


ClockKind = Literal["virtual", "real"]


class Clock(NativeClock):
    """Guest time. `kind` is "virtual" (a function of steps) or "real" (the host's clock).

    `now_ns()` counts from power-on and is exact to the step; `ticks()` is the timebase, 10 MHz as on QEMU's virt board.
    """

    FREQUENCY = 10_000_000

    def __init__(self, kind: ClockKind = "virtual", seed: int = 0, ns_per_step: int = 1):
        super().__init__(real=kind == "real", ns_per_step=ns_per_step, frequency=self.FREQUENCY)
        self.kind: ClockKind = kind
        if kind == "real":
            self._epoch_at_start = time.time_ns()
        else:
            self._epoch_at_start = VIRTUAL_EPOCH_NS + seed % SEED_DAYS * DAY_NS

    def __repr__(self) -> str:
        return f"<{self.kind} clock at {self.now_ns() / 10**9:.9f} s>"

    def epoch_ns(self) -> int:
        """The date: nanoseconds since 1970-01-01 00:00 UTC."""
        return self._epoch_at_start + self.now_ns()

    def set_epoch_ns(self, value: int) -> None:
        """Set the guest's date; the host's stays as it is."""
        self._epoch_at_start += value - self.epoch_ns()
