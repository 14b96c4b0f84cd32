# AVX2 and SHA instructions for vectors, and the constants that they want.
from libc.stdint cimport int32_t, uint8_t
from vm_native.jit.x86_64.assembler cimport (
    EVEX_WIDE, MAP_0F, MAP_0F38, MAP_0F3A, NO_INDEX, NO_SOURCE, PREFIX_66, PREFIX_F3, W64, WIG, YMM, Emitter, vex,
    vex_literal,
)
from vm_native.jit.x86_64.compilation cimport Compilation

cdef enum:
    W = 1 << 19             # in an opcode: with the bit that makes elements or registers wider

cdef enum:                  # as Opcode of assembler.pxd
    VMOVDQU = 0x6F | MAP_0F | PREFIX_F3
    VMOVDQU_TO = 0x7F | MAP_0F | PREFIX_F3
    VMOVQ_LOW = 0x7E | MAP_0F | PREFIX_F3 | EVEX_WIDE
    VMOVQ_LOW_TO = 0xD6 | MAP_0F | PREFIX_66
    VZEROUPPER = 0x77 | MAP_0F
    VPADDB = 0xFC | MAP_0F | PREFIX_66
    VPADDW = 0xFD | MAP_0F | PREFIX_66
    VPADDD = 0xFE | MAP_0F | PREFIX_66
    VPADDQ = 0xD4 | MAP_0F | PREFIX_66 | EVEX_WIDE
    VPSUBB = 0xF8 | MAP_0F | PREFIX_66
    VPSUBW = 0xF9 | MAP_0F | PREFIX_66
    VPSUBD = 0xFA | MAP_0F | PREFIX_66
    VPSUBQ = 0xFB | MAP_0F | PREFIX_66 | EVEX_WIDE
    VPADDSB = 0xEC | MAP_0F | PREFIX_66
    VPADDSW = 0xED | MAP_0F | PREFIX_66
    VPADDUSW = 0xDD | MAP_0F | PREFIX_66
    VPSUBSB = 0xE8 | MAP_0F | PREFIX_66
    VPSUBSW = 0xE9 | MAP_0F | PREFIX_66
    VPSUBUSB = 0xD8 | MAP_0F | PREFIX_66
    VPSUBUSW = 0xD9 | MAP_0F | PREFIX_66
    VPAND = 0xDB | MAP_0F | PREFIX_66
    VPANDN = 0xDF | MAP_0F | PREFIX_66
    VPOR = 0xEB | MAP_0F | PREFIX_66
    VPXOR = 0xEF | MAP_0F | PREFIX_66
    VPMINUB = 0xDA | MAP_0F | PREFIX_66
    VPMINUW = 0x3A | MAP_0F38 | PREFIX_66
    VPMINUD = 0x3B | MAP_0F38 | PREFIX_66
    VPMAXUB = 0xDE | MAP_0F | PREFIX_66
    VPMAXUW = 0x3E | MAP_0F38 | PREFIX_66
    VPMAXUD = 0x3F | MAP_0F38 | PREFIX_66
    VPMINSB = 0x38 | MAP_0F38 | PREFIX_66
    VPMINSW = 0xEA | MAP_0F | PREFIX_66
    VPMINSD = 0x39 | MAP_0F38 | PREFIX_66
    VPMAXSB = 0x3C | MAP_0F38 | PREFIX_66
    VPMAXSW = 0xEE | MAP_0F | PREFIX_66
    VPMAXSD = 0x3D | MAP_0F38 | PREFIX_66
    VPCMPEQW = 0x75 | MAP_0F | PREFIX_66
    VPCMPEQQ = 0x29 | MAP_0F38 | PREFIX_66
    VPCMPGTB = 0x64 | MAP_0F | PREFIX_66
    VPCMPGTW = 0x65 | MAP_0F | PREFIX_66
    VPCMPGTD = 0x66 | MAP_0F | PREFIX_66
    VPCMPGTQ = 0x37 | MAP_0F38 | PREFIX_66
    VPMULLW = 0xD5 | MAP_0F | PREFIX_66
    VPMULLD = 0x40 | MAP_0F38 | PREFIX_66
    VPMULHUW = 0xE4 | MAP_0F | PREFIX_66
    VPMULHW = 0xE5 | MAP_0F | PREFIX_66
    VPMULDQ = 0x28 | MAP_0F38 | PREFIX_66 | EVEX_WIDE
    VPMULUDQ = 0xF4 | MAP_0F | PREFIX_66 | EVEX_WIDE
    # Shifts: all elements by the number in an xmm register, or each by its own
    VPSLLW = 0xF1 | MAP_0F | PREFIX_66
    VPSLLD = 0xF2 | MAP_0F | PREFIX_66
    VPSLLQ = 0xF3 | MAP_0F | PREFIX_66 | EVEX_WIDE
    VPSRLW = 0xD1 | MAP_0F | PREFIX_66
    VPSRLD = 0xD2 | MAP_0F | PREFIX_66
    VPSRLQ = 0xD3 | MAP_0F | PREFIX_66 | EVEX_WIDE
    VPSRAW = 0xE1 | MAP_0F | PREFIX_66
    VPSRAD = 0xE2 | MAP_0F | PREFIX_66
    VPSLLVD = 0x47 | MAP_0F38 | PREFIX_66
    VPSLLVQ = 0x47 | MAP_0F38 | PREFIX_66 | W
    VPSRLVD = 0x45 | MAP_0F38 | PREFIX_66
    VPSRLVQ = 0x45 | MAP_0F38 | PREFIX_66 | W
    VPSRAVD = 0x46 | MAP_0F38 | PREFIX_66
    # Between widths. The first letter is that of the source
    VPMOVSXBW = 0x20 | MAP_0F38 | PREFIX_66
    VPMOVSXBD = 0x21 | MAP_0F38 | PREFIX_66
    VPMOVSXBQ = 0x22 | MAP_0F38 | PREFIX_66
    VPMOVSXWD = 0x23 | MAP_0F38 | PREFIX_66
    VPMOVSXWQ = 0x24 | MAP_0F38 | PREFIX_66
    VPMOVSXDQ = 0x25 | MAP_0F38 | PREFIX_66
    VPMOVZXBW = 0x30 | MAP_0F38 | PREFIX_66
    VPMOVZXBD = 0x31 | MAP_0F38 | PREFIX_66
    VPMOVZXBQ = 0x32 | MAP_0F38 | PREFIX_66
    VPMOVZXWD = 0x33 | MAP_0F38 | PREFIX_66
    VPMOVZXWQ = 0x34 | MAP_0F38 | PREFIX_66
    VPMOVZXDQ = 0x35 | MAP_0F38 | PREFIX_66
    VPACKSSWB = 0x63 | MAP_0F | PREFIX_66
    VPACKUSWB = 0x67 | MAP_0F | PREFIX_66
    VPACKUSDW = 0x2B | MAP_0F38 | PREFIX_66
    VPBROADCASTB = 0x78 | MAP_0F38 | PREFIX_66
    VPBROADCASTW = 0x79 | MAP_0F38 | PREFIX_66
    VPBROADCASTD = 0x58 | MAP_0F38 | PREFIX_66
    VPBROADCASTQ = 0x59 | MAP_0F38 | PREFIX_66 | EVEX_WIDE
    VEXTRACTI128 = 0x39 | MAP_0F3A | PREFIX_66      # the register field is the source
    VINSERTI128 = 0x38 | MAP_0F3A | PREFIX_66
    VPMOVMSKB = 0xD7 | MAP_0F | PREFIX_66   # the register field is the general register's, as of the next two
    VMOVMSKPS = 0x50 | MAP_0F
    VMOVMSKPD = 0x50 | MAP_0F | PREFIX_66
    VPTEST = 0x17 | MAP_0F38 | PREFIX_66
    # Floating point: singles; with PREFIX_66 doubles
    VADDPS = 0x58 | MAP_0F
    VMULPS = 0x59 | MAP_0F
    VSUBPS = 0x5C | MAP_0F
    VDIVPS = 0x5E | MAP_0F
    VSQRTPS = 0x51 | MAP_0F
    VCVTDQ2PS = 0x5B | MAP_0F
    VFMADD231P = 0xB8 | MAP_0F38 | PREFIX_66        # these four: with W doubles
    VFMSUB231P = 0xBA | MAP_0F38 | PREFIX_66
    VFNMADD231P = 0xBC | MAP_0F38 | PREFIX_66
    VFNMSUB231P = 0xBE | MAP_0F38 | PREFIX_66
    # With a constant of one byte behind them
    VCMPPS = 0xC2 | MAP_0F
    VSHUFPS = 0xC6 | MAP_0F
    VPALIGNR = 0x0F | MAP_0F3A | PREFIX_66
    VPBLENDVB = 0x4C | MAP_0F3A | PREFIX_66         # the constant names the register of the mask, in its upper half
    SHIFT_WORDS = 0x71 | MAP_0F | PREFIX_66         # the register field is one of the next three
    SHIFT_DOUBLEWORDS = 0x72 | MAP_0F | PREFIX_66
    SHIFT_QUADWORDS = 0x73 | MAP_0F | PREFIX_66 | EVEX_WIDE
    # Not VEX
    SHA256RNDS2 = 0xCB | MAP_0F38                   # xmm0 has the words
    SHA256MSG1 = 0xCC | MAP_0F38
    SHA256MSG2 = 0xCD | MAP_0F38

cdef enum:                  # of a shift by a constant
    SHIFT_LOGICAL = 2
    SHIFT_ARITHMETIC = 4
    SHIFT_LEFT = 6

cdef enum:                  # of a VCMPPS: quiet, but the signalling ones of the specification
    CMP_EQUAL = 0x00
    CMP_LESS = 0x01
    CMP_NOT_GREATER = 0x02
    CMP_UNORDERED = 0x03
    CMP_NOT_EQUAL = 0x04
    CMP_NOT_LESS = 0x0D
    CMP_GREATER = 0x0E

# Constants of 64 bytes each, by their place behind Stubs.vectors
cdef enum:
    BITS_OF_BYTES           # each byte has the bit of its place, modulo 8; so do the wider ones
    BITS_OF_WORDS
    BITS_OF_DOUBLEWORDS
    BITS_OF_QUADWORDS
    BITS_OF_MORE_QUADWORDS  # 16 to 128
    SPREAD_BYTES            # of a VPSHUFB: each of the first four bytes eight times
    NANS                    # of singles, of doubles
    NANS_OF_DOUBLES
    MAGNITUDES              # all bits but the sign
    MAGNITUDES_OF_DOUBLES
    INFINITIES
    INFINITIES_OF_DOUBLES
    ZEROES
    LOW_BYTES               # of words
    LOW_WORDS
    REVERSED_WORDS          # of a VPSHUFB: the bytes of each element the other way round
    REVERSED_DOUBLEWORDS
    REVERSED_QUADWORDS
    SIXTEENS                # bytes
    SEVENTIES               # bytes 0x70
    FIRST_ONES              # bytes 0xFF, and behind them zeroes
    THEN_ZEROES
    THEN_ONES
    INDICES_OF_BYTES        # 0, 1, 2 ...
    INDICES_OF_WORDS
    INDICES_OF_DOUBLEWORDS
    INDICES_OF_QUADWORDS
    VECTOR_CONSTANTS

cdef enum:
    CONSTANT_BYTES = 64
    MASK_IN_CONSTANT = 4    # places that the mask's register is shifted by, of a VPBLENDVB

cdef inline const uint8_t* vector_constant(Compilation* t, int number) noexcept nogil:
    return t.jit.stubs.vectors + number * CONSTANT_BYTES

cdef inline void zero_upper_halves(Emitter* e) noexcept nogil:
    # Of the registers that code for hosts without AVX knows: it would have to keep them.
    vex(e, VZEROUPPER, WIG, 0, NO_SOURCE, 0)
    e.at -= 1                           # it has no operands

# On two registers and a third one, or a constant.
cdef inline void on_registers(Compilation* t, int opcode, int xmm, int source, int last) noexcept nogil:
    vex(&t.e, opcode, W64 if opcode & W else WIG, xmm, source, last)

cdef inline void on_constant(Compilation* t, int opcode, int xmm, int source, int number) noexcept nogil:
    vex_literal(&t.e, opcode, xmm, source, vector_constant(t, number))
