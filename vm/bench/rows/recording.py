"""What it costs to record a run: the same run without, in turn with it."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import vm
from vm.bench.errors import RunFailed
from vm.bench.kernels import DATA, Kernels, best_engine
from vm.bench.measure import Claim, Pair, Row, in_turn
from vm.bench.rows.programs import BOOT_LINE, BOOT_MEMORY, fetched
from vm.images import debian_installer

CLAIM = Claim(0.99, "at least 0.99x")
# Less than a hundredth is to be seen, and the host is not as even as that: many short pairs tell more than few.
PAIRS, BOOTS = 60, 15
LONGER = 8                              # than what can be measured at all: the first checkpoints are close together
PRESSES = 20                            # keys that are typed while Debian boots
STEPS_A_KEY = 10_000_000


def rows(quick: bool) -> Iterator[Row]:
    for engine in ("interpreter", "jit"):
        yield Row("recording", f"eight loads in 1 KiB, {engine}", "not recorded", "recorded",
                  of_a_kernel(engine, 9 if quick else PAIRS), claim=CLAIM)
    if not quick:
        yield Row("recording", "Debian's boot", "not recorded", "recorded", of_a_boot(0, BOOTS), claim=CLAIM)
        yield Row("recording", f"Debian's boot, {PRESSES} keys typed", "not recorded", "recorded",
                  of_a_boot(PRESSES, BOOTS), claim=CLAIM)


def of_a_kernel(engine: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        kernels = Kernels(engine)
        turns = LONGER * kernels.turns("loads", DATA, 1 << 10, None)
        plain = partial(kernels.run, "loads", turns, DATA, 1 << 10)

        def recorded() -> float:
            with kernels.machine.record():
                return plain()

        yield from in_turn(plain, recorded, rounds)()
    return pairs


def of_a_boot(keys: int, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        yield from in_turn(lambda: boot(keys, False), lambda: boot(keys, True), rounds)()
    return pairs


def boot(keys: int, recorded: bool) -> float:
    """Seconds of the processor that a boot takes to its power-off."""
    kernel, initrd = fetched(debian_installer)
    with vm.Machine(memory=BOOT_MEMORY, engine=best_engine()) as machine:
        machine.boot(kernel, initrd, BOOT_LINE)
        start = time.thread_time()
        recording = machine.record() if recorded else None
        for _ in range(keys):
            machine.run(instructions=STEPS_A_KEY)
            machine.console.send("x")
        stop = machine.run()
        if recording is not None:
            recording.stop()
        seconds = time.thread_time() - start
        if stop.reason is not vm.StopReason.POWER_OFF:
            raise RunFailed(f"Debian's boot: {stop}")
        return seconds
