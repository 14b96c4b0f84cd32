# Vectors in the host's instructions: their parts of 64, 32 or 16 bytes, scalars for all elements, masks.
from libc.stdint cimport int32_t, uint8_t, uint32_t
from vm_native.ir.block cimport Uop
from vm_native.ir.vectors cimport VectorUop
from vm_native.jit.x86_64.assembler cimport EVEX_WIDE, PREFIX_66, YMM, ZMM
from vm_native.jit.x86_64.compilation cimport Compilation

cdef enum:
    MOST_BYTES = 256        # of a vector that is computed here

# Whether it has been emitted. What it has written of code, if not, does not count.
ctypedef bint (*EmitVector)(Compilation* t, Uop* uop, const VectorUop* v, const int* host) noexcept nogil

cdef struct Selection:      # of the elements of a part that count
    int mask                # K1, or 0: all
    uint8_t* none           # a jump's displacement, if there are none; or NULL

cdef inline bint has_parts(const VectorUop* v) noexcept nogil:
    return 0 < v.bytes <= MOST_BYTES and v.bytes & 15 == 0

cdef inline int width_at(const Compilation* t, uint32_t left) noexcept nogil:
    # How wide the part is that begins where so many bytes are left: ZMM, YMM, or 0 for 16 bytes.
    return ZMM if t.avx512 and left >= 64 else YMM if left >= 32 else 0

cdef inline int part_at(const Compilation* t, const VectorUop* v, uint32_t place) noexcept nogil:
    return width_at(t, v.bytes - place)

cdef inline uint32_t bytes_of(int wide) noexcept nogil:
    return 64 if wide & ZMM else 32 if wide & YMM else 16

cdef inline int of_format(const VectorUop* v, int opcode) noexcept nogil:
    # An instruction on singles, or that on doubles.
    return opcode | (PREFIX_66 | EVEX_WIDE if v.size == 3 else 0)

cdef inline bint is_selective(const Compilation* t, const VectorUop* v) noexcept nogil:
    # Whether some elements of the result stay as they are.
    return t.partly or v.masked and not v.mask_is_operand

cdef int[4] MOVES           # of elements, by their size
cdef int[4] BROADCASTS      # of one element to all
cdef int[4] COMPARISONS     # AVX-512's: of elements that have no sign; OF_SIGNED besides, the order is a constant

cdef int widest(const Compilation* t, const VectorUop* v) noexcept nogil
cdef void load_part(Compilation* t, int xmm, int32_t place, int wide) noexcept nogil
cdef int read_part(Compilation* t, int scratch, int32_t place, int wide) noexcept nogil
cdef void on_place(Compilation* t, int opcode, int xmm, int source, int32_t place) noexcept nogil
cdef void on_few(Compilation* t, int opcode, int xmm, int32_t place, uint32_t bytes) noexcept nogil
cdef void store_part(Compilation* t, int xmm, int32_t place, int wide) noexcept nogil
cdef int target_of_part(Compilation* t, const VectorUop* v, uint32_t place, int wide) noexcept nogil
cdef bint load_scalar(Compilation* t, Uop* uop, const VectorUop* v, int xmm, int size) noexcept nogil
cdef void load_mask(Compilation* t, const VectorUop* v, uint32_t place, int wide, int xmm, bint inverted) noexcept nogil
cdef void choose(Compilation* t, int xmm, int other, int32_t place, int mask, int wide) noexcept nogil
cdef void broadcast(Compilation* t, const VectorUop* v, int xmm, int size) noexcept nogil
cdef int load_bits(Compilation* t, int mask, int32_t place, uint32_t element, uint32_t count) noexcept nogil
cdef void select(
    Compilation* t, const VectorUop* v, uint32_t place, int wide, int size, Selection* selection
) noexcept nogil
cdef void end_selection(Compilation* t, const Selection* selection) noexcept nogil
cdef void store_selected(
    Compilation* t, int mask, int xmm, int32_t place, int wide, int size
) noexcept nogil
cdef void store_result(Compilation* t, const VectorUop* v, int xmm, uint32_t place, int wide) noexcept nogil
