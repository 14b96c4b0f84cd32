"""The log of a recorded run: what came from outside, and where the machine stood; as a value, and as a file.

A file is the magic number, the version of the format and one record an entry, all numbers little-endian:

    length u32 | kind u8 | steps u64, ns u64, served u64, hart u8 | source u16 + UTF-8 | proof u32 + bytes | data
    | checksum, 16 bytes: BLAKE2b of the record, keyed with the checksum of the record before it

So a record that is changed, left out or put elsewhere is found where it stands. The last one is of the kind END: a file
that lacks it was cut short. It holds plain data; to load a stranger's log runs none of it.
"""

from __future__ import annotations

import os
import struct
from ast import literal_eval
from collections.abc import Iterator
from enum import IntEnum
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from vm.arguments import refuse_other
from vm.errors import LogError
from vm.whole_file import whole_file

MAGIC = b"\x89VMLOG\r\n"
VERSION = 1
HEAD = struct.Struct("<8sI")
LENGTH = struct.Struct("<I")
FIXED = struct.Struct("<BQQQB")
SOURCE = struct.Struct("<H")
PROOF = struct.Struct("<I")
DIGEST_BYTES = 16
LONGEST_RECORD = 1 << 30


class Kind(IntEnum):
    """What an entry is about, and what its `source` and `data` are. The numbers are part of the file's format."""

    START = 0           # the machine stands where the recording begins: what it is, encoded (vm.snapshots.encoding)
    CHECKPOINT = 1      # it stands here; nothing comes
    END = 2             # the recording ends here
    INPUT = 3           # `data` comes in from `source` (vm.inputs)
    WRITE = 4           # Memory.write: u64 address, then the bytes
    CLEAR = 5           # Memory.clear: u64 address, u64 size
    READ = 6            # Memory.read of a device, with what that does to it: u64 address, u64 size
    HART = 7            # the hart of number `source` was changed: u16 word of its state, u64 value, and so on
    CLOCK = 8           # the timebase and the date were set: u64 ticks, i64 ns since 1970
    RESET = 9           # Machine.reset
    ANSWER = 10         # the device `source`, which is not deterministic, ends an access or an event: u64 value
    DMA = 11            # meanwhile it writes memory: u64 address, then the bytes
    LINE = 12           # meanwhile, or on its own, it drives its interrupt line: u64 level
    SCHEDULE = 13       # and schedules an event: i64 delay, i64 event, i64 data
    CANCEL = 14         # and cancels one: i64 event
    DEVICE = 15         # the device `source` was changed from Python: attributes of its state, as a Python literal


# Bytes of an entry's data, where it has always as many; of others there are some at the beginning, or many alike.
SIZES = {Kind.CHECKPOINT: 0, Kind.END: 0, Kind.CLEAR: 16, Kind.READ: 16, Kind.CLOCK: 16, Kind.RESET: 0,
         Kind.ANSWER: 8, Kind.LINE: 8, Kind.SCHEDULE: 24, Kind.CANCEL: 8}
LEAST = {Kind.WRITE: 8, Kind.DMA: 8}
CHANGE_BYTES = 10                           # of a HART, each
DEVICE_KINDS = {Kind.ANSWER, Kind.DMA, Kind.LINE, Kind.SCHEDULE, Kind.CANCEL}


class Stamp(NamedTuple):
    """A moment of a run in virtual time, exact between two effects at one instant.

    - steps: of the machine, all harts together.
    - ns: guest time; idle time that was jumped over counts.
    - served: how many times, since the recording began, the machine did something between two slices: handed out events
      that were due, served a firmware call or a store that is watched.
    - hart: whose turn it is.
    """

    steps: int
    ns: int
    served: int
    hart: int

    def __str__(self) -> str:
        return f"step {self.steps:,}"


class Entry(NamedTuple):
    """What happened at one moment.

    `proof` shows that another run is the same just before: DIGEST_BYTES of all entries before this that came from
    outside, the CRC-32 of all that was printed, and the states of the harts (vm.standing). Or it is empty.
    """

    kind: Kind
    stamp: Stamp
    source: str = ""
    data: bytes = b""
    proof: bytes = b""

    @property
    def within_slice(self) -> bool:
        """Whether it comes when the guest asks the device, and not between two slices; then it has no `proof`."""
        return self.kind in DEVICE_KINDS and not self.proof

    def packed(self) -> bytes:
        source = self.source.encode()
        return b"".join((FIXED.pack(self.kind, *self.stamp), SOURCE.pack(len(source)), source,
                         PROOF.pack(len(self.proof)), self.proof, self.data))


def unpacked(record: bytes) -> Entry:
    """What `Entry.packed` gave. Raises ValueError or struct.error for what it cannot have given."""
    kind, *stamp = FIXED.unpack_from(record)
    at = FIXED.size
    size, = SOURCE.unpack_from(record, at)
    at += SOURCE.size
    source = record[at : at + size].decode()
    at += size
    size, = PROOF.unpack_from(record, at)
    at += PROOF.size
    entry = Entry(Kind(kind), Stamp(*stamp), source, record[at + size :], record[at : at + size])
    length = len(entry.data)
    if (len(entry.proof) != size or length != SIZES.get(entry.kind, length) or length < LEAST.get(entry.kind, 0)
            or (entry.kind is Kind.HART and length % CHANGE_BYTES)):
        raise ValueError("too short, or too long")
    if entry.kind is Kind.DEVICE:
        refuse_no_literal(entry.data)
    return entry


def refuse_no_literal(data: bytes) -> None:
    """Raise ValueError for what is no dict of names and plain data, written as Python writes it."""
    try:
        value = literal_eval(data.decode())
    except (SyntaxError, MemoryError, RecursionError):
        raise ValueError("no literal") from None
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ValueError("no attributes")


class Log:
    """A recorded run: `entries`, of which the first is START and the last END. `save` and `load` make it a file."""

    def __init__(self, entries: tuple[Entry, ...]):
        for entry in entries:
            refuse_other("Log() takes entries of a log, each a vm.log.Entry", entry, Entry)
        kinds = [entry.kind for entry in entries]
        if kinds[:1] != [Kind.START] or kinds[-1] != Kind.END or {Kind.START, Kind.END} & {*kinds[1:-1]}:
            raise LogError("a log begins with its start and ends with its end")
        self.entries = entries

    @property
    def start(self) -> Stamp:
        return self.entries[0].stamp

    @property
    def end(self) -> Stamp:
        return self.entries[-1].stamp

    @property
    def inputs(self) -> int:
        """How many entries came from outside."""
        return sum(entry.kind not in (Kind.START, Kind.CHECKPOINT, Kind.END) for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Log) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(self.entries)

    def __repr__(self) -> str:
        return (f"<Log: steps {self.start.steps:,} to {self.end.steps:,}, {self.inputs} inputs, "
                f"{len(self) - self.inputs} checkpoints>")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file: the whole of it is there in the end, or what was there before."""
        with whole_file(path) as file:
            file.writelines(self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        head = HEAD.pack(MAGIC, VERSION)
        yield head
        checksum = digest(head, b"")
        for entry in self.entries:
            record = entry.packed()
            checksum = digest(record, checksum)
            yield LENGTH.pack(len(record)) + record + checksum

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Log:
        """Read a file that `save` wrote. Raises LogError for one that is damaged, foreign or of a newer version."""
        content = Path(path).read_bytes()
        magic, version = HEAD.unpack_from(content.ljust(HEAD.size, b"\0"))
        if magic != MAGIC:
            raise LogError(f"{path}: this is no log of a recorded machine")
        if version > VERSION:
            raise LogError(f"{path}: a log of version {version}, and this release of vm knows {VERSION}: update it")
        try:
            return cls(tuple(records(content)))
        except LogError as error:
            raise LogError(f"{path}: {error}") from None


def records(content: bytes) -> Iterator[Entry]:
    """The entries of a file whose head was looked at. Raises LogError, which says which entry is damaged."""
    checksum = digest(content[:HEAD.size], b"")
    at, number, entry = HEAD.size, 0, None
    while entry is None or entry.kind is not Kind.END:
        where = f"entry {number}" + (f", behind {entry.stamp}," if entry else "")
        length, = LENGTH.unpack_from(content.ljust(at + LENGTH.size, b"\0"), at)
        begin = at + LENGTH.size
        at = begin + length + DIGEST_BYTES
        if at > len(content) or length > LONGEST_RECORD:
            raise LogError(f"{where} is damaged, or the file was cut short there")
        record = content[begin : begin + length]
        checksum = digest(record, checksum)
        if checksum != content[begin + length : at]:
            raise LogError(f"{where} is damaged, or one was taken away or put in before it")
        try:
            entry = unpacked(record)
        except (ValueError, struct.error):
            raise LogError(f"{where} is of no kind that this release of vm knows") from None
        yield entry
        number += 1
    if at != len(content):
        raise LogError(f"something follows the end of the log ({len(content) - at} bytes)")


def digest(data: bytes, key: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES, key=key).digest()
