"""Files that have their name once they are whole and on the host's disk: whatever happens, the old or the new is there.

Until then a file stands beside its place, as `.NAME.xxxxxxxx.part`, locked by flock(2) for as long as its writer lives.
One that nobody has locked is of a writer that was killed: the next file of that name takes it away.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

LONGEST_NAME = 50               # characters of it in the name of a part, which has at most 255 bytes


@contextmanager
def whole_file(path: str | os.PathLike[str], replace: bool = True) -> Iterator[BinaryIO]:
    """A file to write and to seek in, that becomes `path` when the block ends, and vanishes when the block raises.

    It has the permissions of the one that it replaces, which a symbolic link may lead to. Raises OSError, which names
    `path`: FileExistsError if somebody has taken the name and `replace` is false, and for what is no file.
    """
    asked, final = Path(path), Path(os.path.realpath(path))
    with naming(asked):
        mode = mode_of(final)
        clear_away(final)
        part, descriptor = new_part(final)
        if mode is not None:
            os.fchmod(descriptor, mode)
    try:
        with io.BufferedRandom(PartFile(descriptor, asked)) as file:
            yield file
            file.flush()
            with naming(asked):
                os.fsync(descriptor)
                place(part, final, replace)         # while it is locked
    finally:
        with suppress(OSError):                     # it has its name, or the next writer takes it away
            os.unlink(part)
    with naming(asked):
        sync_folder(final.parent)


class PartFile(io.FileIO):
    """A part, whose own errors name what it is to become."""

    def __init__(self, descriptor: int, final: Path):
        super().__init__(descriptor, "r+")
        self._final = final

    def write(self, data: Buffer, /) -> int:
        with naming(self._final):
            return super().write(data)

    def truncate(self, size: int | None = None, /) -> int:
        with naming(self._final):
            return super().truncate(size)


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """An OSError from inside names this file, and no part of it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def mode_of(path: Path) -> int | None:
    """The permissions of a file; None where there is none. Raises OSError for anything else of that name."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is a device, pipe or socket, no file")
    return stat.S_IMODE(mode)


# --- Parts -----------------------------------------------------------------------------------------------------------

def new_part(final: Path) -> tuple[Path, int]:
    """A new part, and its descriptor, by which it is locked."""
    while True:
        part = final.with_name(f".{final.name[:LONGEST_NAME]}.{secrets.token_hex(4)}.part")
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):                     # a file system without locks: there nobody takes parts away
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return part, descriptor
        os.close(descriptor)                        # somebody took it away before it was locked


def clear_away(final: Path) -> None:
    """Remove the parts that writers of this file have left who were killed."""
    of_this = re.compile(rf"\.{re.escape(final.name[:LONGEST_NAME])}\.[0-9a-f]{{8}}\.part")
    with suppress(OSError):                         # what cannot be removed does no harm
        for name in filter(of_this.fullmatch, os.listdir(final.parent)):
            with suppress(OSError):
                remove_unlocked(final.with_name(name))


def remove_unlocked(part: Path) -> None:
    """Raises OSError if somebody writes it."""
    descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(part)
    finally:
        os.close(descriptor)


def place(part: Path, final: Path, replace: bool) -> None:
    """Give a part its name."""
    if replace:
        os.replace(part, final)
        return
    try:
        os.link(part, final)
    except FileExistsError:
        raise
    except OSError:                                 # a file system without links
        os.replace(part, final)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the host's disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:                         # it can be written and not read: then when is up to the host
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
