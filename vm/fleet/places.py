"""How an input gets into a guest, and where its run is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from vm.arguments import whole_number
from vm.errors import BusError, ConfigurationError, PageFault
from vm.sizes import PAGE_SIZE
from vm_native.riscv.registers import X_NUMBERS

if TYPE_CHECKING:
    from vm.hart import Hart
    from vm.machine import Machine

Location = int | str                    # an address, a symbol, or a register that holds an address
LONGEST = 4096                          # bytes of an input, where nothing says how many there may be
ARGUMENTS = tuple(f"a{number}" for number in range(8))      # RISC-V ELF psABI, "Integer Calling Convention"
STACK_ALIGNMENT = 16


class Bound(NamedTuple):
    """A place on one machine: `put` puts an input of at most `longest` bytes there; a run is over at `done`.

    `prepare` is called before, at the snapshot: what it does is the same for all inputs. `is_memory`: neither touches
    anything but RAM and registers.
    """

    put: Callable[[bytes], object]
    longest: int
    done: tuple[int, ...] = ()
    prepare: Callable[[], object] = lambda: None
    is_memory: bool = False


class Place(Protocol):
    """What an input is put into the guest by; a function (machine, data) will do, too."""

    def bind(self, machine: Machine) -> Bound:
        """For a machine that stands at the snapshot. Raises ConfigurationError."""


@dataclass(frozen=True)
class Buffer:
    """An input is written to guest memory, and its length somewhere else, before the guest goes on.

    - where: of the first byte: a virtual address, a symbol, or a register that points there, as "a0".
    - size: where the length goes: a register, as "a1"; a symbol or an address; None, nowhere.
    - capacity: bytes there, the longest input; that of the symbol, where there is one.
    - size_bytes: how wide the length is in memory, little-endian.
    """

    where: Location
    size: Location | None = None
    capacity: int | None = None
    size_bytes: int = 8

    def bind(self, machine: Machine) -> Bound:
        hart = machine.harts[0]
        capacity = capacity_of(machine, self.where, self.capacity)
        write = writer(machine, address_of(machine, self.where), capacity)
        if self.size is None:
            return Bound(write, capacity, is_memory=True)
        tell = length_writer(machine, hart, self.size, self.size_bytes)

        def put(data: bytes) -> None:
            write(data)
            tell(len(data))

        return Bound(put, capacity, is_memory=True)


@dataclass(frozen=True)
class Call:
    """A function of the guest is called with each input, from where the snapshot was taken; its return ends the run.

    - function: a symbol, or an address.
    - arguments: "data" and "size" for the input's address and length; symbols for their addresses; numbers.
    - at: where the input is written: an address or a symbol.
    - capacity: bytes there; that of the symbol, where there is one.
    - back: where the function returns to, which ends the run: an address at which the guest executes nothing by itself.
      By default that is the entry of the program, where one is known, or else where the hart stands.

    It is the first hart that makes the call, on the stack that it has there.
    """

    function: int | str
    arguments: tuple[int | str, ...] = ("data", "size")
    at: Location = 0
    capacity: int | None = None
    back: Location | None = None

    def bind(self, machine: Machine) -> Bound:
        if len(self.arguments) > len(ARGUMENTS):
            raise ConfigurationError(f"{len(self.arguments)} arguments: a call here has at most {len(ARGUMENTS)}")
        hart = machine.harts[0]
        capacity = capacity_of(machine, self.at, self.capacity)
        at, function = address_of(machine, self.at), address_of(machine, self.function)
        write = writer(machine, at, capacity)
        back = self._back(machine)
        fixed = {"ra": back, "sp": hart["sp"] & -STACK_ALIGNMENT, "pc": function}
        lengths = []
        for register, argument in zip(ARGUMENTS, self.arguments, strict=False):
            if argument == "size":
                lengths.append(X_NUMBERS[register])
            else:
                fixed[register] = at if argument == "data" else address_of(machine, argument)

        def prepare() -> None:
            for register, value in fixed.items():
                hart[register] = value

        def put(data: bytes) -> None:
            write(data)
            for register in lengths:
                hart.x[register] = len(data)

        return Bound(put, capacity, (back,), prepare, is_memory=True)

    def _back(self, machine: Machine) -> int:
        if self.back is not None:
            return address_of(machine, self.back)
        return machine.harts[0].pc if machine.program is None else machine.program.entry


def bind(place: Place | Callable[[Machine, bytes], object], machine: Machine, longest: int | None) -> Bound:
    """`longest`: no input is longer, whatever fits there."""
    bound = place.bind(machine) if hasattr(place, "bind") else Bound(partial(place, machine), longest or LONGEST)
    return bound if longest is None else bound._replace(longest=min(bound.longest, longest))


def address_of(machine: Machine, location: Location) -> int:
    """Of a register what it holds, of a symbol where it is. Raises ConfigurationError."""
    if not isinstance(location, str):
        return whole_number("address", location)
    if location in X_NUMBERS:
        return machine.harts[0][location]
    return machine._address_of(location)


def capacity_of(machine: Machine, location: Location, said: int | None) -> int:
    if said is not None:
        capacity = whole_number("capacity", said)
    elif isinstance(location, str) and location not in X_NUMBERS:
        capacity = machine._named(location).size
    else:
        capacity = 0
    if capacity < 1:
        where = f"{location:#x}" if isinstance(location, int) else repr(location)
        raise ConfigurationError(f"{where}: say how many bytes of an input there is room for, as capacity=1024 "
                                 "(--capacity 1024)")
    return capacity


def writer(machine: Machine, address: int, capacity: int) -> Callable[[bytes], object]:
    """What writes bytes to a virtual address, as the first hart has it. Raises ConfigurationError."""
    pieces: list[tuple[int, int]] = []          # physical address and size
    hart, end = machine.harts[0], address + capacity
    while address < end:
        size = min(PAGE_SIZE - address % PAGE_SIZE, end - address)
        try:
            physical = hart.virtual.physical(address, "write")
            machine.memory.view(physical, size)
        except (BusError, PageFault) as error:
            raise ConfigurationError(f"an input cannot be written there: {error}") from error
        if pieces and sum(pieces[-1]) == physical:
            pieces[-1] = pieces[-1][0], pieces[-1][1] + size
        else:
            pieces.append((physical, size))
        address += size
    if len(pieces) == 1:
        return partial(machine.memory.write, pieces[0][0])

    def write(data: bytes) -> None:
        at = 0
        for physical, size in pieces:
            if at < len(data):
                machine.memory.write(physical, data[at:at + size])
            at += size

    return write


def length_writer(machine: Machine, hart: Hart, location: Location, size: int) -> Callable[[int], object]:
    if isinstance(location, str) and location in X_NUMBERS:
        number = X_NUMBERS[location]

        def set_register(length: int) -> None:
            hart.x[number] = length

        return set_register
    write = writer(machine, address_of(machine, location), size)
    return lambda length: write(length.to_bytes(size, "little"))
