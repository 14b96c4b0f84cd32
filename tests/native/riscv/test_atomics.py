"""Load-reserved, store-conditional and atomic operations (unprivileged specification, chapter 13)."""

import pytest

from tests.assembler import BASE

LOAD_MISALIGNED, LOAD_ACCESS, STORE_MISALIGNED, STORE_ACCESS, STORE_PAGE = 4, 5, 6, 7, 15
U64 = (1 << 64) - 1
DATA = BASE + 0x10000
pytestmark = pytest.mark.usefixtures("dispatch")


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


OPERATIONS = {
    "swap": lambda old, new, bits: new,
    "add": lambda old, new, bits: old + new,
    "xor": lambda old, new, bits: old ^ new,
    "and": lambda old, new, bits: old & new,
    "or": lambda old, new, bits: old | new,
    "min": lambda old, new, bits: min(signed(old, bits), signed(new, bits)),
    "max": lambda old, new, bits: max(signed(old, bits), signed(new, bits)),
    "minu": lambda old, new, bits: min(old % (1 << bits), new % (1 << bits)),
    "maxu": lambda old, new, bits: max(old % (1 << bits), new % (1 << bits)),
}
VALUES = [
    (0, 0), (1, U64), (U64, 1), (0x7FFF_FFFF, 0x8000_0000), (0x8000_0000, 0x7FFF_FFFF), (1 << 63, (1 << 63) - 1),
    ((1 << 63) - 1, 1 << 63), (0x1234_5678_9ABC_DEF0, 0x0FED_CBA9_8765_4321), (0xFFFF_FFFF, 1),
]  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("suffix, bits", [("w", 32), ("d", 64)])
def test_amo(operation, suffix, bits, guest):
    """rd is the old value, sign-extended; memory beside the operand stays."""
    g = guest(f"1: amo{operation}.{suffix} a1, a2, (a0); wfi; j 1b")
    for old, operand in VALUES:
        g.store(DATA, U64)
        g.store(DATA + 8, U64)
        g.store(DATA, old % (1 << bits), bits // 8)
        g["a0"], g["a2"] = DATA, operand
        g.hart.pc = BASE
        g.finish()
        assert g["a1"] == signed(old, bits) % (1 << 64)
        assert g.word(DATA, bits // 8) == OPERATIONS[operation](old, operand, bits) % (1 << bits)
        assert g.memory.read(DATA + bits // 8, 8) == b"\xff" * 8


def test_amo_with_rd_as_operand(guest):
    g = guest("amoadd.d a1, a1, (a0); amoswap.d a0, a0, (a0); wfi")
    g.store(DATA, 40)
    g["a0"], g["a1"] = DATA, 2
    g.finish()
    assert (g["a0"], g["a1"], g.word(DATA)) == (42, 40, DATA)


def test_amo_into_x0(guest):
    g = guest("amoadd.w zero, a1, (a0); wfi")
    g["a0"], g["a1"] = DATA, 5
    g.finish()
    assert g.word(DATA) == 5 and g["x0"] == 0


@pytest.mark.parametrize("instruction, size, cause", [
    ("lr.w a1, (a0)", 4, LOAD_MISALIGNED), ("lr.d a1, (a0)", 8, LOAD_MISALIGNED),
    ("sc.w a1, a2, (a0)", 4, STORE_MISALIGNED), ("sc.d a1, a2, (a0)", 8, STORE_MISALIGNED),
    ("amoadd.w a1, a2, (a0)", 4, STORE_MISALIGNED), ("amomaxu.d a1, a2, (a0)", 8, STORE_MISALIGNED),
])  # fmt: skip
def test_misaligned_atomic_traps(instruction, size, cause, guest):
    """Also where the page is in the TLB already."""
    g = guest(f"ld t0, 0(a3); sd t0, 0(a3); at: {instruction}; wfi")
    for offset in range(1, size):
        g["a0"], g["a3"] = DATA + offset, DATA
        g.hart.pc = BASE
        assert g.trap() == (cause, g.address("at"), DATA + offset)


@pytest.mark.parametrize("instruction, cause", [
    ("lr.w a1, (a0)", LOAD_ACCESS), ("sc.w a1, a2, (a0)", STORE_ACCESS), ("amoadd.w a1, a2, (a0)", STORE_ACCESS),
])  # fmt: skip
@pytest.mark.parametrize("address", [0, 0x1000_0000])
def test_atomic_outside_ram_is_an_access_fault(instruction, cause, address, guest):
    """Devices do not support atomics."""
    g = guest(f"{instruction}; wfi")
    g["a0"] = address
    assert g.trap() == (cause, BASE, address)


def test_amo_on_a_read_only_page_is_a_store_page_fault(guest):
    g = guest("amoadd.w a1, a2, (a0); wfi")
    g.open_pmp()
    root = BASE + 0x12000
    g.store(root + 16, BASE >> 12 << 10 | 0xC3)             # 1 GiB, readable
    g["satp"], g["mstatus"] = 8 << 60 | root >> 12, 1 << 17 | 1 << 11
    g["a0"] = DATA
    assert g.trap() == (STORE_PAGE, BASE, DATA)


# --- LR and SC -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("suffix, bits", [("w", 32), ("d", 64)])
def test_store_conditional_succeeds_after_load_reserved(suffix, bits, guest):
    g = guest(f"lr.{suffix} a1, (a0); sc.{suffix} a3, a2, (a0); wfi")
    g.store(DATA, U64 - 1)
    g["a0"], g["a2"], g["a3"] = DATA, 7, 99
    g.finish()
    assert (g["a1"], g["a3"]) == (U64 - 1, 0)
    assert g.word(DATA, bits // 8) == 7
    assert g.word(DATA) == (7 if bits == 64 else 0xFFFF_FFFF_0000_0007)


@pytest.mark.parametrize("between", [
    "sc.w t0, a2, (a0)",                # every SC ends the reservation
    "sc.w t0, a2, (a4)",                # also one to another address, which fails
    "sw a2, 0(a0)",                     # the value is another one
    "addi a0, a0, 4",                   # not the address that was reserved
    "lr.w t0, (a4)",                    # the latest LR counts
])  # fmt: skip
def test_store_conditional_fails(between, guest):
    g = guest(f"lr.w a1, (a0); {between}; li a5, 55; sc.w a3, a5, (a0); wfi")
    g["a0"], g["a2"], g["a4"] = DATA, 7, DATA + 64
    g.finish()
    assert g["a3"] == 1
    assert g.word(g["a0"], 4) != 55


def test_store_conditional_without_reservation_fails(guest):
    g = guest("sc.d a3, a2, (a0); wfi")
    g["a0"], g["a2"] = DATA, 7
    g.finish()
    assert g["a3"] == 1 and g.word(DATA) == 0


def test_store_conditional_of_another_virtual_address_of_the_same_word(guest):
    """The reservation is on physical memory."""
    g = guest("lr.w a1, (a0); sc.w a3, a2, (a4); wfi")
    g.open_pmp()
    root = BASE + 0x12000
    for gigabyte in (2, 3):
        g.store(root + 8 * gigabyte, BASE >> 12 << 10 | 0xC7)
    g["satp"], g["mstatus"] = 8 << 60 | root >> 12, 1 << 17 | 1 << 11
    g["a0"], g["a4"], g["a2"] = DATA, DATA + (1 << 30), 7
    g.finish()
    assert g["a3"] == 0 and g.word(DATA, 4) == 7


def test_failed_store_conditional_leaves_the_page_clean(guest):
    g = guest("sc.d a3, a2, (a0); wfi")
    g["a0"] = DATA
    g.finish()
    assert g.word(DATA) == 0


# --- Several harts ---------------------------------------------------------------------------------------------------

COUNT = """
    li   s0, 2000
    li   t2, 1
    la   s1, counter
1:  {increment}
    addi s0, s0, -1
    bnez s0, 1b
    wfi
    .balign 8
counter:
    .dword 0
"""
WAYS = {
    "amo": "amoadd.d zero, t2, (s1)",
    "lr-sc": "2: lr.d t0, (s1); addi t0, t0, 1; sc.d t1, t0, (s1); bnez t1, 2b",
    "spin lock": "2: amoswap.w.aq t0, t2, 8(s1); bnez t0, 2b; ld t0, 0(s1); addi t0, t0, 1; sd t0, 0(s1);"
                 " amoswap.w.rl zero, zero, 8(s1)",
}


@pytest.mark.parametrize("way", ["amo", "lr-sc", "spin lock"])
@pytest.mark.parametrize("slice_of", [1_000_000, 7])
def test_harts_count_together(way, slice_of, guest):
    """No increment is lost, whatever step the harts change places at."""
    increment = WAYS[way].replace("8(s1)", "(s2)")
    g = guest(COUNT.format(increment=increment).replace("la   s1, counter", "la s1, counter\n la s2, lock")
              + "\nlock: .dword 0\n", harts=4)
    while g.run(instructions=slice_of).reason.value != "idle":
        pass
    assert g.word("counter") == 4 * 2000
    assert {hart.state for hart in g.machine.harts} == {"waiting"}


def test_store_of_another_hart_breaks_the_reservation(guest):
    """Hart 0 reserves; hart 1 stores in a later turn; hart 0 fails."""
    g = guest("""
        bnez a0, other
        la   s0, word
        lr.w t0, (s0)
        li   t1, 40000                  # longer than hart 1 takes to its store
    1:  addi t1, t1, -1
        bnez t1, 1b
        li   t2, 5
        sc.w a3, t2, (s0)
        wfi
    other:
        li   t1, 10000
    2:  addi t1, t1, -1
        bnez t1, 2b
        la   s0, word
        li   t2, 9
        sw   t2, 0(s0)
        wfi
        .balign 8
    word:
        .dword 0
    """, harts=2)
    g["a3"] = 99
    g.finish()
    assert g["a3"] == 1 and g.word("word") == 9
