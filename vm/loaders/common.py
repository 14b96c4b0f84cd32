"""What all loaders share: address ranges, reading what the user named, and what a loader makes of it.

A loader writes nothing. It turns the content of a file into `Segment`s, which cannot fail to be written to the RAM that
they were planned for, and says in a frozen dataclass what is where.
"""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from vm.errors import LoadError
from vm.loaders.symbols import Symbols

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from typing import TypeAlias

    from typing_extensions import Buffer

    class Readable(Protocol):
        """A binary file object, as of open() or io.BytesIO: read from where it stands to its end."""

        def read(self, size: int, /) -> bytes | None: ...

    Source: TypeAlias = str | os.PathLike[str] | Traversable | Buffer | Readable        # a str is always a path

CHUNK = 1 << 20
STREAM_LIMIT = 256 << 20        # of what does not say its size beforehand: a pipe, a device such as /dev/zero


class Writable(Protocol):
    """What a segment needs of guest memory."""

    def write(self, address: int, data: bytes) -> None: ...

    def clear(self, address: int, size: int) -> None: ...


@dataclass(frozen=True)
class Range:
    """The physical addresses `base` up to, not including, `base + size`."""

    base: int
    size: int

    @property
    def end(self) -> int:
        return self.base + self.size

    def contains(self, other: Range) -> bool:
        return self.base <= other.base and other.end <= self.end

    def around(self, last: int) -> Range:
        """What of it, in one piece, has this address; all of it where none has."""
        return self

    def overlaps(self, other: Range) -> bool:
        return self.base < other.end and other.base < self.end

    def __str__(self) -> str:
        return f"{self.base:#x}..{self.end:#x}"

    def __repr__(self) -> str:
        return f"Range({self.base:#x}, {self.size:#x})"


class Segment(NamedTuple):
    """`data` goes to the start of `place`, zeroes to the rest of it."""

    place: Range
    data: bytes

    def write(self, memory: Writable) -> None:
        memory.write(self.place.base, self.data)
        if rest := self.place.size - len(self.data):
            memory.clear(self.place.base + len(self.data), rest)


@dataclass(frozen=True)
class Program:
    """A program in guest memory.

    - path: of its file; "<bytes>" or the like where it came from no file.
    - entry: physical address of the first instruction.
    - segments: what it occupies, physical, in the order of the file, zero-filled parts included.
    - symbols: addresses by name, and names by address (`Symbols`).
    """

    path: str
    entry: int
    segments: tuple[Range, ...]
    symbols: Symbols = field(default_factory=Symbols)

    @property
    def end(self) -> int:
        """The first address above the program."""
        return max(segment.end for segment in self.segments)

    def __repr__(self) -> str:
        places = ", ".join(map(str, self.segments))
        return f"<Program {self.path}: entry {self.entry:#x}, at {places}, {len(self.symbols)} symbols>"


class File(NamedTuple):
    """What was read: the name is for messages."""

    name: str
    data: bytes


def read_file(source: Source, limit: int) -> File:
    """All of a path, a package's resource, a buffer or a binary file object: at most `limit` bytes.

    Memory is taken for what there is, not for what there might be. Raises LoadError, which names the source.
    """
    if isinstance(source, (str, os.PathLike)):
        return _of_path(os.fsdecode(source), limit)
    if hasattr(source, "joinpath"):             # a resource that is no file, as in a zip archive
        resource: Any = source
        with resource.open("rb") as file:
            return File(resource.name, _of_stream(resource.name, file, limit))
    try:
        view = memoryview(source)               # type: ignore[arg-type]    # that is the question
    except TypeError:
        if not hasattr(source, "read"):
            raise LoadError(f"cannot load {source!r}: it is no path, no bytes and no binary file") from None
    else:
        name = f"<{type(source).__name__}>"
        if view.nbytes > limit:
            raise _too_large(name, limit)
        return File(name, source if isinstance(source, bytes) else view.tobytes())
    given = getattr(source, "name", None)       # a number for what was opened by its descriptor
    name = given if isinstance(given, str) else "<stdin>" if given == 0 else f"<{type(source).__name__}>"
    return File(name, _of_stream(name, source, limit))


def _of_path(name: str, limit: int) -> File:
    try:
        with open(name, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or not status.st_size:      # files of /proc have content, but no size
                return File(name, _of_stream(name, file, limit))
            if status.st_size > limit:
                raise _too_large(name, limit)
            return File(name, file.read(status.st_size))
    except LoadError:
        raise
    except OSError as error:
        raise LoadError(f"{name}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:                 # a NUL in the path
        raise LoadError(f"{name!r}: {error}") from error
    except MemoryError as error:
        raise LoadError(f"{name}: this host has not enough memory to read it") from error


def _of_stream(name: str, file: Any, limit: int) -> bytes:
    """Up to its end, which alone says how long it is."""
    content = io.BytesIO()                      # gives its bytes away without a copy
    while True:
        chunk = file.read(CHUNK)
        if not isinstance(chunk, bytes):
            raise LoadError(f"{name}: read() gives {type(chunk).__name__}, not bytes; open it for binary reading, 'rb'")
        if not chunk:
            return content.getvalue()
        content.write(chunk)
        if content.tell() > limit:
            raise _too_large(name, limit)
        if content.tell() > STREAM_LIMIT:
            raise LoadError(f"{name}: does not say how much it holds, and it is more than {STREAM_LIMIT:,} bytes; "
                            "load it from a regular file")


def _too_large(name: str, limit: int) -> LoadError:
    return LoadError(f"{name}: holds more than {limit:,} bytes, which RAM has no room for")
