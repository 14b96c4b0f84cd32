"""A small Linux for tests and benchmarks: Debian's kernel with its modules, an initrd of busybox, OpenSBI.

All from packages of the Debian archive, verified and cached.
"""

import gzip
import hashlib
import stat
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from vm.images.archive import Archive
from vm.images.cache import cache_directory, remember, replacing, unchanged
from vm.images.cpio import Entry, cpio_newc
from vm.images.deb import extract
from vm.images.kernel import Kernel, kernel_package
from vm.images.package import Package
from vm.images.suite import debian_archive

READY = "guest: ready"
MODULES = ("virtio_mmio", "virtio_blk", "virtio_rng")       # in this order
OPENSBI_VERSION = "1.6"
OPENSBI_FILES = ("fw_jump.elf", "fw_jump.bin", "fw_dynamic.elf", "fw_dynamic.bin")
# Two thirds of a boot to userspace are self-tests and certificates: QUICK_CMDLINE leaves them out.
SKIPPED = (
    "bpf_tcp_ca_kfunc_init", "check_unaligned_access_all_cpus", "crypto_algapi_init", "genpd_debug_init",
    "init_kprobe_trace", "jent_mod_init", "load_system_certificate_list", "lockup_detector_check", "slab_sysfs_init",
)
CMDLINE = "console=ttyS0"
QUICK_CMDLINE = f"{CMDLINE} quiet initcall_blacklist={','.join(SKIPPED)}"


@cache
def _archive() -> Archive:
    return debian_archive()


@cache
def _kernel() -> Kernel:
    return Kernel(_archive().fetch(kernel_package(_archive())))


def debian_kernel() -> Path:
    """Debian's kernel, an uncompressed Image with an EFI stub."""
    return _kernel().image


@cache
def kernel_module(name: str) -> bytes:
    """A module of Debian's kernel, decompressed."""
    return _kernel().modules([name])[-1].content


@cache
def opensbi() -> dict[str, Path]:
    """The files of OPENSBI_FILES by name, for 64 bits."""
    package: Package = _archive().package("opensbi")
    assert package.version.startswith(OPENSBI_VERSION), package.version
    members = extract(_archive().fetch(package), *(f"usr/lib/riscv64-*/generic/{name}" for name in OPENSBI_FILES))
    return {path.name: path for path in members.values()}


@cache
def busybox() -> bytes:
    (path,) = extract(_archive().fetch(_archive().package("busybox-static")), "*bin/busybox").values()
    return path.read_bytes()


def userspace_init(commands: str, modules: Sequence[str] = MODULES) -> str:
    """An init script: mounts, modules, the line READY, the commands, power-off."""
    insmod = "\n".join(f"insmod /modules/{module}.ko" for module in modules)
    return f"""#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
{insmod}
echo '{READY}'
{commands}
poweroff -f
"""


def userspace_initrd(commands: str, modules: Sequence[str] = MODULES) -> Path:
    """An initrd that runs the commands after printing READY, then powers off.

    `exec sh` as the last command makes it interactive; `setsid -c sh` gives that shell job control.
    """
    return busybox_initrd(userspace_init(commands, modules), modules)


def busybox_initrd(init_script: str, modules: Sequence[str] = MODULES) -> Path:
    """The path of a cpio.gz with busybox and its applets, modules in /modules and the script as /init."""
    entries: list[Entry] = [
        *((name, stat.S_IFDIR | 0o755, b"", (0, 0)) for name in ("bin", "dev", "modules", "proc", "sys", "tmp")),
        ("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)),
        ("bin/busybox", stat.S_IFREG | 0o755, busybox(), (0, 0)),
        *((f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox", (0, 0)) for applet in APPLETS),
        *((f"modules/{name}.ko", stat.S_IFREG | 0o644, kernel_module(name), (0, 0)) for name in modules),
        ("init", stat.S_IFREG | 0o755, init_script.encode(), (0, 0)),
    ]
    archive = cpio_newc(entries)
    path = cache_directory() / "busybox" / f"initrd-{hashlib.sha256(archive).hexdigest()[:16]}.gz"
    if not unchanged(path):
        compressed = gzip.compress(archive, compresslevel=6, mtime=0)
        with replacing(path) as file:
            file.write(compressed)
        remember(path, hashlib.sha256(compressed).hexdigest())
    return path


# Links to busybox, so that scripts call these by name.
APPLETS = (
    "sh ash cat cp cut date dd dmesg echo env false free grep head hexdump id insmod kill ln ls lsmod md5sum mkdir"
    " mknod mount mv nproc od poweroff printf ps pwd reboot rm sed seq setsid sha256sum sleep sort stty sync tail test"
    " time timeout top touch tr true tty umount uname uniq vi wc yes"
).split()
