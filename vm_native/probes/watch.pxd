# Accesses that somebody waits for. Pages that are watched have no tag for the access, so that each takes the slow path.
from libc.stdint cimport uint64_t
from vm_native.machine cimport Cpu, Hit, Machine, Probes, Watch
from vm_native.memory.ram cimport PAGE_SHIFT, WATCHED_READS, WATCHED_WRITES, RamRegion

cdef inline bint is_watched(Machine* machine, RamRegion* region, uint64_t physical) noexcept nogil:
    # Asked at every access of an instruction that is not done by way of a tag.
    return (
        region.code[(physical - region.base) >> PAGE_SHIFT] & (WATCHED_READS | WATCHED_WRITES) != 0
        or machine.probes.virtual_watches != 0
    )

cdef bint watches_reads(Machine* machine, const RamRegion* region) noexcept nogil
cdef bint watches_page(Machine* machine, uint64_t page) noexcept nogil
cdef Hit* place_of_hit(Probes* probes, Hit* own, int id, bint breakpoint, int hart) noexcept nogil
cdef void look_at_watches(
    Cpu* cpu, int accesses, uint64_t address, uint64_t physical, uint64_t size, uint64_t old
) noexcept nogil
cdef int add_watch(Machine* machine, const Watch* wanted) except -1
cdef void remove_watch(Machine* machine, int id) noexcept nogil
