# Accesses that somebody waits for. Pages that are watched have no tag for the access, so that each takes the slow path.
from libc.stdint cimport uint64_t
from vm_native.machine cimport Cpu, Machine
from vm_native.memory.ram cimport PAGE_SHIFT, WATCHED_READS, WATCHED_WRITES, RamRegion

cdef inline bint is_watched(RamRegion* region, uint64_t physical) noexcept nogil:
    # Asked after every access of an instruction that is not done by way of a tag.
    return region.code[(physical - region.base) >> PAGE_SHIFT] & (WATCHED_READS | WATCHED_WRITES) != 0

cdef void look_at_watches(Cpu* cpu, int accesses, uint64_t physical, uint64_t size) noexcept nogil
cdef int add_watch(Machine* machine, uint64_t address, uint64_t size, int accesses, bint always) except -1
cdef void remove_watch(Machine* machine, int id) noexcept nogil
