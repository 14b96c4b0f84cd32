"""Which instruction sets of the memcpy family this CPU runs, and the operating system lets it run."""

cdef extern from *:
    """
    #if defined(__x86_64__)
    #define HAS_AVX512 (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && \\
                        __builtin_cpu_supports("avx512vl"))
    #define HAS_AVX2 __builtin_cpu_supports("avx2")
    #define HAS_SSE2 1              /* every x86-64 */
    #define HAS_NEON 0
    #else
    #define HAS_AVX512 0
    #define HAS_AVX2 0
    #define HAS_SSE2 0
    #define HAS_NEON 1              /* every AArch64 */
    #endif
    """
    bint HAS_AVX512
    bint HAS_AVX2
    bint HAS_SSE2
    bint HAS_NEON


def simd_features():
    """Every instruction set that the memcpy family is written for, best first: name -> whether this CPU runs it."""
    return {"avx512": bool(HAS_AVX512), "avx2": bool(HAS_AVX2), "sse2": bool(HAS_SSE2), "neon": bool(HAS_NEON)}
