"""Masks and permutations: vector specification 1.0, chapters 15 and 16."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset
from vm_native.arithmetic.float_rules cimport BOX16, BOX32
from vm_native.arithmetic.integer cimport population64, trailing_zeros
from vm_native.arithmetic.vector.elements cimport ROOM, bit, element, set_element, store_elements
from vm_native.riscv.state cimport F0
from vm_native.riscv.vector.names cimport SOURCE_VECTOR, WIDTH_BY_16
from vm_native.riscv.vector.operands cimport (
    Vector, done, fits, has_formats, refuse, register_at, scalar_of, vd_of, vs1_of, vs2_of,
)


cdef inline bint counts(const Vector* v, uint64_t i) noexcept nogil:
    return v.mask == NULL or bit(v.mask, i)


cdef inline void give_integer(Vector* v, uint64_t value) noexcept nogil:
    cdef int rd = v.word >> 7 & 31
    if rd:
        v.cpu.state.regs[rd] = value


# --- Masks, 64 bits at a time: behind the registers there is room for as many -----------------------------------------

cdef inline uint64_t word_of(const uint8_t* mask, uint64_t i) noexcept nogil:
    return (<const uint64_t*>mask)[i]


cdef inline uint64_t words_of(const Vector* v) noexcept nogil:
    return (v.vl + 63) >> 6


cdef inline uint64_t counting(const Vector* v, uint64_t i) noexcept nogil:
    """Those of 64 elements that count."""
    cdef uint64_t left = v.vl - (i << 6)
    cdef uint64_t which = <uint64_t>-1 if left >= 64 else (<uint64_t>1 << left) - 1
    return which if v.mask == NULL else which & word_of(v.mask, i)


cdef inline void store_word(Vector* v, uint64_t i, uint64_t which, uint64_t value) noexcept nogil:
    cdef uint64_t* d = <uint64_t*>register_at(v, vd_of(v)) + i
    d[0] = d[0] & ~which | value & which


cdef uint64_t first_set(const Vector* v) noexcept nogil:
    """The first element that counts and whose bit is set; all ones if there is none."""
    cdef const uint8_t* a = register_at(v, vs2_of(v))
    cdef uint64_t i, found
    for i in range(words_of(v)):
        found = word_of(a, i) & counting(v, i)
        if found:
            return (i << 6) + <uint64_t>trailing_zeros(found)
    return <uint64_t>-1


cdef int run_logic(Vector* v) noexcept nogil:
    """The operation is a table of truth, in which the bits of a and b are looked up."""
    cdef const uint8_t* at_a = register_at(v, vs2_of(v))
    cdef const uint8_t* at_b = register_at(v, vs1_of(v))
    cdef uint64_t i, a, b, value
    for i in range(words_of(v)):
        a, b, value = word_of(at_a, i), word_of(at_b, i), 0
        if v.row.operation & 8:
            value |= a & b
        if v.row.operation & 4:
            value |= a & ~b
        if v.row.operation & 2:
            value |= ~a & b
        if v.row.operation & 1:
            value |= ~(a | b)
        store_word(v, i, counting(v, i), value)
    return done(v)


cdef int run_count(Vector* v) noexcept nogil:
    cdef const uint8_t* a = register_at(v, vs2_of(v))
    cdef uint64_t i, count = 0
    for i in range(words_of(v)):
        count += population64(word_of(a, i) & counting(v, i))
    give_integer(v, count)
    return done(v)


cdef int run_find(Vector* v) noexcept nogil:
    give_integer(v, first_set(v))
    return done(v)


cdef int run_until(Vector* v) noexcept nogil:
    """Bit 0 of the operation stands before the first element that is set, bit 1 there, and 0 behind it."""
    cdef uint64_t i, first, at, before
    if v.mask != NULL and vd_of(v) == 0 or not fits(v):
        return refuse(v)
    first = first_set(v)
    for i in range(words_of(v)):
        at = before = 0
        if first >> 6 > i:
            before = <uint64_t>-1
        elif first >> 6 == i:
            at = <uint64_t>1 << (first & 63)
            before = at - 1
        store_word(v, i, counting(v, i), (before if v.row.operation & 1 else 0) | (at if v.row.operation & 2 else 0))
    return done(v)


cdef int run_iota(Vector* v) noexcept nogil:
    cdef uint8_t* d = register_at(v, vd_of(v))
    cdef const uint8_t* a = register_at(v, vs2_of(v))
    cdef uint64_t i, count = 0
    if not fits(v):
        return refuse(v)
    for i in range(v.vl):
        if counts(v, i):
            set_element(d, i, v.size, count)
            count += bit(a, i)
    return done(v)


cdef int run_index(Vector* v) noexcept nogil:
    cdef uint8_t values[ROOM]
    cdef uint64_t i
    if not fits(v):
        return refuse(v)
    for i in range(v.vl):
        set_element(values, i, v.size, i)
    return store(v, values)


# --- Scalars ---------------------------------------------------------------------------------------------------------

cdef int run_take(Vector* v) noexcept nogil:
    give_integer(v, element(register_at(v, vs2_of(v)), 0, v.size, True))
    return done(v)


cdef int run_take_float(Vector* v) noexcept nogil:
    cdef uint64_t value = element(register_at(v, vs2_of(v)), 0, v.size, False)
    if not has_formats(v):
        return refuse(v)
    v.cpu.state.regs[F0 + (v.word >> 7 & 31)] = value | (BOX16 if v.size == 1 else BOX32 if v.size == 2 else 0)
    return done(v)


cdef int run_give(Vector* v) noexcept nogil:
    if not has_formats(v):
        return refuse(v)
    if v.vl:
        set_element(register_at(v, vd_of(v)), 0, v.size, scalar_of(v))
    return done(v)


# --- Slides and gathers: all values are made before any is stored -----------------------------------------------------

cdef int store(Vector* v, const uint8_t* values) noexcept nogil:
    store_elements(register_at(v, vd_of(v)), values, v.vl, v.size, v.mask)
    return done(v)


cdef int run_slide_up(Vector* v) noexcept nogil:
    cdef uint8_t values[ROOM]
    cdef uint8_t* d = register_at(v, vd_of(v))
    cdef uint64_t kept = min(scalar_of(v), v.vl)
    if not fits(v):
        return refuse(v)
    memcpy(values, d, kept << v.size)
    memcpy(values + (kept << v.size), register_at(v, vs2_of(v)), (v.vl - kept) << v.size)
    return store(v, values)


cdef int run_slide_down(Vector* v) noexcept nogil:
    cdef uint8_t values[ROOM]
    cdef uint64_t offset = scalar_of(v), there = 0
    if not fits(v):
        return refuse(v)
    if offset < v.limit:
        there = min(v.vl, v.limit - offset)
        memcpy(values, register_at(v, vs2_of(v)) + (offset << v.size), there << v.size)
    memset(values + (there << v.size), 0, (v.vl - there) << v.size)
    return store(v, values)


cdef int run_slide_up_one(Vector* v) noexcept nogil:
    cdef uint8_t values[ROOM]
    if not fits(v):
        return refuse(v)
    if not v.vl:
        return done(v)
    set_element(values, 0, v.size, scalar_of(v))
    memcpy(values + (1 << v.size), register_at(v, vs2_of(v)), (v.vl - 1) << v.size)
    return store(v, values)


cdef int run_slide_down_one(Vector* v) noexcept nogil:
    cdef uint8_t values[ROOM]
    if not fits(v):
        return refuse(v)
    if not v.vl:
        return done(v)
    memcpy(values, register_at(v, vs2_of(v)) + (1 << v.size), (v.vl - 1) << v.size)
    set_element(values, v.vl - 1, v.size, scalar_of(v))
    return store(v, values)


ctypedef fused item:
    uint8_t
    uint16_t
    uint32_t
    uint64_t


cdef inline void gather(Vector* v, item* values, int place_size) noexcept nogil:
    """0 where there is no such element."""
    cdef const item* a = <const item*>register_at(v, vs2_of(v))
    cdef const uint8_t* places = register_at(v, vs1_of(v))
    cdef uint64_t i, place
    for i in range(v.vl):
        place = element(places, i, place_size, False)
        values[i] = a[place] if place < v.limit else 0


cdef int run_gather(Vector* v) noexcept nogil:
    cdef uint8_t values[ROOM]
    cdef uint64_t i, place, value
    if not fits(v):
        return refuse(v)
    if v.row.source != SOURCE_VECTOR:
        place = scalar_of(v)
        value = element(register_at(v, vs2_of(v)), place, v.size, False) if place < v.limit else 0
        for i in range(v.vl):
            set_element(values, i, v.size, value)
    elif v.row.b == WIDTH_BY_16:
        gather_by(v, values, 1)
    else:
        gather_by(v, values, v.size)
    return store(v, values)


cdef inline void gather_by(Vector* v, uint8_t* values, int place_size) noexcept nogil:
    if v.size == 0:
        gather[uint8_t](v, values, place_size)
    elif v.size == 1:
        gather[uint16_t](v, <uint16_t*>values, place_size)
    elif v.size == 2:
        gather[uint32_t](v, <uint32_t*>values, place_size)
    else:
        gather[uint64_t](v, <uint64_t*>values, place_size)


cdef int run_compress(Vector* v) noexcept nogil:
    cdef uint8_t* d = register_at(v, vd_of(v))
    cdef const uint8_t* a = register_at(v, vs2_of(v))
    cdef const uint8_t* chosen = register_at(v, vs1_of(v))
    cdef uint64_t i, position = 0
    if not fits(v):
        return refuse(v)
    for i in range(v.vl):
        if bit(chosen, i):
            set_element(d, position, v.size, element(a, i, v.size, False))
            position += 1
    return done(v)


cdef int run_move_whole(Vector* v) noexcept nogil:
    cdef int registers = vs1_of(v) + 1
    if (vd_of(v) | vs2_of(v)) & (registers - 1):
        return refuse(v)
    memmove(register_at(v, vd_of(v)), register_at(v, vs2_of(v)), registers * v.hart.state.vlenb)
    return done(v)
