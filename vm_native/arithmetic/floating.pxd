# Floating point on the host's FPU, as the handlers of the engines call it.
#
# Rounds as the environment says that save_environment() or start_environment() has set up (`truncated_` conversions:
# towards zero, as C casts have it); a mode that the host does not have is the business of operations.pyx. Exceptions
# accumulate in the host's own sticky status word; collect_flags() reads what has. What the guest decides, the NaNs and
# the boxes of narrow numbers, stands in float_rules.pxd.
#
# For each VIEW of uops.py there are VIEW_of(), which gets it from a register, and VIEW_image(), what a register that
# is written as such becomes. Between them stand C's operators and the functions here.
#
# Why the flags are complete: collect_flags and its kin are never inlined, so the compiler must assume that they read
# and write guest registers. An operation whose operands come from the register file and whose result goes back to it
# therefore stays on its side of the call. Callers must not keep operands or results in locals across such a call.
# Needs -ftrapping-math (gcc's default) and -ffp-contract=off; -fno-math-errno makes sqrt one instruction. No operand is
# known to the compiler, so that it computes nothing itself, in a rounding mode that it takes for granted.
# x86 and RISC-V hosts detect tininess after rounding, as RISC-V does; Arm hosts detect it before and set UF also for a
# result that rounds up to the smallest normal number.

from libc.stdint cimport (
    INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, UINT32_MAX, int32_t, int64_t, uint16_t, uint32_t, uint64_t,
)
from vm_native.arithmetic.float_rules cimport BOX16, BOX32, NAN16, NAN32, NAN64, RUP

cdef extern from *:
    """
    #include <float.h>
    #include <math.h>
    #include <string.h>
    #if FLT_EVAL_METHOD != 0
    #error "the host must compute float and double in their own precision"
    #endif
    static inline double vm_as_double(unsigned long long x) { double d; memcpy(&d, &x, 8); return d; }
    /* Hides a constant: gcc folds `NaN < x` to false and forgets that it is invalid. */
    static inline unsigned int vm_opaque(unsigned int x) { __asm__("" : "+r"(x)); return x; }
    static inline float vm_as_float(unsigned int x) { float f; memcpy(&f, &x, 4); return f; }
    static inline unsigned long long vm_double_bits(double d) { unsigned long long x; memcpy(&x, &d, 8); return x; }
    static inline unsigned int vm_float_bits(float f) { unsigned int x; memcpy(&x, &f, 4); return x; }

    /* A build for every x86-64 processor cannot inline fma(); what libm does without the instruction is slow and leaves
       its flags in the x87 status word. So the fast path serves only hosts that have the instruction. */
    #if defined(__x86_64__)
    #define vm_has_fma() (__builtin_cpu_supports("fma") != 0)
    static inline double vm_fma(double a, double b, double c)
    { __asm__ volatile("vfmadd231sd %2, %1, %0" : "+x"(c) : "x"(a), "x"(b)); return c; }
    static inline float vm_fmaf(float a, float b, float c)
    { __asm__ volatile("vfmadd231ss %2, %1, %0" : "+x"(c) : "x"(a), "x"(b)); return c; }
    #else
    #if defined(FP_FAST_FMA) && defined(FP_FAST_FMAF)
    #define vm_has_fma() 1
    #else
    #define vm_has_fma() 0
    #endif
    #define vm_fma fma
    #define vm_fmaf fmaf
    #endif

    /* Volatile, lest the compiler (which takes llrint for free of side effects) moves it before the test of the range
       and so raises inexact for what does not fit. */
    #if defined(__x86_64__)
    static inline long long vm_rounded(double x)
    { long long r; __asm__ volatile("cvtsd2si %1, %0" : "=r"(r) : "x"(x)); return r; }
    #else
    static inline long long vm_rounded(double x) { volatile double y = x; return llrint(y); }
    #endif

    /* Without a call, which would make every handler that contains one save registers on entry. */
    static inline void vm_raise_invalid(void) { volatile float zero = 0.0f; zero = zero / zero; }

    #if defined(__SSE2__)
    #include <xmmintrin.h>
    typedef unsigned int vm_host_environment;
    #else
    #include <fenv.h>
    typedef fenv_t vm_host_environment;
    #endif
    """
    ctypedef struct HostEnvironment "vm_host_environment":
        pass
    double as_double "vm_as_double"(uint64_t bits) noexcept nogil
    uint32_t opaque "vm_opaque"(uint32_t bits) noexcept nogil
    float as_float "vm_as_float"(uint32_t bits) noexcept nogil
    uint64_t double_bits "vm_double_bits"(double value) noexcept nogil
    uint32_t float_bits "vm_float_bits"(float value) noexcept nogil
    bint has_fma "vm_has_fma"() noexcept nogil
    void raise_invalid "vm_raise_invalid"() noexcept nogil
    double host_fma "vm_fma"(double a, double b, double c) noexcept nogil
    float host_fmaf "vm_fmaf"(float a, float b, float c) noexcept nogil
    double host_sqrt "sqrt"(double x) noexcept nogil
    float host_sqrtf "sqrtf"(float x) noexcept nogil
    int64_t rounded "vm_rounded"(double x) noexcept nogil
    bint isless(double a, double b) noexcept nogil         # macros for any type, that raise nothing for quiet NaNs
    bint islessequal(double a, double b) noexcept nogil
    bint isinf(double a) noexcept nogil
    bint likely(bint condition) noexcept nogil
    bint unlikely(bint condition) noexcept nogil

ctypedef fused real:
    float
    double

ctypedef fused number:
    int32_t
    uint32_t
    int64_t
    uint64_t
    float
    double

# --- Environment: flags are those of float_rules.pxd

# Keep the host's, then start the guest's.
cdef void save_environment(HostEnvironment* saved, int rounding) noexcept nogil
# No flags, and this rounding mode; to nearest where host_rounds() says that the host does not have it.
cdef void start_environment(int rounding) noexcept nogil
cdef void restore_environment(const HostEnvironment* saved) noexcept nogil  # drops flags: collect_flags() first
cdef uint32_t collect_flags() noexcept nogil

cdef inline bint host_rounds(int rounding) noexcept nogil:
    return rounding <= RUP

# --- Views of registers

cdef inline uint32_t bits16_of(uint64_t image) noexcept nogil:
    return <uint16_t>image if likely(image >> 16 == BOX16 >> 16) else opaque(NAN16)

cdef inline uint32_t bits32_of(uint64_t image) noexcept nogil:
    return <uint32_t>image if likely(image >> 32 == BOX32 >> 32) else opaque(NAN32)

cdef inline uint64_t bits64_of(uint64_t image) noexcept nogil:
    return image

cdef inline uint64_t bits16_image(uint64_t bits) noexcept nogil:
    return BOX16 | <uint16_t>bits

cdef inline uint64_t bits32_image(uint64_t bits) noexcept nogil:
    return BOX32 | <uint32_t>bits

cdef inline uint64_t bits64_image(uint64_t bits) noexcept nogil:
    return bits

cdef inline float half_of(uint64_t image) noexcept nogil:
    """Exact. A finite half is a single with the exponent 112 too small, and subnormals come right in the product."""
    cdef uint32_t bits = bits16_of(image)
    cdef uint32_t magnitude = bits & 0x7FFF
    cdef uint32_t sign = (bits & 0x8000) << 16
    if likely(magnitude < 0x7C00):
        return as_float(float_bits(as_float(magnitude << 13) * as_float(0x77800000)) | sign)
    if magnitude == 0x7C00:
        return as_float(0x7F800000 | sign)
    if not magnitude & 0x200:
        raise_invalid()
    return as_float(opaque(NAN32))

cdef inline float single_of(uint64_t image) noexcept nogil:
    return as_float(bits32_of(image))

cdef inline double double_of(uint64_t image) noexcept nogil:
    return as_double(image)

cdef inline uint64_t single_image(number value) noexcept nogil:
    cdef float rounded = <float>value
    if number is float or number is double:
        if unlikely(rounded != rounded):
            return BOX32 | NAN32
    return BOX32 | float_bits(rounded)

cdef inline uint64_t double_image(number value) noexcept nogil:
    cdef double rounded = <double>value
    if number is float or number is double:
        if unlikely(rounded != rounded):
            return NAN64
    return double_bits(rounded)

# Of a single or a double that is no NaN; bit patterns.
cdef uint32_t rounded_to_half32(uint32_t bits) noexcept nogil
cdef uint32_t rounded_to_half64(uint64_t bits) noexcept nogil

cdef inline uint64_t half_image(number value) noexcept nogil:
    """An integer is rounded to a single first: one that is not exact in that is too large for a half."""
    if number is float or number is double:
        if unlikely(value != value):
            return BOX16 | NAN16
    if number is double:
        return BOX16 | rounded_to_half64(double_bits(value))
    else:
        return BOX16 | rounded_to_half32(float_bits(<float>value))

# --- Arithmetic that C has no operator for

cdef inline real square_root(real x) noexcept nogil:
    if real is float:
        return host_sqrtf(x)
    else:
        return host_sqrt(x)

cdef inline real fma(real a, real b, real c) noexcept nogil:
    """Only if has_fma(); otherwise the decoder must choose the exact path, as for another rounding mode."""
    cdef real value
    if real is float:
        value = host_fmaf(a, b, c)
    else:
        value = host_fma(a, b, c)
    if unlikely(value != value) and (isinf(a) and b == 0 or a == 0 and isinf(b)):
        raise_invalid()         # with a quiet NaN for c not on every host
    return value

# minimumNumber and maximumNumber of IEEE 754-2019: of two operands the one that is a number, and -0 is less than +0.
# The comparisons have noticed it if one signals.

cdef inline real minimum(real a, real b) noexcept nogil:
    if isless(a, b):
        return a
    if isless(b, a):
        return b
    if likely(a == b):
        return either_bits(a, b)                            # the same, or zeros
    return b if a != a else a

cdef inline real maximum(real a, real b) noexcept nogil:
    if isless(b, a):
        return a
    if isless(a, b):
        return b
    if likely(a == b):
        return common_bits(a, b)
    return b if a != a else a

# minimum and maximum of IEEE 754-2019: a NaN if one of the operands is.

cdef inline real minimum_or_nan(real a, real b) noexcept nogil:
    return a + b if unlikely(a != a or b != b) else minimum(a, b)

cdef inline real maximum_or_nan(real a, real b) noexcept nogil:
    return a + b if unlikely(a != a or b != b) else maximum(a, b)

cdef inline real either_bits(real a, real b) noexcept nogil:
    if real is float:
        return as_float(float_bits(a) | float_bits(b))
    else:
        return as_double(double_bits(a) | double_bits(b))

cdef inline real common_bits(real a, real b) noexcept nogil:
    if real is float:
        return as_float(float_bits(a) & float_bits(b))
    else:
        return as_double(double_bits(a) & double_bits(b))

# Rounded to a number without a fraction (5.9): `exact` in the sense of the standard, it signals inexact.

cdef uint32_t integral_bits32(uint32_t bits, bint signals_inexact) noexcept nogil
cdef uint64_t integral_bits64(uint64_t bits, bint signals_inexact) noexcept nogil

cdef inline real integral(real x) noexcept nogil:
    if real is float:
        return as_float(integral_bits32(float_bits(x), False))
    else:
        return as_double(integral_bits64(double_bits(x), False))

cdef inline real integral_exact(real x) noexcept nogil:
    if real is float:
        return as_float(integral_bits32(float_bits(x), True))
    else:
        return as_double(integral_bits64(double_bits(x), True))

# The ten classes of IEEE 754 (5.7.2): the numbers by value from -infinity (0) to infinity (7), with -0 (3) before +0,
# then signalling (8) and quiet NaNs (9).
cdef int class_of_bits16(uint32_t bits) noexcept nogil
cdef int class_of_bits32(uint32_t bits) noexcept nogil
cdef int class_of_bits64(uint64_t bits) noexcept nogil

# --- Conversions to integers. Singles go through double, which is exact. The range is tested first: what does not fit
# is invalid and not inexact, and undefined in C. A NaN fails the tests and counts as too large.

# What is near the ends of the range, or beyond: whether it fits depends on the rounding mode. `width` is 32 or 64.
cdef uint64_t rounded_at_end(double x, bint signed, int width) noexcept nogil

cdef inline int64_t out_of_range(double value, int64_t lowest, int64_t highest) noexcept nogil:
    raise_invalid()
    return lowest if isless(value, 0.0) else highest

cdef inline int64_t rounded_int32(double x) noexcept nogil:
    if likely(x >= -2147483648.0 and x <= 2147483647.0):
        return rounded(x)
    return <int32_t>rounded_at_end(x, True, 32)

cdef inline int64_t truncated_int32(double x) noexcept nogil:
    if likely(x > -2147483649.0 and x < 2147483648.0):
        return <int64_t>x
    return out_of_range(x, INT32_MIN, INT32_MAX)

cdef inline uint32_t rounded_uint32(double x) noexcept nogil:
    if likely(x >= 0.0 and x <= 4294967295.0):
        return <uint32_t>rounded(x)
    return <uint32_t>rounded_at_end(x, False, 32)

cdef inline uint32_t truncated_uint32(double x) noexcept nogil:
    if likely(x > -1.0 and x < 4294967296.0):
        return <uint32_t><int64_t>x
    return <uint32_t>out_of_range(x, 0, UINT32_MAX)

cdef int64_t modular_at_end(double x) noexcept nogil

cdef inline int64_t modular_int32(double x) noexcept nogil:
    """Truncated to an integer of any size, of which these are the low bits; what is no integer gives 0."""
    if likely(x > -2147483649.0 and x < 2147483648.0):
        return <int64_t>x
    return modular_at_end(x)

cdef inline int64_t rounded_int64(double x) noexcept nogil:
    if likely(x >= -9223372036854775808.0 and x < 9223372036854775808.0):
        return rounded(x)
    return out_of_range(x, INT64_MIN, INT64_MAX)

cdef inline int64_t truncated_int64(double x) noexcept nogil:
    if likely(x >= -9223372036854775808.0 and x < 9223372036854775808.0):
        return <int64_t>x
    return out_of_range(x, INT64_MIN, INT64_MAX)

cdef inline uint64_t upper_half_uint64(double x) noexcept nogil:
    """From 2**63 on, where numbers have no fraction."""
    if x >= 9223372036854775808.0 and x < 18446744073709551616.0:
        return <uint64_t><int64_t>(x - 9223372036854775808.0) ^ 0x8000000000000000ULL
    return <uint64_t>out_of_range(x, 0, -1)

cdef inline uint64_t rounded_uint64(double x) noexcept nogil:
    if likely(x >= 0.0 and x < 9223372036854775808.0):
        return <uint64_t>rounded(x)
    return upper_half_uint64(x) if x > 0.0 else rounded_at_end(x, False, 64)

cdef inline uint64_t truncated_uint64(double x) noexcept nogil:
    if likely(x > -1.0 and x < 9223372036854775808.0):
        return <uint64_t><int64_t>x
    return upper_half_uint64(x)
