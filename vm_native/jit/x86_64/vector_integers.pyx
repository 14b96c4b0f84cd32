"""Integer operations on the elements of vectors, in AVX2 instructions; among them moves, of numbers too.

A part of all operands is read before the result's is written. Where a result is wider than a source that it overlaps,
or narrower, they do so at ends where what is written has been read: that is a rule of the uops.
"""
from libc.stdint cimport int32_t, uint32_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport FROM_CONSTANT, FROM_NUMBER, FROM_VECTOR, VectorUop
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport *
from vm_native.jit.x86_64.compilation cimport Compilation, load_slot
from vm_native.jit.x86_64.vector_operands cimport (
    EmitVector, bytes_of, choose, has_parts, load_mask, load_part, load_scalar, part_at, put_part, store_result,
)

from vm_native.arithmetic.vector.table import NUMBERS

cdef enum:
    MOST_OPERATIONS = 256


cdef inline void with_second(
    Compilation* t, const VectorUop* v, int opcode, int xmm, int first, int place
) noexcept nogil:
    """`first` and the second operand, of which xmm1 has what is no vector."""
    if v.source == FROM_VECTOR:
        on_place(t, opcode, xmm, first, v.b + place)
    else:
        on_registers(t, opcode, xmm, first, XMM1)


cdef inline void load_second(Compilation* t, const VectorUop* v, int xmm, int place, int wide) noexcept nogil:
    if v.source == FROM_VECTOR:
        load_part(t, xmm, v.b + place, wide)
    else:
        on_registers(t, VMOVDQU | wide, xmm, NO_SOURCE, XMM1)


# --- How. The functions that the rules name --------------------------------------------------------------------------

cdef bint binary(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """a OP b."""
    cdef uint32_t at = 0
    cdef int wide
    if not host[v.size] or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(v, at)
        load_part(t, XMM0, v.a + at, wide)
        with_second(t, v, host[v.size] | wide, XMM0, XMM0, at)
        store_result(t, v, at, wide)
        at += bytes_of(wide)
    return True


cdef bint reversed(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """b OP a."""
    cdef uint32_t at = 0
    cdef int wide
    if not host[v.size] or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(v, at)
        load_second(t, v, XMM0, at, wide)
        on_place(t, host[v.size] | wide, XMM0, XMM0, v.a + at)
        store_result(t, v, at, wide)
        at += bytes_of(wide)
    return True


cdef bint saturated(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """Of which the first half saturates, and the second does not: where they differ something has."""
    cdef uint32_t at = 0
    cdef int wide
    if v.size > 1 or v.masked or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(v, at)
        load_part(t, XMM0, v.a + at, wide)
        with_second(t, v, host[2 + v.size] | wide, XMM2, XMM0, at)
        with_second(t, v, host[v.size] | wide, XMM0, XMM0, at)
        on_registers(t, VPXOR | wide, XMM2, XMM2, XMM0)
        on_registers(t, VPTEST | wide, XMM2, NO_SOURCE, XMM2)
        op(&t.e, SETCC | IF_NOT_EQUAL, W32, 0, RAX)
        op_memory(&t.e, OR8_TO, W32, RAX, RBP, NO_INDEX, v.saturated - BIAS)
        put_part(t, v, XMM0, at, wide)
        at += bytes_of(wide)
    return True


cdef bint moved(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    cdef uint32_t at = 0
    cdef int wide
    if not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(v, at)
        if v.source != FROM_VECTOR and not v.masked:
            put_part(t, v, XMM1, at, wide)
        else:
            load_second(t, v, XMM0, at, wide)
            store_result(t, v, at, wide)
        at += bytes_of(wide)
    return True


cdef bint merged(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """b where the mask is set, else a."""
    cdef uint32_t at = 0
    cdef int wide
    if not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(v, at)
        load_mask(t, v, at, wide, XMM2, False)
        load_part(t, XMM0, v.a + at, wide)
        if v.source == FROM_VECTOR:
            choose(t, XMM0, XMM0, v.b + at, XMM2, wide)
        else:
            vex_constant(&t.e, VPBLENDVB | wide, WIG, XMM0, XMM0, XMM1, XMM2 << MASK_IN_CONSTANT)
        put_part(t, v, XMM0, at, wide)
        at += bytes_of(wide)
    return True


# Shifts

cdef int[4] SHIFTS_BY_CONSTANT = [0, SHIFT_WORDS, SHIFT_DOUBLEWORDS, SHIFT_QUADWORDS]


cdef void load_count(Compilation* t, const VectorUop* v, int bits) noexcept nogil:
    """Into eax and the lowest element of xmm1, modulo the bits of what is shifted."""
    if v.source == FROM_CONSTANT:
        load_constant(&t.e, RAX, v.value & (bits - 1))
    else:
        load_slot(t, RAX, v.slot)
        op_constant(&t.e, AND_CONSTANT, W32, RAX, bits - 1)
    vex(&t.e, VMOVQ, W64, XMM1, NO_SOURCE, RAX)


cdef bint shifted(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """By the same number of bits, or each by its own. Bytes are shifted in words, and lose what came from others."""
    cdef uint32_t at = 0
    cdef int wide, size = v.size if v.size else 1
    cdef bint bytes = v.size == 0
    if v.source == FROM_VECTOR:
        return each_shifted(t, v, host)
    if not host[size] or bytes and (v.masked or host[1] == VPSRAW):
        return False
    load_count(t, v, 8 << v.size)
    if bytes:
        op(&t.e, MOV, W32, RCX, RAX)
        load_constant(&t.e, RAX, 0xFF)
        shift_cl(&t.e, SHR if host[1] == VPSRLW else SHL, W32, RAX)
        vex(&t.e, VMOVQ, W32, XMM2, NO_SOURCE, RAX)
        on_registers(t, VPBROADCASTB | YMM, XMM2, NO_SOURCE, XMM2)
    while at < v.bytes:
        wide = part_at(v, at)
        load_part(t, XMM0, v.a + at, wide)
        on_registers(t, host[size] | wide, XMM0, XMM0, XMM1)
        if bytes:
            on_registers(t, VPAND | wide, XMM0, XMM0, XMM2)
        store_result(t, v, at, wide)
        at += bytes_of(wide)
    return True


cdef bint each_shifted(Compilation* t, const VectorUop* v, const int* host) noexcept nogil:
    cdef uint32_t at = 0
    cdef int wide, opcode = host[4 + v.size - 2] if v.size >= 2 else 0
    if not opcode:
        return False
    load_constant(&t.e, RAX, (8 << v.size) - 1)
    vex(&t.e, VMOVQ, W64, XMM1, NO_SOURCE, RAX)
    on_registers(t, (VPBROADCASTD if v.size == 2 else VPBROADCASTQ) | YMM, XMM1, NO_SOURCE, XMM1)
    while at < v.bytes:
        wide = part_at(v, at)
        on_place(t, VPAND | wide, XMM2, XMM1, v.b + at)
        load_part(t, XMM0, v.a + at, wide)
        on_registers(t, opcode | wide, XMM0, XMM0, XMM2)
        store_result(t, v, at, wide)
        at += bytes_of(wide)
    return True


cdef bint narrowed(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """The low halves of elements that have been shifted right by the same number of bits."""
    cdef uint32_t at = 0
    cdef int opcode = host[v.size + 1] if v.size < 3 else 0
    if not opcode or v.source == FROM_VECTOR or v.masked:
        return False
    load_count(t, v, 16 << v.size)
    on_registers(t, VMOVDQU, XMM2, NO_SOURCE, XMM1)
    while at < v.bytes:
        load_part(t, XMM0, v.a + 2 * at, 0)
        on_registers(t, opcode, XMM0, XMM0, XMM2)
        load_part(t, XMM1, v.a + 2 * at + 16, 0)
        on_registers(t, opcode, XMM1, XMM1, XMM2)
        if v.size == 2:
            vex_constant(&t.e, VSHUFPS, WIG, XMM0, XMM0, XMM1, 0x88)     # the even ones of both
        else:
            on_constant(t, VPAND, XMM0, XMM0, LOW_WORDS if v.size else LOW_BYTES)
            on_constant(t, VPAND, XMM1, XMM1, LOW_WORDS if v.size else LOW_BYTES)
            on_registers(t, VPACKUSDW if v.size else VPACKUSWB, XMM0, XMM0, XMM1)
        put_part(t, v, XMM0, at, 0)
        at += 16
    return True


# Multiplications

cdef void multiply(Compilation* t, const VectorUop* v, int opcode, int32_t factor, int at, int wide) noexcept nogil:
    """What stands at a place and the second operand, into xmm0. xmm2 is lost.

    Of 64 bits the host multiplies halves: the lower ones, and to the upper half of that comes the sum of the others.
    """
    if v.d_size < 3:
        load_part(t, XMM0, factor + at, wide)
        with_second(t, v, opcode | wide, XMM0, XMM0, at)
        return
    if v.source == FROM_VECTOR:
        load_part(t, XMM1, v.b + at, wide)
    vex_constant(&t.e, VPSHUFD | wide, WIG, XMM2, NO_SOURCE, XMM1, 0xB1)        # exchanges halves
    on_place(t, VPMULLD | wide, XMM2, XMM2, factor + at)
    vex_constant(&t.e, SHIFT_QUADWORDS | wide, WIG, SHIFT_LOGICAL, XMM0, XMM2, 32)
    on_registers(t, VPADDD | wide, XMM2, XMM2, XMM0)
    vex_constant(&t.e, SHIFT_QUADWORDS | wide, WIG, SHIFT_LEFT, XMM2, XMM2, 32)
    on_place(t, VPMULUDQ | wide, XMM0, XMM1, factor + at)
    on_registers(t, VPADDQ | wide, XMM0, XMM0, XMM2)


cdef bint multiplied(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """a * b, of elements that are no wider."""
    cdef uint32_t at = 0
    cdef int wide
    if not host[v.size] or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(v, at)
        multiply(t, v, host[v.size], v.a, at, wide)
        store_result(t, v, at, wide)
        at += bytes_of(wide)
    return True


cdef bint multiplied_and_added(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """a * b with d, or d * b with a: the sum or what the product leaves of it."""
    cdef uint32_t at = 0
    cdef int wide
    cdef bint of_result = host[9]
    cdef int32_t factor = v.d if of_result else v.a, addend = v.a if of_result else v.d
    if not host[v.size] or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(v, at)
        multiply(t, v, host[v.size], factor, at, wide)
        if host[8]:
            load_part(t, XMM2, addend + at, wide)
            on_registers(t, host[4 + v.size] | wide, XMM0, XMM2, XMM0)
        else:
            on_place(t, host[4 + v.size] | wide, XMM0, XMM0, addend + at)
        store_result(t, v, at, wide)
        at += bytes_of(wide)
    return True


# Between widths

cdef int[4][4] SIGNED = [
    [0, VPMOVSXBW, VPMOVSXBD, VPMOVSXBQ], [0, 0, VPMOVSXWD, VPMOVSXWQ], [0, 0, 0, VPMOVSXDQ], [0, 0, 0, 0],
]
cdef int[4][4] UNSIGNED = [
    [0, VPMOVZXBW, VPMOVZXBD, VPMOVZXBQ], [0, 0, VPMOVZXWD, VPMOVZXWQ], [0, 0, 0, VPMOVZXDQ], [0, 0, 0, 0],
]


cdef bint extended(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    cdef uint32_t at = 0
    cdef int wide, opcode = SIGNED[v.a_size][v.d_size] if host[0] else UNSIGNED[v.a_size][v.d_size]
    while at < v.bytes:
        wide = part_at(v, at)
        on_place(t, opcode | wide, XMM0, NO_SOURCE, v.a + <int32_t>(at >> v.d_size - v.a_size))
        store_result(t, v, at, wide)
        at += bytes_of(wide)
    return True


cdef bint widened(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """An operation on extended operands, of which a may be wide already; and then perhaps a sum with d."""
    cdef uint32_t at = 0, half
    cdef int wide, d = v.d_size
    cdef int extend_a = SIGNED[v.size][d] if host[8] & 1 else UNSIGNED[v.size][d]
    cdef int extend_b = SIGNED[v.size][d] if host[8] & 2 else UNSIGNED[v.size][d]
    if d == v.size:
        return multiplied(t, uop, v, host) if host[9] else binary(t, uop, v, host)
    if not host[d] or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    if v.source != FROM_VECTOR:
        on_registers(t, extend_b | YMM, XMM1, NO_SOURCE, XMM1)
    while at < v.bytes:
        wide = part_at(v, at)
        half = at >> 1
        if v.a_size == d:
            load_part(t, XMM0, v.a + at, wide)
        else:
            on_place(t, extend_a | wide, XMM0, NO_SOURCE, v.a + half)
        if v.source == FROM_VECTOR:
            on_place(t, extend_b | wide, XMM1, NO_SOURCE, v.b + half)
        on_registers(t, host[d] | wide, XMM0, XMM0, XMM1)
        if host[8] & 4:
            on_place(t, host[4 + d] | wide, XMM0, XMM0, v.d + at)
        store_result(t, v, at, wide)
        at += bytes_of(wide)
    return True


cdef bint bytes_reversed(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    cdef uint32_t at = 0
    cdef int wide
    while at < v.bytes:
        wide = part_at(v, at)
        load_part(t, XMM0, v.a + at, wide)
        if v.size:
            on_constant(t, VPSHUFB | wide, XMM0, XMM0, REVERSED_WORDS + v.size - 1)
        store_result(t, v, at, wide)
        at += bytes_of(wide)
    return True


# --- What. A row for each operation: how, and with which instructions by the width of elements -----------------------

cdef struct IntegersRule:
    EmitVector emit         # NULL: not here
    int[10] host

cdef IntegersRule[MOST_OPERATIONS] rules


cdef int R(str name, EmitVector emit, host=(), signs=0) except -1:
    cdef int number = NUMBERS[name]
    rules[number].emit = emit
    for place, opcode in enumerate(host):
        rules[number].host[place] = opcode
    if signs:
        rules[number].host[8] = signs
    return 0


ADDS, SUBS = (VPADDB, VPADDW, VPADDD, VPADDQ), (VPSUBB, VPSUBW, VPSUBD, VPSUBQ)
PRODUCTS = (0, VPMULLW, VPMULLD, 0)
ALL_PRODUCTS = (0, VPMULLW, VPMULLD, VPMULUDQ)      # of the last, halves
A_SIGNED, B_SIGNED, ADDED = 1, 2, 4
PRODUCT = 1

# What is said of widening operations does not count where nothing is widened.
R("add",    widened, ADDS)
R("sub",    widened, SUBS)
R("adds",   widened, ADDS, A_SIGNED | B_SIGNED)
R("subs",   widened, SUBS, A_SIGNED | B_SIGNED)
R("mul",    widened, (0, VPMULLW, VPMULLD, VPMULUDQ, 0, 0, 0, 0, 0, PRODUCT))
R("muls",   widened, (0, VPMULLW, VPMULLD, VPMULDQ), A_SIGNED | B_SIGNED)
R("mulsu",  widened, PRODUCTS, A_SIGNED)
R("maccs",  widened, (0, VPMULLW, VPMULLD, VPMULDQ, *ADDS), A_SIGNED | B_SIGNED | ADDED)
R("maccsu", widened, (*PRODUCTS, *ADDS), B_SIGNED | ADDED)
R("maccus", widened, (*PRODUCTS, *ADDS), A_SIGNED | ADDED)

R("rsub",   reversed, SUBS)
R("and",    binary,  (VPAND,) * 4)
R("or",     binary,  (VPOR,) * 4)
R("xor",    binary,  (VPXOR,) * 4)
R("andn",   reversed, (VPANDN,) * 4)
R("minu",   binary,  (VPMINUB, VPMINUW, VPMINUD, 0))
R("maxu",   binary,  (VPMAXUB, VPMAXUW, VPMAXUD, 0))
R("min",    binary,  (VPMINSB, VPMINSW, VPMINSD, 0))
R("max",    binary,  (VPMAXSB, VPMAXSW, VPMAXSD, 0))
R("mulhu",  binary,  (0, VPMULHUW, 0, 0))
R("mulh",   binary,  (0, VPMULHW, 0, 0))
R("second", moved)
R("fsecond", moved)
R("merge",  merged)
R("fmerge", merged)
R("zext",   extended)
R("sext",   extended, (1,))
R("rev8",   bytes_reversed)

R("sll",    shifted, (0, VPSLLW, VPSLLD, VPSLLQ, VPSLLVD, VPSLLVQ))
R("srl",    shifted, (0, VPSRLW, VPSRLD, VPSRLQ, VPSRLVD, VPSRLVQ))
R("sra",    shifted, (0, VPSRAW, VPSRAD, 0, VPSRAVD, 0))
R("nsrl",   narrowed, (0, VPSRLW, VPSRLD, VPSRLQ))
R("nsra",   narrowed, (0, VPSRAW, VPSRAD, 0))

R("nmsac",  multiplied_and_added, (*ALL_PRODUCTS, *SUBS, 1, 0))
R("madd",   multiplied_and_added, (*ALL_PRODUCTS, *ADDS, 0, 1))
R("nmsub",  multiplied_and_added, (*ALL_PRODUCTS, *SUBS, 1, 1))

R("saddu",  saturated, (VPADDUSB, VPADDUSW, VPADDB, VPADDW))
R("sadd",   saturated, (VPADDSB, VPADDSW, VPADDB, VPADDW))
R("ssubu",  saturated, (VPSUBUSB, VPSUBUSW, VPSUBB, VPSUBW))
R("ssub",   saturated, (VPSUBSB, VPSUBSW, VPSUBB, VPSUBW))


cdef bint multiply_and_add(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """Of elements as wide as the sum, or half as wide."""
    if v.d_size == v.size:
        return multiplied_and_added(t, uop, v, MACC)
    return widened(t, uop, v, host)


cdef int[10] MACC = [0, VPMULLW, VPMULLD, VPMULUDQ, VPADDB, VPADDW, VPADDD, VPADDQ, 0, 0]
R("macc",   multiply_and_add, (0, VPMULLW, VPMULLD, VPMULUDQ, *ADDS), ADDED)


cdef int integer_opcode(const VectorUop* v) noexcept nogil:
    """The instruction for the operation on two operands as wide as the result, or 0."""
    cdef const IntegersRule* rule = &rules[v.operation]
    return rule.host[v.size] if rule.emit == binary or rule.emit == widened and not rule.host[9] else 0


cdef bint may_be_part(const VectorUop* v) noexcept nogil:
    """Whether it can be done where the registers of the operands have more elements than there are."""
    cdef EmitVector emit = rules[v.operation].emit
    if emit == NULL or emit == saturated or emit == narrowed or v.source == FROM_NUMBER:
        return False
    return emit != shifted or v.size > 0 or v.source == FROM_VECTOR


cdef bint emit_integers(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil:
    """Whether the operation is one of these; then it has been emitted."""
    cdef const IntegersRule* rule = &rules[v.operation]
    return rule.emit != NULL and has_parts(v) and rule.emit(t, uop, v, rule.host)
