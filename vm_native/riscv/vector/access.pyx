"""Memory for vector instructions: an element at a time, by the TLB or by translation and what may follow from it."""
from libc.stdint cimport intptr_t, uint8_t, uint64_t
from libc.string cimport memcpy
from vm_native.machine cimport CONTINUE, RECORD_ACCESSES, TRAP, Cpu, about_to_store, effective_address
from vm_native.memory.access cimport copy_bytes
from vm_native.memory.bus cimport ram_at
from vm_native.memory.tlb cimport READ, WRITE, TlbEntry, hits
from vm_native.probes.records cimport RECORDED_READ, RECORDED_WRITE, is_recorded, record_access
from vm_native.riscv.accesses cimport Operand, Piece, access_device, access_ram, fault, split
from vm_native.softmmu cimport entry_of, trigger_fires


cdef int access_element(Cpu* cpu, bint stores, uint64_t address, int size, uint8_t* place) noexcept nogil:
    cdef TlbEntry* entry = entry_of(cpu, address)
    cdef uint64_t bytes = <uint64_t>1 << size
    cdef void* host
    if not hits(entry.write_tag if stores else entry.read_tag, address, bytes):
        return access_slowly(cpu, stores, address, bytes, place)
    host = <void*>(<intptr_t>address + entry.addend)
    if stores:
        about_to_store(cpu, host, bytes)
        copy_bytes(host, place, bytes)
    else:
        copy_bytes(place, host, bytes)
    if is_recorded(cpu.machine, RECORD_ACCESSES):
        record(cpu, stores, address, bytes, place)
    return CONTINUE


cdef void record(Cpu* cpu, bint stores, uint64_t address, uint64_t bytes, const uint8_t* place) noexcept nogil:
    cdef uint64_t value = 0
    memcpy(&value, place, bytes)
    record_access(cpu, RECORDED_WRITE if stores else RECORDED_READ, address, <int>bytes, value)


cdef int access_slowly(Cpu* cpu, bint stores, uint64_t address, uint64_t bytes, uint8_t* place) noexcept nogil:
    """All pages that it reaches are looked at before anything is done."""
    cdef int access = WRITE if stores else READ
    cdef Operand operand
    cdef Piece* piece
    cdef int i, status
    if trigger_fires(cpu, 1 << access, address, bytes):
        return TRAP
    address = effective_address(cpu, address)
    split(address, bytes, &operand)
    for i in range(operand.count):
        piece = &operand.pieces[i]
        status = cpu.front_end.translate_address(cpu, piece.address, access, piece.size, &piece.physical)
        if status != CONTINUE:
            return status
    for i in range(operand.count):
        piece = &operand.pieces[i]
        piece.region = ram_at(cpu.machine.map, piece.physical, piece.size)
        if piece.region == NULL and (operand.count == 2 or address & (bytes - 1)):
            return fault(cpu, access, piece.address)
    if operand.pieces[0].region == NULL:
        return access_device(cpu, stores, address, operand.pieces[0].physical, bytes, place)
    access_ram(cpu, stores, &operand, place)
    if is_recorded(cpu.machine, RECORD_ACCESSES):
        record(cpu, stores, address, bytes, place)
    return CONTINUE
