"""The cache of downloaded images, after the XDG base directory specification.

`VM_CACHE`, else `$XDG_CACHE_HOME/vm`, else `~/.cache/vm`. A file appears in it under its final name only when it is
complete and verified: it is written beside that name and renamed, so that processes that work at the same time see
either nothing or a whole file, at worst downloading it twice. Everything in it can be deleted at any time.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vm.errors import ImageError
from vm.settings import given


def cache_directory() -> Path:
    """The root of the cache. It need not exist yet."""
    if chosen := given("VM_CACHE"):
        return Path(chosen)
    base = given("XDG_CACHE_HOME") or ""
    # The specification tells to ignore a relative path.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "vm"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` when the block ends, and vanishes when the block raises."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", dir=path.parent)
        temporary = Path(name)
        with open(handle, "wb") as file:
            yield file
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise ImageError(f"{path}: cannot write to the cache: {error.strerror}; set VM_CACHE") from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str | None:
    """The digest of a file, in hexadecimal; None if there is no such file."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ImageError(f"{path}: cannot read: {error.strerror}") from error
