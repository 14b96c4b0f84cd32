"""What programs of several harts are run on: harts that take turns, or each with a thread of the host."""

import struct
from collections import Counter
from functools import cache, partial
from pathlib import Path

import pytest

import vm
from tests.assembler import BASE, assemble_elf
from tests.guest import FAR, Trap
from tests.litmus import program
from tests.litmus.program import HISTOGRAM_AREA, MAX_HARTS, Run
from tests.litmus.shapes import Outcome, Shape, shapes
from vm.stop import StopReason
from vm_native.execution.scheduler import Scheduler

MODES = ("turns", "threads")
STRONGEST = {"turns": "SC", "threads": "TSO"}           # the model that harts keep
ENGINES = ("interpreter", "jit")
SHORT_TURN = 64                 # steps, the fewest that a scheduler takes: so harts meet in all ways


def machine_of(mode: str, turn: int | None = None, **options) -> vm.Machine:
    """A machine whose harts run so, in turns of so many steps."""
    if mode == "threads":
        return vm.Machine(threads=True, **options)
    with pytest.MonkeyPatch.context() as patch:
        if turn is not None:
            patch.setattr("vm.machine.Scheduler", partial(Scheduler, quantum=turn))
        return vm.Machine(**options)


def made(mode: str, program: Path, **options) -> vm.Machine:
    """A machine with this program; turns are short."""
    machine = machine_of(mode, SHORT_TURN, **options)
    machine.load(program)
    for native in machine._natives:
        native.mtimecmp = FAR           # from reset on the machine timer is due
    return machine


def finish(machine: vm.Machine) -> None:
    """Run until all harts wait: the program says itself how long it is."""
    stop = machine.run()
    assert stop.reason is StopReason.IDLE, stop
    traps = [Trap(hart.csr["mcause"], hart.csr["mepc"], hart.csr["mtval"]) for hart in machine.harts]
    assert all(trap == (0, 0, 0) for trap in traps), traps


@cache
def all_shapes() -> tuple[Path, dict[str, int]]:
    """The program of all shapes, and their numbers."""
    return assemble_elf(program.source_of(shapes().values())), {name: number for number, name in enumerate(shapes())}


class Laboratory:
    """A machine that runs one litmus test after another."""

    def __init__(self, mode: str, engine: str):
        self.mode = mode
        path, self.numbers = all_shapes()
        self.machine = made(mode, path, harts=MAX_HARTS, memory=program.MEMORY, engine=engine)

    def observe(self, shape: Shape, run: Run) -> Counter[Outcome]:
        """The outcomes, and how often each was seen."""
        memory = self.machine.memory
        parameters = self.numbers[shape.name], run.rounds, run.together - 1, run.delay
        memory.write(program.PARAMETERS, struct.pack("<4Q", *parameters))
        memory.write(program.MEETING, bytes(8))
        for number, hart in enumerate(self.machine.harts):
            memory.write(program.HISTOGRAMS + number * HISTOGRAM_AREA, bytes(HISTOGRAM_AREA))
            hart.pc = BASE
        finish(self.machine)
        found = program.outcomes(self.machine, shape)
        assert found.total() == run.runs
        return found
