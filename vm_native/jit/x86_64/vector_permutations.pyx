"""Vectors of which elements go elsewhere: gathers, slides, reductions, the first element."""
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport FROM_CONSTANT, VECTOR_SLIDE_ONE, VectorUop
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport *
from vm_native.jit.x86_64.avx512 cimport *
from vm_native.jit.x86_64.compilation cimport (
    BIAS, COLD_NAN, Cold, Compilation, cold_jump, define, define_float, float_target, know_word, new_cold, target_of,
)
from vm_native.jit.x86_64.host_features cimport host_has
from vm_native.jit.x86_64.vector_integers cimport integer_opcode
from vm_native.jit.x86_64.vector_operands cimport (
    BROADCASTS, COMPARISONS, MOST_BYTES, MOVES, broadcast, bytes_of, has_parts, load_bits, load_part, load_scalar,
    on_few, on_place, part_at, read_part, store_part, store_result, store_selected, target_of_part, widest, width_at,
)
from vm_native.jit.x86_64.vector_registers cimport NOWHERE, holder_of, home_of, let_memory_have, take_from_memory

from vm_native.arithmetic.vector.table import NUMBERS

cdef enum:
    MOST_ADDED = 64         # elements, one after the other

cdef int SUM = NUMBERS["fadd"]


# --- Gathers ---------------------------------------------------------------------------------------------------------

cdef bint emit_gather(Compilation* t, const VectorUop* v) noexcept nogil:
    """In a VPSHUFB numbers from 128 on give 0: 16 and more are made that."""
    cdef int result
    if v.source == FROM_CONSTANT:
        return emit_spread(t, v)
    if v.size or v.masked or v.bytes != v.room or v.bytes != 16 and v.bytes != 32:
        return t.avx512 and gather_by_masks(t, v)
    if v.bytes == 16:
        result = target_of_part(t, v, 0, 0)
        on_constant(t, VPADDUSB, XMM0, read_part(t, XMM0, v.b, 0), SEVENTIES)
        on_registers(t, VPSHUFB, result, read_part(t, XMM1, v.a, 0), XMM0)
        store_part(t, result, v.d, 0)
        return True
    load_part(t, XMM0, v.b, YMM)
    on_constant(t, VPSUBB | YMM, XMM2, XMM0, SIXTEENS)
    on_constant(t, VPADDUSB | YMM, XMM0, XMM0, SEVENTIES)
    on_constant(t, VPADDUSB | YMM, XMM2, XMM2, SEVENTIES)
    load_twice(t, XMM1, v.a)
    on_registers(t, VPSHUFB | YMM, XMM0, XMM1, XMM0)
    load_twice(t, XMM1, v.a + 16)
    on_registers(t, VPSHUFB | YMM, XMM2, XMM1, XMM2)
    on_registers(t, VPOR | YMM, XMM0, XMM0, XMM2)
    store_part(t, XMM0, v.d, YMM)
    return True


cdef int[4] GATHERS = [VPERMB, VPERMW, VPERMD, VPERMQ]


cdef bint gather_by_masks(Compilation* t, const VectorUop* v) noexcept nogil:
    """From as much as a register holds."""
    cdef int wide = width_at(t, v.room), places, table
    if v.room > 64 or not has_parts(v) or v.bytes != v.room or v.size == 0 and not host_has.vbmi:
        return False
    places = read_part(t, XMM0, v.b, wide)
    table = read_part(t, XMM2, v.a, wide)
    load_constant(&t.e, RAX, v.room >> v.size)
    vex(&t.e, VMOVQ, W64, XMM1, NO_SOURCE, RAX)
    broadcast(t, v, XMM1, v.size)
    vex_constant(&t.e, COMPARISONS[v.size] | wide, WIG, K1, places, XMM1, ORDER_LESS)
    on_registers(t, GATHERS[v.size] | (wide if wide else YMM) | under(K1) | ZEROING, XMM0, places, table)
    store_result(t, v, XMM0, 0, wide)
    return True


cdef bint emit_spread(Compilation* t, const VectorUop* v) noexcept nogil:
    """One element to all."""
    cdef uint32_t at = 0
    cdef int wide
    if not has_parts(v):
        return False
    if <uint64_t>v.value >= v.room >> v.size:
        vex(&t.e, VPXOR, WIG, XMM1, XMM1, XMM1)
    else:
        on_few(t, BROADCASTS[v.size] | widest(t, v), XMM1, v.a + (<int32_t>v.value << v.size), 1 << v.size)
    while at < v.bytes:
        wide = part_at(t, v, at)
        store_result(t, v, XMM1, at, wide)
        at += bytes_of(wide)
    return True


cdef void load_twice(Compilation* t, int xmm, int32_t place) noexcept nogil:
    """16 bytes, into both halves."""
    load_part(t, xmm, place, 0)
    vex_constant(&t.e, VINSERTI128 | YMM, WIG, xmm, xmm, xmm, 1)


# --- Slides. What is slid stands in memory, or fits in a register; a mask says which elements of it there are --------

cdef void load_slid(
    Compilation* t, const VectorUop* v, int64_t first, int64_t limit, uint32_t count, int wide, int mask
) noexcept nogil:
    """Of so many elements of a, from that number on, those below the limit, into xmm0; others are 0."""
    cdef int64_t low = max(0, -first), high = max(low, min(<int64_t>count, limit - first))
    cdef uint64_t bits = (<uint64_t>-1 if high >= 64 else (<uint64_t>1 << high) - 1)
    bits &= ~(<uint64_t>0 if low == 0 else <uint64_t>-1 if low >= 64 else (<uint64_t>1 << low) - 1)
    load_constant(&t.e, RAX, <int64_t>bits)
    vex(&t.e, KMOV_FROM, W64, mask, NO_SOURCE, RAX)
    vex_memory(
        &t.e, MOVES[v.size] | wide | under(mask) | ZEROING, WIG, XMM0, NO_SOURCE, RBP, NO_INDEX,
        v.a + (<int32_t>first << v.size) - BIAS
    )


cdef void insert(Compilation* t, const VectorUop* v, int64_t number, int wide) noexcept nogil:
    """The second operand becomes this element of xmm0."""
    load_constant(&t.e, RAX, <int64_t>(<uint64_t>1 << number))
    vex(&t.e, KMOV_FROM, W64, K2, NO_SOURCE, RAX)
    on_registers(t, MOVES[v.size] | wide | under(K2), XMM0, NO_SOURCE, XMM1)


cdef bint emit_slide(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil:
    cdef uint32_t at = 0, count
    cdef bint one = v.kind == VECTOR_SLIDE_ONE
    cdef int64_t limit = v.room >> v.size, first, edge
    cdef int wide
    if not t.avx512 or not has_parts(v) or one and not load_scalar(t, uop, v, XMM1, v.size):
        return False
    let_memory_have(t, v.a, <int>v.room)
    while at < v.bytes:
        wide = part_at(t, v, at)
        count = bytes_of(wide) >> v.size
        first = <int64_t>(at >> v.size)
        edge = (0 if v.value < 0 else <int64_t>v.elements - 1) - first
        load_slid(t, v, first + v.value, limit, count, wide, K1)
        if one:
            if 0 <= edge < <int64_t>count:
                insert(t, v, edge, wide)
            store_result(t, v, XMM0, at, wide)
        elif v.value < 0:
            store_slid_up(t, v, at, count, wide)
        else:
            store_result(t, v, XMM0, at, wide)
        at += bytes_of(wide)
    return True


cdef void store_slid_up(Compilation* t, const VectorUop* v, uint32_t at, uint32_t count, int wide) noexcept nogil:
    """Those that k1 names."""
    cdef int mask = 0
    if v.masked:
        mask = load_bits(t, K2, v.mask, at >> v.size, count)
        vex(&t.e, KAND, W64, K1, K1, mask)
    store_selected(t, K1, XMM0, v.d + <int32_t>at, wide, v.size)


# --- Reductions, first elements, indices -----------------------------------------------------------------------------

cdef bint emit_first_number(Compilation* t, const VectorUop* v) noexcept nogil:
    cdef int result = float_target(t, v.result, XMM0)
    if v.size < 2 or not t.floats:
        return False
    if v.size == 2:
        on_few(t, VPMOVZXDQ, XMM0, v.a, 8)
        vex_literal(&t.e, VORPS, result, XMM0, t.jit.stubs.box)
    else:
        on_few(t, VMOVQ_LOW, result, v.a, 8)
    define_float(t, v.result, result, SINGLE if v.size == 2 else DOUBLE)
    return True


cdef bint emit_first_element(Compilation* t, const VectorUop* v) noexcept nogil:
    cdef int result = target_of(t, v.result, RAX), holder = holder_of(t, v.a, 1 << v.size)
    cdef int opcode = MOVSX8 if v.size == 0 else MOVSX16 if v.size == 1 else MOVSXD if v.size == 2 else MOV
    if v.numbers:
        return emit_first_number(t, v)
    if holder != NOWHERE:
        vex(&t.e, VMOVQ_TO, W64, holder, NO_SOURCE, result)
        if v.size < 3:
            op(&t.e, opcode, W64, result, result)
    else:
        let_memory_have(t, v.a, 1 << v.size)
        op_memory(&t.e, opcode, W64, result, RBP, NO_INDEX, v.a - BIAS)
    define(t, v.result, result)
    if v.size < 3:
        know_word(t, v.result)
    return True


cdef bint emit_reduction(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil:
    """Parts become one, and halves of that become halves of halves, until they are elements."""
    cdef Emitter* e = &t.e
    cdef int opcode = integer_opcode(v)
    cdef uint32_t bytes = v.elements << v.size, at
    cdef int wide = width_at(t, bytes)
    if v.numbers:
        return emit_sum(t, uop, v)
    if v.d_size != v.size or v.masked or not opcode:
        return False
    if bytes > MOST_BYTES or bytes & (bytes - 1) or bytes < 16:
        return False
    load_part(t, XMM0, v.a, wide)
    at = bytes_of(wide)
    while at < bytes:
        on_place(t, opcode | wide, XMM0, XMM0, v.a + <int32_t>at)
        at += bytes_of(wide)
    if wide == ZMM:
        vex_constant(e, VEXTRACTI64X4 | ZMM, WIG, XMM0, NO_SOURCE, XMM1, 1)
        on_registers(t, opcode | YMM, XMM0, XMM0, XMM1)
    if wide:
        vex_constant(e, VEXTRACTI128 | YMM, WIG, XMM0, NO_SOURCE, XMM1, 1)
        on_registers(t, opcode, XMM0, XMM0, XMM1)
    vex_constant(e, VPSHUFD, WIG, XMM1, NO_SOURCE, XMM0, 0x4E)      # exchanges halves
    on_registers(t, opcode, XMM0, XMM0, XMM1)
    if v.size < 3:
        vex_constant(e, VPSHUFD, WIG, XMM1, NO_SOURCE, XMM0, 0xB1)  # and halves of these
        on_registers(t, opcode, XMM0, XMM0, XMM1)
    if v.size < 2:
        vex_constant(e, SHIFT_DOUBLEWORDS, WIG, SHIFT_LOGICAL, XMM1, XMM0, 16)
        on_registers(t, opcode, XMM0, XMM0, XMM1)
    if v.size < 1:
        vex_constant(e, SHIFT_WORDS, WIG, SHIFT_LOGICAL, XMM1, XMM0, 8)
        on_registers(t, opcode, XMM0, XMM0, XMM1)
    on_registers(t, opcode, XMM0, XMM0, read_part(t, XMM1, v.b, 0))
    store_element(t, v, XMM0)
    return True


cdef bint emit_sum(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil:
    """In order, also where any would do: it is that of the interpreter."""
    cdef int opcode = VADDSS if v.size == 2 else VADDSD
    cdef uint32_t i
    cdef Cold* cold
    if v.operation != SUM or v.d_size != v.size or v.size < 2 or v.masked or not 0 < v.elements <= MOST_ADDED:
        return False
    let_memory_have(t, v.a, <int>(v.elements << v.size))
    load_part(t, XMM0, v.b, 0)
    for i in range(v.elements):
        vex_memory(&t.e, opcode, WIG, XMM0, XMM0, RBP, NO_INDEX, v.a + <int32_t>(i << v.size) - BIAS)
    cold = new_cold(t, COLD_NAN, uop)
    cold.xmm, cold.precision = XMM0, SINGLE if v.size == 2 else DOUBLE
    vex(&t.e, VUCOMISS if v.size == 2 else VUCOMISD, WIG, XMM0, NO_SOURCE, XMM0)
    cold_jump(cold, jump_if(&t.e, IF_UNORDERED, NULL))
    cold.done = here(&t.e)
    store_element(t, v, XMM0)
    return True


cdef void store_element(Compilation* t, const VectorUop* v, int xmm) noexcept nogil:
    """The first one of a register, as that of d. rax is lost."""
    cdef int opcode = MOV8_TO if v.size == 0 else MOV16_TO if v.size == 1 else MOV_TO
    if home_of(t, v.d, 16) != NOWHERE:
        load_constant(&t.e, RAX, 1)
        vex(&t.e, KMOV_FROM, W64, K1, NO_SOURCE, RAX)
        store_selected(t, K1, xmm, v.d, 0, v.size)
        return
    vex(&t.e, VMOVQ_TO, W64, xmm, NO_SOURCE, RAX)
    let_memory_have(t, v.d, 1 << v.size)
    op_memory(&t.e, opcode, W64 if v.size == 3 else W32, RAX, RBP, NO_INDEX, v.d - BIAS)
    take_from_memory(t, v.d, 1 << v.size)


cdef bint emit_give(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil:
    if not load_scalar(t, uop, v, XMM1, v.size):
        return False
    store_element(t, v, XMM1)
    return True


cdef bint emit_indices(Compilation* t, const VectorUop* v) noexcept nogil:
    cdef uint32_t at = 0
    cdef int wide
    cdef int[4] adds = [VPADDB, VPADDW, VPADDD, VPADDQ]
    if not has_parts(v):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        if at:
            load_constant(&t.e, RAX, at >> v.size)
            vex(&t.e, VMOVQ, W64, XMM0, NO_SOURCE, RAX)
            broadcast(t, v, XMM0, v.size)
            on_constant(t, adds[v.size] | wide, XMM0, XMM0, INDICES_OF_BYTES + v.size)
        else:
            on_constant(t, VMOVDQU | wide, XMM0, NO_SOURCE, INDICES_OF_BYTES + v.size)
        store_result(t, v, XMM0, at, wide)
        at += bytes_of(wide)
    return True
