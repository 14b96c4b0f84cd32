"""Accesses that are told by one comparison where addresses are physical, many together: when they may not be.

Each program is run often enough that its blocks are compiled with accesses that ask windows, and nothing else.
"""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

import vm
from tests.assembler import BASE
from tests.native.riscv.paging import ALL, PAGE, A, D, PageTables, V, X, pte
from vm.devices import Device, reads, writes
from vm_native.state.content import RegionContent
from vm_native.state.image import RamImage

DATA = BASE + 0x8_0000
OTHER = BASE + 0x9_0000
END = BASE + (2 << 20)                  # of RAM
MMIO = 0x3000_0000
LOAD_ACCESS, LOAD_PAGE = 5, 13
LOCKED_NAPOT = 0x98
MPRV_SUPERVISOR = 1 << 17 | 1 << 11
MEGAPAGE, GIGAPAGE = 1, 2               # levels; RAM is no larger than either
TURNS = 100
AMOCAS_Q = 5 << 27 | 10 << 20 | 19 << 15 | 4 << 12 | 8 << 7 | 0x2F      # amocas.q s0, a0, (s3)

# s0 turns; loads and stores on both sides of what happens in the middle
PROGRAM = """
    .option norvc
1:  ld   a1, 0(s1)
    sd   a1, 64(s1)
    {middle}
    ld   a2, 8(s1)
    addi s1, s1, 16
    ld   a3, 0(s1)
    sd   a2, 56(s1)
    addi s1, s1, -16
    add  a4, a4, a3
    addi s0, s0, -1
    bnez s0, 1b
    wfi
"""


class Bell(Device):
    """Calls somebody at each access."""

    def __init__(self):
        super().__init__()
        self.called = lambda: None

    @reads(0)
    def load(self) -> int:
        self.called()
        return 7

    @writes(0)
    def store(self, value: int) -> None:
        self.called()


@pytest.fixture
def ringing(compiled):
    """ringing(middle) -> a guest in which that has s2 point to a bell, and the bell."""

    def make(middle: str, **options):
        bell = Bell()
        g = compiled(PROGRAM.format(middle=middle), devices=[(bell, MMIO)], **options)
        g["s0"], g["s1"], g["s2"] = TURNS, DATA, MMIO
        fill(g)
        return g, bell

    return make


def fill(g) -> None:
    for number in range(32):
        g.store(DATA + 8 * number, number + 1)


def test_one_test_serves_many(compiled, counters):
    """Twelve loads and eight stores through one register are less code than as many tests of pages."""
    accesses = [("ld", 12), ("sd", 8)]
    source = "1:" + "".join(f"{name} a0, {8 * i}(s1)\n" for name, count in accesses for i in range(count))
    sizes = {}
    for windows in (True, False):
        g = compiled(source + "addi s0, s0, -1; bnez s0, 1b; wfi", switches={"windows": windows, "grouping": False})
        g["s0"], g["s1"] = TURNS, DATA
        g.finish()
        sizes[windows] = counters(g)["host_bytes"]
    assert sizes[True] < sizes[False] / 2


def test_nothing_falls_back_once_pages_are_dirty(compiled, counters):
    g = compiled(PROGRAM.format(middle="nop"))
    g["s0"], g["s1"] = TURNS, DATA
    fill(g)
    g.finish()
    assert g["a4"] == 3 * TURNS
    assert counters(g)["fallbacks"] <= 3, "the first load, the first store and wfi"


@pytest.mark.parametrize("access", ["lw t0, 0(s2)", "sw t0, 0(s2)"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_device_is_reached_by_compiled_code(count, access, ringing, counters):
    """Where a second access would count on the first, the block is compiled anew, not left each time."""
    g, bell = ringing("; ".join([access] * count))
    calls = []
    bell.called = lambda: calls.append(g.hart.pc)
    g.finish()
    assert len(calls) == count * TURNS and g["a4"] == 3 * TURNS and g.word(DATA + 72) == 2
    assert (counters(g)["discarded"] > 0) == (count > 1)
    assert sum(counters(g)["exits"].values()) < TURNS / 4


# What wants rcx where an operand lives in no host register (s10 and s11), and what does not; a branch that may leave.
BETWEEN = {
    "nothing": ("nop", 0), "sum": ("add s3, s10, s11", 47), "rotation": ("rol s3, s10, s11", 42 << 5),
    "quotient": ("divu s3, s10, s11", 8), "remainder": ("rem s3, s10, s11", 2), "shift": ("sll s3, s10, s11", 42 << 5),
    "high product": ("mulhu s3, s10, s11", 0), "sum of shifted": ("sh1add s3, s10, s11", 89),
    "choice": ("czero.eqz s3, s10, s11", 42), "branch": ("bltu s10, s11, 2f; 2: add s3, s10, s11", 47),
    "device": ("lw s3, 0(s2)", 7), "device, then sum": ("lw s3, 0(s2); add s3, s3, s11", 12),
}  # fmt: skip


@pytest.mark.parametrize("between", BETWEEN)
def test_the_addend_of_windows_between_two_accesses(between, ringing):
    """What is added to addresses stays in a register of the host until something else wants that."""
    middle, expected = BETWEEN[between]
    g, _ = ringing(f".option arch, +zba, +zbb, +zicond; {middle}", isa="rv64gc_zba_zbb_zicond")
    g["s10"], g["s11"], g["s3"] = 42, 5, 0
    g.finish()
    assert (g["s3"], g["a2"], g["a4"]) == (expected, 2, 3 * TURNS)
    assert [g.word(DATA + 8 * number) for number in (7, 8, 9, 10)] == [8, 1, 2, 11]


@pytest.mark.parametrize("watch, offset", [("on_read", 8), ("on_read", 16), ("on_write", 64), ("on_write", 72)])
def test_what_is_watched_between_two_runs(watch, offset, compiled):
    g = compiled(PROGRAM.format(middle="nop"))
    fill(g)
    for count in (0, TURNS, 0):
        seen = []
        if count:
            watching = getattr(g.machine, watch)
            hook = watching(DATA + offset, lambda access, seen=seen: seen.append(access.address), size=8)
        g["s0"], g["s1"], g.hart.pc = TURNS, DATA, BASE
        g.finish()
        assert seen == [DATA + offset] * count
        if count:
            hook.remove()


def test_what_a_device_takes_away(ringing):
    """It locks the page, between two loads that are looked at together. The store to it is a block of its own."""
    g, bell = ringing("j 2f; 2: sw t0, 0(s2); j behind; behind:")
    turns = []

    def called():
        turns.append(g["s0"])
        if len(turns) == TURNS // 2:
            g["pmpaddr0"], g["pmpcfg0"] = DATA >> 2 | (PAGE >> 3) - 1, LOCKED_NAPOT

    bell.called = called
    assert g.trap() == (LOAD_ACCESS, g.address("behind"), DATA + 8)
    assert len(turns) == TURNS // 2


def test_an_entry_of_pmp_that_is_written_in_the_middle_counts_at_once(compiled):
    """The page behind is locked between two loads that are looked at together."""
    g = compiled(PROGRAM.format(middle="csrw pmpaddr0, s3; csrw pmpcfg0, s4"))
    g["s0"], g["s1"], g["s3"], g["s4"] = TURNS, DATA, 0, 0
    fill(g)
    g.finish()
    g["s0"], g["s3"], g["s4"], g.hart.pc = TURNS, DATA >> 2 | (PAGE >> 3) - 1, LOCKED_NAPOT, BASE
    assert g.trap() == (LOAD_ACCESS, BASE + 16, DATA + 8)


def test_a_base_that_is_the_second_register_of_a_pair(compiled):
    """amocas.q writes two, of which the uop names the first. s1 is the second, and in the end it points to nothing."""
    g = compiled(PROGRAM.format(middle=f".word {AMOCAS_Q:#x}"), isa="rv64gc_zacas")
    g["s3"] = OTHER
    g.store(OTHER, 1)
    g.store(OTHER + 8, DATA)
    for _ in range(3):
        g["s1"], g.hart.pc = DATA, BASE
        g.finish()
    g.store(OTHER + 8, MMIO)
    g["s1"], g.hart.pc = DATA, BASE
    assert g.trap() == (LOAD_ACCESS, BASE + 12, MMIO + 8)


def test_the_ends_of_ram(compiled):
    """Each address on its own: behind the last byte, in front of the first, and where 2^64 ends."""
    g = compiled(".option norvc\n1: ld a0, -8(s1); ld a1, -16(s1); addi s0, s0, -1; bnez s0, 1b; wfi")
    g["s0"], g["s1"] = TURNS, END
    g.store(END - 8, 5)
    g.finish()
    assert g["a0"] == 5
    for address in (END + 8, BASE, 8, 1 << 63, BASE + (1 << 32)):
        g["s0"], g["s1"], g.hart.pc = TURNS, address, BASE
        assert g.trap() == (LOAD_ACCESS, BASE, (address - 8) % (1 << 64))


@pytest.mark.parametrize("offset", [PAGE - 64, PAGE - 68, PAGE - 61])
def test_stores_that_lie_on_two_pages(offset, compiled, counters):
    """Looked at together, they are in one window once both pages are dirty."""
    g = compiled(PROGRAM.format(middle="nop"))
    fill(g)
    for _ in range(3):
        g["a4"], g["s0"], g["s1"], g.hart.pc = 0, TURNS, DATA + offset - 16, BASE
        g.finish()
    before = counters(g)["fallbacks"]
    g["s0"], g["s1"], g.hart.pc = TURNS, DATA + offset - 16, BASE
    g.finish()
    assert counters(g)["fallbacks"] == before + 1
    assert counters(g)["discarded"] == 0


def test_ram_elsewhere(compiled):
    """A second region is none of the window, whatever its pages are where the host has them."""
    g = compiled(PROGRAM.format(middle="nop"))
    g.machine.map(0x4000_0000, "64K")
    fill(g)
    for address in (DATA, 0x4000_0000, DATA, 0x4000_8000):
        g.memory.write(address, g.memory.read(DATA, 64))
        g["a4"], g["s0"], g["s1"], g.hart.pc = 0, TURNS, address, BASE
        g.finish()
        assert g["a4"] == 3 * TURNS and (g.word(address + 64), g.word(address + 72)) == (1, 2)


def test_a_restore_undoes_stores(compiled):
    """Pages that are clean again are not in the window of a register that has been there."""
    g = compiled("1: sd s1, 0(s1); addi s1, s1, 256; addi s0, s0, -1; bnez s0, 1b; wfi")
    pages = 8
    g["s0"], g["s1"] = pages * PAGE // 256, DATA
    snapshot = g.machine.snapshot()
    for _ in range(3):
        g.finish()
        assert g.word(DATA + pages * PAGE - 256) == DATA + pages * PAGE - 256
        g.machine.restore(snapshot)
        assert g.memory.read(DATA, pages * PAGE) == bytes(pages * PAGE)


def test_pages_that_are_still_to_be_fetched(compiled):
    """Code that asks windows is still there after a restore to a state of which no page is there yet."""
    g = compiled(PROGRAM.format(middle="ld a5, 0(s3)"))
    fill(g)
    g["s3"] = OTHER
    g.store(OTHER, 5)
    for _ in range(3):
        g["a4"], g["s0"], g["s1"], g.hart.pc = 0, TURNS, DATA, BASE
        g.finish()
    g["a4"], g["s0"], g.hart.pc = 0, TURNS, BASE
    g.store(DATA + 16, 30)
    content = g.memory.read(BASE, END - BASE)
    fetched = []

    def load(page):
        fetched.append(page)
        return page, content[page * PAGE:(page + 1) * PAGE]

    image = RamImage(END - BASE, b"\1" * ((END - BASE) // PAGE), load)
    g.machine._native.restore((RegionContent(image, BASE),), [native.save() for native in g.machine._natives])
    g.finish()
    assert (g["a4"], g["a5"]) == (30 * TURNS, 5)
    assert (DATA - BASE) // PAGE in fetched and len(fetched) < 16


@pytest.mark.parametrize("loop", ["bnez s0, 1b", "andi t0, s0, 7; beqz t0, 1b; bnez s0, 1b"])
def test_edges_where_traces_are_left_at_accesses(loop, guest):
    """Each page is stored to for the first time in a turn of its own, by two stores that are looked at together."""
    source = f"1: sd s0, 0(s1); sd s0, 8(s1); ld a1, 4(s1); addi s1, s1, 1000; addi s0, s0, -1; {loop}; wfi"
    found = []
    for engine in ("interpreter", "jit"):
        g = guest(source, engine=engine, settings=replace(vm.Settings.from_environment(), hot=2))
        with g.machine.edge_map() as edges:
            g["s0"], g["s1"] = 400, DATA
            g.finish()
            found.append((edges.array.tobytes(), g.machine.steps, g["a1"]))
    assert found[0] == found[1] and any(found[0][0])


# --- Paging ----------------------------------------------------------------------------------------------------------

def in_supervisor(compiled, flags: int = ALL, middle: str = "nop"):
    """A gigapage shows RAM where it is; and the place of its entry. A load opens the window before the code is hot."""
    g = compiled(PROGRAM.format(middle=middle), hot=4)
    g.open_pmp()
    tables = PageTables(g)
    place = tables.map(BASE, BASE, flags, GIGAPAGE)
    g["satp"] = tables.satp
    g.hart.privilege = 1
    fill(g)
    g["s0"], g["s1"] = TURNS, DATA
    return g, place


def test_a_large_page_at_its_physical_address(compiled):
    g, _ = in_supervisor(compiled)
    for _ in range(3):
        g["a4"], g["s0"], g.hart.pc = 0, TURNS, BASE
        g.finish()
        assert g["a4"] == 3 * TURNS


@pytest.mark.parametrize("fence", ["sfence.vma", "sfence.vma s1", "sfence.vma x0, s5"])
def test_a_fence_ends_it(fence, compiled):
    """The entry loses its permission to read between two loads that are looked at together."""
    g, place = in_supervisor(compiled, middle=f"sd s4, 0(s3); {fence}")
    g["s3"], g["s4"], g["s5"] = OTHER, 0, 0
    g.finish()
    assert g["a4"] == 3 * TURNS
    g["s0"], g["s3"], g["s4"], g.hart.pc = TURNS, place, pte(BASE, D | A | X | V), BASE
    assert g.trap() == (LOAD_PAGE, BASE + 16, DATA + 8)


def test_the_same_code_with_and_without_paging(compiled):
    """In S-mode the data are elsewhere once satp says so, and at their physical address when it no longer does."""
    g = compiled(PROGRAM.format(middle="nop"))
    g.open_pmp()
    tables = PageTables(g)
    for page in range(BASE, BASE + 0x2000, PAGE):
        tables.map(page, page)
    tables.map(DATA, OTHER)
    fill(g)
    g.memory.write(OTHER, bytes(PAGE))
    g.store(OTHER + 16, 1000)
    for satp, each in [(0, 3), (tables.satp, 1000), (0, 3), (tables.satp, 1000), (0, 3)]:
        g["satp"] = satp
        g.hart.privilege = 1
        g["a4"], g["s0"], g["s1"], g.hart.pc = 0, TURNS, DATA, BASE
        g.finish()
        assert g["a4"] == each * TURNS


def host_address(g, physical: int) -> int:
    return np.frombuffer(g.memory.view(physical, 1), np.uint8).__array_interface__["data"][0]


def test_an_address_that_only_the_host_takes_for_a_physical_one(compiled):
    """A page of a second region is mapped just where the host has it, seen from where it has the first."""
    g = compiled(PROGRAM.format(middle="nop"), hot=4)
    g.open_pmp()
    g.machine.map(0x4000_0000, "64K")
    tables = PageTables(g)
    tables.map(BASE, BASE, ALL, MEGAPAGE)
    alias = BASE + host_address(g, 0x4000_0000) - host_address(g, BASE)
    assert not BASE <= alias < END and 0 < alias < 1 << 38
    for offset in range(0, 0x1_0000, PAGE):
        tables.map(alias + offset, 0x4000_0000 + offset)
    g["satp"] = tables.satp
    fill(g)
    for address in (DATA, alias, alias + PAGE, DATA):
        physical = address if address == DATA else 0x4000_0000 + address - alias
        g.memory.write(physical, g.memory.read(DATA, 64))
        g.hart.privilege = 1
        for _ in range(3):
            g["a4"], g["s0"], g["s1"], g.hart.pc = 0, TURNS, address, BASE
            g.finish()
            assert g["a4"] == 3 * TURNS and (g.word(physical + 64), g.word(physical + 72)) == (1, 2)


def test_m_mode_that_borrows_the_privilege_of_another(compiled):
    """MPRV, with paging: the window of M-mode is not asked."""
    g = compiled(PROGRAM.format(middle="nop"), hot=4)
    g.open_pmp()
    tables = PageTables(g)
    tables.map(DATA, OTHER)
    fill(g)
    g.store(OTHER + 16, 1000)
    g["satp"] = tables.satp
    for status, each in [(0, 3), (MPRV_SUPERVISOR, 1000), (0, 3)]:
        g["mstatus"] = status
        g["a4"], g["s0"], g["s1"], g.hart.pc = 0, TURNS, DATA, BASE
        g.finish()
        assert g["a4"] == each * TURNS


# --- At random -------------------------------------------------------------------------------------------------------

REGISTERS = ("a0", "a1", "a2", "a3", "a4", "a5", "t0", "t1")
LOADS, STORES = ("lb", "lbu", "lh", "lhu", "lw", "lwu", "ld"), ("sb", "sh", "sw", "sd")
SHIFTS, SUMS = ("slli", "srli", "srai", "slliw", "srliw", "sraiw"), ("add", "addw", "sub", "or", "xor", "and")
OTHERS = ("div", "remuw", "mulhu", "mulhsu", "sll", "sraw", "sltu")


def random_line(random: Random) -> str:
    """Pointers are s1 to s3, which stay near their pages; what waits for its reader waits across loads and stores."""
    rd, a, b = (random.choice(REGISTERS) for _ in range(3))
    base, offset = f"s{random.randint(1, 3)}", random.randrange(-64, 64)
    kind = random.choices(("load", "store", "shift", "sum", "other", "constant", "move", "copy", "branch"),
                          (30, 20, 15, 20, 8, 8, 8, 3, 3))[0]
    return {
        "load": f"{random.choice(LOADS)} {rd}, {offset}({base})",
        "store": f"{random.choice(STORES)} {a}, {offset}({base})",
        "shift": f"{random.choice(SHIFTS)} {rd}, {a}, {random.randrange(1, 32)}",
        "sum": f"{random.choice(SUMS)} {rd}, {a}, {b}",
        "other": f"{random.choice(OTHERS)} {rd}, {a}, {b}",
        "constant": f"li {rd}, {random.choice((0, 1, 255, 0xFFFF, 0x1234_5678, -1))}",
        "move": f"addi {base}, {base}, {random.choice((-8, -1, 3, 8))}",
        "copy": f"addi s{random.randint(1, 3)}, {base}, {random.choice((0, 16, -24))}",
        "branch": f"bltu {a}, {b}, 2f\n{random.choice(STORES)} {b}, {offset}({base})\n2:",
    }[kind]


@pytest.mark.parametrize("number", range(40))
def test_random_programs_do_the_same_on_both_engines(number, guest):
    random = Random(number)
    lines = "\n".join(random_line(random) for _ in range(60))
    source = (f"1: mv s1, s4\n mv s2, s5\n mv s3, s6\n{lines}\naddi s5, s5, {random.choice((0, 4, 8, 24))}\n"
              f"addi s6, s6, -{random.choice((0, 5, 8))}\naddi s0, s0, -1\nbnez s0, 1b\nwfi")
    values = [random.getrandbits(64) for _ in REGISTERS]
    content = random.randbytes(8 * PAGE)
    pointers = [random.choice((DATA + 64, DATA + 3 * PAGE - 40, DATA + 4 * PAGE)) for _ in range(3)]
    found = []
    for engine in ("interpreter", "jit"):
        g = guest(source, engine=engine, settings=replace(vm.Settings.from_environment(), hot=number % 3))
        g.memory.write(DATA - PAGE, content)
        for name, value in zip((*REGISTERS, "s4", "s5", "s6", "s0"), (*values, *pointers, 200), strict=True):
            g[name] = value
        g.finish()
        found.append(([g[name] for name in (*REGISTERS, "s1", "s2", "s3")], g.machine.steps,
                      g.memory.read(DATA - PAGE, 8 * PAGE)))
    assert found[0] == found[1]
