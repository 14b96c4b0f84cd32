"""Control-flow integrity (chapters of this name of both manuals): Zicfilp's landing pads, Zicfiss' shadow stacks.

A jump that expects a landing pad makes another mode of the hart: what is translated in it begins with a check. Accesses
to shadow stacks are translated anew each time: the TLB has their pages for loads alone, as all other instructions may
do no more with them.
"""
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from vm_native.ir.block cimport Uop, info_of
from vm_native.machine cimport CONTINUE, RECORD_ACCESSES, TRAP, Cpu, effective_address
from vm_native.memory.access cimport copy_bytes
from vm_native.memory.bus cimport ram_at
from vm_native.memory.tlb cimport READ, WRITE
from vm_native.probes.records cimport RECORDED_READ, RECORDED_WRITE, is_recorded, record_access
from vm_native.riscv.accesses cimport Operand, access_ram, fault, split
from vm_native.riscv.constants cimport MENVCFG_SSE, SENVCFG_SSE, SOFTWARE_CHECK, STORE_MISALIGNED
from vm_native.riscv.mmu cimport READ_SHADOW, WRITE_SHADOW, translate_shadow
from vm_native.riscv.privilege cimport envcfg_refusal, update_mode
from vm_native.riscv.state cimport MACHINE, USER, Hart, hart_of
from vm_native.softmmu cimport trigger_fires

cdef enum:
    LPAD = 0x017            # auipc to x0
    LABEL_SHIFT = 12        # of the label, in the instruction and in x7
    LABEL_REGISTER = 7
    POINTER_BYTES = 8


cdef int trap(Cpu* cpu, uint64_t cause, uint64_t value) noexcept nogil:
    cpu.trap_cause = cause
    cpu.trap_value = value
    return TRAP


cdef inline uint32_t word_of(Uop* uop) noexcept nogil:
    return <uint32_t>uop[1].imm


# --- Landing pads ----------------------------------------------------------------------------------------------------

cdef int landing_pad(Cpu* cpu, Uop* uop) noexcept nogil:
    """Whatever instruction a jump has led to that expects one: it must be lpad, aligned, with no label or x7's."""
    cdef uint32_t word = word_of(uop), label = word >> LABEL_SHIFT
    cdef bint matches = not label or label == <uint32_t>cpu.state.regs[LABEL_REGISTER] >> LABEL_SHIFT
    if word & 0xFFF != LPAD or cpu.state.pc & 3 or not matches:
        return trap(cpu, SOFTWARE_CHECK, LANDING_PAD_FAULT)
    hart_of(cpu).state.expects_landing = False
    update_mode(hart_of(cpu))
    return CONTINUE


# --- Shadow stacks ---------------------------------------------------------------------------------------------------

cdef bint shadow_stack_enabled(Hart* hart, int number, bint writes) noexcept nogil:
    """Whether ssp may be accessed, but for what a host withholds from its guest."""
    if hart.state.privilege == MACHINE:
        return True
    if not hart.state.menvcfg & MENVCFG_SSE:
        return False
    return hart.state.privilege != USER or hart.state.virtual or hart.state.senvcfg & SENVCFG_SSE != 0


cdef inline bint is_active(Hart* hart) noexcept nogil:
    return hart.state.privilege != MACHINE and not envcfg_refusal(hart, MENVCFG_SSE)


cdef int access(Cpu* cpu, uint64_t address, uint64_t size, bint stores, uint8_t* place, uint8_t* old) noexcept nogil:
    """Load what is there into `old` and store `place`, if it `stores`. It is RAM, and `address` aligned."""
    cdef Operand operand
    cdef int status
    if trigger_fires(cpu, 1 << WRITE if stores else 1 << READ, address, size):
        return TRAP
    split(address, size, &operand)
    status = translate_shadow(
        hart_of(cpu), address, WRITE_SHADOW if stores else READ_SHADOW, size, &operand.pieces[0].physical
    )
    if status != CONTINUE:
        return status
    operand.pieces[0].region = ram_at(cpu.machine.map, operand.pieces[0].physical, size)
    if operand.pieces[0].region == NULL:
        return fault(cpu, WRITE, address)
    copy_bytes(old, operand.pieces[0].region.host + (operand.pieces[0].physical - operand.pieces[0].region.base), size)
    access_ram(cpu, stores, &operand, place if stores else old)
    return CONTINUE


cdef inline int link_of(Uop* uop, int shift, int compressed) noexcept nogil:
    """The register that is pushed or popped: of the compressed forms it is fixed."""
    return <int>(word_of(uop) >> shift & 31) if info_of(uop).length == 4 else compressed


cdef int shadow_push(Cpu* cpu, Uop* uop) noexcept nogil:
    cdef Hart* hart = hart_of(cpu)
    cdef uint64_t top = hart.state.ssp - POINTER_BYTES, address, old
    cdef uint64_t value = cpu.state.regs[link_of(uop, 20, 1)]
    cdef int status
    if not is_active(hart):
        return CONTINUE
    address = effective_address(cpu, top)
    status = access(cpu, address, POINTER_BYTES, True, <uint8_t*>&value, <uint8_t*>&old)
    if status != CONTINUE:
        return status
    hart.state.ssp = top
    if is_recorded(cpu.machine, RECORD_ACCESSES):
        record_access(cpu, RECORDED_WRITE, address, POINTER_BYTES, value)
    return CONTINUE


cdef int shadow_pop(Cpu* cpu, Uop* uop) noexcept nogil:
    cdef Hart* hart = hart_of(cpu)
    cdef uint64_t address, found
    cdef int status
    if not is_active(hart):
        return CONTINUE
    address = effective_address(cpu, hart.state.ssp)
    status = access(cpu, address, POINTER_BYTES, False, NULL, <uint8_t*>&found)
    if status != CONTINUE:
        return status
    if found != cpu.state.regs[link_of(uop, 15, 5)]:
        return trap(cpu, SOFTWARE_CHECK, SHADOW_STACK_FAULT)
    hart.state.ssp += POINTER_BYTES
    if is_recorded(cpu.machine, RECORD_ACCESSES):
        record_access(cpu, RECORDED_READ, address, POINTER_BYTES, found)
    return CONTINUE


cdef int shadow_pointer(Cpu* cpu, Uop* uop) noexcept nogil:
    cdef Hart* hart = hart_of(cpu)
    cpu.state.regs[word_of(uop) >> 7 & 31] = hart.state.ssp if is_active(hart) else 0
    return CONTINUE


cdef int shadow_swap(Cpu* cpu, Uop* uop) noexcept nogil:
    cdef Hart* hart = hart_of(cpu)
    cdef uint32_t word = word_of(uop)
    cdef uint64_t address = effective_address(cpu, cpu.state.regs[word >> 15 & 31])
    cdef uint64_t value = cpu.state.regs[word >> 20 & 31], old = 0
    cdef int size = 1 << (word >> 12 & 3), status
    cdef uint64_t refusal = envcfg_refusal(hart, MENVCFG_SSE)
    if refusal:
        return trap(cpu, refusal, word)
    if address & <uint64_t>(size - 1):
        return trap(cpu, STORE_MISALIGNED, address)
    status = access(cpu, address, size, True, <uint8_t*>&value, <uint8_t*>&old)
    if status != CONTINUE:
        return status
    if size == 4:
        old = <uint64_t><int32_t>old
    if is_recorded(cpu.machine, RECORD_ACCESSES):
        record_access(cpu, RECORDED_READ | RECORDED_WRITE, address, size, old)
    if word >> 7 & 31:
        cpu.state.regs[word >> 7 & 31] = old
    return CONTINUE
