"""The cryptography instructions that go by tables. The tables are computed at import from the standards' definitions.

A lookup takes a time that depends on its index, in the host. Guests count steps, so they see none of it.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from vm_native.interpreter.semantics cimport rotate_left32, rotate_right32, sext32

AES_FIELD = 0x11B               # polynomials by which bytes are reduced
SM4_FIELD = 0x1F5
AES_GENERATOR = 3               # whose powers are all bytes but 0
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

def multiplied(a, b, field):
    """In GF(2^8)."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= field
        b >>= 1
    return product


def inverses(field, generator):
    """Of all bytes in GF(2^8); 0 counts as its own."""
    logarithms, powers, value = {}, [], 1
    for exponent in range(255):
        logarithms[value] = exponent
        powers.append(value)
        value = multiplied(value, generator, field)
    return [0] + [powers[-logarithms[a] % 255] for a in range(1, 256)]


def circulant(byte, row, constant):
    """The affine map of a byte: bit i of the result is the parity of the byte under `row` rotated left by i."""
    result = constant
    for i in range(8):
        result ^= ((byte & (row << i | row >> 8 - i)).bit_count() & 1) << i
    return result


def spread(byte, rotations):
    """A linear map of SM4 applied to a word whose first byte is this one, the others 0. SM4 is big-endian."""
    word = byte << 24
    result = word
    for count in rotations:
        result ^= (word << count | word >> 32 - count) & 0xFFFFFFFF
    return int.from_bytes(result.to_bytes(4, "big"), "little")


def fill_tables():
    aes = inverses(AES_FIELD, AES_GENERATOR)
    sm4 = inverses(SM4_FIELD, SM4_GENERATOR)
    constant = 1
    for a in range(256):
        # FIPS 197, sections 5.1.1 and 5.1.3
        aes_box[a] = circulant(aes[a], 0xF1, 0x63)
        aes_inverse_box[aes_box[a]] = a
        mixed[a] = int.from_bytes(bytes(multiplied(a, factor, AES_FIELD) for factor in (2, 1, 1, 3)), "little")
        inverse_mixed[a] = int.from_bytes(bytes(multiplied(a, factor, AES_FIELD) for factor in (14, 9, 13, 11)), "little")
    for a in range(256):
        # GB/T 32907, section 6.2; the box by the algebraic form that is known for its table
        substituted = circulant(sm4[circulant(a, 0xA7, 0xD3)], 0xA7, 0xD3)
        sm4_round[a] = spread(substituted, (2, 10, 18, 24))
        sm4_key[a] = spread(substituted, (13, 23))
    for i in range(10):
        round_constant[i] = constant
        constant = multiplied(constant, 2, AES_FIELD)
    round_constant[10] = 0


fill_tables()
