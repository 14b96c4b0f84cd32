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

from vm.errors import SnapshotError
from vm.share.folder import LONGEST_PATH, OPENED_TO_CHANGE, Folder, os_error, refuse_name

MOST_FIDS = 65_536
MOST_PATH_BYTES = 16 << 20          # of all fids together
MOST_DESCRIPTORS = 4096
LARGEST_NUMBER = 0xFFFF_FFFF        # of a fid, of a user, of flags
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
        self._open_deleted: dict[int, dict[int, None]] = {}     # by the number of the deletion, in order
        self._path_bytes = 0
        self.deletions = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def get(self, number: int) -> Fid:
        """Raises OSError (EBADF) for a number that is none."""
        fid = self._by_number.get(number)
        if fid is None:
            raise os_error(errno.EBADF)
        return fid

    def find(self, number: int) -> Fid | None:
        return self._by_number.get(number)

    def refuse_taken(self, number: int) -> None:
        """Raise OSError (EINVAL) for the number of another fid."""
        if number in self._by_number:
            raise os_error(errno.EINVAL)

    def refuse_more(self, number: int, path: bytes) -> None:
        """Raise OSError (EMFILE, ENOMEM) where there are too many for a fid of this path, in place of its number's."""
        before = self.find(number)
        if before is None and len(self._by_number) >= MOST_FIDS:
            raise os_error(errno.EMFILE)
        if self._path_bytes - (0 if before is None else len(before.path)) + len(path) > MOST_PATH_BYTES:
            raise os_error(errno.ENOMEM)

    def bind(self, number: int, fid: Fid) -> None:
        """Raises OSError as `refuse_more`."""
        self.refuse_more(number, fid.path)
        self.forget(number)
        self._by_number[number] = fid
        self._path_bytes += len(fid.path)
        if not fid.deleted:
            self._by_path.setdefault(fid.path, set()).add(number)
        elif fid.is_open:
            self._open_deleted.setdefault(fid.deleted, {})[number] = None

    def open(self, number: int, flags: int) -> None:
        """It is open from now on."""
        fid = self.get(number)
        fid.flags = flags
        if fid.deleted:
            self._open_deleted.setdefault(fid.deleted, {})[number] = None

    def forget(self, number: int) -> None:
        """Does nothing for what is none."""
        fid = self._by_number.pop(number, None)
        if fid is None:
            return
        self._path_bytes -= len(fid.path)
        if not fid.deleted:
            self._leave_path(fid.path, number)
        elif fid.is_open:
            del self._open_deleted[fid.deleted][number]
            if not self._open_deleted[fid.deleted]:
                del self._open_deleted[fid.deleted]

    def _leave_path(self, path: bytes, number: int) -> None:
        there = self._by_path[path]
        there.discard(number)
        if not there:
            del self._by_path[path]

    def clear(self) -> None:
        self._by_number.clear()
        self._by_path.clear()
        self._open_deleted.clear()
        self._path_bytes = 0

    def delete(self, path: bytes) -> None:
        """What is at a path is no more."""
        numbers = self._by_path.pop(path, None)
        if numbers:
            self.deletions += 1
            for number in numbers:
                self._by_number[number].deleted = self.deletions
            opened = dict.fromkeys(number for number in numbers if self._by_number[number].is_open)
            if opened:
                self._open_deleted[self.deletions] = opened

    def _from(self, path: bytes) -> list[bytes]:
        """The paths of what is at one, and below it."""
        below = path + b"/"
        return [one for one in self._by_path if one == path or one.startswith(below)]

    def refuse_move(self, path: bytes, new: bytes) -> None:
        """Raise OSError (ENAMETOOLONG, ENOMEM) where the paths of what is in hand there would become too long."""
        longer = len(new) - len(path)
        if longer <= 0:
            return
        moved = self._from(path)
        if any(len(old) + longer > LONGEST_PATH for old in moved):
            raise os_error(errno.ENAMETOOLONG)
        if self._path_bytes + longer * sum(len(self._by_path[old]) for old in moved) > MOST_PATH_BYTES:
            raise os_error(errno.ENOMEM)

    def move(self, path: bytes, new: bytes) -> None:
        """What is at a path, and below it, is elsewhere now, in place of what was there.

        A rename from one name of a file to another of it moves nothing; but no reply says so, and whoever has the file
        by that other name is told once that it is gone. Raises OSError as `refuse_move`.
        """
        if path == new:
            return
        self.refuse_move(path, new)
        self.delete(new)
        for old in self._from(path):
            numbers = self._by_path.pop(old)
            self._path_bytes += len(numbers) * (len(new) - len(path))
            moved = new + old[len(path):]
            self._by_path.setdefault(moved, set()).update(numbers)
            for number in numbers:
                self._by_number[number].path = moved

    def opened_at(self, path: bytes) -> list[int]:
        """The numbers of open fids of what is there."""
        return [number for number in self._by_path.get(path, ()) if self._by_number[number].is_open]

    def opened_like(self, fid: Fid) -> int:
        """The number of an open fid of the same deleted file. Raises OSError (ENOENT) if there is none."""
        for number in self._open_deleted.get(fid.deleted, ()):
            return number
        raise os_error(errno.ENOENT)

    # --- Saved state -------------------------------------------------------------------------------------------------

    def save(self) -> Saved:
        return [(number, fid.path, fid.uid, fid.flags, fid.deleted) for number, fid in self._by_number.items()]

    def load(self, saved: Saved) -> None:
        """Raises SnapshotError for what `save` cannot have given; nothing has changed then."""
        refuse_unfit(saved)
        self.clear()
        for number, path, uid, flags, deleted in saved:
            self.bind(number, Fid(path, uid, flags, deleted))


def refuse_unfit(saved: object) -> None:
    """Raise SnapshotError for what is not the saved state of fids: a file from a stranger may say anything."""
    if type(saved) is not list or len(saved) > MOST_FIDS:
        raise SnapshotError(f"the saved fids are damaged: they are no list of at most {MOST_FIDS:,}")
    for entry in saved:
        if not fits(entry):
            raise SnapshotError(f"the saved fids are damaged: {entry!r:.200} is none")
    if len({entry[0] for entry in saved}) != len(saved):
        raise SnapshotError("the saved fids are damaged: two have one number")
    if sum(len(entry[1]) for entry in saved) > MOST_PATH_BYTES:
        raise SnapshotError(f"the saved fids are damaged: their paths have more than {MOST_PATH_BYTES:,} bytes")


def fits(entry: object) -> bool:
    """Whether it is one of `Saved`."""
    if not (type(entry) is tuple and [*map(type, entry)] == [int, bytes, int, int, int]):
        return False
    number, path, uid, flags, deleted = entry
    try:
        for name in path.split(b"/") if path else ():
            refuse_name(name)
    except OSError:
        return False
    return (len(path) <= LONGEST_PATH and 0 <= number <= LARGEST_NUMBER and 0 <= uid <= LARGEST_NUMBER
            and -1 <= flags <= LARGEST_NUMBER and 0 <= deleted)


class Descriptors:
    """Of the open fids, as many as may be at a time: what was not used for longest is closed for another one.

    - read_only: none is opened again to change something, whatever another server has let it be opened for.
    """

    def __init__(self, folder: Folder, fids: Fids, read_only: bool):
        self._folder = folder
        self._fids = fids
        self._read_only = read_only
        self._open: OrderedDict[int, int] = OrderedDict()       # by the number of the fid; those used last are last
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.most = min(max(limit // SHARE_OF_DESCRIPTORS, 4), MOST_DESCRIPTORS)

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
        for _ in range(len(self._open)):
            number = next(iter(self._open))
            if not self._fids.get(number).deleted:
                self.close(number)
                return
            self._open.move_to_end(number)          # it is not closed for another one: it need not be looked at again
        raise os_error(errno.EMFILE)

    def of(self, number: int) -> int:
        """The descriptor of an open fid.

        Raises OSError: ESTALE where what it stood for is gone, EROFS where nothing may be changed any more.
        """
        if number in self._open:
            self._open.move_to_end(number)
            return self._open[number]
        fid = self._fids.get(number)
        if fid.deleted:
            raise os_error(errno.ESTALE)
        flags = fid.flags & ~ONCE
        if self._read_only and flags & OPENED_TO_CHANGE:
            raise os_error(errno.EROFS)
        try:
            return self.keep(number, lambda: self._folder.open(fid.path, flags))
        except FileNotFoundError:
            raise os_error(errno.ESTALE) from None

    def hold(self, path: bytes) -> None:
        """What is there is about to be deleted: who has it open must have a descriptor. Raises OSError (EMFILE)."""
        numbers = self._fids.opened_at(path)
        if len(numbers) > self.most:
            raise os_error(errno.EMFILE)
        for number in numbers:
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
