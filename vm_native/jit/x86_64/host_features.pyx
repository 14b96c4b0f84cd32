"""What the host's processor has, of what traces use where it is there; trace.pyx says what they are made of at all."""

cdef extern from *:
    """
    #if defined(__x86_64__)
    #include <cpuid.h>
    #define VM_HAS(name) (__builtin_cpu_supports(name) != 0)
    static int vm_host_has_sha(void) {      /* which not every compiler's function knows */
        unsigned int a, b = 0, c, d;
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1;
    }
    #else
    #define VM_HAS(name) 0
    #define vm_host_has_sha() 0
    #endif
    #define vm_host_has_avx512() (VM_HAS("avx512f") && VM_HAS("avx512bw") && VM_HAS("avx512dq") && VM_HAS("avx512vl"))
    #define vm_host_has_vbmi() VM_HAS("avx512vbmi")
    #define vm_host_has_halves() VM_HAS("f16c")
    #define vm_host_has_carryless() VM_HAS("pclmul")
    #define vm_host_has_aes() VM_HAS("aes")
    """
    bint has_avx512 "vm_host_has_avx512"() noexcept nogil
    bint has_vbmi "vm_host_has_vbmi"() noexcept nogil
    bint has_sha "vm_host_has_sha"() noexcept nogil
    bint has_halves "vm_host_has_halves"() noexcept nogil
    bint has_carryless "vm_host_has_carryless"() noexcept nogil
    bint has_aes "vm_host_has_aes"() noexcept nogil

cdef HostFeatures host_has = HostFeatures(
    avx512=has_avx512(), vbmi=has_vbmi(), sha=has_sha(), halves=has_halves(), carryless=has_carryless(), aes=has_aes()
)
