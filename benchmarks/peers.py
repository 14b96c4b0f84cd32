"""One bare-metal program on several machines: ours, `qemu-system-riscv64` and Unicorn. Each gives the same `Run`.

A run is timed from nothing to power-off: making the machine, loading, running. For QEMU that includes starting the
process; the program `empty` shows how much that is. All get 128 MiB of RAM.
"""

import io
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

QEMU = "qemu-system-riscv64"
MEMORY_MIB = 128
RAM = 0x8000_0000
UART, UART_LINE_STATUS, TRANSMITTER_EMPTY = 0x1000_0000, 5, 0x60
POWER, POWER_OFF = 0x10_0000, 0x5555
TIMEOUT = 600


class RunFailed(Exception):
    """A machine did not run a program to a clean power-off."""


@dataclass(frozen=True)
class Run:
    seconds: float
    output: str
    instructions: int | None = None         # known on our machine only


def run_vm(program: Path, engine: str = "interpreter") -> Run:
    import vm

    start = time.perf_counter()
    machine = vm.Machine(memory=f"{MEMORY_MIB}M", engine=engine)
    machine.load(program)
    stop = machine.run()
    seconds = time.perf_counter() - start
    output = machine.console.output.decode()
    if stop.reason != vm.StopReason.POWER_OFF:
        raise RunFailed(f"vm: {program.name}: {stop}\n{output}")
    return Run(seconds, output, machine.harts[0].csr["minstret"])


def qemu(arguments: Sequence[str | Path]) -> Run:
    """Run QEMU's `virt` board, serial port on standard output, to power-off."""
    command = [QEMU, "-M", "virt", "-display", "none", "-monitor", "none", "-serial", "stdio", *map(str, arguments)]
    start = time.perf_counter()
    result = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT
    )
    seconds = time.perf_counter() - start
    if result.returncode != 0:
        raise RunFailed(f"{QEMU}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return Run(seconds, result.stdout)


def run_native(program: Path) -> Run:
    """A program of `build_native`, on the host's own processor."""
    start = time.perf_counter()
    result = subprocess.run([program], check=False, capture_output=True, text=True, timeout=TIMEOUT)
    seconds = time.perf_counter() - start
    if result.returncode != 0:
        raise RunFailed(f"native: {program.name}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return Run(seconds, result.stdout)


def run_qemu(program: Path) -> Run:
    return qemu(["-m", f"{MEMORY_MIB}M", "-bios", "none", "-kernel", program])


def run_unicorn(program: Path) -> Run:
    """Unicorn has a hart and memory but no board: the UART and the power switch are callbacks here."""
    import unicorn
    from elftools.elf.elffile import ELFFile

    output = bytearray()
    power = []

    def uart_read(machine, offset, size, data):
        return TRANSMITTER_EMPTY if offset == UART_LINE_STATUS else 0

    def uart_write(machine, offset, size, value, data):
        if offset == 0:
            output.append(value)

    def power_read(machine, offset, size, data):
        return 0

    def power_write(machine, offset, size, value, data):
        power.append(value)
        machine.emu_stop()

    start = time.perf_counter()
    machine = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
    machine.mem_map(RAM, MEMORY_MIB << 20)
    machine.mmio_map(UART, 0x1000, uart_read, None, uart_write, None)
    machine.mmio_map(POWER, 0x1000, power_read, None, power_write, None)
    elf = ELFFile(io.BytesIO(program.read_bytes()))
    for segment in elf.iter_segments("PT_LOAD"):
        machine.mem_write(segment["p_paddr"], segment.data())
    machine.emu_start(elf["e_entry"], until=0)
    seconds = time.perf_counter() - start
    if power != [POWER_OFF]:
        raise RunFailed(f"unicorn: {program.name}: wrote {power} to the power switch\n{output.decode()}")
    return Run(seconds, output.decode())


MACHINES: dict[str, Callable[[Path], Run]] = {"vm": run_vm, "qemu": run_qemu, "unicorn": run_unicorn}


def available() -> list[str]:
    """The machines that can run here."""
    found = {"vm": True, "qemu": shutil.which(QEMU) is not None, "unicorn": find_spec("unicorn") is not None}
    return [name for name in MACHINES if found[name]]
