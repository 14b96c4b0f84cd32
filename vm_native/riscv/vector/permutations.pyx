"""Masks and permutations: vector specification 1.0, chapters 15 and 16."""
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memmove
from vm_native.arithmetic.float_rules cimport BOX16, BOX32
from vm_native.arithmetic.vector.elements cimport bit, element, set_bit, set_element
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


# --- Masks -----------------------------------------------------------------------------------------------------------

cdef int run_logic(Vector* v) noexcept nogil:
    """The operation is a table of truth, in which the bits of a and b are looked up."""
    cdef uint8_t* d = register_at(v, vd_of(v))
    cdef const uint8_t* a = register_at(v, vs2_of(v))
    cdef const uint8_t* b = register_at(v, vs1_of(v))
    cdef uint64_t i
    for i in range(v.vl):
        set_bit(d, i, v.row.operation >> (2 * bit(a, i) + bit(b, i)) & 1)
    return done(v)


cdef int run_count(Vector* v) noexcept nogil:
    cdef const uint8_t* a = register_at(v, vs2_of(v))
    cdef uint64_t i, count = 0
    for i in range(v.vl):
        count += bit(a, i) and counts(v, i)
    give_integer(v, count)
    return done(v)


cdef int run_find(Vector* v) noexcept nogil:
    cdef const uint8_t* a = register_at(v, vs2_of(v))
    cdef uint64_t i, found = <uint64_t>-1
    for i in range(v.vl):
        if bit(a, i) and counts(v, i):
            found = i
            break
    give_integer(v, found)
    return done(v)


cdef int run_until(Vector* v) noexcept nogil:
    """Bit 0 of the operation stands before the first element that is set, bit 1 there, and 0 behind it."""
    cdef uint8_t* d = register_at(v, vd_of(v))
    cdef const uint8_t* a = register_at(v, vs2_of(v))
    cdef uint64_t i
    cdef bint met = False, meets
    if v.mask != NULL and vd_of(v) == 0 or not fits(v):
        return refuse(v)
    for i in range(v.vl):
        if counts(v, i):
            meets = not met and bit(a, i)
            set_bit(d, i, not met and v.row.operation >> meets & 1)
            met |= meets
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
    cdef uint64_t i
    if not fits(v):
        return refuse(v)
    for i in range(v.vl):
        if counts(v, i):
            set_element(register_at(v, vd_of(v)), i, v.size, i)
    return done(v)


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


# --- Slides and gathers ----------------------------------------------------------------------------------------------

cdef inline void move(Vector* v, uint64_t to, uint64_t of, bint there) noexcept nogil:
    """One element, or 0 where there is none."""
    cdef uint64_t value = element(register_at(v, vs2_of(v)), of, v.size, False) if there else 0
    set_element(register_at(v, vd_of(v)), to, v.size, value)


cdef int run_slide_up(Vector* v) noexcept nogil:
    cdef uint64_t i, offset = scalar_of(v)
    if not fits(v):
        return refuse(v)
    for i in range(min(offset, v.vl), v.vl):
        if counts(v, i):
            move(v, i, i - offset, True)
    return done(v)


cdef int run_slide_down(Vector* v) noexcept nogil:
    cdef uint64_t i, offset = scalar_of(v)
    if not fits(v):
        return refuse(v)
    for i in range(v.vl):
        if counts(v, i):
            move(v, i, i + offset, offset < v.limit and i + offset < v.limit)
    return done(v)


cdef int run_slide_up_one(Vector* v) noexcept nogil:
    cdef uint64_t i
    if not fits(v):
        return refuse(v)
    for i in range(v.vl):
        if not counts(v, i):
            continue
        if i:
            move(v, i, i - 1, True)
        else:
            set_element(register_at(v, vd_of(v)), 0, v.size, scalar_of(v))
    return done(v)


cdef int run_slide_down_one(Vector* v) noexcept nogil:
    cdef uint64_t i
    if not fits(v):
        return refuse(v)
    for i in range(v.vl):
        if not counts(v, i):
            continue
        if i + 1 < v.vl:
            move(v, i, i + 1, True)
        else:
            set_element(register_at(v, vd_of(v)), i, v.size, scalar_of(v))
    return done(v)


cdef int run_gather(Vector* v) noexcept nogil:
    cdef bint by_vector = v.row.source == SOURCE_VECTOR
    cdef const uint8_t* places = register_at(v, vs1_of(v))
    cdef int size = 1 if v.row.b == WIDTH_BY_16 else v.size
    cdef uint64_t i, place = scalar_of(v)
    if not fits(v):
        return refuse(v)
    for i in range(v.vl):
        if counts(v, i):
            if by_vector:
                place = element(places, i, size, False)
            move(v, i, place, place < v.limit)
    return done(v)


cdef int run_compress(Vector* v) noexcept nogil:
    cdef const uint8_t* chosen = register_at(v, vs1_of(v))
    cdef uint64_t i, position = 0
    if not fits(v):
        return refuse(v)
    for i in range(v.vl):
        if bit(chosen, i):
            move(v, position, i, True)
            position += 1
    return done(v)


cdef int run_move_whole(Vector* v) noexcept nogil:
    cdef int registers = vs1_of(v) + 1
    if (vd_of(v) | vs2_of(v)) & (registers - 1):
        return refuse(v)
    memmove(register_at(v, vd_of(v)), register_at(v, vs2_of(v)), registers * v.hart.state.vlenb)
    return done(v)
