"""The instructions by which a host reaches into its guest: fences, and loads and stores as the guest does them.

Privileged specification, chapter "H", section "Hypervisor Instructions". They are rare: each access is translated anew,
and the blocks that they stand in end behind them, for a store may have been into code.
"""
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from vm_native.ir.block cimport Uop
from vm_native.machine cimport CONTINUE, RECORD_ACCESSES, TRAP, Cpu
from vm_native.memory.bus cimport ram_at
from vm_native.memory.tlb cimport READ, WRITE
from vm_native.probes.records cimport RECORDED_READ, RECORDED_WRITE, is_recorded, record_access
from vm_native.riscv.accesses cimport Operand, Piece, access_device, access_ram, fault, split
from vm_native.riscv.constants cimport (
    HSTATUS_HU, HSTATUS_SPVP, ILLEGAL_INSTRUCTION, MSTATUS_TVM, VIRTUAL_INSTRUCTION,
)
from vm_native.riscv.masking cimport address_in_guest, has_masking
from vm_native.riscv.mmu cimport READ_CODE, translate_for_guest
from vm_native.riscv.spaces cimport ANY, flush_guest_address, flush_guests, machine_at_hand
from vm_native.riscv.state cimport SUPERVISOR, USER, Hart, hart_of
from vm_native.riscv.triggers cimport trigger_fires

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

cdef inline int guest_privilege(const Hart* hart) noexcept nogil:
    return SUPERVISOR if hart.state.hstatus & HSTATUS_SPVP else USER


cdef int access_guest(Hart* hart, Uop* uop, uint64_t address, uint64_t size, int access, uint8_t* place) noexcept nogil:
    """As hstatus.SPVP says; all of it is translated before anything is done. A trap is one at the guest's address."""
    cdef int status = hosts_only(hart, uop, hart.state.privilege != USER or hart.state.hstatus & HSTATUS_HU != 0)
    if status != CONTINUE:
        return status
    if has_masking(hart) and access != READ_CODE:
        address = address_in_guest(hart, address, guest_privilege(hart))
    if hart.cpu.machine.probes.virtual_watches and trigger_fires(
        &hart.cpu, 1 << (READ if access == READ_CODE else access), address, size
    ):
        return TRAP
    status = access_translated(hart, address, size, access, place)
    hart.reaches_guest = status == TRAP
    return status


cdef int access_translated(Hart* hart, uint64_t address, uint64_t size, int access, uint8_t* place) noexcept nogil:
    cdef Cpu* cpu = &hart.cpu
    cdef Operand operand
    cdef Piece* piece
    cdef int i, status
    split(address, size, &operand)
    for i in range(operand.count):
        piece = &operand.pieces[i]
        status = translate_for_guest(
            hart, piece.address, access, guest_privilege(hart), piece.size, &piece.physical
        )
        if status != CONTINUE:
            return status
        piece.region = ram_at(cpu.machine.map, piece.physical, piece.size)
    piece = operand.pieces
    if piece.region == NULL and address & (size - 1) or operand.count == 2 and operand.pieces[1].region == NULL:
        return fault(cpu, WRITE if access == WRITE else READ, address)
    if piece.region == NULL:
        return access_device(cpu, access == WRITE, address, piece.physical, size, place)
    access_ram(cpu, access == WRITE, &operand, place)
    return CONTINUE


cdef inline uint64_t extend(uint64_t value, int size, bint is_unsigned) noexcept nogil:
    if is_unsigned or size == 8:
        return value
    if size == 1:
        return <uint64_t><int64_t><int8_t>value
    return <uint64_t><int64_t><int16_t>value if size == 2 else <uint64_t><int64_t><int32_t>value


cdef int load_of_guest(Cpu* cpu, Uop* uop) noexcept nogil:
    """hlv and hlvx: the size is in bits 27:26."""
    cdef uint32_t word = word_of(uop)
    cdef uint64_t address = cpu.state.regs[word >> 15 & 31], value = 0
    cdef int size = 1 << (word >> 26 & 3), variant = word >> 20 & 3
    cdef int access = READ_CODE if variant == OF_CODE else READ
    cdef int status = access_guest(hart_of(cpu), uop, address, size, access, <uint8_t*>&value)
    if status != CONTINUE:
        return status
    value = extend(value, size, variant & UNSIGNED)
    if is_recorded(cpu.machine, RECORD_ACCESSES):
        record_access(cpu, RECORDED_READ, address, size, value)
    if word >> 7 & 31:
        cpu.state.regs[word >> 7 & 31] = value
    return CONTINUE


cdef int store_of_guest(Cpu* cpu, Uop* uop) noexcept nogil:
    """hsv."""
    cdef uint32_t word = word_of(uop)
    cdef uint64_t address = cpu.state.regs[word >> 15 & 31], value = cpu.state.regs[word >> 20 & 31]
    cdef int size = 1 << (word >> 26 & 3)
    cdef int status
    if size < 8:
        value &= (1ULL << 8 * size) - 1
    status = access_guest(hart_of(cpu), uop, address, size, WRITE, <uint8_t*>&value)
    if status == CONTINUE and is_recorded(cpu.machine, RECORD_ACCESSES):
        record_access(cpu, RECORDED_WRITE, address, size, value)
    return status
