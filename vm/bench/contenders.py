"""Every contender: whatever a benchmark program can run on, ours and others'. Each gives the same `Run`.

A contender is named like `qemu`, or `jit:VM_JIT_PAGE_ENTRIES=0` with settings of the environment for one of ours, as an
ablation has them. A run is timed from nothing to power-off: making the machine, loading, running. For others that
includes starting a process; the program `empty` shows how much that is. Ours run in a process of their own, too, so
that a setting reaches the import and a crash stays there; they are timed inside, without Python's start. All get
128 MiB of RAM.
"""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

from vm.bench.errors import NotBuilt, RunFailed
from vm.bench.guests.build import build_hosted, elf
from vm.bench.processes import TIMEOUT, Run, children_seconds, in_child, timed
from vm.bench.variants import ENGINES, variant
from vm.errors import VmError

QEMU, QEMU_USER = "qemu-system-riscv64", "qemu-riscv64"
MEMORY_MIB = 128
SPIKE_ISA = "rv64imafdc_zicntr"


@dataclass(frozen=True)
class Contender:
    """`missing` says why the contender cannot be used here, or None; `run` takes the name of a program."""

    missing: Callable[[], str | None]
    run: Callable[[str], Run]
    ours: bool = False
    cannot: frozenset[str] = frozenset()    # programs that it cannot run
    slow: bool = False                      # an interpreter that takes ten times as long as the others, or more


def contender(name: str) -> Contender:
    """The contender of that name. Raises VmError where there is none."""
    if name.partition(":")[0] in ENGINES:
        engine, environment = variant(name)
        return Contender(partial(engine_missing, engine, tuple(environment.items())),
                         partial(run_ours, engine=engine, environment=environment), ours=True)
    if name not in PEERS:
        raise VmError(f"{name}: no such machine; there are {', '.join([*ENGINES, *PEERS])}, and settings of the "
                      "environment for the engines, as in jit:VM_JIT_PAGE_ENTRIES=0")
    return PEERS[name]


def available(names: Sequence[str], say: Callable[[str], None]) -> dict[str, Contender]:
    """Those of the contenders that are there; `say` hears about each that is not."""
    found = {}
    for name in names:
        candidate = contender(name)
        missing = candidate.missing()
        if missing is None:
            found[name] = candidate
        else:
            say(f"{name}: skipped: {missing}")
    return found


# --- Ours -------------------------------------------------------------------------------------------------------------

@cache
def engine_missing(engine: str, environment: tuple[tuple[str, str], ...]) -> str | None:
    try:
        in_child({"do": "look", "engine": engine}, dict(environment))
    except NotBuilt as error:
        return str(error)
    return None


def run_ours(program: str, engine: str, environment: dict[str, str]) -> Run:
    result = in_child({"do": "run", "engine": engine, "program": str(elf(program)), "memory": f"{MEMORY_MIB}M"},
                      environment)
    if result["reason"] != "power-off":
        raise RunFailed(f"vm: {program}: {result['stop']}\n{result['output']}")
    return Run(result["seconds"], result["cpu_seconds"], result["output"], result["instructions"])


# --- Others -----------------------------------------------------------------------------------------------------------

def qemu(arguments: Sequence[str | Path]) -> Run:
    """Run QEMU's `virt` board, serial port on standard output, to power-off."""
    return timed([QEMU, "-M", "virt", "-display", "none", "-monitor", "none", "-serial", "stdio", *arguments])


def run_qemu(program: str) -> Run:
    return qemu(["-m", f"{MEMORY_MIB}M", "-bios", "none", "-kernel", elf(program)])


def run_hosted(peer: str, program: str) -> Run:
    """Run on an emulator that is a Python package, by a function of vm.bench.child."""
    result = in_child({"do": peer, "program": str(elf(program)), "memory": MEMORY_MIB << 20}, {})
    return Run(result["seconds"], result["cpu_seconds"], result["output"])


def not_installed(command: str) -> str | None:
    return None if shutil.which(command) else f"{command} is not installed"


def no_module(name: str) -> str | None:
    return None if find_spec(name) else f"the package {name} is not installed"


def spike() -> str | None:
    """Spike, on the path or in the package of that name, whose own wrapper takes long to start."""
    package = find_spec("riscv")
    if package is not None and package.origin is not None:
        inside = Path(package.origin).parent / "data" / "bin" / "spike"
        if inside.exists():
            return str(inside)
    return shutil.which("spike")


def run_spike(program: str) -> Run:
    """Spike has the UART but no power switch: the program is done when it has printed its line."""
    command = [spike() or "spike", f"--isa={SPIKE_ISA}", f"-m{MEMORY_MIB}", str(elf(program))]
    start, cpu_start = time.perf_counter(), children_seconds()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        watchdog = threading.Timer(TIMEOUT, child.kill)
        watchdog.start()
        output = b""
        for line in child.stdout or ():
            output += line
            if line.startswith(program.encode()):
                break
        seconds = time.perf_counter() - start
        watchdog.cancel()
        child.kill()
    if not output.endswith(b" ok\n"):
        raise RunFailed(f"spike: {program}: {output.decode()}")
    return Run(seconds, children_seconds() - cpu_start, output.decode())


TRAPPING = frozenset({"timer", "syscall"})
PEERS: dict[str, Contender] = {
    "qemu": Contender(partial(not_installed, QEMU), run_qemu),
    "qemu-user": Contender(lambda: not_installed(QEMU_USER) or no_module("ziglang"),
                           lambda program: timed([QEMU_USER, build_hosted(program, "linux")]), cannot=TRAPPING),
    # Unicorn reports traps to its host and has no timer.
    "unicorn": Contender(partial(no_module, "unicorn"), partial(run_hosted, "unicorn"), cannot=TRAPPING, slow=True),
    # Icicle has no privileged mode, and takes some floating-point instructions for invalid ones.
    "icicle": Contender(partial(no_module, "icicle"), partial(run_hosted, "icicle"),
                        cannot=TRAPPING | {"matmul_double", "matmul_single", "fma", "divsqrt"}),
    "spike": Contender(lambda: None if spike() else "spike is not installed", run_spike, slow=True),
    "native": Contender(partial(no_module, "ziglang"), lambda program: timed([build_hosted(program, "native")])),
}
