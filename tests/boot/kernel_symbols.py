"""A kernel's symbols, as the running kernel tells them, in a file that GDB reads."""

from pathlib import Path

from vm.loaders.elf import EM_RISCV, HEADER, SECTION_HEADER
from vm.loaders.symbols import ENTRY

EXECUTABLE = 2                                          # e_type
NULL, SYMBOLS, STRINGS, NOTHING = 0, 2, 3, 8            # sh_type; the last is memory that is not in the file
ALLOCATED, CODE, WRITABLE = 2, 4, 1                     # sh_flags
GLOBAL, FUNCTION, OBJECT = 1 << 4, 2, 1                 # st_info
TITLES = b"\0.text\0.data\0.symtab\0.strtab\0"
KINDS = {"T": FUNCTION, "t": FUNCTION, "D": OBJECT, "d": OBJECT, "B": OBJECT, "b": OBJECT}


def read_kallsyms(text: str) -> dict[str, tuple[int, str]]:
    """Address and type of the kernel's own functions and variables, by name; those of modules are left out."""
    found = {}
    for line in text.splitlines():
        address, kind, name, *module = line.split()
        if not module and kind in KINDS:
            found[name] = int(address, 16), kind
    return found


def write_elf(path: Path, symbols: dict[str, tuple[int, str]]) -> None:
    """An ELF without content: sections for code and data where the symbols are, and these (ELF-64 Object File Format).

    A symbol ends where the next one begins, as in kallsyms itself.
    """
    strings, table = bytearray(TITLES), bytearray(ENTRY.size)      # the first symbol is none
    start, code_end, end = symbols["_stext"][0], symbols["_etext"][0], symbols["_end"][0]
    ordered = sorted((address, name, kind) for name, (address, kind) in symbols.items() if start <= address < end)
    addresses = sorted({address for address, _, _ in ordered} | {end})
    following = dict(zip(addresses, addresses[1:], strict=False))
    for address, name, kind in ordered:
        section = 1 if address < code_end else 2
        table += ENTRY.pack(len(strings), GLOBAL | KINDS[kind], 0, section, address, following[address] - address)
        strings += name.encode() + b"\0"
    at = HEADER.size
    sections = (
        (0, NULL, 0, 0, 0, 0, 0, 0, 0, 0),
        (TITLES.index(b".text"), NOTHING, ALLOCATED | CODE, start, at, code_end - start, 0, 0, 4096, 0),
        (TITLES.index(b".data"), NOTHING, ALLOCATED | WRITABLE, code_end, at, end - code_end, 0, 0, 32, 0),
        (TITLES.index(b".symtab"), SYMBOLS, 0, 0, at, len(table), 4, 1, 8, ENTRY.size),
        (TITLES.index(b".strtab"), STRINGS, 0, 0, at + len(table), len(strings), 0, 0, 1, 0),
    )
    header = HEADER.pack(b"\x7fELF\x02\x01\x01", EXECUTABLE, EM_RISCV, 1, start, 0, at + len(table) + len(strings), 1,
                         HEADER.size, 0, 0, SECTION_HEADER.size, len(sections), 4)
    path.write_bytes(header + table + strings + b"".join(SECTION_HEADER.pack(*section) for section in sections))
