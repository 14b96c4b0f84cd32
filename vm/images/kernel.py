"""Debian's kernel package: the kernel, and modules of it with all that they need.

The package has no modules.dep, which depmod(8) writes where it is installed; what a module needs it says itself, in its
section .modinfo: strings `name=value`, each ended by a zero byte (include/linux/moduleinfo.h of the kernel).
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from vm.errors import ImageError
from vm.images.archive import Archive
from vm.images.deb import extract
from vm.images.package import Package

# Debian builds these as modules; the UART, the virtio console and the goldfish clock are in the kernel.
DEVICES = ("virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng")
# ext4 asks for crc32c by name, as it does for a file system that is not there yet.
FILE_SYSTEMS = ("ext4", "crc32c_generic", "9p", "9pnet_virtio")
# Loaded where there is such a device.
OPTIONAL_DEVICES = ("virtio_balloon", "vmw_vsock_virtio_transport")
# What those need, so that one pass through the package finds all; what is missing here costs another pass.
NEEDED = ("net_failover", "failover", "jbd2", "mbcache", "crc16", "9pnet", "netfs", "vsock",
          "vmw_vsock_virtio_transport_common", "drm", "drm_kms_helper", "drm_shmem_helper", "virtio_dma_buf")
# A screen, a keyboard and a tablet; programs read the last two by evdev.
SCREEN_DEVICES = ("virtio_gpu", "virtio_input", "evdev")
SUFFIX = ".ko.xz"


class Module:
    """A module of the kernel, decompressed. Attributes: `name`, with `_` for `-`; `content`; `needs`; `aliases`."""

    def __init__(self, path: Path):
        self.name = canonical(path.name.removesuffix(SUFFIX))
        self.content = lzma.decompress(path.read_bytes())
        self.needs = [canonical(name) for text in self._values(b"depends") for name in text.split(",") if name]
        self.aliases = self._values(b"alias")

    def _values(self, key: bytes) -> list[str]:
        return [value.decode() for value in re.findall(rb"(?<=\0)%b=([^\0]*)\0" % key, self.content)]


class Kernel:
    """The files of a kernel package. Attributes: `release`, as of uname -r; `image`, the path of the kernel."""

    def __init__(self, deb: Path, modules: Iterable[str] = ()):
        self._deb = deb
        self._wanted = {canonical(name) for name in (*DEVICES, *OPTIONAL_DEVICES, *FILE_SYSTEMS, *NEEDED,
                                                      *modules)}
        self._extract()
        self.image = next(path for path in self._files.values() if path.name.startswith("vmlinux-"))
        self.release = self.image.name.removeprefix("vmlinux-")

    def _extract(self) -> None:
        patterns = [f"*/{name.replace('_', '?')}{SUFFIX}" for name in sorted(self._wanted)]
        self._files = extract(self._deb, "boot/vmlinux-*", *patterns)
        self._modules = {canonical(path.name.removesuffix(SUFFIX)): path for path in self._files.values()
                         if path.name.endswith(SUFFIX)}

    def modules(self, names: Sequence[str]) -> list[Module]:
        """These modules and those that they need, which come first; each once."""
        found: dict[str, Module] = {}

        def add(name: str) -> None:
            if name in found:
                return
            if name not in self._modules:
                self._wanted.add(name)
                self._extract()
            module = Module(self._modules[name])
            for other in module.needs:
                add(other)
            found[name] = module

        for name in names:
            add(canonical(name))
        return list(found.values())


def canonical(name: str) -> str:
    """The name of a module as the kernel shows it: files have `-` or `_` as they like."""
    return name.replace("-", "_")


def kernel_package(archive: Archive) -> Package:
    """The kernel of the day, on which the empty package linux-image-riscv64 depends."""
    depends = archive.package("linux-image-riscv64").depends
    name = next((name for name in depends if name.startswith("linux-image-")), None)
    if name is None:
        raise ImageError("package linux-image-riscv64: depends on no kernel")
    return archive.package(name)
