"""Times of files, as messages have them and as the host does."""

from __future__ import annotations

import errno
import os
import time

from vm.share.folder import by_descriptor, os_error

SIGN = 1 << 63                          # of seconds since 1970
NANOSECONDS = 10**9
SET_ATIME, SET_MTIME, ATIME_IS_GIVEN, MTIME_IS_GIVEN = 1 << 4, 1 << 5, 1 << 7, 1 << 8      # bits of `setattr`
SET_TIMES = SET_ATIME | SET_MTIME


def seconds(ns: int) -> tuple[int, int]:
    """A time as messages have it: seconds, which may be before 1970, in two's complement, and nanoseconds."""
    whole, part = divmod(ns, NANOSECONDS)
    return whole & 2 * SIGN - 1, part


def nanoseconds(whole: int, part: int) -> int:
    """The opposite."""
    if part >= NANOSECONDS:
        raise os_error(errno.EINVAL)
    return (whole - 2 * SIGN if whole & SIGN else whole) * NANOSECONDS + part


def set_times(node: int, found: os.stat_result, valid: int, atime: int, atime_ns: int, mtime: int, mtime_ns: int
              ) -> None:
    """Times of a descriptor of any kind, as `setattr` says: each stays, or is given, or is now."""
    if valid & SET_TIMES == SET_TIMES and not valid & (ATIME_IS_GIVEN | MTIME_IS_GIVEN):
        os.utime(by_descriptor(node))
        return
    now = time.time_ns()
    accessed = nanoseconds(atime, atime_ns) if valid & ATIME_IS_GIVEN else now
    changed = nanoseconds(mtime, mtime_ns) if valid & MTIME_IS_GIVEN else now
    os.utime(by_descriptor(node), ns=(accessed if valid & SET_ATIME else found.st_atime_ns,
                                      changed if valid & SET_MTIME else found.st_mtime_ns))
