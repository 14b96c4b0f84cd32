"""The guest that runs litmus tests: made of shapes, as assembly for bare harts, and what it leaves in memory.

A run of a test has cells of its own, a line of 64 bytes for each place, so that runs need not wait for each other:
harts go through CELLS runs side by side, meet, look at the outcomes and clear the cells, each its share, and meet
again. How tightly they go together is the caller's: they meet every so many runs (`together`), and wait at random
before each (`delay`).

All shapes are in one program. Which one is run, how often and how stand in PARAMETERS. Each hart has a histogram.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

import vm
from tests.assembler import BASE
from tests.litmus.shapes import MOST_BITS, PLACES, Access, Outcome, Shape

MEMORY = "16M"
MAX_HARTS = 4
CELLS = 4096                    # runs between two looks at the outcomes
LINE = 64
PARAMETERS = BASE + 0x80_0000   # the shape's number, rounds, together - 1, delay; then where harts meet
MEETING = PARAMETERS + 2 * LINE
PLACE = BASE + 0x81_0000        # cells, an area of each place
OUTCOMES = BASE + 0x8E_0000     # what harts have read, two bytes a run
HISTOGRAMS = BASE + 0x90_0000
PLACE_AREA, OUTCOME_AREA, HISTOGRAM_AREA = 0x4_0000, 0x2000, 0x10_0000
STRIDES = {"x": 1, "y": 13, "z": 7}             # lines from run to run: odd, so that all cells have their turn
ADDRESS = {"x": "s2", "y": "s3", "z": "s4"}
OFFSET = {"x": "s5", "y": "s6", "z": "s7"}
AREA = {"x": "t3", "y": "t4", "z": "t5"}
VALUE = {1: "s8", 2: "s9", 3: "s10"}
START = f"""
    la   t0, done
    csrw mtvec, t0
    csrr s0, mhartid
    li   s8, 1
    li   s9, 2
    li   s10, 3
    addi s11, s0, 77            # what is random: not zero
    li   t0, {PARAMETERS}
    ld   a0, 0(t0)
    ld   s1, 8(t0)
    ld   gp, 16(t0)
    ld   sp, 24(t0)
    li   t6, {CELLS * LINE - 1}
    li   t0, {MAX_HARTS * 4}
    mul  a0, a0, t0
    slli t0, s0, 2
    add  a0, a0, t0
    la   t0, table
    add  t0, t0, a0
    jr   t0
meet:                           # a0: how many harts; a1: the meeting's number, from 1
    fence rw, rw
    li   t0, {MEETING}
    li   t1, 1
    amoadd.d zero, t1, (t0)
    mul  t2, a0, a1
1:  .word 0x0100000f            # pause
    ld   t1, (t0)
    blt  t1, t2, 1b
    fence rw, rw
    addi a1, a1, 1
    ret
    .balign 4
done:                           # and where traps go
    fence rw, rw
1:  wfi
    j    1b
"""
RANDOM = """
    slli t0, s11, 13            # xorshift
    xor  s11, s11, t0
    srli t0, s11, 7
    xor  s11, s11, t0
    slli t0, s11, 17
    xor  s11, s11, t0
    and  t0, s11, sp
1:  addi t0, t0, -1
    bgez t0, 1b
"""


class Run(NamedTuple):
    """How a test is run: `rounds` times CELLS runs, harts meeting every `together` runs, a power of two."""

    rounds: int
    together: int = CELLS
    delay: int = 15             # a power of two less one

    @property
    def runs(self) -> int:
        return self.rounds * CELLS


def source_of(shapes: Iterable[Shape]) -> str:
    """The program, to be assembled; shapes have the numbers of their order here."""
    table, bodies = [], []
    for number, shape in enumerate(shapes):
        assert len(shape.harts) <= MAX_HARTS and sum(shape.widths) <= MOST_BITS, f"{shape.name} is too large"
        table += [f"    j    hart_{number}_{hart}" if hart < len(shape.harts) else "    j    done"
                  for hart in range(MAX_HARTS)]
        bodies += [body(shape, hart, f"{number}_{hart}") for hart in range(len(shape.harts))]
    table = ["    .option push", "    .option norvc", "    .balign 4", "table:", *table, "    .option pop"]
    return "\n".join([START, *table, *bodies])


def body(shape: Shape, hart: int, label: str) -> str:
    """What a hart does in a test: rounds of runs, and of looking at them."""
    harts, places = len(shape.harts), shape.places
    return "\n".join([
        f"hart_{label}:",
        "    li   a1, 1",
        f"round_{label}:",
        *(f"    li   {AREA[place]}, {PLACE + PLACES.index(place) * PLACE_AREA}" for place in places),
        *(f"    li   {OFFSET[place]}, 0" for place in places),
        f"    li   tp, {OUTCOMES + hart * OUTCOME_AREA}",
        f"    li   ra, {CELLS}",
        f"run_{label}:",
        "    and  t0, ra, gp",
        f"    bnez t0, go_{label}",
        "    mv   a7, ra",
        f"    li   a0, {harts}",
        "    call meet",
        "    mv   ra, a7",
        f"go_{label}:",
        "    mv   a7, a1",
        RANDOM,
        *(f"    add  {ADDRESS[place]}, {AREA[place]}, {OFFSET[place]}" for place in places),
        *test(shape, hart),
        "    mv   a1, a7",
        "    sh   a0, (tp)",
        "    addi tp, tp, 2",
        *step(places),
        "    addi ra, ra, -1",
        f"    bnez ra, run_{label}",
        f"    li   a0, {harts}",
        "    call meet",
        *look(shape, hart, label),
        f"    li   a0, {harts}",
        "    call meet",
        "    addi s1, s1, -1",
        f"    bnez s1, round_{label}",
        "    j    done",
    ])


def step(places: str, times: int = 1) -> list[str]:
    return [line for place in places for line in (
        f"    addi {OFFSET[place]}, {OFFSET[place]}, {STRIDES[place] * LINE * times}" if
        STRIDES[place] * LINE * times < 2048 else
        f"    li   t0, {STRIDES[place] * LINE * times}\n    add  {OFFSET[place]}, {OFFSET[place]}, t0",
        f"    and  {OFFSET[place]}, {OFFSET[place]}, t6")]


# --- A run ------------------------------------------------------------------------------------------------------------

def test(shape: Shape, hart: int) -> list[str]:
    """The accesses themselves. What is read goes to a0 and on; then a0 is all of it, at its place in the outcome."""
    lines: list[str] = []
    free = 0
    last = ""
    for access in shape.harts[hart]:
        registers = [f"a{free + number}" for number in range(access.observations)]
        lines += instructions(access, last, registers)
        free += access.observations
        last = registers[0] if registers else last
    assert free <= 7, f"{shape.name}: a7 is in use"
    first = sum(access.observations for before in shape.harts[:hart] for access in before)
    if not free:
        return [*lines, "    li   a0, 0"]
    lines += [f"    slli a{number}, a{number}, {bits_before(shape, first + number)}" for number in range(free)]
    return lines + [f"    or   a0, a0, a{number}" for number in range(1, free)]


def bits_before(shape: Shape, label: int) -> int:
    return sum(shape.widths[:label])


def instructions(access: Access, last: str, registers: list[str]) -> list[str]:
    """Those of an access and of what stands before it; `last` is what was read last."""
    lines: list[str] = []
    address, value = ADDRESS[access.place], VALUE.get(access.value, "zero")
    for one in access.before:
        match one.split("."):
            case ["fence", "tso"]:
                lines.append("fence.tso")
            case ["fence", before, after]:
                lines.append(f"fence {before}, {after}")
            case ["ctrl"]:
                lines += [f"bnez {last}, 2f", "2:"]
            case ["addr"]:
                lines += [f"xor t0, {last}, {last}", f"add t1, {address}, t0"]
                address = "t1"
            case ["data"]:
                lines += [f"xor t0, {last}, {last}", f"add t2, {value}, t0"]
                value = "t2"
    order = f".{access.order}" if access.order else ""
    match access.kind:
        case "R":
            lines.append(f"lw {registers[0]}, ({address})")
        case "W":
            lines.append(f"sw {value}, ({address})")
        case "A":
            lines.append(f"amoswap.w{order} {registers[0]}, {value}, ({address})")
        case "O":
            lines.append(f"amoor.w{order} {registers[0]}, zero, ({address})")
        case "L":
            lines.append(f"lr.w{order} {registers[0]}, ({address})")
        case "X":
            acquire = {"": "", "aq": ".aq", "rl": "", "aqrl": ".aqrl"}[access.order]
            release = ".rl" if access.order.endswith("rl") else ""
            lines += [f"lr.w{acquire} {registers[0]}, ({address})",
                      f"sc.w{release} {registers[1]}, {value}, ({address})"]
    return [line if line.endswith(":") else f"    {line}" for line in lines]


# --- Outcomes ---------------------------------------------------------------------------------------------------------

def look(shape: Shape, hart: int, label: str) -> list[str]:
    """Count the outcomes of a hart's share of the runs, every so many, and clear their cells."""
    harts, places, at = len(shape.harts), shape.places, len(shape.labels) - len(shape.finals)
    return [
        *(f"    li   {OFFSET[place]}, {hart * STRIDES[place] * LINE % (CELLS * LINE)}" for place in places),
        f"    li   tp, {OUTCOMES + 2 * hart}",
        f"    li   a2, {HISTOGRAMS + hart * HISTOGRAM_AREA}",
        f"    li   ra, {hart}",
        f"    li   a6, {CELLS}",
        f"    li   a4, {OUTCOME_AREA}",
        f"look_{label}:",
        "    mv   a5, tp",
        "    lhu  a3, (a5)",
        *["    add  a5, a5, a4\n    lhu  t0, (a5)\n    or   a3, a3, t0"] * (harts - 1),
        *(f"    add  {ADDRESS[place]}, {AREA[place]}, {OFFSET[place]}" for place in places),
        *(f"    lw   t0, ({ADDRESS[place]})\n    slli t0, t0, {bits_before(shape, at + number)}\n    or   a3, a3, t0"
          for number, place in enumerate(shape.finals)),
        *(f"    sw   zero, ({ADDRESS[place]})" for place in places),
        "    slli a3, a3, 3",
        "    add  a3, a3, a2",
        "    ld   t0, (a3)",
        "    addi t0, t0, 1",
        "    sd   t0, (a3)",
        *step(places, harts),
        f"    addi tp, tp, {2 * harts}",
        f"    addi ra, ra, {harts}",
        f"    blt  ra, a6, look_{label}",
    ]


def outcomes(machine: vm.Machine, shape: Shape) -> Counter[Outcome]:
    """What was seen how often, once the program has ended."""
    found: Counter[Outcome] = Counter()
    for hart in range(len(shape.harts)):
        counts = machine.memory.read(HISTOGRAMS + hart * HISTOGRAM_AREA, 8 << sum(shape.widths))
        histogram = np.frombuffer(counts, "<u8")
        for index in map(int, histogram.nonzero()[0]):
            found[tuple(index >> bits_before(shape, number) & (1 << width) - 1
                        for number, width in enumerate(shape.widths))] += int(histogram[index])
    return found
