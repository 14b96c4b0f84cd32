"""`Machine.stats()`: what it counts, beside what the guest is known to do."""

from itertools import pairwise

import pytest

import vm
from tests.assembler import assemble_elf
from vm.bench.guests.build import elf
from vm.bench.kernels import DATA, Kernels
from vm.boards.virt import RAM_BASE
from vm.stats import distribution
from vm.stop import StopReason
from vm_native.jit.compiler import REASONS


def machine(**options) -> vm.Machine:
    built = vm.Machine(memory="64M", **options)
    built.load(elf("recursion"))
    return built


def test_compiled_share_and_way_out_of_compiled_code():
    with machine(engine="jit") as running:
        assert running.stats()["jit"]["compiled"] == 0
        running.run(instructions=10_000_000)
        stats = running.stats()
    jit = stats["jit"]
    assert stats["steps"] == 10_000_000
    assert jit["compiled"] == 1 - jit["interpreted"] / 10_000_000 > 0.98
    assert jit["traces"] > 0 and jit["host_bytes"] > jit["instructions"] > 0 and jit["compile_ns"] > 0
    assert tuple(jit["exits"]) == REASONS
    # A slice has at most 1,000,000 steps, and each but the last ends in compiled code.
    assert jit["exits"]["budget"] >= 9 * jit["compiled"] - 2
    assert jit["exits"]["unlinked"] >= jit["links"] / 8


@pytest.mark.parametrize("switch, reason, few", [("linking", "unlinked", 10_000), ("jump_cache", "unknown", 10_000)])
def test_a_part_that_is_off_shows_in_why_compiled_code_is_left(switch, reason, few):
    def left(**switches: bool) -> int:
        with machine(engine="jit", settings=vm.Settings(switches=switches)) as running:
            running.run(instructions=2_000_000)
            return running.stats()["jit"]["exits"][reason]

    assert left() < few
    assert left(**{switch: False}) > few


@pytest.mark.parametrize("jump_cache", [True, False])
def test_compiled_code_goes_on_behind_a_trap_that_the_interpreter_takes(jump_cache):
    settings = vm.Settings(hot=0, switches={"jump_cache": jump_cache})
    with vm.Machine(memory="64M", engine="jit", settings=settings) as running:
        running.load(elf("syscall"))
        running.run(instructions=1_000_000)
        jit = running.stats()["jit"]
    assert jit["fallbacks"] > 10_000
    assert (jit["exits"]["fallback"] > 1_000) == (not jump_cache)


def test_interpreter_has_no_counters_of_a_compiler():
    with machine(engine="interpreter") as running:
        running.run(instructions=1_000)
        stats = running.stats()
    assert stats["steps"] == 1_000 and stats["translations"] > 0 and "jit" not in stats


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
@pytest.mark.parametrize("pages, least, most", [(512, 512, 512), (2048, 60_000, 64_000)])
def test_tlb_misses_of_loads_from_fewer_and_more_pages_than_it_has_entries(engine, pages, least, most):
    kernels = Kernels(engine)
    kernels.run("pages", 64_000, RAM_BASE, pages, satp=kernels.map_pages())
    assert least <= kernels.machine.stats()["tlb_misses"]["loads"] <= most


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_without_the_tlb_every_load_misses(engine):
    kernels = Kernels(f"{engine}:VM_TLB=0")
    kernels.run("loads", 1_000, DATA, 1024)
    assert kernels.machine.stats()["tlb_misses"]["loads"] == 8_000


TURNS = 5


def test_rests_of_harts_in_threads():
    """Hooks are called in one."""
    pauses = []
    program = assemble_elf(f"li t0, {TURNS}; 1: addi t0, t0, -1; here: bnez t0, 1b; 2: wfi; j 2b")
    with vm.Machine(memory="1M", harts=2, threads=True) as running:
        running.load(program)
        running.on_execute("here", lambda hart: pauses.append(dict(running.stats()["threads"]["rests"])))
        assert running.run().reason is StopReason.IDLE
        pauses.append(running.stats()["threads"]["rests"])
    for before, after in pairwise(pauses):
        assert after["count"] >= before["count"] and after["longest_ns"] >= before["longest_ns"]
    last = pauses[-1]
    assert last["count"] >= TURNS and last["count"] * last["longest_ns"] >= last["total_ns"] >= last["longest_ns"] > 0


def test_harts_that_take_turns_have_no_pauses():
    with machine(harts=2) as running:
        running.run(instructions=1_000)
        assert "threads" not in running.stats()


@pytest.mark.parametrize("values, expected", [
    ([], {"count": 0, "p50": 0, "p99": 0, "max": 0}),
    ([7], {"count": 1, "p50": 7, "p99": 7, "max": 7}),
    (list(range(200, 0, -1)), {"count": 200, "p50": 100, "p99": 198, "max": 200}),
])
def test_distribution(values, expected):
    assert distribution(values) == expected
