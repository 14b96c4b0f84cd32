"""What every trace shares: the way in and out of compiled code, calls to the interpreter's functions, the TLB probe."""
from libc.stdint cimport int32_t, int64_t, intptr_t, uint8_t, uint64_t
from vm_native.jump_cache cimport JUMP_CACHE_ENTRIES, JumpCacheEntry, jump_cache_index
from vm_native.memory.tlb cimport PageEntry, TlbEntry
from vm_native.memory.ram cimport PAGE_OFFSET, PAGE_SIZE
from vm_native.machine cimport ABANDON, CONTINUE, LEAVE, MODE_MASK, REMEMBERED_ENTRIES, STOP_NONE, Cpu
from vm_native.hart_state cimport REGISTER_SLOTS
from vm_native.exits cimport step_over, store_position
from vm_native.interpreter.single cimport perform
from vm_native.ir.block cimport Uop
from vm_native.jit.state cimport LEAVINGS, LEFT_PERFORMED, LEFT_UNKNOWN, LEFT_UNLINKED, Exit, Jit
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.translation cimport BIAS, LOG2_ENTRY, find_entry, place_of, slot_place, tag_of

cdef enum:
    RESUME = 100            # beside the Status of an instruction: pc is set, compiled code may go on there


cdef int perform_for_code(Cpu* cpu, Uop* uop, int refund) noexcept nogil:
    """Do one uop of a trace that has paid for itself and for `refund` steps behind the uop's block.

    Should a block have been killed meanwhile, perhaps of this very trace, the trace is left behind the instruction.
    Returns CONTINUE; RESUME, to go on at cpu.state.pc, which is another trace's; or LEAVE.
    """
    cdef int64_t budget = cpu.budget
    cdef uint64_t invalidations = cpu.machine.blocks.invalidations
    cdef bint floats = cpu.front_end.uses_float(cpu.key & MODE_MASK)
    cdef int status = perform(cpu, uop, budget + refund)
    if status == CONTINUE:
        if cpu.machine.blocks.invalidations == invalidations:
            cpu.budget = budget
            return CONTINUE
        store_position(cpu, uop, budget + refund)
        step_over(cpu, uop)
    if status == ABANDON or cpu.stop != STOP_NONE or cpu.budget <= 0:
        return LEAVE
    if cpu.attention:
        cpu.front_end.attend(cpu)
    return RESUME if cpu.front_end.uses_float(cpu.key & MODE_MASK) == floats else LEAVE


cdef void move_registers(Jit* jit, Emitter* e, bint floats, bint load) noexcept nogil:
    """All guest registers that live in host registers, from or to the register file."""
    cdef int slot
    for slot in range(REGISTER_SLOTS):
        if jit.general[slot] >= 0:
            op_memory(e, MOV if load else MOV_TO, True, jit.general[slot], RBP, NO_INDEX, slot_place(slot))
        if floats and jit.floating[slot] >= 0:
            vex_memory(e, VMOVSD if load else VMOVSD_TO, False, jit.floating[slot], 0, RBP, NO_INDEX, slot_place(slot))


cdef void count(Emitter* e, uint64_t* counter) noexcept nogil:
    load_constant(e, RCX, <int64_t>counter)
    op_constant_memory(e, ADD_CONSTANT, True, RCX, 0, 1)


cdef uint8_t* constant(Emitter* e, uint64_t low, uint64_t high) noexcept nogil:
    cdef uint8_t* place = here(e)
    (<uint64_t*>e.at)[0] = low
    (<uint64_t*>e.at)[1] = high
    e.at += 16
    return place


cdef void emit_enter(Jit* jit, Emitter* e, bint floats) noexcept nogil:
    cdef int[6] saved = [RBX, RBP, R12, R13, R14, R15]
    cdef int i
    jit.enter[floats] = here(e)
    for i in range(6):
        push(e, saved[i])
    op_constant(e, SUB_CONSTANT, True, RSP, 8)          # calls from here find the stack aligned
    op_memory(e, LEA, True, RBP, RDI, NO_INDEX, BIAS)
    op_memory(e, MOV_TO, True, RSP, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).host_stack))
    op(e, MOV, True, RAX, RSI)
    move_registers(jit, e, floats, True)
    jump_register(e, RAX)


cdef void emit_leave(Jit* jit, Emitter* e, bint floats) noexcept nogil:
    cdef int[6] saved = [R15, R14, R13, R12, RBP, RBX]
    cdef int i
    cdef uint8_t* store = here(e)
    cdef uint8_t* go
    op_memory(e, MOV_TO, True, RAX, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).state.pc))
    move_registers(jit, e, floats, False)
    go = here(e)
    op_memory(e, MOV, True, RSP, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).host_stack))
    op_constant(e, ADD_CONSTANT, True, RSP, 8)
    for i in range(6):
        pop(e, saved[i])
    ret(e)
    for i in range(LEAVINGS):
        jit.leave_at[floats][i] = here(e)
        count(e, &jit.statistics.left[i])
        jump(e, store)
    jit.leave_clean[floats] = here(e)
    count(e, &jit.statistics.left[LEFT_PERFORMED])
    jump(e, go)
    jit.leave_exit[floats] = here(e)
    op_memory(e, MOV_TO, True, RAX, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).pending_exit))
    op_memory(e, MOV, True, RAX, RAX, NO_INDEX, <int32_t><intptr_t>&(<Exit*>NULL).pc)
    jump(e, jit.leave_at[floats][LEFT_UNLINKED])


cdef void probe_jump_cache(Emitter* e, bint known, uint64_t pc, const uint8_t* miss) noexcept nogil:
    """Go on at the pc in rax, which may be known now, or at `miss` if the jump cache does not have it."""
    cdef JumpCacheEntry* entry = NULL
    if known:
        entry += jump_cache_index(pc)
        op_memory(e, MOV, True, RCX, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).jump_cache.entries))
    else:
        op(e, MOV, False, RCX, RAX)                 # jump_cache_index
        shift_constant(e, SHR, False, RCX, 12)
        op(e, XOR, False, RCX, RAX)
        op_constant(e, AND_CONSTANT, False, RCX, JUMP_CACHE_ENTRIES - 1 << 1)
        shift_constant(e, SHL, True, RCX, LOG2_ENTRY - 1)
        op_memory(e, ADD, True, RCX, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).jump_cache.entries))
    op_memory(e, CMP, True, RAX, RCX, NO_INDEX, <int32_t><intptr_t>&entry.pc)
    jump_if(e, IF_NOT_EQUAL, miss)
    op_memory(e, MOV, True, RDX, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).key))
    op_memory(e, CMP, True, RDX, RCX, NO_INDEX, <int32_t><intptr_t>&entry.key)
    jump_if(e, IF_NOT_EQUAL, miss)
    jump_memory(e, RCX, <int32_t><intptr_t>&entry.code)


cdef void emit_probe_exit(Jit* jit, Emitter* e, bint floats) noexcept nogil:
    jit.probe_exit[floats] = here(e)
    op_memory(e, MOV, True, RAX, RAX, NO_INDEX, <int32_t><intptr_t>&(<Exit*>NULL).pc)
    probe_jump_cache(e, False, 0, jit.leave_at[floats][LEFT_UNKNOWN])


cdef void emit_perform_stub(Jit* jit, Emitter* e, bint floats) noexcept nogil:
    cdef uint8_t* left
    jit.perform[floats] = here(e)
    move_registers(jit, e, floats, False)
    op_memory(e, LEA, True, RDI, RBP, NO_INDEX, -BIAS)
    op(e, MOV, True, RSI, RAX)
    op_constant(e, SUB_CONSTANT, True, RSP, 8)
    count(e, &jit.statistics.performed)
    load_constant(e, RAX, <int64_t><intptr_t>&perform_for_code)
    call_register(e, RAX)
    op_constant(e, ADD_CONSTANT, True, RSP, 8)
    op(e, TEST, False, RAX, RAX)
    left = jump_if(e, IF_NOT_EQUAL, NULL)
    move_registers(jit, e, floats, True)
    ret(e)
    patch(left, e.executable, here(e))
    if jit.switches.jump_cache:
        op_constant(e, CMP_CONSTANT, False, RAX, RESUME)
        jump_if(e, IF_NOT_EQUAL, jit.leave_clean[floats])
        op_memory(e, MOV, True, RSP, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).host_stack))
        move_registers(jit, e, floats, True)
        op_memory(e, MOV, True, RAX, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).state.pc))
        probe_jump_cache(e, False, 0, jit.leave_at[floats][LEFT_UNKNOWN])
    else:
        jump(e, jit.leave_clean[floats])


cdef void emit_fill_slot(Jit* jit, Emitter* e, bint write, int log2_size) noexcept nogil:
    cdef int tag
    cdef int32_t fills = place_of(&(<Cpu*>NULL).page_entry_fills)
    cdef uint8_t* crosses
    cdef uint8_t* miss
    cdef uint8_t* full
    cdef uint8_t* filled
    jit.fill_slot[write][log2_size] = here(e)
    op(e, MOV, False, RDX, RAX)
    op_constant(e, AND_CONSTANT, False, RDX, PAGE_OFFSET)
    op_constant(e, CMP_CONSTANT, False, RDX, PAGE_SIZE - (1 << log2_size))
    crosses = jump_if(e, IF_ABOVE, NULL)
    op_constant(e, AND_CONSTANT, True, RAX, ~PAGE_OFFSET)
    op_memory(e, CMP, True, RAX, RCX, NO_INDEX, tag_of(write))
    filled = jump_if(e, IF_EQUAL, NULL)                 # the access was not aligned
    find_entry(e, RDX)
    op_memory(e, CMP, True, RAX, RDX, NO_INDEX, tag_of(write))
    miss = jump_if(e, IF_NOT_EQUAL, NULL)
    for tag in range(2):
        op_memory(e, MOV, True, RAX, RDX, NO_INDEX, tag_of(tag))
        op_memory(e, MOV_TO, True, RAX, RCX, NO_INDEX, tag_of(tag))
    op_memory(e, MOV, False, RAX, RBP, NO_INDEX, fills)
    op_memory(e, MOV, True, RDX, RDX, NO_INDEX, <int32_t><intptr_t>&(<TlbEntry*>NULL).addend)
    op_memory(e, MOV_TO, True, RDX, RCX, NO_INDEX, <int32_t><intptr_t>&(<PageEntry*>NULL).addend)
    op_constant(e, CMP_CONSTANT, False, RAX, REMEMBERED_ENTRIES)
    full = jump_if(e, IF_NOT_BELOW, NULL)
    op_indexed(e, MOV_TO, True, RCX, RBP, RAX, 3, place_of(&(<Cpu*>NULL).filled_page_entries))
    op_constant_memory(e, ADD_CONSTANT, False, RBP, fills, 1)
    patch(full, e.executable, here(e))
    patch(filled, e.executable, here(e))
    op_memory(e, MOV, True, RCX, RCX, NO_INDEX, <int32_t><intptr_t>&(<PageEntry*>NULL).addend)
    op(e, XOR, False, RAX, RAX)
    patch(crosses, e.executable, here(e))
    patch(miss, e.executable, here(e))
    ret(e)


cdef void emit_stubs(Jit* jit) noexcept nogil:
    """At the start of code memory."""
    cdef Emitter e
    cdef int floats, write, log2_size
    e.at = jit.memory.writable
    e.executable = jit.memory.executable
    jit.upper_ones = constant(&e, 0xFFFFFFFF00000000ULL, 0)
    jit.nan_single = constant(&e, 0xFFFFFFFF7FC00000ULL, 0)
    jit.nan_double = constant(&e, 0x7FF8000000000000ULL, 0)
    jit.sign_double = constant(&e, 0x8000000000000000ULL, 0)
    jit.magnitude_double = constant(&e, 0x7FFFFFFFFFFFFFFFULL, 0)
    jit.sign_single = constant(&e, 0x80000000ULL, 0)
    jit.magnitude_single = constant(&e, 0xFFFFFFFF7FFFFFFFULL, 0)
    for floats in range(2):
        emit_enter(jit, &e, floats)
        emit_leave(jit, &e, floats)
        emit_probe_exit(jit, &e, floats)
        emit_perform_stub(jit, &e, floats)
    for write in range(2):
        for log2_size in range(4):
            emit_fill_slot(jit, &e, write, log2_size)
    jit.stubs_end = e.at
