"""Debian's kernel counts events of programs, and samples them (perf_event_open), on each firmware and engine."""

import gzip
import stat
from pathlib import Path

import pytest

import vm
from tests.assembler import OUTPUT
from tests.boot.linux import numbers, run_to_end, script
from vm.guests.compiler import compile_c
from vm.images.busybox import QUICK_CMDLINE, debian_kernel, opensbi, userspace_initrd
from vm.images.cpio import cpio_newc

pytestmark = pytest.mark.network

PROGRAM = Path(__file__).parent / "perf_guest"
FLAGS = ("-target", "riscv64-linux-musl", "-static", "-O2", "-Wall", "-Wextra", "-Werror")
TURNS, PERIOD = 1_000_000, 100_000      # as in the program, of which a turn is four instructions
INSTRUCTIONS = 4 * TURNS
CALLS = 100


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    program = tmp_path_factory.mktemp("perf") / "counts"
    compile_c(PROGRAM, [*FLAGS, "counts.c"], program, libraries=OUTPUT / "zig-cache")
    archive = cpio_newc([("bin/counts", stat.S_IFREG | 0o755, program.read_bytes(), (0, 0))])
    return gzip.compress(archive, mtime=0)      # which may stand behind another at any address


def counted(counts: bytes, isa: str, firmware: str | None, **options) -> dict[str, list[int]]:
    """What the program says, by name: numbers; none where the kernel cannot count that."""
    commands = script(counts="counts 2>&1", trouble="dmesg -r | grep '^<[0-4]>'")
    initrd = userspace_initrd(commands).read_bytes() + counts
    with vm.Machine(isa=isa, **options) as machine:
        machine.boot(debian_kernel(), initrd, QUICK_CMDLINE, firmware=firmware and opensbi()[firmware])
        record = run_to_end(machine)
    assert (record.stop.reason, record.section("trouble")) == (vm.StopReason.POWER_OFF, [])
    lines = [line.partition(" ") for line in record.section("counts")]
    return {name.rstrip(":"): numbers(rest) for name, _, rest in lines}


@pytest.mark.parametrize("firmware", [None, "fw_dynamic.bin"], ids=["built-in", "OpenSBI"])
@pytest.mark.parametrize("engine", ["interpreter", "jit"])
@pytest.mark.parametrize("isa, harts", [("default", 1), ("default", 2), ("rva23s64", 1)])
def test_counts_and_samples_of_a_loop(isa, harts, engine, firmware, counts):
    """Each count is what the loop executes; and there is a sample for each period, in the loop."""
    found = counted(counts, isa, firmware, harts=harts, engine=engine)
    for name in ("instructions", "raw-instructions"):
        assert found[name] == [INSTRUCTIONS]
    for name in ("cycles", "reference-cycles"):     # with page faults, if there are some
        assert 0 <= found[name][0] - INSTRUCTIONS <= 8
    assert found["cache-misses"] == []              # there is nothing that counts these
    for name in ("samples-of-instructions", "samples-of-cycles"):
        assert found[name] == [INSTRUCTIONS // PERIOD] * 2
    assert CALLS < found["exceptions"][0] <= CALLS + 8


@pytest.mark.parametrize("firmware", [None, "fw_dynamic.bin"], ids=["built-in", "OpenSBI"])
def test_firmware_counts_timers_where_it_sets_them(firmware, counts):
    """Without Sstc the kernel asks firmware for each. Without Sscofpmf there are counts, but no samples."""
    found = counted(counts, "rva22s64", firmware)
    assert found["timers"][0] > 0
    assert found["samples-of-instructions"] == []
    assert found["instructions"][0] >= INSTRUCTIONS     # there are no filters: with interrupts of the kernel
