"""What vector instructions demand of their operands: vector specification 1.0, sections 3.4.2, 5.2, 5.3 and 10.1.

Where the specification leaves a choice the hart does as Spike: arithmetic is illegal with a vstart that it never leaves
behind itself, which is any but 0; and two sources may give the same register elements of two widths.
"""
from libc.stdint cimport uint32_t, uint64_t
from vm_native.ir.block cimport info_of
from vm_native.machine cimport EXIT, TRAP
from vm_native.riscv.constants cimport (
    FEATURE_V, FEATURE_ZVE32F, FEATURE_ZVE64D, FEATURE_ZVFH, FEATURE_ZVFHMIN, FEATURE_ZVKNHB, ILLEGAL_INSTRUCTION,
    MSTATUS_FS, MSTATUS_FS_DIRTY,
)
from vm_native.riscv.privilege cimport update_mode
from vm_native.riscv.vector.names cimport (
    FLAG_DISTINCT, FLAG_FLOAT_A, FLAG_FLOAT_B, FLAG_FLOAT_D, FLAG_HALF_MIN, FLAG_NEEDS_V_FOR_64, FLAG_ONLY_64,
    FLAG_SINGLE, SOURCE_VECTOR, WIDTH_BY_16, WIDTH_MASK,
)
from vm_native.riscv.worlds cimport is_dirty, make_dirty


if FEATURE_V >> 15 != 1 or FEATURE_ZVKNHB >> 15 > 0xFF:
    raise ImportError("the features of vectors are not the bits that fit_key() takes")


cdef int refuse(Vector* v) noexcept nogil:
    """It is an illegal instruction."""
    v.cpu.trap_cause = ILLEGAL_INSTRUCTION
    v.cpu.trap_value = v.word
    return TRAP


cdef int done_with_flags(Vector* v, uint32_t flags) noexcept nogil:
    """The same of one with numbers. Where their flags make the floating-point state dirty, the block is another one."""
    cdef int status = done(v)
    v.hart.state.fflags |= flags
    if not flags or is_dirty(v.hart, MSTATUS_FS):
        return status
    make_dirty(v.hart, MSTATUS_FS_DIRTY)
    update_mode(v.hart)
    v.cpu.state.pc += info_of(v.uop).length
    return EXIT


cdef bint may_read(const Vector* v, int number, int size, int lmul, int d_size, int d_lmul) noexcept nogil:
    """Whether a group can be a source, beside a destination of such elements: section 5.2."""
    cdef int d = vd_of(v)
    if not is_group(v, size, lmul) or not is_aligned(number, lmul):
        return False
    if not overlap(d, d_lmul, number, lmul):
        return True
    if v.row.flags & FLAG_DISTINCT:
        return False
    if d_size > size:       # only at the end of the destination
        return lmul >= 0 and d < number and number + registers_of(lmul) >= d + registers_of(d_lmul)
    return d_size == size or d == number


cdef inline bint source_fits(const Vector* v, int number, int width) noexcept nogil:
    cdef int size = v.size + width, lmul = v.lmul + width
    if width == WIDTH_MASK:
        return not v.row.flags & FLAG_DISTINCT or not overlap(
            vd_of(v), 0 if v.row.d == WIDTH_MASK else v.lmul, number, 0)
    if width == WIDTH_BY_16:
        size, lmul = 1, v.lmul + 1 - v.size
    if v.row.flags & FLAG_SINGLE:
        return is_group(v, size, lmul) and is_aligned(number, lmul)
    if v.row.d == WIDTH_MASK:           # elements narrower than all others
        return may_read(v, number, size, lmul, -1, 0)
    return may_read(v, number, size, lmul, v.size + v.row.d, v.lmul + v.row.d)


cdef bint find_out_fit(const Vector* v, uint64_t key) noexcept nogil:
    """Whether all groups of registers are what they have to be. What is so is remembered."""
    if not groups_fit(v):
        return False
    fitting[fit_place(key)] = key
    return True


cdef bint groups_fit(const Vector* v) noexcept nogil:
    cdef const VectorRow* row = v.row
    if row.d != WIDTH_MASK and not row.flags & FLAG_SINGLE:
        if not is_group(v, v.size + row.d, v.lmul + row.d) or not is_aligned(vd_of(v), v.lmul + row.d):
            return False
        if overwrites_mask(v):
            return False
    if row.d != WIDTH_MASK and v.size + row.d > v.largest:
        return False
    if v.size == 3 and row.flags & FLAG_NEEDS_V_FOR_64 and not v.hart.state.features & FEATURE_V:
        return False
    if row.flags & FLAG_ONLY_64 and v.size != 3:
        return False
    if not source_fits(v, vs2_of(v), row.a):
        return False
    if row.source == SOURCE_VECTOR and not row.flags & FLAG_SINGLE and not source_fits(v, vs1_of(v), row.b):
        return False
    return has_formats(v)


cdef inline bint has_format(const Vector* v, int size) noexcept nogil:
    cdef uint64_t features = v.hart.state.features
    if size == 1:
        return features & (FEATURE_ZVFHMIN if v.row.flags & FLAG_HALF_MIN else FEATURE_ZVFH) != 0
    return size == 2 and features & FEATURE_ZVE32F != 0 or size == 3 and features & FEATURE_ZVE64D != 0


cdef bint has_formats(const Vector* v) noexcept nogil:
    """Whether the hart has the floating-point formats of all operands."""
    cdef const VectorRow* row = v.row
    if row.flags & FLAG_FLOAT_D and not has_format(v, v.size + row.d):
        return False
    if row.flags & FLAG_FLOAT_A and not has_format(v, v.size + row.a):
        return False
    return not row.flags & FLAG_FLOAT_B or has_format(v, v.size + row.b)
