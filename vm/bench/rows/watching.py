"""What it costs to be told of what a guest does, and to write it down: hooks beside Unicorn's, traces, edges."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import vm
from vm.bench.errors import NotBuilt
from vm.bench.guests.build import elf
from vm.bench.kernels import best_engine
from vm.bench.measure import Claim, Pair, Row, in_turn
from vm.boards.virt import RAM_BASE
from vm.trace import Kind

# addi t0, t0, 1; addi t2, t2, 3; j -8: the second is hooked.
LOOP = bytes.fromhex("93821200 93833300 6ff09fff")
HOOKED, LOOP_STEPS = RAM_BASE + 4, 3
CALLS = 100_000
TWICE = Claim(2.0, "at least 2x the calls a second")
PROGRAMS = ("bytecode_calls", "bytecode_switch", "compress", "crc", "matmul", "recursion", "sha256", "sort", "strings")
WARM, STEPS = 20_000_000, 40_000_000
EDGES = Claim(0.87, "at most 15% slower")
TRACED = "recursion"                    # blocks and accesses in equal parts
TRACES: tuple[tuple[Kind, int, str], ...] = (("blocks", 10, "at least 100 M/s"), ("memory", 20, "at least 50 M/s"))
CAPACITY = 1 << 20
NANOSECOND = 1e-9


def rows(quick: bool) -> Iterator[Row]:
    rounds = 5 if quick else 15
    yield Row("watching", "a call of an empty hook", "Unicorn", best_engine(), in_turn(unicorn_call, our_call, rounds),
              claim=TWICE)
    for kind, goal, text in TRACES:
        yield Row("watching", f"an event of a trace of {kind}, {TRACED}", "the goal", best_engine(),
                  partial(traced, kind, goal * NANOSECOND, rounds), claim=Claim(1.0, text))
    for name in PROGRAMS[:3] if quick else PROGRAMS:
        yield Row("watching", name, "not counted", "edges counted", partial(counted, name, rounds), claim=EDGES,
                  group="edges")


def our_call() -> float:
    """Seconds."""
    with vm.Machine(board="bare", engine=best_engine()) as machine:
        machine.map(RAM_BASE, 1 << 21)
        machine.memory.write(RAM_BASE, LOOP)
        machine.harts[0].pc = RAM_BASE
        machine.on_execute(HOOKED, lambda hart: None)
        return timed(partial(machine.run, CALLS * LOOP_STEPS)) / CALLS


def unicorn_call() -> float:
    try:
        import unicorn
    except ImportError as error:
        raise NotBuilt("unicorn is not installed") from error
    machine = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
    machine.mem_map(RAM_BASE, 1 << 21)
    machine.mem_write(RAM_BASE, LOOP)
    machine.hook_add(unicorn.UC_HOOK_CODE, lambda machine, address, size, data: None, begin=HOOKED, end=HOOKED)
    return timed(partial(machine.emu_start, RAM_BASE, 0, count=CALLS * LOOP_STEPS)) / CALLS


def timed(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def traced(kind: Kind, goal: float, rounds: int) -> Iterator[Pair]:
    with warm(TRACED) as machine, machine.trace(kind, capacity=CAPACITY, when_full="drop-oldest") as trace:
        work = again(machine)
        for _ in range(rounds):
            trace.clear()
            seconds = work()
            yield goal, seconds / (len(trace) + trace.dropped)


def counted(name: str, rounds: int) -> Iterator[Pair]:
    with warm(name) as plain, warm(name) as watched, watched.edge_map():
        yield from in_turn(again(plain), again(watched), rounds)()


def again(machine: vm.Machine) -> Callable[[], float]:
    """What takes the same steps each time, all of them compiled. Seconds."""
    start = machine.snapshot()
    machine.run(STEPS)

    def work() -> float:
        machine.restore(start)
        return timed(partial(machine.run, STEPS))

    return work


def warm(name: str) -> vm.Machine:
    machine = vm.Machine(memory="64M", engine=best_engine())
    machine.load(elf(name))
    machine.run(WARM)
    return machine
