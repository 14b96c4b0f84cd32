"""What an installed system is told: its name, who may log in and how, and the files that say so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from vm.errors import ConfigurationError
from vm.guests.agent import AGENT
from vm.images.suite import SUITE

HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")        # RFC 1123, section 2.1; one label
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")                        # adduser.conf(5)
KEY = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/]+=*( .*)?")    # sshd(8), AUTHORIZED_KEYS
ROOT = "root"
LONGEST_PASSWORD = 511                  # bytes; of PAM, with the NUL (PAM_MAX_RESP_SIZE)
# Users and groups of base-passwd(8), and of the packages that are installed in any case
TAKEN = frozenset(f"""
    {ROOT} _apt _ssh adm audio backup bin cdrom crontab daemon dialout dip disk fax floppy games input irc kmem kvm list
    lp mail man messagebus netdev news nobody nogroup operator plugdev polkitd proxy render sasl sgx shadow src sshd
    staff sudo sync sys systemd-journal systemd-network systemd-timesync tape tty users utmp uucp video voice www-data
    dhcpcd clock""".split())

# Every file system that the kernel could be told to boot from; a kernel needs no more to get to its modules.
INITIAL_MODULES = ("virtio_mmio", "virtio_pci", "virtio_blk", "ext4", "crc32c_generic")
INTERFACES = """# The cards of the machine: by DHCP, and IPv6 as routers advertise it.
allow-hotplug eth0
iface eth0 inet dhcp
"""
AUTOLOGIN = """# Who has the console of a virtual machine has its disk: no password is asked for there.
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin {user} --noclear --keep-baud 115200,57600,38400,9600 - $TERM
"""
AGENT_RULE = 'SUBSYSTEM=="misc", KERNEL=="vsock", TAG+="systemd", ENV{SYSTEMD_WANTS}+="vm-agent.service"\n'
AGENT_SERVICE = """# For the host, where the machine has a virtio socket: udev's rule 90-vm-agent starts it.
[Unit]
Description=Agent of the host

[Service]
ExecStart=/usr/local/sbin/vm-agent
# What it was asked to run is not its own.
KillMode=process
Restart=on-failure
"""
PATIENCE = """# A busy host makes the machine slow: what takes longer than 90 s has not failed.
[Manager]
DefaultDeviceTimeoutSec=15min
DefaultTimeoutStartSec=15min
"""
SOURCE = """Types: deb
URIs: {uri}
Suites: {suites}
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


@dataclass(frozen=True)
class Settings:
    """Of the system to be.

    - hostname: one label.
    - user: a user to make, who may use sudo without a password where none is set; None: there is root alone.
    - password: of the user, or of root where there is none; None: no password opens the system, and the console
      logs in by itself.
    - keys: lines of authorized_keys, of those who may come by ssh: as the user and as root.

    Raises ConfigurationError.
    """

    hostname: str = "debian"
    user: str | None = None
    password: str | None = None
    keys: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not HOSTNAME.fullmatch(self.hostname):
            raise ConfigurationError(f"hostname {self.hostname!r}: say one label, of a-z, 0-9 and - within it")
        if self.user is not None and not USER.fullmatch(self.user):
            raise ConfigurationError(f"user {self.user!r}: say up to 32 of a-z, 0-9, _ and -, and begin with a letter")
        if self.user in TAKEN:
            raise ConfigurationError(f"user {self.user}: is there in any case, or a group of that name; name another")
        if self.password is not None and not (self.password.isprintable()
                                              and 0 < len(self.password.encode()) <= LONGEST_PASSWORD):
            raise ConfigurationError(f"password: say 1 to {LONGEST_PASSWORD} bytes, and only what can be typed")
        for key in self.keys:
            if not KEY.fullmatch(key) or not key.isprintable():
                raise ConfigurationError(f"key {key[:40]!r}: no public key of ssh, which is a line as `ssh-ed25519 "
                                         "AAAA... name`")

    @property
    def login(self) -> str:
        """Whom the password and the console are for."""
        return self.user or ROOT

    def files(self, mirror: str, security: str | None) -> dict[str, tuple[int, bytes]]:
        """Mode and content of each file that no package brings, by its path without the first slash."""
        texts = self._texts(mirror, security)
        return {"usr/local/sbin/vm-agent": (0o755, AGENT.read_bytes()),
                **{name: (mode, text.encode()) for name, (mode, text) in texts.items()}}

    def _texts(self, mirror: str, security: str | None) -> dict[str, tuple[int, str]]:
        sources = [SOURCE.format(uri=mirror, suites=f"{SUITE} {SUITE}-updates")]
        if security is not None:
            sources.append(SOURCE.format(uri=security, suites=f"{SUITE}-security"))
        files = {
            "etc/hostname": (0o644, f"{self.hostname}\n"),
            "etc/hosts": (0o644, f"127.0.0.1 localhost\n127.0.1.1 {self.hostname}\n::1 localhost ip6-localhost\n"),
            "etc/network/interfaces.d/ethernet": (0o644, INTERFACES),
            "etc/systemd/system.conf.d/patience.conf": (0o644, PATIENCE),
            "etc/apt/sources.list.d/debian.sources": (0o644, "\n".join(sources)),
            "etc/udev/rules.d/90-vm-agent.rules": (0o644, AGENT_RULE),
            "etc/systemd/system/vm-agent.service": (0o644, AGENT_SERVICE),
            "etc/initramfs-tools/conf.d/modules": (0o644, "MODULES=list\n"),
            "etc/initramfs-tools/modules": (0o644, "".join(f"{name}\n" for name in INITIAL_MODULES)),
            "etc/u-boot-menu/conf.d/console.conf": (0o644, 'U_BOOT_PARAMETERS="console=ttyS0 ro quiet"\n'
                                                           'U_BOOT_PROMPT="0"\n'),
        }
        keys = "".join(f"{key}\n" for key in self.keys)
        if keys:
            files["root/.ssh/authorized_keys"] = (0o600, keys)
        if self.password is None:
            files["etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf"] = (
                0o644, AUTOLOGIN.format(user=self.login))
        if self.user and self.password is None:
            files[f"etc/sudoers.d/{self.user}"] = (0o440, f"{self.user} ALL=(ALL) NOPASSWD: ALL\n")
        return files
