"""Ways through, out of and back into a trace: its entry, branches, exits, and all that stands out of line."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from vm_native.memory.ram cimport PAGE_SHIFT
from vm_native.machine cimport Cpu
from vm_native.ir.block cimport Block, Uop, block_of, info_of
from vm_native.ir.uop cimport *
from vm_native.jit.state cimport LEFT_BUDGET, LEFT_UNBOXED, LEFT_UNKNOWN, Exit
from vm_native.jit.x86_64.access cimport emit_one_by_one
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.registers cimport emit_swap
from vm_native.jit.x86_64.stubs cimport probe_jump_cache
from vm_native.jit.x86_64.translation cimport (
    COLD_ACCESS, COLD_BUDGET, COLD_GROUP, COLD_LOOP, COLD_NAN_DOUBLE, COLD_NAN_SINGLE, COLD_OUTSIDE, COLD_PERFORM,
    COLD_SIDE_EXIT, COLD_UNBOXED, Cold, ColdKind, Job, cold_jump, has_room, load_slot, new_cold, op_slot, place_of,
    read_slot, target_of, wrote,
)


cdef enum:
    NO_WAY = -1             # the trace ends here


cdef int32_t budget_place() noexcept nogil:
    return place_of(&(<Cpu*>NULL).budget)


cdef void emit_entry(Job* job) noexcept nogil:
    """The registers of this trace, and the one test of the budget: whether it lasts for the whole trace."""
    emit_swap(job, True)
    job.loop = here(&job.e)
    op_constant_memory(&job.e, SUB_CONSTANT, True, RBP, budget_place(), job.steps)
    cold_jump(new_cold(job, COLD_BUDGET, NULL), jump_if(&job.e, IF_NEGATIVE, NULL))


cdef void emit_perform(Job* job, Uop* uop, int refund) noexcept nogil:
    load_constant(&job.e, RAX, <int64_t>uop)
    load_constant(&job.e, RDX, refund)
    call(&job.e, job.perform)


cdef void emit_perform_thunk(Job* job) noexcept nogil:
    """The interpreter's functions find registers, and leave them, where they are everywhere."""
    if job.swap_count == 0:
        job.perform = job.jit.perform[job.floats]
        return
    job.perform = here(&job.e)
    emit_swap(job, False)
    op_constant(&job.e, SUB_CONSTANT, True, RSP, 8)
    call(&job.e, job.jit.perform[job.floats])
    op_constant(&job.e, ADD_CONSTANT, True, RSP, 8)
    emit_swap(job, True)
    ret(&job.e)


cdef void leave_by(Job* job, uint8_t* displacement, uint64_t pc) noexcept nogil:
    """Let a jump leave the trace to this address, or go on at its head."""
    cdef bint outside = (pc ^ job.code.head.pc) >> PAGE_SHIFT != 0
    cdef ColdKind kind = COLD_OUTSIDE if outside else COLD_SIDE_EXIT
    cdef Cold* cold
    if pc == job.code.head.pc and not job.code.head.second_page and job.jit.switches.linking:
        if job.refund == 0:
            patch(displacement, job.e.executable, job.loop)
            return
        kind = COLD_LOOP
    cold = new_cold(job, kind, NULL)
    cold.pc = pc
    cold_jump(cold, displacement)
    if kind == COLD_SIDE_EXIT:
        cold.exit = job.code.exit_count
        job.code.exits[cold.exit].pc = pc
        job.code.exits[cold.exit].source = job.code
        job.code.exit_count += 1


cdef int condition_of(Job* job, Uop* uop, int opcode) noexcept nogil:
    """Emit the comparison of a branch; the condition on which it is taken."""
    cdef int a
    if uop.rs1 == job.jit.zero and job.general[uop.rs2] >= 0 and (opcode == UOP_BLT or opcode == UOP_BGE):
        # 0 < b, 0 >= b
        op_constant(&job.e, CMP_CONSTANT, True, job.general[uop.rs2], 0)
        return IF_GREATER if opcode == UOP_BLT else IF_NOT_GREATER
    a = read_slot(job, uop.rs1, RAX)
    if uop.rs2 == job.jit.zero:
        op(&job.e, TEST, True, a, a)
    else:
        op_slot(job, CMP, True, a, uop.rs2)
    if opcode == UOP_BEQ: return IF_EQUAL
    if opcode == UOP_BNE: return IF_NOT_EQUAL
    if opcode == UOP_BLT: return IF_LESS
    if opcode == UOP_BGE: return IF_NOT_LESS
    if opcode == UOP_BLTU: return IF_BELOW
    return IF_NOT_BELOW


cdef void emit_branch(Job* job, Block* part, Uop* uop, int opcode, int way) noexcept nogil:
    cdef int condition = condition_of(job, uop, opcode)
    if way == 0:
        leave_by(job, jump_if(&job.e, condition ^ 1, NULL), part.links[1].pc)
        return
    leave_by(job, jump_if(&job.e, condition, NULL), part.links[0].pc)
    if way == NO_WAY:
        leave_by(job, jump(&job.e, NULL), part.links[1].pc)


cdef void emit_probe(Job* job, bint known, uint64_t pc) noexcept nogil:
    """Go on at the pc in rax, which may be known now, by way of the jump cache."""
    cdef uint8_t* miss = job.jit.leave_at[job.floats][LEFT_UNKNOWN]
    if job.jit.switches.jump_cache:
        probe_jump_cache(&job.e, known, pc, miss)
    else:
        jump(&job.e, miss)


cdef void emit_indirect(Job* job, Block* part, Uop* uop) noexcept nogil:
    cdef int base = read_slot(job, uop.rs1, RAX)
    cdef int target
    op_memory(&job.e, LEA, True, RAX, base, NO_INDEX, uop.imm)
    op_constant(&job.e, AND_CONSTANT, True, RAX, -2)
    if uop.rd != job.jit.sink:
        target = target_of(job, uop.rd, RCX)
        load_constant(&job.e, target, <int64_t>part.links[1].pc)
        wrote(job, uop.rd, target)
    emit_swap(job, False)
    emit_probe(job, False, 0)


cdef void emit_end(Job* job, Block* part, Uop* uop, int opcode, int way) noexcept nogil:
    """The last uop of a part; the trace goes on at the part's way 0 or 1, or ends (NO_WAY)."""
    cdef int target
    if UOP_BEQ <= opcode <= UOP_BGEU:
        emit_branch(job, part, uop, opcode, way)
    elif opcode == UOP_JAL:
        if uop.rd != job.jit.sink:
            target = target_of(job, uop.rd, RAX)
            load_constant(&job.e, target, <int64_t>part.links[1].pc)
            wrote(job, uop.rd, target)
        if way == NO_WAY:
            leave_by(job, jump(&job.e, NULL), part.links[0].pc)
    elif opcode == UOP_JALR:
        emit_indirect(job, part, uop)
    elif opcode == UOP_FALL:
        if way == NO_WAY:
            leave_by(job, jump(&job.e, NULL), part.links[1].pc)
    else:
        emit_perform(job, uop, job.refund)      # always leaves
        trap(&job.e)


# --- Out of line ------------------------------------------------------------------------------------------------------

cdef void emit_miss(Job* job, Cold* cold) noexcept nogil:
    """The base register is where the hot code had it: in rdx, if not in a host register."""
    cdef Uop* uop = cold.uop
    cdef int base = job.general[uop.rs1]
    cdef int log2_size = 0
    cdef uint8_t* miss
    cdef uint8_t* unaligned = NULL
    while 1 << log2_size < cold.size:
        log2_size += 1
    if cold.has_slot:
        op_memory(&job.e, LEA, True, RAX, base if base >= 0 else RDX, NO_INDEX, uop.imm)
        if cold.aligned:
            op(&job.e, MOV, False, RCX, RAX)
            op_constant(&job.e, AND_CONSTANT, False, RCX, cold.size - 1)
            unaligned = jump_if(&job.e, IF_NOT_EQUAL, NULL)
        op_memory(&job.e, LEA, True, RCX, RBP, NO_INDEX, cold.slot)
        call(&job.e, job.jit.fill_slot[cold.write][log2_size])
        miss = jump_if(&job.e, IF_NOT_EQUAL, NULL)
        if base < 0:
            load_slot(job, RDX, uop.rs1)
        jump(&job.e, cold.found)
        patch(miss, job.e.executable, here(&job.e))
        if cold.aligned:
            patch(unaligned, job.e.executable, here(&job.e))
    emit_perform(job, uop, cold.refund)
    jump(&job.e, cold.done)


cdef void emit_unboxed(Job* job, Cold* cold) noexcept nogil:
    cdef Block* part = block_of(cold.uop)
    cdef int rest = cold.refund + part.steps - info_of(cold.uop).step - 1
    emit_perform(job, cold.uop, cold.refund)
    emit_swap(job, False)
    op_constant_memory(&job.e, ADD_CONSTANT, True, RBP, budget_place(), rest)
    load_constant(&job.e, RAX, <int64_t>(part.pc + info_of(cold.uop).pc_offset + info_of(cold.uop).length))
    jump(&job.e, job.jit.leave_at[job.floats][LEFT_UNBOXED])


cdef void give_back(Job* job, int steps) noexcept nogil:
    if steps:
        op_constant_memory(&job.e, ADD_CONSTANT, True, RBP, budget_place(), steps)


cdef void emit_exit(Job* job, Cold* cold) noexcept nogil:
    cdef Exit* way = &job.code.exits[cold.exit]
    way.jump = cold.jumps[0]
    if cold.refund or job.swap_count:
        give_back(job, cold.refund)
        emit_swap(job, False)
        way.jump = jump(&job.e, NULL)
    way.leave = here(&job.e)
    patch(way.jump, job.e.executable, way.leave)
    load_constant(&job.e, RAX, <int64_t>way)
    jump(&job.e, job.jit.leave_exit[job.floats])
    way.probe = here(&job.e)
    load_constant(&job.e, RAX, <int64_t>way)
    jump(&job.e, job.jit.probe_exit[job.floats])


cdef bint emit_cold(Job* job) noexcept nogil:
    """False if there is no room."""
    cdef Cold* cold
    cdef int i = 0, k
    while i < job.cold_count:           # some add others
        if not has_room(job):
            return False
        cold = &job.cold[i]
        i += 1
        for k in range(cold.jump_count):
            patch(cold.jumps[k], job.e.executable, here(&job.e))
        if cold.kind == COLD_ACCESS:
            emit_miss(job, cold)
        elif cold.kind == COLD_GROUP:
            emit_one_by_one(job, cold)
            jump(&job.e, cold.done)
        elif cold.kind == COLD_PERFORM:
            emit_perform(job, cold.uop, cold.refund)
            jump(&job.e, cold.done)
        elif cold.kind == COLD_UNBOXED:
            emit_unboxed(job, cold)
        elif cold.kind == COLD_NAN_SINGLE or cold.kind == COLD_NAN_DOUBLE:
            vex_literal(&job.e, VMOVAPS, cold.xmm, 0,
                        job.jit.nan_single if cold.kind == COLD_NAN_SINGLE else job.jit.nan_double)
            jump(&job.e, cold.done)
        elif cold.kind == COLD_SIDE_EXIT:
            emit_exit(job, cold)
        elif cold.kind == COLD_LOOP:
            give_back(job, cold.refund)
            jump(&job.e, job.loop)
        elif cold.kind == COLD_OUTSIDE:
            give_back(job, cold.refund)
            emit_swap(job, False)
            load_constant(&job.e, RAX, <int64_t>cold.pc)
            emit_probe(job, True, cold.pc)
        else:
            give_back(job, job.steps)
            emit_swap(job, False)
            load_constant(&job.e, RAX, <int64_t>job.code.head.pc)
            jump(&job.e, job.jit.leave_at[job.floats][LEFT_BUDGET])
    return True
