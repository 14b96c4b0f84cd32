"""Threaded form: each handler ends in a call of the next, which the compiler must turn into a jump.

setup.py compiles a long chain of such calls and runs it on a small stack; only where that works is this form built.
"""
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
from vm_native.interpreter.dispatch cimport next_by_exit, next_by_pc
from vm_native.interpreter.fusion cimport IN_RS1, IN_RS2, UNRELATED, enter_pair
from vm_native.ir.block cimport Block, BlockExit, Uop, block_of, target_of
from vm_native.ir.uop cimport *
from vm_native.line_marks cimport announce_store
from vm_native.machine cimport CONTINUE, Cpu, step_over
from vm_native.memory.access cimport load8, load16, load32, load64, store8, store16, store32, store64
from vm_native.memory.tlb cimport TlbEntry, hits
from vm_native.probes.records cimport (
    probe_access, probe_block, probe_end, probe_exit, probe_loaded, probe_step,
)
from vm_native.softmmu cimport BOXED, SIGNED, entry_of, load_slowly, order_memory, store_slowly


ctypedef void (*Handler)(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil


cdef extern from *:
    """
    /* Ends what gcc knows about the pointer, so that it moves it first and then jumps through memory: two instructions
       instead of a load, a copy, a move and a jump. */
    static inline void *vm_settled(void *pointer) { __asm__("" : "+r"(pointer)); return pointer; }
    """
    void* settled "vm_settled"(void* pointer) noexcept nogil


cdef inline void go_on(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    uop = <Uop*>settled(uop)
    (<Handler>uop.handler)(cpu, uop, budget)


cdef inline void enter(Cpu* cpu, Block* block, int64_t budget) noexcept nogil:
    # The uops stand behind the header and a pointer to it: no need to load Block.uops.
    go_on(cpu, <Uop*>(block + 1) + 1, budget - block.steps)


cdef inline void jump(Cpu* cpu, uint64_t pc, int64_t budget) noexcept nogil:
    cdef Block* block = next_by_pc(cpu, pc, budget)
    if block != NULL:
        enter(cpu, block, budget)


cdef inline void follow(Cpu* cpu, BlockExit* exit, int64_t budget) noexcept nogil:
    cdef Block* block = target_of(exit)
    if likely(block != NULL and budget >= block.steps):
        enter(cpu, block, budget)
    else:
        follow_out_of_line(cpu, exit, budget)


# The slow ways go through pointers, so that they cannot be inlined: registers that they save and restore would be
# saved and restored on the fast way of every handler.
ctypedef void (*SlowFollow)(Cpu* cpu, BlockExit* exit, int64_t budget) noexcept nogil
ctypedef void (*SlowAccess)(Cpu* cpu, Uop* uop, int64_t budget, uint64_t address, int kind) noexcept nogil
cdef SlowFollow follow_out_of_line = follow_slowly
cdef SlowAccess load_and_go_on = load_slowly_and_go_on
cdef SlowAccess store_and_go_on = store_slowly_and_go_on


cdef void follow_slowly(Cpu* cpu, BlockExit* exit, int64_t budget) noexcept nogil:
    cdef Block* block = next_by_exit(cpu, exit, budget)
    if block != NULL:
        enter(cpu, block, budget)


cdef void load_slowly_and_go_on(Cpu* cpu, Uop* uop, int64_t budget, uint64_t address, int kind) noexcept nogil:
    if load_slowly(cpu, uop, budget, address, kind) == CONTINUE:
        go_on(cpu, uop + 1, budget)


cdef void store_slowly_and_go_on(Cpu* cpu, Uop* uop, int64_t budget, uint64_t address, int size) noexcept nogil:
    if store_slowly(cpu, uop, budget, address, size) == CONTINUE:
        go_on(cpu, uop + 1, budget)


include "threaded_handlers.pxi"
include "threaded_pairs.pxi"


cdef void run_block(Cpu* cpu, Block* block) noexcept nogil:
    enter(cpu, block, cpu.budget)


cdef void* handler_of(int opcode) noexcept nogil:
    return handlers[opcode]
