"""A file descriptor of the host that the guest prints to, without ever waiting for whoever reads there.

The guest prints in the middle of an instruction, where nobody can look at the time, at signals or at the keyboard. So
what the reader does not take at once is kept here, and whoever runs the machine looks at `full` between two runs.
"""

from __future__ import annotations

import os
import select
import stat
import time

ROOM = 64 * 1024            # bytes kept before `full`


class Outlet:
    """Writes to `descriptor`, which stays as it is: its flags are shared with other processes."""

    def __init__(self, descriptor: int):
        self.descriptor = descriptor
        self._own = reopened(descriptor)
        self._kept = bytearray()

    @property
    def full(self) -> bool:
        """Whether the guest should print no more for now."""
        return len(self._kept) > ROOM

    @property
    def empty(self) -> bool:
        return not self._kept

    def write(self, data: bytes) -> None:
        """Pass data on, after what is kept; what is not taken is kept. Raises OSError where it cannot be written."""
        self._kept += data
        self.push()

    def push(self) -> None:
        """Pass on what is kept, as much as is taken now."""
        while self._kept:
            taken = self._write(self._kept)
            if not taken:
                return
            del self._kept[:taken]

    def drain(self, end: float | None = None, room: int = 0) -> bool:
        """Wait until at most `room` bytes are kept, or time.monotonic() is at `end`; whether no more are."""
        while len(self._kept) > room:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                return False
            select.select([], [self.descriptor], [], left)
            self.push()
        return True

    def _write(self, data: bytearray) -> int:
        """How many of the bytes were taken."""
        try:
            if self._own >= 0:
                return os.write(self._own, data)
            # A descriptor that is ready takes that much without waiting: pipe(7), and sockets and terminals about so.
            if select.select([], [self.descriptor], [], 0)[1]:
                return os.write(self.descriptor, data[:select.PIPE_BUF])
        except BlockingIOError:
            pass
        return 0

    def close(self) -> None:
        """What is kept is lost. The descriptor stays open. Closing twice is harmless."""
        if self._own >= 0:
            os.close(self._own)
            self._own = -1


def reopened(descriptor: int) -> int:
    """The same pipe or terminal, opened anew and not blocking; -1 where that cannot be done, or it is neither."""
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or os.isatty(descriptor):
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        pass
    return -1
