/* Checksums of pseudo-random bytes: CRC-32 (IEEE 802.3, reflected) by table and bit by bit, and FNV-1a in 64 bits. */

#include "bench.h"

#define SIZE (1 << 20)
#define TABLE_ROUNDS 150
#define BITWISE_ROUNDS 20
#define FNV_ROUNDS 4
#define POLYNOMIAL 0xedb88320u
#define EXPECTED 0xeb667599706cc5c4

static uint64_t data[SIZE / 8];
static uint32_t table[256];

static uint32_t shift_byte(uint32_t crc) {
    for (int bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
    return crc;
}

static uint32_t crc_by_table(uint32_t crc, const uint8_t *bytes, uint64_t size) {
    crc = ~crc;
    for (uint64_t i = 0; i < size; i++)
        crc = crc >> 8 ^ table[(uint8_t)(crc ^ bytes[i])];
    return ~crc;
}

static uint32_t crc_bit_by_bit(uint32_t crc, const uint8_t *bytes, uint64_t size) {
    crc = ~crc;
    for (uint64_t i = 0; i < size; i++)
        crc = shift_byte(crc ^ bytes[i]);
    return ~crc;
}

static uint64_t fnv1a(uint64_t hash, const uint8_t *bytes, uint64_t size) {
    for (uint64_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3UL;
    return hash;
}

int main(void) {
    const uint8_t *bytes = (const uint8_t *)data;
    for (uint64_t i = 0; i < SIZE / 8; i++)
        data[i] = random_at(i);
    for (uint32_t i = 0; i < 256; i++)
        table[i] = shift_byte(i);

    uint32_t by_table = 0, bit_by_bit = 0;
    uint64_t hash = 0xcbf29ce484222325UL;
    for (int round = 0; round < TABLE_ROUNDS; round++)
        by_table = crc_by_table(by_table, bytes, SIZE);
    for (int round = 0; round < BITWISE_ROUNDS; round++)
        bit_by_bit = crc_bit_by_bit(bit_by_bit, bytes, SIZE);
    for (int round = 0; round < FNV_ROUNDS; round++)
        hash = fnv1a(hash, bytes, SIZE);
    return verdict("crc", ((uint64_t)by_table << 32 | bit_by_bit) ^ hash, EXPECTED);
}
