"""The rare instructions. Each is a helper that finds pc, registers and steps exact, and answers with a Status.

`HELPERS` names them for the instruction table; the instruction word stands in the immediate of the uop's second slot.
"""
from libc.stdint cimport uint32_t, uint64_t
from vm_native.cpu cimport ABANDON, CONTINUE, LEAVE, STOP_NONE, STOP_WAITING, TRAP, Cpu, Helper
from vm_native.ir cimport Uop
from vm_native.riscv.csr cimport csr_accessible, csr_read, csr_write
from vm_native.riscv.fpu cimport fp_operate
from vm_native.riscv.mmu cimport flush_address, flush_translations
from vm_native.riscv.sbi cimport serve_call
from vm_native.riscv.state cimport (
    BREAKPOINT, ECALL_FROM_U, ILLEGAL_INSTRUCTION, MACHINE, MSTATUS_FS, MSTATUS_TSR,
    MSTATUS_TVM, MSTATUS_TW, SUPERVISOR, USER, Hart, hart_of,
)
from vm_native.riscv.traps cimport (
    pending_interrupts, poll, return_from_machine, return_from_supervisor, update_mode,
)

cdef enum:
    CSR_MIP = 0x344
    CSR_SIP = 0x144
    DYNAMIC = 7


cdef inline uint32_t word_of(Uop* uop) noexcept nogil:
    return <uint32_t>uop[1].imm


cdef int trap(Cpu* cpu, uint64_t cause, uint64_t value) noexcept nogil:
    cpu.trap_cause = cause
    cpu.trap_value = value
    return TRAP


cdef int illegal(Cpu* cpu, Uop* uop) noexcept nogil:
    return trap(cpu, ILLEGAL_INSTRUCTION, word_of(uop))


cdef int ecall(Cpu* cpu, Uop* uop) noexcept nogil:
    cdef Hart* hart = hart_of(cpu)
    if hart.state.privilege == SUPERVISOR and hart.state.sbi:
        return serve_call(cpu)
    return trap(cpu, ECALL_FROM_U + hart.state.privilege, 0)


cdef int ebreak(Cpu* cpu, Uop* uop) noexcept nogil:
    return trap(cpu, BREAKPOINT, cpu.pc)


cdef int fence_i(Cpu* cpu, Uop* uop) noexcept nogil:
    # Stores into translated code are noticed when they happen; the block just has to end.
    return CONTINUE


cdef int mret(Cpu* cpu, Uop* uop) noexcept nogil:
    cdef Hart* hart = hart_of(cpu)
    if hart.state.privilege != MACHINE:
        return illegal(cpu, uop)
    return_from_machine(hart)
    return LEAVE


cdef int sret(Cpu* cpu, Uop* uop) noexcept nogil:
    cdef Hart* hart = hart_of(cpu)
    if hart.state.privilege == USER or hart.state.privilege == SUPERVISOR and hart.state.mstatus & MSTATUS_TSR:
        return illegal(cpu, uop)
    return_from_supervisor(hart)
    return LEAVE


cdef int wfi(Cpu* cpu, Uop* uop) noexcept nogil:
    """Waits even where interrupts are disabled globally; section 3.3.3. In U-mode it is illegal, as time is unbounded."""
    cdef Hart* hart = hart_of(cpu)
    if hart.state.privilege == USER or hart.state.privilege == SUPERVISOR and hart.state.mstatus & MSTATUS_TW:
        return illegal(cpu, uop)
    poll(cpu)
    if not pending_interrupts(hart) & hart.state.mie:
        hart.state.waiting = True
        if cpu.stop == STOP_NONE:
            cpu.stop = STOP_WAITING
    return CONTINUE


cdef int sfence_vma(Cpu* cpu, Uop* uop) noexcept nogil:
    """Address spaces share the TLB entries of their bank, so an ASID narrows nothing."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint32_t rs1 = word_of(uop) >> 15 & 31
    if hart.state.privilege == USER or hart.state.privilege == SUPERVISOR and hart.state.mstatus & MSTATUS_TVM:
        return illegal(cpu, uop)
    if rs1:
        flush_address(hart, cpu.regs[rs1])
    else:
        flush_translations(hart)
    return CONTINUE


cdef int csr(Cpu* cpu, Uop* uop) noexcept nogil:
    """csrrw, csrrs, csrrc and their immediate forms; chapter 7 of the unprivileged specification."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint32_t word = word_of(uop)
    cdef int number = word >> 20
    cdef uint32_t rs1 = word >> 15 & 31
    cdef uint32_t rd = word >> 7 & 31
    cdef uint32_t operation = word >> 12 & 3
    cdef uint64_t operand = rs1 if word >> 14 & 1 else cpu.regs[rs1]
    cdef uint64_t old = 0, base
    cdef bint writes = operation == 1 or rs1 != 0
    if not csr_accessible(hart, number, writes):
        return illegal(cpu, uop)
    # csrrw to x0 must not have the side effects of a read; but the register must exist either way.
    if not csr_read(hart, number, &old):
        return illegal(cpu, uop)
    if writes:
        # Setting or clearing bits of mip must not copy a device's line into the software bit (section 3.1.9).
        base = hart.state.mip if number == CSR_MIP or number == CSR_SIP else old
        if operation == 2:
            operand |= base
        elif operation == 3:
            operand = base & ~operand
        if not csr_write(hart, number, operand):
            return illegal(cpu, uop)
    if rd:
        cpu.regs[rd] = old
    return CONTINUE


# --- Floating point --------------------------------------------------------------------------------------------------

cdef int make_fp_dirty(Cpu* cpu, Uop* uop) noexcept nogil:
    """The state was clean: from now on it is dirty, and the instruction is run again as translated for that."""
    cdef Hart* hart = hart_of(cpu)
    hart.state.mstatus |= MSTATUS_FS
    update_mode(hart)
    return ABANDON


cdef int operate_fp(Cpu* cpu, Uop* uop) noexcept nogil:
    """An operation with another rounding mode than the host's, by way of the exact path."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint32_t rounding = word_of(uop) >> 12 & 7
    cdef uint32_t flags = 0
    if rounding == DYNAMIC:
        rounding = hart.state.frm
        if rounding > 4:
            return illegal(cpu, uop)
    cpu.regs[uop.rd] = fp_operate(
        uop[1].rd, rounding, cpu.regs[uop.rs1], cpu.regs[uop.rs2], cpu.regs[uop[1].rs1], &flags
    )
    hart.state.fflags |= flags
    return CONTINUE


HELPERS = {}


cdef void register(str name, Helper helper):
    helpers[len(HELPERS)] = helper
    HELPERS[name] = len(HELPERS)


register("illegal", illegal)
register("ecall", ecall)
register("ebreak", ebreak)
register("fence_i", fence_i)
register("mret", mret)
register("sret", sret)
register("wfi", wfi)
register("sfence_vma", sfence_vma)
register("csr", csr)
register("make_fp_dirty", make_fp_dirty)
register("operate_fp", operate_fp)
