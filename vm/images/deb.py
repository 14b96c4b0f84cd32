"""Debian binary packages: an ar archive that holds `control.tar.*` and `data.tar.*`, as in the manual page deb(5)."""

import gzip
import hashlib
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, NamedTuple

from vm.errors import ImageError
from vm.images.cache import cache_directory, remember, replacing, sha256

AR_MAGIC = b"!<arch>\n"
AR_HEADER = 60
TarMode = Literal["r|", "r|gz", "r|xz"]
TAR_MODES: dict[str, TarMode] = {"data.tar": "r|", "data.tar.gz": "r|gz", "data.tar.xz": "r|xz"}
DECOMPRESSORS = {"gz": gzip.decompress, "xz": lzma.decompress}
MANIFEST = "SHA256SUMS"


def extract(deb: str | Path, *patterns: str) -> dict[str, Path]:
    """Extract the regular files whose path in the package matches a shell pattern (`*` also matches `/`).

    They go to the cache, once per package and set of patterns. Returns the extracted files by their path in the
    package, without a leading slash. A pattern that matches nothing is an error.
    """
    deb = Path(deb)
    package_digest = sha256(deb)
    if package_digest is None:
        raise ImageError(f"{deb}: no such file")
    patterns_digest = hashlib.sha256("\n".join(patterns).encode()).hexdigest()
    name = deb.name.partition("_")[0]
    directory = cache_directory() / "extracted" / f"{name}-{package_digest[:16]}-{patterns_digest[:8]}"
    files = _already_extracted(directory)
    if files is None:
        files = _extract(deb, patterns, directory)
    return files


def _already_extracted(directory: Path) -> dict[str, Path] | None:
    try:
        manifest = (directory / MANIFEST).read_text()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):     # not there, or damaged
        return None
    files = {}
    for line in manifest.splitlines():
        digest, _, member = line.partition("  ")
        files[member] = directory / member
        if sha256(files[member]) != digest:
            return None
    return files


def _extract(deb: Path, patterns: tuple[str, ...], directory: Path) -> dict[str, Path]:
    files, unmatched, manifest = {}, set(patterns), ""
    with data_of(deb) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            matched = {pattern for pattern in patterns if fnmatchcase(name, pattern)}
            if not member.isfile() or not matched:
                continue
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ImageError(f"{deb}: member {name!r} points outside the package")
            source = tar.extractfile(member)
            assert source is not None       # a regular file has content
            content = source.read()
            with replacing(directory / name) as output:
                output.write(content)
            digest = hashlib.sha256(content).hexdigest()
            remember(directory / name, digest)
            unmatched -= matched
            files[name] = directory / name
            manifest += f"{digest}  {name}\n"
    if unmatched:
        raise ImageError(f"{deb}: holds no file that matches {', '.join(sorted(unmatched))}")
    with replacing(directory / MANIFEST) as output:
        output.write(manifest.encode())
    return files


class Member(NamedTuple):
    """Of an archive of ar(1): its content lies at `start` of the file."""

    name: str
    start: int
    size: int


def members(deb: Path, file: BinaryIO) -> Iterator[Member]:
    """Of the open package `file`, in their order. `deb` is for errors."""
    if file.read(len(AR_MAGIC)) != AR_MAGIC:
        raise ImageError(f"{deb}: not a Debian package")
    place = len(AR_MAGIC)
    while True:
        file.seek(place)
        header = file.read(AR_HEADER)
        if not header:
            return
        try:
            size = int(header[48:58])
        except ValueError:
            size = -1
        if len(header) < AR_HEADER or size < 0:
            raise ImageError(f"{deb}: damaged package: the header of a member at {place:#x}")
        yield Member(header[:16].decode("ascii", "replace").rstrip(" /"), place + AR_HEADER, size)
        place += AR_HEADER + size + size % 2


@contextmanager
def data_of(deb: Path) -> Iterator[tarfile.TarFile]:
    """The files of a package, to be read in their order. Raises ImageError where that shows it to be damaged."""
    try:
        with open(deb, "rb") as file, tarfile.open(fileobj=file, mode=_seek_data(deb, file)) as tar:
            yield tar
    except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
        raise ImageError(f"{deb}: damaged package: {error}") from error


def _seek_data(deb: Path, file: BinaryIO) -> TarMode:
    """Move to the start of the data member; return the mode in which tarfile reads it as a stream."""
    for member in members(deb, file):
        if member.name in TAR_MODES:
            file.seek(member.start)
            return TAR_MODES[member.name]
        if member.name.startswith("data.tar"):
            raise ImageError(f"{deb}: {member.name} is compressed in a way that is not supported; gz and xz are")
    raise ImageError(f"{deb}: damaged package: holds no data.tar")


def decompressed(deb: Path) -> bytes:
    """The package with its tar archives as they are, which dpkg takes as well: for where decompressing is slow."""
    package = bytearray(AR_MAGIC)
    with open(deb, "rb") as file:
        for member in members(deb, file):
            file.seek(member.start)
            content = file.read(member.size)
            if len(content) < member.size:
                raise ImageError(f"{deb}: damaged package: {member.name} breaks off")
            stem, _, ending = member.name.rpartition(".")
            try:
                if decompress := DECOMPRESSORS.get(ending):
                    content = decompress(content)
            except (lzma.LZMAError, zlib.error, OSError, EOFError) as error:
                raise ImageError(f"{deb}: damaged package: {member.name}: {error}") from error
            name = stem if ending in DECOMPRESSORS else member.name
            package += b"%-16b%-12d%-6d%-6d%-8o%-10d`\n" % (name.encode(), 0, 0, 0, 0o100644, len(content))
            package += content + b"\n" * (len(content) % 2)
    return bytes(package)
