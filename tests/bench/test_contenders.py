"""Contenders by name: ours with settings, others, and what is not there."""

import pytest

from benchmarks.compare import compare
from vm.bench.contenders import MEMORY_MIB, available, contender
from vm.bench.errors import NotBuilt
from vm.bench.guests.build import EMPTY, elf
from vm.bench.processes import in_child
from vm.bench.variants import named, variant, without
from vm.errors import VmError


def test_ours_runs_in_a_process_of_its_own():
    run = contender("interpreter").run(EMPTY)
    assert run.output == "empty 0000000000000000 ok\n"
    assert run.instructions > 100 and run.seconds > 0 and run.cpu_seconds > 0


def test_settings_reach_the_engine():
    job = {"do": "run", "engine": "interpreter", "program": str(elf(EMPTY)), "memory": f"{MEMORY_MIB}M"}
    assert in_child(job, {"VM_DISPATCH": "switch"})["statistics"]["dispatch"] == "switch"
    assert "VM_DISPATCH=none" in contender("interpreter:VM_DISPATCH=none").missing()
    with pytest.raises(NotBuilt, match="VM_DISPATCH=none"):
        in_child(job, {"VM_DISPATCH": "none"})


def test_a_variant_has_its_name_and_a_name_its_variant():
    name = named("jit", without("jump_cache") | {"VM_TLB": "0"})
    assert name == "jit:VM_JIT_JUMP_CACHE=0,VM_TLB=0"
    assert variant(name) == ("jit", {"VM_JIT_JUMP_CACHE": "0", "VM_TLB": "0"})
    assert variant("plain:VM_TLB=0") == ("interpreter", {"VM_FUSION": "0", "VM_TLB": "0"})
    with pytest.raises(VmError, match="qemu"):
        variant("qemu")


def test_unknown_names_are_refused():
    for name in ("fast", "qemu:VM_X=1"):
        with pytest.raises(VmError, match=name):
            contender(name)
    with pytest.raises(VmError, match="nothing"):
        elf("nothing")


def test_what_is_missing_is_left_out_and_said():
    said = []
    assert list(available(["interpreter", "interpreter:VM_DISPATCH=none"], said.append)) == ["interpreter"]
    assert len(said) == 1 and "VM_DISPATCH=none" in said[0]


def test_comparison_subtracts_the_start_and_takes_ratios():
    contenders = available(["interpreter", "interpreter:VM_DISPATCH=switch"], pytest.fail)
    results = compare(["divsqrt"], contenders, 1)
    times = results.seconds["divsqrt"]
    assert all(0 < seconds for seconds in times.values())
    first, second = results.ours
    assert results.ratio("divsqrt", first, second) == times[second] / times[first]
    assert results.mean(["divsqrt"], first, second) == pytest.approx(times[second] / times[first])
    assert results.instructions["divsqrt"] > 10_000_000
