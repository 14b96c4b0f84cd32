"""`vm boot` with a kernel, an initrd and a disk of one's own, as a process, in real time."""

import subprocess
import sys
import time

import pytest

from tests.boot.linux import MIB
from vm.images.busybox import READY, debian_kernel, opensbi, userspace_initrd

pytestmark = pytest.mark.network

COMMAND = [sys.executable, "-c", "from vm.cli import main; main()"]
PATTERN = b"on the disk\n"
WRITTEN = b"by the guest\n"
COMMANDS = f"""
head -n 1 /dev/vda
echo '{WRITTEN.decode().strip()}' | dd of=/dev/vda bs=512 seek=1 conv=notrunc 2>/dev/null
sync
date +%s
"""


@pytest.mark.parametrize("firmware", [None, "fw_dynamic.elf"])
def test_boot_to_userspace_and_power_off(firmware, tmp_path):
    """The guest reads and writes its disk, knows the date, powers off: exit code 0, its console on standard output."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(PATTERN.ljust(MIB, b"\0"))
    command = [*COMMAND, "boot", "--kernel", debian_kernel(), "--initrd", userspace_initrd(COMMANDS),
               "--memory", "512M", "--disk", disk, "--append", "console=ttyS0 quiet"]
    if firmware:
        command += ["--firmware", opensbi()[firmware]]
    process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    now = time.time()
    assert (process.returncode, process.stderr) == (0, b"")
    lines = process.stdout.decode().replace("\r\n", "\n").splitlines()
    at = lines.index(READY)
    assert lines[at + 1] == PATTERN.decode().strip()
    assert abs(now - int(lines[at + 2])) < 300
    expected = bytearray(PATTERN.ljust(MIB, b"\0"))
    expected[512:512 + len(WRITTEN)] = WRITTEN
    assert disk.read_bytes() == expected
