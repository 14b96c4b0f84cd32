"""Where a lot has been compiled, blocks are compiled alone, until samples have met them again and again."""

import pytest

import vm
from vm import code_cache

SAMPLED = 10_000_000        # steps, in which enough samples are taken
NESTED = """
    .option norvc
    li   s0, {turns}
outer:
    li   s1, 3
inner:
    addi a0, a0, 1
    andi t0, a0, 1
    beqz t0, even
    add  a1, a1, a0
even:
    addi s1, s1, -1
    bnez s1, inner
    xor  a2, a2, a1
    addi s0, s0, -1
    bnez s0, outer
    wfi
"""


def traces_of(machine: vm.Machine) -> list[list[int]]:
    """The addresses of the instructions of each."""
    return [[address for address, _ in marks if address] for *_, marks in machine.compiler.traces()]


def traces_of_loop(guest, machine: vm.Machine) -> list[list[int]]:
    return [trace for trace in traces_of(machine) if {guest.address("inner"), guest.address("even")} <= set(trace)]


@pytest.fixture
def drafting(compiled):
    """drafting(turns, **options) -> Guest that compiles blocks alone first, and keeps where instructions are."""

    def make(turns: int, draft_bytes: int = 0, hot: int = 4, **options):
        g = compiled(NESTED.format(turns=turns), hot=hot, draft_bytes=draft_bytes, **options)
        g.machine.compiler.marking = True
        return g

    return make


def test_blocks_are_compiled_alone_first(drafting):
    g = drafting(1000)
    g.finish()
    assert {g.address("inner"), g.address("even")} <= {trace[0] for trace in traces_of(g.machine)}
    assert not traces_of_loop(g, g.machine)


def test_where_samples_meet_a_trace_is_made_that_begins_with_the_loop(drafting):
    g = drafting(10**7)
    g.machine.run(instructions=SAMPLED)
    assert g.address("inner") in {trace[0] for trace in traces_of_loop(g, g.machine)}


ACCESSES = """
    la   s0, data
    li   s1, {turns}
again:
    ld   t0, 0(s0)
    addi t0, t0, 1
    sd   t0, 8(s0)
    lhu  t1, 12(s0)
    addi s1, s1, -1
    bnez s1, again
    wfi
.balign 4096
data:
    .fill 4
"""


def size_of_loop(compiled, **switches: bool) -> int:
    """Of the host code of a loop's draft, which has run."""
    g = compiled(ACCESSES.format(turns=100), hot=4, draft_bytes=0, switches={"windows": False, **switches})
    g.finish()
    (size,) = [len(code) for pc, *_, code, _ in g.machine.compiler.traces() if pc == g.address("again")]
    return size


def test_they_are_short(compiled):
    assert size_of_loop(compiled) < 2 / 3 * size_of_loop(compiled, compact=False)


GROUP = """
    la   {base}, data
    add  {base}, {base}, s1
    li   s2, 50
again:
    sd   s2, 0({base})
    sd   s3, 8({base})
    sd   {base}, 16({base})
    sd   s2, 24({base})
    ld   a0, 24({base})
    ld   a1, 16({base})
    ld   a2, 8({base})
    ld   a3, 0({base})
    addi s2, s2, -1
    bnez s2, again
    wfi
    .balign 4096
data:
    .fill 8192, 1, 0
"""


@pytest.fixture
def grouping(compiled):
    """grouping(base, offset, **options) -> Guest that stores and loads four doublewords in a row, 50 times."""

    def make(base: str, offset: int, **options):
        g = compiled(GROUP.format(base=base), draft_bytes=0, switches={"windows": False}, **options)
        g["s1"], g["s3"] = offset, 7
        return g

    return make


@pytest.mark.parametrize("base", ["s0", "tp"], ids=["in a host register", "in memory"])
@pytest.mark.parametrize("offset, behind", [(0, 0), (4, 0), (4096 - 16, 2), (4096 - 12, 3)])
def test_accesses_that_are_tested_together(offset, behind, base, grouping):
    """Those in the page behind, which is watched, are seen: the page of the first does not speak for them."""
    g = grouping(base, offset)
    data, writes = g.address("data"), []
    g.machine.on_write(range(data + 4096, data + 8192), writes.append, space="physical")
    g.finish()
    assert [g[name] for name in ("a0", "a1", "a2", "a3")] == [1, data + offset, 7, 1]
    assert len(writes) == 50 * behind


@pytest.mark.parametrize("offset", [0, 4, 4096 - 16, 4096 - 12])
def test_they_are_where_harts_have_threads(offset, grouping):
    g = grouping("s0", offset, harts=2, threads=True)
    g.machine.harts[1].pc = g.address("trap_m")
    g.machine.run(instructions=2000)
    assert [g[name] for name in ("a0", "a1", "a2", "a3")] == [1, g.address("data") + offset, 7, 1]


def test_small_programs_have_none(drafting):
    g = drafting(1000, draft_bytes=1 << 30)
    g.finish()
    assert traces_of_loop(g, g.machine)


def test_drafts_and_what_follows_them_give_what_the_interpreter_gives(drafting, guest):
    g = drafting(10**6)
    reference = guest(NESTED.format(turns=10**6), engine="interpreter")
    for one in (g, reference):
        assert one.machine.run().reason is vm.StopReason.IDLE
    assert [g[name] for name in ("a0", "a1", "a2")] == [reference[name] for name in ("a0", "a1", "a2")]
    assert g.machine.steps == reference.machine.steps


def test_a_fork_goes_on_from_drafts_to_traces_of_its_own(drafting):
    """Those of its parent never change."""
    g = drafting(10**8)
    g.machine.run(instructions=500)
    with g.machine.fork() as fork:
        fork.compiler.marking = True
        assert g.address("inner") in {trace[0] for trace in traces_of(fork)}
        assert not traces_of_loop(g, fork)
        fork.run(instructions=SAMPLED)
        assert traces_of_loop(g, fork)


STORES = """
    .option norvc
    la   t2, data
    la   t3, patched
    li   t0, 0x00550513         # addi a0, a0, 5
    li   s0, {turns}
again:
    xor  t4, s0, s1             # in that turn the store goes into the loop
    seqz t4, t4
    neg  t4, t4
    xor  t1, t2, t3
    and  t1, t1, t4
    xor  t1, t1, t2
    sw   t0, 0(t1)
patched:
    addi a0, a0, 1
    addi s0, s0, -1
    bnez s0, again
    wfi
    .balign 4096
data:
    .fill 4
"""


def test_a_fork_that_has_given_drafts_up_hears_of_stores_into_them(compiled):
    """At once: some of these turns come right behind the 64th sample, which gives them up."""
    turns, before = 80_000, 1000
    g = compiled(STORES.format(turns=turns + before), hot=2, draft_bytes=0, switches={"windows": False})
    while g["s0"] != turns or g.hart.pc != g.address("again"):
        g.machine.run(instructions=1 if g["s0"] <= turns + 1 else 1000)
    for turn in range(14_000, 18_000, 100):
        with g.machine.fork() as fork:
            fork.harts[0].x[9] = turn
            fork.run(instructions=20 * turns)
            assert fork.harts[0].x[10] == before + (turns - turn) + 5 * turn, turn


def test_so_does_a_later_process(drafting, tmp_path, monkeypatch):
    """Of one that has kept its drafts on disk."""
    monkeypatch.setenv("VM_CACHE", str(tmp_path))
    monkeypatch.setattr(code_cache, "WORTH_NS", 0)
    first = drafting(10**8, code_cache=True)
    first.machine.run(instructions=500)
    first.machine.close()
    second = drafting(10**8, code_cache=True)
    assert second.machine.stats()["code_cache"]["outcome"] == "warm"
    second.machine.run(instructions=SAMPLED)
    assert traces_of_loop(second, second.machine)
