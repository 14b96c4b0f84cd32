"""Where a machine stands in virtual time, and the states of its harts: what a recorded run is checked by."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from vm.boards.placed import Placed
from vm.clock import Clock
from vm.disks.state import without_disks
from vm.errors import LoadError
from vm.hart import Hart
from vm.log import Stamp
from vm.snapshots.encoding import EncodingError, decode, encode
from vm_native.execution.scheduler import Scheduler
from vm_native.riscv.hart import SCRATCH_SLOTS, NativeHart
from vm_native.riscv.registers import CSR_NUMBERS, F_NAMES

WORD = struct.Struct("<Q")
CHANGE = struct.Struct("<HQ")               # of a hart's state: number of a word, and what it is now
SCRATCH = slice(*(slot * WORD.size for slot in SCRATCH_SLOTS))      # of a state: engines leave anything there
FASTEST = 1                                 # of zlib; most of a state is zeroes
SMALL = 12, 4                               # the same, its window and memory: a larger one takes longer to set up
FEW = 8                                     # registers that a message names


class Whole(NamedTuple):
    """Everything that a program can change of a machine between two runs, but for memory."""

    harts: tuple[bytes, ...]
    time: tuple[int, int]
    devices: dict[str, dict[str, Any]]


class Standing:
    """The harts of one machine, its clock and its devices, and whose turn it is. Exact between slices."""

    def __init__(self, harts: Sequence[Hart], natives: Sequence[NativeHart], clock: Clock, scheduler: Scheduler,
                 devices: Mapping[str, Placed]):
        self._devices = devices
        self.harts = harts
        self._natives = natives
        self._clock = clock
        self._scheduler = scheduler
        self._known: dict[str, dict[str, Any]] = {}     # what was saved last of each device that is deterministic

    @property
    def names(self) -> Collection[str]:
        """Of the devices."""
        return self._devices.keys()

    @property
    def numbers(self) -> Collection[str]:
        """Of the harts."""
        return [str(hart.id) for hart in self.harts]

    def stamp(self, served: int) -> Stamp:
        return Stamp(self._clock.steps, self._clock.now_ns(), served, self._scheduler.current_hart)

    @property
    def waits(self) -> bool:
        """Whether no hart would take a step now."""
        return all(hart.state != "started" for hart in self.harts)

    def states(self) -> tuple[bytes, ...]:
        """The state of each hart, equal where no guest can tell it apart."""
        self._scheduler.settle_harts()
        return tuple(map(settled, self._natives))

    def devices(self) -> dict[str, dict[str, Any]]:
        """What is saved of each device that is deterministic; the same object as before where that has not changed."""
        known = self._known
        for name, (_, device, _, _) in self._devices.items():
            if device.deterministic and (name not in known or device.differs(known[name])):
                known[name] = device.save()
        return dict(known)

    def all(self) -> Whole:
        """As it is now."""
        return Whole(self.states(), self.time(), self.devices())

    def change_device(self, name: str, changes: bytes) -> None:
        """Make a device what it was made while the log was recorded: what `changes_of_device` gave.

        Raises LoadError for what is no state of it.
        """
        try:
            device = self._devices[name].device
            device.load({**device.save(), **decode(changes)})
        except (EncodingError, TypeError, ValueError, LookupError) as error:
            raise LoadError(f"the log holds no change of {name}: {error}") from error

    def time(self) -> tuple[int, int]:
        """What the timebase and the date read."""
        return self._clock.ticks(), self._clock.epoch_ns()

    def set_time(self, ticks: int, epoch_ns: int) -> None:
        self._clock.set_ticks(ticks)
        self._clock.set_epoch_ns(epoch_ns)

    def change(self, number: int, changes: bytes) -> None:
        """Make a hart what it was made while the log was recorded. Raises ValueError for what it cannot be."""
        state = bytearray(self._natives[number].save())
        for word, value in CHANGE.iter_unpack(changes):
            WORD.pack_into(state, word * WORD.size, value)
        self._natives[number].load(bytes(state))

    def difference(self, packed_states: bytes) -> str:
        """How these harts differ from states that were packed, for people; empty where they do not."""
        now = self.states()
        unpacker = zlib.decompressobj()
        try:
            then = unpacker.decompress(packed_states, sum(map(len, now)) + 1)
        except zlib.error:
            return "the states of the harts in the log are damaged"
        if len(then) != sum(map(len, now)):
            return f"the log is of another number of harts than {len(now)}, or of another release of vm"
        told = []
        at = 0
        for hart, state in zip(self.harts, now, strict=True):
            if (wanted := then[at : at + len(state)]) != state:
                told.append(f"hart {hart.id}: {self._registers_that_differ(hart, wanted)}")
            at += len(state)
        return "; ".join(told)

    def _registers_that_differ(self, hart: Hart, wanted: bytes) -> str:
        """By name, as the hart has them and as the log has. It becomes what the log has for a moment to be asked."""
        native = self._natives[hart.id]
        kept = native.save()
        ours = registers(hart)
        try:
            native.load(wanted)
            theirs = registers(hart)
        except ValueError as error:
            return str(error)
        finally:
            native.load(kept)
        differing = [f"{name} is {ours[name]:#x}, recorded {theirs[name]:#x}"
                     for name in ours if ours[name] != theirs[name]]
        more = f" and {len(differing) - FEW} more registers" if len(differing) > FEW else ""
        return ", ".join(differing[:FEW]) + more if differing else "its state beyond registers and CSRs"


def registers(hart: Hart) -> dict[str, int]:
    """All registers of a hart by name, as integers."""
    return {**{name: hart[name] for name in hart.keys()}, "privilege": hart.privilege,      # noqa: SIM118  # no mapping
            **dict(zip(F_NAMES, hart.f_bits, strict=True)), **dict(hart.csr)}


def settled(native: NativeHart) -> bytes:
    """The state of a hart with the lines of its timers up to date, which follow at the next slice at the latest."""
    native.read_csr(CSR_NUMBERS["mip"])
    state = bytearray(native.save())
    state[SCRATCH] = bytes(SCRATCH.stop - SCRATCH.start)
    return bytes(state)


def packed(states: Sequence[bytes]) -> bytes:
    packer = zlib.compressobj(FASTEST, zlib.DEFLATED, *SMALL)
    return packer.compress(b"".join(states)) + packer.flush()


def changes_of(before: bytes, after: bytes) -> bytes:
    """What `Standing.change` takes: the words of a state that are not what they were."""
    words = zip(WORD.iter_unpack(before), WORD.iter_unpack(after), strict=True)
    return b"".join(CHANGE.pack(number, new) for number, ((old,), (new,)) in enumerate(words) if old != new)


def changes_of_device(before: dict[str, Any], after: dict[str, Any]) -> bytes:
    """The attributes that are not what they were, in the encoding of vm.snapshots."""
    return encode(without_disks({name: value for name, value in after.items() if value != before[name]}))
