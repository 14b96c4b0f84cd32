# What IEEE 754 leaves to the architecture, as the guest has it: RISC-V unprivileged manual, chapters "F", "D", "Zfh".
#
# These are constants of compilation because every handler of floating point contains them. All that this package knows
# of a guest stands here, but for two answers that take code: what does not fit an integer saturates, where a NaN counts
# as too large (rounded_int32 and its kin in floating.pxd, to_integer in softfloat.pxd), and infinity * 0 + a quiet NaN
# is invalid (fma, multiply_add). A guest with other answers brings another such file, and these modules built with it.
from libc.stdint cimport uint32_t, uint64_t

cdef enum Flag:             # exceptions, as the guest's status register has them
    NX = 1                  # inexact
    UF = 2                  # underflow: tiny after rounding, and inexact
    OF = 4                  # overflow
    DZ = 8                  # division by zero
    NV = 16                 # invalid operation

cdef enum Rounding:         # rounding modes, as the guest's instructions encode them
    RNE = 0                 # to nearest, ties to even
    RTZ = 1                 # towards zero
    RDN = 2                 # down
    RUP = 3                 # up
    RMM = 4                 # to nearest, ties to larger magnitude

cdef extern from *:
    # The result of every operation that gives a NaN, whatever NaNs it was given
    const uint32_t NAN16 "0x7E00U"
    const uint32_t NAN32 "0x7FC00000U"
    const uint64_t NAN64 "0x7FF8000000000000ULL"
    # What stands above a narrow number in its register; anything else there makes it count as a NaN
    const uint64_t BOX16 "0xFFFFFFFFFFFF0000ULL"
    const uint64_t BOX32 "0xFFFFFFFF00000000ULL"
