"""Lockstep with Spike on the compiling engine.

Compiled code does not run single steps: the end of a run that lies inside a trace is interpreted. So one machine,
interpreting, goes beside Spike step by step (compare.py); and after a random number of steps another, compiling, does
as many in one run, and must then be the same in all that can be seen, CSRs and memory included.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import vm
from tests.conformance.compare import Difference, Lockstep, disassemble
from tests.conformance.image import Image
from tests.conformance.ours import Ours
from tests.conformance.spike import Record
from tests.conformance.twins import copy_memory, differences

LENGTHS = (1, 40, 500, 2000, 4000, 4000)
# What the interpreting hart may have been given by Spike besides a register; the others are views of these.
GIVEN = ("mcause", "mtval", "mepc", "scause", "stval", "sepc", "mstatus")
VIEWS = ("sstatus",)


class CompiledLockstep(Lockstep):
    """One comparison of three."""

    def __init__(self, ours: Ours, compiling: Ours, random: Random):
        super().__init__(ours)
        self.compiling = compiling
        self.random = random
        self.pending: list[Record] = []         # what the compiling machine has yet to do
        self.compared = 0                       # steps after which all three were the same
        self.next_length()

    def next_length(self) -> None:
        self.length = self.random.randrange(1, self.random.choice(LENGTHS) + 1)

    def compare(self, image: Image, records: Sequence[Record]) -> int:
        self.compiling.load(image)
        steps = super().compare(image, records)
        if self.pending:
            self.catch_up()
        return steps

    def agreed(self, record: Record) -> None:
        self.pending.append(record)
        if self.adopted:
            self.catch_up(given=record)
            self.adopted = False
        elif len(self.pending) == self.length:
            self.catch_up()
            self.next_length()

    def catch_up(self, given: Record | None = None) -> None:
        """Let the compiling machine do what the other did. `given`: in this step ours was given values of Spike's."""
        count = self.ours.machine.steps - self.compiling.machine.steps      # one more than recorded if cut short
        self.compiling.machine.run(instructions=count)
        left_out = {"seed"}                     # each look changes it, and one hart is looked at more often
        problems = differences(self.ours, self.compiling)
        if given is not None:
            left_out |= {"RAM", *GIVEN, *VIEWS, *(name for name, _ in given.registers)}
            self.give(given)
        problems = [problem for problem in problems if problem.split()[0] not in left_out]
        if problems:
            way = "\n".join(f"{record.pc:#x} {disassemble(record.word, record.pc)}" for record in self.pending)
            raise Difference(f"after a run of these {count} steps the compiling engine differs\n{way}\n"
                             f"    compiled: {'; '.join(problems)}")
        self.compared += count
        self.pending.clear()

    def give(self, given: Record) -> None:
        """The compiling machine takes over what the other was given."""
        to, source = self.compiling.hart, self.ours.hart
        for name, _ in given.registers:
            if name[0] == "x":
                to.x[int(name[1:])] = source.x[int(name[1:])]
        for name in GIVEN:
            if to.csr[name] != source.csr[name]:
                to.csr[name] = source.csr[name]
        copy_memory(self.ours, self.compiling)


def new_pair(isa: str, settings: vm.Settings) -> tuple[Ours, Ours]:
    """An interpreting and a compiling machine that have done nothing yet."""
    return Ours(isa, engine="interpreter", settings=settings), Ours(isa, engine="jit", settings=settings)
