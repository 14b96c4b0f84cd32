# A vector instruction on its way: what its row says, where its operands stand, and what it demands of them.
from libc.stdint cimport int8_t, uint8_t, uint16_t, uint32_t, uint64_t
from vm_native.ir.block cimport Uop
from vm_native.machine cimport Cpu
from vm_native.riscv.state cimport Hart
from vm_native.riscv.vector.names cimport FLAG_STORES

cdef struct VectorRow "vm_vector_row":  # vector_shapes.py explains it, and makes them
    uint8_t run
    uint8_t source          # of the second operand
    uint16_t operation
    uint16_t flags
    int8_t d                # widths
    int8_t a
    int8_t b

cdef struct Vector:
    Cpu* cpu
    Hart* hart
    Uop* uop
    const VectorRow* row
    uint32_t word
    int size                # log2 of the bytes of an element
    int lmul                # log2 of how many registers a group has
    int largest             # log2 of the bytes of the largest element
    uint64_t limit          # elements that a group has room for
    uint64_t vl
    const uint8_t* mask     # NULL: every element counts

# Returns a Status. A trap that is not the memory's is that of an illegal instruction.
ctypedef int (*Run)(Vector* v) noexcept nogil

cdef inline int vd_of(const Vector* v) noexcept nogil:
    return v.word >> 7 & 31

cdef inline int vs1_of(const Vector* v) noexcept nogil:
    return v.word >> 15 & 31

cdef inline int vs2_of(const Vector* v) noexcept nogil:
    return v.word >> 20 & 31

cdef inline uint8_t* register_at(const Vector* v, int number) noexcept nogil:
    return &v.hart.vectors[<uint64_t>number * v.hart.state.vlenb]

cdef inline int registers_of(int lmul) noexcept nogil:
    return 1 << lmul if lmul > 0 else 1

cdef inline bint is_aligned(int number, int lmul) noexcept nogil:
    return number & (registers_of(lmul) - 1) == 0

cdef inline bint overlap(int a, int a_lmul, int b, int b_lmul) noexcept nogil:
    return a < b + registers_of(b_lmul) and b < a + registers_of(a_lmul)

cdef inline bint is_group(const Vector* v, int size, int lmul) noexcept nogil:
    # Whether there are elements and groups like this.
    return 0 <= size <= v.largest and -3 <= lmul <= 3

# Whether elements that may not be turned off by v0 would be written over it.
cdef inline bint overwrites_mask(const Vector* v) noexcept nogil:
    return v.mask != NULL and vd_of(v) == 0 and not v.row.flags & FLAG_STORES

cdef int refuse(Vector* v) noexcept nogil
cdef int done(Vector* v) noexcept nogil
cdef int done_with_flags(Vector* v, uint32_t flags) noexcept nogil
cdef bint may_read(const Vector* v, int number, int size, int lmul, int d_size, int d_lmul) noexcept nogil
cdef bint fits(const Vector* v) noexcept nogil
cdef bint has_formats(const Vector* v) noexcept nogil
cdef uint64_t scalar_of(const Vector* v) noexcept nogil
