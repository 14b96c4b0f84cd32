# Guest memory as handlers see it: the inline probe, atomics, and the slow paths.
from libc.stdint cimport int64_t, uint64_t
from vm_native.ir.block cimport Uop
from vm_native.machine cimport Cpu, effective_address
from vm_native.memory.ram cimport PAGE_MASK, RamRegion
from vm_native.memory.tlb cimport StoreRange, StoreWindow, TlbEntry, recall, tlb_entry

cdef enum:                  # how a loaded value becomes a register; added to the size in bytes
    SIZE_MASK = 0x0F
    SIGNED = 0x10
    BOXED = 0x20

cdef extern from *:
    """
    #define vm_order_memory() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    """
    void order_memory "vm_order_memory"() noexcept nogil

cdef struct Piece:          # what an operand has on one page
    uint64_t address
    uint64_t physical
    uint64_t size
    uint64_t old            # what stood there before, where somebody watches it
    RamRegion* region       # NULL: a device or nothing, and then there is no other piece

cdef inline TlbEntry* entry_of(Cpu* cpu, uint64_t address) noexcept nogil:
    # What the TLB has of its page.
    recall(cpu.tlb, address & PAGE_MASK)
    return tlb_entry(cpu.tlb, address)

cdef inline bint trigger_fires(Cpu* cpu, int accesses, uint64_t address, uint64_t size) noexcept nogil:
    # Asked before an access that is not done by way of a tag; `accesses` has a bit for READ and for WRITE.
    return cpu.machine.probes.virtual_watches != 0 and cpu.front_end.trigger_fires(
        cpu, accesses, effective_address(cpu, address), size
    )

# These return a Status; unless that is CONTINUE, pc and budget have been stored and the handler returns.
cdef int load_slowly(Cpu* cpu, Uop* uop, int64_t budget, uint64_t address, int kind) noexcept nogil
cdef int store_slowly(Cpu* cpu, Uop* uop, int64_t budget, uint64_t address, int size) noexcept nogil
cdef bint outdated(Cpu* cpu, Uop* uop) noexcept nogil
cdef bint refill_for_load(Cpu* cpu, uint64_t page) noexcept nogil
cdef bint refill_for_store(Cpu* cpu, uint64_t page) noexcept nogil
cdef bint fill_store_range(Cpu* cpu, uint64_t address, StoreRange* filled) noexcept nogil
cdef bint fill_store_window(Cpu* cpu, uint64_t address, StoreWindow* window) noexcept nogil

# For other kinds of access
cdef int fault(Cpu* cpu, Uop* uop, int64_t budget, uint64_t cause, uint64_t address) noexcept nogil
cdef char* operand_beside_code(Cpu* cpu, Uop* uop, uint64_t address, uint64_t size, TlbEntry* entry) noexcept nogil
cdef void accessed(Cpu* cpu, Uop* uop, int64_t budget, int accesses, const Piece* piece) noexcept nogil
cdef int after_load(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
cdef int stored(Cpu* cpu, Uop* uop, int64_t budget, int accesses, const Piece* piece) noexcept nogil
cdef int after_store(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
