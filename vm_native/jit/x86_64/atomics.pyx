"""Atomics of 32 and 64 bits, by the host's own. Others are left to the interpreter's functions.

Where harts have threads, those on one line exclude each other, as line_marks.pyx says and vm_native/atomics.pyx does.
"""
from libc.stdint cimport int32_t, intptr_t, uint8_t
from vm_native.ir.block cimport Uop
from vm_native.ir.uop cimport *
from vm_native.jit.x86_64.access cimport emit_page_test, find_line
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.compilation cimport (
    ANY, COLD_FALLBACK, NATURAL, Cold, Emit, Rule, Compilation, apply, cold_jump, define, load_slot, new_cold,
    offset_of, op_slot,
)
from vm_native.line_marks cimport LineMark
from vm_native.machine cimport BASE_REGISTERS, Cpu
from vm_native.memory.tlb cimport READ, WRITE
from vm_native.safepoints cimport TICKET_STEP


cdef inline int bytes_in(Width width) noexcept nogil:
    return 8 if width == W64 else 4


cdef Cold* load_address(Compilation* t, Uop* uop, Width width, int access) noexcept nogil:
    """Leave the host address of the operand in rcx; rax and rdx are free."""
    cdef Cold* cold
    cdef int base = emit_page_test(t, uop, bytes_in(width), access, NATURAL, &cold)
    op_memory(&t.e, LEA, W64, RCX, base, RCX, uop.imm)
    return cold


cdef void go_on_here(Compilation* t, Cold* cold, Cold* busy) noexcept nogil:
    """Behind what is done out of line, too; `busy` is NULL where harts have no threads."""
    cold.done = here(&t.e)
    if busy != NULL:
        busy.done = cold.done


# --- Where harts have threads: the line of the operand, that is of rcx ------------------------------------------------

cdef inline int32_t held_of(const Compilation* t) noexcept nogil:
    return t.marks + <int32_t><intptr_t>&(<LineMark*>NULL).held


cdef Cold* hold_line(Compilation* t, Uop* uop) noexcept nogil:
    """rax says then where its mark is; rdx is lost. While another hart holds it, the interpreter's function waits."""
    cdef Cold* busy = new_cold(t, COLD_FALLBACK, uop)
    find_line(t, RAX, RCX, NO_INDEX, 0)
    load_constant(&t.e, RDX, 1)
    op_memory(&t.e, XCHG, W64, RDX, RAX, NO_INDEX, held_of(t))
    op(&t.e, TEST, W32, RDX, RDX)
    cold_jump(busy, jump_if(&t.e, IF_NOT_EQUAL, NULL))
    return busy


cdef void let_go_of_line(Compilation* t) noexcept nogil:
    """rdx is lost. It says nothing of loads behind it."""
    find_line(t, RDX, RCX, NO_INDEX, 0)
    store_constant(&t.e, 8, RDX, NO_INDEX, held_of(t), 0)


cdef Cold* begin(Compilation* t, Uop* uop) noexcept nogil:
    """Of an operation that stores, or may; NULL: harts have no threads. rax and rdx are lost."""
    cdef Cold* busy
    if not t.marks:
        return NULL
    busy = hold_line(t, uop)
    op_memory(&t.e, MOV_TO, W64, RBP, RAX, NO_INDEX, t.marks)
    return busy


cdef void finish(Compilation* t, Uop* uop, Width width, Cold* cold, Cold* busy) noexcept nogil:
    """rax is what memory held."""
    if busy != NULL:
        let_go_of_line(t)
    if width == W32:
        op(&t.e, MOVSXD, W64, RAX, RAX)
    define(t, uop.rd, RAX)
    go_on_here(t, cold, busy)


cdef void take_ticket(Compilation* t) noexcept nogil:
    """Of the line that rax tells and this hart holds: the one that is there, or one of its own. The line is let go."""
    cdef Emitter* e = &t.e
    cdef uint8_t* there
    op_memory(e, MOV, W64, RDX, RAX, NO_INDEX, t.marks)
    bit_constant(e, BT_CONSTANT, W32, RDX, 0)
    there = jump_if(e, IF_BELOW, NULL)
    op_memory(e, MOV, W64, RDX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).next_ticket))
    op_constant_memory(e, ADD_CONSTANT, W64, RBP, offset_of(&(<Cpu*>NULL).next_ticket), TICKET_STEP)
    op_memory(e, MOV_TO, W64, RDX, RAX, NO_INDEX, t.marks)
    patch(there, e.executable, here(e))
    op_memory(e, MOV_TO, W64, RDX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).ticket))
    # What is loaded from here on is seen behind the ticket; and all before it, as one that releases shall.
    op(e, XOR, W32, RDX, RDX)
    op_memory(e, XCHG, W64, RDX, RAX, NO_INDEX, held_of(t))


cdef void mark_and_let_go(Compilation* t) noexcept nogil:
    """Of the line that this hart holds, where "not equal" says that nothing was stored; it says so afterwards, too."""
    cdef Emitter* e = &t.e
    cdef uint8_t* unmarked
    op(e, SETCC | IF_NOT_EQUAL, W32, 0, RAX)
    op(e, MOVZX8, W32, RAX, RAX)
    find_line(t, RDX, RCX, NO_INDEX, 0)
    op(e, TEST, W32, RAX, RAX)
    unmarked = jump_if(e, IF_NOT_EQUAL, NULL)
    op_memory(e, MOV_TO, W64, RBP, RDX, NO_INDEX, t.marks)
    patch(unmarked, e.executable, here(e))
    store_constant(e, 8, RDX, NO_INDEX, held_of(t), 0)


# --- The operations ---------------------------------------------------------------------------------------------------

cdef void exchange_add(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    cdef Cold* cold = load_address(t, uop, width, WRITE)
    cdef Cold* busy = begin(t, uop)
    load_slot(t, RAX, uop.rs2)
    op_memory(&t.e, opcode, width, RAX, RCX, NO_INDEX, 0)
    finish(t, uop, width, cold, busy)


cdef void modify(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    """AND, OR, XOR, or a conditional move that takes the operand: until nobody else has changed memory meanwhile."""
    cdef Cold* cold = load_address(t, uop, width, WRITE)
    cdef Cold* busy = begin(t, uop)
    cdef uint8_t* again
    op_memory(&t.e, MOV, width, RAX, RCX, NO_INDEX, 0)
    again = here(&t.e)
    op(&t.e, MOV, W64, RDX, RAX)
    if opcode & ~15 == CMOVCC:
        op_slot(t, CMP, width, RAX, uop.rs2)
    op_slot(t, opcode, width, RDX, uop.rs2)
    op_memory(&t.e, LOCK_CMPXCHG, width, RDX, RCX, NO_INDEX, 0)
    jump_if(&t.e, IF_NOT_EQUAL, again)
    finish(t, uop, width, cold, busy)


cdef void order(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    order_stores(&t.e)


cdef void reserve(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    cdef Cold* cold = load_address(t, uop, width, READ)
    cdef Cold* busy = NULL
    if t.marks:
        busy = hold_line(t, uop)
        take_ticket(t)
    op_memory(&t.e, MOV if width == W64 else MOVSXD, W64, RAX, RCX, NO_INDEX, 0)
    op_memory(&t.e, MOV_TO, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).reserved_host))
    op_memory(&t.e, MOV_TO, W64, RAX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).state.reservation.value))
    store_constant(&t.e, 8, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).state.reservation.size), bytes_in(width))
    define(t, uop.rd, RAX)
    go_on_here(t, cold, busy)


cdef void store_conditional(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    """Succeeds if the reserved place still holds the value that was loaded. rax becomes 1 on failure."""
    cdef Cold* cold = load_address(t, uop, width, WRITE)
    cdef Emitter* e = &t.e
    cdef Cold* busy = NULL
    cdef uint8_t* elsewhere
    cdef uint8_t* smaller = NULL
    cdef uint8_t* changed
    op_memory(e, CMP, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).reserved_host))
    elsewhere = jump_if(e, IF_NOT_EQUAL, NULL)
    if width == W64:
        op_constant_memory(e, CMP_CONSTANT, W32, RBP, offset_of(&(<Cpu*>NULL).state.reservation.size), 8)
        smaller = jump_if(e, IF_NOT_EQUAL, NULL)
    if t.marks:
        busy = hold_line(t, uop)
        op_memory(e, MOV, W64, RDX, RAX, NO_INDEX, t.marks)
        op_memory(e, CMP, W64, RDX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).ticket))
        changed = jump_if(e, IF_NOT_EQUAL, NULL)
    load_slot(t, RDX, uop.rs2)
    op_memory(e, MOV, W64, RAX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).state.reservation.value))
    op_memory(e, LOCK_CMPXCHG, width, RDX, RCX, NO_INDEX, 0)
    if t.marks:
        patch(changed, e.executable, here(e))
        mark_and_let_go(t)
    patch(elsewhere, e.executable, here(e))
    if width == W64:
        patch(smaller, e.executable, here(e))
    # Whichever way led here, "not equal" says that nothing was stored.
    op(e, SETCC | IF_NOT_EQUAL, W32, 0, RAX)
    op(e, MOVZX8, W32, RAX, RAX)
    store_constant(e, 8, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).reserved_host), 0)
    define(t, uop.rd, RAX)
    go_on_here(t, cold, busy)


# --- What. A row for each uop: how, with which opcode of the host, how wide -------------------------------------------

cdef Rule[UOP_COUNT] rules


cdef void R(int uop, Emit emit, int host, Width width) noexcept:
    rules[uop].emit, rules[uop].host, rules[uop].width = emit, host, width


R(UOP_ORDER,     order,             ANY,                  W64)
R(UOP_LR_W,      reserve,           ANY,                  W32)
R(UOP_LR_D,      reserve,           ANY,                  W64)
R(UOP_SC_W,      store_conditional, ANY,                  W32)
R(UOP_SC_D,      store_conditional, ANY,                  W64)
R(UOP_AMOSWAP_W, exchange_add,      XCHG,                 W32)
R(UOP_AMOSWAP_D, exchange_add,      XCHG,                 W64)
R(UOP_AMOADD_W,  exchange_add,      LOCK_XADD,            W32)
R(UOP_AMOADD_D,  exchange_add,      LOCK_XADD,            W64)
R(UOP_AMOAND_W,  modify,            AND,                  W32)
R(UOP_AMOAND_D,  modify,            AND,                  W64)
R(UOP_AMOOR_W,   modify,            OR,                   W32)
R(UOP_AMOOR_D,   modify,            OR,                   W64)
R(UOP_AMOXOR_W,  modify,            XOR,                  W32)
R(UOP_AMOXOR_D,  modify,            XOR,                  W64)
R(UOP_AMOMIN_W,  modify,            CMOVCC | IF_GREATER,  W32)
R(UOP_AMOMIN_D,  modify,            CMOVCC | IF_GREATER,  W64)
R(UOP_AMOMAX_W,  modify,            CMOVCC | IF_LESS,     W32)
R(UOP_AMOMAX_D,  modify,            CMOVCC | IF_LESS,     W64)
R(UOP_AMOMINU_W, modify,            CMOVCC | IF_ABOVE,    W32)
R(UOP_AMOMINU_D, modify,            CMOVCC | IF_ABOVE,    W64)
R(UOP_AMOMAXU_W, modify,            CMOVCC | IF_BELOW,    W32)
R(UOP_AMOMAXU_D, modify,            CMOVCC | IF_BELOW,    W64)


cdef bint emit_atomic(Compilation* t, Uop* uop, int opcode) noexcept nogil:
    """Whether the uop is one of these; then it has been emitted."""
    return uop.rs1 < BASE_REGISTERS and apply(&rules[opcode], t, uop)
