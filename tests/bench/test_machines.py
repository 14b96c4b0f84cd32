"""Machines by name: ours with settings, others, and what is not there."""

import pytest

from vm.bench.guests.build import EMPTY, elf
from vm.bench.machines import MEMORY_MIB, NotBuilt, available, in_child, machine
from vm.bench.programs import compare
from vm.errors import VmError


def test_ours_runs_in_a_process_of_its_own():
    run = machine("interpreter").run(EMPTY)
    assert run.output == "empty 0000000000000000 ok\n"
    assert run.instructions > 100 and run.seconds > 0 and run.cpu_seconds > 0


def test_settings_reach_the_engine():
    job = {"do": "run", "engine": "interpreter", "program": str(elf(EMPTY)), "memory": f"{MEMORY_MIB}M"}
    assert in_child(job, {"VM_DISPATCH": "switch"})["statistics"]["dispatch"] == "switch"
    assert "VM_DISPATCH=none" in machine("interpreter:VM_DISPATCH=none").missing()
    with pytest.raises(NotBuilt, match="VM_DISPATCH=none"):
        in_child(job, {"VM_DISPATCH": "none"})


def test_unknown_names_are_refused():
    for name in ("fast", "qemu:VM_X=1"):
        with pytest.raises(VmError, match=name):
            machine(name)
    with pytest.raises(VmError, match="nothing"):
        elf("nothing")


def test_what_is_missing_is_left_out_and_said():
    said = []
    assert list(available(["interpreter", "interpreter:VM_DISPATCH=none"], said.append)) == ["interpreter"]
    assert len(said) == 1 and "VM_DISPATCH=none" in said[0]


def test_comparison_subtracts_the_start_and_takes_ratios():
    machines = available(["interpreter", "interpreter:VM_DISPATCH=switch"], pytest.fail)
    results = compare(["divsqrt"], machines, 1)
    times = results.seconds["divsqrt"]
    assert all(0 < seconds for seconds in times.values())
    first, second = results.ours
    assert results.ratio("divsqrt", first, second) == times[second] / times[first]
    assert results.mean(["divsqrt"], first, second) == pytest.approx(times[second] / times[first])
    assert results.instructions["divsqrt"] > 10_000_000
