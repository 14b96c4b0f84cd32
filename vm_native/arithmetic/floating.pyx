"""RISC-V floating point: the exact path, and what is out of line on the fast one.

After the unprivileged manual, chapters "F" and "D" (version 2.2), "Zfh" and "Zfa" (1.0). floating.pxd describes the two
paths. Here are the host's status word, fclass, fp_operate(), and a thin Python face for tests.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from vm_native.arithmetic cimport softfloat
from vm_native.arithmetic.softfloat cimport (
    NV, NX, RNE, Format, binary16, binary32, binary64, canonical_nan, infinity, is_nan, is_signaling_nan, sign_bit,
)

cdef extern from *:
    """
    /* The memory clobbers keep these opaque even where the compiler sees their bodies (see floating.pxd). */
    #define VM_BARRIER() __asm__ volatile("" ::: "memory")

    #if defined(__SSE2__)
    /* MXCSR: IE 1, ZE 4, OE 8, UE 16, PE 32; 0x1F80 masks all, rounds to nearest, no flush to zero, no flags */
    static unsigned int vm_collect(void)
    {
        VM_BARRIER();
        unsigned int m = _mm_getcsr();
        VM_BARRIER();
        return (m & 1) << 4 | (m & 4) << 1 | (m & 8) >> 1 | (m & 16) >> 3 | (m & 32) >> 5;
    }
    static void vm_clear(void) { VM_BARRIER(); _mm_setcsr(_mm_getcsr() & ~0x3FU); VM_BARRIER(); }
    static void vm_raise(unsigned int f)
    {
        VM_BARRIER();
        _mm_setcsr(_mm_getcsr() | (f & 16) >> 4 | (f & 8) >> 1 | (f & 4) << 1 | (f & 2) << 3 | (f & 1) << 5);
        VM_BARRIER();
    }
    static void vm_save(unsigned int* saved)
    { VM_BARRIER(); *saved = _mm_getcsr(); _mm_setcsr(0x1F80); VM_BARRIER(); }
    static void vm_restore(const unsigned int* saved) { VM_BARRIER(); _mm_setcsr(*saved); VM_BARRIER(); }
    #else
    static const struct { unsigned int riscv; int host; } vm_exceptions[] = {
        {1, FE_INEXACT}, {2, FE_UNDERFLOW}, {4, FE_OVERFLOW}, {8, FE_DIVBYZERO}, {16, FE_INVALID}};
    static unsigned int vm_collect(void)
    {
        unsigned int flags = 0;
        int host = fetestexcept(FE_ALL_EXCEPT);
        for (int i = 0; i < 5; i++) if (host & vm_exceptions[i].host) flags |= vm_exceptions[i].riscv;
        return flags;
    }
    static void vm_clear(void) { feclearexcept(FE_ALL_EXCEPT); }
    static void vm_raise(unsigned int flags)
    {
        for (int i = 0; i < 5; i++) if (flags & vm_exceptions[i].riscv) feraiseexcept(vm_exceptions[i].host);
    }
    static void vm_save(fenv_t* saved) { fegetenv(saved); fesetenv(FE_DFL_ENV); }
    static void vm_restore(const fenv_t* saved) { fesetenv(saved); }
    #endif
    """
    uint32_t vm_collect() noexcept nogil
    void vm_clear() noexcept nogil
    void vm_raise(uint32_t flags) noexcept nogil
    void vm_save(HostEnvironment* saved) noexcept nogil
    void vm_restore(const HostEnvironment* saved) noexcept nogil


cdef void save_environment(HostEnvironment* saved) noexcept nogil:
    vm_save(saved)


cdef void restore_environment(const HostEnvironment* saved) noexcept nogil:
    vm_restore(saved)


cdef uint32_t collect_flags() noexcept nogil:
    return vm_collect()


cdef void clear_flags() noexcept nogil:
    vm_clear()


cdef void raise_flags(uint32_t flags) noexcept nogil:
    vm_raise(flags)


cdef uint64_t classify(Format f, uint64_t a) noexcept nogil:
    cdef uint64_t magnitude = a & (sign_bit(f) - 1)
    cdef bint negative = magnitude != a
    if magnitude > infinity(f):
        return 1 << 8 if is_signaling_nan(f, a) else 1 << 9
    if magnitude == infinity(f):
        return 1 << 0 if negative else 1 << 7
    if magnitude >> f.fraction_bits:
        return 1 << 1 if negative else 1 << 6
    if magnitude:
        return 1 << 2 if negative else 1 << 5
    return 1 << 3 if negative else 1 << 4


cdef uint64_t fclass_s(uint64_t a) noexcept nogil:
    return classify(binary32(), unbox(a))


cdef uint64_t fclass_d(uint64_t a) noexcept nogil:
    return classify(binary64(), a)


# --- Exact path

cdef enum:                  # conversions between formats, without the format of the result
    FROM_D = FCVT_S_D & ~3
    FROM_S = FCVT_D_S & ~3
    FROM_H = FCVT_S_H & ~3


cdef uint64_t min_max(Format f, uint64_t a, uint64_t b, bint maximum, uint32_t* flags) noexcept nogil:
    """minimumNumber and maximumNumber of IEEE 754-2019, 9.6: a NaN only if both are; -0 is less than +0."""
    if is_signaling_nan(f, a) or is_signaling_nan(f, b):
        flags[0] |= NV
    if is_nan(f, a):
        return canonical_nan(f) if is_nan(f, b) else b
    if is_nan(f, b):
        return a
    if softfloat.equal(f, a, b, True, flags):
        return a & b if maximum else a | b                  # the same, or zeros
    return a if softfloat.less(f, a, b, True, flags) != maximum else b


cdef uint64_t nan_or_min_max(Format f, uint64_t a, uint64_t b, bint maximum, uint32_t* flags) noexcept nogil:
    """minimum and maximum of 9.6: a NaN if either is."""
    cdef uint64_t result = min_max(f, a, b, maximum, flags)
    return canonical_nan(f) if is_nan(f, a) or is_nan(f, b) else result


cdef inline uint64_t nan_boxed(Format f, uint64_t bits) noexcept nogil:
    return bits | -(sign_bit(f) << 1)                       # ones above the sign; binary64: none


cdef inline uint64_t unboxed(Format f, uint64_t image) noexcept nogil:
    cdef uint64_t mask = (sign_bit(f) << 1) - 1             # binary64: all ones
    return image & mask if image | mask == ~0ULL else canonical_nan(f)


cdef inline Format format_of(int operation) noexcept nogil:
    if operation & 3 == 0:
        return binary32()
    return binary64() if operation & 3 == 1 else binary16()


cdef uint64_t from_signed(Format f, int64_t value, int rounding_mode, uint32_t* flags) noexcept nogil:
    cdef uint64_t magnitude = -<uint64_t>value if value < 0 else <uint64_t>value
    return softfloat.from_integer(f, value < 0, magnitude, rounding_mode, flags)


cdef uint64_t round_to_integral(Format f, uint64_t a, int rounding_mode, bint signal_inexact,
                                uint32_t* flags) noexcept nogil:
    cdef bint exact
    cdef uint64_t result = softfloat.to_integral(f, a, rounding_mode, &exact, flags)
    if signal_inexact and not exact:
        flags[0] |= NX
    return result


# What fli loads, as doubles; the last two and number 1 follow from the format.
cdef double[30] constants = [
    -1.0, 0.0, 2.0**-16, 2.0**-15, 2.0**-8, 2.0**-7, 0.0625, 0.125,
    0.25, 0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875,
    1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 8.0, 16.0, 128.0, 256.0, 32768.0, 65536.0,
]


cdef uint64_t constant(Format f, int number) noexcept nogil:
    """Unprivileged manual, chapter "Zfa", table of immediates. 65536 is infinity in half precision."""
    cdef uint32_t ignored = 0
    if number == 1:
        return 1ULL << f.fraction_bits                      # the smallest normal number
    if number == 30:
        return infinity(f)
    if number == 31:
        return canonical_nan(f)
    return softfloat.convert(binary64(), f, double_bits(constants[number]), RNE, &ignored)


cdef uint64_t fp_operate(int operation, int rounding_mode, uint64_t a, uint64_t b, uint64_t c,
                         uint32_t* flags) noexcept nogil:
    """Register images in and out; ORs what was raised into flags. rounding_mode is 0 to 4, already resolved."""
    cdef Format f = format_of(operation)
    cdef uint64_t sign = sign_bit(f), x, y, z
    cdef int kind = operation & ~3                          # the operation, as its single-precision member

    # Operands that are integers, raw bits, or of another format
    if kind == FCVT_S_W:
        return nan_boxed(f, from_signed(f, <int32_t>a, rounding_mode, flags))
    elif kind == FCVT_S_WU:
        return nan_boxed(f, softfloat.from_integer(f, False, <uint32_t>a, rounding_mode, flags))
    elif kind == FCVT_S_L:
        return nan_boxed(f, from_signed(f, <int64_t>a, rounding_mode, flags))
    elif kind == FCVT_S_LU:
        return nan_boxed(f, softfloat.from_integer(f, False, a, rounding_mode, flags))
    elif kind == FROM_D:
        return nan_boxed(f, softfloat.convert(binary64(), f, a, rounding_mode, flags))
    elif kind == FROM_S:
        return nan_boxed(f, softfloat.convert(binary32(), f, unboxed(binary32(), a), rounding_mode, flags))
    elif kind == FROM_H:
        return nan_boxed(f, softfloat.convert(binary16(), f, unboxed(binary16(), a), rounding_mode, flags))
    elif kind == FLI_S:
        return nan_boxed(f, constant(f, <int>a))
    elif operation == FMV_X_W:
        return fmv_x_w(a)
    elif operation == FMV_X_H:
        return fmv_x_h(a)
    elif kind == FMV_W_X:
        return nan_boxed(f, a & ((sign << 1) - 1))
    elif operation == FMV_X_D:
        return a

    # Results that are integers
    x = unboxed(f, a)
    y = unboxed(f, b)
    if kind == FEQ_S:
        return softfloat.equal(f, x, y, True, flags)
    elif kind == FLT_S:
        return softfloat.less(f, x, y, False, flags)
    elif kind == FLE_S:
        return softfloat.less(f, x, y, False, flags) or softfloat.equal(f, x, y, False, flags)
    elif kind == FLTQ_S:
        return softfloat.less(f, x, y, True, flags)
    elif kind == FLEQ_S:
        return softfloat.less(f, x, y, True, flags) or softfloat.equal(f, x, y, True, flags)
    elif kind == FCLASS_S:
        return classify(f, x)
    elif kind == FCVT_W_S:
        return <uint64_t><int32_t>softfloat.to_integer(f, x, True, 32, rounding_mode, flags)
    elif kind == FCVT_WU_S:
        return <uint64_t><int32_t>softfloat.to_integer(f, x, False, 32, rounding_mode, flags)
    elif kind == FCVT_L_S:
        return softfloat.to_integer(f, x, True, 64, rounding_mode, flags)
    elif kind == FCVT_LU_S:
        return softfloat.to_integer(f, x, False, 64, rounding_mode, flags)
    elif operation == FCVTMOD_W_D:
        return <uint64_t><int32_t>softfloat.to_integer_modulo(f, x, flags)

    z = unboxed(f, c)
    if kind == FADD_S:
        x = softfloat.add(f, x, y, rounding_mode, flags)
    elif kind == FSUB_S:
        x = softfloat.add(f, x, y ^ sign, rounding_mode, flags)
    elif kind == FMUL_S:
        x = softfloat.multiply(f, x, y, rounding_mode, flags)
    elif kind == FDIV_S:
        x = softfloat.divide(f, x, y, rounding_mode, flags)
    elif kind == FSQRT_S:
        x = softfloat.square_root(f, x, rounding_mode, flags)
    elif kind == FMADD_S:
        x = softfloat.multiply_add(f, x, y, z, rounding_mode, flags)
    elif kind == FMSUB_S:
        x = softfloat.multiply_add(f, x, y, z ^ sign, rounding_mode, flags)
    elif kind == FNMSUB_S:
        x = softfloat.multiply_add(f, x ^ sign, y, z, rounding_mode, flags)
    elif kind == FNMADD_S:
        x = softfloat.multiply_add(f, x ^ sign, y, z ^ sign, rounding_mode, flags)
    elif kind == FMIN_S:
        x = min_max(f, x, y, False, flags)
    elif kind == FMAX_S:
        x = min_max(f, x, y, True, flags)
    elif kind == FMINM_S:
        x = nan_or_min_max(f, x, y, False, flags)
    elif kind == FMAXM_S:
        x = nan_or_min_max(f, x, y, True, flags)
    elif kind == FROUND_S:
        x = round_to_integral(f, x, rounding_mode, False, flags)
    elif kind == FROUNDNX_S:
        x = round_to_integral(f, x, rounding_mode, True, flags)
    elif kind == FSGNJ_S:
        x = x & ~sign | y & sign
    elif kind == FSGNJN_S:
        x = x & ~sign | ~y & sign
    elif kind == FSGNJX_S:
        x = x ^ y & sign
    return nan_boxed(f, x)


# --- Python face

OPERATIONS = {name.lower().replace("_", "."): int(number) for name, number in Operation.__members__.items()}
"""Mnemonic to the number that fp_operate() takes."""

HAS_FMA = has_fma()
"""Whether the host has the fused multiply-add instructions; without them that family has no fast path."""


def operate(str name, int rounding_mode, uint64_t a, uint64_t b=0, uint64_t c=0):
    """Register image and fflags bits of one instruction on the exact path, in any rounding mode (0 to 4, as in frm)."""
    cdef uint32_t flags = 0
    cdef int operation = OPERATIONS[name]
    cdef uint64_t result
    if not 0 <= rounding_mode <= 4:
        raise ValueError(f"rounding mode {rounding_mode} is reserved")
    with nogil:
        result = fp_operate(operation, rounding_mode, a, b, c, &flags)
    return result, flags


def operate_fast(str name, uint64_t a, uint64_t b=0, uint64_t c=0, bint towards_zero=False):
    """The same on the host's FPU: to nearest, or (conversions to integers only) towards zero."""
    cdef int operation = OPERATIONS[name]
    cdef volatile uint64_t left = a, right = b, third = c, result    # in memory, as a register file is
    cdef uint32_t flags
    cdef HostEnvironment host
    if FMADD_S <= operation <= FNMADD_D and not has_fma() or not has_fast_path(operation):
        raise ValueError(f"{name} has no fast path on this host")
    if towards_zero and not FCVT_W_S <= operation <= FCVT_LU_D:
        raise ValueError(f"{name} has no fast path towards zero")
    with nogil:
        save_environment(&host)
        if towards_zero:
            result = fast_towards_zero(operation, left)
        else:
            result = fast(operation, left, right, third)
        flags = collect_flags()
        restore_environment(&host)
    return result, flags


cdef bint has_fast_path(int operation) noexcept nogil:
    """Of half precision only transfers, and nothing of Zfa."""
    if operation == FCVT_S_H or operation == FMV_X_H or operation == FMV_H_X:
        return True
    return operation < FCVT_S_H and operation & 3 <= 1


cdef uint64_t fast_towards_zero(int operation, uint64_t a) noexcept nogil:
    if operation == FCVT_W_S:
        return fcvt_w_s_rtz(a)
    elif operation == FCVT_W_D:
        return fcvt_w_d_rtz(a)
    elif operation == FCVT_WU_S:
        return fcvt_wu_s_rtz(a)
    elif operation == FCVT_WU_D:
        return fcvt_wu_d_rtz(a)
    elif operation == FCVT_L_S:
        return fcvt_l_s_rtz(a)
    elif operation == FCVT_L_D:
        return fcvt_l_d_rtz(a)
    elif operation == FCVT_LU_S:
        return fcvt_lu_s_rtz(a)
    return fcvt_lu_d_rtz(a)


cdef uint64_t fast(int operation, uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    if operation == FADD_S:
        return fadd_s(a, b)
    elif operation == FADD_D:
        return fadd_d(a, b)
    elif operation == FSUB_S:
        return fsub_s(a, b)
    elif operation == FSUB_D:
        return fsub_d(a, b)
    elif operation == FMUL_S:
        return fmul_s(a, b)
    elif operation == FMUL_D:
        return fmul_d(a, b)
    elif operation == FDIV_S:
        return fdiv_s(a, b)
    elif operation == FDIV_D:
        return fdiv_d(a, b)
    elif operation == FSQRT_S:
        return fsqrt_s(a)
    elif operation == FSQRT_D:
        return fsqrt_d(a)
    elif operation == FMADD_S:
        return fmadd_s(a, b, c)
    elif operation == FMADD_D:
        return fmadd_d(a, b, c)
    elif operation == FMSUB_S:
        return fmsub_s(a, b, c)
    elif operation == FMSUB_D:
        return fmsub_d(a, b, c)
    elif operation == FNMSUB_S:
        return fnmsub_s(a, b, c)
    elif operation == FNMSUB_D:
        return fnmsub_d(a, b, c)
    elif operation == FNMADD_S:
        return fnmadd_s(a, b, c)
    elif operation == FNMADD_D:
        return fnmadd_d(a, b, c)
    elif operation == FMIN_S:
        return fmin_s(a, b)
    elif operation == FMIN_D:
        return fmin_d(a, b)
    elif operation == FMAX_S:
        return fmax_s(a, b)
    elif operation == FMAX_D:
        return fmax_d(a, b)
    elif operation == FSGNJ_S:
        return fsgnj_s(a, b)
    elif operation == FSGNJ_D:
        return fsgnj_d(a, b)
    elif operation == FSGNJN_S:
        return fsgnjn_s(a, b)
    elif operation == FSGNJN_D:
        return fsgnjn_d(a, b)
    elif operation == FSGNJX_S:
        return fsgnjx_s(a, b)
    elif operation == FSGNJX_D:
        return fsgnjx_d(a, b)
    elif operation == FEQ_S:
        return feq_s(a, b)
    elif operation == FEQ_D:
        return feq_d(a, b)
    elif operation == FLT_S:
        return flt_s(a, b)
    elif operation == FLT_D:
        return flt_d(a, b)
    elif operation == FLE_S:
        return fle_s(a, b)
    elif operation == FLE_D:
        return fle_d(a, b)
    elif operation == FCLASS_S:
        return fclass_s(a)
    elif operation == FCLASS_D:
        return fclass_d(a)
    elif operation == FCVT_W_S:
        return fcvt_w_s(a)
    elif operation == FCVT_W_D:
        return fcvt_w_d(a)
    elif operation == FCVT_WU_S:
        return fcvt_wu_s(a)
    elif operation == FCVT_WU_D:
        return fcvt_wu_d(a)
    elif operation == FCVT_L_S:
        return fcvt_l_s(a)
    elif operation == FCVT_L_D:
        return fcvt_l_d(a)
    elif operation == FCVT_LU_S:
        return fcvt_lu_s(a)
    elif operation == FCVT_LU_D:
        return fcvt_lu_d(a)
    elif operation == FCVT_S_W:
        return fcvt_s_w(a)
    elif operation == FCVT_D_W:
        return fcvt_d_w(a)
    elif operation == FCVT_S_WU:
        return fcvt_s_wu(a)
    elif operation == FCVT_D_WU:
        return fcvt_d_wu(a)
    elif operation == FCVT_S_L:
        return fcvt_s_l(a)
    elif operation == FCVT_D_L:
        return fcvt_d_l(a)
    elif operation == FCVT_S_LU:
        return fcvt_s_lu(a)
    elif operation == FCVT_D_LU:
        return fcvt_d_lu(a)
    elif operation == FCVT_S_D:
        return fcvt_s_d(a)
    elif operation == FCVT_D_S:
        return fcvt_d_s(a)
    elif operation == FCVT_S_H:
        return fcvt_s_h(a)
    elif operation == FMV_X_W:
        return fmv_x_w(a)
    elif operation == FMV_W_X:
        return fmv_w_x(a)
    elif operation == FMV_X_H:
        return fmv_x_h(a)
    elif operation == FMV_H_X:
        return fmv_h_x(a)
    elif operation == FMV_X_D:
        return fmv_x_d(a)
    return fmv_d_x(a)
