"""Compressed clusters of a qcow2 image: raw deflate in a window of 4 KiB, or zstd."""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import Any

from vm.disks.qcow2.header import ZSTD
from vm.errors import ConfigurationError

WINDOW = -12                    # bits; negative: without zlib's header


def check(path: str, compression: int) -> None:
    """Raise ConfigurationError where this cannot be taken apart here."""
    if compression == ZSTD:
        try:
            zstd()
        except ImportError:
            raise ConfigurationError(f"{path}: is compressed by zstd, which this Python does not have; install it "
                                     "with: pip install backports.zstd") from None


def zstd() -> Any:
    try:
        return import_module("compression.zstd")        # from Python 3.14 on
    except ImportError:
        return import_module("backports.zstd")


def compress(data: bytes | bytearray | memoryview) -> bytes:
    deflate = zlib.compressobj(wbits=WINDOW)
    return deflate.compress(data) + deflate.flush()


def decompress(compression: int, data: bytes | bytearray, size: int) -> bytes | None:
    """`size` bytes, and what follows the compressed data is ignored; None if it is damaged."""
    if compression == ZSTD:
        library = zstd()
        inflate, failure = library.ZstdDecompressor(), library.ZstdError
    else:
        inflate, failure = zlib.decompressobj(wbits=WINDOW), zlib.error
    try:
        plain: bytes = inflate.decompress(bytes(data), size)
    except failure:
        return None
    return plain if len(plain) == size else None
