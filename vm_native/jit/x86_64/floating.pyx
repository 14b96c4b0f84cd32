"""Floating-point uops as SSE instructions in their AVX forms.

Flags accumulate in the host's own status word, which is the guest's while inside; its rounding mode is the guest's,
too. Where x86 is not what the uops mean, in NaN results, operands that are not boxed, and conversions out of range, the
interpreter's function or a constant out of line gives the result. That a single stands boxed in ones is a rule of the
uops; what a NaN result is, the front end says. In three-operand form the upper half of a single's result is that of its
first source: a boxed source makes a boxed result.
"""
from libc.stdint cimport uint8_t
from vm_native.arithmetic.float_rules cimport RTZ
from vm_native.ir.block cimport Uop
from vm_native.ir.uop cimport *
from vm_native.jit.state cimport FloatConstants
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.compilation cimport (
    ANY, COLD_FALLBACK, Cold, Compilation, cold_jump, constants_of, define, define_float, float_target, new_cold,
    read_float, target_of,
)
from vm_native.jit.x86_64.conversions cimport (
    BY_CONTROL_WORD, double_to_half, from_signed, from_unsigned, half_to_double, half_to_single, move_half_in,
    move_half_out, move_single_in, move_single_out, narrow, single_to_half, to_double, to_integer, to_integral,
    to_integral_exact, to_signed, to_single, to_unsigned,
)
from vm_native.jit.x86_64.float_operands cimport (
    check_boxes, compare, define_canonical, define_half, define_half_bits, jump_if_nan, read_half, read_half_bits,
    read_operands,
)
from vm_native.jit.x86_64.host_features cimport host_has


cdef enum SignOperation:    # what becomes of rs1's sign
    COPIED                  # rs2's
    NEGATED                 # the other one
    MULTIPLIED              # that of a product with rs2

cdef enum:                  # classes, as bits
    NEGATIVE_NORMAL = 1 << 1
    NEGATIVE_ZERO = 1 << 3
    POSITIVE_ZERO = 1 << 4
    POSITIVE_NORMAL = 1 << 6


# --- How. The functions that the rules name ---------------------------------------------------------------------------

cdef void arithmetic(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int a, target
    check_boxes(t, uop, 2, precision)
    a = read_float(t, uop.rs1, XMM0)
    target = float_target(t, uop.rd, XMM0)
    vex(&t.e, opcode, WIG, target, a, read_float(t, uop.rs2, XMM1))
    define_canonical(t, uop, target, precision)


cdef void square_root(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int a, target
    check_boxes(t, uop, 1, precision)
    a = read_float(t, uop.rs1, XMM0)
    target = float_target(t, uop.rd, XMM0)
    vex(&t.e, opcode, WIG, target, a, a)
    define_canonical(t, uop, target, precision)


cdef void fused(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    """A NaN result is left to the interpreter's function: the host does not call infinity * 0 + NaN invalid."""
    cdef Cold* cold
    cdef int a, b, c
    check_boxes(t, uop, 3, precision)
    cold = new_cold(t, COLD_FALLBACK, uop)
    a = read_float(t, uop.rs1, XMM0)
    b = read_float(t, uop.rs2, XMM1)
    c = read_float(t, uop[1].rs1, XMM2)
    if c != XMM2:
        vex(&t.e, VMOVAPS, WIG, XMM2, NO_SOURCE, c)
    vex(&t.e, opcode, W64 if precision == DOUBLE else W32, XMM2, a, b)
    compare(t, precision, XMM2, XMM2)
    cold_jump(cold, jump_if(&t.e, IF_UNORDERED, NULL))
    define_float(t, uop.rd, XMM2, precision)
    cold.done = here(&t.e)


cdef void smaller_or_larger(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    """Of zeros of different signs the host gives the second. NaNs are left to the interpreter's function."""
    cdef Cold* cold
    cdef int a, b, target
    check_boxes(t, uop, 2, precision)
    cold = new_cold(t, COLD_FALLBACK, uop)
    a = read_float(t, uop.rs1, XMM0)
    b = read_float(t, uop.rs2, XMM1)
    target = float_target(t, uop.rd, XMM0)
    compare(t, precision, a, b)
    cold_jump(cold, jump_if(&t.e, IF_UNORDERED, NULL))
    vex(&t.e, opcode, WIG, XMM2, b, a)
    vex(&t.e, opcode, WIG, target, a, b)
    vex(&t.e, VORPS if opcode == VMINSD or opcode == VMINSS else VANDPS, WIG, target, target, XMM2)
    define_float(t, uop.rd, target, precision)
    cold.done = here(&t.e)


cdef void set_if_equal(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int a, b, target = target_of(t, uop.rd, RAX)
    cdef Cold* cold = read_operands(t, uop, precision, &a, &b)
    vex(&t.e, opcode, WIG, a, NO_SOURCE, b)
    op(&t.e, SETCC | IF_EQUAL, W32, 0, RAX)
    op(&t.e, SETCC | IF_ORDERED, W32, 0, RCX)
    op(&t.e, AND, W32, RAX, RCX)
    op(&t.e, MOVZX8, W32, target, RAX)
    define(t, uop.rd, target)
    if cold != NULL:
        cold.done = here(&t.e)


cdef void set_if_ordered(Compilation* t, Uop* uop, int opcode, int condition, Precision precision) noexcept nogil:
    """The condition is that of rs2 compared with rs1, which does not hold for NaNs."""
    cdef int a, b, target = target_of(t, uop.rd, RAX)
    cdef Cold* cold = read_operands(t, uop, precision, &a, &b)
    vex(&t.e, opcode, WIG, b, NO_SOURCE, a)
    op(&t.e, SETCC | condition, W32, 0, RAX)
    op(&t.e, MOVZX8, W32, target, RAX)
    define(t, uop.rd, target)
    if cold != NULL:
        cold.done = here(&t.e)


cdef void set_if_less(Compilation* t, Uop* uop, int condition, Precision precision, Width width) noexcept nogil:
    """NaNs are invalid."""
    set_if_ordered(t, uop, VCOMISD if precision == DOUBLE else VCOMISS, condition, precision)


cdef void set_if_less_quietly(Compilation* t, Uop* uop, int condition, Precision precision, Width width) noexcept nogil:
    """Only those that signal are."""
    set_if_ordered(t, uop, VUCOMISD if precision == DOUBLE else VUCOMISS, condition, precision)


cdef void inject_sign(Compilation* t, Uop* uop, int operation, Precision precision, Width width) noexcept nogil:
    """What compilers write for moves, negations and absolute values needs no second operand."""
    cdef int a, target
    cdef FloatConstants* constants = constants_of(t, precision)
    cdef bint same = uop.rs1 == uop.rs2
    check_boxes(t, uop, 1 if same else 2, precision)
    a = read_float(t, uop.rs1, XMM0)
    target = float_target(t, uop.rd, XMM0)
    if same and operation == COPIED:
        target = a
    elif same and operation == NEGATED:
        vex_literal(&t.e, VXORPS, target, a, constants.sign)
    elif same:
        vex_literal(&t.e, VANDPS, target, a, constants.magnitude)
    else:
        vex_literal(&t.e, VANDPS, XMM1, read_float(t, uop.rs2, XMM1), constants.sign)
        if operation == MULTIPLIED:
            vex(&t.e, VXORPS, WIG, target, a, XMM1)
        else:
            if operation == NEGATED:
                vex_literal(&t.e, VXORPS, XMM1, XMM1, constants.sign)
            vex_literal(&t.e, VANDPS, XMM2, a, constants.magnitude)
            vex(&t.e, VORPS, WIG, target, XMM2, XMM1)
    define_float(t, uop.rd, target, precision)


cdef void choose_by_sign(Compilation* t, Width width, int sign_place, int negative, int positive) noexcept nogil:
    """Let rax, which has a number's bits, become one of these."""
    shift_constant(&t.e, SHR, width, RAX, sign_place)
    unary(&t.e, NEG, W32, RAX)
    op_constant(&t.e, AND_CONSTANT, W32, RAX, negative - positive)
    op_constant(&t.e, ADD_CONSTANT, W32, RAX, positive)


cdef void classify(Compilation* t, Uop* uop, int host, Precision precision, Width width) noexcept nogil:
    """Normal numbers and zeros; the interpreter's function knows the other classes."""
    cdef Cold* cold
    cdef uint8_t* zero
    cdef uint8_t* done
    cdef int fraction_bits = 10 if precision == HALF else 23 if precision == SINGLE else 52
    cdef int sign_place = 15 if precision == HALF else 31 if precision == SINGLE else 63
    check_boxes(t, uop, 1, precision)
    cold = new_cold(t, COLD_FALLBACK, uop)
    if precision == HALF:
        read_half_bits(t, cold, uop.rs1)
        op(&t.e, MOV, W32, RAX, RCX)
    else:
        vex(&t.e, VMOVQ_TO, width, read_float(t, uop.rs1, XMM0), NO_SOURCE, RAX)
        op(&t.e, MOV, width, RCX, RAX)
    shift_constant(&t.e, SHL, width, RCX, (64 if width == W64 else 32) - sign_place)
    zero = jump_if(&t.e, IF_EQUAL, NULL)
    op(&t.e, MOV, width, RCX, RAX)
    shift_constant(&t.e, SHR, width, RCX, fraction_bits)
    op_constant(&t.e, ADD_CONSTANT, W32, RCX, 1)        # of the exponents, the first and the last become 1 and 0
    op_constant(&t.e, AND_CONSTANT, W32, RCX, (1 << sign_place - fraction_bits) - 1)
    op_constant(&t.e, CMP_CONSTANT, W32, RCX, 2)
    cold_jump(cold, jump_if(&t.e, IF_BELOW, NULL))
    choose_by_sign(t, width, sign_place, NEGATIVE_NORMAL, POSITIVE_NORMAL)
    done = jump(&t.e, NULL)
    patch(zero, t.e.executable, here(&t.e))
    choose_by_sign(t, width, sign_place, NEGATIVE_ZERO, POSITIVE_ZERO)
    patch(done, t.e.executable, here(&t.e))
    define(t, uop.rd, RAX)
    cold.done = here(&t.e)


# --- Halves. They are computed as singles, and fused as doubles; ir/uops.py says why that is right

cdef void half_arithmetic(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int a, b
    cdef Cold* cold = read_operands(t, uop, HALF, &a, &b)
    vex(&t.e, opcode, WIG, XMM0, a, b)
    jump_if_nan(t, cold, XMM0, HALF)
    define_half(t, uop, XMM0)
    cold.done = here(&t.e)


cdef void half_square_root(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef Cold* cold = new_cold(t, COLD_FALLBACK, uop)
    read_half(t, cold, uop.rs1, XMM0)
    vex(&t.e, opcode, WIG, XMM0, XMM0, XMM0)
    jump_if_nan(t, cold, XMM0, HALF)
    define_half(t, uop, XMM0)
    cold.done = here(&t.e)


cdef void half_fused(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int i
    cdef int[3] slots
    cdef Cold* cold = new_cold(t, COLD_FALLBACK, uop)
    slots[0], slots[1], slots[2] = uop.rs1, uop.rs2, uop[1].rs1
    for i in range(3):
        read_half(t, cold, slots[i], XMM0 + i)
        vex(&t.e, VCVTSS2SD, WIG, XMM0 + i, XMM0 + i, XMM0 + i)
    vex(&t.e, opcode, W64, XMM2, XMM0, XMM1)
    jump_if_nan(t, cold, XMM2, DOUBLE)
    narrow(t, XMM2)
    define_half(t, uop, XMM0)
    cold.done = here(&t.e)


cdef void half_smaller_or_larger(Compilation* t, Uop* uop, int opcode, Precision precision, Width width) noexcept nogil:
    cdef int a, b
    cdef Cold* cold = read_operands(t, uop, HALF, &a, &b)
    compare(t, HALF, a, b)
    cold_jump(cold, jump_if(&t.e, IF_UNORDERED, NULL))
    vex(&t.e, opcode, WIG, XMM2, b, a)
    vex(&t.e, opcode, WIG, XMM0, a, b)
    vex(&t.e, VORPS if opcode == VMINSS else VANDPS, WIG, XMM0, XMM0, XMM2)
    define_half(t, uop, XMM0)
    cold.done = here(&t.e)


cdef void inject_half_sign(Compilation* t, Uop* uop, int operation, Precision precision, Width width) noexcept nogil:
    cdef Cold* cold = new_cold(t, COLD_FALLBACK, uop)
    read_half_bits(t, cold, uop.rs1)
    op(&t.e, MOV, W32, RDX, RCX)
    read_half_bits(t, cold, uop.rs2)
    op_constant(&t.e, AND_CONSTANT, W32, RCX, 0x8000)
    if operation == NEGATED:
        op_constant(&t.e, XOR_CONSTANT, W32, RCX, 0x8000)
    if operation != MULTIPLIED:
        op_constant(&t.e, AND_CONSTANT, W32, RDX, 0x7FFF)
    op(&t.e, XOR, W32, RCX, RDX)
    op(&t.e, MOV, W32, RAX, RCX)
    define_half_bits(t, uop)
    cold.done = here(&t.e)


# --- What. A row for each uop: how, with which opcode (condition, sign), of which precision; the width of an integer --

cdef FloatingRule[UOP_COUNT] rules


cdef void R(int uop, EmitFloating emit, int host, Precision precision, Width width=WIG) noexcept:
    rules[uop].emit, rules[uop].host, rules[uop].precision, rules[uop].width = emit, host, precision, width


R(UOP_FADD_D,       arithmetic,         VADDSD,      DOUBLE)
R(UOP_FADD_S,       arithmetic,         VADDSS,      SINGLE)
R(UOP_FSUB_D,       arithmetic,         VSUBSD,      DOUBLE)
R(UOP_FSUB_S,       arithmetic,         VSUBSS,      SINGLE)
R(UOP_FMUL_D,       arithmetic,         VMULSD,      DOUBLE)
R(UOP_FMUL_S,       arithmetic,         VMULSS,      SINGLE)
R(UOP_FDIV_D,       arithmetic,         VDIVSD,      DOUBLE)
R(UOP_FDIV_S,       arithmetic,         VDIVSS,      SINGLE)
R(UOP_FSQRT_D,      square_root,        VSQRTSD,     DOUBLE)
R(UOP_FSQRT_S,      square_root,        VSQRTSS,     SINGLE)

# What the host calls FNMADD is -(a * b) + c, here FNMSUB; and the other way round.
R(UOP_FMADD_D,      fused,              VFMADD231,   DOUBLE)
R(UOP_FMADD_S,      fused,              VFMADD231,   SINGLE)
R(UOP_FMSUB_D,      fused,              VFMSUB231,   DOUBLE)
R(UOP_FMSUB_S,      fused,              VFMSUB231,   SINGLE)
R(UOP_FNMSUB_D,     fused,              VFNMADD231,  DOUBLE)
R(UOP_FNMSUB_S,     fused,              VFNMADD231,  SINGLE)
R(UOP_FNMADD_D,     fused,              VFNMSUB231,  DOUBLE)
R(UOP_FNMADD_S,     fused,              VFNMSUB231,  SINGLE)

R(UOP_FMIN_D,       smaller_or_larger,  VMINSD,      DOUBLE)
R(UOP_FMIN_S,       smaller_or_larger,  VMINSS,      SINGLE)
R(UOP_FMAX_D,       smaller_or_larger,  VMAXSD,      DOUBLE)
R(UOP_FMAX_S,       smaller_or_larger,  VMAXSS,      SINGLE)
R(UOP_FEQ_D,        set_if_equal,       VUCOMISD,    DOUBLE)
R(UOP_FEQ_S,        set_if_equal,       VUCOMISS,    SINGLE)
R(UOP_FLT_D,        set_if_less,        IF_ABOVE,    DOUBLE)
R(UOP_FLT_S,        set_if_less,        IF_ABOVE,    SINGLE)
R(UOP_FLE_D,        set_if_less,        IF_NOT_BELOW, DOUBLE)
R(UOP_FLE_S,        set_if_less,        IF_NOT_BELOW, SINGLE)

# Zfa. Of what is no NaN, fminm and fmaxm are fmin and fmax; what is left to the interpreter's function by fcvtmod.w.d
# does not fit, but is no other conversion otherwise.
R(UOP_FMINM_D,      smaller_or_larger,  VMINSD,      DOUBLE)
R(UOP_FMINM_S,      smaller_or_larger,  VMINSS,      SINGLE)
R(UOP_FMAXM_D,      smaller_or_larger,  VMAXSD,      DOUBLE)
R(UOP_FMAXM_S,      smaller_or_larger,  VMAXSS,      SINGLE)
R(UOP_FLTQ_D,       set_if_less_quietly, IF_ABOVE,   DOUBLE)
R(UOP_FLTQ_S,       set_if_less_quietly, IF_ABOVE,   SINGLE)
R(UOP_FLEQ_D,       set_if_less_quietly, IF_NOT_BELOW, DOUBLE)
R(UOP_FLEQ_S,       set_if_less_quietly, IF_NOT_BELOW, SINGLE)
R(UOP_FROUND_D,     to_integral,        BY_CONTROL_WORD, DOUBLE)
R(UOP_FROUND_S,     to_integral,        BY_CONTROL_WORD, SINGLE)
R(UOP_FROUNDNX_D,   to_integral_exact,  BY_CONTROL_WORD, DOUBLE)
R(UOP_FROUNDNX_S,   to_integral_exact,  BY_CONTROL_WORD, SINGLE)
R(UOP_FCVTMOD_W_D,  to_integer,         VCVTTSD2SI,  DOUBLE, W32)

R(UOP_FCVT_W_D,     to_integer,         VCVTSD2SI,   DOUBLE, W32)
R(UOP_FCVT_L_D,     to_integer,         VCVTSD2SI,   DOUBLE, W64)
R(UOP_FCVT_W_S,     to_integer,         VCVTSS2SI,   SINGLE, W32)
R(UOP_FCVT_L_S,     to_integer,         VCVTSS2SI,   SINGLE, W64)
R(UOP_FCVT_W_D_RTZ, to_integer,         VCVTTSD2SI,  DOUBLE, W32)
R(UOP_FCVT_L_D_RTZ, to_integer,         VCVTTSD2SI,  DOUBLE, W64)
R(UOP_FCVT_W_S_RTZ, to_integer,         VCVTTSS2SI,  SINGLE, W32)
R(UOP_FCVT_L_S_RTZ, to_integer,         VCVTTSS2SI,  SINGLE, W64)
R(UOP_FCVT_WU_D,    to_unsigned,        BY_CONTROL_WORD, DOUBLE, W32)
R(UOP_FCVT_LU_D,    to_unsigned,        BY_CONTROL_WORD, DOUBLE, W64)
R(UOP_FCVT_WU_S,    to_unsigned,        BY_CONTROL_WORD, SINGLE, W32)
R(UOP_FCVT_LU_S,    to_unsigned,        BY_CONTROL_WORD, SINGLE, W64)
R(UOP_FCVT_WU_D_RTZ, to_unsigned,       RTZ,         DOUBLE, W32)
R(UOP_FCVT_LU_D_RTZ, to_unsigned,       RTZ,         DOUBLE, W64)
R(UOP_FCVT_WU_S_RTZ, to_unsigned,       RTZ,         SINGLE, W32)
R(UOP_FCVT_LU_S_RTZ, to_unsigned,       RTZ,         SINGLE, W64)
R(UOP_FCVT_D_W,     from_signed,        VCVTSI2SD,   DOUBLE, W32)
R(UOP_FCVT_D_L,     from_signed,        VCVTSI2SD,   DOUBLE, W64)
R(UOP_FCVT_S_W,     from_signed,        VCVTSI2SS,   SINGLE, W32)
R(UOP_FCVT_S_L,     from_signed,        VCVTSI2SS,   SINGLE, W64)
R(UOP_FCVT_D_WU,    from_unsigned,      VCVTSI2SD,   DOUBLE, W32)
R(UOP_FCVT_S_WU,    from_unsigned,      VCVTSI2SS,   SINGLE, W32)
R(UOP_FCVT_D_LU,    from_unsigned,      VCVTSI2SD,   DOUBLE, W64)
R(UOP_FCVT_S_LU,    from_unsigned,      VCVTSI2SS,   SINGLE, W64)
R(UOP_FCVT_S_D,     to_single,          VCVTSD2SS,   SINGLE)
R(UOP_FCVT_D_S,     to_double,          VCVTSS2SD,   DOUBLE)

R(UOP_FSGNJ_D,      inject_sign,        COPIED,      DOUBLE)
R(UOP_FSGNJ_S,      inject_sign,        COPIED,      SINGLE)
R(UOP_FSGNJN_D,     inject_sign,        NEGATED,     DOUBLE)
R(UOP_FSGNJN_S,     inject_sign,        NEGATED,     SINGLE)
R(UOP_FSGNJX_D,     inject_sign,        MULTIPLIED,  DOUBLE)
R(UOP_FSGNJX_S,     inject_sign,        MULTIPLIED,  SINGLE)
R(UOP_FCLASS_D,     classify,           ANY,         DOUBLE, W64)
R(UOP_FCLASS_S,     classify,           ANY,         SINGLE, W32)
R(UOP_FMV_X_W,      move_single_out,    VMOVQ_TO,    SINGLE, W32)
R(UOP_FMV_W_X,      move_single_in,     VMOVQ,       SINGLE, W32)
R(UOP_FMV_X_H,      move_half_out,      VMOVQ_TO,    SINGLE, W32)
R(UOP_FMV_H_X,      move_half_in,       VMOVQ,       SINGLE, W64)
if host_has.halves:
    R(UOP_FADD_H,      half_arithmetic,        VADDSS,          HALF)
    R(UOP_FSUB_H,      half_arithmetic,        VSUBSS,          HALF)
    R(UOP_FMUL_H,      half_arithmetic,        VMULSS,          HALF)
    R(UOP_FDIV_H,      half_arithmetic,        VDIVSS,          HALF)
    R(UOP_FSQRT_H,     half_square_root,       VSQRTSS,         HALF)
    R(UOP_FMADD_H,     half_fused,             VFMADD231,       HALF)
    R(UOP_FMSUB_H,     half_fused,             VFMSUB231,       HALF)
    R(UOP_FNMSUB_H,    half_fused,             VFNMADD231,      HALF)
    R(UOP_FNMADD_H,    half_fused,             VFNMSUB231,      HALF)
    R(UOP_FMIN_H,      half_smaller_or_larger, VMINSS,          HALF)
    R(UOP_FMAX_H,      half_smaller_or_larger, VMAXSS,          HALF)
    R(UOP_FMINM_H,     half_smaller_or_larger, VMINSS,          HALF)
    R(UOP_FMAXM_H,     half_smaller_or_larger, VMAXSS,          HALF)
    R(UOP_FEQ_H,       set_if_equal,           VUCOMISS,        HALF)
    R(UOP_FLT_H,       set_if_less,            IF_ABOVE,        HALF)
    R(UOP_FLE_H,       set_if_less,            IF_NOT_BELOW,    HALF)
    R(UOP_FLTQ_H,      set_if_less_quietly,    IF_ABOVE,        HALF)
    R(UOP_FLEQ_H,      set_if_less_quietly,    IF_NOT_BELOW,    HALF)
    R(UOP_FCLASS_H,    classify,               ANY,             HALF, W32)
    R(UOP_FROUND_H,    to_integral,            BY_CONTROL_WORD, HALF)
    R(UOP_FROUNDNX_H,  to_integral_exact,      BY_CONTROL_WORD, HALF)
    R(UOP_FSGNJ_H,     inject_half_sign,       COPIED,          HALF)
    R(UOP_FSGNJN_H,    inject_half_sign,       NEGATED,         HALF)
    R(UOP_FSGNJX_H,    inject_half_sign,       MULTIPLIED,      HALF)
    R(UOP_FCVT_W_H,    to_signed,              BY_CONTROL_WORD, HALF, W32)
    R(UOP_FCVT_L_H,    to_signed,              BY_CONTROL_WORD, HALF, W64)
    R(UOP_FCVT_WU_H,   to_unsigned,            BY_CONTROL_WORD, HALF, W32)
    R(UOP_FCVT_LU_H,   to_unsigned,            BY_CONTROL_WORD, HALF, W64)
    R(UOP_FCVT_W_H_RTZ,  to_signed,            RTZ,             HALF, W32)
    R(UOP_FCVT_L_H_RTZ,  to_signed,            RTZ,             HALF, W64)
    R(UOP_FCVT_WU_H_RTZ, to_unsigned,          RTZ,             HALF, W32)
    R(UOP_FCVT_LU_H_RTZ, to_unsigned,          RTZ,             HALF, W64)
    R(UOP_FCVT_H_W,    from_signed,            VCVTSI2SS,       HALF, W32)
    R(UOP_FCVT_H_L,    from_signed,            VCVTSI2SS,       HALF, W64)
    R(UOP_FCVT_H_WU,   from_unsigned,          VCVTSI2SS,       HALF, W32)
    R(UOP_FCVT_H_LU,   from_unsigned,          VCVTSI2SS,       HALF, W64)
    R(UOP_FCVT_S_H,    half_to_single,         ANY,             HALF)
    R(UOP_FCVT_D_H,    half_to_double,         VCVTSS2SD,       HALF)
    R(UOP_FCVT_H_S,    single_to_half,         VMOVSS,          HALF)
    R(UOP_FCVT_H_D,    double_to_half,         ANY,             HALF)


cdef const FloatingRule* floating_rule(int opcode) noexcept nogil:
    return &rules[opcode]


cdef bint emit_floating(Compilation* t, Uop* uop, int opcode) noexcept nogil:
    """Whether the uop is one of these; then it has been emitted."""
    cdef const FloatingRule* rule = &rules[opcode]
    if rule.emit == NULL or not t.jit.switches.floats:
        return False
    rule.emit(t, uop, rule.host, rule.precision, rule.width)
    return True
