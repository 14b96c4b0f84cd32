"""A job in a process of its own: `python -m vm.bench.child JSON`; the result is JSON on standard output.

Exit code 3 and one line on standard error mean that what was asked for is not there.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, cast

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from vm.bench.copies import measured
from vm.bench.errors import NOT_THERE
from vm.bench.guests.build import POWER, UART
from vm.boards.virt import RAM_BASE
from vm.clock import ClockKind
from vm.devices.syscon import PASS
from vm.engine import Engine
from vm.errors import ConfigurationError
from vm.machine import Machine

UART_LINE_STATUS, TRANSMITTER_EMPTY = 5, 0x60
INTEGER_REGISTERS = ("zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 "
                     "s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6").split()


def look(engine: Engine) -> dict[str, Any]:
    """Whether the machine can be made."""
    with Machine(memory="1M", engine=engine) as machine:
        return machine.stats()


def run(engine: Engine, program: str, memory: str, clock: ClockKind = "virtual",
        isa: str = "default") -> dict[str, Any]:
    """A program from nothing to its end."""
    start, cpu_start = time.perf_counter(), time.process_time()
    machine = Machine(memory=memory, isa=isa, engine=engine, clock=clock)
    machine.load(program)
    stop = machine.run()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return {
        "seconds": seconds, "cpu_seconds": cpu_seconds, "reason": stop.reason.value, "stop": str(stop),
        "output": machine.console.output.decode(), "instructions": machine.harts[0].csr["minstret"],
        "statistics": machine.stats(),
    }


def unicorn(program: str, memory: int) -> dict[str, Any]:
    """Unicorn has a hart and memory but no board: the UART and the power switch are callbacks here."""
    import unicorn  # here, as icicle below: neither need be installed

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

    start, cpu_start = time.perf_counter(), time.process_time()
    machine = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
    machine.mem_map(RAM_BASE, memory)
    machine.mmio_map(UART, 0x1000, uart_read, None, uart_write, None)
    machine.mmio_map(POWER, 0x1000, power_read, None, power_write, None)
    with open(program, "rb") as file:
        elf = ELFFile(file)
        for segment in elf.iter_segments("PT_LOAD"):
            machine.mem_write(segment["p_paddr"], segment.data())
        machine.emu_start(elf["e_entry"], until=0)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    if power != [PASS]:
        raise RuntimeError(f"unicorn: {program}: wrote {power} to the power switch\n{output.decode()}")
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "output": output.decode()}


def icicle(program: str, memory: int) -> dict[str, Any]:
    """Icicle runs what a user process may do: it starts at main(), without paging, and a store to the UART comes back
    here as a fault.
    """
    from icicle import ExceptionCode, Icicle, MemoryProtection, RunStatus

    output = bytearray()
    start, cpu_start = time.perf_counter(), time.process_time()
    machine = Icicle("riscv64")
    machine.mem_map(RAM_BASE, memory, MemoryProtection.ExecuteReadWrite)
    machine.mem_map(UART, 0x1000, MemoryProtection.ReadWrite)
    machine.mem_write(UART + UART_LINE_STATUS, bytes([TRANSMITTER_EMPTY]))
    machine.mem_protect(UART, 0x1000, MemoryProtection.ReadOnly)
    with open(program, "rb") as file:
        elf = ELFFile(file)
        for segment in elf.iter_segments("PT_LOAD"):
            machine.mem_write(segment["p_paddr"], segment.data())
        table = cast(SymbolTableSection, elf.get_section_by_name(".symtab"))
        symbols = {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}
    machine.pc, machine.sp = symbols["main"], symbols["stack_top"]
    machine.reg_write("ra", symbols["power_off"])
    machine.add_breakpoint(symbols["power_off"])
    while (status := machine.run()) == RunStatus.UnhandledException:
        if (machine.exception_code, machine.exception_value) != (ExceptionCode.WritePerm, UART):
            break
        store = int.from_bytes(machine.mem_read(machine.pc, 4), "little")
        output.append(machine.reg_read(INTEGER_REGISTERS[store >> 20 & 31]) & 0xFF)
        machine.pc += 4
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    if machine.pc != symbols["power_off"] or machine.reg_read("a0"):
        raise RuntimeError(f"icicle: {program}: {status}, {machine.exception_code} at {machine.pc:#x}: {output!r}")
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "output": output.decode()}


def copy(kind: str, size: int) -> dict[str, Any]:
    return {"pairs": measured(kind, size)}


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "look": look, "run": run, "unicorn": unicorn, "icicle": icicle, "copy": copy,
}


def main() -> None:
    job = json.loads(sys.argv[1])
    try:
        result = JOBS[job.pop("do")](**job)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        sys.exit(NOT_THERE)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
