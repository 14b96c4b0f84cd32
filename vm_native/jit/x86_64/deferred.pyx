"""Integer uops that are emitted when somebody needs their results: the next uop may do the same in one, and what nobody
has needed when its register is written again is not done at all. A load may take a sum in at once.

A deferred uop reads what its operand's register holds. So it is emitted before that is written, which happens when the
uop that does it is emitted. None waits for another in a circle: what one reads, no other deferred one is to write, but
for the one that it took the place of, which reads the same. Whatever may trap, leave the trace or let others look at
registers finds nothing deferred.
"""
from vm_native.ir.block cimport SECOND_CELL, Block, Uop
from vm_native.ir.uop cimport UOP_ADD, UOP_OR, UOP_XOR
from vm_native.jit.combining cimport Combined, is_constant, may_take, rotate, shift_of_sum, take
from vm_native.jit.x86_64.compilation cimport MAX_DEFERRED, Compilation
from vm_native.jit.x86_64.integer cimport emit_integer, only_computes
from vm_native.jit.x86_64.window cimport emit_indexed_load, forms_address, needs_no_test


cdef int place_of(const Compilation* t, int slot) noexcept nogil:
    """Which of the deferred uops writes this slot; -1: none."""
    cdef int i
    for i in range(t.deferred_count):
        if t.deferred[i].uops[0].rd == slot:
            return i
    return -1


cdef void drop(Compilation* t, int place) noexcept nogil:
    t.deferred_count -= 1
    t.deferred[place] = t.deferred[t.deferred_count]


cdef void forget_deferred(Compilation* t, int slot) noexcept nogil:
    """Nobody has needed the result."""
    cdef int place = place_of(t, slot)
    if place >= 0:
        drop(t, place)


cdef void emit_readers(Compilation* t, int slot) noexcept nogil:
    """What needs the register's value as it is."""
    cdef int i = 0
    while i < t.deferred_count:
        if t.deferred[i].uops[0].rs1 == slot and not is_constant(&t.deferred[i]):
            emit_deferred(t, t.deferred[i].uops[0].rd)
            i = 0                       # others may have gone, too
        else:
            i += 1


cdef void emit_deferred(Compilation* t, int slot) noexcept nogil:
    """Let the register have its value."""
    cdef int place = place_of(t, slot)
    cdef Combined due
    if place >= 0:
        due = t.deferred[place]
        drop(t, place)
        emit_readers(t, slot)
        emit_integer(t, due.uops, due.opcode)


cdef void emit_all_deferred(Compilation* t) noexcept nogil:
    while t.deferred_count:
        emit_deferred(t, t.deferred[0].uops[0].rd)


cdef bint combine(Compilation* t, Combined* due, int operand, int other, const Uop* uop, int opcode) noexcept nogil:
    """Whether one of the deferred uops, which writes this operand, can do that as well; then `due` does both.

    Registers that it reads must not be about to be written by others that are deferred.
    """
    cdef int place = place_of(t, operand), writer
    if place < 0 or place_of(t, other) >= 0:
        return False
    due[0] = t.deferred[place]
    writer = place_of(t, due.uops[0].rs1)
    return (writer < 0 or writer == place or is_constant(due)) and take(due, uop, opcode)


cdef bint combine_both(Compilation* t, Combined* due, const Uop* uop, int opcode) noexcept nogil:
    """The same of a uop that puts together what two of them leave, in bits that the other has cleared."""
    cdef int place = place_of(t, uop.rs1), second = place_of(t, uop.rs2), writer
    if place < 0 or second < 0 or opcode not in (UOP_OR, UOP_XOR, UOP_ADD):
        return False
    due[0] = t.deferred[place]
    writer = place_of(t, due.uops[0].rs1)
    return (writer < 0 or writer == place or writer == second) and rotate(due, &t.deferred[second], uop)


cdef bint combined(Compilation* t, Combined* due, const Uop* uop, int opcode) noexcept nogil:
    return (
        combine(t, due, uop.rs1, uop.rs2, uop, opcode) or combine(t, due, uop.rs2, uop.rs1, uop, opcode)
        or combine_both(t, due, uop, opcode)
    )


cdef void make_way(Compilation* t, const Uop* uop) noexcept nogil:
    """For a uop that reads its operands and writes rd, and does nothing else that could be seen."""
    emit_deferred(t, uop.rs1)
    emit_deferred(t, uop.rs2)
    forget_deferred(t, uop.rd)
    emit_readers(t, uop.rd)


cdef bint emit_with_load(Compilation* t, Block* part, int at, const Combined* due) noexcept nogil:
    """Whether the uop in this cell is a load which could do this sum, too: then both have been done."""
    cdef int shift = shift_of_sum(due)
    if shift < 0 or at == part.uop_count or not forms_address(t, part, at, due.uops):
        return False
    if place_of(t, due.uops[0].rs1) >= 0 or place_of(t, due.uops[0].rs2) >= 0:
        return False
    emit_all_deferred(t)
    emit_indexed_load(t, part, at, due.uops, shift)
    return True


cdef int emit_or_defer(Compilation* t, Block* part, int at) noexcept nogil:
    """How many uops from this cell on have been emitted or deferred; if none, nothing is deferred that the one in this
    cell could disturb.
    """
    cdef Combined due
    cdef Uop* uop = &part.uops[at]
    cdef int opcode = part.info[at].opcode
    if needs_no_test(t, part, at):
        make_way(t, uop)
        return 0
    if not t.jit.switches.combining or not only_computes(opcode):
        emit_all_deferred(t)
        return 0
    if not combined(t, &due, uop, opcode):
        emit_deferred(t, uop.rs1)
        emit_deferred(t, uop.rs2)
        due.opcode, due.uops[0] = opcode, uop[0]
        if at + 1 < part.uop_count and part.info[at + 1].opcode == SECOND_CELL:
            due.uops[1] = uop[1]
    forget_deferred(t, uop.rd)
    if emit_with_load(t, part, at + 1, &due):
        return 2
    if may_take(&due) and t.deferred_count < MAX_DEFERRED and uop.rd != t.jit.front_end.sink:
        t.deferred[t.deferred_count] = due
        t.deferred_count += 1
    else:
        emit_readers(t, uop.rd)
        emit_integer(t, due.uops, due.opcode)
    return 1
