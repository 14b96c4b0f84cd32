"""Loads and stores where addresses are physical ones.

There, one comparison says whether an address lies in a window: the LoadWindow is all RAM, as long as none of it is a
special case; a StoreWindow, of which each base register has one, is a stretch of pages that are dirty and hold no code.
The first access through a register looks at once at all of its kind that the trace will make through it, whichever
way branches go, as long as the register is only moved on by constants. The others then need no test. What to add to
addresses is the same for all windows, and stays in rcx until that is wanted for something else. A load that replaces
its base, a sum that only leads there, as into a table, has the host compute that with the access: the base does not
come to be, but out of line.

Nothing that can close a window, or change a register unseen, is done in between. Where a window does not show a page,
the TLB may: a LoadWindow can be closed for the sake of one page, a StoreWindow be elsewhere. Else the interpreter's
function does the access, out of line; and if others count on it, the trace is left. Unless that was an accident, the
block is noted, and compiled anew with accesses that ask about pages.
"""
from libc.stdint cimport int32_t, int64_t, intptr_t, uint8_t
from libc.string cimport memset
from vm_native.ir.block cimport SECOND_CELL, Block, Uop, block_of, info_of
from vm_native.ir.uop cimport UOP_ADDI
from vm_native.jit.x86_64.access cimport Access, announce, asks_window, form_address, transfer
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.compilation cimport (
    COLD_WINDOW, Cold, Compilation, Reach, cold_jump, define, forget, know_word, load_window_addend, log2_of,
    new_cold, offset_of, read_slot, widen,
)
from vm_native.machine cimport BASE_REGISTERS, Cpu
from vm_native.memory.tlb cimport LOAD_SPANS, READ, STORE_SPANS, WRITE, StoreWindow

cdef enum:
    FURTHEST = 64           # uops that are looked through for more accesses

cdef int[2] LOG2_LARGEST = [LOAD_SPANS - 1, STORE_SPANS - 1]       # span, for READ and WRITE


cdef inline bint lies_in(const Reach* a, const Reach* b) noexcept nogil:
    return b.low <= a.low and a.high <= b.high


cdef Reach look_ahead(Compilation* t, int at, const Access* first, bint* alone) noexcept nogil:
    """What the trace loads, or stores, through the base register of this access, seen from what that holds now.

    `alone`: this access is all.
    """
    cdef Block* part = t.parts[t.part]
    cdef Uop* uop = &part.uops[at]
    cdef Access access
    cdef Reach found = Reach(uop.imm, uop.imm + first.size), more
    cdef int base = uop.rs1, number = t.part, looked_at = 0, opcode
    cdef int32_t moved = 0
    alone[0] = True
    while looked_at < FURTHEST:
        looked_at += 1
        if at == part.uop_count:
            number += 1
            if number == t.part_count:
                break
            part, at = t.parts[number], 0
        uop, opcode = &part.uops[at], part.info[at].opcode
        at += 1
        if opcode == SECOND_CELL:
            continue
        if uop.rs1 == base and asks_window(t, part, uop, opcode, &access) and access.kind == first.kind:
            more = Reach(min(found.low, moved + uop.imm), max(found.high, moved + uop.imm + access.size))
            if more.high - more.low > 1 << LOG2_LARGEST[first.kind]:
                break
            found = more
            alone[0] = looked_at == 1
        if uop.rd == base:
            if opcode != UOP_ADDI or uop.rs1 != base:
                break
            moved += uop.imm
    return found


cdef int32_t store_window_offset(const Compilation* t, int base) noexcept nogil:
    """Displacement from rbp of the StoreWindow of a base register."""
    return offset_of(&(<Cpu*>NULL).store_windows) + (t.bank * BASE_REGISTERS + base) * <int32_t>sizeof(StoreWindow)


cdef void subtract_start(Compilation* t, int base, int32_t low) noexcept nogil:
    """Let rax say where in the LoadWindow an address is."""
    cdef int64_t start = <int64_t>t.jit.front_end.window_start
    if low - start == <int32_t>(low - start):
        op_memory(&t.e, LEA, W64, RAX, base, NO_INDEX, <int32_t>(low - start))
    else:
        op_memory(&t.e, LEA, W64, RAX, base, NO_INDEX, low)
        op_constant(&t.e, ADD_CONSTANT, W64, RAX, <int32_t>-start)


cdef Cold* test_window(Compilation* t, Uop* uop, int kind, int base, const Reach* wanted) noexcept nogil:
    """Whether all of that lies in the window; else to the cold part, which it gives."""
    cdef Cold* cold = new_cold(t, COLD_WINDOW, uop)
    cdef int32_t window = store_window_offset(t, uop.rs1)
    cdef StoreWindow* fields = NULL
    cdef int log2_span = log2_of(wanted.high - wanted.low)
    cold.low, cold.size, cold.access = wanted.low, wanted.high - wanted.low, kind
    if kind == READ:
        subtract_start(t, base, wanted.low)
        window = offset_of(&(<Cpu*>NULL).load_windows[t.bank].places[log2_span])
    else:
        form_address(t, base, wanted.low)
        op_memory(&t.e, SUB, W64, RAX, RBP, NO_INDEX, window + <int32_t><intptr_t>&fields.start)
        window += <int32_t><intptr_t>&fields.places[log2_span]
    op_memory(&t.e, CMP, W64, RAX, RBP, NO_INDEX, window)
    cold_jump(cold, jump_if(&t.e, IF_NOT_BELOW, NULL))
    cold.found = here(&t.e)
    return cold


cdef bint needs_no_test(Compilation* t, Block* part, int at) noexcept nogil:
    """Whether the uop in this cell is an access that is known to be in a window: it neither traps nor leaves."""
    cdef Uop* uop = &part.uops[at]
    cdef Access access
    cdef Reach wanted
    if not asks_window(t, part, uop, part.info[at].opcode, &access):
        return False
    wanted = Reach(uop.imm, uop.imm + access.size)
    return lies_in(&wanted, &t.reaches[access.kind][uop.rs1])


cdef inline void know(Compilation* t, int base, int kind, const Reach* reach) noexcept nogil:
    t.reaches[kind][base] = reach[0]
    if kind == WRITE and lies_in(&t.reaches[READ][base], reach):
        t.reaches[READ][base] = reach[0]        # what is dirty and not watched can be loaded, too


cdef bint emit_window_access(Compilation* t, Block* part, int at) noexcept nogil:
    """Whether the uop in this cell is one of these; then it has been emitted."""
    cdef Uop* uop = &part.uops[at]
    cdef Access access
    cdef bint has_addend = t.addend_in_rcx == t.e.at
    cdef int base
    cdef Reach wanted
    cdef Cold* cold = NULL
    cdef bint alone
    if not asks_window(t, part, uop, part.info[at].opcode, &access):
        return False
    base = read_slot(t, uop.rs1, RDX)
    if not needs_no_test(t, part, at):
        wanted = look_ahead(t, at, &access, &alone)
        cold = test_window(t, uop, access.kind, base, &wanted)
        cold.alone = alone
        if not alone:
            know(t, uop.rs1, access.kind, &wanted)
    if not has_addend:
        load_window_addend(t)
    if cold != NULL:
        cold.found = here(&t.e)
    if access.kind == WRITE and access.size > 1:
        announce(t, base, uop.imm + access.size - 1)        # a window says nothing of alignment
    transfer(t, uop, &access, base)
    if cold != NULL:
        cold.done = here(&t.e)
    t.addend_in_rcx = t.e.at
    return True


cdef bint forms_address(Compilation* t, Block* part, int at, const Uop* sum) noexcept nogil:
    """Whether the uop in this cell loads from this sum and takes its place, all in host registers: then it can be one
    operand of the host's.
    """
    cdef Uop* uop = &part.uops[at]
    cdef Access access
    cdef int64_t low = uop.imm - <int64_t>t.jit.front_end.window_start
    return (
        uop.rs1 == sum.rd and uop.rd == sum.rd and t.general[sum.rd] >= 0
        and t.general[sum.rs1] >= 0 and t.general[sum.rs2] >= 0 and low == <int32_t>low
        and asks_window(t, part, uop, part.info[at].opcode, &access) and access.kind == READ
    )


cdef void emit_indexed_load(Compilation* t, Block* part, int at, const Uop* sum, int shift) noexcept nogil:
    """The load in this cell, from rs2 + (rs1 << shift): what it waits for is one instruction less away."""
    cdef Uop* uop = &part.uops[at]
    cdef int base = t.general[sum.rs2], index = t.general[sum.rs1], log2_size
    cdef int32_t low = <int32_t>(uop.imm - <int64_t>t.jit.front_end.window_start)
    cdef bint has_addend = t.addend_in_rcx == t.e.at
    cdef Access access
    cdef Cold* cold
    asks_window(t, part, uop, part.info[at].opcode, &access)
    log2_size = log2_of(access.size)
    widen(t, sum.rs1)
    widen(t, sum.rs2)
    forget(t, uop.rd)
    cold = new_cold(t, COLD_WINDOW, uop)
    cold.low, cold.size, cold.access, cold.alone = uop.imm, access.size, READ, True
    cold.indexed, cold.base, cold.index, cold.shift = True, base, index, shift
    op_indexed(&t.e, LEA, W64, RAX, base, index, shift, low)
    op_memory(&t.e, CMP, W64, RAX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).load_windows[t.bank].places[log2_size]))
    cold_jump(cold, jump_if(&t.e, IF_NOT_BELOW, NULL))
    if not has_addend:
        load_window_addend(t)
    op_indexed(&t.e, LEA, W64, RDX, base, RCX, 0, 0)
    op_indexed(&t.e, access.opcode, access.width, t.general[uop.rd], RDX, index, shift, uop.imm)
    define(t, uop.rd, t.general[uop.rd])
    if access.word:
        know_word(t, uop.rd)
    cold.done = here(&t.e)
    t.addend_in_rcx = t.e.at


cdef void emit_found_by_index(Compilation* t, Cold* cold) noexcept nogil:
    """Out of line: the load itself, if the zero flag is set: its index may be gone."""
    cdef uint8_t* miss = jump_if(&t.e, IF_NOT_EQUAL, NULL)
    cdef Access access
    asks_window(t, block_of(cold.uop), cold.uop, info_of(cold.uop).opcode, &access)
    transfer(t, cold.uop, &access, t.general[cold.uop.rs1])
    t.words = cold.words
    jump(&t.e, cold.done)
    patch(miss, t.e.executable, here(&t.e))


cdef void follow_base(Compilation* t, Uop* uop, int opcode) noexcept nogil:
    """After a uop: what it wrote may point elsewhere, or near something that is known."""
    cdef int kind
    cdef Reach* reach
    if uop.rd >= BASE_REGISTERS:
        return
    for kind in range(2):
        reach = &t.reaches[kind][uop.rd]
        if opcode == UOP_ADDI and uop.rs1 < BASE_REGISTERS:
            reach[0] = t.reaches[kind][uop.rs1]
            reach.low -= uop.imm
            reach.high -= uop.imm
        else:
            reach[0] = Reach(0, 0)


cdef void forget_reaches(Compilation* t) noexcept nogil:
    memset(t.reaches, 0, sizeof(t.reaches))
