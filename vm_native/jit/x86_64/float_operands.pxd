# Operands and results of floating-point uops, as floating.pyx and conversions.pyx see them.
from vm_native.ir.block cimport Uop
from vm_native.jit.x86_64.assembler cimport (
    CMP_CONSTANT, DOUBLE, HALF, IF_NOT_EQUAL, IF_UNORDERED, MOVZX16, NO_SOURCE, OR_CONSTANT, RAX, RCX, SAR, SINGLE,
    VCVTPH2PS, VCVTPS2PH, VMOVQ, VMOVQ_TO, VPCMPEQD, VUCOMISD, VUCOMISS, W32, W64, WIG, XMM0, XMM1, Precision, here,
    jump_if, op, op_constant, shift_constant, vex, vex_constant,
)
from vm_native.jit.x86_64.compilation cimport (
    COLD_FALLBACK, COLD_NAN, COLD_UNBOXED, Cold, Compilation, cold_jump, define_float, float_target, load_slot,
    new_cold, read_float,
)

cdef enum:
    BY_MXCSR = 4            # of a VCVTPS2PH: the rounding mode that is there

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
    vex(&t.e, VUCOMISD if precision == DOUBLE else VUCOMISS, WIG, a, NO_SOURCE, b)

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

# --- Halves. In xmm registers they are singles with zeros above

cdef inline void read_half_bits(Compilation* t, Cold* cold, int slot) noexcept nogil:
    """Into rcx; `cold` if they are not boxed. rax is lost."""
    load_slot(t, RAX, slot)
    op(&t.e, MOVZX16, W32, RCX, RAX)
    shift_constant(&t.e, SAR, W64, RAX, 16)
    op_constant(&t.e, CMP_CONSTANT, W64, RAX, -1)
    cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))

cdef inline void read_half(Compilation* t, Cold* cold, int slot, int xmm) noexcept nogil:
    """The same, into an xmm register; rcx is lost, too."""
    read_half_bits(t, cold, slot)
    vex(&t.e, VMOVQ, W32, xmm, NO_SOURCE, RCX)
    vex(&t.e, VCVTPH2PS, WIG, xmm, NO_SOURCE, xmm)

cdef inline Cold* read_operands(Compilation* t, Uop* uop, Precision precision, int* a, int* b) noexcept nogil:
    """rs1 and rs2, wherever they are then. What is out of line for halves, or NULL; it goes on behind the uop."""
    cdef Cold* cold
    if precision != HALF:
        check_boxes(t, uop, 2, precision)
        a[0] = read_float(t, uop.rs1, XMM0)
        b[0] = read_float(t, uop.rs2, XMM1)
        return NULL
    cold = new_cold(t, COLD_FALLBACK, uop)
    a[0], b[0] = XMM0, XMM1
    read_half(t, cold, uop.rs1, XMM0)
    read_half(t, cold, uop.rs2, XMM1)
    return cold

cdef inline void define_half_bits(Compilation* t, Uop* uop) noexcept nogil:
    """Those in the lower half of eax, of which the upper is 0. It boxes a single no less than a half."""
    cdef int target = float_target(t, uop.rd, XMM0)
    op_constant(&t.e, OR_CONSTANT, W64, RAX, ~0xFFFF)
    vex(&t.e, VMOVQ, W64, target, NO_SOURCE, RAX)
    define_float(t, uop.rd, target, SINGLE)

cdef inline void define_half(Compilation* t, Uop* uop, int xmm) noexcept nogil:
    """xmm has no NaN."""
    vex_constant(&t.e, VCVTPS2PH, WIG, xmm, NO_SOURCE, XMM0, BY_MXCSR)
    vex(&t.e, VMOVQ_TO, W32, XMM0, NO_SOURCE, RAX)
    define_half_bits(t, uop)

cdef inline void jump_if_nan(Compilation* t, Cold* cold, int xmm, Precision precision) noexcept nogil:
    compare(t, precision, xmm, xmm)
    cold_jump(cold, jump_if(&t.e, IF_UNORDERED, NULL))
