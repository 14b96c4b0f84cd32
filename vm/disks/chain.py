"""Opening disk images: which format a file has, and the files that it is an overlay of."""

from __future__ import annotations

import os
import re

from vm.disks.image import HostFile, Image
from vm.disks.qcow2.header import MAGIC, Header, read_header
from vm.disks.qcow2.image import Qcow2Image
from vm.disks.raw import RawImage
from vm.errors import ConfigurationError

FORMATS = ("raw", "qcow2")
DEEPEST = 64                    # overlays above each other
PROTOCOL = re.compile(r"[A-Za-z][\w+.-]*:")


def open_image(path: str | os.PathLike[str], format: str | None = None, read_only: bool = False,
               lock: bool = True) -> Image:
    """A disk image and all that it is an overlay of, which are read only.

    - format: "raw" or "qcow2"; None looks how the file begins.
    - lock: False where the caller has locked the file.

    Raises ConfigurationError.
    """
    if format is not None and format not in FORMATS:
        raise ConfigurationError(f"{os.fspath(path)}: format {format!r} is unknown; there is {', '.join(FORMATS)}, and "
                                 "qemu-img convert makes one of these of any other")
    files: list[HostFile] = []
    try:
        return _open_image(path, format, read_only, lock, files)
    except BaseException:
        for file in files:
            file.close()
        raise


def _open_image(path: str | os.PathLike[str], format: str | None, read_only: bool, lock: bool,
                files: list[HostFile]) -> Image:
    opened: list[tuple[HostFile, Header | None, bool]] = []
    name: str | None = os.fspath(path)
    while name is not None:
        if len(files) == DEEPEST:
            raise ConfigurationError(f"{path}: more than {DEEPEST} images above each other; make one of them with: "
                                     "vm disk convert")
        if any(os.path.exists(name) and key_of(name) == other.key for other in files):
            raise ConfigurationError(f"{name}: is an overlay of itself, by way of {files[-1].path}; name another "
                                     f"backing file with: qemu-img rebase -u -b BASE {files[-1].path}")
        try:
            file = HostFile(name, read_only or bool(files), lock or bool(files))
        except ConfigurationError as error:
            if not files:
                raise
            raise ConfigurationError(f"backing file of {files[-1].path}: {error}") from error
        files.append(file)
        probed = format is None
        if format is None:
            format = "qcow2" if bytes(file.read(0, len(MAGIC))) == MAGIC else "raw"
        header = read_header(file, writing=not file.read_only) if format == "qcow2" else None
        opened.append((file, header, probed))
        name, format = backing_of(file.path, header) if header else (None, None)
    image: Image | None = None
    for file, header, probed in reversed(opened):
        if header:
            image = Qcow2Image(file, image, header)
        else:
            image = RawImage(file, probed, below=file is not files[0])
    assert image is not None
    return image


def key_of(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def backing_of(path: str, header: Header) -> tuple[str | None, str | None]:
    """The path and the format of the file that a qcow2 image is an overlay of; it is named from where that lies."""
    name = header.backing
    if name is None:
        return None, None
    plain = name.removeprefix("file:")
    if PROTOCOL.match(plain):
        raise ConfigurationError(f"{path}: its backing file is {name}, and only files can be; name one with: "
                                 f"qemu-img rebase -u -b BASE {path}")
    if header.backing_format not in (None, *FORMATS):
        raise ConfigurationError(f"{path}: its backing file {plain} is of the format {header.backing_format}; there is "
                                 f"{', '.join(FORMATS)}, and qemu-img convert makes one of these of any other")
    return os.path.join(os.path.dirname(path), plain), header.backing_format
