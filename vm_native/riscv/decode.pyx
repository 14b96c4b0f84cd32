"""Bytes to uops.

A `Decoder` is the instruction table, narrowed to the extensions of one hart and laid out as C rows in buckets by
opcode and funct3. Everything that can be known at translation is resolved here: compressed forms, pc-relative
values, rounding modes, writes to x0.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from vm_native.memory.bus cimport BUS_FAULT, BUS_OK, device_read, ram_at
from vm_native.memory.ram cimport PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, RamRegion
from vm_native.machine cimport ABANDON, CONTINUE, TRAP, Cpu, machine_steps
from vm_native.memory.tlb cimport EXECUTE, TLB_ENTRIES
from vm_native.arithmetic.floating cimport fp_operate
from vm_native.ir.block cimport CONSTANT_SLOT, MAX_BLOCK_UOPS, Block, Uop, UopInfo
from vm_native.ir.uop cimport *
from vm_native.riscv.constants cimport RM_DYN, RM_RMM, RM_RNE, RM_RTZ
from vm_native.riscv.state cimport MODE_FP_DIRTY, MODE_FP_NEAREST, MODE_FP_ON, SINK

from vm_native.arithmetic import floating
from vm_native.riscv.instructions import ROWS
from vm_native.ir.uops import UOPS



OPCODES = {row.name: number for number, row in enumerate(UOPS)}
SLOTS = {row.name: row.slots for row in UOPS}
KINDS = {
    "lui": KIND_UPPER, "auipc": KIND_PC_RELATIVE, "jal": KIND_JUMP, "jalr": KIND_INDIRECT,
    "beq": KIND_BRANCH, "bne": KIND_BRANCH, "blt": KIND_BRANCH, "bge": KIND_BRANCH, "bltu": KIND_BRANCH,
    "bgeu": KIND_BRANCH, "fli.s": KIND_FP_CONSTANT, "fli.d": KIND_FP_CONSTANT, "fli.h": KIND_FP_CONSTANT,
}
MEMORY = ("load", "store", "reserve", "conditional", "atomic", "exchange")


cdef class Decoder:
    """Decodes for a hart with the given extensions (names as in the rows of the table).

    `helpers` maps helper names to their numbers. `row_names` gives the instructions that are on.
    """

    def __cinit__(self, extensions, helpers):
        rows = [row for row in ROWS if row.is_on(extensions)]
        # The most specific row first: c.addi16sp before c.lui, c.ebreak before c.jalr.
        rows.sort(key=lambda row: row.mask.bit_count(), reverse=True)
        self.row_names = tuple(row.name for row in rows)
        self.table.rows = <DecodeRow*>calloc(len(rows) + 1, sizeof(DecodeRow))
        wide, narrow = [[] for _ in range(256)], [[] for _ in range(32)]
        for number, row in enumerate(rows):
            fill_row(&self.table.rows[number], row, helpers)
            if row.length == 4:
                for bucket in range(256):
                    word = (bucket & 31) << 2 | 3 | (bucket >> 5) << 12
                    if not (word ^ row.match) & row.mask & 0x707F:
                        wide[bucket].append(number)
            else:
                for bucket in range(32):
                    word = bucket & 3 | (bucket >> 2) << 13
                    if not (word ^ row.match) & row.mask & 0xE003:
                        narrow[bucket].append(number)
        self.table.wide = lay_out(wide, self.table.wide_start)
        self.table.narrow = lay_out(narrow, self.table.narrow_start)
        if self.table.rows == NULL or self.table.wide == NULL or self.table.narrow == NULL:
            raise MemoryError("no room for the decode tables")
        self.table.illegal_helper = helpers["illegal"]
        self.table.dirty_helper = helpers["make_fp_dirty"]
        self.table.operate_helper = helpers["operate_fp"]
        self.table.checked_jump_helper = helpers["checked_jump"]
        self.table.compressed = "Zca" in extensions

    def __dealloc__(self):
        free(self.table.rows)
        free(self.table.wide)
        free(self.table.narrow)


cdef uint16_t* lay_out(list buckets, uint16_t* starts):
    cdef uint16_t* flat = <uint16_t*>calloc(sum(map(len, buckets)) + 1, sizeof(uint16_t))
    position = 0
    for index, bucket in enumerate(buckets):
        starts[index] = position
        for number in bucket:
            flat[position] = number
            position += 1
    starts[len(buckets)] = position
    return flat


cdef void fill_row(DecodeRow* to, row, dict helpers):
    to.mask, to.match, to.length = row.mask, row.match, row.length
    origin = row.base or row
    to.kind = KINDS.get(origin.name, KIND_PLAIN)
    to.operation = to.opcode_rtz = -1
    if row.helper:
        to.kind = KIND_CSR if row.helper == "csr" else KIND_HELPER
        to.opcode = UOP_CALL_LEAVE if row.leaves else UOP_CALL
        to.helper = helpers[row.helper]
        to.slots = 2
        to.leaves = row.leaves
    else:
        to.opcode = OPCODES[row.uop]
        to.slots = SLOTS[row.uop]
        semantics = UOPS[to.opcode].semantics
        to.droppable = semantics.startswith("rd = ") and not any(word in semantics for word in MEMORY)
    fields = [field for field, _ in origin.registers.values()]
    to.uses_f = any(field.startswith("f") for field in fields)
    to.droppable &= not to.uses_f
    # Whatever raises flags counts as a write of the floating-point state too.
    to.writes_f = to.uses_f and ("frd" in fields or not row.name.startswith(("fs", "c.fs", "fmv", "fclass", "fsgnj")))
    to.rounds = row.rounds
    if row.rounds or row.helper == "operate_fp" or to.kind == KIND_FP_CONSTANT:
        to.operation = floating.OPERATIONS[row.name]
        to.opcode_rtz = OPCODES.get(row.name + ".rtz", -1)
        to.exact_only = row.helper == "operate_fp" or "rs3" in row.registers and not floating.HAS_FMA
    to.nonzero = row.nonzero
    to.at_most = row.at_most
    to.constant = row.constant
    to.sign_bit = row.sign_bit
    to.piece_count = len(row.pieces)
    for index, piece in enumerate(row.pieces):
        to.pieces[index].source = piece.source
        to.pieces[index].target = piece.target
        to.pieces[index].mask = (1 << piece.width) - 1
    for index, operand in enumerate(("rd", "rs1", "rs2", "rs3")):
        if operand not in row.registers:
            continue
        field, shift = row.registers[operand]
        to.registers[index].used = True
        to.registers[index].shift = shift
        if field.startswith("x"):
            to.registers[index].base = int(field[1:])
        else:
            short = field.endswith("'")
            to.registers[index].mask = 7 if short else 31
            to.registers[index].base = (32 if field.startswith("f") else 0) + (8 if short else 0)
    for index, operand in enumerate(("rd", "rs1", "rs2")):
        for register in row.excluded.get(operand, ()):
            to.excluded[index] |= <uint32_t>1 << <int>register


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
    cdef bint narrow = (word & 3) != 3
    if narrow:
        i = word & 3 | (word >> 13 & 7) << 2
        numbers, first, last = table.narrow, table.narrow_start[i], table.narrow_start[i + 1]
    else:
        i = word >> 2 & 31 | (word >> 12 & 7) << 5
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


cdef struct Translation:    # the state of one translation
    Block* block
    const DecodeTable* table
    uint64_t pc             # of the instruction at hand
    int slot                # next free one
    bint ended


cdef Uop* emit(Translation* at, int opcode, int length) noexcept nogil:
    cdef Uop* uop = &at.block.uops[at.slot]
    cdef UopInfo* info = &at.block.info[at.slot]
    memset(uop, 0, sizeof(Uop))
    info.opcode = <uint16_t>opcode
    info.pc_offset = <uint16_t>(at.pc - at.block.pc)
    info.step = <uint8_t>at.block.steps
    info.length = <uint8_t>length
    at.slot += 1
    return uop


cdef Uop* emit_second_slot(Translation* at, int length) noexcept nogil:
    return emit(at, CONSTANT_SLOT, length)


cdef Uop* emit_helper(Translation* at, int helper, bint leaves, uint32_t word, int length) noexcept nogil:
    cdef Uop* uop = emit(at, UOP_CALL_LEAVE if leaves else UOP_CALL, length)
    uop.imm = helper
    emit_second_slot(at, length).imm = <int32_t>word
    at.ended |= leaves
    return uop


cdef void set_registers(Uop* uop, const DecodeRow* row, uint32_t word) noexcept nogil:
    cdef int rd = register_of(row, 0, word)
    uop.rd = <uint8_t>(rd if rd or not row.registers[0].used else SINK)
    uop.rs1 = <uint8_t>register_of(row, 1, word)
    uop.rs2 = <uint8_t>register_of(row, 2, word)


cdef void translate_fp(Translation* at, const DecodeRow* row, uint32_t word) noexcept nogil:
    """Choose the uop for the rounding mode, or the exact path."""
    cdef int rounding = word >> 12 & 7
    cdef int opcode = row.opcode
    cdef Uop* uop
    if row.rounds and RM_RMM < rounding < RM_DYN:
        emit_helper(at, at.table.illegal_helper, True, word, row.length)
        return
    if rounding == RM_RTZ and row.opcode_rtz >= 0:
        opcode = row.opcode_rtz
    elif row.exact_only or not (rounding == RM_RNE or rounding == RM_DYN and at.block.mode & MODE_FP_NEAREST):
        uop = emit_helper(at, at.table.operate_helper, False, word, row.length)
        set_registers(uop, row, word)
        uop[1].rd = <uint8_t>row.operation
        uop[1].rs1 = <uint8_t>register_of(row, 3, word)
        return
    uop = emit(at, opcode, row.length)
    set_registers(uop, row, word)
    if row.slots == 2:
        emit_second_slot(at, row.length).rs1 = <uint8_t>register_of(row, 3, word)


cdef void translate_one(Translation* at, uint32_t word, int length) noexcept nogil:
    cdef const DecodeRow* row = find_row(at.table, word)
    cdef Block* block = at.block
    cdef Uop* uop
    cdef int64_t immediate
    cdef uint32_t flags = 0
    if row == NULL or row.uses_f and not block.mode & MODE_FP_ON:
        emit_helper(at, at.table.illegal_helper, True, word, length)
        return
    if row.writes_f and not block.mode & MODE_FP_DIRTY:
        emit_helper(at, at.table.dirty_helper, True, word, length)
        return
    if row.operation >= 0 and row.kind != KIND_FP_CONSTANT:
        translate_fp(at, row, word)
        return
    if row.droppable and register_of(row, 0, word) == 0 or row.opcode == UOP_NOTHING:
        return
    if row.kind == KIND_HELPER or row.kind == KIND_CSR:
        # csrrs and csrrc with x0 (or 0) only read, and what they read may not end the block.
        emit_helper(at, row.helper, row.leaves and not (row.kind == KIND_CSR and word >> 13 & 1
                                                        and not word >> 15 & 31), word, length)
        return
    immediate = immediate_of(row, word)
    if not at.table.compressed and KIND_BRANCH <= row.kind <= KIND_INDIRECT:
        set_registers(emit_helper(at, at.table.checked_jump_helper, True, word, length), row, word)
        block.links[0].pc = at.pc + <uint64_t>immediate
        return
    uop = emit(at, row.opcode, length)
    set_registers(uop, row, word)
    if row.kind == KIND_PC_RELATIVE:
        emit_second_slot(at, length)
        (<uint64_t*>&uop[1].handler)[0] = at.pc + <uint64_t>immediate
        return
    if row.kind == KIND_FP_CONSTANT:
        emit_second_slot(at, length)
        (<uint64_t*>&uop[1].handler)[0] = fp_operate(row.operation, RM_RNE, <uint64_t>immediate, 0, 0, &flags)
        return
    if row.kind == KIND_BRANCH or row.kind == KIND_JUMP:
        block.links[0].pc = at.pc + <uint64_t>immediate
    else:
        uop.imm = <int32_t>immediate
        at.ended = row.kind == KIND_INDIRECT
        return
    at.ended = True


cdef int fetch(Cpu* cpu, uint64_t pc, uint64_t physical, uint32_t* word, uint64_t* second_page) noexcept nogil:
    """The instruction at pc, whose first half is at `physical`; 16 bits if compressed. `second_page` as in Block."""
    cdef uint64_t half = 0
    cdef uint64_t next_physical = physical + 2
    cdef bint crosses
    cdef int status = fetch_half(cpu, pc, physical, &half)
    second_page[0] = 0
    word[0] = <uint32_t>half
    if status != CONTINUE or half & 3 != 3:
        return status
    crosses = not (pc + 2) & (PAGE_SIZE - 1)
    if crosses or cpu.fetch_tlb[(pc >> PAGE_SHIFT) & (TLB_ENTRIES - 1)].exec_tag != (pc & PAGE_MASK):
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
    cdef int status
    if region != NULL:
        half[0] = (<uint16_t*>(region.host + (physical - region.base)))[0]
        return CONTINUE
    cpu.machine.timeline.steps = machine_steps(cpu)
    cpu.front_end.leave(cpu)
    status = device_read(cpu.machine.map, physical, 2, half)
    cpu.front_end.enter(cpu)
    if status == BUS_OK:
        return CONTINUE
    if status == BUS_FAULT:
        cpu.trap_cause = cpu.front_end.access_fault[EXECUTE]
        cpu.trap_value = pc
        return TRAP
    return ABANDON


cdef int decode_block(Cpu* cpu, const DecodeTable* table, Block* block, uint64_t physical, int limit) noexcept nogil:
    """Translate up to `limit` instructions at block.pc, up to a branch, the end of the page, or an instruction that
    crosses it, which is a block of its own."""
    cdef Translation at
    cdef uint32_t word
    cdef uint64_t second_page
    cdef int status, length
    at.block = block
    at.table = table
    at.pc = block.pc
    at.slot = 0
    at.ended = False
    block.steps = 0
    block.second_page = 0
    block.links[0].target = NULL
    block.links[1].target = NULL
    block.incoming_link = NULL
    block.dead = False
    while block.steps < limit and not at.ended and at.slot < MAX_BLOCK_UOPS - 4:
        status = fetch(cpu, at.pc, physical + (at.pc - block.pc), &word, &second_page)
        if status != CONTINUE or second_page and block.steps:
            if block.steps:
                break
            return status
        length = 4 if word & 3 == 3 else 2
        translate_one(&at, word, length)
        block.steps += 1
        at.pc += length
        block.second_page = second_page
        if not at.pc & (PAGE_SIZE - 1) or second_page:
            break
    block.size = <uint32_t>(at.pc - block.pc)
    block.links[1].pc = at.pc
    if not at.ended:
        emit(&at, UOP_FALL, 0)
    block.uop_count = <uint16_t>at.slot
    return CONTINUE
