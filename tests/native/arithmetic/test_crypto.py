"""The published test vectors of AES, SHA-2, SM3 and SM4, computed with the scalar cryptography instructions.

Each round is written as the specification intends its instructions to be used; every instruction is executed by a
machine. Vectors: FIPS 197 appendix C, FIPS 180-4 with the examples "abc", GB/T 32905 and GB/T 32907 appendix A.
"""

import hashlib
import struct

import pytest

from tests.native.riscv.single import SingleSteps

LOW = 0xFFFF_FFFF


@pytest.fixture(scope="module")
def do():
    return SingleSteps(isa="rv64gcb_zkn_zks")


# --- AES --------------------------------------------------------------------------------------------------------------

def halves(block: bytes) -> tuple[int, int]:
    return struct.unpack("<QQ", block)


def key_schedule(do: SingleSteps, key: bytes) -> list[tuple[int, int]]:
    """Round keys as register pairs, for keys of 16 and of 32 bytes."""
    parts = list(struct.unpack(f"<{len(key) // 8}Q", key))
    step, rounds = len(parts), 10 if len(parts) == 2 else 14
    round_number = 0
    while len(parts) < 2 * (rounds + 1):
        temporary = do("aes64ks1i", parts[-1], immediate=round_number)
        round_number += 1
        parts.append(do("aes64ks2", temporary, parts[-step]))
        parts.append(do("aes64ks2", parts[-1], parts[-step]))
        if step == 4:
            temporary = do("aes64ks1i", parts[-1], immediate=10)
            parts.append(do("aes64ks2", temporary, parts[-step]))
            parts.append(do("aes64ks2", parts[-1], parts[-step]))
    return [(parts[i], parts[i + 1]) for i in range(0, 2 * (rounds + 1), 2)]


def cipher(do: SingleSteps, keys: list[tuple[int, int]], block: bytes, middle: str, last: str) -> bytes:
    low, high = (half ^ part for half, part in zip(halves(block), keys[0], strict=True))
    for key in keys[1:]:
        name = last if key is keys[-1] else middle
        low, high = do(name, low, high) ^ key[0], do(name, high, low) ^ key[1]
    return struct.pack("<QQ", low, high)


AES = {
    "128": ("000102030405060708090a0b0c0d0e0f", "69c4e0d86a7b0430d8cdb78070b4c55a"),
    "256": ("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "8ea2b7ca516745bfeafc49904b496089"),
}
PLAIN = bytes.fromhex("00112233445566778899aabbccddeeff")


@pytest.mark.parametrize("key, encrypted", AES.values(), ids=AES)
def test_aes_encryption(do, key, encrypted):
    keys = key_schedule(do, bytes.fromhex(key))
    assert cipher(do, keys, PLAIN, "aes64esm", "aes64es").hex() == encrypted


@pytest.mark.parametrize("key, encrypted", AES.values(), ids=AES)
def test_aes_decryption(do, key, encrypted):
    """The equivalent inverse cipher: the keys between the first and the last have their columns mixed back."""
    first, *between, last = key_schedule(do, bytes.fromhex(key))
    keys = [last, *[(do("aes64im", low), do("aes64im", high)) for low, high in reversed(between)], first]
    assert cipher(do, keys, bytes.fromhex(encrypted), "aes64dsm", "aes64ds") == PLAIN


# --- SHA-2 ------------------------------------------------------------------------------------------------------------

def primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def root_fraction(number: int, degree: int, bits: int) -> int:
    """The first bits of the fraction of a root: the constants of FIPS 180-4, sections 4.2 and 5.3."""
    scaled = number << degree * bits
    root = 0
    for bit in reversed(range(bits + 8)):
        if (root | 1 << bit) ** degree <= scaled:
            root |= 1 << bit
    return root % (1 << bits)


def sha2(do: SingleSteps, message: bytes, bits: int) -> bytes:
    """SHA-256 or SHA-512 of one block; `bits` of a word are 32 or 64."""
    rounds, letter, prefix = (64, "I", "sha256") if bits == 32 else (80, "Q", "sha512")
    mask, size = (1 << bits) - 1, bits // 4
    length = (8 * len(message)).to_bytes(size, "big")
    block = (message + b"\x80").ljust(2 * bits - size, b"\0") + length
    words = list(struct.unpack(f">16{letter}", block))
    constants = [root_fraction(prime, 3, bits) for prime in primes(rounds)]
    start = [root_fraction(prime, 2, bits) for prime in primes(8)]

    def function(name: str, value: int) -> int:
        return do(prefix + name, value) & mask

    for t in range(16, rounds):
        words.append((function("sig1", words[t - 2]) + words[t - 7] + function("sig0", words[t - 15]) + words[t - 16])
                     & mask)
    a, b, c, d, e, f, g, h = start
    for word, constant in zip(words, constants, strict=True):
        t1 = h + function("sum1", e) + (e & f ^ ~e & g) + constant + word
        t2 = function("sum0", a) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (t1 + t2) & mask, a, b, c, (d + t1) & mask, e, f, g
    sums = [(old + new) & mask for old, new in zip(start, (a, b, c, d, e, f, g, h), strict=True)]
    return struct.pack(f">8{letter}", *sums)


@pytest.mark.parametrize("message", [b"abc", b"", bytes(range(55))])
def test_sha256(do, message):
    assert sha2(do, message, 32) == hashlib.sha256(message).digest()


@pytest.mark.parametrize("message", [b"abc", b"", bytes(range(111))])
def test_sha512(do, message):
    assert sha2(do, message, 64) == hashlib.sha512(message).digest()


# --- SM3 and SM4 ------------------------------------------------------------------------------------------------------

def rotated(word: int, count: int) -> int:
    count %= 32
    return (word << count | word >> 32 - count) & LOW


def sm3(do: SingleSteps, message: bytes) -> bytes:
    """Of one block."""
    block = (message + b"\x80").ljust(56, b"\0") + (8 * len(message)).to_bytes(8, "big")
    words = list(struct.unpack(">16I", block))
    for j in range(16, 68):
        mixed = words[j - 16] ^ words[j - 9] ^ rotated(words[j - 3], 15)
        words.append((do("sm3p1", mixed) ^ rotated(words[j - 13], 7) ^ words[j - 6]) & LOW)
    start = (0x7380166F, 0x4914B2B9, 0x172442D7, 0xDA8A0600, 0xA96F30BC, 0x163138AA, 0xE38DEE4D, 0xB0FB0E4E)
    a, b, c, d, e, f, g, h = start
    for j in range(64):
        constant = 0x79CC4519 if j < 16 else 0x7A879D8A
        ss1 = rotated((rotated(a, 12) + e + rotated(constant, j)) & LOW, 7)
        ff = a ^ b ^ c if j < 16 else a & b | a & c | b & c
        gg = e ^ f ^ g if j < 16 else e & f | ~e & g
        tt1 = (ff + d + (ss1 ^ rotated(a, 12)) + (words[j] ^ words[j + 4])) & LOW
        tt2 = (gg + h + ss1 + words[j]) & LOW
        a, b, c, d, e, f, g, h = tt1, a, rotated(b, 9), c, do("sm3p0", tt2) & LOW, e, rotated(f, 19), g
    return struct.pack(">8I", *(old ^ new for old, new in zip(start, (a, b, c, d, e, f, g, h), strict=True)))


def test_sm3(do):
    """GB/T 32905, example 1."""
    assert sm3(do, b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


def four_bytes(do: SingleSteps, name: str, word: int, argument: int) -> int:
    for byte in range(4):
        word = do(name, word, argument, byte)
    return word & LOW


def sm4(do: SingleSteps, key: bytes, block: bytes, backwards: bool = False) -> bytes:
    """Words are loaded as they lie in memory: the instructions work on little-endian ones."""
    family = struct.unpack("<4I", bytes.fromhex("a3b1bac656aa3350677d9197b27022dc"))
    keys = [a ^ b for a, b in zip(struct.unpack("<4I", key), family, strict=True)]
    for i in range(32):
        constant = int.from_bytes(bytes((4 * i + j) * 7 % 256 for j in range(4)), "little")
        keys.append(four_bytes(do, "sm4ks", keys[i], keys[i + 1] ^ keys[i + 2] ^ keys[i + 3] ^ constant))
    words = list(struct.unpack("<4I", block))
    for i, key_word in enumerate(reversed(keys[4:]) if backwards else keys[4:]):
        words.append(four_bytes(do, "sm4ed", words[i], words[i + 1] ^ words[i + 2] ^ words[i + 3] ^ key_word))
    return struct.pack("<4I", *reversed(words[-4:]))


SM4_KEY = bytes.fromhex("0123456789abcdeffedcba9876543210")
SM4_ENCRYPTED = "681edf34d206965e86b3e94f536e4246"


def test_sm4_encryption(do):
    """GB/T 32907, example 1: key and text are the same."""
    assert sm4(do, SM4_KEY, SM4_KEY).hex() == SM4_ENCRYPTED


def test_sm4_decryption(do):
    assert sm4(do, SM4_KEY, bytes.fromhex(SM4_ENCRYPTED), backwards=True) == SM4_KEY
