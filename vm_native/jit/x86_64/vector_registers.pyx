"""Which parts of vectors live in host registers during a trace, where the host has AVX-512.

It has 16 vector registers more then, which nothing else uses. A trace gives them to the parts of 64, 32 or 16 bytes
that it uses most: as with other registers (registers.pyx) they are loaded at its start, stored at its exits and around
calls of the interpreter's functions; in between memory does not have them. That is so in loops. Other traces store what
they write at once, and load what they need when they need it: there the registers only save loads. What uses a part of
another length takes a detour by memory, so what such uses overlap is not chosen.
"""
from libc.stdint cimport int16_t, int32_t, uint32_t
from libc.string cimport memset
from vm_native.ir.block cimport Block
from vm_native.ir.uop cimport UOP_CALL
from vm_native.ir.vectors cimport (
    BITS, FROM_VECTOR, VECTOR_COUNT, VECTOR_ELEMENTS, VECTOR_FIND, VECTOR_FIRST, VECTOR_GATHER, VECTOR_GIVE,
    VECTOR_GROUPS, VECTOR_INDICES, VECTOR_LOAD, VECTOR_LOAD_ALL, VECTOR_LOGIC, VECTOR_MOVE_ALL, VECTOR_OTHER,
    VECTOR_REDUCTION, VECTOR_SET, VECTOR_SLIDE, VECTOR_SLIDE_ONE, VECTOR_STORE, VECTOR_STORE_ALL, VectorUop,
)
from vm_native.jit.x86_64.assembler cimport NO_INDEX, NO_SOURCE, RBP, WIG, YMM, ZMM, vex_memory
from vm_native.jit.x86_64.avx512 cimport TO_MEMORY, VMOVDQU64
from vm_native.jit.x86_64.compilation cimport (
    BIAS, COLD_FUSED_NAN, COLD_MISFIT, COLD_OUTSIDE, COLD_SIDE_EXIT, COLD_VECTOR_NAN, LOAD, MAX_RESIDENTS, STORE,
    Direction, KnownBits,
)
from vm_native.jit.x86_64.host_features cimport host_has
from vm_native.jit.x86_64.vector_shapes cimport describe, full_shape, shape_behind

cdef enum:
    LENGTHS = 3             # of parts: 16, 32 and 64 bytes
    MOST_PLACES = 256       # of 16 bytes each, in all registers
    DETOUR = 2              # what a use of another length costs, in uses
    DETOUR_OF_BITS = 4      # and what that of a few bytes does: the host waits for them
    GAIN_IN_LOOP = 1        # uses that are worth a load, and a store where the trace is left
    GAIN_ELSEWHERE = 2      # ... that are worth one more instruction

cdef struct Uses:           # by the place of a part
    int32_t first           # where the first register stands, seen from the Cpu
    int16_t[LENGTHS][MOST_PLACES] reads
    int16_t[LENGTHS][MOST_PLACES] writes
    int16_t[MOST_PLACES] others         # by what does not look for host registers
    bint[MOST_PLACES] written
    int calls               # of the interpreter's functions


cdef bint uses_avx512(const Jit* jit) noexcept nogil:
    return host_has.avx512 and jit.switches.avx512 and jit.stubs.vectors != NULL


cdef bint had_misfits(Block** parts, int count) noexcept nogil:
    """Whether vectors have had another shape in one of them than its compiled code took them to have."""
    cdef int i
    for i in range(count):
        if parts[i].misfits:
            return True
    return False


# --- What uses what --------------------------------------------------------------------------------------------------

cdef void note(Uses* uses, int32_t place, uint32_t bytes, uint32_t longest, bint writes) noexcept nogil:
    """Parts of a vector, of at most so many bytes each."""
    cdef uint32_t at = 0, size
    cdef int number, length, i
    while at < bytes:
        number = (place + <int32_t>at - uses.first) >> 4
        if number < 0 or number >= MOST_PLACES:
            return
        uses.written[number] |= writes
        if bytes - at < 16 or (place + <int32_t>at - uses.first) & 15:
            uses.others[number] += 1
            return
        size = 64 if bytes - at >= 64 and longest >= 64 else 32 if bytes - at >= 32 and longest >= 32 else 16
        length = size >> 5
        for i in range(number, min(number + (1 << length), MOST_PLACES)):
            uses.written[i] |= writes
        if writes:
            uses.writes[length][number] += 1
        else:
            uses.reads[length][number] += 1
        at += size


cdef void note_written(Uses* uses, int32_t place, uint32_t bytes) noexcept nogil:
    """Also by an instruction that turns out to be one on more elements."""
    cdef int number = (place - uses.first) >> 4, end = number + ((bytes + 15) >> 4)
    while 0 <= number < min(end, MOST_PLACES):
        uses.written[number] = True
        number += 1


cdef inline uint32_t longest_of(int size, int of_other) noexcept nogil:
    """A part of this operand, where elements of the other one may be wider."""
    return 64 >> max(of_other - size, 0)


cdef void note_elements(Uses* uses, const VectorUop* v) noexcept nogil:
    cdef int size = v.size if v.d_size == BITS else v.d_size
    if v.masked or v.mask_is_operand:
        note(uses, v.mask, 1, 1, False)
    if v.d_size == BITS:
        note(uses, v.d, 1, 1, True)
    else:
        note(uses, v.d, v.bytes, longest_of(v.d_size, v.a_size), True)
    note(uses, v.a, v.elements << v.a_size, longest_of(v.a_size, size), False)
    if v.source == FROM_VECTOR:
        note(uses, v.b, v.elements << v.b_size, longest_of(v.b_size, size), False)


cdef void note_uop(Uses* uses, const VectorUop* v) noexcept nogil:
    cdef uint32_t longest
    if v.kind == VECTOR_ELEMENTS:
        note_elements(uses, v)
    elif v.kind == VECTOR_LOAD or v.kind == VECTOR_LOAD_ALL:
        note(uses, v.d, v.bytes, 64, True)
    elif v.kind == VECTOR_STORE or v.kind == VECTOR_STORE_ALL:
        note(uses, v.d, v.bytes, 64, False)
    elif v.kind == VECTOR_MOVE_ALL:
        note(uses, v.a, v.bytes, 64, False)
        note(uses, v.d, v.bytes, 64, True)
    elif v.kind == VECTOR_INDICES:
        note(uses, v.d, v.bytes, 64, True)
    elif v.kind == VECTOR_FIRST:
        note(uses, v.a, 16, 16, False)
    elif v.kind == VECTOR_GIVE:
        note(uses, v.d, 16, 16, True)
    elif v.kind == VECTOR_REDUCTION:
        note(uses, v.a, v.elements << v.size, 64, False)
        note(uses, v.b, 16, 16, False)
        note(uses, v.d, 16, 16, True)
    elif v.kind == VECTOR_GATHER or v.kind == VECTOR_GROUPS:
        longest = 64 if v.kind == VECTOR_GATHER else 16
        note(uses, v.a, v.bytes, longest, False)
        if v.source == FROM_VECTOR or v.kind == VECTOR_GROUPS:
            note(uses, v.b, v.bytes, longest, False)
        note(uses, v.d, v.bytes, longest, True)
    elif v.kind == VECTOR_SLIDE or v.kind == VECTOR_SLIDE_ONE:
        note(uses, v.a, 1, 1, False)
        note(uses, v.d, v.bytes, 64, True)
    elif v.kind == VECTOR_LOGIC or v.kind == VECTOR_COUNT or v.kind == VECTOR_FIND:
        note(uses, v.a, 1, 1, False)
        if v.kind == VECTOR_LOGIC:
            note(uses, v.b, 1, 1, False)
            note(uses, v.d, 1, 1, True)


cdef bint find_uses(Compilation* t, Block** parts, int count, Uses* uses) noexcept nogil:
    """False if there are no instructions on vectors."""
    cdef uint32_t shape = t.shape
    cdef VectorUop v
    cdef bint found = False, any_length = t.any_length
    cdef uint32_t full
    cdef int i, k
    for i in range(count):
        for k in range(parts[i].uop_count):
            if parts[i].info[k].opcode != UOP_CALL:
                continue
            describe(t, &parts[i].uops[k], shape, &v)
            if v.kind == VECTOR_OTHER:
                uses.calls += 1
                continue
            full = full_shape(shape, &v) if any_length else 0
            any_length = any_length and v.kind != VECTOR_SET and not full
            if full:
                shape = full
                describe(t, &parts[i].uops[k], shape, &v)
            if not found and v.mask:
                memset(uses.reads, 0, sizeof(uses.reads))
                memset(uses.writes, 0, sizeof(uses.writes))
                memset(uses.others, 0, sizeof(uses.others))
                memset(uses.written, 0, sizeof(uses.written))
                uses.first, found = v.mask, True
            if found:
                note_uop(uses, &v)
            if found and v.kind != VECTOR_STORE and v.kind != VECTOR_STORE_ALL and v.kind != VECTOR_SET:
                note_written(uses, v.d, max(v.bytes, v.room))
            shape = shape_behind(shape, &v)
    return found


# --- Which of it -----------------------------------------------------------------------------------------------------

cdef int gain_of(const Uses* uses, int length, int number) noexcept nogil:
    """How many uses a register saves for this part: its own, and where they only read, those of parts of it."""
    cdef int size = 1 << length, end = number + size, gain = uses.reads[length][number] + uses.writes[length][number]
    cdef int other, k, end_of_other
    for k in range(number, min(end, MOST_PLACES)):
        gain -= DETOUR_OF_BITS * uses.others[k]
    for other in range(LENGTHS):
        for k in range(max(number - (1 << other) + 1, 0), min(end, MOST_PLACES)):
            end_of_other = k + (1 << other)
            if other == length and k == number:
                continue
            if k >= number and end_of_other <= end:
                gain += uses.reads[other][k] - DETOUR * uses.writes[other][k]
            else:
                gain -= DETOUR * (uses.reads[other][k] + uses.writes[other][k])
    return gain - 2 * uses.calls


cdef void choose_residents(Compilation* t, Block** parts, int count) noexcept nogil:
    """Choose by what these blocks use."""
    cdef Uses uses
    cdef int least = GAIN_IN_LOOP if t.loops else GAIN_ELSEWHERE
    cdef int length, number, gain, best, best_length = 0, best_number = 0, i
    cdef bint[MOST_PLACES] taken
    cdef int16_t[LENGTHS][MOST_PLACES] gains
    t.resident_count = 0
    t.valid = 0
    t.writes_through = not t.loops
    uses.calls = 0
    if not t.avx512 or not find_uses(t, parts, count, &uses):
        return
    memset(taken, 0, sizeof(taken))
    for length in range(LENGTHS):
        for number in range(MOST_PLACES):
            gains[length][number] = 0
            if uses.reads[length][number] or uses.writes[length][number]:
                gains[length][number] = <int16_t>gain_of(&uses, length, number)
    while t.resident_count < MAX_RESIDENTS:
        best = least - 1
        for length in range(LENGTHS):
            for number in range(MOST_PLACES):
                gain = gains[length][number]
                if gain > best:
                    best, best_length, best_number = gain, length, number
        if best < least:
            return
        gains[best_length][best_number] = 0
        if not is_free(taken, best_number, 1 << best_length):
            continue
        for i in range(best_number, best_number + (1 << best_length)):
            taken[i] = True
        t.residents[t.resident_count].place = uses.first + 16 * best_number
        t.residents[t.resident_count].bytes = 16 << best_length
        t.residents[t.resident_count].written = is_written(&uses, best_number, 1 << best_length)
        t.resident_count += 1


cdef bint is_free(const bint* taken, int number, int size) noexcept nogil:
    cdef int i
    for i in range(number, number + size):
        if i >= MOST_PLACES or taken[i]:
            return False
    return True


cdef bint is_written(const Uses* uses, int number, int size) noexcept nogil:
    """Anything of it. Where nothing is, memory always has it."""
    cdef int i
    for i in range(number, number + size):
        if uses.written[i]:
            return True
    return False


# --- Between host registers and memory -------------------------------------------------------------------------------

cdef inline int width_of(int bytes) noexcept nogil:
    return ZMM if bytes == 64 else YMM if bytes == 32 else 0


cdef void move(Compilation* t, Direction direction, int number) noexcept nogil:
    cdef int opcode = VMOVDQU64 | width_of(t.residents[number].bytes)
    if direction == STORE:
        opcode |= TO_MEMORY
    vex_memory(
        &t.e, opcode, WIG, FIRST_RESIDENT + number, NO_SOURCE, RBP, NO_INDEX, t.residents[number].place - BIAS
    )


cdef inline bint has_value(const Compilation* t, int number) noexcept nogil:
    return not t.writes_through or t.valid >> number & 1


cdef void load_residents(Compilation* t) noexcept nogil:
    """All of them, at the start of a loop and behind what may have changed them. Changes no scratch register."""
    cdef int i
    for i in range(t.resident_count):
        move(t, LOAD, i)


cdef void store_residents(Compilation* t) noexcept nogil:
    """What memory does not have. Changes no scratch register and no flag."""
    cdef int i
    for i in range(0 if t.writes_through else t.resident_count):
        if t.residents[i].written:
            move(t, STORE, i)


cdef void reload_residents(Compilation* t, uint32_t which) noexcept nogil:
    cdef int i
    for i in range(t.resident_count):
        if which >> i & 1:
            move(t, LOAD, i)


cdef int holder_of(Compilation* t, int32_t place, int bytes) noexcept nogil:
    """It may have more behind them. Where memory always has them, they are loaded when they are needed first."""
    cdef int i
    for i in range(t.resident_count):
        if t.residents[i].place != place or t.residents[i].bytes < bytes:
            continue
        if not has_value(t, i):
            if t.out_of_line or t.residents[i].bytes > bytes:
                return NOWHERE
            move(t, LOAD, i)
            t.valid |= 1 << i
        return FIRST_RESIDENT + i
    return NOWHERE


cdef int home_of(const Compilation* t, int32_t place, int bytes) noexcept nogil:
    cdef int i
    for i in range(t.resident_count):
        if t.residents[i].place == place and t.residents[i].bytes == bytes:
            return FIRST_RESIDENT + i if has_value(t, i) or not t.out_of_line else NOWHERE
    return NOWHERE


cdef int middle_of(const Compilation* t, int32_t place, int bytes, int* offset) noexcept nogil:
    """The register that has them, but not at its start."""
    cdef int i
    for i in range(t.resident_count):
        offset[0] = place - t.residents[i].place
        if 0 < offset[0] <= t.residents[i].bytes - bytes and has_value(t, i):
            return FIRST_RESIDENT + i
    return NOWHERE


cdef void written(Compilation* t, int home) noexcept nogil:
    """All of it."""
    forget_bits(t, t.residents[home - FIRST_RESIDENT].place, t.residents[home - FIRST_RESIDENT].bytes)
    if t.writes_through:
        move(t, STORE, home - FIRST_RESIDENT)
        t.valid |= 1 << home - FIRST_RESIDENT


cdef inline bint overlaps(const Compilation* t, int number, int32_t place, int bytes) noexcept nogil:
    return t.residents[number].place < place + bytes and place < t.residents[number].place + t.residents[number].bytes


cdef void let_memory_have(Compilation* t, int32_t place, int bytes) noexcept nogil:
    cdef int i
    for i in range(0 if t.writes_through else t.resident_count):
        if t.residents[i].written and overlaps(t, i, place, bytes):
            move(t, STORE, i)


cdef void take_from_memory(Compilation* t, int32_t place, int bytes) noexcept nogil:
    """Or when they are needed."""
    cdef int i
    forget_bits(t, place, bytes)
    for i in range(t.resident_count):
        if overlaps(t, i, place, bytes):
            if not t.writes_through or t.out_of_line:
                move(t, LOAD, i)
            else:
                t.valid &= ~(<uint32_t>1 << i)


# --- Bits ------------------------------------------------------------------------------------------------------------

cdef void know_bits(Compilation* t, int32_t place, int count) noexcept nogil:
    if not t.out_of_line:
        t.bits = KnownBits(count, place, t.cold_count)


cdef bint knows_bits(Compilation* t, int32_t place, int count) noexcept nogil:
    """Unless something out of line that comes back may have called a function."""
    cdef int i
    if t.out_of_line or t.bits.place != place or t.bits.count < count:
        return False
    for i in range(t.bits.cold_count, t.cold_count):
        if t.cold[i].kind not in (COLD_VECTOR_NAN, COLD_FUSED_NAN, COLD_MISFIT, COLD_SIDE_EXIT, COLD_OUTSIDE):
            t.bits.count = 0
            return False
    return True


cdef void forget_bits(Compilation* t, int32_t place, int bytes) noexcept nogil:
    """What they stand for has been written."""
    if t.bits.place < place + bytes and place <= t.bits.place + (t.bits.count >> 3):
        t.bits.count = 0
