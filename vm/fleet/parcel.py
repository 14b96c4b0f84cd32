"""A snapshot on its way to the processes that run forks of it, and what each of them keeps.

A parcel is known by the SHA-256 of what is in it. A process that has it takes machines from it for as long as it lives;
one that has not asks for it by raising `Missing`.
"""

from __future__ import annotations

import hashlib
import pickle
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vm.devices.base import Device
from vm.errors import ConfigurationError
from vm.fleet.pool import Pool
from vm.saving import MADE_BY_NAME
from vm.snapshot import Snapshot, unpickled

if TYPE_CHECKING:
    from vm.loaders.common import Program

Devices = Callable[[], Mapping[str, Device]]

KEPT = 4                                # parcels in a process: those that were used last
NOT_IN_FILES = ("engine", "settings")   # arguments of a machine that the file of a snapshot does not have


@dataclass(frozen=True)
class Address:
    """Which parcel, and where it lies for processes of this computer."""

    digest: str
    folder: str


class Parcel:
    """A snapshot, packed. `folder` holds its files until `close`."""

    def __init__(self, snapshot: Snapshot, program: Program | None, devices: Devices | None):
        """Raises ConfigurationError for a snapshot with devices that only this process has."""
        refuse_unmade(snapshot, devices)
        self._folder = tempfile.TemporaryDirectory(prefix="vm-fleet-")
        folder = Path(self._folder.name)
        file = folder / "snapshot"
        replace(snapshot).save(file)            # this one stays as it is
        arguments = snapshot.plan.arguments
        changes = {name: arguments[name] for name in NOT_IN_FILES if arguments.get(name) is not None}
        try:
            extras = pickle.dumps((program, devices, changes))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            self._folder.cleanup()
            raise ConfigurationError(f"devices={devices!r}: other processes have to find it by its name: define it "
                                     "at the top of a module") from error
        (folder / "extras").write_bytes(extras)
        digest = hashlib.sha256(extras)
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
        self.address = Address(digest.hexdigest(), str(folder))

    def content(self) -> tuple[bytes, bytes]:
        """All of it, for a process on another computer."""
        folder = Path(self._folder.name)
        return (folder / "snapshot").read_bytes(), (folder / "extras").read_bytes()

    def close(self) -> None:
        self._folder.cleanup()


def refuse_unmade(snapshot: Snapshot, devices: Devices | None) -> None:
    unmade = [planned for planned in snapshot.plan.devices if planned.kind not in MADE_BY_NAME]
    if unmade and devices is None:
        name, kind = unmade[0].name, unmade[0].kind
        raise ConfigurationError(f"{name} is a {kind}, which other processes cannot make of a snapshot: give "
                                 f"devices=FUNCTION, which returns {{{name!r}: ...}} there, or use threads")


class Missing(Exception):
    """This process has not got the parcel. `worker`: how the cluster calls it, if it is one of a cluster."""

    def __init__(self, worker: str | None):
        self.worker = worker
        super().__init__(worker)


class Store:
    """The parcels that a process has got."""

    def __init__(self) -> None:
        self._pools: OrderedDict[str, Pool] = OrderedDict()
        self._lock = threading.Lock()
        self.received = 0                   # parcels that were sent here

    def pool(self, address: Address) -> Pool:
        """Raises Missing."""
        with self._lock:
            pool = self._pools.get(address.digest)
            if pool is None:
                pool = self._from_folder(address)
            self._pools.move_to_end(address.digest)
            return pool

    def receive(self, digest: str, content: tuple[bytes, bytes]) -> None:
        """Twice is harmless."""
        with self._lock:
            if digest not in self._pools:
                self.received += 1
                self._add(digest, unpickled(content[0]), content[1])

    def _from_folder(self, address: Address) -> Pool:
        folder = Path(address.folder)
        if not (folder / "extras").exists():
            raise Missing(this_worker())
        return self._add(address.digest, Snapshot.load(folder / "snapshot"), (folder / "extras").read_bytes())

    def _add(self, digest: str, snapshot: Snapshot, extras: bytes) -> Pool:
        program, devices, changes = pickle.loads(extras)
        self._pools[digest] = Pool(snapshot, program, devices, changes)
        while len(self._pools) > KEPT:
            self._pools.popitem(last=False)[1].close()
        return self._pools[digest]


STORE = Store()                             # of this process


def receive(digest: str, content: tuple[bytes, bytes]) -> None:
    """What is called in a process that a parcel is sent to."""
    STORE.receive(digest, content)


def received() -> int:
    """How many parcels were sent to this process."""
    return STORE.received


def this_worker() -> str | None:
    """The address of this worker, where Dask has started it."""
    import sys

    distributed: Any = sys.modules.get("distributed")
    if distributed is None:
        return None
    try:
        address: str = distributed.get_worker().address
        return address
    except ValueError:
        return None
