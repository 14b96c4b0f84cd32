"""Memory for vector instructions: an element at a time, by the TLB or by translation and all that may follow from it.

It is what softmmu.pyx does for uops, for helpers: they find pc and steps exact, and deliver no trap themselves.
"""
from libc.stdint cimport intptr_t, uint8_t, uint64_t
from libc.string cimport memcpy
from vm_native.blocks cimport invalidate
from vm_native.machine cimport (
    CONTINUE, EVENT_MMIO_READ, EVENT_MMIO_WRITE, RECORD_ACCESSES, RECORD_MMIO, RETRY, STOP_RAISED, TRAP, Cpu,
    machine_steps,
)
from vm_native.memory.bus cimport BUS_OK, BUS_RAISED, device_read, device_write, ram_at
from vm_native.memory.ram cimport PAGE_OFFSET, PAGE_SIZE, WATCHED_READS, WATCHED_WRITES, RamRegion
from vm_native.memory.tlb cimport READ, WRITE, TlbEntry, hits
from vm_native.probes.hooks cimport is_wanted, tell_all
from vm_native.probes.records cimport RECORDED_READ, RECORDED_WRITE, is_recorded, record_access, record_mmio
from vm_native.probes.watch cimport is_watched, look_at_watches
from vm_native.softmmu cimport entry_of, trigger_fires

cdef struct Piece:          # what an element has on one page
    uint64_t physical
    uint64_t start          # its first byte of the element
    uint64_t size
    RamRegion* region


cdef int access_element(Cpu* cpu, bint stores, uint64_t address, int size, uint8_t* place) noexcept nogil:
    cdef TlbEntry* entry = entry_of(cpu, address)
    cdef uint64_t bytes = <uint64_t>1 << size
    cdef void* host
    if not hits(entry.write_tag if stores else entry.read_tag, address, bytes):
        return access_slowly(cpu, stores, address, bytes, place)
    host = <void*>(<intptr_t>address + entry.addend)
    if stores:
        memcpy(host, place, bytes)
    else:
        memcpy(place, host, bytes)
    if is_recorded(cpu.machine, RECORD_ACCESSES):
        record(cpu, stores, address, bytes, place)
    return CONTINUE


cdef void record(Cpu* cpu, bint stores, uint64_t address, uint64_t bytes, const uint8_t* place) noexcept nogil:
    cdef uint64_t value = 0
    memcpy(&value, place, bytes)
    record_access(cpu, RECORDED_WRITE if stores else RECORDED_READ, address, <int>bytes, value)


cdef int fault(Cpu* cpu, int access, uint64_t address) noexcept nogil:
    cpu.trap_cause = cpu.front_end.access_fault[access]
    cpu.trap_value = address
    return TRAP


cdef int access_slowly(Cpu* cpu, bint stores, uint64_t address, uint64_t bytes, uint8_t* place) noexcept nogil:
    """All pages that it reaches are looked at before anything is done."""
    cdef int access = WRITE if stores else READ
    cdef uint64_t first = min(bytes, PAGE_SIZE - (address & PAGE_OFFSET))
    cdef int count = 1 if first == bytes else 2
    cdef Piece pieces[2]
    cdef int i, status
    if trigger_fires(cpu, 1 << access, address, bytes):
        return TRAP
    pieces[0].start, pieces[0].size = 0, first
    pieces[1].start, pieces[1].size = first, bytes - first
    for i in range(count):
        status = cpu.front_end.translate_address(
            cpu, address + pieces[i].start, access, pieces[i].size, &pieces[i].physical
        )
        if status != CONTINUE:
            return status
    for i in range(count):
        pieces[i].region = ram_at(cpu.machine.map, pieces[i].physical, pieces[i].size)
        if pieces[i].region == NULL and (count == 2 or address & (bytes - 1)):
            return fault(cpu, access, address + pieces[i].start)
    if pieces[0].region == NULL:
        return access_device(cpu, stores, address, pieces[0].physical, bytes, place)
    for i in range(count):
        access_piece(cpu, stores, address, &pieces[i], place)
    if is_recorded(cpu.machine, RECORD_ACCESSES):
        record(cpu, stores, address, bytes, place)
    return CONTINUE


cdef void access_piece(Cpu* cpu, bint stores, uint64_t address, const Piece* piece, uint8_t* place) noexcept nogil:
    cdef uint8_t* host = piece.region.host + (piece.physical - piece.region.base)
    cdef uint64_t old = 0
    memcpy(&old, host, piece.size)
    if stores:
        cpu.machine.timeline.steps = machine_steps(cpu)
        memcpy(host, place + piece.start, piece.size)
        invalidate(cpu.machine, piece.physical, piece.size)
    else:
        memcpy(place + piece.start, host, piece.size)
    if is_watched(cpu.machine, piece.region, piece.physical):
        look_at_watches(
            cpu, WATCHED_WRITES if stores else WATCHED_READS, address + piece.start, piece.physical, piece.size, old
        )


cdef int access_device(
    Cpu* cpu, bint stores, uint64_t address, uint64_t physical, uint64_t bytes, uint8_t* place
) noexcept nogil:
    cdef uint64_t value = 0, pc = cpu.state.pc
    cdef int status
    if stores:
        memcpy(&value, place, bytes)
    cpu.machine.timeline.steps = machine_steps(cpu)
    cpu.front_end.leave(cpu)
    if stores:
        status = device_write(cpu.machine.map, physical, <int>bytes, value)
    else:
        status = device_read(cpu.machine.map, physical, <int>bytes, &value)
    cpu.front_end.enter(cpu)
    if status == BUS_RAISED:
        cpu.stop = STOP_RAISED
        return RETRY
    if status != BUS_OK:
        return fault(cpu, WRITE if stores else READ, address)
    if not stores:
        memcpy(place, &value, bytes)
    if is_recorded(cpu.machine, RECORD_MMIO):
        record_mmio(cpu, pc, RECORDED_WRITE if stores else RECORDED_READ, physical, <int>bytes, value)
    if is_wanted(cpu.machine, EVENT_MMIO_WRITE if stores else EVENT_MMIO_READ):
        tell_all(
            cpu, EVENT_MMIO_WRITE if stores else EVENT_MMIO_READ, pc, physical, <int>bytes, value, value
        )
    return CONTINUE
