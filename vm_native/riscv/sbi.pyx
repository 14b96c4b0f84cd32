"""The supervisor calls that a kernel makes all the time: timer, inter-processor interrupts, remote fences.

RISC-V SBI specification 3.0, chapters 5 (legacy), 6 (TIME), 7 (IPI) and 8 (RFENCE). The rest is served in Python, by
vm/firmware/sbi.py, after the run loop has come back with STOP_FIRMWARE. And the counters, which every kernel reads and
not every hart has. What firmware counts of itself (chapter 11, "Firmware events") is counted here.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from vm_native.clock cimport timeline_ticks
from vm_native.machine cimport (
    CONTINUE, STOP_FIRMWARE, TRAP, Cpu, fence, interrupt, lock_code, machine_steps, unlock_code,
)
from vm_native.memory.access cimport copy_bytes
from vm_native.memory.bus cimport ram_at
from vm_native.memory.ram cimport PAGE_OFFSET, PAGE_SIZE, RamRegion
from vm_native.memory.tlb cimport READ
from vm_native.riscv.constants cimport (
    CSR_CYCLE, CSR_INSTRET, CSR_MCYCLE, CSR_MINSTRET, CSR_TIME, MIP_SSIP, SBI_ERR_INVALID_PARAM,
    SBI_ERR_NOT_SUPPORTED, SBI_ERR_SUCCESS, SBI_EVENT_FENCE_I_SENT, SBI_EVENT_HFENCE_GVMA_SENT,
    SBI_EVENT_HFENCE_GVMA_VMID_SENT, SBI_EVENT_HFENCE_VVMA_ASID_SENT, SBI_EVENT_HFENCE_VVMA_SENT,
    SBI_EVENT_ILLEGAL_INSN, SBI_EVENT_IPI_SENT, SBI_EVENT_SET_TIMER, SBI_EVENT_SFENCE_VMA_ASID_SENT,
    SBI_EVENT_SFENCE_VMA_SENT, SBI_IPI, SBI_LEGACY_CLEAR_IPI, SBI_LEGACY_FENCE_I, SBI_LEGACY_SEND_IPI,
    SBI_LEGACY_SET_TIMER, SBI_LEGACY_SFENCE_VMA_ASID, SBI_RFENCE, SBI_TIME,
)
from vm_native.riscv.csr cimport csr_read
from vm_native.riscv.mmu cimport translate_address
from vm_native.riscv.privilege cimport timers_changed
from vm_native.riscv.state cimport Hart, hart_of
from vm_native.riscv.worlds cimport has_guests
from vm_native.unlocked cimport add_to

cdef enum:
    A0 = 10
    A1 = 11
    A2 = 12
    A3 = 13
    A6 = 16
    A7 = 17

cdef enum:                  # RFENCE functions
    REMOTE_FENCE_I = 0
    REMOTE_SFENCE_VMA_ASID = 2
    REMOTE_HFENCE_VVMA = 6      # the last of four about guests
    FENCES = 7

# What each of them is to who sends it; that it was received has the number behind
cdef int[FENCES] FENCE_SENT = [
    SBI_EVENT_FENCE_I_SENT, SBI_EVENT_SFENCE_VMA_SENT, SBI_EVENT_SFENCE_VMA_ASID_SENT, SBI_EVENT_HFENCE_GVMA_VMID_SENT,
    SBI_EVENT_HFENCE_GVMA_SENT, SBI_EVENT_HFENCE_VVMA_ASID_SENT, SBI_EVENT_HFENCE_VVMA_SENT,
]
cdef uint64_t ALL = <uint64_t>-1


cdef int serve_call(Cpu* cpu) noexcept nogil:
    """Serve the call in a7 and a6, or leave it to Python."""
    cdef uint64_t* x = cpu.state.regs
    cdef uint64_t extension = x[A7]
    cdef uint64_t function = x[A6]
    if extension == SBI_TIME or extension == SBI_LEGACY_SET_TIMER:
        if extension == SBI_TIME and function != 0:
            answer(cpu, SBI_ERR_NOT_SUPPORTED)
            return CONTINUE
        set_timer(hart_of(cpu), x[A0])
        x[A0] = 0
        if extension == SBI_TIME:
            x[A1] = 0
    elif extension == SBI_IPI:
        answer(cpu, send_ipi(cpu, x[A0], x[A1]) if function == 0 else SBI_ERR_NOT_SUPPORTED)
    elif extension == SBI_RFENCE:
        answer(cpu, remote_fence(cpu, function, x[A0], x[A1], x[A2], x[A3]))
    elif SBI_LEGACY_CLEAR_IPI <= extension <= SBI_LEGACY_SFENCE_VMA_ASID:
        return serve_legacy(cpu, extension)
    else:
        cpu.stop = STOP_FIRMWARE
    return CONTINUE


cdef void answer(Cpu* cpu, int64_t error) noexcept nogil:
    cpu.state.regs[A0] = <uint64_t>error
    cpu.state.regs[A1] = 0


cdef void note_sent(Cpu* cpu, int hart, int event) noexcept nogil:
    """What is sent to another hart is received there at once."""
    if hart != cpu.number:
        hart_of(cpu).state.firmware_events[event] += 1
        add_to(&hart_of(cpu.machine.cpus[hart]).state.firmware_events[event + 1], 1)


cdef void set_timer(Hart* hart, uint64_t deadline) noexcept nogil:
    """With or without Sstc, stimecmp is what the hart compares; STCE is on wherever the machine is the firmware."""
    hart.state.firmware_events[<int>SBI_EVENT_SET_TIMER] += 1
    hart.state.stimecmp = deadline
    timers_changed(hart)


cdef bint selects(uint64_t mask, uint64_t base, uint64_t hart_id) noexcept nogil:
    return base == ALL or hart_id - base < 64 and mask >> (hart_id - base) & 1


cdef int64_t check_mask(Cpu* cpu, uint64_t mask, uint64_t base) noexcept nogil:
    """Every selected hart must exist."""
    cdef uint64_t count = cpu.machine.cpu_count
    if base == ALL or mask == 0:
        return SBI_ERR_SUCCESS
    if base >= count or count - base < 64 and mask >> (count - base):
        return SBI_ERR_INVALID_PARAM
    return SBI_ERR_SUCCESS


cdef int64_t send_ipi(Cpu* cpu, uint64_t mask, uint64_t base) noexcept nogil:
    cdef int i
    if check_mask(cpu, mask, base) != SBI_ERR_SUCCESS:
        return SBI_ERR_INVALID_PARAM
    for i in range(cpu.machine.cpu_count):
        if selects(mask, base, i):
            note_sent(cpu, i, SBI_EVENT_IPI_SENT)
            interrupt(cpu.machine, i, MIP_SSIP, True)
    return SBI_ERR_SUCCESS


cdef int64_t remote_fence(
    Cpu* cpu, uint64_t function, uint64_t mask, uint64_t base, uint64_t start, uint64_t size
) noexcept nogil:
    cdef int i
    if function > (REMOTE_HFENCE_VVMA if has_guests(hart_of(cpu)) else REMOTE_SFENCE_VMA_ASID):
        return SBI_ERR_NOT_SUPPORTED
    if function > REMOTE_SFENCE_VMA_ASID:
        start = size = 0                            # addresses of guests: everything goes
    if check_mask(cpu, mask, base) != SBI_ERR_SUCCESS:
        return SBI_ERR_INVALID_PARAM
    lock_code(cpu.machine)              # where harts have threads they stop once for all
    for i in range(cpu.machine.cpu_count):
        if selects(mask, base, i):
            note_sent(cpu, i, FENCE_SENT[function])
            if function != REMOTE_FENCE_I:          # stores into code are noticed when they happen
                fence(cpu.machine, i, start, size)
    unlock_code(cpu.machine)
    return SBI_ERR_SUCCESS


cdef int read_word(Cpu* cpu, uint64_t address, uint64_t* word) noexcept nogil:
    """Eight bytes at a virtual address, that may lie on two pages."""
    cdef uint64_t physical, done = 0, size = min(<uint64_t>8, PAGE_SIZE - (address & PAGE_OFFSET))
    cdef RamRegion* region
    cdef int status
    while done < 8:
        status = translate_address(cpu, address + done, READ, size, &physical)
        if status != CONTINUE:
            return status
        region = ram_at(cpu.machine.map, physical, size)
        if region == NULL:
            cpu.trap_cause = cpu.front_end.access_fault[READ]
            cpu.trap_value = address + done
            return TRAP
        copy_bytes(<uint8_t*>word + done, region.host + (physical - region.base), size)
        done += size
        size = 8 - done
    return CONTINUE


cdef int serve_legacy(Cpu* cpu, uint64_t extension) noexcept nogil:
    """The mask of a legacy call is a word in memory, at a virtual address; a bad pointer traps as the call's load."""
    cdef uint64_t mask = ALL, function
    cdef int status
    if extension == SBI_LEGACY_CLEAR_IPI:
        hart_of(cpu).state.mip &= ~MIP_SSIP
        cpu.state.regs[A0] = 0
        return CONTINUE
    if cpu.state.regs[A0]:
        status = read_word(cpu, cpu.state.regs[A0], &mask)
        if status != CONTINUE:
            return status
    if extension == SBI_LEGACY_SEND_IPI:
        send_ipi(cpu, mask, ALL if mask == ALL else 0)
    else:
        function = extension - SBI_LEGACY_FENCE_I       # in the same order
        remote_fence(cpu, function, mask, ALL if mask == ALL else 0, cpu.state.regs[A1], cpu.state.regs[A2])
    cpu.state.regs[A0] = 0
    return CONTINUE


# --- Emulation -------------------------------------------------------------------------------------------------------

cdef bint emulate_counter(Cpu* cpu, int number, uint64_t* value) noexcept nogil:
    """Read a counter of Zicntr for a hart that has none, as firmware does when the instruction traps; else False."""
    cdef bint known = number == CSR_TIME or number == CSR_CYCLE or number == CSR_INSTRET
    if not known or not hart_of(cpu).state.sbi:
        return False
    hart_of(cpu).state.firmware_events[<int>SBI_EVENT_ILLEGAL_INSN] += 1
    if number == CSR_TIME:
        value[0] = timeline_ticks(cpu.machine.timeline, machine_steps(cpu))
        if hart_of(cpu).state.virtual:
            value[0] += hart_of(cpu).state.htimedelta
        return True
    return csr_read(hart_of(cpu), CSR_MCYCLE if number == CSR_CYCLE else CSR_MINSTRET, value)
