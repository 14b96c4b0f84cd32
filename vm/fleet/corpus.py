"""Inputs that do different things, each as a file: what a fuzzer goes on from."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vm.errors import ConfigurationError
from vm.fleet.batch import Found

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME_DIGITS = 16
LARGEST_FILE = 1 << 20                  # bytes: what is longer is no input


class Corpus:
    """Inputs, and the buckets of all edges that they have taken. `folder` has a file for each, if there is one."""

    def __init__(self, map_bits: int, folder: Path | None):
        self.seen: NDArray[np.uint8] = np.zeros(1 << map_bits, np.uint8)
        self.entries: list[Found] = []
        self._known: set[bytes] = set()
        self._folder = folder

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def edges(self) -> int:
        return int(np.count_nonzero(self.seen))

    def add(self, found: Found) -> int | None:
        """How many edges it has taken that no input before has; None where it is no news at all."""
        places, buckets = found.trail
        before = self.seen[places]
        if found.data in self._known or not (buckets & ~before).any():
            return None
        self.seen[places] |= buckets
        self.entries.append(found)
        self._known.add(found.data)
        if self._folder is not None:
            (self._folder / name_of(found.data)).write_bytes(found.data)
        return int(np.count_nonzero(before == 0))

    def favoured(self) -> tuple[list[Found], list[Found]]:
        """Inputs that together do all that all of them do, short and quick ones first; and the others."""
        best = sorted(self.entries, key=cost)
        covered = np.zeros_like(self.seen)
        chosen, others = [], []
        for found in best:
            places, buckets = found.trail
            if (buckets & ~covered[places]).any():
                covered[places] |= buckets
                chosen.append(found)
            else:
                others.append(found)
        return chosen, others

    def minimise(self) -> int:
        """Keep what `favoured` says, and let the files of the others go. How many those were."""
        chosen, others = self.favoured()
        kept = {name_of(found.data) for found in chosen}
        for found in others:
            if self._folder is not None and name_of(found.data) not in kept:
                (self._folder / name_of(found.data)).unlink(missing_ok=True)
        self.entries = chosen
        return len(others)


def cost(found: Found) -> tuple[int, bytes]:
    return max(found.steps, 1) * max(len(found.data), 1), found.data


def name_of(data: bytes) -> str:
    return sha256(data).hexdigest()[:NAME_DIGITS]


def read_inputs(folders: Iterable[Path]) -> list[bytes]:
    """The files of folders, without those in folders below; or a file. Raises ConfigurationError and OSError."""
    inputs: dict[bytes, None] = {}
    for folder in folders:
        if not folder.exists():
            raise ConfigurationError(f"{folder}: no such folder of inputs")
        for path in sorted(folder.iterdir()) if folder.is_dir() else [folder]:
            if not path.is_file():
                continue
            if path.stat().st_size > LARGEST_FILE:
                raise ConfigurationError(f"{path}: an input of more than {LARGEST_FILE >> 20} MiB")
            inputs[path.read_bytes()] = None
    return list(inputs)


