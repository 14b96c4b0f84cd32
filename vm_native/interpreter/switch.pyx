"""Switch form: one loop over the opcodes, for compilers that do not turn calls in tail position into jumps."""
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
from vm_native.ir.block cimport Block, Uop, block_of
from vm_native.ir.uop cimport *
from vm_native.line_marks cimport announce_store
from vm_native.machine cimport CONTINUE, Cpu, step_over
from vm_native.memory.access cimport load8, load16, load32, load64, store8, store16, store32, store64
from vm_native.memory.tlb cimport TlbEntry, hits
from vm_native.probes.records cimport (
    probe_access, probe_block, probe_end, probe_exit, probe_loaded, probe_step,
)
from vm_native.softmmu cimport BOXED, SIGNED, entry_of, load_slowly, order_memory, store_slowly

include "switch_loop.pxi"
include "switch_pairs.pxi"


cdef void run_block(Cpu* cpu, Block* block) noexcept nogil:
    run_switch(cpu, block, cpu.budget - block.steps)


cdef void* handler_of(int opcode) noexcept nogil:
    return <void*><intptr_t>opcode
