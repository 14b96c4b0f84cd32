"""What can be done wrong with traces, coverages, profiles and hooks: at a wrong time, twice, with nonsense."""

import os
import resource
import threading
from pathlib import Path

import numpy as np
import pytest

import vm
from vm.stop import StopReason

LOOP = """
    li   s1, 200000
loop:
    addi a0, a0, 1
    sd   a0, 0(sp)
    addi s1, s1, -1
    bnez s1, loop
    wfi
    j .
"""


@pytest.fixture
def machine(guest):
    g = guest(LOOP)
    g["sp"] = 0x8010_0000
    return g.machine


def set_going(machine) -> dict:
    """What ends with `stop` or `remove`, of each kind."""
    return {"trace": machine.trace("blocks", capacity=256, when_full="drop-oldest").stop,
            "coverage": machine.coverage().stop, "edges": machine.edge_map().stop,
            "profile": machine.profile(100).stop, "execute": machine.on_execute(0x8000_0000, print).remove,
            "write": machine.on_write(0x8000_0000, print).remove, "block": machine.on_block(0x10, print).remove,
            "breakpoint": machine.breakpoint(0x10).remove, "watchpoint": machine.watchpoint(0x8001_0000).remove}


@pytest.mark.parametrize("capacity", [1 << 60, 1 << 62, 1 << 64, 1 << 70])
def test_a_trace_larger_than_any_memory_is_refused(capacity, machine):
    """Not one whose size in bytes goes round."""
    with pytest.raises(vm.ConfigurationError, match=f"capacity={capacity}: from 128"):
        machine.trace("memory", capacity=capacity, when_full="drop-oldest")
    assert not machine._runner.traces


@pytest.mark.parametrize(("options", "told"), [({"consumer": 5}, "consumer=5"), ({"file": 5}, "file=5"),
                                               ({"file": b"x.npy"}, "file=b'x.npy'")])
def test_a_trace_goes_to_what_can_take_it(options, told, machine):
    with pytest.raises(vm.ConfigurationError, match=told):
        machine.trace("memory", **options)
    assert not machine._runner.traces


@pytest.mark.parametrize("path", ["nowhere/x.npy", "."])
def test_a_file_that_cannot_be_written_is_named_at_once(path, machine, tmp_path):
    with pytest.raises(OSError, match=r".") as caught:
        machine.trace("memory", file=tmp_path / path)
    assert Path(caught.value.filename) == tmp_path / path
    machine.run(instructions=10)


def test_a_trace_needs_a_file_that_it_can_go_back_in(machine):
    ends = os.pipe()
    try:
        with pytest.raises(OSError, match="go back") as caught:
            machine.trace("memory", file=f"/proc/self/fd/{ends[1]}")
        assert caught.value.filename == f"/proc/self/fd/{ends[1]}"
    finally:
        for end in ends:
            os.close(end)


def test_a_full_disk_loses_nothing(machine, tmp_path):
    """What could not be written is written once there is room, and in its place."""
    path = tmp_path / "x.npy"
    trace = machine.trace("blocks", capacity=1024, file=path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(OSError, match=r"x\.npy"):
            machine.run(instructions=100_000)
        with pytest.raises(OSError, match=r"x\.npy"):
            trace.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    count = len(trace)
    trace.stop()
    assert len(np.load(path)) == len(trace) == count > 500
    assert (np.diff(np.load(path)["step"].astype(int)) > 0).all()


def test_a_consumer_can_end_its_trace(machine):
    """At the end; in the middle of a run it returns False."""
    told = []

    def take(rows):
        told.append(len(rows))
        trace.stop()

    trace = machine.trace("blocks", consumer=take)
    machine.run(instructions=1000)
    trace.stop()
    trace.stop()
    assert sum(told) == len(trace) > 100


def test_what_ends_may_end_after_the_machine(machine, tmp_path):
    """So that a `with` block that closes it gets out, and a file is whole."""
    trace = machine.trace("blocks", file=tmp_path / "x.npy")
    ends = set_going(machine)
    coverage = machine.coverage()
    machine.run(instructions=1000)
    machine.close()
    for end in (*ends.values(), trace.stop, coverage.stop) * 2:
        end()
    assert len(np.load(tmp_path / "x.npy")) == len(trace) > 100
    assert len(coverage.blocks) > 1
    with pytest.raises(vm.MachineUnusable):
        coverage.counts()


def test_nothing_begins_on_a_machine_that_is_closed(machine):
    machine.close()
    with pytest.raises(vm.MachineUnusable):
        machine.profile()


def test_nothing_ends_or_is_read_while_another_thread_runs_the_machine(machine):
    """The engines write there without the GIL. What is refused has changed nothing."""
    ends = {name: end for name, end in set_going(machine).items() if name != "profile"}
    trace, coverage = machine.trace("blocks", consumer=len), machine.coverage()
    refused = {**ends, "stop": trace.stop, "clear": trace.clear, "flush": trace.flush, "forget": coverage.clear,
               "blocks": lambda: coverage.blocks, "functions": coverage.functions, "profile": machine.profile}
    begun = threading.Event()
    thread = threading.Thread(target=machine.run, kwargs={"until": lambda machine: begun.set()})
    thread.start()
    begun.wait()
    try:
        for name, call in refused.items():
            with pytest.raises(vm.MachineBusy):
                call()
                pytest.fail(f"{name} was let through")
    finally:
        machine.request_stop()
        thread.join()
    before = len(trace)
    machine.run(instructions=100)
    trace.stop()
    assert len(trace) > before


@pytest.mark.parametrize("kind", ["coverage", "edge_map", "profile", "trace"])
def test_a_hook_may_begin_and_end_what_records(kind, guest):
    g = guest(LOOP)
    g["sp"] = 0x8010_0000
    begun = []

    def call(hart):
        if begun:
            begun[0].stop()
            hook.remove()
        else:
            begun.append(getattr(g.machine, kind)(*{"trace": ["blocks"], "profile": [1]}.get(kind, [])))

    hook = g.machine.on_execute(g.address("loop"), call)
    stop = g.machine.run(instructions=1000)
    assert stop.reason is StopReason.BUDGET
    seen = {"coverage": lambda it: list(it.blocks["start"]), "edge_map": lambda it: it.array.nonzero()[0],
            "profile": lambda it: it.stacks, "trace": lambda it: it.array}[kind]
    assert len(seen(begun[0])) > 0


@pytest.mark.parametrize("by", [5, None, "pid", ["hart", 3]])
def test_samples_are_put_together_by_what_there_is(by, machine):
    with machine.profile() as profile, pytest.raises(vm.ConfigurationError, match="by="):
        profile.folded(by)


def test_a_register_has_its_name_in_upper_case_too(guest):
    g = guest("csrw mscratch, a0\nwfi\nj .")
    seen = []
    g.machine.on_csr("MSCRATCH", seen.append)
    g.machine.run(instructions=1)
    assert [access.name for access in seen] == ["mscratch"]
