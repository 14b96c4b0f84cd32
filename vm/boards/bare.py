"""A board with nothing on it: harts and a clock. Memory and devices stand where the program that uses it puts them.

There is no boot ROM, no device tree and no interrupt controller. A trap goes to `mtvec`, which is TRAP_VECTOR until the
guest sets another: no memory can be there, so a trap that nobody handles ends the run with `trap-loop`, and the stop
says which trap it was and where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vm.boards.placed import DevicesOfBoard, Placed
from vm.boards.regions import MappedMemory, refuse_place
from vm.boards.virt import refuse_unfit
from vm.devices.base import Device
from vm.errors import ConfigurationError, LoadError
from vm.loaders.common import Range

if TYPE_CHECKING:
    from vm.clock import Clock
    from vm.events import EventQueue
    from vm.memory import Memory

TRAP_VECTOR = (1 << 64) - 4     # above all physical addresses


class Bare(DevicesOfBoard):
    """The board, wired as `Virt` is; `devices` maps a name to a `Placed`."""

    def __init__(self, clock: Clock, events: EventQueue, memory: Memory):
        self._ram: MappedMemory | None = None
        self._events = events
        self._wiring: dict[str, Any] = {"clock": clock, "events": events, "memory": memory}
        self.devices: dict[str, Placed] = {}

    def __repr__(self) -> str:
        return f"<Bare with RAM at {self._ram or 'no address'} and {', '.join(self.devices) or 'no devices'}>"

    @property
    def ram(self) -> MappedMemory:
        """Where programs can be loaded. Raises LoadError where nothing is mapped."""
        if self._ram is None:
            raise LoadError("a bare board has no memory yet: machine.map(address, size) comes first")
        return self._ram

    def add_memory(self, place: Range) -> None:
        """Some has been mapped there."""
        self._ram = self._ram.with_another(place) if self._ram else MappedMemory(place.base, place.size)

    def attach(self, device: Device, further: bool = False) -> str:
        raise ConfigurationError(f"a bare board has no virtio slots: say at which address the {type(device).__name__} "
                                 "stands")

    def place(self, device: Device, address: int, irq: int | None = None) -> str:
        """Put a device at a free physical address; returns its name in `devices`."""
        refuse_unfit(device)
        if irq is not None:
            raise ConfigurationError(f"irq={irq}: a bare board has no interrupt controller")
        refuse_place(device, address, self._ram or Range(0, 0), self.devices)
        name = f"{type(device).__name__.lower()}@{address:x}"
        device.connect(**self._wiring, place=f" at {address:#x}")
        self._events.name(name, device)
        self.devices[name] = Placed(address, device, irq=None, controller=None)
        return name

    def device_tree(self, cmdline: bytes = b"", initrd: Range | None = None) -> bytes:
        """There is none."""
        return b""

    def set_reset_vector(self, start: int, dtb_address: int, next_address: int = 0) -> None:
        """There is no boot ROM: harts start at the program."""
