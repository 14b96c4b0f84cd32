"""What every trace shares: entry and exits, calls of the interpreter, probes of the jump cache and the TLB."""
from libc.stdint cimport int32_t, int64_t, intptr_t, uint8_t, uint64_t
from vm_native.arithmetic.float_rules cimport BOX32
from vm_native.blocks cimport note_misfit, note_outside_window
from vm_native.checks cimport static_assert
from vm_native.hart_state cimport REGISTER_SLOTS
from vm_native.interpreter.single cimport run_uop
from vm_native.ir.block cimport Uop, block_of, info_of
from vm_native.ir.uop cimport UOP_SB, UOP_SD, UOP_SH, UOP_SW
from vm_native.jit.state cimport (
    EXIT_COLD, EXIT_FALLBACK, EXIT_REASONS, EXIT_UNKNOWN, EXIT_UNLINKED, HOST_FLOATS, Exit, Jit,
)
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport zero_upper_halves
from vm_native.jit.x86_64.avx512 cimport TO_MEMORY, VMOVDQU64
from vm_native.jit.x86_64.compilation cimport (
    BIAS, BUDGET, FIRST_XMM, LOAD, LOG2_ENTRY, MAX_RESIDENTS, STACK_ROOM, STORE, Direction, load_tlb_entry,
    move_floating, move_general, offset_of, tag_offset,
)
from vm_native.jump_cache cimport JUMP_CACHE_ENTRIES, JUMP_CACHE_FOLD, JumpCacheEntry, jump_cache_index
from vm_native.machine cimport (
    BASE_REGISTERS, CONTINUE, EXIT, MODE_MASK, NO_BRANCH, REMEMBERED_ENTRIES, RETRY, STOP_NONE, STOP_RAISED, Cpu,
    FrontEnd, Machine, step_over, store_position,
)
from vm_native.memory.ram cimport PAGE_MASK, PAGE_OFFSET, PAGE_SIZE
from vm_native.memory.tlb cimport BESIDE_CODE, READ, WRITE, PageEntry, StoreWindow, TlbEntry, tlb_entry
from vm_native.jit.page_trials cimport note_stray
from vm_native.jit.x86_64.vector_registers cimport FIRST_RESIDENT, uses_avx512
from vm_native.jit.x86_64.vectors cimport emit_vector_constants
from vm_native.probes.records cimport settle_records
from vm_native.softmmu cimport fill_store_range, fill_store_window, refill_for_load, refill_for_store

cdef enum:
    RESUME = 100            # beside the Status of an instruction: pc is set, compiled code may go on there
    CALL_CLOBBERED_COUNT = 6

# Guest registers live in these, and a function may change them.
cdef int[CALL_CLOBBERED_COUNT] CALL_CLOBBERED = [RSI, RDI, R8, R9, R10, R11]
cdef int[6] SAVED = [RBX, RBP, R12, R13, R14, R15]      # by whoever is called, says the ABI


cdef inline int do_for_trace(Cpu* cpu, Uop* uop, int refund, bint stays) noexcept nogil:
    """Do one uop of a trace that has paid for itself and for `refund` steps behind the uop's block.

    Should compiled code have gone meanwhile, perhaps this very trace, it is left behind the instruction; or if it is
    not to stay.
    Returns CONTINUE; RESUME, to go on at cpu.state.pc, which is another trace's; or EXIT.
    """
    cdef int64_t budget = cpu.budget
    cdef uint64_t departures = cpu.machine.compiler.departures
    cdef uint64_t mode = cpu.key & MODE_MASK
    cdef int status = RETRY
    if cpu.stop == STOP_RAISED:         # the TLB was to have a page that could not be fetched
        store_position(cpu, uop, budget + refund)
    else:
        status = run_uop(cpu, uop, budget + refund)
    if status == CONTINUE:
        if stays and cpu.machine.compiler.departures == departures and not cpu.gate.changed:
            cpu.budget = budget
            return CONTINUE
        store_position(cpu, uop, budget + refund)
        step_over(cpu, uop)
    if cpu.machine.probes.instruments:
        settle_records(cpu)
    if status == RETRY or cpu.stop != STOP_NONE or cpu.budget <= 0:
        return EXIT
    if cpu.attention:
        # Where there are drafts, part of the slice may be set aside, and to cut that short is not done from here.
        if cpu.machine.safepoints != NULL or cpu.machine.compiler.has_drafts:
            return EXIT
        cpu.front_end.attend(cpu)
        if cpu.stop != STOP_NONE:           # hooks are told of the interrupt that it took
            return EXIT
    if cpu.front_end.uses_float(cpu.key & MODE_MASK) != cpu.front_end.uses_float(mode):
        return EXIT
    cpu.gate.changed = 0                    # where it goes on it has looked at nothing, yet
    return RESUME


cdef int fall_back(Cpu* cpu, Uop* uop, int refund) noexcept nogil:
    return do_for_trace(cpu, uop, refund, cpu.strays_left >= 0 or not note_stray(cpu, uop))


cdef int fall_out(Cpu* cpu, Uop* uop, int refund) noexcept nogil:
    """The same of an access that is in no window: what follows may count on it.

    It is no accident if more is in the way than that nobody has made one to the page, that pages are looked at together
    for the first time, or code: that is noted elsewhere.
    """
    cdef uint64_t address = cpu.state.regs[uop.rs1] + <uint64_t><int64_t>uop.imm
    cdef uint64_t page = address & PAGE_MASK
    cdef TlbEntry* entry = tlb_entry(cpu.tlb, address)
    cdef bint is_store = info_of(uop).opcode in (UOP_SB, UOP_SH, UOP_SW, UOP_SD)
    cdef uint64_t* tag = &entry.write_tag if is_store else &entry.read_tag
    cdef bint knew_page = tag[0] & (PAGE_MASK | BESIDE_CODE) == page
    cdef StoreWindow* window = &cpu.store_windows[cpu.front_end.data_bank(cpu.key) * BASE_REGISTERS + uop.rs1]
    cdef bint was_elsewhere = (
        is_store and address - window.start >= window.places[0] and fill_store_window(cpu, address, window)
    )
    cdef int status = do_for_trace(cpu, uop, refund, False)
    if knew_page and not was_elsewhere or tag[0] & PAGE_MASK != page:
        note_outside_window(cpu.machine, block_of(uop))
    return status


cdef int fall_misfit(Cpu* cpu, Uop* uop, int refund) noexcept nogil:
    """The same of an instruction on vectors that have another shape than what follows takes them to have."""
    cdef int status = do_for_trace(cpu, uop, refund, False)
    note_misfit(cpu.machine, block_of(uop))
    return status


cdef void end_vectors(Jit* jit, Emitter* e) noexcept nogil:
    """Before code that was compiled for hosts without AVX: else the host keeps upper halves of registers for us."""
    if jit.stubs.vectors != NULL:
        zero_upper_halves(e)


cdef void move_registers(Jit* jit, Emitter* e, Direction direction, bint floats) noexcept nogil:
    """All that lives in host registers, from or to the Cpu: guest registers and the budget."""
    cdef int slot
    op_memory(
        e, MOV if direction == LOAD else MOV_TO, W64, BUDGET, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).budget)
    )
    for slot in range(REGISTER_SLOTS):
        if jit.general[slot] >= 0:
            move_general(e, direction, jit.general[slot], slot)
        if floats and jit.floating[slot] >= 0:
            move_floating(e, direction, jit.floating[slot], slot)


cdef void count(Emitter* e, uint64_t* counter) noexcept nogil:
    """In the Jit of the hart's machine, which may be another than that of the machine that the code was made for.

    `counter` is where it stands in a Jit at address 0.
    """
    op_memory(e, MOV, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).machine))
    op_memory(e, MOV, W64, RCX, RCX, NO_INDEX, <int32_t><intptr_t>&(<Machine*>NULL).compiler)
    op_constant_memory(e, ADD_CONSTANT, W64, RCX, <int32_t><intptr_t>counter, 1)


cdef uint8_t* constant(Emitter* e, uint64_t value) noexcept nogil:
    """16 bytes, the upper half 0."""
    cdef uint8_t* address = here(e)
    (<uint64_t*>e.at)[0] = value
    (<uint64_t*>e.at)[1] = 0
    e.at += 16
    return address


cdef void emit_enter(Jit* jit, Emitter* e, bint floats) noexcept nogil:
    cdef int i
    jit.stubs.enter[floats] = here(e)
    for i in range(6):
        push(e, SAVED[i])
    op_constant(e, SUB_CONSTANT, W64, RSP, STACK_ROOM)
    op_memory(e, LEA, W64, RBP, RDI, NO_INDEX, BIAS)
    op_memory(e, MOV_TO, W64, RSP, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).host_stack))
    op(e, MOV, W64, RAX, RSI)
    move_registers(jit, e, LOAD, floats)
    jump_register(e, RAX)


cdef void emit_edge_entry_of_cold(Emitter* e) noexcept nogil:
    """Of EXIT_COLD, which comes behind this: the jump cache has what is not compiled, too. Memory then says it all."""
    cdef uint8_t* start = here(e)
    cdef uint8_t* behind
    op_memory(e, MOV, W32, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).edge_recorder))
    op_indexed(e, MOV_TO, W64, RDX, RBP, RCX, 3, offset_of(&(<Cpu*>NULL).edges_before))
    store_constant(e, 8, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).transfer), NO_BRANCH)
    behind = jump(e, NULL)
    (<uint64_t*>e.at)[0] = <uint64_t>start
    e.at -= EDGE_ENTRY
    patch(behind, e.executable, here(e))


cdef void emit_exits(Jit* jit, Emitter* e, bint floats) noexcept nogil:
    cdef int i
    cdef uint8_t* store = here(e)
    cdef uint8_t* stored
    op_memory(e, MOV_TO, W64, RAX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).state.pc))
    move_registers(jit, e, STORE, floats)
    stored = here(e)
    end_vectors(jit, e)
    op_memory(e, MOV, W64, RSP, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).host_stack))
    op_constant(e, ADD_CONSTANT, W64, RSP, STACK_ROOM)
    for i in range(6):
        pop(e, SAVED[5 - i])
    ret(e)
    for i in range(EXIT_REASONS):
        if i == EXIT_COLD:
            emit_edge_entry_of_cold(e)
        jit.stubs.exit_at[floats][i] = here(e)
        count(e, &(<Jit*>NULL).statistics.exits[i])
        jump(e, store)
    jit.stubs.exit_stored[floats] = here(e)
    count(e, &(<Jit*>NULL).statistics.exits[EXIT_FALLBACK])
    jump(e, stored)
    jit.stubs.exit_unlinked[floats] = here(e)
    op_memory(e, MOV_TO, W64, RAX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).pending_trace_exit))
    op_memory(e, MOV, W64, RAX, RAX, NO_INDEX, <int32_t><intptr_t>&(<Exit*>NULL).pc)
    jump(e, jit.stubs.exit_at[floats][EXIT_UNLINKED])


cdef Miss compare(Emitter* e, JumpCacheEntry* entry, const uint8_t* miss) noexcept nogil:
    """The pc in rax with this entry, which stands that far from rcx; go to `miss` if that has another."""
    cdef Miss found
    op_memory(e, CMP, W64, RAX, RCX, NO_INDEX, <int32_t><intptr_t>&entry.pc)
    found.jumps[0] = jump_if(e, IF_NOT_EQUAL, miss)
    op_memory(e, MOV, W64, RDX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).key))
    op_memory(e, CMP, W64, RDX, RCX, NO_INDEX, <int32_t><intptr_t>&entry.key)
    found.jumps[1] = jump_if(e, IF_NOT_EQUAL, miss)
    return found


cdef void find_entry(Emitter* e) noexcept nogil:
    """Let rcx point to what the jump cache may have for the pc in rax."""
    op(e, MOV, W32, RCX, RAX)                           # as jump_cache_index has it
    shift_constant(e, SHR, W32, RCX, JUMP_CACHE_FOLD)
    op(e, XOR, W32, RCX, RAX)
    op_constant(e, AND_CONSTANT, W32, RCX, JUMP_CACHE_ENTRIES - 1 << 1)
    shift_constant(e, SHL, W64, RCX, LOG2_ENTRY - 1)
    op_memory(e, ADD, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).jump_cache.entries))


cdef void look_up_jump_cache(Emitter* e, const uint8_t* miss) noexcept nogil:
    """Go on at the pc in rax, or at `miss` if the jump cache does not have it."""
    find_entry(e)
    compare(e, NULL, miss)
    jump_memory(e, RCX, <int32_t><intptr_t>&(<JumpCacheEntry*>NULL).code)


cdef Miss look_up_to_count(Emitter* e, uint64_t place) noexcept nogil:
    """The same where the edge is to be counted, from the block at this place in the map: at the code's edge entry."""
    cdef Miss miss
    find_entry(e)
    miss = compare(e, NULL, NULL)
    op_memory(e, MOV, W64, RCX, RCX, NO_INDEX, <int32_t><intptr_t>&(<JumpCacheEntry*>NULL).code)
    load_constant(e, RDX, <int64_t>(place >> 1))
    jump_memory(e, RCX, EDGE_ENTRY)
    return miss


cdef void look_up_known(Emitter* e, uint64_t pc, const uint8_t* miss) noexcept nogil:
    """The same with a pc that is known now."""
    cdef JumpCacheEntry* first = NULL
    cdef JumpCacheEntry* entry = first + jump_cache_index(pc)
    op_memory(e, MOV, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).jump_cache.entries))
    compare(e, entry, miss)
    jump_memory(e, RCX, <int32_t><intptr_t>&entry.code)


cdef void emit_look_up_exit(Jit* jit, Emitter* e, bint floats) noexcept nogil:
    jit.stubs.look_up_exit[floats] = here(e)
    op_memory(e, MOV, W64, RAX, RAX, NO_INDEX, <int32_t><intptr_t>&(<Exit*>NULL).pc)
    look_up_jump_cache(e, jit.stubs.exit_at[floats][EXIT_UNKNOWN])


ctypedef int (*Fall)(Cpu* cpu, Uop* uop, int refund) noexcept nogil


cdef uint8_t* emit_fallback_stub(Jit* jit, Emitter* e, bint floats, Fall function) noexcept nogil:
    cdef uint8_t* start = here(e)
    cdef uint8_t* left
    move_registers(jit, e, STORE, floats)
    end_vectors(jit, e)
    op_memory(e, LEA, W64, RDI, RBP, NO_INDEX, -BIAS)
    op(e, MOV, W64, RSI, RAX)
    op_constant(e, SUB_CONSTANT, W64, RSP, STACK_ROOM)
    count(e, &(<Jit*>NULL).statistics.fallbacks)
    load_constant(e, RAX, <int64_t><void*>function)
    call_register(e, RAX)
    op_constant(e, ADD_CONSTANT, W64, RSP, STACK_ROOM)
    op(e, TEST, W32, RAX, RAX)
    left = jump_if(e, IF_NOT_EQUAL, NULL)
    move_registers(jit, e, LOAD, floats)
    ret(e)
    patch(left, e.executable, here(e))
    if jit.switches.jump_cache:
        op_constant(e, CMP_CONSTANT, W32, RAX, RESUME)
        jump_if(e, IF_NOT_EQUAL, jit.stubs.exit_stored[floats])
        op_memory(e, MOV, W64, RSP, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).host_stack))
        move_registers(jit, e, LOAD, floats)
        op_memory(e, MOV, W64, RAX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).state.pc))
        look_up_jump_cache(e, jit.stubs.exit_at[floats][EXIT_UNKNOWN])
    else:
        jump(e, jit.stubs.exit_stored[floats])
    return start


cdef uint8_t* emit_probe_window(Emitter* e, int access, const uint8_t* fill) noexcept nogil:
    """`fill` is what to do for a StoreWindow that has missed the page a second time."""
    cdef uint8_t* start = here(e)
    cdef uint8_t* crosses
    cdef uint8_t* miss
    cdef uint8_t* elsewhere
    cdef uint8_t* first
    push(e, RDX)                                        # with the return address the stack stays aligned
    op(e, MOV, W32, RDX, RAX)
    op_constant(e, AND_CONSTANT, W32, RDX, PAGE_OFFSET)
    op(e, CMP, W32, RDX, RCX)
    crosses = jump_if(e, IF_ABOVE, NULL)
    load_tlb_entry(e, RCX)
    op(e, MOV, W64, RDX, RAX)
    op_constant(e, AND_CONSTANT, W64, RDX, ~PAGE_OFFSET)
    op_memory(e, CMP, W64, RDX, RCX, NO_INDEX, tag_offset(access))
    miss = jump_if(e, IF_NOT_EQUAL, NULL)
    op_memory(e, MOV, W64, RCX, RCX, NO_INDEX, <int32_t><intptr_t>&(<TlbEntry*>NULL).addend)
    op_memory(e, CMP, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).window_addend))
    elsewhere = jump_if(e, IF_NOT_EQUAL, NULL)
    if access == WRITE:
        op_memory(e, MOV, W64, RCX, RSP, NO_INDEX, 0)
        op_memory(e, CMP, W64, RDX, RCX, NO_INDEX, <int32_t><intptr_t>&(<StoreWindow*>NULL).missed)
        op_memory(e, MOV_TO, W64, RDX, RCX, NO_INDEX, <int32_t><intptr_t>&(<StoreWindow*>NULL).missed)
        first = jump_if(e, IF_NOT_EQUAL, NULL)
        call(e, fill)
        patch(first, e.executable, here(e))
        op_memory(e, MOV, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).window_addend))
        op(e, XOR, W32, RAX, RAX)
    patch(crosses, e.executable, here(e))
    patch(miss, e.executable, here(e))
    patch(elsewhere, e.executable, here(e))
    pop(e, RDX)
    ret(e)
    return start


cdef void copy_tag(Emitter* e, int access) noexcept nogil:
    op_memory(e, MOV, W64, RAX, RDX, NO_INDEX, tag_offset(access))
    op_memory(e, MOV_TO, W64, RAX, RCX, NO_INDEX, tag_offset(access))


cdef void emit_refill(Emitter* e, const uint8_t* refill, const uint8_t* found) noexcept nogil:
    """The TLB does not have the page in rax, yet: go to `found` if it does now, or return with the zero flag clear."""
    push(e, RCX)
    push(e, RAX)
    push(e, RDX)                                        # so that the stack stays aligned
    call(e, refill)
    op(e, TEST, W32, RAX, RAX)
    pop(e, RDX)
    pop(e, RAX)
    pop(e, RCX)
    jump_if(e, IF_NOT_EQUAL, found)
    op(e, TEST, W64, RSP, RSP)
    ret(e)


cdef void emit_fill_page_entry(
    Jit* jit, Emitter* e, bint floats, int access, int log2_size, const uint8_t* refill
) noexcept nogil:
    cdef int32_t fills = offset_of(&(<Cpu*>NULL).page_entry_fills)
    cdef uint8_t* crosses
    cdef uint8_t* miss
    cdef uint8_t* again
    cdef uint8_t* looked_at
    cdef uint8_t* full
    cdef uint8_t* filled
    cdef uint8_t* search
    jit.stubs.fill_page_entry[floats][access][log2_size] = here(e)
    op(e, MOV, W32, RDX, RAX)
    op_constant(e, AND_CONSTANT, W32, RDX, PAGE_OFFSET)
    op_constant(e, CMP_CONSTANT, W32, RDX, PAGE_SIZE - (1 << log2_size))
    crosses = jump_if(e, IF_ABOVE, NULL)
    op_constant(e, AND_CONSTANT, W64, RAX, ~PAGE_OFFSET)
    op_memory(e, CMP, W64, RAX, RCX, NO_INDEX, tag_offset(access))
    filled = jump_if(e, IF_EQUAL, NULL)                 # the access was not aligned
    search = here(e)
    load_tlb_entry(e, RDX)
    op_memory(e, CMP, W64, RAX, RDX, NO_INDEX, tag_offset(access))
    miss = jump_if(e, IF_NOT_EQUAL, NULL)
    # Below 0 it is not found, so that `fall_back` looks at the access.
    op_constant_memory(e, SUB_CONSTANT, W32, RBP, offset_of(&(<Cpu*>NULL).strays_left), 1)
    looked_at = jump_if(e, IF_LESS, NULL)
    # Only a page that is missed twice in turn gets the entry: one that serves pointers into several pages would be
    # filled each time.
    op_memory(e, CMP, W64, RAX, RCX, NO_INDEX, <int32_t><intptr_t>&(<PageEntry*>NULL).missed)
    op_memory(e, MOV_TO, W64, RAX, RCX, NO_INDEX, <int32_t><intptr_t>&(<PageEntry*>NULL).missed)
    again = jump_if(e, IF_EQUAL, NULL)
    op_memory(e, MOV, W64, RCX, RDX, NO_INDEX, <int32_t><intptr_t>&(<TlbEntry*>NULL).addend)
    op(e, XOR, W32, RAX, RAX)
    ret(e)
    patch(again, e.executable, here(e))
    copy_tag(e, READ)
    copy_tag(e, WRITE)
    op_memory(e, MOV, W32, RAX, RBP, NO_INDEX, fills)
    op_memory(e, MOV, W64, RDX, RDX, NO_INDEX, <int32_t><intptr_t>&(<TlbEntry*>NULL).addend)
    op_memory(e, MOV_TO, W64, RDX, RCX, NO_INDEX, <int32_t><intptr_t>&(<PageEntry*>NULL).addend)
    op_constant(e, CMP_CONSTANT, W32, RAX, REMEMBERED_ENTRIES)
    full = jump_if(e, IF_NOT_BELOW, NULL)
    op_indexed(e, MOV_TO, W64, RCX, RBP, RAX, 3, offset_of(&(<Cpu*>NULL).filled_page_entries))
    op_constant_memory(e, ADD_CONSTANT, W32, RBP, fills, 1)
    patch(full, e.executable, here(e))
    patch(filled, e.executable, here(e))
    op_memory(e, MOV, W64, RCX, RCX, NO_INDEX, <int32_t><intptr_t>&(<PageEntry*>NULL).addend)
    op(e, XOR, W32, RAX, RAX)
    patch(crosses, e.executable, here(e))
    patch(looked_at, e.executable, here(e))
    ret(e)
    patch(miss, e.executable, here(e))
    emit_refill(e, refill, search)


cdef void emit_search(Emitter* e, int access, uint8_t* crosses, const uint8_t* refill) noexcept nogil:
    """The end of a stub: the addend, if the TLB has the page of the address in rax, or does after a refill. The jump
    at `crosses`, of an access that lies in two pages, returns with the zero flag clear.
    """
    cdef uint8_t* search
    cdef uint8_t* miss
    op_constant(e, AND_CONSTANT, W64, RAX, ~PAGE_OFFSET)
    search = here(e)
    load_tlb_entry(e, RCX)
    op_memory(e, CMP, W64, RAX, RCX, NO_INDEX, tag_offset(access))
    miss = jump_if(e, IF_NOT_EQUAL, NULL)
    op_memory(e, MOV, W64, RCX, RCX, NO_INDEX, <int32_t><intptr_t>&(<TlbEntry*>NULL).addend)
    patch(crosses, e.executable, here(e))
    ret(e)
    patch(miss, e.executable, here(e))
    emit_refill(e, refill, search)


cdef uint8_t* emit_probe_tlb(Emitter* e, int access, const uint8_t* refill) noexcept nogil:
    cdef uint8_t* start = here(e)
    cdef uint8_t* crosses
    op(e, MOV, W32, RDX, RAX)
    op_constant(e, AND_CONSTANT, W32, RDX, PAGE_OFFSET)
    op(e, CMP, W32, RDX, RCX)
    crosses = jump_if(e, IF_ABOVE, NULL)
    emit_search(e, access, crosses, refill)
    return start


cdef uint8_t* emit_find_page(Emitter* e, int access, int log2_size, const uint8_t* refill) noexcept nogil:
    """The address is kept below the stack meanwhile: signals leave these 128 bytes alone, and nothing is pushed before
    it is fetched.
    """
    cdef uint8_t* start = here(e)
    cdef uint8_t* unusual
    cdef uint8_t* crosses
    load_tlb_entry(e, RCX)
    op_memory(e, MOV_TO, W64, RAX, RSP, NO_INDEX, -8)
    op_constant(e, AND_CONSTANT, W64, RAX, ~PAGE_OFFSET | (1 << log2_size) - 1)
    op_memory(e, CMP, W64, RAX, RCX, NO_INDEX, tag_offset(access))
    unusual = jump_if(e, IF_NOT_EQUAL, NULL)
    op_memory(e, MOV, W64, RCX, RCX, NO_INDEX, <int32_t><intptr_t>&(<TlbEntry*>NULL).addend)
    ret(e)
    patch(unusual, e.executable, here(e))               # not aligned, or not in the TLB
    op_memory(e, MOV, W64, RAX, RSP, NO_INDEX, -8)
    op(e, MOV, W32, RCX, RAX)
    op_constant(e, AND_CONSTANT, W32, RCX, PAGE_OFFSET)
    op_constant(e, CMP_CONSTANT, W32, RCX, PAGE_SIZE - (1 << log2_size))
    crosses = jump_if(e, IF_ABOVE, NULL)
    emit_search(e, access, crosses, refill)
    return start


cdef uint8_t* emit_fill_stub(Jit* jit, Emitter* e, bint floats, const void* function) noexcept nogil:
    """Calls a function with the address in rax and what rcx points to. Which registers hold what differs from trace to
    trace, so all but rax, rcx and rdx are kept.
    """
    cdef uint8_t* start = here(e)
    cdef int i, room = STACK_ROOM + (8 * (HOST_FLOATS + 1) if floats else 0)    # the stack stays aligned
    cdef int residents = MAX_RESIDENTS if uses_avx512(jit) else 0, vectors = room
    room += 64 * residents
    for i in range(CALL_CLOBBERED_COUNT):
        push(e, CALL_CLOBBERED[i])
    op_constant(e, SUB_CONSTANT, W64, RSP, room)
    for i in range(HOST_FLOATS if floats else 0):
        vex_memory(e, VMOVSD_TO, WIG, FIRST_XMM + i, NO_SOURCE, RSP, NO_INDEX, 8 * i)
    for i in range(residents):
        vex_memory(e, VMOVDQU64 | ZMM | TO_MEMORY, WIG, FIRST_RESIDENT + i, NO_SOURCE, RSP, NO_INDEX, vectors + 64 * i)
    end_vectors(jit, e)
    op_memory(e, LEA, W64, RDI, RBP, NO_INDEX, -BIAS)
    op(e, MOV, W64, RSI, RAX)
    op(e, MOV, W64, RDX, RCX)
    load_constant(e, RAX, <int64_t>function)
    call_register(e, RAX)
    for i in range(HOST_FLOATS if floats else 0):
        vex_memory(e, VMOVSD, WIG, FIRST_XMM + i, NO_SOURCE, RSP, NO_INDEX, 8 * i)
    for i in range(residents):
        vex_memory(e, VMOVDQU64 | ZMM, WIG, FIRST_RESIDENT + i, NO_SOURCE, RSP, NO_INDEX, vectors + 64 * i)
    op_constant(e, ADD_CONSTANT, W64, RSP, room)
    for i in range(CALL_CLOBBERED_COUNT):
        pop(e, CALL_CLOBBERED[CALL_CLOBBERED_COUNT - 1 - i])
    ret(e)
    return start


cdef bint has_vectors(const Machine* machine) noexcept nogil:
    """Harts of a machine have the same extensions."""
    return machine.cpu_count > 0 and machine.cpus[0].has_vectors


cdef void emit_stubs(Jit* jit) noexcept nogil:
    """At the start of code memory."""
    cdef Emitter e
    cdef FrontEnd* front_end = jit.front_end
    cdef uint8_t* filled
    cdef uint8_t* refill
    cdef int floats, access, log2_size
    static_assert(sizeof(TlbEntry) == 1 << LOG2_ENTRY and sizeof(JumpCacheEntry) == 1 << LOG2_ENTRY)
    e.at = jit.memory.writable
    e.executable = jit.memory.executable
    e.by_others = False
    jit.stubs.vectors = emit_vector_constants(&e) if has_vectors(jit.machine) else NULL
    jit.stubs.box = constant(&e, BOX32)
    jit.stubs.of_single.nan = constant(&e, BOX32 | front_end.nan_single)
    jit.stubs.of_double.nan = constant(&e, front_end.nan_double)
    jit.stubs.of_double.sign = constant(&e, 0x8000000000000000ULL)
    jit.stubs.of_double.magnitude = constant(&e, 0x7FFFFFFFFFFFFFFFULL)
    jit.stubs.half = constant(&e, 0x3FE0000000000000ULL)
    jit.stubs.one = constant(&e, 0x3FF0000000000000ULL)
    jit.stubs.of_single.sign = constant(&e, 0x80000000ULL)
    jit.stubs.of_single.magnitude = constant(&e, BOX32 | 0x7FFFFFFFULL)
    for floats in range(2):
        emit_enter(jit, &e, floats)
        emit_exits(jit, &e, floats)
        emit_look_up_exit(jit, &e, floats)
        jit.stubs.fallback[floats] = emit_fallback_stub(jit, &e, floats, fall_back)
        jit.stubs.fall_out[floats] = emit_fallback_stub(jit, &e, floats, fall_out)
        if jit.stubs.vectors != NULL:
            jit.stubs.fall_misfit[floats] = emit_fallback_stub(jit, &e, floats, fall_misfit)
        jit.stubs.fill_store_range[floats] = emit_fill_stub(jit, &e, floats, <void*>fill_store_range)
        filled = emit_fill_stub(jit, &e, floats, <void*>fill_store_window)
        jit.stubs.probe_store_window[floats] = emit_probe_window(&e, WRITE, filled)
        for access in range(2):
            refill = emit_fill_stub(
                jit, &e, floats, <void*>refill_for_store if access == WRITE else <void*>refill_for_load
            )
            for log2_size in range(4):
                emit_fill_page_entry(jit, &e, floats, access, log2_size, refill)
                jit.stubs.find_page[floats][access][log2_size] = emit_find_page(&e, access, log2_size, refill)
            jit.stubs.probe_tlb[floats][access] = emit_probe_tlb(&e, access, refill)
    jit.stubs.probe_load_window = emit_probe_window(&e, READ, NULL)
    jit.stubs.end = e.at
