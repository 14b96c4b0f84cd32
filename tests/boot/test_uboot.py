"""U-Boot, as Debian builds it for QEMU's board: a kernel that is no Linux, and a program in M-mode."""

import pytest

import vm
from vm.images import debian_package, extract

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
    """Without the seconds in which it waits, and reads the clock."""
    machine.console.expect("Hit any key", seconds=30)
    machine.console.send(" ")
    machine.console.expect("=> ", seconds=30)


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
