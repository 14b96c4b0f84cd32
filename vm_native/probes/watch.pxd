# Stores that somebody waits for: one range of RAM at a time, whose pages are never cached for writing.
from libc.stdint cimport uint64_t
from vm_native.memory.ram cimport PAGE_SHIFT, WATCHED, RamRegion
from vm_native.machine cimport STOP_WATCH, Cpu

cdef inline void look_at_watch(Cpu* cpu, RamRegion* region, uint64_t physical, int size) noexcept nogil:
    # After every store that is not done by way of a write tag.
    if region.code[(physical - region.base) >> PAGE_SHIFT] & WATCHED and (
        physical < cpu.machine.map.watch_end and cpu.machine.map.watch_base < physical + size
    ):
        cpu.machine.map.watch_size = size
        cpu.stop = STOP_WATCH
