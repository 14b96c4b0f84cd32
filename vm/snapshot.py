"""A machine at one moment, as a value."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from vm.sizes import PAGE_SIZE

if TYPE_CHECKING:
    from vm.boot import Start
    from vm.devices.base import Device
    from vm.machine import Machine
    from vm.plan import MachinePlan
    from vm_native.state.content import RegionContent


class MachineState(NamedTuple):
    """All that a guest could find out of a machine, and what Python keeps of it.

    - memory: of each region, in their order.
    - harts: of each, as NativeHart.save gives it.
    - parts: what each other part saved, by its name: plain data.
    """

    memory: tuple[RegionContent, ...]
    harts: tuple[bytes, ...]
    parts: dict[str, Any]


@dataclass(frozen=True, eq=False, repr=False)
class Snapshot:
    """What `Machine.snapshot` took. It never changes; the machine, its forks and others can go back to it at any time.

    - parent: the snapshot that the machine had taken, or gone back to, before; None for the first, and once nobody
      holds that one any more.
    - steps: of the machine, then.
    - plan, state, start: what kind of machine it was, what its parts held, and what it was started with.

    It holds host memory for what it alone has, of which a thread frees what nobody needs any more once it is dropped.
    """

    plan: MachinePlan
    state: MachineState
    steps: int
    start: Start | None = None              # None: unknown, and `reset` has nothing to begin with
    came_from: weakref.ref[Snapshot] | None = None

    @property
    def parent(self) -> Snapshot | None:
        return None if self.came_from is None else self.came_from()

    @property
    def copied_bytes(self) -> int:
        """Host memory of the pages of RAM that were written between the parent and this one, and copied for it."""
        return sum(content.copied_bytes for content in self.state.memory)

    def machine(self, *, devices: Mapping[str, Device] | None = None, **changes: Any) -> Machine:
        """A new machine in this state, which shares with others what none of them writes.

        - devices: by their names on the board, instead of twins of those that the machine had.
        - changes: arguments of `Machine` that shall be others, as engine="interpreter" or clock="real".

        Raises ConfigurationError for changes that no machine can have, SnapshotError where the state is none of such a
        machine, and MemoryError; then nothing has come into being.
        """
        machine = self.plan.build(devices, **changes)
        try:
            machine.restore(self)
        except BaseException:
            machine.close()
            raise
        return machine

    def __repr__(self) -> str:
        size = sum(content.size for content in self.state.memory)
        return (f"<Snapshot: {len(self.state.harts)} hart{'s' * (len(self.state.harts) > 1)}, {size >> 20} MiB, "
                f"{self.steps:,} steps, {self.copied_bytes // PAGE_SIZE} pages of its own>")


class Comparison:
    """Whether a machine is in the state of a snapshot; true if it is. `differences` names what is not, as text."""

    def __init__(self, differences: list[str]):
        self.differences = differences

    def __bool__(self) -> bool:
        return not self.differences

    def __repr__(self) -> str:
        return f"<{'; '.join(self.differences) or 'no difference'}>"


def differences_in(name: str, ours: Any, theirs: Any) -> list[str]:
    """What differs between two saved values, by name."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        return [line for key in ours for line in differences_in(f"{name}.{key}", ours[key], theirs[key])]
    if ours == theirs:
        return []
    return [f"{name}: {short(ours)}, in the snapshot {short(theirs)}"]


def short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


LONGEST_VALUE = 60                          # characters of a value that a difference shows
