"""The map of edges: a byte for each hash of two blocks, as fuzzers know it."""

import pytest

import vm
from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")


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


def test_it_is_the_same_however_it_runs(covered):
    maps = []
    for piece in (1, 3, 100_000):
        g = covered()
        with g.machine.edge_map() as edges:
            while g.run(piece).reason is StopReason.BUDGET:
                pass
        maps.append(edges.array.tobytes())
    assert maps[0] == maps[1] == maps[2] and any(maps[0])


def test_size_that_is_none_is_refused(guest):
    with pytest.raises(vm.ConfigurationError, match="bits=3: from 8 to 30"):
        guest("wfi").machine.edge_map(bits=3)
