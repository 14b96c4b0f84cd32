"""Physical memory protection (privileged specification, section 3.7)."""
from libc.stdint cimport uint8_t, uint64_t
from vm_native.memory.ram cimport PAGE_MASK, PAGE_OFFSET
from vm_native.riscv.constants cimport (
    PMPCFG_A, PMPCFG_A_NA4, PMPCFG_A_OFF, PMPCFG_A_TOR, PMPCFG_L, PMPCFG_R, PMPCFG_W, PMPCFG_X, PMP_ENTRIES,
)
from vm_native.riscv.state cimport MACHINE, Hart

# By kind of access
cdef uint8_t[6] PMP_PERMISSION = [PMPCFG_R, PMPCFG_W, PMPCFG_X, PMPCFG_R | PMPCFG_X, PMPCFG_R, PMPCFG_W]


cdef void digest_pmp(Hart* hart) noexcept nogil:
    """Compute the ranges after a change of pmpcfg or pmpaddr. The caller flushes."""
    cdef int i
    cdef uint64_t address, mode, previous = 0
    hart.pmp_count = 0
    for i in range(PMP_ENTRIES):
        address = hart.state.pmpaddr[i]
        mode = hart.state.pmpcfg[i] & PMPCFG_A
        if mode == PMPCFG_A_OFF:
            hart.pmp_low[i] = hart.pmp_high[i] = 0
        elif mode == PMPCFG_A_TOR:
            hart.pmp_low[i] = previous << 2
            hart.pmp_high[i] = address << 2
        elif mode == PMPCFG_A_NA4:
            hart.pmp_low[i] = address << 2
            hart.pmp_high[i] = (address << 2) + 4
        else:
            # NAPOT: the trailing ones of the address give the size; adding one carries past the lowest zero.
            hart.pmp_low[i] = (address & (address + 1)) << 2
            hart.pmp_high[i] = hart.pmp_low[i] + (((address ^ (address + 1)) + 1) << 2)
        previous = address
        if mode != PMPCFG_A_OFF:
            hart.pmp_count = i + 1


cdef bint pmp_allows(
    Hart* hart, uint64_t physical, uint64_t size, int access, int privilege, bint* partial
) noexcept nogil:
    """Whether the first entry that touches the range covers it and permits the access.

    `partial` is set if some entry up to that one covers a part of the surrounding pages only.
    """
    cdef int i
    cdef uint64_t page = physical & PAGE_MASK
    cdef uint64_t end = physical + size, page_end = (end - 1 | PAGE_OFFSET) + 1
    for i in range(hart.pmp_count):
        if hart.pmp_high[i] <= page or page_end <= hart.pmp_low[i] or hart.pmp_low[i] >= hart.pmp_high[i]:
            continue
        if hart.pmp_low[i] > page or hart.pmp_high[i] < page_end:
            partial[0] = True
            if hart.pmp_high[i] <= physical or end <= hart.pmp_low[i]:
                continue
            if hart.pmp_low[i] > physical or hart.pmp_high[i] < end:
                return False
        if privilege == MACHINE and not hart.state.pmpcfg[i] & PMPCFG_L:
            return True
        return not PMP_PERMISSION[access] & ~hart.state.pmpcfg[i]
    return privilege == MACHINE
