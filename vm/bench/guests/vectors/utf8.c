/* Whether text is UTF-8 (RFC 3629). With vectors, by three tables of half-bytes (Keiser and Lemire 2021). */

#include "vectors.h"

#define SIZE (1 << 16)
#define ROUNDS 200
#define AHEAD 8                 /* bytes before the text, which are zero */
#define EXPECTED 0x28e37bf3a6b0fd2e

static uint8_t room[AHEAD + SIZE + 8];

#ifdef __riscv_vector
/* Ways of being wrong, a bit each, that two bytes in a row show: by the upper and the lower half of the first one and by
 * the upper half of the second. Bit 7: two continuations in a row, which is right behind a long lead. */
enum {
    TOO_SHORT = 1, TOO_LONG = 2, OVERLONG_3 = 4, TOO_LARGE = 8, SURROGATE = 16, OVERLONG_2 = 32, TOO_LARGE_1000 = 64,
    OVERLONG_4 = 64, TWO_CONTINUATIONS = 128, CARRY = TOO_SHORT | TOO_LONG | TWO_CONTINUATIONS,
};
static const uint8_t first_high[16] = {
    TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
    TWO_CONTINUATIONS, TWO_CONTINUATIONS, TWO_CONTINUATIONS, TWO_CONTINUATIONS,
    TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,
    TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4,
};
static const uint8_t first_low[16] = {
    CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4, CARRY | OVERLONG_2, CARRY, CARRY, CARRY | TOO_LARGE,
    CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000, CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000 | SURROGATE, CARRY | TOO_LARGE | TOO_LARGE_1000,
    CARRY | TOO_LARGE | TOO_LARGE_1000,
};
static const uint8_t second_high[16] = {
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
    TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4,
    TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS | OVERLONG_3 | TOO_LARGE,
    TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS | SURROGATE | TOO_LARGE,
    TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS | SURROGATE | TOO_LARGE,
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
};

static NOINLINE bool is_utf8(const uint8_t *text, size_t size) {
    size_t entries = __riscv_vsetvl_e8m1(16);
    vuint8m1_t table0 = __riscv_vle8_v_u8m1(first_high, entries), table1 = __riscv_vle8_v_u8m1(first_low, entries);
    vuint8m1_t table2 = __riscv_vle8_v_u8m1(second_high, entries);
    for (size_t i = 0, vl; i < size + 3; i += vl) {         /* three zeros behind the text end every sequence */
        const uint8_t *at = text + i;
        vl = __riscv_vsetvl_e8m1(size + 3 - i);
        vuint8m1_t byte = __riscv_vle8_v_u8m1(at, vl), before1 = __riscv_vle8_v_u8m1(at - 1, vl);
        vuint8m1_t before2 = __riscv_vle8_v_u8m1(at - 2, vl), before3 = __riscv_vle8_v_u8m1(at - 3, vl);
        vuint8m1_t some = __riscv_vor_vv_u8m1(__riscv_vor_vv_u8m1(byte, before1, vl),
                                              __riscv_vor_vv_u8m1(before2, before3, vl), vl);
        if (__riscv_vfirst_m_b8(__riscv_vmsgtu_vx_u8m1_b8(some, 127, vl), vl) < 0)
            continue;                                       /* all of it is ASCII */
        vuint8m1_t wrong = __riscv_vrgather_vv_u8m1(table0, __riscv_vsrl_vx_u8m1(before1, 4, vl), vl);
        wrong = __riscv_vand_vv_u8m1(
            wrong, __riscv_vrgather_vv_u8m1(table1, __riscv_vand_vx_u8m1(before1, 15, vl), vl), vl);
        wrong = __riscv_vand_vv_u8m1(
            wrong, __riscv_vrgather_vv_u8m1(table2, __riscv_vsrl_vx_u8m1(byte, 4, vl), vl), vl);
        vuint8m1_t third = __riscv_vssubu_vx_u8m1(before2, 0xe0 - 0x80, vl);
        vuint8m1_t fourth = __riscv_vssubu_vx_u8m1(before3, 0xf0 - 0x80, vl);
        vuint8m1_t asked = __riscv_vand_vx_u8m1(__riscv_vor_vv_u8m1(third, fourth, vl), 0x80, vl);
        wrong = __riscv_vxor_vv_u8m1(wrong, asked, vl);
        if (__riscv_vfirst_m_b8(__riscv_vmsne_vx_u8m1_b8(wrong, 0, vl), vl) >= 0)
            return false;
    }
    return true;
}
#else
static NOINLINE bool is_utf8(const uint8_t *text, size_t size) {
    for (size_t i = 0; i < size;) {
        uint8_t first = text[i];
        if (i + 8 <= size) {
            uint64_t word;
            __builtin_memcpy(&word, text + i, 8);
            if (!(word & 0x8080808080808080)) {
                i += 8;
                continue;
            }
        }
        if (first < 0x80) {
            i++;
            continue;
        }
        size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4 || i + more >= size)
            return false;
        uint8_t second = text[i + 1];
        uint8_t least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        uint8_t most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (second < least || second > most)
            return false;
        for (size_t j = 2; j <= more; j++)
            if ((text[i + j] & 0xc0) != 0x80)
                return false;
        i += more + 1;
    }
    return true;
}
#endif

/* Words of one script: a letter takes as many bytes as its script's do. */
static size_t write_letter(uint8_t *to, uint64_t chance, unsigned bytes) {
    uint32_t letter = bytes == 1 ? 'a' + chance % 26 : bytes == 2 ? 0x400 + chance % 0x100
                    : bytes == 3 ? 0x4e00 + chance % 0x5000 : 0x1f300 + chance % 0x300;
    if (bytes == 1)
        to[0] = (uint8_t)letter;
    for (unsigned i = bytes; bytes > 1 && i-- > 1; letter >>= 6)
        to[i] = 0x80 | (letter & 0x3f);
    if (bytes > 1)
        to[0] = (uint8_t)(0xf00 >> bytes | letter);
    return bytes;
}

int main(void) {
    uint8_t *text = room + AHEAD;
    uint64_t result = 0;
    size_t size = 0;
    for (uint64_t word = 0; size < SIZE - 48; word++) {
        uint64_t chance = random_at(word);
        unsigned bytes = word % 64 < 32 ? 1 : 1 + chance % 4;
        for (uint64_t i = 0; i < 3 + chance % 7; i++)
            size += write_letter(text + size, random_at(word << 8 | i), bytes);
        text[size++] = ' ';
    }
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t place = random_at(round) % size;
        uint8_t kept = text[place];
        result = mix(result, is_utf8(text, size));
        text[place] ^= (uint8_t)(1 << round % 8);           /* right or wrong, this is often seen late */
        result = mix(result, is_utf8(text, size));
        text[place] = kept;
    }
    return verdict("utf8", result, EXPECTED);
}
