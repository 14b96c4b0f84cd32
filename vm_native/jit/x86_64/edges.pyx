"""Edges in compiled code: how often which basic blocks follow each other, in the map of the one recorder that asks.

An edge between parts of a trace has its counter in the map at a place that is known when the trace is compiled, so that
one instruction counts it. In a short loop each such increment would wait for the one of the turn before, through
memory. So there nothing is counted on the way (`by_turns`): every turn passes the same edges and takes the same steps
off the budget, of which memory has what it was in the first turn, and where the loop is left, in turn T behind the
first k of its edges, these are passed T + 1 times and the others T times. Whatever may look at the map or leave the
trace from inside a turn is called with the map settled like that; if it comes back, the k are taken off again, and the
turn is the first.
"""
from libc.stdint cimport int32_t, uint8_t, uint64_t
from vm_native.ir.block cimport Block
from vm_native.ir.uop cimport UOP_JAL, is_branch
from vm_native.jit.state cimport TAKEN
from vm_native.jit.x86_64.assembler cimport (
    ADD8_TO, ADD_CONSTANT, IF_EQUAL, IF_LESS, IMUL, INC8, MOV, MOV_TO, NO_INDEX, RAX, RBP, RCX, RDX, SHR, SUB,
    SUB_CONSTANT, W32, W64, XOR_CONSTANT, call, here, jump, jump_if, load_constant, op, op_absolute, op_constant,
    op_memory, patch, ret, shift_constant, store_constant,
)
from vm_native.jit.x86_64.compilation cimport (
    BUDGET, COLD_TURN, MAX_TURN_EDGES, NO_TURN, UNKNOWN, Compilation, Edges, cold_jump, may_go_back,
    new_cold, offset_of,
)
from vm_native.machine cimport Cpu
from vm_native.probes.records cimport USUAL_MAP_BITS, place_in_map


cdef inline int32_t place_before(Compilation* t) noexcept nogil:
    """Displacement from rbp of what memory says of the block before."""
    return offset_of(&(<Cpu*>NULL).edges_before) + t.edge_recorder * <int32_t>sizeof(uint64_t)


cdef void store_edge_place(Compilation* t, uint64_t place) noexcept nogil:
    """Let memory say of which basic block the next edge comes."""
    if place != UNKNOWN:
        store_constant(&t.e, 8, RBP, NO_INDEX, place_before(t), <int32_t>(place >> 1))


cdef void store_edge_place_in_rdx(Compilation* t) noexcept nogil:
    op_memory(&t.e, MOV_TO, W64, RDX, RBP, NO_INDEX, place_before(t))


# --- One counter ------------------------------------------------------------------------------------------------------

cdef inline bint is_far(Compilation* t) noexcept nogil:
    """Whether the map is where no instruction can name it; then rcx has it."""
    return <uint64_t>t.edge_map + (1 << USUAL_MAP_BITS) - 1 >> 31 != 0


cdef void load_map(Compilation* t) noexcept nogil:
    if is_far(t):
        op_memory(&t.e, MOV, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).edge_map))


cdef void op_counter(Compilation* t, int opcode, int reg, int32_t place) noexcept nogil:
    """Of a counter, behind `load_map`."""
    if is_far(t):
        op_memory(&t.e, opcode, W32, reg, RCX, NO_INDEX, place)
    else:
        op_absolute(&t.e, opcode, W32, reg, <int32_t><uint64_t>t.edge_map + place)


cdef inline int32_t place_of_edge(uint64_t pc, uint64_t before) noexcept nogil:
    return <int32_t>(place_in_map(pc, USUAL_MAP_BITS) ^ before >> 1)


cdef void count_edge(Compilation* t, uint64_t pc, uint64_t before) noexcept nogil:
    """To the block at pc, from the one at this place in the map, or UNKNOWN."""
    if before != UNKNOWN:
        load_map(t)
        op_counter(t, INC8, 0, place_of_edge(pc, before))
        return
    op_memory(&t.e, MOV, W32, RDX, RBP, NO_INDEX, place_before(t))
    count_edge_from_rdx(t, pc)


cdef void count_edge_from_rdx(Compilation* t, uint64_t pc) noexcept nogil:
    """To the block at pc; rdx has the place of the block before, halved."""
    load_map(t)
    op_constant(&t.e, XOR_CONSTANT, W32, RDX, place_of_edge(pc, 0))
    if is_far(t):
        op_memory(&t.e, INC8, W32, 0, RDX, RCX, 0)
    else:
        op_memory(&t.e, INC8, W32, 0, RDX, NO_INDEX, <int32_t><uint64_t>t.edge_map)


cdef void pass_edge(Compilation* t, uint64_t pc) noexcept nogil:
    """To the block at pc, which is the one at hand from now on."""
    if t.edges.passed == NO_TURN:
        count_edge(t, pc, t.edges.place)
    else:
        t.turn_edges[t.turn_edge_count] = place_of_edge(pc, t.edges.place)
        t.turn_edge_count += 1
        t.edges.passed += 1
    t.edges.place = place_in_map(pc, USUAL_MAP_BITS)


# --- Loops ------------------------------------------------------------------------------------------------------------

cdef bint can_count_by_turns(Compilation* t, Block** parts, int count) noexcept nogil:
    """Whether these parts, of which the last leads back to the head, are such a loop."""
    cdef Block* last = parts[count - 1]
    cdef int ending = last.info[last.uop_count - 1].opcode
    return (
        t.edge_map != NULL and count <= MAX_TURN_EDGES and may_go_back(t) and not parts[0].in_middle
        and (is_branch(ending) or ending == UOP_JAL and last.exits[TAKEN].pc == parts[0].key.pc)
    )


cdef void begin_turns(Compilation* t) noexcept nogil:
    """The first begins here, and has been paid for, as the next ones will be where they begin."""
    cdef int32_t first = offset_of(&(<Cpu*>NULL).first_turn_budget)
    cdef uint8_t* paid
    op_memory(&t.e, MOV_TO, W32, BUDGET, RBP, NO_INDEX, first)
    paid = jump(&t.e, NULL)
    t.next_turn = here(&t.e)
    op_constant(&t.e, SUB_CONSTANT, W64, BUDGET, t.steps)
    t.last_turn = new_cold(t, COLD_TURN, NULL)
    cold_jump(t.last_turn, jump_if(&t.e, IF_LESS, NULL))
    patch(paid, t.e.executable, here(&t.e))
    t.turn_edges[0], t.turn_edge_count = 0, 1           # until `end_turn`
    t.edges.passed = 0


cdef void end_turn(Compilation* t) noexcept nogil:
    """What comes next leads back to the head, by an edge that all such ways have in common."""
    t.turn_edges[0] = place_of_edge(t.trace.head.key.pc, t.edges.place)
    t.last_turn.edges, t.last_turn.transfer = t.edges, t.transfer


cdef void add_to_counters(Compilation* t, int first, int end) noexcept nogil:
    """What al has, to those of some edges of a turn."""
    cdef int i
    for i in range(first, end):
        op_counter(t, ADD8_TO, RAX, t.turn_edges[i])


cdef void divide_by_steps(Compilation* t) noexcept nogil:
    """eax, of which it is known that it is a multiple of the steps of a turn. The quotient, modulo 256, is in al.

    Division by an odd number is, without a remainder, multiplication by its inverse.
    """
    cdef int odd = t.steps, power = 0, inverse = 1
    while odd & 1 == 0:
        odd >>= 1
        power += 1
    while odd * inverse & 0xFF != 1:
        inverse += 2
    if power:
        shift_constant(&t.e, SHR, W32, RAX, power)
    if inverse != 1:
        load_constant(&t.e, RDX, inverse)
        op(&t.e, IMUL, W32, RAX, RDX)


cdef void count_turns(Compilation* t, int passed) noexcept nogil:
    """Count the edges of all turns, and of this one those that are passed."""
    cdef uint8_t* in_first
    op_memory(&t.e, MOV, W32, RAX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).first_turn_budget))
    op(&t.e, SUB, W32, RAX, BUDGET)
    load_map(t)
    in_first = jump_if(&t.e, IF_EQUAL, NULL)
    divide_by_steps(t)
    add_to_counters(t, 0, 1)
    add_to_counters(t, 1 + passed, t.turn_edge_count)
    patch(in_first, t.e.executable, here(&t.e))
    if passed:
        op_constant(&t.e, ADD_CONSTANT, W32, RAX, 1)
    add_to_counters(t, 1, 1 + passed)


cdef void emit_resuming(Compilation* t, int passed) noexcept nogil:
    """A routine that takes back what the other has counted of this turn, and lets it be the first."""
    t.resume_turn[passed] = here(&t.e)
    load_map(t)
    load_constant(&t.e, RAX, -1)
    add_to_counters(t, 1, 1 + passed)
    op_memory(&t.e, MOV_TO, W32, BUDGET, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).first_turn_budget))
    ret(&t.e)


cdef void emit_turn_routines(Compilation* t) noexcept nogil:
    """When all parts have been emitted, for `settle_turns` and `resume_turn` out of line."""
    cdef int passed
    for passed in range(t.turn_edge_count):
        t.settle_turns[passed] = here(&t.e)
        count_turns(t, passed)
        ret(&t.e)
        emit_resuming(t, passed)


cdef void leave_turn(Compilation* t, const Edges* at) noexcept nogil:
    """Before the trace is left, and before the budget is changed."""
    if at.passed != NO_TURN:
        count_turns(t, at.passed)


cdef void settle_turns(Compilation* t, const Edges* at) noexcept nogil:
    """The same by a routine, before whatever may look at the map or leave the trace, and may come back."""
    if at.passed != NO_TURN:
        call(&t.e, t.settle_turns[at.passed])


cdef void resume_turn(Compilation* t, const Edges* at) noexcept nogil:
    """Where the trace goes on after all."""
    if at.passed != NO_TURN:
        call(&t.e, t.resume_turn[at.passed])
