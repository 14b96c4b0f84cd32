"""Which instruction sets of the loops this CPU runs, and the operating system lets it run."""

cdef extern from *:
    """
    #if defined(__x86_64__)
    #define VM_HAS_AVX2 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && \\
                         __builtin_cpu_supports("pclmul"))
    #else
    #define VM_HAS_AVX2 0
    #endif
    """
    bint HAS_AVX2 "VM_HAS_AVX2"


def instruction_sets():
    """Names of modules of this package, the best first."""
    return ["avx2", "base"] if HAS_AVX2 else ["base"]
