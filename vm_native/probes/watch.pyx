"""Watchpoints: the run stops with STOP_WATCH after each instruction that loads from or stores to a range of RAM, or
hooks are told of the access.

What an instruction does to memory counts: loads, stores, atomics (as both; a load-reserved is a load, and a
store-conditional that succeeds a store) and the block that cbo.zero clears. Fetches, the page walk with its updates of
A and D, devices and Python do not, as with the triggers of the debug specification (section 5.5).
"""
from libc.stdint cimport uint64_t
from libc.stdlib cimport realloc
from vm_native.machine cimport (
    EVENT_READ, EVENT_WRITE, STOP_WATCH, Cpu, Hit, LaterHit, Machine, Probes, Watch, lock_code, machine_steps,
    revoke_reads, revoke_writes, unlock_code,
)
from vm_native.memory.access cimport copy_bytes
from vm_native.memory.bus cimport ram_at
from vm_native.memory.ram cimport PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, WATCHED_READS, WATCHED_WRITES, RamRegion
from vm_native.probes.hooks cimport covers, make_room, tell
from vm_native.unlocked cimport SharedByte


cdef bint watches_page(Machine* machine, uint64_t page) noexcept nogil:
    """Whether anything in this virtual page is watched, in some address space: then the TLB does not keep it."""
    cdef const Watch* watch
    cdef int i
    for i in range(machine.probes.watch_count):
        watch = &machine.probes.watches[i]
        if not watch.physical and page <= watch.last and watch.base <= page + (PAGE_SIZE - 1):
            return True
    return False


cdef bint watches_reads(Machine* machine, const RamRegion* region) noexcept nogil:
    """Whether somebody waits for loads from a region."""
    cdef const Watch* watch
    cdef int i
    for i in range(machine.probes.watch_count):
        watch = &machine.probes.watches[i]
        if watch.accesses & WATCHED_READS and watch.base - region.base < region.size:
            return True
    return machine.probes.virtual_watches != 0


cdef Hit* place_of_hit(Probes* probes, Hit* own, int id, bint breakpoint, int hart) noexcept nogil:
    """Where what a hart has met is noted: in the probe's own place, unless another hart's is there, not taken yet."""
    cdef LaterHit* later
    cdef int i
    if not own.accesses or own.hart == hart or probes.noting:
        return own
    for i in range(probes.later_count):
        later = &probes.later_hits[i]
        if later.id == id and later.hit.hart == hart:
            return &later.hit
    if probes.later_count == probes.later_room:
        later = <LaterHit*>realloc(probes.later_hits, 2 * (probes.later_room + 1) * sizeof(LaterHit))
        if later == NULL:
            return own
        probes.later_hits, probes.later_room = later, 2 * (probes.later_room + 1)
    later = &probes.later_hits[probes.later_count]
    later.id, later.breakpoint, later.hit.accesses = id, breakpoint, 0
    probes.later_count += 1
    return &later.hit


cdef void look_at_watches(
    Cpu* cpu, int accesses, uint64_t address, uint64_t physical, uint64_t size, uint64_t old
) noexcept nogil:
    """An instruction, before which the hart's position still is, has accessed `size` bytes at a virtual and a physical
    address, of which somebody watches something. `accesses` are PageCode bits; `old` is what stood there before.
    """
    cdef Probes* probes = &cpu.machine.probes
    cdef uint64_t step = machine_steps(cpu)
    cdef uint64_t start
    cdef Watch* watch
    cdef Hit* hit
    cdef int i, met
    lock_code(cpu.machine)
    for i in range(probes.watch_count):
        watch = &probes.watches[i]
        start = physical if watch.physical else address
        met = watch.accesses & accesses
        if not met or start > watch.last or watch.base > start + (size - 1) or not covers(&watch.scope, cpu):
            continue
        if watch.hook:
            if not probes.silent:
                tell_access(cpu, watch, met, address, physical, size, old)
            continue
        hit = place_of_hit(probes, &watch.hit, watch.id, False, cpu.number)
        if not hit.accesses or hit.step != step:
            hit[0] = Hit(0, start, <int>size, cpu.state.pc, step, cpu.number)
        hit.accesses |= met
        if watch.always or not probes.noting:
            cpu.stop = STOP_WATCH
    unlock_code(cpu.machine)


cdef void tell_access(
    Cpu* cpu, const Watch* watch, int accesses, uint64_t address, uint64_t physical, uint64_t size, uint64_t old
) noexcept nogil:
    cdef RamRegion* region = ram_at(cpu.machine.map, physical, size)
    cdef uint64_t value = 0
    copy_bytes(&value, region.host + (physical - region.base), min(size, sizeof(value)))
    if size < sizeof(value):
        old &= (1ULL << 8 * size) - 1       # of an atomic it is extended
    if accesses & WATCHED_READS:
        tell(cpu, EVENT_READ, watch.id, cpu.state.pc, address, physical, <int>size, old, old)
    if accesses & WATCHED_WRITES:
        tell(cpu, EVENT_WRITE, watch.id, cpu.state.pc, address, physical, <int>size, value, old)


cdef int add_watch(Machine* machine, const Watch* wanted) except -1:
    """Watch [base, last]; gives its id. Raises ValueError where that is physical and not RAM of one region."""
    cdef Probes* probes = &machine.probes
    cdef Watch* watches
    cdef Watch* watch
    if wanted.physical and ram_at(machine.map, wanted.base, wanted.last - wanted.base + 1) == NULL:
        raise ValueError(f"[{wanted.base:#x}, {wanted.last + <object>1:#x}) is not RAM")
    watches = <Watch*>realloc(probes.watches, (probes.watch_count + 1) * sizeof(Watch))
    if watches == NULL:
        raise MemoryError("no room for another watchpoint")
    probes.watches = watches
    watch = &watches[probes.watch_count]
    watch[0] = wanted[0]
    probes.watch_count += 1
    try:
        make_room(machine)
    except MemoryError:
        probes.watch_count -= 1
        raise
    probes.last_id += 1
    watch.id, watch.hit.accesses = probes.last_id, 0
    probes.virtual_watches += not watch.physical
    if watch.physical:
        mark_pages(machine, watch)
    return watch.id


cdef void mark_pages(Machine* machine, const Watch* watch) noexcept nogil:
    """Have every access that the watch waits for take the slow path."""
    cdef RamRegion* region = ram_at(machine.map, watch.base, 1)
    cdef uint64_t page = watch.base & PAGE_MASK
    cdef SharedByte* code
    lock_code(machine)
    while page <= watch.last:
        code = &region.code[(page - region.base) >> PAGE_SHIFT]
        if watch.accesses & ~code[0]:
            code[0] |= watch.accesses
            revoke_writes(machine, region, page)
            if watch.accesses & WATCHED_READS:
                revoke_reads(machine, region, page)
        page += PAGE_SIZE
    unlock_code(machine)


cdef void remove_watch(Machine* machine, int id) noexcept nogil:
    """Its pages are cached again where no other watch has them. An id that there is not does nothing."""
    cdef Probes* probes = &machine.probes
    cdef Watch removed
    cdef RamRegion* region
    cdef uint64_t page
    cdef int i = 0
    while i < probes.watch_count and probes.watches[i].id != id:
        i += 1
    if i == probes.watch_count:
        return
    removed = probes.watches[i]
    probes.watch_count -= 1
    probes.watches[i] = probes.watches[probes.watch_count]
    if not removed.physical:
        probes.virtual_watches -= 1
        return
    region = ram_at(machine.map, removed.base, 1)
    page = removed.base & PAGE_MASK
    while page <= removed.last:
        region.code[(page - region.base) >> PAGE_SHIFT] &= ~(WATCHED_READS | WATCHED_WRITES)
        page += PAGE_SIZE
    for i in range(probes.watch_count):
        if probes.watches[i].physical:
            mark_pages(machine, &probes.watches[i])
