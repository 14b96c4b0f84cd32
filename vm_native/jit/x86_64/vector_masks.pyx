"""Vectors of bits: comparisons of integers, which make them; logic, counts and the first that is set."""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport (
    BITS, FROM_VECTOR, VECTOR_COUNT, VECTOR_FIND, VECTOR_LOGIC, VectorUop,
)
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport *
from vm_native.jit.x86_64.avx512 cimport *
from vm_native.jit.x86_64.compilation cimport BIAS, LOAD, STORE, Compilation, Direction, define
from vm_native.jit.x86_64.vector_operands cimport (
    COMPARISONS, MOST_BYTES, bytes_of, load_part, load_scalar, on_place, read_part, width_at,
)
from vm_native.jit.x86_64.vector_registers cimport know_bits, knows_bits, let_memory_have, take_from_memory

from vm_native.arithmetic.vector.table import NUMBERS

cdef enum:
    MOST_OPERATIONS = 256


# --- Bits from elements. A comparison leaves all ones or zeroes in each; rax gets a bit of each, rcx collects them ---

cdef bint has_lanes(const VectorUop* v) noexcept nogil:
    """Whether all elements are parts of 32 and 16 bytes."""
    cdef uint32_t bytes = v.elements << v.size
    return 0 < bytes <= MOST_BYTES and bytes & 15 == 0


cdef int lanes_at(const Compilation* t, const VectorUop* v, uint32_t place) noexcept nogil:
    """How wide the part of the operands is that begins there. Of words AVX2 does 16 bytes at a time: it packs bits."""
    return 0 if v.size == 1 and not t.avx512 else width_at(t, (v.elements << v.size) - place)


cdef inline int bits_at_once(const VectorUop* v, uint32_t first) noexcept nogil:
    """How many are written together, from this element on. Whoever reads them soon reads as many, or fewer: the host
    does not find in one store what several have written.
    """
    cdef uint32_t left = v.elements - first
    return 64 if left >= 64 else 32 if left >= 32 else 16 if left >= 16 else 8 if left >= 8 else <int>left


cdef int mask_for(const VectorUop* v, int wide) noexcept nogil:
    """The mask register for a comparison: k5, where that shall have all bits of d."""
    return K5 if not v.masked and v.elements << v.size == bytes_of(wide) else K1


cdef void take_lanes(Compilation* t, const VectorUop* v, BitsOfLanes* bits, int wide, int mask) noexcept nogil:
    """The bits of xmm0, or a mask register, behind those that have been taken, into rcx; from there to d when there are
    enough.
    """
    cdef Emitter* e = &t.e
    if t.avx512:
        vex(e, KMOV_TO, W64, RAX, NO_SOURCE, mask)
    elif v.size == 1:
        on_registers(t, VPACKSSWB, XMM0, XMM0, XMM0)
        on_registers(t, VPMOVMSKB | wide, RAX, NO_SOURCE, XMM0)
        op(e, MOVZX8, W32, RAX, RAX)
    elif v.size == 0:
        on_registers(t, VPMOVMSKB | wide, RAX, NO_SOURCE, XMM0)
    else:
        on_registers(t, (VMOVMSKPS if v.size == 2 else VMOVMSKPD) | wide, RAX, NO_SOURCE, XMM0)
    if bits.count:
        shift_constant(e, SHL, W64, RAX, bits.count)
        op(e, OR, W64, RCX, RAX)
    else:
        op(e, MOV, W64, RCX, RAX)
    bits.count += <int>(bytes_of(wide) >> v.size)
    if bits.count == bits_at_once(v, bits.first):
        give_lanes(t, v, bits)
        if t.avx512 and mask == K5:
            know_bits(t, v.d, bits.count)
        bits.first += bits.count
        bits.count = 0


cdef void move_bits(Compilation* t, Direction direction, int reg, int32_t place, int count) noexcept nogil:
    """As many bytes as that many bits take."""
    cdef int opcode = MOVZX8 if count <= 8 else MOVZX16 if count <= 16 else MOV
    if direction == STORE:
        opcode = MOV8_TO if count <= 8 else MOV16_TO if count <= 16 else MOV_TO
    op_memory(&t.e, opcode, W64 if count == 64 else W32, reg, RBP, NO_INDEX, place - BIAS)


cdef void give_lanes(Compilation* t, const VectorUop* v, const BitsOfLanes* bits) noexcept nogil:
    """Other bits stay as they are: those behind the last, and where the mask is not set."""
    cdef Emitter* e = &t.e
    cdef int32_t byte = <int32_t>(bits.first >> 3)
    cdef int count = bits.count
    cdef int32_t ones = -1 if count >= 32 else (1 << count) - 1
    let_memory_have(t, v.mask, (<int32_t>v.elements + 7) >> 3)
    let_memory_have(t, v.d, (<int32_t>v.elements + 7) >> 3)
    if bits.inverted:
        op_constant(e, XOR_CONSTANT, W64 if count == 64 else W32, RCX, ones)
    if v.masked or count < 8:
        if v.masked:
            move_bits(t, LOAD, RDX, v.mask + byte, count)
            if count < 8:
                op_constant(e, AND_CONSTANT, W32, RDX, ones)
        else:
            load_constant(e, RDX, ones)
        op(e, AND, W64, RCX, RDX)
        move_bits(t, LOAD, RAX, v.d + byte, count)
        vex(e, ANDN, W64, RAX, RDX, RAX)
        op(e, OR, W64, RCX, RAX)
    move_bits(t, STORE, RCX, v.d + byte, count)
    take_from_memory(t, v.d, (<int32_t>v.elements + 7) >> 3)


cdef struct ComparisonRule:
    int[4] host             # by the width of elements
    bint is_there
    bint swapped            # of b with a
    bint to_first           # the host's gives the lesser or the greater: a, or else b, if the comparison holds
    bint of_lesser
    bint inverted
    int order               # of AVX-512
    int of_signed

cdef ComparisonRule[MOST_OPERATIONS] rules
cdef int[4] EQUALS = [VPCMPEQB, VPCMPEQW, VPCMPEQD, VPCMPEQQ]


def R(str name, host, int order, int of_signed=0, swapped=False, lesser=None, inverted=False):
    """`lesser`: which of the operands the lesser one then is."""
    cdef ComparisonRule* rule = &rules[<int>NUMBERS[name]]
    for size, opcode in enumerate(host):
        rule.host[<int>size] = opcode
    rule.is_there, rule.swapped, rule.inverted = True, swapped, inverted
    rule.order, rule.of_signed = order, of_signed
    rule.of_lesser, rule.to_first = lesser is not None, lesser == "a"


GREATER = (VPCMPGTB, VPCMPGTW, VPCMPGTD, VPCMPGTQ)
LESSER = (VPMINUB, VPMINUW, VPMINUD, 0)
R("seq",  (VPCMPEQB, VPCMPEQW, VPCMPEQD, VPCMPEQQ), ORDER_EQUAL)
R("sne",  (VPCMPEQB, VPCMPEQW, VPCMPEQD, VPCMPEQQ), ORDER_NOT_EQUAL, inverted=True)
R("slt",  GREATER, ORDER_LESS, OF_SIGNED, swapped=True)
R("sgt",  GREATER, ORDER_GREATER, OF_SIGNED)
R("sle",  GREATER, ORDER_NOT_GREATER, OF_SIGNED, inverted=True)
R("sleu", LESSER, ORDER_NOT_GREATER, lesser="a")
R("sgtu", LESSER, ORDER_GREATER, lesser="a", inverted=True)
R("sltu", LESSER, ORDER_LESS, lesser="b", inverted=True)


cdef bint emit_comparison_of_vectors(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil:
    """Whether the operation is a comparison of integers; then it has been emitted."""
    cdef const ComparisonRule* rule = &rules[v.operation]
    cdef BitsOfLanes bits = BitsOfLanes(0, 0, rule.inverted and not t.avx512)
    cdef uint32_t at = 0
    cdef int wide, second, mask, opcode = rule.host[v.size]
    if v.d_size != BITS or not rule.is_there or not has_lanes(v) or not opcode and not t.avx512:
        return False
    if not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.elements << v.size:
        wide = lanes_at(t, v, at)
        if t.avx512:
            mask = mask_for(v, wide)
            second = read_part(t, XMM1, v.b + at, wide) if v.source == FROM_VECTOR else XMM1
            vex_constant(
                &t.e, COMPARISONS[v.size] | rule.of_signed | wide, WIG, mask, read_part(t, XMM0, v.a + at, wide),
                second, rule.order
            )
            take_lanes(t, v, &bits, wide, mask)
            at += bytes_of(wide)
            continue
        if v.source == FROM_VECTOR:
            load_part(t, XMM1, v.b + at, wide)
        if rule.swapped:
            on_place(t, opcode | wide, XMM0, XMM1, v.a + at)
        else:
            load_part(t, XMM0, v.a + at, wide)
            on_registers(t, opcode | wide, XMM2 if rule.of_lesser else XMM0, XMM0, XMM1)
            if rule.of_lesser:
                on_registers(t, EQUALS[v.size] | wide, XMM0, XMM2, XMM0 if rule.to_first else XMM1)
        take_lanes(t, v, &bits, wide, 0)
        at += bytes_of(wide)
    return True


# --- Bits from bits, 64 at a time ------------------------------------------------------------------------------------

cdef inline uint64_t ones_of(const VectorUop* v, uint32_t first) noexcept nogil:
    """A bit for each of the elements from this one on."""
    return <uint64_t>-1 if v.elements - first >= 64 else (<uint64_t>1 << (v.elements - first)) - 1


cdef void combine(Compilation* t, int operation) noexcept nogil:
    """rax and rcx into rax, by the table of truth."""
    cdef Emitter* e = &t.e
    cdef int plain = operation
    if operation == 0b0100:                 # a and not b
        unary(e, NOT, W64, RCX)
        plain = 0b1000
    elif operation == 0b1101:               # a or not b
        unary(e, NOT, W64, RCX)
        plain = 0b1110
    elif operation & 1:
        plain = ~operation & 0b1111
    op(e, AND if plain == 0b1000 else OR if plain == 0b1110 else XOR, W64, RAX, RCX)
    if plain != operation and operation & 1 and operation != 0b1101:
        unary(e, NOT, W64, RAX)


cdef bint emit_logic(Compilation* t, const VectorUop* v) noexcept nogil:
    cdef Emitter* e = &t.e
    cdef uint32_t first = 0
    cdef int32_t byte, bytes = (<int32_t>v.elements + 63) >> 6 << 3
    cdef uint64_t ones
    let_memory_have(t, v.a, bytes)
    let_memory_have(t, v.b, bytes)
    let_memory_have(t, v.d, bytes)
    while first < v.elements:
        byte = <int32_t>(first >> 3)
        ones = ones_of(v, first)
        op_memory(e, MOV, W64, RAX, RBP, NO_INDEX, v.a + byte - BIAS)
        op_memory(e, MOV, W64, RCX, RBP, NO_INDEX, v.b + byte - BIAS)
        combine(t, v.operation)
        if ones != <uint64_t>-1:
            load_constant(e, RDX, <int64_t>ones)
            op(e, AND, W64, RAX, RDX)
            op_memory(e, MOV, W64, RCX, RBP, NO_INDEX, v.d + byte - BIAS)
            vex(e, ANDN, W64, RCX, RDX, RCX)
            op(e, OR, W64, RAX, RCX)
        op_memory(e, MOV_TO, W64, RAX, RBP, NO_INDEX, v.d + byte - BIAS)
        first += 64
    take_from_memory(t, v.d, bytes)
    return True


cdef void load_word_of_bits(Compilation* t, const VectorUop* v, uint32_t first) noexcept nogil:
    """The bits of a that count, into rax; rdx is lost."""
    cdef Emitter* e = &t.e
    cdef int32_t byte = <int32_t>(first >> 3)
    cdef uint64_t ones = ones_of(v, first)
    if not first and not v.masked and v.elements <= 64 and knows_bits(t, v.a, v.elements):
        vex(e, KMOV_TO, W64, RAX, NO_SOURCE, K5)
        return
    let_memory_have(t, v.a + byte, 8)
    if v.masked:
        let_memory_have(t, v.mask + byte, 8)
    if ones == 0xFFFFFFFFULL:
        op_memory(e, MOV, W32, RAX, RBP, NO_INDEX, v.a + byte - BIAS)
    elif ones == 0xFFFF or ones == 0xFF:
        op_memory(e, MOVZX8 if ones == 0xFF else MOVZX16, W32, RAX, RBP, NO_INDEX, v.a + byte - BIAS)
    else:
        op_memory(e, MOV, W64, RAX, RBP, NO_INDEX, v.a + byte - BIAS)
        if ones != <uint64_t>-1:
            load_constant(e, RDX, <int64_t>ones)
            op(e, AND, W64, RAX, RDX)
    if v.masked:
        op_memory(e, AND, W64, RAX, RBP, NO_INDEX, v.mask + byte - BIAS)


cdef bint emit_count(Compilation* t, const VectorUop* v) noexcept nogil:
    cdef uint32_t first = 0
    if v.elements > 512:
        return False
    load_constant(&t.e, RCX, 0)
    while first < v.elements:
        load_word_of_bits(t, v, first)
        op(&t.e, POPCNT, W64, RAX, RAX)
        op(&t.e, ADD, W32, RCX, RAX)
        first += 64
    define(t, v.result, RCX)
    return True


cdef bint emit_find(Compilation* t, const VectorUop* v) noexcept nogil:
    """The host says with its carry flag that no bit is set."""
    cdef Emitter* e = &t.e
    cdef uint8_t* found[8]
    cdef int i, words = <int>(v.elements + 63) >> 6
    if words > 8:
        return False
    load_constant(e, RCX, -1)
    for i in range(words):
        load_word_of_bits(t, v, 64 * i)
        op(e, TZCNT, W64, RAX, RAX)
        if i < words - 1 or i:
            found[i] = jump_if(e, IF_NOT_BELOW, NULL)
        else:
            op(e, CMOVCC | IF_NOT_BELOW, W64, RCX, RAX)
    if words > 1:
        found_at(t, found, words)
    define(t, v.result, RCX)
    return True


cdef void found_at(Compilation* t, uint8_t** found, int words) noexcept nogil:
    """Where the words have led to: ecx becomes the place of the bit, of which eax says where in its word it is."""
    cdef Emitter* e = &t.e
    cdef uint8_t* none = jump(e, NULL)
    cdef uint8_t* ends[8]
    cdef int i
    for i in range(words):
        patch(found[i], e.executable, here(e))
        op_memory(e, LEA, W64, RCX, RAX, NO_INDEX, 64 * i)
        if i < words - 1:
            ends[i] = jump(e, NULL)
    for i in range(words - 1):
        patch(ends[i], e.executable, here(e))
    patch(none, e.executable, here(e))


cdef bint emit_bits(Compilation* t, const VectorUop* v) noexcept nogil:
    """Whether it is one of what is done with bits alone; then it has been emitted."""
    if v.kind == VECTOR_LOGIC:
        return emit_logic(t, v)
    if v.kind == VECTOR_COUNT:
        return emit_count(t, v)
    return v.kind == VECTOR_FIND and emit_find(t, v)
