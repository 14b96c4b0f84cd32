"""Code and data in one page, as in all tiny firmware: stores to the data leave the code alone, stores to the code are
seen, whichever way they come and wherever they begin and end.
"""

import pytest

from tests.assembler import BASE
from tests.native.riscv.paging import PageTables
from vm.devices import Device, writes

PAGE = 4096
PORT = 0x2000_0000
TURNS = 1000
FS_DIRTY = 0x6000                                           # mstatus
SUPERVISOR = 1
pytestmark = pytest.mark.usefixtures("dispatch")


# --- Stores to the data ----------------------------------------------------------------------------------------------

DATA_BESIDE_CODE = """
    .option norvc
    la   s1, data
    la   sp, stack
1:  addi sp, sp, -32
    sd   s0, 0(sp)                      # these four are tested together
    sd   s1, 8(sp)
    sd   ra, 16(sp)
    sd   a1, 24(sp)
    {store}
    addi sp, sp, 32
    addi s0, s0, -1
    bnez s0, 1b
    wfi
    nop
data:
    .zero 24
    .zero 64
stack:
"""
STORES = ["sb s0, 3(s1)", "sh s0, 5(s1)", "sw s0, 8(s1)", "sd s0, 0(s1)", "sd s0, 13(s1)", "fsd fa0, 8(s1)",
          "fsw fa0, 4(s1)", "amoadd.w a1, s0, (s1)", "amomax.d a1, s0, (s1)", "lr.d a1, (s1); sc.d a1, s0, (s1)"]


@pytest.mark.parametrize("store", STORES)
def test_data_that_is_stored_to_all_the_time_leaves_code_alone(store, guest):
    g = guest(DATA_BESIDE_CODE.format(store=store))
    g["mstatus"] |= FS_DIRTY
    g["s0"] = TURNS
    g.finish()
    stats = g.machine.stats()
    assert stats["invalidations"] == 0
    assert stats["translations"] < 20
    assert stats["tlb_misses"]["stores"] == 1
    check_compiled(stats)


def check_compiled(stats) -> None:
    """Where there is a compiler, it did all but the ends of the run, and compiled no block often."""
    if "jit" in stats:
        assert stats["jit"]["fallbacks"] < 20
        assert stats["jit"]["interpreted"] < 20
        assert stats["jit"]["discarded"] < 10


def test_a_page_that_becomes_code_is_noticed_by_compiled_stores(guest):
    """The loop was compiled when there was only data in the page; from one turn on there is code beside it."""
    g = guest(f"""
        .option norvc
        li   s2, 2
    2:  li   s0, {TURNS}
    1:  sd   s0, 0(s1)
        addi s0, s0, -1
        bnez s0, 1b
        jalr ra, s3
        addi s2, s2, -1
        bnez s2, 2b
        wfi
        .balign {PAGE}
    data:
        .zero 64
    code:
        addi a0, a0, 1
        ret
    """)
    g["s1"], g["s3"] = g.address("data"), g.address("code")
    g.finish()
    stats = g.machine.stats()
    assert g["a0"] == 2
    assert stats["invalidations"] == 0
    check_compiled(stats)


def test_code_that_is_gone_is_data(guest):
    """Where code was overwritten, stores are as free as anywhere: what is translated is kept up to date."""
    g = guest("""
        .option norvc
    1:  sw   t1, 0(t0)
        addi s0, s0, -1
        bnez s0, 1b
        wfi
    target:
        addi a0, a0, 1
        ret
    beside:
        addi a0, a0, 2
        ret
    """)
    for label in ("target", "beside"):
        g["ra"], g.hart.pc = BASE + 12, g.address(label)
        g.finish()
    before = g.machine.stats()["invalidations"]
    g["t0"], g["s0"], g.hart.pc = g.address("target"), TURNS, BASE
    g.finish()
    assert g.machine.stats()["invalidations"] == before + 1
    assert g.machine.stats()["tlb_misses"]["stores"] <= 2


# --- Stores to the code ----------------------------------------------------------------------------------------------

TARGET = bytes.fromhex("13 05 15 00 67 80 00 00")           # addi a0, a0, 1; jalr x0, 0(ra)
OTHER = bytes.fromhex("93 06 45 06 e7 82 40 01")            # each byte does something else: addi a3, a0, 100 ...
AROUND = 24                                                 # bytes of data on either side that are looked at


def program(store: str, place: int) -> str:
    return f"""
        .option norvc
        j    call
    store:
        {store}
        wfi
    call:
        jalr ra, s2
        addi s3, s3, 1                  # where OTHER may return to
        addi s3, s3, 2
        addi s3, s3, 4
        addi s3, s3, 8
        addi s3, s3, 16
        addi s3, s3, 32
        wfi
        .balign {PAGE}
        .zero {PAGE + place}
    target:
        .word 0x00150513, 0x00008067
        .balign {PAGE}
        .zero {PAGE}
    """


def after_call(code: bytes, link: int) -> dict[str, int]:
    """What a call of these two instructions, addi and jalr, leaves in registers that were 0. `link` is behind them."""
    add, jump = (int.from_bytes(code[at : at + 4], "little") for at in (0, 4))
    registers = dict.fromkeys(("a0", "a1", "a2", "a3", "tp", "t0"), 0)
    registers["a" + str((add >> 7 & 31) - 10)] = add >> 20
    rd = jump >> 7 & 31
    if rd in (4, 5):
        registers["tp" if rd == 4 else "t0"] = link
    elif rd == 1:
        registers["ra"] = link
    skipped = (jump >> 20) // 4
    registers["s3"] = sum(1 << number for number in range(skipped, 6))
    return registers


class Case:
    """A guest whose `target` is translated, and to be stored to by whatever `write` does."""

    def __init__(self, g):
        self.g = g
        g["mstatus"] |= FS_DIRTY
        self.target = g.address("target")
        self.around = bytes(range(200, 200 + AROUND))
        self.original = self.around + TARGET + self.around

    def restore(self) -> None:
        self.g.memory.write(self.target - AROUND, self.original)

    def call(self) -> dict[str, int]:
        g = self.g
        wanted = (*after_call(TARGET, 0), "ra")
        for name in wanted:
            g[name] = 0
        g["s2"], g.hart.pc = self.target, g.address("call")
        g.finish()
        return {name: g[name] for name in wanted}

    def expected(self) -> dict[str, int]:
        code = self.g.memory.read(self.target, len(TARGET))
        return {"ra": self.g.address("call") + 4, **after_call(code, self.target + 8)}

    def store(self, address: int, value: bytes) -> None:
        g = self.g
        number = int.from_bytes(value, "little")
        g["t0"], g["t1"], g["s4"] = address, number, PORT
        g.hart.pc = g.address("store")
        g.finish()

    def check(self, offset: int, size: int, write) -> None:
        """Store `size` bytes at an offset from the target that make OTHER of what they meet."""
        self.restore()
        for _ in range(2):
            assert self.call() == self.expected()
        for beside in (-PAGE // 2, 64) if self.target % PAGE == 0 else (-64, 64):
            write(self.target + beside - (self.target + beside) % 8, bytes(size))
        other = self.around + OTHER + self.around
        value = other[AROUND + offset : AROUND + offset + size]
        write(self.target + offset, value)
        changed = bytearray(self.original)
        changed[AROUND + offset : AROUND + offset + size] = value
        assert self.g.memory.read(self.target - AROUND, len(changed)) == bytes(changed)
        assert self.call() == self.expected(), f"{size} bytes at {offset:+}"
        assert self.call() == self.expected()


PLACES = [0, 200, 256, PAGE - 8]    # in the page: at its start, inside, where a word of the map begins, at its end
ANYWHERE = {"sb t1, 0(t0)": 1, "sh t1, 0(t0)": 2, "sw t1, 0(t0)": 4, "sd t1, 0(t0)": 8,
            "fmv.w.x ft0, t1; fsw ft0, 0(t0)": 4, "fmv.d.x ft0, t1; fsd ft0, 0(t0)": 8,
            "sd t1, 0(t0); sd t1, 0(t0); sd t1, 0(t0)": 8}
ALIGNED = {"amoswap.w zero, t1, (t0)": 4, "amoswap.d zero, t1, (t0)": 8, "lr.w t2, (t0); sc.w t2, t1, (t0)": 4,
           "lr.d t2, (t0); sc.d t2, t1, (t0)": 8}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("store", [*ANYWHERE, *ALIGNED])
def test_a_store_that_touches_code_is_seen_wherever_it_begins(store, place, guest):
    size = ANYWHERE.get(store) or ALIGNED[store]
    for offset in range(-size - 1, len(TARGET) + 2):
        if store in ANYWHERE or (place + offset) % size == 0:
            case = Case(guest(program(store, place)))       # in one guest, the page would soon be run uncached
            case.check(offset, size, case.store)


class Writer(Device):
    """Stores `value` at `address` in RAM when it is written to."""

    address, value = 0, b""

    @writes(0)
    def store(self, _):
        self.memory.write(self.address, self.value)


@pytest.mark.parametrize("place", [PLACES[0], PLACES[-1]])
@pytest.mark.parametrize("size", [1, 3, 20])
@pytest.mark.parametrize("way", ["python", "view", "device"])
def test_a_write_from_outside_that_touches_code_is_seen(way, size, place, guest):
    def write(address: int, value: bytes) -> None:
        if way == "python":
            case.g.memory.write(address, value)
        elif way == "view":
            with case.g.memory.writable(address, len(value)) as view:
                view[:] = value
        else:
            writer.address, writer.value = address, value
            case.store(0, b"")

    for offset in range(-size - 1, len(TARGET) + 2):
        writer = Writer()
        case = Case(guest(program("sw zero, 0(s4)", place), devices=[(writer, PORT)]))
        case.check(offset, size, write)


@pytest.mark.parametrize("offset", range(-3, 8))
@pytest.mark.parametrize("budget", [1_000_000, 3, 1])
def test_a_store_ahead_in_its_own_block_is_seen_at_once(offset, budget, guest):
    """The same block stored to data in the page before, so compiled code knows where it may."""
    g = guest("""
        .option norvc
    1:  sw   t1, 0(t0)
        nop
        addi a0, a0, 1
        addi a1, a1, 1
        wfi
        .balign 64
    data:
        .zero 64
    """)
    target = BASE + 8
    for _ in range(3):
        g["t0"], g["t1"], g.hart.pc = g.address("data"), 7, BASE
        g.finish()
    nop = bytes.fromhex("13 00 00 00")
    image = nop + bytes.fromhex("93 06 45 06 93 86 45 06") + bytes.fromhex("73 00 50 10")
    g["t0"], g["t1"] = target + offset, int.from_bytes(image[4 + offset : 8 + offset], "little")
    g["a0"], g["a1"], g["a3"], g.hart.pc = 1, 2, 0, BASE
    fresh = guest(".option norvc\n nop\n nop\n .zero 16")     # the same code, not stored to but there from the start
    code = bytearray(g.memory.read(BASE, 20))
    code[8 + offset : 12 + offset] = image[4 + offset : 8 + offset]
    fresh.memory.write(BASE, b"\x13\0\0\0" + bytes(code[4:]))
    fresh["a0"], fresh["a1"], fresh["a3"], fresh.hart.pc = 1, 2, 0, BASE
    for one in (g, fresh):
        while one.run(instructions=budget).reason.value != "idle":
            pass
    assert [g[name] for name in ("a0", "a1", "a2", "a3")] == [fresh[name] for name in ("a0", "a1", "a2", "a3")]


def test_code_that_is_translated_later_is_code_from_then_on(guest):
    """Compiled code stored around there freely, as it was data; then it is called, then stored to."""
    g = guest(f"""
        .option norvc
        li   s0, 3
    1:  sw   t1, 0(s1)                  # the second time a store into code
        sw   t2, 64(s1)
        addi s0, s0, -1
        bnez s0, 1b
        jalr ra, s1
        bnez s2, 2f
        li   s2, 1
        li   t1, 0x06450513             # addi a0, a0, 100
        li   s0, 1
        j    1b
    2:  wfi
        .balign {PAGE}
        nop
        ret
        .zero 200
    later:
        addi a0, a0, 5
        ret
    """)
    g["ra"], g.hart.pc = g.address("_start") + 4 * 12, BASE + PAGE          # code is in the page from the start
    g.run(instructions=2)
    g["s1"], g["t1"], g.hart.pc = g.address("later"), 0x0015_0513, BASE     # addi a0, a0, 1
    g.finish()
    assert g["a0"] == 1 + 100


def test_a_store_through_another_virtual_address_is_seen_where_data_was_stored_to_before(guest):
    g = guest(f"""
        .option norvc
        jalr ra, s2
        li   s0, 3
    1:  sw   t1, 0(t0)                  # to data, through the second address
        add  t0, t0, s1                 # at last to the code
        addi s0, s0, -1
        bnez s0, 1b
        jalr ra, s2
        ecall
        .balign {PAGE}
    code:
        addi a0, a0, 1
        ret
    data:
        .zero 64
    """)
    alias = 0x1000_0000
    g.open_pmp()
    tables = PageTables(g)
    tables.map(BASE, BASE)
    tables.map(BASE + PAGE, BASE + PAGE)
    tables.map(alias, BASE + PAGE)
    g["satp"], g.hart.privilege = tables.satp, SUPERVISOR
    g["s2"], g["t0"], g["t1"] = g.address("code"), alias + 16, 0x0645_0513
    g["s1"] = -8 % (1 << 64)
    assert g.trap().cause == 9
    assert g["a0"] == 1 + 100


def test_a_store_of_another_hart_is_seen(guest):
    """Hart 1 stores to data beside code until hart 0 has translated what it stores to next."""
    g = guest(f"""
        .option norvc
        csrr t0, mhartid
        bnez t0, other
        jalr ra, s1
        li   t0, 1
        sd   t0, 0(s3)                  # hart 1 may go on
    1:  ld   t0, 8(s3)
        beqz t0, 1b
        fence.i
        jalr ra, s1
        wfi
    other:
        sw   t1, 64(s1)
        ld   t0, 0(s3)
        beqz t0, other
        sw   t1, 0(s1)
        sd   t0, 8(s3)
    1:  wfi
        j    1b
        .balign {PAGE}
    code:
        addi a0, a0, 1
        ret
        .zero 128
        .balign {PAGE}
    flags:
        .zero 16
    """, harts=2)
    for hart in g.machine.harts:
        hart["s1"], hart["s3"], hart["t1"] = g.address("code"), g.address("flags"), 0x0645_0513
    g.finish()
    assert g["a0"] == 1 + 100


# --- What compiled code knows of such a page ends with what it follows from ------------------------------------------

BESIDE = f"""
    .option norvc
    jalr ra, s2
    li   s0, 5
1:  sd   s0, 0(s1)
    sd   s0, 8(s1)
    addi s0, s0, -1
    bnez s0, 1b
    ecall
fenced:
    sfence.vma
    j    _start
    .balign {PAGE}
code:
    addi a0, a0, 1
    ret
data:
    .zero 64
    .balign {PAGE}
another:
    .zero {PAGE}
"""


def test_a_store_range_ends_with_its_translation(guest):
    g = guest(BESIDE)
    alias = 0x1000_0000
    g.open_pmp()
    tables = PageTables(g)
    for page in (BASE, BASE + PAGE):
        tables.map(page, page)
    tables.map(alias, BASE + PAGE)
    g["satp"], g.hart.privilege = tables.satp, SUPERVISOR
    g["s1"], g["s2"] = alias + 256, g.address("code")
    assert g.trap().cause == 9
    assert g.word(BASE + PAGE + 256) == 1
    tables.map(alias, g.address("another"))
    g.store(BASE + PAGE + 256, 77)
    g.hart.pc, g.hart.privilege = g.address("fenced"), SUPERVISOR
    assert g.trap().cause == 9
    assert (g.word(BASE + PAGE + 256), g.word("another"), g.word(g.address("another") + 256)) == (77, 0, 1)


def test_a_store_range_ends_with_the_permission(guest):
    """A locked PMP entry without permissions over the second half of the page holds in M-mode, too."""
    g = guest(BESIDE)
    g["s1"], g["s2"] = BASE + PAGE + 2048, g.address("code")
    assert g.trap().cause == 11
    g["pmpaddr0"], g["pmpcfg0"] = (BASE + PAGE + 2048 >> 2) | (2048 >> 3) - 1, 0x98
    g.hart.pc = BASE
    assert g.trap() == (7, g.address("_start") + 8, BASE + PAGE + 2048)
