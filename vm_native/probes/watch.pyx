"""Watchpoints: the run stops with STOP_WATCH after each instruction that loads from or stores to a range of RAM.

What an instruction does to memory counts: loads, stores, atomics (as both; a load-reserved is a load, and a
store-conditional that succeeds a store) and the block that cbo.zero clears. Fetches, the page walk with its updates of
A and D, devices and Python do not, as with the triggers of the debug specification (section 5.5).
"""
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport realloc
from vm_native.machine cimport STOP_WATCH, Cpu, Hit, Machine, Probes, Watch, machine_steps, revoke_reads, revoke_writes
from vm_native.memory.bus cimport ram_at
from vm_native.memory.ram cimport PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, WATCHED_READS, WATCHED_WRITES, RamRegion


cdef void look_at_watches(Cpu* cpu, int accesses, uint64_t physical, uint64_t size) noexcept nogil:
    """An instruction, before which the hart's position still is, has accessed [physical, physical + size), in a watched
    page; `accesses` are PageCode bits.
    """
    cdef Probes* probes = &cpu.machine.probes
    cdef uint64_t step = machine_steps(cpu)
    cdef Watch* watch
    cdef int i
    for i in range(probes.watch_count):
        watch = &probes.watches[i]
        if not watch.accesses & accesses or physical >= watch.end or watch.base >= physical + size:
            continue
        if not watch.hit.accesses or watch.hit.step != step:
            watch.hit = Hit(0, physical, <int>size, cpu.state.pc, step, cpu.number)
        watch.hit.accesses |= watch.accesses & accesses
        if watch.always or not probes.noting:
            cpu.stop = STOP_WATCH


cdef int add_watch(Machine* machine, uint64_t address, uint64_t size, int accesses, bint always) except -1:
    """Watch [address, address + size); gives its id. Raises ValueError where that is not RAM of one region."""
    cdef Probes* probes = &machine.probes
    cdef Watch* watches
    cdef Watch* watch
    if not size or ram_at(machine.map, address, size) == NULL:
        raise ValueError(f"[{address:#x}, {address + <object>size:#x}) is not RAM")
    watches = <Watch*>realloc(probes.watches, (probes.watch_count + 1) * sizeof(Watch))
    if watches == NULL:
        raise MemoryError("no room for another watchpoint")
    probes.watches = watches
    probes.last_id += 1
    watch = &watches[probes.watch_count]
    probes.watch_count += 1
    watch.id, watch.accesses, watch.always, watch.hit.accesses = probes.last_id, accesses, always, 0
    watch.base, watch.end = address, address + size
    mark_pages(machine, watch)
    return watch.id


cdef void mark_pages(Machine* machine, const Watch* watch) noexcept nogil:
    """Have every access that the watch waits for take the slow path."""
    cdef RamRegion* region = ram_at(machine.map, watch.base, 1)
    cdef uint64_t page = watch.base & PAGE_MASK
    cdef uint8_t* code
    while page < watch.end:
        code = &region.code[(page - region.base) >> PAGE_SHIFT]
        if watch.accesses & ~code[0]:
            code[0] |= watch.accesses
            revoke_writes(machine, region, page)
            if watch.accesses & WATCHED_READS:
                revoke_reads(machine, region, page)
        page += PAGE_SIZE


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
    region = ram_at(machine.map, removed.base, 1)
    page = removed.base & PAGE_MASK
    while page < removed.end:
        region.code[(page - region.base) >> PAGE_SHIFT] &= ~(WATCHED_READS | WATCHED_WRITES)
        page += PAGE_SIZE
    for i in range(probes.watch_count):
        mark_pages(machine, &probes.watches[i])
