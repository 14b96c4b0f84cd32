"""The block cache: what caching translations and linking blocks bring, over the number of blocks that are in use.

The code is made here: blocks of five instructions in slots of 64 bytes, in a shuffled order that is the same each time,
which pass on to each other by direct jumps, or by indirect ones through a table.
"""

import random
from collections.abc import Callable, Iterator

from vm.bench.guests.build import POWER
from vm.bench.kernels import DATA, Kernels, best_engine
from vm.bench.measure import Claim, Pair, Row, in_turn
from vm.bench.variants import NO_LINKING, named, without
from vm.boards.virt import RAM_BASE
from vm.devices.syscon import PASS
from vm_native.riscv.instructions import encode

CLAIM = Claim(2, "2–3x")
CODE = RAM_BASE + (4 << 20)
SLOT = 64
WORK = 4                                # instructions of a block before its jump
WORKING_SETS = (16, 256, 4096, 16384)
AXIS = "blocks in use"
IN_ONE_PAGE = 32
CHURN = 40                              # overwritten so often, a page of code is not cached for a while
A0, A3, A4, A5, S0 = 10, 13, 14, 15, 8  # register numbers


def rows(quick: bool) -> Iterator[Row]:
    rounds = 3 if quick else 7
    yield Row("blocks", "block cache, interpreter", "every block translated anew", "cached and linked",
              uncached_against_cached(rounds), claim=CLAIM)
    for count in WORKING_SETS[:2] if quick else WORKING_SETS:
        yield Row("blocks", f"direct jumps, {count} blocks, interpreter", "look-up in the block cache", "linked",
                  switched(named("interpreter", NO_LINKING), "interpreter", count, False, rounds), claim=CLAIM,
                  group="linking, interpreter", at=count, axis=AXIS)
        yield Row("blocks", f"direct jumps, {count} blocks, JIT", "not linked", "linked",
                  switched(named("jit", without("linking")), "jit", count, False, rounds), claim=CLAIM,
                  group="linking, JIT", at=count, axis=AXIS)
        yield Row("blocks", f"indirect jumps, {count} blocks, JIT", "look-up in the run loop", "inline jump cache",
                  switched(named("jit", without("jump_cache")), "jit", count, True, rounds), claim=CLAIM,
                  group="jump cache, JIT", at=count, axis=AXIS)
        yield Row("blocks", f"indirect against direct jumps, {count} blocks", "indirect", "direct",
                  indirect_against_direct(count, rounds), group="indirect jumps", at=count, axis=AXIS)


def switched(off: str, on: str, count: int, indirect: bool, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        sides = [chain_timer(Kernels(engine), count, indirect) for engine in (off, on)]
        yield from in_turn(sides[0], sides[1], rounds)()
    return pairs


def indirect_against_direct(count: int, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        sides = [chain_timer(Kernels(best_engine()), count, indirect) for indirect in (True, False)]
        yield from in_turn(sides[0], sides[1], rounds)()
    return pairs


def uncached_against_cached(rounds: int) -> Callable[[], Iterator[Pair]]:
    """A page whose code was overwritten many times in a row runs uncached for some millions of steps."""
    def pairs() -> Iterator[Pair]:
        uncached, cached = Kernels("interpreter"), Kernels("interpreter")
        cached_side = chain_timer(cached, IN_ONE_PAGE, False)
        start = write_chain(uncached, IN_ONE_PAGE, False)
        turns = 2000

        def uncached_side() -> float:
            for _ in range(CHURN):
                uncached.run(start, 1)
                write_chain(uncached, IN_ONE_PAGE, False)
            return uncached.run(start, turns) / turns / IN_ONE_PAGE

        yield from in_turn(uncached_side, cached_side, rounds)()
    return pairs


def chain_timer(kernels: Kernels, count: int, indirect: bool) -> Callable[[], float]:
    """Seconds a block."""
    turn = kernels.timer(write_chain(kernels, count, indirect))
    return lambda: turn() / count


def write_chain(kernels: Kernels, count: int, indirect: bool) -> int:
    """Write `count` blocks that run one after the other, a0 times; returns where they begin."""
    order = list(range(1, count))
    random.Random(count).shuffle(order)
    order.insert(0, 0)                                      # the first block comes first, and ends the others' turn
    memory = bytearray(count * SLOT)
    for place, slot in enumerate(order):
        following = order[(place + 1) % count]
        code = [encode("addi", rd=A3, rs1=A3, imm=1)] * WORK
        if slot == 0:
            code = end_of_turn(indirect)
        if indirect:
            code += [encode("ld", rd=A4, rs1=A5), encode("addi", rd=A5, rs1=A5, imm=8), encode("jalr", rd=0, rs1=A4)]
        else:
            code.append(encode("jal", rd=0, imm=(following - slot) * SLOT - 4 * len(code)))
        for i, word in enumerate(code):
            memory[slot * SLOT + 4 * i:slot * SLOT + 4 * i + 4] = word.to_bytes(4, "little")
    kernels.machine.memory.write(CODE, memory)
    if indirect:
        table = b"".join((CODE + slot * SLOT).to_bytes(8, "little") for slot in order[1:] + [0])
        kernels.machine.memory.write(DATA, table)
    return CODE


def end_of_turn(indirect: bool) -> list[int]:
    """Power off if a0 is zero; else count it down, and point a5 to the table."""
    code = [
        encode("blt", rs1=0, rs2=A0, imm=20), encode("lui", rd=S0, imm=POWER), encode("lui", rd=A3, imm=PASS & ~0xFFF),
        encode("addi", rd=A3, rs1=A3, imm=PASS & 0xFFF), encode("sw", rs1=S0, rs2=A3),
        encode("addi", rd=A0, rs1=A0, imm=-1),
    ]
    if indirect:
        code.append(encode("lui", rd=A5, imm=DATA - (1 << 32)))         # whose sign the shifts take away
        code += [encode(shift, rd=A5, rs1=A5, imm=32) for shift in ("slli", "srli")]
    return code
