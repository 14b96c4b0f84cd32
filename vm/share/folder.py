"""A folder of the host, and nothing outside it.

A place in it is a path of bytes, relative to the folder: names with one "/" between them, `b""` for the folder itself.
Every call goes there from the folder's own descriptor, name by name, and opens each with O_PATH and O_NOFOLLOW. So a
symbolic link is never followed, whoever puts it there and whenever, and no name leads up: a path with `..` in it is
refused, whoever has made it. What is neither a file nor a folder is never opened: that alone can do something on the
host.

All methods raise OSError, as the host does.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import NamedTuple

from vm.errors import ConfigurationError

NODE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
# What a guest may say of how a file is to be open; x86, ARM and RISC-V have the protocol's numbers for it
HONOURED = os.O_ACCMODE | os.O_TRUNC | os.O_SYNC | os.O_DSYNC
ALWAYS = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
LONGEST_NAME, LONGEST_PATH = 255, 4096
LARGEST_OFFSET = (1 << 63) - 1
OPENED_TO_CHANGE = os.O_WRONLY | os.O_RDWR | os.O_TRUNC
SET_ID = stat.S_ISUID | stat.S_ISGID
PERMISSIONS = 0o1777


class Entry(NamedTuple):
    """What is in a folder: its name, the number of its inode, and the type bits of its mode, or 0 if unknown."""

    name: bytes
    inode: int
    kind: int


class Folder:
    """Raises ConfigurationError for a path that is no folder, or cannot be opened.

    - like: another one, of that path: as long as that is open, it is the same folder, whatever is at the path now.
    """

    def __init__(self, path: str | os.PathLike[str], like: Folder | None = None):
        self.path = os.fspath(path)
        try:
            self._root: int = os.open(self.path if like is None or like._root < 0 else by_descriptor(like._root),
                                      os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigurationError(f"{self.path}: cannot be shared ({error.strerror}); name a folder") from error

    def close(self) -> None:
        """Twice is harmless."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    # --- Looking -----------------------------------------------------------------------------------------------------

    @contextmanager
    def at(self, path: bytes) -> Iterator[int]:
        """A descriptor of what is there, with O_PATH; of a symbolic link, that link's."""
        current = self._root
        try:
            for name in path.split(b"/") if path else ():
                refuse_name(name)
                below = os.open(name, NODE, dir_fd=current)
                if current != self._root:
                    os.close(current)
                current = below
            yield current
        finally:
            if current != self._root:
                os.close(current)

    @contextmanager
    def above(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """A descriptor of the folder that it is in, and its name there."""
        if not path:
            raise os_error(errno.EBUSY)             # the folder itself
        folder, _, name = path.rpartition(b"/")
        refuse_name(name)
        with self.at(folder) as descriptor:
            yield descriptor, name

    def stat(self, path: bytes) -> os.stat_result:
        if not path:
            return os.fstat(self._root)
        with self.above(path) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def walk(self, path: bytes, names: Sequence[bytes]) -> list[os.stat_result]:
        """What is met on the way from a path along these names, as far as it goes."""
        for name in names:
            refuse_name(name)
        met: list[os.stat_result] = []
        with self.at(path) as start:
            current = start
            try:
                for name in names:
                    if met:
                        below = os.open(names[len(met) - 1], NODE, dir_fd=current)
                        if current != start:
                            os.close(current)
                        current = below
                    met.append(os.stat(name, dir_fd=current, follow_symlinks=False))
            except OSError:
                if not met:
                    raise
            finally:
                if current != start:
                    os.close(current)
        return met

    def readlink(self, path: bytes) -> bytes:
        with self.above(path) as (folder, name):
            return os.readlink(name, dir_fd=folder)

    # --- Open files --------------------------------------------------------------------------------------------------

    def open(self, path: bytes, flags: int) -> int:
        """A descriptor of a file or folder; the caller closes it."""
        with self.at(path) as node:
            return opened(node, flags)

    def create(self, path: bytes, flags: int, mode: int, give: Callable[[int], None]) -> int:
        """The same of a file that is made, or may be there already if `flags` lack O_EXCL.

        - give: called with the descriptor of one that was made. If it raises, there is no such file.
        """
        refuse_set_id(mode)
        try:
            with self.above(path) as (folder, name):
                made = os.open(name, flags & HONOURED | ALWAYS | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW,
                               mode & PERMISSIONS, dir_fd=folder)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            return self.open(path, flags)
        try:
            ensure_mode(made, mode)
            give(made)
        except BaseException:
            os.close(made)
            with suppress(OSError):
                self.remove(path, folder=False)
            raise
        return made

    def entries(self, descriptor: int, most: int) -> list[Entry]:
        """What is in an open folder, by name. Raises OSError (ENOMEM) for more than `most`."""
        with os.scandir(descriptor) as found:
            entries = [Entry(os.fsencode(one.name), one.inode(), kind_of(one)) for one in islice(found, most + 1)]
        if len(entries) > most:
            raise os_error(errno.ENOMEM)
        return sorted(entries)

    # --- Changing ----------------------------------------------------------------------------------------------------

    def make_folder(self, path: bytes, mode: int) -> None:
        with self.above(path) as (folder, name):
            os.mkdir(name, mode & PERMISSIONS, dir_fd=folder)
        with self.at(path) as node:
            ensure_mode(node, mode)

    def make_link(self, path: bytes, target: bytes) -> None:
        """A symbolic one, whatever the target is."""
        with self.above(path) as (folder, name):
            os.symlink(target, name, dir_fd=folder)

    def link(self, path: bytes, new: bytes) -> None:
        """Another name for what is there."""
        with self.above(path) as (folder, name), self.above(new) as (new_folder, new_name):
            os.link(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder, follow_symlinks=False)

    def rename(self, path: bytes, new: bytes) -> None:
        with self.above(path) as (folder, name), self.above(new) as (new_folder, new_name):
            os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)

    def remove(self, path: bytes, *, folder: bool) -> None:
        """A folder, which is empty, or what is none."""
        with self.above(path) as (above, name):
            (os.rmdir if folder else os.unlink)(name, dir_fd=above)


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def by_descriptor(node: int) -> str:
    """A path to just what a descriptor stands for, which nobody can put something else at."""
    return f"/proc/self/fd/{node}"


def opened(node: int, flags: int) -> int:
    """A descriptor for reading or writing what another one, of any kind, stands for; the caller closes it."""
    kind = stat.S_IFMT(os.fstat(node).st_mode)
    if kind == stat.S_IFLNK:
        raise os_error(errno.ELOOP)
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise os_error(errno.EPERM)
    if flags & os.O_ACCMODE == os.O_ACCMODE:
        raise os_error(errno.EINVAL)
    if flags & OPENED_TO_CHANGE:
        drop_set_id(node)
    return os.open(by_descriptor(node), flags & HONOURED | ALWAYS)


def drop_set_id(node: int) -> None:
    """A file that the guest is about to change runs as nobody else any more.

    The host does this where others than root write; root has to do it itself. Raises OSError where it may not be done.
    """
    mode = os.fstat(node).st_mode
    if stat.S_ISREG(mode) and mode & SET_ID:
        os.chmod(by_descriptor(node), stat.S_IMODE(mode) & ~SET_ID)


def chmod(node: int, mode: int) -> None:
    """Of what a descriptor of any kind stands for."""
    if not stat.S_ISDIR(os.fstat(node).st_mode):
        refuse_set_id(mode)
    os.chmod(by_descriptor(node), stat.S_IMODE(mode))


def refuse_set_id(mode: int) -> None:
    """A file of a guest's content that runs as whoever runs this process is for no guest to make."""
    if mode & SET_ID:
        raise os_error(errno.EPERM)


def ensure_mode(node: int, mode: int) -> None:
    """What was made has the permissions that were asked for, whatever this process's umask is.

    On file systems that know no permissions it has those that all have there.
    """
    now = os.fstat(node).st_mode
    if (now ^ mode) & PERMISSIONS:
        with suppress(PermissionError):
            os.chmod(by_descriptor(node), stat.S_IMODE(now) & ~PERMISSIONS | mode & PERMISSIONS)


def kind_of(entry: os.DirEntry[str]) -> int:
    """The type bits of its mode, as far as the folder has them; links first, which are neither of the others."""
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if entry.is_file(follow_symlinks=False) else 0


def refuse_offset(offset: int, count: int) -> None:
    """Raise OSError for what no file can have."""
    if offset + count > LARGEST_OFFSET:
        raise os_error(errno.EFBIG)


def refuse_name(name: bytes) -> None:
    """Raise OSError for what is no name in a folder."""
    if not name or b"/" in name or b"\0" in name or name in (b".", b".."):
        raise os_error(errno.EINVAL)
    if len(name) > LONGEST_NAME:
        raise os_error(errno.ENAMETOOLONG)


def joined(path: bytes, name: bytes) -> bytes:
    """The path of a name in a folder."""
    refuse_name(name)
    below = path + b"/" + name if path else name
    if len(below) > LONGEST_PATH:
        raise os_error(errno.ENAMETOOLONG)
    return below


def path_along(path: bytes, names: Sequence[bytes]) -> bytes:
    """Where names lead from a path: what is above the folder is the folder itself."""
    for name in names:
        if name == b"..":
            path = path.rpartition(b"/")[0]
        elif name != b".":
            path = joined(path, name)
    return path
