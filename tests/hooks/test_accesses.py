"""on_read and on_write: which accesses, with which values before and after, on each engine.

What an instruction leaves in memory and registers follows from the specification of it; the tests compute it.
"""

import pytest

import vm
from tests.hooks.kinds import FAR

pytestmark = pytest.mark.usefixtures("dispatch")
PAGE = 4096
OLD, NEW = 0x8796_A5B4_C3D2_E1F0, 0x0112_2334_4556_6778
FLOATS_ON = "li t0, 0x6000; csrs mstatus, t0\n"
LOADS = {"lb": 1, "lbu": 1, "lh": 2, "lhu": 2, "lw": 4, "lwu": 4, "ld": 8, "flw": 4, "fld": 8, "lr.w": 4, "lr.d": 8}
STORES = {"sb": 1, "sh": 2, "sw": 4, "sd": 8, "fsw": 4, "fsd": 8}
# What becomes of the old value and the operand, both of so many bits.
ATOMICS = {
    "amoswap": lambda old, new, bits: new, "amoadd": lambda old, new, bits: old + new,
    "amoxor": lambda old, new, bits: old ^ new, "amoand": lambda old, new, bits: old & new,
    "amoor": lambda old, new, bits: old | new, "amomaxu": lambda old, new, bits: max(old, new),
    "amominu": lambda old, new, bits: min(old, new),
    "amomax": lambda old, new, bits: max(old, new, key=lambda number: signed(number, bits)),
    "amomin": lambda old, new, bits: min(old, new, key=lambda number: signed(number, bits)),
}


def signed(number: int, bits: int) -> int:
    return number - (number >> (bits - 1) << bits)


def low(number: int, size: int) -> int:
    return number & (1 << 8 * size) - 1


def accessed(g, where=FAR, size=64, **options) -> list[tuple]:
    """Hear of reads and writes there: (access, address, size, value, old), filled as the guest runs."""
    seen = []

    def note(access):
        seen.append((access.access, access.address, access.size, access.value, access.old))

    g.machine.on_read(where, note, size=size, **options)
    g.machine.on_write(where, note, size=size, **options)
    return seen


def operand(instruction: str) -> str:
    name = instruction.partition(".")[0]
    register = "fa2" if name[0] == "f" else "a2"
    return f"{instruction} {register}, {'(a0)' if name == 'lr' else '0(a0)'}"


def with_operands(guest, source: str, address: int = FAR, **options):
    """a0 points to OLD, a2 and fa2 are NEW."""
    g = guest(FLOATS_ON + "fmv.d.x fa2, a2\n" + source + "\nbehind: wfi", **options)
    g["a0"], g["a2"] = address, NEW
    g.store(address, OLD)
    return g


@pytest.mark.parametrize("space", ["virtual", "physical"])
@pytest.mark.parametrize("offset", [0, 3, PAGE - 5])
@pytest.mark.parametrize("instruction", LOADS)
def test_loads_tell_what_stands_there(instruction, offset, space, guest):
    size = LOADS[instruction]
    offset -= offset % size if instruction[:2] == "lr" else 0
    g = with_operands(guest, operand(instruction), FAR + offset)
    seen = accessed(g, FAR, 2 * PAGE, space=space)
    g.finish()
    assert seen == pieces("read", FAR + offset, size, OLD, OLD)


@pytest.mark.parametrize("space", ["virtual", "physical"])
@pytest.mark.parametrize("offset", [0, 3, PAGE - 5])
@pytest.mark.parametrize("instruction", STORES)
def test_stores_tell_what_stood_there_too(instruction, offset, space, guest):
    size = STORES[instruction]
    g = with_operands(guest, operand(instruction), FAR + offset)
    seen = accessed(g, FAR, 2 * PAGE, space=space)
    g.finish()
    assert seen == pieces("write", FAR + offset, size, NEW, OLD)


def pieces(access: str, address: int, size: int, value: int, old: int) -> list[tuple]:
    """One access, or one on each of two pages."""
    first = min(size, PAGE - address % PAGE)
    found = [(access, address, first, low(value, first), low(old, first))]
    if first < size:
        rest, shift = size - first, 8 * first
        found.append((access, address + first, rest, low(value >> shift, rest), low(old >> shift, rest)))
    return found


@pytest.mark.parametrize("width, size", [("w", 4), ("d", 8)])
@pytest.mark.parametrize("name", ATOMICS)
def test_atomics_read_and_write(name, width, size, guest):
    g = with_operands(guest, f"{name}.{width} a1, a2, (a0)")
    seen = accessed(g)
    g.finish()
    old = low(OLD, size)
    new = low(ATOMICS[name](old, low(NEW, size), 8 * size), size)
    assert seen == [("read", FAR, size, old, old), ("write", FAR, size, new, old)]
    assert low(g["a1"], size) == old and g.word(FAR, size) == new


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("width, size", [("b", 1), ("h", 2), ("w", 4), ("d", 8)])
def test_exchanges_read_and_write(width, size, equal, guest):
    """A compare-and-swap that finds another value writes what it found (chapter 16.1 permits that)."""
    code = {"b": 0, "h": 1, "w": 2, "d": 3}[width]
    g = with_operands(guest, f".insn r 0x2f, {code}, 0x14, a3, a0, a2", isa="rv64gc_zacas_zabha")
    g["a3"] = OLD + (not equal)
    seen = accessed(g)
    g.finish()
    old = low(OLD, size)
    new = low(NEW, size) if equal else old
    assert seen == [("read", FAR, size, old, old), ("write", FAR, size, new, old)] and g.word(FAR, size) == new


@pytest.mark.parametrize("equal", [True, False])
def test_quadwords_tell_their_first_half(equal, guest):
    g = with_operands(guest, ".insn r 0x2f, 4, 0x14, a6, a0, a4", isa="rv64gc_zacas")
    g["a4"], g["a5"], g["a6"], g["a7"] = NEW, 7, OLD + (not equal), 0
    g.store(FAR + 8, 0)
    seen = accessed(g)
    g.finish()
    assert seen == [("read", FAR, 16, OLD, OLD), ("write", FAR, 16, NEW if equal else OLD, OLD)]
    assert g.word(FAR + 8) == (7 if equal else 0)


def test_a_block_that_is_zeroed(guest):
    g = with_operands(guest, "addi a0, a0, 8; .insn i 0x0f, 2, zero, a0, 4", isa="rv64gc_zicboz")
    seen = accessed(g, FAR + 40, 1)
    g.finish()
    assert seen == [("write", FAR, 64, 0, OLD)]


def test_a_store_conditional_tells_only_if_it_stores(guest):
    g = with_operands(guest, "sc.d a1, a2, (a0); lr.d a3, (a0); sc.d a4, a2, (a0); sc.w a5, a2, (a0)")
    seen = accessed(g)
    g.finish()
    assert (g["a1"], g["a4"], g["a5"]) == (1, 0, 1)
    assert seen == [("read", FAR, 8, OLD, OLD), ("write", FAR, 8, NEW, OLD)]


def test_a_hook_between_load_reserved_and_store_conditional_breaks_nothing(guest):
    g = with_operands(guest, "lr.d a3, (a0)\nhere: addi a3, a3, 1; sc.d a4, a3, (a0)")
    accessed(g)
    g.machine.on_execute(range(g.address("here"), g.address("behind")), lambda hart: None)
    g.finish()
    assert g["a4"] == 0 and g.word(FAR) == OLD + 1


def test_only_bytes_of_the_range_count(guest):
    g = with_operands(guest, "".join(f"sb a2, {at}(a0); lb a1, {at}(a0)\n" for at in range(-2, 6)))
    seen = accessed(g, range(FAR, FAR + 4))
    g.finish()
    assert [(access, address - FAR) for access, address, *_ in seen] == [
        (access, at) for at in range(4) for access in ("write", "read")]


@pytest.mark.parametrize("size, expected", [(None, 4), (2, 2), (6, 6)])
def test_a_symbol_is_as_large_as_it_says(size, expected, guest):
    """Its neighbour is none of it, unless that is asked for; a label has no size."""
    g = guest("la a0, counter\n" + "".join(f"sb a2, {at}(a0)\n" for at in range(10)) + """
        wfi
        .type counter, @object
        .size counter, 4
    counter:
        .word 0
    neighbour:
        .word 0, 0
    """)
    seen, beside = [], []
    g.machine.on_write("counter", seen.append, size=size)
    g.machine.on_write("neighbour", beside.append)
    g.finish()
    counter = g.address("counter")
    assert [access.address - counter for access in seen] == list(range(expected))
    assert [access.address - counter for access in beside] == list(range(4, 10))


def test_pc_is_of_the_access_and_the_hart_behind_it(guest):
    g, seen = with_operands(guest, "here: sd a2, 0(a0)"), []
    g.machine.on_write(FAR, seen.append)
    g.machine.on_write(FAR, lambda access: seen.append(g.hart.pc))
    g.finish()
    assert (seen[0].pc, seen[0].hart, seen[1]) == (g.address("here"), g.hart, g.address("behind"))


def test_an_access_that_traps_is_none(guest):
    """Beyond RAM, of which only the first half is there: nothing has been accessed."""
    g = with_operands(guest, "sd a2, 0(a0)")
    end = 0x8020_0000
    g["a0"] = end - 4
    seen = accessed(g, range(end - 64, end + 64), space="virtual")
    assert g.trap().cause == 7 and not seen


def test_python_devices_and_fetches_do_not_count(guest):
    g = guest("nop; nop; wfi")
    seen = accessed(g, FAR) + accessed(g, g.hart.pc, 4)
    g.memory.write(FAR, b"12345678")
    assert g.memory.read(FAR, 8) == b"12345678"
    g.finish()
    assert not seen


def test_what_a_hook_writes_the_next_instruction_reads(guest):
    g = with_operands(guest, "sd a2, 0(a0); ld a3, 0(a0)")
    g.machine.on_write(FAR, lambda access: g.memory.write(access.address, access.old.to_bytes(8, "little")))
    g.finish()
    assert g["a3"] == OLD


def test_many_on_one_page_are_told_apart(guest):
    g, seen = with_operands(guest, "".join(f"sb a2, {at}(a0)\n" for at in range(64))), []
    for at in range(0, 64, 2):
        g.machine.on_write(FAR + at, lambda access, at=at: seen.append((at, access.address - FAR)), size=1)
    g.finish()
    assert seen == [(at, at) for at in range(0, 64, 2)]


# --- Virtual addresses -----------------------------------------------------------------------------------------------

# sv39 in supervisor mode: RAM at its physical address, at an alias 1 GiB above, and in the last gigapage.
PAGED = """
    la   t0, root; srli t1, t0, 12; li t2, 8 << 60; or t1, t1, t2; csrw satp, t1
    li   t1, 0x3fffffffffffff; csrw pmpaddr0, t1; li t1, 0x1f; csrw pmpcfg0, t1
    li   t1, 0x1800; csrc mstatus, t1; li t1, 0x800; csrs mstatus, t1
    la   t0, super; csrw mepc, t0; mret
super:
    {body}
    wfi
    .balign 4096
root:
    .dword 0, 0, (0x80000000 >> 2) | 0xcf, (0x80000000 >> 2) | 0xcf
    .zero 4056
    .dword (0x80000000 >> 2) | 0xcf
"""
ALIAS = 1 << 30
TOP = (1 << 64) - ALIAS - 0x8000_0000                # what is added to an address in RAM, modulo 2**64


@pytest.mark.parametrize("watched, expected", [(0, [1]), (ALIAS, [2]), (TOP, [3]), (None, [1, 2, 3])])
def test_virtual_is_one_address_and_physical_all_aliases(watched, expected, guest):
    g = guest(PAGED.format(body="1: li t3, 1; sd t3, 0(a0); li t3, 2; sd t3, 0(a1); li t3, 3; sd t3, 0(a2)\n"
                                "addi s1, s1, -1; bnez s1, 1b"))
    g["s1"], g["a0"], g["a1"], g["a2"] = 20, FAR, FAR + ALIAS, (FAR + TOP) % (1 << 64)
    seen = []

    def note(access):
        assert (access.address, access.physical) == ((0, g["a0"], g["a1"], g["a2"])[access.value], FAR)
        seen.append(access.value)

    where = FAR if watched is None else (FAR + watched) % (1 << 64)
    g.machine.on_write(where, note, space="physical" if watched is None else "virtual")
    g.finish()
    assert seen == expected * 20


def test_the_last_page_of_the_address_space(guest):
    """To the last byte: no address is behind it."""
    g = guest(PAGED.format(body="sb a1, -1(zero); sd a1, -8(zero); ld a2, -16(zero)"), memory="1G")
    g["a1"] = NEW
    seen, whole = accessed(g, (1 << 64) - 1, 1), accessed(g, range(1 << 63, 1 << 64))
    physical = accessed(g, range(0x8000_0000, 0x8000_0000 + ALIAS), space="physical")
    last = 1 << 64
    g.finish()
    byte, word = ("write", last - 1, 1, low(NEW, 1), 0), ("write", last - 8, 8, NEW, low(NEW, 1) << 56)
    assert seen == [byte, word] and whole == physical == [byte, word, ("read", last - 16, 8, 0, 0)]


def test_an_operand_on_two_pages_has_an_address_in_each(guest):
    """Virtual neighbours that are none in RAM: the second half of the address space's last gigapage comes first."""
    g, seen = guest(PAGED.format(body="sd a2, 0(a1)"), memory="2G"), []
    edge = 0x8000_0000 + ALIAS                      # maps RAM's first gigabyte again; in RAM its second one follows
    g["a1"], g["a2"] = edge - 4, NEW
    g.machine.on_write(range(edge - 4, edge + 4), seen.append)
    g.finish()
    assert [(access.address, access.physical, access.size) for access in seen] == [
        (edge - 4, edge - 4, 4), (edge, 0x8000_0000, 4)]


def test_virtual_needs_no_memory_to_be_there(guest):
    """The guest maps it later; a physical one must be RAM."""
    g = guest("wfi")
    g.machine.on_write(0x1000, print)
    with pytest.raises(vm.ConfigurationError, match="is not RAM"):
        g.machine.on_write(0x1000, print, space="physical")


def test_removed_ones_leave_the_fast_path(guest):
    g, seen = guest("1: sd a2, 0(a0); ld a1, 0(a0); addi s1, s1, -1; bnez s1, 1b; wfi"), []
    g["a0"], g["s1"] = FAR, 100
    for space in ("virtual", "physical"):
        with g.machine.on_write(FAR, seen.append, space=space), g.machine.on_read(FAR, seen.append, space=space):
            g.hart.pc, g["s1"] = g.machine.program.entry, 100
            g.finish()
    assert len(seen) == 400
    misses = g.machine.stats()["tlb_misses"]
    g.hart.pc, g["s1"] = g.machine.program.entry, 1000
    g.finish()
    now = g.machine.stats()["tlb_misses"]
    assert len(seen) == 400 and now["loads"] < misses["loads"] + 10 and now["stores"] < misses["stores"] + 10
