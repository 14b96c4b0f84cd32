# AVX-512 instructions for vectors: what they have besides those of avx2.pxd, and mask registers.
from libc.stdint cimport int32_t
from vm_native.jit.x86_64.assembler cimport (
    EVEX, EVEX_WIDE, MAP_0F, MAP_0F38, MAP_0F3A, MASK_SHIFT, NO_SOURCE, PREFIX_66, PREFIX_F2, PREFIX_F3, W64, YMM, vex,
)
from vm_native.jit.x86_64.compilation cimport Compilation

cdef enum:                  # as Opcode of assembler.pxd
    VMOVDQU8 = 0x6F | MAP_0F | PREFIX_F2 | EVEX
    VMOVDQU16 = 0x6F | MAP_0F | PREFIX_F2 | EVEX | EVEX_WIDE
    VMOVDQU32 = 0x6F | MAP_0F | PREFIX_F3 | EVEX
    VMOVDQU64 = 0x6F | MAP_0F | PREFIX_F3 | EVEX | EVEX_WIDE
    TO_MEMORY = 0x10        # with one of these: from the register
    VPBLENDMB = 0x66 | MAP_0F38 | PREFIX_66 | EVEX
    VPBLENDMW = 0x66 | MAP_0F38 | PREFIX_66 | EVEX | EVEX_WIDE
    VPBLENDMD = 0x64 | MAP_0F38 | PREFIX_66 | EVEX
    VPBLENDMQ = 0x64 | MAP_0F38 | PREFIX_66 | EVEX | EVEX_WIDE
    VPMOVWB = 0x30 | MAP_0F38 | PREFIX_F3 | EVEX        # these three: the register field is the source
    VPMOVDW = 0x33 | MAP_0F38 | PREFIX_F3 | EVEX
    VPMOVQD = 0x35 | MAP_0F38 | PREFIX_F3 | EVEX
    VPMULLQ = 0x40 | MAP_0F38 | PREFIX_66 | EVEX | EVEX_WIDE
    VPERMB = 0x8D | MAP_0F38 | PREFIX_66 | EVEX         # the first of these: of AVX512_VBMI
    VPERMW = 0x8D | MAP_0F38 | PREFIX_66 | EVEX | EVEX_WIDE
    VPERMD = 0x36 | MAP_0F38 | PREFIX_66 | EVEX
    VPERMQ = 0x36 | MAP_0F38 | PREFIX_66 | EVEX | EVEX_WIDE
    VEXTRACTI64X4 = 0x3B | MAP_0F3A | PREFIX_66 | EVEX | EVEX_WIDE
    VCVTUDQ2PS = 0x7A | MAP_0F | PREFIX_F2 | EVEX
    # The register field is a mask's. Comparisons have a constant of one byte behind them, classes, too
    VPTESTMD = 0x27 | MAP_0F38 | PREFIX_66 | EVEX
    VPCMPUB = 0x3E | MAP_0F3A | PREFIX_66 | EVEX
    VPCMPUW = 0x3E | MAP_0F3A | PREFIX_66 | EVEX | EVEX_WIDE
    VPCMPUD = 0x1E | MAP_0F3A | PREFIX_66 | EVEX
    VPCMPUQ = 0x1E | MAP_0F3A | PREFIX_66 | EVEX | EVEX_WIDE
    OF_SIGNED = 0x01        # with one of these: the order is that of signed numbers
    VFPCLASSPS = 0x66 | MAP_0F3A | PREFIX_66 | EVEX     # with EVEX_WIDE doubles
    # VEX. The width says how many bits, with the prefix
    KMOV8 = 0x90 | MAP_0F | PREFIX_66       # from memory: W32; so the next one. Those behind it: W64
    KMOV16 = 0x90 | MAP_0F
    KMOV32 = 0x90 | MAP_0F | PREFIX_66
    KMOV64 = 0x90 | MAP_0F
    KMOV_FROM = 0x92 | MAP_0F | PREFIX_F2   # a general register
    KMOV_TO = 0x93 | MAP_0F | PREFIX_F2     # the register field is the general register's
    KORTEST = 0x98 | MAP_0F
    KAND = 0x41 | MAP_0F | YMM
    KSHIFTR = 0x31 | MAP_0F3A | PREFIX_66   # with a constant behind it

cdef enum:                  # of a VPCMPU
    ORDER_EQUAL = 0
    ORDER_LESS = 1
    ORDER_NOT_GREATER = 2
    ORDER_NOT_EQUAL = 4
    ORDER_GREATER = 6

cdef enum:                  # of a VFPCLASSPS
    CLASS_ZERO = 0x06
    CLASS_INFINITE = 0x18

cdef inline int under(int mask) noexcept nogil:
    # In an opcode: only elements whose bit is set in this mask register.
    return mask << MASK_SHIFT

cdef inline void test_mask(Compilation* t, int a, int b) noexcept nogil:
    # The zero flag says that neither has a bit.
    vex(&t.e, KORTEST, W64, a, NO_SOURCE, b)
