"""When hooks are called, on each engine: at the same steps and places as one finds instruction by instruction.

What to expect is said by the program itself, or by a twin without hooks that is run one instruction at a time.
"""

import pytest

from tests.hooks.kinds import FAR, KINDS, hart_of, looping
from tests.stepping import steps_at
from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")
MANY = 1_000_000
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_called_at_the_same_steps_as_instruction_by_instruction(kind, guest):
    twin = looping(guest, kind)
    expected = [step + KINDS[kind].steps for step in steps_at(twin, twin.address("here"))]
    g, seen = looping(guest, kind), []
    KINDS[kind].set(g, lambda event: seen.append((g.machine.steps, hart_of(event).pc, hart_of(event)["a3"])))
    g.finish()
    assert seen == [(step, g.address(KINDS[kind].pc), number) for number, step in enumerate(expected, 1)]
    assert len(seen) == 20 and g.machine.steps == twin.machine.steps
    assert dict(g.hart) == dict(twin.hart)


@kinds
def test_code_that_ran_a_million_times_calls_it(kind, guest):
    """It has long been compiled; when the hook has gone, nobody is called any more."""
    rounds = MANY if kind != "mmio" else MANY // 10         # the device is Python's
    g, seen = looping(guest, kind, rounds), []
    g.run(100 * MANY)
    assert g["a3"] == rounds
    hook = KINDS[kind].set(g, seen.append)
    for expected in (1000, 1000):
        g.hart.pc, g["s1"] = g.address("loop"), 1000
        g.finish()
        assert len(seen) == expected
        hook.remove()


def test_it_is_called_a_million_times(guest):
    g, count = looping(guest, "execute", MANY), 0

    def call(hart):
        nonlocal count
        count += 1

    g.machine.on_execute(g.address("here"), call)
    g.run(100 * MANY)
    assert count == g["a3"] == MANY


@kinds
def test_set_by_another_hook_on_the_block_that_runs(kind, guest):
    """In the middle of a round: the rest of that block calls it already."""
    g, seen = looping(guest, kind), []

    def start(hart):
        if hart["a3"] == 9:
            KINDS[kind].set(g, lambda event: seen.append(hart_of(event)["a3"]))

    second = g.address("loop") + (4 if g.word("loop", 2) & 3 == 3 else 2)
    g.machine.on_execute(second, start)
    g.finish()
    assert seen == list(range(9, 21))


@kinds
def test_set_between_two_runs_in_the_middle_of_a_block(kind, guest):
    twin = looping(guest, kind)
    middle = steps_at(twin, twin.address("here"))[9]
    g, seen = looping(guest, kind), []
    g.run(middle)
    assert g.hart.pc == g.address("here")
    KINDS[kind].set(g, lambda event: seen.append(hart_of(event)["a3"]))
    g.finish()
    assert seen == list(range(10, 21))


@kinds
def test_removed_by_itself(kind, guest):
    twin = looping(guest, kind)
    twin.finish()
    g, seen = looping(guest, kind), []

    def call(event):
        seen.append(hart_of(event)["a3"])
        if len(seen) == 3:
            hook.remove()
            hook.remove()

    hook = KINDS[kind].set(g, call)
    g.finish()
    assert seen == [1, 2, 3]
    assert dict(g.hart) == dict(twin.hart) and g.machine.steps == twin.machine.steps


@kinds
def test_removed_by_the_one_before_it(kind, guest):
    """Of two for the same event: it is not called for that one any more."""
    g, seen = looping(guest, kind), []
    KINDS[kind].set(g, lambda event: second.remove() if hart_of(event)["a3"] == 5 else None)
    second = KINDS[kind].set(g, lambda event: seen.append(hart_of(event)["a3"]))
    g.finish()
    assert seen == [1, 2, 3, 4]


@kinds
def test_all_are_called_in_the_order_in_which_they_were_set(kind, guest):
    g, seen = looping(guest, kind, rounds=2), []
    for name in "abc":
        KINDS[kind].set(g, lambda event, name=name: seen.append(name))
    g.finish()
    assert "".join(seen) == "abcabc"


@kinds
def test_harts_are_told_apart(kind, guest):
    g = looping(guest, kind, harts=3, rounds=50)
    seen = [0, 0, 0]

    def call(event):
        hart = hart_of(event)
        seen[hart.id] += 1
        assert hart["a3"] == seen[hart.id] and hart.pc == g.address(KINDS[kind].pc)

    KINDS[kind].set(g, call)
    g.finish()
    assert seen == [50, 50, 50]


@kinds
def test_harts_take_turns_as_without_hooks(kind, guest):
    plain, hooked = (looping(guest, kind, harts=3, rounds=3000) for _ in range(2))
    KINDS[kind].set(hooked, lambda event: None)
    plain.finish()
    hooked.finish()
    assert plain.machine.steps == hooked.machine.steps
    assert plain.machine.clock.now_ns() == hooked.machine.clock.now_ns()
    for one, other in zip(plain.machine.harts, hooked.machine.harts, strict=True):
        assert dict(one) == dict(other)


# Every instruction of a loop with pairs that have one handler, branches both ways, calls and what is compiled as one.
DENSE = """
    la   s2, far
    li   s1, 20
loop:
    lui  a1, 0x12345
    addi a1, a1, 0x678
    auipc a2, 0
    addi a2, a2, 16
    slli a3, a1, 32
    srli a3, a3, 32
    slt  t0, a1, a3
    bnez t0, 1f
    ld   t1, 0(s2)
    addi t1, t1, 1
    sd   t1, 0(s2)
    nop                     # nothing is done for these, at both widths
    fence
    .option norvc
    nop
    add  zero, a1, a2
    .option rvc
    c.nop
1:  lbu  t2, 0(s2)
    andi t2, t2, 1
    beqz t2, 2f
    call twice
2:  mul  t3, a1, a3
    mulhu t4, a1, a3
    addi s1, s1, -1
    bnez s1, loop
    wfi
    nop
twice:
    slli t5, a1, 1
    add  a4, a4, t5
    ret
    .balign 8
far: .dword 0
"""


def places(g, where) -> list:
    """Filled as the guest runs."""
    seen = []
    g.machine.on_execute(where, lambda hart: seen.append((g.machine.steps, hart.pc, hart["a4"], hart["t1"])))
    return seen


def test_every_instruction_of_a_loop(guest):
    """Alone each, and all together: the same places, steps and registers as instruction by instruction."""
    twin, trace = guest(DENSE), []
    while True:
        trace.append((twin.machine.steps, twin.hart.pc, twin["a4"], twin["t1"]))
        if twin.run(1).reason is StopReason.IDLE:
            break
    trace.pop()                                 # what stands behind the wfi
    for pc in sorted({at for _, at, _, _ in trace}):
        g = guest(DENSE)
        g.run(50)
        begun = g.machine.steps
        seen = places(g, pc)
        g.finish()
        assert seen == [row for row in trace if row[0] >= begun and row[1] == pc]
        g.machine.close()
    g = guest(DENSE)
    text = range(min(at for _, at, _, _ in trace), max(at for _, at, _, _ in trace) + 2)
    seen = places(g, text)
    g.finish()
    assert seen == trace and dict(g.hart) == dict(twin.hart)


CROSSING = """
    li   s1, 30
    j    loop
    .balign 4096
    .zero 4096 - 4
loop:
    addi a0, a0, 1
    .option norvc
across:
    addi a4, a4, 1
next:
    addi s1, s1, -1
    bnez s1, loop
    .option rvc
    wfi
    nop
"""


@pytest.mark.parametrize("space", ["virtual", "physical"])
@pytest.mark.parametrize("label", ["loop", "across", "next"])
def test_ends_of_pages_and_an_instruction_on_two(label, space, guest):
    """4 bytes that begin 2 before the end of a page: they are where they begin."""
    g, seen = guest(CROSSING.replace("addi a0, a0, 1", "c.addi a0, 1")), []
    assert g.address("across") % 4096 == 4094
    g.run(40)
    before = g["s1"] - (g.hart.pc == g.address("next") and label != "next")
    g.machine.on_execute(g.address(label), lambda hart: seen.append(hart.pc), space=space)
    g.machine.on_execute(g.address("across") + 2, lambda hart: seen.append("middle"), space=space)
    g.finish()
    assert set(seen) == {g.address(label)} and before - 1 <= len(seen) <= before + 1
    assert (g["a4"], g["s1"]) == (30, 0)


def test_code_that_writes_itself_keeps_its_hooks(guest):
    """The immediate of the instruction is another one each round, of which each engine has made code."""
    g, seen = guest("""
        la   t0, here
        lw   t1, 0(t0)
        li   t2, 1 << 20
        li   s1, 200
    loop:
        add  t1, t1, t2
        sw   t1, 0(t0)
        fence.i
        .balign 4
        .option norvc
    here: addi a0, zero, 0
        .option rvc
        add  s3, s3, a0
        addi s1, s1, -1
        bnez s1, loop
        wfi"""), []
    g.run(500)
    behind = g.address("here") + 4
    before = g["s1"]
    assert 0 < before < 200
    g.machine.on_execute(g.address("here"), lambda hart: seen.append(hart["s1"]))
    g.machine.on_execute(behind, lambda hart: seen.append(hart["a0"]))
    g.finish()
    assert seen[-2:] == [1, 200] and g["s3"] == sum(range(1, 201))
    rounds = [(201 - number, number) for number in range(1, 201)]
    assert seen == [each for pair in rounds for each in pair][-len(seen):] and len(seen) // 2 in (before, before - 1)


def test_code_that_python_writes_keeps_its_hooks(guest):
    g, seen = looping(guest, "execute", 100), []
    g.machine.on_execute(g.address("here"), lambda hart: seen.append(hart["a2"]))
    g.run(100)
    g.memory.write(g.address("here"), (0x00560613).to_bytes(4, "little"))       # addi a2, a2, 5
    done = len(seen)
    g.finish()
    assert len(seen) == 100 and {b - a for a, b in zip(seen[done:], seen[done + 1 :], strict=False)} == {5}


def test_a_loop_of_one_instruction(guest):
    g, seen = guest("here: j here"), []
    g.machine.on_execute(g.address("here"), lambda hart: seen.append(g.machine.steps))
    assert g.run(10).reason is StopReason.BUDGET
    assert seen == list(range(10))


def test_first_instruction_and_pieces_of_one_step(guest):
    """However the run is cut up, each execution is told once."""
    g, seen = looping(guest, "execute"), []
    entry = g.hart.pc
    g.machine.on_execute(range(entry, g.address("handler")), lambda hart: seen.append((g.machine.steps, hart.pc)))
    while g.run(1).reason is not StopReason.IDLE:
        pass
    twin, whole = looping(guest, "execute"), []
    twin.machine.on_execute(range(entry, twin.address("handler")),
                            lambda hart: whole.append((twin.machine.steps, hart.pc)))
    twin.finish()
    assert seen == whole and len({step for step, _ in seen}) == len(seen) == g.machine.steps


def test_what_two_kinds_tell_of_one_instruction(guest):
    """Of an ecall: that it is next, that it calls, and its trap."""
    g, seen = looping(guest, "ecall", 3), []
    g.machine.on_ecall(None, lambda hart: seen.append("call"))
    g.machine.on_execute(g.address("here"), lambda hart: seen.append("execute"))
    g.machine.on_trap(None, lambda trap: seen.append(trap.cause))
    g.finish()
    assert seen == ["execute", "call", 11] * 3


def test_hooks_of_other_addresses_cost_no_translation(guest):
    g = looping(guest, "execute", 1000)
    hook = g.machine.on_execute(g.address("here"), lambda hart: None)
    g.finish()
    hook.remove()
    g.hart.pc, g["s1"] = g.address("loop"), 100
    g.finish()
    translations = g.machine.stats()["translations"]
    g.hart.pc, g["s1"] = g.address("loop"), 1000
    g.finish()
    assert g.machine.stats()["translations"] <= translations + 1


def test_another_page_is_as_fast_while_accesses_are_hooked(guest):
    g, seen = looping(guest, "write", 10_000), []
    g.machine.on_write(FAR + 0x2000, seen.append)
    g.finish()
    assert not seen and g.machine.stats()["tlb_misses"]["stores"] < 50
