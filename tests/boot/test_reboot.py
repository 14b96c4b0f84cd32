"""A guest that reboots, from a kernel that is compressed."""

import gzip

import pytest

import vm
from tests.boot.linux import load_linux, run_to_end
from vm.images.busybox import READY, debian_kernel

pytestmark = pytest.mark.network

# The second time the disk says so.
COMMANDS = """
read word </dev/vda
echo "found $word"
[ "$word" = second ] && poweroff -f
echo second | dd of=/dev/vda conv=notrunc 2>/dev/null
sync
reboot -f
"""


def test_reset_boots_a_compressed_kernel_again(tmp_path):
    """`reboot` stops the run; `Machine.reset` loads everything anew, and the disk keeps what was written."""
    kernel = tmp_path / "Image.gz"
    kernel.write_bytes(gzip.compress(debian_kernel().read_bytes(), compresslevel=1))
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"first\n".ljust(4096, b"\0"))
    with vm.Machine() as machine:
        machine.attach(vm.devices.BlockDevice(disk))
        load_linux(machine, COMMANDS, kernel=kernel)
        first = run_to_end(machine)
        assert first.stop.reason is vm.StopReason.RESET
        assert first.lines[:2] == [READY, "found first"]
        machine.reset()
        second = run_to_end(machine)
        assert second.stop.reason is vm.StopReason.POWER_OFF
        output = second.output[len(first.output):].decode().splitlines()
        assert output[:2] == [READY, "found second"]
