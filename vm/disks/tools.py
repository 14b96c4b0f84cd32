"""What people do with disk images: make them, look at them, convert them, and put overlays together.

A file that exists is overwritten where that is asked for (`force`) alone, and a new one has its name when it is whole.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vm.disks.chain import FORMATS, backing_of, open_image
from vm.disks.image import CHUNK, SECTOR, Damaged, HostFile, Image
from vm.disks.qcow2.header import COMPRESSIONS, LONGEST_NAME, MAGIC, read_header
from vm.disks.qcow2.image import Qcow2Image, new_header, read_padded
from vm.errors import ConfigurationError
from vm.sizes import parse_size
from vm.whole_file import naming, whole_file

log = logging.getLogger("vm.disks")

PathName = str | os.PathLike[str]

LARGEST = 1 << 50               # bytes of a disk
GRAIN = 1 << 16                 # bytes of zeros that are left out of a copy


@dataclass(frozen=True)
class ImageInfo:
    """What an image is.

    - size: bytes that the guest sees. file_size, allocated: of the file, and of the host's disk that it takes.
    - backing: the path of the image below, as it is written in this one; full_backing from here.
    - version, cluster_size, compression, snapshots: of a qcow2 image, None of a raw one.
    """

    path: str
    format: str
    size: int
    file_size: int
    allocated: int
    backing: str | None = None
    full_backing: str | None = None
    backing_format: str | None = None
    version: int | None = None
    cluster_size: int | None = None
    compression: str | None = None
    snapshots: int | None = None


def disk_size(size: str | int) -> int:
    """Bytes of a disk, as "64M" or a number: a multiple of 512."""
    return parse_size(size, "disk size", SECTOR, LARGEST)


def info(path: PathName, *, format: str | None = None) -> ImageInfo:
    """What an image is. The images below it need not be there. Raises ConfigurationError."""
    file = HostFile(path, read_only=True)
    try:
        allocated = 512 * os.fstat(file.descriptor).st_blocks
        name = format or ("qcow2" if bytes(file.read(0, len(MAGIC))) == MAGIC else "raw")
        refuse_format(file.path, name)
        if name == "raw":
            return ImageInfo(file.path, name, file.size, file.size, allocated)
        header = read_header(file, writing=False)
        return ImageInfo(file.path, name, header.size, file.size, allocated, header.backing,
                         backing_of(file.path, header)[0], header.backing_format, header.version, header.cluster,
                         COMPRESSIONS[header.compression], header.snapshots)
    finally:
        file.close()


def create(path: PathName, size: str | int | None = None, *, format: str | None = None, backing: PathName | None = None,
           backing_format: str | None = None, cluster_size: int = 65536, force: bool = False) -> None:
    """Make an image that reads as zeros, or with `backing` an overlay that reads as that one.

    - size: as "64M", or bytes, a multiple of 512; None: as large as `backing`.
    - format: "raw" or "qcow2"; None: qcow2 for an overlay, raw otherwise.
    - backing: is named from where the new image lies, unless its path is absolute; None of a disk of its own.
    - force: overwrite a file that exists.

    Raises ConfigurationError.
    """
    format = format or ("raw" if backing is None else "qcow2")
    refuse_format(os.fspath(path), format)
    below = None
    if backing is not None:
        if format != "qcow2":
            raise ConfigurationError(f"{os.fspath(path)}: a raw image cannot be an overlay; make a qcow2 one")
        below = os.fspath(backing)
        named = os.path.join(os.path.dirname(os.fspath(path)), below)
        with opened(named, backing_format, read_only=True) as image:
            refuse_own_base(path, image)
            backing_format = image.format
            size = image.size + -image.size % SECTOR if size is None else size
    if size is None:
        raise ConfigurationError(f"{os.fspath(path)}: how large? Give a size, as in 1G")
    bytes_ = disk_size(size)
    with new_file(path, force) as file:
        if format == "raw":
            file.truncate(bytes_)
        else:
            file.write(new_qcow2(path, bytes_, cluster_size, below, backing_format))


def new_qcow2(path: PathName, size: int, cluster_size: int = 65536, backing: str | None = None,
              backing_format: str | None = None) -> bytes:
    bits = cluster_size.bit_length() - 1
    if cluster_size != 1 << bits or not 9 <= bits <= 21:
        raise ConfigurationError(f"{os.fspath(path)}: clusters of {cluster_size} bytes: say a power of two, 512 to 2M")
    if backing is not None and len(os.fsencode(backing)) > LONGEST_NAME:
        raise ConfigurationError(f"{os.fspath(path)}: the path of its backing file is longer than {LONGEST_NAME} "
                                 "bytes; name it from where the overlay lies")
    return new_header(size, bits, backing=backing, backing_format=backing_format)[1]


def convert(source: PathName, target: PathName, *, source_format: str | None = None, format: str | None = None,
            compress: bool = False, force: bool = False) -> None:
    """Copy what a disk holds, with all that is below it, into an image of its own. Zeros take no room.

    - format: "raw" or "qcow2"; None: qcow2 if `compress`, raw otherwise.
    - compress: the clusters, as small as zlib makes them; a guest that writes one unpacks it.
    - force: overwrite a file that exists.

    Raises ConfigurationError.
    """
    format = format or ("qcow2" if compress else "raw")
    refuse_format(os.fspath(target), format)
    if compress and format == "raw":
        raise ConfigurationError(f"{os.fspath(target)}: a raw image cannot be compressed; make a qcow2 one")
    with opened(source, source_format, read_only=True) as image, new_file(target, force) as file:
        size = image.size + -image.size % SECTOR
        if format == "raw":
            file.truncate(size)
        else:
            file.write(new_qcow2(target, size))
        file.flush()
        copy = open_image(f"/proc/self/fd/{file.fileno()}", format, lock=False)
        try:
            for start, data in content(image):
                with naming(Path(target)):
                    write_part(copy, start, data, compress)
            if format == "raw":
                warn_of_magic(image, target)
        finally:
            with naming(Path(target)):
                copy.close()


def write_part(copy: Image, start: int, data: bytearray, compress: bool) -> None:
    """Write what `content` gave."""
    if not (compress and isinstance(copy, Qcow2Image) and copy.write_compressed(
            start // copy.cluster, bytes(data).ljust(copy.cluster, b"\0"))):
        copy.write(start, [memoryview(data)[:copy.size - start]])


def warn_of_magic(image: Image, target: PathName) -> None:
    start = bytearray(min(len(MAGIC), image.size))
    image.read(0, memoryview(start))
    if start == MAGIC:
        log.warning("%s: the disk begins as a qcow2 image does; say format=raw wherever it is opened",
                    os.fspath(target))


def content(image: Image) -> Iterator[tuple[int, bytearray]]:
    """What an image and those below it hold, as (offset, data), in grains that are not all zeros."""
    grain = bytearray(GRAIN)
    for start in range(0, image.size, CHUNK):
        stop = min(start + CHUNK, image.size)
        if all(kind == "zero" for _, _, kind in whole_extents(image, start, stop)):
            continue
        data = bytearray(stop - start)
        image.read(start, memoryview(data))
        for at in range(0, len(data), GRAIN):
            part = data[at:at + GRAIN]
            if part != grain[:len(part)]:
                yield start + at, part + bytes(-len(part) % SECTOR)


def whole_extents(image: Image, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """What is where, with those below looked through."""
    for first, stop, kind in image.extents(start, end):
        if kind == "below" and image.below:
            inside = max(first, min(stop, image.below.size))
            yield from whole_extents(image.below, first, inside)
            if inside < stop:
                yield inside, stop, "zero"
        else:
            yield first, stop, kind


def commit(path: PathName) -> None:
    """Write what an overlay holds into the image below it, and empty the overlay. Raises ConfigurationError.

    If it is interrupted, the overlay is as it was, and the same again completes it.
    """
    with opened(path, "qcow2") as overlay:
        below = overlay.below
        if below is None or not isinstance(overlay, Qcow2Image):
            raise ConfigurationError(f"{os.fspath(path)}: is no overlay: there is nothing below it to commit into")
        name, format = backing_of(overlay.path, overlay.header)
        below.close()                               # it is open for reading
        assert name is not None
        base = open_image(name, format)
        overlay.below = base
        if overlay.size > base.size:
            base.resize(overlay.size)
        for first, stop, kind in overlay.extents(0, overlay.size):
            if kind == "zero":
                base.zero(first, stop - first, unmap=True)
            elif kind == "data":
                for start in range(first, stop, CHUNK):
                    data = bytearray(min(CHUNK, stop - start))
                    overlay.read(start, memoryview(data))
                    base.write(start, [memoryview(data)])
        base.settle()
        base.flush()
        overlay.make_empty()


def rebase(path: PathName, backing: PathName | None, *, backing_format: str | None = None) -> None:
    """Put an overlay above another image, or above none (None). What the disk holds stays the same.

    Raises ConfigurationError. If it is interrupted, the overlay still lies above the old one, and the same again
    completes it.
    """
    with opened(path, "qcow2") as overlay:
        assert isinstance(overlay, Qcow2Image)
        if backing is None:
            rebase_onto(overlay, None, None)
            return
        named = os.path.join(os.path.dirname(overlay.path), os.fspath(backing))
        with opened(named, backing_format, read_only=True) as new:
            if overlay.file.key in (image.file.key for image in new.chain()):
                raise ConfigurationError(f"{overlay.path}: would be an overlay of itself; name another image")
            rebase_onto(overlay, new, os.fspath(backing))


def rebase_onto(overlay: Qcow2Image, new: Image | None, name: str | None) -> None:
    for start in range(0, overlay.size, CHUNK):
        stop = min(start + CHUNK, overlay.size)
        for first, last, kind in list(overlay.extents(start, stop)):
            if kind == "data" or (kind == "zero" and overlay.below):
                continue                            # its own
            ours, theirs = bytearray(last - first), bytearray(last - first)
            overlay.read(first, memoryview(ours))
            read_padded(new, first, memoryview(theirs))
            for at in range(0, len(ours), overlay.cluster):
                part = ours[at:at + overlay.cluster]
                if part != theirs[at:at + overlay.cluster]:
                    overlay.write(first + at, [memoryview(part)])
    overlay.flush()
    overlay.name_backing(name, new.format if new else None)


# --- Files ------------------------------------------------------------------------------------------------------------

def refuse_format(path: str, format: str) -> None:
    if format not in FORMATS:
        raise ConfigurationError(f"{path}: format {format!r} is unknown; there is {', '.join(FORMATS)}")


@contextmanager
def opened(path: PathName, format: str | None = None, read_only: bool = False) -> Iterator[Image]:
    """An image while it is used. What is damaged is a ConfigurationError as well."""
    image = open_image(path, format, read_only)
    try:
        yield image
    except Damaged as error:
        raise ConfigurationError(f"{error.filename}: {error.strerror}") from error
    finally:
        image.close()


def refuse_own_base(path: PathName, image: Image) -> None:
    for one in image.chain():
        if os.path.exists(path) and os.path.samefile(path, one.path):
            raise ConfigurationError(f"{os.fspath(path)}: cannot be an overlay of itself; choose another name")


def refuse_in_use(path: Path) -> None:
    """Raise ConfigurationError where somebody holds this image open: a machine, or whoever reads it just now."""
    if not path.is_file():
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:                                 # whoever may not read it may still be allowed to replace it
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(f"{path}: disk image is in use, by a machine or as what is read; choose another "
                                 "name") from None
    finally:
        os.close(descriptor)


@contextmanager
def new_file(path: PathName, force: bool) -> Iterator[BinaryIO]:
    """A file that gets its name when all went well, which no other may have taken meanwhile unless by `force`."""
    final = Path(path)
    if final.exists() and not force:
        raise ConfigurationError(f"{final}: is there already; choose another name, or overwrite it by --force "
                                 "(force=True)")
    refuse_in_use(final)
    try:
        with whole_file(final, replace=force) as file:
            yield file
    except FileExistsError:
        raise ConfigurationError(f"{final}: somebody else has made it meanwhile; choose another name") from None
    except OSError as error:
        if error.filename != os.fspath(final):
            raise
        raise ConfigurationError(f"{final}: cannot be made in {final.parent} ({error.strerror}); choose another "
                                 "place") from error
