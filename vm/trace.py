"""Traces: what the engines write down, as NumPy arrays and files."""

from __future__ import annotations

from collections.abc import Callable
from errno import ESPIPE
from io import FileIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vm.arguments import one_of, whole_number
from vm.display import html_table
from vm.errors import ConfigurationError
from vm.privilege import WORDS, Privilege
from vm.scatter import scatter
from vm.scope import start_recorder
from vm.whole_file import naming
from vm_native.execution.native_recorder import FULL_WITH_ROOM_FOR, RECORD_OFFSETS, RECORD_SIZES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vm.scope import Scope
    from vm_native.execution.native_machine import NativeMachine

Kind = Literal["instructions", "blocks", "branches", "memory", "traps", "mmio"]
WhenFull = Literal["stop", "drop-oldest"]
Consumer = Callable[["NDArray[Any]"], object]

MOST_CAPACITY = 1 << 40
LEAST_CAPACITY = 2 * FULL_WITH_ROOM_FOR     # records
NPY_MAGIC = b"\x93NUMPY\x01\x00"
NPY_HEADER_BYTES = 1024             # whatever the number in it
SHOWN_ROWS = 10


def fields(kind: str, **names: tuple[str, str]) -> np.dtype[Any]:
    """A record of this kind by names, what they are called in `Record` of vm_native/machine.pxd, and formats."""
    every = {"pc": ("pc", "<u8"), "step": ("step", "<u8"), "hart": ("hart", "u1"), "privilege": ("privilege", "u1")}
    rows = sorted(((RECORD_OFFSETS[place], name, form) for name, (place, form) in (every | names).items()))
    offsets, in_order, formats = zip(*rows, strict=True)        # in the order which a NumPy file demands
    return np.dtype({"names": in_order, "formats": formats, "offsets": offsets, "itemsize": RECORD_SIZES[kind]})


ACCESS = {"size": ("detail", "u1"), "access": ("access", "u1"), "address": ("address", "<u8"),
          "value": ("value", "<u8")}
DTYPES: dict[str, np.dtype[Any]] = {
    "instructions": fields("instructions", instruction=("word", "<u4"), register=("detail", "u1"),
                           trapped=("access", "?"), value=("value", "<u8")),
    "blocks": fields("blocks"),
    "branches": fields("branches", taken=("detail", "?"), target=("address", "<u8")),
    "memory": fields("memory", **ACCESS),
    "traps": fields("traps", cause=("address", "<u8"), value=("value", "<u8")),
    "mmio": fields("mmio", **ACCESS),
}
HEXADECIMAL = {"pc", "target", "address", "value", "instruction", "cause"}


class Trace:
    """What is recorded from `Machine.trace` until `stop()`, or to the end of a `with` block.

    Each record has the virtual `pc` of an instruction, the machine's `step` before it, the `hart` and its `privilege`.
    [A table](how-to/traces.md#fields) has what else there is, by kind.
    """

    def __init__(self, native: NativeMachine, kind: Kind, addresses: range, scope: Scope, capacity: int,
                 limit: int | None, when_full: WhenFull, file: str | PathLike[str] | None, consumer: Consumer | None,
                 refuse: Callable[[str], None], ended: Callable[[Trace], None]):
        """As `Machine.trace` has it. Raises ConfigurationError; OSError where the file cannot be written.

        - refuse(what): raises where a recorder cannot be changed now. ended(trace): it is over.
        """
        kind, when_full = one_of("kind", kind, Kind), one_of("when_full", when_full, WhenFull)
        if file is not None and consumer is not None:
            raise ConfigurationError("file= and consumer=: records go to one of them")
        if (file is not None or consumer is not None) and when_full != "stop":
            raise ConfigurationError(f"when_full={when_full!r}: a trace into a file has all of it")
        if consumer is not None and not callable(consumer):
            raise ConfigurationError(f"consumer={consumer!r}: it is called with an array of records")
        if file is not None and not isinstance(file, (str, PathLike)):
            raise ConfigurationError(f"file={file!r}: the path of a file to write")
        capacity = whole_number("capacity", capacity)
        if not LEAST_CAPACITY <= capacity <= MOST_CAPACITY:
            raise ConfigurationError(f"capacity={capacity}: from {LEAST_CAPACITY} to {MOST_CAPACITY:,} records")
        if limit is not None and whole_number("limit", limit) < 1:
            raise ConfigurationError(f"limit={limit}: at least one record")
        if limit is not None and when_full != "stop":
            raise ConfigurationError(f"limit= and when_full={when_full!r}: such a trace lets the run go on")
        self.kind = kind
        self._limit = limit
        self.nears_limit = False            # the run looks behind each instruction
        self.file = None if file is None else Path(file)
        self._dtype = DTYPES[kind]
        self._capacity = capacity
        self._refuse = refuse
        self._ended = ended
        self._written = 0
        self._giving = False
        self._consumer = consumer
        self._stream: FileIO | None = None
        self._native = start_recorder("trace", native, kind, addresses, scope, capacity=capacity,
                                      ring=when_full == "drop-oldest")
        self._native.limit_to(self._left())
        if self.file is not None:
            try:
                self._stream = FileIO(self.file, "wb")
                if not self._stream.seekable():
                    raise OSError(ESPIPE, "cannot go back in it; a trace needs a regular file", str(self.file))
                self._write(0, npy_header(self._dtype, 0))
            except BaseException:
                self._native.stop()
                raise

    @property
    def array(self) -> NDArray[Any]:
        """The records, a structured array in the order of time, which can only be read.

        It is a view of the buffer, and shows what is recorded there later; where the oldest records were overwritten it
        is a copy. Of a trace into a file, it is what is not there yet; after `stop` it is the file's content.
        """
        if self.file is not None and self._stream is None:
            return np.load(self.file, mmap_mode="r") if self._written else np.empty(0, self._dtype)
        records = np.frombuffer(self._native, self._dtype)
        count = self._native.count
        newest = records[:count]
        if self._native.wrapped:
            newest = np.concatenate((records[count + 1:], newest))
        return newest[-self._capacity:]

    def __len__(self) -> int:
        """How many records there are, in the file too, or with the consumer."""
        return self._written + (0 if self.file is not None and self._stream is None else len(self.array))

    @property
    def dropped(self) -> int:
        """How many of the oldest records were overwritten."""
        return self._native.dropped

    @property
    def is_full(self) -> bool:
        """Whether runs stop because there is no room for more, or as many as `limit=` says: `clear` makes room."""
        return self._native.full

    def clear(self) -> None:
        """Forget what is recorded, but what is in a file. Raises MachineBusy while the machine runs."""
        self._refuse("clear")
        self._native.clear()
        self._native.limit_to(self._left())

    def stop(self) -> None:
        """Record no more; what is recorded stays. Twice is harmless: it tries again to write what it could not.

        Raises MachineBusy while the machine runs, but in a hook.
        """
        self._refuse("stop")
        self._native.stop()
        self._ended(self)
        self._give()
        if self._stream is not None:
            self._write(0, npy_header(self._dtype, self._written))
            self._stream.close()
            self._stream = None

    def flush(self) -> bool:
        """Give what is recorded to the file or the consumer; False where there is none, or it wants no more.

        Raises MachineBusy while the machine runs, but in a hook.
        """
        self._refuse("flush")
        return self._give()

    def make_room(self) -> bool:
        """As `flush`, for the run itself, between two slices; where it needs none, the next instruction is a slice."""
        if self._limit is None or self._giving:
            return self._give()
        left = self._limit - self._written
        if left <= 0:
            return False
        if left > self._capacity - FULL_WITH_ROOM_FOR:
            return self._give()
        if self._native.count < left:
            self.nears_limit = True
            self._native.limit_to(self._capacity)
            return True
        if self._stream is not None or self._consumer is not None:
            self._give()
        return False

    def reaches_limit(self) -> bool:
        """Whether `limit=` ends the run here, behind an instruction that was a slice since it was near."""
        self.nears_limit = False
        self._native.limit_to(self._left())
        return self._native.full and not self.make_room()

    def _left(self) -> int:
        """How many records the buffer is to take: it refuses more than it can."""
        return self._capacity if self._limit is None else min(max(self._limit - self._written, 0), self._capacity)

    def _give(self) -> bool:
        """To the file or the consumer."""
        if (self._stream is None and self._consumer is None) or self._giving:
            return False                    # a consumer has called what leads here
        records = self.array
        self._giving = True
        try:
            if self._stream is not None:
                self._write(NPY_HEADER_BYTES + self._written * self._dtype.itemsize, records.tobytes())
            more = self._consumer is None or self._consumer(records) is not False
        finally:
            self._giving = False
        self._written += len(records)
        self._native.clear()
        self._native.limit_to(self._left())
        return more

    def _write(self, place: int, data: bytes) -> None:
        """Into the file. Where that fails, to write the same again goes on as if nothing had been written."""
        assert self._stream is not None and self.file is not None
        with naming(self.file):
            self._stream.seek(place)
            left = memoryview(data)
            while left:
                left = left[self._stream.write(left):]

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = "" if self.file is None else f" in {self.file}"
        return f"<Trace of {self.kind}: {len(self):,} records{where}>"

    def svg(self) -> str:
        """A picture: steps go right, and addresses up: those that are accessed, else those of instructions. Pages in
        which nothing is are left out.
        """
        records = self.array
        accesses = self.kind in ("memory", "mmio")
        groups = records["access"] - 1 if accesses else np.searchsorted(list(Privilege), records["privilege"])
        return scatter(records["step"], records["address" if accesses else "pc"], groups,
                       ("read", "write", "both") if accesses else tuple(WORDS), repr(self)[1:-1])

    def _repr_html_(self) -> str:
        rows = [(f"step {row['step']}", ", ".join(f"{name} {shown(name, row[name])}" for name in row.dtype.names
                                                  if name != "step")) for row in self.array[:SHOWN_ROWS]]
        return self.svg() + html_table(f"the first {len(rows)}", rows)


def shown(name: str, value: Any) -> str:
    return f"{value:#x}" if name in HEXADECIMAL else str(value)


def npy_header(dtype: np.dtype[Any], count: int) -> bytes:
    """The beginning of a .npy file, always as long: format version 1.0 of numpy.lib.format."""
    text = repr({"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)}).encode()
    room = NPY_HEADER_BYTES - len(NPY_MAGIC) - 2
    return NPY_MAGIC + room.to_bytes(2, "little") + text.ljust(room - 1) + b"\n"
