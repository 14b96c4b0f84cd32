"""Loads and stores: extension, misaligned ones across pages, between RAM and devices, and what faults leave behind.

Unprivileged specification, section 2.6 (misaligned accesses are allowed here); privileged, section 3.1.16 for tval.
"""

import pytest

from tests.assembler import BASE
from vm.devices import Device

PAGE = 4096
LOAD_ACCESS, STORE_ACCESS, LOAD_PAGE, STORE_PAGE = 5, 7, 13, 15
LEAF = 0xCF                                                 # D A - - X W R V
pytestmark = pytest.mark.usefixtures("dispatch")
PATTERN = bytes(range(0x81, 0x91))


class Window(Device):
    """Notes every access."""

    def __init__(self):
        super().__init__()
        self.accesses = []

    def read(self, offset, size):
        self.accesses.append((offset, size))
        return 0

    def write(self, offset, size, value):
        self.accesses.append((offset, size, value))


def extended(data: bytes, instruction: str) -> int:
    return int.from_bytes(data, "little", signed=not instruction.endswith("u")) % (1 << 64)


@pytest.mark.parametrize("offset", [0, 1, 2, 3, 4, 5, 6, 7, PAGE - 1, PAGE - 2, PAGE - 3, PAGE - 5, PAGE - 7])
def test_loads_at_any_alignment(offset, guest):
    loads = {"lb": 1, "lbu": 1, "lh": 2, "lhu": 2, "lw": 4, "lwu": 4, "ld": 8}
    registers = dict(zip(loads, ("a1", "a2", "a3", "a4", "a5", "a6", "a7"), strict=True))
    g = guest("".join(f"{load} {register}, 0(a0)\n" for load, register in registers.items()) + "wfi")
    g["a0"] = BASE + 0x10000 + offset
    g.memory.write(g["a0"], PATTERN)
    g.finish()
    for load, size in loads.items():
        assert g[registers[load]] == extended(PATTERN[:size], load), load


@pytest.mark.parametrize("offset", [0, 1, 4, 7, PAGE - 1, PAGE - 2, PAGE - 3, PAGE - 7])
@pytest.mark.parametrize("store, size", [("sb", 1), ("sh", 2), ("sw", 4), ("sd", 8)])
def test_stores_at_any_alignment_change_their_bytes_only(store, size, offset, guest):
    g = guest(f"{store} a1, 0(a0); wfi")
    g["a0"], g["a1"] = BASE + 0x10000 + offset, 0x8877_6655_4433_2211
    g.memory.write(g["a0"] - 8, b"\xee" * 24)
    g.finish()
    expected = b"\xee" * 8 + bytes.fromhex("1122334455667788")[:size] + b"\xee" * (16 - size)
    assert g.memory.read(g["a0"] - 8, 24) == expected


def test_load_into_x0_still_faults(guest):
    g = guest("ld zero, 0(zero); wfi")
    assert g.trap() == (LOAD_ACCESS, BASE, 0)


def test_a_load_that_faults_leaves_its_register(guest):
    g = guest("ld a1, 0(zero); wfi")
    g["a1"] = 77
    g.trap()
    assert g["a1"] == 77


def test_addresses_wrap_around(guest):
    g = guest("ld a1, 8(a0); wfi")
    g["a0"] = (1 << 64) - 8
    assert g.trap() == (LOAD_ACCESS, BASE, 0)


@pytest.mark.parametrize("instruction, cause", [("ld a1, 0(a0)", LOAD_ACCESS), ("sd a1, 0(a0)", STORE_ACCESS)])
def test_access_across_the_end_of_ram_reports_the_part_that_is_not_there(instruction, cause, guest):
    g = guest(f"{instruction}; wfi")
    end = BASE + 0x20_0000
    g["a0"], g["a1"] = end - 3, (1 << 64) - 1
    g.memory.write(end - 4, bytes(4))
    assert g.trap() == (cause, BASE, end)
    assert g.memory.read(end - 4, 4) == bytes(4)


@pytest.mark.parametrize("instruction, cause", [("ld a1, 0(a0)", LOAD_ACCESS), ("sd a1, 0(a0)", STORE_ACCESS)])
def test_access_across_the_start_of_ram_faults(instruction, cause, guest):
    g = guest(f"{instruction}; wfi")
    g["a0"], g["a1"] = BASE - 3, (1 << 64) - 1
    before = g.memory.read(BASE, 8)
    assert g.trap() == (cause, BASE, BASE - 3)
    assert g.memory.read(BASE, 8) == before


@pytest.mark.parametrize("instruction, cause", [("lw a1, 0(a0)", LOAD_ACCESS), ("sw a1, 0(a0)", STORE_ACCESS)])
def test_misaligned_access_to_a_device_is_an_access_fault(instruction, cause, guest):
    window = Window()
    g = guest(f"{instruction}; wfi", devices=[(window, 0x4000_0000)])
    g["a0"] = 0x4000_0001
    assert g.trap() == (cause, BASE, 0x4000_0001)
    assert not window.accesses


@pytest.mark.parametrize("instruction, cause", [("ld a1, 0(a0)", LOAD_ACCESS), ("sd a1, 0(a0)", STORE_ACCESS)])
def test_access_across_ram_and_a_device_does_neither(instruction, cause, guest):
    """Behind the end of RAM stands a device."""
    window, end = Window(), BASE + 0x20_0000
    g = guest(f"{instruction}; wfi", devices=[(window, end)])
    g["a0"], g["a1"] = end - 4, (1 << 64) - 1
    before = g.memory.read(end - 4, 4)
    assert g.trap() == (cause, BASE, end)
    assert not window.accesses and g.memory.read(end - 4, 4) == before


# --- Through page tables: 0x1000 and 0x2000, mapped to pages that are not neighbours ---------------------------------

FIRST, SECOND = BASE + 0x18000, BASE + 0x14000


def map_two(g, first: int, second: int) -> None:
    root, middle, leaf = (BASE + 0x10000 + PAGE * number for number in range(3))
    g.open_pmp()
    g.store(root, middle >> 12 << 10 | 1)
    g.store(middle, leaf >> 12 << 10 | 1)
    g.store(leaf + 8, first)
    g.store(leaf + 16, second)
    g["satp"] = 8 << 60 | root >> 12
    g["mstatus"] = 1 << 17 | 1 << 11                        # MPRV, MPP = S: data is translated, code is not


def leaf(page: int, flags: int = LEAF) -> int:
    return page >> 12 << 10 | flags


@pytest.mark.parametrize("offset", range(1, 8))
def test_access_across_pages_that_are_not_neighbours(offset, guest):
    g = guest("ld a1, 0(a0); sd a2, 0(a0); wfi")
    map_two(g, leaf(FIRST), leaf(SECOND))
    g.memory.write(FIRST + PAGE - offset, PATTERN[:offset])
    g.memory.write(SECOND, PATTERN[offset:8])
    g["a0"], g["a2"] = 0x2000 - offset, 0x8877_6655_4433_2211
    g.finish()
    assert g["a1"] == int.from_bytes(PATTERN[:8], "little")
    new = bytes.fromhex("1122334455667788")
    assert g.memory.read(FIRST + PAGE - offset, offset) == new[:offset]
    assert g.memory.read(SECOND, 8 - offset) == new[offset:]
    assert g.memory.read(SECOND + 8 - offset, 8) == bytes(8)


@pytest.mark.parametrize("flags", [0, LEAF & ~4, LEAF & ~0x80], ids=["unmapped", "read-only", "clean"])
def test_store_that_faults_in_the_second_page_writes_nothing(flags, guest):
    g = guest("sd a1, 0(a0); wfi")
    map_two(g, leaf(FIRST), leaf(SECOND, flags))
    g["a0"], g["a1"] = 0x2000 - 3, (1 << 64) - 1
    assert g.trap() == (STORE_PAGE, BASE, 0x2000)
    assert g.memory.read(FIRST + PAGE - 8, 8) == bytes(8)
    assert g.memory.read(SECOND, 8) == bytes(8)


@pytest.mark.parametrize("instruction, cause", [("ld a1, 0(a0)", LOAD_PAGE), ("sd a1, 0(a0)", STORE_PAGE)])
def test_fault_in_the_first_page_comes_first(instruction, cause, guest):
    g = guest(f"{instruction}; wfi")
    map_two(g, 0, 0)
    g["a0"] = 0x2000 - 3
    assert g.trap() == (cause, BASE, 0x2000 - 3)


def test_load_that_faults_in_the_second_page(guest):
    g = guest("ld a1, 0(a0); wfi")
    map_two(g, leaf(FIRST), 0)
    g["a0"] = 0x2000 - 3
    assert g.trap() == (LOAD_PAGE, BASE, 0x2000)


def test_access_from_a_mapped_device_into_ram_does_neither(guest):
    window = Window()
    g = guest("sd a1, 0(a0); wfi", devices=[(window, 0x4000_0000)])
    map_two(g, leaf(0x4000_0000), leaf(SECOND))
    g["a0"], g["a1"] = 0x2000 - 4, (1 << 64) - 1
    assert g.trap() == (STORE_ACCESS, BASE, 0x2000 - 4)
    assert not window.accesses and g.memory.read(SECOND, 8) == bytes(8)


def test_single_precision_load_is_boxed_at_any_alignment(guest):
    g = guest("csrs mstatus, t0; flw fa0, 0(a0); flw fa1, 1(a0); fsw fa0, 8(a0); wfi")
    g["t0"], g["a0"] = 3 << 13, BASE + 0x10FFD
    g.memory.write(g["a0"], PATTERN)
    g.finish()
    assert g.hart.f_bits[10] == 0xFFFF_FFFF << 32 | int.from_bytes(PATTERN[:4], "little")
    assert g.hart.f_bits[11] == 0xFFFF_FFFF << 32 | int.from_bytes(PATTERN[1:5], "little")
    assert g.memory.read(g["a0"] + 8, 4) == PATTERN[:4]
