"""What tests expect of a run, found by single steps of a twin: where basic blocks begin, when an instruction comes."""

from __future__ import annotations

from tests.guest import Guest
from vm.coverage.code import length
from vm.stop import StopReason

# Behind a program whose instructions of 4 bytes trap: goes on behind them.
HANDLER = """
    .balign 4
handler:
    csrr t0, mepc
    addi t0, t0, 4
    csrw mepc, t0
    mret
"""
MRET = 0x3020_0073
OPCODES = {0x63, 0x67, 0x6F}            # branch, jalr, jal


def with_handler(g: Guest) -> Guest:
    """The guest, whose traps go to the label `handler`."""
    for hart in g.machine.harts:
        hart.csr["mtvec"] = g.address("handler")
    return g


class Step:
    """What one step of the machine was, as seen from outside."""

    def __init__(self, g: Guest):
        harts = g.machine.harts
        step, before = g.machine.steps, [(hart.pc, hart.privilege, word_at(hart), hart.steps) for hart in harts]
        self.stop = g.run(1)
        self.taken = g.machine.steps > step
        self.step = step
        if not self.taken:
            return
        self.hart = next(hart for hart in harts if hart.steps > before[hart.id][3])
        self.pc, self.privilege, self.word, _ = before[self.hart.id]
        self.to = self.hart.pc
        self.trapped = self.to == g.address("handler")
        self.x = [self.hart[f"x{number}"] for number in range(32)]
        self.f = list(self.hart.f_bits)


def single_steps(g: Guest, limit: int) -> list[Step]:
    """All to the end of the program, or to the limit."""
    steps = []
    while len(steps) < limit:
        step = Step(g)
        if not step.taken:
            break
        steps.append(step)
    return steps


def word_at(hart) -> int:
    """The instruction that is next."""
    word = int.from_bytes(hart.virtual.read(hart.pc, 4), "little")
    return word if length(word) == 4 else word & 0xFFFF


def is_transfer(word: int) -> bool:
    """A branch, a jump, or mret. Of 2 bytes: c.j, c.beqz, c.bnez, c.jr and c.jalr; not c.mv, c.add and c.ebreak."""
    if length(word) == 4:
        return word & 0x7F in OPCODES or word == MRET
    quadrant, top = word & 3, word >> 13
    return quadrant == 1 and top in (5, 6, 7) or quadrant == 2 and top == 4 and word & 0x7C == 0 and word & 0xF80 != 0


def blocks_of(steps: list[Step]) -> list[Step]:
    """Those that begin a basic block: the first of each hart, and what a transfer or a trap led to."""
    found = []
    ended: dict[int, bool] = {}
    for step in steps:
        if ended.get(step.hart.id, True):
            found.append(step)
        ended[step.hart.id] = step.trapped or is_transfer(step.word)
    return found


def steps_at(g: Guest, pc: int) -> list[int]:
    """The machine's step before each execution of the instruction at pc, to the end of the program."""
    found = []
    while True:
        if g.hart.pc == pc:
            found.append(g.machine.steps)
        if g.run(1).reason is StopReason.IDLE:
            return found
