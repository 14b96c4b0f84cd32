# Floating point on raw 64-bit register images (narrower formats are NaN-boxed), as the engines call it.
#
# Fast path: the inline functions below compute with the host's FPU and are right for round-to-nearest-even (the
# `_rtz` conversions: towards zero, as C casts have it). Exceptions accumulate in the host's own sticky status word.
# They need an environment set up by save_environment(); collect_flags() then reads what has accumulated. Half
# precision has it only for transfers and fcvt.s.h, Zfa not at all.
# Exact path: fp_operate(), any rounding mode, in integers; it touches no host state.
#
# Why the flags are complete: collect_flags and its kin are never inlined, so the compiler must assume that they read
# and write guest registers. An operation whose operands come from the register file and whose result goes back to it
# therefore stays on its side of the call. Callers must not keep operands or results in locals across such a call.
# Needs -ftrapping-math (gcc's default) and -ffp-contract=off; -fno-math-errno makes sqrt one instruction.
# x86 and RISC-V hosts detect tininess after rounding, as RISC-V does; Arm hosts detect it before and set UF also for a
# result that rounds up to the smallest normal number.

cimport cython
from libc.stdint cimport (
    INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t,
)

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

    /* To nearest. Volatile, lest the compiler (which takes llrint for free of side effects) moves it before the test of
       the range and so raises inexact for what does not fit. */
    #if defined(__x86_64__)
    static inline long long vm_nearest(double x)
    { long long r; __asm__ volatile("cvtsd2si %1, %0" : "=r"(r) : "x"(x)); return r; }
    #else
    static inline long long vm_nearest(double x) { volatile double y = x; return llrint(y); }
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
    int64_t nearest "vm_nearest"(double x) noexcept nogil
    bint isunordered(double a, double b) noexcept nogil
    bint isless(double a, double b) noexcept nogil
    bint likely(bint condition) noexcept nogil
    bint unlikely(bint condition) noexcept nogil

# --- Environment: bits of flags are those of fflags (NX 1, UF 2, OF 4, DZ 8, NV 16)

cdef void save_environment(HostEnvironment* saved) noexcept nogil           # keep the host's, install the guest's
cdef void restore_environment(const HostEnvironment* saved) noexcept nogil  # drops flags: collect_flags() first
cdef uint32_t collect_flags() noexcept nogil
cdef void clear_flags() noexcept nogil
cdef void raise_flags(uint32_t flags) noexcept nogil

# --- Exact path. The low two bits of an operation are the format as instructions encode it (S 0, D 1, H 2).

cpdef enum Operation:
    FADD_S = 0x00
    FADD_D
    FADD_H
    FSUB_S = 0x04
    FSUB_D
    FSUB_H
    FMUL_S = 0x08
    FMUL_D
    FMUL_H
    FDIV_S = 0x0C
    FDIV_D
    FDIV_H
    FSQRT_S = 0x10
    FSQRT_D
    FSQRT_H
    FMADD_S = 0x14
    FMADD_D
    FMADD_H
    FMSUB_S = 0x18
    FMSUB_D
    FMSUB_H
    FNMSUB_S = 0x1C
    FNMSUB_D
    FNMSUB_H
    FNMADD_S = 0x20
    FNMADD_D
    FNMADD_H
    FMIN_S = 0x24
    FMIN_D
    FMIN_H
    FMAX_S = 0x28
    FMAX_D
    FMAX_H
    FSGNJ_S = 0x2C
    FSGNJ_D
    FSGNJ_H
    FSGNJN_S = 0x30
    FSGNJN_D
    FSGNJN_H
    FSGNJX_S = 0x34
    FSGNJX_D
    FSGNJX_H
    FEQ_S = 0x38
    FEQ_D
    FEQ_H
    FLT_S = 0x3C
    FLT_D
    FLT_H
    FLE_S = 0x40
    FLE_D
    FLE_H
    FCLASS_S = 0x44
    FCLASS_D
    FCLASS_H
    FCVT_W_S = 0x48
    FCVT_W_D
    FCVT_W_H
    FCVT_WU_S = 0x4C
    FCVT_WU_D
    FCVT_WU_H
    FCVT_L_S = 0x50
    FCVT_L_D
    FCVT_L_H
    FCVT_LU_S = 0x54
    FCVT_LU_D
    FCVT_LU_H
    FCVT_S_W = 0x58
    FCVT_D_W
    FCVT_H_W
    FCVT_S_WU = 0x5C
    FCVT_D_WU
    FCVT_H_WU
    FCVT_S_L = 0x60
    FCVT_D_L
    FCVT_H_L
    FCVT_S_LU = 0x64
    FCVT_D_LU
    FCVT_H_LU
    FCVT_S_D = 0x68         # the format bits are those of the result
    FCVT_H_D = 0x6A
    FCVT_D_S = 0x6D
    FCVT_H_S
    FMV_X_W = 0x70
    FMV_X_D
    FMV_X_H
    FMV_W_X = 0x74
    FMV_D_X
    FMV_H_X
    FCVT_S_H = 0x78
    FCVT_D_H
    FMINM_S = 0x7C
    FMINM_D
    FMINM_H
    FMAXM_S = 0x80
    FMAXM_D
    FMAXM_H
    FROUND_S = 0x84
    FROUND_D
    FROUND_H
    FROUNDNX_S = 0x88
    FROUNDNX_D
    FROUNDNX_H
    FLEQ_S = 0x8C
    FLEQ_D
    FLEQ_H
    FLTQ_S = 0x90
    FLTQ_D
    FLTQ_H
    FCVTMOD_W_D = 0x95
    FLI_S = 0x98            # its operand is the number of a constant
    FLI_D
    FLI_H

cdef uint64_t fp_operate(int operation, int rounding_mode, uint64_t a, uint64_t b, uint64_t c,
                         uint32_t* flags) noexcept nogil

# --- Register images

cdef inline uint64_t box(uint32_t bits) noexcept nogil:
    return 0xFFFFFFFF00000000ULL | bits

cdef inline uint32_t unbox(uint64_t image) noexcept nogil:
    """The single in a register; what is not properly boxed counts as the canonical NaN."""
    return <uint32_t>image if likely(image >> 32 == 0xFFFFFFFFULL) else opaque(0x7FC00000)

cdef inline float single(uint64_t image) noexcept nogil:
    return as_float(unbox(image))

cdef inline uint64_t result_s(float value) noexcept nogil:
    return 0xFFFFFFFF7FC00000ULL if unlikely(value != value) else box(float_bits(value))

cdef inline uint64_t result_d(double value) noexcept nogil:
    return 0x7FF8000000000000ULL if unlikely(value != value) else double_bits(value)

# --- Fast path: arithmetic

cdef inline uint64_t fadd_s(uint64_t a, uint64_t b) noexcept nogil:
    return result_s(single(a) + single(b))

cdef inline uint64_t fadd_d(uint64_t a, uint64_t b) noexcept nogil:
    return result_d(as_double(a) + as_double(b))

cdef inline uint64_t fsub_s(uint64_t a, uint64_t b) noexcept nogil:
    return result_s(single(a) - single(b))

cdef inline uint64_t fsub_d(uint64_t a, uint64_t b) noexcept nogil:
    return result_d(as_double(a) - as_double(b))

cdef inline uint64_t fmul_s(uint64_t a, uint64_t b) noexcept nogil:
    return result_s(single(a) * single(b))

cdef inline uint64_t fmul_d(uint64_t a, uint64_t b) noexcept nogil:
    return result_d(as_double(a) * as_double(b))


@cython.cdivision(True)
cdef inline uint64_t fdiv_s(uint64_t a, uint64_t b) noexcept nogil:
    return result_s(single(a) / single(b))


@cython.cdivision(True)
cdef inline uint64_t fdiv_d(uint64_t a, uint64_t b) noexcept nogil:
    return result_d(as_double(a) / as_double(b))

cdef inline uint64_t fsqrt_s(uint64_t a) noexcept nogil:
    return result_s(host_sqrtf(single(a)))

cdef inline uint64_t fsqrt_d(uint64_t a) noexcept nogil:
    return result_d(host_sqrt(as_double(a)))

# The fused family, only if has_fma(); otherwise the decoder must choose fp_operate(), as for another rounding mode.
# Infinity * 0 + quiet NaN is invalid here, and not on every host.

cdef inline uint64_t fused_s(uint32_t a, uint32_t b, uint32_t c) noexcept nogil:
    cdef float value = host_fmaf(as_float(a), as_float(b), as_float(c))
    if likely(value == value):
        return box(float_bits(value))
    if (a << 1 == 0xFF000000U and b << 1 == 0) or (a << 1 == 0 and b << 1 == 0xFF000000U):
        raise_invalid()
    return 0xFFFFFFFF7FC00000ULL

cdef inline uint64_t fused_d(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    cdef double value = host_fma(as_double(a), as_double(b), as_double(c))
    if likely(value == value):
        return double_bits(value)
    if (a << 1 == 0xFFE0000000000000ULL and b << 1 == 0) or (a << 1 == 0 and b << 1 == 0xFFE0000000000000ULL):
        raise_invalid()
    return 0x7FF8000000000000ULL

cdef inline uint64_t fmadd_s(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    return fused_s(unbox(a), unbox(b), unbox(c))

cdef inline uint64_t fmadd_d(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    return fused_d(a, b, c)

cdef inline uint64_t fmsub_s(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    return fused_s(unbox(a), unbox(b), unbox(c) ^ 0x80000000U)

cdef inline uint64_t fmsub_d(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    return fused_d(a, b, c ^ 0x8000000000000000ULL)

cdef inline uint64_t fnmsub_s(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    return fused_s(unbox(a) ^ 0x80000000U, unbox(b), unbox(c))

cdef inline uint64_t fnmsub_d(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    return fused_d(a ^ 0x8000000000000000ULL, b, c)

cdef inline uint64_t fnmadd_s(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    return fused_s(unbox(a) ^ 0x80000000U, unbox(b), unbox(c) ^ 0x80000000U)

cdef inline uint64_t fnmadd_d(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    return fused_d(a ^ 0x8000000000000000ULL, b, c ^ 0x8000000000000000ULL)

# --- Fast path: minimum and maximum (minimumNumber, maximumNumber), signs, comparisons

cdef inline uint64_t number_s(uint32_t a, uint32_t b) noexcept nogil:
    """Of two operands the one that is a number. That one signals has been noticed by comparing them."""
    return result_s(as_float(b)) if as_float(a) != as_float(a) else box(a)

cdef inline uint64_t number_d(uint64_t a, uint64_t b) noexcept nogil:
    return result_d(as_double(b)) if as_double(a) != as_double(a) else a

cdef inline uint64_t fmin_s(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint32_t x = unbox(a), y = unbox(b)
    if unlikely(isunordered(as_float(x), as_float(y))):
        return number_s(x, y)
    if isless(as_float(x), as_float(y)):
        return box(x)
    return box(y) if isless(as_float(y), as_float(x)) else box(x | y)       # equal: the same, or zeros

cdef inline uint64_t fmin_d(uint64_t a, uint64_t b) noexcept nogil:
    if unlikely(isunordered(as_double(a), as_double(b))):
        return number_d(a, b)
    if isless(as_double(a), as_double(b)):
        return a
    return b if isless(as_double(b), as_double(a)) else a | b

cdef inline uint64_t fmax_s(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint32_t x = unbox(a), y = unbox(b)
    if unlikely(isunordered(as_float(x), as_float(y))):
        return number_s(x, y)
    if isless(as_float(y), as_float(x)):
        return box(x)
    return box(y) if isless(as_float(x), as_float(y)) else box(x & y)

cdef inline uint64_t fmax_d(uint64_t a, uint64_t b) noexcept nogil:
    if unlikely(isunordered(as_double(a), as_double(b))):
        return number_d(a, b)
    if isless(as_double(b), as_double(a)):
        return a
    return b if isless(as_double(a), as_double(b)) else a & b

cdef uint64_t fclass_s(uint64_t a) noexcept nogil
cdef uint64_t fclass_d(uint64_t a) noexcept nogil

cdef inline uint64_t fsgnj_s(uint64_t a, uint64_t b) noexcept nogil:
    return box((unbox(a) & 0x7FFFFFFF) | (unbox(b) & 0x80000000U))

cdef inline uint64_t fsgnj_d(uint64_t a, uint64_t b) noexcept nogil:
    return (a & 0x7FFFFFFFFFFFFFFFULL) | (b & 0x8000000000000000ULL)

cdef inline uint64_t fsgnjn_s(uint64_t a, uint64_t b) noexcept nogil:
    return box((unbox(a) & 0x7FFFFFFF) | (~unbox(b) & 0x80000000U))

cdef inline uint64_t fsgnjn_d(uint64_t a, uint64_t b) noexcept nogil:
    return (a & 0x7FFFFFFFFFFFFFFFULL) | (~b & 0x8000000000000000ULL)

cdef inline uint64_t fsgnjx_s(uint64_t a, uint64_t b) noexcept nogil:
    return box(unbox(a) ^ (unbox(b) & 0x80000000U))

cdef inline uint64_t fsgnjx_d(uint64_t a, uint64_t b) noexcept nogil:
    return a ^ (b & 0x8000000000000000ULL)

# C's == is a quiet comparison, its < and <= signal, as the instructions do.

cdef inline uint64_t feq_s(uint64_t a, uint64_t b) noexcept nogil:
    return single(a) == single(b)

cdef inline uint64_t feq_d(uint64_t a, uint64_t b) noexcept nogil:
    return as_double(a) == as_double(b)

cdef inline uint64_t flt_s(uint64_t a, uint64_t b) noexcept nogil:
    return single(a) < single(b)

cdef inline uint64_t flt_d(uint64_t a, uint64_t b) noexcept nogil:
    return as_double(a) < as_double(b)

cdef inline uint64_t fle_s(uint64_t a, uint64_t b) noexcept nogil:
    return single(a) <= single(b)

cdef inline uint64_t fle_d(uint64_t a, uint64_t b) noexcept nogil:
    return as_double(a) <= as_double(b)

# --- Fast path: conversions to integers. Singles go through double, which is exact. The range is tested first:
# what does not fit is invalid and not inexact, and undefined in C. A NaN fails the tests and counts as too large.

cdef inline uint64_t out_of_range(double value, int64_t lowest, int64_t highest) noexcept nogil:
    raise_invalid()
    return <uint64_t>(lowest if isless(value, 0.0) else highest)

cdef inline uint64_t fcvt_w_d(uint64_t a) noexcept nogil:
    cdef double x = as_double(a)
    if likely(x >= -2147483648.5 and x < 2147483647.5):
        return <uint64_t>nearest(x)
    return out_of_range(x, INT32_MIN, INT32_MAX)

cdef inline uint64_t fcvt_w_d_rtz(uint64_t a) noexcept nogil:
    cdef double x = as_double(a)
    if likely(x > -2147483649.0 and x < 2147483648.0):
        return <uint64_t><int64_t>x
    return out_of_range(x, INT32_MIN, INT32_MAX)

cdef inline uint64_t fcvt_wu_d(uint64_t a) noexcept nogil:
    cdef double x = as_double(a)
    if likely(x >= -0.5 and x < 4294967295.5):
        return <uint64_t><int32_t>nearest(x)
    return out_of_range(x, 0, -1)

cdef inline uint64_t fcvt_wu_d_rtz(uint64_t a) noexcept nogil:
    cdef double x = as_double(a)
    if likely(x > -1.0 and x < 4294967296.0):
        return <uint64_t><int32_t><int64_t>x
    return out_of_range(x, 0, -1)

cdef inline uint64_t fcvt_l_d(uint64_t a) noexcept nogil:
    cdef double x = as_double(a)
    if likely(x >= -9223372036854775808.0 and x < 9223372036854775808.0):
        return <uint64_t>nearest(x)
    return out_of_range(x, INT64_MIN, INT64_MAX)

cdef inline uint64_t fcvt_l_d_rtz(uint64_t a) noexcept nogil:
    cdef double x = as_double(a)
    if likely(x >= -9223372036854775808.0 and x < 9223372036854775808.0):
        return <uint64_t><int64_t>x
    return out_of_range(x, INT64_MIN, INT64_MAX)

cdef inline uint64_t fcvt_lu_d(uint64_t a) noexcept nogil:
    cdef double x = as_double(a)
    if likely(x >= -0.5 and x < 9223372036854775808.0):
        return <uint64_t>nearest(x)
    if x >= 9223372036854775808.0 and x < 18446744073709551616.0:
        return <uint64_t><int64_t>(x - 9223372036854775808.0) ^ 0x8000000000000000ULL
    return out_of_range(x, 0, -1)

cdef inline uint64_t fcvt_lu_d_rtz(uint64_t a) noexcept nogil:
    cdef double x = as_double(a)
    if likely(x > -1.0 and x < 9223372036854775808.0):
        return <uint64_t><int64_t>x
    if x >= 9223372036854775808.0 and x < 18446744073709551616.0:
        return <uint64_t><int64_t>(x - 9223372036854775808.0) ^ 0x8000000000000000ULL
    return out_of_range(x, 0, -1)

cdef inline uint64_t fcvt_w_s(uint64_t a) noexcept nogil:
    return fcvt_w_d(double_bits(single(a)))

cdef inline uint64_t fcvt_w_s_rtz(uint64_t a) noexcept nogil:
    return fcvt_w_d_rtz(double_bits(single(a)))

cdef inline uint64_t fcvt_wu_s(uint64_t a) noexcept nogil:
    return fcvt_wu_d(double_bits(single(a)))

cdef inline uint64_t fcvt_wu_s_rtz(uint64_t a) noexcept nogil:
    return fcvt_wu_d_rtz(double_bits(single(a)))

cdef inline uint64_t fcvt_l_s(uint64_t a) noexcept nogil:
    return fcvt_l_d(double_bits(single(a)))

cdef inline uint64_t fcvt_l_s_rtz(uint64_t a) noexcept nogil:
    return fcvt_l_d_rtz(double_bits(single(a)))

cdef inline uint64_t fcvt_lu_s(uint64_t a) noexcept nogil:
    return fcvt_lu_d(double_bits(single(a)))

cdef inline uint64_t fcvt_lu_s_rtz(uint64_t a) noexcept nogil:
    return fcvt_lu_d_rtz(double_bits(single(a)))

# --- Fast path: conversions from integers, between formats, moves

cdef inline uint64_t fcvt_s_w(uint64_t a) noexcept nogil:
    return box(float_bits(<float><int32_t>a))

cdef inline uint64_t fcvt_d_w(uint64_t a) noexcept nogil:
    return double_bits(<double><int32_t>a)

cdef inline uint64_t fcvt_s_wu(uint64_t a) noexcept nogil:
    return box(float_bits(<float><uint32_t>a))

cdef inline uint64_t fcvt_d_wu(uint64_t a) noexcept nogil:
    return double_bits(<double><uint32_t>a)

cdef inline uint64_t fcvt_s_l(uint64_t a) noexcept nogil:
    return box(float_bits(<float><int64_t>a))

cdef inline uint64_t fcvt_d_l(uint64_t a) noexcept nogil:
    return double_bits(<double><int64_t>a)

cdef inline uint64_t fcvt_s_lu(uint64_t a) noexcept nogil:
    return box(float_bits(<float>a))

cdef inline uint64_t fcvt_d_lu(uint64_t a) noexcept nogil:
    return double_bits(<double>a)

cdef inline uint64_t fcvt_s_d(uint64_t a) noexcept nogil:
    return result_s(<float>as_double(a))

cdef inline uint64_t fcvt_d_s(uint64_t a) noexcept nogil:
    return result_d(<double>single(a))

cdef inline uint64_t fcvt_s_h(uint64_t a) noexcept nogil:
    """Exact. A finite half is a single with the exponent 112 too small, and subnormals come right in the product."""
    cdef uint32_t half = <uint32_t>a if likely(a >> 16 == 0xFFFFFFFFFFFFULL) else opaque(0x7E00)
    cdef uint32_t magnitude = half & 0x7FFF
    cdef uint32_t sign = (half & 0x8000) << 16
    if likely(magnitude < 0x7C00):
        return box(float_bits(as_float(magnitude << 13) * as_float(0x77800000)) | sign)
    if magnitude == 0x7C00:
        return box(0x7F800000 | sign)
    if not magnitude & 0x200:
        raise_invalid()
    return 0xFFFFFFFF7FC00000ULL

cdef inline uint64_t fmv_x_h(uint64_t a) noexcept nogil:
    return <uint64_t><int16_t>a

cdef inline uint64_t fmv_h_x(uint64_t a) noexcept nogil:
    return 0xFFFFFFFFFFFF0000ULL | <uint16_t>a

cdef inline uint64_t fmv_x_w(uint64_t a) noexcept nogil:
    return <uint64_t><int32_t>a

cdef inline uint64_t fmv_x_d(uint64_t a) noexcept nogil:
    return a

cdef inline uint64_t fmv_w_x(uint64_t a) noexcept nogil:
    return box(<uint32_t>a)

cdef inline uint64_t fmv_d_x(uint64_t a) noexcept nogil:
    return a
