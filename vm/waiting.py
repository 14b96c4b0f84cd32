"""Why what a program waits for did not come, as an error."""

from __future__ import annotations

from vm.errors import ExpectFailed, ExpectStopped, ExpectTimeout
from vm.stop import Stop, StopReason


def unmet(stop: Stop, did_not: str, before: str, seconds: float, timeout: float | None,
          ending: str = "") -> ExpectFailed:
    """The error for a run that ended with `stop`, and not with what it was for.

    - did_not, before: as "the guest did not answer" and "it answered".
    - seconds, timeout: the limits of the run, in guest and host time.
    - ending: how the message ends.
    """
    if stop.reason is StopReason.DEADLINE:
        return ExpectTimeout(f"{did_not} in {seconds:g} seconds of its time{ending}")
    if stop.reason is StopReason.TIMEOUT:
        return ExpectTimeout(f"{did_not} in {timeout:g} seconds of the host{ending}")
    if stop.reason is StopReason.IDLE:
        return ExpectTimeout(f"{did_not}: it waits, and only input can wake it{ending}")
    message = f" ({stop.message})" if stop.message else ""
    return ExpectStopped(f"the machine stopped with {stop.reason.value}{message} before {before}{ending}", stop)
