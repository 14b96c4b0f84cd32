"""What is in the folders that a guest reads, as it was when it began to."""

from __future__ import annotations

import errno
from collections import OrderedDict

from vm.share.folder import Entry, os_error

MOST_LISTINGS = 8                       # that are kept between two requests
MOST_ENTRIES = 1 << 18                  # of all of them, at about 350 bytes each


class Listings:
    """By the numbers of the open folders' fids. What was not used for longest goes for another one."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, list[Entry]] = OrderedDict()
        self._entries = 0
        self.most = MOST_ENTRIES

    def __contains__(self, number: int) -> bool:
        return number in self._kept

    def of(self, number: int) -> list[Entry]:
        """One that is kept."""
        self._kept.move_to_end(number)
        return self._kept[number]

    def keep(self, number: int, entries: list[Entry]) -> None:
        """Raises OSError (ENOMEM) for one that is too long."""
        self.forget(number)
        if len(entries) > self.most:
            raise os_error(errno.ENOMEM)
        while self._kept and (len(self._kept) >= MOST_LISTINGS or self._entries + len(entries) > self.most):
            self.forget(next(iter(self._kept)))
        self._kept[number] = entries
        self._entries += len(entries)

    def forget(self, number: int) -> None:
        """Does nothing where there is none."""
        self._entries -= len(self._kept.pop(number, ()))

    def clear(self) -> None:
        self._kept.clear()
        self._entries = 0
