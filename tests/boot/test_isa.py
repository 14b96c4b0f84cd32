"""Debian's kernel on harts that have more or less than the default, on each firmware: it boots, or is refused."""

from pathlib import Path

import pytest

import vm
from tests.boot.linux import load_linux, run_to_end, script
from tests.tools import require
from vm.images.busybox import CMDLINE, QUICK_CMDLINE, READY, debian_kernel, opensbi, userspace_initrd
from vm_native.riscv.isa import EXTENSIONS, LETTERS, PROFILES, parse

pytestmark = pytest.mark.network

# What QEMU brings: 1.1 in Debian 12. It lends neither `seed` to the kernel nor switches anything on by the device tree.
OF_QEMU = Path("/usr/share/qemu/opensbi-riscv64-generic-fw_dynamic.bin")
FIRMWARES = {
    "built-in": lambda: None,
    "OpenSBI": lambda: opensbi()["fw_dynamic.bin"],
    "OpenSBI of QEMU": lambda: OF_QEMU,
}
FIRST_LINE = b"Linux version"
ENOUGH = "rv64imac_zifencei"            # for Debian's kernel, if not for the programs of its initrd
TROUBLE = script(trouble="dmesg -r | grep '^<[0-4]>'")


@pytest.fixture(params=FIRMWARES)
def firmware(request):
    if request.param == "OpenSBI of QEMU":
        require(str(OF_QEMU))
    return FIRMWARES[request.param]()


@pytest.mark.parametrize("isa", ["default", "rv64gc", "rv64gc_sv57", "rva20s64", "rva22s64", "rva23s64",
                                 "rva23s64_sv57_zicfilp_zicfiss_smnpm_smcntrpmf", "rv64gc_zicntr_sstc"])
def test_boots_to_userspace_with_no_warning(isa, firmware):
    """rv64gc has no counters: firmware emulates `time`, which the kernel reads before it has a console."""
    with vm.Machine(isa=isa) as machine:
        machine.boot(debian_kernel(), initrd=userspace_initrd(TROUBLE), cmdline=QUICK_CMDLINE,
                     firmware=firmware)
        record = run_to_end(machine)
    assert READY in record.lines
    assert (record.stop.reason, record.section("trouble")) == (vm.StopReason.POWER_OFF, [])


def test_entropy_source_by_name():
    """Firmware that lends `seed`, as the built-in one, takes Zkr; the kernel seeds its generator from it."""
    with vm.Machine(isa="default_zkr") as machine:
        load_linux(machine, "true")
        assert machine.harts[0]["mseccfg"] == 1 << 9
        assert READY in run_to_end(machine).lines


def without(name: str) -> str:
    """The default ISA without an extension and all that brings it along."""
    kept = [other for other in (*LETTERS, *EXTENSIONS) if other in parse("default").extensions
            and name not in parse(f"rv64i_{other}").extensions]
    return "_".join(["rv64i", *kept]).lower()


def says_something(isa: str, firmware) -> str:
    """What comes first: the kernel's first line, a refusal, or a stop. Nothing within 20 guest seconds is a failure."""
    try:
        with vm.Machine(isa=isa) as machine:
            machine.boot(debian_kernel(), initrd=userspace_initrd("true"), cmdline=CMDLINE, firmware=firmware)
            stop = machine.run(seconds=20, until=lambda machine: FIRST_LINE in machine.console.output)
    except vm.LoadError as error:
        assert "\n" not in str(error)
        return "refused"
    assert stop.reason is not vm.StopReason.DEADLINE, isa
    return "boots" if stop.reason is vm.StopReason.CONDITION else "stops"


# Compiled into the kernel; without a compressed instruction not even its first one runs, and the stop says so.
NEEDED = {"M": "refused", "A": "refused", "Zmmul": "refused", "Zaamo": "refused", "Zalrsc": "refused",
          "Zifencei": "refused", "C": "stops", "Zca": "stops"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(parse("default").extensions - {"I", "S", "Zicsr", "Sv39"}))
def test_default_without_one_extension(name, firmware):
    if name in parse(without(name)).extensions:
        pytest.skip("other extensions together bring it along")
    found = says_something(without(name), firmware)
    if firmware is None or name in NEEDED:
        assert found == NEEDED.get(name, "boots")
    else:
        assert found in ("boots", "stops")          # OpenSBI itself is compiled for more than the kernel


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", [*LETTERS, *EXTENSIONS])
def test_every_extension_beside_what_the_kernel_needs(name):
    assert says_something(f"{ENOUGH}_{name}", None) == "boots"


@pytest.mark.parametrize("isa, found", {
    **dict.fromkeys((*PROFILES, ENOUGH, "rv64ima_c_zifencei", "rv64gc_svade_svadu", "rv64gc_svade"), "boots"),
    "rva23u64": "refused",              # of user programs: it demands neither pages nor fence.i
    "rv64i": "refused", "rv64imac": "refused", "rv64g": "stops", "rv64ima_zifencei": "stops",
}.items())
def test_other_strings(isa, found):
    assert says_something(isa, None) == found
