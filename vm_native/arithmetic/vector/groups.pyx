"""Vector cryptography, on groups of elements: vector cryptography specification 1.0, chapter 3.

AES, SHA-2, SM3 and SM4 are made of the functions of the scalar instructions; where the host has instructions of its own
(host_groups.pyx) it does them.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from vm_native.arithmetic.crypto cimport (
    aes64ds, aes64es, aes64esm, aes64im, aes64ks1i, sha256sig0, sha256sig1, sha256sum0, sha256sum1, sha512sig0,
    sha512sig1, sha512sum0, sha512sum1, sm3p0, sm3p1, sm4ed, sm4ks,
)
from vm_native.arithmetic.integer cimport reversed_bits_in_bytes, reversed_bytes, rotate_left32
from vm_native.arithmetic.vector.elements cimport element, set_element
from vm_native.arithmetic.vector.group_names import GROUP_OPERATIONS
from vm_native.arithmetic.vector.host_groups cimport GroupOperation, on_host

cdef enum:
    NO_ROTATION = 10        # number of the AES round whose key schedule only substitutes


# --- AES: a state is two columns and two columns ---------------------------------------------------------------------

cdef void aesem(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    cdef uint64_t low = (<uint64_t*>d)[0], high = (<uint64_t*>d)[1]
    (<uint64_t*>d)[0] = aes64esm(low, high) ^ (<const uint64_t*>a)[0]
    (<uint64_t*>d)[1] = aes64esm(high, low) ^ (<const uint64_t*>a)[1]


cdef void aesef(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    cdef uint64_t low = (<uint64_t*>d)[0], high = (<uint64_t*>d)[1]
    (<uint64_t*>d)[0] = aes64es(low, high) ^ (<const uint64_t*>a)[0]
    (<uint64_t*>d)[1] = aes64es(high, low) ^ (<const uint64_t*>a)[1]


cdef void aesdm(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    """The key is added before the columns are mixed, other than by aes64dsm."""
    aesdf(d, a, b, size, round)
    (<uint64_t*>d)[0] = aes64im((<uint64_t*>d)[0])
    (<uint64_t*>d)[1] = aes64im((<uint64_t*>d)[1])


cdef void aesdf(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    cdef uint64_t low = (<uint64_t*>d)[0], high = (<uint64_t*>d)[1]
    (<uint64_t*>d)[0] = aes64ds(low, high) ^ (<const uint64_t*>a)[0]
    (<uint64_t*>d)[1] = aes64ds(high, low) ^ (<const uint64_t*>a)[1]


cdef void aesz(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    (<uint64_t*>d)[0] ^= (<const uint64_t*>a)[0]
    (<uint64_t*>d)[1] ^= (<const uint64_t*>a)[1]


cdef inline void next_key(uint32_t* d, const uint32_t* before, uint32_t word) noexcept nogil:
    cdef int i
    for i in range(4):
        word ^= before[i]
        d[i] = word


cdef void aeskf1(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    round &= 15
    if not 1 <= round <= 10:
        round ^= 8
    next_key(<uint32_t*>d, <const uint32_t*>a, <uint32_t>aes64ks1i((<const uint64_t*>a)[1], round - 1))


cdef void aeskf2(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    round &= 15
    if not 2 <= round <= 14:
        round ^= 8
    round = NO_ROTATION if round & 1 else round // 2 - 1
    next_key(<uint32_t*>d, <const uint32_t*>d, <uint32_t>aes64ks1i((<const uint64_t*>a)[1], round))


# --- GHASH -----------------------------------------------------------------------------------------------------------

cdef void multiply_in_field(uint64_t* product, const uint64_t* x, const uint64_t* y) noexcept nogil:
    """Of polynomials over GF(2) modulo x^128 + x^7 + x^2 + x + 1, whose bits stand reversed in each byte."""
    cdef uint64_t low = reversed_bits_in_bytes(y[0]), high = reversed_bits_in_bytes(y[1]), top
    cdef uint64_t sum_low = 0, sum_high = 0
    cdef int i
    for i in range(128):
        if reversed_bits_in_bytes(x[i >> 6]) >> (i & 63) & 1:
            sum_low ^= low
            sum_high ^= high
        top = high >> 63
        high = high << 1 | low >> 63
        low = low << 1 ^ (0x87 if top else 0)
    product[0] = reversed_bits_in_bytes(sum_low)
    product[1] = reversed_bits_in_bytes(sum_high)


cdef void gmul(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    multiply_in_field(<uint64_t*>d, <const uint64_t*>d, <const uint64_t*>a)


cdef void ghsh(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    cdef uint64_t sum[2]
    sum[0] = (<uint64_t*>d)[0] ^ (<const uint64_t*>b)[0]
    sum[1] = (<uint64_t*>d)[1] ^ (<const uint64_t*>b)[1]
    multiply_in_field(<uint64_t*>d, sum, <const uint64_t*>a)


# --- SHA-2: SHA-256 on words of 32 bits, of which functions take no more; SHA-512 on 64 ------------------------------

cdef void sha2ms(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    """Words 16 to 19 of the schedule from 0 to 3, then 4 and 9 to 11, then 12 to 15."""
    cdef uint64_t words[20]
    cdef int i
    for i in range(4):
        words[i] = element(d, i, size, False)
        words[8 + i if i else 4] = element(a, i, size, False)
        words[12 + i] = element(b, i, size, False)
    for i in range(4):
        if size == 3:
            words[16 + i] = sha512sig1(words[14 + i]) + sha512sig0(words[1 + i])
        else:
            words[16 + i] = sha256sig1(words[14 + i]) + sha256sig0(words[1 + i])
        words[16 + i] += words[9 + i] + words[i]
    for i in range(4):
        set_element(d, i, size, words[16 + i])


cdef void compress(uint8_t* target, const uint8_t* source, int size, uint64_t first, uint64_t second) noexcept nogil:
    """Two rounds. The halves of the state are f, e, b, a in `source` and h, g, d, c in `target`."""
    cdef uint64_t a = element(source, 3, size, False), b = element(source, 2, size, False)
    cdef uint64_t c = element(target, 3, size, False), d = element(target, 2, size, False)
    cdef uint64_t e = element(source, 1, size, False), f = element(source, 0, size, False)
    cdef uint64_t g = element(target, 1, size, False), h = element(target, 0, size, False)
    cdef uint64_t word, other
    cdef int i
    for i in range(2):
        word = h + (e & f ^ ~e & g) + (second if i else first) + (sha512sum1(e) if size == 3 else sha256sum1(e))
        other = (a & b ^ a & c ^ b & c) + (sha512sum0(a) if size == 3 else sha256sum0(a))
        h, g, f, e = g, f, e, d + word
        d, c, b, a = c, b, a, word + other
    set_element(target, 3, size, a)
    set_element(target, 2, size, b)
    set_element(target, 1, size, e)
    set_element(target, 0, size, f)


cdef void sha2ch(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    compress(d, a, size, element(b, 2, size, False), element(b, 3, size, False))


cdef void sha2cl(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    compress(d, a, size, element(b, 0, size, False), element(b, 1, size, False))


# --- SM3: words of the other byte order ------------------------------------------------------------------------------

cdef inline uint32_t swapped(uint32_t a) noexcept nogil:
    return <uint32_t>(reversed_bytes(a) >> 32)


cdef void sm3me(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    cdef uint32_t words[24]
    cdef int i
    for i in range(8):
        words[i] = swapped((<const uint32_t*>b)[i])
        words[8 + i] = swapped((<const uint32_t*>a)[i])
    for i in range(8):
        words[16 + i] = (
            <uint32_t>sm3p1(words[i] ^ words[7 + i] ^ rotate_left32(words[13 + i], 15))
            ^ rotate_left32(words[3 + i], 7) ^ words[10 + i]
        )
        (<uint32_t*>d)[i] = swapped(words[16 + i])


cdef void sm3c(uint8_t* target, const uint8_t* source, const uint8_t* unused, int size, int round) noexcept nogil:
    """Rounds 2 * round and the one after it, whose words are elements 0 and 1; 4 and 5 are those four further on."""
    cdef uint32_t state[8]
    cdef uint32_t word, other, rotated, a, b, c, e, f, g
    cdef int i, j
    for i in range(8):
        state[i] = swapped((<uint32_t*>target)[i])
    for j in range(2 * round, 2 * round + 2):
        a, b, c, e, f, g = state[0], state[1], state[2], state[4], state[5], state[6]
        word = swapped((<const uint32_t*>source)[j & 1])
        other = word ^ swapped((<const uint32_t*>source)[4 + (j & 1)])
        rotated = rotate_left32(a, 12) + e + rotate_left32(0x79CC4519U if j < 16 else 0x7A879D8AU, j)
        rotated = rotate_left32(rotated, 7)
        other += (a ^ b ^ c if j < 16 else a & b | a & c | b & c) + state[3] + (rotated ^ rotate_left32(a, 12))
        word += (e ^ f ^ g if j < 16 else e & f | ~e & g) + state[7] + rotated
        state[0], state[1], state[2], state[3] = other, a, rotate_left32(b, 9), c
        state[4], state[5], state[6], state[7] = <uint32_t>sm3p0(word), e, rotate_left32(f, 19), g
    for i in range(8):
        (<uint32_t*>target)[i] = swapped(state[i])


# --- SM4: words of the other byte order, too -------------------------------------------------------------------------

ctypedef uint64_t (*Substitution)(uint64_t a, uint64_t b, uint64_t byte) noexcept nogil


cdef inline void four_rounds(uint8_t* d, uint32_t* words, const uint32_t* keys, Substitution substitute) noexcept nogil:
    """From the words 0 to 3 make 4 to 7, and store these."""
    cdef uint64_t mixed
    cdef int i, j
    for i in range(4):
        mixed = words[i + 1] ^ words[i + 2] ^ words[i + 3] ^ keys[i]
        words[i + 4] = words[i]
        for j in range(4):
            words[i + 4] = <uint32_t>substitute(words[i + 4], mixed, j)
        (<uint32_t*>d)[i] = swapped(words[i + 4])


cdef void sm4r(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    cdef uint32_t words[8]
    cdef uint32_t keys[4]
    cdef int i
    for i in range(4):
        words[i] = swapped((<uint32_t*>d)[i])
        keys[i] = swapped((<const uint32_t*>a)[i])
    four_rounds(d, words, keys, sm4ed)


cdef void sm4k(uint8_t* d, const uint8_t* a, const uint8_t* b, int size, int round) noexcept nogil:
    """Byte j of constant i of the key schedule is 7 * (4 * i + j)."""
    cdef uint32_t words[8]
    cdef uint32_t constants[4]
    cdef int i, j
    for i in range(4):
        words[i] = swapped((<const uint32_t*>a)[i])
        constants[i] = 0
        for j in range(4):
            constants[i] |= <uint32_t>(7 * (16 * (round & 7) + 4 * i + j) & 255) << 8 * j
    four_rounds(d, words, constants, sm4ks)


# --- The table, in the order of group_names.py -----------------------------------------------------------------------

cdef GroupOperation[32] operations


cdef GroupOperation group_operation(int number) noexcept nogil:
    return operations[number]


cdef void enter(str name, GroupOperation operation) except *:
    operations[<int>GROUP_OPERATIONS.index(name)] = on_host(name, operation)


enter("aesem", aesem)
enter("aesef", aesef)
enter("aesdm", aesdm)
enter("aesdf", aesdf)
enter("aesz", aesz)
enter("aeskf1", aeskf1)
enter("aeskf2", aeskf2)
enter("gmul", gmul)
enter("ghsh", ghsh)
enter("sha2ms", sha2ms)
enter("sha2ch", sha2ch)
enter("sha2cl", sha2cl)
enter("sm3me", sm3me)
enter("sm3c", sm3c)
enter("sm4r", sm4r)
enter("sm4k", sm4k)
