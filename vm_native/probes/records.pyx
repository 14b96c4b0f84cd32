"""What happens is written down where it happens, a million times a second and more, without Python.

Translations have probes in them for that, uops that call the functions here (vm_native/probes/instrument.pyx). A
recorder writes into a buffer; where that is full, the run stops with STOP_FULL before anything is lost, unless the
oldest records may be overwritten. Or it counts in a table of blocks that were left to others, or in a map of bytes.

A basic block begins where a branch, a jump, a trap or a return from one leads to. So it does not depend on how an
engine divides code and time. An instruction that is repeated (it had to wait for something) is written down once; an
access that traps, and so does not happen, is not.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from vm_native.ir.block cimport Block, Uop, UopInfo, block_of, info_of
from vm_native.machine cimport (
    CONTINUE, EVENT_BLOCK, INSTRUMENT_BLOCKS, NO_BRANCH, NOWHERE, RECORD_ACCESSES, RECORD_BLOCKS, RECORD_BRANCHES,
    RECORD_EDGES, RECORD_MMIO, RECORD_STEPS, RECORD_TRAPS, RECORD_VISITS, RETRY, STOP_FULL, STOP_NONE, Cpu, Machine,
    Probes, Record, Recorder, Visit, ask_to_stop, machine_steps, privilege_of, store_position,
)
from vm_native.probes.hooks cimport is_in_space, is_wanted, tell_all, told_before
from vm_native.probes.visits cimport count_visit, visit_of


# --- Writing ---------------------------------------------------------------------------------------------------------

cdef inline bint was_about(const Recorder* recorder, Cpu* cpu, uint64_t pc, int privilege) noexcept nogil:
    """The same of before a trap, which changes the privilege and no address space."""
    return recorder.everything or (
        pc - recorder.base < recorder.end - recorder.base
        and recorder.scope.privileges >> privilege & 1 and is_in_space(&recorder.scope, cpu)
    )


cdef inline Record record_at(Cpu* cpu, uint64_t pc) noexcept nogil:
    """Of the hart's present step."""
    return Record(pc, machine_steps(cpu), 0, <uint8_t>cpu.number, <uint8_t>privilege_of(cpu, cpu.key), 0, 0, 0, 0)


cdef inline bint is_undone(const Recorder* recorder, Cpu* cpu, uint64_t step) noexcept nogil:
    """Whether the last record is of an instruction of this hart that is, or was, the one of this step."""
    return recorder.last != NULL and recorder.last.step == step and recorder.last.hart == cpu.number


cdef inline void append(Cpu* cpu, Recorder* recorder, const Record* record) noexcept nogil:
    if recorder.next + recorder.record_bytes > recorder.room:
        if not recorder.ring:
            recorder.dropped += 1           # more in one instruction than there is slack for: it is counted
            return
        recorder.next = recorder.start
        recorder.laps += 1
    memcpy(recorder.next, record, recorder.record_bytes)
    recorder.last = <Record*>recorder.next
    recorder.next += recorder.record_bytes
    if recorder.next >= recorder.limit and not recorder.ring:
        recorder.full = True
        ask_to_stop(cpu, STOP_FULL)


cdef inline int outcome(Cpu* cpu) noexcept nogil:
    """Of a probe: it is repeated where the run stops first, and finds what it has written."""
    return RETRY if cpu.stop != STOP_NONE else CONTINUE


# --- Blocks ----------------------------------------------------------------------------------------------------------

cdef int probe_block(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    """A translated block begins here, and a basic block where one has ended before."""
    cdef Probes* probes = &cpu.machine.probes
    cdef Recorder* recorder
    cdef Record record
    cdef int i
    if cpu.transfer == NOWHERE:
        return note_middle(cpu, uop, budget)
    store_position(cpu, uop, budget)
    if is_wanted(cpu.machine, EVENT_BLOCK) and not told_before(cpu, EVENT_BLOCK):
        tell_all(cpu, EVENT_BLOCK, cpu.state.pc, 0, 0, 0, 0)
        return RETRY
    if not probes.silent:
        leave_block(cpu, privilege_of(cpu, cpu.key), machine_steps(cpu))
        cpu.block_wanted = 0
        for i in range(probes.recorder_count):
            recorder = probes.recorders[i]
            if not is_about(recorder, cpu, cpu.state.pc):
                continue
            cpu.block_wanted |= 1 << i
            if recorder.kind == RECORD_BLOCKS:
                record = record_at(cpu, cpu.state.pc)
                append(cpu, recorder, &record)
    cpu.transfer, cpu.transfer_step = NOWHERE, 0
    cpu.block_pc = NOWHERE if probes.noting else cpu.state.pc
    return outcome(cpu)


cdef int note_middle(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    """No basic block begins with this one. Code that was compiled for one that does is given up."""
    cdef Block* block = block_of(uop)
    cdef bint known = block.in_middle or block.entry == NULL
    block.in_middle = True
    if known:
        return CONTINUE
    cpu.machine.compiler.discard(cpu.machine.compiler, block)
    store_position(cpu, uop, budget)
    return RETRY


cdef void leave_block(Cpu* cpu, int privilege, uint64_t step) noexcept nogil:
    """The hart, whose position is exact, has come to another block, in this privilege and at this step."""
    cdef Probes* probes = &cpu.machine.probes
    cdef Recorder* recorder
    cdef int i
    for i in range(probes.recorder_count):
        recorder = probes.recorders[i]
        if recorder.kind == RECORD_BRANCHES:
            record_branch(cpu, recorder, privilege, step)
        elif recorder.kind == RECORD_VISITS:
            if cpu.block_wanted >> i & 1:
                count_visit(recorder, visit_of(cpu, cpu.state.pc))
        elif recorder.kind == RECORD_EDGES:
            count_edge(cpu, recorder, &cpu.edges_before[i], privilege)


cdef void record_branch(Cpu* cpu, Recorder* recorder, int privilege, uint64_t step) noexcept nogil:
    """The instruction before was a branch or a jump that led here."""
    cdef Record record
    if cpu.transfer & NO_BRANCH or not was_about(recorder, cpu, cpu.transfer, privilege):
        return
    record = record_at(cpu, cpu.transfer)
    record.privilege = <uint8_t>privilege
    record.step = (cpu.transfer_step or step) - 1
    record.detail = cpu.state.pc != cpu.transfer + cpu.transfer_length
    record.address = cpu.state.pc
    append(cpu, recorder, &record)


cdef int probe_end(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    """A branch or a jump comes next."""
    cdef UopInfo* info = info_of(uop)
    cpu.transfer = block_of(uop).key.pc + info.pc_offset
    cpu.transfer_length = info.length
    return CONTINUE


cdef int probe_exit(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    """An instruction comes next that may lead elsewhere than behind it."""
    cdef UopInfo* info = info_of(uop)
    cpu.sequel = block_of(uop).key.pc + info.pc_offset + info.length
    cpu.sequel_privilege = privilege_of(cpu, cpu.key)
    cpu.transfer = block_of(uop).key.pc + info.pc_offset | NO_BRANCH
    cpu.transfer_length = info.length
    return CONTINUE


cdef void stay_in_block(Cpu* cpu) noexcept nogil:
    """The branch or jump at hand traps."""
    cpu.transfer = NOWHERE


cdef void come_back(Cpu* cpu) noexcept nogil:
    """Of an instruction that might have led elsewhere: it did not, or it is repeated."""
    if privilege_of(cpu, cpu.key) == cpu.sequel_privilege and (
        cpu.state.pc == cpu.sequel or cpu.state.pc == cpu.transfer & ~<uint64_t>NO_BRANCH
    ):
        cpu.transfer = NOWHERE
    cpu.sequel = NOWHERE


cdef void cut_block(Cpu* cpu) noexcept nogil:
    """Count the block that the hart was in when its last slice ended, as far as it came: another begins here for those
    that count blocks.
    """
    cdef Probes* probes = &cpu.machine.probes
    cdef int i
    if cpu.transfer == NOWHERE and cpu.block_pc == cpu.left_pc:
        return
    for i in range(probes.recorder_count):
        if probes.recorders[i].kind == RECORD_VISITS and cpu.block_wanted >> i & 1:
            count_visit(probes.recorders[i], visit_of(cpu, cpu.left_pc))
    cpu.block_pc = cpu.left_pc if cpu.transfer == NOWHERE else NOWHERE


cdef Visit open_visit(const Recorder* recorder, Cpu* cpu) noexcept nogil:
    """Of the block that the hart is in now, between two slices; it starts NOWHERE if that does not count."""
    cdef Visit none
    cdef int i
    for i in range(cpu.machine.probes.recorder_count):
        if cpu.machine.probes.recorders[i] == recorder and cpu.block_wanted >> i & 1:
            return visit_of(cpu, cpu.left_pc)
    none.start = NOWHERE
    return none


cdef void count_edge(Cpu* cpu, Recorder* recorder, uint64_t* before, int privilege) noexcept nogil:
    """In the map that AFL knows: a byte for a hash of this block and the one before."""
    cdef uint64_t here = place_in_map(cpu.state.pc, recorder.map_bits)
    if was_about(recorder, cpu, cpu.state.pc, privilege):
        recorder.start[here ^ before[0]] += 1
    before[0] = here >> 1


# --- Instructions ----------------------------------------------------------------------------------------------------

cdef int probe_step(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    """An instruction comes next; the probe has the word of it, and the slot that it writes or NO_SLOT."""
    cdef Probes* probes = &cpu.machine.probes
    cdef Recorder* recorder
    cdef Record record
    cdef int i
    store_position(cpu, uop, budget)
    if probes.silent:
        return CONTINUE
    for i in range(probes.recorder_count):
        recorder = probes.recorders[i]
        if recorder.kind != RECORD_STEPS:
            continue
        if recorder.unfinished:
            complete(cpu, recorder)
        if not is_about(recorder, cpu, cpu.state.pc):
            continue
        record = record_at(cpu, cpu.state.pc)
        record.word = <uint32_t>uop.imm
        record.detail = uop.rd
        append(cpu, recorder, &record)
        recorder.unfinished = uop.rd != NO_SLOT
    return outcome(cpu)


cdef int probe_access(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    """An access to memory comes next: to rs1 + imm, a store of rs2. The second cell says which slot it writes, how many
    bytes it is of, and what it does to them.
    """
    cdef Probes* probes = &cpu.machine.probes
    cdef Recorder* recorder
    cdef Record record
    cdef int i
    store_position(cpu, uop, budget)
    if probes.silent:
        return CONTINUE
    for i in range(probes.recorder_count):
        recorder = probes.recorders[i]
        if recorder.kind != RECORD_ACCESSES:
            continue
        if not is_about(recorder, cpu, cpu.state.pc):
            continue
        record = record_at(cpu, cpu.state.pc)
        record.address = cpu.state.regs[uop.rs1] + <uint64_t><int64_t>uop.imm
        record.detail = uop[1].rs1
        record.access = uop[1].rs2
        record.value = low_bytes(cpu.state.regs[uop.rs2], record.detail)
        append(cpu, recorder, &record)
        recorder.slot = uop[1].rd
        recorder.unfinished = record.access != RECORDED_WRITE
    return outcome(cpu)


cdef int probe_loaded(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    """The access has been done."""
    cdef Probes* probes = &cpu.machine.probes
    cdef int i
    for i in range(probes.recorder_count):
        if probes.recorders[i].kind == RECORD_ACCESSES and probes.recorders[i].unfinished:
            complete(cpu, probes.recorders[i])
    return CONTINUE


cdef inline uint64_t low_bytes(uint64_t value, int size) noexcept nogil:
    return value & (1ULL << 8 * size) - 1 if size < 8 else value


cdef void complete(Cpu* cpu, Recorder* recorder) noexcept nogil:
    """With what the instruction has written to its register."""
    cdef Record* record = recorder.last
    cdef uint64_t written
    recorder.unfinished = False
    if recorder.kind == RECORD_STEPS:
        record.value = cpu.state.regs[record.detail]
        return
    written = cpu.state.regs[recorder.slot]
    if not record.access & RECORDED_IF_DONE:
        record.value = low_bytes(written, record.detail)
    elif written:
        take_back(recorder)             # a store-conditional that has failed
    else:
        record.access = RECORDED_WRITE


cdef void take_back(Recorder* recorder) noexcept nogil:
    """The last record: what it says has not happened."""
    recorder.next = <uint8_t*>recorder.last
    recorder.last = NULL
    recorder.unfinished = False


cdef void settle_records(Cpu* cpu) noexcept nogil:
    """The hart, whose position is exact, is between two blocks or two slices: complete the last records, or take them
    back where their instruction has not been executed. One that might have led elsewhere has not, or is repeated.
    """
    cdef Recorder* recorder
    cdef int i
    if cpu.sequel != NOWHERE:
        come_back(cpu)
    for i in range(cpu.machine.probes.recorder_count):
        recorder = cpu.machine.probes.recorders[i]
        if recorder.kind != RECORD_STEPS and recorder.kind != RECORD_ACCESSES:
            continue
        if is_undone(recorder, cpu, machine_steps(cpu)):
            take_back(recorder)
        elif recorder.unfinished:
            complete(cpu, recorder)


cdef void settle_transfer(Cpu* cpu) noexcept nogil:
    """The slice ends: note when the branch was that has led here, if it was in this slice."""
    settle_records(cpu)
    if cpu.transfer != NOWHERE and cpu.budget != cpu.slice:
        cpu.transfer_step = machine_steps(cpu)
    cpu.left_pc = cpu.state.pc


cdef void begin_slice(Cpu* cpu) noexcept nogil:
    """The program may have moved the hart, and that is where a block begins."""
    if cpu.machine.probes.instruments and cpu.state.pc != cpu.left_pc:
        restart_blocks_of(cpu)


# --- Traps and devices -----------------------------------------------------------------------------------------------

cdef void record_trap(
    Cpu* cpu, uint64_t pc, uint64_t mode, uint64_t cause, uint64_t value, bint executed
) noexcept nogil:
    """A trap has been taken at pc, in this mode: of an instruction, or an interrupt before one."""
    cdef Probes* probes = &cpu.machine.probes
    cdef Recorder* recorder
    cdef Record record = record_at(cpu, pc)
    cdef uint64_t handler = cpu.state.pc
    cdef uint32_t length = 0
    cdef int i
    record.step -= executed
    record.privilege = <uint8_t>privilege_of(cpu, mode)
    record.address, record.value = cause, value
    if probes.silent:
        return
    if executed and cpu.sequel != NOWHERE:
        cpu.transfer = NOWHERE          # this very instruction was about to leave its block
        if cause < 64 and cpu.front_end.call_causes >> cause & 1:
            length = cpu.transfer_length
    if cpu.transfer != NOWHERE and probes.instruments & INSTRUMENT_BLOCKS:
        cpu.state.pc = pc               # of a block that it did not enter
        leave_block(cpu, record.privilege, record.step)
        cpu.state.pc = handler
        cpu.block_pc, cpu.block_wanted = pc, 0
        for i in range(probes.recorder_count):
            cpu.block_wanted |= <uint32_t>was_about(probes.recorders[i], cpu, pc, record.privilege) << i
    cpu.transfer, cpu.sequel, cpu.transfer_length, cpu.transfer_step = pc | NO_BRANCH, NOWHERE, length, 0
    for i in range(probes.recorder_count):
        recorder = probes.recorders[i]
        if recorder.kind == RECORD_TRAPS:
            if was_about(recorder, cpu, pc, record.privilege):
                append(cpu, recorder, &record)
        elif executed and is_undone(recorder, cpu, record.step):
            if recorder.kind == RECORD_ACCESSES:
                take_back(recorder)
            elif recorder.kind == RECORD_STEPS:
                recorder.last.access = True
                recorder.unfinished = False


cdef void record_access(Cpu* cpu, int access, uint64_t address, int size, uint64_t value) noexcept nogil:
    """The instruction at the hart's position has accessed RAM, which no probe beside it could have known."""
    cdef Recorder* recorder
    cdef Record record = record_at(cpu, cpu.state.pc)
    cdef int i
    record.address, record.value, record.detail, record.access = address, value, <uint8_t>size, <uint8_t>access
    for i in range(cpu.machine.probes.recorder_count):
        recorder = cpu.machine.probes.recorders[i]
        if recorder.kind == RECORD_ACCESSES and is_about(recorder, cpu, cpu.state.pc):
            append(cpu, recorder, &record)


cdef void record_mmio(Cpu* cpu, uint64_t pc, int access, uint64_t physical, int size, uint64_t value) noexcept nogil:
    """An instruction has accessed a device."""
    cdef Recorder* recorder
    cdef Record record = record_at(cpu, pc)
    cdef int i
    record.address, record.value, record.detail, record.access = physical, value, <uint8_t>size, <uint8_t>access
    for i in range(cpu.machine.probes.recorder_count):
        recorder = cpu.machine.probes.recorders[i]
        if recorder.kind == RECORD_MMIO and is_about(recorder, cpu, pc):
            append(cpu, recorder, &record)


# --- Beginnings ------------------------------------------------------------------------------------------------------

cdef void restart_blocks(Machine* machine) noexcept nogil:
    """The harts are somewhere else than the recorders know: whatever comes next begins a block."""
    cdef int i
    for i in range(machine.cpu_count):
        restart_blocks_of(machine.cpus[i])
    for i in range(machine.probes.recorder_count):
        machine.probes.recorders[i].last = NULL
        machine.probes.recorders[i].unfinished = False


cdef void restart_blocks_of(Cpu* cpu) noexcept nogil:
    cut_block(cpu)
    cpu.transfer, cpu.sequel, cpu.transfer_length, cpu.block_pc = NO_BRANCH, NOWHERE, 0, NOWHERE
    cpu.transfer_step, cpu.block_wanted, cpu.left_pc = 0, 0, cpu.state.pc
    memset(cpu.edges_before, 0, sizeof(cpu.edges_before))


cdef void forget_block_start(Cpu* cpu) noexcept nogil:
    """Compiled code has not said where the block at hand began, nor how long the branch was that ended it: what counts
    begins here.
    """
    cpu.block_pc = cpu.state.pc if cpu.transfer == NOWHERE else NOWHERE
    cpu.transfer |= NO_BRANCH           # NOWHERE stays what it is


cdef void cut_blocks(Machine* machine) noexcept nogil:
    """Of all harts: counts are exact now."""
    cdef int i
    for i in range(machine.cpu_count):
        cut_block(machine.cpus[i])
