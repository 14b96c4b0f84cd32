"""Debian's unmodified kernel on boards with APLICs, without and with IMSICs, under each firmware."""

import pytest

import vm
from tests.boot.linux import load_linux, run_to_end, script
from vm.images import debian
from vm.images.busybox import READY, opensbi
from vm.testing import Shell

pytestmark = pytest.mark.network

CHIPS = {"aplic": "APLIC-DIRECT", "aplic-imsic": "APLIC-MSI"}
LOOK = script(interrupts="cat /proc/interrupts", log="dmesg", trouble="dmesg -r | grep '^<[0-4]>'")


@pytest.mark.parametrize("harts", [1, 2])
@pytest.mark.parametrize("firmware", [None, "fw_dynamic.bin"], ids=["built-in", "OpenSBI"])
@pytest.mark.parametrize("aia", CHIPS)
def test_interrupts_come_by_these_controllers(aia, firmware, harts):
    with vm.Machine(aia=aia, harts=harts) as machine:
        load_linux(machine, LOOK, firmware)
        record = run_to_end(machine)
    assert READY in record.lines
    assert (record.stop.reason, record.section("trouble")) == (vm.StopReason.POWER_OFF, [])
    console = next(line for line in record.section("interrupts") if line.endswith("ttyS0"))
    assert CHIPS[aia] in console and int(console.split()[1]) > 0
    log = "\n".join(record.section("log"))
    assert "local interrupts mapped using AIA" in log
    assert ("providing IPIs using interrupt" in log) == (aia == "aplic-imsic")


@pytest.mark.parametrize("firmware", [None, "fw_dynamic.bin"], ids=["built-in", "OpenSBI"])
def test_kvm_finds_files_for_its_guests(firmware):
    image = debian(modules=["kvm"])
    with vm.Machine(aia="aplic-imsic", aia_guests=5, isa="default_h", harts=2) as machine:
        machine.boot(image.kernel, image.initrd, image.cmdline, firmware=firmware and opensbi()[firmware])
        log = Shell(machine).run("modprobe kvm; dmesg", seconds=120).output
    assert "AIA available with 5 guest external interrupts" in log
    assert "guest-index-bits: 3" in log


def test_boot_is_the_same_each_time():
    records = []
    for _ in range(2):
        with vm.Machine(aia="aplic-imsic", harts=2) as machine:
            load_linux(machine, LOOK)
            records.append(run_to_end(machine))
    assert records[0] == records[1]


@pytest.mark.parametrize("aia", CHIPS)
def test_snapshot_in_the_middle_goes_on_alike(aia, tmp_path):
    """From a file, in another machine."""
    with vm.Machine(aia=aia) as machine:
        load_linux(machine, LOOK)
        machine.run(instructions=200_000_000)
        machine.snapshot().save(tmp_path / "boot.vmsnap")
        whole = run_to_end(machine)
    with vm.Snapshot.load(tmp_path / "boot.vmsnap").machine() as machine:
        again = run_to_end(machine)
    assert again.stop == whole.stop and again.steps == whole.steps
    assert whole.output.endswith(again.output) or again.output.endswith(whole.output)
