# What operations on elements depend on besides the elements, and the loops over them. A group of elements is where the
# first one stands: they are of 1 << size bytes and follow each other. No check here: the front end has made them.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from vm_native.arithmetic.softfloat cimport Format

cdef enum FixedRounding:    # how fixed-point operations round what they shift out
    NEAREST_UP = 0
    NEAREST_EVEN = 1
    DOWN = 2
    TO_ODD = 3

cdef struct Element:
    int bits                # the selected element width
    Format number           # of that width
    Format wide             # of twice that
    int rounding            # of floating point
    int fixed_rounding
    uint32_t flags          # of floating point, ORed into
    uint32_t saturated      # becomes 1
    uint64_t carry          # the mask's bit for this element, where it is an operand

ctypedef uint64_t (*Compute)(Element* e, uint64_t a, uint64_t b, uint64_t d) noexcept nogil

cdef enum:
    BIT = -1                # size of the elements of a mask

cdef struct Operands:
    Element e
    uint64_t first          # elements before this one, and
    uint64_t count          # from this one on, stay as they are
    const uint8_t* mask     # bits; NULL: every element counts
    uint8_t* d
    int d_size              # log2 of bytes, or BIT
    const uint8_t* a
    int a_size
    bint a_signed
    const uint8_t* b        # NULL: the scalar
    int b_size
    bint b_signed
    uint64_t scalar

cdef inline bint bit(const uint8_t* mask, uint64_t i) noexcept nogil:
    return mask[i >> 3] >> (i & 7) & 1

cdef inline void set_bit(uint8_t* mask, uint64_t i, bint value) noexcept nogil:
    mask[i >> 3] = <uint8_t>(mask[i >> 3] & ~(1 << (i & 7)) | value << (i & 7))

cdef uint64_t element(const uint8_t* group, uint64_t i, int size, bint signed) noexcept nogil
cdef void set_element(uint8_t* group, uint64_t i, int size, uint64_t value) noexcept nogil
cdef void use_formats(Element* e, int bits) noexcept nogil

# Each element that counts. With `mask_is_operand` all count, and the mask's bits are carries.
cdef void compute_elements(Operands* o, int operation, bint mask_is_operand) noexcept nogil
# The first element of d becomes that of b, and what the operation makes of it with each element of a. With
# `quiets_alone` it becomes a default NaN where it is one and no element counts.
cdef void reduce_elements(Operands* o, int operation, bint quiets_alone) noexcept nogil
