"""How long a program waits for a guest, and why what it waits for did not come, as an error."""

from __future__ import annotations

import time
from collections.abc import Callable

from vm.errors import ExpectFailed, ExpectStopped, ExpectTimeout
from vm.stop import Stop, StopReason

NS = 10**9
TIMED_OUT = {StopReason.DEADLINE: " in {seconds:g} seconds of its time",
             StopReason.TIMEOUT: " in {timeout:g} seconds of the host",
             StopReason.IDLE: ": it waits, and only input can wake it"}


class Deadline:
    """How long something may take that consists of several waits: from now on, in all of them together.

    - now_ns: guest time, as `Clock.now_ns` has it.
    - seconds, timeout: of guest and host time; None: no limit of the host's.
    """

    def __init__(self, now_ns: Callable[[], int], seconds: float, timeout: float | None):
        self.seconds = seconds
        self.timeout = timeout
        self._now_ns = now_ns
        self._guest_end = now_ns() + seconds * NS
        self._host_end = None if timeout is None else time.monotonic() + timeout

    def __str__(self) -> str:
        host = "" if self.timeout is None else f" and {self.timeout:g} of the host"
        return f"{self.seconds:g} seconds of the guest's time{host}"

    def left(self) -> tuple[float, float | None]:
        """Guest and host seconds; what is over is 0."""
        host = None if self._host_end is None else max(self._host_end - time.monotonic(), 0)
        return max(self._guest_end - self._now_ns(), 0) / NS, host

    def refuse_reached(self, did_not: str) -> None:
        """Raise ExpectTimeout, as `unmet` has it, where nothing is left."""
        guest, host = self.left()
        if guest == 0:
            raise timed_out(StopReason.DEADLINE, did_not, self.seconds, self.timeout)
        if host == 0:
            raise timed_out(StopReason.TIMEOUT, did_not, self.seconds, self.timeout)


def unmet(stop: Stop, did_not: str, before: str, seconds: float, timeout: float | None,
          ending: str = "") -> ExpectFailed:
    """The error for a run that ended with `stop`, and not with what it was for.

    - did_not, before: as "the guest did not answer" and "it answered".
    - seconds, timeout: the limits of the run, in guest and host time.
    - ending: how the message ends.
    """
    if stop.reason in TIMED_OUT:
        return timed_out(stop.reason, did_not, seconds, timeout, ending)
    message = f" ({stop.message})" if stop.message else ""
    return ExpectStopped(f"the machine stopped with {stop.reason.value}{message} before {before}{ending}", stop)


def timed_out(reason: StopReason, did_not: str, seconds: float, timeout: float | None,
              ending: str = "") -> ExpectTimeout:
    return ExpectTimeout(did_not + TIMED_OUT[reason].format(seconds=seconds, timeout=timeout) + ending)
