# What a front end tells a compiler of an instruction on vectors, and of the state that it counts on: values, and no
# encoding.
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

# Cpu.vector_shape: all that compiled code counts on, in one word. Its lowest bits are the front end's name of a type:
# of how wide elements are, and what groups they make.
cdef enum:
    SHAPE_TYPE = 0xFF
    SHAPE_LENGTH_SHIFT = 8      # how many elements there are; 0x7FF of them
    SHAPE_LENGTH_MASK = 0x7FF
    SHAPE_KNOWN = 0x80000000U   # 0: nothing may be counted on. The word is negative, or 0

cdef enum:
    BITS = -1                   # width of the elements of a mask

cdef enum VectorKind:
    VECTOR_OTHER                # nothing is told
    VECTOR_SET                  # the type and how many elements there are
    VECTOR_LOAD                 # elements that follow each other, all of them
    VECTOR_STORE
    VECTOR_LOAD_ALL             # the same of whole registers, or of bits, whatever the type is
    VECTOR_STORE_ALL
    VECTOR_MOVE_ALL             # registers to registers
    VECTOR_ELEMENTS             # element by element; the operation is one of arithmetic/vector/table.py
    VECTOR_LOGIC                # of bits; the operation is a table of truth: bit 2 * a + b is the result
    VECTOR_COUNT                # of bits that are set
    VECTOR_FIND                 # the first of them, or -1
    VECTOR_FIRST                # element of a, sign-extended, or a number
    VECTOR_REDUCTION            # d[0] = the operation on b[0] and all elements of a
    VECTOR_GIVE                 # d[0] = the second operand
    VECTOR_INDICES              # d[i] = i
    VECTOR_GATHER               # d[i] = a[b[i]], 0 where there is none
    VECTOR_SLIDE                # d[i] = a[i + value], 0 where there is none; for a negative value d stays there
    VECTOR_SLIDE_ONE            # the same of 1 or -1, but the second operand there
    VECTOR_GROUPS               # the operation is one of arithmetic/vector/group_names.py

cdef enum VectorSource:         # of the second operand
    FROM_NOWHERE
    FROM_VECTOR
    FROM_INTEGER                # a register slot
    FROM_NUMBER                 # the same, of a boxed floating-point number
    FROM_CONSTANT

cdef enum VectorLength:         # of a VECTOR_SET
    LENGTH_CONSTANT             # `value`
    LENGTH_OF_SLOT              # but not more than `value`
    LENGTH_KEPT

cdef struct VectorUop:
    VectorKind kind
    int operation
    bint keeps_shape            # what it leaves, should it come to its end, is the shape that it found
    bint numbers                # its elements are floating-point numbers, and raise flags
    uint32_t elements
    int size                    # log2 of the bytes of an element; of d, a and b below, or BITS
    int d_size
    int a_size
    int b_size
    uint32_t bytes              # of all elements of d; of a VECTOR_LOAD_ALL and its like, of all that is moved
    uint32_t room               # of the bytes of such a group, with as many elements as there can be
    bint masked                 # only elements whose bit in the mask is set
    bint mask_is_operand
    int32_t d                   # where operands stand, seen from the Cpu
    int32_t a
    int32_t b
    int32_t mask
    int32_t saturated           # a byte that becomes 1, where a result is saturated
    VectorSource source
    int slot                    # an integer, a number, an address, a length
    int64_t value               # a constant; of a VECTOR_SET the greatest length
    int result                  # slot of a result that is no vector
    VectorLength length         # of a VECTOR_SET
    uint64_t type               # ... with all bits, and where that and the length stand
    int32_t type_place
    int32_t length_place
