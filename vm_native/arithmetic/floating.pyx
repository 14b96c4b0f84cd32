"""What is out of line on the host's FPU: its status word, and the classes of numbers. floating.pxd says the rest."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from vm_native.arithmetic.float_rules cimport DZ, NV, NX, OF, RDN, RNE, RTZ, RUP, UF
from vm_native.arithmetic.softfloat cimport (
    Format, binary16, binary32, binary64, class_of, convert, to_integer, to_integer_modulo, to_integral,
)

cdef extern from *:
    """
    /* The memory clobbers keep these opaque even where the compiler sees their bodies (see floating.pxd). */
    #define VM_BARRIER() __asm__ volatile("" ::: "memory")

    #if defined(__SSE2__)
    #define VM_INEXACT _MM_EXCEPT_INEXACT
    #define VM_UNDERFLOW _MM_EXCEPT_UNDERFLOW
    #define VM_OVERFLOW _MM_EXCEPT_OVERFLOW
    #define VM_DIVISION _MM_EXCEPT_DIV_ZERO
    #define VM_INVALID _MM_EXCEPT_INVALID
    #define VM_NEAREST _MM_ROUND_NEAREST
    #define VM_DOWN _MM_ROUND_DOWN
    #define VM_UP _MM_ROUND_UP
    #define VM_TOWARDS_ZERO _MM_ROUND_TOWARD_ZERO
    static unsigned int vm_raised(void) { VM_BARRIER(); unsigned int m = _mm_getcsr(); VM_BARRIER(); return m; }
    static void vm_raise(unsigned int flags) { VM_BARRIER(); _mm_setcsr(_mm_getcsr() | flags); VM_BARRIER(); }
    static unsigned int vm_rounding(void) { VM_BARRIER(); return _mm_getcsr() & _MM_ROUND_MASK; }
    /* All masked, no flush to zero, no flags */
    static void vm_start(unsigned int rounding) { VM_BARRIER(); _mm_setcsr(_MM_MASK_MASK | rounding); VM_BARRIER(); }
    static void vm_save(unsigned int* saved) { VM_BARRIER(); *saved = _mm_getcsr(); VM_BARRIER(); }
    static void vm_restore(const unsigned int* saved) { VM_BARRIER(); _mm_setcsr(*saved); VM_BARRIER(); }
    #else
    #define VM_INEXACT FE_INEXACT
    #define VM_UNDERFLOW FE_UNDERFLOW
    #define VM_OVERFLOW FE_OVERFLOW
    #define VM_DIVISION FE_DIVBYZERO
    #define VM_INVALID FE_INVALID
    #define VM_NEAREST FE_TONEAREST
    #define VM_DOWN FE_DOWNWARD
    #define VM_UP FE_UPWARD
    #define VM_TOWARDS_ZERO FE_TOWARDZERO
    static unsigned int vm_raised(void) { return fetestexcept(FE_ALL_EXCEPT); }
    static void vm_raise(unsigned int flags) { feraiseexcept(flags); }
    static unsigned int vm_rounding(void) { return fegetround(); }
    static void vm_start(unsigned int rounding) { fesetenv(FE_DFL_ENV); fesetround(rounding); }
    static void vm_save(fenv_t* saved) { fegetenv(saved); }
    static void vm_restore(const fenv_t* saved) { fesetenv(saved); }
    #endif
    """
    enum: VM_INEXACT, VM_UNDERFLOW, VM_OVERFLOW, VM_DIVISION, VM_INVALID
    enum: VM_NEAREST, VM_DOWN, VM_UP, VM_TOWARDS_ZERO
    uint32_t vm_raised() noexcept nogil
    void vm_raise(uint32_t flags) noexcept nogil
    uint32_t vm_rounding() noexcept nogil
    void vm_start(uint32_t rounding) noexcept nogil
    void vm_save(HostEnvironment* saved) noexcept nogil
    void vm_restore(const HostEnvironment* saved) noexcept nogil


cdef void save_environment(HostEnvironment* saved, int rounding) noexcept nogil:
    vm_save(saved)
    start_environment(rounding)


cdef void start_environment(int rounding) noexcept nogil:
    vm_start(VM_TOWARDS_ZERO if rounding == RTZ else VM_DOWN if rounding == RDN else VM_UP if rounding == RUP
             else VM_NEAREST)


cdef void restore_environment(const HostEnvironment* saved) noexcept nogil:
    vm_restore(saved)


cdef uint32_t collect_flags() noexcept nogil:
    cdef uint32_t raised = vm_raised()
    return ((NX if raised & VM_INEXACT else 0) | (UF if raised & VM_UNDERFLOW else 0)
            | (OF if raised & VM_OVERFLOW else 0) | (DZ if raised & VM_DIVISION else 0)
            | (NV if raised & VM_INVALID else 0))


# --- What softfloat computes for the host, in the rounding mode that the host is in

cdef int rounding_now() noexcept nogil:
    cdef uint32_t mode = vm_rounding()
    return RTZ if mode == VM_TOWARDS_ZERO else RDN if mode == VM_DOWN else RUP if mode == VM_UP else RNE


cdef void raise_on_host(uint32_t flags) noexcept nogil:
    vm_raise((VM_INEXACT if flags & NX else 0) | (VM_UNDERFLOW if flags & UF else 0)
             | (VM_OVERFLOW if flags & OF else 0) | (VM_INVALID if flags & NV else 0))


cdef uint64_t rounded_at_end(double x, bint signed, int width) noexcept nogil:
    cdef uint32_t flags = 0
    cdef uint64_t result = to_integer(binary64(), double_bits(x), signed, width, rounding_now(), &flags)
    raise_on_host(flags)
    return result


cdef uint32_t rounded_to_half(Format f, uint64_t bits) noexcept nogil:
    cdef uint32_t flags = 0
    cdef uint64_t result = convert(f, binary16(), bits, rounding_now(), &flags)
    raise_on_host(flags)
    return <uint32_t>result


cdef uint32_t rounded_to_half32(uint32_t bits) noexcept nogil:
    return rounded_to_half(binary32(), bits)


cdef uint32_t rounded_to_half64(uint64_t bits) noexcept nogil:
    return rounded_to_half(binary64(), bits)


cdef int64_t modular_at_end(double x) noexcept nogil:
    cdef uint32_t flags = 0
    cdef int64_t result = <int32_t>to_integer_modulo(binary64(), double_bits(x), &flags)
    raise_on_host(flags)
    return result


cdef uint64_t integral_bits(Format f, uint64_t bits, bint signals_inexact) noexcept nogil:
    cdef bint exact
    cdef uint32_t flags = 0
    cdef uint64_t result = to_integral(f, bits, rounding_now(), &exact, &flags)
    raise_on_host(flags | (NX if signals_inexact and not exact else 0))
    return result


cdef uint32_t integral_bits32(uint32_t bits, bint signals_inexact) noexcept nogil:
    return <uint32_t>integral_bits(binary32(), bits, signals_inexact)


cdef uint64_t integral_bits64(uint64_t bits, bint signals_inexact) noexcept nogil:
    return integral_bits(binary64(), bits, signals_inexact)


# --- Classes


cdef int class_of_bits16(uint32_t bits) noexcept nogil:
    return class_of(binary16(), bits)


cdef int class_of_bits32(uint32_t bits) noexcept nogil:
    return class_of(binary32(), bits)


cdef int class_of_bits64(uint64_t bits) noexcept nogil:
    return class_of(binary64(), bits)
