"""The board that QEMU calls `virt`: memory map and interrupt numbers as in QEMU's docs/system/riscv/virt.rst and as its
own device tree has them, so that firmware and kernels made for it run here.

    0x0000_1000  boot ROM                   0x1000_0000  UART0           interrupt 10
    0x0010_0000  test (power off, reset)    0x1000_1000  virtio slot 0   interrupt 1
    0x0010_1000  RTC        interrupt 11       ...        every 0x1000
    0x0200_0000  CLINT                      0x1000_8000  virtio slot 7   interrupt 8
    0x0c00_0000  PLIC                       0x8000_0000  RAM

With aia="aplic" the PLIC gives way to APLICs at 0x0c00_0000 (M-mode) and 0x0d00_0000 (S-mode), and with "aplic-imsic"
harts have IMSICs besides, at 0x2400_0000 (M) and 0x2800_0000 (S, each hart's followed by those of its guests).

QEMU's flash, PCI bridge and fw_cfg are not there. Where QEMU has nothing there is room for more virtio devices than it
has slots, from 0x1000_9000 and interrupt 16 on, if they are attached before a guest is loaded: of those that are not
filled the device tree, and so the guest, knows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal

from vm.boards import device_tree
from vm.boards.placed import DevicesOfBoard, Placed
from vm.boards.regions import MappedMemory, refuse_place
from vm.boards.reset import reset_vector
from vm.devices.aplic import APLIC
from vm.devices.base import Device
from vm.devices.bootrom import BootROM
from vm.devices.clint import CLINT
from vm.devices.imsic import IMSIC
from vm.devices.interrupt import MACHINE_EXTERNAL, SUPERVISOR_EXTERNAL, InterruptLine
from vm.devices.plic import PLIC
from vm.devices.rtc import GoldfishRTC
from vm.devices.syscon import Syscon
from vm.devices.uart import UART
from vm.devices.virtio import EmptySlot, VirtioDevice
from vm.errors import ConfigurationError
from vm.loaders.common import Range
from vm.stop import Request

if TYPE_CHECKING:
    from vm.clock import Clock
    from vm.events import EventQueue
    from vm.memory import Memory
    from vm_native.riscv.isa import Isa

AiaKind = Literal["none", "aplic", "aplic-imsic"]     # what `virt` tells harts of interrupts by

RAM_BASE = 0x8000_0000
RESET_VECTOR = 0x1000
VIRTIO_BASE, VIRTIO_STRIDE, VIRTIO_SLOTS, VIRTIO_IRQ = 0x1000_1000, 0x1000, 8, 1
SLOTS = tuple(f"virtio{slot}" for slot in range(VIRTIO_SLOTS))
# Places for virtio devices beyond the slots, address and interrupt: QEMU has the UART at 10, the clock at 11, and PCI
# from 32 on.
FURTHER = tuple((VIRTIO_BASE + (VIRTIO_SLOTS + place) * VIRTIO_STRIDE, 16 + place) for place in range(16))


class Virt(DevicesOfBoard):
    """The devices of one machine, wired. The board owns them: `close` releases what they hold of the host.

    `devices` maps a name to a `Placed`, in the order of addresses; the machine puts them on its bus before the first
    step. The slots are all there, and in the device tree, so that one can be filled or emptied later. `on_request`
    hears what the guest asks of the test device (`vm.devices.syscon`).
    """

    def __init__(
        self,
        memory_size: int,
        harts: Sequence[Any],
        isa: Isa,
        clock: Clock,
        events: EventQueue,
        memory: Memory,
        seed: int,
        on_request: Request,
        aia: AiaKind = "none",
        aia_guests: int = 0,
    ):
        self.ram = MappedMemory(RAM_BASE, memory_size)
        self._harts = harts
        self._isa = isa
        self._clock = clock
        self._seed = seed
        self._events = events
        self._memory = memory

        controllers = self._make_controllers(aia, aia_guests)
        self.rom = BootROM()
        self.test = Syscon(on_request)
        self.rtc = GoldfishRTC()
        self.clint = CLINT(harts)
        self.uart = UART()

        self.devices: dict[str, Placed] = {}
        self._place("rom", RESET_VECTOR, self.rom)
        self._place("test", 0x10_0000, self.test)
        self._place("rtc", 0x10_1000, self.rtc, irq=11)
        self._place("clint", 0x200_0000, self.clint)
        for name, (address, device) in controllers.items():
            self._place(name, address, device)
        self._place("uart", 0x1000_0000, self.uart, irq=10)
        for slot in range(VIRTIO_SLOTS):
            self._fill(slot, EmptySlot())

    def __repr__(self) -> str:
        return f"<Virt with RAM at {self.ram.base:#x}..{self.ram.end:#x} and {', '.join(self.devices)}>"

    def _make_controllers(self, aia: AiaKind, guests: int) -> dict[str, tuple[int, Device]]:
        """What lines of devices lead to, and where software finds it: addresses and devices by name."""
        self._root: PLIC | APLIC                            # which has the lines
        self._controller: Device                            # in which a kernel finds them
        self._of_machine: tuple[str, ...] = ()              # what only firmware may touch
        if aia == "none":
            self.plic = self._root = self._controller = PLIC(self._harts)
            return {"plic": (0xC00_0000, self.plic)}
        files: tuple[IMSIC | None, ...] = (None, None)
        if aia == "aplic-imsic":
            files = (IMSIC(self._harts, MACHINE_EXTERNAL), IMSIC(self._harts, SUPERVISOR_EXTERNAL, guests))
        self._root = APLIC(self._harts, files[0])
        self._controller = APLIC(self._harts, files[1], self._root)
        self._of_machine = ("aplic_m", "imsic_m")
        made: dict[str, tuple[int, Device | None]] = {
            "aplic_m": (0xC00_0000, self._root), "aplic_s": (0xD00_0000, self._controller),
            "imsic_m": (0x2400_0000, files[0]), "imsic_s": (0x2800_0000, files[1]),
        }
        return {name: (address, device) for name, (address, device) in made.items() if device is not None}

    def _place(self, name: str, address: int, device: Device, irq: int | None = None) -> None:
        line = None if irq is None else self._root.line(irq, device.level_triggered)
        device.connect(clock=self._clock, events=self._events, memory=self._memory, irq=line,
                       place=told_place(address, irq))
        self._events.name(name, device)
        self.devices[name] = Placed(address, device, irq, None if irq is None else self._controller)

    def _fill(self, slot: int, device: VirtioDevice) -> str:
        self._place(SLOTS[slot], VIRTIO_BASE + slot * VIRTIO_STRIDE, device, VIRTIO_IRQ + slot)
        return SLOTS[slot]

    def attach(self, device: VirtioDevice, further: bool = False) -> str:
        """Put a virtio device into the first free slot, wired; returns its name in `devices`. The board owns it now.

        `further`: or where there are no slots, if none is free.
        """
        refuse_unfit(device)
        for slot in range(VIRTIO_SLOTS):
            if self._is_free(slot):
                return self._fill(slot, device)
        if further and (place := self._further_place(device)):
            return self.place(device, *place)
        pulled = [name for name, placed in self.devices.items() if isinstance(placed.device, EmptySlot)]
        hint = f"; free {pulled[0]}: {self._unbind(pulled[0])}" if pulled else ""
        if not hint and not further:
            hint = "; there is room for more before a guest is loaded"
        raise ConfigurationError(f"no room for another virtio device: all {VIRTIO_SLOTS} slots are taken{hint}")

    def _further_place(self, device: VirtioDevice) -> tuple[int, int] | None:
        """The first of those beyond the slots where nobody has put anything."""
        taken = [Range(placed.address, placed.device.size) for placed in self.devices.values()]
        sources = {placed.irq for placed in self.devices.values()}
        return next(((address, irq) for address, irq in FURTHER if irq not in sources
                     and not any(Range(address, device.size).overlaps(other) for other in taken)), None)

    def place(self, device: Device, address: int, irq: int | None = None) -> str:
        """Put a device at a free physical address, and on a free source of the interrupt controller; returns its name
        in `devices`.

        A virtio device may be put into an empty slot of its choice: at the slot's address, where the source is given.
        """
        refuse_unfit(device)
        slot = self._slot_at(address, irq)
        if slot is not None and isinstance(device, VirtioDevice):
            if self._is_free(slot):
                return self._fill(slot, device)
            if isinstance(self.devices[SLOTS[slot]].device, EmptySlot):
                raise ConfigurationError(f"{SLOTS[slot]}: the guest's driver has not given up what was pulled out of "
                                         f"it; {self._unbind(SLOTS[slot])}")
        refuse_place(device, address, self.ram, self.devices)
        for name, placed in self.devices.items():
            if irq is not None and irq == placed.irq:
                raise ConfigurationError(f"irq={irq}: that is {name}'s")
        name = f"{type(device).__name__.lower()}@{address:x}"
        self._place(name, address, device, irq)
        return name

    def has_slot(self, address: int | None, irq: int | None = None) -> bool:
        return (address, irq) == (None, None) or self._slot_at(address, irq) is not None

    def _slot_at(self, address: int | None, irq: int | None) -> int | None:
        for slot, name in enumerate(SLOTS):
            placed = self.devices[name]
            if placed.address == address and irq in (None, placed.irq):
                return slot
        return None

    def detach(self, device: Device | str, force: bool = False) -> Device:
        """Take a virtio device out of its slot, unwired and reset. It is the caller's from now on."""
        name = self.name_of(device)
        gone = self.devices[name].device
        if name not in SLOTS:
            return super().detach(name)
        assert isinstance(gone, VirtioDevice)
        if isinstance(gone, EmptySlot):
            raise ConfigurationError(f"{name} is an empty slot: there is nothing to detach")
        driven = gone.driven
        if driven and not force:
            raise ConfigurationError(f"{name}: the guest's driver uses {gone!r}; {self._unbind(name)} or "
                                     "pull it out with force=True")
        slot = gone.remains() if driven else EmptySlot()
        gone.disconnect()
        self._events.forget(gone)
        self._fill(SLOTS.index(name), slot)
        if driven:
            slot.config_changed()
            for index in range(slot.queue_count):
                slot.serve(index)
        return gone

    def _is_free(self, slot: int) -> bool:
        device = self.devices[SLOTS[slot]].device
        return isinstance(device, EmptySlot) and not device.driven

    def _unbind(self, name: str) -> str:
        """What makes a driver give a slot up, for people."""
        node = f"{self.devices[name].address:x}.virtio_mmio"
        return f"unbind it, in Linux by: echo {node} > /sys/bus/platform/drivers/virtio-mmio/unbind"

    def add_memory(self, place: Range) -> None:
        """Some has been mapped there, which the device tree does not name: programs can be loaded there, no kernels."""
        self.ram = self.ram.with_another(place)

    def device_tree(self, cmdline: bytes = b"", initrd: Range | None = None, of_machine: bool = True) -> bytes:
        """The flattened device tree of the board as it is now; if not `of_machine`, without what only M-mode may touch.
        """
        hidden = () if of_machine else self._of_machine
        return device_tree.build(
            [placed for name, placed in self.devices.items() if name not in hidden],
            device_tree.Harts([hart.id for hart in self._harts], self._isa, self._clock.FREQUENCY),
            self.ram,
            device_tree.Chosen(self._seed, self.uart, cmdline, initrd),
        )

    def set_reset_vector(self, start: int, dtb_address: int, next_address: int = 0) -> None:
        """Harts that start at RESET_VECTOR go on at `start`; see `vm.boards.reset`."""
        self.rom.data = reset_vector(start, dtb_address, next_address)


@cache
def told_place(address: int, irq: int | None) -> str:
    """Where a device stands, for people. Machines that are built alike ask for the same."""
    return f" at {address:#x}" + ("" if irq is None else f", irq {irq}")


def refuse_unfit(device: Device) -> None:
    """Raise ConfigurationError for what cannot be attached, whatever the place."""
    if not isinstance(device, Device):
        raise ConfigurationError(f"{device!r} is no device: make one of a subclass of vm.devices.Device")
    kind = type(device).__name__
    if not hasattr(device, "irq"):
        raise ConfigurationError(f"{kind}: its __init__ must call super().__init__()")
    if {"clock", "events"} <= vars(device).keys():
        raise ConfigurationError(f"this {kind} is attached already, here or to another machine: make another one")
    for name in ("clock", "events", "memory", "irq"):
        if not isinstance(getattr(device, name, None), (NoneType, InterruptLine)):
            raise ConfigurationError(f"{kind}: `{name}` is the name of what the board gives every device; call that "
                                     "attribute something else")
