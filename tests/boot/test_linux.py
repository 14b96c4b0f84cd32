"""`vm.images.debian()`: a shell, disks with a file system, packages, and the end; one machine for most of it."""

import subprocess

import pytest

import vm
from vm.images.linux import FILES

pytestmark = pytest.mark.network

PACKAGES = ["bash", "dash", "e2fsprogs"]


@pytest.fixture(scope="module")
def linux():
    return vm.images.debian(packages=PACKAGES)


@pytest.fixture(scope="module")
def shell(linux, tmp_path_factory):
    disk = tmp_path_factory.mktemp("disk") / "disk.img"
    with open(disk, "wb") as image:
        image.truncate(16 << 20)
    with vm.Machine() as machine:
        machine.attach(vm.devices.BlockDevice(disk))
        machine.boot(*linux)
        yield machine.shell()


def test_system_is_debians(shell, linux):
    assert shell.run("uname -r").output.strip() == linux.kernel.name.removeprefix("vmlinux-")
    assert shell.run("id -un; pwd", check=True).output == "root\n/root\n"


def test_disk_with_ext4_can_be_mounted_and_keeps_what_is_written(shell):
    """The kernel loads the file system as it mounts; this mkfs.ext4 is the package's, with a journal and crc32c."""
    shell.run("mkfs.ext4 -q -O metadata_csum /dev/vda && mount /dev/vda /mnt && echo kept > /mnt/file", check=True)
    assert " ext4 " in shell.run("grep /mnt /proc/mounts").output
    shell.run("umount /mnt && mount -t ext4 /dev/vda /mnt", check=True)
    assert shell.run("cat /mnt/file; umount /mnt").output == "kept\n"


def test_9p_is_there(shell):
    """Nothing exports a file tree, which the transport says: it is loaded, then."""
    assert shell.run("mount -t 9p -o trans=virtio nowhere /mnt").status != 0
    modules = shell.run("lsmod").output
    assert all(f"\n{name} " in modules for name in ("9p", "9pnet_virtio", "netfs"))


def test_drivers_are_loaded(shell):
    modules = shell.run("lsmod").output
    assert all(f"\n{name} " in modules for name in ("virtio_blk", "virtio_net", "virtio_rng", "virtio_mmio"))


def test_package_runs_with_its_libraries(shell):
    assert shell.run("bash -c 'echo ${BASH_VERSINFO[0]}'", check=True).output == "5\n"
    assert shell.run("readlink /usr/bin/bash").status == 1              # a program, not a link to busybox


@pytest.mark.parametrize("name", ["bash --norc", "bash --posix", "dash", "busybox ash"])
def test_every_shell_gives_output_and_status(shell, name):
    """Errors of syntax and expansion as well, with the statuses of POSIX.1-2017, XCU 2.8.1: not 0."""
    shell.machine.console.send(f"{name} -i\n")
    inner = shell.machine.shell()
    assert inner.run("readlink /proc/$$/exe").output.strip().endswith(name.partition(" ")[0])
    assert inner.run("cd /proc; printf 'a\\n\\tb'").output == "a\n\tb"
    assert inner.run("cat <<END\n$PWD '!' \\\\\nEND\n(exit 42)").status == 42
    assert all(inner.run(wrong).status > 0 for wrong in ("if", "echo )", "echo ${nothing?}"))
    assert inner.run("echo " + "x" * 3000).output == "x" * 3000 + "\n"
    shell.machine.console.send("exit\n")
    assert shell.machine.shell().run("echo back").output == "back\n"


def test_job_control_works(shell):
    shell.machine.console.send("sleep 1000\n")
    shell.machine.run(seconds=1)
    shell.machine.console.send("\x03")
    assert shell.run("echo back", seconds=5).output == "back\n"


def test_machine_powers_off_when_the_shell_ends(linux):
    with vm.Machine() as machine:
        machine.boot(*linux)
        machine.shell()
        machine.console.send("exit\n")
        assert machine.run(seconds=10).reason is vm.StopReason.POWER_OFF


def test_image_is_made_once(linux):
    before = linux.initrd.stat()
    assert vm.images.debian(packages=PACKAGES[::-1]) == linux
    assert linux.initrd.stat() == before


def test_scripts_are_correct():
    """dash -n reads them without running them."""
    for name in ("init", "usr/sbin/session"):
        assert subprocess.run(["sh", "-n"], input=FILES[name][1].encode(), check=False).returncode == 0
