"""Programs whose hot spots and call stacks are known, and what their runs are by single steps."""

from __future__ import annotations

import struct
from collections import Counter
from hashlib import sha256
from pathlib import Path
from subprocess import run
from tempfile import TemporaryDirectory
from typing import NamedTuple

import vm
from tests.assembler import FLAGS, OUTPUT, SCRIPT, compile_elf
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
# Calls of all kinds; `leaf` has no frame where the compiler can do without.
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
APART u64 warm(volatile u64* sink) {
    for (int i = 0; i < 30; i++) sink[2] += leaf(i);
    return sink[2];
}
APART u64 deep(volatile u64* sink, int depth) {
    if (!depth) return leaf(1);
    sink[3] += deep(sink, depth - 1);
    return sink[3] ^ depth;
}
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


def moved_program(folder: Path, flags: tuple[str, ...], rounds: int = ROUNDS) -> Path:
    """The same, position-independent and linked at address 0: it is loaded at the start of RAM."""
    path = folder / "moved.elf"
    linked = compile_elf((("start.S", START), ("program.c", SOURCE.replace("ROUNDS", str(rounds)))),
                         (*FLAGS, "-mcmodel=medany", *flags), SCRIPT.replace("0x80000000", "0"))
    data = bytearray(linked.read_bytes())
    struct.pack_into("<H", data, 16, 3)         # e_type: ET_DYN
    path.write_bytes(data)
    return path


def built_by_gcc(flags: tuple[str, ...], rounds: int = ROUNDS) -> Path:
    """The same by GCC, which has no option for the frames of leaves."""
    name = sha256(repr((flags, rounds, START, SOURCE)).encode()).hexdigest()[:24]
    output = OUTPUT / f"{name}-gcc.elf"
    if not output.exists():
        OUTPUT.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=OUTPUT) as folder:
            texts = {"start.S": START, "program.c": SOURCE.replace("ROUNDS", str(rounds)), "link.ld": SCRIPT}
            for file, text in texts.items():
                (Path(folder) / file).write_text(text)
            run(["riscv64-unknown-elf-gcc", "-march=rv64gc", "-mabi=lp64d", "-mcmodel=medany", "-nostdlib", "-static",
                 *(flag for flag in flags if "leaf" not in flag), "-T", "link.ld", "start.S", "program.c", "-o",
                 "program.elf"], cwd=folder, check=True)
            (Path(folder) / "program.elf").replace(output)
    return output


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
