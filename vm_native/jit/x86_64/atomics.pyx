"""Atomics of 32 and 64 bits, by the host's own. Others are left to the interpreter's functions."""
from libc.stdint cimport uint8_t
from vm_native.ir.block cimport Uop
from vm_native.ir.uop cimport *
from vm_native.jit.x86_64.access cimport emit_page_test
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.compilation cimport (
    ANY, NATURAL, Cold, Emit, Rule, Compilation, apply, define, load_slot, offset_of, op_slot,
)
from vm_native.machine cimport BASE_REGISTERS, Cpu
from vm_native.memory.tlb cimport READ, WRITE


cdef inline int bytes_in(Width width) noexcept nogil:
    return 8 if width == W64 else 4


cdef Cold* load_address(Compilation* t, Uop* uop, Width width, int access) noexcept nogil:
    """Leave the host address of the operand in rcx; rax and rdx are free."""
    cdef Cold* cold
    cdef int base = emit_page_test(t, uop, bytes_in(width), access, NATURAL, &cold)
    op_memory(&t.e, LEA, W64, RCX, base, RCX, uop.imm)
    return cold


cdef void finish(Compilation* t, Uop* uop, Width width, Cold* cold) noexcept nogil:
    """rax is what memory held."""
    if width == W32:
        op(&t.e, MOVSXD, W64, RAX, RAX)
    define(t, uop.rd, RAX)
    cold.done = here(&t.e)


cdef void exchange_add(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    cdef Cold* cold = load_address(t, uop, width, WRITE)
    load_slot(t, RAX, uop.rs2)
    op_memory(&t.e, opcode, width, RAX, RCX, NO_INDEX, 0)
    finish(t, uop, width, cold)


cdef void modify(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    """AND, OR, XOR, or a conditional move that takes the operand: until nobody else has changed memory meanwhile."""
    cdef Cold* cold = load_address(t, uop, width, WRITE)
    cdef uint8_t* again
    op_memory(&t.e, MOV, width, RAX, RCX, NO_INDEX, 0)
    again = here(&t.e)
    op(&t.e, MOV, W64, RDX, RAX)
    if opcode & ~15 == CMOVCC:
        op_slot(t, CMP, width, RAX, uop.rs2)
    op_slot(t, opcode, width, RDX, uop.rs2)
    op_memory(&t.e, LOCK_CMPXCHG, width, RDX, RCX, NO_INDEX, 0)
    jump_if(&t.e, IF_NOT_EQUAL, again)
    finish(t, uop, width, cold)


cdef void order(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    order_stores(&t.e)


cdef void reserve(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    cdef Cold* cold = load_address(t, uop, width, READ)
    op_memory(&t.e, MOV if width == W64 else MOVSXD, W64, RAX, RCX, NO_INDEX, 0)
    op_memory(&t.e, MOV_TO, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).reserved_host))
    op_memory(&t.e, MOV_TO, W64, RAX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).state.reservation.value))
    store_constant(&t.e, 8, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).state.reservation.size), bytes_in(width))
    define(t, uop.rd, RAX)
    cold.done = here(&t.e)


cdef void store_conditional(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    """Succeeds if the reserved place still holds the value that was loaded. rax becomes 1 on failure."""
    cdef Cold* cold = load_address(t, uop, width, WRITE)
    cdef Emitter* e = &t.e
    cdef uint8_t* elsewhere
    cdef uint8_t* smaller = NULL
    load_slot(t, RDX, uop.rs2)
    op_memory(e, CMP, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).reserved_host))
    elsewhere = jump_if(e, IF_NOT_EQUAL, NULL)
    if width == W64:
        op_constant_memory(e, CMP_CONSTANT, W32, RBP, offset_of(&(<Cpu*>NULL).state.reservation.size), 8)
        smaller = jump_if(e, IF_NOT_EQUAL, NULL)
    op_memory(e, MOV, W64, RAX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).state.reservation.value))
    op_memory(e, LOCK_CMPXCHG, width, RDX, RCX, NO_INDEX, 0)
    patch(elsewhere, e.executable, here(e))
    if width == W64:
        patch(smaller, e.executable, here(e))
    # Whichever way led here, "not equal" says that nothing was stored.
    op(e, SETCC | IF_NOT_EQUAL, W32, 0, RAX)
    op(e, MOVZX8, W32, RAX, RAX)
    store_constant(e, 8, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).reserved_host), 0)
    define(t, uop.rd, RAX)
    cold.done = here(e)


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
    if t.marks and opcode != UOP_ORDER:
        return False                    # tickets, and who excludes whom, are not for here
    return uop.rs1 < BASE_REGISTERS and apply(&rules[opcode], t, uop)
