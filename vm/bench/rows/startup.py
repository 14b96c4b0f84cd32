"""What a machine costs before the first useful instruction, and how much of the host's memory it takes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import vm
from vm.bench.contenders import MEMORY_MIB, PEERS, QEMU
from vm.bench.errors import NotBuilt
from vm.bench.guests.build import EMPTY, elf
from vm.bench.kernels import best_engine
from vm.bench.measure import Pair, Row, in_turn
from vm.bench.processes import AS_INSTALLED, VM
from vm.settings import child_environment

MACHINES = 20
QEMU_EMPTY = (QEMU, "-M", "virt", "-display", "none", "-monitor", "none", "-serial", "null", "-m", f"{MEMORY_MIB}M",
              "-bios", "none", "-kernel", str(elf(EMPTY)))


def rows(quick: bool) -> Iterator[Row]:
    rounds = 3 if quick else 9
    bare = (sys.executable, "-c", "pass")
    run = (sys.executable, "-c", VM, "run", str(elf(EMPTY)), "--memory", f"{MEMORY_MIB}M")
    yield Row("startup", "import vm", "python -c pass", "python -c 'import vm'",
              in_turn(process(bare), process((sys.executable, "-c", "import vm")), rounds))
    yield Row("startup", "import everything a machine needs", "python -c pass", "python -c 'import vm; vm.Machine'",
              in_turn(process(bare), process((sys.executable, "-c", "import vm; vm.Machine")), rounds))
    yield Row("startup", "an empty program, whole process", "qemu", "vm run",
              with_qemu(process(QEMU_EMPTY), process(run), rounds))
    yield Row("startup", "a machine and its first instruction, inside Python", "qemu, whole process",
              "Machine(), load(), run(1)", with_qemu(process(QEMU_EMPTY), first_instruction, rounds * 3))
    yield Row("startup", f"memory of a machine with {MEMORY_MIB} MiB of RAM", "qemu, peak of the process",
              f"one of {MACHINES} machines", with_qemu(lambda: process_memory(QEMU_EMPTY), memory_a_machine, 1),
              unit="B")


def process(command: Sequence[str]) -> Callable[[], float]:
    environment = child_environment(AS_INSTALLED)

    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, env=environment)
        return time.perf_counter() - start
    return seconds


def with_qemu(baseline: Callable[[], float], ours: Callable[[], float], rounds: int) -> Callable[[], Iterator[Pair]]:
    def pairs() -> Iterator[Pair]:
        if missing := PEERS["qemu"].missing():
            raise NotBuilt(missing)
        yield from in_turn(baseline, ours, rounds)()
    return pairs


def first_instruction() -> float:
    start = time.perf_counter()
    with vm.Machine(memory=f"{MEMORY_MIB}M", engine=best_engine()) as machine:
        machine.load(elf(EMPTY))
        machine.run(instructions=1)
    return time.perf_counter() - start


def process_memory(command: Sequence[str]) -> float:
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    usage = os.wait4(child.pid, 0)[2]
    child.returncode = 0
    return usage.ru_maxrss * 1024


def memory_a_machine() -> float:
    """What machines that have run a program to its end add to this process."""
    machines = []
    before = resident_bytes()
    for _ in range(MACHINES):
        machine = vm.Machine(memory=f"{MEMORY_MIB}M", engine=best_engine())
        machine.load(elf(EMPTY))
        machine.run()
        machines.append(machine)
    added = (resident_bytes() - before) / MACHINES
    for machine in machines:
        machine.close()
    return added


def resident_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        raise NotBuilt("this host has no /proc/self/status")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
