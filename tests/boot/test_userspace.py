"""Debian's kernel boots to userspace and uses every device, on the firmware of the machine and on OpenSBI.

One boot for each firmware, recorded; the tests read the record.
"""

import hashlib
import os
from typing import NamedTuple

import pytest

import vm
from tests.boot.linux import MIB, Record, closing, load_linux, run_to_end, script
from vm.clock import VIRTUAL_EPOCH_NS
from vm.images.busybox import READY
from vm_native.interpreter.forms import forms
from vm_native.jit.compiler import unavailable

pytestmark = pytest.mark.network

FIRMWARES = (None, "fw_jump.elf", "fw_dynamic.bin")
PATTERN = bytes(range(256)) * (MIB // 256)
SECTOR = 512
WRITTEN_SECTOR = 100
WRITTEN = b"written by the guest\n"
COMMANDS = script(
    disk="sha256sum /dev/vda",
    write=f"echo '{WRITTEN.decode().strip()}' | dd of=/dev/vda bs={SECTOR} seek={WRITTEN_SECTOR} conv=notrunc 2>&1\n"
          "sync; echo synced",
    clock="cat /sys/class/rtc/rtc0/since_epoch; date +%s; date -u",
    entropy="cat /sys/class/misc/hw_random/rng_current; dd if=/dev/hwrng bs=16 count=1 2>/dev/null | od -An -tx1",
    sbi="dmesg | grep 'SBI implementation'",
    trouble="dmesg -r | grep '^<[0-4]>'",
)


class Boot(NamedTuple):
    firmware: str | None
    record: Record
    entropy: vm.devices.Entropy
    disk_at_sync: bytes
    compiled: bool                      # most of the steps ran in compiled code


def boot(disk, firmware=None, seed=0, settings=None) -> Boot:
    disk.write_bytes(PATTERN)
    entropy = vm.devices.Entropy(seed)
    with closing(vm.Machine(settings=settings), vm.devices.BlockDevice(disk), entropy) as machine:
        load_linux(machine, COMMANDS, firmware)
        machine.console.expect("\nsynced")
        disk_at_sync = disk.read_bytes()
        record = run_to_end(machine)
        interpreted = machine.stats().get("jit", {"interpreted": record.steps})["interpreted"]
        return Boot(firmware, record, entropy, disk_at_sync, interpreted < record.steps / 10)


@pytest.fixture(scope="module", params=FIRMWARES, ids=lambda firmware: firmware or "built-in")
def booted(request, tmp_path_factory):
    return boot(tmp_path_factory.mktemp("disk") / "disk.img", request.param)


def test_reaches_userspace_and_powers_off(booted):
    """The process that the kernel starts first runs; its `poweroff` ends the run with exit code 0."""
    assert READY in booted.record.lines
    assert (booted.record.stop.reason, booted.record.stop.exit_code) == (vm.StopReason.POWER_OFF, 0)


def test_firmware_is_the_one_asked_for(booted):
    """SBI implementation id 1 is OpenSBI, whose version is major << 16 | minor; ours is not registered."""
    expected = "ID=0x766d Version=0x1" if booted.firmware is None else "ID=0x1 Version=0x10006"
    (line,) = booted.record.section("sbi")
    assert line.endswith(expected)
    assert ("OpenSBI v1.6" in booted.record.lines) == (booted.firmware is not None)


def test_guest_reads_what_is_on_the_disk(booted):
    assert booted.record.section("disk") == [f"{hashlib.sha256(PATTERN).hexdigest()}  /dev/vda"]


def test_flushed_write_is_in_the_file(booted):
    """When `sync` returns, the data is in the image, and nothing else there has changed."""
    start = WRITTEN_SECTOR * SECTOR
    expected = PATTERN[:start] + WRITTEN + PATTERN[start + len(WRITTEN):]
    assert booted.disk_at_sync == expected


def test_clock_gives_the_date(booted):
    """The goldfish clock is the guest's date; a virtual one starts at 2025-01-01 00:00 UTC."""
    hardware, system, text = booted.record.section("clock")
    assert 0 <= int(hardware) - VIRTUAL_EPOCH_NS // 10**9 < 60
    assert abs(int(system) - int(hardware)) <= 1
    assert text.startswith("Wed Jan  1 00:00:") and text.endswith("UTC 2025")


def test_entropy_reaches_the_guest(booted):
    source, sample = booted.record.section("entropy")
    assert source.startswith("virtio_rng")
    assert len(set(sample.split())) > 4
    assert booted.entropy.requests > 0


def test_kernel_warns_of_nothing(booted):
    """No message of level warning or worse, on either kind of firmware."""
    assert booted.record.section("trouble") == []


@pytest.mark.parametrize("booted", [None], indirect=True, ids=["built-in"])
def test_same_boot_takes_the_same_steps(booted, tmp_path):
    """A second run stops at the same step, pc and time, and prints the same bytes."""
    assert boot(tmp_path / "disk.img").record == booted.record


@pytest.mark.parametrize("booted", [None], indirect=True, ids=["built-in"])
@pytest.mark.parametrize("form", forms())
def test_interpreter_takes_the_same_steps(booted, form, tmp_path):
    """Each form of the interpreter gives the run of the compiling engine, to the step and the byte."""
    assert booted.compiled or unavailable() or os.environ.get("VM_ENGINE") == "interpreter"
    settings = vm.Settings(engine="interpreter", dispatch=form)
    assert boot(tmp_path / "disk.img", settings=settings).record == booted.record
