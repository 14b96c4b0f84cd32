"""Instructions on vectors, in AVX2 or AVX-512.

The front end tells what each of them is where vectors have a shape: how wide elements are, how many registers a group
has and how many elements there are, all in one word of the Cpu. A trace is made for the shape that there is when it is
compiled, and for what the instructions in it that set one make of it. The first instruction that counts on a shape
compares the word; those that follow need not. Where it is another one the interpreter's function does the instruction,
and the trace is left behind it: what comes next counts on that, too. Behind an instruction that sets as many elements
as there is room for, or fewer, each asks for itself whether it is as many. If not, loads, stores and operations on
integers are done for fewer out of line, and others by the interpreter's function; the trace goes on.

Operands stand in memory, in the registers of the hart; where the host has AVX-512, those that a trace uses most are in
registers of its own (vector_registers.pyx). What nobody tells the compiler, and what has no function here, is left to
the interpreter's. The comparisons of shapes, and the instructions that set one, are in vector_shapes.pyx.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from vm_native.ir.block cimport Block, Uop
from vm_native.ir.uop cimport UOP_CALL
from vm_native.ir.vectors cimport (
    BITS, VECTOR_ELEMENTS, VECTOR_FIRST, VECTOR_GATHER, VECTOR_GIVE, VECTOR_GROUPS, VECTOR_INDICES, VECTOR_LOAD,
    VECTOR_LOAD_ALL, VECTOR_MOVE_ALL, VECTOR_OTHER, VECTOR_REDUCTION, VECTOR_SET, VECTOR_SLIDE, VECTOR_SLIDE_ONE,
    VECTOR_STORE, VECTOR_STORE_ALL, VectorKind, VectorUop,
)
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport *
from vm_native.jit.x86_64.compilation cimport (
    COLD_ACCESS, COLD_FALLBACK, COLD_PART, COLD_WINDOW, NOTHING_OF_SHAPE, TYPE_OF_SHAPE, WHOLE_SHAPE, Cold,
    Compilation, Reach, ShapeKnown, Words,
)
from vm_native.jit.x86_64.host_features cimport host_has
from vm_native.jit.x86_64.vector_floats cimport emit_floats, emit_nan, may_be_few_floats
from vm_native.jit.x86_64.vector_integers cimport emit_integers, may_be_part
from vm_native.jit.x86_64.vector_masks cimport emit_bits, emit_comparison_of_vectors
from vm_native.jit.x86_64.vector_memory cimport emit_move_of_all, emit_part_of_access, emit_vector_access
from vm_native.jit.x86_64.vector_operands cimport load_part, store_part
from vm_native.jit.x86_64.vector_permutations cimport (
    emit_first_element, emit_gather, emit_give, emit_indices, emit_reduction, emit_slide,
)
from vm_native.jit.x86_64.vector_registers cimport reload_residents
from vm_native.jit.x86_64.vector_shapes cimport (
    demand_some_shape, demand_type, demand_whole_shape, describe, emit_set, full_shape, leave_room_for_part,
)
from vm_native.machine cimport BASE_REGISTERS
from vm_native.memory.tlb cimport READ, WRITE

from vm_native.arithmetic.vector.group_names import GROUP_OPERATIONS

cdef int SHA2_SCHEDULE = GROUP_OPERATIONS.index("sha2ms")
cdef int SHA2_HIGH = GROUP_OPERATIONS.index("sha2ch")
cdef int SHA2_LOW = GROUP_OPERATIONS.index("sha2cl")


cdef void follow_shape(Compilation* t, Uop* uop, int opcode) noexcept nogil:
    """After a uop that the interpreter's function does: it may have set another."""
    cdef VectorUop v
    t.bits.count = 0
    if opcode != UOP_CALL:
        return
    if t.shape_known != NOTHING_OF_SHAPE:
        describe(t, uop, t.shape, &v)
        if not v.keeps_shape:
            t.shape_known = NOTHING_OF_SHAPE


# --- What is no operation of arithmetic/vector/table.py --------------------------------------------------------------

cdef bint emit_groups(Compilation* t, const VectorUop* v) noexcept nogil:
    """SHA-256. The host has words and state in the same order as the guest, and takes two words in a row from xmm0."""
    cdef int32_t at = 0
    if not host_has.sha or v.operation not in (SHA2_SCHEDULE, SHA2_HIGH, SHA2_LOW) or v.bytes > 64:
        return False
    zero_upper_halves(&t.e)             # with something there what is not VEX takes a hundred times as long
    while at < <int32_t>v.bytes:
        load_part(t, XMM1, v.d + at, 0)
        load_part(t, XMM2, v.a + at, 0)
        load_part(t, XMM0, v.b + at, 0)
        if v.operation == SHA2_SCHEDULE:
            op(&t.e, SHA256MSG1, W32, XMM1, XMM2)
            vex_constant(&t.e, VPALIGNR, WIG, XMM2, XMM0, XMM2, 4)
            on_registers(t, VPADDD, XMM1, XMM1, XMM2)
            op(&t.e, SHA256MSG2, W32, XMM1, XMM0)
        else:
            if v.operation == SHA2_HIGH:
                vex_constant(&t.e, VPSHUFD, WIG, XMM0, NO_SOURCE, XMM0, 0xEE)
            op(&t.e, SHA256RNDS2, W32, XMM1, XMM2)
        store_part(t, XMM1, v.d + at, 0)
        at += 16
    return True


# --- All -------------------------------------------------------------------------------------------------------------

cdef inline bint is_access(VectorKind kind) noexcept nogil:
    return kind == VECTOR_LOAD or kind == VECTOR_STORE or kind == VECTOR_LOAD_ALL or kind == VECTOR_STORE_ALL


cdef inline bint emit_elements(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil:
    return emit_integers(t, uop, v) or v.numbers and emit_floats(t, uop, v)


cdef bint emit_kind(Compilation* t, Block* part, Uop* uop, const VectorUop* v) noexcept nogil:
    """Whether it has been emitted."""
    if v.kind == VECTOR_SET:
        emit_set(t, uop, v)
        return True
    if v.kind == VECTOR_LOAD_ALL or v.kind == VECTOR_STORE_ALL or v.kind == VECTOR_MOVE_ALL:
        demand_some_shape(t, uop)
        return emit_move_of_all(t, v) if v.kind == VECTOR_MOVE_ALL else emit_vector_access(t, part, uop, v)
    if v.kind == VECTOR_LOAD or v.kind == VECTOR_STORE:
        if t.shape_known == NOTHING_OF_SHAPE:
            demand_whole_shape(t, uop)
        return emit_vector_access(t, part, uop, v)
    if v.kind == VECTOR_ELEMENTS and v.d_size != BITS and t.shape_known == TYPE_OF_SHAPE:
        if may_be_part(t, v) or may_be_few_floats(t, v):
            leave_room_for_part(t, uop)
            return emit_elements(t, uop, v)
    demand_whole_shape(t, uop)
    if v.kind == VECTOR_REDUCTION:
        return emit_reduction(t, uop, v)
    if v.kind == VECTOR_GIVE:
        return emit_give(t, uop, v)
    if v.kind == VECTOR_INDICES:
        return emit_indices(t, v)
    if v.kind == VECTOR_ELEMENTS:
        if v.d_size == BITS:
            return emit_floats(t, uop, v) if v.numbers else emit_comparison_of_vectors(t, uop, v)
        return emit_elements(t, uop, v)
    if v.kind == VECTOR_GATHER:
        return emit_gather(t, v)
    if v.kind == VECTOR_SLIDE or v.kind == VECTOR_SLIDE_ONE:
        return emit_slide(t, uop, v)
    if v.kind == VECTOR_FIRST:
        return emit_first_element(t, v)
    if v.kind == VECTOR_GROUPS:
        return emit_groups(t, v)
    return emit_bits(t, v)


cdef void forget_pointer(Compilation* t, int slot) noexcept nogil:
    """It has been written."""
    if slot < BASE_REGISTERS:
        t.reaches[READ][slot] = t.reaches[WRITE][slot] = Reach(0, 0)


cdef bint emit_vector(Compilation* t, Block* part, int at) noexcept nogil:
    """Whether the uop in this cell is one of these; then it has been emitted."""
    cdef Uop* uop = &part.uops[at]
    cdef VectorUop v
    cdef uint8_t* begin = t.e.at
    cdef int cold_count = t.cold_count, i
    cdef uint32_t shape = t.shape
    cdef ShapeKnown known = t.shape_known
    cdef Words words = t.words
    cdef uint32_t valid = t.valid
    if part.info[at].opcode != UOP_CALL or not t.jit.switches.vectors or t.jit.stubs.vectors == NULL:
        return False
    describe(t, uop, t.shape, &v)
    if v.kind == VECTOR_OTHER:
        return False
    if t.any_length and t.shape_known == NOTHING_OF_SHAPE and full_shape(t.shape, &v):
        t.shape = full_shape(t.shape, &v)
        describe(t, uop, t.shape, &v)
        demand_type(t, uop)
    if not emit_kind(t, part, uop, &v):
        t.e.at, t.cold_count = begin, cold_count
        t.shape, t.shape_known, t.words, t.valid, t.bits.count = shape, known, words, valid, 0
        return False
    for i in range(cold_count, t.cold_count):
        if t.cold[i].kind in (COLD_FALLBACK, COLD_ACCESS, COLD_WINDOW, COLD_PART):
            t.cold[i].done, t.cold[i].valid_when_done = here(&t.e), t.valid
    forget_pointer(t, v.result)
    if not v.keeps_shape and v.kind != VECTOR_SET and t.shape_known == WHOLE_SHAPE:
        t.shape_known = TYPE_OF_SHAPE   # the interpreter's function may have done it
    return True


cdef void emit_cold_vector(Compilation* t, Cold* cold) noexcept nogil:
    cdef VectorUop v
    describe(t, cold.uop, cold.shape, &v)
    if cold.kind == COLD_PART and is_access(v.kind):
        emit_part_of_access(t, &v, cold)
    elif cold.kind == COLD_PART:
        emit_few_elements(t, &v, cold)
    else:
        emit_nan(t, &v, cold)


cdef void emit_few_elements(Compilation* t, const VectorUop* v, const Cold* cold) noexcept nogil:
    cdef const uint8_t* done = cold.done
    cdef uint32_t missing = cold.valid_when_done & ~cold.valid
    cdef int first = t.cold_count, i
    t.shape, t.refund, t.edges, t.partly = cold.shape, cold.refund, cold.edges, True
    emit_elements(t, cold.uop, v)
    t.partly = False
    reload_residents(t, missing)
    jump(&t.e, done)
    for i in range(first, t.cold_count):
        if t.cold[i].kind == COLD_FALLBACK:     # of a single that is not boxed
            t.cold[i].done = <uint8_t*>done


# --- Constants -------------------------------------------------------------------------------------------------------

cdef uint8_t[VECTOR_CONSTANTS][CONSTANT_BYTES] constants


def C(int number, int size, values):
    """Elements of so many bytes, over and over."""
    data = b"".join(value.to_bytes(size, "little") for value in values)
    for place, byte in enumerate((data * CONSTANT_BYTES)[:CONSTANT_BYTES]):
        constants[number][<int>place] = byte


C(BITS_OF_BYTES, 1, [1 << place for place in range(8)])
C(BITS_OF_WORDS, 2, [1 << place for place in range(16)])
C(BITS_OF_DOUBLEWORDS, 4, [1 << place for place in range(8)])
C(BITS_OF_QUADWORDS, 8, [1 << place for place in range(4)])
C(BITS_OF_MORE_QUADWORDS, 8, [1 << place for place in range(4, 8)])
C(SPREAD_BYTES, 1, [place // 8 for place in range(CONSTANT_BYTES)])
C(NANS, 4, [0x7FC00000])
C(NANS_OF_DOUBLES, 8, [0x7FF8000000000000])
C(MAGNITUDES, 4, [0x7FFFFFFF])
C(MAGNITUDES_OF_DOUBLES, 8, [0x7FFFFFFFFFFFFFFF])
C(INFINITIES, 4, [0x7F800000])
C(INFINITIES_OF_DOUBLES, 8, [0x7FF0000000000000])
C(ZEROES, 1, [0])
C(LOW_BYTES, 2, [0xFF])
C(LOW_WORDS, 4, [0xFFFF])
C(REVERSED_WORDS, 1, [place ^ 1 for place in range(16)])
C(REVERSED_DOUBLEWORDS, 1, [place ^ 3 for place in range(16)])
C(REVERSED_QUADWORDS, 1, [place ^ 7 for place in range(16)])
C(SIXTEENS, 1, [16])
C(SEVENTIES, 1, [0x70])
C(FIRST_ONES, 1, [0xFF])
C(THEN_ZEROES, 1, [0])
C(THEN_ONES, 1, [0xFF])
C(INDICES_OF_BYTES, 1, range(64))
C(INDICES_OF_WORDS, 2, range(32))
C(INDICES_OF_DOUBLEWORDS, 4, range(16))
C(INDICES_OF_QUADWORDS, 8, range(8))


cdef uint8_t* emit_vector_constants(Emitter* e) noexcept nogil:
    """Where they stand then."""
    cdef uint8_t* start
    cdef int i, k
    e.at += -<int64_t>e.at & CONSTANT_BYTES - 1
    start = here(e)
    for i in range(VECTOR_CONSTANTS):
        for k in range(CONSTANT_BYTES):
            e.at[0] = constants[i][k]
            e.at += 1
    return start
