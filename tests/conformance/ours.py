"""Runs a program on our machine one step at a time, and in longer pieces."""

from __future__ import annotations

import tempfile
from functools import cached_property

import vm
from tests.conformance.image import BASE, Image
from tests.conformance.spike import RAM_SIZE
from vm_native.riscv.instructions.recognise import Recogniser

X_NAMES = tuple(f"x{number}" for number in range(32))
F_NAMES = tuple(f"f{number}" for number in range(32))


def new_machine(isa: str, memory: int = RAM_SIZE, engine: str | None = None, harts: int = 1,
                settings: vm.Settings | None = None) -> vm.Machine:
    """Every machine of the conformance tests; `engine` as `vm.Machine` has it, so $VM_ENGINE by default."""
    return vm.Machine(memory=memory, isa=isa, engine=engine, harts=harts, settings=settings)


class Ours:
    """A machine, used for one program after the other. It has one hart where nothing else is said."""

    def __init__(self, isa: str, engine: str | None = None, harts: int = 1, settings: vm.Settings | None = None):
        self.isa = isa
        self.machine = new_machine(isa, engine=engine, harts=harts, settings=settings)
        self.hart = self.machine.harts[0]
        self.native = self.machine._natives[0]      # what is asked for after every step, without Python between

    @cached_property
    def recogniser(self) -> Recogniser:
        return Recogniser(self.machine.isa.extensions)

    def load(self, image: Image) -> None:
        """Everything as after power-on, RAM too, and the program in memory."""
        self.machine.memory.write(BASE, bytes(RAM_SIZE))
        with tempfile.NamedTemporaryFile(suffix=".elf") as program:
            program.write(image.elf())
            program.flush()
            self.machine.load(program.name)
        tree = self.hart["a1"]                  # Spike's is elsewhere, and programs load from wherever a number leads
        size = int.from_bytes(self.machine.memory.read(tree + 4, 4), "big")
        self.machine.memory.write(tree, bytes(size))

    def step(self) -> vm.Stop:
        """One step: an interrupt that is due is taken first."""
        return self.machine.run(instructions=1)

    def registers(self, hart: vm.Hart | None = None) -> list[int]:
        """x0 to x31, then f0 to f31; of the first hart where nothing else is said."""
        native = self.native if hart is None else self.machine._natives[hart.id]
        read_x, read_f = native.read_x, native.read_f
        return [read_x(number) for number in range(32)] + [read_f(number) for number in range(32)]

    def memory_at(self, address: int, size: int) -> int | None:
        """What the hart would load from a virtual address now; None if it has no translation or no RAM."""
        try:
            return int.from_bytes(self.hart.virtual.read(address, size), "little")
        except vm.GuestError:
            return None
