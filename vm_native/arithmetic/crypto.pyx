"""The cryptography instructions that go by tables. The tables are computed at import from the standards' definitions.

A lookup takes a time that depends on its index, in the host. Guests count steps, so they see none of it.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from vm_native.arithmetic.integer cimport population64, reversed_bytes, rotate_left32, rotate_right32, sext32

cdef enum:
    AES_FIELD = 0x11B           # polynomials by which bytes are reduced
    SM4_FIELD = 0x1F5
    AES_GENERATOR = 3           # whose powers are all bytes but 0
    SM4_GENERATOR = 2

cdef uint8_t aes_box[256]
cdef uint8_t aes_inverse_box[256]
cdef uint32_t mixed[256]        # what a byte in the first row of a column contributes to the mixed column
cdef uint32_t inverse_mixed[256]
cdef uint32_t sm4_round[256]    # what a byte, substituted, contributes to the word: encryption, key schedule
cdef uint32_t sm4_key[256]
cdef uint8_t round_constant[11]


cdef inline uint32_t byte_of(uint64_t low, uint64_t high, int index) noexcept nogil:
    """Of the 16 bytes of a state."""
    return (low >> index * 8 if index < 8 else high >> (index - 8) * 8) & 255


cdef inline uint64_t shifted(const uint8_t* box, uint64_t low, uint64_t high, int step) noexcept nogil:
    """Two columns after the substitution and the shift of rows: row by row, each byte is `step` further on."""
    cdef uint64_t result = 0
    cdef int i
    for i in range(8):
        result |= <uint64_t>box[byte_of(low, high, (i + (i & 3) * step) & 15)] << i * 8
    return result


cdef inline uint32_t mixed_column(const uint32_t* table, uint32_t column) noexcept nogil:
    return (table[column & 255] ^ rotate_left32(table[column >> 8 & 255], 8)
            ^ rotate_left32(table[column >> 16 & 255], 16) ^ rotate_left32(table[column >> 24], 24))


cdef inline uint64_t mixed_columns(const uint32_t* table, uint64_t columns) noexcept nogil:
    return mixed_column(table, <uint32_t>columns) | <uint64_t>mixed_column(table, <uint32_t>(columns >> 32)) << 32


cdef uint64_t aes64es(uint64_t low, uint64_t high) noexcept nogil:
    return shifted(aes_box, low, high, 4)


cdef uint64_t aes64esm(uint64_t low, uint64_t high) noexcept nogil:
    return mixed_columns(mixed, shifted(aes_box, low, high, 4))


cdef uint64_t aes64ds(uint64_t low, uint64_t high) noexcept nogil:
    return shifted(aes_inverse_box, low, high, -4)


cdef uint64_t aes64dsm(uint64_t low, uint64_t high) noexcept nogil:
    return mixed_columns(inverse_mixed, shifted(aes_inverse_box, low, high, -4))


cdef uint64_t aes64im(uint64_t columns) noexcept nogil:
    return mixed_columns(inverse_mixed, columns)


cdef uint64_t aes64ks1i(uint64_t key, uint64_t round_number) noexcept nogil:
    """The last word of a key, substituted, in both halves. Round 10 means: without rotation, for 256-bit keys."""
    cdef uint32_t word = <uint32_t>(key >> 32)
    cdef uint32_t result = 0
    cdef int i
    if round_number < 10:
        word = rotate_right32(word, 8)
    for i in range(4):
        result |= <uint32_t>aes_box[word >> i * 8 & 255] << i * 8
    result ^= round_constant[round_number]
    return <uint64_t>result << 32 | result


cdef uint64_t sm4ed(uint64_t a, uint64_t b, uint64_t byte) noexcept nogil:
    return sext32(a ^ rotate_left32(sm4_round[b >> byte * 8 & 255], byte * 8))


cdef uint64_t sm4ks(uint64_t a, uint64_t b, uint64_t byte) noexcept nogil:
    return sext32(a ^ rotate_left32(sm4_key[b >> byte * 8 & 255], byte * 8))


# --- The tables

cdef uint32_t multiplied(uint32_t a, uint32_t b, uint32_t field) noexcept nogil:
    """In GF(2^8)."""
    cdef uint32_t product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= field
        b >>= 1
    return product


cdef void find_inverses(uint8_t* inverses, uint32_t field, uint32_t generator) noexcept nogil:
    """Of all bytes in GF(2^8); 0 counts as its own."""
    cdef uint8_t powers[256]
    cdef int i
    powers[0] = 1
    for i in range(1, 256):
        powers[i] = <uint8_t>multiplied(powers[i - 1], generator, field)
    inverses[0] = 0
    for i in range(256):
        inverses[powers[i]] = powers[255 - i]


cdef uint32_t circulant(uint32_t byte, uint32_t row, uint32_t constant) noexcept nogil:
    """The affine map of a byte: bit i of the result is the parity of the byte under `row` rotated left by i."""
    cdef int i
    for i in range(8):
        constant ^= (population64(byte & (row << i | row >> (8 - i))) & 1) << i
    return constant


cdef uint32_t contribution(uint32_t byte, uint32_t a, uint32_t b, uint32_t c, uint32_t d) noexcept nogil:
    """Of a byte in the first row of a column to its product with a matrix of AES whose first column is a, b, c, d."""
    return (multiplied(byte, a, AES_FIELD) | multiplied(byte, b, AES_FIELD) << 8
            | multiplied(byte, c, AES_FIELD) << 16 | multiplied(byte, d, AES_FIELD) << 24)


cdef void fill_tables() noexcept nogil:
    cdef uint8_t inverses[256]
    cdef uint32_t word
    cdef int i
    find_inverses(inverses, AES_FIELD, AES_GENERATOR)
    for i in range(256):        # FIPS 197, sections 5.1 and 5.3
        aes_box[i] = <uint8_t>circulant(inverses[i], 0xF1, 0x63)
        aes_inverse_box[aes_box[i]] = <uint8_t>i
        mixed[i] = contribution(i, 2, 1, 1, 3)
        inverse_mixed[i] = contribution(i, 14, 9, 13, 11)
    round_constant[0] = 1
    for i in range(1, 10):
        round_constant[i] = <uint8_t>multiplied(round_constant[i - 1], 2, AES_FIELD)
    round_constant[10] = 0      # of the step without rotation
    find_inverses(inverses, SM4_FIELD, SM4_GENERATOR)
    for i in range(256):        # GB/T 32907, sections 6.2 and 7.3; the box in the algebraic form that is known for it
        word = circulant(inverses[circulant(i, 0xA7, 0xD3)], 0xA7, 0xD3) << 24
        # The standard is big-endian, the instructions take words as a little-endian load gives them.
        sm4_round[i] = reversed_word(word ^ rotate_left32(word, 2) ^ rotate_left32(word, 10)
                                     ^ rotate_left32(word, 18) ^ rotate_left32(word, 24))
        sm4_key[i] = reversed_word(word ^ rotate_left32(word, 13) ^ rotate_left32(word, 23))


cdef inline uint32_t reversed_word(uint32_t word) noexcept nogil:
    return <uint32_t>(reversed_bytes(word) >> 32)


fill_tables()
