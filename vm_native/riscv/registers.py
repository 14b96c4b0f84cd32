"""Names of registers: the ABI's for x and f, the privileged specification's for CSRs."""

from vm_native.riscv import csrs

X_NAMES = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
    "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
)
F_NAMES = (
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5",
    "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
)
X_NUMBERS = {name: number for number, name in enumerate(X_NAMES)} | {f"x{n}": n for n in range(32)} | {"fp": 8}
F_NUMBERS = {name: number for number, name in enumerate(F_NAMES)} | {f"f{n}": n for n in range(32)}

CSR_NUMBERS = {name: number for row in csrs.CSRS for name, number in row.registers()}
INTERRUPTS = {row.name: row.number for row in csrs.INTERRUPTS}      # bits of mip and mie
CSR_NAMES = {number: name for name, number in CSR_NUMBERS.items()}
CAUSES = {row.number: row.text for row in csrs.CAUSES}
