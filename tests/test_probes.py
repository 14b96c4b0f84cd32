"""Breakpoints and watchpoints: where exactly a run ends for them, on each engine.

What to expect is said by the program itself, or by a twin without probes that is run one instruction at a time.
"""

import pytest

import vm
from tests.assembler import BASE
from tests.hooks.test_accesses import ALIAS, TOP
from tests.hooks.test_accesses import PAGED as ALIASED
from tests.stepping import steps_at
from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")
PAGE = 4096
FAR = BASE + 0x10_0000              # data on a page without code
# Twenty rounds: hot on every engine, with branches both ways, and both a pair that has one handler and calls.
LOOP = """
    li   s1, 20
loop:
    addi a0, a0, 1
    slli a1, a0, 3
    call twice
    andi t0, s1, 1
    beqz t0, even
odd:
    addi a3, a3, 5
    nop
    fence
    j    next
even:
    addi a4, a4, 7
next:
    addi s1, s1, -1
    bnez s1, loop
    wfi
    nop
twice:
    add  a2, a1, a1
    ret
"""


def stops(g, reason: StopReason) -> list[vm.Stop]:
    """Every stop for this reason until the program ends."""
    found = []
    while (stop := g.run()).reason is reason:
        found.append(stop)
    assert stop.reason is StopReason.IDLE
    return found


# --- Breakpoints -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("label", ["loop", "twice", "odd", "even", "next"])
@pytest.mark.parametrize("space", ["virtual", "physical"])
def test_run_ends_before_every_execution(label, space, guest):
    expected = steps_at(guest(LOOP), guest(LOOP).address(label))
    g = guest(LOOP)
    g.machine.breakpoint(g.address(label), space=space)
    seen = []
    while (stop := g.run()).reason is StopReason.BREAKPOINT:
        assert stop.pc == g.hart.pc == g.address(label)
        seen.append(g.machine.steps)
    assert stop.reason is StopReason.IDLE and seen == expected and len(seen) >= 10


@pytest.mark.parametrize("nothing", ["nop", "fence", "add x0, a0, a1", "c.nop"])
def test_instruction_that_does_nothing_can_have_one(nothing, guest):
    source = f"li s1, 20; loop: addi a0, a0, 1; here: {nothing}; addi a1, a1, 1; addi s1, s1, -1; bnez s1, loop; wfi"
    twin, g = guest(source), guest(source)
    expected = steps_at(twin, twin.address("here"))
    g.machine.breakpoint(g.address("here"))
    seen = []
    while g.run().reason is StopReason.BREAKPOINT:
        seen.append(g.machine.steps)
    assert seen == expected and len(seen) == 20


def test_every_instruction_of_a_loop_can_have_one(guest):
    """In the middle of blocks, on the second half of a pair, on branches and behind them."""
    twin = guest(LOOP)
    trace = []
    while twin.hart.pc != twin.address("loop"):
        twin.run(1)
    while True:
        trace.append(twin.hart.pc)
        if twin.run(1).reason is StopReason.IDLE:
            break
    trace.pop()                                 # what stands behind the wfi
    for pc in sorted(set(trace)):
        g = guest(LOOP)
        g.run(30)                               # it has blocks already, that reach over the place
        before = g.machine.steps
        g.machine.breakpoint(pc)
        assert len(stops(g, StopReason.BREAKPOINT)) == trace.count(pc) - steps_before(trace, pc, before, twin), hex(pc)


def steps_before(trace, pc, steps, twin) -> int:
    """How many executions of pc are over after so many steps of the machine."""
    first = twin.machine.steps - len(trace)
    return trace[: max(steps - first, 0)].count(pc)


def test_hit_says_which_and_where(guest):
    g = guest(LOOP)
    here = g.machine.breakpoint(g.address("odd"))
    there = g.machine.breakpoint(g.address("odd"), space="physical")
    g.machine.breakpoint(g.address("even"))
    while (stop := g.run()).pc != g.address("odd"):
        assert stop.reason is StopReason.BREAKPOINT
    assert {hit.probe for hit in stop.hits} == {here, there}
    assert {(hit.access, hit.pc) for hit in stop.hits} == {("execute", g.address("odd"))}


def test_end_of_a_budget_at_the_place_loses_nothing(guest):
    """The step before it is the last of a run: the next one ends at once, and the one after it goes on."""
    g = guest(LOOP)
    first = steps_at(guest(LOOP), g.address("odd"))[0]
    g.machine.breakpoint(g.address("odd"))
    assert g.run(first).reason is StopReason.BUDGET
    assert g.hart.pc == g.address("odd")
    stop = g.run(1)
    assert (stop.reason, stop.steps) == (StopReason.BREAKPOINT, 0)
    stop = g.run(1)
    assert (stop.reason, stop.steps, stop.pc) == (StopReason.BUDGET, 1, g.address("odd") + 4 - 2 * is_short(g, "odd"))


def is_short(g, label) -> bool:
    return g.word(label, 2) & 3 != 3


def test_first_instruction_can_have_one(guest):
    g = guest(LOOP)
    entry = g.hart.pc
    g.machine.breakpoint(entry)
    assert (g.run().pc, g.machine.steps) == (entry, 0)
    assert g.run().reason is StopReason.IDLE


def test_loop_of_one_instruction_stops_each_time(guest):
    g = guest("here: j here")
    g.machine.breakpoint(g.address("here"))
    for steps in range(5):
        assert g.run().reason is StopReason.BREAKPOINT
        assert g.machine.steps == steps


def test_removed_one_is_gone_and_costs_nothing(guest):
    g = guest(LOOP)
    probe = g.machine.breakpoint(g.address("next"))
    assert g.machine.probes == (probe,)
    assert g.run().reason is StopReason.BREAKPOINT
    probe.remove()
    probe.remove()
    assert g.machine.probes == ()
    assert g.run().reason is StopReason.IDLE
    assert g["a4"] == 70
    translations = g.machine.stats()["translations"]
    g.hart.pc, g["s1"] = g.address("loop"), 20
    g.finish()
    assert g.machine.stats()["translations"] <= translations + 1      # nothing is translated each time any more


def test_hart_that_has_been_sent_elsewhere_and_back_is_reported_again(guest):
    g = guest(LOOP)
    g.machine.breakpoint(g.address("next"))
    g.run()
    g.machine.reset()
    stop = g.run()
    assert (stop.reason, stop.pc) == (StopReason.BREAKPOINT, g.address("next"))


def test_each_hart_is_reported(guest):
    source = "csrr a0, mhartid; li a1, 1; here: add a2, a0, a1; wfi"
    g = guest(source, harts=3)
    g.machine.breakpoint(g.address("here"))
    seen = [g.run() for _ in range(3)]
    assert sorted(stop.hart for stop in seen) == [0, 1, 2]
    assert all(stop.reason is StopReason.BREAKPOINT and stop.pc == g.address("here") for stop in seen)
    assert g.run().reason is StopReason.IDLE
    assert [hart["a2"] for hart in g.machine.harts] == [1, 2, 3]


SV39 = 8 << 60
# Code at its physical address and, by way of the fourth gigapage, at an alias.
PAGED = """
    la   t0, root; srli t1, t0, 12; li t2, 8 << 60; or t1, t1, t2; csrw satp, t1
    li   t1, 0x3fffffffffffff; csrw pmpaddr0, t1; li t1, 0x1f; csrw pmpcfg0, t1
    li   t1, 0x1000; li t2, 0x1800; csrc mstatus, t2; li t2, 0x800; csrs mstatus, t2
    la   t0, super; csrw mepc, t0; mret
super:
    call place
    la   t0, place; li t1, 0x40000000; add t0, t0, t1; jalr t0
    wfi
place:
    addi a0, a0, 1
    ret
    .balign 4096
root:
    .dword 0, 0, (0x80000000 >> 2) | 0xcf, (0x80000000 >> 2) | 0xcf
    .zero 4064
"""


@pytest.mark.parametrize("space, offset, expected", [
    ("virtual", 0, [0]), ("virtual", 0x4000_0000, [0x4000_0000]), ("physical", 0, [0, 0x4000_0000])])
def test_physical_address_counts_under_every_virtual_one(space, offset, expected, guest):
    g = guest(PAGED)
    g.machine.breakpoint(g.address("place") + offset, space=space)
    assert [stop.pc for stop in stops(g, StopReason.BREAKPOINT)] == [g.address("place") + one for one in expected]
    assert g["a0"] == 2


def test_trap_of_the_instruction_comes_after_its_breakpoint(guest):
    g = guest("here: ecall")
    g.machine.breakpoint(g.address("here"))
    g.machine.breakpoint(g.address("trap_m"))
    assert g.run().pc == g.address("here")
    assert g.run().pc == g.address("trap_m")
    assert g["mepc"] == g.address("here")


def test_code_that_is_written_anew_keeps_its_breakpoint(guest):
    g = guest(LOOP)
    g.machine.breakpoint(g.address("odd"))
    g.run()
    g.memory.write(g.address("odd"), g.memory.read(g.address("odd"), 4))
    assert len(stops(g, StopReason.BREAKPOINT)) == 9


@pytest.mark.parametrize("arguments, said", [
    ({"where": BASE + 1}, "odd"), ({"where": -2}, "64 bits"), ({"where": 1 << 64}, "64 bits"),
    ({"where": BASE, "space": "linear"}, "'virtual' or 'physical'"), ({"where": "main"}, "no symbol is called"),
    ({"where": 2.5}, "whole number")])
def test_place_that_is_none_is_refused(arguments, said, guest):
    machine = guest("wfi").machine
    with pytest.raises(vm.ConfigurationError, match=said):
        machine.breakpoint(**arguments)
    assert machine.probes == ()


# --- Watchpoints -----------------------------------------------------------------------------------------------------

WATCH = {"write": {"write", "access"}, "read": {"read", "access"}, "access": {"write", "read", "access"}}
# An instruction, what it does to [a0], and how many bytes.
ACCESSES = [
    ("lb a1, 0(a0)", "read", 1), ("lhu a1, 0(a0)", "read", 2), ("lw a1, 0(a0)", "read", 4), ("ld a1, 0(a0)", "read", 8),
    ("fld fa0, 0(a0)", "read", 8), ("flw fa0, 0(a0)", "read", 4), ("lr.d a1, (a0)", "read", 8),
    ("sb a2, 0(a0)", "write", 1), ("sh a2, 0(a0)", "write", 2), ("sw a2, 0(a0)", "write", 4),
    ("sd a2, 0(a0)", "write", 8), ("fsd fa0, 0(a0)", "write", 8),
    ("amoadd.w a1, a2, (a0)", "access", 4), ("amomaxu.d a1, a2, (a0)", "access", 8),
    ("amoswap.d a1, a2, (a0)", "access", 8),
]


@pytest.mark.parametrize("watched", WATCH)
@pytest.mark.parametrize("where", [FAR, BASE + 0x800], ids=["data", "code page"])
@pytest.mark.parametrize("instruction, kind, size", ACCESSES, ids=[row[0].split()[0] for row in ACCESSES])
def test_run_ends_after_the_access(instruction, kind, size, where, watched, guest):
    g = guest(f"li t0, 0x6000; csrs mstatus, t0; li s1, 12\n"
              f"loop: addi s2, s2, 1\naccess: {instruction}\nbehind: addi s1, s1, -1; bnez s1, loop; wfi")
    g["a0"], g["a2"] = where, 0x1122_3344_5566_7788
    g.run(20)
    rounds = 12 - g["s2"] + (g.hart.pc == g.address("access"))
    probe = g.machine.watchpoint(where, size=8, access=watched)
    for left in range(rounds if kind in WATCH[watched] or kind == "access" else 0, 0, -1):
        stop = g.run()
        assert (stop.reason, stop.pc) == (StopReason.WATCHPOINT, g.address("behind"))
        (hit,) = stop.hits
        done = kind if watched == "access" or kind != "access" else watched
        assert (hit.probe, hit.access, hit.address, hit.size) == (probe, done, where, size)
        assert hit.pc == g.address("access") and g["s1"] == left
    assert g.run().reason is StopReason.IDLE


@pytest.mark.parametrize("watched, expected", [(0, 1), (ALIAS, 2), (TOP, 3)])
def test_virtual_watchpoint_is_one_address(watched, expected, guest):
    """Of the three by which the same memory is accessed; the hit has it as it was watched."""
    g = guest(ALIASED.format(body="1: li t3, 1; sd t3, 0(a0); li t3, 2; sd t3, 0(a1); li t3, 3; sd t3, 0(a2)\n"
                                "addi s1, s1, -1; bnez s1, 1b"))
    g["s1"], g["a0"], g["a1"], g["a2"] = 20, FAR, FAR + ALIAS, (FAR + TOP) % (1 << 64)
    where = (FAR + watched) % (1 << 64)
    probe = g.machine.watchpoint(where + 4, size=8, space="virtual")
    for _ in range(20):
        stop = g.run()
        assert stop.reason is StopReason.WATCHPOINT and g["t3"] == expected
        assert [(hit.probe, hit.address, hit.size) for hit in stop.hits] == [(probe, where, 8)]
    assert g.run().reason is StopReason.IDLE


def test_virtual_watchpoint_of_what_is_mapped_later(guest):
    """It is the address that is watched, and not what else is done to the memory behind it."""
    g = guest(ALIASED.format(body="la t0, root; ld t1, 16(t0); sd t1, 24(t0); sfence.vma\n"
                                "sd t1, 0(a1); sd t1, 0(a0)\nbehind: nop"))
    g.memory.write(g.address("root") + 24, bytes(8))
    g["a0"], g["a1"] = FAR + ALIAS, FAR
    g.machine.watchpoint(FAR + ALIAS, size=8, access="access", space="virtual")
    stop = g.run()
    assert stop.reason is StopReason.WATCHPOINT and stop.hits[0].access == "write" and stop.pc == g.address("behind")


def test_store_conditional_counts_where_it_stores(guest):
    g = guest("sc.d a1, a2, (a0); 1: lr.d a1, (a0); there: sc.d a1, a2, (a0); bnez a1, 1b; wfi")
    g["a0"] = FAR
    g.machine.watchpoint(FAR)
    (stop,) = stops(g, StopReason.WATCHPOINT)
    assert stop.hits[0].pc == g.address("there") and g["a1"] == 0


def test_blocks_that_are_zeroed_and_quadwords_that_are_exchanged_count(guest):
    g = guest(""".insn i 0x0f, 2, zero, a0, 4       # cbo.zero (a0)
                 one: .insn r 0x2f, 4, 0x14, a2, a0, a4     # amocas.q a2, a4, (a0)
                 two: wfi""", isa="rv64gc_zicboz_zacas")
    g["a0"] = FAR
    probe = g.machine.watchpoint(FAR + 15, size=1, access="access")
    found = [(stop.pc, hit.access, hit.size) for stop in stops(g, StopReason.WATCHPOINT) for hit in stop.hits]
    assert found == [(g.address("one"), "write", 64), (g.address("two"), "access", 16)] and probe in g.machine.probes


@pytest.mark.parametrize("instruction, access", [("sd a2, 0(a0)", "write"), ("ld a2, 0(a0)", "read")])
@pytest.mark.parametrize("watched", [FAR + PAGE - 8, FAR + PAGE])
def test_access_across_two_pages_hits_on_either(instruction, access, watched, guest):
    g = guest(f"li a2, -1; {instruction}; behind: wfi")
    g["a0"] = FAR + PAGE - 4
    g.machine.watchpoint(watched, size=8, access=access)
    (stop,) = stops(g, StopReason.WATCHPOINT)
    assert (stop.pc, stop.hits[0].address, stop.hits[0].size) == (g.address("behind"), max(watched, FAR + PAGE - 4), 4)


def test_only_bytes_of_the_range_hit(guest):
    """Neighbours of the range on its page do not, on whichever side."""
    g = guest("".join(f"sb a2, {offset}(a0); lb a1, {offset}(a0)\n" for offset in range(-2, 6)) + "wfi")
    g["a0"] = FAR + 64
    g.machine.watchpoint(FAR + 64, size=4, access="access")
    found = [(hit.access, hit.address - FAR - 64) for stop in stops(g, StopReason.WATCHPOINT) for hit in stop.hits]
    assert found == [(access, offset) for offset in range(4) for access in ("write", "read")]


def test_one_instruction_can_hit_many(guest):
    g = guest("sd a2, 0(a0); wfi")
    g["a0"] = FAR
    probes = [g.machine.watchpoint(FAR + offset, size=1, access="write") for offset in range(9)]
    (stop,) = stops(g, StopReason.WATCHPOINT)
    assert [hit.probe for hit in stop.hits] == probes[:8]


def test_range_over_many_pages(guest):
    g = guest("1: sd a2, 0(a0); add a0, a0, a3; bltu a0, a4, 1b; wfi")
    g["a0"], g["a3"], g["a4"] = FAR, PAGE // 2, FAR + 8 * PAGE
    g.machine.watchpoint(FAR + PAGE, size=4 * PAGE)
    found = [hit.address for stop in stops(g, StopReason.WATCHPOINT) for hit in stop.hits]
    assert found == list(range(FAR + PAGE, FAR + 5 * PAGE, PAGE // 2))


def test_removed_one_leaves_its_neighbours(guest):
    g = guest("1: sd a2, 0(a0); sd a2, 8(a0); ld a1, 0(a0); addi s1, s1, -1; bnez s1, 1b; wfi")
    g["a0"], g["s1"] = FAR, 100
    first, second = g.machine.watchpoint(FAR, size=8, access="access"), g.machine.watchpoint(FAR + 8)
    assert g.run().hits[0].probe is first
    first.remove()
    assert len(stops(g, StopReason.WATCHPOINT)) == 100
    second.remove()
    g["s1"] = 1000
    g.hart.pc = g.machine.program.entry
    g.finish()
    misses = g.machine.stats()["tlb_misses"]
    assert misses["loads"] < 150 and misses["stores"] < 350      # with the fast path again


def test_every_hart_and_every_alias_is_seen(guest):
    """Other harts, and another virtual address of the page."""
    g = guest("csrr a1, mhartid; addi a1, a1, 1; amoadd.d a2, a1, (a0); wfi", harts=3)
    for hart in g.machine.harts:
        hart["a0"] = FAR
    g.machine.watchpoint(FAR)
    assert sorted(stop.hart for stop in stops(g, StopReason.WATCHPOINT)) == [0, 1, 2]
    assert g.word(FAR) == 6


def test_misspelt_symbol_is_answered_with_those_like_it(guest):
    g = guest("place: j place\nreplaced: nop")
    with pytest.raises(vm.ConfigurationError, match="called 'plaec': did you mean 'place'") as told:
        g.machine.breakpoint("plaec")
    assert "Linux" not in str(told.value)
    with pytest.raises(vm.ConfigurationError, match="there is none in .*elf$"):
        g.machine.on_execute("nothing_like_it", print)
    with vm.Machine(memory="1M") as empty, pytest.raises(vm.ConfigurationError, match="no program is loaded") as told:
        empty.breakpoint("place")
    assert "Linux" not in str(told.value)


@pytest.mark.parametrize("where, options, expected", [
    ("place", {}, ["first", "third"]), ("alias", {}, ["second"]),
    ("place", {"space": "physical"}, ["first", "second", "third"]),
    ("place", {"privilege": 3}, ["first"]), ("place", {"privilege": 1}, ["third"]),
    ("place", {"privilege": "machine"}, ["first"]), ("place", {"privilege": "supervisor"}, ["third"]),
    ("place", {"satp": 0}, ["first"]), ("place", {"asid": 5}, ["third"]), ("place", {"asid": 6}, []),
    ("place", {"page_table": 0}, ["first"])])
def test_addresses_are_virtual_and_bound_as_those_of_hooks(where, options, expected, guest):
    """The last two are in supervisor mode, by gigapages that map RAM twice, in address space 5."""
    g = guest("""
        la   a0, place; li a2, 1; slli a1, a2, 30; add a1, a1, a0
    first:
        sw   a2, 0(a0)
        li   t1, 0x3fffffffffffff; csrw pmpaddr0, t1; li t1, 0x1f; csrw pmpcfg0, t1
        la   t0, root; srli t1, t0, 12; li t2, 0x80005 << 44; or t1, t1, t2; csrw satp, t1
        li   t1, 0x1800; csrc mstatus, t1; li t1, 0x800; csrs mstatus, t1; la t0, super; csrw mepc, t0; mret
    super:
    second:
        sw   a2, 0(a1)
    third:
        sw   a2, 0(a0)
        wfi
        .type place, @object
        .size place, 4
        .balign 8
    place: .word 0
    beside: .word 0
        .balign 4096
    root: .dword 0, 0, (0x80000000 >> 2) | 0xcf, (0x80000000 >> 2) | 0xcf
        .zero 4064
    """)
    where = g.address("place") + (1 << 30) if where == "alias" else where
    probe = g.machine.watchpoint(where, **options)
    assert probe.size == (8 if isinstance(where, int) else 4)
    found = stops(g, StopReason.WATCHPOINT)
    assert [hit.pc for stop in found for hit in stop.hits] == [g.address(label) for label in expected]
    assert all(hit.address == probe.address for stop in found for hit in stop.hits)


def test_ram_at_address_0_is_like_any_other():
    with vm.Machine(board="bare") as machine:
        machine.map(0, 2 * PAGE)
        machine.memory.write(PAGE, bytes.fromhex("2fb0a500"))      # amoadd.d zero, a0, (a1)
        machine.harts[0].pc, machine.harts[0]["a0"] = PAGE, 5
        machine.watchpoint(0, size=8)
        assert machine.run(instructions=1).reason is StopReason.WATCHPOINT
        assert machine.memory.read(0, 1) == b"\5"


def test_python_and_devices_do_not_count(guest):
    g = guest("nop; nop; wfi")
    g.machine.watchpoint(FAR, size=8, access="access")
    g.memory.write(FAR, b"12345678")
    assert g.memory.read(FAR, 8) == b"12345678"
    with g.memory.writable(FAR, 8) as view:
        view[0] = 1
    assert g.run().reason is StopReason.IDLE


def test_fetches_do_not_count(guest):
    g = guest("nop; nop; wfi")
    g.machine.watchpoint(BASE, size=PAGE, access="read")
    assert g.run().reason is StopReason.IDLE


@pytest.mark.parametrize("size", [8, 4])
def test_watched_word_of_the_host_interface_still_works(size, guest):
    source = {8: "sd t0, 0(s0)", 4: "sw t0, 0(s0); sw zero, 4(s0)"}[size]
    g = guest(f"la s0, tohost; li t0, 7; {source}; 1: j 1b\n .balign 64\n tohost: .dword 0\n fromhost: .dword 0")
    g.machine.watchpoint(g.address("tohost"), size=4)
    stop = g.run()
    assert stop.reason is StopReason.WATCHPOINT and stop.hits[0].size == size
    stop = g.run()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 3)


@pytest.mark.parametrize("arguments, said", [
    ({"where": 0x1000, "space": "physical"}, "0x1000, 0x1008. is not RAM"), ({"size": 0}, "at least one byte"),
    ({"size": 1 << 40, "space": "physical"}, "not RAM"), ({"where": 1 << 64}, "64 bits"),
    ({"where": range(8, 8)}, "has an address in it"), ({"where": "nowhere"}, "no symbol is called"),
    ({"access": "execute"}, "'read' or 'write' or 'access'"), ({"space": "outer"}, "'virtual' or 'physical'"),
    ({"privilege": 2}, "privilege=2")])
def test_range_that_is_none_is_refused(arguments, said, guest):
    machine = guest("wfi").machine
    with pytest.raises(vm.ConfigurationError, match=said):
        machine.watchpoint(**{"where": BASE} | arguments)
    assert machine.probes == ()


def test_probes_live_on_when_the_machine_goes_back(guest):
    g = guest("1: sd a2, 0(a0); here: addi a2, a2, 1; j 1b")
    g["a0"] = FAR
    g.run(10)
    snapshot = g.machine.snapshot()
    g.machine.watchpoint(FAR)
    g.machine.breakpoint(g.address("here"))
    seen = []
    for _ in range(2):
        seen.append([(g.run().reason, g.hart.pc, g.machine.steps) for _ in range(6)])
        g.machine.restore(snapshot)
    assert seen[0] == seen[1] and {reason for reason, _, _ in seen[0]} == {StopReason.BREAKPOINT, StopReason.WATCHPOINT}


def test_breakpoint_is_reported_again_where_the_machine_went_back_to_it(guest):
    g = guest(LOOP)
    g.machine.breakpoint(g.address("odd"))
    g.run()
    snapshot = g.machine.snapshot()
    g.machine.restore(snapshot)
    stop = g.run()
    assert (stop.reason, stop.steps) == (StopReason.BREAKPOINT, 0)


def test_probes_change_nothing_in_the_run(guest):
    """Steps, registers and time are those of a machine without any."""
    plain, probed = guest(LOOP, harts=2), guest(LOOP, harts=2)
    probed.machine.breakpoint(probed.address("even"))
    probed.machine.watchpoint(FAR, size=64, access="access")
    plain.finish()
    while probed.run().reason is not StopReason.IDLE:
        pass
    assert plain.machine.steps == probed.machine.steps and plain.machine.clock.now_ns() == probed.machine.clock.now_ns()
    for one, other in zip(plain.machine.harts, probed.machine.harts, strict=True):
        assert dict(one) == dict(other)
