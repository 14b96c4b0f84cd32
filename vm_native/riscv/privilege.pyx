"""Privilege: traps, interrupts, and the mode word that engines key their blocks by.

Privileged specification, sections 3.1.6 to 3.1.9, 3.3.2 and 12.1. Timer interrupts come from comparing the timebase
with mtimecmp and stimecmp when a slice begins and when a guest asks; slices are cut so that one begins on the tick.
"""
from libc.stdint cimport uint64_t
from vm_native.arithmetic.float_rules cimport RNE
from vm_native.arithmetic.floating cimport host_rounds
from vm_native.clock cimport NEVER, Timeline, ns_of_ticks, steps_of, timeline_ticks
from vm_native.machine cimport EVENT_TRAP, MODE_MASK, STOP_NONE, STOP_RESCHEDULE, STOP_UNHANDLED, Cpu, machine_steps
from vm_native.memory.tlb cimport BANK_ENTRIES
from vm_native.probes.hooks cimport is_wanted, tell_all
from vm_native.probes.records cimport record_trap
from vm_native.riscv.constants cimport (
    FEATURE_H, FEATURE_SMMPM, FEATURE_SMNPM, FEATURE_SSNPM, FEATURE_ZICFILP, HENVCFG_STCE, HSTATUS_SPV,
    ILLEGAL_INSTRUCTION, MCAUSE_CODE, MCAUSE_INTERRUPT, MENVCFG_CBZE, MENVCFG_LPE, MENVCFG_PMM, MENVCFG_STCE, MIE_MTIE,
    MIE_STIE, MIE_VSTIE, MIP_MTIP, MIP_SSIP, MIP_STIP, MIP_VSTIP, MSECCFG_MLPE, MSECCFG_PMM, MSTATUS_FS,
    MSTATUS_FS_CLEAN, MSTATUS_FS_DIRTY, MSTATUS_MIE, MSTATUS_MPELP, MSTATUS_MPIE, MSTATUS_MPP, MSTATUS_MPP_SHIFT,
    MSTATUS_MPRV, MSTATUS_MPV, MSTATUS_SIE, MSTATUS_SPELP, MSTATUS_SPIE, MSTATUS_SPP, MSTATUS_SUM, MTVEC_BASE,
    MTVEC_MODE_VECTORED, SENVCFG_LPE, VIRTUAL_INSTRUCTION,
)
from vm_native.riscv.counters cimport cut_slice, follow_mode, look_for_overflows
from vm_native.riscv.interrupts cimport (
    highest, identity_of, is_injected, may_interrupt, pending_interrupts, top_for_guest, top_for_supervisor,
)
from vm_native.riscv.masking cimport has_masking, update_masking
from vm_native.riscv.spaces cimport bank_of, enter_space, update_generation
from vm_native.riscv.state cimport (
    BANK_M, BANK_S, BANK_S_SUM, BANK_U, MACHINE, MODE_BANK, MODE_BANK_SHIFT, MODE_EXPECTS_LANDING, MODE_FP_DIRTY,
    MODE_FP_NEAREST, MODE_FP_ON, MODE_FP_ROUNDS, MODE_LANDING_PADS, MODE_PRIVILEGE, MODE_VIRTUAL, NOT_WAITING,
    SUPERVISOR, USER, Hart, RiscvState, hart_of,
)
from vm_native.riscv.worlds cimport (
    data_is_of_guest, exchange_worlds, guest_status, guest_takes, has_guests, inform_host, inform_machine,
    update_shape,
)

cdef enum:                  # where modes may be more than a privilege
    WITH_MORE = FEATURE_H | FEATURE_SMMPM | FEATURE_SMNPM | FEATURE_SSNPM | FEATURE_ZICFILP


cdef inline bint is_more(const Hart* hart) noexcept nogil:
    """Whether the mode that Cpu.key has still, or the one at hand, is more than its privilege: of a guest, with landing
    pads, or with masked addresses.
    """
    cdef const RiscvState* state = hart.state
    if not state.features & WITH_MORE:
        return False
    return (
        hart.cpu.key & (MODE_VIRTUAL | MODE_LANDING_PADS) != 0 or state.virtual
        or hart.cpu.ignored_bits != 0 or (state.menvcfg | state.senvcfg) & (MENVCFG_LPE | MENVCFG_PMM) != 0
        or state.mseccfg & (MSECCFG_MLPE | MSECCFG_PMM) != 0
        or hart.spaces[hart.space].guest != 0 or state.mstatus & MSTATUS_MPRV != 0
    )


cdef inline int data_bank(int privilege, uint64_t status) noexcept nogil:
    """Of loads and stores of this privilege, in the world of this status."""
    if privilege == MACHINE:
        return BANK_M
    if privilege == USER:
        return BANK_U
    return BANK_S_SUM if status & MSTATUS_SUM else BANK_S


cdef inline int data_privilege(const Hart* hart) noexcept nogil:
    """Of loads and stores."""
    if hart.state.mstatus & MSTATUS_MPRV:
        return <int>(hart.state.mstatus >> MSTATUS_MPP_SHIFT) & 3
    return hart.state.privilege


cdef uint64_t envcfg_refusal(Hart* hart, uint64_t field) noexcept nogil:
    """The exception of an instruction for which menvcfg, henvcfg and senvcfg, those that are about the mode at hand, do
    not all have a bit of the field set; it is at the same bits in all. 0: they have.
    """
    if hart.state.privilege == MACHINE:
        return 0
    if not hart.state.menvcfg & field:
        return ILLEGAL_INSTRUCTION
    cdef bint allowed = hart.state.privilege != USER or hart.state.senvcfg & field != 0
    if hart.state.virtual:
        return 0 if allowed and hart.state.henvcfg & field else VIRTUAL_INSTRUCTION
    return 0 if allowed else ILLEGAL_INSTRUCTION


cdef inline uint64_t float_of_guest(uint64_t own, uint64_t hosts) noexcept nogil:
    """What is off for either is off, and only what is dirty for both is dirty."""
    if not own or not hosts:
        return 0
    return own if hosts == MSTATUS_FS_DIRTY else MSTATUS_FS_CLEAN


cdef inline bint has_landing_pads(const Hart* hart) noexcept nogil:
    """LPE of the mode at hand."""
    if hart.state.privilege == MACHINE:
        return hart.state.mseccfg & MSECCFG_MLPE != 0
    if hart.state.privilege == USER:
        return hart.state.senvcfg & SENVCFG_LPE != 0
    return (hart.state.henvcfg if hart.state.virtual else hart.state.menvcfg) & MENVCFG_LPE != 0


cdef void update_mode(Hart* hart) noexcept nogil:
    """Recompute Cpu.key and the TLB banks; after a change of privilege, mstatus, frm, satp or envcfg."""
    cdef uint64_t mode = 0
    cdef uint64_t fs = hart.state.mstatus & MSTATUS_FS
    if has_guests(hart):
        enter_space(hart)
        if hart.state.virtual:
            mode |= MODE_VIRTUAL
            fs = float_of_guest(fs, hart.state.vsstatus & MSTATUS_FS)
    if has_masking(hart):
        update_masking(hart, data_privilege(hart))
    if fs:
        mode |= MODE_FP_ON
    if fs == MSTATUS_FS_DIRTY:
        mode |= MODE_FP_DIRTY
    if hart.state.frm == RNE:
        mode |= MODE_FP_NEAREST
    if host_rounds(hart.state.frm):
        mode |= MODE_FP_ROUNDS
    if hart.state.features & FEATURE_ZICFILP and has_landing_pads(hart):
        mode |= MODE_LANDING_PADS | (MODE_EXPECTS_LANDING if hart.state.expects_landing else 0)
    hart.cpu.key = mode
    update_banks(hart, guest_status(hart) if data_is_of_guest(hart) else hart.state.mstatus)
    update_shape(hart)


cdef inline void update_banks(Hart* hart, uint64_t status) noexcept nogil:
    """What of all that follows from privilege, address space, and the status of the world that data are of. The rest
    stands in Cpu.key.
    """
    cdef Cpu* cpu = &hart.cpu
    cdef int privilege = hart.state.privilege
    cdef int bank = data_bank(data_privilege(hart), status)
    cpu.key = cpu.key & MODE_MASK & ~<uint64_t>(MODE_PRIVILEGE | MODE_BANK) | privilege | bank << MODE_BANK_SHIFT
    update_generation(hart)
    cpu.may_zero_blocks = not envcfg_refusal(hart, MENVCFG_CBZE)
    cpu.tlb = cpu.banks + bank_of(hart, bank) * BANK_ENTRIES
    bank = BANK_M if privilege == MACHINE else BANK_S if privilege == SUPERVISOR else BANK_U
    cpu.fetch_tlb = cpu.banks + bank_of(hart, bank) * BANK_ENTRIES


cdef inline void update_privilege(Hart* hart) noexcept nogil:
    """`update_mode` after a change of privilege or satp and of nothing else."""
    if is_more(hart):
        update_mode(hart)
    else:
        update_banks(hart, hart.state.mstatus)


cdef void satp_changed(Hart* hart) noexcept nogil:
    enter_space(hart)
    update_privilege(hart)


cdef int data_bank_of(uint64_t mode) noexcept nogil:
    """The TLB bank of data accesses in this mode."""
    return <int>(mode & MODE_BANK) >> MODE_BANK_SHIFT


cdef uint64_t address_space(Cpu* cpu) noexcept nogil:
    """satp: the number of the address space, and where its page table is."""
    return hart_of(cpu).state.satp


cdef bint uses_float(uint64_t mode) noexcept nogil:
    """Whether code of this mode may use floating-point registers."""
    return mode & MODE_FP_ON != 0


# --- Traps -----------------------------------------------------------------------------------------------------------

cdef void take_trap(Cpu* cpu) noexcept nogil:
    """Take the exception cpu.trap_cause at cpu.state.pc."""
    cdef Hart* hart = hart_of(cpu)
    if hart.state.privilege != MACHINE and hart.state.medeleg >> cpu.trap_cause & 1:
        if has_guests(hart) and not guest_takes(hart, cpu.trap_cause):
            inform_host(hart, cpu.trap_cause)
        enter_supervisor(hart, cpu.trap_cause, cpu.trap_value)
    elif hart.state.sbi:
        cpu.stop = STOP_UNHANDLED
    else:
        enter_machine(hart, cpu.trap_cause, cpu.trap_value)
    follow_mode(hart, 0)


cdef void enter_supervisor(Hart* hart, uint64_t cause, uint64_t value) noexcept nogil:
    """Of the world at hand."""
    cdef uint64_t status = hart.state.mstatus
    hart.state.sepc = hart.cpu.state.pc
    hart.state.scause = cause
    hart.state.stval = value
    status &= ~(MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_SIE | MSTATUS_SPELP)
    if hart.state.expects_landing:
        status |= MSTATUS_SPELP
        hart.state.expects_landing = False
    if hart.state.mstatus & MSTATUS_SIE:
        status |= MSTATUS_SPIE
    if hart.state.privilege == SUPERVISOR:
        status |= MSTATUS_SPP
    hart.state.mstatus = status
    hart.state.privilege = SUPERVISOR
    hart.cpu.state.pc = vector(hart.state.stvec, cause)
    update_privilege(hart)


cdef void enter_machine(Hart* hart, uint64_t cause, uint64_t value) noexcept nogil:
    cdef uint64_t status
    if has_guests(hart):
        inform_machine(hart, cause)
    status = hart.state.mstatus
    hart.state.mepc = hart.cpu.state.pc
    hart.state.mcause = cause
    hart.state.mtval = value
    status &= ~(MSTATUS_MPIE | MSTATUS_MPP | MSTATUS_MIE | MSTATUS_MPELP)
    if hart.state.expects_landing:
        status |= MSTATUS_MPELP
        hart.state.expects_landing = False
    if hart.state.mstatus & MSTATUS_MIE:
        status |= MSTATUS_MPIE
    status |= <uint64_t>hart.state.privilege << MSTATUS_MPP_SHIFT
    hart.state.mstatus = status
    hart.state.privilege = MACHINE
    hart.cpu.state.pc = vector(hart.state.mtvec, cause)
    update_privilege(hart)


cdef inline uint64_t vector(uint64_t tvec, uint64_t cause) noexcept nogil:
    cdef uint64_t base = tvec & MTVEC_BASE
    return base + 4 * (cause & MCAUSE_CODE) if tvec & MTVEC_MODE_VECTORED and cause & MCAUSE_INTERRUPT else base


cdef void look_for_interrupts(Hart* hart) noexcept nogil:
    """One that is pending may be enabled now."""
    if may_interrupt(hart):
        hart.cpu.attention = True


cdef void return_from_machine(Hart* hart) noexcept nogil:
    """mret: pc, privilege and mstatus."""
    cdef uint64_t status = hart.state.mstatus
    cdef uint64_t previous = status >> MSTATUS_MPP_SHIFT & 3
    cdef bint to_guest = status & MSTATUS_MPV != 0 and previous != MACHINE
    cdef bint expected = status & MSTATUS_MPELP != 0
    status &= ~(MSTATUS_MIE | MSTATUS_MPP | MSTATUS_MPV | MSTATUS_MPELP)
    if status & MSTATUS_MPIE:
        status |= MSTATUS_MIE
    if previous != MACHINE:
        status &= ~MSTATUS_MPRV
    hart.state.mstatus = status | MSTATUS_MPIE
    hart.state.privilege = <int>previous
    hart.cpu.state.pc = hart.state.mepc
    if to_guest:
        exchange_worlds(hart)
    if is_more(hart):
        hart.state.expects_landing = expected and has_landing_pads(hart)
    follow_mode(hart, 1)
    look_for_interrupts(hart)
    update_privilege(hart)


cdef void return_from_supervisor(Hart* hart) noexcept nogil:
    """sret."""
    cdef uint64_t status = hart.state.mstatus
    cdef bint expected = status & MSTATUS_SPELP != 0
    hart.state.privilege = SUPERVISOR if status & MSTATUS_SPP else USER
    status &= ~(MSTATUS_SIE | MSTATUS_SPP | MSTATUS_MPRV | MSTATUS_SPELP)
    if status & MSTATUS_SPIE:
        status |= MSTATUS_SIE
    hart.state.mstatus = status | MSTATUS_SPIE
    hart.cpu.state.pc = hart.state.sepc
    if hart.state.hstatus & HSTATUS_SPV and not hart.state.virtual:
        hart.state.hstatus &= ~HSTATUS_SPV
        exchange_worlds(hart)
    if is_more(hart):
        hart.state.expects_landing = expected and has_landing_pads(hart)
    follow_mode(hart, 1)
    look_for_interrupts(hart)
    update_privilege(hart)


# --- Interrupts ------------------------------------------------------------------------------------------------------

cdef void set_interrupts(Cpu* cpu, uint64_t bits, bint level) noexcept nogil:
    """SSIP is a bit of mip that software may clear; the others are lines that are driven from outside."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint64_t software = bits & MIP_SSIP
    cdef uint64_t lines = bits & ~software
    if level:
        hart.state.mip |= software
        hart.state.lines |= lines
    else:
        hart.state.mip &= ~software
        hart.state.lines &= ~lines


cdef void attend(Cpu* cpu) noexcept nogil:
    """Whatever is to be done before the next block: an interrupt may be due, and one that is taken may be counted."""
    cdef Hart* hart = hart_of(cpu)
    if hart.state.armed_counters:
        look_for_overflows(hart, 0)
    take_interrupt(cpu)
    while cpu.attention and cpu.stop == STOP_NONE:
        take_interrupt(cpu)
    if hart.state.armed_counters:
        cut_slice(hart)


cdef void take_interrupt(Cpu* cpu) noexcept nogil:
    """Take the interrupt of highest priority that is pending and enabled, if there is one."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint64_t pending = pending_interrupts(hart) & hart.state.mie
    cdef uint64_t takes, top, cause, pc = cpu.state.pc, key = cpu.key
    cdef int privilege = hart.state.privilege
    cpu.attention = False
    if not pending and not is_injected(hart):
        return
    takes = pending & ~hart.state.mideleg
    if takes and (privilege < MACHINE or hart.state.mstatus & MSTATUS_MIE) and not hart.state.sbi:
        cause = MCAUSE_INTERRUPT | <uint64_t>highest(takes)
        enter_machine(hart, cause, 0)
    else:
        takes = pending & hart.state.mideleg & ~hart.state.hideleg
        if hart.state.virtual and takes:
            cause = MCAUSE_INTERRUPT | <uint64_t>highest(takes)
            inform_host(hart, cause)
        else:
            # What a host delegates is its guest's: for itself there is no such interrupt.
            top = top_for_guest(hart) if hart.state.virtual else top_for_supervisor(hart)
            if not top or privilege > SUPERVISOR or privilege == SUPERVISOR and not hart.state.mstatus & MSTATUS_SIE:
                return
            cause = MCAUSE_INTERRUPT | identity_of(top)
            if has_guests(hart) and not hart.state.virtual:
                inform_host(hart, cause)
        enter_supervisor(hart, cause, 0)
    hart.state.interrupts += 1
    follow_mode(hart, 0)
    if cpu.machine.probes.recorder_count:
        record_trap(cpu, pc, key, cause, 0, False)
    if is_wanted(cpu.machine, EVENT_TRAP):
        tell_all(cpu, EVENT_TRAP, pc, cause, 0, 0, 0)


# --- Timers ----------------------------------------------------------------------------------------------------------

cdef inline bint compares_supervisor_time(Hart* hart) noexcept nogil:
    """With Sstc switched on; or without it, where the machine's own firmware keeps the timer in stimecmp."""
    return hart.state.sbi or hart.state.menvcfg & MENVCFG_STCE != 0


cdef inline bint compares_guest_time(Hart* hart) noexcept nogil:
    return hart.state.henvcfg & hart.state.menvcfg & HENVCFG_STCE != 0


cdef void poll(Cpu* cpu) noexcept nogil:
    """Bring MTIP and (with Sstc) STIP and VSTIP up to date with the timebase, LCOFIP with counters."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint64_t now = timeline_ticks(cpu.machine.timeline, machine_steps(cpu))
    if hart.state.armed_counters:
        look_for_overflows(hart, 0)
        cpu.attention = True            # the slice that begins may be too long
    cdef uint64_t lines = hart.state.lines & ~(MIP_MTIP | MIP_STIP | MIP_VSTIP)
    if compares_guest_time(hart) and now + hart.state.htimedelta >= hart.state.vstimecmp:
        lines |= MIP_VSTIP
    if now >= hart.state.mtimecmp:
        lines |= MIP_MTIP
    if compares_supervisor_time(hart) and now >= hart.state.stimecmp:
        lines |= MIP_STIP
    if lines != hart.state.lines:
        hart.state.lines = lines
        cpu.attention = True


cdef void timers_changed(Hart* hart) noexcept nogil:
    """A compare register, its enable or the timebase changed: the slice may have to end earlier."""
    poll(&hart.cpu)
    if hart.cpu.stop == STOP_NONE:
        hart.cpu.stop = STOP_RESCHEDULE


cdef void set_timer(Cpu* cpu, uint64_t ticks) noexcept nogil:
    """mtimecmp, which is the CLINT's: MTIP follows."""
    hart_of(cpu).state.mtimecmp = ticks
    poll(cpu)


cdef uint64_t deadline_ns(Cpu* cpu) noexcept nogil:
    """When the next enabled timer runs out, in guest nanoseconds; NEVER if none is to come."""
    cdef Hart* hart = hart_of(cpu)
    cdef uint64_t deadline = NEVER, other
    if hart.state.mie & MIE_MTIE and not hart.state.lines & MIP_MTIP:
        deadline = ns_of_ticks(cpu.machine.timeline, hart.state.mtimecmp)
    if hart.state.mie & MIE_STIE and compares_supervisor_time(hart) and not hart.state.lines & MIP_STIP:
        other = ns_of_ticks(cpu.machine.timeline, hart.state.stimecmp)
        deadline = min(deadline, other)
    if hart.state.mie & MIE_VSTIE and compares_guest_time(hart) and not hart.state.lines & MIP_VSTIP:
        deadline = min(deadline, guest_deadline_ns(hart))
    return deadline


cdef uint64_t guest_deadline_ns(Hart* hart) noexcept nogil:
    """When vstimecmp will have been reached."""
    cdef Timeline* timeline = hart.cpu.machine.timeline
    cdef uint64_t now = timeline_ticks(timeline, steps_of(timeline))
    cdef uint64_t then = now + hart.state.htimedelta
    if then >= hart.state.vstimecmp:
        return 0
    return ns_of_ticks(timeline, now + min(hart.state.vstimecmp - then, NEVER - now))


cdef bint runnable(Cpu* cpu) noexcept nogil:
    """Whether the hart has anything to do; ends its waiting if an enabled interrupt is pending."""
    cdef Hart* hart = hart_of(cpu)
    if hart.state.stopped:
        return False
    if hart.state.waiting and may_interrupt(hart):
        hart.state.waiting = NOT_WAITING
    return hart.state.waiting == NOT_WAITING
