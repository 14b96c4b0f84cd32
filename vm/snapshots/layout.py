"""How a file of a snapshot lies on the disk; docs/snapshot-files.md describes it. All numbers are little-endian.

    header | chunks, each a zstd frame | metadata, a zstd frame | index

A chunk is CHUNK_PAGES pages of a region; its frame holds those of them that its entry in the index names, one after
the other. The checksums are BLAKE2b of 16 bytes over what lies in the file. The header has those of the metadata and
the index, the index those of the chunks: the identity of a file, the checksum of its header, stands for all of it.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vm.sizes import LIMIT, PAGE_SIZE

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAGIC = b"\x89vmsnap\n"                     # no text, and nothing that a transfer as text leaves as it is
VERSION = 1
CHUNK_PAGES = 16
CHUNK_BYTES = CHUNK_PAGES * PAGE_SIZE
CHECKSUM_BYTES = 16

# What a reader takes: a file that claims more is refused before memory is used for it.
LARGEST_METADATA = 64 << 20                 # bytes
LARGEST_METADATA_FRAME = LARGEST_METADATA + (LARGEST_METADATA >> 7)     # what does not compress grows by 1/256
LARGEST_REGION = LIMIT
MOST_REGIONS = 1024
LONGEST_CHAIN = 64                          # files that name each other as parents
CHUNK_WINDOW_LOG = 17                       # zstd asks for a window of so many bits at most
METADATA_WINDOW_LOG = 22                    # level 3 asks for 21
CHUNK_LEVEL, METADATA_LEVEL = 1, 3

PREFIX = struct.Struct("<8sI")              # the same in every version: magic, version
HEADER = struct.Struct("<8sI4xQ QQ16s QQ16s")
HEADER_BYTES = HEADER.size + CHECKSUM_BYTES

# One of each chunk, in the order of regions and chunks. `pages`: bit n is set where the frame holds page n.
ENTRY = np.dtype([("region", "<u4"), ("chunk", "<u4"), ("offset", "<u8"), ("stored", "<u4"), ("pages", "<u4"),
                  ("checksum", f"V{CHECKSUM_BYTES}")])


class Section(NamedTuple):
    offset: int
    size: int               # stored
    checksum: bytes


class Header(NamedTuple):
    file_bytes: int
    metadata: Section
    contents: Section       # the index

    def pack(self) -> bytes:
        body = HEADER.pack(MAGIC, VERSION, self.file_bytes, *self.metadata, *self.contents)
        return body + checksum(body)

    @classmethod
    def unpack(cls, data: bytes) -> Header:
        _magic, _version, file_bytes, *rest = HEADER.unpack_from(data)
        return cls(file_bytes, Section(*rest[:3]), Section(*rest[3:]))


class Region(NamedTuple):
    """A stretch of memory, as RAM or the written part of a disk. `size`: bytes, a multiple of the page size."""

    name: str
    size: int


def checksum(data: Buffer) -> bytes:
    return blake2b(data, digest_size=CHECKSUM_BYTES).digest()


def zstd() -> Any:
    """The module that Python has from 3.14 on, or the same for those before."""
    try:
        return import_module("compression.zstd")
    except ImportError:
        return import_module("backports.zstd")
