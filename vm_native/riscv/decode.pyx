# cython: preliminary_late_includes_cy28=True
# The C of decode_rows.pxi stands behind the struct that it fills.
"""Bytes to uops.

A `Decoder` is the instruction table, narrowed to the extensions of one hart and laid out as C rows in buckets by
opcode and funct3. Everything that can be known at translation is resolved here: compressed forms, pc-relative
values, rounding modes, writes to x0.
"""
from libc.stdint cimport int32_t, int64_t, intptr_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset
from vm_native.arithmetic.float_rules cimport RMM, RNE, RTZ
from vm_native.arithmetic.floating cimport has_fma
from vm_native.ir.block cimport SECOND_CELL, MAX_BLOCK_UOPS, Block, BlockKey, Uop, UopInfo, set_rounded
from vm_native.ir.uop cimport *
from vm_native.machine cimport (
    CONTINUE, INSTRUMENT_CSRS, INSTRUMENT_STEPS, RETRY, TRAP, Cpu, leave_for_python, note_time, return_from_python,
)
from vm_native.memory.access cimport load16
from vm_native.memory.bus cimport BUS_FAULT, BUS_OK, device_read, ram_at
from vm_native.memory.ram cimport PAGE_MASK, PAGE_OFFSET, RamRegion
from vm_native.memory.tlb cimport EXECUTE, tlb_entry
from vm_native.probes.breakpoints cimport has_breakpoints, is_breakpoint
from vm_native.probes.records cimport NO_SLOT
from vm_native.riscv.constants cimport (
    CSR_MCAUSE, CSR_MEPC, CSR_MSCRATCH, CSR_MSTATUS, CSR_MTVAL, CSR_MTVEC, CSR_SCAUSE, CSR_SEPC, CSR_SSCRATCH,
    CSR_SSTATUS, CSR_STVAL, CSR_STVEC, MSTATUS_FS, MSTATUS_MIE, MSTATUS_MXR, MSTATUS_SIE, MSTATUS_SPIE, MSTATUS_SPP,
    MSTATUS_SPELP, MSTATUS_SUM, MSTATUS_VS, MTVEC_BASE, MTVEC_MODE,
)
from vm_native.riscv.decode_table cimport (
    KIND_BRANCH, KIND_FP_CONSTANT, KIND_HELPER, KIND_INDIRECT, KIND_JUMP, KIND_NOTHING, KIND_PC_RELATIVE,
    NARROW_BUCKETS, RD, RS1, RS2, RS3, WIDE_BUCKETS, DecodeRow, DecodeTable, RegisterField,
)
from vm_native.riscv.state cimport (
    DYNAMIC, FIRST_STATE_SLOT, MODE_EXPECTS_LANDING, MODE_FP_DIRTY, MODE_FP_NEAREST, MODE_FP_ON, MODE_FP_ROUNDS,
    MODE_LANDING_PADS, MODE_PRIVILEGE, MODE_VIRTUAL, SINK, RiscvState, expects_landing,
)
from vm_native.riscv.zfa cimport fli_constant

from vm_native.arithmetic.operations import OPERATIONS

include "decode_rows.pxi"


cdef class Decoder:
    """Decodes for a hart with the given extensions (names as in the rows of the table).

    `helpers` maps helper names to their numbers. Raises KeyError where the table names one that there is not.
    """

    def __cinit__(self, extensions, dict helpers):
        helper_numbers = [helpers[name] for name in HELPER_NAMES]
        operation_numbers = [OPERATIONS[name] for name in OPERATION_NAMES]
        cdef uint64_t on = sum(1 << bit for bit, name in enumerate(EXTENSIONS) if name in extensions)
        cdef DecodeRow* row
        cdef int number
        self.table.rows = <DecodeRow*>calloc(ROW_COUNT, sizeof(DecodeRow))
        if self.table.rows == NULL:
            raise MemoryError("no room for the decode tables")
        for number in range(ROW_COUNT):
            if not is_on(&ALL_ROWS[number], on):
                continue
            row = &self.table.rows[self.table.row_count]
            row[0] = ALL_ROWS[number]
            self.table.row_count += 1
            if row.kind == KIND_HELPER:
                row.helper = helper_numbers[row.helper]
            if row.operation >= 0 and row.kind != KIND_FP_CONSTANT:
                row.operation = operation_numbers[row.operation]
            row.exact_only = row.fused and not has_fma()
        self.table.wide = lay_out(&self.table, 4, self.table.wide_start, WIDE_BUCKETS)
        self.table.narrow = lay_out(&self.table, 2, self.table.narrow_start, NARROW_BUCKETS)
        if self.table.wide == NULL or self.table.narrow == NULL:
            raise MemoryError("no room for the decode tables")
        self.table.illegal_helper = helpers["illegal"]
        self.table.dirty_helper = helpers["make_fp_dirty"]
        self.table.operate_helper = helpers["operate_fp"]
        self.table.checked_jump_helper = helpers["checked_jump"]
        self.table.landing_helper = helpers["landing_pad"]
        self.table.pause_helper = helpers["pause"]
        self.table.csr_helper = helpers["csr"]
        self.table.status_csr_helper = helpers["status_csr"]
        self.table.enable_helper = helpers["enable_interrupts"]
        self.table.compressed = "Zca" in extensions
        self.table.vectors = "Zve32x" in extensions

    def __dealloc__(self):
        free(self.table.rows)
        free(self.table.wide)
        free(self.table.narrow)


cdef bint is_on(const DecodeRow* row, uint64_t on) noexcept nogil:
    """Whether a hart with these extensions has the instruction."""
    return (not row.needs[0] or row.needs[0] & on) and (not row.needs[1] or row.needs[1] & on)


cdef inline int bucket_of(uint32_t word, int length) noexcept nogil:
    """The bits that are looked at first: opcode and funct3."""
    return word >> 2 & 31 | (word >> 12 & 7) << 5 if length == 4 else word & 3 | (word >> 13 & 7) << 2


cdef inline uint32_t word_in(int bucket, int length) noexcept nogil:
    """The other way round."""
    return (bucket & 31) << 2 | 3 | (bucket >> 5) << 12 if length == 4 else bucket & 3 | (bucket >> 2) << 13


cdef uint16_t* lay_out(const DecodeTable* table, int length, uint16_t* starts, int buckets) noexcept:
    """The numbers of the rows that an instruction of each bucket can be, bucket after bucket; NULL without memory."""
    cdef uint16_t* numbers = <uint16_t*>calloc(table.row_count * buckets, sizeof(uint16_t))
    cdef const DecodeRow* row
    cdef uint32_t word, seen = word_in(buckets - 1, length)
    cdef int bucket, number, position = 0
    if numbers == NULL:
        return NULL
    for bucket in range(buckets):
        starts[bucket] = position
        word = word_in(bucket, length)
        for number in range(table.row_count):
            row = &table.rows[number]
            if row.length == length and not (word ^ row.match) & row.mask & seen:
                numbers[position] = number
                position += 1
    starts[buckets] = position
    return <uint16_t*>realloc(numbers, (position + 1) * sizeof(uint16_t))


cdef inline int register_of(const DecodeRow* row, int operand, uint32_t word) noexcept nogil:
    cdef const RegisterField* field = &row.registers[operand]
    return field.base + (word >> field.shift & field.mask)


cdef inline int64_t immediate_of(const DecodeRow* row, uint32_t word) noexcept nogil:
    cdef uint64_t value = <uint64_t><int64_t>row.constant
    cdef int i
    for i in range(row.piece_count):
        value |= <uint64_t>(word >> row.pieces[i].source & row.pieces[i].mask) << row.pieces[i].target
    if row.sign_bit >= 0 and value >> row.sign_bit & 1:
        value |= <uint64_t>-1 << row.sign_bit
    return <int64_t>value


cdef const DecodeRow* find_row(const DecodeTable* table, uint32_t word) noexcept nogil:
    cdef const DecodeRow* row
    cdef const uint16_t* numbers
    cdef int i, first, last
    if word & 3 != 3:
        i = bucket_of(word, 2)
        numbers, first, last = table.narrow, table.narrow_start[i], table.narrow_start[i + 1]
    else:
        i = bucket_of(word, 4)
        numbers, first, last = table.wide, table.wide_start[i], table.wide_start[i + 1]
    for i in range(first, last):
        row = &table.rows[numbers[i]]
        if word & row.mask == row.match:
            if row.nonzero and immediate_of(row, word) == 0:
                continue
            if row.at_most >= 0 and immediate_of(row, word) > row.at_most:
                continue
            if not is_excluded(row, word):
                return row
    return NULL


cdef inline bint is_excluded(const DecodeRow* row, uint32_t word) noexcept nogil:
    cdef int i
    for i in range(3):
        if row.excluded[i] and row.excluded[i] >> register_of(row, i, word) & 1:
            return True
    return False


cdef enum:                  # fields of a fence
    FENCE_SUCCESSOR = 20
    FENCE_PREDECESSOR = 24
    FENCE_WRITES = 1
    FENCE_READS = 2
    FENCE_TSO = 0x833       # all above registers; other modes are reserved, and as the plain one
    PAUSE = 0x0100000F      # the whole instruction, of Zihintpause

cdef enum:
    LAST_CELLS = 7          # five of an instruction, the end of a block, and a probe of its beginning

cdef struct Decoding:    # the state of one translation
    Block* block
    const DecodeTable* table
    bint steps              # each instruction has a probe before it
    bint watched            # each access to a CSR is told of
    bint side_by_side       # harts have threads
    uint64_t pc             # of the instruction at hand
    int cell                # next free one
    bint ended


cdef Uop* emit(Decoding* at, int opcode, int length) noexcept nogil:
    cdef Uop* uop = &at.block.uops[at.cell]
    cdef UopInfo* info = &at.block.info[at.cell]
    memset(uop, 0, sizeof(Uop))
    info.opcode = <uint16_t>opcode
    info.pc_offset = <uint16_t>(at.pc - at.block.key.pc)
    info.step = <uint8_t>at.block.steps
    info.length = <uint8_t>length
    info.pair = info.strays = info.asks_tlb = 0
    at.cell += 1
    return uop


cdef Uop* emit_second_cell(Decoding* at, int length) noexcept nogil:
    return emit(at, SECOND_CELL, length)


cdef Uop* emit_helper(Decoding* at, int helper, bint exits, uint32_t word, int length) noexcept nogil:
    cdef Uop* uop = emit(at, UOP_CALL_EXIT if exits else UOP_CALL, length)
    uop.imm = helper
    emit_second_cell(at, length).imm = <int32_t>word
    at.ended |= exits
    return uop


cdef void set_registers(Uop* uop, const DecodeRow* row, uint32_t word) noexcept nogil:
    cdef int rd = register_of(row, RD, word)
    uop.rd = <uint8_t>(rd if rd or not row.registers[RD].used else SINK)
    uop.rs1 = <uint8_t>register_of(row, RS1, word)
    uop.rs2 = <uint8_t>register_of(row, RS2, word)


cdef inline bint is_host_rounding(int rounding, uint64_t mode) noexcept nogil:
    """Whether the host rounds like an instruction with this rounding mode."""
    return mode & (MODE_FP_ROUNDS if rounding == DYNAMIC else MODE_FP_NEAREST if rounding == RNE else 0) != 0


cdef void translate_fp(Decoding* at, const DecodeRow* row, uint32_t word) noexcept nogil:
    """Choose the uop for the rounding mode, or the exact path."""
    cdef int rounding = word >> 12 & 7
    cdef int opcode = row.opcode
    cdef Uop* uop
    if row.rounds and RMM < rounding < DYNAMIC:
        emit_helper(at, at.table.illegal_helper, True, word, row.length)
        return
    if rounding == RTZ and row.opcode_rtz >= 0:
        opcode = row.opcode_rtz
    elif row.exact_only or not (
        is_host_rounding(rounding, at.block.key.mode) or row.lossless and rounding != DYNAMIC
    ):
        uop = emit_helper(at, at.table.operate_helper, False, word, row.length)
        set_registers(uop, row, word)
        uop[1].rd = <uint8_t>row.operation
        uop[1].rs1 = <uint8_t>register_of(row, RS3, word)
        if not row.exact_only and rounding != DYNAMIC:
            set_rounded(uop, opcode, rounding)
        return
    uop = emit(at, opcode, row.length)
    set_registers(uop, row, word)
    if row.cells == 2:
        emit_second_cell(at, row.length).rs1 = <uint8_t>register_of(row, RS3, word)


cdef void emit_step_probe(Decoding* at, uint32_t word, int length) noexcept nogil:
    cdef const DecodeRow* row = find_row(at.table, word)
    cdef Uop* uop = emit(at, UOP_PROBE_STEP, length)
    uop.imm = <int32_t>word
    uop.rd = NO_SLOT
    if row != NULL and row.registers[RD].used and register_of(row, RD, word):
        uop.rd = <uint8_t>register_of(row, RD, word)


# --- Registers of control and status that only keep what is written ---------------------------------------------------

cdef struct PlainCsr:
    int number
    uint8_t slot
    int32_t kept            # bits that a write keeps, the sign extended; 0: those of an instruction's address

cdef PlainCsr[10] plain_csrs
cdef int plain_count = 0


cdef inline uint8_t slot_of(const uint64_t* field) noexcept nogil:
    """`field` is that of a RiscvState at address 0."""
    return <uint8_t>(FIRST_STATE_SLOT + <intptr_t>field // 8)


cdef void P(int number, const uint64_t* field, int32_t kept=-1) noexcept:
    global plain_count
    plain_csrs[plain_count] = PlainCsr(number, slot_of(field), kept)
    plain_count += 1


cdef RiscvState* fields = NULL
P(CSR_SSCRATCH, &fields.sscratch)
P(CSR_SEPC, &fields.sepc, 0)
P(CSR_SCAUSE, &fields.scause)
P(CSR_STVAL, &fields.stval)
P(CSR_STVEC, &fields.stvec, <int32_t>(MTVEC_BASE | MTVEC_MODE))
P(CSR_MSCRATCH, &fields.mscratch)
P(CSR_MEPC, &fields.mepc, 0)
P(CSR_MCAUSE, &fields.mcause)
P(CSR_MTVAL, &fields.mtval)
P(CSR_MTVEC, &fields.mtvec, <int32_t>(MTVEC_BASE | MTVEC_MODE))


cdef const PlainCsr* plain_csr(int number) noexcept nogil:
    cdef int i
    for i in range(plain_count):
        if plain_csrs[i].number == number:
            return &plain_csrs[i]
    return NULL


cdef void emit_move(Decoding* at, int rd, int rs1) noexcept nogil:
    cdef Uop* uop = emit(at, UOP_MV, 4)
    uop.rd, uop.rs1 = <uint8_t>rd, <uint8_t>rs1


cdef void emit_immediate(Decoding* at, int opcode, int rd, int rs1, int32_t immediate) noexcept nogil:
    cdef Uop* uop = emit(at, opcode, 4)
    uop.rd, uop.rs1, uop.imm = <uint8_t>rd, <uint8_t>rs1, immediate


cdef void emit_exchange(Decoding* at, int a, int b) noexcept nogil:
    cdef Uop* uop
    cdef int i
    for i in range(3):
        uop = emit(at, UOP_XOR, 4)
        uop.rd = uop.rs1 = <uint8_t>(b if i == 1 else a)
        uop.rs2 = <uint8_t>(a if i == 1 else b)


cdef bint translate_csr(Decoding* at, uint32_t word) noexcept nogil:
    """Whether the access is nothing but moves, to and from a slot; then they have been emitted."""
    cdef const PlainCsr* csr = plain_csr(word >> 20)
    cdef int rd = word >> 7 & 31, rs1 = word >> 15 & 31
    cdef bint immediate = word >> 14 & 1, writes = (word >> 12 & 3) == 1
    cdef int32_t kept
    if csr == NULL or at.watched or (word >> 28 & 3) > (at.block.key.mode & MODE_PRIVILEGE):
        return False
    if not writes:
        if rs1:                         # bits of it
            return False
        if rd:
            emit_move(at, rd, csr.slot)
        return True
    if immediate:
        return False
    kept = csr.kept if csr.kept else ~1 if at.table.compressed else ~3
    if rd == rs1 and rd:
        emit_exchange(at, csr.slot, rd)
        rs1 = csr.slot
    elif rd:
        emit_move(at, rd, csr.slot)
    if kept != -1:
        emit_immediate(at, UOP_ANDI, csr.slot, rs1, kept)
    elif rs1 != csr.slot:
        emit_move(at, csr.slot, rs1)
    return True


# --- mstatus and sstatus ----------------------------------------------------------------------------------------------

cdef enum:
    UXL_AND_SD_TO_LOW = 33      # rotates bit 33, which is all of UXL that is ever set, to bit 0, and SD to bit 30


# Below bit 32.
cdef uint64_t SSTATUS_SHOWS = (
    MSTATUS_SIE | MSTATUS_SPIE | MSTATUS_SPP | MSTATUS_VS | MSTATUS_FS | MSTATUS_SUM | MSTATUS_MXR
    | MSTATUS_SPELP
)


cdef void emit_read_status(Decoding* at, int rd, bint supervisor) noexcept nogil:
    """The mode tells of SD, and what changes it ends the block."""
    cdef uint8_t slot = slot_of(&fields.mstatus)
    cdef bint dirty = at.block.key.mode & MODE_FP_DIRTY != 0
    if supervisor:
        emit_immediate(at, UOP_ANDI, rd, slot, <int32_t>SSTATUS_SHOWS)
        emit_immediate(at, UOP_RORI, rd, rd, UXL_AND_SD_TO_LOW)
        emit_immediate(at, UOP_ORI, rd, rd, 1 | <int32_t>dirty << 30)
        emit_immediate(at, UOP_RORI, rd, rd, 64 - UXL_AND_SD_TO_LOW)
    elif dirty:
        emit_immediate(at, UOP_RORI, rd, slot, 63)
        emit_immediate(at, UOP_ORI, rd, rd, 1)
        emit_immediate(at, UOP_RORI, rd, rd, 1)
    else:
        emit_move(at, rd, slot)


cdef bint translate_status(Decoding* at, uint32_t word) noexcept nogil:
    """Whether the access is one of these two registers; then it has been emitted.

    Reads, and what turns interrupts off, are done right here. A write goes to a helper, and ends no block in general.
    """
    cdef int number = word >> 20, rd = word >> 7 & 31, rs1 = word >> 15 & 31, operation = word >> 12 & 3
    cdef bint supervisor = number == CSR_SSTATUS, immediate = word >> 14 & 1
    cdef uint8_t slot = slot_of(&fields.mstatus)
    cdef int32_t bits = rs1 & <int32_t>(MSTATUS_SIE if supervisor else MSTATUS_SIE | MSTATUS_MIE)   # all that there are
    if number != CSR_SSTATUS and number != CSR_MSTATUS:
        return False
    if at.watched or (word >> 28 & 3) > (at.block.key.mode & MODE_PRIVILEGE):
        return False
    if operation == 1 or rs1 and not immediate:
        emit_helper(at, at.table.status_csr_helper, False, word, 4)
        return True
    if rd and at.table.vectors and not at.block.key.mode & MODE_FP_DIRTY:
        return False                    # SD may be set for what the mode does not tell of
    if at.block.key.mode & (MODE_VIRTUAL | MODE_FP_DIRTY) == MODE_VIRTUAL:
        return False                    # dirty for the guest, perhaps, but not for its host: the mode does not tell
    if rd:
        emit_read_status(at, rd, supervisor)
    if bits and operation == 2:
        emit_helper(at, at.table.enable_helper, False, <uint32_t>bits, 4)
    elif bits:
        emit_immediate(at, UOP_ANDI, slot, slot, ~bits)
    return True


cdef inline bint is_checked(const Decoding* at, const DecodeRow* row, uint32_t word) noexcept nogil:
    """Whether it is a jump or a branch that may trap, or after which a landing pad is expected."""
    if not KIND_BRANCH <= row.kind <= KIND_INDIRECT:
        return False
    if row.kind == KIND_INDIRECT and at.block.key.mode & MODE_LANDING_PADS and expects_landing(
        register_of(row, RS1, word)
    ):
        return True
    return not at.table.compressed


cdef inline bint orders(uint32_t word) noexcept nogil:
    """Whether a fence is about stores before loads: all else x86-64 keeps in order by itself, and devices lock."""
    return (
        word >> FENCE_PREDECESSOR & FENCE_WRITES != 0 and word >> FENCE_SUCCESSOR & FENCE_READS != 0
        and word >> FENCE_SUCCESSOR != FENCE_TSO
    )


cdef bint make_direct(Decoding* at, Uop* jump, int64_t offset) noexcept nogil:
    """Of an indirect jump whose register the instruction before has set by auipc: a call beyond the reach of jal."""
    cdef const Uop* address = jump - 2
    if at.cell < 3 or at.block.info[at.cell - 3].opcode != UOP_WIDE or address.rd != jump.rs1:
        return False
    at.block.info[at.cell - 1].opcode = UOP_JAL
    at.block.exits[0].pc = <uint64_t>address[1].handler + <uint64_t>offset & ~<uint64_t>1
    jump.rs1 = 0
    return True


cdef void translate_one(Decoding* at, uint32_t word, int length) noexcept nogil:
    cdef const DecodeRow* row = find_row(at.table, word)
    cdef Block* block = at.block
    cdef Uop* uop
    cdef int64_t immediate
    if block.key.mode & MODE_EXPECTS_LANDING and not block.steps:
        emit_helper(at, at.table.landing_helper, True, word, length)
        return
    if row == NULL or row.uses_f and not block.key.mode & MODE_FP_ON:
        emit_helper(at, at.table.illegal_helper, True, word, length)
        return
    if row.writes_f and not block.key.mode & MODE_FP_DIRTY:
        emit_helper(at, at.table.dirty_helper, True, word, length)
        return
    if row.operation >= 0 and row.kind != KIND_FP_CONSTANT:
        translate_fp(at, row, word)
        return
    if row.kind == KIND_HELPER and row.helper == at.table.csr_helper and (
        translate_csr(at, word) or translate_status(at, word)
    ):
        return
    if row.kind == KIND_HELPER:
        uop = emit_helper(at, row.helper, word & row.exit_bits != 0, word, length)
        uop.rs1 = <uint8_t>register_of(row, RS1, word)
        uop[1].rd, uop[1].rs2 = <uint8_t>row.vector, <uint8_t>(row.vector >> 8)
        return
    if row.kind == KIND_NOTHING or row.droppable and register_of(row, RD, word) == 0:
        return
    if row.opcode == UOP_ORDER and word == PAUSE and at.side_by_side:
        emit_helper(at, at.table.pause_helper, False, word, length)
        return
    if row.opcode == UOP_ORDER and not (at.side_by_side and orders(word)):
        return
    immediate = immediate_of(row, word)
    if is_checked(at, row, word):
        set_registers(emit_helper(at, at.table.checked_jump_helper, True, word, length), row, word)
        block.exits[0].pc = at.pc + <uint64_t>immediate
        return
    uop = emit(at, row.opcode, length)
    set_registers(uop, row, word)
    if row.kind == KIND_PC_RELATIVE:
        emit_second_cell(at, length)
        (<uint64_t*>&uop[1].handler)[0] = at.pc + <uint64_t>immediate
        return
    if row.kind == KIND_FP_CONSTANT:
        emit_second_cell(at, length)
        (<uint64_t*>&uop[1].handler)[0] = fli_constant(row.operation, <int>immediate)
        return
    if row.kind == KIND_BRANCH or row.kind == KIND_JUMP:
        block.exits[0].pc = at.pc + <uint64_t>immediate
    elif row.kind != KIND_INDIRECT or not make_direct(at, uop, immediate):
        uop.imm = <int32_t>immediate
    at.ended = KIND_BRANCH <= row.kind <= KIND_INDIRECT


cdef int fetch(
    Cpu* cpu, uint64_t pc, uint64_t physical, bint ahead, uint32_t* word, uint64_t* second_page
) noexcept nogil:
    """The instruction at pc, whose first half is at `physical`; 16 bits if compressed. `second_page` as in Block.

    With `ahead`, the hart is not there yet, and may never be: of one that crosses into another page nothing is looked
    at there, and `second_page` only says that it does.
    """
    cdef uint64_t half = 0
    cdef uint64_t next_physical = physical + 2
    cdef bint crosses
    cdef int status = fetch_half(cpu, pc, physical, &half)
    second_page[0] = 0
    word[0] = <uint32_t>half
    if status != CONTINUE or half & 3 != 3:
        return status
    crosses = not (pc + 2) & PAGE_OFFSET
    if crosses and ahead:
        second_page[0] = 1              # anything but 0
        return CONTINUE
    if crosses or tlb_entry(cpu.fetch_tlb, pc).exec_tag != (pc & PAGE_MASK):
        # Another page, or one that may be executed in part only.
        status = cpu.front_end.translate_address(cpu, pc + 2, EXECUTE, 2, &next_physical)
        if status != CONTINUE:
            return status
        if crosses:
            second_page[0] = next_physical
    status = fetch_half(cpu, pc + 2, next_physical, &half)
    word[0] |= <uint32_t>half << 16
    return status


cdef int fetch_half(Cpu* cpu, uint64_t pc, uint64_t physical, uint64_t* half) noexcept nogil:
    cdef RamRegion* region = ram_at(cpu.machine.map, physical, 2)
    cdef int status, held
    if region != NULL:
        half[0] = load16(region.host + (physical - region.base))
        return CONTINUE
    note_time(cpu)
    held = leave_for_python(cpu)
    status = device_read(cpu.machine.map, physical, 2, half)
    return_from_python(cpu, held)
    if status == BUS_OK:
        return CONTINUE
    if status == BUS_FAULT:
        cpu.trap_cause = cpu.front_end.access_fault[EXECUTE]
        cpu.trap_value = pc
        return TRAP
    return RETRY


cdef int decode_block(Cpu* cpu, const DecodeTable* table, Block* block, int limit) noexcept nogil:
    """Translate up to `limit` instructions where the block's key says, up to a branch, the end of the page, or an
    instruction that crosses it, which is a block of its own; and up to a breakpoint, where the next one begins.
    """
    cdef Decoding at
    cdef BlockKey next = block.key
    cdef uint32_t word
    cdef uint64_t second_page
    cdef int status, length
    at.block = block
    at.table = table
    at.steps = cpu.machine.probes.instruments & INSTRUMENT_STEPS != 0
    at.side_by_side = cpu.machine.safepoints != NULL
    at.watched = cpu.machine.probes.instruments & INSTRUMENT_CSRS != 0
    at.pc = block.key.pc
    at.cell = 0
    at.ended = False
    block.steps = 0
    block.second_page = 0
    block.exits[0].target = NULL
    block.exits[1].target = NULL
    block.incoming = NULL
    block.dead = False
    while block.steps < limit and not at.ended and at.cell <= MAX_BLOCK_UOPS - LAST_CELLS:
        next.pc = at.pc
        next.physical = block.key.physical + (at.pc - block.key.pc)
        if block.steps and has_breakpoints(cpu.machine) and is_breakpoint(cpu.machine, &next):
            break
        status = fetch(cpu, at.pc, next.physical, block.steps != 0, &word, &second_page)
        if status != CONTINUE or second_page and block.steps:
            if block.steps:
                break
            return status
        length = 4 if word & 3 == 3 else 2
        if at.steps:
            emit_step_probe(&at, word, length)
        translate_one(&at, word, length)
        block.steps += 1
        at.pc += length
        block.second_page = second_page
        if not at.pc & PAGE_OFFSET or second_page:
            break
    block.size = <uint32_t>(at.pc - block.key.pc)
    block.exits[1].pc = at.pc
    if not at.ended:
        emit(&at, UOP_FALL, 0)
    block.uop_count = <uint16_t>at.cell
    return CONTINUE
