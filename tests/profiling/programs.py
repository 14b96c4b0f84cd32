"""Programs whose hot spots and call stacks are known, and what their runs are by single steps."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import vm
from tests.assembler import FLAGS, compile_elf
from vm.stop import StopReason

START = """
    .globl _start
    .type _start, @function
_start:
    .cfi_startproc
    .cfi_undefined ra
    csrr t0, mhartid
    slli t0, t0, 14
    la   sp, stacks + 16384
    add  sp, sp, t0
    li   s0, 0
    csrr a0, mhartid
    call main
    li   t0, 0x100000
    li   t1, 0x5555
    sw   t1, 0(t0)
1:  wfi
    j    1b
    .cfi_endproc
    .size _start, . - _start
    .data
    .balign 16
stacks:
    .zero 4 * 16384
"""
# The calls of `work` are 6 to 3 to 1 by what they do; `leaf` has no frame where the compiler can do without.
SOURCE = """
typedef unsigned long u64;
volatile u64 sinks[4][8];
#define APART __attribute__((noinline, noclone))
APART u64 leaf(u64 x) { return x * 3 + 1; }
APART u64 spin(volatile u64* sink, int rounds) {
    for (int i = 0; i < rounds; i++) sink[0] += i;
    return leaf(sink[0]) + 1;
}
APART u64 hottest(volatile u64* sink) { return spin(sink, 60) + sink[1]; }
APART u64 warm(volatile u64* sink) { u64 sum = 1; for (int i = 0; i < 30; i++) sink[2] += leaf(i); return sum + sink[2]; }
APART u64 deep(volatile u64* sink, int depth) { if (!depth) return leaf(1); sink[3] += deep(sink, depth - 1); return sink[3] ^ depth; }
APART u64 work(volatile u64* sink) { return hottest(sink) + warm(sink) + deep(sink, 5); }
int main(int hart) {
    volatile u64* sink = sinks[hart];
    for (int i = 0; i < ROUNDS; i++) sink[4] += work(sink);
    return 0;
}
"""
FRAME_POINTERS = ("-O1", "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer", "-fno-asynchronous-unwind-tables",
                  "-fno-optimize-sibling-calls")
CALL_FRAMES = ("-O2", "-fomit-frame-pointer", "-fasynchronous-unwind-tables", "-fno-optimize-sibling-calls")
ROUNDS = 20
ENOUGH = 10_000_000


def program(flags: tuple[str, ...], rounds: int = ROUNDS) -> Path:
    """The ELF file."""
    return compile_elf((("start.S", START), ("program.c", SOURCE.replace("ROUNDS", str(rounds)))),
                       (*FLAGS, "-mcmodel=medany", *flags))


class Exact(NamedTuple):
    """A run by single steps: steps by function, and the call stack after each, the innermost function first."""

    steps: Counter[str]
    stacks: list[tuple[str, ...]]


def single_steps(file: Path) -> Exact:
    """Calls are jumps that link to ra, returns jump to it."""
    with vm.Machine(memory="2M", engine="interpreter") as machine:
        symbols = machine.load(file).symbols
        hart = machine.harts[0]

        def name() -> str:
            return symbols.lookup(hart.pc).partition("+")[0]

        steps: Counter[str] = Counter()
        callers: list[str] = []
        stacks = []
        for _ in range(ENOUGH):
            before, word = name(), int.from_bytes(machine.memory.read(hart.pc, 4), "little")
            steps[before] += 1
            if machine.run(instructions=1).reason is StopReason.POWER_OFF:
                break
            if word & 0xFFF in (0x0EF, 0x0E7) or (word & 0xF07F == 0x9002 and word & 0xF80):
                callers.append(before)
            elif word & 0xFFFF == 0x8082 or word == 0x00008067:
                callers.pop()
            stacks.append((name(), *reversed(callers)))
        return Exact(steps, stacks)
