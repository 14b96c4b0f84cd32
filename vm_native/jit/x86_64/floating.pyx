"""Floating-point uops as SSE instructions in their AVX forms, for the rounding mode that the uops imply: to nearest.

Flags accumulate in the host's own status word, which is the guest's while inside. Where x86 differs from RISC-V, in
NaN results, operands that are not boxed, and conversions out of range, the interpreter's function or a constant out
of line gives the result. In three-operand form the upper half of a single's result is that of its first source: a
boxed source makes a boxed result.
"""
from libc.stdint cimport uint8_t
from vm_native.ir.block cimport Uop
from vm_native.ir.uop cimport *
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.translation cimport (
    COLD_NAN_DOUBLE, COLD_NAN_SINGLE, COLD_PERFORM, COLD_UNBOXED, Cold, Job, cold_jump, float_target, new_cold, op_slot,
    read_float, read_slot, target_of, wrote, wrote_float,
)


cdef enum:                  # scratch xmm registers
    XMM0 = 0
    XMM1 = 1
    XMM2 = 2


cdef void check_boxes(Job* job, Uop* uop, int count) noexcept nogil:
    """Out of line if one of the first `count` of rs1, rs2, rs3 is not known to be, and is not, a boxed single."""
    cdef Cold* cold
    cdef int slots[3]
    cdef int i
    slots[0] = uop.rs1
    slots[1] = uop.rs2
    slots[2] = uop[1].rs1
    for i in range(count):
        if not job.boxed[slots[i]]:
            cold = new_cold(job, COLD_UNBOXED, uop)
            vex(&job.e, VMOVQ_TO, True, read_float(job, slots[i], XMM0), 0, RAX)
            shift_constant(&job.e, SAR, True, RAX, 32)
            op_constant(&job.e, CMP_CONSTANT, False, RAX, -1)
            cold_jump(cold, jump_if(&job.e, IF_NOT_EQUAL, NULL))
            job.boxed[slots[i]] = True


cdef void finish(Job* job, Uop* uop, int xmm, bint single) noexcept nogil:
    """Make a NaN canonical. Comparing with itself raises no flag: a result never signals."""
    cdef Cold* cold = new_cold(job, COLD_NAN_SINGLE if single else COLD_NAN_DOUBLE, uop)
    cold.xmm = xmm
    vex(&job.e, VUCOMISS if single else VUCOMISD, False, xmm, 0, xmm)
    cold_jump(cold, jump_if(&job.e, IF_UNORDERED, NULL))
    cold.done = here(&job.e)
    wrote_float(job, uop.rd, xmm, single)


cdef void arithmetic(Job* job, Uop* uop, int opcode, bint single) noexcept nogil:
    cdef int a, target
    if single:
        check_boxes(job, uop, 2)
    a = read_float(job, uop.rs1, XMM0)
    target = float_target(job, uop.rd, XMM0)
    vex(&job.e, opcode, False, target, a, read_float(job, uop.rs2, XMM1))
    finish(job, uop, target, single)


cdef void square_root(Job* job, Uop* uop, bint single) noexcept nogil:
    cdef int a, target
    if single:
        check_boxes(job, uop, 1)
    a = read_float(job, uop.rs1, XMM0)
    target = float_target(job, uop.rd, XMM0)
    vex(&job.e, VSQRTSS if single else VSQRTSD, False, target, a, a)
    finish(job, uop, target, single)


cdef void fused(Job* job, Uop* uop, int opcode, bint single) noexcept nogil:
    """A NaN result is left to the interpreter's function: infinity * 0 + NaN is invalid in RISC-V alone."""
    cdef Cold* cold
    cdef int a, b, c
    if single:
        check_boxes(job, uop, 3)
    cold = new_cold(job, COLD_PERFORM, uop)
    a = read_float(job, uop.rs1, XMM0)
    b = read_float(job, uop.rs2, XMM1)
    c = read_float(job, uop[1].rs1, XMM2)
    if c != XMM2:
        vex(&job.e, VMOVAPS, False, XMM2, 0, c)
    vex(&job.e, opcode, not single, XMM2, a, b)
    vex(&job.e, VUCOMISS if single else VUCOMISD, False, XMM2, 0, XMM2)
    cold_jump(cold, jump_if(&job.e, IF_UNORDERED, NULL))
    wrote_float(job, uop.rd, XMM2, single)
    cold.done = here(&job.e)


cdef void smaller_or_larger(Job* job, Uop* uop, int opcode, bint single) noexcept nogil:
    """NaNs and equal operands (which may be zeros of different signs) are left to the interpreter's function."""
    cdef Cold* cold
    cdef int a, b, target
    if single:
        check_boxes(job, uop, 2)
    cold = new_cold(job, COLD_PERFORM, uop)
    a = read_float(job, uop.rs1, XMM0)
    b = read_float(job, uop.rs2, XMM1)
    target = float_target(job, uop.rd, XMM0)
    vex(&job.e, VUCOMISS if single else VUCOMISD, False, a, 0, b)
    cold_jump(cold, jump_if(&job.e, IF_EQUAL, NULL))        # unordered, too
    vex(&job.e, opcode, False, target, a, b)
    wrote_float(job, uop.rd, target, single)
    cold.done = here(&job.e)


cdef void compare(Job* job, Uop* uop, int opcode, int condition, bint single, bint swap) noexcept nogil:
    cdef int a, b, target
    if single:
        check_boxes(job, uop, 2)
    a = read_float(job, uop.rs1, XMM0)
    b = read_float(job, uop.rs2, XMM1)
    target = target_of(job, uop.rd, RAX)
    vex(&job.e, opcode, False, b if swap else a, 0, a if swap else b)
    op(&job.e, SETCC | condition, False, 0, RAX)
    if condition == IF_EQUAL:
        op(&job.e, SETCC | IF_ORDERED, False, 0, RCX)
        op(&job.e, AND, False, RAX, RCX)
    op(&job.e, MOVZX8, False, target, RAX)
    wrote(job, uop.rd, target)


cdef void to_integer(Job* job, Uop* uop, int opcode, bint wide, bint single) noexcept nogil:
    """Signed. What does not fit gives the most negative number: perhaps it fits, the interpreter's function knows."""
    cdef Cold* cold
    cdef int target = target_of(job, uop.rd, RAX)
    if single:
        check_boxes(job, uop, 1)
    cold = new_cold(job, COLD_PERFORM, uop)
    vex(&job.e, opcode, wide, RAX, 0, read_float(job, uop.rs1, XMM0))
    op_constant(&job.e, CMP_CONSTANT, wide, RAX, 1)
    cold_jump(cold, jump_if(&job.e, IF_OVERFLOW, NULL))
    if wide:
        wrote(job, uop.rd, RAX)
    else:
        op(&job.e, MOVSXD, True, target, RAX)
        wrote(job, uop.rd, target)
    cold.done = here(&job.e)


cdef void from_integer(Job* job, Uop* uop, int opcode, bint wide, bint unsigned32, bint single) noexcept nogil:
    cdef int target = float_target(job, uop.rd, XMM0)
    cdef int value
    if unsigned32:
        op_slot(job, MOV, False, RAX, uop.rs1)
        value = RAX
    else:
        value = read_slot(job, uop.rs1, RAX)
    vex(&job.e, VPCMPEQD, False, XMM1, XMM1, XMM1)      # all ones: the box of a single
    vex(&job.e, opcode, wide or unsigned32, target, XMM1, value)
    wrote_float(job, uop.rd, target, single)


cdef void to_single(Job* job, Uop* uop) noexcept nogil:
    cdef int target = float_target(job, uop.rd, XMM0)
    cdef int a = read_float(job, uop.rs1, XMM0)
    vex(&job.e, VPCMPEQD, False, XMM1, XMM1, XMM1)
    vex(&job.e, VCVTSD2SS, False, target, XMM1, a)
    finish(job, uop, target, True)


cdef void to_double(Job* job, Uop* uop) noexcept nogil:
    cdef int target = float_target(job, uop.rd, XMM0)
    cdef int a
    check_boxes(job, uop, 1)
    a = read_float(job, uop.rs1, XMM0)
    vex(&job.e, VCVTSS2SD, False, target, a, a)
    finish(job, uop, target, False)


cdef void inject_sign(Job* job, Uop* uop, int opcode, bint single) noexcept nogil:
    """fsgnj.* : what compilers write for moves, negations and absolute values needs no second operand."""
    cdef int a, b, target
    cdef uint8_t* sign = job.jit.sign_single if single else job.jit.sign_double
    cdef uint8_t* magnitude = job.jit.magnitude_single if single else job.jit.magnitude_double
    cdef bint same = uop.rs1 == uop.rs2
    if single:
        check_boxes(job, uop, 1 if same else 2)
    a = read_float(job, uop.rs1, XMM0)
    target = float_target(job, uop.rd, XMM0)
    if same and (opcode == UOP_FSGNJ_S or opcode == UOP_FSGNJ_D):
        target = a
    elif same and (opcode == UOP_FSGNJN_S or opcode == UOP_FSGNJN_D):
        vex_literal(&job.e, VXORPS, target, a, sign)
    elif same:
        vex_literal(&job.e, VANDPS, target, a, magnitude)
    else:
        b = read_float(job, uop.rs2, XMM1)
        vex_literal(&job.e, VANDPS, XMM1, b, sign)
        if opcode == UOP_FSGNJX_S or opcode == UOP_FSGNJX_D:
            vex(&job.e, VXORPS, False, target, a, XMM1)
        else:
            if opcode == UOP_FSGNJN_S or opcode == UOP_FSGNJN_D:
                vex_literal(&job.e, VXORPS, XMM1, XMM1, sign)
            vex_literal(&job.e, VANDPS, XMM2, a, magnitude)
            vex(&job.e, VORPS, False, target, XMM2, XMM1)
    wrote_float(job, uop.rd, target, single)


cdef void move_single_out(Job* job, Uop* uop) noexcept nogil:
    cdef int target = target_of(job, uop.rd, RAX)
    vex(&job.e, VMOVQ_TO, False, read_float(job, uop.rs1, XMM0), 0, RAX)
    op(&job.e, MOVSXD, True, target, RAX)
    wrote(job, uop.rd, target)


cdef void move_single_in(Job* job, Uop* uop) noexcept nogil:
    cdef int target = float_target(job, uop.rd, XMM0)
    vex(&job.e, VMOVQ, False, target, 0, read_slot(job, uop.rs1, RAX))
    vex_literal(&job.e, VORPS, target, target, job.jit.upper_ones)
    wrote_float(job, uop.rd, target, True)


cdef bint emit_floating(Job* job, Uop* uop, int opcode) noexcept nogil:
    """Whether the uop is one of these; then it has been emitted."""
    if not job.jit.switches.floats: return False
    if opcode == UOP_FADD_D: arithmetic(job, uop, VADDSD, False)
    elif opcode == UOP_FSUB_D: arithmetic(job, uop, VSUBSD, False)
    elif opcode == UOP_FMUL_D: arithmetic(job, uop, VMULSD, False)
    elif opcode == UOP_FDIV_D: arithmetic(job, uop, VDIVSD, False)
    elif opcode == UOP_FADD_S: arithmetic(job, uop, VADDSS, True)
    elif opcode == UOP_FSUB_S: arithmetic(job, uop, VSUBSS, True)
    elif opcode == UOP_FMUL_S: arithmetic(job, uop, VMULSS, True)
    elif opcode == UOP_FDIV_S: arithmetic(job, uop, VDIVSS, True)
    elif opcode == UOP_FSQRT_D: square_root(job, uop, False)
    elif opcode == UOP_FSQRT_S: square_root(job, uop, True)
    elif opcode == UOP_FMADD_D: fused(job, uop, VFMADD231SD, False)
    elif opcode == UOP_FMSUB_D: fused(job, uop, VFMSUB231SD, False)
    elif opcode == UOP_FNMSUB_D: fused(job, uop, VFNMADD231SD, False)
    elif opcode == UOP_FNMADD_D: fused(job, uop, VFNMSUB231SD, False)
    elif opcode == UOP_FMADD_S: fused(job, uop, VFMADD231SD, True)
    elif opcode == UOP_FMSUB_S: fused(job, uop, VFMSUB231SD, True)
    elif opcode == UOP_FNMSUB_S: fused(job, uop, VFNMADD231SD, True)
    elif opcode == UOP_FNMADD_S: fused(job, uop, VFNMSUB231SD, True)
    elif opcode == UOP_FMIN_D: smaller_or_larger(job, uop, VMINSD, False)
    elif opcode == UOP_FMAX_D: smaller_or_larger(job, uop, VMAXSD, False)
    elif opcode == UOP_FMIN_S: smaller_or_larger(job, uop, VMINSS, True)
    elif opcode == UOP_FMAX_S: smaller_or_larger(job, uop, VMAXSS, True)
    elif opcode == UOP_FEQ_D: compare(job, uop, VUCOMISD, IF_EQUAL, False, False)
    elif opcode == UOP_FLT_D: compare(job, uop, VCOMISD, IF_ABOVE, False, True)
    elif opcode == UOP_FLE_D: compare(job, uop, VCOMISD, IF_NOT_BELOW, False, True)
    elif opcode == UOP_FEQ_S: compare(job, uop, VUCOMISS, IF_EQUAL, True, False)
    elif opcode == UOP_FLT_S: compare(job, uop, VCOMISS, IF_ABOVE, True, True)
    elif opcode == UOP_FLE_S: compare(job, uop, VCOMISS, IF_NOT_BELOW, True, True)
    elif opcode == UOP_FCVT_W_D: to_integer(job, uop, VCVTSD2SI, False, False)
    elif opcode == UOP_FCVT_L_D: to_integer(job, uop, VCVTSD2SI, True, False)
    elif opcode == UOP_FCVT_W_D_RTZ: to_integer(job, uop, VCVTTSD2SI, False, False)
    elif opcode == UOP_FCVT_L_D_RTZ: to_integer(job, uop, VCVTTSD2SI, True, False)
    elif opcode == UOP_FCVT_W_S: to_integer(job, uop, VCVTSS2SI, False, True)
    elif opcode == UOP_FCVT_L_S: to_integer(job, uop, VCVTSS2SI, True, True)
    elif opcode == UOP_FCVT_W_S_RTZ: to_integer(job, uop, VCVTTSS2SI, False, True)
    elif opcode == UOP_FCVT_L_S_RTZ: to_integer(job, uop, VCVTTSS2SI, True, True)
    elif opcode == UOP_FCVT_D_W: from_integer(job, uop, VCVTSI2SD, False, False, False)
    elif opcode == UOP_FCVT_D_WU: from_integer(job, uop, VCVTSI2SD, False, True, False)
    elif opcode == UOP_FCVT_D_L: from_integer(job, uop, VCVTSI2SD, True, False, False)
    elif opcode == UOP_FCVT_S_W: from_integer(job, uop, VCVTSI2SS, False, False, True)
    elif opcode == UOP_FCVT_S_WU: from_integer(job, uop, VCVTSI2SS, False, True, True)
    elif opcode == UOP_FCVT_S_L: from_integer(job, uop, VCVTSI2SS, True, False, True)
    elif opcode == UOP_FCVT_S_D: to_single(job, uop)
    elif opcode == UOP_FCVT_D_S: to_double(job, uop)
    elif opcode in (UOP_FSGNJ_D, UOP_FSGNJN_D, UOP_FSGNJX_D): inject_sign(job, uop, opcode, False)
    elif opcode in (UOP_FSGNJ_S, UOP_FSGNJN_S, UOP_FSGNJX_S): inject_sign(job, uop, opcode, True)
    elif opcode == UOP_FMV_X_W: move_single_out(job, uop)
    elif opcode == UOP_FMV_W_X: move_single_in(job, uop)
    else:
        return False
    return True
