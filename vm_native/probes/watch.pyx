"""Stores that somebody waits for: the run stops with STOP_WATCH after each one into a range of RAM."""
from libc.stdint cimport uint64_t
from vm_native.machine cimport Machine, revoke_writes
from vm_native.memory.bus cimport ram_at
from vm_native.memory.ram cimport PAGE_SHIFT, WATCHED, RamRegion


cdef int set_watch(Machine* machine, uint64_t address, uint64_t size) except -1:
    """Watch [address, address + size), inside one page, and nothing else. Raises ValueError where that is not RAM."""
    cdef RamRegion* region = ram_at(machine.map, address, size)
    if region == NULL:
        raise ValueError(f"[{address:#x}, {address + size:#x}) is not RAM")
    clear_watch(machine)
    machine.watch.base = address
    machine.watch.end = address + size
    region.code[(address - region.base) >> PAGE_SHIFT] |= WATCHED
    revoke_writes(machine, region, address)
    return 0


cdef void clear_watch(Machine* machine) noexcept nogil:
    cdef RamRegion* region = ram_at(machine.map, machine.watch.base, 1)
    if region != NULL:
        region.code[(machine.watch.base - region.base) >> PAGE_SHIFT] &= ~WATCHED
    machine.watch.base = machine.watch.end = 0
