"""The header of a qcow2 image, and what may be said in it.

After QEMU's docs/interop/qcow2.txt. Every number of the file is checked before anything is allocated or sought by it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from vm.disks.image import SECTOR, HostFile
from vm.errors import ConfigurationError

MAGIC = b"QFI\xfb"
FIELDS = struct.Struct(">4sIQIIQIIQQIIQ")       # both versions
MORE = struct.Struct(">QQQII")                  # version 3
EXTENSION = struct.Struct(">II")

DIRTY, CORRUPT, EXTERNAL_DATA, COMPRESSION_TYPE, EXTENDED_L2 = (1 << bit for bit in range(5))   # incompatible features
KNOWN = COMPRESSION_TYPE
REFUSED = {
    DIRTY: "was not closed (its reference counts are not up to date); repair it with: qemu-img check -r all {path}",
    CORRUPT: "is marked as corrupt; repair it with: qemu-img check -r all {path}",
    EXTERNAL_DATA: "keeps its data in another file; make one that holds it with: "
                   "qemu-img convert -O qcow2 {path} NEW",
    EXTENDED_L2: "has extended L2 entries; make one without with: qemu-img convert -O qcow2 {path} NEW",
}

END, BACKING_FORMAT, FEATURE_NAMES = 0, 0xE279_2ACA, 0x6803_F857        # header extensions

ZLIB, ZSTD = 0, 1
COMPRESSIONS = {ZLIB: "zlib", ZSTD: "zstd"}

CLUSTER_BITS = range(9, 22)
MOST_L1_BYTES = 32 << 20        # as QEMU
MOST_REFCOUNT_BYTES = 8 << 20
LONGEST_NAME = 1023
MOST_SNAPSHOTS = 65536
MOST_BYTES = 1 << 62


@dataclass(frozen=True)
class Header:
    """Offsets and sizes in bytes; `refcount_order` is the logarithm of the bits of a reference count."""

    version: int
    cluster_bits: int
    size: int
    l1_size: int                        # entries
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int = 0
    snapshots_offset: int = 0
    backing: str | None = None
    backing_format: str | None = None
    incompatible: int = 0
    compatible: int = 0
    autoclear: int = 0
    refcount_order: int = 4
    compression: int = ZLIB
    extensions: tuple[tuple[int, bytes], ...] = field(default=())       # others than those above

    @property
    def cluster(self) -> int:
        """Bytes."""
        return 1 << self.cluster_bits

    def pack(self) -> bytes:
        """The beginning of the file, to the end of the name of the backing file."""
        extensions = list(self.extensions)
        if self.backing_format is not None:
            extensions.append((BACKING_FORMAT, self.backing_format.encode()))
        tail = b"".join(EXTENSION.pack(kind, len(data)) + data.ljust(-(-len(data) // 8) * 8, b"\0")
                        for kind, data in [*extensions, (END, b"")])
        length = FIELDS.size if self.version == 2 else FIELDS.size + MORE.size + 8
        name = (self.backing or "").encode(errors="surrogateescape")
        fixed = FIELDS.pack(MAGIC, self.version, length + len(tail) if name else 0, len(name), self.cluster_bits,
                            self.size, 0, self.l1_size, self.l1_offset, self.refcount_offset, self.refcount_clusters,
                            self.snapshots, self.snapshots_offset)
        if self.version == 3:
            fixed += MORE.pack(self.incompatible, self.compatible, self.autoclear, self.refcount_order, length)
            fixed += bytes((self.compression,)).ljust(8, b"\0")
        return fixed + tail + name


def read_header(file: HostFile, writing: bool) -> Header:
    """Raises ConfigurationError for what is no image, damaged, or asks for what is not here."""
    def refuse(why: str) -> ConfigurationError:
        return ConfigurationError(f"{file.path}: qcow2 image {why}")

    def damaged(what: str) -> ConfigurationError:
        return refuse(f"is damaged: {what}; look at it with: qemu-img check {file.path}")

    start = bytes(file.read(0, min(file.size, 1 << CLUSTER_BITS[-1])))
    if len(start) < FIELDS.size or not start.startswith(MAGIC):
        raise ConfigurationError(f"{file.path}: is no qcow2 image; name one, or say format=raw")
    (_, version, name_offset, name_length, cluster_bits, size, encryption, l1_size, l1_offset, refcount_offset,
     refcount_clusters, snapshots, snapshots_offset) = FIELDS.unpack_from(start)
    if version not in (2, 3):
        raise refuse(f"is of version {version}, and only 2 and 3 are known; convert it with: "
                     f"qemu-img convert -O qcow2 {file.path} NEW")
    if cluster_bits not in CLUSTER_BITS:
        raise damaged(f"clusters of 2**{cluster_bits} bytes")
    if encryption:
        raise refuse(f"is encrypted; make one that is not with: qemu-img convert -O qcow2 {file.path} NEW")
    header = Header(version, cluster_bits, size, l1_size, l1_offset, refcount_offset, refcount_clusters, snapshots,
                    snapshots_offset)
    length = FIELDS.size
    if version == 3:
        if len(start) < FIELDS.size + MORE.size:
            raise damaged("it ends in its header")
        incompatible, compatible, autoclear, order, length = MORE.unpack_from(start, FIELDS.size)
        for feature, why in REFUSED.items():
            if incompatible & feature:
                raise refuse(why.format(path=file.path))
        if incompatible & ~KNOWN:
            raise refuse(f"needs features that are unknown (bits {incompatible & ~KNOWN:#x}); convert it with: "
                         f"qemu-img convert -O qcow2 {file.path} NEW")
        if not FIELDS.size + MORE.size <= length <= min(len(start), header.cluster) or length % 8 or order > 6:
            raise damaged(f"a header of {length} bytes, reference counts of 2**{order} bits")
        compression = start[FIELDS.size + MORE.size] if incompatible & COMPRESSION_TYPE and length > 104 else ZLIB
        if compression not in COMPRESSIONS:
            raise refuse(f"is compressed in way {compression}, which is unknown; convert it with: "
                         f"qemu-img convert -O qcow2 {file.path} NEW")
        header = replace(header, incompatible=incompatible, compatible=compatible, autoclear=autoclear,
                         refcount_order=order, compression=compression)
    limit = min(header.cluster, len(start))
    if name_offset:
        if not length <= name_offset <= limit or not 0 < name_length <= min(LONGEST_NAME, limit - name_offset):
            raise damaged(f"the name of its backing file at {name_offset}, of {name_length} bytes")
        name = start[name_offset:name_offset + name_length].decode(errors="surrogateescape")
        if "\0" in name:
            raise damaged("a NUL in the name of its backing file")
        header = replace(header, backing=name)
        limit = name_offset
    header = read_extensions(header, start, length, limit, damaged)
    for problem in problems(header, file, writing):
        raise damaged(problem)
    return header


def read_extensions(header: Header, start: bytes, at: int, limit: int,
                    damaged: Callable[[str], ConfigurationError]) -> Header:
    others = []
    while at + EXTENSION.size <= limit:
        kind, length = EXTENSION.unpack_from(start, at)
        at += EXTENSION.size
        if kind == END:
            break
        if length > limit - at:
            raise damaged(f"an extension of {length} bytes in its header")
        data = start[at:at + length]
        at += -(-length // 8) * 8
        if kind == BACKING_FORMAT:
            header = replace(header, backing_format=data.decode(errors="replace"))
        elif kind != FEATURE_NAMES:                     # in words, for programs that do not know them
            others.append((kind, data))
    return replace(header, extensions=tuple(others))


def problems(header: Header, file: HostFile, writing: bool) -> list[str]:
    """What is wrong with the tables that the header names."""
    cluster, found = header.cluster, []
    if header.size % SECTOR or header.size > MOST_BYTES:
        found.append(f"a disk of {header.size} bytes")
    needed = -(-header.size // (cluster * (cluster // 8)))
    if not needed <= header.l1_size <= MOST_L1_BYTES // 8:
        found.append(f"an L1 table of {header.l1_size} entries")
    elif header.l1_size and (header.l1_offset % cluster or not header.l1_offset
                             or header.l1_offset + 8 * header.l1_size > file.size):
        found.append(f"the L1 table at {header.l1_offset:#x}, which is not in the file")
    table_bytes = header.refcount_clusters * cluster
    if writing and (not 0 < table_bytes <= max(MOST_REFCOUNT_BYTES, cluster) or header.refcount_offset % cluster
                    or not 0 < header.refcount_offset <= file.size - table_bytes):
        found.append(f"the reference counts at {header.refcount_offset:#x}, which is not in the file")
    if header.snapshots > MOST_SNAPSHOTS:
        found.append(f"{header.snapshots} snapshots")
    return found
