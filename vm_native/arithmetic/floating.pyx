"""What is out of line on the host's FPU: its status word, and the classes of numbers. floating.pxd says the rest."""

from libc.stdint cimport uint32_t, uint64_t

from vm_native.arithmetic.float_rules cimport DZ, NV, NX, OF, UF
from vm_native.arithmetic.softfloat cimport binary32, binary64, class_of

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
    static unsigned int vm_raised(void) { VM_BARRIER(); unsigned int m = _mm_getcsr(); VM_BARRIER(); return m; }
    static void vm_clear(void) { VM_BARRIER(); _mm_setcsr(_mm_getcsr() & ~_MM_EXCEPT_MASK); VM_BARRIER(); }
    /* 0x1F80 masks all, rounds to nearest, no flush to zero, no flags */
    static void vm_save(unsigned int* saved)
    { VM_BARRIER(); *saved = _mm_getcsr(); _mm_setcsr(0x1F80); VM_BARRIER(); }
    static void vm_restore(const unsigned int* saved) { VM_BARRIER(); _mm_setcsr(*saved); VM_BARRIER(); }
    #else
    #define VM_INEXACT FE_INEXACT
    #define VM_UNDERFLOW FE_UNDERFLOW
    #define VM_OVERFLOW FE_OVERFLOW
    #define VM_DIVISION FE_DIVBYZERO
    #define VM_INVALID FE_INVALID
    static unsigned int vm_raised(void) { return fetestexcept(FE_ALL_EXCEPT); }
    static void vm_clear(void) { feclearexcept(FE_ALL_EXCEPT); }
    static void vm_save(fenv_t* saved) { fegetenv(saved); fesetenv(FE_DFL_ENV); }
    static void vm_restore(const fenv_t* saved) { fesetenv(saved); }
    #endif
    """
    enum: VM_INEXACT, VM_UNDERFLOW, VM_OVERFLOW, VM_DIVISION, VM_INVALID
    uint32_t vm_raised() noexcept nogil
    void vm_clear() noexcept nogil
    void vm_save(HostEnvironment* saved) noexcept nogil
    void vm_restore(const HostEnvironment* saved) noexcept nogil


cdef void save_environment(HostEnvironment* saved) noexcept nogil:
    vm_save(saved)


cdef void restore_environment(const HostEnvironment* saved) noexcept nogil:
    vm_restore(saved)


cdef uint32_t collect_flags() noexcept nogil:
    cdef uint32_t raised = vm_raised()
    return ((NX if raised & VM_INEXACT else 0) | (UF if raised & VM_UNDERFLOW else 0)
            | (OF if raised & VM_OVERFLOW else 0) | (DZ if raised & VM_DIVISION else 0)
            | (NV if raised & VM_INVALID else 0))


cdef void clear_flags() noexcept nogil:
    vm_clear()


cdef int class_of_bits32(uint32_t bits) noexcept nogil:
    return class_of(binary32(), bits)


cdef int class_of_bits64(uint64_t bits) noexcept nogil:
    return class_of(binary64(), bits)
