"""The block cache: code that changes, instructions that cross a page, links, and pages that keep changing."""

import pytest

from tests.assembler import BASE
from vm.devices import Device, writes

PAGE = 4096
pytestmark = pytest.mark.usefixtures("dispatch")
ADDI_1, ADDI_100 = 0x0015_0513, 0x0645_0513                 # addi a0, a0, 1 and 100


def test_store_into_translated_code_is_seen_after_fence_i(guest):
    g = guest("""
        .option norvc
        li   s0, 2
        lw   t1, new
    1:  call target
        la   t0, target
        sw   t1, 0(t0)
        fence.i
        addi s0, s0, -1
        bnez s0, 1b
        wfi
    target:
        addi a0, a0, 1
        ret
    new:
        addi a0, a0, 100
    """)
    g.finish()
    assert g["a0"] == 101


@pytest.mark.parametrize("budget", [1_000_000, 4, 1])
def test_store_into_the_running_block_is_seen_at_once(budget, guest):
    """More than the architecture asks for (there is no fence.i), and the same however the run is cut."""
    g = guest("""
        .option norvc
        sw   t1, 0(t0)
        nop
        nop
    target:
        addi a0, a0, 1
        wfi
    """)
    g["t0"], g["t1"] = g.address("target"), ADDI_100
    for _ in range(6):
        g.run(instructions=budget)
    assert g["a0"] == 100


@pytest.mark.parametrize("first", [4, 1_000_000])
def test_store_ahead_in_a_loop(first, guest):
    """Each turn writes the instruction after the store; the block that holds both was run before."""
    g = guest("""
        .option norvc
        la   t0, target
        li   t1, 0x00150513             # addi a0, a0, 1
        li   t2, 0x06450513             # addi a0, a0, 100
        li   s0, 10
    1:  sw   t1, 0(t0)
    target:
        addi a0, a0, 0
        xor  t1, t1, t2
        xor  t2, t1, t2
        xor  t1, t1, t2
        addi s0, s0, -1
        bnez s0, 1b
        wfi
    """)
    while g.run(instructions=first).reason.value != "idle":
        pass
    assert g["a0"] == 5 * 1 + 5 * 100


def test_only_blocks_that_share_a_byte_with_the_store_die(guest):
    """Data beside code does not throw the code away."""
    g = guest("""
        .option norvc
        li   s0, 1000
    1:  sd   s0, data, t0
        addi s0, s0, -1
        bnez s0, 1b
        wfi
        .balign 64
        .zero 64
    data:
        .dword 0
    """)
    g.finish()
    assert g.machine.stats()["invalidations"] == 0
    assert g.word("data") == 1


def test_code_that_keeps_changing_is_run_uncached(guest):
    """After some invalidations the line is interpreted from memory: no more translations, the same result."""
    g = guest("""
        .option norvc
        li   s0, 1000
        la   t0, target
        lw   t1, 0(t0)
    1:  sw   t1, 0(t0)
    target:
        addi a0, a0, 1
        addi s0, s0, -1
        bnez s0, 1b
        wfi
    """)
    g.finish()
    assert g["a0"] == 1000
    assert 0 < g.machine.stats()["invalidations"] < 100
    assert g.machine.stats()["translations"] < 200


CHANGING = """
    .option norvc
    la   t0, target
    lw   t1, 0(t0)
    j    1f
    .balign 64
1:  sw   t1, 0(t0)
    call target
    li   s1, 50
2:  addi a1, a1, 1                      # a line of its own, whatever becomes of the next
    addi s1, s1, -1
    bnez s1, 2b
    addi s0, s0, -1
    bnez s0, 1b
    wfi
    .balign 64
    nop
target:
    addi a0, a0, 1
    ret
still:
    addi s0, s0, -1
    bnez s0, still
    wfi
"""


def interpreted(g) -> int:
    """Steps that compiled code has not done."""
    return g.machine.stats()["jit"]["interpreted"]


def test_code_beside_code_that_keeps_changing_stays_compiled(guest):
    """Only the line that is overwritten is run uncached, not its page."""
    g = guest(CHANGING)
    g["s0"], g["a1"] = 1000, 0
    g.finish()
    assert (g["a0"], g["a1"]) == (1000, 50_000)
    assert g.machine.stats()["invalidations"] < 100
    if "jit" in g.machine.stats():
        assert interpreted(g) < 0.1 * g.machine.steps


def test_code_that_no_longer_changes_is_cached_again(guest):
    g = guest(CHANGING)
    g["s0"] = 100
    g.finish()
    before = g.machine.stats()["translations"]
    g["s0"], g.hart.pc = 3_000_000, g.address("still")     # 6,000,000 steps: the first 5,000,000 one by one
    g.machine.run()
    assert g["s0"] == 0
    assert g.machine.stats()["translations"] > before
    if "jit" in g.machine.stats():
        assert 4_000_000 < interpreted(g) < 5_100_000


def test_amo_and_sc_into_code_are_seen(guest):
    g = guest("""
        .option norvc
        call first
        call second
        la   t0, first
        amoswap.w zero, t1, (t0)
        la   t0, second
    1:  lr.w t2, (t0)
        sc.w t2, t1, (t0)
        bnez t2, 1b
        call first
        call second
        wfi
        .balign 128
    first:
        addi a0, a0, 1
        ret
        .balign 128
    second:
        addi a0, a0, 1
        ret
    """)
    g["t1"] = ADDI_100
    g.finish()
    assert g["a0"] == 202


def test_store_through_another_virtual_address_is_seen(guest):
    """The write tag of an alias is revoked when the page gets code: one physical page at two addresses (Sv39)."""
    g = guest("""
        .option norvc
        li   s0, 3
    1:  addi a0, a0, 1
        sw   t1, 0(t0)
        addi s0, s0, -1
        bnez s0, 1b
        ecall
    """)
    g.open_pmp()
    root = BASE + 0x10000
    g.store(root + 8 * 2, BASE >> 12 << 10 | 0xCF)          # 1 GiB page at BASE, virtual = physical
    g.store(root + 8 * 3, BASE >> 12 << 10 | 0xC7)          # the same, read and write, 1 GiB above
    g["satp"] = 8 << 60 | root >> 12
    g["t0"], g["t1"] = BASE + (1 << 30) + 4, ADDI_100
    g.hart.privilege = 1
    assert g.trap().cause == 9
    assert g["a0"] == 1 + 100 + 100


# --- Page borders ----------------------------------------------------------------------------------------------------

CROSSING = f"""
    .option norvc
    j    start
    .option rvc
    .space {PAGE - 2 - 4}
crossing:
    .option norvc
    addi a0, a0, 1                      # the first half ends the page
    ret
start:
    li   s0, 3
1:  call crossing
    addi s0, s0, -1
    bnez s0, 1b
    wfi
"""


def test_instruction_across_two_pages(guest):
    g = guest(CROSSING)
    assert g.address("crossing") % PAGE == PAGE - 2
    g.finish()
    assert g["a0"] == 3


@pytest.mark.parametrize("half", [0, 2])
def test_store_into_either_half_of_a_crossing_instruction_is_seen(half, guest):
    g = guest(CROSSING)
    g.finish()
    address = g.address("crossing") + half
    g.memory.write(address, ADDI_100.to_bytes(4, "little")[half : half + 2])
    changed = int.from_bytes(g.memory.read(g.address("crossing"), 4), "little")
    g["a0"], g.hart.pc = 0, BASE
    g.finish()
    assert g["a0"] == 3 * (changed >> 20)


def test_store_into_the_second_half_after_other_code_of_that_page_has_gone(guest):
    g = guest(CROSSING)
    g.finish()
    start = g.address("start")
    g.memory.write(start, g.memory.read(start, 4))              # ends the block there, and what it had of the page
    g.memory.write(g.address("crossing") + 2, ADDI_100.to_bytes(4, "little")[2:])
    g["a0"], g.hart.pc = 0, BASE
    g.finish()
    assert g["a0"] == 300


def paged(g, second: int, flags: int = 0xCF) -> int:
    """Map the page of `crossing` at 0x1000 and physical `second` behind it; returns the address of that PTE."""
    root, middle, leaf = (BASE + 0x10000 + PAGE * number for number in range(3))
    g.open_pmp()
    g.store(root, middle >> 12 << 10 | 1)
    g.store(middle, leaf >> 12 << 10 | 1)
    g.store(leaf + 8, BASE >> 12 << 10 | 0xCF)
    g.store(leaf + 16, second >> 12 << 10 | flags)
    g["satp"] = 8 << 60 | root >> 12
    g.hart.privilege = 1
    g.hart.pc = 0x1000 + PAGE - 2
    return leaf + 16


def test_second_page_is_looked_up_at_every_entry(guest):
    """The first page stays, the second becomes another one, with another second half."""
    g = guest(CROSSING)
    other = BASE + 0x8000
    g.memory.write(other, ADDI_100.to_bytes(4, "little")[2:])
    pte = paged(g, BASE + PAGE)
    g.run(instructions=1)
    assert g["a0"] == 1
    g.store(pte, other >> 12 << 10 | 0xCF)
    g["satp"] = g["satp"]
    g.hart.pc = 0x1000 + PAGE - 2
    g.run(instructions=1)
    assert g["a0"] == 101


def test_store_into_the_second_half_where_both_pages_are_one(guest):
    """The page of `crossing` stands behind itself: the second half is at the start of the same frame."""
    g = guest(CROSSING)
    half = ADDI_100.to_bytes(4, "little")[2:]
    paged(g, BASE)
    g.memory.write(BASE, (0x0015_0513).to_bytes(4, "little")[2:])       # addi a0, a0, 1
    for expected, upper in ((1, None), (101, half)):
        if upper is not None:
            g.memory.write(BASE, upper)
        g.hart.pc = 0x1000 + PAGE - 2
        g.run(instructions=1)
        assert g["a0"] == expected


def test_fault_in_the_second_page_reports_both_addresses(guest):
    """epc is the instruction's, tval the part that could not be fetched (section 3.1.16)."""
    g = guest(CROSSING)
    paged(g, BASE + PAGE, flags=0)
    assert g.trap() == (12, 0x1FFE, 0x2000)
    assert g["a0"] == 0


def test_fault_in_the_second_page_after_it_was_translated(guest):
    g = guest(CROSSING)
    pte = paged(g, BASE + PAGE)
    g.run(instructions=1)
    g.store(pte, 0)
    g["satp"] = g["satp"]
    g.hart.pc = 0x1FFE
    assert g.trap() == (12, 0x1FFE, 0x2000)
    assert g["a0"] == 1


def test_instruction_that_crosses_from_ram_into_a_device(guest):
    """The second half comes from the boot ROM; such a block cannot be kept."""
    g = guest(CROSSING)
    half = int.from_bytes(g.memory.read(0x1000, 2), "little")
    g.store(BASE + PAGE - 2, 0x0513, 2)                     # addi a0, rs1, imm: its second half is the ROM's first
    paged(g, 0x1000)
    for number in range(1, 32):
        g.hart.x[number] = 0
    g.run(instructions=1)
    immediate = half >> 4
    assert g["a0"] == (immediate - 4096 * (immediate >> 11)) % (1 << 64)


def test_code_that_runs_off_the_end_of_ram(guest):
    g = guest("wfi")
    end = BASE + 0x20_0000
    g.memory.write(end - 4, ADDI_1.to_bytes(4, "little"))
    g.hart.pc = end - 4
    assert g.trap() == (1, end, end)
    assert g["a0"] == 1


def test_long_instruction_cut_off_by_the_end_of_ram(guest):
    g = guest("wfi")
    end = BASE + 0x20_0000
    g.memory.write(end - 2, ADDI_1.to_bytes(4, "little")[:2])
    g.hart.pc = end - 2
    assert g.trap() == (1, end - 2, end)


# --- Code written from outside ---------------------------------------------------------------------------------------

def test_code_written_from_python_is_seen(guest):
    g = guest(".option norvc\n addi a0, a0, 1\n wfi")
    g.finish()
    g.memory.write(BASE, ADDI_100.to_bytes(4, "little"))
    g.hart.pc = BASE
    g.finish()
    assert g["a0"] == 101


def test_code_written_through_a_view_is_seen(guest):
    g = guest(".option norvc\n addi a0, a0, 1\n wfi")
    g.finish()
    with g.memory.writable(BASE, 4) as view:
        view[:] = ADDI_100.to_bytes(4, "little")
    g.hart.pc = BASE
    g.finish()
    assert g["a0"] == 101


@pytest.mark.parametrize("budget", [1_000_000, 4])
def test_code_written_by_a_device_is_seen_by_the_very_block(budget, guest):
    """DMA into the block whose store started it."""
    class Writer(Device):
        @writes(0)
        def store(self, value):
            self.memory.write(g.address("target"), ADDI_100.to_bytes(4, "little"))

    g = guest(".option norvc\n sw zero, 0(t0)\n nop\n nop\n target: addi a0, a0, 1\n wfi",
              devices=[(Writer(), 0x4000_0000)])
    g["t0"] = 0x4000_0000
    for _ in range(2):
        g.run(instructions=budget)
    assert g["a0"] == 100


# --- Links -----------------------------------------------------------------------------------------------------------

def test_long_chains_of_blocks_stay_exact(guest):
    """Taken and untaken branches, calls and returns in one page and across pages."""
    source = ".option norvc\n li a1, 0\n li s0, 200\n1: \n"
    for number in range(40):
        source += f" andi t0, s0, {1 << number % 5}\n beqz t0, {number + 10}f\n addi a0, a0, 1\n{number + 10}:\n"
        source += f" call f{number}\n"
    source += " addi s0, s0, -1\n bnez s0, 1b\n wfi\n"
    for number in range(40):
        source += f" .balign 256\nf{number}: addi a1, a1, {number}\n ret\n"
    g = guest(source)
    g.finish()
    assert g["a0"] == 8 * sum(bin(s0 & 31).count("1") for s0 in range(1, 201))
    assert g["a1"] == 200 * sum(range(40))


def test_same_code_at_another_privilege_is_another_block(guest):
    """A CSR access that M-mode may do traps in U-mode, though the block is at the same address."""
    g = guest("csrr a0, mhartid; wfi")
    g.open_pmp()
    g.finish()
    g.hart.pc, g.hart.privilege = BASE, 0
    assert g.trap().cause == 2
