"""Programs on four harts under Debian's kernel: locks, futexes, processes, signals, pages and code that change.

    python -m pytest -m slow tests/boot/test_smp_stress.py      # for longer
"""

from pathlib import Path

import pytest

import vm
from tests.assembler import OUTPUT
from tests.boot.test_kvm import with_files
from tests.litmus.machines import MODES, machine_of
from vm.guests.compiler import compile_c
from vm.images.busybox import QUICK_CMDLINE, debian_kernel, userspace_initrd

pytestmark = pytest.mark.network

HARTS = 4
GUEST = Path(__file__).parent / "smp_guest"
FLAGS = ("-target", "riscv64-linux-musl", "-static", "-pthread", "-O2", "-Wall", "-Wextra", "-Werror")
PARTS = ("locks", "futexes", "processes", "signals", "membarrier", "pages", "code")
# Rounds that a part has.
FEW, MANY = 100, 10_000
SECONDS = 600                   # of the guest's time


@pytest.fixture(scope="module")
def stress(tmp_path_factory):
    program = tmp_path_factory.mktemp("smp") / "stress"
    compile_c(GUEST, [*FLAGS, "stress.c"], program, libraries=OUTPUT / "zig-cache")
    return program.read_bytes()


@pytest.mark.parametrize("rounds", [FEW, pytest.param(MANY, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
@pytest.mark.parametrize("mode", MODES)
def test_programs_find_nothing_wrong(mode, rounds, stress):
    commands = f"cd /root; ./stress {rounds}; echo status $?; grep -c ^processor /proc/cpuinfo; poweroff -f"
    with machine_of(mode, harts=HARTS) as machine:
        machine.boot(debian_kernel(), with_files(userspace_initrd(commands), {"stress": stress}), QUICK_CMDLINE)
        stop = machine.run(seconds=SECONDS)
        lines = machine.console.output.decode().replace("\r\n", "\n").splitlines()
    assert stop.reason is vm.StopReason.POWER_OFF, lines[-10:]
    assert lines[lines.index("locks ok"):][:len(PARTS)] == [f"{part} ok" for part in PARTS]
    assert lines[lines.index("status 0") + 1] == str(HARTS)
