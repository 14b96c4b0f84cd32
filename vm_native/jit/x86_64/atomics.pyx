"""Atomics of 32 and 64 bits, by the host's own. Others are left to the interpreter's functions."""
from libc.stdint cimport uint8_t
from vm_native.machine cimport BASE_REGISTERS, Cpu
from vm_native.ir.block cimport Uop
from vm_native.ir.uop cimport *
from vm_native.jit.x86_64.access cimport check
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.translation cimport Cold, Job, load_slot, op_slot, place_of, wrote


cdef Cold* place(Job* job, Uop* uop, bint wide, bint write) noexcept nogil:
    """Leave the host address of the operand in rcx; rax and rdx are free."""
    cdef Cold* cold
    cdef int base = check(job, uop, 8 if wide else 4, write, &cold)
    cold.aligned = True
    op_memory(&job.e, LEA, True, RCX, base, RCX, uop.imm)
    return cold


cdef void finish(Job* job, Uop* uop, bint wide, Cold* cold) noexcept nogil:
    """rax is what memory held."""
    if not wide:
        op(&job.e, MOVSXD, True, RAX, RAX)
    wrote(job, uop.rd, RAX)
    cold.done = here(&job.e)


cdef void exchange_add(Job* job, Uop* uop, int opcode, bint wide) noexcept nogil:
    cdef Cold* cold = place(job, uop, wide, True)
    load_slot(job, RAX, uop.rs2)
    op_memory(&job.e, opcode, wide, RAX, RCX, NO_INDEX, 0)
    finish(job, uop, wide, cold)


cdef void modify(Job* job, Uop* uop, int opcode, bint wide) noexcept nogil:
    """AND, OR, XOR, or a conditional move that takes the operand: until nobody else has changed memory meanwhile."""
    cdef Cold* cold = place(job, uop, wide, True)
    cdef uint8_t* again
    op_memory(&job.e, MOV, wide, RAX, RCX, NO_INDEX, 0)
    again = here(&job.e)
    op(&job.e, MOV, True, RDX, RAX)
    if opcode & ~15 == CMOVCC:
        op_slot(job, CMP, wide, RAX, uop.rs2)
    op_slot(job, opcode, wide, RDX, uop.rs2)
    op_memory(&job.e, LOCK_CMPXCHG, wide, RDX, RCX, NO_INDEX, 0)
    jump_if(&job.e, IF_NOT_EQUAL, again)
    finish(job, uop, wide, cold)


cdef void reserve(Job* job, Uop* uop, bint wide) noexcept nogil:
    cdef Cold* cold = place(job, uop, wide, False)
    op_memory(&job.e, MOV if wide else MOVSXD, True, RAX, RCX, NO_INDEX, 0)
    op_memory(&job.e, MOV_TO, True, RCX, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).reserved_host))
    op_memory(&job.e, MOV_TO, True, RAX, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).state.reservation.value))
    store_constant(&job.e, 4, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).state.reservation.size), 8 if wide else 4)
    wrote(job, uop.rd, RAX)
    cold.done = here(&job.e)


cdef void store_conditional(Job* job, Uop* uop, bint wide) noexcept nogil:
    """Succeeds if the reserved place still holds the value that was loaded. rax becomes 1 on failure."""
    cdef Cold* cold = place(job, uop, wide, True)
    cdef Emitter* e = &job.e
    cdef uint8_t* elsewhere
    cdef uint8_t* smaller = NULL
    load_slot(job, RDX, uop.rs2)
    op_memory(e, CMP, True, RCX, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).reserved_host))
    elsewhere = jump_if(e, IF_NOT_EQUAL, NULL)
    if wide:
        op_constant_memory(e, CMP_CONSTANT, False, RBP, place_of(&(<Cpu*>NULL).state.reservation.size), 8)
        smaller = jump_if(e, IF_NOT_EQUAL, NULL)
    op_memory(e, MOV, True, RAX, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).state.reservation.value))
    op_memory(e, LOCK_CMPXCHG, wide, RDX, RCX, NO_INDEX, 0)
    patch(elsewhere, e.executable, here(e))
    if wide:
        patch(smaller, e.executable, here(e))
    # Whichever way led here, "not equal" says that nothing was stored.
    op(e, SETCC | IF_NOT_EQUAL, False, 0, RAX)
    op(e, MOVZX8, False, RAX, RAX)
    store_constant(e, 8, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).reserved_host), 0)
    wrote(job, uop.rd, RAX)
    cold.done = here(e)


cdef bint emit_atomic(Job* job, Uop* uop, int opcode) noexcept nogil:
    """Whether the uop is one of these; then it has been emitted."""
    if uop.rs1 >= BASE_REGISTERS: return False
    if opcode == UOP_LR_W: reserve(job, uop, False)
    elif opcode == UOP_LR_D: reserve(job, uop, True)
    elif opcode == UOP_SC_W: store_conditional(job, uop, False)
    elif opcode == UOP_SC_D: store_conditional(job, uop, True)
    elif opcode == UOP_AMOSWAP_W: exchange_add(job, uop, XCHG, False)
    elif opcode == UOP_AMOSWAP_D: exchange_add(job, uop, XCHG, True)
    elif opcode == UOP_AMOADD_W: exchange_add(job, uop, LOCK_XADD, False)
    elif opcode == UOP_AMOADD_D: exchange_add(job, uop, LOCK_XADD, True)
    elif opcode == UOP_AMOAND_W: modify(job, uop, AND, False)
    elif opcode == UOP_AMOAND_D: modify(job, uop, AND, True)
    elif opcode == UOP_AMOOR_W: modify(job, uop, OR, False)
    elif opcode == UOP_AMOOR_D: modify(job, uop, OR, True)
    elif opcode == UOP_AMOXOR_W: modify(job, uop, XOR, False)
    elif opcode == UOP_AMOXOR_D: modify(job, uop, XOR, True)
    elif opcode == UOP_AMOMIN_W: modify(job, uop, CMOVCC | IF_GREATER, False)
    elif opcode == UOP_AMOMIN_D: modify(job, uop, CMOVCC | IF_GREATER, True)
    elif opcode == UOP_AMOMAX_W: modify(job, uop, CMOVCC | IF_LESS, False)
    elif opcode == UOP_AMOMAX_D: modify(job, uop, CMOVCC | IF_LESS, True)
    elif opcode == UOP_AMOMINU_W: modify(job, uop, CMOVCC | IF_ABOVE, False)
    elif opcode == UOP_AMOMINU_D: modify(job, uop, CMOVCC | IF_ABOVE, True)
    elif opcode == UOP_AMOMAXU_W: modify(job, uop, CMOVCC | IF_BELOW, False)
    elif opcode == UOP_AMOMAXU_D: modify(job, uop, CMOVCC | IF_BELOW, True)
    else:
        return False
    return True
