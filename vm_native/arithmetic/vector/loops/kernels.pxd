# What the module of each instruction set offers: this table, in a capsule `kernels` that is called
# "vm_native.arithmetic.vector.loops.kernels".
#
# A loop computes `count` elements from `a` and `b`, and `d` where the operation reads the destination, into `out`,
# which overlaps none of them; `carry` has a byte for each element. All are read and written up to the end of the last
# BLOCK bytes of elements that are as wide as is selected; the caller sees to it that there is room. Loops of
# comparisons write a byte for each element.
from libc.stdint cimport uint8_t, uint64_t
from vm_native.arithmetic.vector.element cimport Element

cdef enum:
    BLOCK = 16
    OPERATIONS = 160        # room for table.py
    SIZES = 4

cdef enum Variant:          # widths of the result and the first operand beside the selected one
    PLAIN
    WIDE                    # the result is twice as wide
    WIDE_FIRST              # and so is the first operand
    NARROW                  # the first operand is
    HALVES                  # the first operand is half as wide, or a quarter, or an eighth
    QUARTERS
    EIGHTHS
    BYTES                   # the result is true or false
    REDUCTION
    WIDE_REDUCTION
    VARIANTS

ctypedef void (*Loop)(
    uint8_t* out, const uint8_t* d, const uint8_t* a, const uint8_t* b, const uint8_t* carry, uint64_t count, Element* e
) noexcept nogil

cdef struct Kernels:
    Loop loops[OPERATIONS][VARIANTS][SIZES]         # by number, and log2 of the selected width in bytes; or NULL
    Loop floats[OPERATIONS][VARIANTS][SIZES]        # the same, on the host's FPU
    # A byte for each bit: all ones or zeros. `lanes` has room for a whole number of BLOCKs.
    void (*expand)(uint8_t* lanes, const uint8_t* bits, uint64_t count) noexcept nogil
    # Bits of bytes that are 0 or 1: whole bytes of them.
    void (*pack)(uint8_t* bits, const uint8_t* truths, uint64_t count) noexcept nogil
    # Elements of `from` go to `d` where their lane is not 0.
    void (*blend)(uint8_t* d, const uint8_t* values, const uint8_t* lanes, uint64_t count, int size) noexcept nogil
    void (*splat)(uint8_t* d, uint64_t value, uint64_t count, int size) noexcept nogil
    # NaNs become the default one. Returns whether there are any.
    bint (*make_canonical)(uint8_t* values, uint64_t count, int size) noexcept nogil
