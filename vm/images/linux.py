"""A Linux to use: Debian's kernel, and an initrd with busybox, drivers for the machine's devices, and packages.

All is from the archive, verified. The initrd is made here, once for each content, and is not compressed: the guest
would pay for that. Drivers are loaded when it boots; file systems when something is mounted, since they are large.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vm.guests.agent import AGENT
from vm.images.archive import Archive
from vm.images.cache import cache_directory, remember, replacing, unchanged
from vm.images.cpio import Entry, cpio_newc
from vm.images.kernel import DEVICES, FILE_SYSTEMS, OPTIONAL_DEVICES, SCREEN_DEVICES, Kernel, kernel_package
from vm.images.package import Package
from vm.images.progress import Progress
from vm.images.suite import debian_archive
from vm.images.unpack import unpacked, with_dependencies

# Half of the boot would be self-tests of the kernel's cryptography.
LINUX_CMDLINE = "console=ttyS0 quiet cryptomgr.notests"
# What suits a folder of a host: its files are read and written in large pieces, which needs the guest's page cache, and
# are looked at anew each time that they are opened
SHARE_OPTIONS = "trans=virtio,version=9p2000.L,msize=512000,cache=mmap,noxattr"
DIRECTORIES = ("dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp", "usr", "usr/bin", "usr/lib", "usr/lib64",
               "usr/lib/modules", "usr/sbin", "var", "var/tmp")
LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "usr/bin/sh": "busybox",
         "usr/sbin/init": "../bin/busybox", "usr/sbin/modprobe": "../bin/busybox", "etc/mtab": "/proc/self/mounts"}
# Programs of packages go before those of busybox, which gets no links for them. The usual drivers are always loaded, as
# a device may come later; others for what is there without one. Nothing names evdev, which is for all of a kind.
INIT = f"""#!/bin/sh
export PATH=/usr/sbin:/usr/bin HOME=/root
busybox mount -t proc proc /proc
busybox --install -s /usr/bin 2>/dev/null
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
modprobe -a {" ".join(DEVICES)}
for device in /sys/bus/virtio/devices/*; do
    [ -e "$device/modalias" ] && [ ! -e "$device/driver" ] && modprobe -q "$(cat "$device/modalias")"
done
[ -e /sys/class/input/input0 ] && modprobe -q evdev
if [ -e /dev/vsock ]; then vm-agent </dev/null >/dev/null 2>&1 & fi
ip link set lo up
hostname debian
for card in /sys/class/net/eth*; do
    [ -e "$card" ] && ip link set "${{card##*/}}" up && udhcpc -i "${{card##*/}}" -q -b -t 2 -T 1 >/dev/null 2>&1
done
for share in /sys/bus/virtio/drivers/9pnet_virtio/virtio*; do
    [ -e "$share" ] || continue
    tag="$(cat "$share/mount_tag")"
    mkdir -p "/mnt/$tag" && mount -t 9p -o {SHARE_OPTIONS} "$tag" "/mnt/$tag"
done
exec /sbin/init
"""
# The shell has the terminal for its own, so that job control and Ctrl-C work; the machine goes off when it ends.
SESSION = """#!/bin/sh
cd
sh -l
sync
umount -a -r 2>/dev/null
poweroff -f
"""
ON_SCREEN = "tty1::respawn:-/bin/sh\n"          # of init's table
# What udhcpc calls with what it was told.
LEASE = """#!/bin/sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip addr flush dev "$interface" scope global
ip addr add "$ip/$mask" dev "$interface"
ip link set mtu "${mtu:-1500}" dev "$interface"
for address in $router; do ip route add default via "$address" dev "$interface"; done
for address in $dns; do echo "nameserver $address"; done > /etc/resolv.conf
"""
FILES = {
    "init": (0o755, INIT),
    "usr/sbin/session": (0o755, SESSION),
    "etc/inittab": (0o644, "ttyS0::once:/usr/sbin/session\n"),
    "etc/filesystems": (0o644, "ext4\nvfat\n*\n"),
    "etc/group": (0o644, "root:x:0:\n"),
    "etc/hosts": (0o644, "127.0.0.1 localhost\n"),
    "etc/udhcpc/default.script": (0o755, LEASE),
    "etc/passwd": (0o644, "root:x:0:0:root:/root:/bin/sh\n"),
}


class Linux(NamedTuple):
    """What `Machine.boot` takes, in its order: `machine.boot(*debian())`."""

    kernel: Path
    initrd: Path
    cmdline: str


def debian(packages: Sequence[str] = (), modules: Sequence[str] = (), mirror: str | None = None,
           progress: Progress | None = None, *, screen: bool = False) -> Linux:
    """Debian's kernel with an initrd that boots to a root shell on the serial console.

    - packages: more of the archive that the guest shall have, with all that they depend on, as "strace". Their files
      are unpacked, their maintainer scripts do not run.
    - modules: more modules of the kernel, as "overlay". Those that drive a virtio device of the machine are loaded as
      it boots, others when they are asked for, or by `modprobe`.
    - mirror: where to download from; the default is VM_DEBIAN_MIRROR, else what the host's apt uses.
    - progress: called with the bytes received and the size, as something is downloaded.
    - screen: whether there are drivers for a screen, a keyboard and a tablet, and a shell on the screen.

    There are drivers for disks (/dev/vda), network, entropy, virtio sockets and balloons, and the file systems ext4 and
    9p. A network card asks for its address by DHCP; shared folders are mounted at /mnt/TAG; where there are virtio
    sockets the agent of `Machine.agent` runs. The machine powers off when the shell ends. The first call downloads
    about 110 MB, the kernel with all its modules. Raises ImageError.
    """
    if isinstance(packages, str) or isinstance(modules, str):
        raise TypeError('packages and modules are lists of names, as in packages=["strace"]')
    archive = debian_archive(mirror)
    wanted = with_dependencies(archive, ["busybox-static", *packages], progress)
    system = kernel_package(archive)
    modules = [*modules, *SCREEN_DEVICES] if screen else modules
    kernel = Kernel(archive.fetch(system, progress), modules)
    recipe = repr((INIT, ON_SCREEN, DIRECTORIES, LINKS, FILES, DEVICES, FILE_SYSTEMS, sorted(set(modules)),
                   screen, system.sha256, [package.sha256 for package in wanted],
                   hashlib.sha256(AGENT.read_bytes()).digest()))
    path = cache_directory() / "linux" / f"initrd-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.cpio"
    if not unchanged(path):
        content = cpio_newc(initrd(archive, kernel, wanted, modules, screen, progress))
        with replacing(path) as file:
            file.write(content)
        remember(path, hashlib.sha256(content).hexdigest())
    return Linux(kernel.image, path, LINUX_CMDLINE)


def initrd(archive: Archive, kernel: Kernel, packages: Sequence[Package], modules: Sequence[str],
           screen: bool, progress: Progress | None) -> list[Entry]:
    """The entries, directories before what is in them; of a name that is there twice the first counts."""
    entries: dict[str, Entry] = {}

    def add(name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        parent = name.rpartition("/")[0]
        if parent and parent not in entries:
            add(parent, stat.S_IFDIR | 0o755)
        entries.setdefault(name, (name, mode, content, device))

    for name in DIRECTORIES:
        add(name, stat.S_IFDIR | (0o1777 if name.endswith("tmp") else 0o755))
    add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    if screen:
        add("etc/inittab", stat.S_IFREG | 0o644, f"{FILES['etc/inittab'][1]}{ON_SCREEN}".encode())
    for name, (mode, text) in FILES.items():
        add(name, stat.S_IFREG | mode, text.encode())
    add("usr/sbin/vm-agent", stat.S_IFREG | 0o755, AGENT.read_bytes())
    for package in packages:
        for entry in unpacked(archive.fetch(package, progress)):
            add(*entry)
    for name, target in LINKS.items():
        add(name, stat.S_IFLNK | 0o777, target.encode())
    found = kernel.modules([*DEVICES, *OPTIONAL_DEVICES, *FILE_SYSTEMS, *modules])
    folder = f"usr/lib/modules/{kernel.release}"
    for module in found:
        add(f"{folder}/{module.name}.ko", stat.S_IFREG | 0o644, module.content)
    # As depmod(8) writes them: a module, and all that it needs, the last to be loaded first.
    needs: dict[str, list[str]] = {}
    for module in found:
        all_needs = [other for name in module.needs for other in (name, *needs[name])]
        needs[module.name] = list(dict.fromkeys(reversed(all_needs)))[::-1]
    depends = "".join(f"{name}.ko:{''.join(f' {other}.ko' for other in others)}\n" for name, others in needs.items())
    aliases = "".join(f"alias {alias} {module.name}\n" for module in found for alias in module.aliases)
    add(f"{folder}/modules.dep", stat.S_IFREG | 0o644, depends.encode())
    add(f"{folder}/modules.alias", stat.S_IFREG | 0o644, aliases.encode())
    return list(entries.values())
