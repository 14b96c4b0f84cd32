"""Compiled code that machines share: it is run where memory holds what it was made of, and nowhere else."""

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

import vm
from tests.assembler import BASE, assemble_elf
from vm.devices import Device
from vm_native.execution.native_machine import NativeMachine
from vm_native.jit.compiler import JitCompiler, unavailable

MANY = 1 << 20                              # rounds that nobody sees the end of
WHATEVER = 1 << 20                          # `worth` for whatever there is to share
HOT = 32                                    # more often than a run ends inside a trace
WARM = 20_000                               # steps: more than enough for all to be compiled
ADDI_5 = 0x0055_0513                        # addi a0, a0, 5
SHARING = 0x1800_0000

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="compiled code is shared")

# Each round stores s3 to where s4 points: to data that stands beside the code at first.
COUNTING = """
    .option norvc
    la   s4, data
    la   s5, patched
    li   s2, {rounds}
1:  addi s2, s2, -1
    sw   s3, 0(s4)
patched:
    addi a0, a0, 1
    bnez s2, 1b
2:  wfi
    j    2b
data:
    .word 0
"""
A0, S2, S3, S4, S5 = 10, 18, 19, 20, 21


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def parent(stack) -> vm.Machine:
    """Far in its loop, which is compiled; at the branch that ends a round of four steps."""
    machine = stack.enter_context(new_machine())
    warm_up(machine)
    return machine


def new_machine() -> vm.Machine:
    return vm.Machine(memory="1M", engine="jit", settings=vm.Settings(hot=HOT))


def warm_up(machine: vm.Machine) -> None:
    machine.load(assemble_elf(COUNTING.format(rounds=MANY)))
    machine.run(instructions=WARM)
    while machine.harts[0].pc != machine.harts[0].x[S5] + 4:
        machine.run(instructions=1)
    assert compiled(machine)


def fork(machine: vm.Machine, stack: ExitStack) -> vm.Machine:
    return stack.enter_context(machine.fork())


def compiled(machine: vm.Machine) -> int:
    """How many traces it has compiled itself."""
    return machine.stats()["jit"]["traces"]


def count_rounds(machine: vm.Machine, rounds: int) -> int:
    """What so many rounds more have added."""
    before = machine.harts[0].x[A0]
    machine.run(instructions=4 * rounds)
    return machine.harts[0].x[A0] - before


def patch(machine: vm.Machine) -> None:
    """Let the next round make an instruction that follows in the same trace another one."""
    machine.harts[0].x[S3] = ADDI_5
    machine.harts[0].x[S4] = machine.harts[0].x[S5]


def test_a_fork_runs_what_its_parent_has_compiled(parent, stack):
    child = fork(parent, stack)
    assert count_rounds(child, 100_000) == 100_000
    assert compiled(child) == 0
    assert child.stats()["jit"]["interpreted"] < 200


def test_the_parent_goes_on_with_it(parent, stack):
    before = compiled(parent)
    fork(parent, stack)
    assert count_rounds(parent, 100_000) == 100_000
    assert compiled(parent) == before


@pytest.mark.parametrize("who", ["child", "parent"])
def test_a_store_into_the_trace_that_does_it_is_seen_at_once_and_by_one_machine(who, parent, stack):
    child = fork(parent, stack)
    one, other = (child, parent) if who == "child" else (parent, child)
    before = compiled(other)
    patch(one)
    assert count_rounds(one, 1000) == 5000
    assert count_rounds(other, 1000) == 1000
    assert compiled(other) == before


def test_what_python_writes_is_seen(parent, stack):
    child = fork(parent, stack)
    assert count_rounds(child, 1000) == 1000
    child.memory.write(child.harts[0].x[S5], ADDI_5.to_bytes(4, "little"))
    assert count_rounds(child, 1000) == 5000


def test_a_restore_brings_it_back(parent, stack):
    snapshot = parent.snapshot()
    child = stack.enter_context(snapshot.machine())
    for _ in range(3):
        patch(child)
        assert count_rounds(child, 1000) == 5000
        before = compiled(child)
        child.restore(snapshot)
        assert count_rounds(child, 1000) == 1000
        assert compiled(child) == before


def test_a_snapshot_has_it_when_its_machine_is_closed(parent, stack):
    snapshot = parent.snapshot()
    parent.close()
    machine = stack.enter_context(snapshot.machine())
    assert count_rounds(machine, 1000) == 1000
    assert compiled(machine) == 0


def test_machines_that_run_it_outlive_the_one_that_made_it(parent, stack):
    child = fork(parent, stack)
    grandchild = fork(child, stack)
    parent.close()
    assert count_rounds(child, 1000) == 1000
    child.close()
    assert count_rounds(grandchild, 1000) == 1000
    assert compiled(grandchild) == 0


@pytest.mark.parametrize("changes, shares", [
    ({"engine": "interpreter"}, False),
    ({"settings": vm.Settings(hot=HOT, switches={"registers": False})}, False),
    ({"settings": vm.Settings(hot=HOT, dispatch="switch")}, True),       # traces do not depend on the form
], ids=["interpreter", "switches", "form"])
def test_only_what_was_made_alike_is_run(changes, shares, parent, stack):
    machine = stack.enter_context(parent.snapshot().machine(**changes))
    assert count_rounds(machine, 1000) == 1000
    assert bool(machine._native.shared_code) == shares
    assert not shares or compiled(machine) == 0


def test_a_breakpoint_inside_it_is_met(parent, stack):
    child = fork(parent, stack)
    assert count_rounds(child, 1000) == 1000            # it is in use
    child.breakpoint(child.harts[0].x[S5])
    assert child.run(instructions=WARM).reason is vm.StopReason.BREAKPOINT
    assert child.harts[0].pc == child.harts[0].x[S5]
    assert count_rounds(parent, 1000) == 1000


# Each round adds 1 to what elements of v8 there are; how many and how wide is set before the loop, at s5 otherwise.
ADDING = """
    .option norvc
    .option arch, +v
    li   t0, 0x600
    csrs mstatus, t0
    vsetivli zero, 4, e32, m1, ta, ma
    vmv.v.i v8, 0
    la   s5, other_shape
    j    1f
    .balign 4096
other_shape:
    vsetivli zero, 16, e8, m1, ta, ma
1:  vadd.vi v8, v8, 1
    addi s2, s2, -1
    bnez s2, 1b
2:  wfi
    j    2b
"""


@pytest.fixture
def adder(stack) -> vm.Machine:
    """Far in its loop, which is compiled for four elements of 32 bits."""
    machine = stack.enter_context(vm.Machine(memory="1M", engine="jit", isa="rv64gcv", settings=vm.Settings(hot=HOT)))
    machine.load(assemble_elf(ADDING))
    machine.harts[0].x[S2] = MANY
    machine.run(instructions=WARM)
    assert compiled(machine)
    return machine


def left_to_the_interpreter(machine: vm.Machine) -> int:
    """Of 99,999 instructions more in this loop."""
    before = machine.stats()["jit"]
    machine.run(instructions=99_999)
    after = machine.stats()["jit"]
    return sum(after[name] - before[name] for name in ("fallbacks", "interpreted"))


def test_vectors_of_another_shape_make_a_fork_compile_it_anew(adder, stack):
    child = fork(adder, stack)
    assert left_to_the_interpreter(child) < 10
    assert compiled(child) == 0
    child.harts[0].pc = child.harts[0].x[S5]
    child.harts[0].v[8] = bytes(16)
    left_to_the_interpreter(child)
    assert compiled(child)
    assert left_to_the_interpreter(child) < 10
    assert set(child.harts[0].v[8].view("u1")) == {199_998 // 3 % 256}


def test_only_the_fork_gives_up_what_has_another_shape(adder, stack):
    child, sibling = fork(adder, stack), fork(adder, stack)
    child.harts[0].pc = child.harts[0].x[S5]
    left_to_the_interpreter(child)
    for machine in (adder, sibling):
        before = compiled(machine)
        assert left_to_the_interpreter(machine) < 10
        assert compiled(machine) == before


def test_more_generations_than_a_machine_has_layers(stack):
    """Each compiles a function of its own, and calls those of all before it."""
    count = 12
    calls = "\n".join(f"li t0, {number}; bltu s2, t0, 9f; call f{number}" for number in range(count))
    functions = "\n".join(f".balign 4096\nf{number}: addi a0, a0, {number + 1}; ret" for number in range(count))
    machine = stack.enter_context(new_machine())
    machine.load(assemble_elf(f"{calls}\n9: addi s3, s3, 1; j _start\n{functions}"))
    for generation in range(count):
        machine.harts[0].x[S2] = generation
        machine.run(instructions=WARM)
        machine._native.share_code(worth=WHATEVER)
        machine = fork(machine, stack)
        assert len(machine._native.shared_code) == min(generation + 1, 8)
    while machine.harts[0].pc != BASE:
        machine.run(instructions=1)
    before, rounds = machine.harts[0].x[A0], machine.harts[0].x[S3]
    machine.run(instructions=WARM)
    while machine.harts[0].pc != BASE:
        machine.run(instructions=1)
    assert machine.harts[0].x[A0] - before == (machine.harts[0].x[S3] - rounds) * sum(range(1, count + 1))


# Each round calls the function whose number is in s2, and stores s3 to where s4 points unless s6 is 0.
CHOICE = """
    .option norvc
    la   s5, f0
    la   s4, data
1:  beqz s6, 2f
    sw   s3, 0(s4)
2:  {calls}
    j    1b
    {functions}
    .balign 4096
data:
    .word 0
"""
FUNCTIONS = 12
S6 = 22
TO_BEGIN, ROUND = 4, 1 + 2 * FUNCTIONS + 2 + 2 + 1      # steps; a store is one more


def test_stores_are_seen_where_the_oldest_layer_was_the_only_code(stack):
    calls = "\n".join(f"li t0, {number}; bne s2, t0, 9f; call f{number}; 9:" for number in range(FUNCTIONS))
    functions = "\n".join(f".balign 4096; f{number}: addi a0, a0, 1; ret" for number in range(FUNCTIONS))
    machine = stack.enter_context(new_machine())
    machine.load(assemble_elf(CHOICE.format(calls=calls, functions=functions)))
    hart = machine.harts[0]
    machine.run(instructions=TO_BEGIN)

    def added(function: int, *, to: int | None) -> int:
        """By 1000 rounds that call this function, and store to an address."""
        hart.x[S2], hart.x[S4], hart.x[S6] = function, to or 0, to is not None
        before = hart.x[A0]
        machine.run(instructions=1000 * (ROUND + (to is not None)))
        return hart.x[A0] - before

    for function in range(FUNCTIONS):
        assert added(function, to=None) == 1000
        machine._native.share_code(worth=WHATEVER)
    first = hart.x[S5]
    hart.x[S3] = ADDI_5
    added(FUNCTIONS - 1, to=first + 1024)               # in the page of a function that no layer has any more
    assert added(0, to=None) == 1000
    assert added(0, to=first) == 5000


def test_a_page_that_nobody_has_looked_at_since_a_restore_is_shared_as_it_is(stack):
    adding = """
        .option norvc
        la   s5, f
    1:  call f
        j    1b
        .balign 4096
    f:  addi a0, a0, 1
        ret
    """

    def begun() -> vm.Machine:
        machine = stack.enter_context(new_machine())
        machine.load(assemble_elf(adding))
        machine.run(instructions=2)         # to the call
        return machine

    def added(machine: vm.Machine) -> int:
        before = machine.harts[0].x[A0]
        machine.run(instructions=5 * 1000)
        return machine.harts[0].x[A0] - before

    source, machine = begun(), begun()
    ones = source.snapshot()
    for each in (source, machine):
        each.memory.write(each.harts[0].x[S5], ADDI_5.to_bytes(4, "little"))
    fives = source.snapshot()                           # the page is a copy in this one
    assert added(machine) == 5000
    machine.restore(fives)                              # of another image: the same bytes, and absent
    child = fork(machine, stack)
    assert added(child) == 5000
    for each in (child, machine):
        each.restore(ones)
        assert added(each) == 1000


def test_the_compiler_tells_what_was_handed_over_when_the_machine_is_gone(stack):
    machine = new_machine()
    warm_up(machine)
    compiler = machine.compiler
    places = {host for _, _, _, host, _, _ in compiler.traces()}
    fork(machine, stack)
    del machine
    gc.collect()
    assert {host for _, _, _, host, _, _ in compiler.traces()} == places
    assert JitCompiler().traces() == []


def test_perf_is_told_what_others_have_compiled(parent, stack):
    machine = stack.enter_context(parent.snapshot().machine(perf_map=True))
    noted = {place for _, place, _ in machine.compiler.take_journal()}
    starts = {start for _, _, _, start, _, _ in machine.compiler.traces()}
    assert starts and starts <= noted


def test_code_is_not_handed_over_again_for_nothing(parent, stack):
    fork(parent, stack)
    layers = parent._native.shared_code
    fork(parent, stack)
    assert parent._native.shared_code == layers and len(layers) == 1


class Sharing(Device):
    """Does in the middle of a run what no one may."""

    size = 8

    def __init__(self, native: NativeMachine):
        super().__init__()
        self.native = native

    def write(self, offset: int, size: int, value: int) -> None:
        self.native.share_code(worth=WHATEVER)


def test_a_machine_that_runs_keeps_its_code_to_itself(stack):
    machine = stack.enter_context(new_machine())
    machine.attach(Sharing(machine._native), SHARING)
    warm_up(machine)
    machine.harts[0].x[S4] = SHARING
    assert count_rounds(machine, 1000) == 1000
    assert machine._native.shared_code == ()
    machine._native.share_code(worth=WHATEVER)
    assert len(machine._native.shared_code) == 1


def test_forks_run_it_in_threads_beside_each_other(parent, stack):
    children = [fork(parent, stack) for _ in range(6)]
    for child in children[::2]:
        patch(child)
    with ThreadPoolExecutor(len(children)) as pool:
        counts = pool.map(count_rounds, children, [200_000] * len(children))
        assert count_rounds(parent, 1000) == 1000
        assert list(counts) == [1_000_000, 200_000] * 3
    assert [compiled(child) for child in children[1::2]] == [0] * 3
