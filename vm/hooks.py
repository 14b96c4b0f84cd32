"""Hooks, as whoever set them holds them, and what they are called with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar

from vm_native.riscv.registers import CSR_NAMES

if TYPE_CHECKING:
    from vm.hart import Hart

INTERRUPT = 1 << 63                 # bit of a cause
Event = TypeVar("Event")            # what a hook is called with
DECIMAL = {"size", "access", "device", "hart"}      # of what events have, all else is shown in hexadecimal


class Hook(Generic[Event]):
    """A function that is called when something happens in the guest. Methods of `Machine` like `on_execute` set one.

    It is set until `remove()`, or to the end of a `with` block. It can still be called as the function that it is of.
    """

    def __init__(self, description: str, function: Callable[[Event], object], remove: Callable[[], None]):
        self.description = description
        self.function = function
        self._remove = remove

    def __call__(self, event: Event) -> object:
        return self.function(event)

    def remove(self) -> None:
        """End it. Hooks may, while they are called. Twice is harmless."""
        self._remove()

    def __enter__(self) -> Hook[Event]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def __repr__(self) -> str:
        return f"<Hook: {self.description}: {getattr(self.function, '__qualname__', self.function)}>"


HookSetter = Callable[[Callable[[Event], object]], Hook[Event]]      # a decorator


def described(event: NamedTuple) -> str:
    """An event for people: as Python shows a tuple with names, but that addresses and values are hexadecimal."""
    parts = (f"{name}={value!r}" if name in DECIMAL else f"{name}={value:#x}"
             for name, value in event._asdict().items())
    return f"{type(event).__name__}({', '.join(parts)})"


class MemoryAccess(NamedTuple):
    """An instruction has read or written RAM that somebody watches.

    - address: virtual; physical: where that is in RAM; size: in bytes. Of an operand on two pages there is an access
      for each.
    - value: what was read or written; old: what stood there before. Unsigned; of more than 8 bytes the first 8.
    - pc: virtual address of the instruction, which is done.
    """

    hart: Hart
    access: Literal["read", "write"]
    address: int
    physical: int
    size: int
    value: int
    old: int
    pc: int

    def __repr__(self) -> str:
        return described(self)


class MmioAccess(NamedTuple):
    """An instruction has read or written a device.

    - device: its name on the board. address: physical; size: 1, 2, 4 or 8 bytes.
    - pc: virtual address of the instruction, which is done.
    """

    hart: Hart
    access: Literal["read", "write"]
    device: str
    address: int
    size: int
    value: int
    pc: int

    def __repr__(self) -> str:
        return described(self)


class CsrAccess(NamedTuple):
    """An instruction has read or written a control and status register.

    - value: what it reads as now, old: and before. Where an instruction does both, there is an access for each.
    - pc: virtual address of the instruction, which is done.
    """

    hart: Hart
    access: Literal["read", "write"]
    number: int
    value: int
    old: int
    pc: int

    def __repr__(self) -> str:
        return described(self)

    @property
    def name(self) -> str:
        """As in the manual: "mstatus"."""
        return CSR_NAMES[self.number]


class Trap(NamedTuple):
    """A hart has taken a trap: the next instruction is the first of its handler.

    - cause, value: what mcause and mtval, or scause and stval, say.
    - pc: virtual address of the instruction that trapped, or that the interrupt came before.
    """

    hart: Hart
    cause: int
    value: int
    pc: int

    def __repr__(self) -> str:
        return described(self)

    @property
    def is_interrupt(self) -> bool:
        """Otherwise it is an exception."""
        return self.cause & INTERRUPT != 0
