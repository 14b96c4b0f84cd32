"""The map of edges: a byte for each hash of two blocks, as fuzzers know it."""

import mmap
import zlib
from contextlib import ExitStack

import pytest

import vm
from tests.stepping import HANDLER, with_handler
from vm.devices import Device
from vm.stop import StopReason

dispatched = pytest.mark.usefixtures("dispatch")

# Loops of one block and of several: nested, gone on with and left in the middle, that trap, and that ask a device.
PORT = 0x4000_0000
LOOPS = f"""
    la   sp, stack
    li   s0, {PORT}
    li   s1, 600
    li   s3, 4
outer:
    andi a0, s1, 15
inner:
    addi a0, a0, -1
    bgez a0, inner
    li   a1, 9
turn:
    addi a1, a1, -1
    beq  a1, s1, left
    andi t0, a1, 3
    beqz t0, turn
    andi t1, s1, 7
    bltu t1, a1, behind
    sw   a1, 0(s0)
    beqz t1, trap
behind:
    beq  a1, s3, elsewhere
    bgtz a1, turn
left:
    li   a2, 20
poll:
    addi a2, a2, -1
    andi t0, a2, 7
    beqz t0, rarely
    sw   a2, 0(s0)
    andi t0, a2, 15
    beqz t0, behind_poll
rarely:
    lw   t0, 0(s0)
    bgtz a2, poll
behind_poll:
    lbu  t2, -1(sp)
    sb   a1, -1(sp)
    addi s1, s1, -1
    bnez s1, outer
    j    finished
trap:
    ecall
    j    behind
finished:
    wfi
{HANDLER}
    .balign 4096
elsewhere:
    xori s3, s3, 1
    j    left
    .balign 4096
    .zero 4096
stack:
"""
MAP_32BIT, MAP_NORESERVE = 0x40, 0x4000


class Port(Device):
    """Keeps what `look` says at each write."""

    size = 8

    def __init__(self):
        super().__init__()
        self.look = lambda: None
        self.seen = []

    def read(self, offset, size):
        self.seen.append(self.look())
        return 0

    def write(self, offset, size, value):
        self.seen.append(self.look())


@pytest.fixture(params=["near", "far"])
def distance(request):
    """Of the maps that are made, from the 2 GiB that an instruction of the host can name."""
    with ExitStack() as kept:
        size = 1 << 30 if request.param == "far" else 0
        while size >= mmap.PAGESIZE:
            try:
                flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE | MAP_32BIT
                kept.enter_context(mmap.mmap(-1, size, flags=flags, prot=mmap.PROT_READ))
            except OSError:
                size //= 2
        yield request.param


@dispatched
def test_edges_are_counted_and_wrap(guest):
    g = guest("""
    li   s1, 300
loop:
    addi s1, s1, -1
    bnez s1, loop
    wfi
""")
    with g.machine.edge_map(bits=10) as edges:
        g.finish()
        assert len(edges) == 1024
        assert sorted(edges.array[edges.array > 0].tolist())[-1] == (298 & 255)         # from the loop to itself
        assert edges.array.astype(int).sum() < 300
        edges.array[:] = 7
        edges.clear()
        assert not edges.array.any()


@dispatched
def test_it_is_the_same_however_it_runs(covered):
    maps = []
    for piece in (1, 3, 100_000):
        g = covered()
        with g.machine.edge_map() as edges:
            while g.run(piece).reason is StopReason.BUDGET:
                pass
        maps.append(edges.array.tobytes())
    assert maps[0] == maps[1] == maps[2] and any(maps[0])


@pytest.mark.parametrize("piece", [37, 1000, 100_000])
def test_loops_are_counted_on_both_engines(guest, distance, piece, monkeypatch):
    """Also as a device sees it in the middle of a turn."""
    monkeypatch.setenv("VM_JIT_HOT", "20")      # so that traces follow the ways that are usual
    outcomes = []
    for engine in ("interpreter", "jit"):
        port = Port()
        g = with_handler(guest(LOOPS, engine=engine, devices=[(port, PORT)]))
        with g.machine.edge_map() as edges:
            port.look = lambda: zlib.crc32(edges.array)
            while g.run(piece).reason is StopReason.BUDGET:
                pass
            outcomes.append((edges.array.tobytes(), port.seen))
    assert len(outcomes[0][1]) > 1000
    assert outcomes[1] == outcomes[0]


def test_size_that_is_none_is_refused(guest):
    with pytest.raises(vm.ConfigurationError, match="bits=3: from 8 to 30"):
        guest("wfi").machine.edge_map(bits=3)
