"""Integer uops for cryptography: carry-less products, permutations, AES and SHA-2, as far as the host has instructions.

The state of AES is the same 16 bytes in a pair of guest registers as in an xmm register. The host's instructions for a
round also add a key: with zeros for one, the low half of what they give is what the uop gives.
"""
from libc.stdint cimport int64_t, uint8_t
from vm_native.ir.block cimport Uop
from vm_native.ir.uop cimport *
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.compilation cimport ANY, Emit, Rule, Compilation, apply, define, load_slot, op_slot, read_slot
from vm_native.jit.x86_64.host_features cimport host_has


cdef extern from *:
    const int64_t LOW_NIBBLES "0x0F0F0F0F0F0F0F0FLL"
    const int64_t LOW_PAIRS "0x3333333333333333LL"
    const int64_t EVEN_BITS "0x5555555555555555LL"
    const int64_t TO_SIGN_FROM_16 "0x7070707070707070LL"    # what makes a byte from 16 on negative, in a saturated sum

cdef enum:
    SHIFT = 32              # added to the last of three counts: a shift right instead of a rotation
    SHIFT64 = 64
    WITHOUT_ROTATION = 10   # the number of such a step of AES's key schedule
    FIRST_WORD = 0x00       # of a VPSHUFD: this word, everywhere

# FIPS 197, section 5.2
cdef uint8_t[WITHOUT_ROTATION + 1] ROUND_CONSTANTS = [1, 2, 4, 8, 16, 32, 64, 128, 0x1B, 0x36, 0]


# --- How. The functions that the rules name ---------------------------------------------------------------------------

cdef void to_xmm(Compilation* t, int xmm, int slot) noexcept nogil:
    """The upper half becomes 0."""
    vex(&t.e, VMOVQ, W64, xmm, NO_SOURCE, read_slot(t, slot, RAX))


cdef void define_low_half(Compilation* t, Uop* uop, int xmm) noexcept nogil:
    vex(&t.e, VMOVQ_TO, W64, xmm, NO_SOURCE, RAX)
    define(t, uop.rd, RAX)


cdef void multiply_carryless(Compilation* t, Uop* uop) noexcept nogil:
    """All 128 bits in xmm0."""
    to_xmm(t, XMM0, uop.rs1)
    to_xmm(t, XMM1, uop.rs2)
    vex_constant(&t.e, VPCLMULQDQ, WIG, XMM0, XMM0, XMM1, 0)


cdef void carryless_low(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    multiply_carryless(t, uop)
    define_low_half(t, uop, XMM0)


cdef void carryless_high(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    multiply_carryless(t, uop)
    vex_constant(&t.e, VPEXTRQ, W64, XMM0, NO_SOURCE, RAX, 1)
    define(t, uop.rd, RAX)


cdef void carryless_middle(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    """clmulr: bits 126 to 63."""
    multiply_carryless(t, uop)
    vex_constant(&t.e, VPEXTRQ, W64, XMM0, NO_SOURCE, RCX, 1)
    vex(&t.e, VMOVQ_TO, W64, XMM0, NO_SOURCE, RAX)
    shift_constant(&t.e, SHR, W64, RAX, 63)
    op_indexed(&t.e, LEA, W64, RAX, RAX, RCX, 1, 0)
    define(t, uop.rd, RAX)


cdef void aes_round(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    cdef int high
    to_xmm(t, XMM0, uop.rs1)
    high = read_slot(t, uop.rs2, RAX)
    vex_constant(&t.e, VPINSRQ, W64, XMM0, XMM0, high, 1)
    vex(&t.e, VXORPS, WIG, XMM1, XMM1, XMM1)
    vex(&t.e, opcode, WIG, XMM0, XMM0, XMM1)
    define_low_half(t, uop, XMM0)


cdef void aes_inverse_mix(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    to_xmm(t, XMM0, uop.rs1)
    vex(&t.e, opcode, WIG, XMM0, NO_SOURCE, XMM0)
    define_low_half(t, uop, XMM0)


cdef void aes_key_word(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    """The source's second word, substituted: rows need no shift where all columns are that word."""
    cdef int64_t constant = ROUND_CONSTANTS[uop.imm]
    load_slot(t, RAX, uop.rs1)
    shift_constant(&t.e, SHR, W64, RAX, 32)
    if uop.imm != WITHOUT_ROTATION:
        vex_constant(&t.e, RORX, W32, RAX, NO_SOURCE, RAX, 8)
    vex(&t.e, VMOVQ, W32, XMM0, NO_SOURCE, RAX)
    vex_constant(&t.e, VPSHUFD, WIG, XMM0, NO_SOURCE, XMM0, FIRST_WORD)
    vex(&t.e, VXORPS, WIG, XMM1, XMM1, XMM1)
    vex(&t.e, opcode, WIG, XMM0, XMM0, XMM1)
    vex(&t.e, VMOVQ_TO, W64, XMM0, NO_SOURCE, RAX)
    if constant:
        load_constant(&t.e, RCX, constant << 32 | constant)
        op(&t.e, XOR, W64, RAX, RCX)
    define(t, uop.rd, RAX)


cdef void aes_next_words(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    """The upper word of rs1 is added to both of rs2, and the lower of these to the upper."""
    load_slot(t, RAX, uop.rs1)
    load_slot(t, RCX, uop.rs2)
    shift_constant(&t.e, SHR, W64, RAX, 32)
    op(&t.e, XOR, W64, RCX, RAX)
    op(&t.e, MOV, W32, RAX, RCX)
    shift_constant(&t.e, SHL, W64, RAX, 32)
    op(&t.e, XOR, W64, RAX, RCX)
    define(t, uop.rd, RAX)


cdef inline int counts(int a, int b, int c) noexcept nogil:
    """What `mix_rotations` asks for."""
    return a | b << 8 | c << 16


cdef void rotated(Compilation* t, Width width, int reg, int value, int count) noexcept nogil:
    vex_constant(&t.e, RORX, width, reg, NO_SOURCE, value, count)


cdef void mix_rotations(Compilation* t, Uop* uop, int counts, Width width) noexcept nogil:
    """rs1 rotated right by three counts, added without carries; a 32-bit result is sign-extended."""
    cdef int value = read_slot(t, uop.rs1, RDX)
    cdef int last = counts >> 16
    cdef int shift = SHIFT64 if width == W64 else SHIFT
    rotated(t, width, RAX, value, counts & 0xFF)
    rotated(t, width, RCX, value, counts >> 8 & 0xFF)
    op(&t.e, XOR, W64, RAX, RCX)
    if last >= shift:
        op(&t.e, MOV, width, RCX, value)
        shift_constant(&t.e, SHR, width, RCX, last - shift)
    elif last:
        rotated(t, width, RCX, value, last)
    op(&t.e, XOR, W64, RAX, RCX if last else value)
    if width == W32:
        op(&t.e, MOVSXD, W64, RAX, RAX)
    define(t, uop.rd, RAX)


cdef void exchange_bits(Compilation* t, int64_t mask, int distance) noexcept nogil:
    """In rax, those under the mask with those that far above them. Changes rcx and rdx."""
    load_constant(&t.e, RCX, mask)
    op(&t.e, MOV, W64, RDX, RAX)
    shift_constant(&t.e, SHR, W64, RDX, distance)
    op(&t.e, AND, W64, RAX, RCX)
    op(&t.e, AND, W64, RDX, RCX)
    shift_constant(&t.e, SHL, W64, RAX, distance)
    op(&t.e, OR, W64, RAX, RDX)


cdef void reverse_bits_in_bytes(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    load_slot(t, RAX, uop.rs1)
    exchange_bits(t, EVEN_BITS, 1)
    exchange_bits(t, LOW_PAIRS, 2)
    exchange_bits(t, LOW_NIBBLES, 4)
    define(t, uop.rd, RAX)


cdef void pack(Compilation* t, Uop* uop, int opcode, Width width) noexcept nogil:
    """The lower half of rs2 above that of rs1; of as many bits as the opcode moves."""
    cdef int bits = 32 if opcode == MOV else 16 if opcode == MOVZX16 else 8
    op_slot(t, opcode, W32, RAX, uop.rs1)
    op_slot(t, opcode, W32, RCX, uop.rs2)
    shift_constant(&t.e, SHL, W64, RCX, bits)
    op(&t.e, OR, W64, RAX, RCX)
    if opcode == MOVZX16:
        op(&t.e, MOVSXD, W64, RAX, RAX)
    define(t, uop.rd, RAX)


cdef void permute_bytes(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    """The host gives 0 for negative indices, and for those from 8 on the table has zeros."""
    to_xmm(t, XMM0, uop.rs1)
    to_xmm(t, XMM1, uop.rs2)
    load_constant(&t.e, RAX, TO_SIGN_FROM_16)
    vex(&t.e, VMOVQ, W64, XMM2, NO_SOURCE, RAX)
    vex(&t.e, VPADDUSB, WIG, XMM1, XMM1, XMM2)
    vex(&t.e, VPSHUFB, WIG, XMM0, XMM0, XMM1)
    define_low_half(t, uop, XMM0)


cdef void split_nibbles(Compilation* t, int low, int high, int slot) noexcept nogil:
    """Into the bytes of two xmm registers. rcx has LOW_NIBBLES; rax and rdx are lost."""
    load_slot(t, RAX, slot)
    op(&t.e, MOV, W64, RDX, RAX)
    shift_constant(&t.e, SHR, W64, RDX, 4)
    op(&t.e, AND, W64, RAX, RCX)
    op(&t.e, AND, W64, RDX, RCX)
    vex(&t.e, VMOVQ, W64, low, NO_SOURCE, RAX)
    vex(&t.e, VMOVQ, W64, high, NO_SOURCE, RDX)


cdef void permute_nibbles(Compilation* t, Uop* uop, int host, Width width) noexcept nogil:
    """As two permutations of bytes, from a table of 16, in turns of rs1's even and odd nibbles."""
    load_constant(&t.e, RCX, LOW_NIBBLES)
    split_nibbles(t, XMM0, XMM1, uop.rs1)
    vex(&t.e, VPUNPCKLBW, WIG, XMM0, XMM0, XMM1)
    split_nibbles(t, XMM1, XMM2, uop.rs2)
    vex(&t.e, VPSHUFB, WIG, XMM1, XMM0, XMM1)
    vex(&t.e, VPSHUFB, WIG, XMM2, XMM0, XMM2)
    vex(&t.e, VMOVQ_TO, W64, XMM1, NO_SOURCE, RAX)
    vex(&t.e, VMOVQ_TO, W64, XMM2, NO_SOURCE, RDX)
    shift_constant(&t.e, SHL, W64, RDX, 4)
    op(&t.e, OR, W64, RAX, RDX)
    define(t, uop.rd, RAX)


# --- What. A row for each uop: how, with which opcode or counts, how wide ---------------------------------------------

cdef Rule[UOP_COUNT] rules


cdef void R(int uop, Emit emit, int host, Width width=W64) noexcept:
    rules[uop].emit, rules[uop].host, rules[uop].width = emit, host, width


if host_has.carryless:
    R(UOP_CLMUL,  carryless_low,         ANY)
    R(UOP_CLMULH, carryless_high,        ANY)
    R(UOP_CLMULR, carryless_middle,      ANY)

R(UOP_BREV8,      reverse_bits_in_bytes, ANY)
R(UOP_PACK,       pack,                  MOV)
R(UOP_PACKW,      pack,                  MOVZX16)
R(UOP_PACKH,      pack,                  MOVZX8)
R(UOP_XPERM8,     permute_bytes,         ANY)
R(UOP_XPERM4,     permute_nibbles,       ANY)

if host_has.aes:
    R(UOP_AES64ES,   aes_round,          VAESENCLAST)
    R(UOP_AES64ESM,  aes_round,          VAESENC)
    R(UOP_AES64DS,   aes_round,          VAESDECLAST)
    R(UOP_AES64DSM,  aes_round,          VAESDEC)
    R(UOP_AES64IM,   aes_inverse_mix,    VAESIMC)
    R(UOP_AES64KS1I, aes_key_word,       VAESENCLAST)
R(UOP_AES64KS2,   aes_next_words,        ANY)

R(UOP_SHA256SIG0, mix_rotations,         counts(7, 18, SHIFT + 3),      W32)
R(UOP_SHA256SIG1, mix_rotations,         counts(17, 19, SHIFT + 10),    W32)
R(UOP_SHA256SUM0, mix_rotations,         counts(2, 13, 22),             W32)
R(UOP_SHA256SUM1, mix_rotations,         counts(6, 11, 25),             W32)
R(UOP_SHA512SIG0, mix_rotations,         counts(1, 8, SHIFT64 + 7))
R(UOP_SHA512SIG1, mix_rotations,         counts(19, 61, SHIFT64 + 6))
R(UOP_SHA512SUM0, mix_rotations,         counts(28, 34, 39))
R(UOP_SHA512SUM1, mix_rotations,         counts(14, 18, 41))
R(UOP_SM3P0,      mix_rotations,         counts(32 - 9, 32 - 17, 0),    W32)
R(UOP_SM3P1,      mix_rotations,         counts(32 - 15, 32 - 23, 0),   W32)


cdef bint emit_crypto(Compilation* t, Uop* uop, int opcode) noexcept nogil:
    """Whether the uop is one of these; then it has been emitted."""
    return t.jit.switches.crypto and apply(&rules[opcode], t, uop)
