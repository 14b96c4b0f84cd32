"""Random programs that set counters, and are interrupted by their overflows: the same on both engines, however the run
is divided. What each program comes to is folded into s1: the place of every interrupt.
"""

from random import Random

import pytest

import vm
from tests.assembler import assemble_elf

ISA = "rv64gc_zicntr_zihpm_sscofpmf_smcntrpmf_svade"
U64 = (1 << 64) - 1
STEPS = 200_000
INSTRUCTIONS = (
    "addi a0, a0, 3", "xor a1, a1, a0", "add a2, a2, a1", "sll a4, a0, a1", "mul a5, a1, a2", "lw a6, 0(sp)", "ecall",
    "csrr a3, hpmcounter3", "csrr a3, hpmcounter31", "csrw mhpmcounter4, s4", "csrw mhpmevent5, s5",
    "csrw mcountinhibit, s6", "csrw mcountinhibit, zero", "beqz a0, 1f\n1:",
)
PROGRAM = """
    la   t0, handler
    csrw mtvec, t0
    la   sp, data
    li   t0, 0x2000
    csrw mie, t0
    csrsi mstatus, 8
    .option norvc
loop:
    {}
    j    loop
    .balign 4
handler:
    csrr t1, mcause
    bgez t1, 3f
    csrr s0, mepc
    xor  s1, s1, s0
    slli s2, s1, 7
    srli s3, s1, 57
    or   s1, s2, s3
    addi s7, s7, 1
    li   t0, 0x2000
    csrc mip, t0
    csrw mhpmevent3, s8
    csrw mhpmcounter3, s9
    csrw mhpmevent31, s10
    csrw mhpmcounter31, s11
    mret
3:  csrr t1, mepc
    addi t1, t1, 4
    csrw mepc, t1
    mret
    .balign 8
data: .dword 7
"""
SEEN = ("s1", "s7", "a3", "pc", "mip", "scountovf", "minstret", "mcycle", "mhpmcounter3", "mhpmcounter4",
        "mhpmcounter5", "mhpmcounter31")
RUNS = (("interpreter", None, False), ("interpreter", None, True), ("jit", 0, False), ("jit", 3, True))


@pytest.mark.parametrize("seed", range(8))
def test_overflows_come_at_the_same_steps(seed):
    random = Random(seed)
    elf = assemble_elf(PROGRAM.format("\n    ".join(random.choices(INSTRUCTIONS, k=60))))
    registers = {
        "s4": -random.randrange(1, 900), "s5": random.choice((0, 1, 2, 0x101)),
        "s6": random.choice((8, 16, 40, 1 << 31)), "s8": random.choice((1, 2, 0x101, 0x102)),
        "s9": -random.randrange(1, 3000), "s10": random.choice((1, 2, 0x101)), "s11": -random.randrange(1, 5000),
    }
    cuts = [random.randrange(1, STEPS // 6) for _ in range(5)]
    found = set()
    for engine, hot, divided in RUNS:
        settings = None if hot is None else vm.Settings(hot=hot)
        with vm.Machine(memory="2M", isa=ISA, engine=engine, settings=settings) as machine:
            machine.load(elf)
            hart = machine.harts[0]
            for name, value in registers.items():
                hart[name] = value & U64
            hart["mhpmevent3"], hart["mhpmcounter3"], hart["mhpmevent4"] = 1, -500 & U64, 2
            for steps in [*cuts, STEPS - sum(cuts)] if divided else [STEPS]:
                machine.run(instructions=steps)
            found.add(tuple(hart.pc if name == "pc" else hart[name] for name in SEEN))
    assert len(found) == 1
    assert next(iter(found))[1] > 0                 # interrupts
