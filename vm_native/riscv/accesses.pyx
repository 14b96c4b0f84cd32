"""What follows from an access to memory by an instruction that is a helper, once its addresses are translated.

It is what softmmu.pyx does for uops: helpers find pc and steps exact, and deliver no trap themselves.
"""
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy
from vm_native.blocks cimport invalidate
from vm_native.machine cimport (
    CONTINUE, EVENT_MMIO_READ, EVENT_MMIO_WRITE, RECORD_MMIO, RETRY, STOP_RAISED, TRAP, Cpu, about_to_store,
    leave_for_python, note_time, return_from_python,
)
from vm_native.memory.access cimport copy_bytes
from vm_native.memory.bus cimport BUS_OK, BUS_RAISED, device_read, device_write
from vm_native.memory.ram cimport WATCHED_READS, WATCHED_WRITES
from vm_native.memory.tlb cimport READ, WRITE
from vm_native.probes.hooks cimport is_wanted, tell_all
from vm_native.probes.records cimport RECORDED_READ, RECORDED_WRITE, is_recorded, record_mmio
from vm_native.probes.watch cimport is_watched, look_at_watches


cdef int fault(Cpu* cpu, int access, uint64_t address) noexcept nogil:
    """An access fault."""
    cpu.trap_cause = cpu.front_end.access_fault[access]
    cpu.trap_value = address
    return TRAP


cdef void access_ram(Cpu* cpu, bint stores, const Operand* operand, uint8_t* place) noexcept nogil:
    cdef const Piece* piece
    cdef uint8_t* host
    cdef uint64_t old
    cdef int i
    for i in range(operand.count):
        piece = &operand.pieces[i]
        host = piece.region.host + (piece.physical - piece.region.base)
        old = 0
        copy_bytes(&old, host, piece.size)
        if stores:
            note_time(cpu)
            about_to_store(cpu, host, piece.size)
            copy_bytes(host, place, piece.size)
            invalidate(cpu.machine, piece.physical, piece.size)
        else:
            copy_bytes(place, host, piece.size)
        place += piece.size
        if is_watched(cpu.machine, piece.region, piece.physical):
            look_at_watches(
                cpu, WATCHED_WRITES if stores else WATCHED_READS, piece.address, piece.physical, piece.size, old
            )


cdef int access_device(
    Cpu* cpu, bint stores, uint64_t address, uint64_t physical, uint64_t size, uint8_t* place
) noexcept nogil:
    cdef uint64_t value = 0, pc = cpu.state.pc
    cdef int status, held
    if stores:
        memcpy(&value, place, size)
    note_time(cpu)
    held = leave_for_python(cpu)
    if stores:
        status = device_write(cpu.machine.map, physical, <int>size, value)
    else:
        status = device_read(cpu.machine.map, physical, <int>size, &value)
    return_from_python(cpu, held)
    if status == BUS_RAISED:
        cpu.stop = STOP_RAISED
        return RETRY
    if status != BUS_OK:
        return fault(cpu, WRITE if stores else READ, address)
    if not stores:
        memcpy(place, &value, size)
    if is_recorded(cpu.machine, RECORD_MMIO):
        record_mmio(cpu, pc, RECORDED_WRITE if stores else RECORDED_READ, physical, <int>size, value)
    if is_wanted(cpu.machine, EVENT_MMIO_WRITE if stores else EVENT_MMIO_READ):
        tell_all(cpu, EVENT_MMIO_WRITE if stores else EVENT_MMIO_READ, pc, physical, <int>size, value, value)
    return CONTINUE
