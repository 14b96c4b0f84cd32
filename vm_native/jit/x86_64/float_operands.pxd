# Operands and results of floating-point uops, as floating.pyx and conversions.pyx see them.
from vm_native.ir.block cimport Uop
from vm_native.jit.x86_64.assembler cimport (
    CMP_CONSTANT, IF_NOT_EQUAL, IF_UNORDERED, NO_SOURCE, RAX, SAR, SINGLE, VMOVQ_TO, VPCMPEQD, VUCOMISD, VUCOMISS, W32,
    W64, WIG, XMM0, Precision, here, jump_if, op_constant, shift_constant, vex,
)
from vm_native.jit.x86_64.compilation cimport (
    COLD_NAN, COLD_UNBOXED, Cold, Compilation, cold_jump, define_float, new_cold, read_float,
)

cdef inline void check_boxes(Compilation* t, Uop* uop, int count, Precision precision) noexcept nogil:
    """Out of line if one of the first `count` of rs1, rs2, rs3 is not known to be, and is not, a boxed single."""
    cdef Cold* cold
    cdef int slots[3]
    cdef int i
    if precision != SINGLE:
        return
    slots[0] = uop.rs1
    slots[1] = uop.rs2
    slots[2] = uop[1].rs1
    for i in range(count):
        if not t.boxed[slots[i]]:
            cold = new_cold(t, COLD_UNBOXED, uop)
            vex(&t.e, VMOVQ_TO, W64, read_float(t, slots[i], XMM0), NO_SOURCE, RAX)
            shift_constant(&t.e, SAR, W64, RAX, 32)
            op_constant(&t.e, CMP_CONSTANT, W32, RAX, -1)
            cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))
            t.boxed[slots[i]] = True

cdef inline void compare(Compilation* t, Precision precision, int a, int b) noexcept nogil:
    """Raises no flag unless one of them signals."""
    vex(&t.e, VUCOMISS if precision == SINGLE else VUCOMISD, WIG, a, NO_SOURCE, b)

cdef inline void set_all_ones(Compilation* t, int xmm) noexcept nogil:
    """What boxes a single."""
    vex(&t.e, VPCMPEQD, WIG, xmm, xmm, xmm)

cdef inline void define_canonical(Compilation* t, Uop* uop, int xmm, Precision precision) noexcept nogil:
    """A NaN becomes the canonical one. Comparing with itself raises no flag: a result never signals."""
    cdef Cold* cold = new_cold(t, COLD_NAN, uop)
    cold.xmm = xmm
    cold.precision = precision
    compare(t, precision, xmm, xmm)
    cold_jump(cold, jump_if(&t.e, IF_UNORDERED, NULL))
    cold.done = here(&t.e)
    define_float(t, uop.rd, xmm, precision)
