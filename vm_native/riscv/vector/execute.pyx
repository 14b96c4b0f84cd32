# cython: preliminary_late_includes_cy28=True
# The C of vector_rows.pxi stands behind the struct that it fills.
"""Vector instructions: the way to all of them, and those that compute element by element."""
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from vm_native.arithmetic.float_rules cimport RMM
from vm_native.arithmetic.floating cimport collect_flags, host_rounds, start_environment
from vm_native.arithmetic.vector.elements cimport BIT, Operands, compute_elements, reduce_elements
from vm_native.arithmetic.vector.groups cimport GroupOperation, group_operation
from vm_native.machine cimport Cpu
from vm_native.ir.block cimport Uop
from vm_native.riscv.constants cimport (
    FEATURE_ZVKNHB, MSTATUS_FS, MSTATUS_VS, VCSR_VXRM, VCSR_VXRM_SHIFT, VCSR_VXSAT, VTYPE_VILL,
)
from vm_native.riscv.state cimport hart_of
from vm_native.riscv.vector.names cimport (
    FLAG_ANY_TYPE, FLAG_FLOAT, FLAG_MASK_OPERAND, FLAG_QUIETS, FLAG_RESUMES, FLAG_SIGNED_A, FLAG_SIGNED_B,
    SOURCE_VECTOR, WIDTH_MASK,
)
from vm_native.riscv.vector.operands cimport (
    UNMASKED, Vector, VectorRow, done, done_with_flags, fits, is_aligned, refuse, register_at, scalar_of, vd_of, vs1_of,
    vs2_of,
)
from vm_native.riscv.vector.settings cimport largest_element, lmul_of, room, size_of
from vm_native.riscv.worlds cimport is_dirty, is_on, update_shape

include "vector_rows.pxi"


cdef int run_vector(Cpu* cpu, Uop* uop) noexcept nogil:
    """Find out what all instructions ask, and run the shape."""
    cdef Vector v
    cdef uint64_t vtype
    cdef int status
    v.cpu, v.hart, v.uop = cpu, hart_of(cpu), uop
    v.row = row_of(uop)
    v.word = <uint32_t>uop[1].imm
    if not is_on(v.hart, MSTATUS_VS):
        return refuse(&v)
    if v.row.flags & FLAG_FLOAT and (not is_on(v.hart, MSTATUS_FS) or v.hart.state.frm > RMM):
        return refuse(&v)
    vtype = v.hart.state.vtype
    if not v.row.flags & FLAG_ANY_TYPE and vtype & VTYPE_VILL:
        return refuse(&v)
    if not v.row.flags & FLAG_RESUMES and v.hart.state.vstart:
        return refuse(&v)
    v.size = size_of(vtype)
    v.lmul = lmul_of(vtype)
    v.largest = largest_element(v.hart.state)
    v.limit = room(v.hart.state.vlenb, v.size, v.lmul)
    v.vl = v.hart.state.vl
    v.mask = NULL if v.word & UNMASKED else v.hart.vectors
    status = runs[v.row.run](&v)
    update_shape(v.hart)
    return status


cdef const VectorRow* row_of(const Uop* uop) noexcept nogil:
    return &VECTOR_ROWS[uop[1].rd | uop[1].rs2 << 8]


# --- Element by element ----------------------------------------------------------------------------------------------

cdef inline uint64_t narrowed(uint64_t value, int size, bint signed) noexcept nogil:
    """The low bits of a scalar, as an element of that size would be read."""
    if size == 0:
        return <uint64_t><int64_t><int8_t>value if signed else <uint8_t>value
    if size == 1:
        return <uint64_t><int64_t><int16_t>value if signed else <uint16_t>value
    if size == 2:
        return <uint64_t><int64_t><int32_t>value if signed else <uint32_t>value
    return value


cdef void prepare(Vector* v, Operands* o) noexcept nogil:
    cdef const VectorRow* row = v.row
    o.e.rounding = v.hart.state.frm
    o.e.fixed_rounding = <int>((v.hart.state.vcsr & VCSR_VXRM) >> VCSR_VXRM_SHIFT)
    o.e.flags = o.e.saturated = 0
    o.count, o.mask, o.size = v.vl, v.mask, v.size
    o.d, o.d_size = register_at(v, vd_of(v)), BIT if row.d == WIDTH_MASK else v.size + row.d
    o.a, o.a_size, o.a_signed = register_at(v, vs2_of(v)), v.size + row.a, row.flags & FLAG_SIGNED_A != 0
    o.b_signed = row.flags & FLAG_SIGNED_B != 0
    if row.source == SOURCE_VECTOR:
        o.b, o.b_size = register_at(v, vs1_of(v)), v.size + row.b
    else:
        o.b, o.b_size, o.scalar = NULL, v.size, narrowed(scalar_of(v), v.size, o.b_signed)
    o.on_host = False
    if row.flags & FLAG_FLOAT and host_rounds(o.e.rounding):
        o.on_host = True
        if not is_dirty(v.hart, MSTATUS_FS):        # whether this one raises a flag has to be known
            v.hart.state.fflags |= collect_flags()
            start_environment(o.e.rounding)


cdef int finish(Vector* v, const Operands* o) noexcept nogil:
    cdef uint32_t flags = o.e.flags
    if o.e.saturated:
        v.hart.state.vcsr |= VCSR_VXSAT
    if not v.row.flags & FLAG_FLOAT:
        return done(v)
    if o.on_host and not is_dirty(v.hart, MSTATUS_FS):
        flags |= collect_flags()
    return done_with_flags(v, flags)


cdef int run_elements(Vector* v) noexcept nogil:
    cdef Operands o
    if not fits(v):
        return refuse(v)
    prepare(v, &o)
    compute_elements(&o, v.row.operation, v.row.flags & FLAG_MASK_OPERAND != 0)
    return finish(v, &o)


cdef int run_reduction(Vector* v) noexcept nogil:
    cdef Operands o
    if not fits(v):
        return refuse(v)
    prepare(v, &o)
    reduce_elements(&o, v.row.operation, v.row.flags & FLAG_QUIETS != 0)
    return finish(v, &o)


# --- Groups of elements: vector cryptography specification, section 1.2 -----------------------------------------------

cdef bint groups_are_whole(const Vector* v, int elements) noexcept nogil:
    return fits(v) and v.limit >= <uint64_t>elements and not v.vl & (elements - 1)


cdef int run_groups(Vector* v, int elements, const uint8_t* common) noexcept nogil:
    """With `common` all groups have that one as their first operand."""
    cdef GroupOperation operation = group_operation(v.row.operation)
    cdef uint8_t* d = register_at(v, vd_of(v))
    cdef const uint8_t* a = register_at(v, vs2_of(v))
    cdef const uint8_t* b = register_at(v, vs1_of(v))
    cdef uint64_t i, place
    for i in range(v.vl // elements):
        place = i * elements << v.size
        operation(d + place, common if common != NULL else a + place, b + place, v.size, v.word >> 15 & 31)
    return done(v)


cdef int run_group(Vector* v) noexcept nogil:
    if v.size != 2 or not groups_are_whole(v, 4):
        return refuse(v)
    return run_groups(v, 4, NULL)


cdef int run_group_by_one(Vector* v) noexcept nogil:
    cdef uint8_t common[16]
    cdef uint64_t vlenb = v.hart.state.vlenb
    cdef int registers = <int>(16 // vlenb) if vlenb < 16 else 1
    cdef int lmul = v.lmul if v.lmul > 0 else 0
    if v.size != 2 or v.limit < 4 or v.vl & 3 or not is_aligned(vd_of(v), v.lmul) or vs2_of(v) & (registers - 1):
        return refuse(v)
    if vd_of(v) >> lmul == vs2_of(v) >> lmul:
        return refuse(v)
    memcpy(common, register_at(v, vs2_of(v)), 16)
    return run_groups(v, 4, common)


cdef int run_group_sha(Vector* v) noexcept nogil:
    if v.size < 2 or v.size == 3 and not v.hart.state.features & FEATURE_ZVKNHB or not groups_are_whole(v, 4):
        return refuse(v)
    return run_groups(v, 4, NULL)


cdef int run_group_sm3(Vector* v) noexcept nogil:
    if v.size != 2 or vd_of(v) == vs2_of(v) or not groups_are_whole(v, 8):
        return refuse(v)
    return run_groups(v, 8, NULL)
