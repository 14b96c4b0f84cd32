"""The table of immediates of the unprivileged manual, chapter "Zfa"."""
from libc.stdint cimport uint32_t, uint64_t
from vm_native.arithmetic.float_rules cimport BOX16, BOX32, RNE
from vm_native.arithmetic.floating cimport double_bits
from vm_native.arithmetic.softfloat cimport Format, binary16, binary32, binary64, convert, infinity


cdef enum:
    SMALLEST_NORMAL = 1
    INFINITY = 30
    DEFAULT_NAN = 31

cdef double[30] constants = [
    -1.0, 0.0, 2.0**-16, 2.0**-15, 2.0**-8, 2.0**-7, 0.0625, 0.125,         # that of number 1 depends on the format
    0.25, 0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875,
    1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 8.0, 16.0, 128.0, 256.0, 32768.0, 65536.0,
]


cdef uint64_t fli_constant(int format, int number) noexcept nogil:
    if format == 0:
        return BOX32 | constant(binary32(), number)
    return constant(binary64(), number) if format == 1 else BOX16 | constant(binary16(), number)


cdef uint64_t constant(Format f, int number) noexcept nogil:
    cdef uint32_t ignored = 0
    if number == SMALLEST_NORMAL:
        return 1ULL << f.fraction_bits
    if number == INFINITY:
        return infinity(f)
    if number == DEFAULT_NAN:
        return f.default_nan
    return convert(binary64(), f, double_bits(constants[number]), RNE, &ignored)    # 65536 is infinity as a half
