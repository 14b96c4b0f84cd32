# Stores that somebody waits for: one range of RAM at a time, whose pages are never cached for writing.
from libc.stdint cimport uint64_t
from vm_native.machine cimport STOP_WATCH, Cpu, Machine
from vm_native.memory.ram cimport PAGE_SHIFT, WATCHED, RamRegion

cdef inline void look_at_watch(Cpu* cpu, RamRegion* region, uint64_t physical, int size) noexcept nogil:
    # After every store that is not done by way of a write tag.
    cdef Machine* machine = cpu.machine
    if region.code[(physical - region.base) >> PAGE_SHIFT] & WATCHED and (
        physical < machine.watch.end and machine.watch.base < physical + size
    ):
        machine.watch.size = size
        cpu.stop = STOP_WATCH

cdef int set_watch(Machine* machine, uint64_t address, uint64_t size) except -1
cdef void clear_watch(Machine* machine) noexcept nogil
