"""Whole programs, ours beside every other machine that is installed. Start-up, measured by `empty`, is subtracted."""

import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from vm.bench.contenders import PEERS, contender, qemu
from vm.bench.errors import NotBuilt, RunFailed
from vm.bench.guests.build import BESIDE_CODE, EMPTY, FLOATING_POINT, LINKED_TWICE, PROGRAMS
from vm.bench.kernels import best_engine
from vm.bench.measure import Claim, Pair, Row, in_turn
from vm.bench.processes import VM, Run, timed
from vm.bench.variants import CODE_KEPT, ENGINE
from vm.errors import ImageError
from vm.images import debian_installer

Fetched = TypeVar("Fetched")

BOOT_LINE = ('rdinit=/bin/sh console=ttyS0 -- -c "mount /proc; mount /sys; find / -xdev | sort | wc -l;'
             ' echo userspace; echo o > /proc/sysrq-trigger; sleep 60"')
BOOT_MEMORY = "512M"
QUICK = ("strings", "recursion", "syscall", "nbody")
LEAST_SECONDS = 1e-4                    # a program that takes next to no time must not come out below zero


def rows(quick: bool) -> Iterator[Row]:
    engine = best_engine()
    for peer in ("qemu", "native") if quick else PEERS:
        rounds = 1 if quick or PEERS[peer].slow else 3
        for program in QUICK if quick else PROGRAMS:
            kind = PROGRAMS[program]
            if program in PEERS[peer].cannot:
                continue
            claim = None
            if peer == "qemu":
                claim = Claim(5, "at least 5x") if kind == FLOATING_POINT else Claim(2, "at least 2x")
            yield Row("programs", f"{program} ({kind})", peer, engine, beside(peer, engine, program, rounds),
                      claim=claim, group=f"{'floating point' if kind == FLOATING_POINT else 'integer'}, beside {peer}")
    for program in LINKED_TWICE[:1] if quick else LINKED_TWICE:
        yield Row("programs", f"{program}, its data in the pages of its code", f"{engine}, in others",
                  f"{engine}, in the same", linked_twice(engine, program, 3), claim=Claim(0.9, "at least 0.9x"),
                  group="data beside code")
    if not quick:
        yield Row("programs", "Debian's installer: kernel, shell, power-off", "qemu", f"vm boot, {engine}",
                  boots(engine, 3), claim=Claim(1, "at least 1x"))
        if engine == "jit":
            yield Row("programs", "Debian's installer, with compiled code that was kept", f"vm boot, {engine}",
                      "the same after another", warm_boots(5))


def beside(peer: str, engine: str, program: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        for name in (peer, engine):
            if missing := contender(name).missing():
                raise NotBuilt(missing)
        yield from in_turn(lambda: seconds(peer, program), lambda: seconds(engine, program), rounds)()
    return pairs


def linked_twice(engine: str, program: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    return in_turn(lambda: seconds(engine, program), lambda: seconds(engine, program + BESIDE_CODE), rounds)


def seconds(name: str, program: str) -> float:
    return max(contender(name).run(program).seconds - startup(name), LEAST_SECONDS)


def boots(engine: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    """Whole processes, Python's start included, each machine with the firmware it brings."""
    def pairs() -> Iterator[Pair]:
        if missing := PEERS["qemu"].missing():
            raise NotBuilt(missing)
        kernel, initrd = fetched(debian_installer)
        theirs: list[str | Path] = ["-m", BOOT_MEMORY, "-kernel", kernel, "-initrd", initrd, "-append", BOOT_LINE]
        yield from in_turn(lambda: userspace(qemu(theirs)), lambda: our_boot({ENGINE: engine}), rounds)()
    return pairs


def warm_boots(rounds: int) -> Callable[[], Iterator[Pair]]:
    """What a boot before has left in the cache of compiled code, the time to read that included. With the virtual
    clock: in real time the processes of each boot are elsewhere.
    """
    virtual = ("--clock", "virtual")

    def pairs() -> Iterator[Pair]:
        our_boot({ENGINE: "jit"} | CODE_KEPT, virtual)
        yield from in_turn(lambda: our_boot({ENGINE: "jit"}, virtual),
                           lambda: our_boot({ENGINE: "jit"} | CODE_KEPT, virtual), rounds)()
    return pairs


def our_boot(environment: dict[str, str], options: tuple[str, ...] = ()) -> float:
    kernel, initrd = fetched(debian_installer)
    command: list[str | Path] = [sys.executable, "-c", VM, "boot", "--memory", BOOT_MEMORY, "--kernel", kernel,
                                 "--initrd", initrd, "--append", BOOT_LINE, "--net", "none", *options]
    return userspace(timed(command, environment))


def fetched(image: Callable[[], Fetched]) -> Fetched:
    """What `image` downloads. Raises NotBuilt where it cannot be had."""
    try:
        return image()
    except ImageError as error:
        raise NotBuilt(str(error)) from error


def userspace(run: Run) -> float:
    if "\nuserspace" not in run.output:
        raise RunFailed(f"no userspace\n{run.output[-2000:]}")
    return run.seconds


@cache
def startup(name: str) -> float:
    return min(contender(name).run(EMPTY).seconds for _ in range(3))
