"""How the firmware leaves a hart to a kernel: what the SBI specification promises, and what OpenSBI does beyond."""

from __future__ import annotations

from vm.hart import Hart

DELEGATED_CAUSES = 0xB1FF               # everything but environment calls from S and M
DELEGATED_INTERRUPTS = 0x222
COUNTERS = 7                            # cycle, time, instret
MENVCFG = 1 << 63 | 1 << 62 | 1 << 7 | 1 << 6 | 3 << 4     # STCE, PBMTE, CBZE, CBCFE, CBIE; ADUE stays 0 (Svade)
MSTATEEN_ENVCFG_SE0 = 3 << 62
MSECCFG_SSEED = 1 << 9
PMP_ALL = (1 << 54) - 1
PMP_NAPOT_RWX = 0x1F


def prepare_for_supervisor(hart: Hart) -> None:
    """Set the CSRs of a hart in its reset state as a kernel expects to find them."""
    hart.csr["medeleg"] = DELEGATED_CAUSES
    hart.csr["mideleg"] = DELEGATED_INTERRUPTS
    hart.csr["mcounteren"] = hart.csr["scounteren"] = COUNTERS
    hart.csr["menvcfg"] = MENVCFG
    hart.csr["pmpaddr0"] = PMP_ALL
    hart.csr["pmpcfg0"] = PMP_NAPOT_RWX
    if "Smstateen" in hart.isa.extensions:
        hart.csr["mstateen0"] = MSTATEEN_ENVCFG_SE0
    if "Zkr" in hart.isa.extensions:
        hart.csr["mseccfg"] = MSECCFG_SSEED
