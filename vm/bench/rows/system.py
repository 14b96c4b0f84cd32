"""What happens rarely and costs much: traps, system calls, context switches, devices, timer interrupts."""

from collections.abc import Callable, Iterator

from vm.bench.contenders import PEERS, qemu
from vm.bench.errors import NotBuilt
from vm.bench.guests.build import CLOCK_DEVICE, LATENCY, VIRTIO_STATUS, elf
from vm.bench.kernels import DATA, MEMORY, Kernels, best_engine
from vm.bench.measure import Pair, Row, in_turn
from vm.bench.processes import in_child
from vm.bench.variants import NO_ANSWERS, named, variant

CALLS_A_TURN = 4
SWITCHES_A_TURN = 2
ASID_SHIFT = 44


def rows(quick: bool) -> Iterator[Row]:
    rounds = 3 if quick else 9
    for engine in ("interpreter", "jit"):
        yield Row("system", f"environment call and return, {engine}", "ecall, handler, mret", "call and return",
                  trap_against_call(engine, rounds))
        yield Row("system", f"load from a device in Python, {engine}", "device", "RAM",
                  device_against_ram(engine, rounds))
        yield Row("system", f"poll of a device's status, {engine}", "the device is asked", "the core answers",
                  poll(engine, rounds))
        yield Row("system", f"switch of address spaces, {engine}", "another satp, four loads",
                  "the same satp, four loads", switch_against_none(engine, rounds))
    for statistic, name in enumerate(("median", "worst")):
        yield Row("system", f"timer interrupt latency, busy guest, {name}", "qemu", best_engine(),
                  latency(statistic, 1 if quick else 5))


def trap_against_call(engine: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        kernels = Kernels(engine)
        calls = kernels.timer("calls")
        yield from in_turn(kernels.timer("ecalls"), lambda: calls() / CALLS_A_TURN, rounds)()
    return pairs


def device_against_ram(engine: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        kernels = Kernels(engine)
        yield from in_turn(kernels.timer("words", CLOCK_DEVICE), kernels.timer("words", DATA), rounds)()
    return pairs


def poll(engine: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        asked, answered = (Kernels(name).timer("words", VIRTIO_STATUS) for name in (named(engine, NO_ANSWERS), engine))
        yield from in_turn(asked, answered, rounds)()
    return pairs


def switch_against_none(engine: str, rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        kernels = Kernels(engine)
        satp = kernels.map_pages()
        first, second = satp | 1 << ASID_SHIFT, satp | 2 << ASID_SHIFT
        switching = kernels.timer("switches", first, second, satp=first)
        staying = kernels.timer("switches", first, first, satp=first)
        yield from in_turn(lambda: switching() / SWITCHES_A_TURN, lambda: staying() / SWITCHES_A_TURN, rounds)()
    return pairs


def latency(statistic: int, rounds: int) -> Callable[[], Iterator[Pair]]:
    """Both in real time."""
    def seconds(output: str) -> float:
        return max(int(output.split()[1 + statistic]), 1) / 1e9

    def ours() -> float:
        engine, environment = variant(best_engine())
        job = {"do": "run", "engine": engine, "program": str(elf(LATENCY)), "memory": MEMORY, "clock": "real"}
        return seconds(str(in_child(job, environment)["output"]))

    def theirs() -> float:
        return seconds(qemu(["-bios", "none", "-kernel", elf(LATENCY)]).output)

    def pairs() -> Iterator[Pair]:
        if missing := PEERS["qemu"].missing():
            raise NotBuilt(missing)
        yield from in_turn(theirs, ours, rounds)()
    return pairs
