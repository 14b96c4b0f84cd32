"""A machine at one moment, as a value."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vm.arguments import refuse_other
from vm.boot import Start
from vm.devices.base import Device
from vm.errors import ConfigurationError, SnapshotError
from vm.sizes import PAGE_SIZE

if TYPE_CHECKING:
    from vm.machine import Machine
    from vm.plan import MachinePlan, MachineState
    from vm_native.execution.native_machine import NativeMachine
    from vm_native.shared_code import SharedCode


LONGEST_VALUE = 60                      # characters of a value that a difference shows


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
    code: CompiledCode | None = None        # what that machine has compiled: `machine()` lets the new one run it
    file: tuple[Path, bytes] | None = field(default=None, init=False)      # where it was saved, and as what

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
        - changes: arguments of `Machine` that shall be others, as engine="interpreter". Harts get threads, or take
          turns, by threads=True or False where the clock is real.

        Raises ConfigurationError for changes that no machine can have, SnapshotError where the state is none of such a
        machine, and MemoryError; then nothing has come into being.
        """
        if devices is not None:
            refuse_other("machine(devices=...) takes a dict of devices by their names on the board", devices, Mapping)
            for name, device in devices.items():
                refuse_other(f"machine(devices=...) takes a device for {name!r}", device, Device)
        if changes.get("threads") is True and self.plan.arguments["clock"] == "virtual":
            raise ConfigurationError("threads=True: the snapshot is of a machine with a virtual clock, and harts in "
                                     "threads have the time of the host; take it of a machine with clock='real'")
        machine = self.plan.build(devices, **changes)
        try:
            if devices or changes or self.file is not None:
                machine.restore(self)
            else:
                machine._begin_as(self)         # it is what was planned: there is nothing to compare
            if self.code is not None:
                machine._native.take_shared(self.code.share())
        except BaseException:
            machine.close()
            raise
        return machine

    # --- Files -------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], parent: Snapshot | None = None) -> None:
        """Write it to a file, in place of the one that may be there: whatever happens, the old or the new one is whole.

        - parent: a snapshot of a machine like this one that has been saved or loaded. The file then holds only what
          differs from it, and needs the parent's file beside it, or where it was from here.

        What the machine was started with is not in it: `reset` of a machine that comes of the file raises LoadError.
        Raises SnapshotError for a parent that is none, and OSError.
        """
        from vm.saving import Saved, save
        from vm.snapshots.file import SnapshotFile

        if parent is not None:
            refuse_other("save(parent=...) takes a snapshot that was saved or loaded", parent, Snapshot)
        words = None if self.start is None else self.start.host_words
        saved = Saved(self.plan, self.state, self.steps, words)
        if parent is None:
            identity = save(path, saved)
        else:
            self.plan.refuse_other(parent.plan)
            if parent.file is None:
                raise SnapshotError(f"{os.fspath(path)}: its parent has no file: save that first")
            with SnapshotFile(parent.file[0]) as file:
                if file.identity != parent.file[1]:
                    raise SnapshotError(f"{parent.file[0]}: is not the file any more in which the parent was saved; "
                                        "save that again")
                identity = save(path, saved, file, parent.state.memory)
        object.__setattr__(self, "file", (Path(path).absolute(), identity))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, verify: bool = False) -> Snapshot:
        """A snapshot from a file that `save` wrote, here or on another computer; a stranger's file runs no code.

        Pages of RAM are read when somebody first looks at them: where one is damaged, that raises SnapshotError. With
        `verify` all of them are looked at now.

        Devices that need something of the host are not made by a file: give disks and devices of your own as
        `snapshot.machine(devices={"virtio0": ...})`.

        Raises SnapshotError for what is no snapshot, is damaged, newer, or lacks its parent; and OSError.
        """
        from vm.saving import load
        from vm.snapshots.file import SnapshotFile

        file = SnapshotFile(path)
        if verify:
            file.verify()
        plan, state, steps, host_words = load(file)
        snapshot = cls(plan, state, steps, Start(None, None, (), 0, host_words))
        object.__setattr__(snapshot, "file", (Path(path).absolute(), file.identity))
        return snapshot

    def __reduce__(self) -> tuple[Any, ...]:
        import tempfile  # here: it takes as long to load as a machine does to build

        with tempfile.TemporaryDirectory(prefix="vm-snapshot-") as folder:
            path = Path(folder, "snapshot")
            replace(self).save(path)            # this one stays as it is
            return unpickled, (path.read_bytes(),)

    def __repr__(self) -> str:
        size = sum(content.size for content in self.state.memory)
        return (f"<Snapshot: {len(self.state.harts)} hart{'s' * (len(self.state.harts) > 1)}, {size >> 20} MiB, "
                f"{self.steps:,} steps, {self.copied_bytes // PAGE_SIZE} pages of its own>")


class CompiledCode:
    """What a machine has compiled, for those that begin with a snapshot of it.

    It is handed over when the first of them does, or the machine is closed, and then again as it becomes more. They run
    it where their memory holds what it was made of.
    """

    def __init__(self, native: NativeMachine):
        self.native = weakref.ref(native)
        self.kept: tuple[SharedCode, ...] = ()

    def share(self) -> tuple[SharedCode, ...]:
        """Hand over what has become worth it, while the machine is there; and all that was handed over."""
        native = self.native()
        if native is not None and not native.closed:
            native.share_code()
            self.kept = native.shared_code
        return self.kept


def unpickled(content: bytes) -> Snapshot:
    """The snapshot of a file with this content. Raises SnapshotError."""
    descriptor = os.memfd_create("vm-snapshot", os.MFD_CLOEXEC)
    with open(descriptor, "wb", buffering=0) as file:
        file.write(content)
        snapshot = Snapshot.load(f"/proc/self/fd/{descriptor}")
    object.__setattr__(snapshot, "file", None)
    return snapshot


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
