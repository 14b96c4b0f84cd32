# How operations on floating-point elements become the host's.
cdef enum FloatsShape:
    NOT_HERE
    SIMPLE                  # a OP b
    REVERSED                # b OP a
    DIVIDES                 # a OP b, of which zeroes would raise flags
    DIVIDES_REVERSED
    OF_ONE                  # OP a
    FUSED                   # a * b and d
    FUSED_OF_RESULT         # d * b and a
    COMPARES
    FROM_SIGNED             # integers of 32 bits
    FROM_UNSIGNED

cdef struct FloatsRule:
    FloatsShape shape
    int host                # an instruction, of a comparison its number
