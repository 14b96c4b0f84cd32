"""on_trap, on_csr, on_mmio, on_ecall: of which events, and what they tell; and what a hook is bound to."""

import pytest

import vm
from tests.hooks.kinds import FAR, LOOP, PORT, Port, looping
from vm.devices.base import Device, reads, writes
from vm.hooks import INTERRUPT, CsrAccess, MmioAccess, Trap
from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")


# --- Traps -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("instruction, cause, value", [
    ("ecall", 11, 0), ("ebreak", 3, "here"), (".4byte 0xffffffff", 2, 0xFFFF_FFFF), ("lw a1, 1(zero)", 5, 1),
    ("sd a1, 0(zero)", 7, 0)])
def test_exceptions(instruction, cause, value, guest):
    g, seen, others = guest(f".option norvc\nhere: {instruction}"), [], []
    g.machine.on_trap(None, seen.append)
    g.machine.on_trap(cause, seen.append)
    g.machine.on_trap(cause + 1, others.append)
    g.finish()
    told = Trap(g.hart, cause, g.address("here") if value == "here" else value, g.address("here"))
    assert seen == [told, told] and not others and not told.is_interrupt
    assert (g["mcause"], g["mtval"]) == (cause, told.value)


TICKING = """
    la   t0, handler; csrw mtvec, t0
    csrwi mie, 2; csrwi mstatus, 8
    li   s1, {rounds}
loop:
    addi a1, a1, 1
    andi t2, s1, 63
    bnez t2, 1f
    csrsi mip, 2
1:  addi s1, s1, -1
    bnez s1, loop
    wfi
    .balign 4
handler:
    csrci mip, 2
    mret
"""


def test_interrupts(guest):
    """Between two instructions, also of compiled code: the place is that of the second."""
    g, seen = guest(TICKING.format(rounds=640)), []

    def note(trap):
        seen.append(trap)
        assert g.hart.pc == g.address("handler") and g["mepc"] == trap.pc

    cause = INTERRUPT | 1
    g["mideleg"] = 0
    g.machine.on_trap(cause, note)
    g.machine.on_trap(1, seen.append)
    g.run()
    assert len(seen) == 10 and {(trap.cause, trap.value, trap.is_interrupt) for trap in seen} == {(cause, 0, True)}


def test_a_timer_that_interrupts_a_compiled_loop(guest):
    """At the same steps as on a twin without hooks, where the handler counts them."""
    source = """
        la   t0, handler; csrw mtvec, t0
        li   t1, 0x80; csrw mie, t1; csrwi mstatus, 8
    loop: addi a1, a1, 1; j loop
        .balign 4
    handler:
        csrr s2, mepc; csrr s3, minstret; csrw mie, zero; mret"""
    ends = []
    for hooked in (False, True):
        g, seen = guest(source), []
        if hooked:
            g.machine.on_trap(None, seen.append)
        g.native.mtimecmp = 500
        g.run(300_000)
        ends.append((dict(g.hart), g.machine.steps))
    assert ends[0] == ends[1]
    assert [(trap.cause, trap.pc) for trap in seen] == [(INTERRUPT | 7, g["s2"])]


def test_supervisor_traps(guest):
    """scause and stval, of those that are delegated."""
    g, seen = guest("li t0, 4; csrw medeleg, t0; la t0, low; csrw mepc, t0; li t1, 0x1800; csrc mstatus, t1; mret\n"
                    "low: .4byte 0xffffffff"), []
    g.open_pmp()
    g.machine.on_trap(None, seen.append)
    assert g.trap_in_supervisor().cause == 2
    assert seen == [Trap(g.hart, 2, 0xFFFF_FFFF, g.address("low"))]


def test_traps_that_nobody_handles_and_loops_of_them_are_told(guest):
    g, seen = guest("csrw mtvec, zero; here: ebreak"), []
    g.machine.on_trap(None, seen.append)
    stop = g.run()
    assert stop.reason in (StopReason.TRAP_LOOP, StopReason.UNHANDLED_TRAP)
    assert seen[0].cause == 3 and seen[0].pc == g.address("here")


# --- CSRs ------------------------------------------------------------------------------------------------------------

# What it does to mscratch, which is 0b1100; a1 is 0b1010.
CSR_INSTRUCTIONS = [
    ("csrrw a2, mscratch, a1", 0b1010, "rw"), ("csrw mscratch, a1", 0b1010, "w"), ("csrr a2, mscratch", None, "r"),
    ("csrrs a2, mscratch, a1", 0b1110, "rw"), ("csrs mscratch, a1", 0b1110, "rw"),
    ("csrrc a2, mscratch, a1", 0b0100, "rw"), ("csrrwi a2, mscratch, 5", 5, "rw"), ("csrwi mscratch, 5", 5, "w"),
    ("csrrsi a2, mscratch, 3", 0b1111, "rw"), ("csrrci a2, mscratch, 0", None, "r"),
    ("csrrs zero, mscratch, zero", None, "r"), ("csrrw a2, sscratch, a1", None, ""),
]


@pytest.mark.parametrize("instruction, value, does", CSR_INSTRUCTIONS, ids=[row[0] for row in CSR_INSTRUCTIONS])
def test_csr_accesses(instruction, value, does, guest):
    """Table 12 of the unprivileged specification, section 7.1: which of them read, and which write."""
    g, seen = guest(f"here: {instruction}; wfi"), []
    g["a1"], g["mscratch"] = 0b1010, 0b1100
    g.machine.on_csr("mscratch", seen.append)
    g.machine.on_csr(0x340, seen.append, access="read")
    g.machine.on_csr("mscratch", seen.append, access="write")
    g.finish()
    here, old = g.address("here"), 0b1100
    told = [CsrAccess(g.hart, "read", 0x340, old, old, here)] * 2 * ("r" in does)
    told += [CsrAccess(g.hart, "write", 0x340, value, old, here)] * 2 * ("w" in does)
    assert seen == told and all(access.name == "mscratch" for access in seen)


def test_value_is_what_it_reads_as_now(guest):
    """mstatus does not take every bit: MPP of 2 is none (WARL)."""
    g, seen = guest("li a1, 0x1000; csrw mstatus, a1; wfi"), []
    g.machine.on_csr("mstatus", seen.append)
    g.finish()
    (access,) = seen
    assert access.value == g["mstatus"]


def test_hooks_draw_nothing_from_the_seed(guest):
    """Its entropy goes on by one at each read: a hook, of this register or another, must not be one."""
    values = []
    for csr in (None, "seed", "mscratch"):
        g = guest("csrrw a1, seed, zero; csrrw a2, seed, a3; csrrw a3, seed, zero; wfi", isa="rv64gc_zkr")
        seen = []
        if csr is not None:
            g.machine.on_csr(csr, seen.append)
        g.finish()
        values.append((g["a1"], g["a2"], g["a3"]))
        assert len(seen) == 6 * (csr == "seed")
    assert values[0] == values[1] == values[2] and len(set(values[0])) == 3


def test_an_access_that_is_illegal_is_none(guest):
    g, seen = guest("csrw mhartid, a1"), []
    g.machine.on_csr("mhartid", seen.append)
    assert g.trap().cause == 2 and not seen


def test_a_mode_that_a_csr_changes_is_there_behind_it(guest):
    """satp, in the middle of a block: what comes behind it is translated already."""
    g = guest("""
        la   t0, root; srli t1, t0, 12; li t2, 8 << 60; or t1, t1, t2
        li   t3, 0x3fffffffffffff; csrw pmpaddr0, t3; li t3, 0x1f; csrw pmpcfg0, t3
        la   t0, low; csrw mepc, t0; li t3, 0x1800; csrc mstatus, t3; li t3, 0x800; csrs mstatus, t3; mret
    low:
        csrw satp, t1
        ld   a2, 0(a0)
        wfi
        .balign 4096
    root: .dword 0, 0, (0x80000000 >> 2) | 0xcf, (0x80000000 >> 2) | 0xcf
        .zero 4064""")
    g["a0"] = FAR + (1 << 30)
    g.store(FAR, 99)
    seen = []
    g.machine.on_csr("satp", lambda access: seen.append((access.old, g.hart.virtual.physical(FAR + (1 << 30)))))
    g.finish()
    assert seen == [(0, FAR)] and g["a2"] == 99


# --- Devices ---------------------------------------------------------------------------------------------------------

class Latch(Device):
    compatible = "test,latch"
    size = 0x100

    def __init__(self):
        super().__init__()
        self.value = 0xFFFF_FFFF

    @reads(0x10)
    def latched(self) -> int:
        return self.value

    @writes(0x10)
    def latch(self, value: int) -> None:
        self.value = value


def with_devices(guest, source: str):
    g = guest(source, devices=[(Port(), PORT), (Latch(), PORT + 0x1000)])
    g["a0"], g["a6"] = PORT, PORT + 0x1000
    return g


@pytest.mark.parametrize("where", [None, "latch@10011000", "device", PORT + 0x1010,
                                   range(PORT + 0x1000, PORT + 0x1011)], ids=repr)
def test_devices(where, guest):
    g = with_devices(guest, "li a1, -2; first: sw a1, 16(a6); second: lw a2, 16(a6); wfi")
    if where == "device":
        where = g.machine.board.devices["latch@10011000"].device
    seen, reading = [], []
    g.machine.on_mmio(where, seen.append)
    g.machine.on_mmio(where, reading.append, access="read")
    g.machine.on_mmio("port@10010000", seen.append)
    g.machine.on_mmio(PORT + 0x100F if where is not None else PORT + 0x1014, seen.append)
    g.finish()
    value = 0xFFFF_FFFE
    write = MmioAccess(g.hart, "write", "latch@10011000", PORT + 0x1010, 4, value, g.address("first"))
    read = MmioAccess(g.hart, "read", "latch@10011000", PORT + 0x1010, 4, value, g.address("second"))
    assert seen == [write, read] and reading == [read]


def test_an_access_that_the_device_fails_is_told_to_nobody(guest):
    """And its exception comes out as without hooks."""
    class Broken(Port):
        @reads(0x20)
        def fail(self) -> int:
            raise ZeroDivisionError

    g = guest("lw a1, 32(a0); wfi", devices=[(Broken(), PORT)])
    g["a0"] = PORT
    seen = []
    g.machine.on_mmio(None, seen.append)
    with pytest.raises(ZeroDivisionError):
        g.run()
    assert not seen


def test_a_device_in_its_callback_is_in_no_hook(guest):
    """It may not do what hooks may, although there are some."""
    class Curious(Port):
        @reads(0x20)
        def look(self) -> int:
            with pytest.raises(vm.MachineBusy):
                g.machine.snapshot()
            with pytest.raises(vm.MachineBusy):
                g.machine.on_trap(None, print)
            return 5

    g = guest("lw a1, 32(a0); wfi", devices=[(Curious(), PORT)])
    g["a0"] = PORT
    g.machine.on_execute(g.hart.pc, lambda hart: None)
    g.machine.on_mmio(None, lambda access: None)
    g.finish()
    assert g["a1"] == 5


# --- Environment calls -----------------------------------------------------------------------------------------------

def test_calls_by_their_numbers(guest):
    g = looping(guest, "ecall")
    g["a7"] = 93
    seen = []
    g.machine.on_ecall(93, lambda hart: seen.append(hart["a7"]))
    g.machine.on_ecall(94, lambda hart: seen.append(hart["a7"]))
    g.finish()
    assert seen == [93] * 20


def test_calls_that_the_machine_serves_are_told_and_are_no_traps(guest):
    """Of a kernel, to its firmware."""
    g = guest("low: ecall; wfi")
    g.native.sbi = True
    g.hart.privilege = 1
    g.open_pmp()
    g["a7"], g["a6"] = 0x10, 0                      # base extension, specification version
    calls, traps = [], []
    g.machine.on_ecall(0x10, lambda hart: calls.append((hart.pc, hart["a0"])))
    g.machine.on_trap(None, traps.append)
    g["a0"] = 99
    g.finish()
    assert calls == [(g.address("low"), 99)] and not traps and g["a0"] == 0


# --- Whose instructions ----------------------------------------------------------------------------------------------

# `place` is executed by user and supervisor code, each with a page table of its own, in turns by the numbers 1 and 2.
SCOPES = """
    li   t1, 0x3fffffffffffff; csrw pmpaddr0, t1; li t1, 0x1f; csrw pmpcfg0, t1
    la   t0, handler; csrw mtvec, t0
    li   t0, 1 << 18; csrs mstatus, t0                  # SUM
    li   s1, 12
next:
    la   t0, kernel
    li   t2, 0x1800; csrc mstatus, t2
    andi t1, s1, 2; beqz t1, 1f
    li   t2, 0x800; csrs mstatus, t2                    # MPP: supervisor
    j    2f
1:  la   t0, user
2:  srli t0, t0, 12
    andi t1, s1, 1; bnez t1, 3f; li t1, 2
3:  slli t1, t1, 44; or t0, t0, t1
    li   t2, 8 << 60; or t0, t0, t2
    csrw satp, t0; sfence.vma
    la   t0, place; csrw mepc, t0; mret
place:
    addi a1, a1, 1
    la   t0, word
    sd   a1, 0(t0)
    ecall
    .balign 4
handler:
    addi s1, s1, -1
    bnez s1, next
    wfi
    .balign 8
word: .dword 0
    .balign 4096
kernel: .dword 0, 0, (0x80000000 >> 2) | 0xcf
    .zero 4072
user: .dword 0, 0, (0x80000000 >> 2) | 0xdf
    .zero 4072
"""


def test_privilege_and_address_space(guest):
    """The same physical page, executed by two privileges in two address spaces, at one virtual address each."""
    g = guest(SCOPES)
    at = g.address("place")
    found = {}

    def note(name):
        found[name] = []
        return lambda event: found[name].append(g["s1"])

    hooks = {"all": {}, "user": {"privilege": 0}, "supervisor": {"privilege": 1}, "machine": {"privilege": 3},
             "one": {"asid": 1}, "two": {"asid": 2}, "user in two": {"privilege": 0, "asid": 2},
             "satp": {"satp": satp_of(g, 1)}, "other": {"satp": satp_of(g, 1) + 1},
             "root": {"page_table": g.address("user")}, "another root": {"page_table": g.address("word") & -4096}}
    for name, scope in hooks.items():
        g.machine.on_execute(at, note(name), **scope)
        g.machine.on_write(g.address("word"), note("w " + name), **scope)
    g.finish()
    rounds = range(12, 0, -1)
    expected = {"all": list(rounds), "user": [n for n in rounds if not n & 2],
                "supervisor": [n for n in rounds if n & 2], "machine": [], "one": [n for n in rounds if n & 1],
                "two": [n for n in rounds if not n & 1], "user in two": [n for n in rounds if not n & 3],
                "satp": [n for n in rounds if n & 3 == 1], "other": [],
                "root": [n for n in rounds if not n & 2], "another root": []}
    for name in hooks:
        assert found[name] == expected[name] == found["w " + name], name


@pytest.mark.parametrize("scope, expected", [({}, 12), ({"privilege": 0}, 6), ({"asid": 2}, 6),
                                             ({"privilege": 1, "asid": 1}, 3), ({"privilege": 3}, 0)], ids=str)
def test_breakpoints_are_bound_likewise(scope, expected, guest):
    g = guest(SCOPES)
    g.machine.breakpoint(g.address("place"), **scope)
    count = 0
    while (stop := g.run()).reason is StopReason.BREAKPOINT:
        count += 1
    assert (count, stop.reason) == (expected, StopReason.IDLE)


def satp_of(g, round_number: int) -> int:
    """Of user code in the first address space; supervisor code has another table."""
    return 8 << 60 | round_number << 44 | g.address("user") >> 12


# --- Forms and arguments ---------------------------------------------------------------------------------------------

def test_decorators_and_with_blocks(guest):
    g, seen = guest(LOOP.format(body="nop")), []
    g["s1"] = 5

    @g.machine.on_execute("here")
    def note(hart):
        """Its own."""
        seen.append(hart["a3"])

    note(g.hart)
    assert seen == [0]
    with g.machine.on_execute("behind", lambda hart: seen.append("behind")) as hook:
        g.run(20)
        assert "behind" in seen and "[0x" not in repr(hook) and "on_execute behind" in repr(hook)
    del seen[:]
    g.finish()
    assert "behind" not in seen and seen[-1] == 5 and "note" in repr(note)
    note.remove()


EACH = ["on_execute", "on_read", "on_write", "on_trap", "on_csr", "on_mmio", "on_ecall"]
BAD = [
    ("on_execute", (0x8000_0001, print), {}, "odd"), ("on_execute", (-2, print), {}, "64 bits"),
    ("on_execute", (1 << 64, print), {}, "64 bits"), ("on_execute", ("nowhere", print), {}, "no symbol is called"),
    ("on_execute", (2.5, print), {}, "whole number"), ("on_execute", (None, print), {}, "whole number"),
    ("on_execute", (range(8, 8), print), {}, "range"), ("on_execute", (range(8, 0, -1), print), {}, "range"),
    ("on_execute", (range(0, 8, 2), print), {}, "range"), ("on_execute", (range(-8, 8), print), {}, "range"),
    ("on_execute", (8, 5), {}, "function=5"), ("on_read", (8, 5), {}, "function=5"),
    ("on_execute", (8, print), {"space": "linear"}, "'virtual' or 'physical'"),
    ("on_execute", (8, print), {"privilege": 2}, "privilege=2"),
    ("on_execute", (8, print), {"privilege": "hypervisor"}, "privilege='hypervisor': there is 'user' .0., 's"),
    ("on_execute", (8, print), {"privilege": 1.0}, "privilege=1.0"),
    ("on_execute", (8, print), {"asid": 1 << 16}, "16 bits"), ("on_execute", (8, print), {"asid": -1}, "16 bits"),
    ("on_execute", (8, print), {"asid": "x"}, "whole number"), ("on_execute", (8, print), {"satp": -1}, "64 bits"),
    ("on_execute", (8, print), {"satp": 8, "asid": 1}, "asid= and satp=: give one"),
    ("on_execute", (8, print), {"satp": 8, "page_table": 0}, "satp= and page_table=: give one"),
    ("on_execute", (8, print), {"page_table": 8 << 60 | 0x80200}, "page_table=0x8000000000080200: .* satp= takes"),
    ("on_execute", (8, print), {"page_table": 1 << 56}, "of 56 bits"),
    ("on_execute", (8, print), {"page_table": "x"}, "whole number"),
    ("on_read", (2.5, print), {}, "whole number"), ("on_write", (None, print), {}, "whole number"),
    ("on_write", (8, print), {"size": 0}, "at least one"), ("on_write", (8, print), {"size": "8"}, "whole number"),
    ("on_read", (8, print), {"space": "physical"}, "not RAM"), ("on_read", (8, print), {"space": None}, "space=None"),
    ("on_write", (range(0x8000_0000, 1 << 64), print), {"space": "physical"}, "not RAM"),
    ("on_trap", (99, print), {}, "cause=0x63: no trap has it; an exception has one of the causes 0, 1,"),
    ("on_trap", (1 << 63 | 4, print), {}, "cause=0x8000000000000004.*bit 63 and one of 1, 2"),
    ("on_trap", (14, print), {}, "no trap has it"), ("on_trap", (64, print), {}, "no trap has it"),
    ("on_execute", (0xDEADBEEF1, print), {}, "where=0xdeadbeef1: no instruction begins"),
    ("on_execute", (print, print), {}, "where=<built-in function print>: an address, a range .*comes second"),
    ("on_mmio", (print, print), {}, "comes second"), ("on_csr", (print, print), {}, "comes second"),
    ("on_block", (print, print), {}, "comes second"), ("on_ecall", (print, print), {}, "comes second"),
    ("on_write", (print, print), {}, "comes second"), ("on_trap", (print, print), {}, "comes second"),
    ("on_write", (0x1000_0000, print), {"space": "physical"}, "not RAM; on_mmio tells of devices"),
    ("on_trap", (-1, print), {}, "64 bits"), ("on_trap", ("ecall", print), {}, "whole number"),
    ("on_trap", (8, "f"), {}, "function='f'"), ("on_csr", ("mnone", print), {}, "csr='mnone'"),
    ("on_csr", (1 << 12, print), {}, "12 bits"), ("on_csr", (-1, print), {}, "12 bits"),
    ("on_csr", (None, print), {}, "whole number"), ("on_csr", ("satp", print), {"access": "rw"}, "access='rw'"),
    ("on_mmio", ("floppy", print), {}, "no device is called"), ("on_mmio", (2.5, print), {}, "whole number"),
    ("on_mmio", (Latch(), print), {}, "not attached"), ("on_mmio", (None, print), {"access": "execute"}, "access="),
    ("on_mmio", (None, 7), {}, "function=7"), ("on_ecall", ("exit", print), {}, "whole number"),
    ("on_ecall", (-1, print), {}, "64 bits"), ("on_ecall", (1, b"f"), {}, "function=b'f'"),
]


@pytest.mark.parametrize("cause", [0, 3, 15, 24, 31, 48, 63, 1 << 63 | 1, 1 << 63 | 11, 1 << 63 | 16])
def test_causes_that_may_be_are_taken(cause, guest):
    """Also those that the specification gives to platforms and custom use (privileged, section 3.1.15)."""
    looping(guest, "ecall").machine.on_trap(cause, print).remove()


def test_events_show_addresses_in_hexadecimal(guest):
    g = guest("li t0, 0x10000000; li a0, 0x41; sb a0, 3(t0); la t1, word; sw a0, (t1); csrw mscratch, a0\n"
              "ecall\n.balign 8\nword: .dword 0")
    seen = []
    g.machine.on_mmio(None, seen.append)
    g.machine.on_write("word", seen.append)
    g.machine.on_csr("mscratch", seen.append)
    g.machine.on_trap(None, lambda trap: (seen.append(trap), g.machine.request_stop()))
    g.run()
    hart, word, pcs = repr(g.hart), g.address("word"), [event.pc for event in seen]
    shown = [repr(event).replace(repr(event.hart), "HART") for event in seen]
    assert hart and shown == [
        f"MmioAccess(hart=HART, access='write', device='uart', address=0x10000003, size=1, value=0x41, pc={pcs[0]:#x})",
        f"MemoryAccess(hart=HART, access='write', address={word:#x}, physical={word:#x}, size=4, value=0x41, old=0x0, "
        f"pc={pcs[1]:#x})",
        f"CsrAccess(hart=HART, access='write', number=0x340, value=0x41, old=0x0, pc={pcs[2]:#x})",
        f"Trap(hart=HART, cause=0xb, value=0x0, pc={pcs[3]:#x})"]


@pytest.mark.parametrize("name, arguments, options, said", BAD, ids=[f"{row[0]}-{row[3]}" for row in BAD])
def test_arguments_that_are_none_are_refused(name, arguments, options, said, guest):
    """In one line, whichever way the function is given, and nothing has been set."""
    g = looping(guest, "ecall")
    with pytest.raises(vm.ConfigurationError, match=said) as caught:
        getattr(g.machine, name)(*arguments, **options)
    assert "\n" not in str(caught.value)
    with pytest.raises(vm.ConfigurationError, match=said):
        getattr(g.machine, name)(arguments[0], **options)(arguments[1])
    assert not g.machine._hooking._listeners and g.machine.probes == ()


def test_ranges_may_be_as_large_as_the_address_space(guest):
    g, seen = looping(guest, "write", 3), []
    g.machine.on_execute(range(1 << 64), lambda hart: seen.append("x"))
    g.machine.on_write(range(1 << 64), lambda access: seen.append("w"))
    g.machine.on_read(range(1 << 63, 1 << 64), lambda access: seen.append("r"))
    g.finish()
    assert seen.count("x") == g.machine.steps and seen.count("w") == 3 and "r" not in seen


@pytest.mark.parametrize("name", EACH)
def test_a_decorator_may_wait(name, guest):
    """Nothing is set before there is a function."""
    g = looping(guest, "ecall")
    first = {"on_csr": ("satp",), "on_trap": (), "on_mmio": (), "on_ecall": ()}.get(name, (FAR,))
    decorate = getattr(g.machine, name)(*first)
    assert not g.machine._hooking._listeners
    assert decorate(print).function is print
