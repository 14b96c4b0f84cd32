"""What a machine is built of, and what it holds at one moment, as data.

By its plan a fork, and whoever loads a snapshot, builds another one. What the machine has done is its state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from vm.boards.regions import Kind
from vm.boards.virt import AiaKind
from vm.devices.base import Device
from vm.devices.virtio import VirtioDevice
from vm.errors import ConfigurationError, SnapshotError
from vm.sizes import parse_size
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.csrs import GUEST_FILES

if TYPE_CHECKING:
    from vm.machine import Machine
    from vm_native.state.content import RegionContent


BoardName = Literal["virt", "bare"]
BOARDS: tuple[BoardName, ...] = get_args(BoardName)

DEFAULT_MEMORY = "512M"
FIXED = ("board", "memory", "harts", "isa", "aia", "aia_guests")    # arguments that a machine's state depends on


class MachineState(NamedTuple):
    """All that a guest could find out of a machine, and what Python keeps of it.

    - memory: of each region, in their order.
    - harts: of each, as NativeHart.save gives it.
    - parts: what each other part saved, by its name: plain data, but for the DiskState of disks.
    """

    memory: tuple[RegionContent, ...]
    harts: tuple[bytes, ...]
    parts: dict[str, Any]


class PlannedRegion(NamedTuple):
    """Memory that `Machine.map` put somewhere."""

    address: int
    size: int
    kind: Kind


class PlannedDevice(NamedTuple):
    """A device that was attached: what `Machine.attach` was told, and how to make another one."""

    name: str                               # on the board
    address: int
    irq: int | None
    kind: str                               # as `kind_of` names its class
    model: Device | None                    # whose `twin` is another one; None: whoever builds must give one


def kind_of(device: Device) -> str:
    """The name of its class; of one that is not this package's, with where it is defined."""
    kind = type(device)
    return kind.__name__ if kind.__module__.startswith("vm.devices.") else f"{kind.__module__}.{kind.__qualname__}"


@dataclass(frozen=True)
class MachinePlan:
    """Arguments of `Machine`, and what was added to the machine since."""

    arguments: Mapping[str, Any]
    regions: tuple[PlannedRegion, ...] = ()
    devices: tuple[PlannedDevice, ...] = ()

    @cached_property
    def shape(self) -> tuple[Any, ...]:
        """What must be the same for a state of one to be one of the other."""
        devices = tuple(device[:-1] for device in self.devices)
        fixed = tuple(self.arguments[name] for name in FIXED)
        return (*fixed, self.regions, devices)

    def build(self, devices: Mapping[str, Device] | None = None, **changes: Any) -> Machine:
        """A machine like that, in its power-on state.

        - devices: by the name on the board, instead of twins of the others.
        - changes: arguments of `Machine` that are to be others.
        """
        machine = machine_class()(**{**self.arguments, **changes})
        try:
            for region in self.regions:
                machine.map(region.address, region.size, region.kind)
            given = dict(devices or {})
            for name, address, irq, kind, model in self.devices:
                device = given.pop(name, None) or (model and model.twin())
                if device is None:
                    raise SnapshotError(f"{name} is a {kind}, which a file cannot make: give one, as "
                                        f"machine(devices={{{name!r}: ...}})")
                in_slot = isinstance(device, VirtioDevice) and "@" not in name
                machine.attach(device, address, None if in_slot else irq)
            if given:
                names = ", ".join(planned.name for planned in self.devices) or "none"
                raise SnapshotError(f"devices: {', '.join(given)} was not attached; there is {names}")
        except BaseException:
            machine.close()
            raise
        return machine

    def with_region(self, region: PlannedRegion) -> MachinePlan:
        return replace(self, regions=(*self.regions, region))

    def with_device(self, device: PlannedDevice) -> MachinePlan:
        return replace(self, devices=(*self.devices, device))

    def without_device(self, name: str) -> MachinePlan:
        return replace(self, devices=tuple(device for device in self.devices if device.name != name))

    def is_like(self, plan: MachinePlan) -> bool:
        """Whether a state of that plan's machine is one of this one's."""
        return self is plan or self.shape == plan.shape

    def refuse_other(self, plan: MachinePlan) -> None:
        """Raise SnapshotError where a state of that plan's machine is none of this one's."""
        if self.is_like(plan):
            return
        names = (*FIXED, "regions", "devices")
        raise SnapshotError("the snapshot is of a machine of another shape: " + "; ".join(
            f"its {name}: {theirs!r}, here: {ours!r}"
            for name, ours, theirs in zip(names, self.shape, plan.shape, strict=True) if ours != theirs))


@cache
def machine_class() -> type[Machine]:
    """It stands above: a machine has a plan."""
    found: type[Machine] = import_module("vm.machine").Machine
    return found


def memory_size(memory: int | str | None, board: str) -> int:
    """Bytes of RAM that the board has from the beginning. Raises ConfigurationError."""
    if board not in BOARDS:
        raise ConfigurationError(f"board={board!r}: there is {' and '.join(map(repr, BOARDS))}")
    if board == "virt":
        return parse_size(DEFAULT_MEMORY if memory is None else memory)
    if memory is not None:
        raise ConfigurationError(f"memory={memory!r}: a bare board has what machine.map(address, size) puts there")
    return 0


def parse_isa(isa: str, aia: str = "none", board: str = "virt", aia_guests: int = 0) -> isa_strings.Isa:
    """Of harts with such interrupt controllers, which need extensions for it. Raises ConfigurationError."""
    if aia not in get_args(AiaKind):
        raise ConfigurationError(f"aia={aia!r}: there is {', '.join(map(repr, get_args(AiaKind)))}")
    if aia != "none" and board != "virt":
        raise ConfigurationError(f"aia={aia!r}: a bare board has no interrupt controller")
    if not isinstance(isa, str):
        raise ConfigurationError(f"isa={isa!r}: a string, like 'rv64gc'")
    try:
        parsed = isa_strings.parse(isa if aia == "none" else f"{isa}_smaia_ssaia")
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    if not 0 <= aia_guests <= GUEST_FILES:
        raise ConfigurationError(f"aia_guests={aia_guests}: a hart has files for 0 to {GUEST_FILES} guests")
    if aia_guests and aia != "aplic-imsic":
        raise ConfigurationError(f"aia_guests={aia_guests}: they have files in IMSICs; say aia='aplic-imsic'")
    if aia_guests and "H" not in parsed.extensions:
        raise ConfigurationError(f"aia_guests={aia_guests}: harts without H have no guests; add it, as in 'default_h'")
    return parsed
