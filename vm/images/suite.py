"""Debian for RISC-V: the installer's kernel and initrd, and single packages, of the suite trixie.

The command lines are for the installer's initrd, as its /init and /etc/inittab read them.
"""

from __future__ import annotations

from pathlib import Path

from vm.errors import ImageError
from vm.images import apt
from vm.images.archive import Archive
from vm.images.deb import extract
from vm.images.progress import Progress
from vm.settings import given

SUITE = "trixie"
ARCHITECTURE = "riscv64"
SCHEMES = ("http://", "https://", "file:/")
INSTALLER_PACKAGE = "debian-installer-13-netboot-riscv64"

INSTALLER_CMDLINE = "console=ttyS0"
# busybox init opens the terminal as a session of its own, so that job control and Ctrl-C work, and obeys `poweroff`.
SHELL_CMDLINE = (
    'rdinit=/bin/sh console=ttyS0 -- -c "mount /proc; mount /sys; mount -t devtmpfs dev /dev;'
    ' echo ttyS0::respawn:-/bin/sh >/etc/inittab; exec busybox init"'
)


def debian_archive(mirror: str | None = None, refresh: bool = False) -> Archive:
    """The archive on the given mirror, on `VM_DEBIAN_MIRROR`, or on those that the host's apt is set up with.

    What is in the cache is used as it is for a day, then the mirror's index is looked at for newer packages; with
    `refresh`, it is now.
    """
    mirror = mirror or given("VM_DEBIAN_MIRROR")
    mirrors = [mirror] if mirror else apt.mirrors()
    if not mirrors:
        raise ImageError("apt on this host names no Debian mirror; pass --mirror URI or set VM_DEBIAN_MIRROR")
    if mirror and not mirror.lower().startswith(SCHEMES):
        raise ImageError(f"mirror {mirror}: not a URI of http, https or file; pass --mirror or set "
                         "VM_DEBIAN_MIRROR as in http://deb.debian.org/debian")
    return Archive(mirrors, SUITE, ARCHITECTURE, refresh=refresh)


def debian_package(name: str, mirror: str | None = None, progress: Progress | None = None,
                   refresh: bool = False) -> Path:
    """The path of a package's .deb, verified, in the cache; `extract` opens it.

    - mirror, refresh: as for `debian_archive`.
    - progress: called with the bytes received and the size, as something is downloaded; by default a bar is drawn on
      standard error, if that is a terminal; False for silence. The logger vm.images names what is downloaded.

    Raises ImageError.
    """
    archive = debian_archive(mirror, refresh)
    return archive.fetch(archive.package(name, progress), progress)


def debian_installer(mirror: str | None = None, progress: Progress | None = None,
                     refresh: bool = False) -> tuple[Path, Path]:
    """Kernel and initrd of the text installer for network installation.

    The first call downloads about 60 MB, the package and the archive's index. What is in the cache is used as it is for
    a day, and again at once if it was damaged; then the mirror's index is looked at for a newer package. The arguments
    are those of `debian_package`. Raises ImageError.
    """
    package = debian_package(INSTALLER_PACKAGE, mirror, progress, refresh)
    files = extract(package, "*/text/*/linux", "*/text/*/initrd.gz")
    kernel, initrd = (next(path for path in files.values() if path.name == name) for name in ("linux", "initrd.gz"))
    return kernel, initrd
