"""One uop at a time, for engines that compile most of them and leave the rest to the interpreter."""
from libc.stdint cimport (
    int8_t, int16_t, int32_t, int64_t, intptr_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from vm_native.arithmetic.crypto cimport *
from vm_native.arithmetic.float_rules cimport BOX16, BOX32
from vm_native.arithmetic.floating cimport *
from vm_native.arithmetic.integer cimport *
from vm_native.atomics cimport (
    ATOMIC_ADD, ATOMIC_AND, ATOMIC_MAX, ATOMIC_MAXU, ATOMIC_MIN, ATOMIC_MINU, ATOMIC_OR, ATOMIC_SWAP, ATOMIC_XOR, atomic,
    exchange, reserve, store_conditional,
)
from vm_native.exits cimport call_helper
from vm_native.ir.block cimport Uop, info_of
from vm_native.ir.uop cimport *
from vm_native.line_marks cimport announce_store
from vm_native.machine cimport CONTINUE, EXIT, Cpu, step_over
from vm_native.memory.access cimport load8, load16, load32, load64, store8, store16, store32, store64
from vm_native.memory.tlb cimport TlbEntry, hits
from vm_native.probes.records cimport (
    probe_access, probe_block, probe_end, probe_exit, probe_loaded, probe_step,
)
from vm_native.softmmu cimport BOXED, SIGNED, entry_of, load_slowly, order_memory, store_slowly


ctypedef int (*SingleHandler)(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil


cdef int exit_by_call(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    """A helper that ends its block; what it says unless it went well, else EXIT."""
    cdef int status = call_helper(cpu, uop, budget)
    if status == CONTINUE:
        step_over(cpu, uop)
        return EXIT
    return status


include "single_handlers.pxi"


cdef int run_uop(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    return singles[info_of(uop).opcode](cpu, uop, budget)
