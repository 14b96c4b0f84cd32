"""The disk that a system is installed from: a tar archive, which the guest unpacks onto its new root.

First the files of the packages without which dpkg and apt do not run, as they lie in a system; then files of the
system's own; then all packages, for dpkg. Their archives are decompressed: the guest would take ten times as long.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from vm.images import Package
from vm.images.deb import data_of, decompressed
from vm.install.selection import Selection

FOLDER = "var/cache/vm-install"             # of the packages, on the new root
DPKG_STATUS = "var/lib/dpkg/status"         # must be there, or dpkg has no database


def write_medium(file: IO[bytes], selection: Selection, debs: Mapping[Package, Path],
                 own: Mapping[str, tuple[int, bytes]], done: Callable[[Package], None]) -> None:
    """Fill a file. `debs` are the packages' files, `own` mode and content of more; `done` hears of each package.

    Raises ImageError for a damaged package.
    """
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as medium:
        # base-files has /bin and its like, which are links: they must be there before what lies behind them.
        for package in sorted(selection.first, key=lambda package: package.name != "base-files"):
            add_content(medium, debs[package])
        add_file(medium, DPKG_STATUS, 0o644, b"")
        for name, (mode, content) in own.items():
            add_file(medium, name, mode, content)
        for package in selection.packages:
            add_file(medium, f"{FOLDER}/{package.name}.deb", 0o644, decompressed(debs[package]))
            done(package)


def add_content(medium: tarfile.TarFile, deb: Path) -> None:
    """The files of a package, with their owners and times."""
    with data_of(deb) as data:
        for member in data:
            medium.addfile(member, data.extractfile(member) if member.isreg() else None)


def add_file(medium: tarfile.TarFile, name: str, mode: int, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.mode = mode
    member.size = len(content)
    medium.addfile(member, io.BytesIO(content))
