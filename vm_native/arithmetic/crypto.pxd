# crypto.pxd: the scalar cryptography instructions of RV64, as uops call them.
#
# RISC-V Cryptography Extensions, volume I, 1.0.1: Zknd, Zkne (AES, FIPS 197), Zknh (SHA-2, FIPS 180-4), Zksed (SM4,
# GB/T 32907-2016), Zksh (SM3, GB/T 32905-2016).
from libc.stdint cimport uint64_t
from vm_native.arithmetic.integer cimport low32, rotate_left32, rotate_right32, rotate_right64, sext32

# --- AES: a state is 16 bytes, the first column in the low half of the first register. These give the low half of the
# next state; swapped operands give the high half, because shifting rows is symmetric in the two halves.

cdef uint64_t aes64es(uint64_t low, uint64_t high) noexcept nogil       # last round of encryption
cdef uint64_t aes64esm(uint64_t low, uint64_t high) noexcept nogil      # other rounds: mixes columns too
cdef uint64_t aes64ds(uint64_t low, uint64_t high) noexcept nogil       # last round of decryption
cdef uint64_t aes64dsm(uint64_t low, uint64_t high) noexcept nogil
cdef uint64_t aes64im(uint64_t columns) noexcept nogil                  # inverse mix of two columns, for round keys
cdef uint64_t aes64ks1i(uint64_t key, uint64_t round_number) noexcept nogil

cdef inline uint64_t aes64ks2(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t first = a >> 32 ^ low32(b)
    return first | (first ^ b >> 32) << 32

# --- SM4: one byte of one round (ed) or of the key schedule (ks)

cdef uint64_t sm4ed(uint64_t a, uint64_t b, uint64_t byte) noexcept nogil
cdef uint64_t sm4ks(uint64_t a, uint64_t b, uint64_t byte) noexcept nogil

# --- SHA-2: the functions called sigma (sig) and Sigma (sum) in FIPS 180-4, sections 4.1.2 and 4.1.3

cdef inline uint64_t sha256sig0(uint64_t a) noexcept nogil:
    return sext32(rotate_right32(a, 7) ^ rotate_right32(a, 18) ^ low32(a) >> 3)

cdef inline uint64_t sha256sig1(uint64_t a) noexcept nogil:
    return sext32(rotate_right32(a, 17) ^ rotate_right32(a, 19) ^ low32(a) >> 10)

cdef inline uint64_t sha256sum0(uint64_t a) noexcept nogil:
    return sext32(rotate_right32(a, 2) ^ rotate_right32(a, 13) ^ rotate_right32(a, 22))

cdef inline uint64_t sha256sum1(uint64_t a) noexcept nogil:
    return sext32(rotate_right32(a, 6) ^ rotate_right32(a, 11) ^ rotate_right32(a, 25))

cdef inline uint64_t sha512sig0(uint64_t a) noexcept nogil:
    return rotate_right64(a, 1) ^ rotate_right64(a, 8) ^ a >> 7

cdef inline uint64_t sha512sig1(uint64_t a) noexcept nogil:
    return rotate_right64(a, 19) ^ rotate_right64(a, 61) ^ a >> 6

cdef inline uint64_t sha512sum0(uint64_t a) noexcept nogil:
    return rotate_right64(a, 28) ^ rotate_right64(a, 34) ^ rotate_right64(a, 39)

cdef inline uint64_t sha512sum1(uint64_t a) noexcept nogil:
    return rotate_right64(a, 14) ^ rotate_right64(a, 18) ^ rotate_right64(a, 41)

# --- SM3: the permutations of section 4.4

cdef inline uint64_t sm3p0(uint64_t a) noexcept nogil:
    return sext32(a ^ rotate_left32(a, 9) ^ rotate_left32(a, 17))

cdef inline uint64_t sm3p1(uint64_t a) noexcept nogil:
    return sext32(a ^ rotate_left32(a, 15) ^ rotate_left32(a, 23))
