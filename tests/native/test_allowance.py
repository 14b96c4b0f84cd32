"""Translations of many machines: those that ran longest ago give theirs up, and no guest can tell."""

import gc
import os
import threading

import pytest

from tests.guest import ENOUGH, Guest
from vm_native.execution.allowance import allow

ROUNDS = 2048
PROGRAM = f"""
    .option norvc
    li   s1, {ROUNDS}
    la   s2, target
    la   s3, data
    lw   t1, target
    li   t2, 1 << 21            # of the immediate: 1 becomes 3 and 3 becomes 1
1:  call target
    sd   a0, 0(s3)              # beside the code
    andi t0, s1, 63
    bnez t0, 2f
    xor  t1, t1, t2
    sw   t1, 0(s2)
    fence.i
2:  addi s1, s1, -1
    bnez s1, 1b
    wfi
target:
    addi a0, a0, 1
    ret
    .balign 64
data:
    .dword 0
"""


def expected():
    total, step = 0, 1
    for left in range(ROUNDS, 0, -1):
        total += step
        step ^= 2 if left % 64 == 0 else 0
    return total


@pytest.fixture
def no_room():
    allow(1, 0)
    yield
    allow()


@pytest.fixture(params=["interpreter", "jit"])
def engine(request):
    return request.param


def finished(guest):
    return guest["a0"] and not guest["s1"]


def held(guest):
    return guest.machine.stats()["bytes"]


def test_the_one_that_ran_longest_ago_gives_its_own_up(no_room, engine):
    first, second = Guest(PROGRAM, engine=engine), Guest(PROGRAM, engine=engine)
    first.run(1000)
    assert held(first)
    second.run(1000)
    assert not held(first)
    assert held(second)
    assert first.machine.stats()["evictions"]


def test_one_that_has_just_run_keeps_its_own(no_room, engine):
    hour = 3600 * 10**9
    allow(1, hour)
    guests = [Guest(PROGRAM, engine=engine) for _ in range(3)]
    for guest in guests:
        guest.run(1000)
    assert all(held(guest) for guest in guests)


def test_with_room_for_them_all_keep_theirs(engine):
    guests = [Guest(PROGRAM, engine=engine) for _ in range(3)]
    for guest in guests:
        guest.run(1000)
    assert all(held(guest) for guest in guests)


@pytest.mark.parametrize("length", [7, 97, 1009])
def test_a_machine_that_loses_them_all_the_time_does_the_same(no_room, length):
    """Code that changes, engines mixed: turn by turn each takes the others' translations away."""
    guests = [Guest(PROGRAM, engine=engine) for engine in ("jit", "interpreter", "jit")]
    alone = Guest(PROGRAM, engine="interpreter")
    alone.run(ENOUGH)
    while not all(map(finished, guests)):
        for guest in guests:
            guest.run(length)
    for guest in guests:
        guest.run(100)
        assert guest["a0"] == alone["a0"] == expected()
        assert guest.memory.read(guest.address("data"), 8) == expected().to_bytes(8, "little")


def test_machines_in_threads(no_room):
    wrong = []

    def work(engine):
        guest = Guest(PROGRAM, engine=engine)
        while not finished(guest):
            guest.run(501)
        if guest["a0"] != expected():
            wrong.append((engine, guest["a0"]))

    guests = [threading.Thread(target=work, args=("jit" if i % 2 else "interpreter",)) for i in range(6)]
    for thread in guests:
        thread.start()
    for thread in guests:
        thread.join()
    assert not wrong


def test_machines_that_are_gone_are_not_asked(no_room, engine):
    for _ in range(20):
        Guest(PROGRAM, engine=engine).run(500)
        closed = Guest(PROGRAM, engine=engine)
        closed.run(500)
        closed.machine.close()
        gc.collect()
    last = Guest(PROGRAM, engine=engine)
    last.run(ENOUGH)
    assert last["a0"] == expected()


def test_a_process_that_forked_leaves_its_parents_machines_alone(no_room):
    """Their code memory is the parent's, too."""
    guest = Guest(PROGRAM, engine="jit")
    guest.run(5000)
    child = os.fork()
    if not child:
        other = Guest(PROGRAM, engine="jit")
        other.run(ENOUGH)
        del guest
        os._exit(0 if other["a0"] == expected() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert held(guest)
    guest.run(ENOUGH)
    assert guest["a0"] == expected()
