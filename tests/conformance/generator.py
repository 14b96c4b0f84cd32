"""Random programs, drawn from the ISA table.

hypothesis draws a list of units, each a row of the table (or a special unit by name) and the seed from which its
operands follow; a unit drawn as "omit" is left out, so that a failing program shrinks to the few units it needs. Code
is laid out in two passes: the first fixes lengths, the second knows where forward branches lead.

Register use: x2, x8, x9, x14 usually point into DATA or CONSTANTS, x31 counts backward branches down, x4 is where the
frame goes on after a failed fetch. Random instructions seldom write them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

from tests.conformance import operands
from tests.conformance.encoding import encode, immediate_bits, other_fields, register_fields
from tests.conformance.frame import CODE, CODE_SIZE, CONSTANTS, DATA, DATA_SIZE, END, TABLES, Parameters, build
from tests.conformance.image import BASE, Image
from tests.conformance.scenery import (
    LOCKED,
    MSIP,
    NA4,
    NAPOT,
    OWN_ENTRIES,
    PAGE,
    Scenery,
    U,
    random_flags,
    sceneries,
)  # fmt: skip
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.instructions import BY_NAME, ROWS, Row
from vm_native.uops import UOPS

OMIT = "omit"
POINTERS = (2, 8, 9, 14)
RESUME, FUEL = 4, 31
KEPT = {RESUME, FUEL, *POINTERS}
SATP, SUPERPAGE = 0x180, 1 << 21
DATA_REGISTERS = ({"rd": 11, "rs2": 11}, {"rd": 12, "rs2": 12})     # of accesses, loads or stores
BACKWARD = 12
FORWARD = (1, 1, 1, 2, 2, 3, 5, 8)
ACCESS = re.compile(r"(rd = )?(load|store|reserve|conditional|atomic|exchange)")
ACCESSING = {row.name for row in UOPS if ACCESS.match(row.semantics)}
BRANCHES = {"beq", "bne", "blt", "bge", "bltu", "bgeu"}
ROUNDING = (7, 7, 7, 7, 0, 0, 0, 1, 2, 3, 4, 5, 6)


def origin(row: Row) -> Row:
    return row.base or row


def kind_of(row: Row) -> str:
    """How the operands of a row are drawn."""
    name = origin(row).name
    if name in BRANCHES:
        return "branch"
    if name == "jal":
        return "jump"
    if name == "jalr":
        return "indirect"
    if row.helper in ("mret", "sret", "wfi", "ecall", "csr"):
        return row.helper
    if row.uop in ACCESSING or row.helper.startswith(("cbo_", "amocas_")):
        return "memory"
    return "plain"


@dataclass
class Unit:
    """A few instruction words. `words(here, target)` gives them for where they stand and where branches lead.

    Addresses are offsets in the image, so that code runs wherever the image is mapped.
    """

    size: int
    words: Callable[[int, int], list[int]]
    ahead: int = 0              # how many units a branch skips; negative: goes back


class Program(NamedTuple):
    image: Image
    units: list[tuple[str, int]]
    scenery: Scenery

    def __repr__(self) -> str:
        return f"{self.scenery}: {self.units}"


def registers(row: Row, random: Random) -> dict[str, int]:
    chosen = {}
    recent = random.choice((5, 10, 15))
    for operand, (is_float, short, _) in register_fields(row).items():
        number = random.randrange(8, 16) if short else random.choice((recent, recent, *range(32)))
        if operand == "rd" and not is_float and number in KEPT and random.random() < 0.97:
            number = 10 if short else random.choice((0, 5, 10, 11, 12))
        while number in row.excluded.get(operand, ()):
            number = random.choice((5, 10, 12))
        chosen[operand] = number
    return chosen


def fields(row: Row, random: Random) -> dict[str, int]:
    chosen = {name: random.getrandbits(width) for name, (_, width) in other_fields(row).items()}
    if "rm" in chosen:
        chosen["rm"] = random.choice(ROUNDING)
    return chosen


def word_of(row: Row, random: Random, immediate: int | None = None, **fixed: int) -> int:
    """A word of a row with random operands, some of them given."""
    bits = immediate_bits(row)
    if immediate is None:
        immediate = operands.immediate(random, bits, row.sign_bit)
        if row.nonzero and not immediate & bits:
            immediate = bits & -bits
    chosen = registers(row, random)
    others = fields(row, random)
    for name, value in fixed.items():
        if name in chosen:
            chosen[name] = value
        elif name in others:
            others[name] = value
    return encode(row, chosen, immediate, **others)


def by_name(name: str, immediate: int = 0, **operand: int) -> int:
    """One instruction with all operands given."""
    row = BY_NAME[name]
    others = {field: operand.pop(field, 0) for field in other_fields(row)}
    return encode(row, operand, immediate, **others)


def address_into(register: int, here: int, target: int) -> list[int]:
    """auipc and addi: `register` = `target`, as seen from `here`."""
    distance = target - here
    upper = (distance + 0x800) >> 12 << 12
    return [by_name("auipc", upper, rd=register), by_name("addi", distance - upper, rd=register, rs1=register)]


def data_address(random: Random) -> int:
    """An offset in the image worth pointing at: aligned, odd, at the end of a page."""
    page = random.randrange(DATA, DATA + DATA_SIZE, 0x1000)
    kind = random.random()
    if kind < 0.5:
        return page + random.randrange(0, 0x1000, 16)
    if kind < 0.7:
        return page + random.randrange(0x1000)
    return min(page + 0x1000 + random.randrange(-9, 9), DATA + DATA_SIZE - 16)


def plain(row: Row, random: Random) -> Unit:
    word = word_of(row, random)
    return Unit(row.length, lambda here, target: [word])


def memory(row: Row, random: Random) -> Unit:
    """Usually through a pointer; atomics through one that is set just before."""
    if not row.pieces:
        base = random.randrange(8, 16) if register_fields(row).get("rs1", (0, 0))[1] else random.choice(POINTERS)
        if random.random() < 0.8:
            address = data_address(random) & (~7 if random.random() < 0.8 else ~0)
            word = word_of(row, random, rs1=base)
            return Unit(8 + row.length, lambda here, target: [*address_into(base, here, address), word])
    pointers = (8, 9, 14) if register_fields(row).get("rs1", (0, 0))[1] else POINTERS
    base = random.choice(pointers) if random.random() < 0.95 else random.randrange(8, 16)
    word = word_of(row, random, rs1=base)
    return Unit(row.length, lambda here, target: [word])


def branch(row: Row, random: Random) -> Unit:
    if random.random() < 0.15:
        fuel = [by_name("addi", -1, rd=FUEL, rs1=FUEL)]
        guard = by_name("bge", 4 + row.length, rs1=0, rs2=FUEL)
        chosen = registers(row, random)
        return Unit(
            8 + row.length,
            lambda here, target: [*fuel, guard, encode(row, chosen, within(row, target - here - 8))],
            -random.randrange(1, BACKWARD),
        )
    chosen = registers(row, random)
    return Unit(
        row.length, lambda here, target: [encode(row, chosen, within(row, target - here))], random.choice(FORWARD)
    )


def within(row: Row, distance: int) -> int:
    """A jump distance that fits the immediate; else to the next instruction."""
    bits = immediate_bits(row)
    limit = 1 << row.sign_bit
    return distance if -limit <= distance < limit and distance & ~(bits | -limit) == 0 else row.length


def indirect(row: Row, random: Random) -> Unit:
    chosen = registers(row, random)
    base = chosen["rs1"] = random.choice((1, 5, 10, 15))
    offset = operands.immediate(random, 0xFFF, 11) if row.pieces else 0
    offset -= offset >> 11 << 12
    odd = row.length == 4 and random.random() < 0.1
    return Unit(
        8 + row.length,
        lambda here, target: [*address_into(base, here, target - offset + odd), encode(row, chosen, offset)],
        random.choice(FORWARD),
    )


def csr(row: Row, random: Random) -> Unit:
    word = word_of(row, random)
    source = word >> 15 & 31
    number = operands.csr(random, writes=row.name.startswith("csrrw") or source != 0)
    word = word & 0xFFFFF | number << 20
    return Unit(4, lambda here, target: [word])


def ret(row: Row, random: Random) -> Unit:
    """Return to the next instruction, in the privilege that xPP says; mostly xPP is set to the highest before."""
    if row.helper == "mret":
        status, pc, previous, upper = 0x300, 0x341, -0x800, 0x2000
    else:
        status, pc, previous, upper = 0x100, 0x141, 0x100, 0
    operation = "csrrs" if random.random() < 0.8 else "csrrc"
    words = [
        by_name("lui", upper, rd=5), by_name("addi", previous, rd=5, rs1=5),
        by_name(operation, csr=status, rs1=5, rd=0),
    ]  # fmt: skip
    set_pc = by_name("csrrw", csr=pc, rs1=5, rd=0)
    return Unit(28, lambda here, target: [*words, *address_into(5, here + 12, here + 28), set_pc, row.match])


def ecall(row: Row, random: Random) -> Unit:
    return Unit(row.length, lambda here, target: [row.match])


def wfi(row: Row, random: Random) -> Unit:
    """With an interrupt pending and enabled locally, so that it ends on every machine."""
    words = [by_name("csrrsi", csr=0x304, zimm=2, rd=0), by_name("csrrsi", csr=0x344, zimm=2, rd=0), row.match]
    return Unit(12, lambda here, target: words)


ROW_UNITS = {
    "plain": plain, "memory": memory, "branch": branch, "jump": branch, "indirect": indirect, "csr": csr, "mret": ret,
    "sret": ret, "ecall": ecall, "wfi": wfi,
}  # fmt: skip


# --- Units that are no single row -----------------------------------------------------------------------------------

def pointer(random: Random) -> Unit:
    """Point a base register somewhere."""
    register, address = random.choice(POINTERS), data_address(random)
    return Unit(8, lambda here, target: address_into(register, here, address))


def constant(random: Random, load_float: str = "fld") -> Unit:
    """Load a corner value into a register."""
    is_float = random.random() < 0.5
    offset = CONSTANTS + 8 * random.randrange(256) + (2048 if is_float else 0)
    register = random.randrange(32) if is_float else random.choice((1, 3, 5, 6, 7, *range(10, 14), *range(15, 31)))
    base = 3
    row = load_float if is_float else "ld"

    def words(here: int, target: int) -> list[int]:
        address = address_into(base, here, offset)
        return [*address, by_name(row, 0, rd=register, rs1=base)]

    return Unit(12, words)


def constant_single(random: Random) -> Unit:
    """The same where there is no D."""
    return constant(random, "flw")


def store_code(random: Random) -> Unit:
    """Change the last instruction of the unit, and run it after fence.i."""
    immediate = random.randrange(-2048, 2048)
    new = by_name("addi", immediate, rd=12, rs1=random.randrange(32))
    old = by_name("addi", 1, rd=12, rs1=12)
    upper = (new + 0x800) >> 12 << 12

    def words(here: int, target: int) -> list[int]:
        first = [by_name("lui", upper - (upper >> 31 << 32), rd=5), by_name("addiw", new - upper, rd=5, rs1=5)]
        store = [*address_into(6, here + 8, here + 24), by_name("sw", 0, rs1=6, rs2=5)]
        return [*first, *store, by_name("fence.i", 0, rd=0, rs1=0), old]

    return Unit(28, words)


def interrupt(random: Random) -> Unit:
    """Make an interrupt pending and enable it: from S and below only what they may."""
    bit = random.choice((1, 5, 9))
    words = [
        by_name("addi", 1 << bit if bit < 11 else 0, rd=5, rs1=0), by_name("csrrs", csr=0x344, rs1=5, rd=0),
        by_name("csrrs", csr=0x304, rs1=5, rd=0), by_name("csrrsi", csr=0x300, zimm=8 | random.choice((0, 2)), rd=0),
        by_name("csrrsi", csr=0x144, zimm=2, rd=0), by_name("csrrs", csr=0x104, rs1=5, rd=0),
        by_name("csrrsi", csr=0x100, zimm=2, rd=0),
    ]  # fmt: skip
    return Unit(4 * len(words), lambda here, target: words)


def floating_on(random: Random) -> Unit:
    """FS and frm back to something useful."""
    words = [
        by_name("lui", 0x6000, rd=5),
        by_name("csrrs", csr=0x100, rs1=5, rd=0), by_name("csrrs", csr=0x300, rs1=5, rd=0),
        by_name("csrrwi", csr=2, zimm=random.choice((0, 0, 1, 2, 3, 4)), rd=0),
    ]  # fmt: skip
    return Unit(16, lambda here, target: words)


def supervisor_memory(random: Random) -> Unit:
    """SUM, MXR and, in M-mode, MPRV with a random MPP."""
    value = random.getrandbits(3) << 17 | random.choice((0, 1, 3)) << 11
    upper = (value + 0x800) >> 12 << 12
    words = [by_name("lui", upper, rd=5), by_name("addi", value - upper, rd=5, rs1=5)]
    operation = random.choice(("csrrs", "csrrc"))
    words += [by_name(operation, csr=0x100, rs1=5, rd=0), by_name(operation, csr=0x300, rs1=5, rd=0)]
    return Unit(16, lambda here, target: words)


def reservation(random: Random) -> Unit:
    """LR and SC to the same place or beside it, perhaps with a store of the same hart between."""
    width = random.choice("wd")
    order = {"aq": random.getrandbits(1), "rl": random.getrandbits(1)}
    offset = data_address(random) & ~7
    words = [by_name(f"lr.{width}", rd=11, rs1=8, **order)]
    if random.random() < 0.4:
        words.append(by_name(random.choice(("sb", "sw", "sd")), random.choice((0, 0, 4, 8, 64)), rs1=8, rs2=11))
    if random.random() < 0.2:
        words.append(by_name("addi", 4, rd=8, rs1=8))
    width = width if random.random() < 0.8 else random.choice("wd")
    words += [by_name(f"sc.{width}", rd=random.randrange(10, 16), rs1=8, rs2=random.randrange(32), **order)] * 2
    return Unit(8 + 4 * len(words), lambda here, target: [*address_into(8, here, offset), *words])


def refresh(random: Random) -> Unit:
    """Pointers and fuel as they were at first."""
    addresses = [data_address(random) for _ in POINTERS]

    def words(here: int, target: int) -> list[int]:
        found = [by_name("addi", 30, rd=FUEL, rs1=0)]
        for register, address in zip(POINTERS, addresses, strict=True):
            found += address_into(register, here + 4 * len(found), address)
        return found

    return Unit(4 + 8 * len(POINTERS), words)


def again(random: Random) -> Unit:
    """Back to the first unit: the program never ends."""
    return Unit(4, lambda here, target: [by_name("jal", target - here, rd=0)], -CODE_SIZE)


def page_table(random: Random, invalidate: bool = False) -> Unit:
    """Change the entry of a page of DATA between accesses to it. U-mode, and S-mode under TVM, skip all of it."""
    page = random.randrange(DATA // PAGE, (DATA + DATA_SIZE) // PAGE)
    place = page * PAGE + random.randrange(0, PAGE, 16)
    value = BASE + random.randrange(DATA, DATA + DATA_SIZE, PAGE) >> 2 | random_flags(random, random.choice((0, U)))
    fence = [by_name("sfence.vma", rs1=random.choice((0, 7)), rs2=0)]
    if invalidate:
        fence = [by_name("sfence.w.inval"), by_name("sinval.vma", rs1=7, rs2=0), by_name("sfence.inval.ir")]
    accesses = [by_name(random.choice(("ld", "lb", "sd", "sb")), rs1=7, **data) for data in DATA_REGISTERS]

    def words(here: int, target: int) -> list[int]:
        body = [*address_into(7, here + 12, place), by_name("ld", rd=10, rs1=7), *table_entry(value)]
        body += [*address_into(5, here + 12 + 4 * len(body), TABLES + 8 * page), by_name("sd", rs1=5, rs2=6)]
        return if_paging(body + fence + accesses)

    return Unit(4 * len(words(0, 0)), words)


def page_table_invalidated(random: Random) -> Unit:
    """The same with the instructions of Svinval."""
    return page_table(random, invalidate=True)


def superpage(random: Random) -> Unit:
    """Change one of the superpages beside the image: perhaps to one that is misaligned."""
    side = random.choice((1, -1))
    value = BASE + random.choice((0, 0, 0, PAGE)) >> 2 | random_flags(random, random.choice((0, U)))
    place = side * SUPERPAGE + data_address(random)
    accesses = [by_name(random.choice(("ld", "lb", "sd", "sb")), rs1=7, **data) for data in DATA_REGISTERS]

    def words(here: int, target: int) -> list[int]:
        body = [*address_into(7, here + 12, 0), by_name("srli", 21, rd=7, rs1=7), by_name("addi", side, rd=7, rs1=7)]
        body += [by_name("andi", 511, rd=7, rs1=7), by_name("slli", 3, rd=7, rs1=7), *table_entry(value)]
        body += [*address_into(5, here + 12 + 4 * len(body), TABLES + PAGE), by_name("add", rd=5, rs1=5, rs2=7)]
        body += [by_name("sd", rs1=5, rs2=6), by_name("sfence.vma", rs1=0, rs2=0)]
        body += address_into(7, here + 12 + 4 * len(body), place)
        return if_paging(body + accesses)

    return Unit(4 * len(words(0, 0)), words)


def address_space(random: Random) -> Unit:
    """Another ASID, with the same tables: nothing else changes."""
    body = [by_name("addi", 7, rd=6, rs1=0), by_name("slli", 44, rd=6, rs1=6)]
    body.append(by_name(random.choice(("csrrs", "csrrc")), csr=SATP, rs1=6, rd=0))
    words = if_paging(body)
    return Unit(4 * len(words), lambda here, target: words)


def if_paging(body: list[int]) -> list[int]:
    """Skip the body where satp is 0, or cannot be read: that traps, and x5 stays 0."""
    probe = [by_name("addi", 0, rd=5, rs1=0), by_name("csrrs", csr=SATP, rs1=0, rd=5)]
    return [*probe, by_name("beq", 4 + 4 * len(body), rs1=5, rs2=0), *body]


def table_entry(value: int) -> list[int]:
    """x6 = a page table entry whose address is below 2**33, by way of x5."""
    low = value & (1 << 31) - 1
    upper = (low + 0x800) >> 12 << 12
    return [
        by_name("lui", upper, rd=6), by_name("addi", low - upper, rd=6, rs1=6),
        by_name("addi", value >> 54, rd=5, rs1=0), by_name("slli", 54, rd=5, rs1=5), by_name("or", rd=6, rs1=6, rs2=5),
    ]  # fmt: skip


def software_interrupt(random: Random) -> Unit:
    """The line of the CLINT, in M-mode. Spike looks for interrupts when a CSR is accessed, so until then it is off."""
    level = random.choice((0, 1, 1))
    body = [
        by_name("lui", MSIP, rd=6), by_name("addi", level, rd=7, rs1=0), by_name("sw", 0, rs1=6, rs2=7),
        by_name("csrrs", csr=0x344, rs1=0, rd=7), by_name("csrrsi", csr=0x304, zimm=8, rd=0),
        by_name("csrrsi", csr=0x300, zimm=random.choice((0, 8, 8)), rd=0),
    ]  # fmt: skip
    # Below M-mode the access to mie traps, and x5 stays negative.
    words = [by_name("addi", -1, rd=5, rs1=0), by_name("csrrci", csr=0x304, zimm=8, rd=5)]
    words += [by_name("blt", 4 + 4 * len(body), rs1=5, rs2=0), *body]
    return Unit(4 * len(words), lambda here, target: words)


def protection(random: Random) -> Unit:
    """Another PMP entry somewhere in DATA: in M-mode, below that it traps all along."""
    entry = random.choice(OWN_ENTRIES)
    size = random.choice((4, *(8 << n for n in range(10))))
    place = random.randrange(DATA, DATA + DATA_SIZE, size)
    permissions = random.choice((0, 1, 3, 4, 5, 7, 3, 3)) | random.choice((0, 0, 0, 0, 0, 0, 0, LOCKED))
    setting = permissions | (NA4 if size == 4 else NAPOT)

    def words(here: int, target: int) -> list[int]:
        return [
            *address_into(5, here, place), by_name("srli", 2, rd=5, rs1=5), by_name("ori", (size >> 3) - (size > 4),
            rd=5, rs1=5), by_name("addi", 255, rd=6, rs1=0), by_name("slli", 8 * entry, rd=6, rs1=6),
            by_name("csrrc", csr=0x3A0, rs1=6, rd=0), by_name("csrrw", csr=0x3B0 + entry, rs1=5, rd=0),
            by_name("addi", setting, rd=6, rs1=0), by_name("slli", 8 * entry, rd=6, rs1=6),
            by_name("csrrs", csr=0x3A0, rs1=6, rd=0), by_name("sfence.vma", rs1=0, rs2=0),
        ]  # fmt: skip

    return Unit(4 * len(words(0, 0)), words)


class Special(NamedTuple):
    make: Callable[[Random], Unit]
    weight: int                 # as often as that is the unit drawn; a row has 2 or 3
    needs: str = "I"            # extension


SPECIAL = {
    "pointer": Special(pointer, 30),
    "constant": Special(constant, 60),
    "constant f": Special(constant_single, 30, "F"),
    "reservation": Special(reservation, 8, "A"),
    "store code": Special(store_code, 4, "Zifencei"),
    "interrupt": Special(interrupt, 4),
    "floating on": Special(floating_on, 10, "F"),
    "supervisor memory": Special(supervisor_memory, 4),
    "refresh": Special(refresh, 0),
    "again": Special(again, 0),


    "page table": Special(page_table, 5),
    "page table, Svinval": Special(page_table_invalidated, 3, "Svinval"),
    "superpage": Special(superpage, 4),
    "address space": Special(address_space, 2),
    "software interrupt": Special(software_interrupt, 3),
    "protection": Special(protection, 3),
}


# --- Programs -------------------------------------------------------------------------------------------------------

def names(extensions: frozenset[str]) -> list[str]:
    """What a unit may be, as often as it shall be drawn; the first is what shrinking prefers."""
    found = [OMIT]
    for row in ROWS:
        if row.is_on(extensions):
            found += [row.name] * (3 if kind_of(row) in ("memory", "branch", "indirect", "csr") else 2)
    for name, special in SPECIAL.items():
        if special.needs in extensions:
            found += [name] * special.weight
    return found


def make_unit(name: str, seed: int, extensions: frozenset[str]) -> Unit:
    random = Random(seed)
    if name in SPECIAL:
        return SPECIAL[name].make(random)
    row = BY_NAME[name]
    kind = kind_of(row)
    unit = ROW_UNITS[kind](row, random)
    if "Zca" not in extensions and kind in ("branch", "jump", "indirect") and random.random() < 0.1:
        return replace(unit, words=lambda here, target: unit.words(here, target + 2))       # misaligned
    return unit


def assemble(units: list[Unit]) -> bytes:
    """Lay units out from CODE on; a program that is run through ends with the environment call END."""
    end = [by_name("lui", 0x6000, rd=17), by_name("addi", END - 0x6000, rd=17, rs1=17), by_name("ecall")]
    places, here = [], CODE
    for unit in units:
        places.append(here)
        here += unit.size
    places.append(here)
    code = bytearray()
    for index, unit in enumerate(units):
        target = places[max(0, min(index + (unit.ahead or 1), len(units)))]
        for word in unit.words(places[index], target):
            code += word.to_bytes(4 if word & 3 == 3 else 2, "little")
        assert CODE + len(code) == places[index + 1], f"unit {index} has another length than it said"
    for word in end:
        code += word.to_bytes(4, "little")
    assert len(code) <= CODE_SIZE
    return bytes(code)


def make_program(picks: list[tuple[str, int]], scenery: Scenery, extensions: frozenset[str]) -> Program:
    """The program that follows from what was drawn."""
    random = Random(scenery.seed)
    kept = [(name, seed) for name, seed in picks if name != OMIT]
    code = assemble([make_unit(name, seed, extensions) for name, seed in kept])
    x = [operands.integer(random) for _ in range(32)]
    f = [operands.floating(random) for _ in range(32)]
    precisions = ("F" in extensions) + ("D" in extensions)
    parameters = Parameters(x, f, floating=precisions, timer="Sstc" in extensions)
    tables = scenery.arrange(parameters, extensions)
    for register in POINTERS:
        x[register] = parameters.virtual + data_address(random)
    x[FUEL] = 30
    x[RESUME] = parameters.virtual + CODE + len(code) - 12
    data = random.randbytes(DATA_SIZE)
    image = build(parameters, operands.constants(random, 0x1000), code, data, tables)
    return Program(image, kept, scenery)


@st.composite
def programs(draw: st.DrawFn, isa: str, size: int = 160) -> Program:
    """Programs of up to `size` units for a hart of that ISA string."""
    extensions = isa_strings.parse(isa).extensions
    choices = names(extensions)
    last = len(choices) - 1
    picks = [(choices[draw(st.integers(0, last))], draw(st.integers(0, (1 << 24) - 1))) for _ in range(size)]
    return make_program(picks, draw(sceneries(extensions)), extensions)
