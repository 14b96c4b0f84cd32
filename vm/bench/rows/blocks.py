"""The block cache: what caching translations and linking blocks bring, over the number of blocks that are in use.

The code is made here: blocks of five instructions in slots of 64 bytes, in a shuffled order that is the same each time,
which pass on to each other by direct jumps, or by indirect ones through a table.
"""

import random
from collections.abc import Callable, Iterator

from vm.bench.kernels import DATA, RAM, Kernels, best_engine
from vm.bench.measure import Claim, Pair, Row, in_turn

CLAIM = Claim(2, "2–3x")
CODE = RAM + (4 << 20)
SLOT = 64
WORK = 4                                # instructions of a block before its jump
WORKING_SETS = (16, 256, 4096, 16384)
AXIS = "blocks in use"
IN_ONE_PAGE = 32
CHURN = 40                              # overwritten so often, a page of code is not cached for a while
A0, A3, A4, A5, S0 = 10, 13, 14, 15, 8     # register numbers


def rows(quick: bool) -> Iterator[Row]:
    rounds = 3 if quick else 7
    yield Row("blocks", "block cache, interpreter", "every block translated anew", "cached and linked",
              uncached_against_cached(rounds), claim=CLAIM)
    for count in WORKING_SETS[:2] if quick else WORKING_SETS:
        yield Row("blocks", f"direct jumps, {count} blocks, interpreter", "look-up in the block cache", "linked",
                  switched("interpreter:VM_LINKING=0", "interpreter", count, False, rounds), claim=CLAIM,
                  group="linking, interpreter", at=count, axis=AXIS)
        yield Row("blocks", f"direct jumps, {count} blocks, JIT", "not linked", "linked",
                  switched("jit:VM_JIT_LINKING=0", "jit", count, False, rounds), claim=CLAIM,
                  group="linking, JIT", at=count, axis=AXIS)
        yield Row("blocks", f"indirect jumps, {count} blocks, JIT", "look-up in the run loop", "inline jump cache",
                  switched("jit:VM_JIT_JUMP_CACHE=0", "jit", count, True, rounds), claim=CLAIM,
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
        code = [addi(A3, A3, 1)] * WORK
        if slot == 0:
            code = end_of_turn(indirect)
        if indirect:
            code += [ld(A4, A5, 0), addi(A5, A5, 8), jalr(A4)]
        else:
            code.append(jal((following - slot) * SLOT - 4 * len(code)))
        for i, word in enumerate(code):
            memory[slot * SLOT + 4 * i:slot * SLOT + 4 * i + 4] = word.to_bytes(4, "little")
    kernels.machine.memory.write(CODE, memory)
    if indirect:
        table = b"".join((CODE + slot * SLOT).to_bytes(8, "little") for slot in order[1:] + [0])
        kernels.machine.memory.write(DATA, table)
    return CODE


def end_of_turn(indirect: bool) -> list[int]:
    """Power off if a0 is zero; else count it down, and point a5 to the table."""
    code = [bgtz(A0, 20), lui(S0, 0x100), lui(A3, 5), addi(A3, A3, 0x555), sw(A3, S0), addi(A0, A0, -1)]
    return [*code, lui(A5, DATA >> 12), slli(A5, A5, 32), srli(A5, A5, 32)] if indirect else code


# Encodings: RISC-V Unprivileged ISA, "RV32I Base Integer Instruction Set" and "RV64I".

def addi(rd: int, rs1: int, value: int) -> int:
    return (value & 0xFFF) << 20 | rs1 << 15 | rd << 7 | 0x13


def slli(rd: int, rs1: int, places: int) -> int:
    return places << 20 | rs1 << 15 | 1 << 12 | rd << 7 | 0x13


def srli(rd: int, rs1: int, places: int) -> int:
    return places << 20 | rs1 << 15 | 5 << 12 | rd << 7 | 0x13


def lui(rd: int, upper: int) -> int:
    return (upper & 0xFFFFF) << 12 | rd << 7 | 0x37


def ld(rd: int, rs1: int, offset: int) -> int:
    return (offset & 0xFFF) << 20 | rs1 << 15 | 3 << 12 | rd << 7 | 0x03


def sw(rs2: int, rs1: int) -> int:
    return rs2 << 20 | rs1 << 15 | 2 << 12 | 0x23


def jalr(rs1: int) -> int:
    return rs1 << 15 | 0x67


def jal(offset: int) -> int:
    return (offset >> 20 & 1) << 31 | (offset >> 1 & 0x3FF) << 21 | (offset >> 11 & 1) << 20 \
        | (offset >> 12 & 0xFF) << 12 | 0x6F


def bgtz(rs: int, offset: int) -> int:
    return (offset >> 12 & 1) << 31 | (offset >> 5 & 0x3F) << 25 | rs << 20 | 4 << 12 \
        | (offset >> 1 & 0xF) << 8 | (offset >> 11 & 1) << 7 | 0x63
