"""Modules that a kernel has loaded: struct module (include/linux/module.h)."""

from __future__ import annotations

from dataclasses import dataclass, field

from vm.errors import LinuxError
from vm.linux.kernel import Kernel, Structure
from vm.loaders.symbols import ENTRY, Symbols

STATES = ("Live", "Loading", "Unloading")       # enum module_state, as /proc/modules has it
UNFORMED = len(STATES)      # has no name yet
MOST_SYMBOLS, MOST_TEXT = 1 << 20, 64 << 20     # of a module
OWN_REFERENCE = 1           # MODULE_REF_BASE: what a module that nobody uses counts


@dataclass(frozen=True)
class Module:
    """A module of the kernel, as /proc/modules lists it."""

    name: str
    address: int            # virtual, of its code
    size: int               # of all that it has, bytes
    references: int
    state: str              # "Live", "Loading" or "Unloading"
    symbols: Symbols = field(repr=False)


def modules(kernel: Kernel) -> list[Module]:
    """The one that was loaded last comes first."""
    found = kernel.members(kernel.address("modules"), "module", "list")
    return [module_of(one) for one in found if one.number("state") < UNFORMED]


def module_of(one: Structure) -> Module:
    ranges = ranges_of(one)
    return Module(
        name=one.text("name"),
        address=ranges[0][0],
        size=sum(size for _, size in ranges),
        references=max(one.number("refcnt.counter") - OWN_REFERENCE, 0) if one.has("refcnt") else 0,
        state=STATES[one.number("state")],
        symbols=symbols_of_module(one),
    )


def find_in_module(kernel: Kernel, address: int) -> tuple[str, int] | None:
    """The name "module:symbol" of a virtual address, and how many bytes behind it; the module alone and 0
    where that has no name for it; None where it is in none.
    """
    for one in kernel.members(kernel.address("modules"), "module", "list"):
        if any(base <= address < base + size for base, size in ranges_of(one)):
            name, found = one.text("name"), symbols_of_module(one).find(address)
            return (name, 0) if found is None else (f"{name}:{found[0]}", found[1])
    return None


def ranges_of(one: Structure) -> list[tuple[int, int]]:
    """Address and size of each part, that of the code first (Linux 6.4 has an array of them, older ones two)."""
    if one.has("mem"):
        count = one.kernel.types.field("module", "mem").elements
        return [(one.number(f"mem.{part}.base"), one.number(f"mem.{part}.size")) for part in range(count)]
    return [(one.number(f"{part}.base"), one.number(f"{part}.size")) for part in ("core_layout", "init_layout")]


def symbols_of_module(one: Structure) -> Symbols:
    """The symbol table that the kernel keeps of it; without CONFIG_KALLSYMS there is none."""
    if not one.has("kallsyms"):
        return Symbols()
    table = one.pointed("kallsyms", "mod_kallsyms")
    if table is None:
        return Symbols()
    count, read = table.number("num_symtab"), one.kernel.tables.read
    if count > MOST_SYMBOLS:
        raise LinuxError(f"the symbols of the kernel's module at {one.at:#x} are damaged: {count:,} of them")
    entries = read(table.number("symtab"), count * ENTRY.size)
    ends = [ENTRY.unpack_from(entries, ENTRY.size * number)[0] for number in range(count)]
    last = max(ends, default=0)
    if last > MOST_TEXT:
        raise LinuxError(f"the symbols of the kernel's module at {one.at:#x} are damaged: {last:,} bytes of names")
    strings = table.number("strtab")
    size = last + len(one.kernel.tables.text(strings + last).encode()) + 1 if count else 0
    return Symbols(entries, read(strings, size))
