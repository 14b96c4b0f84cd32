"""U-Boot, as Debian builds it for QEMU's `virt` in S-mode: it finds the kernel on a disk.

It looks for /boot/extlinux/extlinux.conf, boot.scr and EFI programs (/EFI/BOOT/BOOTRISCV64.EFI) on every disk, then for
a server on the network.
"""

from __future__ import annotations

from pathlib import Path

from vm.images.deb import extract
from vm.images.progress import Progress
from vm.images.suite import debian_package


def boot_loader(mirror: str | None = None, progress: Progress | None = None, refresh: bool = False) -> Path:
    """What boots a disk: `machine.attach(BlockDevice("disk.qcow2")); machine.boot(boot_loader())`.

    The first call downloads 2.3 MB. The arguments are those of `debian_package`. Raises ImageError.
    """
    package = debian_package("u-boot-qemu", mirror, progress, refresh)
    (path,) = extract(package, "usr/lib/u-boot/qemu-riscv64_smode/uboot.elf").values()
    return path
