"""What a vector instruction is where the hart has a shape, told to the compiler (see ir/vectors.pxd).

What it demands of its operands is asked as the helper asks it (operands.pyx). Whatever is illegal or rare is not told:
then the helper runs it, as it does where the shape is another one.
"""
from libc.stdint cimport int32_t, int64_t, intptr_t, uint32_t, uint64_t
from libc.string cimport memset
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport (
    BITS, FROM_CONSTANT, FROM_INTEGER, FROM_NOWHERE, FROM_NUMBER, FROM_VECTOR, LENGTH_CONSTANT, LENGTH_KEPT,
    LENGTH_OF_SLOT, SHAPE_KNOWN, SHAPE_LENGTH_MASK, SHAPE_LENGTH_SHIFT, SHAPE_TYPE, VECTOR_COUNT, VECTOR_ELEMENTS,
    VECTOR_FIND, VECTOR_FIRST, VECTOR_GATHER, VECTOR_GIVE, VECTOR_GROUPS, VECTOR_INDICES, VECTOR_LOAD, VECTOR_LOAD_ALL,
    VECTOR_LOGIC, VECTOR_MOVE_ALL, VECTOR_OTHER, VECTOR_REDUCTION, VECTOR_SET, VECTOR_SLIDE, VECTOR_SLIDE_ONE,
    VECTOR_STORE, VECTOR_STORE_ALL, VectorKind, VectorUop,
)
from vm_native.machine cimport INSTRUMENT_CSRS, Cpu
from vm_native.riscv.constants cimport CSR_VL
from vm_native.riscv.state cimport MODE_FP_DIRTY, MODE_FP_ROUNDS, F0, SINK, Hart, hart_of
from vm_native.riscv.vector.execute cimport groups_are_whole, row_of
from vm_native.riscv.vector.names cimport (
    FLAG_FLOAT, FLAG_MASK_OPERAND, FLAG_STORES, RUN_ACCESS_FIRST, RUN_ACCESS_UNIT, RUN_ACCESS_WHOLE, RUN_CONFIGURE,
    RUN_COUNT, RUN_ELEMENTS, RUN_FIND, RUN_GATHER, RUN_GIVE, RUN_GROUP_SHA, RUN_INDEX, RUN_LOGIC, RUN_MOVE_WHOLE,
    RUN_REDUCTION, RUN_SLIDE_DOWN, RUN_SLIDE_DOWN_ONE, RUN_SLIDE_UP, RUN_SLIDE_UP_ONE, RUN_TAKE, RUN_TAKE_FLOAT,
    SOURCE_INTEGER, SOURCE_NONE, SOURCE_NUMBER, SOURCE_VECTOR, WIDTH_BY_16, WIDTH_MASK,
)
from vm_native.riscv.vector.operands cimport (
    UNMASKED, Vector, fits, has_formats, is_aligned, is_group, overwrites_mask, scalar_of, vd_of, vs1_of, vs2_of,
)
from vm_native.riscv.vector.settings cimport (
    IMMEDIATE_COUNT, TYPE_IN_REGISTER, is_legal, largest_element, lmul_of, room, size_of,
)


cdef inline int32_t place_of(const Vector* v, int number) noexcept nogil:
    """Of a register, seen from the Cpu."""
    return <int32_t><intptr_t>&(<Hart*>NULL).vectors[<uint64_t>number * v.hart.state.vlenb]


cdef inline int32_t place_of_field(const Vector* v, const void* field) noexcept nogil:
    """Of a field of the hart's state."""
    return <int32_t>(<intptr_t>field - <intptr_t>v.cpu)


cdef inline int slot_of(const Vector* v) noexcept nogil:
    """Where an integer result goes."""
    cdef int rd = v.word >> 7 & 31
    return rd if rd else SINK


cdef void describe_vector(Cpu* cpu, Uop* uop, uint64_t mode, uint32_t shape, VectorUop* out) noexcept nogil:
    cdef Vector v
    memset(out, 0, sizeof(VectorUop))
    if uop.imm == hart_of(cpu).decode_table.csr_helper:
        out.kind = tell_csr(cpu, uop, shape, out)
        return
    if uop.imm != cpu.front_end.vector_helper:
        return
    v.cpu, v.hart, v.uop, v.row = cpu, hart_of(cpu), uop, row_of(uop)
    v.word = <uint32_t>uop[1].imm
    v.largest = largest_element(v.hart.state)
    out.keeps_shape = v.row.run != RUN_CONFIGURE and v.row.run != RUN_ACCESS_FIRST
    out.slot, out.result = uop.rs1, SINK
    if v.row.run == RUN_CONFIGURE:
        out.kind = tell_setting(&v, shape, out)
        return
    if not shape & SHAPE_KNOWN:
        return
    if v.row.flags & FLAG_FLOAT and mode & (MODE_FP_DIRTY | MODE_FP_ROUNDS) != MODE_FP_DIRTY | MODE_FP_ROUNDS:
        return
    v.size, v.lmul = size_of(shape & SHAPE_TYPE), lmul_of(shape & SHAPE_TYPE)
    v.vl = shape >> SHAPE_LENGTH_SHIFT & SHAPE_LENGTH_MASK
    v.limit = room(v.hart.state.vlenb, v.size, v.lmul)
    v.mask = NULL if v.word & UNMASKED else v.hart.vectors
    out.elements, out.size = <uint32_t>v.vl, v.size
    out.masked, out.mask_is_operand = v.mask != NULL, v.row.flags & FLAG_MASK_OPERAND != 0
    out.operation, out.numbers = v.row.operation, v.row.flags & FLAG_FLOAT != 0
    out.d, out.a, out.b, out.mask = (
        place_of(&v, vd_of(&v)), place_of(&v, vs2_of(&v)), place_of(&v, vs1_of(&v)), place_of(&v, 0)
    )
    out.saturated = place_of_field(&v, &v.hart.state.vcsr)
    out.kind = tell(&v, out)


cdef VectorKind tell_csr(Cpu* cpu, Uop* uop, uint32_t shape, VectorUop* out) noexcept nogil:
    """vl is an element like another, where it is only read, and nobody is told of that."""
    cdef uint32_t word = <uint32_t>uop[1].imm
    cdef int number = word >> 20, rd = word >> 7 & 31
    out.keeps_shape = word >> 15 & 31 == 0 and word >> 12 & 3 != 1
    if not out.keeps_shape or number != CSR_VL or not rd or not shape & SHAPE_KNOWN:
        return VECTOR_OTHER
    if cpu.machine.probes.instruments & INSTRUMENT_CSRS:
        return VECTOR_OTHER
    out.size, out.result = 3, rd
    out.a = <int32_t>(<intptr_t>&hart_of(cpu).state.vl - <intptr_t>cpu)
    return VECTOR_FIRST


cdef VectorKind tell_setting(const Vector* v, uint32_t shape, VectorUop* out) noexcept nogil:
    """vsetvli and vsetivli, of a legal type. Where vl is kept it must be known that so many elements still fit."""
    cdef uint64_t rs1 = v.word >> 15 & 31, limit
    cdef bint immediate = v.word & IMMEDIATE_COUNT == IMMEDIATE_COUNT
    if not immediate and v.word & TYPE_IN_REGISTER:
        return VECTOR_OTHER
    out.type = v.word >> 20 & (0x3FF if immediate else 0x7FF)
    if not is_legal(v.hart.state, out.type):
        return VECTOR_OTHER
    limit = room(v.hart.state.vlenb, size_of(out.type), lmul_of(out.type))
    out.result = slot_of(v)
    out.value = <int64_t>limit
    if immediate:
        out.length, out.value = LENGTH_CONSTANT, <int64_t>min(rs1, limit)
    elif rs1:
        out.length = LENGTH_OF_SLOT
    elif out.result != SINK:
        out.length = LENGTH_CONSTANT
    else:
        out.length = LENGTH_KEPT
        if not shape & SHAPE_KNOWN:
            return VECTOR_OTHER
        if room(v.hart.state.vlenb, size_of(shape & SHAPE_TYPE), lmul_of(shape & SHAPE_TYPE)) != limit:
            return VECTOR_OTHER
    out.type_place = place_of_field(v, &v.hart.state.vtype)
    out.length_place = place_of_field(v, &v.hart.state.vl)
    return VECTOR_SET


cdef VectorKind tell(const Vector* v, VectorUop* out) noexcept nogil:
    cdef int run = v.row.run
    if RUN_ACCESS_UNIT <= run <= RUN_ACCESS_FIRST:
        return tell_access(v, out)
    if run == RUN_MOVE_WHOLE:
        out.bytes = <uint32_t>((vs1_of(v) + 1) * v.hart.state.vlenb)
        return VECTOR_OTHER if (vd_of(v) | vs2_of(v)) & vs1_of(v) else VECTOR_MOVE_ALL
    if run == RUN_LOGIC:
        return VECTOR_LOGIC
    if run == RUN_COUNT or run == RUN_FIND:
        out.result = slot_of(v)
        return VECTOR_COUNT if run == RUN_COUNT else VECTOR_FIND
    if run == RUN_TAKE:
        out.result = slot_of(v)
        return VECTOR_FIRST
    if run == RUN_TAKE_FLOAT:
        out.result = F0 + vd_of(v)
        return VECTOR_FIRST if has_formats(v) else VECTOR_OTHER
    if run == RUN_GIVE:
        tell_source(v, out)
        return VECTOR_GIVE if has_formats(v) and v.vl else VECTOR_OTHER
    if run == RUN_INDEX or run == RUN_REDUCTION:
        tell_widths(v, out)
        if not fits(v):
            return VECTOR_OTHER
        return VECTOR_INDICES if run == RUN_INDEX else VECTOR_REDUCTION
    if run == RUN_GROUP_SHA and v.size == 2 and groups_are_whole(v, 4):
        out.bytes = out.elements << 2
        return VECTOR_GROUPS
    if run == RUN_SLIDE_UP or run == RUN_SLIDE_DOWN or run == RUN_SLIDE_UP_ONE or run == RUN_SLIDE_DOWN_ONE:
        return tell_slide(v, out)
    if run != RUN_ELEMENTS and run != RUN_GATHER or not fits(v):
        return VECTOR_OTHER
    tell_widths(v, out)
    tell_source(v, out)
    if run == RUN_GATHER:
        if out.source == FROM_INTEGER or out.source == FROM_VECTOR and v.row.b == WIDTH_BY_16:
            return VECTOR_OTHER
        return VECTOR_GATHER
    return VECTOR_ELEMENTS


cdef VectorKind tell_slide(const Vector* v, VectorUop* out) noexcept nogil:
    cdef int run = v.row.run
    if not fits(v):
        return VECTOR_OTHER
    tell_widths(v, out)
    tell_source(v, out)
    if run == RUN_SLIDE_UP_ONE or run == RUN_SLIDE_DOWN_ONE:
        if out.source == FROM_CONSTANT:
            return VECTOR_OTHER
        out.value = -1 if run == RUN_SLIDE_UP_ONE else 1
        return VECTOR_SLIDE_ONE
    if out.source != FROM_CONSTANT:
        return VECTOR_OTHER
    if run == RUN_SLIDE_UP:
        out.value = -out.value
    return VECTOR_SLIDE


cdef void tell_widths(const Vector* v, VectorUop* out) noexcept nogil:
    out.d_size = BITS if v.row.d == WIDTH_MASK else v.size + v.row.d
    out.a_size, out.b_size = v.size + v.row.a, v.size + v.row.b
    out.bytes = out.elements << out.d_size if out.d_size != BITS else 0
    out.room = <uint32_t>v.limit << out.d_size if out.d_size != BITS else 0


cdef void tell_source(const Vector* v, VectorUop* out) noexcept nogil:
    cdef int source = v.row.source
    if source == SOURCE_NONE:
        out.source = FROM_NOWHERE
    elif source == SOURCE_VECTOR:
        out.source = FROM_VECTOR
    elif source == SOURCE_INTEGER:
        out.source = FROM_INTEGER
    elif source == SOURCE_NUMBER:
        out.source = FROM_NUMBER
    else:
        out.source, out.value = FROM_CONSTANT, <int64_t>scalar_of(v)


cdef VectorKind tell_access(const Vector* v, VectorUop* out) noexcept nogil:
    """Of one field; fault-only-first of all elements, where none faults."""
    cdef bint stores = v.row.flags & FLAG_STORES != 0
    cdef int size = v.row.operation, lmul = v.lmul + size - v.size, fields = (v.word >> 29) + 1
    if v.row.run == RUN_ACCESS_WHOLE:
        out.bytes = out.room = <uint32_t>(fields * v.hart.state.vlenb)
        if size > v.largest or vd_of(v) & (fields - 1):
            return VECTOR_OTHER
        return VECTOR_STORE_ALL if stores else VECTOR_LOAD_ALL
    if v.row.run != RUN_ACCESS_UNIT and v.row.run != RUN_ACCESS_FIRST:
        return VECTOR_OTHER
    if fields != 1 or not is_group(v, size, lmul) or not is_aligned(vd_of(v), lmul):
        return VECTOR_OTHER
    if v.mask != NULL and (v.row.run == RUN_ACCESS_FIRST or overwrites_mask(v)):
        return VECTOR_OTHER
    out.d_size = size
    out.bytes, out.room = out.elements << size, <uint32_t>v.limit << size
    return VECTOR_STORE if stores else VECTOR_LOAD
