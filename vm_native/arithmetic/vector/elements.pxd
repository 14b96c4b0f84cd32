# Operations on elements of every width, and the loops over groups of them. A group of elements is where the first one
# stands: they are of 1 << size bytes and follow each other. No check here: the front end has made them. Behind a group
# of a destination or a source whole blocks of loops/kernels.pxd may be read.
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from vm_native.arithmetic.vector.element cimport Element

ctypedef uint64_t (*Compute)(Element* e, uint64_t a, uint64_t b, uint64_t d) noexcept nogil

cdef enum:
    BIT = -1                # size of the elements of a mask
    LARGEST_GROUP = 1024    # bytes
    ROOM = LARGEST_GROUP + 32       # for a group in whole blocks

cdef enum Identity:         # of a reduction: what leaves the other operand as it is
    ZEROS
    ONES
    LARGEST                 # signed
    LEAST

cdef struct Needs:          # of an operation
    bint destination        # it is an operand
    bint zeros              # an element that does not count has to be 0, or would leave a trace
    bint float_d
    bint float_a
    bint float_b
    Identity identity

cdef struct Operands:
    Element e               # but for its formats
    uint64_t count          # elements from this one on stay as they are
    const uint8_t* mask     # bits; NULL: every element counts
    uint8_t* d
    int size                # log2 of bytes, of the selected width
    int d_size              # the same of each operand, or BIT
    const uint8_t* a
    int a_size
    bint a_signed
    const uint8_t* b        # NULL: the scalar
    int b_size
    bint b_signed
    uint64_t scalar
    bint on_host            # its FPU may be used: it rounds as is asked, and its flags are looked at

cdef inline bint bit(const uint8_t* mask, uint64_t i) noexcept nogil:
    return mask[i >> 3] >> (i & 7) & 1

cdef inline void set_bit(uint8_t* mask, uint64_t i, bint value) noexcept nogil:
    mask[i >> 3] = <uint8_t>(mask[i >> 3] & ~(1 << (i & 7)) | value << (i & 7))

cdef inline uint64_t element(const uint8_t* group, uint64_t i, int size, bint signed) noexcept nogil:
    if size == 0:
        return <uint64_t><int64_t>(<const int8_t*>group)[i] if signed else group[i]
    if size == 1:
        return <uint64_t><int64_t>(<const int16_t*>group)[i] if signed else (<const uint16_t*>group)[i]
    if size == 2:
        return <uint64_t><int64_t>(<const int32_t*>group)[i] if signed else (<const uint32_t*>group)[i]
    return (<const uint64_t*>group)[i]

cdef inline void set_element(uint8_t* group, uint64_t i, int size, uint64_t value) noexcept nogil:
    if size == 0:
        group[i] = <uint8_t>value
    elif size == 1:
        (<uint16_t*>group)[i] = <uint16_t>value
    elif size == 2:
        (<uint32_t*>group)[i] = <uint32_t>value
    else:
        (<uint64_t*>group)[i] = value


# Each element that counts. With `mask_is_operand` all count, and the mask's bits are carries.
cdef void compute_elements(Operands* o, int operation, bint mask_is_operand) noexcept nogil
# The first element of d becomes that of b, and what the operation makes of it with each element of a. With
# `quiets_alone` it becomes a default NaN where it is one and no element counts.
cdef void reduce_elements(Operands* o, int operation, bint quiets_alone) noexcept nogil

# Elements of `values` go to `d`, where the mask has them. There is ROOM behind `values`.
cdef void store_elements(
    uint8_t* d, const uint8_t* values, uint64_t count, int size, const uint8_t* mask
) noexcept nogil
