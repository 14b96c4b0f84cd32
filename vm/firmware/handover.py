"""How the firmware leaves a hart to a kernel: what the SBI specification promises, and what OpenSBI does beyond."""

from __future__ import annotations

from vm.hart import Hart
from vm_native.riscv.csrs import BY_NAME, mask

DELEGATED_CAUSES = BY_NAME["medeleg"].writable & ~mask("medeleg", "ECALL_FROM_S")
DELEGATED_INTERRUPTS = mask("mideleg", "SSI STI SEI LCOFI")
COUNTERS = mask("mcounteren", "CY TM IR HPM")
USER_COUNTERS = mask("scounteren", "CY TM IR")
MENVCFG = mask("menvcfg", "STCE PBMTE CBZE CBCFE CBIE")             # ADUE stays as after reset
MSTATEEN0 = mask("mstateen0", "ENVCFG SE0 IMSIC AIA CSRIND")
MSECCFG = mask("mseccfg", "SSEED")
PMP_EVERYWHERE = mask("pmpaddr", "ADDRESS")
PMP_NAPOT_RWX = mask("pmpcfg", "A R W X")                           # NAPOT is both bits of A


def prepare_for_supervisor(hart: Hart) -> None:
    """Set the CSRs of a hart in its reset state as a kernel expects to find them."""
    hart.csr["medeleg"] = DELEGATED_CAUSES
    hart.csr["mideleg"] = DELEGATED_INTERRUPTS
    hart.csr["mcounteren"] = COUNTERS
    hart.csr["scounteren"] = USER_COUNTERS
    hart.csr["mcountinhibit"] = mask("mcountinhibit", "HPM")
    hart.csr["menvcfg"] |= MENVCFG
    hart.csr["pmpaddr0"] = PMP_EVERYWHERE
    hart.csr["pmpcfg0"] = PMP_NAPOT_RWX
    if "Smstateen" in hart.isa.extensions:
        hart.csr["mstateen0"] = MSTATEEN0
    if "Zkr" in hart.isa.extensions:
        hart.csr["mseccfg"] = MSECCFG
