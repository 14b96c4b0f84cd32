"""Integer operations on the elements of vectors; among them moves, of numbers too.

A part of all operands is read before the result's is written. Where a result is wider than a source that it overlaps,
or narrower, they do so at ends where what is written has been read: that is a rule of the uops.
"""
from libc.stdint cimport int32_t, uint32_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport FROM_CONSTANT, FROM_NUMBER, FROM_VECTOR, VectorUop
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport *
from vm_native.jit.x86_64.avx512 cimport *
from vm_native.jit.x86_64.compilation cimport BIAS, Compilation, load_slot
from vm_native.jit.x86_64.vector_operands cimport (
    EmitVector, broadcast, bytes_of, choose, has_parts, load_bits, load_mask, load_part, load_scalar, on_few, on_place,
    part_at, read_part, store_result, target_of_part, widest,
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


cdef inline int read_second(Compilation* t, const VectorUop* v, int scratch, int place, int wide) noexcept nogil:
    return read_part(t, scratch, v.b + place, wide) if v.source == FROM_VECTOR else XMM1


# --- How. The functions that the rules name --------------------------------------------------------------------------

cdef bint binary(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """a OP b."""
    cdef uint32_t at = 0
    cdef int wide, result
    if not host[v.size] or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        result = target_of_part(t, v, at, wide)
        with_second(t, v, host[v.size] | wide, result, read_part(t, XMM0, v.a + at, wide), at)
        store_result(t, v, result, at, wide)
        at += bytes_of(wide)
    return True


cdef bint reversed(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """b OP a."""
    cdef uint32_t at = 0
    cdef int wide, result
    if not host[v.size] or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        result = target_of_part(t, v, at, wide)
        on_place(t, host[v.size] | wide, result, read_second(t, v, XMM0, at, wide), v.a + at)
        store_result(t, v, result, at, wide)
        at += bytes_of(wide)
    return True


cdef void test_for_bits(Compilation* t, int xmm, int wide) noexcept nogil:
    """The zero flag says that there are none."""
    if t.avx512:
        on_registers(t, VPTESTMD | wide, K1, xmm, xmm)
        test_mask(t, K1, K1)
    else:
        on_registers(t, VPTEST | wide, xmm, NO_SOURCE, xmm)


cdef bint saturated(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """Of which the first half saturates, and the second does not: where they differ something has."""
    cdef uint32_t at = 0
    cdef int wide, first
    if v.size > 1 or v.masked or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        first = read_part(t, XMM0, v.a + at, wide)
        with_second(t, v, host[2 + v.size] | wide, XMM2, first, at)
        with_second(t, v, host[v.size] | wide, XMM0, first, at)
        on_registers(t, VPXOR | wide, XMM2, XMM2, XMM0)
        test_for_bits(t, XMM2, wide)
        op(&t.e, SETCC | IF_NOT_EQUAL, W32, 0, RAX)
        op_memory(&t.e, OR8_TO, W32, RAX, RBP, NO_INDEX, v.saturated - BIAS)
        store_result(t, v, XMM0, at, wide)
        at += bytes_of(wide)
    return True


cdef bint moved(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    cdef uint32_t at = 0
    cdef int wide
    if not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        store_result(t, v, read_second(t, v, XMM0, at, wide), at, wide)
        at += bytes_of(wide)
    return True


cdef int[4] BLENDS = [VPBLENDMB, VPBLENDMW, VPBLENDMD, VPBLENDMQ]


cdef bint merged(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """b where the mask is set, else a."""
    cdef uint32_t at = 0
    cdef int wide, result, mask
    if not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        result = target_of_part(t, v, at, wide)
        if t.avx512:
            mask = load_bits(t, K1, v.mask, at >> v.size, bytes_of(wide) >> v.size)
            with_second(t, v, BLENDS[v.size] | wide | under(mask), result, read_part(t, XMM0, v.a + at, wide), at)
        else:
            load_mask(t, v, at, wide, XMM2, False)
            load_part(t, XMM0, v.a + at, wide)
            if v.source == FROM_VECTOR:
                choose(t, XMM0, XMM0, v.b + at, XMM2, wide)
            else:
                vex_constant(&t.e, VPBLENDVB | wide, WIG, XMM0, XMM0, XMM1, XMM2 << MASK_IN_CONSTANT)
        store_result(t, v, result, at, wide)
        at += bytes_of(wide)
    return True


# Shifts

cdef int[4] SHIFTS_BY_CONSTANT = [SHIFT_WORDS, SHIFT_WORDS, SHIFT_DOUBLEWORDS, SHIFT_QUADWORDS]


cdef inline int direction_of(const int* host) noexcept nogil:
    """Of a row's shifts, as such a one has it."""
    return SHIFT_ARITHMETIC if host[1] == VPSRAW else SHIFT_LOGICAL if host[1] == VPSRLW else SHIFT_LEFT


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
    cdef int wide, result, first, size = v.size if v.size else 1
    cdef bint bytes = v.size == 0
    if v.source == FROM_VECTOR:
        return each_shifted(t, v, host)
    if not host[size] or bytes and (v.masked and not t.avx512 or host[1] == VPSRAW):
        return False
    if bytes or v.source != FROM_CONSTANT:
        load_count(t, v, 8 << v.size)
    if bytes:
        op(&t.e, MOV, W32, RCX, RAX)
        load_constant(&t.e, RAX, 0xFF)
        shift_cl(&t.e, SHR if host[1] == VPSRLW else SHL, W32, RAX)
        vex(&t.e, VMOVQ, W32, XMM2, NO_SOURCE, RAX)
        broadcast(t, v, XMM2, 0)
    while at < v.bytes:
        wide = part_at(t, v, at)
        result = target_of_part(t, v, at, wide)
        first = read_part(t, XMM0, v.a + at, wide)
        if v.source == FROM_CONSTANT:
            vex_constant(
                &t.e, SHIFTS_BY_CONSTANT[size] | wide, WIG, direction_of(host), result, first,
                v.value & ((8 << v.size) - 1)
            )
        else:
            on_registers(t, host[size] | wide, result, first, XMM1)
        if bytes:
            on_registers(t, VPAND | wide, result, result, XMM2)
        store_result(t, v, result, at, wide)
        at += bytes_of(wide)
    return True


cdef bint each_shifted(Compilation* t, const VectorUop* v, const int* host) noexcept nogil:
    cdef uint32_t at = 0
    cdef int wide, result, opcode = host[4 + v.size - 2] if v.size >= 2 else 0
    if not opcode:
        return False
    load_constant(&t.e, RAX, (8 << v.size) - 1)
    vex(&t.e, VMOVQ, W64, XMM1, NO_SOURCE, RAX)
    broadcast(t, v, XMM1, v.size)
    while at < v.bytes:
        wide = part_at(t, v, at)
        result = target_of_part(t, v, at, wide)
        on_place(t, VPAND | wide, XMM2, XMM1, v.b + at)
        on_registers(t, opcode | wide, result, read_part(t, XMM0, v.a + at, wide), XMM2)
        store_result(t, v, result, at, wide)
        at += bytes_of(wide)
    return True


cdef int[3] LOWER_HALVES = [VPMOVWB, VPMOVDW, VPMOVQD]


cdef bint narrowed(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """The low halves of elements that have been shifted right by the same number of bits."""
    cdef uint32_t at = 0
    cdef int wide, opcode = host[v.size + 1] if v.size < 3 else 0
    if not opcode or v.source == FROM_VECTOR or v.masked and not t.avx512:
        return False
    load_count(t, v, 16 << v.size)
    if t.avx512 and v.bytes >= 32:
        while at < v.bytes:
            wide = ZMM if v.bytes - at >= 32 else YMM
            on_registers(t, opcode | wide, XMM0, read_part(t, XMM0, v.a + 2 * at, wide), XMM1)
            on_registers(t, LOWER_HALVES[v.size] | wide, XMM0, NO_SOURCE, XMM0)
            store_result(t, v, XMM0, at, YMM if wide == ZMM else 0)
            at += 32 if wide == ZMM else 16
        return True
    if v.masked:
        return False
    on_registers(t, VMOVDQU, XMM2, NO_SOURCE, XMM1)
    while at < v.bytes:
        on_registers(t, opcode, XMM0, read_part(t, XMM0, v.a + 2 * at, 0), XMM2)
        on_registers(t, opcode, XMM1, read_part(t, XMM1, v.a + 2 * at + 16, 0), XMM2)
        if v.size == 2:
            vex_constant(&t.e, VSHUFPS, WIG, XMM0, XMM0, XMM1, 0x88)     # the even ones of both
        else:
            on_constant(t, VPAND, XMM0, XMM0, LOW_WORDS if v.size else LOW_BYTES)
            on_constant(t, VPAND, XMM1, XMM1, LOW_WORDS if v.size else LOW_BYTES)
            on_registers(t, VPACKUSDW if v.size else VPACKUSWB, XMM0, XMM0, XMM1)
        store_result(t, v, XMM0, at, 0)
        at += 16
    return True


# Multiplications

cdef void multiply(
    Compilation* t, const VectorUop* v, int opcode, int32_t factor, int at, int wide, int result
) noexcept nogil:
    """What stands at a place and the second operand. xmm2 is lost.

    Of 64 bits AVX2 multiplies halves: the lower ones, and to the upper half of that comes the sum of the others.
    """
    if v.d_size < 3 or t.avx512:
        if v.d_size == 3:
            opcode = VPMULLQ
        with_second(t, v, opcode | wide, result, read_part(t, XMM0, factor + at, wide), at)
        return
    if v.source == FROM_VECTOR:
        load_part(t, XMM1, v.b + at, wide)
    vex_constant(&t.e, VPSHUFD | wide, WIG, XMM2, NO_SOURCE, XMM1, 0xB1)        # exchanges halves
    on_place(t, VPMULLD | wide, XMM2, XMM2, factor + at)
    vex_constant(&t.e, SHIFT_QUADWORDS | wide, WIG, SHIFT_LOGICAL, XMM0, XMM2, 32)
    on_registers(t, VPADDD | wide, XMM2, XMM2, XMM0)
    vex_constant(&t.e, SHIFT_QUADWORDS | wide, WIG, SHIFT_LEFT, XMM2, XMM2, 32)
    on_place(t, VPMULUDQ | wide, result, XMM1, factor + at)
    on_registers(t, VPADDQ | wide, result, result, XMM2)


cdef bint multiplied(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """a * b, of elements that are no wider."""
    cdef uint32_t at = 0
    cdef int wide, result
    if not host[v.size] or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        result = target_of_part(t, v, at, wide)
        multiply(t, v, host[v.size], v.a, at, wide, result)
        store_result(t, v, result, at, wide)
        at += bytes_of(wide)
    return True


cdef bint multiplied_and_added(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """a * b with d, or d * b with a: the sum or what the product leaves of it."""
    cdef uint32_t at = 0
    cdef int wide, result
    cdef bint of_result = host[9]
    cdef int32_t factor = v.d if of_result else v.a, addend = v.a if of_result else v.d
    if not host[v.size] or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    while at < v.bytes:
        wide = part_at(t, v, at)
        result = target_of_part(t, v, at, wide)
        multiply(t, v, host[v.size], factor, at, wide, XMM0)
        if host[8]:
            on_registers(t, host[4 + v.size] | wide, result, read_part(t, XMM2, addend + at, wide), XMM0)
        else:
            on_place(t, host[4 + v.size] | wide, result, XMM0, addend + at)
        store_result(t, v, result, at, wide)
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
    cdef int result, less = v.d_size - v.a_size
    while at < v.bytes:
        wide = part_at(t, v, at)
        result = target_of_part(t, v, at, wide)
        on_few(t, opcode | wide, result, v.a + <int32_t>(at >> less), bytes_of(wide) >> less)
        store_result(t, v, result, at, wide)
        at += bytes_of(wide)
    return True


cdef bint widened(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    """An operation on extended operands, of which a may be wide already; and then perhaps a sum with d."""
    cdef uint32_t at = 0, half
    cdef int wide, d = v.d_size, first, result
    cdef int extend_a = SIGNED[v.size][d] if host[8] & 1 else UNSIGNED[v.size][d]
    cdef int extend_b = SIGNED[v.size][d] if host[8] & 2 else UNSIGNED[v.size][d]
    if d == v.size:
        return multiplied(t, uop, v, host) if host[9] else binary(t, uop, v, host)
    if not host[d] or not load_scalar(t, uop, v, XMM1, v.size):
        return False
    if v.source != FROM_VECTOR:
        on_registers(t, extend_b | widest(t, v), XMM1, NO_SOURCE, XMM1)
    while at < v.bytes:
        wide = part_at(t, v, at)
        half = at >> 1
        result = target_of_part(t, v, at, wide)
        first = XMM0
        if v.a_size == d:
            first = read_part(t, XMM0, v.a + at, wide)
        else:
            on_few(t, extend_a | wide, XMM0, v.a + half, bytes_of(wide) >> 1)
        if v.source == FROM_VECTOR:
            on_few(t, extend_b | wide, XMM1, v.b + half, bytes_of(wide) >> 1)
        if host[8] & 4:
            on_registers(t, host[d] | wide, XMM0, first, XMM1)
            on_place(t, host[4 + d] | wide, result, XMM0, v.d + at)
        else:
            on_registers(t, host[d] | wide, result, first, XMM1)
        store_result(t, v, result, at, wide)
        at += bytes_of(wide)
    return True


cdef bint bytes_reversed(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil:
    cdef uint32_t at = 0
    cdef int wide, result
    while at < v.bytes:
        wide = part_at(t, v, at)
        result = XMM0
        if v.size:
            result = target_of_part(t, v, at, wide)
            on_constant(
                t, VPSHUFB | wide, result, read_part(t, XMM0, v.a + at, wide), REVERSED_WORDS + v.size - 1
            )
        else:
            load_part(t, XMM0, v.a + at, wide)
        store_result(t, v, result, at, wide)
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


cdef bint may_be_part(const Compilation* t, const VectorUop* v) noexcept nogil:
    """Whether it can be done where the registers of the operands have more elements than there are."""
    cdef EmitVector emit = rules[v.operation].emit
    if emit == NULL or emit == saturated or v.source == FROM_NUMBER:
        return False
    return t.avx512 or emit != narrowed and (emit != shifted or v.size > 0 or v.source == FROM_VECTOR)


cdef bint emit_integers(Compilation* t, Uop* uop, const VectorUop* v) noexcept nogil:
    """Whether the operation is one of these; then it has been emitted."""
    cdef const IntegersRule* rule = &rules[v.operation]
    return rule.emit != NULL and has_parts(v) and rule.emit(t, uop, v, rule.host)
