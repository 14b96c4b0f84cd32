"""The kernels do as often what the report says they do."""

import pytest

from vm.bench.contenders import contender
from vm.bench.errors import NotBuilt
from vm.bench.guests.build import CLOCK_DEVICE, ROOT, build_kernels
from vm.bench.kernels import DATA, Kernels
from vm.bench.rows import blocks, engines
from vm.boards.virt import RAM_BASE
from vm_native.jit.compiler import SWITCHES
from vm_native.riscv.hart import NativeHart


def steps_a_turn(kernels: Kernels, kernel: str | int, *arguments: int, satp: int | None = None) -> float:
    hart: NativeHart = kernels.hart
    counts = []
    for turns in (512, 1536):
        before = hart.steps
        kernels.run(kernel, turns, *arguments, satp=satp)
        counts.append(hart.steps - before)
    return (counts[1] - counts[0]) / 1024


@pytest.fixture
def kernels():
    return Kernels("interpreter")


def test_shipped_elf_is_what_the_source_builds(tmp_path):
    pytest.importorskip("ziglang")
    assert build_kernels(tmp_path / "kernels.elf").read_bytes() == (ROOT / "elf" / "kernels.elf").read_bytes()


# Each with the count of the loop's own instructions.
@pytest.mark.parametrize("kernel, steps", [("arithmetic", 16 + 2), ("calls", 4 * 3 + 2), ("floating", 8 + 2),
                                           ("csrs", 8 + 2), ("ecalls", 5 + 2)])
def test_steps_of_a_turn(kernels: Kernels, kernel: str, steps: int):
    assert steps_a_turn(kernels, kernel) == steps


def test_accesses_go_round_and_round(kernels: Kernels):
    """1 KiB is 16 turns; the last of them goes back to the start by two jumps in place of one."""
    assert steps_a_turn(kernels, "loads", DATA, 1024) == 8 + 4 + 2 / 16
    kernels.run("stores", 16, DATA, 1024)
    written = kernels.machine.memory.array(DATA, 129, "u8")
    assert list(written[:128]) == [DATA + 64 * (i // 8) for i in range(128)] and written[128] == 0


def test_a_device_is_read_once_a_turn(kernels: Kernels):
    assert steps_a_turn(kernels, "words", CLOCK_DEVICE) == 3


@pytest.mark.parametrize("level", [0, 1, 2])
def test_paging_maps_ram_onto_itself(kernels: Kernels, level: int):
    satp = kernels.map_pages(level)
    assert steps_a_turn(kernels, "pages", RAM_BASE, 64, satp=satp) == 8 + 3 / 64
    assert kernels.hart.virtual.physical(DATA + 0x1234) == DATA + 0x1234
    assert steps_a_turn(kernels, "switches", satp, satp | 1 << 44, satp=satp) == 2 * 11 + 2


@pytest.mark.parametrize("indirect", [False, True])
def test_a_chain_runs_every_block_once_a_turn(kernels: Kernels, indirect: bool):
    count, jump, end = 100, 3 if indirect else 1, 2
    start = blocks.write_chain(kernels, count, indirect)
    expected = (count - 1) * (blocks.WORK + jump) + end + (3 if indirect else 0) + jump
    assert steps_a_turn(kernels, start) == expected


def test_an_engine_that_is_not_there_is_not_built():
    with pytest.raises(NotBuilt, match="VM_DISPATCH=none"):
        Kernels("interpreter:VM_DISPATCH=none")


def test_switches_of_the_jit_have_their_names():
    """A row of the ablation whose switch has been renamed would compare the JIT with itself."""
    if contender("jit").missing():
        pytest.skip("no JIT on this host")
    assert set(engines.SWITCHES) <= set(SWITCHES)
