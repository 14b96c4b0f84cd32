# A vector instruction on its way: what its row says, where its operands stand, and what it demands of them.
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from vm_native.arithmetic.float_rules cimport BOX16, BOX32, NAN16, NAN32
from vm_native.ir.block cimport Uop
from vm_native.machine cimport CONTINUE, Cpu
from vm_native.riscv.constants cimport MSTATUS_VS_DIRTY
from vm_native.riscv.state cimport Hart
from vm_native.riscv.vector.names cimport (
    FLAG_STORES, SOURCE_INTEGER, SOURCE_NUMBER, SOURCE_SIGNED, SOURCE_UNSIGNED6,
)
from vm_native.riscv.worlds cimport make_dirty

cdef enum:
    UNMASKED = 1 << 25      # bit of an instruction

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
cdef int done_with_flags(Vector* v, uint32_t flags) noexcept nogil
cdef bint may_read(const Vector* v, int number, int size, int lmul, int d_size, int d_lmul) noexcept nogil
cdef bint has_formats(const Vector* v) noexcept nogil

cdef inline int done(Vector* v) noexcept nogil:
    v.hart.state.vstart = 0
    make_dirty(v.hart, MSTATUS_VS_DIRTY)
    return CONTINUE

# What is known to fit, by a hash: all that it depends on, in a word, so that harts in several threads may share it.
cdef enum:
    FIT_BITS = 10

cdef uint64_t[1 << FIT_BITS] fitting

cdef inline uint64_t fit_key(const Vector* v) noexcept nogil:
    # The instruction, 6 bits of a vtype, be it the hart's or not, 8 of features, and the bytes of a register, which are
    # a power of 2 from 4 on.
    return (
        v.word | <uint64_t>(v.size << 3 | v.lmul & 7) << 32 | (v.hart.state.features >> 15 & 0xFF) << 40
        | v.hart.state.vlenb << 46
    )

cdef inline uint64_t fit_place(uint64_t key) noexcept nogil:
    return key * 0x9E3779B97F4A7C15ULL >> (64 - FIT_BITS)

cdef bint find_out_fit(const Vector* v, uint64_t key) noexcept nogil

cdef inline bint fits(const Vector* v) noexcept nogil:
    # Whether all groups of registers are what they have to be.
    cdef uint64_t key = fit_key(v)
    return fitting[fit_place(key)] == key or find_out_fit(v, key)

cdef inline uint64_t unboxed(uint64_t image, int size) noexcept nogil:
    if size == 1:
        return image & ~BOX16 if image & BOX16 == BOX16 else NAN16
    if size == 2:
        return image & ~BOX32 if image & BOX32 == BOX32 else NAN32
    return image

cdef inline uint64_t scalar_of(const Vector* v) noexcept nogil:
    # The second operand of all elements, as wide as a register; a number as wide as an element.
    cdef int source = v.row.source
    if source == SOURCE_INTEGER:
        return v.cpu.state.regs[v.uop.rs1]
    if source == SOURCE_NUMBER:
        return unboxed(v.cpu.state.regs[v.uop.rs1], v.size)
    if source == SOURCE_SIGNED:
        return <uint64_t><int64_t>(<int32_t>(v.word << 12) >> 27)
    if source == SOURCE_UNSIGNED6:
        return (v.word >> 26 & 1) << 5 | v.word >> 15 & 31
    return v.word >> 15 & 31
