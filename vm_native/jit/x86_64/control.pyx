"""Through, out of and back into a trace: its entry, branches, exits, and all that stands out of line."""
from libc.stdint cimport int32_t, int64_t, intptr_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from vm_native.ir.block cimport Block, Uop, block_of, info_of
from vm_native.ir.uop cimport *
from vm_native.jit.state cimport (
    EXIT_BUDGET, EXIT_UNBOXED, EXIT_UNKNOWN, FALLEN, NO_EXIT, TAKEN, CountingExit, Exit, Trace,
)
from vm_native.jit.x86_64.access cimport emit_one_by_one
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.compilation cimport (
    BUDGET, COLD_ACCESS, COLD_BUDGET, COLD_DIVISION, COLD_FALLBACK, COLD_FUSED_NAN, COLD_GROUP, COLD_LOOP, COLD_MISFIT,
    COLD_NAN, COLD_OUTSIDE, COLD_PART, COLD_SIDE_EXIT, COLD_TURN, COLD_UNBOXED, COLD_UNKNOWN, COLD_VECTOR_NAN,
    COLD_WINDOW, NATURAL, NO_TURN, STACK_ROOM, UNKNOWN, Cold, ColdKind, Compilation, Edges, Transfer, cold_jump,
    constants_of, define, has_room, jump_if_unaligned, load_slot, load_window_addend, log2_of, may_go_back, new_cold,
    op_slot, range_offset, read_operand, read_slot, swaps_nothing, target_of, widen_all, width_to_compare,
)
from vm_native.jit.x86_64.edges cimport (
    count_edge, count_edge_from_rdx, emit_turn_routines, end_turn, leave_turn, resume_turn, settle_turns,
    store_edge_place, store_edge_place_in_rdx,
)
from vm_native.jit.x86_64.integer cimport emit_division
from vm_native.jit.x86_64.probes cimport store_transfer
from vm_native.jit.x86_64.registers cimport swap_in, swap_out
from vm_native.jit.x86_64.rounding cimport restore_rounding
from vm_native.jit.x86_64.stubs cimport Miss, look_up_jump_cache, look_up_known, look_up_to_count
from vm_native.jit.x86_64.vector_registers cimport load_residents
from vm_native.jit.x86_64.vectors cimport emit_cold_vector
from vm_native.jit.x86_64.window cimport emit_found_by_index, store_window_offset
from vm_native.memory.ram cimport PAGE_SHIFT, PAGE_SIZE
from vm_native.memory.tlb cimport READ, StoreRange
from vm_native.probes.records cimport USUAL_MAP_BITS, place_in_map


cdef enum:
    ALWAYS = -1             # where a condition could stand
    LATER = 0x7FFFFFFF      # where a constant of four bytes will stand


cdef void emit_entry(Compilation* t) noexcept nogil:
    """The registers of this trace, and the one test of the budget: whether it lasts for the whole trace."""
    swap_in(t)
    t.loop = here(&t.e)
    op_constant(&t.e, SUB_CONSTANT, W64, BUDGET, t.steps)
    cold_jump(new_cold(t, COLD_BUDGET, NULL), jump_if(&t.e, IF_LESS, NULL))


cdef void go_on_counted(Compilation* t) noexcept nogil:
    """Behind the probe of the head. Where memory has to say which block that is, it does there."""
    if t.trace.head.in_middle:
        store_edge_place(t, place_in_map(t.trace.head.key.pc, USUAL_MAP_BITS))
    jump(&t.e, t.counted)


cdef void emit_counted_entry(Compilation* t) noexcept nogil:
    """For jumps from other traces that have done all that stands before the block behind the head's probe."""
    if t.edge_map == NULL:
        return
    if swaps_nothing(t) and not t.trace.head.in_middle:
        t.trace.counted = t.counted
        return
    t.trace.counted = here(&t.e)
    swap_in(t)
    go_on_counted(t)


cdef void emit_pointer(Compilation* t, int reg, const void* target) noexcept nogil:
    """To a uop of the trace, or to an exit; the trace keeps where, if it shall be run elsewhere."""
    cdef Trace* trace = t.trace
    cdef uint32_t* pointers
    cdef uint8_t* place = <uint8_t*>load_pointer(&t.e, reg, target)
    if not t.jit.relocatable or trace.pointer_count < 0:
        return
    if trace.pointer_count & trace.pointer_count - 1 == 0:          # there is room up to each power of two
        pointers = <uint32_t*>realloc(trace.pointers, max(2 * trace.pointer_count, 1) * sizeof(uint32_t))
        if pointers == NULL:
            trace.pointer_count = -1
            return
        trace.pointers = pointers
    trace.pointers[trace.pointer_count] = <uint32_t>(place + t.e.executable - trace.start)
    trace.pointer_count += 1


cdef void prepare_fallback(Compilation* t, Uop* uop, int refund, const Edges* edges) noexcept nogil:
    """The function may leave the trace, or ask where it was."""
    settle_turns(t, edges)
    store_edge_place(t, edges.place)
    widen_all(t)
    emit_pointer(t, RAX, uop)
    load_constant(&t.e, RDX, refund)


cdef void emit_fallback(Compilation* t, Uop* uop, int refund, const Edges* edges) noexcept nogil:
    prepare_fallback(t, uop, refund, edges)
    call(&t.e, t.fallback)


cdef void emit_fallback_at_hand(Compilation* t, Uop* uop) noexcept nogil:
    """In line, but for loops that are counted by turns: the routines for that stand behind the trace."""
    cdef Cold* cold
    if t.edges.passed == NO_TURN:
        emit_fallback(t, uop, t.refund, &t.edges)
        return
    cold = new_cold(t, COLD_FALLBACK, uop)
    cold_jump(cold, jump(&t.e, NULL))
    cold.done = here(&t.e)


cdef void emit_fallback_thunk(Compilation* t) noexcept nogil:
    """The interpreter's functions find registers, and leave them, where they are everywhere."""
    if swaps_nothing(t):
        t.fallback, t.fall_out = t.jit.stubs.fallback[t.floats], t.jit.stubs.fall_out[t.floats]
        return
    t.fall_out = here(&t.e)
    swap_out(t)
    jump(&t.e, t.jit.stubs.fall_out[t.floats])
    t.fallback = here(&t.e)
    swap_out(t)
    op_constant(&t.e, SUB_CONSTANT, W64, RSP, STACK_ROOM)
    call(&t.e, t.jit.stubs.fallback[t.floats])
    op_constant(&t.e, ADD_CONSTANT, W64, RSP, STACK_ROOM)
    swap_in(t)
    if t.writes_through:
        load_residents(t)
    ret(&t.e)


cdef inline bint ends_turn(Compilation* t) noexcept nogil:
    return t.edges.passed != NO_TURN and t.transfer.pending


cdef inline bint goes_back(Compilation* t, uint64_t pc) noexcept nogil:
    """Whether a jump to this address, from the last part, goes on at the head at once."""
    return (
        pc == t.trace.head.key.pc and may_go_back(t) and t.refund == 0
        and (ends_turn(t) or not t.transfer.pending and t.edges.place == UNKNOWN)
    )


cdef void prepare_to_go_back(Compilation* t, Block* part) noexcept nogil:
    """In front of a branch of which one way does."""
    if goes_back(t, part.exits[TAKEN].pc) or goes_back(t, part.exits[FALLEN].pc):
        widen_all(t)


cdef void exit_to(Compilation* t, uint8_t* displacement, uint64_t pc) noexcept nogil:
    """Let a jump leave the trace to this address, or go on at its head."""
    cdef bint outside = (pc ^ t.trace.head.key.pc) >> PAGE_SHIFT != 0
    cdef ColdKind kind = COLD_OUTSIDE if outside else COLD_SIDE_EXIT
    cdef Cold* cold
    if pc == t.trace.head.key.pc and may_go_back(t):
        if goes_back(t, pc) and not t.words.narrow:
            if ends_turn(t):
                end_turn(t)
            patch(displacement, t.e.executable, t.next_turn if ends_turn(t) else t.loop)
            return
        kind = COLD_LOOP
    cold = new_cold(t, kind, NULL)
    cold.pc = pc
    cold.transfer = t.transfer
    cold_jump(cold, displacement)
    if kind == COLD_SIDE_EXIT:
        cold.exit = t.trace.exit_count
        t.trace.exits[cold.exit].pc = pc
        t.trace.exits[cold.exit].source = t.trace
        t.trace.exit_count += 1


cdef int emit_comparison(Compilation* t, Uop* uop, int condition) noexcept nogil:
    """Of rs1 with rs2. Gives the condition on which it comes out as this one."""
    cdef int zero = t.jit.front_end.zero
    cdef Width width = width_to_compare(t, uop.rs1, uop.rs2)
    cdef int a
    if uop.rs1 == zero and t.general[uop.rs2] >= 0 and (condition == IF_LESS or condition == IF_NOT_LESS):
        # 0 < b, 0 >= b
        op_constant(&t.e, CMP_CONSTANT, width, read_operand(t, width, uop.rs2, RAX), 0)
        return IF_GREATER if condition == IF_LESS else IF_NOT_GREATER
    a = read_operand(t, width, uop.rs1, RAX)
    if uop.rs2 == zero:
        op(&t.e, TEST, width, a, a)
    else:
        op_slot(t, CMP, width, a, uop.rs2)
    return condition


cdef void define_next(Compilation* t, Block* part, Uop* uop, int scratch) noexcept nogil:
    """rd becomes the address behind the block."""
    cdef int target
    if uop.rd != t.jit.front_end.sink:
        target = target_of(t, uop.rd, scratch)
        load_constant(&t.e, target, <int64_t>part.exits[FALLEN].pc)
        define(t, uop.rd, target)


cdef void emit_look_up(Compilation* t) noexcept nogil:
    """Go on at the pc in rax, by way of the jump cache."""
    cdef uint8_t* miss = t.jit.stubs.exit_at[t.floats][EXIT_UNKNOWN]
    if t.jit.switches.jump_cache:
        look_up_jump_cache(&t.e, miss)
    else:
        jump(&t.e, miss)


cdef void emit_look_up_to_count(Compilation* t) noexcept nogil:
    """The same with an edge that the target counts."""
    cdef Cold* cold = new_cold(t, COLD_UNKNOWN, NULL)
    cdef Miss miss = look_up_to_count(&t.e, t.edges.place)
    cold.transfer = t.transfer
    for jump_there in miss.jumps:
        cold_jump(cold, jump_there)


cdef void emit_look_up_for(Compilation* t, uint64_t pc) noexcept nogil:
    """The same with a pc that is known now."""
    cdef uint8_t* miss = t.jit.stubs.exit_at[t.floats][EXIT_UNKNOWN]
    load_constant(&t.e, RAX, <int64_t>pc)
    if t.jit.switches.jump_cache:
        look_up_known(&t.e, pc, miss)
    else:
        jump(&t.e, miss)


# --- Ends of parts. The functions that the rules name -----------------------------------------------------------------

cdef void branch(Compilation* t, Block* part, Uop* uop, int condition, int next_exit) noexcept nogil:
    if next_exit == NO_EXIT:
        prepare_to_go_back(t, part)
    condition = emit_comparison(t, uop, condition)
    if next_exit == TAKEN:
        exit_to(t, jump_if(&t.e, condition ^ 1, NULL), part.exits[FALLEN].pc)
        return
    exit_to(t, jump_if(&t.e, condition, NULL), part.exits[TAKEN].pc)
    fall(t, part, uop, ALWAYS, next_exit)


cdef void fall(Compilation* t, Block* part, Uop* uop, int condition, int next_exit) noexcept nogil:
    if next_exit == NO_EXIT:
        prepare_to_go_back(t, part)
        exit_to(t, jump(&t.e, NULL), part.exits[FALLEN].pc)


cdef void jump_and_link(Compilation* t, Block* part, Uop* uop, int condition, int next_exit) noexcept nogil:
    define_next(t, part, uop, RAX)
    if next_exit == NO_EXIT:
        prepare_to_go_back(t, part)
        exit_to(t, jump(&t.e, NULL), part.exits[TAKEN].pc)


cdef void jump_indirectly(Compilation* t, Block* part, Uop* uop, int condition, int next_exit) noexcept nogil:
    op_memory(&t.e, LEA, W64, RAX, read_slot(t, uop.rs1, RAX), NO_INDEX, uop.imm)
    op_constant(&t.e, AND_CONSTANT, W64, RAX, ~1)       # bit 0 is cleared: the meaning of the uop, see ir/uops.py
    define_next(t, part, uop, RCX)
    widen_all(t)
    swap_out(t)
    if t.transfer.pending:
        emit_look_up_to_count(t)
    else:
        emit_look_up(t)


cdef void exit_by_call(Compilation* t, Block* part, Uop* uop, int condition, int next_exit) noexcept nogil:
    emit_fallback(t, uop, t.refund, &t.edges)
    trap(&t.e)                                          # the function has left


# --- What. A row for each uop that ends a block: how, and on which condition ------------------------------------------

ctypedef void (*EmitEnd)(Compilation* t, Block* part, Uop* uop, int condition, int next_exit) noexcept nogil

cdef struct EndRule:
    EmitEnd emit            # NULL: ends no block
    int condition

cdef EndRule[UOP_COUNT] rules


cdef void R(int uop, EmitEnd emit, int condition) noexcept:
    rules[uop].emit, rules[uop].condition = emit, condition


R(UOP_BEQ,        branch,          IF_EQUAL)
R(UOP_BNE,        branch,          IF_NOT_EQUAL)
R(UOP_BLT,        branch,          IF_LESS)
R(UOP_BGE,        branch,          IF_NOT_LESS)
R(UOP_BLTU,       branch,          IF_BELOW)
R(UOP_BGEU,       branch,          IF_NOT_BELOW)
R(UOP_JAL,        jump_and_link,   ALWAYS)
R(UOP_JALR,       jump_indirectly, ALWAYS)
R(UOP_FALL,       fall,            ALWAYS)
R(UOP_CALL_EXIT, exit_by_call,           ALWAYS)


cdef bint emit_end(Compilation* t, Block* part, Uop* uop, int opcode, int next_exit) noexcept nogil:
    """Whether the uop ends a part; then it has been emitted, and the trace goes on by this link of the part or ends."""
    cdef const EndRule* rule = &rules[opcode]
    cdef bint after_access = t.addend_in_rcx == t.e.at
    if rule.emit == NULL:
        return False
    rule.emit(t, part, uop, rule.condition, next_exit)
    if after_access and next_exit != NO_EXIT:           # a branch needs no rcx
        t.addend_in_rcx = t.e.at
    return True


# --- Out of line ------------------------------------------------------------------------------------------------------

cdef void emit_range_miss(Compilation* t, Cold* cold) noexcept nogil:
    """The bytes around the address, if they are none of code, are those that the base register's StoreRange has now."""
    cdef Uop* uop = cold.uop
    cdef int base = t.general[uop.rs1]
    cdef int32_t store_range = cold.page_entry_offset
    cdef uint8_t* unaligned = NULL
    op_memory(&t.e, LEA, W64, RAX, base if base >= 0 else RDX, NO_INDEX, uop.imm)
    if cold.alignment == NATURAL:
        unaligned = jump_if_unaligned(&t.e, cold.size)
    op_memory(&t.e, LEA, W64, RCX, RBP, NO_INDEX, store_range)
    call(&t.e, t.jit.stubs.fill_store_range[t.floats])
    if base < 0:
        load_slot(t, RDX, uop.rs1)
    op_memory(&t.e, LEA, W64, RAX, base if base >= 0 else RDX, NO_INDEX, uop.imm)
    op_memory(&t.e, SUB, W64, RAX, RBP, NO_INDEX, store_range + <int32_t><intptr_t>&(<StoreRange*>NULL).start)
    op_memory(&t.e, CMP, W64, RAX, RBP, NO_INDEX, range_offset(store_range, cold.size))
    jump_if(&t.e, IF_BELOW, cold.found)
    if cold.alignment == NATURAL:
        patch(unaligned, t.e.executable, here(&t.e))


cdef void emit_miss(Compilation* t, Cold* cold) noexcept nogil:
    """The base register is where the hot code had it: in rdx, if not in a host register."""
    cdef Uop* uop = cold.uop
    cdef int base = t.general[uop.rs1]
    cdef uint8_t* miss
    cdef uint8_t* unaligned = NULL
    if cold.beside_code:
        emit_range_miss(t, cold)
    elif cold.has_page_entry or cold.alignment != NATURAL:
        op_memory(&t.e, LEA, W64, RAX, base if base >= 0 else RDX, NO_INDEX, cold.low)
        if cold.alignment == NATURAL:
            unaligned = jump_if_unaligned(&t.e, cold.size)
        if cold.has_page_entry:
            op_memory(&t.e, LEA, W64, RCX, RBP, NO_INDEX, cold.page_entry_offset)
            call(&t.e, t.jit.stubs.fill_page_entry[t.floats][cold.access][log2_of(cold.size)])
        else:
            load_constant(&t.e, RCX, PAGE_SIZE - cold.size)
            call(&t.e, t.jit.stubs.probe_tlb[t.floats][cold.access])
        miss = jump_if(&t.e, IF_NOT_EQUAL, NULL)
        if base < 0:
            load_slot(t, RDX, uop.rs1)
        jump(&t.e, cold.found)
        patch(miss, t.e.executable, here(&t.e))
        if cold.alignment == NATURAL:
            patch(unaligned, t.e.executable, here(&t.e))
    emit_fallback(t, uop, cold.refund, &cold.edges)
    resume_turn(t, &cold.edges)
    jump(&t.e, cold.done)


cdef void emit_window_miss(Compilation* t, Cold* cold) noexcept nogil:
    """The base register is where the hot code had it, as in `emit_miss`. What follows finds the addend in rcx."""
    cdef int base = t.general[cold.uop.rs1]
    if cold.indexed:
        op_indexed(&t.e, LEA, W64, base, cold.base, cold.index, cold.shift, 0)
    op_memory(&t.e, LEA, W64, RAX, base if base >= 0 else RDX, NO_INDEX, cold.low)
    load_constant(&t.e, RCX, PAGE_SIZE - cold.size)
    if cold.access == READ:
        call(&t.e, t.jit.stubs.probe_load_window)
    else:
        op_memory(&t.e, LEA, W64, RDX, RBP, NO_INDEX, store_window_offset(t, cold.uop.rs1))
        call(&t.e, t.jit.stubs.probe_store_window[t.floats])
        if base < 0:
            load_slot(t, RDX, cold.uop.rs1)
    if cold.indexed:
        emit_found_by_index(t, cold)
    else:
        jump_if(&t.e, IF_EQUAL, cold.found)
    if cold.alone:
        emit_fallback(t, cold.uop, cold.refund, &cold.edges)
        resume_turn(t, &cold.edges)
        load_window_addend(t)
        jump(&t.e, cold.done)
    else:
        prepare_fallback(t, cold.uop, cold.refund, &cold.edges)
        call(&t.e, t.fall_out)


cdef void emit_unboxed(Compilation* t, Cold* cold) noexcept nogil:
    cdef Block* part = block_of(cold.uop)
    cdef int rest = cold.refund + part.steps - info_of(cold.uop).step - 1
    if cold.rounded:
        restore_rounding(t)
    emit_fallback(t, cold.uop, cold.refund, &cold.edges)
    swap_out(t)
    op_constant(&t.e, ADD_CONSTANT, W64, BUDGET, rest)
    load_constant(&t.e, RAX, <int64_t>(part.key.pc + info_of(cold.uop).pc_offset + info_of(cold.uop).length))
    jump(&t.e, t.jit.stubs.exit_at[t.floats][EXIT_UNBOXED])


cdef void emit_misfit(Compilation* t, Cold* cold) noexcept nogil:
    prepare_fallback(t, cold.uop, cold.refund, &cold.edges)
    swap_out(t)
    call(&t.e, t.jit.stubs.fall_misfit[t.floats])


cdef void give_back(Compilation* t, int steps) noexcept nogil:
    if steps:
        op_constant(&t.e, ADD_CONSTANT, W64, BUDGET, steps)


cdef void store_block_end(Compilation* t, const Cold* cold) noexcept nogil:
    """Let memory say which basic block has ended."""
    store_transfer(t, &cold.transfer)
    store_edge_place(t, cold.edges.place)


cdef void settle(Compilation* t, const Cold* cold) noexcept nogil:
    """Let memory say what whoever comes next asks for."""
    store_block_end(t, cold)
    give_back(t, cold.refund)


cdef uint8_t* pay(Compilation* t, int operation) noexcept nogil:
    """Take steps off the budget, or add them. Where the constant stands of how many: linking puts it there."""
    op_constant(&t.e, operation, W64, BUDGET, LATER)
    return t.e.at - sizeof(int32_t)


cdef void emit_counting_exit(Compilation* t, Cold* cold, CountingExit* counting) noexcept nogil:
    """Behind it comes what is done where the budget does not last."""
    cdef uint8_t* short_of
    counting.start, counting.refund = here(&t.e), cold.refund
    counting.price = pay(t, SUB_CONSTANT)
    short_of = jump_if(&t.e, IF_LESS, NULL)
    count_edge(t, cold.pc, cold.edges.place)
    counting.jump = jump(&t.e, NULL)
    patch(short_of, t.e.executable, here(&t.e))
    counting.price_back = pay(t, ADD_CONSTANT)


cdef void emit_side_exit(Compilation* t, Cold* cold) noexcept nogil:
    cdef Exit* exit = &t.trace.exits[cold.exit]
    cdef uint8_t* start = here(&t.e)
    cdef bint knows_edge = cold.transfer.pending and cold.edges.place != UNKNOWN
    exit.jump = cold.jumps[0]
    leave_turn(t, &cold.edges)
    widen_all(t)
    if not knows_edge:
        settle(t, cold)
        if t.jit.switches.neighbours and t.swap_count and not t.resident_count:
            exit.unswapped = exit.jump if here(&t.e) == start else jump(&t.e, NULL)
            exit.swap_out = here(&t.e)
            patch(exit.unswapped, t.e.executable, exit.swap_out)
    swap_out(t)
    if here(&t.e) != start:
        exit.jump = jump(&t.e, NULL)
    if knows_edge:
        emit_counting_exit(t, cold, &exit.counting)
    exit.unlinked = here(&t.e)
    patch(exit.jump, t.e.executable, exit.unlinked)
    if knows_edge:
        settle(t, cold)
    emit_pointer(t, RAX, exit)
    exit.way_back = jump(&t.e, t.jit.stubs.exit_unlinked[t.floats])


cdef void emit_outside(Compilation* t, Cold* cold) noexcept nogil:
    leave_turn(t, &cold.edges)
    settle(t, cold)
    widen_all(t)
    swap_out(t)
    emit_look_up_for(t, cold.pc)


cdef void emit_unknown(Compilation* t, Cold* cold) noexcept nogil:
    settle(t, cold)
    jump(&t.e, t.jit.stubs.exit_at[t.floats][EXIT_UNKNOWN])


cdef void emit_loop(Compilation* t, Cold* cold) noexcept nogil:
    """To the head; behind its probe where the edge can be counted here."""
    cdef uint8_t* short_of
    leave_turn(t, &cold.edges)
    widen_all(t)
    if not cold.transfer.pending or cold.edges.place == UNKNOWN:
        settle(t, cold)
        jump(&t.e, t.loop)
        return
    op_constant(&t.e, SUB_CONSTANT, W64, BUDGET, t.steps - cold.refund)
    short_of = jump_if(&t.e, IF_LESS, NULL)
    count_edge(t, t.trace.head.key.pc, cold.edges.place)
    go_on_counted(t)
    patch(short_of, t.e.executable, here(&t.e))
    store_block_end(t, cold)
    jump(&t.e, t.spent)


cdef void emit_last_turn(Compilation* t, Cold* cold) noexcept nogil:
    """The turn has been paid for, and is none: the edges are those at the end of the one before."""
    give_back(t, t.steps)
    leave_turn(t, &cold.edges)
    store_block_end(t, cold)
    jump(&t.e, t.unpaid)


cdef void emit_budget_exit(Compilation* t) noexcept nogil:
    t.spent = here(&t.e)
    give_back(t, t.steps)
    t.unpaid = here(&t.e)
    widen_all(t)
    swap_out(t)
    load_constant(&t.e, RAX, <int64_t>t.trace.head.key.pc)
    jump(&t.e, t.jit.stubs.exit_at[t.floats][EXIT_BUDGET])


cdef void emit_one_cold(Compilation* t, Cold* cold) noexcept nogil:
    t.words, t.valid = cold.words, cold.valid
    if cold.kind == COLD_ACCESS:
        emit_miss(t, cold)
    elif cold.kind == COLD_WINDOW:
        emit_window_miss(t, cold)
    elif cold.kind == COLD_GROUP:
        emit_one_by_one(t, cold)
        jump(&t.e, cold.done)
    elif cold.kind == COLD_FALLBACK:
        store_transfer(t, &cold.transfer)
        emit_fallback(t, cold.uop, cold.refund, &cold.edges)
        resume_turn(t, &cold.edges)
        jump(&t.e, cold.done)
    elif cold.kind == COLD_MISFIT:
        emit_misfit(t, cold)
    elif cold.kind in (COLD_PART, COLD_VECTOR_NAN, COLD_FUSED_NAN):
        emit_cold_vector(t, cold)
    elif cold.kind == COLD_UNBOXED:
        emit_unboxed(t, cold)
    elif cold.kind == COLD_NAN:
        vex_literal(&t.e, VMOVAPS, cold.xmm, NO_SOURCE, constants_of(t, cold.precision).nan)
        jump(&t.e, cold.done)
    elif cold.kind == COLD_DIVISION:
        emit_division(t, cold)
    elif cold.kind == COLD_SIDE_EXIT:
        emit_side_exit(t, cold)
    elif cold.kind == COLD_LOOP:
        emit_loop(t, cold)
    elif cold.kind == COLD_UNKNOWN:
        emit_unknown(t, cold)
    elif cold.kind == COLD_TURN:
        emit_last_turn(t, cold)
    elif cold.kind == COLD_OUTSIDE:
        emit_outside(t, cold)
    else:
        emit_budget_exit(t)


cdef void emit_edge_entry(Compilation* t) noexcept nogil:
    """For indirect jumps of other traces; rdx has where the map has their block, halved."""
    cdef Transfer arrival = Transfer(True, 0, 0)
    cdef uint8_t* short_of
    if t.edge_map == NULL:
        return
    t.edge_entry[0] = <uint64_t>here(&t.e)
    swap_in(t)
    op_constant(&t.e, SUB_CONSTANT, W64, BUDGET, t.steps)
    short_of = jump_if(&t.e, IF_LESS, NULL)
    count_edge_from_rdx(t, t.trace.head.key.pc)
    go_on_counted(t)
    patch(short_of, t.e.executable, here(&t.e))
    store_edge_place_in_rdx(t)
    store_transfer(t, &arrival)
    jump(&t.e, t.spent)


cdef bint emit_cold(Compilation* t) noexcept nogil:
    """False if there is no room."""
    cdef Cold* cold
    cdef int i = 0, k
    t.out_of_line = True
    emit_turn_routines(t)
    while i < t.cold_count:             # some add others
        if not has_room(t):
            return False
        cold = &t.cold[i]
        i += 1
        for k in range(cold.jump_count):
            patch(cold.jumps[k], t.e.executable, here(&t.e))
        emit_one_cold(t, cold)
    emit_edge_entry(t)
    return True
