"""Two uops or three as one, if the others only prepare registers for the last: what compilers write where the processor
may lack an instruction, or has none.

Zero and sign extensions are two shifts without Zbb and Zba, a rotation is two and a sum, an element's address is a
shift and an addition, a constant is put together of pieces.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from vm_native.ir.block cimport Uop
from vm_native.ir.uop cimport (
    UOP_ADD, UOP_ADD_UW, UOP_ADDI, UOP_ADDIW, UOP_ANDI, UOP_LI, UOP_RORI, UOP_RORIW, UOP_SEXT_B, UOP_SEXT_H,
    UOP_SH1ADD, UOP_SH1ADD_UW, UOP_SH2ADD, UOP_SH2ADD_UW, UOP_SH3ADD, UOP_SH3ADD_UW, UOP_SLLI, UOP_SLLI_UW, UOP_SLLIW,
    UOP_SRAI, UOP_SRAIW, UOP_SRLI, UOP_SRLIW, UOP_WIDE, UOP_ZEXT_H,
)

# Sums with something that is shifted by 0 to 3, all of it and its lower half alone.
cdef int[4] SUMS = [UOP_ADD, UOP_SH1ADD, UOP_SH2ADD, UOP_SH3ADD]
cdef int[4] SUMS_OF_LOW = [UOP_ADD_UW, UOP_SH1ADD_UW, UOP_SH2ADD_UW, UOP_SH3ADD_UW]


cdef inline bint become(Combined* c, int opcode, int imm) noexcept nogil:
    """The same registers, another operation."""
    c.opcode, c.uops[0].imm = opcode, imm
    return True


cdef inline uint8_t other_operand(const Combined* c, const Uop* second) noexcept nogil:
    return second.rs2 if second.rs1 == c.uops[0].rd else second.rs1


# --- Constants --------------------------------------------------------------------------------------------------------

cdef inline int64_t constant_of(const Combined* c) noexcept nogil:
    return <int64_t>c.uops[1].handler if c.opcode == UOP_WIDE else c.uops[0].imm


cdef bint become_constant(Combined* c, int64_t value) noexcept nogil:
    if value == <int32_t>value:
        return become(c, UOP_LI, <int>value)
    c.uops[1].handler = <void*>value
    return become(c, UOP_WIDE, 0)


cdef bint add_other(Combined* c, const Uop* second) noexcept nogil:
    """A register's value to the constant."""
    cdef int64_t value = constant_of(c)
    if value != <int32_t>value:
        return False
    c.uops[0].rs1 = other_operand(c, second)
    return become(c, UOP_ADDI, <int>value)


cdef bint fold(Combined* c, const Uop* second, int opcode) noexcept nogil:
    cdef uint64_t value = <uint64_t>constant_of(c)
    if opcode == UOP_ADDI:
        return become_constant(c, <int64_t>(value + <uint64_t><int64_t>second.imm))
    if opcode == UOP_ADDIW:
        return become_constant(c, <int32_t>(value + <uint64_t><int64_t>second.imm))
    if opcode == UOP_SLLI:
        return become_constant(c, <int64_t>(value << second.imm))
    return False


# --- Shifts -----------------------------------------------------------------------------------------------------------

cdef bint extend(Combined* c, int bits, bint is_signed) noexcept nogil:
    """The lowest bits alone, sign- or zero-extended."""
    if is_signed:
        if bits == 8 or bits == 16:
            return become(c, UOP_SEXT_B if bits == 8 else UOP_SEXT_H, 0)
        return bits == 32 and become(c, UOP_ADDIW, 0)
    if bits == 16:
        return become(c, UOP_ZEXT_H, 0)
    if bits < 32:
        return become(c, UOP_ANDI, 0x7FFFFFFF >> 31 - bits)
    return bits == 32 and become(c, UOP_SLLI_UW, 0)


cdef bint shift_back(Combined* c, int right, bint is_signed) noexcept nogil:
    """What SLLI has moved to the left."""
    cdef int left = c.uops[0].imm
    if left == right:
        return extend(c, 64 - left, is_signed)
    if left != 32:
        return False
    if right > 32:
        return become(c, UOP_SRAIW if is_signed else UOP_SRLIW, right - 32)
    return not is_signed and become(c, UOP_SLLI_UW, 32 - right)


cdef bint shift_word_back(Combined* c, int right, bint is_signed) noexcept nogil:
    """The same of SLLIW. Fewer bits than a word's, zero-extended, stay what they are if that word is sign-extended."""
    return c.uops[0].imm == right and right > 0 and extend(c, 32 - right, is_signed)


cdef bint rotate(Combined* c, const Combined* second, const Uop* sum) noexcept nogil:
    """Let it do what puts together the two parts of a register that these have shifted apart."""
    cdef bint is_left = c.opcode == UOP_SLLI or c.opcode == UOP_SLLIW
    cdef const Combined* left = c if is_left else second
    cdef const Combined* right = second if is_left else c
    cdef bint whole = left.opcode == UOP_SLLI and right.opcode == UOP_SRLI
    if not whole and not (left.opcode == UOP_SLLIW and right.opcode == UOP_SRLIW):
        return False
    if left.uops[0].rs1 != right.uops[0].rs1 or left.uops[0].imm + right.uops[0].imm != (64 if whole else 32):
        return False
    c.uops[0].rd = sum.rd
    return become(c, UOP_RORI if whole else UOP_RORIW, right.uops[0].imm)


cdef bint add_shifted(Combined* c, const Uop* second, const int* sums) noexcept nogil:
    """To another register."""
    if c.uops[0].imm > 3:
        return False
    c.uops[0].rs2 = other_operand(c, second)
    return become(c, sums[c.uops[0].imm], 0)


# --- Both -------------------------------------------------------------------------------------------------------------

cdef bint take_sum(Combined* c, const Uop* second) noexcept nogil:
    if is_constant(c):
        return add_other(c, second)
    if c.opcode == UOP_SLLI:
        return add_shifted(c, second, SUMS)
    return c.opcode == UOP_SLLI_UW and add_shifted(c, second, SUMS_OF_LOW)


cdef bint take_operation(Combined* c, const Uop* second, int opcode) noexcept nogil:
    if opcode == UOP_ADD:
        return (second.rs1 == c.uops[0].rd) != (second.rs2 == c.uops[0].rd) and take_sum(c, second)
    if second.rs1 != c.uops[0].rd:
        return False
    if is_constant(c):
        return fold(c, second, opcode)
    if c.opcode == UOP_SLLI and (opcode == UOP_SRLI or opcode == UOP_SRAI):
        return shift_back(c, second.imm, opcode == UOP_SRAI)
    if c.opcode == UOP_SLLIW and (opcode == UOP_SRLIW or opcode == UOP_SRAIW):
        return shift_word_back(c, second.imm, opcode == UOP_SRAIW)
    return False


cdef bint take(Combined* c, const Uop* second, int opcode) noexcept nogil:
    """Let it do this uop, which reads what it writes, instead of its own: it writes what that does. Whether it can."""
    if not take_operation(c, second, opcode):
        return False
    c.uops[0].rd = second.rd
    return True


cdef int shift_of_sum(const Combined* c) noexcept nogil:
    """How far rs1 is shifted before rs2 is added, if it is nothing but that; else -1."""
    cdef int shift
    for shift in range(4):
        if c.opcode == SUMS[shift]:
            return shift
    return -1


cdef bint may_take(const Combined* c) noexcept nogil:
    """Whether there are uops that it can do with its own."""
    return (
        is_constant(c) or c.opcode == UOP_SLLI or c.opcode == UOP_SLLIW or c.opcode == UOP_SRLI or c.opcode == UOP_SRLIW
        or c.opcode == UOP_SLLI_UW and c.uops[0].imm <= 3
    )
