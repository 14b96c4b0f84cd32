# Vectors in AVX2 instructions: their parts of 32 or 16 bytes, scalars for all elements, masks.
from libc.stdint cimport int32_t, uint32_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport VectorUop
from vm_native.jit.x86_64.assembler cimport YMM, PREFIX_66
from vm_native.jit.x86_64.compilation cimport Compilation

cdef enum:
    MOST_BYTES = 256        # of a vector that is computed here

# Whether it has been emitted. What it has written of code, if not, does not count.
ctypedef bint (*EmitVector)(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil

cdef inline bint has_parts(const VectorUop* v) noexcept nogil:
    return 0 < v.bytes <= MOST_BYTES and v.bytes & 15 == 0

cdef inline int part_at(const VectorUop* v, uint32_t place) noexcept nogil:
    # How wide the part is that begins there: YMM, or 0 for half of that.
    return YMM if v.bytes - place >= 32 else 0

cdef inline uint32_t bytes_of(int wide) noexcept nogil:
    return 32 if wide else 16

cdef inline int of_format(const VectorUop* v, int opcode) noexcept nogil:
    # An instruction on singles, or that on doubles.
    return opcode | (PREFIX_66 if v.size == 3 else 0)

cdef void load_part(Compilation* t, int xmm, int32_t place, int wide) noexcept nogil
cdef void store_part(Compilation* t, int xmm, int32_t place, int wide) noexcept nogil
cdef bint load_scalar(Compilation* t, Uop* uop, const VectorUop* v, int xmm, int size) noexcept nogil
cdef void broadcast(Compilation* t, int xmm, int size) noexcept nogil
cdef void load_mask(Compilation* t, const VectorUop* v, uint32_t place, int wide, int xmm, bint inverted) noexcept nogil
cdef void choose(Compilation* t, int xmm, int other, int32_t place, int mask, int wide) noexcept nogil
cdef void put_part(Compilation* t, const VectorUop* v, int xmm, uint32_t place, int wide) noexcept nogil
cdef void store_result(Compilation* t, const VectorUop* v, uint32_t place, int wide) noexcept nogil
