"""Integer uops as x86-64 instructions. What is not here is left to the interpreter's function for the uop."""
from libc.stdint cimport int64_t
from vm_native.ir.block cimport Uop
from vm_native.ir.uop cimport *
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.translation cimport (
    COLD_PERFORM, Cold, Job, cold_jump, load_slot, new_cold, op_slot, read_slot, slot_place, target_of, wrote,
)


cdef enum:
    XMM0 = 0
    XMM1 = 1


cdef void constant(Job* job, int slot, int64_t value) noexcept nogil:
    cdef int target = target_of(job, slot, RAX)
    load_constant(&job.e, target, value)
    wrote(job, slot, target)


cdef void binary(Job* job, Uop* uop, int opcode, bint wide, bint commutes) noexcept nogil:
    """rd = rs1 OP rs2, sign-extended from 32 bits if not wide."""
    cdef int left = uop.rs1, right = uop.rs2, rd
    cdef int target = target_of(job, uop.rd, RAX)
    if commutes and job.general[right] == target:
        left, right = right, left
    rd = target
    if job.general[right] == target and job.general[left] != target:
        target = RAX
    load_slot(job, target, left)
    op_slot(job, opcode, wide, target, right)
    if not wide:
        op(&job.e, MOVSXD, True, rd, target)
        target = rd
    wrote(job, uop.rd, target)


cdef void move(Job* job, int rd, int source) noexcept nogil:
    if job.general[rd] >= 0:
        load_slot(job, job.general[rd], source)
        wrote(job, rd, job.general[rd])
    else:
        wrote(job, rd, read_slot(job, source, RAX))


cdef void add(Job* job, Uop* uop, bint wide) noexcept nogil:
    cdef int a = job.general[uop.rs1], b = job.general[uop.rs2]
    cdef int target = target_of(job, uop.rd, RAX)
    if wide and (uop.rs1 == job.jit.zero or uop.rs2 == job.jit.zero):
        move(job, uop.rd, uop.rs2 if uop.rs1 == job.jit.zero else uop.rs1)
        return
    if a < 0 or b < 0 or wide and (a == target or b == target):
        binary(job, uop, ADD, wide, True)
        return
    if wide:
        op_indexed(&job.e, LEA, True, target, a, b, 0, 0)
    else:
        op_indexed(&job.e, LEA, False, RAX, a, b, 0, 0)
        op(&job.e, MOVSXD, True, target, RAX)
    wrote(job, uop.rd, target)


cdef void add_constant(Job* job, Uop* uop, bint wide) noexcept nogil:
    cdef int a = job.general[uop.rs1]
    cdef int target = target_of(job, uop.rd, RAX)
    if uop.rs1 == job.jit.zero:
        constant(job, uop.rd, uop.imm)
        return
    if uop.rd == uop.rs1 and a < 0 and wide and job.floating[uop.rd] < 0:
        op_constant_memory(&job.e, ADD_CONSTANT, True, RBP, slot_place(uop.rd), uop.imm)
        job.boxed[uop.rd] = False
        return
    if not wide and uop.imm == 0:
        op_slot(job, MOVSXD, True, target, uop.rs1)
    elif a >= 0 and (a != target or not wide):
        op_memory(&job.e, LEA, wide, target if wide else RAX, a, NO_INDEX, uop.imm)
        if not wide:
            op(&job.e, MOVSXD, True, target, RAX)
    else:
        load_slot(job, target, uop.rs1)
        op_constant(&job.e, ADD_CONSTANT, wide, target, uop.imm)
        if not wide:
            op(&job.e, MOVSXD, True, target, target)
    wrote(job, uop.rd, target)


cdef void with_constant(Job* job, Uop* uop, int operation) noexcept nogil:
    cdef int target = target_of(job, uop.rd, RAX)
    load_slot(job, target, uop.rs1)
    if operation == XOR_CONSTANT and uop.imm == -1:
        unary(&job.e, NOT, True, target)
    else:
        op_constant(&job.e, operation, True, target, uop.imm)
    wrote(job, uop.rd, target)


cdef void shift_by_constant(Job* job, Uop* uop, int operation, bint wide) noexcept nogil:
    cdef int target = target_of(job, uop.rd, RAX)
    load_slot(job, target, uop.rs1)
    shift_constant(&job.e, operation, wide, target, uop.imm)
    if not wide and not (operation == SHR and uop.imm):     # the sign is 0 there, and the upper half too
        op(&job.e, MOVSXD, True, target, target)
    wrote(job, uop.rd, target)


cdef void shift_by_register(Job* job, Uop* uop, int opcode, bint wide) noexcept nogil:
    cdef int target = target_of(job, uop.rd, RAX)
    cdef int value = read_slot(job, uop.rs1, RAX)
    vex(&job.e, opcode, wide, target, read_slot(job, uop.rs2, RCX), value)
    if not wide:
        op(&job.e, MOVSXD, True, target, target)
    wrote(job, uop.rd, target)


cdef void set_if(Job* job, Uop* uop, int condition, bint constant) noexcept nogil:
    cdef int a = read_slot(job, uop.rs1, RAX)
    cdef int target = target_of(job, uop.rd, RAX)
    if not constant:
        op_slot(job, CMP, True, a, uop.rs2)
    elif uop.imm == 0:
        op(&job.e, TEST, True, a, a)
    else:
        op_constant(&job.e, CMP_CONSTANT, True, a, uop.imm)
    op(&job.e, SETCC | condition, False, 0, RAX)
    op(&job.e, MOVZX8, False, target, RAX)
    wrote(job, uop.rd, target)


cdef void smaller_or_larger(Job* job, Uop* uop, int condition) noexcept nogil:
    """rs1, but rs2 if the condition holds between them."""
    load_slot(job, RAX, uop.rs1)
    op_slot(job, CMP, True, RAX, uop.rs2)
    op_slot(job, CMOVCC | condition, True, RAX, uop.rs2)
    wrote(job, uop.rd, RAX)


cdef void zero_if(Job* job, Uop* uop, int keep_condition) noexcept nogil:
    cdef int test = read_slot(job, uop.rs2, RCX)
    load_constant(&job.e, RAX, 0)
    op(&job.e, TEST, True, test, test)
    op_slot(job, CMOVCC | keep_condition, True, RAX, uop.rs1)
    wrote(job, uop.rd, RAX)


cdef void shift_and_add(Job* job, Uop* uop, int shift, bint low) noexcept nogil:
    cdef int target = target_of(job, uop.rd, RAX)
    cdef int index
    if low:
        op_slot(job, MOV, False, RAX, uop.rs1)
        index = RAX
    else:
        index = read_slot(job, uop.rs1, RAX)
    op_indexed(&job.e, LEA, True, target, read_slot(job, uop.rs2, RCX), index, shift, 0)
    wrote(job, uop.rd, target)


cdef void from_one(Job* job, Uop* uop, int opcode, bint wide) noexcept nogil:
    """rd = OP rs1; a 32-bit form clears the upper half."""
    cdef int target = target_of(job, uop.rd, RAX)
    op_slot(job, opcode, wide, target, uop.rs1)
    wrote(job, uop.rd, target)


cdef void multiply_high(Job* job, Uop* uop, int operation) noexcept nogil:
    load_slot(job, RAX, uop.rs1)
    unary(&job.e, operation, True, read_slot(job, uop.rs2, RCX))
    wrote(job, uop.rd, RDX)


cdef void divide(Job* job, Uop* uop, bint with_sign, bint wide, bint remainder) noexcept nogil:
    """Divisors 0 and (signed) -1, where the host would trap, are left to the interpreter's function."""
    cdef Cold* cold = new_cold(job, COLD_PERFORM, uop)
    load_slot(job, RAX, uop.rs1)
    load_slot(job, RCX, uop.rs2)
    if with_sign:
        op_memory(&job.e, LEA, wide, RDX, RCX, NO_INDEX, 1)
        op_constant(&job.e, CMP_CONSTANT, wide, RDX, 1)
        cold_jump(cold, jump_if(&job.e, IF_NOT_ABOVE, NULL))
        sign_into_rdx(&job.e, wide)
        unary(&job.e, IDIV, wide, RCX)
    else:
        op(&job.e, TEST, wide, RCX, RCX)
        cold_jump(cold, jump_if(&job.e, IF_EQUAL, NULL))
        op(&job.e, XOR, False, RDX, RDX)
        unary(&job.e, DIV, wide, RCX)
    if not wide:
        op(&job.e, MOVSXD, True, RDX if remainder else RAX, RDX if remainder else RAX)
    wrote(job, uop.rd, RDX if remainder else RAX)
    cold.done = here(&job.e)


cdef void rotate(Job* job, Uop* uop, int operation, bint wide) noexcept nogil:
    load_slot(job, RCX, uop.rs2)
    load_slot(job, RAX, uop.rs1)
    shift_cl(&job.e, operation, wide, RAX)
    if not wide:
        op(&job.e, MOVSXD, True, RAX, RAX)
    wrote(job, uop.rd, RAX)


cdef void rotate_constant(Job* job, Uop* uop, bint wide) noexcept nogil:
    cdef int target = target_of(job, uop.rd, RAX)
    rorx(&job.e, wide, target, read_slot(job, uop.rs1, RAX), uop.imm)
    if not wide:
        op(&job.e, MOVSXD, True, target, target)
    wrote(job, uop.rd, target)


cdef void and_not(Job* job, Uop* uop) noexcept nogil:
    cdef int target = target_of(job, uop.rd, RAX)
    cdef int kept = read_slot(job, uop.rs1, RAX)
    vex(&job.e, ANDN, True, target, read_slot(job, uop.rs2, RCX), kept)
    wrote(job, uop.rd, target)


cdef void inverted(Job* job, Uop* uop, int opcode) noexcept nogil:
    """rs1 OP ~rs2."""
    load_slot(job, RAX, uop.rs2)
    unary(&job.e, NOT, True, RAX)
    op_slot(job, opcode, True, RAX, uop.rs1)
    wrote(job, uop.rd, RAX)


cdef void change_bit(Job* job, Uop* uop, int opcode) noexcept nogil:
    cdef int bit = read_slot(job, uop.rs2, RCX)
    load_slot(job, RAX, uop.rs1)
    op(&job.e, opcode, True, bit, RAX)
    wrote(job, uop.rd, RAX)


cdef void change_constant_bit(Job* job, Uop* uop, int operation) noexcept nogil:
    load_slot(job, RAX, uop.rs1)
    bit_constant(&job.e, operation, True, RAX, uop.imm)
    wrote(job, uop.rd, RAX)


cdef void extract_bit(Job* job, Uop* uop, bint constant) noexcept nogil:
    cdef int value
    if constant:
        load_slot(job, RAX, uop.rs1)
        shift_constant(&job.e, SHR, True, RAX, uop.imm)
    else:
        value = read_slot(job, uop.rs1, RAX)
        vex(&job.e, SHRX, True, RAX, read_slot(job, uop.rs2, RCX), value)
    op_constant(&job.e, AND_CONSTANT, False, RAX, 1)
    wrote(job, uop.rd, RAX)


cdef void fill_bytes(Job* job, Uop* uop) noexcept nogil:
    """orc.b: ones in every byte that is not zero."""
    vex(&job.e, VMOVQ, True, XMM0, 0, read_slot(job, uop.rs1, RAX))
    vex(&job.e, VXORPS, False, XMM1, XMM1, XMM1)
    vex(&job.e, VPCMPEQB, False, XMM0, XMM0, XMM1)
    vex(&job.e, VMOVQ_TO, True, XMM0, 0, RAX)
    unary(&job.e, NOT, True, RAX)
    wrote(job, uop.rd, RAX)


cdef bint emit_integer(Job* job, Uop* uop, int opcode) noexcept nogil:
    """Whether the uop is one of these; then it has been emitted."""
    if opcode == UOP_LI: constant(job, uop.rd, uop.imm)
    elif opcode == UOP_WIDE: constant(job, uop.rd, <int64_t>uop[1].handler)
    elif opcode == UOP_MV: move(job, uop.rd, uop.rs1)
    elif opcode == UOP_ADD: add(job, uop, True)
    elif opcode == UOP_SUB: binary(job, uop, SUB, True, False)
    elif opcode == UOP_SLL: shift_by_register(job, uop, SHLX, True)
    elif opcode == UOP_SLT: set_if(job, uop, IF_LESS, False)
    elif opcode == UOP_SLTU: set_if(job, uop, IF_BELOW, False)
    elif opcode == UOP_XOR: binary(job, uop, XOR, True, True)
    elif opcode == UOP_SRL: shift_by_register(job, uop, SHRX, True)
    elif opcode == UOP_SRA: shift_by_register(job, uop, SARX, True)
    elif opcode == UOP_OR: binary(job, uop, OR, True, True)
    elif opcode == UOP_AND: binary(job, uop, AND, True, True)
    elif opcode == UOP_ADDW: add(job, uop, False)
    elif opcode == UOP_SUBW: binary(job, uop, SUB, False, False)
    elif opcode == UOP_SLLW: shift_by_register(job, uop, SHLX, False)
    elif opcode == UOP_SRLW: shift_by_register(job, uop, SHRX, False)
    elif opcode == UOP_SRAW: shift_by_register(job, uop, SARX, False)
    elif opcode == UOP_ADDI: add_constant(job, uop, True)
    elif opcode == UOP_SLTI: set_if(job, uop, IF_LESS, True)
    elif opcode == UOP_SLTIU: set_if(job, uop, IF_BELOW, True)
    elif opcode == UOP_XORI: with_constant(job, uop, XOR_CONSTANT)
    elif opcode == UOP_ORI: with_constant(job, uop, OR_CONSTANT)
    elif opcode == UOP_ANDI: with_constant(job, uop, AND_CONSTANT)
    elif opcode == UOP_SLLI: shift_by_constant(job, uop, SHL, True)
    elif opcode == UOP_SRLI: shift_by_constant(job, uop, SHR, True)
    elif opcode == UOP_SRAI: shift_by_constant(job, uop, SAR, True)
    elif opcode == UOP_ADDIW: add_constant(job, uop, False)
    elif opcode == UOP_SLLIW: shift_by_constant(job, uop, SHL, False)
    elif opcode == UOP_SRLIW: shift_by_constant(job, uop, SHR, False)
    elif opcode == UOP_SRAIW: shift_by_constant(job, uop, SAR, False)
    elif opcode == UOP_MUL: binary(job, uop, IMUL, True, True)
    elif opcode == UOP_MULW: binary(job, uop, IMUL, False, True)
    elif opcode == UOP_MULH: multiply_high(job, uop, IMUL_HIGH)
    elif opcode == UOP_MULHU: multiply_high(job, uop, MUL_HIGH)
    elif opcode == UOP_DIV: divide(job, uop, True, True, False)
    elif opcode == UOP_DIVU: divide(job, uop, False, True, False)
    elif opcode == UOP_REM: divide(job, uop, True, True, True)
    elif opcode == UOP_REMU: divide(job, uop, False, True, True)
    elif opcode == UOP_DIVW: divide(job, uop, True, False, False)
    elif opcode == UOP_DIVUW: divide(job, uop, False, False, False)
    elif opcode == UOP_REMW: divide(job, uop, True, False, True)
    elif opcode == UOP_REMUW: divide(job, uop, False, False, True)
    elif opcode == UOP_CZERO_EQZ: zero_if(job, uop, IF_NOT_EQUAL)
    elif opcode == UOP_CZERO_NEZ: zero_if(job, uop, IF_EQUAL)
    elif opcode == UOP_ADD_UW: shift_and_add(job, uop, 0, True)
    elif opcode == UOP_SH1ADD: shift_and_add(job, uop, 1, False)
    elif opcode == UOP_SH2ADD: shift_and_add(job, uop, 2, False)
    elif opcode == UOP_SH3ADD: shift_and_add(job, uop, 3, False)
    elif opcode == UOP_SH1ADD_UW: shift_and_add(job, uop, 1, True)
    elif opcode == UOP_SH2ADD_UW: shift_and_add(job, uop, 2, True)
    elif opcode == UOP_SH3ADD_UW: shift_and_add(job, uop, 3, True)
    elif opcode == UOP_SLLI_UW:
        op_slot(job, MOV, False, RAX, uop.rs1)
        shift_constant(&job.e, SHL, True, RAX, uop.imm)
        wrote(job, uop.rd, RAX)
    elif opcode == UOP_ANDN: and_not(job, uop)
    elif opcode == UOP_ORN: inverted(job, uop, OR)
    elif opcode == UOP_XNOR: inverted(job, uop, XOR)
    elif opcode == UOP_CLZ: from_one(job, uop, LZCNT, True)
    elif opcode == UOP_CTZ: from_one(job, uop, TZCNT, True)
    elif opcode == UOP_CPOP: from_one(job, uop, POPCNT, True)
    elif opcode == UOP_CLZW: from_one(job, uop, LZCNT, False)
    elif opcode == UOP_CTZW: from_one(job, uop, TZCNT, False)
    elif opcode == UOP_CPOPW: from_one(job, uop, POPCNT, False)
    elif opcode == UOP_SEXT_B: from_one(job, uop, MOVSX8, True)
    elif opcode == UOP_SEXT_H: from_one(job, uop, MOVSX16, True)
    elif opcode == UOP_ZEXT_H: from_one(job, uop, MOVZX16, False)
    elif opcode == UOP_MIN: smaller_or_larger(job, uop, IF_GREATER)
    elif opcode == UOP_MINU: smaller_or_larger(job, uop, IF_ABOVE)
    elif opcode == UOP_MAX: smaller_or_larger(job, uop, IF_LESS)
    elif opcode == UOP_MAXU: smaller_or_larger(job, uop, IF_BELOW)
    elif opcode == UOP_ROL: rotate(job, uop, ROL, True)
    elif opcode == UOP_ROR: rotate(job, uop, ROR, True)
    elif opcode == UOP_ROLW: rotate(job, uop, ROL, False)
    elif opcode == UOP_RORW: rotate(job, uop, ROR, False)
    elif opcode == UOP_RORI: rotate_constant(job, uop, True)
    elif opcode == UOP_RORIW: rotate_constant(job, uop, False)
    elif opcode == UOP_REV8:
        load_slot(job, RAX, uop.rs1)
        bswap(&job.e, RAX)
        wrote(job, uop.rd, RAX)
    elif opcode == UOP_ORC_B: fill_bytes(job, uop)
    elif opcode == UOP_BCLR: change_bit(job, uop, BTR)
    elif opcode == UOP_BINV: change_bit(job, uop, BTC)
    elif opcode == UOP_BSET: change_bit(job, uop, BTS)
    elif opcode == UOP_BEXT: extract_bit(job, uop, False)
    elif opcode == UOP_BCLRI: change_constant_bit(job, uop, BTR_CONSTANT)
    elif opcode == UOP_BINVI: change_constant_bit(job, uop, BTC_CONSTANT)
    elif opcode == UOP_BSETI: change_constant_bit(job, uop, BTS_CONSTANT)
    elif opcode == UOP_BEXTI: extract_bit(job, uop, True)
    elif opcode == UOP_NOTHING: pass
    else:
        return False
    return True
