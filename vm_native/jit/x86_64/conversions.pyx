"""Floating-point uops that convert, see floating.pyx: to and from integers, and from one precision to another.

A conversion to an integer that the host has no instruction for rounds to an integral number first, without inexact; if
that fits, a second conversion, of the number as it was, raises inexact.
"""
from libc.stdint cimport int64_t, uint8_t
from vm_native.arithmetic.float_rules cimport RDN, RMM, RNE, RTZ, RUP
from vm_native.ir.block cimport Uop
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.compilation cimport (
    COLD_FALLBACK, Cold, Compilation, cold_jump, define, define_float, float_target, load_slot, new_cold,
    op_slot, read_float, read_slot, target_of,
)
from vm_native.jit.x86_64.float_operands cimport (
    check_boxes, define_canonical, define_half, define_half_bits, jump_if_nan, read_half, set_all_ones,
)

cdef enum:
    NO_INEXACT = 8          # in the constant of a VROUNDSD, beside one of
    TO_NEAREST = 0
    DOWN = 1
    UP = 2
    TOWARDS_ZERO = 3
    AS_CONTROL_WORD = 4
    AT_LEAST = 13           # of a VCMPSD
    HALF_BITS = 11          # significant
    SINGLE_BITS = 24
    DOUBLE_BITS = 53
    BELOW_SINGLE = (1 << DOUBLE_BITS - SINGLE_BITS) - 1     # bits of a double that a single does not have

cdef extern from *:
    const int64_t TWO_TO_63 "0x43E0000000000000LL"          # as a double
    const int64_t TWICE_TWO_TO_52 "0x8660000000000000LL"    # the same of 2**52, one bit to the left


# --- To integers ------------------------------------------------------------------------------------------------------

cdef void to_integer(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    """Signed. What does not fit gives the most negative number: perhaps it fits, the interpreter's function knows."""
    cdef Cold* cold
    cdef int target = target_of(t, uop.rd, RAX)
    check_boxes(t, uop, 1, precision)
    cold = new_cold(t, COLD_FALLBACK, uop)
    vex(&t.e, opcode, width, RAX, NO_SOURCE, read_float(t, uop.rs1, XMM0))
    op_constant(&t.e, CMP_CONSTANT, width, RAX, 1)
    cold_jump(cold, jump_if(&t.e, IF_OVERFLOW, NULL))
    if width == W64:
        define(t, uop.rd, RAX)
    else:
        op(&t.e, MOVSXD, W64, target, RAX)
        define(t, uop.rd, target)
    cold.done = here(&t.e)


cdef int read_as_double(Compilation* t, Uop* uop, Cold* cold, Precision precision) noexcept nogil:
    """rs1, in xmm1 if not in a register of its own; `cold` if it is a half that is not boxed."""
    cdef int a
    if precision == HALF:
        read_half(t, cold, uop.rs1, XMM1)
        vex(&t.e, VCVTSS2SD, WIG, XMM1, XMM1, XMM1)
        return XMM1
    check_boxes(t, uop, 1, precision)
    a = read_float(t, uop.rs1, XMM1)
    if precision == DOUBLE:
        return a
    vex(&t.e, VCVTSS2SD, WIG, XMM1, a, a)
    return XMM1


cdef void round_half_away(Compilation* t, int a) noexcept nogil:
    """xmm0 becomes the integral number next to a, of two the larger in magnitude; xmm2 is lost. All steps are exact."""
    vex_literal(&t.e, VANDPS, XMM2, a, t.jit.stubs.of_double.magnitude)
    vex_constant(&t.e, VROUNDSD, WIG, XMM0, XMM2, XMM2, TOWARDS_ZERO | NO_INEXACT)
    vex(&t.e, VSUBSD, WIG, XMM2, XMM2, XMM0)
    vex_literal_constant(&t.e, VCMPSD, XMM2, XMM2, t.jit.stubs.half, AT_LEAST)
    vex_literal(&t.e, VANDPS, XMM2, XMM2, t.jit.stubs.one)
    vex(&t.e, VADDSD, WIG, XMM0, XMM0, XMM2)
    vex_literal(&t.e, VANDPS, XMM2, a, t.jit.stubs.of_double.sign)
    vex(&t.e, VORPS, WIG, XMM0, XMM0, XMM2)


cdef inline int in_constant(int rounding) noexcept nogil:
    """A mode that the host has, or BY_CONTROL_WORD."""
    return (
        TO_NEAREST if rounding == RNE else TOWARDS_ZERO if rounding == RTZ else DOWN if rounding == RDN
        else UP if rounding == RUP else AS_CONTROL_WORD
    )


cdef void round_to_integral(Compilation* t, int a, int rounding) noexcept nogil:
    """xmm0 becomes a double, rounded; xmm2 may be lost. Of a finite number, no flag is raised."""
    if rounding == RMM:
        round_half_away(t, a)
    else:
        vex_constant(&t.e, VROUNDSD, WIG, XMM0, a, a, in_constant(rounding) | NO_INEXACT)


cdef void to_signed(Compilation* t, Uop* uop, int rounding, Precision precision, Width width) noexcept nogil:
    """As to_integer. The number without its fraction is between 0 and the result: it fits if that does."""
    cdef Cold* cold = new_cold(t, COLD_FALLBACK, uop)
    cdef int a = read_as_double(t, uop, cold, precision)
    round_to_integral(t, a, rounding)
    vex(&t.e, VCVTTSD2SI, width, RAX, NO_SOURCE, XMM0)
    op_constant(&t.e, CMP_CONSTANT, width, RAX, 1)
    cold_jump(cold, jump_if(&t.e, IF_OVERFLOW, NULL))
    vex(&t.e, VCVTTSD2SI, width, RCX, NO_SOURCE, a)
    if width == W32:
        op(&t.e, MOVSXD, W64, RAX, RAX)
    define(t, uop.rd, RAX)
    cold.done = here(&t.e)


cdef void to_unsigned(Compilation* t, Uop* uop, int rounding, Precision precision, Width width) noexcept nogil:
    """By way of a signed number of 64 bits. Of those from 2**63 on, which have no fraction, the significand is shifted.
    For what does not fit, or is negative, the interpreter's function is called.
    """
    cdef Cold* cold = new_cold(t, COLD_FALLBACK, uop)
    cdef int a = read_as_double(t, uop, cold, precision)
    cdef uint8_t* signed
    cdef uint8_t* done = NULL
    if width == W64:
        vex(&t.e, VMOVQ_TO, W64, a, NO_SOURCE, RAX)
        load_constant(&t.e, RCX, TWO_TO_63)
        op(&t.e, SUB, W64, RAX, RCX)
        signed = jump_if(&t.e, IF_BELOW, NULL)
        op(&t.e, MOV, W64, RCX, RAX)
        shift_constant(&t.e, SHR, W64, RCX, DOUBLE_BITS - 1)        # a larger exponent, or a sign
        cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))
        bit_constant(&t.e, BTS_CONSTANT, W64, RAX, DOUBLE_BITS - 1)
        shift_constant(&t.e, SHL, W64, RAX, 64 - DOUBLE_BITS)
        done = jump(&t.e, NULL)
        patch(signed, t.e.executable, here(&t.e))
    round_to_integral(t, a, rounding)
    vex(&t.e, VCVTTSD2SI, W64, RAX, NO_SOURCE, XMM0)
    if width == W32:
        op(&t.e, MOV, W64, RCX, RAX)
        shift_constant(&t.e, SHR, W64, RCX, 32)
        cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))
    vex(&t.e, VCVTTSD2SI, W64, RCX, NO_SOURCE, a)
    if width == W32:
        op(&t.e, MOVSXD, W64, RAX, RAX)
    else:
        patch(done, t.e.executable, here(&t.e))
    define(t, uop.rd, RAX)
    cold.done = here(&t.e)


# --- To numbers without a fraction ------------------------------------------------------------------------------------

cdef void integral_half_away(Compilation* t, Uop* uop, Precision precision, bint signals_inexact) noexcept nogil:
    """Where a number may have a fraction; the interpreter's function knows the others, and NaNs."""
    cdef Cold* cold = new_cold(t, COLD_FALLBACK, uop)
    cdef int a = read_as_double(t, uop, cold, precision)
    vex(&t.e, VMOVQ_TO, W64, a, NO_SOURCE, RAX)
    op(&t.e, ADD, W64, RAX, RAX)                                # without the sign
    load_constant(&t.e, RCX, TWICE_TWO_TO_52)
    op(&t.e, CMP, W64, RAX, RCX)
    cold_jump(cold, jump_if(&t.e, IF_NOT_BELOW, NULL))
    round_half_away(t, a)
    if signals_inexact:
        vex(&t.e, VCVTTSD2SI, W64, RCX, NO_SOURCE, a)
    if precision == HALF:
        narrow(t, XMM0)
        define_half(t, uop, XMM0)
    else:
        if precision == SINGLE:
            set_all_ones(t, XMM1)
            vex(&t.e, VCVTSD2SS, WIG, XMM0, XMM1, XMM0)
        define_float(t, uop.rd, XMM0, precision)
    cold.done = here(&t.e)


cdef void round_in_format(
    Compilation* t, Uop* uop, int rounding, Precision precision, bint signals_inexact
) noexcept nogil:
    cdef int opcode = VROUNDSD if precision == DOUBLE else VROUNDSS
    cdef int a, target
    cdef Cold* cold = NULL
    if rounding == RMM:
        integral_half_away(t, uop, precision, signals_inexact)
        return
    if precision == HALF:
        cold = new_cold(t, COLD_FALLBACK, uop)
        read_half(t, cold, uop.rs1, XMM0)
        a = target = XMM0
    else:
        check_boxes(t, uop, 1, precision)
        a = read_float(t, uop.rs1, XMM0)
        target = float_target(t, uop.rd, XMM0)
    vex_constant(&t.e, opcode, WIG, target, a, a, in_constant(rounding) | (0 if signals_inexact else NO_INEXACT))
    if precision == HALF:
        jump_if_nan(t, cold, XMM0, HALF)
        define_half(t, uop, XMM0)
        cold.done = here(&t.e)
    else:
        define_canonical(t, uop, target, precision)


cdef void to_integral(Compilation* t, Uop* uop, int rounding, Precision precision, Width width) noexcept nogil:
    round_in_format(t, uop, rounding, precision, False)


cdef void to_integral_exact(Compilation* t, Uop* uop, int rounding, Precision precision, Width width) noexcept nogil:
    """In the sense of IEEE 754: it signals inexact."""
    round_in_format(t, uop, rounding, precision, True)


# --- From integers ----------------------------------------------------------------------------------------------------

cdef void prepare_from_integer(Compilation* t, Precision precision) noexcept nogil:
    """xmm1 becomes what stands above the result: a box of singles, or the zeros above a half."""
    if precision == HALF:
        vex(&t.e, VXORPS, WIG, XMM1, XMM1, XMM1)
    else:
        set_all_ones(t, XMM1)


cdef void define_from_integer(Compilation* t, Uop* uop, int xmm, Precision precision) noexcept nogil:
    if precision == HALF:
        define_half(t, uop, xmm)
    else:
        define_float(t, uop.rd, xmm, precision)


cdef void from_signed(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int target = XMM0 if precision == HALF else float_target(t, uop.rd, XMM0)
    cdef int value = read_slot(t, uop.rs1, RAX)
    prepare_from_integer(t, precision)
    vex(&t.e, opcode, width, target, XMM1, value)
    define_from_integer(t, uop, target, precision)


cdef void from_unsigned(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    """As a signed number of 64 bits; one that is too large for that is halved, keeping what decides the rounding."""
    cdef int target = XMM0 if precision == HALF else float_target(t, uop.rd, XMM0)
    cdef uint8_t* large
    cdef uint8_t* done
    if width == W32:
        op_slot(t, MOV, W32, RAX, uop.rs1)
    else:
        load_slot(t, RAX, uop.rs1)
    prepare_from_integer(t, precision)
    if width == W32:
        vex(&t.e, opcode, W64, target, XMM1, RAX)
    else:
        op(&t.e, TEST, W64, RAX, RAX)
        large = jump_if(&t.e, IF_NEGATIVE, NULL)
        vex(&t.e, opcode, W64, target, XMM1, RAX)
        done = jump(&t.e, NULL)
        patch(large, t.e.executable, here(&t.e))
        op(&t.e, MOV, W64, RCX, RAX)
        shift_constant(&t.e, SHR, W64, RCX, 1)
        op_constant(&t.e, AND_CONSTANT, W32, RAX, 1)
        op(&t.e, OR, W64, RAX, RCX)
        vex(&t.e, opcode, W64, target, XMM1, RAX)
        vex(&t.e, VADDSD if precision == DOUBLE else VADDSS, WIG, target, target, target)
        patch(done, t.e.executable, here(&t.e))
    define_from_integer(t, uop, target, precision)


cdef uint8_t* jump_if_inexact(Compilation* t, Uop* uop, bint signed, Precision precision, Width width) noexcept nogil:
    """Where the displacement stands of a jump for an integer in rs1 that has perhaps more digits than a number."""
    cdef int digits = HALF_BITS if precision == HALF else SINGLE_BITS if precision == SINGLE else DOUBLE_BITS
    if width == W64:
        load_slot(t, RAX, uop.rs1)
    else:
        op_slot(t, MOVSXD if signed else MOV, W64 if signed else W32, RAX, uop.rs1)
    if signed:
        load_constant(&t.e, RCX, <int64_t>1 << digits)
        op(&t.e, ADD, W64, RAX, RCX)
        digits += 1
    shift_constant(&t.e, SHR, W64, RAX, digits)
    return jump_if(&t.e, IF_NOT_EQUAL, NULL)


# --- Between precisions, and moves between the kinds of registers -----------------------------------------------------

cdef void to_single(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int target = float_target(t, uop.rd, XMM0)
    cdef int a = read_float(t, uop.rs1, XMM0)
    set_all_ones(t, XMM1)
    vex(&t.e, opcode, WIG, target, XMM1, a)
    define_canonical(t, uop, target, SINGLE)


cdef void to_double(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int target = float_target(t, uop.rd, XMM0)
    cdef int a
    check_boxes(t, uop, 1, SINGLE)
    a = read_float(t, uop.rs1, XMM0)
    vex(&t.e, opcode, WIG, target, a, a)
    define_canonical(t, uop, target, DOUBLE)


cdef void half_to_single(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int target = float_target(t, uop.rd, XMM0)
    cdef Cold* cold = new_cold(t, COLD_FALLBACK, uop)
    read_half(t, cold, uop.rs1, target)
    vex_literal(&t.e, VORPS, target, target, t.jit.stubs.box)
    define_canonical(t, uop, target, SINGLE)
    cold.done = here(&t.e)


cdef void half_to_double(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int target = float_target(t, uop.rd, XMM0)
    cdef Cold* cold = new_cold(t, COLD_FALLBACK, uop)
    read_half(t, cold, uop.rs1, XMM0)
    vex(&t.e, opcode, WIG, target, XMM0, XMM0)
    define_canonical(t, uop, target, DOUBLE)
    cold.done = here(&t.e)


cdef void single_to_half(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    """The host converts four: the others are to be zeros."""
    cdef Cold* cold
    cdef int a
    check_boxes(t, uop, 1, SINGLE)
    cold = new_cold(t, COLD_FALLBACK, uop)
    a = read_float(t, uop.rs1, XMM0)
    jump_if_nan(t, cold, a, SINGLE)
    vex(&t.e, VXORPS, WIG, XMM1, XMM1, XMM1)
    vex(&t.e, opcode, WIG, XMM0, XMM1, a)
    define_half(t, uop, XMM0)
    cold.done = here(&t.e)


cdef void narrow(Compilation* t, int xmm) noexcept nogil:
    """A double, which is no NaN, becomes a single in xmm0 that rounds as it does to a half: the bits that a single does
    not have are ORed into its lowest (rounding to odd). Changes rax, rcx and xmm1.
    """
    vex(&t.e, VMOVQ_TO, W64, xmm, NO_SOURCE, RAX)
    op(&t.e, MOV, W32, RCX, RAX)
    op_constant(&t.e, AND_CONSTANT, W32, RCX, BELOW_SINGLE)
    op_constant(&t.e, ADD_CONSTANT, W32, RCX, BELOW_SINGLE)         # carries into the bit above, unless it was 0
    op(&t.e, OR, W64, RAX, RCX)
    op_constant(&t.e, AND_CONSTANT, W64, RAX, ~BELOW_SINGLE)
    vex(&t.e, VMOVQ, W64, XMM0, NO_SOURCE, RAX)
    vex(&t.e, VXORPS, WIG, XMM1, XMM1, XMM1)
    vex(&t.e, VCVTSD2SS, WIG, XMM0, XMM1, XMM0)


cdef void double_to_half(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef Cold* cold = new_cold(t, COLD_FALLBACK, uop)
    cdef int a = read_float(t, uop.rs1, XMM0)
    jump_if_nan(t, cold, a, DOUBLE)
    narrow(t, a)
    define_half(t, uop, XMM0)
    cold.done = here(&t.e)


cdef void move_single_out(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int target = target_of(t, uop.rd, RAX)
    vex(&t.e, opcode, width, read_float(t, uop.rs1, XMM0), NO_SOURCE, RAX)
    op(&t.e, MOVSXD, W64, target, RAX)
    define(t, uop.rd, target)


cdef void move_single_in(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int target = float_target(t, uop.rd, XMM0)
    vex(&t.e, opcode, width, target, NO_SOURCE, read_slot(t, uop.rs1, RAX))
    vex_literal(&t.e, VORPS, target, target, t.jit.stubs.box)
    define_float(t, uop.rd, target, SINGLE)


cdef void move_half_out(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int target = target_of(t, uop.rd, RAX)
    vex(&t.e, opcode, width, read_float(t, uop.rs1, XMM0), NO_SOURCE, RAX)
    op(&t.e, MOVSX16, W64, target, RAX)
    define(t, uop.rd, target)


cdef void move_half_in(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    op_slot(t, MOVZX16, W32, RAX, uop.rs1)
    define_half_bits(t, uop)
