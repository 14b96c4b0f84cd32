"""Probes in compiled code. What is recorded most is written down in line: blocks, accesses, edges.

That is where one recorder alone asks for it, and for all of it (choose_inline_recorders in vm_native.probes.recorders);
else, and where its buffer is full, the interpreter's function for the probe does it. rax is the record, rcx the
recorder.
"""
from libc.stdint cimport int32_t, int64_t, intptr_t, uint8_t, uint64_t
from vm_native.ir.block cimport Block, Uop, info_of
from vm_native.ir.uop cimport (
    UOP_JAL, UOP_JALR, UOP_PROBE_ACCESS, UOP_PROBE_BLOCK, UOP_PROBE_END, UOP_PROBE_LOADED, is_branch,
)
from vm_native.jit.x86_64.assembler cimport (
    ADD, CMP, CMP_CONSTANT, IF_EQUAL, IF_NOT_BELOW, LEA, MOV, MOV_TO, MOVZX8, MOVZX16, NO_INDEX, OR, RAX, RBP, RCX,
    RDX, SHL, SUB, SUB_CONSTANT, TEST, W32, W64, here, jump_if, load_constant, op, op_constant, op_constant_memory,
    op_memory, patch, shift_constant, store_constant,
)
from vm_native.jit.x86_64.compilation cimport (
    BUDGET, COLD_FALLBACK, UNKNOWN, Cold, Compilation, Transfer, cold_jump, load_slot, new_cold, offset_of, read_slot,
)
from vm_native.jit.x86_64.edges cimport begin_turns, pass_edge, store_edge_place
from vm_native.machine cimport NO_BRANCH, RECORD_ACCESSES, RECORD_BLOCKS, Cpu, Record, Recorder
from vm_native.probes.recorders cimport record_size
from vm_native.probes.records cimport RECORDED_IF_DONE, RECORDED_WRITE

cdef enum:
    PROBE_AHEAD = 3         # cells from the probe before an access to the one behind it


cdef inline int32_t of_recorder(const void* field) noexcept nogil:
    """Where a field stands in a Recorder at address 0."""
    return <int32_t><intptr_t>field


cdef inline int32_t of_record(const void* field) noexcept nogil:
    return <int32_t><intptr_t>field


cdef inline int shift_of(const void* field) noexcept nogil:
    """Of a byte of a Record in the eight that begin with its word."""
    return 8 * (of_record(field) - of_record(&(<Record*>NULL).word))


cdef void store_transfer(Compilation* t, const Transfer* transfer) noexcept nogil:
    """If it is pending: let memory say where a basic block has ended. Who counts edges asks only whether one has."""
    if not transfer.pending:
        return
    if t.edge_map != NULL:
        store_constant(&t.e, 8, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).transfer), NO_BRANCH)
        return
    load_constant(&t.e, RDX, <int64_t>transfer.pc)
    op_memory(&t.e, MOV_TO, W64, RDX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).transfer))
    if not t.blocks:                        # they do not ask
        store_constant(&t.e, 4, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).transfer_length), transfer.length)


cdef void emit_end(Compilation* t, Block* part, Uop* uop) noexcept nogil:
    """The branch or jump is the next uop. Where that leads to a part of the trace, nothing needs to be stored."""
    cdef int following = info_of(uop + 1).opcode
    t.transfer = Transfer(True, part.key.pc + info_of(uop).pc_offset, info_of(uop).length)
    cdef bint waits = is_branch(following) or following == UOP_JAL or (
        following == UOP_JALR and t.edges.place != UNKNOWN and t.jit.switches.jump_cache
    )
    if not (t.edge_map != NULL or t.blocks) or not waits:
        store_transfer(t, &t.transfer)
        store_edge_place(t, t.edges.place)
        t.transfer.pending = False


cdef void take_record(Compilation* t, Cold* cold, int size) noexcept nogil:
    """The next of the recorder in rcx; its own function finds another where there is no room."""
    cdef Recorder* fields = NULL
    op_memory(&t.e, MOV, W64, RAX, RCX, NO_INDEX, of_recorder(&fields.next))
    op_memory(&t.e, LEA, W64, RDX, RAX, NO_INDEX, size)
    op_memory(&t.e, CMP, W64, RDX, RCX, NO_INDEX, of_recorder(&fields.limit))
    cold_jump(cold, jump_if(&t.e, IF_NOT_BELOW, NULL))
    op_memory(&t.e, MOV_TO, W64, RDX, RCX, NO_INDEX, of_recorder(&fields.next))


cdef void fill_in(Compilation* t, Block* part, Uop* uop, uint64_t what) noexcept nogil:
    """pc, step and what is known of the rest of the first 24 bytes."""
    cdef Record* fields = NULL
    cdef int rest = part.steps - info_of(uop).step + t.refund       # what the trace has paid for and not done
    load_constant(&t.e, RDX, <int64_t>(part.key.pc + info_of(uop).pc_offset))
    op_memory(&t.e, MOV_TO, W64, RDX, RAX, NO_INDEX, of_record(&fields.pc))
    op_memory(&t.e, MOV, W64, RDX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).slice_start))
    op_memory(&t.e, ADD, W64, RDX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).slice))
    op(&t.e, SUB, W64, RDX, BUDGET)
    op_constant(&t.e, SUB_CONSTANT, W64, RDX, rest)
    op_memory(&t.e, MOV_TO, W64, RDX, RAX, NO_INDEX, of_record(&fields.step))
    op_memory(&t.e, MOV, W32, RDX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).number))
    shift_constant(&t.e, SHL, W64, RDX, shift_of(&fields.hart))
    load_constant(&t.e, RCX, <int64_t>what)
    op(&t.e, OR, W64, RDX, RCX)
    op_memory(&t.e, MOV_TO, W64, RDX, RAX, NO_INDEX, of_record(&fields.word))


cdef void record_block(Compilation* t, Block* part, Uop* uop) noexcept nogil:
    cdef uint64_t privilege = part.key.mode & t.jit.front_end.privilege_bits
    cdef Cold* cold = new_cold(t, COLD_FALLBACK, uop)
    cold.transfer = t.transfer
    op_memory(&t.e, MOV, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).block_log))
    take_record(t, cold, record_size(RECORD_BLOCKS))
    fill_in(t, part, uop, privilege << shift_of(&(<Record*>NULL).privilege))
    cold.done = here(&t.e)


cdef void enter_block(Compilation* t, Block* part, Uop* uop) noexcept nogil:
    if t.edge_map == NULL:
        record_block(t, part, uop)
    else:
        pass_edge(t, part.key.pc)


cdef void emit_head(Compilation* t, Block* part, Uop* uop) noexcept nogil:
    """Memory says whether a basic block begins here."""
    cdef Cold* cold
    cdef uint8_t* goes_on
    op_constant_memory(&t.e, CMP_CONSTANT, W64, RBP, offset_of(&(<Cpu*>NULL).transfer), -1)
    goes_on = jump_if(&t.e, IF_EQUAL, NULL)
    if not part.in_middle:              # and never was: the function gives this trace up should that be no longer so
        cold = new_cold(t, COLD_FALLBACK, uop)
        cold_jump(cold, goes_on)
    enter_block(t, part, uop)
    store_constant(&t.e, 8, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).transfer), -1)
    if part.in_middle:
        store_edge_place(t, t.edges.place)
        t.edges.place = UNKNOWN
        patch(goes_on, t.e.executable, here(&t.e))
    else:
        cold.done = here(&t.e)
    t.counted = here(&t.e)
    if t.by_turns:
        begin_turns(t)


cdef void emit_block(Compilation* t, Block* part, Uop* uop) noexcept nogil:
    """At the head of the trace memory says whether a basic block begins here; further on that is known."""
    if not t.in_block:
        emit_head(t, part, uop)
    elif t.transfer.pending:
        enter_block(t, part, uop)
    t.in_block, t.transfer.pending = True, False


cdef void load_low_bytes(Compilation* t, int slot, int size) noexcept nogil:
    """Of a register, into rdx."""
    load_slot(t, RDX, slot)
    if size == 1:
        op(&t.e, MOVZX8, W32, RDX, RDX)
    elif size == 2:
        op(&t.e, MOVZX16, W32, RDX, RDX)
    elif size == 4:
        op(&t.e, MOV, W32, RDX, RDX)


cdef Cold* load_access_log(Compilation* t, Uop* uop) noexcept nogil:
    """The recorder of accesses into rcx; where there is none that can be served here, the probe's function does it."""
    cdef Cold* cold = new_cold(t, COLD_FALLBACK, uop)
    op_memory(&t.e, MOV, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).access_log))
    op(&t.e, TEST, W64, RCX, RCX)
    cold_jump(cold, jump_if(&t.e, IF_EQUAL, NULL))
    return cold


cdef void emit_access(Compilation* t, Block* part, Uop* uop) noexcept nogil:
    cdef uint64_t privilege = part.key.mode & t.jit.front_end.privilege_bits
    cdef uint64_t size = uop[1].rs1, access = uop[1].rs2
    cdef Record* fields = NULL
    cdef Recorder* recorder = NULL
    cdef Cold* cold = load_access_log(t, uop)
    take_record(t, cold, record_size(RECORD_ACCESSES))
    op_memory(&t.e, MOV_TO, W64, RAX, RCX, NO_INDEX, of_recorder(&recorder.last))
    load_constant(&t.e, RDX, <int64_t>(<uint64_t>uop[1].rd << 32 | (access != RECORDED_WRITE)))
    op_memory(&t.e, MOV_TO, W64, RDX, RCX, NO_INDEX, of_recorder(&recorder.unfinished))
    fill_in(t, part, uop, (
        privilege << shift_of(&fields.privilege) | size << shift_of(&fields.detail)
        | access << shift_of(&fields.access)
    ))
    op_memory(&t.e, LEA, W64, RDX, read_slot(t, uop.rs1, RDX), NO_INDEX, uop.imm)
    op_memory(&t.e, MOV_TO, W64, RDX, RAX, NO_INDEX, of_record(&fields.address))
    load_low_bytes(t, uop.rs2, <int>size)
    op_memory(&t.e, MOV_TO, W64, RDX, RAX, NO_INDEX, of_record(&fields.value))
    cold.done = here(&t.e)


cdef void emit_loaded(Compilation* t, Uop* uop) noexcept nogil:
    """A plain load has been done; the probe before it stands two uops ahead, and its second cell."""
    cdef Uop* probe = uop - PROBE_AHEAD
    cdef Record* fields = NULL
    cdef Recorder* recorder = NULL
    cdef Cold* cold = load_access_log(t, uop)
    op_memory(&t.e, MOV, W64, RAX, RCX, NO_INDEX, of_recorder(&recorder.last))
    load_low_bytes(t, probe[1].rd, probe[1].rs1)
    op_memory(&t.e, MOV_TO, W64, RDX, RAX, NO_INDEX, of_record(&fields.value))
    store_constant(&t.e, 4, RCX, NO_INDEX, of_recorder(&recorder.unfinished), 0)
    cold.done = here(&t.e)


cdef bint emit_probe(Compilation* t, Block* part, Uop* uop, int opcode) noexcept nogil:
    """Whether that is done here."""
    if opcode == UOP_PROBE_BLOCK and (t.edge_map != NULL or t.blocks):
        emit_block(t, part, uop)
    elif opcode == UOP_PROBE_END:
        emit_end(t, part, uop)
    elif opcode == UOP_PROBE_ACCESS:
        emit_access(t, part, uop)
    elif opcode == UOP_PROBE_LOADED and not (uop - PROBE_AHEAD)[1].rs2 & RECORDED_IF_DONE:
        emit_loaded(t, uop)
    else:
        return False
    return True
