"""Whole programs, ours beside every other machine that is installed. Start-up, measured by `empty`, is subtracted."""

from collections.abc import Callable, Iterator
from functools import cache

from vm.bench.guests.build import EMPTY, FLOATING_POINT, PROGRAMS
from vm.bench.kernels import best_engine
from vm.bench.machines import PEERS, NotBuilt, machine
from vm.bench.measure import Claim, Pair, Row, in_turn

QUICK = ("strings", "recursion", "syscall", "nbody")
LEAST_SECONDS = 1e-4                    # a program that takes next to no time must not come out below zero


def rows(quick: bool) -> Iterator[Row]:
    engine = best_engine()
    for peer in ("qemu", "native") if quick else PEERS:
        for program in QUICK if quick else PROGRAMS:
            kind = PROGRAMS[program]
            if program in PEERS[peer].cannot:
                continue
            claim = None
            if peer == "qemu":
                claim = Claim(5, "at least 5x") if kind == FLOATING_POINT else Claim(2, "at least 2x")
            yield Row("programs", f"{program} ({kind})", peer, engine, beside(peer, engine, program, 1 if quick else 5),
                      claim=claim, group=f"{'floating point' if kind == FLOATING_POINT else 'integer'}, beside {peer}")


def beside(peer: str, engine: str, program: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        for name in (peer, engine):
            if missing := machine(name).missing():
                raise NotBuilt(missing)
        yield from in_turn(lambda: seconds(peer, program), lambda: seconds(engine, program), rounds)()
    return pairs


def seconds(name: str, program: str) -> float:
    return max(machine(name).run(program).seconds - startup(name), LEAST_SECONDS)


@cache
def startup(name: str) -> float:
    return min(machine(name).run(EMPTY).seconds for _ in range(3))
