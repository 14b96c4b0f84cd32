"""Floating-point uops in a rounding mode of their own: the host is in it as long as they follow each other.

MXCSR has the rounding mode and the flags. The word that has the guest's mode is kept on the stack meanwhile, and what
was raised is put into it. What rounds to integers, and conversions from integers that are small enough to be exact, do
without.
"""
from libc.stdint cimport uint8_t
from vm_native.arithmetic.float_rules cimport RNE
from vm_native.arithmetic.floating cimport host_rounds
from vm_native.ir.block cimport Uop, is_rounded
from vm_native.ir.uop cimport *
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.compilation cimport AS_THE_GUEST, Compilation, widen
from vm_native.jit.x86_64.conversions cimport (
    jump_if_inexact, to_integral, to_integral_exact, to_signed, to_unsigned,
)
from vm_native.jit.x86_64.floating cimport EmitFloating, FloatingRule, floating_rule

cdef enum:
    KEPT = 0                # in the STACK_ROOM above rsp: the control word of the guest's mode
    CHANGED = 4             # the other one
    # In MXCSR
    FLAGS_MASK = 0x3F
    ROUNDING_SHIFT = 13
    ROUNDING_MASK = 3 << ROUNDING_SHIFT

cdef int[4] HOST_ROUNDING = [0, 3, 1, 2]        # in MXCSR, by the guest's RNE, RTZ, RDN, RUP


cdef void set_rounding(Compilation* t, int rounding) noexcept nogil:
    """Flags stay: it takes the host long to raise one that there is not. Changes rax."""
    if t.rounding == rounding:
        return
    move_control_word(&t.e, STMXCSR, RSP, KEPT)
    op_memory(&t.e, MOV, W32, RAX, RSP, NO_INDEX, KEPT)
    op_constant(&t.e, AND_CONSTANT, W32, RAX, ~ROUNDING_MASK)
    if rounding != RNE:
        op_constant(&t.e, OR_CONSTANT, W32, RAX, HOST_ROUNDING[rounding] << ROUNDING_SHIFT)
    op_memory(&t.e, MOV_TO, W32, RAX, RSP, NO_INDEX, CHANGED)
    move_control_word(&t.e, LDMXCSR, RSP, CHANGED)
    t.rounding = rounding


cdef void restore_rounding(Compilation* t) noexcept nogil:
    """The guest's mode, with the flags that there are now: rarely others than there were. Changes rax."""
    cdef uint8_t* the_same
    move_control_word(&t.e, STMXCSR, RSP, CHANGED)
    op_memory(&t.e, MOV, W32, RAX, RSP, NO_INDEX, CHANGED)
    op_constant(&t.e, AND_CONSTANT, W32, RAX, FLAGS_MASK)
    op_memory(&t.e, OR, W32, RAX, RSP, NO_INDEX, KEPT)
    op_memory(&t.e, CMP, W32, RAX, RSP, NO_INDEX, KEPT)
    the_same = jump_if(&t.e, IF_EQUAL, NULL)
    op_memory(&t.e, MOV_TO, W32, RAX, RSP, NO_INDEX, KEPT)
    patch(the_same, t.e.executable, here(&t.e))
    move_control_word(&t.e, LDMXCSR, RSP, KEPT)


cdef void end_rounding(Compilation* t, Uop* following, int opcode) noexcept nogil:
    """Be in the guest's mode again, unless the uop that follows is another in that of the last."""
    cdef int meant, rounding
    if t.rounding == AS_THE_GUEST or opcode == UOP_CALL and is_rounded(following, &meant, &rounding) and (
        rounding == t.rounding
    ):
        return
    restore_rounding(t)
    t.rounding = AS_THE_GUEST


# --- Those that need not be in the mode -------------------------------------------------------------------------------

cdef EmitFloating[UOP_COUNT] by_constant        # a rounding mode, in the host's instruction; NULL: none of these

for _opcode in (UOP_FCVT_W_D, UOP_FCVT_L_D, UOP_FCVT_W_S, UOP_FCVT_L_S, UOP_FCVT_W_H, UOP_FCVT_L_H):
    by_constant[<int>_opcode] = to_signed
for _opcode in (UOP_FCVT_WU_D, UOP_FCVT_LU_D, UOP_FCVT_WU_S, UOP_FCVT_LU_S, UOP_FCVT_WU_H, UOP_FCVT_LU_H):
    by_constant[<int>_opcode] = to_unsigned
for _opcode in (UOP_FROUND_D, UOP_FROUND_S, UOP_FROUND_H):
    by_constant[<int>_opcode] = to_integral
for _opcode in (UOP_FROUNDNX_D, UOP_FROUNDNX_S, UOP_FROUNDNX_H):
    by_constant[<int>_opcode] = to_integral_exact


cdef enum Source:
    NO_INTEGER
    SIGNED
    UNSIGNED

cdef int[UOP_COUNT] sources                     # of a conversion from an integer

for _opcode in (UOP_FCVT_H_W, UOP_FCVT_H_L, UOP_FCVT_S_W, UOP_FCVT_S_L, UOP_FCVT_D_L):
    sources[<int>_opcode] = SIGNED
for _opcode in (UOP_FCVT_H_WU, UOP_FCVT_H_LU, UOP_FCVT_S_WU, UOP_FCVT_S_LU, UOP_FCVT_D_LU):
    sources[<int>_opcode] = UNSIGNED


# --- All --------------------------------------------------------------------------------------------------------------

cdef void emit_from_integer(
    Compilation* t, Uop* uop, const FloatingRule* rule, int rounding, bint signed
) noexcept nogil:
    """One that is exact as it is, any other in the mode."""
    cdef uint8_t* inexact
    cdef uint8_t* done
    widen(t, uop.rs1)       # for both ways
    inexact = jump_if_inexact(t, uop, signed, rule.precision, rule.width)
    rule.emit(t, uop, rule.host, rule.precision, rule.width)
    done = jump(&t.e, NULL)
    patch(inexact, t.e.executable, here(&t.e))
    set_rounding(t, rounding)
    rule.emit(t, uop, rule.host, rule.precision, rule.width)
    restore_rounding(t)
    t.rounding = AS_THE_GUEST
    patch(done, t.e.executable, here(&t.e))


cdef bint emit_rounded(Compilation* t, Uop* uop, int opcode) noexcept nogil:
    """Whether the uop is a call of what is another uop in a rounding mode; then it has been emitted."""
    cdef const FloatingRule* rule
    cdef int meant, rounding
    if opcode != UOP_CALL or not is_rounded(uop, &meant, &rounding):
        return False
    if not t.jit.switches.floats or not t.jit.switches.rounding:
        return False
    rule = floating_rule(meant)
    if rule.emit == NULL:
        return False
    if by_constant[meant] != NULL:
        by_constant[meant](t, uop, rounding, rule.precision, rule.width)
    elif not host_rounds(rounding):
        return False
    elif sources[meant] != NO_INTEGER and t.rounding == AS_THE_GUEST:
        emit_from_integer(t, uop, rule, rounding, sources[meant] == SIGNED)
    else:
        set_rounding(t, rounding)
        rule.emit(t, uop, rule.host, rule.precision, rule.width)
    return True
