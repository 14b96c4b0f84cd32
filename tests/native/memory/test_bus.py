"""The physical address map: which windows are found, which addresses are nobody's."""

import pytest

from vm.devices import Device
from vm_native.memory.bus import Bus
from vm_native.memory.ram import Ram

LOAD_ACCESS, STORE_ACCESS = 5, 7


class Window(Device):
    """Notes every access; a read gives the offset."""

    def __init__(self):
        super().__init__()
        self.accesses = []

    def read(self, offset, size):
        self.accesses.append(("read", offset, size))
        return offset

    def write(self, offset, size, value):
        self.accesses.append(("write", offset, size, value))


class Bench:
    """Two windows and RAM."""

    def __init__(self):
        self.bus = Bus()
        self.bus.add_ram(Ram(0x8000_0000, 0x2000))
        self.low, self.high = Window(), Window()
        self.bus.add_device(0x3000, 0x1000, self.high)
        self.bus.add_device(0x1000, 0x100, self.low)


@pytest.fixture
def bench():
    return Bench()


def test_window_sees_offsets(bench):
    assert bench.bus.read_device(0x3008, 4) == 8
    assert bench.bus.write_device(0x10FF, 1, 0xAB)
    assert bench.high.accesses == [("read", 8, 4)]
    assert bench.low.accesses == [("write", 0xFF, 1, 0xAB)]


@pytest.mark.parametrize("address, size", [
    (0x0, 8), (0xFFF, 1), (0x10FC, 8), (0x1100, 1), (0x2FFF, 1), (0x3FFF, 2), (0x4000, 1), (0x8000_0000, 4),
    ((1 << 64) - 8, 8), ((1 << 64) - 1, 1),
])  # fmt: skip
def test_address_between_windows_is_nobodys(address, size, bench):
    assert bench.bus.read_device(address, size) is None
    assert not bench.bus.write_device(address, size, 0)
    assert not bench.low.accesses and not bench.high.accesses


@pytest.mark.parametrize("address, size, inside", [
    (0x8000_0000, 0x2000, True), (0x8000_0000, 0x2001, False), (0x8000_1FFF, 1, True), (0x8000_2000, 1, False),
    (0x7FFF_FFFF, 1, False), (0x7FFF_FFFF, 2, False), (0x8000_1FFF, (1 << 64) - 1, False),
])  # fmt: skip
def test_ram_is_found_only_if_all_of_it_is_there(address, size, inside, bench):
    assert (bench.bus.read(address, size) is not None) == inside


@pytest.mark.parametrize("base, size", [(0x3FFF, 2), (0x2FFF, 2), (0x3100, 8), (0x8000_1FFF, 1), (0x7FFF_F000, 0x1001)])
def test_overlap_is_refused(base, size, bench):
    with pytest.raises(ValueError, match="overlaps"):
        bench.bus.add_device(base, size, Window())


@pytest.mark.parametrize("address", [0x0, 0x4000_0000, 0x8020_0000, 0x1_0000_0000, -8, 1 << 56, 0x1000_9000])
def test_guest_access_to_nothing_is_an_access_fault(address, guest):
    g = guest("ld a1, 0(a0); wfi; store: sd a1, 0(a0); wfi")
    g["a0"] = address
    assert g.trap() == (LOAD_ACCESS, 0x8000_0000, address % (1 << 64))
    g.hart.pc = g.address("store")
    assert g.trap() == (STORE_ACCESS, g.address("store"), address % (1 << 64))


def test_guest_fetch_from_nothing_is_an_access_fault(guest):
    g = guest("jr a0")
    g["a0"] = (1 << 64) - 4
    assert g.trap() == (1, (1 << 64) - 4, (1 << 64) - 4)


def test_narrow_store_to_a_device_sends_no_more_than_its_bytes(guest):
    window = Window()
    g = guest("sb a1, 1(a0); sh a1, 2(a0); sw a1, 4(a0); sd a1, 8(a0); wfi", devices=[(window, 0x4000_0000)])
    g["a0"], g["a1"] = 0x4000_0000, 0x1122_3344_5566_7788
    g.finish()
    assert window.accesses == [
        ("write", 1, 1, 0x88), ("write", 2, 2, 0x7788), ("write", 4, 4, 0x5566_7788),
        ("write", 8, 8, 0x1122_3344_5566_7788),
    ]  # fmt: skip


@pytest.mark.parametrize("instruction, value", [
    ("lb", -1), ("lbu", 0xFF), ("lh", -1), ("lhu", 0xFFFF), ("lw", -1), ("lwu", 0xFFFF_FFFF), ("ld", -1),
])  # fmt: skip
def test_load_from_a_device_extends(instruction, value, guest):
    class Ones(Device):
        def read(self, offset, size):
            return (1 << 8 * size) - 1

    g = guest(f"{instruction} a1, 0(a0); wfi", devices=[(Ones(), 0x4000_0000)])
    g["a0"] = 0x4000_0000
    g.finish()
    assert g["a1"] == value % (1 << 64)
