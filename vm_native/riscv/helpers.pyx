"""The rare instructions. Each is a helper that finds pc, registers and steps exact, and answers with a Status.

Rows of the instruction table name them; the instruction word stands in the immediate of the uop's second cell.
"""
from libc.stdint cimport int32_t, int64_t, intptr_t, uint32_t, uint64_t
from libc.string cimport memset
from vm_native.arithmetic.float_rules cimport RMM
from vm_native.arithmetic.operations cimport operate
from vm_native.atomics cimport begin_atomic, end_atomic
from vm_native.blocks cimport invalidate
from vm_native.ir.block cimport Uop, block_of, info_of
from vm_native.line_marks cimport LineMark
from vm_native.machine cimport (
    CONTINUE, EVENT_CALL, EVENT_CSR_READ, EVENT_CSR_WRITE, EXIT, RECORD_ACCESSES, RETRY, STOP_NONE, STOP_WAITING, TRAP,
    Cpu, Helper, about_to_store, effective_address,
)
from vm_native.memory.access cimport load64
from vm_native.memory.bus cimport ram_at
from vm_native.memory.ram cimport WATCHED_READS, WATCHED_WRITES, RamRegion
from vm_native.memory.tlb cimport READ, WRITE, TlbEntry, hits
from vm_native.probes.hooks cimport is_wanted, tell_all, told_before
from vm_native.probes.records cimport (
    RECORDED_READ, RECORDED_WRITE, is_recorded, record_access, stay_in_block,
)
from vm_native.probes.watch cimport is_watched, look_at_watches
from vm_native.riscv.constants cimport (
    BREAKPOINT, CSR_MIP, CSR_SEED, CSR_SIP, ECALL_FROM_U, ECALL_FROM_VS, FETCH_MISALIGNED, HSTATUS_VTSR,
    HSTATUS_VTVM, HSTATUS_VTW, ILLEGAL_INSTRUCTION, LOAD_GUEST_PAGE, LOAD_PAGE, MENVCFG_CBCFE, MENVCFG_CBIE,
    MENVCFG_CBZE, MSTATUS_FS_DIRTY, MSTATUS_TSR, MSTATUS_TVM, MSTATUS_TW, STORE_ACCESS, STORE_GUEST_PAGE,
    STORE_MISALIGNED, STORE_PAGE, VIRTUAL_INSTRUCTION,
)
from vm_native.riscv.csr cimport csr_read, csr_refusal, csr_write
from vm_native.riscv.guest_csrs cimport number_for_guest
from vm_native.riscv.guest_helpers cimport hfence_gvma, hfence_vvma, load_of_guest, store_of_guest
from vm_native.riscv.interrupts cimport may_interrupt
from vm_native.riscv.integrity cimport landing_pad, shadow_pointer, shadow_pop, shadow_push, shadow_swap
from vm_native.riscv.spaces cimport (
    ANY, flush_address, flush_asid, flush_guest_address, flush_guests, flush_translations, machine_at_hand,
)
from vm_native.riscv.privilege cimport (
    envcfg_refusal, look_for_interrupts, poll, return_from_machine, return_from_supervisor,
    update_mode,
)
from vm_native.riscv.sbi cimport emulate_counter, serve_call
from vm_native.riscv.state cimport (
    DYNAMIC, IN_WFI, MACHINE, MODE_LANDING_PADS, SUPERVISOR, USER, Hart, expects_landing, hart_of,
)
from vm_native.riscv.vector.execute cimport run_vector
from vm_native.riscv.worlds cimport make_dirty
from vm_native.safepoints cimport is_own, park, unpark
from vm_native.softmmu cimport entry_of, outdated, trigger_fires

import os

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from *:
    """
    #if defined(__x86_64__)
    __attribute__((target("cx16")))
    #endif
    static inline void vm_exchange128(void *host, unsigned long long *expected, const unsigned long long *wanted) {
        unsigned __int128 old = (unsigned __int128)expected[1] << 64 | expected[0];
        unsigned __int128 new_ = (unsigned __int128)wanted[1] << 64 | wanted[0];
        old = __sync_val_compare_and_swap((unsigned __int128 *)host, old, new_);
        expected[0] = (unsigned long long)old;
        expected[1] = (unsigned long long)(old >> 64);
    }
    """
    void exchange128 "vm_exchange128"(void* host, uint64_t* expected, const uint64_t* wanted) noexcept nogil

cdef enum:
    OPCODE_BRANCH = 0x63
    OPCODE_JALR = 0x67
    OPCODE_JAL = 0x6F

cdef int processors = len(os.sched_getaffinity(0))      # of the host, that this process may use


cdef inline uint32_t word_of(Uop* uop) noexcept nogil:
    return <uint32_t>uop[1].imm


cdef int trap(Cpu* cpu, uint64_t cause, uint64_t value) noexcept nogil:
    cpu.trap_cause = cause
    cpu.trap_value = value
    return TRAP


cdef int illegal(Cpu* cpu, Uop* uop) noexcept nogil:
    return trap(cpu, ILLEGAL_INSTRUCTION, word_of(uop))


cdef int refuse(Cpu* cpu, Uop* uop) noexcept nogil:
    """What the mode at hand may not do; a host's may: to a guest's it is a virtual instruction, which the host can do
    for it.
    """
    return trap(cpu, VIRTUAL_INSTRUCTION if hart_of(cpu).state.virtual else ILLEGAL_INSTRUCTION, word_of(uop))


cdef int ecall(Cpu* cpu, Uop* uop) noexcept nogil:
    cdef Hart* hart = hart_of(cpu)
    if is_wanted(cpu.machine, EVENT_CALL) and not told_before(cpu, EVENT_CALL):
        tell_all(cpu, EVENT_CALL, cpu.state.pc, 0, 0, 0, 0)
        return RETRY
    if hart.state.privilege == SUPERVISOR and hart.state.virtual:
        return trap(cpu, ECALL_FROM_VS, 0)
    if hart.state.privilege == SUPERVISOR and hart.state.sbi:
        return serve_call(cpu)
    return trap(cpu, ECALL_FROM_U + hart.state.privilege, 0)


cdef int checked_jump(Cpu* cpu, Uop* uop) noexcept nogil:
    """jal, jalr and branches of a hart without C, where a target that is not a multiple of four traps at the jump; and
    jalr, c.jr and c.jalr where it has to be a landing pad.
    """
    cdef Hart* hart = hart_of(cpu)
    cdef uint32_t word = word_of(uop)
    cdef bint compressed = word & 3 != 3, indirect = compressed or word & 0x7F == OPCODE_JALR
    cdef uint64_t link = cpu.state.pc + (2 if compressed else 4), target = link
    if indirect:
        target = cpu.state.regs[uop.rs1] + <uint64_t><int64_t>(0 if compressed else <int32_t>word >> 20)
        target &= ~<uint64_t>1
    elif word & 0x7F == OPCODE_JAL or branch_taken(word >> 12 & 7, cpu.state.regs[uop.rs1], cpu.state.regs[uop.rs2]):
        target = block_of(uop).exits[0].pc
    if target & 3 and not hart.decode_table.compressed:
        stay_in_block(cpu)
        return trap(cpu, FETCH_MISALIGNED, target)
    if word & 0x7F != OPCODE_BRANCH:
        cpu.state.regs[uop.rd] = link
    cpu.state.pc = target
    if indirect and cpu.key & MODE_LANDING_PADS and expects_landing(uop.rs1):
        hart.state.expects_landing = True
        update_mode(hart)
    return EXIT


cdef bint branch_taken(int condition, uint64_t a, uint64_t b) noexcept nogil:
    """By funct3: eq, ne, -, -, lt, ge, ltu, geu."""
    cdef bint holds
    if condition < 4:
        holds = a == b
    elif condition < 6:
        holds = <int64_t>a < <int64_t>b
    else:
        holds = a < b
    return holds != (condition & 1)


cdef int ebreak(Cpu* cpu, Uop* uop) noexcept nogil:
    return trap(cpu, BREAKPOINT, cpu.state.pc)


cdef int fence_i(Cpu* cpu, Uop* uop) noexcept nogil:
    # Stores into translated code are noticed when they happen; the block just has to end.
    return CONTINUE


# --- Privileged instructions -----------------------------------------------------------------------------------------

cdef int mret(Cpu* cpu, Uop* uop) noexcept nogil:
    cdef Hart* hart = hart_of(cpu)
    if hart.state.privilege != MACHINE:
        return illegal(cpu, uop)
    return_from_machine(hart)
    return EXIT


cdef int sret(Cpu* cpu, Uop* uop) noexcept nogil:
    cdef Hart* hart = hart_of(cpu)
    cdef uint64_t kept = hart.state.hstatus & HSTATUS_VTSR if hart.state.virtual else hart.state.mstatus & MSTATUS_TSR
    if hart.state.privilege == USER or hart.state.privilege == SUPERVISOR and kept:
        return refuse(cpu, uop)
    return_from_supervisor(hart)
    return EXIT


cdef int wfi(Cpu* cpu, Uop* uop) noexcept nogil:
    """Waits even where interrupts are disabled globally; section 3.3.3. Illegal in U-mode, as time is unbounded."""
    cdef Hart* hart = hart_of(cpu)
    if hart.state.privilege != MACHINE and hart.state.mstatus & MSTATUS_TW:
        return illegal(cpu, uop)
    if hart.state.privilege == USER or hart.state.virtual and hart.state.hstatus & HSTATUS_VTW:
        return refuse(cpu, uop)
    poll(cpu)
    if not may_interrupt(hart):
        hart.state.waiting = IN_WFI
        if cpu.stop == STOP_NONE:
            cpu.stop = STOP_WAITING
    return CONTINUE


cdef int pause(Cpu* cpu, Uop* uop) noexcept nogil:
    """A hint of a hart that waits for another (Zihintpause), whose thread may need this processor of the host's."""
    if is_own(&cpu.gate) and cpu.machine.safepoints.gate_count > processors:
        park(&cpu.gate)
        sched_yield()
        unpark(&cpu.gate)
    return CONTINUE


cdef int sfence_vma(Cpu* cpu, Uop* uop) noexcept nogil:
    """Of an address in all address spaces; else of the ASID that is named, if one is."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint32_t rs1 = word_of(uop) >> 15 & 31, rs2 = word_of(uop) >> 20 & 31
    cdef uint64_t kept = hart.state.hstatus & HSTATUS_VTVM if hart.state.virtual else hart.state.mstatus & MSTATUS_TVM
    if hart.state.privilege == USER or hart.state.privilege == SUPERVISOR and kept:
        return refuse(cpu, uop)
    if hart.state.virtual:
        fence_guest(hart, rs1, rs2)
    elif rs1:
        flush_address(hart, cpu.state.regs[rs1])
    elif rs2:
        flush_asid(hart, cpu.state.regs[rs2])
    else:
        flush_translations(hart)
    return CONTINUE


cdef void fence_guest(Hart* hart, int rs1, int rs2) noexcept nogil:
    """The guest's own fence is about nothing but what this guest has."""
    cdef int64_t asid = <int64_t>(hart.cpu.state.regs[rs2] & 0xFFFF) if rs2 else <int64_t>ANY
    if rs1:
        flush_guest_address(hart, <int64_t>machine_at_hand(hart), asid, hart.cpu.state.regs[rs1])
    else:
        flush_guests(hart, <int64_t>machine_at_hand(hart), asid)


cdef int sfence_inval(Cpu* cpu, Uop* uop) noexcept nogil:
    """sinval.vma has done the work; what orders it is only illegal in U-mode."""
    return refuse(cpu, uop) if hart_of(cpu).state.privilege == USER else CONTINUE


# --- Registers of control and status ---------------------------------------------------------------------------------

cdef int csr(Cpu* cpu, Uop* uop) noexcept nogil:
    """csrrw, csrrs, csrrc and their immediate forms; chapter 7 of the unprivileged specification."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint32_t word = word_of(uop)
    cdef int number = word >> 20
    cdef uint32_t rs1 = word >> 15 & 31
    cdef uint32_t rd = word >> 7 & 31
    cdef uint32_t operation = word >> 12 & 3
    cdef uint64_t operand = rs1 if word >> 14 & 1 else cpu.state.regs[rs1]
    cdef uint64_t old = 0, base
    cdef bint writes = operation == 1 or rs1 != 0
    cdef uint64_t refusal = csr_refusal(hart, number, writes)
    if refusal:
        return trap(cpu, refusal, word)
    if hart.state.virtual:
        number = number_for_guest(number)
    # csrrw to x0 must not have the side effects of a read; but the register must exist either way.
    if not csr_read(hart, number, &old) and not emulate_counter(cpu, number, &old):
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
        cpu.state.regs[rd] = old
    if cpu.machine.probes.wanted:
        return tell_of_csr(cpu, uop, number, operation != 1 or rd != 0, writes, old)
    return CONTINUE


cdef int status_csr(Cpu* cpu, Uop* uop) noexcept nogil:
    """The same of mstatus and sstatus, behind which a block goes on: unless there is an interrupt, or another mode or
    address space.
    """
    cdef uint64_t key = cpu.key
    cdef const TlbEntry* tlb = cpu.tlb
    cdef int status = csr(cpu, uop)
    if status == CONTINUE and (cpu.attention or cpu.key != key or cpu.tlb != tlb):
        cpu.state.pc += info_of(uop).length
        return EXIT
    return status


cdef int enable_interrupts(Cpu* cpu, Uop* uop) noexcept nogil:
    """Set SIE, MIE or both, as the decoder has looked at."""
    cdef Hart* hart = hart_of(cpu)
    hart.state.mstatus |= word_of(uop)
    look_for_interrupts(hart)
    if not cpu.attention:
        return CONTINUE
    cpu.state.pc += info_of(uop).length
    return EXIT


cdef int tell_of_csr(Cpu* cpu, Uop* uop, int number, bint reads, bint writes, uint64_t old) noexcept nogil:
    """Hooks, of an access that has been done. csrrw to x0 does not read (section 7.1)."""
    cdef uint64_t value = old
    cdef uint64_t pc = cpu.state.pc
    if reads and is_wanted(cpu.machine, EVENT_CSR_READ):
        tell_all(cpu, EVENT_CSR_READ, pc, number, 8, old, old)
    if writes and is_wanted(cpu.machine, EVENT_CSR_WRITE):
        if number != CSR_SEED:                          # which each read changes
            csr_read(hart_of(cpu), number, &value)      # what it is now: not every bit can be written
        tell_all(cpu, EVENT_CSR_WRITE, pc, number, 8, value, old)
    if cpu.stop == STOP_NONE:
        return CONTINUE
    cpu.state.pc = pc + info_of(uop).length
    return EXIT


# --- Caches and waiting ----------------------------------------------------------------------------------------------

cdef int manage_block(Cpu* cpu, Uop* uop, uint64_t enable) noexcept nogil:
    """There are no caches to manage, but the block must be memory that may be read; faults are those of a store."""
    cdef uint64_t address = effective_address(cpu, cpu.state.regs[word_of(uop) >> 15 & 31])
    cdef uint64_t physical
    cdef int status
    cdef uint64_t refusal = envcfg_refusal(hart_of(cpu), enable)
    if refusal:
        return trap(cpu, refusal, word_of(uop))
    if trigger_fires(cpu, 1 << WRITE, address & ~<uint64_t>63, 64):     # section 5.5.3 of the debug specification
        cpu.trap_value = address
        return TRAP
    status = cpu.front_end.translate_address(cpu, address, READ, 1, &physical)
    if status != CONTINUE:
        if cpu.trap_cause == LOAD_GUEST_PAGE:
            cpu.trap_cause = STORE_GUEST_PAGE
        else:
            cpu.trap_cause = STORE_PAGE if cpu.trap_cause == LOAD_PAGE else STORE_ACCESS
        return status
    return CONTINUE if ram_at(cpu.machine.map, physical, 1) != NULL else trap(cpu, STORE_ACCESS, address)


cdef int cbo_clean(Cpu* cpu, Uop* uop) noexcept nogil:
    return manage_block(cpu, uop, MENVCFG_CBCFE)


cdef int cbo_inval(Cpu* cpu, Uop* uop) noexcept nogil:
    return manage_block(cpu, uop, MENVCFG_CBIE)


cdef int cbo_zero(Cpu* cpu, Uop* uop) noexcept nogil:
    """Zeroes the naturally aligned 64 bytes around the address."""
    cdef uint64_t address = effective_address(cpu, cpu.state.regs[word_of(uop) >> 15 & 31])
    cdef uint64_t start = address & ~<uint64_t>63
    cdef TlbEntry* entry = entry_of(cpu, start)
    cdef uint64_t physical, old
    cdef int status
    cdef RamRegion* region
    cdef uint64_t refusal = envcfg_refusal(hart_of(cpu), MENVCFG_CBZE)
    if refusal:
        return trap(cpu, refusal, word_of(uop))
    if hits(entry.write_tag, start, 64):
        about_to_store(cpu, <void*>(<intptr_t>start + entry.addend), 64)
        memset(<void*>(<intptr_t>start + entry.addend), 0, 64)
        if is_recorded(cpu.machine, RECORD_ACCESSES):
            record_access(cpu, RECORDED_WRITE, start, 64, 0)
        return CONTINUE
    if trigger_fires(cpu, 1 << WRITE, start, 64):
        cpu.trap_value = address
        return TRAP
    status = cpu.front_end.translate_address(cpu, start, WRITE, 64, &physical)
    if status != CONTINUE:
        cpu.trap_value = address
        return status
    region = ram_at(cpu.machine.map, physical, 64)
    if region == NULL:
        return trap(cpu, STORE_ACCESS, address)
    old = load64(region.host + (physical - region.base))
    about_to_store(cpu, region.host + (physical - region.base), 64)
    memset(region.host + (physical - region.base), 0, 64)
    invalidate(cpu.machine, physical, 64)
    if is_recorded(cpu.machine, RECORD_ACCESSES):
        record_access(cpu, RECORDED_WRITE, start, 64, 0)
    if is_watched(cpu.machine, region, physical):
        look_at_watches(cpu, WATCHED_WRITES, start, physical, 64, old)
    if cpu.stop == STOP_NONE and not outdated(cpu, uop):
        return CONTINUE
    cpu.state.pc += info_of(uop).length
    return EXIT


cdef int wrs_nto(Cpu* cpu, Uop* uop) noexcept nogil:
    """The wait ends at once, as it may at any time; TW makes it illegal below M-mode like wfi, and VTW refuses it."""
    cdef Hart* hart = hart_of(cpu)
    if hart.state.privilege != MACHINE and hart.state.mstatus & MSTATUS_TW:
        return illegal(cpu, uop)
    return refuse(cpu, uop) if hart.state.virtual and hart.state.hstatus & HSTATUS_VTW else CONTINUE


cdef int amocas_q(Cpu* cpu, Uop* uop) noexcept nogil:
    """128 bits in even-odd register pairs; the pair of x0 is zero, and is not written."""
    cdef uint32_t word = word_of(uop)
    cdef uint32_t rd = word >> 7 & 31
    cdef uint32_t rs2 = word >> 20 & 31
    cdef uint64_t address = effective_address(cpu, cpu.state.regs[word >> 15 & 31])
    cdef uint64_t physical
    cdef int status
    cdef uint64_t pair[2]
    cdef uint64_t wanted[2]
    cdef RamRegion* region
    cdef LineMark* line
    if rd & 1 or rs2 & 1:
        return illegal(cpu, uop)
    if trigger_fires(cpu, 1 << READ | 1 << WRITE, address, 16):
        return TRAP
    if address & 15:
        return trap(cpu, STORE_MISALIGNED, address)
    status = cpu.front_end.translate_address(cpu, address, WRITE, 16, &physical)
    if status != CONTINUE:
        return status
    region = ram_at(cpu.machine.map, physical, 16)
    if region == NULL:
        return trap(cpu, STORE_ACCESS, address)
    pair[0] = cpu.state.regs[rd]
    pair[1] = cpu.state.regs[rd + 1] if rd else 0
    wanted[0] = cpu.state.regs[rs2]
    wanted[1] = cpu.state.regs[rs2 + 1] if rs2 else 0
    line = begin_atomic(cpu, region.host + (physical - region.base))
    exchange128(region.host + (physical - region.base), pair, wanted)
    end_atomic(line)
    if rd:
        cpu.state.regs[rd] = pair[0]
        cpu.state.regs[rd + 1] = pair[1]
    invalidate(cpu.machine, physical, 16)
    if is_recorded(cpu.machine, RECORD_ACCESSES):
        record_access(cpu, RECORDED_READ | RECORDED_WRITE, address, 8, pair[0])
        record_access(cpu, RECORDED_READ | RECORDED_WRITE, address + 8, 8, pair[1])
    if is_watched(cpu.machine, region, physical):
        look_at_watches(cpu, WATCHED_READS | WATCHED_WRITES, address, physical, 16, pair[0])
    return CONTINUE


# --- Floating point --------------------------------------------------------------------------------------------------

cdef int make_fp_dirty(Cpu* cpu, Uop* uop) noexcept nogil:
    """The state was clean: from now on it is dirty, and the instruction is run again as translated for that."""
    cdef Hart* hart = hart_of(cpu)
    make_dirty(hart, MSTATUS_FS_DIRTY)
    update_mode(hart)
    return RETRY


cdef int operate_fp(Cpu* cpu, Uop* uop) noexcept nogil:
    """What has no uop for its rounding mode, or none on this host, by way of the exact path."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint32_t rounding = word_of(uop) >> 12 & 7
    cdef uint32_t flags = 0
    if rounding == DYNAMIC:
        rounding = hart.state.frm
        if rounding > RMM:
            return illegal(cpu, uop)
    cpu.state.regs[uop.rd] = operate(
        uop[1].rd, rounding, cpu.state.regs[uop.rs1], cpu.state.regs[uop.rs2], cpu.state.regs[uop[1].rs1], &flags
    )
    hart.state.fflags |= flags
    return CONTINUE


# --- The table -------------------------------------------------------------------------------------------------------

HELPERS = {}                    # numbers by the names that rows of instructions, and the decoder, give them


cdef void register(str name, Helper helper):
    number = len(HELPERS)
    if number == MAX_HELPERS:
        raise ImportError(f"no room for the helper {name!r}: MAX_HELPERS is {MAX_HELPERS}")
    helpers[number] = helper
    HELPERS[name] = number


register("illegal", illegal)
register("ecall", ecall)
register("ebreak", ebreak)
register("checked_jump", checked_jump)
register("fence_i", fence_i)
register("mret", mret)
register("sret", sret)
register("wfi", wfi)
register("pause", pause)
register("sfence_vma", sfence_vma)
register("sfence_inval", sfence_inval)
register("hfence_vvma", hfence_vvma)
register("hfence_gvma", hfence_gvma)
register("load_of_guest", load_of_guest)
register("store_of_guest", store_of_guest)
register("csr", csr)
register("status_csr", status_csr)
register("enable_interrupts", enable_interrupts)
register("cbo_clean", cbo_clean)
register("cbo_inval", cbo_inval)
register("cbo_zero", cbo_zero)
register("wrs_nto", wrs_nto)
register("amocas_q", amocas_q)
register("make_fp_dirty", make_fp_dirty)
register("operate_fp", operate_fp)
register("landing_pad", landing_pad)
register("shadow_push", shadow_push)
register("shadow_pop", shadow_pop)
register("shadow_pointer", shadow_pointer)
register("shadow_swap", shadow_swap)
register("vector", run_vector)
