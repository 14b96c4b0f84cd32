"""Guest memory from Python: physical, virtual, views and arrays."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

import vm
from tests.assembler import BASE
from tests.native.riscv.paging import A, PageTables, R, U, V
from vm.errors import BusError, MachineBusy, PageFault, VmError
from vm.stop import StopReason

END = BASE + 0x20_0000
UART_LSR = 0x1000_0005


@pytest.fixture
def memory(guest):
    return guest("wfi").memory


def test_what_is_written_is_read(memory):
    memory.write(BASE + 0x10FFE, b"abcdef")
    assert memory.read(BASE + 0x10FFD, 8) == b"\0abcdef\0"


@pytest.mark.parametrize("data", [bytearray(b"1234"), memoryview(b"1234"), np.array([0x3433_3231], "<u4")])
def test_any_buffer_can_be_written(data, memory):
    memory.write(BASE + 0x10000, data)
    assert memory.read(BASE + 0x10000, 4) == b"1234"


def test_arrays_of_several_dimensions_can_be_written(memory):
    memory.write(BASE + 0x10000, np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert memory.read(BASE + 0x10000, 6) == bytes(range(6))


@pytest.mark.parametrize("address, size", [
    (0, 4), (BASE - 1, 1), (BASE - 1, 2), (END, 1), (END - 1, 2), (1 << 64, 1), (-1, 1), ((1 << 64) - 1, 1),
    (0x1000_0000, 3), (0x1000_0FFF, 2),
])  # fmt: skip
def test_reading_what_is_not_there(address, size, memory):
    with pytest.raises(BusError) as caught:
        memory.read(address, size)
    assert (caught.value.address, caught.value.access) == (address, "read")
    assert isinstance(caught.value, VmError)


@pytest.mark.parametrize("address, size", [(0, 4), (BASE - 1, 2), (END - 1, 2), (END, 1), (-1, 1), (1 << 64, 1)])
def test_writing_what_is_not_there_writes_nothing(address, size, memory):
    before = memory.read(END - 1, 1)
    with pytest.raises(BusError) as caught:
        memory.write(address, b"\xff" * size)
    assert caught.value.access == "write"
    assert memory.read(END - 1, 1) == before


def test_devices_answer_in_their_sizes(memory):
    """The UART's line status register: transmitter empty."""
    assert memory.read(UART_LSR, 1)[0] & 0x60 == 0x60


def test_writing_to_a_device(guest):
    g = guest("wfi")
    g.memory.write(0x200_0000, b"\x01\0\0\0")               # msip of hart 0
    assert g["mip"] == 1 << 3


# --- Views -----------------------------------------------------------------------------------------------------------

def test_view_is_live_and_read_only(guest):
    g = guest("sd a1, 0(a0); wfi")
    view = g.memory.view(BASE + 0x10000, 16)
    g["a0"], g["a1"] = BASE + 0x10000, 0x1122
    g.finish()
    assert view[:2] == b"\x22\x11" and view.readonly
    with pytest.raises(TypeError):
        view[0] = 1


@pytest.mark.parametrize("address, size", [(0x1000_0000, 4), (BASE - 1, 4), (END - 1, 2)])
def test_views_are_of_ram_only(address, size, memory):
    with pytest.raises(BusError):
        memory.view(address, size)
    with pytest.raises(BusError), memory.writable(address, size):
        pass


def test_array_is_live_and_read_only(guest):
    g = guest("sw a1, 4(a0); wfi")
    array = g.memory.array(BASE + 0x10000, (2, 2), np.uint32)
    g["a0"], g["a1"] = BASE + 0x10000, 77
    g.finish()
    assert array.tolist() == [[0, 77], [0, 0]]
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_array_of_bytes_by_default(memory):
    assert memory.array(BASE, 3).dtype == np.uint8


def test_array_outside_ram(memory):
    with pytest.raises(BusError):
        memory.array(END - 8, 2, np.uint64)


def test_writable_changes_ram(guest):
    g = guest("ld a1, 0(a0); wfi")
    with g.memory.writable(BASE + 0x10FFC, 8) as view:
        view[:] = b"\x01\x02\x03\x04\x05\x06\x07\x08"
    g["a0"] = BASE + 0x10FFC
    g.finish()
    assert g["a1"] == 0x0807_0605_0403_0201


def test_machine_does_not_run_while_memory_is_open(guest):
    g = guest("wfi")
    with g.memory.writable(BASE + 0x10000, 8), pytest.raises(MachineBusy):
        g.machine.run()
    g.finish()


def test_writable_view_is_dead_afterwards(memory):
    with memory.writable(BASE + 0x10000, 8) as view:
        pass
    with pytest.raises(ValueError, match="released"):
        view[0] = 1


def test_writable_is_closed_by_an_exception(guest):
    g = guest("wfi")
    with pytest.raises(KeyError), g.memory.writable(BASE + 0x10000, 8):
        raise KeyError
    g.finish()


# --- Virtual memory --------------------------------------------------------------------------------------------------

@pytest.fixture
def paged(guest):
    """0x1000 and 0x2000 are pages that are not neighbours, 0x3000 is read-only, 0x4000 is not there."""
    g = guest("wfi")
    g.open_pmp()
    tables = PageTables(g)
    tables.map(0x1000, BASE + 0x18000)
    tables.map(0x2000, BASE + 0x14000)
    tables.map(0x3000, BASE + 0x15000, R | V | A)
    tables.map(0x5000, 0x4000_0000)
    g["satp"] = tables.satp
    g.hart.privilege = 1
    return g


def test_virtual_memory_across_pages(paged):
    paged.hart.virtual.write(0x1FFE, b"abcd")
    assert paged.memory.read(BASE + 0x18FFE, 2) == b"ab"
    assert paged.memory.read(BASE + 0x14000, 2) == b"cd"
    assert paged.hart.virtual.read(0x1FFD, 6) == b"\0abcd\0"
    assert paged.hart.virtual.physical(0x2001) == BASE + 0x14001


def test_virtual_memory_without_translation(paged):
    with pytest.raises(PageFault) as caught:
        paged.hart.virtual.read(0x3FFE, 4)
    assert (caught.value.address, caught.value.access) == (0x4000, "read")


def test_virtual_write_that_faults_writes_nothing(paged):
    with pytest.raises(PageFault) as caught:
        paged.hart.virtual.write(0x2FFE, b"abcd")
    assert (caught.value.address, caught.value.access) == (0x3000, "write")
    assert paged.memory.read(BASE + 0x14FFE, 2) == bytes(2)


@pytest.mark.parametrize("page, privilege, options, expected", [
    ("user", 1, {}, "a user's, and SUM in mstatus is 0.*linux.read"), ("user", 0, {}, ""),
    ("user", 1, {"mstatus": 1 << 18}, ""), ("super", 1, {}, ""),
    ("super", 0, {}, "S-mode's, and the hart is in U-mode"),
    ("user", 3, {"mstatus": 1 << 17 | 1 << 11}, "a user's, and SUM"),      # MPRV: as S-mode
    ("none", 1, {}, "has no translation"), ("none", 0, {}, "has no translation")])
def test_why_a_page_that_is_there_does_not_serve(page, privilege, options, expected, guest):
    """Asking changes nothing of the hart (privileged specification, section 12.3.2: U, SUM; 3.1.6.4: MPRV)."""
    g = guest("wfi")
    g.open_pmp()
    tables = PageTables(g)
    tables.map(0x1000, BASE + 0x18000, R | V | A | U)
    tables.map(0x2000, BASE + 0x18000, R | V | A)
    g["satp"] = tables.satp
    for name, value in options.items():
        g[name] |= value
    g.hart.privilege = privilege
    before = g.machine.snapshot()
    address = {"user": 0x1000, "super": 0x2000, "none": 0x3000}[page]
    if expected:
        with pytest.raises(PageFault, match=expected):
            g.hart.virtual.read(address, 4)
    else:
        assert g.hart.virtual.read(address, 4) == bytes(4)
    assert g.machine.equals(before)


def test_permission_is_told_from_a_page_that_is_not_there(paged):
    with pytest.raises(PageFault, match="the page is there for read, not for write .write."):
        paged.hart.virtual.write(0x3000, b"a")


def test_virtual_page_that_leads_nowhere(paged):
    with pytest.raises(BusError):
        paged.hart.virtual.read(0x5000, 4)


def test_virtual_is_physical_in_machine_mode(paged):
    paged.hart.privilege = 3
    assert paged.hart.virtual.physical(0x1234) == 0x1234
    assert paged.hart.virtual.read(BASE, 4) == paged.memory.read(BASE, 4)


def test_execute_permission_is_asked_separately(paged):
    assert paged.hart.virtual.physical(0x1000, "execute") == BASE + 0x18000
    with pytest.raises(PageFault):
        paged.hart.virtual.physical(0x3000, "execute")


def test_slice_that_outlives_the_writable_block_keeps_the_machine_busy(guest):
    machine = guest("j .").machine
    with machine.memory.writable(0x8000_1000, 16) as view:
        part = view[4:8]
    with pytest.raises(MachineBusy):
        machine.run(instructions=1)
    part[0] = 7
    part.release()
    assert machine.run(instructions=1).reason is StopReason.BUDGET
    assert machine.memory.read(0x8000_1004, 1) == b"\x07"


def test_array_over_a_writable_view_keeps_the_machine_busy(guest):
    machine = guest("j .").machine
    with machine.memory.writable(0x8000_1000, 16) as view:
        array = np.frombuffer(view, dtype="<u4")
    with pytest.raises(MachineBusy):
        machine.run(instructions=1)
    del array
    assert machine.run(instructions=1).reason is StopReason.BUDGET


def test_source_may_overlap_what_is_written(memory):
    memory.write(BASE + 0x10000, bytes(range(64)))
    memory.write(BASE + 0x10001, memory.view(BASE + 0x10000, 63))
    assert memory.read(BASE + 0x10000, 64) == bytes([0, *range(63)])


def test_sizes_below_nothing(guest):
    g = guest("wfi")
    for read in (g.memory.read, g.memory.view, g.hart.virtual.read):
        with pytest.raises(ValueError, match="size=-1: must not be negative"):
            read(BASE, -1)


@pytest.mark.parametrize("arguments, named", [
    (("a", 1), "address='a'"), ((BASE, "a"), "size='a'"), ((BASE, 1.0), "size=1.0"),
])
def test_arguments_are_named(arguments, named, memory):
    for read in (memory.read, memory.view):
        with pytest.raises(TypeError, match=f"{named}: must be a whole number"):
            read(*arguments)
    with pytest.raises(TypeError, match="address=None"):
        memory.write(None, b"x")


def test_isa_shows_its_string(guest):
    assert repr(guest("wfi", isa="rv64ima").machine.isa) == "<Isa rv64ima_zicsr_zmmul_zaamo_zalrsc>"
# --- clear ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("start, size", [(0, 1), (5, 4090), (4095, 2), (0, 4096), (100, 20_000), (4096, 8192), (0, 0)])
def test_clear_sets_what_was_named_to_zero(guest, start, size):
    """Whole pages are given back to the host, parts of pages are written."""
    g = guest("wfi")
    place = BASE + 0x10000
    g.memory.write(place, b"x" * 40_000)
    g.memory.clear(place + start, size)
    expected = bytearray(b"x" * 40_000)
    expected[start:start + size] = bytes(size)
    assert g.memory.read(place, 40_000) == expected


def test_clear_drops_translated_code(guest):
    g = guest(".option norvc\n li a0, 1\n wfi")
    g.finish()
    g.memory.clear(BASE, 4096)
    g.hart.pc = BASE
    assert g.run(instructions=1).pc != BASE + 4             # zeroes are an illegal instruction


def resident() -> int:
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("Rss:"))


@pytest.mark.parametrize("state", ["power-on", "snapshot", "fork"])
def test_clear_gives_memory_back(state):
    """Also that which a snapshot or a fork has in common with others; what they hold stays."""
    size = 64 << 20
    with contextlib.ExitStack() as stack:
        machine = stack.enter_context(vm.Machine(memory="128M"))
        snapshot = None if state == "power-on" else machine.snapshot()
        if state == "fork":
            machine = stack.enter_context(machine.fork())
        machine.memory.write(BASE, b"\x5a" * size)
        before = resident()
        machine.memory.clear(BASE + 4095, size - 8190)
        assert before - resident() > size - (1 << 20)
        assert bytes(machine.memory.read(BASE + 4094, 2)) == b"\x5a\0"
        assert not machine.memory.array(BASE + 4095, size - 8190).any()
        assert bytes(machine.memory.read(BASE + size - 4096, 2)) == b"\0\x5a"
        machine.memory.write(BASE + (1 << 20), b"again")
        cleared = machine.snapshot()
        if snapshot is not None:
            machine.restore(snapshot)
            assert not machine.memory.array(BASE, size).any()
            machine.restore(cleared)
        assert bytes(machine.memory.read(BASE + 4094, 2)) == b"\x5a\0"
        assert bytes(machine.memory.read(BASE + (1 << 20), 6)) == b"again\0"


def test_clear_in_many_places_is_bounded():
    """Guests cannot take all the mappings that a process may have; a machine that is closed takes none."""
    stretch = 512 << 10
    before = len(Path("/proc/self/maps").read_text().splitlines())
    for _ in range(2):
        with contextlib.ExitStack() as machines:
            for _ in range(2):
                machine = machines.enter_context(vm.Machine(memory="3G"))
                machine.snapshot()
                for start in range(0, machine.board.ram.size, stretch):
                    machine.memory.write(BASE + start, b"\x5a")
                    machine.memory.clear(BASE + start, stretch // 2)
                assert machine.memory.read(BASE + machine.board.ram.size - stretch, 1) == b"\0"
            assert 16_000 < len(Path("/proc/self/maps").read_text().splitlines()) - before < 17_000


@pytest.mark.parametrize("address, size", [(0x10000, 4), (BASE - 4, 8), ((1 << 64) - 4, 8), (BASE, 1 << 63)])
def test_clear_outside_ram_is_refused(guest, address, size):
    with pytest.raises(BusError):
        guest("wfi").memory.clear(address, size)
