"""The protocol of every device: registers, wiring, events and saved state.

A device is a class whose methods carry their register offsets:

    class Counter(Device):
        compatible = "example,counter"
        size = 0x1000
        state = ("value",)

        @reads(0x00)                                    # one register: method(self)
        def read_value(self) -> int: ...

        @writes(0x100, count=8, stride=4)               # eight alike: method(self, index, value)
        def write_slot(self, index: int, value: int) -> None: ...

        @reads(0x200, 0x300)                            # a block of bytes: method(self, offset in the block, size)
        def read_bytes(self, offset: int, size: int) -> int: ...

Access sizes. The bus asks for 1, 2, 4 or 8 bytes. An access of a register's own width (`Device.width`, or `width=` of
the register) at its offset costs one dict lookup. Any other is taken apart into byte lanes, little-endian:

- wider than the register: the registers it covers are accessed one by one, lowest offset first, so that eight bytes
  reach a pair of four-byte registers. With `splits = False` only the first of them is reached, zero-extended: an
  eight-bit device on the low byte lane of a wide bus, as QEMU has its UART;
- narrower: a read extracts its lanes of the whole register; a write carries zeros in the other lanes, or, for a
  register declared with `merge=True`, what the register reads as;
- a block takes every access that lies within it, whatever its size.

What no register serves reads as zero, ignores writes, and is logged once per offset to the logger `vm.devices`.

Steady accesses. With `steady=True` a register says that reading it changes nothing, and that it reads the same until
the device changes: what a guest polls, as a status. The core then answers such a read, of the register's own width,
with what the method gave last. It asks again after each access to a device that is not declared steady, after events,
and after all else that happens between the instructions of a run, as input; so in general nothing is to be done. What
is steady only mostly, as a read that takes something if there is something, calls `self.changed()` where it changes
anything. So does a device that others change while the guest accesses them, as an interrupt controller, and a method
of a write that is declared steady: one that changes no register in general.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

from vm.devices.interrupt import InterruptLine
from vm.errors import ConfigurationError
from vm.state import Stateful
from vm_native.memory.device_value import whole_number

if TYPE_CHECKING:
    from vm.clock import Clock
    from vm.events import EventQueue
    from vm.memory import Memory

log = logging.getLogger("vm.devices")

LOGGED_OFFSETS = 256                # per device: a guest that scans a device must not fill the host's memory

Method = TypeVar("Method", bound=Callable[..., Any])


class TreeContext(NamedTuple):
    """What a device's node in the device tree may say of others, which it names by their phandles."""

    phandle: int                            # the device's own, for a node that others name: it is in `tree_properties`
    hart_controllers: tuple[int, ...]       # the interrupt controller of each hart
    others: Mapping[int, int] = {}          # of the devices in the tree, by their identity

    def to_harts(self, *interrupts: int) -> list[int]:
        """`interrupts-extended` of a device that drives these interrupts of every hart."""
        return [cell for phandle in self.hart_controllers for interrupt in interrupts for cell in (phandle, interrupt)]

    def to_device(self, device: Device) -> int:
        """The phandle of another device in the tree, whose node has to say it."""
        return self.others[id(device)]


@dataclass(frozen=True)
class _Register:
    start: int
    stop: int | None                # the end of a block; None: a register
    width: int | None               # None: the device's width
    count: int | str | None         # of registers alike, or the attribute that holds it; None: a single one
    stride: int
    writes: bool
    merge: bool
    steady: bool
    timebase: bool

    def __post_init__(self) -> None:
        if self.stop is not None and (self.steady or self.timebase):
            raise ConfigurationError(f"the block from {self.start:#x} on: only a register can be steady, or the "
                                     "timebase")


def nothing_remembered() -> None:
    """Of a device on no bus."""


def reads(start: int, stop: int | None = None, *, width: int | None = None, count: int | str | None = None,
          stride: int = 4, steady: bool = False, timebase: bool = False) -> Callable[[Method], Method]:
    """The method serves reads of a register, of `count` ones `stride` bytes apart, or of the block [start, stop).

    `steady`: what it gives stays the same until the device changes; `timebase`: it gives `self.clock.ticks()`. See
    "Steady accesses" above.
    """
    return _declare(_Register(start, stop, width, count, stride, writes=False, merge=False, steady=steady,
                              timebase=timebase))


def writes(start: int, stop: int | None = None, *, width: int | None = None, count: int | str | None = None,
           stride: int = 4, merge: bool = False, steady: bool = False) -> Callable[[Method], Method]:
    """The same for writes, where the value is the method's last argument.

    With `merge`, a write narrower than the register keeps the register's other bytes. With `steady` it changes what no
    steady register reads as, of this device or another, unless `changed` is called.
    """
    return _declare(_Register(start, stop, width, count, stride, writes=True, merge=merge, steady=steady,
                              timebase=False))


def _declare(register: _Register) -> Callable[[Method], Method]:
    def declare(method: Method) -> Method:
        method.__dict__.setdefault("registers", []).append(register)
        return method
    return declare


class SteadyAccesses(NamedTuple):
    """By offset << 4 | width: the reads that give the same until the device changes, those that give the timebase, and
    the writes that change no register."""

    reads: frozenset[int] = frozenset()
    timebase: frozenset[int] = frozenset()
    writes: frozenset[int] = frozenset()


class _RegisterMap:
    """Which method serves what, for devices of one class with the same numbers of registers. Tables name methods, with
    the index of a register among those alike, or None."""

    def __init__(self, device: Device):
        self.readers: dict[int, tuple[str, int | None]] = {}        # by offset << 4 | width
        self.writers: dict[int, tuple[str, int | None]] = {}
        self.read_blocks: list[tuple[int, int, str]] = []           # start, stop
        self.write_blocks: list[tuple[int, int, str]] = []
        self.merging: set[int] = set()
        self.widths: set[int] = set()
        steady: dict[str, set[int]] = {kind: set() for kind in SteadyAccesses._fields}
        for name, registers in device._declared.items():
            for register in registers:
                self._serve(register, name, device, steady)
        self.steady = SteadyAccesses(**{kind: frozenset(keys) for kind, keys in steady.items()})

    def _serve(self, register: _Register, name: str, device: Device, steady: dict[str, set[int]]) -> None:
        if register.stop is not None:
            blocks = self.write_blocks if register.writes else self.read_blocks
            blocks.append((register.start, register.stop, name))
            return
        width = register.width or device.width
        table = self.writers if register.writes else self.readers
        count = getattr(device, register.count) if isinstance(register.count, str) else register.count
        promises = hasattr(getattr(type(device), name), "registers")      # not one that overrides it and says nothing
        for index in range(1 if count is None else count):
            key = register.start + index * register.stride << 4 | width
            if key in table:
                raise ConfigurationError(f"{type(device).__name__}: {table[key][0]} and {name} both serve "
                                         f"{'writes' if register.writes else 'reads'} of the register at "
                                         f"{key >> 4:#x}; a subclass overrides a method under its own name")
            table[key] = name, None if count is None else index
            if register.merge:
                self.merging.add(key)
            if register.steady and promises:
                steady["writes" if register.writes else "reads"].add(key)
            if register.timebase and promises:
                steady["timebase"].add(key)
        self.widths.add(width)

    def covering(self, table: dict[int, Any], offset: int) -> int | None:
        """The key of the register that holds the byte at `offset`; registers are aligned to their width."""
        for width in self.widths:
            key = (offset & -width) << 4 | width
            if key in table:
                return key
        return None


class Device(Stateful):
    """A memory-mapped device. It sees its clock, event queue, guest memory and interrupt line; never the machine.

    The board owns the device: it calls `connect` before first use, and `close` when the machine is done with it. A
    device owns only host resources (files) that it opened or was given for keeps, and releases them in `close`.

    A subclass calls `super().__init__()` after setting the attributes that its `count="..."` registers name. Then the
    constructor brings it to its power-on state, in general by `reset()`. Two methods for one register are an error.
    """

    compatible: str = ""            # device-tree binding, most specific first, NUL between several; empty: no node
    node_name: str = ""             # what the node is called, the address left out; empty: the class's name
    size: int = 0x1000              # bytes of MMIO space
    width: int = 4                  # bytes of a register that does not say otherwise
    splits: bool = True             # an access wider than a register goes on to the next one
    level_triggered: bool = True    # the line asks again after each interrupt for as long as it is high; False: only
                                    # if it was driven high anew meanwhile, as QEMU's devices do
    deterministic: bool = True      # its answers follow from what the guest did; False: a recorded run has them written
                                    # down, and its interrupts, DMA and events
    state: tuple[str, ...] = ()     # attributes that make up the saved state; the level of `irq` is always part of it
    setup: tuple[str, ...] = ()     # constructor arguments, which are attributes of the same names: see `arguments`
    unsaved: tuple[str, ...] = ("clock", "events", "memory", "irq", "_where", "_map", "_readers", "_writers",
                                "_logged", "_forget")      # see `vm.state.Stateful`

    clock: Clock                    # guest time; this and the two below are there from `attach` on
    events: EventQueue              # what it will do later
    memory: Memory                  # RAM, as the bus gives it to devices
    irq: InterruptLine              # its line: `raise_()`, `lower()`, `set(level)`, `level`

    _declared: ClassVar[dict[str, list[_Register]]] = {}
    _maps: ClassVar[dict[object, _RegisterMap]] = {}        # of the class, by layout
    _layout: ClassVar[Any] = staticmethod(attrgetter("width"))      # the width, and how many registers alike there are
    _where = ""                     # it stands: empty before it is attached
    _forget: Callable[[], None] = staticmethod(nothing_remembered)      # what others know of its registers

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = {name: member.registers for name, member in vars(cls).items() if hasattr(member, "registers")}
        cls._declared = cls._declared | own
        cls._maps = {}
        cls._layout = staticmethod(attrgetter("width", *{
            register.count for registers in cls._declared.values() for register in registers
            if isinstance(register.count, str)}))

    def __init__(self) -> None:
        self.irq = InterruptLine()
        self._readers: dict[int, Callable[[], int]] = {}            # by offset << 4 | width, of those used so far
        self._writers: dict[int, Callable[[int], None]] = {}
        self._logged: set[tuple[bool, int]] = set()
        layout = self._layout(self)
        self._map = self._maps.get(layout) or self._map_registers(layout)

    def _map_registers(self, layout: object) -> _RegisterMap:
        """The map of this class and others of its layout, made for the first of them."""
        made = self._maps[layout] = _RegisterMap(self)
        return made

    def connect(self, *, clock: Clock | None = None, events: EventQueue | None = None, memory: Memory | None = None,
                irq: InterruptLine | None = None, place: str | None = None) -> None:
        """Wire the device. What is left out stays as it is; without an interrupt line it drives one nobody hears.

        `place` is where it stands, for people.
        """
        if clock is not None:
            self.clock = clock
        if events is not None:
            self.events = events
        if memory is not None:
            self.memory = memory
        if irq is not None:
            self.irq = irq
        if place is not None:
            self._where = place

    def disconnect(self) -> None:
        """Take the wires away, when the device leaves the board: in its power-on state, as before `connect`."""
        self.reset()
        for wire in ("clock", "events", "memory"):
            vars(self).pop(wire, None)
        vars(self).pop("_forget", None)
        self.irq = InterruptLine()
        self._where = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{self._where}>"

    def let_core_answer(self, forget: Callable[[], None]) -> SteadyAccesses | None:
        """The bus asks what it may remember; from then on `changed` calls `forget`. None: nothing.

        A device that has a `read` or `write` of its own is asked each time, and so is one whose instance has a method
        of a register that its class has not.
        """
        self._forget = forget
        methods = (self.read, Device.read), (self.write, Device.write)
        own = any(getattr(method, "__func__", None) is not general for method, general in methods)
        own |= not self._declared.keys().isdisjoint(vars(self))
        return None if own else self._map.steady

    def register_method(self, offset: int, size: int, writes: bool) -> Callable[..., Any] | None:
        """What serves an access, if that is to a register, in its own width: the bus calls it from then on."""
        key = offset << 4 | size
        if writes:
            return self._writer(key) if key in self._map.writers else None
        return self._reader(key) if key in self._map.readers else None

    def changed(self) -> None:
        """A steady register may read otherwise now: for changes in a steady access, and by somebody else's hand."""
        self._forget()

    # --- Device tree -------------------------------------------------------------------------------------------------

    def tree_properties(self, context: TreeContext) -> dict[str, Any]:
        """What the device's node holds beyond `compatible`, `reg` and its interrupt, as the binding demands.

        A number is a cell, a list of them several; strings and bytes stay as they are, None is a property without a
        value.
        """
        return {}

    def interrupt_specifier(self, source: int) -> int | list[int]:
        """`interrupts` of a device whose line leads to this source of an interrupt controller."""
        return source

    def root_nodes(self, context: TreeContext) -> dict[str, dict[str, Any]]:
        """Nodes at the root of the tree that the device brings along: properties by the node's name."""
        return {}

    # --- Access ------------------------------------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        """What the guest reads: `size` bytes (1, 2, 4 or 8) at `offset`, as an unsigned number."""
        method = self._readers.get(offset << 4 | size)
        return self._read_first(offset, size) if method is None else method()

    def write(self, offset: int, size: int, value: int) -> None:
        """The guest writes `size` bytes at `offset`; `value` is unsigned and fits them."""
        method = self._writers.get(offset << 4 | size)
        if method is None:
            self._write_first(offset, size, value)
        else:
            method(value)

    def _read_first(self, offset: int, size: int) -> int:
        """An access that no register has served yet; if it is a register's own, the next will find that at once."""
        key = offset << 4 | size
        return self._reader(key)() if key in self._map.readers else self._read_lanes(offset, size)

    def _write_first(self, offset: int, size: int, value: int) -> None:
        key = offset << 4 | size
        if key in self._map.writers:
            self._writer(key)(value)
        else:
            self._write_lanes(offset, size, value)

    def _reader(self, key: int) -> Callable[[], int]:
        if key not in self._readers:
            self._readers[key] = self._bound(*self._map.readers[key])
        return self._readers[key]

    def _writer(self, key: int) -> Callable[[int], None]:
        if key not in self._writers:
            self._writers[key] = self._bound(*self._map.writers[key])
        return self._writers[key]

    def _bound(self, name: str, index: int | None) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self, name)
        return method if index is None else partial(method, index)

    def _read_lanes(self, offset: int, size: int) -> int:
        for start, stop, name in self._map.read_blocks:
            if start <= offset and offset + size <= stop:
                value: int = getattr(self, name)(offset - start, size)
                return value
        lanes = lane = 0
        served = False
        while lane < size and (self.splits or not served):
            key = self._map.covering(self._map.readers, offset + lane)
            if key is None:
                lane += 1
                continue
            skip = offset + lane - (key >> 4)
            taken = min((key & 15) - skip, size - lane)
            lanes |= (self._whole(key) >> 8 * skip & (1 << 8 * taken) - 1) << 8 * lane
            lane += taken
            served = True
        if not served:
            self._unserved(offset, size, writes=False)
        return lanes

    def _write_lanes(self, offset: int, size: int, value: int) -> None:
        for start, stop, name in self._map.write_blocks:
            if start <= offset and offset + size <= stop:
                getattr(self, name)(offset - start, size, value)
                return
        lane = 0
        served = False
        while lane < size and (self.splits or not served):
            key = self._map.covering(self._map.writers, offset + lane)
            if key is None:
                lane += 1
                continue
            skip = offset + lane - (key >> 4)
            taken = min((key & 15) - skip, size - lane)
            mask = (1 << 8 * taken) - 1
            part = (value >> 8 * lane & mask) << 8 * skip
            if taken < key & 15 and key in self._map.merging:
                part |= self._whole(key) & ~(mask << 8 * skip)
            self._writer(key)(part)
            lane += taken
            served = True
        if not served:
            self._unserved(offset, size, writes=True)

    def _whole(self, key: int) -> int:
        """What a register reads as; what its method returns is looked at, as the bus does with the whole access."""
        return whole_number(self, key >> 4, key & 15, self._reader(key)())

    def _unserved(self, offset: int, size: int, *, writes: bool) -> None:
        if len(self._logged) < LOGGED_OFFSETS and (writes, offset) not in self._logged:
            self._logged.add((writes, offset))
            log.info("%s: no register for a %d-byte %s at offset %#x",
                     type(self).__name__, size, "write" if writes else "read", offset)

    # --- Life --------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Back to the power-on state, which is the constructor's too. Host resources stay; the line falls.

        When a machine resets its devices it has forgotten all their events.
        """
        self.irq.lower()

    def on_event(self, event: int, data: int) -> None:
        """An event that the device scheduled is due."""
        raise NotImplementedError(f"{type(self).__name__} schedules no events")

    def renew(self, identity: int) -> None:
        """The machine has become another one than that which it is a fork of; `identity` has 128 bits.

        What tells two computers apart, as the seed of what is random, follows from it from now on.
        """

    def close(self) -> None:
        """Release host resources. The device is not used afterwards; closing twice is harmless."""

    # --- Saved state -------------------------------------------------------------------------------------------------

    @classmethod
    def _places(cls) -> dict[str, str]:
        return super()._places() | {"irq": "irq.level"}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `save` gave. No line moves and no event is scheduled: the machine restores all devices, the
        harts' pending interrupts and the event queue together, each from its own saved state."""
        super().load(saved)
        self.irq.level = saved["irq"]

    @property
    def made_by_setup(self) -> bool:
        """Whether the values of `setup` are all that it takes to make another one, and nothing of the host."""
        return True

    def arguments(self) -> dict[str, Any]:
        """What the constructor is called with for another one like it: the values of `setup`, by name."""
        return {name: getattr(self, name) for name in self.setup}

    def twin(self) -> Device:
        """Another device like this one, as its constructor makes it: not attached, in its power-on state.

        Raises ConfigurationError where `setup` does not name what the constructor takes. Arguments that are named in
        `unsaved` are left out: the board connects the new device anew.
        """
        refuse_unnamed_arguments(type(self))
        return type(self)(**self.arguments())


def refuse_unnamed_arguments(kind: type[Device]) -> None:
    """Raise ConfigurationError where `setup` does not say how another device of this kind is made."""
    arguments = inspect.signature(kind).parameters.values()
    collecting = [one for one in arguments if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    for one in arguments:
        if one in collecting:
            lost = not kind.setup
        else:
            lost = one.name not in kind.setup and (one.name not in kind.unsaved or one.default is one.empty)
        if lost:
            raise ConfigurationError(f"{kind.__name__}: no other can be made like it, since `setup` does not name the "
                                     f"argument {one.name!r} of its constructor: keep that as an attribute of the same "
                                     f"name, and say setup = ({one.name!r},)")
    for name in kind.setup:
        if not collecting and name not in [one.name for one in arguments]:
            raise ConfigurationError(f"{kind.__name__}: `setup` names {name!r}, which its constructor does not take")
