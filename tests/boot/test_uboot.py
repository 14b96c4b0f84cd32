"""U-Boot, as Debian builds it for QEMU's board: a kernel that is no Linux, a program in M-mode, what boots a disk."""

import subprocess

import pytest

import vm
from tests import tools
from vm.devices import BlockDevice
from vm.images import boot_loader, debian_package, extract
from vm.images.busybox import debian_kernel, userspace_initrd

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def uboot():
    """uboot(name) -> the file of Debian's package"""
    files = extract(debian_package("u-boot-qemu"), "usr/lib/u-boot/qemu-riscv64*/*")
    return lambda name: files[f"usr/lib/u-boot/{name}"]


@pytest.fixture
def machine():
    with vm.Machine(memory="256M") as machine:
        yield machine


def reach_prompt(machine):
    """It asks nobody whether to boot, finds nothing that it could, and has its prompt then."""
    machine.console.expect("=> ", seconds=30)
    assert "Hit any key" not in machine.console.text


@pytest.mark.parametrize("name, address", [("uboot.elf", None), ("u-boot.bin", 0x8020_0000)])
def test_as_a_kernel(uboot, machine, name, address):
    """It finds RAM, console and devices by the tree that it is given, and takes the command line from there."""
    linux = machine.boot(uboot(f"qemu-riscv64_smode/{name}"), cmdline="said=to-the-kernel", address=address)
    reach_prompt(machine)
    assert "Model: riscv-virtio,vm" in machine.console.text and "DRAM:  256 MiB" in machine.console.text
    machine.console.send(f"fdt addr {linux.dtb_address:x}; fdt print /chosen bootargs\n")
    machine.console.expect('bootargs = "said=to-the-kernel"', seconds=30)


def test_as_a_program(uboot, machine):
    machine.load(uboot("qemu-riscv64/u-boot.bin"), address=0x8000_0000)
    reach_prompt(machine)
    assert "DRAM:  256 MiB" in machine.console.text


EXTLINUX = """default disk
label disk
    linux /vmlinux
    initrd /initrd
    append console=ttyS0 quiet said=to-linux
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """An image with a system in its first partition, as mke2fs and the specification of extlinux.conf have it."""
    tools.require("mke2fs")
    folder = tmp_path_factory.mktemp("system")
    (folder / "root/extlinux").mkdir(parents=True)
    (folder / "root/extlinux/extlinux.conf").write_text(EXTLINUX)
    (folder / "root/vmlinux").write_bytes(debian_kernel().read_bytes())
    (folder / "root/initrd").write_bytes(userspace_initrd("cat /proc/cmdline").read_bytes())
    image = folder / "disk.img"
    start, size = 2048, 128 << 11           # of the partition, in sectors
    table = bytearray(512)
    table[446:462] = b"\x80\0\0\0\x83\0\0\0" + start.to_bytes(4, "little") + size.to_bytes(4, "little")
    table[510:] = b"\x55\xaa"
    image.write_bytes(table)
    with open(image, "r+b") as file:
        file.truncate((start + size) * 512)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", folder / "root", "-E", f"offset={start * 512}", image,
                    f"{size // 2}k"], check=True)
    return image


def test_what_it_finds_on_a_disk(disk):
    """Linux has the command line of the disk: U-Boot adds it, and where the initrd is, to its copy of the tree."""
    with vm.Machine(memory="512M") as machine:
        machine.attach(BlockDevice(disk, read_only=True))
        machine.boot(boot_loader())
        machine.console.expect("guest: ready", seconds=60)
        machine.console.expect("console=ttyS0 quiet said=to-linux", seconds=10)
        assert machine.run().reason is vm.StopReason.POWER_OFF
