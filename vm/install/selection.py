"""Which packages a system has: those without which dpkg and apt do not work, those of every Debian, and more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vm.images import Archive, Package
from vm.images.progress import Progress
from vm.images.unpack import with_dependencies

ESSENTIAL = ("Essential", "yes")                                    # Debian policy, 3.8
BASE = (("Priority", "required"), ("Priority", "important"))        # Debian policy, 2.5: as debootstrap installs them
APT = "apt"
# To boot, and to be logged in to, where users ask systemd by the bus. zstd compresses an initrd quicker than gzip.
ADDED = ("linux-image-riscv64", "initramfs-tools", "zstd", "u-boot-menu", "openssh-server", "sudo", "dbus")
FOR_HTTPS = ("ca-certificates",)            # so that apt believes a mirror that is named by https


class Selection(NamedTuple):
    """`first` are unpacked by hand, so that dpkg can install them, and with them there apt installs the `others`."""

    first: list[Package]
    others: list[Package]

    @property
    def packages(self) -> list[Package]:
        return [*self.first, *self.others]


def select(archive: Archive, packages: Sequence[str], progress: Progress | None = None) -> Selection:
    """The base system, and these packages; with all that they depend on. Raises ImageError for a package that the
    archive does not have.
    """
    first = with_dependencies(archive, [*archive.having(*ESSENTIAL, progress), APT], progress)
    base = [name for field, value in BASE for name in archive.having(field, value, progress)]
    names = {package.name for package in first}
    added = [*ADDED, *(FOR_HTTPS if archive.mirror.startswith("https:") else ()), *packages]
    everything = with_dependencies(archive, [*names, *base, *added], progress)
    return Selection(first, [package for package in everything if package.name not in names])
