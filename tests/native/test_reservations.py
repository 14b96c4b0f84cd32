"""Reservations: a store-conditional fails once anybody else has stored to the reserved bytes (unprivileged
specification, section 13.2: "Zalrsc"), also if they hold the old value again.
"""

import pytest

import vm
from tests.assembler import BASE
from vm.devices import Device, writes

DATA = BASE + 0x10000
PORT = 0x2000_0000
RESERVED = 0x1122_3344_5566_7788
HELD, LOST = 0, 1                               # what sc writes to rd
pytestmark = pytest.mark.usefixtures("dispatch")

BETWEEN = "lr.d a1, (a0); nop; sc.d a2, a3, (a0); wfi"


def at_the_nop(guest, **options):
    """A guest that holds a reservation of the eight bytes at DATA."""
    g = guest(BETWEEN, **options)
    g.store(DATA, RESERVED)
    g["a0"], g["a2"], g["a3"] = DATA, 77, 5
    g.run(instructions=1)
    assert g["a1"] == RESERVED
    return g


@pytest.mark.parametrize("offset, size, expected", [
    (0, 8, LOST), (0, 1, LOST), (7, 1, LOST), (-4, 5, LOST), (7, 2, LOST), (-8, 24, LOST), (-4096, 8192, LOST),
    (-1, 1, HELD), (8, 8, HELD), (4096, 8, HELD),
])
def test_python_stores_what_is_there_already(guest, offset, size, expected):
    g = at_the_nop(guest)
    g.memory.write(DATA + offset, g.memory.read(DATA + offset, size))
    g.finish()
    assert g["a2"] == expected
    assert g.word(DATA) == (5 if expected == HELD else RESERVED)


def test_a_view_for_writing_counts_as_a_store(guest):
    g = at_the_nop(guest)
    with g.memory.writable(DATA + 4, 1):
        pass
    g.finish()
    assert g["a2"] == LOST


def test_reading_is_no_store(guest):
    g = at_the_nop(guest)
    assert g.memory.read(DATA, 8) == bytes(g.memory.view(DATA, 8))
    g.memory.write(DATA, b"")
    g.finish()
    assert g["a2"] == HELD


class Writer(Device):
    """Stores to RAM, as a device with direct memory access does, when it is written to."""

    size = 8

    @writes(0)
    def store(self, value: int) -> None:
        self.memory.write(DATA + value, self.memory.read(DATA + value, 8))


@pytest.mark.parametrize("offset, expected", [(0, LOST), (64, HELD)])
def test_device_stores(guest, offset, expected):
    g = guest(f"lr.d a1, (a0); sw a4, (a5); sc.d a2, a3, (a0); wfi; .equ port, {PORT}", devices=[(Writer(), PORT)])
    g["a0"], g["a3"], g["a4"], g["a5"] = DATA, 5, offset, PORT
    g.finish()
    assert g["a2"] == expected


@pytest.mark.parametrize("between", ["sd a4, 64(a0)", "amoadd.d a5, a4, (a6)", "ld a5, (a0)", ".word 0x0000100f"])
def test_own_accesses_elsewhere_keep_it(guest, between):
    """Stores of the same hart outside the reserved bytes, loads, and fence.i."""
    g = guest(f"addi a6, a0, 128; lr.d a1, (a0); {between}; sc.d a2, a3, (a0); wfi")
    g["a0"], g["a3"] = DATA, 5
    g.finish()
    assert (g["a2"], g.word(DATA)) == (HELD, 5)


HANDSHAKE = """
    csrr t0, mhartid
    li   s0, 0x80010000         # the word
    li   s1, 0x80010040         # hart 0: go on
    li   s2, 0x80010080         # hart 1: done
    bnez t0, other
    lr.d a1, (s0)
    li   t1, 1
    sd   t1, (s1)
1:  ld   t1, (s2)
    beqz t1, 1b
    fence
    sc.d a2, a1, (s0)
    wfi
other:
    ld   t1, (s1)
    beqz t1, other
    ld   t1, (s0)
    {store}
    sd   t1, (s0)
    fence
    li   t1, 1
    sd   t1, (s2)
    wfi
"""


@pytest.mark.parametrize("store", ["not t2, t1; sd t2, (s0)", "nop"], ids=["two values", "the same value"])
def test_another_hart_stores_the_old_value(guest, store):
    g = guest(HANDSHAKE.format(store=store), harts=2)
    g.store(DATA, RESERVED)
    g["a2"] = 77
    g.finish()
    assert g["a2"] == LOST


STACK = """
    csrr s8, mhartid
    la   s0, head
    li   s1, {rounds}
again:
    jal  pop
    mv   s3, a0
    jal  pop
    mv   s4, a0
    jal  pop
    mv   s5, a0
    mv   a0, s4
    jal  push
    mv   a0, s5
    jal  push
    mv   a0, s3
    jal  push
    addi s1, s1, -1
    bnez s1, again
    wfi
pop:                            # a0: the node; waits while the stack is empty
    lr.d a0, (s0)
    beqz a0, pop
    ld   a1, (a0)
    sc.d t0, a1, (s0)
    bnez t0, pop
    ret
push:
    ld   a1, (s0)
    sd   a1, (a0)
    fence
    lr.d t1, (s0)
    bne  t1, a1, push
    sc.d t0, a0, (s0)
    bnez t0, push
    ret
    .balign 64
head:  .dword nodes
    .balign 64
nodes: .dword nodes + 8, nodes + 16, nodes + 24, nodes + 32, nodes + 40, nodes + 48, nodes + 56, 0
"""


def test_a_stack_without_tags(guest):
    """Popping with LR/SC needs no counter against the same node coming back: with compare-and-swap this list breaks.

    A round has 50 steps or more and is not a divisor of the 10,000 of a turn, so turns end everywhere in it.
    """
    g = guest(STACK.format(rounds=20_000), harts=3)
    g.run(instructions=20_000_000)
    node, seen = g.word("head"), []
    while node and len(seen) <= 8:
        seen.append(node)
        node = g.word(node)
    first = g.address("nodes")
    assert sorted(seen) == [first + 8 * number for number in range(8)]


# --- Snapshots --------------------------------------------------------------------------------------------------------

@pytest.fixture(params=["the machine", "another", "from a file"])
def go_back(request, tmp_path):
    """(guest, snapshot) -> a machine at that snapshot: the guest's own, or new ones of each engine."""
    made = []

    def go_back(g, snapshot):
        if request.param == "the machine":
            g.machine.restore(snapshot)
            return [g.machine]
        if request.param == "from a file":
            snapshot.save(tmp_path / "reserved.vmsnap")
            snapshot = vm.Snapshot.load(tmp_path / "reserved.vmsnap")
        made.extend(snapshot.machine(engine=engine) for engine in ("interpreter", "jit"))
        return made

    yield go_back
    for machine in made:
        machine.close()


@pytest.mark.parametrize("store, expected", [(lambda g: None, HELD), (lambda g: g.store(DATA, RESERVED), LOST)],
                         ids=["held", "lost"])
def test_what_was_reserved_before_a_snapshot(guest, go_back, store, expected):
    """The run after going back is the one that went on: an SC that succeeded there does again."""
    g = at_the_nop(guest)
    store(g)
    snapshot = g.machine.snapshot()
    g.finish()
    assert (g["a2"], g.word(DATA)) == (expected, 5 if expected == HELD else RESERVED)
    end = g.machine.snapshot()
    for machine in go_back(g, snapshot):
        machine.run()
        comparison = machine.equals(end)
        assert comparison, comparison.differences


def test_what_was_reserved_after_a_snapshot_is_not(guest, go_back):
    """An SC without an LR before it fails, whatever the machine held when it went back."""
    g = guest("nop; " + BETWEEN)
    g["a0"], g["a2"], g["a3"] = DATA, 77, 5
    g.run(instructions=1)
    snapshot = g.machine.snapshot()
    g.run(instructions=2)
    store_conditional = g.hart.pc
    for machine in go_back(g, snapshot):
        machine.harts[0].pc = store_conditional
        machine.run()
        assert machine.harts[0]["a2"] == LOST
        assert machine.memory.read(DATA, 8) == bytes(8)


def test_going_back_in_the_midst_of_sequences(guest):
    """Turns and snapshots end everywhere in them; each stretch is gone through three times, and once by another."""
    g = guest(STACK.format(rounds=2_000), harts=3)
    with g.machine.fork() as straight:
        for steps in range(9_901, 10_000, 9):
            snapshot = g.machine.snapshot()
            for _ in range(3):
                g.machine.restore(snapshot)
                g.run(instructions=steps)
            straight.run(instructions=steps)
            comparison = straight.equals(g.machine.snapshot())
            assert comparison, comparison.differences
