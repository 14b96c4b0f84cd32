"""A kernel in guest memory: where it is, its symbols and types; and its variables and structures, read by these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vm.errors import BusError, LinuxError, PageFault
from vm.hart import Hart
from vm.linux.btf import Btf
from vm.linux.kallsyms import read_kallsyms
from vm.linux.names import Listed, symbols_of
from vm.linux.paging import PageTables
from vm.loaders.symbols import Symbols
from vm.memory import Memory

# Where a kernel of 64 bits is mapped, at any offset (arch/riscv/include/asm/page.h: KERNEL_LINK_ADDR).
IMAGE_START, IMAGE_END = (1 << 64) - (2 << 30), 1 << 64
BANNER = b"Linux version "
LONGEST_BANNER = 512
LARGEST_IMAGE = 512 << 20           # of what is mapped there, which a guest can make more of than it has RAM
SYSTEM_MAP = "give it the System.map of this kernel: machine.linux.read_symbols(path)"


@dataclass
class Known:
    """What stays as it is while a kernel runs. `root`: physical address of its own page tables, of so many levels."""

    levels: int
    root: int
    symbols: Symbols
    banner: bytes
    types: Btf | None = None        # once somebody has asked for them


class Kernel:
    """A kernel as it stands now. Addresses are virtual; what reads memory raises PageFault and BusError."""

    def __init__(self, memory: Memory, known: Known):
        self.known = known
        self.tables = PageTables(memory, known.levels, known.root)

    def address(self, name: str) -> int:
        """Of a symbol. Raises LinuxError."""
        symbol = self.known.symbols.get(name)
        if symbol is None:
            raise LinuxError(f"the kernel's symbols have no {name}: it has no such part, or its kallsyms lists "
                             f"functions only; {SYSTEM_MAP}")
        return symbol.address

    @property
    def is_there(self) -> bool:
        """Whether this is still the kernel that is known."""
        try:
            at = self.known.symbols["linux_banner"].address
            return self.tables.read(at, len(self.known.banner)) == self.known.banner
        except (PageFault, BusError):
            return False

    @property
    def types(self) -> Btf:
        """Raises LinuxError where the kernel was built without."""
        if self.known.types is None:
            start, stop = (self.known.symbols.get(name) for name in ("__start_BTF", "__stop_BTF"))
            if start is None or stop is None:
                raise LinuxError("the kernel says nothing of its types, without which its structures cannot be read: "
                                 "build it with CONFIG_DEBUG_INFO_BTF=y, as Debian does")
            self.known.types = Btf(self.tables.read(start.address, stop.address - start.address))
        return self.known.types

    def structure(self, name: str, address: int) -> Structure:
        return Structure(self, name, address)

    def members(self, head: int, structure: str, link: str) -> Iterator[Structure]:
        """Those that hang on a list_head at an address, by their field `link`. Raises LinuxError for a circle."""
        offset = self.types.field(structure, link).offset
        node, seen = self.tables.integer(head), {head}
        while node != head:
            if node in seen:
                raise LinuxError(f"the kernel's list of struct {structure} at {head:#x} is damaged: a circle")
            seen.add(node)
            yield self.structure(structure, node - offset)
            node = self.tables.integer(node)


class Structure:
    """A structure of a kernel in memory, whose fields have paths as in C: "thread_info.cpu", "mem.0.base"."""

    def __init__(self, kernel: Kernel, name: str, address: int):
        self.kernel = kernel
        self.name = name
        self.at = address

    def number(self, path: str) -> int:
        """An integer, a bit field, or a pointer."""
        field = self.kernel.types.field(self.name, path)
        first = field.bit % 8
        size = (first + field.bits + 7) // 8 or field.size
        value = self.kernel.tables.integer(self.at + field.offset, size)
        if field.bits:
            return value >> first & (1 << field.bits) - 1
        return value - (1 << 8 * size) if field.signed and value >> 8 * size - 1 else value

    def numbers(self, path: str) -> list[int]:
        """An array of unsigned integers or pointers."""
        field = self.kernel.types.field(self.name, path)
        if not field.elements:
            raise LinuxError(f"struct {self.name} of this kernel: {path} is no array")
        size = field.size // field.elements
        data = self.kernel.tables.read(self.at + field.offset, field.size)
        return [int.from_bytes(data[start:start + size], "little") for start in range(0, field.size, size)]

    def address(self, path: str) -> int:
        """Where a field is."""
        return self.at + self.kernel.types.field(self.name, path).offset

    def text(self, path: str) -> str:
        """An array of characters."""
        return self.kernel.tables.text(self.address(path), self.kernel.types.field(self.name, path).size)

    def has(self, path: str) -> bool:
        return self.kernel.types.has(self.name, path)

    def pointed(self, path: str, structure: str) -> Structure | None:
        """What a field points to; None for a null pointer."""
        address = self.number(path)
        return self.kernel.structure(structure, address) if address else None


# --- Finding it ------------------------------------------------------------------------------------------------------

def find_kernel(memory: Memory, harts: Sequence[Hart], system_map: Sequence[Listed] = ()) -> Known:
    """The kernel that the machine runs. Raises LinuxError."""
    paged = [tables for hart in harts if (tables := PageTables.of_satp(memory, hart.csr["satp"]))]
    if not paged:
        raise LinuxError("no hart has paging on: no Linux kernel runs in this machine, or not yet")
    for tables in paged:
        images = list(images_of(tables))
        if not images:
            continue
        if system_map:
            start = next((one for one in system_map if one.name == b"_start"), system_map[0])
            symbols = symbols_of(system_map, images[0][0] - start.address)
        else:
            symbols = symbols_of(next(filter(None, (read_kallsyms(image) for _, image in images)), []))
        if symbols:
            return known_by(tables, symbols, "the System.map" if system_map else "kallsyms")
    raise LinuxError("no Linux kernel with symbols in it (CONFIG_KALLSYMS=y) is mapped in guest memory; if it is one "
                     f"without, {SYSTEM_MAP}")


def known_by(tables: PageTables, symbols: Symbols, source: str) -> Known:
    """What is known of a kernel by its symbols; `tables` are those of any process."""
    missing = [name for name in ("linux_banner", "swapper_pg_dir") if name not in symbols]
    if missing:
        raise LinuxError(f"{source} lists no {' and no '.join(missing)}: it has functions only; {SYSTEM_MAP}")
    try:
        banner = tables.read(symbols["linux_banner"].address, LONGEST_BANNER).partition(b"\0")[0]
    except PageFault:
        banner = b""
    if not banner.startswith(BANNER):
        raise LinuxError(f"{source} is of another kernel than the one that runs: at linux_banner there is none")
    return Known(tables.levels, tables.physical(symbols["swapper_pg_dir"].address), symbols, banner)


def images_of(tables: PageTables) -> list[tuple[int, bytes]]:
    """What is mapped where a kernel is, as (address, content) of each piece without a gap."""
    pieces: list[tuple[int, list[memoryview]]] = []
    end, left = 0, LARGEST_IMAGE
    for leaf in tables.mapped(IMAGE_START, IMAGE_END):
        try:
            content = tables.memory.view(leaf.physical, leaf.size)
        except BusError:
            continue                        # not RAM
        if leaf.address != end:
            pieces.append((leaf.address, []))
        left -= leaf.size
        if left < 0:
            break
        pieces[-1][1].append(content)
        end = leaf.address + leaf.size
    return [(address, b"".join(contents)) for address, contents in pieces]
