"""The instructions by which a host reaches into its guest: fences, and loads and stores as the guest does them.

Privileged specification, chapter "H", section "Hypervisor Instructions". They are rare: each access is translated anew,
and the blocks that they stand in end behind them, for a store may have been into code.
"""
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from vm_native.blocks cimport invalidate
from vm_native.ir.block cimport Uop
from vm_native.machine cimport (
    CONTINUE, EVENT_MMIO_READ, EVENT_MMIO_WRITE, RECORD_ACCESSES, RECORD_MMIO, RETRY, STOP_RAISED, TRAP, Cpu,
    machine_steps,
)
from vm_native.memory.bus cimport BUS_OK, BUS_RAISED, device_read, device_write, ram_at
from vm_native.memory.ram cimport (
    PAGE_OFFSET, PAGE_SHIFT, PAGE_SIZE, WATCHED_READS, WATCHED_WRITES, RamRegion, mark_dirty,
)
from vm_native.memory.tlb cimport READ, WRITE
from vm_native.probes.hooks cimport is_wanted, tell_all
from vm_native.probes.records cimport RECORDED_READ, RECORDED_WRITE, is_recorded, record_access, record_mmio
from vm_native.probes.watch cimport is_watched, look_at_watches
from vm_native.riscv.constants cimport (
    HSTATUS_HU, HSTATUS_SPVP, ILLEGAL_INSTRUCTION, MSTATUS_TVM, VIRTUAL_INSTRUCTION,
)
from vm_native.riscv.mmu cimport READ_CODE, translate_for_guest
from vm_native.riscv.spaces cimport ANY, flush_guest_address, flush_guests, machine_at_hand
from vm_native.riscv.state cimport SUPERVISOR, USER, Hart, hart_of
from vm_native.softmmu cimport trigger_fires

cdef enum:                  # bits 22:20 of a load: its variants
    UNSIGNED = 1
    OF_CODE = 3


cdef inline uint32_t word_of(Uop* uop) noexcept nogil:
    return <uint32_t>uop[1].imm


cdef int trap(Cpu* cpu, uint64_t cause, uint64_t value) noexcept nogil:
    cpu.trap_cause = cause
    cpu.trap_value = value
    return TRAP


cdef int hosts_only(Hart* hart, Uop* uop, bint allowed) noexcept nogil:
    """CONTINUE for a host that is allowed to."""
    if hart.state.virtual:
        return trap(&hart.cpu, VIRTUAL_INSTRUCTION, word_of(uop))
    return CONTINUE if allowed else trap(&hart.cpu, ILLEGAL_INSTRUCTION, word_of(uop))


# --- Fences ----------------------------------------------------------------------------------------------------------

cdef inline int64_t named(Cpu* cpu, int register, uint64_t bits) noexcept nogil:
    """The number in a register; x0 means any."""
    return <int64_t>(cpu.state.regs[register] & bits) if register else <int64_t>ANY


cdef int hfence_vvma(Cpu* cpu, Uop* uop) noexcept nogil:
    """Of the guest that hgatp names: an address, an address space, both or all."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint32_t rs1 = word_of(uop) >> 15 & 31, rs2 = word_of(uop) >> 20 & 31
    cdef int status = hosts_only(hart, uop, hart.state.privilege != USER)
    if status != CONTINUE:
        return status
    if rs1:
        flush_guest_address(hart, <int64_t>machine_at_hand(hart), named(cpu, rs2, 0xFFFF), cpu.state.regs[rs1])
    else:
        flush_guests(hart, <int64_t>machine_at_hand(hart), named(cpu, rs2, 0xFFFF))
    return CONTINUE


cdef int hfence_gvma(Cpu* cpu, Uop* uop) noexcept nogil:
    """Of one guest or all. The TLB does not remember guest-physical addresses: all of theirs go."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint32_t rs2 = word_of(uop) >> 20 & 31
    cdef int status = hosts_only(hart, uop, hart.state.privilege > SUPERVISOR or (
        hart.state.privilege == SUPERVISOR and not hart.state.mstatus & MSTATUS_TVM
    ))
    if status == CONTINUE:
        flush_guests(hart, named(cpu, rs2, 0x3FFF), ANY)
    return status


# --- Loads and stores ------------------------------------------------------------------------------------------------

cdef struct Part:           # of what is accessed, on one page
    uint64_t address
    uint64_t physical
    uint64_t size
    RamRegion* region       # NULL: a device or nothing


cdef int find_parts(
    Hart* hart, Uop* uop, uint64_t address, uint64_t size, int access, Part* parts, int* count
) noexcept nogil:
    """Translate all of it, as hstatus.SPVP says."""
    cdef Cpu* cpu = &hart.cpu
    cdef uint64_t first = min(size, PAGE_SIZE - (address & PAGE_OFFSET))
    cdef int privilege = SUPERVISOR if hart.state.hstatus & HSTATUS_SPVP else USER
    cdef int data = READ if access == READ_CODE else access
    cdef int i, status = hosts_only(hart, uop, hart.state.privilege != USER or hart.state.hstatus & HSTATUS_HU != 0)
    if status != CONTINUE:
        return status
    if trigger_fires(cpu, 1 << data, address, size):
        return TRAP
    count[0] = 1 if first == size else 2
    parts[0].address, parts[0].size = address, first
    parts[1].address, parts[1].size = address + first, size - first
    for i in range(count[0]):
        status = translate_for_guest(hart, parts[i].address, access, privilege, parts[i].size, &parts[i].physical)
        if status != CONTINUE:
            hart.reaches_guest = status == TRAP
            return status
        parts[i].region = ram_at(cpu.machine.map, parts[i].physical, parts[i].size)
    if parts[0].region == NULL and address & (size - 1) or count[0] == 2 and parts[1].region == NULL:
        return trap(cpu, cpu.front_end.access_fault[data], address)
    return CONTINUE


cdef inline uint8_t* place_of(const Part* part) noexcept nogil:
    return part.region.host + (part.physical - part.region.base)


cdef int use_device(Hart* hart, uint64_t physical, int size, int access, uint64_t* value) noexcept nogil:
    cdef Cpu* cpu = &hart.cpu
    cdef bint writes = access == WRITE
    cdef int status
    cpu.machine.timeline.steps = machine_steps(cpu)
    cpu.front_end.leave(cpu)
    if writes:
        status = device_write(cpu.machine.map, physical, size, value[0])
    else:
        status = device_read(cpu.machine.map, physical, size, value)
    cpu.front_end.enter(cpu)
    if status == BUS_RAISED:
        hart.reaches_guest = False
        cpu.stop = STOP_RAISED
        return RETRY
    if status != BUS_OK:
        return trap(cpu, cpu.front_end.access_fault[WRITE if writes else READ], cpu.trap_value)
    hart.reaches_guest = False
    if is_recorded(cpu.machine, RECORD_MMIO):
        record_mmio(cpu, cpu.state.pc, RECORDED_WRITE if writes else RECORDED_READ, physical, size, value[0])
    if is_wanted(cpu.machine, EVENT_MMIO_WRITE if writes else EVENT_MMIO_READ):
        tell_all(cpu, EVENT_MMIO_WRITE if writes else EVENT_MMIO_READ, cpu.state.pc, physical, size, value[0], value[0])
    return CONTINUE


cdef inline uint64_t extend(uint64_t value, int size, bint is_unsigned) noexcept nogil:
    if is_unsigned or size == 8:
        return value
    if size == 1:
        return <uint64_t><int64_t><int8_t>value
    return <uint64_t><int64_t><int16_t>value if size == 2 else <uint64_t><int64_t><int32_t>value


cdef int load_of_guest(Cpu* cpu, Uop* uop) noexcept nogil:
    """hlv and hlvx: the size is in bits 27:26."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint32_t word = word_of(uop)
    cdef uint64_t address = cpu.state.regs[word >> 15 & 31]
    cdef int size = 1 << (word >> 26 & 3), variant = word >> 20 & 3
    cdef uint64_t value = 0
    cdef Part[2] parts
    cdef int i, count
    cdef int status = find_parts(hart, uop, address, size, READ_CODE if variant == OF_CODE else READ, parts, &count)
    if status != CONTINUE:
        return status
    if parts[0].region == NULL:
        status = use_device(hart, parts[0].physical, size, READ, &value)
        if status != CONTINUE:
            return status
    else:
        for i in range(count):
            memcpy(<uint8_t*>&value + (parts[i].address - address), place_of(&parts[i]), parts[i].size)
            if is_watched(cpu.machine, parts[i].region, parts[i].physical):
                look_at_watches(cpu, WATCHED_READS, parts[i].address, parts[i].physical, parts[i].size, value)
    hart.reaches_guest = False
    value = extend(value, size, variant & UNSIGNED)
    if is_recorded(cpu.machine, RECORD_ACCESSES):
        record_access(cpu, RECORDED_READ, address, size, value)
    if word >> 7 & 31:
        cpu.state.regs[word >> 7 & 31] = value
    return CONTINUE


cdef int store_of_guest(Cpu* cpu, Uop* uop) noexcept nogil:
    """hsv."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint32_t word = word_of(uop)
    cdef uint64_t address = cpu.state.regs[word >> 15 & 31], value = cpu.state.regs[word >> 20 & 31], old
    cdef int size = 1 << (word >> 26 & 3)
    cdef Part[2] parts
    cdef int i, count
    cdef int status = find_parts(hart, uop, address, size, WRITE, parts, &count)
    if status != CONTINUE:
        return status
    if size < 8:
        value &= (1ULL << 8 * size) - 1
    if parts[0].region == NULL:
        return use_device(hart, parts[0].physical, size, WRITE, &value)
    hart.reaches_guest = False
    for i in range(count):
        old = 0
        memcpy(&old, place_of(&parts[i]), parts[i].size)
        memcpy(place_of(&parts[i]), <uint8_t*>&value + (parts[i].address - address), parts[i].size)
        mark_dirty(parts[i].region, (parts[i].physical - parts[i].region.base) >> PAGE_SHIFT)
        invalidate(cpu.machine, parts[i].physical, parts[i].size)
        if is_watched(cpu.machine, parts[i].region, parts[i].physical):
            look_at_watches(cpu, WATCHED_WRITES, parts[i].address, parts[i].physical, parts[i].size, old)
    if is_recorded(cpu.machine, RECORD_ACCESSES):
        record_access(cpu, RECORDED_WRITE, address, size, value)
    return CONTINUE
