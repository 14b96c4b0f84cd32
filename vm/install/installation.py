"""The installation itself: a machine with the new disk and the medium, and what is done in it, step by step.

The disk is made beside its place, with `.part` behind its name, and put there when all is done: an installation that is
killed leaves no disk that could be taken for one, and the next begins anew.
"""

from __future__ import annotations

import logging
import math
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import urlsplit

from vm import disks
from vm.devices import BlockDevice, Entropy
from vm.disks.tools import disk_size
from vm.errors import CommandFailed, ConfigurationError, ExpectFailed, ImageError
from vm.images import Package, debian, debian_archive
from vm.images.archive import INRELEASE_LIMIT
from vm.images.fetch import fetch
from vm.images.suite import SUITE
from vm.install.medium import FOLDER, write_medium
from vm.install.selection import Selection, select
from vm.install.settings import Settings
from vm.machine import Machine
from vm.shell import Shell
from vm.sizes import parse_size
from vm.stop import StopReason
from vm.whole_file import place

log = logging.getLogger("vm.images")

Report = Callable[[str, int, int], None]    # the step under way, and how much of how much of it is done

LEAST_MEMORY = 512 << 20
SMALLEST = 2 << 30                          # bytes of a disk; the system takes 1 GB of it, and half of that twice
TOOLS = ("e2fsprogs", "fdisk")              # of the guest that installs
ROOT = "/mnt"                               # of the new system there
MEGABYTE = 1_000_000
TAIL = 2000                                 # bytes of a failed step's output in its error

# The new system's own programs, not busybox's, which takes those of its own wherever a name is without a path. The
# kernel's package makes no initrd, which takes half a minute: it is made once, when all is there.
INSIDE = (f"chroot {ROOT} /usr/bin/env -i DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/root DPKG_COLORS=never "
          "PATH=/usr/sbin:/usr/bin INITRD=No")
MAKE_FILE_SYSTEM = f"""printf 'label: gpt\\ntype=linux,bootable\\n' | sfdisk --quiet /dev/vda
mkfs.ext4 -q -F -L root /dev/vda1
mount /dev/vda1 {ROOT}"""
# No service is started while the system is installed: invoke-rc.d(8) asks policy-rc.d.
UNPACK = f"""tar -x -f /dev/vdb -C {ROOT}
for place in dev proc sys; do mount -o bind /$place {ROOT}/$place; done
printf '#!/bin/sh\\nexit 101\\n' > {ROOT}/usr/sbin/policy-rc.d
chmod +x {ROOT}/usr/sbin/policy-rc.d
uuid=$({INSIDE} blkid -s UUID -o value /dev/vda1)
echo "UUID=$uuid / ext4 errors=remount-ro 0 1" > {ROOT}/etc/fstab"""
# What dpkg needs depends on one another: the order is not looked at, and all is there already.
INSTALL_FIRST = f"{INSIDE} dpkg --force-depends --force-unsafe-io --install"
INSTALL_OTHERS = (f"{INSIDE} apt-get --yes --no-install-recommends -o APT::Sandbox::User=root "
                  "-o Dpkg::Options::=--force-unsafe-io -o Dpkg::Options::=--force-confold install")
FINISH = f"""versions=$({INSIDE} linux-version list)
for version in $versions; do {INSIDE} update-initramfs -c -k $version; done
{INSIDE} u-boot-update
rm -r {ROOT}/{FOLDER} {ROOT}/usr/sbin/policy-rc.d
umount {ROOT}/dev {ROOT}/proc {ROOT}/sys {ROOT}
sync"""
HANDLED = re.compile(rb"^(?:Unpacking|Setting up) ", re.MULTILINE)         # of dpkg: twice for each package


class Installed(NamedTuple):
    """What `install_debian` has done."""

    path: Path
    packages: int
    size: int                               # bytes that the disk takes on the host


def install_debian(disk: str | os.PathLike[str], size: str | int = "8G", packages: Sequence[str] = (),
                   settings: Settings | None = None, *, mirror: str | None = None, memory: str | int = "1G",
                   report: Report | None = None) -> Installed:
    """Install Debian on a new disk image, qcow2 if its name ends so, else raw; `vm boot disk.qcow2` boots it.

    - size: of the disk, at least 2 GiB; a qcow2 image takes what is in use, about 1 GB.
    - packages: more of the archive, with all that they depend on.
    - settings: names, and who may log in.
    - mirror: as for `vm.images.debian`.
    - memory: of the machine that does it.
    - report: called with the name of a step, and how much of how much of it is done: packages, or megabytes.

    What is wrong with the arguments raises ConfigurationError before anything is done; ImageError for what the archive
    does not have, or a step that fails in the guest. Nothing is left of an installation that failed.
    """
    path = Path(disk)
    if isinstance(packages, str):
        raise TypeError('packages is a list of names, as in packages=["strace"]')
    if path.exists():
        raise ConfigurationError(f"{path}: is there already; name a new file, or delete that one")
    if not os.access(path.parent, os.W_OK):
        raise ConfigurationError(f"{path}: {path.parent} is no folder that can be written")
    if disk_size(size) < SMALLEST:
        raise ConfigurationError(f"size={size}: a Debian needs 2G or more")
    if parse_size(memory) < LEAST_MEMORY:
        raise ConfigurationError(f"memory={memory}: an installation needs 512M or more")
    settings = settings or Settings()
    tell = report or silent
    archive = debian_archive(mirror)
    part = path.with_name(f"{path.name}.part")
    disks.create(part, size, format=path.suffix[1:] if path.suffix == ".qcow2" else "raw", force=True)
    try:
        with closing(BlockDevice(part)) as new, medium_beside(path) as medium:     # locked, for who does the same
            tell("choosing packages", 0, 1)
            selection = select(archive, packages, progress=False)
            debs = fetched(archive.fetch, selection, tell)
            steps = Steps(tell, "unpacking packages", len(selection.packages))
            write_medium(medium, selection, debs, settings.files(*sources(archive.mirror)), lambda _: steps.add(1))
            medium.flush()
            Installation(selection, settings, tell).run(new, medium.name, memory, mirror)
        try:
            place(part, path, replace=False)
        except FileExistsError:
            raise ConfigurationError(f"{path}: somebody else has made it meanwhile; install again, by another name"
                                     ) from None
    finally:
        part.unlink(missing_ok=True)
    return Installed(path, len(selection.packages), path.stat().st_blocks * 512)


def medium_beside(path: Path) -> IO[bytes]:
    """A file for who has it open, and nobody else; it goes when it is closed."""
    return tempfile.NamedTemporaryFile(prefix=f"{path.name}.", suffix=".medium", dir=path.parent)


def silent(step: str, done: int, total: int) -> None:
    """Nobody asked."""


def fetched(fetch_package: Callable[..., Path], selection: Selection, tell: Report) -> dict[Package, Path]:
    """The packages' files, in the cache."""
    total = sum(package.size for package in selection.packages) // MEGABYTE
    files: dict[Package, Path] = {}
    before = 0
    for package in selection.packages:
        def progress(received: int, size: int, before: int = before) -> None:
            tell("downloading", (before + received) // MEGABYTE, total)

        files[package] = fetch_package(package, progress)
        before += package.size
        tell("downloading", before // MEGABYTE, total)
    return files


def sources(mirror: str) -> tuple[str, str | None]:
    """What apt in the guest is told to ask: the mirror, and where it has security updates beside it, those."""
    scheme, _, _, _, _ = urlsplit(mirror)
    if scheme == "file":
        log.warning("%s: apt in the guest cannot read that: name a mirror in /etc/apt/sources.list.d there", mirror)
        return mirror, None
    security = f"{mirror}-security"
    try:
        fetch(f"{security}/dists/{SUITE}-security/InRelease", INRELEASE_LIMIT)
    except ImageError:
        log.warning("%s has no security updates beside it: name who has in /etc/apt/sources.list.d of the guest",
                    mirror)
        return mirror, None
    return mirror, security


class Steps:
    """How much of a step is done."""

    def __init__(self, tell: Report, step: str, total: int):
        self._tell, self._step, self._total = tell, step, total
        self._done = 0
        tell(step, 0, total)

    def add(self, count: int) -> None:
        self._done = min(self._done + count, self._total)
        self._tell(self._step, self._done, self._total)


class Handled:
    """Counts what dpkg says that it handles, as its output comes in pieces."""

    def __init__(self, steps: Steps):
        self._steps = steps
        self._line = b""

    def write(self, data: bytes) -> None:
        lines, _, self._line = (self._line + data).rpartition(b"\n")
        self._steps.add(len(HANDLED.findall(lines)))


class Installation:
    """Fills the new disk, in a machine of its own."""

    def __init__(self, selection: Selection, settings: Settings, tell: Report):
        self._selection = selection
        self._settings = settings
        self._tell = tell

    def run(self, disk: BlockDevice, medium: str, memory: str | int, mirror: str | None) -> None:
        with Machine(memory=memory, clock="real", seed=secrets.randbits(63)) as machine:
            machine.attach(disk)
            machine.attach(BlockDevice(medium, read_only=True, format="raw"))
            machine.attach(Entropy(secrets.randbits(63)))
            machine.boot(*debian(TOOLS, mirror=mirror, progress=False))
            self._tell("starting the machine", 0, 1)
            shell = machine.shell(seconds=math.inf)
            self._step(shell, "making the file system", MAKE_FILE_SYSTEM)
            self._step(shell, "unpacking the base", UNPACK)
            self._install(shell, "installing the base", INSTALL_FIRST, self._selection.first)
            self._install(shell, "installing packages", INSTALL_OTHERS, self._selection.others)
            self._admit(shell)
            self._step(shell, "finishing", FINISH)
            machine.console.send("exit\n")
            stop = machine.run()
        if stop.reason is not StopReason.POWER_OFF:
            raise ImageError(f"the installation failed: at its end the machine stopped with {stop.reason.value}")
        self._tell("finishing", 1, 1)

    def _install(self, shell: Shell, step: str, command: str, packages: Sequence[Package]) -> None:
        debs = " ".join(f"/{FOLDER}/{package.name}.deb" for package in packages)
        handled = Handled(Steps(self._tell, step, 2 * len(packages)))
        run_step(shell, step, f"{command} {debs}", handled.write)

    def _step(self, shell: Shell, step: str, script: str) -> None:
        self._tell(step, 0, 1)
        run_step(shell, step, script)

    def _admit(self, shell: Shell) -> None:
        """Make the user, and set who may log in."""
        user, login = self._settings.user, self._settings.login
        if user:
            self._step(shell, "making the user", f"{INSIDE} useradd -m -k /etc/skel -s /bin/bash -G sudo {user}")
            if self._settings.keys:
                self._step(shell, "letting the user in", f"{INSIDE} cp -r /root/.ssh /home/{user}/\n"
                                                         f"{INSIDE} chown -R {user}:{user} /home/{user}/.ssh")
        if self._settings.password is not None:
            quoted = self._settings.password.replace("'", "'\\''")
            try:
                shell.run(f"printf '%s:%s\\n' {login} '{quoted}' | {INSIDE} chpasswd", check=True,
                          seconds=math.inf)
            except (CommandFailed, ExpectFailed) as error:      # whose text has the password in it
                why = error.output.strip() if isinstance(error, CommandFailed) else "the guest did not answer"
                raise ImageError(f"the password of {login} could not be set: {why}") from None


def run_step(shell: Shell, step: str, script: str, show: Callable[[bytes], None] | None = None) -> None:
    """A step of the installation, which ends where a command fails; the output says what went wrong."""
    try:
        shell.run(f"(set -e\n{script})", check=True, seconds=math.inf, show=show)
    except CommandFailed as error:
        raise ImageError(f"the installation failed in the guest, {step}: {error.output[-TAIL:].strip()}") from error
    except ExpectFailed as error:
        raise ImageError(f"the installation failed, {step}: {error}") from error
