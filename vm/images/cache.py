"""The cache of downloaded images, after the XDG base directory specification.

`VM_CACHE`, else `$XDG_CACHE_HOME/vm`, else `~/.cache/vm`. A file appears in it under its final name only when it is
complete and verified: it is written beside that name and renamed, so that processes that work at the same time see
either nothing or a whole file, at worst downloading it twice. Everything in it can be deleted at any time.

The digest of a file is computed once. It is kept in the folder `stamps`, with what stat(2) said of the file; when that
differs, the digest is computed again. So who can write to the cache is trusted: as with the user's other files.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vm.errors import ImageError
from vm.settings import given

if TYPE_CHECKING:
    from typing_extensions import Buffer

log = logging.getLogger("vm.images")


class CacheNotWritable(ImageError):
    """No mirror's fault, so that another is of no help."""


def cache_directory() -> Path:
    """The root of the cache. It need not exist yet. Raises CacheNotWritable where nothing says where it is."""
    if chosen := given("VM_CACHE"):
        return Path(chosen)
    base = given("XDG_CACHE_HOME") or ""
    # The specification tells to ignore a relative path.
    if os.path.isabs(base):
        return Path(base) / "vm"
    try:
        return Path.home() / ".cache" / "vm"
    except RuntimeError as error:
        raise CacheNotWritable("there is no home folder for the cache; set VM_CACHE to a folder that can be written"
                               ) from error


@contextmanager
def _as_cache_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheNotWritable(f"cannot write to the cache {cache_directory()}: {error.strerror}; set VM_CACHE to a "
                               "folder that can be written") from error


class _CacheFile(io.BufferedWriter):
    """A file whose own errors are told from those of what writes it."""

    def write(self, data: Buffer, /) -> int:
        with _as_cache_errors():
            return super().write(data)

    def close(self) -> None:
        with _as_cache_errors():
            super().close()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` when the block ends, and vanishes when the block raises."""
    temporary = None
    try:
        with _as_cache_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
        temporary = Path(name)
        with _CacheFile(io.FileIO(handle, "w")) as file:
            yield file
        with _as_cache_errors():
            temporary.chmod(0o644)
            temporary.replace(path)
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str | None:
    """The digest of a file, in hexadecimal; None if there is no such file. Computed where no stamp of the file fits."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if stamped := _stamped(path, status):
                return stamped
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ImageError(f"{path}: cannot read: {error.strerror}") from error
    _stamp(path, status, digest)
    return digest


def remember(path: Path, digest: str) -> None:
    """Stamp a file that was just written with its digest, which then nobody computes."""
    _stamp(path, path.stat(), digest)


def unchanged(path: Path) -> bool:
    """Whether a file is there as it was when it was stamped."""
    try:
        return _stamped(path, path.stat()) is not None
    except OSError:
        return False


def _stamp_path(path: Path) -> Path:
    return cache_directory() / "stamps" / hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]


def _identity(status: os.stat_result) -> str:
    # The time of change, too: a program can set that of modification back.
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _stamped(path: Path, status: os.stat_result) -> str | None:
    try:
        digest, _, identity = _stamp_path(path).read_text().partition(" ")
    except (OSError, UnicodeDecodeError):       # not there, or damaged
        return None
    return digest if identity == _identity(status) else None


def _stamp(path: Path, status: os.stat_result, digest: str) -> None:
    try:
        with replacing(_stamp_path(path)) as file:
            file.write(f"{digest} {_identity(status)}".encode())
    except CacheNotWritable as error:       # a cache that can only be read serves, more slowly
        log.debug("no stamp for %s: %s", path, error)
