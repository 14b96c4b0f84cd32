# Which parts of vectors live in host registers during a trace.
from libc.stdint cimport int32_t
from vm_native.ir.block cimport Block
from vm_native.jit.state cimport Jit
from vm_native.jit.x86_64.compilation cimport LOAD, STORE, Compilation, Direction

cdef enum:
    FIRST_RESIDENT = 16     # zmm register; so many are left to compiled code
    NOWHERE = -1

cdef bint uses_avx512(const Jit* jit) noexcept nogil
cdef void choose_residents(Compilation* t, Block** parts, int count, bint loops) noexcept nogil
cdef void move_residents(Compilation* t, Direction direction) noexcept nogil

# Where compiled code has these bytes of the hart's vectors: `home_of` all of a host register, `holder_of` it, or its
# first bytes.
cdef inline int home_of(const Compilation* t, int32_t place, int bytes) noexcept nogil:
    cdef int i
    for i in range(t.resident_count):
        if t.residents[i].place == place and t.residents[i].bytes == bytes:
            return FIRST_RESIDENT + i
    return NOWHERE

cdef inline int holder_of(const Compilation* t, int32_t place, int bytes) noexcept nogil:
    cdef int i
    for i in range(t.resident_count):
        if t.residents[i].place == place and t.residents[i].bytes >= bytes:
            return FIRST_RESIDENT + i
    return NOWHERE

# For what uses memory all the same: let it have what lives in registers before it is read or written there, and these
# have what has been written.
cdef void let_memory_have(Compilation* t, int32_t place, int bytes) noexcept nogil
cdef void take_from_memory(Compilation* t, int32_t place, int bytes) noexcept nogil
