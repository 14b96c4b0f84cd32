"""What a disk held at one moment, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from vm.disks.layer import ZEROS, Layer, Table, clusters


class Beneath(Protocol):
    """A disk as it was when it was first relied on: a `vm.disks.disk.Base`."""

    preserved: Layer                    # of the clusters that its image no longer has, what they were

    def identity(self) -> dict[str, Any]:
        """What tells this image, as it is now, from others."""


class DiskState:
    """What a disk held at one moment: it never changes. Two are equal if they hold the same, by value.

    `plain` is for files: what a snapshot's file keeps, and what `LayeredDisk.restore` takes as well.
    """

    __slots__ = ("base", "table", "size", "writable")

    def __init__(self, base: Beneath, table: Table, size: int, writable: bool = True):
        self.base = base
        self.table = table
        self.size = size
        self.writable = writable

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, DiskState) and self.writable == other.writable and self.size == other.size
                and self.table == other.table and self._is_above(other.base))

    def _is_above(self, base: Beneath) -> bool:
        if self.base is base:
            return True
        written_through = self.base.preserved or base.preserved     # then each holds what it was by its own
        return not written_through and self.base.identity() == base.identity()

    __hash__ = None                     # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<disk of {self.size} bytes, {sum(map(len, self.table.values()))} clusters written>"

    def plain(self) -> dict[str, Any]:
        """Plain data: what tells the image, and the clusters in which the disk differed from what the image is now."""
        saved = dict(clusters(self.base.preserved.table)) | dict(clusters(self.table))
        return {"size": self.size, "image": self.base.identity(), "writable": self.writable,
                "clusters": {number: b"" if data == ZEROS else data for number, data in saved.items()}}


def without_disks(saved: Mapping[str, Any]) -> dict[str, Any]:
    """A saved state as plain data: a DiskState in it is told by what it holds."""
    return {name: value.plain() if isinstance(value, DiskState) else value for name, value in saved.items()}
