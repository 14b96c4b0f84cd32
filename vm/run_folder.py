"""A recorded run as a folder: the snapshot that it begins with, and the log of what came from outside since.

It is all that `vm replay` needs, on any computer; but devices that a file cannot make, as disks, are given again.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from vm.errors import LogError
from vm.log import Log
from vm.snapshot import Snapshot

BEGINNING, LOG = "beginning.vmsnap", "run.vmlog"


def save_run(folder: Path, snapshot: Snapshot, log: Log, saved: Path | None = None) -> None:
    """Write both into a folder that is there.

    `saved` is a folder of another run that began with the same snapshot: the two share its file, on a file system that
    has links. Raises SnapshotError and OSError.
    """
    beginning = folder / BEGINNING
    if saved is None or not (saved / BEGINNING).exists():
        replace(snapshot).save(beginning)       # the snapshot itself stays one that is in memory
    else:
        with suppress(OSError):
            os.link(saved / BEGINNING, beginning)
        if not beginning.exists():
            shutil.copyfile(saved / BEGINNING, beginning)
    log.save(folder / LOG)


def load_run(path: Path) -> tuple[Snapshot, Log]:
    """The run of a folder, or of the log in one. Raises LogError, SnapshotError and OSError."""
    log = path / LOG if path.is_dir() else path
    beginning = log.parent / BEGINNING
    if not log.exists():
        raise LogError(f"{path}: no recorded run; name a folder with {BEGINNING} and {LOG} in it, as a failing test "
                       "leaves it")
    loaded = Log.load(log)
    if not beginning.exists():
        raise LogError(f"{log}: a log needs the snapshot that it begins with, and there is no {beginning}; one that "
                       "--record wrote is for `vm run --replay` or `vm boot --replay`")
    return Snapshot.load(beginning), loaded
