"""Names of registers: the ABI's for x and f, the privileged specification's for CSRs."""

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

CSR_NUMBERS = {
    "fflags": 0x001, "frm": 0x002, "fcsr": 0x003,
    "cycle": 0xC00, "time": 0xC01, "instret": 0xC02,
    "sstatus": 0x100, "sie": 0x104, "stvec": 0x105, "scounteren": 0x106, "senvcfg": 0x10A,
    "sscratch": 0x140, "sepc": 0x141, "scause": 0x142, "stval": 0x143, "sip": 0x144, "stimecmp": 0x14D,
    "satp": 0x180, "seed": 0x015, "scountovf": 0xDA0, "mseccfg": 0x747,
    "mstatus": 0x300, "misa": 0x301, "medeleg": 0x302, "mideleg": 0x303, "mie": 0x304, "mtvec": 0x305,
    "mcounteren": 0x306, "menvcfg": 0x30A, "mcountinhibit": 0x320,
    "mscratch": 0x340, "mepc": 0x341, "mcause": 0x342, "mtval": 0x343, "mip": 0x344,
    "mcycle": 0xB00, "minstret": 0xB02,
    "mvendorid": 0xF11, "marchid": 0xF12, "mimpid": 0xF13, "mhartid": 0xF14, "mconfigptr": 0xF15,
}
CSR_NUMBERS |= {f"mstateen{n}": 0x30C + n for n in range(4)} | {f"sstateen{n}": 0x10C + n for n in range(4)}
CSR_NUMBERS |= {f"hpmcounter{n}": 0xC00 + n for n in range(3, 32)}
CSR_NUMBERS |= {f"pmpcfg{n}": 0x3A0 + n for n in range(0, 16, 2)}
CSR_NUMBERS |= {f"pmpaddr{n}": 0x3B0 + n for n in range(64)}
CSR_NUMBERS |= {f"mhpmevent{n}": 0x320 + n for n in range(3, 32)}
CSR_NUMBERS |= {f"mhpmcounter{n}": 0xB00 + n for n in range(3, 32)}

CAUSES = {
    0: "instruction address misaligned", 1: "instruction access fault", 2: "illegal instruction", 3: "breakpoint",
    4: "load address misaligned", 5: "load access fault", 6: "store address misaligned", 7: "store access fault",
    8: "environment call from U-mode", 9: "environment call from S-mode", 11: "environment call from M-mode",
    12: "instruction page fault", 13: "load page fault", 15: "store page fault",
}
