"""Debian's kernel with KVM on a hart with H: guests of the guest, from a few instructions to a whole Linux."""

import stat
from pathlib import Path

import pytest

import vm
from tests.assembler import OUTPUT
from vm.guests.compiler import compile_c
from vm.images import debian
from vm.images.busybox import opensbi, userspace_initrd
from vm.images.cpio import cpio_newc
from vm.testing import Shell

pytestmark = pytest.mark.network

ISA = "default_h"
MONITOR = Path(__file__).parent / "kvm_guest"
FLAGS = ("-target", "riscv64-linux-musl", "-static", "-O2", "-Wall", "-Wextra", "-Werror")
QEMU = ("qemu-system-riscv64 -M virt{} -accel kvm -cpu host -m 256M -nographic -no-reboot -kernel Image "
        "-initrd inner.gz -append 'console=ttyS0 quiet cryptomgr.notests'")
SECONDS = 120                           # of the guest's time, for whatever is asked of it


def with_files(initrd: Path, files: dict[str, bytes]) -> bytes:
    """The initrd, with more in /root: programs, all of them. Linux looks for an archive at multiples of four."""
    more = [(f"root/{name}", stat.S_IFREG | 0o755, content, (0, 0)) for name, content in files.items()]
    content = initrd.read_bytes()
    return content + bytes(-len(content) % 4) + cpio_newc(more)


@pytest.fixture(scope="module")
def monitor(tmp_path_factory):
    program = tmp_path_factory.mktemp("kvm") / "monitor"
    compile_c(MONITOR, [*FLAGS, "monitor.c"], program, libraries=OUTPUT / "zig-cache")
    return program.read_bytes()


@pytest.mark.parametrize("firmware", [None, "fw_dynamic.bin"], ids=["built-in", "OpenSBI"])
@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_guest_runs_under_kvm(engine, firmware, monitor):
    """It prints by calls that KVM hands to the monitor, and gets its timer's interrupt."""
    image = debian(modules=["kvm"])
    with vm.Machine(memory="512M", isa=ISA, engine=engine) as machine:
        machine.boot(image.kernel, with_files(image.initrd, {"monitor": monitor}), image.cmdline,
                     firmware=firmware and opensbi()[firmware])
        shell = Shell(machine)
        assert "hypervisor extension available" in shell.run("modprobe kvm; dmesg", seconds=SECONDS).output
        for _ in range(2):
            result = shell.run("./monitor", seconds=SECONDS)
            assert (result.output, result.status) == ("hello from a guest\ninterrupt 5\n", 0)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_linux_boots_in_linux(engine):
    """Debian's kernel under Debian's QEMU with KVM, to programs of its own."""
    image = debian(packages=["qemu-system-riscv"], modules=["kvm"])
    inner = userspace_initrd("grep -c processor /proc/cpuinfo; echo the answer is $((6 * 7)); poweroff -f")
    files = {"Image": image.kernel.read_bytes(), "inner.gz": inner.read_bytes()}
    with vm.Machine(memory="2G", isa=ISA, engine=engine) as machine:
        machine.boot(image.kernel, with_files(image.initrd, files), image.cmdline)
        shell = Shell(machine)
        result = shell.run(f"modprobe kvm; {QEMU.format('')}", seconds=SECONDS)
        assert "the answer is 42" in result.output
        assert result.status == 0


@pytest.mark.slow
def test_guests_get_interrupts_by_files_of_their_own():
    """Debian's KVM gives each of two virtual harts one of an IMSIC's files: it is told of what comes for one that
    waits, and they are told of wires, timers and each other.
    """
    image = debian(packages=["qemu-system-riscv"], modules=["kvm"])
    inner = userspace_initrd("cat /proc/interrupts; dmesg | grep imsic; poweroff -f")
    files = {"Image": image.kernel.read_bytes(), "inner.gz": inner.read_bytes()}
    with vm.Machine(memory="2G", isa="default_h", harts=2, aia="aplic-imsic", aia_guests=5) as machine:
        machine.boot(image.kernel, with_files(image.initrd, files), image.cmdline)
        shell = Shell(machine)
        written: set[int] = set()
        machine.on_csr("hgeie", lambda event: written.add(event.value), access="write")
        result = shell.run(f"modprobe kvm; {QEMU.format(',aia=aplic-imsic -smp 2')}", seconds=SECONDS)
        own = shell.run("cat /proc/interrupts", seconds=SECONDS).output.splitlines()
    assert result.status == 0
    assert "providing IPIs using interrupt" in result.output
    assert any("APLIC-MSI" in line and "ttyS0" in line for line in result.output.splitlines())
    assert any(written)                             # files whose interrupts it waits for
    told = next(line.split() for line in own if line.endswith("riscv-kvm"))
    assert int(told[1]) + int(told[2]) > 0
