"""Guest RAM: bounds, views, the dirty map."""

import pytest

from vm_native.clock import NativeClock
from vm_native.execution.native_machine import NativeMachine
from vm_native.memory.bus import Bus
from vm_native.memory.ram import Ram

PAGE = 4096


def test_new_ram_is_zero_and_clean():
    ram = Ram(0x8000_0000, 3 * PAGE)
    assert bytes(memoryview(ram)) == bytes(3 * PAGE)
    assert ram.dirty_pages() == bytes(3)
    assert (ram.base, ram.size) == (0x8000_0000, 3 * PAGE)


@pytest.mark.parametrize("base, size", [(0, 0), (0, 100), (0, PAGE + 1), (16, PAGE)])
def test_base_and_size_are_whole_pages(base, size):
    with pytest.raises(ValueError, match="multiples of 4096"):
        Ram(base, size)


def test_more_than_the_host_can_map_is_a_memory_error():
    with pytest.raises(MemoryError):
        Ram(0, 1 << 60)


def test_buffer_is_read_only():
    ram = Ram(0, PAGE)
    assert memoryview(ram).readonly
    with pytest.raises(TypeError):
        memoryview(ram)[0] = 1


def test_view_shows_later_writes():
    ram = Ram(0, PAGE)
    view = memoryview(ram)
    with memoryview(ram.writable()) as writable:
        writable[10] = 0x5A
    assert view[10] == 0x5A


def test_write_marks_exactly_the_pages_it_touches():
    ram = Ram(0x8000_0000, 8 * PAGE)
    bus = Bus()
    bus.add_ram(ram)
    machine = NativeMachine(bus, NativeClock(real=False, frequency=10_000_000))
    machine.write(0x8000_0000 + 2 * PAGE - 1, b"ab")
    machine.write(0x8000_0000 + 5 * PAGE, bytes(PAGE))
    machine.write(0x8000_0000 + 7 * PAGE, b"")
    assert list(ram.dirty_pages()) == [0, 1, 1, 0, 0, 1, 0, 0]


def dirty_pages(g) -> bytes:
    """The map has no public face, so the machine's insides are asked for it."""
    (ram,) = g.machine._bus.ram_regions()
    return ram.dirty_pages()


def test_guest_stores_mark_pages_dirty(guest):
    """The first store into a page goes the slow way and marks it; loads do not."""
    g = guest("""
        li  t0, 0x80010000
        sb  t0, 0(t0)
        li  t0, 0x80012ffc
        sd  t0, 0(t0)                   # across two pages
        li  t0, 0x80015000
        ld  t1, 0(t0)
        amoadd.w t1, t1, (t0)
        li  t0, 0x80016000
        ld  t1, 0(t0)
        wfi
    """)
    g.finish()
    assert list(dirty_pages(g)[0x10:0x18]) == [1, 0, 1, 1, 0, 1, 0, 0]


def test_pages_that_are_open_for_writing_are_marked_dirty(guest):
    g = guest("wfi")
    with g.memory.writable(0x8001_0FFC, 8):
        pass
    assert list(dirty_pages(g)[0x10:0x13]) == [1, 1, 0]
