"""kallsyms tables as scripts/kallsyms.c of each Linux lays them out, among other things in memory."""

import random
import struct

import pytest

from vm.linux.kallsyms import read_kallsyms
from vm.linux.names import Listed

BASE = 0xFFFF_FFFF_8000_0000
PAIRS = (b"sys_", b"_init", b"virtio", b"Tdo")
SYMBOLS = [Listed(BASE + 24 * number + number % 7, b"TtDdbR"[number % 6:number % 6 + 1],
                  b"%s_function_%d" % (PAIRS[number % 3], number) + b"_very_long_name" * (20 * (number % 50 == 0)))
           for number in range(3000)]


def padded(data):
    return data + bytes(-len(data) % 8)


def tables():
    """By name, each a multiple of 8 bytes; tokens for all letters, and for PAIRS where a letter would be unused."""
    tokens = [bytes([value]) if 0x21 <= value < 0x7F else b"" for value in range(256)]
    for place, pair in enumerate(PAIRS):
        tokens[0x80 + place] = pair
    names, markers = b"", []
    for number, symbol in enumerate(SYMBOLS):
        if number % 256 == 0:
            markers.append(len(names))
        text = symbol.letter + symbol.name
        for place, pair in enumerate(PAIRS):
            text = text.replace(pair, bytes([0x80 + place]))
        length = len(text)
        names += (bytes([length]) if length < 0x80 else bytes([length & 0x7F | 0x80, length >> 7])) + text
    places = [sum(len(token) + 1 for token in tokens[:number]) for number in range(256)]
    return {
        "number": padded(struct.pack("<I", len(SYMBOLS))),
        "names": padded(names),
        "markers": padded(struct.pack(f"<{len(markers)}I", *markers)),
        "tokens": padded(b"".join(token + b"\0" for token in tokens)),
        "index": padded(struct.pack("<256H", *places)),
        "offsets": padded(struct.pack(f"<{len(SYMBOLS)}I", *(symbol.address - BASE for symbol in SYMBOLS))),
        "base": struct.pack("<Q", BASE),
        "sequence": padded(random.Random(1).randbytes(3 * len(SYMBOLS))),
    }


LAYOUTS = {
    "5.15 to 6.1": ("offsets", "base", "number", "names", "markers", "tokens", "index"),
    "6.2 and 6.3": ("offsets", "base", "number", "names", "markers", "sequence", "tokens", "index"),
    "since 6.4": ("number", "names", "markers", "tokens", "index", "offsets", "base", "sequence"),
}


def image(layout, tables):
    """With what looks like the start of a token table before it, and noise around."""
    noise = random.Random(0).randbytes
    digits = b"".join(b"%d\0" % digit for digit in range(10))
    return padded(noise(5000) + digits + noise(9000)) + b"".join(tables[name] for name in LAYOUTS[layout]) + noise(3000)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tables_are_found_in_each_layout(layout):
    assert read_kallsyms(image(layout, tables())) == SYMBOLS


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name, place", [("tokens", 300), ("index", 100), ("names", 0), ("markers", 8), ("base", 7),
                                         ("number", 1)])
def test_damaged_tables_are_none(layout, name, place):
    damaged = tables()
    data = bytearray(damaged[name])
    data[place] ^= 0x84
    damaged[name] = bytes(data)
    assert read_kallsyms(image(layout, damaged)) == []


@pytest.mark.parametrize("data", [b"", bytes(100_000), random.Random(2).randbytes(100_000)], ids=["0", "zero", "noise"])
def test_memory_without_a_kernel_has_none(data):
    assert read_kallsyms(data) == []
