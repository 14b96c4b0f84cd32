"""The disk of a machine: an image, written through or under a layer of writes, and its state as a value.

A disk is a base and a layer. The base never changes once somebody relies on it; the layer is what this machine wrote,
and with the base it makes the state. `LayeredDisk` keeps the layer in memory: `discard`, and every fork. `ImageDisk`
writes through to its image. From its first captured state on, what the image held before is preserved in the base,
cluster by cluster, before it is overwritten; the image is then always the base and the layer together, and forks read
the base alone.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from vm.disks.chain import open_image
from vm.disks.image import CHUNK, SECTOR, Image, Sectors
from vm.disks.layer import CLUSTER, EMPTY, ZEROS, Layer, differing
from vm.disks.qcow2.image import read_padded
from vm.disks.state import DiskState
from vm.errors import ConfigurationError, SnapshotError

Files = tuple[tuple[str, int, int], ...]        # of an image: path, size and time of modification of each
MOST_CLUSTERS = (1 << 63) // CLUSTER
SAMPLES = 32                    # clusters of an image that its identity looks at


class Base:
    """A disk as it was when it was first relied on. It is shared, and closes its image when nobody uses it any more.

    - size: bytes, then; zeros follow.
    - preserved: of the clusters that the image no longer has, what they were.

    Once closed it opens the image again for the next user, if that has not changed.
    """

    def __init__(self, image: Image, reopen: Callable[[], Image]):
        self.image = image
        self.size = image.size
        self.path = image.path
        self._place = os.path.abspath(image.path)       # however it was named
        self.preserved = Layer()
        self._reopen = reopen                   # opens the image read-only
        self._left: Files = ()                 # when they were closed
        self._users = 1
        self._lock = threading.Lock()
        self._sampled: tuple[Files, str] | None = None      # of these files, while nobody writes them

    def acquire(self) -> Base:
        with self._lock:
            if self._users == 0:
                image = self._reopen()
                if self._files(image) != self._left:
                    image.close()
                    raise ConfigurationError(f"{self.path}: disk image has changed since the snapshot; put back the "
                                             "image as it was")
                self.image = image
            self._users += 1
        return self

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                try:
                    self.image.settle()
                    self._left = self._files(self.image)
                finally:
                    self.image.close()

    @staticmethod
    def _files(image: Image) -> Files:
        # By the last part of its path: an image that is opened again may be named in another way.
        return tuple((os.path.basename(one.path), one.file.size, one.file.modified_ns) for one in image.chain())

    def read(self, offset: int, view: memoryview) -> None:
        read_padded(self.image, offset, view[:max(0, self.size - offset)])
        view[max(0, self.size - offset):] = bytes(max(0, offset + len(view) - max(self.size, offset)))
        if self.preserved:                      # looked at after the image: what is overwritten is preserved before
            for cluster in range(offset // CLUSTER, -(-(offset + len(view)) // CLUSTER)):
                data = self.preserved.get(cluster)
                if data is not None:
                    copy_part(cluster, data, offset, view)

    def cluster(self, number: int) -> bytes:
        data = bytearray(CLUSTER)
        self.read(number * CLUSTER, memoryview(data))
        return bytes(data)

    def preserve(self, offset: int, length: int) -> None:
        """Keep what the image holds there, before it is overwritten."""
        for start in range(offset // CLUSTER * CLUSTER, offset + length, CHUNK):
            missing = [number for number in range(start // CLUSTER, -(-min(start + CHUNK, offset + length) // CLUSTER))
                       if self.preserved.get(number) is None]
            if missing:
                data = bytearray((missing[-1] - missing[0] + 1) * CLUSTER)
                self.read(missing[0] * CLUSTER, memoryview(data))
                for number in missing:
                    at = (number - missing[0]) * CLUSTER
                    self.preserved.put(number, bytes(data[at:at + CLUSTER]))

    def identity(self) -> dict[str, Any]:
        """What tells this image, as it is now, from others."""
        image = self.acquire().image
        try:
            files, sampled = self._files(image), self._sampled
            found = sampled[1] if sampled is not None and sampled[0] == files else sample(image)
            if image.read_only:
                self._sampled = files, found
            return {"path": self._place, "size": image.size, "sample": found,
                    "modified": tuple(modified for _, _, modified in files)}
        finally:
            self.release()

    def refuse_other(self, saved: dict[str, Any]) -> None:
        """Raise SnapshotError unless an identity is this image's, or that of one that has this as its copy elsewhere.

        KeyError and TypeError for what is no identity.
        """
        ours = self.identity()
        for name, what in (("size", "size"), ("sample", "content")):
            if saved[name] != ours[name]:
                raise SnapshotError(f"{self.path}: the saved disk is of {saved['path']} with another {what}; attach "
                                    "that image as it was then")
        if saved["path"] == ours["path"] and tuple(saved["modified"]) != ours["modified"]:
            raise SnapshotError(f"{self.path}: disk image has been written since the state was saved; attach a copy "
                                "that was made then, under another name")


def sample(image: Image) -> str:
    """A digest of clusters all over an image."""
    digest = hashlib.sha256()
    last = max(0, image.size - CLUSTER)
    for number in range(SAMPLES + 1):
        data = bytearray(min(CLUSTER, image.size))
        image.read(last * number // SAMPLES // CLUSTER * CLUSTER, memoryview(data))
        digest.update(data)
    return digest.hexdigest()


class Disk(Sectors):
    """What a block device reads and writes."""

    def capture(self) -> DiskState:
        """The state now."""
        raise NotImplementedError

    def is_at(self, state: DiskState | dict[str, Any]) -> bool:
        """Whether the disk holds what it did in that state."""
        raise NotImplementedError

    def restore(self, state: DiskState | dict[str, Any]) -> None:
        """Back to a state; it costs what was written since. Raises SnapshotError if it is of another image."""
        raise NotImplementedError

    def refuse_unfit(self, state: DiskState | dict[str, Any]) -> None:
        """Raise SnapshotError where `restore` would, and change nothing."""
        raise NotImplementedError

    @contextmanager
    def refusing_damage(self) -> Iterator[None]:
        """While a state is taken apart that may come from anywhere."""
        try:
            yield
        except (KeyError, TypeError, AttributeError) as error:
            raise SnapshotError(f"{self.path}: the saved disk is damaged ({error!r}); save it again") from error

    def twin(self) -> Disk:
        """Another disk on the same base, in the state that this one began with."""
        raise NotImplementedError

    def close(self) -> None:
        """Let the image go. Closing twice is harmless."""
        raise NotImplementedError


class ReadOnlyDisk(Disk):
    """A disk that nobody writes: its state says of what image it is."""

    def __init__(self, base: Base):
        self.base = base
        self.path = base.path
        self.size = base.size
        self._open = True

    def read(self, offset: int, view: memoryview) -> None:
        self.base.read(offset, view)

    def flush(self) -> None:
        """There is nothing to keep."""

    def capture(self) -> DiskState:
        return DiskState(self.base, EMPTY, self.size, writable=False)

    def is_at(self, state: DiskState | dict[str, Any]) -> bool:
        try:
            self.refuse_unfit(state)
        except SnapshotError:
            return False
        return True

    def restore(self, state: DiskState | dict[str, Any]) -> None:
        self.refuse_unfit(state)

    def refuse_unfit(self, state: DiskState | dict[str, Any]) -> None:
        if isinstance(state, DiskState):
            if state.base is self.base and not state.writable:
                return
            state = state.plain()
        with self.refusing_damage():
            if state["writable"] is not False:
                raise SnapshotError(f"{self.path}: the saved disk could be written; attach it without read_only")
            self.base.refuse_other(state["image"])

    def twin(self) -> ReadOnlyDisk:
        return ReadOnlyDisk(self.base.acquire())

    def close(self) -> None:
        if self._open:
            self._open = False
            self.base.release()


class WritableDisk(Disk):
    """What writable disks have in common: a base, and the layer of what was written since."""

    def __init__(self, base: Base):
        self.base = base
        self.path = base.path
        self.size = base.size
        self.layer = Layer()
        self._open = True

    def capture(self) -> DiskState:
        return DiskState(self.base, self.layer.capture(), self.size)

    def is_at(self, state: DiskState | dict[str, Any]) -> bool:
        if not isinstance(state, DiskState):
            return self.capture().plain() == state
        return state.base is self.base and state.size == self.size and state.table == self.layer.table

    def twin(self) -> Disk:
        return LayeredDisk(self.base.acquire())

    def close(self) -> None:
        if self._open:
            self._open = False
            self.base.release()

    def _cluster(self, number: int) -> bytes:
        data = self.layer.get(number)
        return self.base.cluster(number) if data is None else data

    def _put(self, offset: int, data: memoryview) -> None:
        """Write to the layer."""
        end = offset + len(data)
        start = offset
        while start < end:
            number, skip = divmod(start, CLUSTER)
            stop = min(end, start - skip + CLUSTER)
            part = data[start - offset:stop - offset]
            if len(part) == CLUSTER:
                self.layer.put(number, bytes(part))
            else:
                whole = bytearray(self._cluster(number))
                whole[skip:skip + len(part)] = part
                self.layer.put(number, bytes(whole))
            start = stop

    def _put_zeros(self, offset: int, length: int) -> None:
        end = offset + length
        first = -(-offset // CLUSTER)
        stop = -(-end // CLUSTER) if end == self.size else end // CLUSTER
        if stop > first:
            self.layer.put_zeros(first, stop - first)
            self._put(offset, memoryview(bytes(first * CLUSTER - offset)))
            self._put(stop * CLUSTER, memoryview(bytes(max(0, end - stop * CLUSTER))))
        else:
            self._put(offset, memoryview(bytes(length)))

    def refuse_unfit(self, state: DiskState | dict[str, Any]) -> None:
        self._fitting(state)

    def _fitting(self, state: DiskState | dict[str, Any]) -> DiskState:
        """A state as one of this base."""
        if isinstance(state, DiskState):
            if state.base is self.base:
                return state
            state = state.plain()
        with self.refusing_damage():
            return self._from_plain(state)

    def _from_plain(self, state: dict[str, Any]) -> DiskState:
        if state["writable"] is not True:
            raise SnapshotError(f"{self.path}: the saved disk was attached read-only; attach it alike")
        self.base.refuse_other(state["image"])
        size = state["size"]
        layer = Layer()
        if type(size) is not int or not 0 < size < MOST_CLUSTERS * CLUSTER or size % SECTOR:
            raise SnapshotError(f"{self.path}: the saved disk is damaged: it has {size!r} bytes; save it again")
        for number, data in state["clusters"].items():
            if type(number) is not int or type(data) is not bytes or len(data) not in (0, CLUSTER) \
                    or not 0 <= number < MOST_CLUSTERS:
                raise SnapshotError(f"{self.path}: the saved disk is damaged: cluster {number!r}; save it again")
            layer.put(number, data or ZEROS)
        return DiskState(self.base, layer.capture(), size)


class LayeredDisk(WritableDisk):
    """A disk whose writes stay in memory; the image below never changes."""

    def read(self, offset: int, view: memoryview) -> None:
        if not self.layer:
            self.base.read(offset, view)
            return
        end = offset + len(view)
        missing = start = offset                # from here to `start` the base has it
        while start < end:
            number = start // CLUSTER
            stop = min(end, (number + 1) * CLUSTER)
            data = self.layer.get(number)
            if data is not None:
                if missing < start:
                    self.base.read(missing, view[missing - offset:start - offset])
                copy_part(number, data, offset, view)
                missing = stop
            start = stop
        if missing < end:
            self.base.read(missing, view[missing - offset:])

    def write(self, offset: int, views: Iterable[memoryview]) -> None:
        self._put(offset, memoryview(b"".join(views)))

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        self._put_zeros(offset, length)

    def discard(self, offset: int, length: int) -> None:
        self._put_zeros(offset, length)         # as where a file is below, so that a fork reads the same

    def flush(self) -> None:
        """There is nothing to keep."""

    def resize(self, size: int) -> None:
        if size < self.size:
            self._put_zeros(size, self.size - size)     # what is cut off does not come back
        self.size = size

    def restore(self, state: DiskState | dict[str, Any]) -> None:
        fitting = self._fitting(state)
        self.layer.restore(fitting.table)
        self.size = fitting.size


class ImageDisk(WritableDisk):
    """A disk whose image is written."""

    def __init__(self, base: Base):
        super().__init__(base)
        self.image = base.image
        self.tracking = False                   # a state was captured, or a twin relies on the base

    def read(self, offset: int, view: memoryview) -> None:
        self.image.read(offset, view)

    def write(self, offset: int, views: Iterable[memoryview]) -> None:
        if not self.tracking:
            self.image.write(offset, views)
            return
        data = memoryview(b"".join(views))
        self.base.preserve(offset, len(data))
        try:
            self.image.write(offset, [data])
        except OSError:
            self._look(offset, len(data))
            raise
        self._put(offset, data)

    def zero(self, offset: int, length: int, unmap: bool) -> None:
        if not self.tracking:
            self.image.zero(offset, length, unmap)
            return
        self.base.preserve(offset, length)
        try:
            self.image.zero(offset, length, unmap)
        except OSError:
            self._look(offset, length)
            raise
        self._put_zeros(offset, length)

    def _look(self, offset: int, length: int) -> None:
        """Take over what the image holds after a write that came to an end in the middle."""
        for start in range(offset, offset + length, CHUNK):
            data = memoryview(bytearray(min(CHUNK, offset + length - start)))
            self.image.read(start, data)
            self._put(start, data)

    def discard(self, offset: int, length: int) -> None:
        if self.tracking:
            self.zero(offset, length, unmap=True)
        else:
            self.image.discard(offset, length)

    def flush(self) -> None:
        self.image.flush()

    def resize(self, size: int) -> None:
        if self.tracking and size < self.size:
            self.base.preserve(size, self.size - size)
        self.image.resize(size)
        if not self.tracking:
            self.base.size = size
        elif size < self.size:
            self._put_zeros(size, self.size - size)
        self.size = size

    def capture(self) -> DiskState:
        self.tracking = True
        return super().capture()

    def twin(self) -> Disk:
        self.tracking = True
        return super().twin()

    def restore(self, state: DiskState | dict[str, Any]) -> None:
        fitting = self._fitting(state)
        self.tracking = True
        if fitting.size > self.size:
            self.image.resize(fitting.size)
        target = Layer(fitting.table)
        if fitting.size < self.base.size:
            self.base.preserve(fitting.size, self.base.size - fitting.size)
        for number in sorted(differing(self.layer.capture(), fitting.table)):
            start, written = number * CLUSTER, target.get(number)
            if start < fitting.size:
                self.base.preserve(start, min(CLUSTER, fitting.size - start))
                data = self.base.cluster(number) if written is None else written
                self.image.write(start, [memoryview(data)[:fitting.size - start]])
                self.layer.put(number, data)            # at every moment the image is the base and the layer
        if fitting.size < self.size:
            self.image.resize(fitting.size)
        self.layer.restore(fitting.table)
        self.size = fitting.size


def copy_part(number: int, data: bytes, offset: int, view: memoryview) -> None:
    """Copy of a cluster what falls into a view that begins at `offset`."""
    start = max(offset, number * CLUSTER)
    stop = min(offset + len(view), (number + 1) * CLUSTER)
    view[start - offset:stop - offset] = data[start - number * CLUSTER:stop - number * CLUSTER]


def open_disk(path: str | os.PathLike[str], format: str | None = None, read_only: bool = False,
              discard: bool = False) -> Disk:
    """The disk for an image: written through, or left alone with `discard` or `read_only`.

    Raises ConfigurationError.
    """
    leave = read_only or discard
    image = open_image(path, format, read_only=leave)
    base = Base(image, partial(open_image, os.path.abspath(path), image.format, read_only=True))
    return (ReadOnlyDisk if read_only else LayeredDisk if discard else ImageDisk)(base)
