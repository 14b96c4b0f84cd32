"""Where Spike and our hart may differ, each with the section of the specification that leaves the choice.

`ADOPTED`: registers whose value comes from outside the architecture or is the implementation's to choose. After an
instruction that read one, our register takes Spike's value and the comparison goes on.
`BLOCK_ADDRESS`: instructions (mask and match) whose trap value may be the aligned address.
`BLOCK_IN_PARTS`: the same instruction where a PMP entry covers a part of its block; the rest is not compared.
`CAUSES`: causes, ours and Spike's, that may stand for each other, and the instructions (by mask and match) where.
`IMPRECISE_DIRTY`: a floating-point instruction that changed no f register and no flag may have made mstatus.FS dirty in
ours; it is taken back.
`PORTIONS`: causes whose value may be the address of another portion of a misaligned access.
`SPURIOUS_FAILURE`: a store-conditional that fails on one side alone; the rest of the program is not compared. It is
none where the instruction before is the LR of the same width and register.
`PARTIAL_STORE`: a misaligned store that faults in the middle has stored the bytes before on Spike, and none in ours;
ours are given them.
`NOT_WRITTEN`: CSRs that random programs leave alone, as the two sides then go different ways.
`ONLY_ON_SPIKE`: numbers of CSRs that Spike has and we do not, or not with every ISA, with what they are part of.
`UNSEEN`: CSRs that Spike's log mentions although the hart has none of that number.
`CSR_MASKS`: bits of a CSR that are compared, where not all are.
`UNKNOWN`: extensions of our own, which neither Spike nor clang can know: their rows are compared with nothing.
"""

U64 = (1 << 64) - 1

UNKNOWN: frozenset[str] = frozenset()

ADOPTED = {
    0x015: "scalar cryptography 4.1: seed is random",
    0xC00: "Zicntr: cycles of an instruction are the implementation's; traps are steps here",
    0xB00: "privileged 3.1.10: mcycle, as cycle",
    0xC01: "Zicntr: time has its own rate",
    0xF11: "privileged 3.1.2: mvendorid",
    0xF12: "privileged 3.1.3: marchid",
    0xF13: "privileged 3.1.4: mimpid",
    0xF15: "privileged 3.1.17: mconfigptr",
} | dict.fromkeys([*range(0xB03, 0xB20), *range(0xC03, 0xC20)],
                    "privileged 3.1.10: what hpmcounters count is the implementation's; Spike's are 0")
# Unprivileged 20.4: cbo.zero reports rs1 as it is in ours, and the start of the block on Spike.
BLOCK_ADDRESS = (0xFFF0_7FFF, 0x0040_200F)
BLOCK_IN_PARTS = "unprivileged 20.4: a block is zeroed by one access in ours, which PMP denies, and bytewise on Spike"
# Unprivileged 13.2 and 13.4: a misaligned LR, SC or AMO raises address-misaligned or access-fault.
ATOMICS = (0x7F, 0x2F)
CAUSES = {(4, 5): ATOMICS, (6, 7): ATOMICS}
IMPRECISE_DIRTY = "privileged 3.1.6.6: reporting Dirty although nothing was modified"
PORTIONS = {5: "privileged 3.1.16: mtval holds the address of the portion that caused the fault", 7: "the same"}
SPURIOUS_FAILURE = (
    "unprivileged 13.2: SC may fail. Spike drops the reservation at the end of a quantum, thus on a trap; we compare"
    " with the value loaded, so that a store of the hart itself ends it, as does another width"
)
PARTIAL_STORE = "privileged 3.6.3.3: a misaligned store may be done in parts, of which some can succeed before a fault"
NOT_WRITTEN = {
    0x301: "privileged 3.1.1: misa is WARL; ours is fixed",
    0x320: "privileged 3.1.12: whether the instruction that ends an inhibition counts itself",
    0x747: "privileged 3.1.19: mseccfg's MML, MMWP and RLB belong to Smepmp, which Spike always has",
}
TRIGGERS = range(0x7A0, 0x7A5)
NOT_WRITTEN |= dict.fromkeys(TRIGGERS, "debug 5.7: which types, matches and actions there are is the hart's to choose")
ONLY_ON_SPIKE = dict.fromkeys(TRIGGERS, "Sdtrig: it has no name on Spike, and --triggers=0 leaves the CSRs") | {
    0x7A8: "debug 5.7.9: mcontext is optional",
    0x5A8: "debug 5.7.8: scontext is optional",
    0x6A8: "debug 5.7.7: hcontext is optional",
}
UNSEEN = {
    0x309: "Smaia's mvip: Spike keeps mip.SSIP in it",
}
CSR_MASKS = {number: 0xF << 60 for number in range(0x323, 0x340)} | {  # privileged 3.1.10: events are the platform's
    0x30C: U64 - (1 << 60) - 1,     # Smstateen 2.1: bit 0 is custom state, 60 Smcsrind: neither is here
    0x10C: U64 - 1,     # the same for sstateen0
    # privileged 3.1.8: medeleg is WARL; with C no fetch is misaligned; 18 and 19 never come
    0x302: U64 - (3 << 18) - 1,
    0x30A: U64 - 1,     # privileged 3.1.18: menvcfg.FIOM, which Spike does not have and only fences would feel
    0x10A: U64 - 1,     # privileged 12.1.10: senvcfg.FIOM, the same
}


def csr_masks(extensions: frozenset[str]) -> dict[int, int]:
    """CSR_MASKS for a hart with those extensions."""
    masks = dict(CSR_MASKS)
    if "F" not in extensions:
        status = U64 - (1 << 63) - (3 << 13)    # privileged 3.1.6.6: with S and without F, FS (and SD) may be 0
        masks |= {0x300: status, 0x100: status}
    if "Zicntr" not in extensions:
        masks |= {0x306: 0, 0x106: 0}           # privileged 3.1.11: bits of counters that are not there
    return masks
