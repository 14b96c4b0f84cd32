# Which parts of vectors live in host registers during a trace.
from libc.stdint cimport int32_t, uint32_t
from vm_native.ir.block cimport Block
from vm_native.jit.state cimport Jit
from vm_native.jit.x86_64.compilation cimport Compilation

cdef enum:
    FIRST_RESIDENT = 16     # zmm register; so many are left to compiled code
    NOWHERE = -1

cdef bint uses_avx512(const Jit* jit) noexcept nogil
cdef bint had_misfits(Block** parts, int count) noexcept nogil
cdef void choose_residents(Compilation* t, Block** parts, int count) noexcept nogil
cdef void load_residents(Compilation* t) noexcept nogil
cdef void store_residents(Compilation* t) noexcept nogil
cdef void reload_residents(Compilation* t, uint32_t which) noexcept nogil

# The host register for these bytes of the hart's vectors: where it has them, or where they are to be written, all that
# it has. NOWHERE if there is none.
cdef int holder_of(Compilation* t, int32_t place, int bytes) noexcept nogil
cdef int home_of(const Compilation* t, int32_t place, int bytes) noexcept nogil
cdef int middle_of(const Compilation* t, int32_t place, int bytes, int* offset) noexcept nogil
cdef void written(Compilation* t, int home) noexcept nogil

# Bits of a mask that k5 has, at the uop at hand.
cdef void know_bits(Compilation* t, int32_t place, int count) noexcept nogil
cdef bint knows_bits(Compilation* t, int32_t place, int count) noexcept nogil
cdef void forget_bits(Compilation* t, int32_t place, int bytes) noexcept nogil

# For what uses memory all the same: let it have what lives in registers before it is read or written there, and these
# have what has been written.
cdef void let_memory_have(Compilation* t, int32_t place, int bytes) noexcept nogil
cdef void take_from_memory(Compilation* t, int32_t place, int bytes) noexcept nogil
