"""The messages of 9P2000.L, as bytes and as values: one row for each pair of a request and its reply.

A message is `size[4] type[1] tag[2]` and its fields, one behind the other, little-endian; `size` counts all of it. A
reply has the request's tag and its type plus one; any request may be answered with `lerror` instead.

Sources: intro(5) of Plan 9's manual for what all dialects share, diod's protocol.md for the requests of 9P2000.L, and
include/net/9p/9p.h of Linux for the numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

HEADER = struct.Struct("<IBH")          # size, type, tag
NO_FID = 0xFFFF_FFFF                    # instead of a fid for authentication

Values = tuple[Any, ...]


class MalformedMessage(ValueError):
    """Bytes that are no message, or not all of one."""


class Qid(NamedTuple):
    """What tells a file from others of the folder: what it is, how often it changed, and which it is."""

    kind: int
    version: int
    path: int


# What a field is, by the letter behind its name: numbers by their bytes; a string (u16 length); a qid; many of these
# (u16 count). Data is a u32 count and so many bytes, with which the message ends.
NUMBERS = {"1": "B", "2": "H", "4": "I", "8": "Q"}
STRING, QID, STRINGS, QIDS, DATA = "s", "q", "S", "Q", "d"
QID_LAYOUT = struct.Struct("<BIQ")
COUNT = struct.Struct("<H")
LENGTH = struct.Struct("<I")


class Layout:
    """The fields of a message, as in "fid:4 name:s". Attributes: `names` of them, and whether it `has_data` only."""

    def __init__(self, text: str):
        fields = [field.partition(":") for field in text.split()]
        self.names = tuple(name for name, _, _ in fields)
        kinds = "".join(kind for _, _, kind in fields)
        self.has_data = kinds == DATA
        self._runs: list[struct.Struct | str] = []          # of numbers, and what is between them
        while kinds:
            numbers = kinds[:len(kinds) - len(kinds.lstrip("1248"))]
            if numbers:
                self._runs.append(struct.Struct("<" + "".join(NUMBERS[kind] for kind in numbers)))
            else:
                self._runs.append(kinds[0])
            kinds = kinds[len(numbers) or 1:]

    def pack(self, values: Sequence[Any]) -> bytes:
        """The fields' bytes. Data is given as its length: whoever sends the message has the rest."""
        parts = []
        at = 0
        for run in self._runs:
            if isinstance(run, struct.Struct):
                taken = len(run.format) - 1
                parts.append(run.pack(*values[at:at + taken]))
                at += taken
                continue
            parts.append(packed(run, values[at]))
            at += 1
        return b"".join(parts)

    def unpack(self, message: bytes | memoryview) -> Values:
        """The values of a message, header and all; of data, its length. Raises MalformedMessage."""
        values: list[Any] = []
        at = HEADER.size
        try:
            for run in self._runs:
                if isinstance(run, struct.Struct):
                    values += run.unpack_from(message, at)
                    at += run.size
                else:
                    value, at = unpacked(run, message, at)
                    values.append(value)
        except struct.error as error:
            raise MalformedMessage(f"a message of {len(message)} bytes is cut short") from error
        return tuple(values)


def packed(kind: str, value: Any) -> bytes:
    if kind == STRING:
        return COUNT.pack(len(value)) + bytes(value)
    if kind == QID:
        return QID_LAYOUT.pack(*value)
    if kind == DATA:
        return LENGTH.pack(value)
    one = STRING if kind == STRINGS else QID
    return COUNT.pack(len(value)) + b"".join(packed(one, item) for item in value)


def unpacked(kind: str, message: bytes | memoryview, at: int) -> tuple[Any, int]:
    """A value, and where the next one begins."""
    if kind == QID:
        return Qid(*QID_LAYOUT.unpack_from(message, at)), at + QID_LAYOUT.size
    if kind == DATA:
        return LENGTH.unpack_from(message, at)[0], at + LENGTH.size
    count, = COUNT.unpack_from(message, at)
    at += COUNT.size
    if kind == STRING:
        if at + count > len(message):
            raise MalformedMessage(f"a string of {count} bytes goes beyond the message's {len(message)}")
        return bytes(message[at:at + count]), at + count
    one = STRING if kind == STRINGS else QID
    values = []
    for _ in range(count):
        value, at = unpacked(one, message, at)
        values.append(value)
    return values, at


class Message(NamedTuple):
    """A request and its reply. `type` is the request's."""

    type: int
    name: str
    request: Layout
    reply: Layout


# From the number on, name, request, reply
TABLE = (
    (6, "lerror", "", "error:4"),
    (8, "statfs", "fid:4",
     "type:4 bsize:4 blocks:8 bfree:8 bavail:8 files:8 ffree:8 fsid:8 namelen:4"),
    (12, "lopen", "fid:4 flags:4", "qid:q iounit:4"),
    (14, "lcreate", "fid:4 name:s flags:4 mode:4 gid:4", "qid:q iounit:4"),
    (16, "symlink", "dfid:4 name:s target:s gid:4", "qid:q"),
    (18, "mknod", "dfid:4 name:s mode:4 major:4 minor:4 gid:4", "qid:q"),
    (20, "rename", "fid:4 dfid:4 name:s", ""),
    (22, "readlink", "fid:4", "target:s"),
    (24, "getattr", "fid:4 mask:8",
     "valid:8 qid:q mode:4 uid:4 gid:4 nlink:8 rdev:8 size:8 blksize:8 blocks:8 atime_s:8 atime_ns:8 mtime_s:8 "
     "mtime_ns:8 ctime_s:8 ctime_ns:8 btime_s:8 btime_ns:8 gen:8 data_version:8"),
    (26, "setattr", "fid:4 valid:4 mode:4 uid:4 gid:4 size:8 atime_s:8 atime_ns:8 mtime_s:8 mtime_ns:8", ""),
    (30, "xattrwalk", "fid:4 newfid:4 name:s", "size:8"),
    (32, "xattrcreate", "fid:4 name:s size:8 flags:4", ""),
    (40, "readdir", "fid:4 offset:8 count:4", "data:d"),
    (50, "fsync", "fid:4 datasync:4", ""),
    (52, "lock", "fid:4 type:1 flags:4 start:8 length:8 proc_id:4 client_id:s", "status:1"),
    (54, "getlock", "fid:4 type:1 start:8 length:8 proc_id:4 client_id:s",
     "type:1 start:8 length:8 proc_id:4 client_id:s"),
    (70, "link", "dfid:4 fid:4 name:s", ""),
    (72, "mkdir", "dfid:4 name:s mode:4 gid:4", "qid:q"),
    (74, "renameat", "olddirfid:4 oldname:s newdirfid:4 newname:s", ""),
    (76, "unlinkat", "dirfid:4 name:s flags:4", ""),
    (100, "version", "msize:4 version:s", "msize:4 version:s"),
    (102, "auth", "afid:4 uname:s aname:s n_uname:4", "aqid:q"),
    (104, "attach", "fid:4 afid:4 uname:s aname:s n_uname:4", "qid:q"),
    (108, "flush", "oldtag:2", ""),
    (110, "walk", "fid:4 newfid:4 names:S", "qids:Q"),
    (116, "read", "fid:4 offset:8 count:4", "data:d"),
    (118, "write", "fid:4 offset:8 data:d", "count:4"),
    (120, "clunk", "fid:4", ""),
    (122, "remove", "fid:4", ""),
)
MESSAGES = {number: Message(number, name, Layout(request), Layout(reply)) for number, name, request, reply in TABLE}
NAMED = {message.name: message for message in MESSAGES.values()}

LERROR = NAMED["lerror"]
WRITE = NAMED["write"].type
ERROR_SIZE = HEADER.size + 4            # of the reply that every request must leave room for
DATA_HEAD = HEADER.size + 4             # bytes in front of the data of a reply that has some
WRITE_HEAD = HEADER.size + 16           # the same of a `write`


def header_of(message: bytes) -> tuple[int, int, int]:
    """Size, type and tag. Raises MalformedMessage."""
    if len(message) < HEADER.size:
        raise MalformedMessage(f"a message of {len(message)} bytes has no header")
    size, number, tag = HEADER.unpack_from(message)
    return size, number, tag


def reply_to(message: Message, tag: int, values: Sequence[Any]) -> bytes:
    """The reply's bytes; where it is data, given as its length, what is in front of that."""
    fields = message.reply.pack(values)
    follows = values[0] if message.reply.has_data else 0
    return HEADER.pack(HEADER.size + len(fields) + follows, message.type + 1, tag) + fields
