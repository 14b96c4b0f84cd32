"""How much of its host a machine may take, and how much it has taken.

The core enforces it: steps and host time end a slice, as those of a run do, and a store to one page of RAM more than
there may be ends it before it is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

from vm.arguments import whole_number
from vm.errors import ConfigurationError, LimitReached
from vm.sizes import PAGE_SIZE, parse_size

NS = 10**9


class Usage(NamedTuple):
    """What a machine has taken of the host.

    - steps: in runs since its limits were set, or it was built. A restore gives none back.
    - host_seconds: how long these runs have taken, by the host's clock.
    - host_memory: bytes of the pages of RAM that were written since the last snapshot or restore, or since power-on.
    """

    steps: int
    host_seconds: float
    host_memory: int


@dataclass(frozen=True)
class Limits:
    """How much of the host a machine may take; None is no limit. `run` raises LimitReached where one is reached.

    - host_memory: bytes, or text like "64M", of pages of RAM that are written, by the guest or devices. They are
      counted from the last snapshot or restore, for until then the machine shares what it has not written, or from
      power-on. The guest's store to one page more is not done. What is only read, translated code, which is
      bounded, and disks do not count.
    - host_seconds: of the host's clock, in runs. It is looked at as that of `run(timeout=)` is.
    - steps: in runs, all harts together, exact.

    Steps and seconds are counted from when the limits are set. Raises ConfigurationError.
    """

    host_memory: int | str | None = None
    host_seconds: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.host_memory is not None:
            object.__setattr__(self, "host_memory", parse_size(self.host_memory, "host_memory"))
        seconds = self.host_seconds
        if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, Real) or not seconds > 0):
            raise ConfigurationError(f"host_seconds={seconds!r}: a limit is a number of seconds, more than 0")
        if self.steps is not None and whole_number("steps", self.steps) < 1:
            raise ConfigurationError(f"steps={self.steps}: a limit is at least one step")

    @property
    def pages(self) -> int | None:
        """How many pages of RAM may be written."""
        return None if self.host_memory is None else int(self.host_memory) // PAGE_SIZE


class Account:
    """What a machine has taken since its limits were set, and what is left of them."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.steps = 0
        self.host_ns = 0

    def charge(self, steps: int, host_ns: int) -> None:
        self.steps += steps
        self.host_ns += host_ns

    @property
    def steps_left(self) -> int | None:
        return None if self.limits.steps is None else max(self.limits.steps - self.steps, 0)

    @property
    def host_ns_left(self) -> int | None:
        seconds = self.limits.host_seconds
        return None if seconds is None else max(round(seconds * NS) - self.host_ns, 0)

    def reached(self) -> LimitReached | None:
        """What to raise, where steps or time are used up."""
        if self.steps_left == 0:
            return LimitReached("steps", f"steps={self.limits.steps:,}")
        if self.host_ns_left == 0:
            return LimitReached("host_seconds", f"host_seconds={self.limits.host_seconds:g}")
        return None

    def out_of_memory(self) -> LimitReached:
        return LimitReached("host_memory", f"host_memory={self.limits.host_memory:,}, for what the guest writes")
