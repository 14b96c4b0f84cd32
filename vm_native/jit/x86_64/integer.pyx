"""Integer uops as x86-64 instructions. What is not here is left to the interpreter's function for the uop."""
from libc.stdint cimport int32_t, int64_t, uint8_t
from vm_native.ir.block cimport Uop
from vm_native.ir.uop cimport *
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.compilation cimport (
    ANY, COLD_DIVISION, Cold, Emit, Rule, Compilation, apply, cold_jump, define, define_result, define_word,
    forget, is_narrow, is_word, know_word, load_operand, load_slot, load_word, new_cold, op_slot, read_operand,
    read_slot, read_word, slot_offset, target_of, widen, width_to_compare,
)

# --- How. The functions that the rules name; rd, rs1, rs2 and imm are the uop's ---------------------------------------

cdef void load_immediate(Compilation* t, int slot, int64_t value) noexcept nogil:
    cdef int target = target_of(t, slot, RAX)
    load_constant(&t.e, target, value)
    define(t, slot, target)
    if value == <int32_t>value:
        know_word(t, slot)


cdef void immediate(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    load_immediate(t, uop.rd, uop.imm)


cdef void wide_immediate(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    load_immediate(t, uop.rd, <int64_t>uop[1].handler)


cdef void copy(Compilation* t, int rd, int source) noexcept nogil:
    cdef bint word = is_word(t, source)
    if word and t.general[rd] >= 0:
        define_word(t, rd, read_word(t, source, RAX))
        return
    if t.general[rd] >= 0:
        load_slot(t, t.general[rd], source)
        define(t, rd, t.general[rd])
    else:
        define(t, rd, read_slot(t, source, RAX))
    if word:
        know_word(t, rd)


cdef void move(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    copy(t, uop.rd, uop.rs1)


cdef void two_operands(Compilation* t, Uop* uop, int left, int right, int opcode, Width width) noexcept nogil:
    """rd = left OP right, sign-extended from 32 bits."""
    cdef int target = target_of(t, uop.rd, RAX)
    if t.general[right] == target and t.general[left] != target:
        target = RAX
    load_operand(t, width, target, left)
    op_slot(t, opcode, width, target, right)
    define_result(t, width, uop.rd, target)


cdef void bitwise(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    """Of two words, another."""
    cdef bint words = is_word(t, uop.rs1) and is_word(t, uop.rs2)
    commutative(t, uop, opcode, W32 if words and (is_narrow(t, uop.rs1) or is_narrow(t, uop.rs2)) else W64)
    if words:
        know_word(t, uop.rd)


cdef void binary(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    two_operands(t, uop, uop.rs1, uop.rs2, opcode, width)


cdef void commutative(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    """The operand that is in rd comes first."""
    if t.general[uop.rs2] == target_of(t, uop.rd, RAX):
        two_operands(t, uop, uop.rs2, uop.rs1, opcode, width)
    else:
        two_operands(t, uop, uop.rs1, uop.rs2, opcode, width)


cdef void add(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    cdef int a = t.general[uop.rs1], b = t.general[uop.rs2], zero = t.jit.front_end.zero
    cdef int target = target_of(t, uop.rd, RAX)
    if width == W64 and (uop.rs1 == zero or uop.rs2 == zero):
        copy(t, uop.rd, uop.rs2 if uop.rs1 == zero else uop.rs1)
    elif a < 0 or b < 0 or width == W64 and (a == target or b == target):
        commutative(t, uop, opcode, width)
    elif width == W64:
        widen(t, uop.rs1)
        widen(t, uop.rs2)
        op_indexed(&t.e, LEA, W64, target, a, b, 0, 0)
        define(t, uop.rd, target)
    else:
        op_indexed(&t.e, LEA, W32, target, a, b, 0, 0)
        define_word(t, uop.rd, target)


cdef void add_constant_to_word(Compilation* t, Uop* uop, int target) noexcept nogil:
    cdef int a = t.general[uop.rs1]
    if uop.imm == 0:
        target = read_word(t, uop.rs1, RAX)
    elif a >= 0 and a != target:
        op_memory(&t.e, LEA, W32, target, a, NO_INDEX, uop.imm)
    else:
        load_word(t, target, uop.rs1)
        op_constant(&t.e, ADD_CONSTANT, W32, target, uop.imm)
    define_word(t, uop.rd, target)


cdef void add_constant(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    cdef int a = t.general[uop.rs1]
    cdef int target = target_of(t, uop.rd, RAX)
    cdef bint word = width == W32
    if uop.rs1 == t.jit.front_end.zero:
        load_immediate(t, uop.rd, uop.imm)
        return
    if uop.rd == uop.rs1 and a < 0 and not word and t.floating[uop.rd] < 0:
        op_constant_memory(&t.e, ADD_CONSTANT, W64, RBP, slot_offset(uop.rd), uop.imm)
        forget(t, uop.rd)
        return
    if word:
        add_constant_to_word(t, uop, target)
        return
    widen(t, uop.rs1)
    if a >= 0 and a != target:
        op_memory(&t.e, LEA, W64, target, a, NO_INDEX, uop.imm)
    else:
        load_slot(t, target, uop.rs1)
        op_constant(&t.e, ADD_CONSTANT, W64, target, uop.imm)
    define(t, uop.rd, target)


cdef void with_constant(Compilation* t, Uop* uop, int operation, Width width) noexcept nogil:
    """Bitwise: of a word, another. What AND with a positive constant leaves is one, too."""
    cdef int target = target_of(t, uop.rd, RAX)
    cdef bint cut = operation == AND_CONSTANT and uop.imm >= 0
    cdef bint word = is_word(t, uop.rs1)
    if cut or is_narrow(t, uop.rs1):
        width = W32
    load_operand(t, width, target, uop.rs1)
    if operation == XOR_CONSTANT and uop.imm == -1:
        unary(&t.e, NOT, width, target)
    else:
        op_constant(&t.e, operation, width, target, uop.imm)
    define_result(t, W64 if cut else width, uop.rd, target)
    if cut or word:
        know_word(t, uop.rd)


cdef void shift_by_constant(Compilation* t, Uop* uop, int operation, Width width) noexcept nogil:
    cdef int target = target_of(t, uop.rd, RAX)
    cdef bint positive = width == W32 and operation == SHR and uop.imm      # the sign is 0, and the upper half too
    load_operand(t, W32 if operation == SHL and uop.imm >= 32 else width, target, uop.rs1)
    shift_constant(&t.e, operation, width, target, uop.imm)
    define_result(t, W64 if positive else width, uop.rd, target)
    if positive:
        know_word(t, uop.rd)


cdef void shift_by_register(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    cdef int target = target_of(t, uop.rd, RAX)
    cdef int value = read_operand(t, width, uop.rs1, RAX)
    vex(&t.e, opcode, width, target, read_word(t, uop.rs2, RCX), value)
    define_result(t, width, uop.rd, target)


cdef inline void set_if(Compilation* t, Uop* uop, int condition) noexcept nogil:
    cdef int target = target_of(t, uop.rd, RAX)
    op(&t.e, SETCC | condition, W32, 0, RAX)
    op(&t.e, MOVZX8, W32, target, RAX)
    define(t, uop.rd, target)
    know_word(t, uop.rd)


cdef void set_if_register(Compilation* t, Uop* uop, int condition, Width width) noexcept nogil:
    width = width_to_compare(t, uop.rs1, uop.rs2)
    op_slot(t, CMP, width, read_operand(t, width, uop.rs1, RAX), uop.rs2)
    set_if(t, uop, condition)


cdef void set_if_constant(Compilation* t, Uop* uop, int condition, Width width) noexcept nogil:
    cdef int a
    width = width_to_compare(t, uop.rs1, t.jit.front_end.zero)
    a = read_operand(t, width, uop.rs1, RAX)
    if uop.imm == 0:
        op(&t.e, TEST, width, a, a)
    else:
        op_constant(&t.e, CMP_CONSTANT, width, a, uop.imm)
    set_if(t, uop, condition)


cdef void smaller_or_larger(Compilation* t, Uop* uop, int condition, Width width) noexcept nogil:
    """rs1, but rs2 if the condition holds between them."""
    load_slot(t, RAX, uop.rs1)
    op_slot(t, CMP, W64, RAX, uop.rs2)
    op_slot(t, CMOVCC | condition, W64, RAX, uop.rs2)
    define(t, uop.rd, RAX)


cdef void keep_if(Compilation* t, Uop* uop, int condition, Width width) noexcept nogil:
    """rs1 if the condition holds between rs2 and 0, else 0."""
    cdef int test = read_slot(t, uop.rs2, RCX)
    load_constant(&t.e, RAX, 0)
    op(&t.e, TEST, W64, test, test)
    op_slot(t, CMOVCC | condition, W64, RAX, uop.rs1)
    define(t, uop.rd, RAX)


cdef void shift_and_add(Compilation* t, Uop* uop, int shift, Width width) noexcept nogil:
    """rs2 + (rs1 << shift), of rs1 as many bits as `width` says."""
    cdef int target = target_of(t, uop.rd, RAX)
    cdef int index
    if width == W32:
        op_slot(t, MOV, W32, RAX, uop.rs1)
        index = RAX
    else:
        index = read_slot(t, uop.rs1, RAX)
    op_indexed(&t.e, LEA, W64, target, read_slot(t, uop.rs2, RCX), index, shift, 0)
    define(t, uop.rd, target)


cdef void shift_word(Compilation* t, Uop* uop, int operation, Width width) noexcept nogil:
    """All 64 bits of rs1's lower half, shifted."""
    cdef int target = target_of(t, uop.rd, RAX)
    op_slot(t, MOV, W32, target, uop.rs1)
    if uop.imm:
        shift_constant(&t.e, operation, W64, target, uop.imm)
    define(t, uop.rd, target)


cdef void from_one(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    """rd = OP rs1; a 32-bit form clears the upper half. All of these give words."""
    cdef int target = target_of(t, uop.rd, RAX)
    op_slot(t, opcode, width, target, uop.rs1)
    define(t, uop.rd, target)
    know_word(t, uop.rd)


cdef inline void multiply(Compilation* t, Uop* uop, int operation) noexcept nogil:
    """All 128 bits in rdx and rax."""
    load_slot(t, RAX, uop.rs1)
    unary(&t.e, operation, W64, read_slot(t, uop.rs2, RCX))


cdef void multiply_high(Compilation* t, Uop* uop, int operation, Width width) noexcept nogil:
    multiply(t, uop, operation)
    define(t, uop.rd, RDX)


cdef void multiply_high_mixed(Compilation* t, Uop* uop, int operation, Width width) noexcept nogil:
    """rs1 is signed, rs2 is not: where rs1 is negative, the unsigned product has rs2 too much in its upper half."""
    multiply(t, uop, operation)
    load_slot(t, RAX, uop.rs1)
    shift_constant(&t.e, SAR, W64, RAX, 63)
    op_slot(t, AND, W64, RAX, uop.rs2)
    op(&t.e, SUB, W64, RDX, RAX)
    define(t, uop.rd, RDX)


cdef void divide(Compilation* t, Uop* uop, int operation, Width width, int result) noexcept nogil:
    """Divisors 0 and (signed) -1, where the host would trap, stand out of line."""
    cdef Cold* cold = new_cold(t, COLD_DIVISION, uop)
    cold.result, cold.is_signed, cold.width = result, operation == IDIV, width
    load_operand(t, width, RAX, uop.rs1)
    load_operand(t, width, RCX, uop.rs2)
    if operation == IDIV:
        op_memory(&t.e, LEA, width, RDX, RCX, NO_INDEX, 1)
        op_constant(&t.e, CMP_CONSTANT, width, RDX, 1)
        cold_jump(cold, jump_if(&t.e, IF_NOT_ABOVE, NULL))
        sign_into_rdx(&t.e, width)
    else:
        op(&t.e, TEST, width, RCX, RCX)
        cold_jump(cold, jump_if(&t.e, IF_EQUAL, NULL))
        op(&t.e, XOR, W32, RDX, RDX)
    unary(&t.e, operation, width, RCX)
    cold.done = here(&t.e)
    define_result(t, width, uop.rd, result)


cdef void emit_division(Compilation* t, Cold* cold) noexcept nogil:
    """Out of line: rax by rcx, which is 0 or -1. By 0 the quotient is all ones and the remainder the dividend; the one
    that does not fit is itself, and leaves 0 (unprivileged specification, section 13.2).
    """
    cdef uint8_t* by_zero = NULL
    if cold.is_signed:
        op(&t.e, TEST, cold.width, RCX, RCX)
        by_zero = jump_if(&t.e, IF_EQUAL, NULL)
        if cold.result == RAX:
            unary(&t.e, NEG, cold.width, RAX)
        else:
            op(&t.e, XOR, W32, RDX, RDX)
        jump(&t.e, cold.done)
        patch(by_zero, t.e.executable, here(&t.e))
    if cold.result == RAX:
        load_constant(&t.e, RAX, -1)
    else:
        op(&t.e, MOV, W64, RDX, RAX)
    jump(&t.e, cold.done)


cdef void quotient(Compilation* t, Uop* uop, int operation, Width width) noexcept nogil:
    divide(t, uop, operation, width, RAX)


cdef void remainder(Compilation* t, Uop* uop, int operation, Width width) noexcept nogil:
    divide(t, uop, operation, width, RDX)


cdef void rotate(Compilation* t, Uop* uop, int operation, Width width) noexcept nogil:
    load_slot(t, RCX, uop.rs2)
    load_slot(t, RAX, uop.rs1)
    shift_cl(&t.e, operation, width, RAX)
    define_result(t, width, uop.rd, RAX)


cdef void rotate_by_constant(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    cdef int target = target_of(t, uop.rd, RAX)
    vex_constant(&t.e, RORX, width, target, NO_SOURCE, read_operand(t, width, uop.rs1, RAX), uop.imm)
    define_result(t, width, uop.rd, target)


cdef void and_not(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    cdef int target = target_of(t, uop.rd, RAX)
    cdef int kept = read_slot(t, uop.rs1, RAX)
    vex(&t.e, opcode, W64, target, read_slot(t, uop.rs2, RCX), kept)
    define(t, uop.rd, target)


cdef void inverted(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    """rs1 OP ~rs2."""
    load_slot(t, RAX, uop.rs2)
    unary(&t.e, NOT, W64, RAX)
    op_slot(t, opcode, W64, RAX, uop.rs1)
    define(t, uop.rd, RAX)


cdef void change_bit(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    cdef int bit = read_slot(t, uop.rs2, RCX)
    load_slot(t, RAX, uop.rs1)
    op(&t.e, opcode, W64, bit, RAX)
    define(t, uop.rd, RAX)


cdef void change_constant_bit(Compilation* t, Uop* uop, int operation, Width width) noexcept nogil:
    load_slot(t, RAX, uop.rs1)
    bit_constant(&t.e, operation, W64, RAX, uop.imm)
    define(t, uop.rd, RAX)


cdef void extract_bit(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    cdef int value = read_slot(t, uop.rs1, RAX)
    vex(&t.e, opcode, W64, RAX, read_slot(t, uop.rs2, RCX), value)
    op_constant(&t.e, AND_CONSTANT, W32, RAX, 1)
    define(t, uop.rd, RAX)


cdef void extract_constant_bit(Compilation* t, Uop* uop, int operation, Width width) noexcept nogil:
    load_slot(t, RAX, uop.rs1)
    shift_constant(&t.e, operation, W64, RAX, uop.imm)
    op_constant(&t.e, AND_CONSTANT, W32, RAX, 1)
    define(t, uop.rd, RAX)


cdef void reverse_bytes(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    load_slot(t, RAX, uop.rs1)
    bswap(&t.e, RAX)
    define(t, uop.rd, RAX)


cdef void fill_bytes(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    """orc.b: ones in every byte that is not zero."""
    vex(&t.e, VMOVQ, W64, XMM0, NO_SOURCE, read_slot(t, uop.rs1, RAX))
    vex(&t.e, VXORPS, WIG, XMM1, XMM1, XMM1)
    vex(&t.e, VPCMPEQB, WIG, XMM0, XMM0, XMM1)
    vex(&t.e, VMOVQ_TO, W64, XMM0, NO_SOURCE, RAX)
    unary(&t.e, NOT, W64, RAX)
    define(t, uop.rd, RAX)


# --- What. A row for each uop: how, with which opcode, operation or condition of the host, how wide -------------------

cdef Rule[UOP_COUNT] rules


cdef void R(int uop, Emit emit, int host, Width width=W64) noexcept:
    rules[uop].emit, rules[uop].host, rules[uop].width = emit, host, width


R(UOP_LI,        immediate,            ANY)
R(UOP_WIDE,      wide_immediate,       ANY)
R(UOP_MV,        move,                 ANY)

R(UOP_ADD,       add,                  ADD)
R(UOP_SUB,       binary,               SUB)
R(UOP_SLL,       shift_by_register,    SHLX)
R(UOP_SLT,       set_if_register,      IF_LESS)
R(UOP_SLTU,      set_if_register,      IF_BELOW)
R(UOP_XOR,       bitwise,              XOR)
R(UOP_SRL,       shift_by_register,    SHRX)
R(UOP_SRA,       shift_by_register,    SARX)
R(UOP_OR,        bitwise,              OR)
R(UOP_AND,       bitwise,              AND)
R(UOP_ADDW,      add,                  ADD,           W32)
R(UOP_SUBW,      binary,               SUB,           W32)
R(UOP_SLLW,      shift_by_register,    SHLX,          W32)
R(UOP_SRLW,      shift_by_register,    SHRX,          W32)
R(UOP_SRAW,      shift_by_register,    SARX,          W32)

R(UOP_ADDI,      add_constant,         ANY)
R(UOP_SLTI,      set_if_constant,      IF_LESS)
R(UOP_SLTIU,     set_if_constant,      IF_BELOW)
R(UOP_XORI,      with_constant,        XOR_CONSTANT)
R(UOP_ORI,       with_constant,        OR_CONSTANT)
R(UOP_ANDI,      with_constant,        AND_CONSTANT)
R(UOP_SLLI,      shift_by_constant,    SHL)
R(UOP_SRLI,      shift_by_constant,    SHR)
R(UOP_SRAI,      shift_by_constant,    SAR)
R(UOP_ADDIW,     add_constant,         ANY,           W32)
R(UOP_SLLIW,     shift_by_constant,    SHL,           W32)
R(UOP_SRLIW,     shift_by_constant,    SHR,           W32)
R(UOP_SRAIW,     shift_by_constant,    SAR,           W32)

R(UOP_MUL,       commutative,          IMUL)
R(UOP_MULW,      commutative,          IMUL,          W32)
R(UOP_MULH,      multiply_high,        IMUL_HIGH)
R(UOP_MULHU,     multiply_high,        MUL_HIGH)
R(UOP_MULHSU,    multiply_high_mixed,  MUL_HIGH)
R(UOP_DIV,       quotient,             IDIV)
R(UOP_DIVU,      quotient,             DIV)
R(UOP_DIVW,      quotient,             IDIV,          W32)
R(UOP_DIVUW,     quotient,             DIV,           W32)
R(UOP_REM,       remainder,            IDIV)
R(UOP_REMU,      remainder,            DIV)
R(UOP_REMW,      remainder,            IDIV,          W32)
R(UOP_REMUW,     remainder,            DIV,           W32)

R(UOP_CZERO_EQZ, keep_if,              IF_NOT_EQUAL)
R(UOP_CZERO_NEZ, keep_if,              IF_EQUAL)
R(UOP_ADD_UW,    shift_and_add,        0,             W32)
R(UOP_SH1ADD,    shift_and_add,        1)
R(UOP_SH2ADD,    shift_and_add,        2)
R(UOP_SH3ADD,    shift_and_add,        3)
R(UOP_SH1ADD_UW, shift_and_add,        1,             W32)
R(UOP_SH2ADD_UW, shift_and_add,        2,             W32)
R(UOP_SH3ADD_UW, shift_and_add,        3,             W32)
R(UOP_SLLI_UW,   shift_word,           SHL)

R(UOP_ANDN,      and_not,              ANDN)
R(UOP_ORN,       inverted,             OR)
R(UOP_XNOR,      inverted,             XOR)
R(UOP_CLZ,       from_one,             LZCNT)
R(UOP_CTZ,       from_one,             TZCNT)
R(UOP_CPOP,      from_one,             POPCNT)
R(UOP_CLZW,      from_one,             LZCNT,         W32)
R(UOP_CTZW,      from_one,             TZCNT,         W32)
R(UOP_CPOPW,     from_one,             POPCNT,        W32)
R(UOP_SEXT_B,    from_one,             MOVSX8)
R(UOP_SEXT_H,    from_one,             MOVSX16)
R(UOP_ZEXT_H,    from_one,             MOVZX16,       W32)
R(UOP_MIN,       smaller_or_larger,    IF_GREATER)
R(UOP_MINU,      smaller_or_larger,    IF_ABOVE)
R(UOP_MAX,       smaller_or_larger,    IF_LESS)
R(UOP_MAXU,      smaller_or_larger,    IF_BELOW)
R(UOP_ROL,       rotate,               ROL)
R(UOP_ROR,       rotate,               ROR)
R(UOP_ROLW,      rotate,               ROL,           W32)
R(UOP_RORW,      rotate,               ROR,           W32)
R(UOP_RORI,      rotate_by_constant,   ANY)
R(UOP_RORIW,     rotate_by_constant,   ANY,           W32)
R(UOP_REV8,      reverse_bytes,        ANY)
R(UOP_ORC_B,     fill_bytes,           ANY)

R(UOP_BCLR,      change_bit,           BTR)
R(UOP_BINV,      change_bit,           BTC)
R(UOP_BSET,      change_bit,           BTS)
R(UOP_BEXT,      extract_bit,          SHRX)
R(UOP_BCLRI,     change_constant_bit,  BTR_CONSTANT)
R(UOP_BINVI,     change_constant_bit,  BTC_CONSTANT)
R(UOP_BSETI,     change_constant_bit,  BTS_CONSTANT)
R(UOP_BEXTI,     extract_constant_bit, SHR)


cdef bint only_computes(int opcode) noexcept nogil:
    """Whether this is one of these uops, and its function asks for no more than the uop itself: it may be one that
    stands in no block, so that it can have nothing out of line, as divisions have.
    """
    cdef Emit emit = rules[opcode].emit
    return emit != NULL and emit != quotient and emit != remainder


cdef bint emit_integer(Compilation* t, Uop* uop, int opcode) noexcept nogil:
    """Whether the uop is one of these; then it has been emitted. These load nothing into rcx but slots."""
    cdef bint after_access = t.addend_in_rcx == t.e.at
    if not apply(&rules[opcode], t, uop):
        return False
    if after_access and t.addend_in_rcx != NULL:
        t.addend_in_rcx = t.e.at
    return True
