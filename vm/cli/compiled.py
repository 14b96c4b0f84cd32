"""`vm disasm --jit`: what the compiler makes of a program, guest instructions beside host code, by capstone."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from random import Random
from typing import Any

import capstone

from vm.cli.listing import address_of, instructions
from vm.errors import VmError
from vm.loaders import Symbols
from vm.machine import Machine
from vm.settings import Settings, given
from vm.sizes import PAGE_SIZE
from vm.stop import StopReason

EVERY = 10_007              # instructions between two samples of the pc, on average
U64 = (1 << 64) - 1


@dataclass
class Trace:
    """A compiled trace. `parts` are (pc, host code) in the order of the code; the pc is None for the way in."""

    pc: int
    physical: int
    second_page: int
    host: int
    size: int
    parts: list[tuple[int | None, bytes]]
    out_of_line: bytes
    samples: int = 0

    def guest_code(self, machine: Machine, pc: int) -> bytes:
        """The instruction at pc, which is in the page of the trace or crosses out of it."""
        physical = self.physical & -PAGE_SIZE | pc % PAGE_SIZE
        first = machine.memory.read(physical, 2)
        if first[0] & 3 != 3:
            return first
        crosses = pc % PAGE_SIZE == PAGE_SIZE - 2
        return first + machine.memory.read(self.second_page if crosses else physical + 2, 2)


def compiled_traces(machine: Machine, samples: Counter[int]) -> list[Trace]:
    """Hottest first."""
    assert machine.compiler is not None
    found = []
    for pc, physical, second_page, host, code, marks in machine.compiler.traces():
        starts: list[tuple[int | None, int]] = [(None, 0), *marks]
        parts = [(place, code[start:end]) for (place, start), (_, end) in zip(starts, marks, strict=False)]
        trace = Trace(pc, physical, second_page, host, len(code), parts, code[marks[-1][1]:])
        trace.samples = sum(samples[place] for place in {place for place, _ in parts if place is not None})
        found.append(trace)
    return sorted(found, key=lambda trace: (-trace.samples, trace.pc))


def run_and_sample(machine: Machine, limit: int, timeout: float) -> Counter[int]:
    """Run; how often the pc was found where. The distances vary, so as not to keep step with a loop."""
    random = Random(0)
    samples: Counter[int] = Counter()
    last_step, end = machine.steps + limit, time.monotonic() + timeout
    while (left := last_step - machine.steps) > 0 and (seconds := end - time.monotonic()) > 0:
        stop = machine.run(min(left, random.randrange(1, 2 * EVERY)), timeout=seconds)
        if stop.reason is not StopReason.BUDGET:
            break
        samples[stop.pc] += 1
    return samples


def chosen(traces: list[Trace], address: int | None, count: int) -> list[Trace]:
    """The hottest of those at the address: that begin there or, if none does, come by."""
    if address is None:
        return traces[:count]
    beginning = [trace for trace in traces if trace.pc == address]
    return (beginning or [trace for trace in traces if address in (pc for pc, _ in trace.parts)])[:count]


def show_compiled(file: str, at: str | None, limit: int, timeout: float, cold: bool, count: int,
                  guest_decoder: Any) -> Iterator[str]:
    """Run FILE and yield the lines."""
    if (engine := given("VM_ENGINE") or "jit") not in ("jit", "auto"):
        raise VmError(f"VM_ENGINE={engine}: --jit shows what the engine jit does; unset VM_ENGINE, or set it to jit")
    host_decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    settings = replace(Settings.from_environment(), code_cache=False)       # which keeps no marks
    with Machine(memory="128M", engine="jit", settings=settings) as machine:
        assert machine.compiler is not None
        machine.compiler.marking = True
        machine.console.record = False
        symbols = machine.load(file).symbols
        address = None if at is None else address_of(file, at, symbols)
        samples = run_and_sample(machine, limit, timeout)
        traces = compiled_traces(machine, samples)
        picked = chosen(traces, address, count)
        if not picked:
            where = "nothing" if address is None else f"nothing at {at}"
            raise VmError(f"{file}: {where} was compiled in {machine.steps:,} instructions; only what runs often is "
                          "(VM_JIT_HOT says how often), and --instructions lets more of it run")
        names = {trace.host: spoken(trace.pc, symbols) for trace in traces}
        for number, trace in enumerate(picked):
            if number:
                yield ""
            share = trace.samples / max(samples.total(), 1)
            guest = len({pc for pc, _ in trace.parts if pc is not None})
            yield (f"trace at {spoken(trace.pc, symbols)}: {guest} instructions, {trace.size} bytes of host code at "
                   f"{trace.host:#x}, {share:.1%} of the time at its instructions")
            yield from side_by_side(machine, trace, symbols, names, guest_decoder, host_decoder, cold)


def spoken(pc: int, symbols: Symbols) -> str:
    name = symbols.lookup(pc)
    return f"{pc:x} <{name}>" if name else f"{pc:x}"


def side_by_side(machine: Machine, trace: Trace, symbols: Symbols, names: dict[int, str], guest_decoder: Any,
                 host_decoder: Any, cold: bool) -> list[str]:
    parts = trace.parts if not cold else [*trace.parts, (0, trace.out_of_line)]
    rows: list[tuple[str, str]] = []
    host, last = trace.host, None
    for pc, code in parts:
        right = list(host_lines(host_decoder, host, code, trace, names))
        host += len(code)
        if pc is None:
            left = ["way in"]
        elif pc == 0:
            left = ["out of line"]
        elif pc == last:                    # a second uop of the same instruction
            left = []
        else:
            block = [(pc, trace.guest_code(machine, pc))]
            left = [line for _, line in instructions(guest_decoder, block, symbols)]
        last = pc
        rows += zip_longest(left, right, fillvalue="")
    width = max(len(guest) for guest, _ in rows)
    return [f"{guest:<{width}} {host}".rstrip() for guest, host in rows]


def host_lines(decoder: Any, start: int, code: bytes, trace: Trace, names: dict[int, str]) -> Iterator[str]:
    """Offsets from the start of the trace; what jumps go to by its name."""
    for address, _, mnemonic, operands in decoder.disasm_lite(code, start):
        if mnemonic[0] == "j" or mnemonic == "call":
            operands = host_target(operands, trace, names)
        yield f"{address - trace.host:>5x}:  {mnemonic:<10} {operands}".rstrip()


def host_target(operands: str, trace: Trace, names: dict[int, str]) -> str:
    if not operands.startswith("0x"):
        return operands                     # by way of a register or of memory
    address = int(operands, 16)
    if 0 <= address - trace.host < trace.size:
        return f"{address - trace.host:x}"
    return f"trace at {names[address]}" if address in names else operands
