"""The symbols that a program in memory has for dynamic linking, as far as its pages are there.

System V gABI, chapter 5 ("Dynamic Section", "Hash Table"), and the GNU hash table, whose last chain ends the symbols.
"""

from __future__ import annotations

import struct

from vm.errors import BusError, PageFault
from vm.linux.paging import PageTables
from vm.loaders.elf import HEADER, MAGIC, PROGRAM_HEADER, PT_LOAD, ProgramHeader
from vm.loaders.symbols import ENTRY, Symbols
from vm.sizes import PAGE_SIZE

PT_DYNAMIC = 2
DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_GNU_HASH = 4, 5, 6, 10, 0x6FFF_FEF5
TAG = struct.Struct("<QQ")
GNU_HASH = struct.Struct("<IIII")           # buckets, first symbol, words of the filter, its shift
MOST_SEGMENTS, MOST_TAGS = 64, 512
MOST_SYMBOLS, MOST_TEXT = 1 << 20, 64 << 20


def lookup_resident(tables: PageTables, base: int, address: int) -> str | None:
    """The symbol at an address of a file whose start is mapped at `base`; None where none is in memory."""
    try:
        symbols, bias = resident_symbols(tables, base)
    except (PageFault, BusError):
        return None
    return symbols.lookup(address - bias)


def resident_symbols(tables: PageTables, base: int) -> tuple[Symbols, int]:
    """With addresses as the file was linked, and by how much it was moved. Raises PageFault and BusError."""
    segments = program_headers(tables, base)
    first = next((one for one in segments if one.type == PT_LOAD), None)
    dynamic = next((one for one in segments if one.type == PT_DYNAMIC), None)
    if first is None or dynamic is None:
        return Symbols(), 0
    bias = base - (first.vaddr - first.offset)
    data = tables.read(bias + dynamic.vaddr, min(dynamic.memsz // TAG.size, MOST_TAGS) * TAG.size)
    tags = dict(TAG.iter_unpack(data))
    if DT_SYMTAB not in tags or DT_STRTAB not in tags:
        return Symbols(), bias

    def place(tag: int) -> int:
        """A dynamic linker may have moved what the tag says."""
        value: int = tags[tag]
        return value if value >= base else value + bias

    count = (tables.integer(place(DT_HASH) + 4, 4) if DT_HASH in tags else
             symbols_of_gnu_hash(tables, place(DT_GNU_HASH)) if DT_GNU_HASH in tags else 0)
    entries = with_holes(tables, place(DT_SYMTAB), min(count, MOST_SYMBOLS) * ENTRY.size)
    return Symbols(entries, with_holes(tables, place(DT_STRTAB), min(tags.get(DT_STRSZ, 0), MOST_TEXT))), bias


def program_headers(tables: PageTables, base: int) -> list[ProgramHeader]:
    header = tables.read(base, HEADER.size)
    if not header.startswith(MAGIC):
        return []
    fields = HEADER.unpack(header)
    start, size, count = fields[5], fields[9], fields[10]
    if size != PROGRAM_HEADER.size or count > MOST_SEGMENTS:
        return []
    return [ProgramHeader(*row) for row in PROGRAM_HEADER.iter_unpack(tables.read(base + start, size * count))]


def symbols_of_gnu_hash(tables: PageTables, table: int) -> int:
    """How many symbols there are: one more than the last of the chain that begins last."""
    buckets: int
    first: int
    buckets, first, words, _ = GNU_HASH.unpack(tables.read(table, GNU_HASH.size))
    heads = table + GNU_HASH.size + 8 * words
    data = tables.read(heads, 4 * min(buckets, MOST_SYMBOLS))
    last: int = max(struct.unpack(f"<{len(data) // 4}I", data), default=0)
    if last < first:
        return first
    while last < MOST_SYMBOLS and not tables.integer(heads + 4 * buckets + 4 * (last - first), 4) & 1:
        last += 1
    return last + 1


def with_holes(tables: PageTables, address: int, size: int) -> bytes:
    """Zeroes, which are no symbol and no name, for pages that are not in memory."""
    data = bytearray()
    while len(data) < size:
        at = address + len(data)
        part = min(size - len(data), PAGE_SIZE - at % PAGE_SIZE)
        try:
            data += tables.read(at, part)
        except (PageFault, BusError):
            data += bytes(part)
    return bytes(data)
