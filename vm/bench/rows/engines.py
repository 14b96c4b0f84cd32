"""The compiling engine beside the interpreter, by class of work, and what each of its parts brings."""

from collections.abc import Callable, Iterator
from math import exp, log

from vm.bench.contenders import contender
from vm.bench.errors import NotBuilt
from vm.bench.kernels import DATA, kernel_pairs
from vm.bench.measure import Claim, Pair, Row, in_turn
from vm.bench.variants import named, without

CLAIM = Claim(5, "5–10x")
KERNELS = {"ALU": "arithmetic", "memory": "loads", "branch": "branches", "call": "calls", "FP": "floating",
           "system": "ecalls"}
SWITCHES = {
    "registers": "guest registers in host registers", "neighbours": "the same ones in traces around a trace",
    "page_entries": "a cached page for each base register",
    "trials": "the TLB at once for accesses that roam",
    "windows": "one test for all RAM, and for many accesses",
    "linking": "direct links between blocks", "jump_cache": "inline jump cache", "superblocks": "superblocks",
    "floats": "compiled floating point", "words": "sign extensions only where somebody looks",
    "combining": "instructions in a row done by one",
}
PROGRAMS = ("sort", "strings", "recursion", "copy", "bytecode_calls", "nbody")


def rows(quick: bool) -> Iterator[Row]:
    rounds = 3 if quick else 9
    for kind, kernel in KERNELS.items():
        yield Row("engines", f"{kind} kernel", "interpreter", "jit",
                  kernel_pairs(("interpreter", kernel), ("jit", kernel), rounds, *arguments(kernel)),
                  claim=CLAIM, group="JIT against the interpreter, kernels")
    for kind, kernel in KERNELS.items():
        yield Row("engines", f"{kind} kernel, fusion", "interpreter without fusion", "interpreter",
                  kernel_pairs(("plain", kernel), ("interpreter", kernel), rounds, *arguments(kernel)),
                  group="fusion in the interpreter, kernels")
    if quick:
        return
    for switch, text in SWITCHES.items():
        off = named("jit", without(switch))
        yield Row("engines", f"{text}, on {len(PROGRAMS)} programs", off, "jit", programs_in_turn(off, "jit", 3),
                  group="what the parts of the JIT bring")


def arguments(kernel: str) -> tuple[int, ...]:
    return (DATA, 1024) if kernel == "loads" else ()


def programs_in_turn(baseline: str, ours: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    """Geometric means of the seconds that PROGRAMS take."""
    def pairs() -> Iterator[Pair]:
        sides = []
        for name in (baseline, ours):
            there = contender(name)
            if missing := there.missing():
                raise NotBuilt(missing)
            sides.append(lambda there=there: exp(sum(log(there.run(p).seconds) for p in PROGRAMS) / len(PROGRAMS)))
        yield from in_turn(sides[0], sides[1], rounds)()
    return pairs
