"""Fids: the numbers by which a guest names what it has in hand, and the host's descriptors of those that are open.

What a fid stands for is a path in the folder, which follows what the guest renames; so the table is plain data, and can
be saved. A descriptor is kept by the number of its fid while that is open. It is opened again by the path where there
is none: after a snapshot, and where others were needed more. What the guest has deleted while it was open has no path
any more: it lasts as long as its descriptor.
"""

from __future__ import annotations

import errno
import os
import resource
from collections import OrderedDict
from collections.abc import Callable

from vm.share.folder import Folder, os_error

MOST_FIDS = 65_536
# How much of the descriptors that this process may have a folder takes: others need some, too
SHARE_OF_DESCRIPTORS = 4
ONCE = os.O_CREAT | os.O_EXCL | os.O_TRUNC          # what counts only when a file is opened for the first time

Saved = list[tuple[int, bytes, int, int, int]]


class Fid:
    """- path: of what it stands for.
    - uid: of the guest's user who has it.
    - flags: with which it was opened; -1 if it is not.
    - deleted: a number that all fids have in common that stood for what was deleted at once; 0 if it was not.
    """

    __slots__ = ("deleted", "flags", "path", "uid")

    def __init__(self, path: bytes, uid: int, flags: int = -1, deleted: int = 0):
        self.path = path
        self.uid = uid
        self.flags = flags
        self.deleted = deleted

    @property
    def is_open(self) -> bool:
        return self.flags >= 0

    @property
    def reads(self) -> bool:
        return self.is_open and self.flags & os.O_ACCMODE != os.O_WRONLY

    @property
    def writes(self) -> bool:
        return self.is_open and self.flags & os.O_ACCMODE != os.O_RDONLY


class Fids:
    """All of one session, by number."""

    def __init__(self) -> None:
        self._by_number: dict[int, Fid] = {}
        self._by_path: dict[bytes, set[int]] = {}   # without what was deleted
        self.deletions = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def get(self, number: int) -> Fid:
        """Raises OSError (EBADF) for a number that is none."""
        fid = self._by_number.get(number)
        if fid is None:
            raise os_error(errno.EBADF)
        return fid

    def refuse_taken(self, number: int) -> None:
        """Raise OSError for the number of another fid, and where there are too many."""
        if number in self._by_number:
            raise os_error(errno.EINVAL)
        if len(self._by_number) >= MOST_FIDS:
            raise os_error(errno.EMFILE)

    def bind(self, number: int, fid: Fid) -> None:
        self.forget(number)
        self._by_number[number] = fid
        if not fid.deleted:
            self._by_path.setdefault(fid.path, set()).add(number)

    def forget(self, number: int) -> None:
        """Does nothing for what is none."""
        fid = self._by_number.pop(number, None)
        if fid is not None and not fid.deleted:
            self._leave_path(fid.path, number)

    def _leave_path(self, path: bytes, number: int) -> None:
        there = self._by_path[path]
        there.discard(number)
        if not there:
            del self._by_path[path]

    def clear(self) -> None:
        self._by_number.clear()
        self._by_path.clear()

    def delete(self, path: bytes) -> None:
        """What is at a path is no more."""
        numbers = self._by_path.pop(path, None)
        if numbers:
            self.deletions += 1
            for number in numbers:
                self._by_number[number].deleted = self.deletions

    def move(self, path: bytes, new: bytes) -> None:
        """What is at a path, and below it, is elsewhere now, in place of what was there.

        A rename from one name of a file to another of it moves nothing; but no reply says so, and whoever has the file
        by that other name is told once that it is gone.
        """
        if path == new:
            return
        self.delete(new)
        below = path + b"/"
        for old in [old for old in self._by_path if old == path or old.startswith(below)]:
            numbers = self._by_path.pop(old)
            moved = new + old[len(path):]
            self._by_path.setdefault(moved, set()).update(numbers)
            for number in numbers:
                self._by_number[number].path = moved

    def opened_at(self, path: bytes) -> list[int]:
        """The numbers of open fids of what is there."""
        return [number for number in self._by_path.get(path, ()) if self._by_number[number].is_open]

    def opened_like(self, fid: Fid) -> int:
        """The number of an open fid of the same deleted file. Raises OSError (ENOENT) if there is none."""
        for number, other in self._by_number.items():
            if other.deleted == fid.deleted and other.is_open:
                return number
        raise os_error(errno.ENOENT)

    # --- Saved state -------------------------------------------------------------------------------------------------

    def save(self) -> Saved:
        return [(number, fid.path, fid.uid, fid.flags, fid.deleted) for number, fid in self._by_number.items()]

    def load(self, saved: Saved) -> None:
        self.clear()
        for number, path, uid, flags, deleted in saved:
            self.bind(number, Fid(path, uid, flags, deleted))


class Descriptors:
    """Of the open fids, as many as may be at a time: what was not used for longest is closed for another one."""

    def __init__(self, folder: Folder, fids: Fids):
        self._folder = folder
        self._fids = fids
        self._open: OrderedDict[int, int] = OrderedDict()       # by the number of the fid; those used last are last
        self.most = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SHARE_OF_DESCRIPTORS, 4)

    def __len__(self) -> int:
        return len(self._open)

    def keep(self, number: int, opener: Callable[[], int]) -> int:
        """The descriptor that `opener` gives is that of a fid from now on. Raises OSError (EMFILE) if there is no room.
        """
        self.close(number)
        if len(self._open) >= self.most:
            self._make_room()
        descriptor = self._open[number] = opener()
        return descriptor

    def _make_room(self) -> None:
        for number in self._open:
            if not self._fids.get(number).deleted:
                self.close(number)
                return
        raise os_error(errno.EMFILE)

    def of(self, number: int) -> int:
        """The descriptor of an open fid. Raises OSError (ESTALE) where what it stood for is gone."""
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        fid = self._fids.get(number)
        if fid.deleted:
            raise os_error(errno.ESTALE)
        try:
            return self.keep(number, lambda: self._folder.open(fid.path, fid.flags & ~ONCE))
        except FileNotFoundError:
            raise os_error(errno.ESTALE) from None

    def hold(self, path: bytes) -> None:
        """What is there is about to be deleted: who has it open must have a descriptor. Raises OSError (EMFILE)."""
        for number in self._fids.opened_at(path):
            try:
                self.of(number)
            except OSError as error:                # it is lost already
                if error.errno == errno.EMFILE:
                    raise

    def close(self, number: int) -> None:
        """Does nothing where there is none."""
        descriptor = self._open.pop(number, None)
        if descriptor is not None:
            os.close(descriptor)

    def close_all(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])
