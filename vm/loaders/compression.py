"""Kernels that are compressed, in the ways that the kernel's own makefiles know (scripts/Makefile.lib there).

gzip, bzip2, lzma and xz come with Python, zstd from 3.14 on and before that with us; for lz4 a package is to be
installed.
How much comes out is bounded: what is larger than that is refused as soon as it is, whatever the file says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

from vm.errors import LoadError
from vm.loaders.common import File

CHUNK = 1 << 18                 # bytes that are given to a decompressor at a time
LIMIT = 1 << 30                 # of what comes out, where RAM is larger: no kernel is
XZ_MEMORY = 256 << 20           # a dictionary takes as much memory as its file says; xz -9 says 64 MiB
LZ4_BLOCK = 8 << 20             # what a block of the legacy format holds, the last one less
ZEROES = re.compile(rb"\0*")

# What makes an object with `decompress(data, max_length)`, `eof` and `unused_data`, and what that raises for damage.
Decompressor = tuple[Callable[[], Any], type[Exception]]


def _gzip() -> Decompressor:
    import zlib

    return partial(zlib.decompressobj, wbits=zlib.MAX_WBITS | 16), zlib.error


def _bzip2() -> Decompressor:
    import bz2

    return bz2.BZ2Decompressor, OSError


def _xz() -> Decompressor:
    import lzma

    return partial(lzma.LZMADecompressor, memlimit=XZ_MEMORY), lzma.LZMAError


def _zstd() -> Decompressor:
    try:
        zstd = import_module("compression.zstd")
    except ImportError:
        zstd = import_module("backports.zstd")
    return zstd.ZstdDecompressor, zstd.ZstdError


def _lz4() -> Decompressor:
    return import_module("lz4.frame").LZ4FrameDecompressor, RuntimeError


class Format(NamedTuple):
    name: str
    magic: bytes
    decompressor: Callable[[], Decompressor] | None     # None: nothing on the index undoes it
    package: str = ""                                   # what brings it where Python does not


LEGACY_LZ4 = Format("lz4", b"\x02\x21\x4c\x18", None, "lz4")
FORMATS = (
    Format("gzip", b"\x1f\x8b\x08", _gzip),
    Format("bzip2", b"BZh", _bzip2),
    Format("lzma", b"\x5d\0\0", _xz),
    Format("xz", b"\xfd7zXZ\0", _xz),
    Format("zstd", b"\x28\xb5\x2f\xfd", _zstd, "backports.zstd"),
    Format("lz4", b"\x04\x22\x4d\x18", _lz4, "lz4"),
    LEGACY_LZ4,
    Format("lzop", b"\x89LZO", None),
)


def decompressed(file: File, limit: int) -> File:
    """A file as it is, or what it holds where it is compressed. Raises LoadError for more than `limit` bytes."""
    for format in FORMATS:
        if file.data.startswith(format.magic):
            try:
                return File(file.name, bytes(_unpack(file, format, min(limit, LIMIT))))
            except ImportError:
                raise LoadError(f"{file.name}: compressed with {format.name}, which needs {format.package}; install it "
                                f"with: pip install {format.package}") from None
    return file


def _unpack(file: File, format: Format, limit: int) -> bytearray:
    if format is LEGACY_LZ4:
        return _unpack_legacy_lz4(file, limit)
    if format.decompressor is None:
        raise LoadError(f"{file.name}: compressed with {format.name}; decompress it first")
    new, damage = format.decompressor()
    name, data = file
    content, at = bytearray(), 0
    while data.startswith(format.magic, at):        # a file may be a series of members, all of one format
        member = new()
        while not member.eof:
            chunk = data[at:at + CHUNK]
            if not chunk:
                raise LoadError(f"{name}: truncated {format.name} file")
            try:
                content += member.decompress(chunk, limit + 1 - len(content))
            except (damage, EOFError) as error:
                raise LoadError(f"{name}: damaged {format.name} file ({error})") from error
            _refuse_excess(name, content, limit)
            at += len(chunk)
        at -= len(member.unused_data or b"")         # lz4 says None for nothing
        padding = ZEROES.match(data, at)            # xz has it between members; what else follows is not ours
        assert padding is not None
        at = padding.end()
    return content


def _unpack_legacy_lz4(file: File, limit: int) -> bytearray:
    """Blocks of a size and so many bytes, to the end (lz4_Frame_format.md, "Legacy frame").

    Builds of the kernel append how much comes out, which is no block.
    """
    block = import_module("lz4.block")
    name, data = file
    content, at = bytearray(), len(LEGACY_LZ4.magic)
    while at < len(data):
        word = data[at:at + 4]
        if word == LEGACY_LZ4.magic:
            at += 4
            continue
        if at + 4 == len(data) and int.from_bytes(word, "little") == len(content):
            break
        end = at + 4 + int.from_bytes(word, "little")
        if end > len(data) or len(word) < 4:
            raise LoadError(f"{name}: truncated lz4 file")
        try:
            content += block.decompress(data[at + 4:end], uncompressed_size=LZ4_BLOCK)
        except block.LZ4BlockError as error:
            raise LoadError(f"{name}: damaged lz4 file ({error})") from error
        _refuse_excess(name, content, limit)
        at = end
    return content


def _refuse_excess(name: str, content: bytearray, limit: int) -> None:
    if len(content) > limit:
        raise LoadError(f"{name}: holds more than {limit:,} bytes when decompressed, which "
                        + ("no kernel does" if limit == LIMIT else "does not fit in RAM; give the machine more memory"))
