# What the host's processor has, and its operating system saves, of what traces use where it is there.
cdef struct HostFeatures:
    bint avx512             # F, BW, DQ and VL of it
    bint vbmi               # permutations of bytes, in AVX-512
    bint sha
    bint halves             # F16C
    bint carryless          # PCLMULQDQ
    bint aes

cdef HostFeatures host_has
