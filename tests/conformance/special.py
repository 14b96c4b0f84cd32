"""Units of random programs that are no single row of the table: pointers and constants, reservations, changing code,
interrupts, page tables, protection. Each works in any privilege mode, if only by trapping.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from tests.conformance.frame import CODE_SIZE, CONSTANTS, DATA, DATA_SIZE, TABLES
from tests.conformance.image import BASE
from tests.conformance.scenery import LOCKED, MSIP, NA4, NAPOT, OWN_ENTRIES, PAGE, U, random_flags
from tests.conformance.units import FUEL, POINTERS, Unit, address_into, data_address
from vm_native.riscv.csrs import mask
from vm_native.riscv.instructions import encode
from vm_native.riscv.registers import CSR_NUMBERS as CSR

SUPERPAGE = 1 << 21
ACCESSES, DATA_REGISTERS = ("ld", "lb", "sd", "sb"), (11, 12)


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
        return [*address, encode(row, rd=register, rs1=base)]

    return Unit(12, words)


def constant_single(random: Random) -> Unit:
    """The same where there is no D."""
    return constant(random, "flw")


def store_code(random: Random) -> Unit:
    """Change the last instruction of the unit, and run it after fence.i."""
    immediate = random.randrange(-2048, 2048)
    new = encode("addi", imm=immediate, rd=12, rs1=random.randrange(32))
    old = encode("addi", imm=1, rd=12, rs1=12)
    upper = (new + 0x800) >> 12 << 12

    def words(here: int, target: int) -> list[int]:
        first = [encode("lui", imm=upper - (upper >> 31 << 32), rd=5), encode("addiw", imm=new - upper, rd=5, rs1=5)]
        store = [*address_into(6, here + 8, here + 24), encode("sw", rs1=6, rs2=5)]
        return [*first, *store, encode("fence.i", rd=0, rs1=0), old]

    return Unit(28, words)


def interrupt(random: Random) -> Unit:
    """Make an interrupt pending and enable it: from S and below only what they may."""
    bit = random.choice((1, 5, 9))
    words = [
        encode("addi", imm=1 << bit if bit < 11 else 0, rd=5, rs1=0), encode("csrrs", csr=CSR["mip"], rs1=5, rd=0),
        encode("csrrs", csr=CSR["mie"], rs1=5, rd=0),
        encode("csrrsi", csr=CSR["mstatus"], zimm=8 | random.choice((0, 2)), rd=0),
        encode("csrrsi", csr=CSR["sip"], zimm=2, rd=0), encode("csrrs", csr=CSR["sie"], rs1=5, rd=0),
        encode("csrrsi", csr=CSR["sstatus"], zimm=2, rd=0),
    ]  # fmt: skip
    return Unit(4 * len(words), lambda here, target: words)


def floating_on(random: Random) -> Unit:
    """FS and frm back to something useful."""
    words = [
        encode("lui", imm=mask("mstatus", "FS"), rd=5),
        encode("csrrs", csr=CSR["sstatus"], rs1=5, rd=0), encode("csrrs", csr=CSR["mstatus"], rs1=5, rd=0),
        encode("csrrwi", csr=CSR["frm"], zimm=random.choice((0, 0, 1, 2, 3, 4)), rd=0),
    ]  # fmt: skip
    return Unit(16, lambda here, target: words)


def supervisor_memory(random: Random) -> Unit:
    """SUM, MXR and, in M-mode, MPRV with a random MPP."""
    value = random.getrandbits(3) << 17 | random.choice((0, 1, 3)) << 11
    upper = (value + 0x800) >> 12 << 12
    words = [encode("lui", imm=upper, rd=5), encode("addi", imm=value - upper, rd=5, rs1=5)]
    operation = random.choice(("csrrs", "csrrc"))
    words += [encode(operation, csr=CSR["sstatus"], rs1=5, rd=0), encode(operation, csr=CSR["mstatus"], rs1=5, rd=0)]
    return Unit(16, lambda here, target: words)


def reservation(random: Random) -> Unit:
    """LR and SC to the same place or beside it, perhaps with a store of the same hart between."""
    width = random.choice("wd")
    order = {"aq": random.getrandbits(1), "rl": random.getrandbits(1)}
    offset = data_address(random) & ~7
    words = [encode(f"lr.{width}", rd=11, rs1=8, **order)]
    if random.random() < 0.4:
        words.append(encode(random.choice(("sb", "sw", "sd")), imm=random.choice((0, 0, 4, 8, 64)), rs1=8, rs2=11))
    if random.random() < 0.2:
        words.append(encode("addi", imm=4, rd=8, rs1=8))
    width = width if random.random() < 0.8 else random.choice("wd")
    words += [encode(f"sc.{width}", rd=random.randrange(10, 16), rs1=8, rs2=random.randrange(32), **order)] * 2
    return Unit(8 + 4 * len(words), lambda here, target: [*address_into(8, here, offset), *words])


def refresh(random: Random) -> Unit:
    """Pointers and fuel as they were at first."""
    addresses = [data_address(random) for _ in POINTERS]

    def words(here: int, target: int) -> list[int]:
        found = [encode("addi", imm=30, rd=FUEL, rs1=0)]
        for register, address in zip(POINTERS, addresses, strict=True):
            found += address_into(register, here + 4 * len(found), address)
        return found

    return Unit(4 + 8 * len(POINTERS), words)


def again(random: Random) -> Unit:
    """Back to the first unit: the program never ends."""
    return Unit(4, lambda here, target: [encode("jal", imm=target - here, rd=0)], -CODE_SIZE)


def neighbours(random: Random) -> Unit:
    """Loads or stores of one size beside each other through one pointer, as a function saves registers."""
    names = random.choice((("lb", "lbu"), ("lh", "lhu"), ("lw", "lwu"), ("ld",), ("sb",), ("sh",), ("sw",), ("sd",)))
    if "d" in names[0] and random.random() < 0.3:
        names = (*names, "f" + names[0])
    size = 1 << "bhwd".index(names[0][1])
    step = size if random.random() < 0.9 else 1
    pointer = random.choice(POINTERS)
    first = step * random.randrange(-20, 20)
    words = []
    for number in range(random.randrange(3, 20)):
        name = random.choice(names)
        offset = first + step * (random.randrange(-20, 20) if random.random() < 0.3 else number)
        data = random.choice((0, 5, 10, 15, 20, 27)) if random.random() < 0.97 else pointer
        words.append(access(name, pointer, offset, data))
    return Unit(4 * len(words), lambda here, target: words)


def access(name: str, pointer: int, offset: int, data: int) -> int:
    """A load or a store."""
    return encode(name, rs1=pointer, imm=offset, **{"rd" if "l" in name else "rs2": data})


def page_table(random: Random, invalidate: bool = False) -> Unit:
    """Change the entry of a page of DATA between accesses to it. U-mode, and S-mode under TVM, skip all of it."""
    page = random.randrange(DATA // PAGE, (DATA + DATA_SIZE) // PAGE)
    place = page * PAGE + random.randrange(0, PAGE, 16)
    value = BASE + random.randrange(DATA, DATA + DATA_SIZE, PAGE) >> 2 | random_flags(random, random.choice((0, U)))
    fence = [encode("sfence.vma", rs1=random.choice((0, 7)), rs2=0)]
    if invalidate:
        fence = [encode("sfence.w.inval"), encode("sinval.vma", rs1=7, rs2=0), encode("sfence.inval.ir")]
    accesses = [access(random.choice(ACCESSES), 7, 0, data) for data in DATA_REGISTERS]

    def words(here: int, target: int) -> list[int]:
        body = [*address_into(7, here + 12, place), encode("ld", rd=10, rs1=7), *table_entry(value)]
        body += [*address_into(5, here + 12 + 4 * len(body), TABLES + 8 * page), encode("sd", rs1=5, rs2=6)]
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
    accesses = [access(random.choice(ACCESSES), 7, 0, data) for data in DATA_REGISTERS]

    def words(here: int, target: int) -> list[int]:
        body = address_into(7, here + 12, 0)
        body += [encode("srli", imm=21, rd=7, rs1=7), encode("addi", imm=side, rd=7, rs1=7)]
        body += [encode("andi", imm=511, rd=7, rs1=7), encode("slli", imm=3, rd=7, rs1=7), *table_entry(value)]
        body += [*address_into(5, here + 12 + 4 * len(body), TABLES + PAGE), encode("add", rd=5, rs1=5, rs2=7)]
        body += [encode("sd", rs1=5, rs2=6), encode("sfence.vma", rs1=0, rs2=0)]
        body += address_into(7, here + 12 + 4 * len(body), place)
        return if_paging(body + accesses)

    return Unit(4 * len(words(0, 0)), words)


def address_space(random: Random) -> Unit:
    """Another ASID, with the same tables: nothing else changes."""
    body = [encode("addi", imm=7, rd=6, rs1=0), encode("slli", imm=44, rd=6, rs1=6)]
    body.append(encode(random.choice(("csrrs", "csrrc")), csr=CSR["satp"], rs1=6, rd=0))
    words = if_paging(body)
    return Unit(4 * len(words), lambda here, target: words)


def if_paging(body: list[int]) -> list[int]:
    """Skip the body where satp is 0, or cannot be read: that traps, and x5 stays 0."""
    probe = [encode("addi", rd=5, rs1=0), encode("csrrs", csr=CSR["satp"], rs1=0, rd=5)]
    return [*probe, encode("beq", imm=4 + 4 * len(body), rs1=5, rs2=0), *body]


def table_entry(value: int) -> list[int]:
    """x6 = a page table entry whose address is below 2**33, by way of x5."""
    low = value & (1 << 31) - 1
    upper = (low + 0x800) >> 12 << 12
    return [
        encode("lui", imm=upper, rd=6), encode("addi", imm=low - upper, rd=6, rs1=6),
        encode("addi", imm=value >> 54, rd=5, rs1=0), encode("slli", imm=54, rd=5, rs1=5),
        encode("or", rd=6, rs1=6, rs2=5),
    ]  # fmt: skip


def software_interrupt(random: Random) -> Unit:
    """The line of the CLINT, in M-mode. Spike looks for interrupts when a CSR is accessed, so until then it is off."""
    level = random.choice((0, 1, 1))
    body = [
        encode("lui", imm=MSIP, rd=6), encode("addi", imm=level, rd=7, rs1=0), encode("sw", rs1=6, rs2=7),
        encode("csrrs", csr=CSR["mip"], rs1=0, rd=7), encode("csrrsi", csr=CSR["mie"], zimm=8, rd=0),
        encode("csrrsi", csr=CSR["mstatus"], zimm=random.choice((0, 8, 8)), rd=0),
    ]  # fmt: skip
    # Below M-mode the access to mie traps, and x5 stays negative.
    words = [encode("addi", imm=-1, rd=5, rs1=0), encode("csrrci", csr=CSR["mie"], zimm=8, rd=5)]
    words += [encode("blt", imm=4 + 4 * len(body), rs1=5, rs2=0), *body]
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
            *address_into(5, here, place), encode("srli", imm=2, rd=5, rs1=5),
            encode("ori", imm=(size >> 3) - (size > 4), rd=5, rs1=5),
            encode("addi", imm=255, rd=6, rs1=0), encode("slli", imm=8 * entry, rd=6, rs1=6),
            encode("csrrc", csr=CSR["pmpcfg0"], rs1=6, rd=0), encode("csrrw", csr=CSR["pmpaddr0"] + entry, rs1=5, rd=0),
            encode("addi", imm=setting, rd=6, rs1=0), encode("slli", imm=8 * entry, rd=6, rs1=6),
            encode("csrrs", csr=CSR["pmpcfg0"], rs1=6, rd=0), encode("sfence.vma", rs1=0, rs2=0),
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
    "neighbours": Special(neighbours, 3, "D"),
    "page table": Special(page_table, 5),
    "page table, Svinval": Special(page_table_invalidated, 3, "Svinval"),
    "superpage": Special(superpage, 4),
    "address space": Special(address_space, 2),
    "software interrupt": Special(software_interrupt, 3),
    "protection": Special(protection, 3),
}
