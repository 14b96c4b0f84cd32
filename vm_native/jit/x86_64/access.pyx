"""Loads and stores.

A `PageEntry` is a copy of the TLB entry of the page that an address pointed into last. One comparison says whether the
access lies in that page and is aligned. Everything else is out of line: if it lies in the page all the same, it is
done; else the TLB is asked, and in the end the interpreter's function does the uop. Each base register has an entry of
its own in each data bank; a register that a trace computes anew, as compilers do with temporary addresses, takes one of
the others from there on, by the place of the computation. A pointer that a trace moves on by long strides changes its
page too often for an entry: it asks the TLB each time, and so does an access that has been found to roam
(page_trials.pyx).

An access of a draft calls what asks the TLB: its code is half as long. That is what counts in programs that run much
code rarely. So do accesses that are tested together, once; what is to be aligned is compiled as ever.

A store of a block whose stores have gone to a page that holds code asks a `StoreRange` instead, of the same number: the
bytes around the address that are none of code. That costs the same as long as it stays among them, and a call of
`fill_store_range` where it leaves them.

Loads, or stores, of one size that follow each other through one base register (a function saving registers) are tested
together: where the first and the last lie in the page, all do. Nothing may come between, as what is out of line could
revoke the page.
"""
from libc.stdint cimport int32_t, intptr_t, uint8_t, uint64_t
from vm_native.ir.block cimport Block, Uop, block_of, info_of
from vm_native.ir.uop cimport *
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.compilation cimport (
    ANY_ALIGNMENT, COLD_ACCESS, COLD_FALLBACK, COLD_GROUP, NATURAL, Alignment, Cold, Compilation, cold_jump, define,
    define_float, float_target, jump_if_unaligned, know_word, load_slot, load_tlb_entry, log2_of, new_cold, offset_of,
    range_offset, read_operand, read_slot, tag_offset, target_of,
)
from vm_native.line_marks cimport LINE_SHIFT, LOG2_MARK, MARKS
from vm_native.machine cimport BASE_REGISTERS, PAGE_ENTRIES, Cpu
from vm_native.memory.ram cimport PAGE_OFFSET, PAGE_SIZE
from vm_native.memory.tlb cimport READ, WRITE, PageEntry, StoreRange, TlbEntry


cdef enum:
    LONG_STRIDE = 768
    MIN_GROUP = 3           # accesses that are worth two tests
    MAX_GROUP = 16

cdef Access[UOP_COUNT] accesses
for _uop, _size, _kind, _opcode, _width in (
    (UOP_LB, 1, READ, MOVSX8, W64), (UOP_LH, 2, READ, MOVSX16, W64), (UOP_LW, 4, READ, MOVSXD, W64),
    (UOP_LD, 8, READ, MOV, W64), (UOP_LBU, 1, READ, MOVZX8, W32), (UOP_LHU, 2, READ, MOVZX16, W32),
    (UOP_LWU, 4, READ, MOV, W32), (UOP_FLW, 4, READ, VMOVSS, WIG),
    (UOP_SB, 1, WRITE, MOV8_TO, W32), (UOP_SH, 2, WRITE, MOV16_TO, W32), (UOP_SW, 4, WRITE, MOV_TO, W32),
    (UOP_SD, 8, WRITE, MOV_TO, W64),
):
    accesses[_uop].size, accesses[_uop].kind = _size, _kind
    accesses[_uop].opcode, accesses[_uop].width, accesses[_uop].boxed = _opcode, _width, _opcode == VMOVSS
    accesses[_uop].word = _size < 4 or _opcode == MOVSXD


cdef void choose_page_entry(Compilation* t, Uop* uop, int opcode, uint64_t pc) noexcept nogil:
    """After a uop at pc: what it wrote may be a pointer to somewhere else. One that moves on stays what it is."""
    if uop.rd < BASE_REGISTERS and not (opcode == UOP_ADDI and uop.rs1 == uop.rd):
        t.page_entries[uop.rd] = <uint8_t>(BASE_REGISTERS + (pc >> 1) * 0x9E3779B1U % (PAGE_ENTRIES - BASE_REGISTERS))


cdef void find_strides(Compilation* t, Block* part) noexcept nogil:
    """Note the base registers that this part moves by a good part of a page."""
    cdef int i
    cdef Uop* uop
    for i in range(part.uop_count):
        uop = &part.uops[i]
        if part.info[i].opcode == UOP_ADDI and uop.rd == uop.rs1 and not -LONG_STRIDE < uop.imm < LONG_STRIDE:
            t.strides[uop.rd] = True


cdef int32_t page_entry_offset(Compilation* t, int base) noexcept nogil:
    """Displacement from rbp of the PageEntry for what a base register holds now."""
    cdef int number = t.bank * PAGE_ENTRIES + t.page_entries[base]
    return offset_of(&(<Cpu*>NULL).page_entries) + number * <int32_t>sizeof(PageEntry)


cdef inline bint asks_tlb(Compilation* t, Uop* uop) noexcept nogil:
    """Whether an access has no use for a PageEntry."""
    return not t.jit.switches.page_entries or t.strides[uop.rs1] or info_of(uop).asks_tlb


cdef inline bint stores_beside_code(Compilation* t, Uop* uop, int kind) noexcept nogil:
    return kind == WRITE and block_of(uop).beside_code and t.jit.switches.page_entries and not t.strides[uop.rs1]


cdef int32_t store_range_offset(Compilation* t, int base) noexcept nogil:
    """The same of the StoreRange."""
    cdef int number = t.bank * PAGE_ENTRIES + t.page_entries[base]
    return offset_of(&(<Cpu*>NULL).store_ranges) + number * <int32_t>sizeof(StoreRange)


cdef void form_address(Compilation* t, int base, int32_t offset) noexcept nogil:
    if offset:
        op_memory(&t.e, LEA, W64, RAX, base, NO_INDEX, offset)
    else:
        op(&t.e, MOV, W64, RAX, base)


cdef void test_page(Compilation* t, Cold* cold, int kind, int size) noexcept nogil:
    """Whether the address in rax, which is lost, lies in a PageEntry's page and is aligned; else to the cold part."""
    op_constant(&t.e, AND_CONSTANT, W64, RAX, ~PAGE_OFFSET | (size - 1))
    op_memory(&t.e, CMP, W64, RAX, RBP, NO_INDEX, cold.page_entry_offset + tag_offset(kind))
    cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))


cdef void test_tlb(Compilation* t, Cold* cold, int kind, int size) noexcept nogil:
    """The same of the TLB; rcx is what to add then."""
    load_tlb_entry(&t.e, RCX)
    op_constant(&t.e, AND_CONSTANT, W64, RAX, ~PAGE_OFFSET | (size - 1))
    op_memory(&t.e, CMP, W64, RAX, RCX, NO_INDEX, tag_offset(kind))
    cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))
    op_memory(&t.e, MOV, W64, RCX, RCX, NO_INDEX, <int32_t><intptr_t>&(<TlbEntry*>NULL).addend)


cdef void test_range(Compilation* t, Cold* cold, int32_t store_range, int size) noexcept nogil:
    """Whether a store to the address in rax, which is lost, lies in a StoreRange; else to the cold part."""
    op_memory(&t.e, SUB, W64, RAX, RBP, NO_INDEX, store_range + <int32_t><intptr_t>&(<StoreRange*>NULL).start)
    op_memory(&t.e, CMP, W64, RAX, RBP, NO_INDEX, range_offset(store_range, size))
    cold_jump(cold, jump_if(&t.e, IF_NOT_BELOW, NULL))


cdef void load_range_addend(Compilation* t, int32_t store_range) noexcept nogil:
    op_memory(&t.e, MOV, W64, RCX, RBP, NO_INDEX, store_range + <int32_t><intptr_t>&(<StoreRange*>NULL).addend)


cdef int emit_page_test(
    Compilation* t, Uop* uop, int size, int kind, Alignment alignment, Cold** cold
) noexcept nogil:
    """The test of the page. Gives the base register; rcx is what to add to it, besides the offset."""
    cdef PageEntry* entry = NULL
    cdef Emitter* e = &t.e
    cdef int base = read_slot(t, uop.rs1, RDX)
    if t.compact and alignment == ANY_ALIGNMENT and not stores_beside_code(t, uop, kind):
        form_address(t, base, uop.imm)
        call(e, t.jit.stubs.find_page[t.floats][kind][log2_of(size)])
        cold[0] = new_cold(t, COLD_FALLBACK, uop)       # there is nowhere else to look
        cold_jump(cold[0], jump_if(e, IF_NOT_EQUAL, NULL))
        return base
    cold[0] = new_cold(t, COLD_ACCESS, uop)
    cold[0].size = size
    cold[0].access = kind
    cold[0].alignment = alignment
    cold[0].low = uop.imm
    cold[0].page_entry_offset = page_entry_offset(t, uop.rs1)
    cold[0].has_page_entry = not asks_tlb(t, uop)
    cold[0].beside_code = stores_beside_code(t, uop, kind)
    form_address(t, base, uop.imm)
    if cold[0].beside_code:
        cold[0].page_entry_offset = store_range_offset(t, uop.rs1)
        if alignment == NATURAL:
            cold_jump(cold[0], jump_if_unaligned(e, size))
        test_range(t, cold[0], cold[0].page_entry_offset, size)
        cold[0].found = here(e)
        load_range_addend(t, cold[0].page_entry_offset)
        return base
    if cold[0].has_page_entry:
        test_page(t, cold[0], kind, size)
        op_memory(e, MOV, W64, RCX, RBP, NO_INDEX, cold[0].page_entry_offset + <int32_t><intptr_t>&entry.addend)
        cold[0].found = here(e)
        return base
    test_tlb(t, cold[0], kind, size)
    cold[0].found = here(e)
    return base


cdef void load(Compilation* t, Uop* uop, const Access* access, int base) noexcept nogil:
    cdef int target
    if access.boxed:
        target = float_target(t, uop.rd, XMM0)
        vex_memory(&t.e, VMOVSS, WIG, target, NO_SOURCE, base, RCX, uop.imm)
        vex_literal(&t.e, VORPS, target, target, t.jit.stubs.box)
        define_float(t, uop.rd, target, SINGLE)
    elif t.floating[uop.rd] >= 0:
        vex_memory(&t.e, VMOVSD, WIG, t.floating[uop.rd], NO_SOURCE, base, RCX, uop.imm)
        t.boxed[uop.rd] = False
    else:
        target = target_of(t, uop.rd, RAX)
        op_memory(&t.e, access.opcode, access.width, target, base, RCX, uop.imm)
        define(t, uop.rd, target)
        if access.word:
            know_word(t, uop.rd)


cdef void find_line(Compilation* t, int reg, int base, int index, int32_t offset) noexcept nogil:
    """Where harts have threads: let a register say where the LineMark of a host address is, seen from `t.marks`."""
    op_memory(&t.e, LEA, W64, reg, base, index, offset)
    shift_constant(&t.e, SHR, W32, reg, LINE_SHIFT - LOG2_MARK)
    op_constant(&t.e, AND_CONSTANT, W32, reg, MARKS - 1 << LOG2_MARK)


cdef void announce(Compilation* t, int base, int32_t offset) noexcept nogil:
    """Where harts have threads: `announce_store` of what is about to be stored there, behind rcx. rax is lost."""
    if t.marks:
        find_line(t, RAX, base, RCX, offset)
        op_memory(&t.e, MOV_TO, W64, RBP, RAX, NO_INDEX, t.marks)


cdef void announce_all(Compilation* t, int base, int32_t offset, int32_t size) noexcept nogil:
    """The same of stores that may lie in several lines."""
    cdef int32_t at = 0
    while at < size - 1:
        announce(t, base, offset + at)
        at += 1 << LINE_SHIFT
    announce(t, base, offset + size - 1)


cdef void store(Compilation* t, Uop* uop, const Access* access, int base) noexcept nogil:
    cdef int value
    announce(t, base, uop.imm)
    if uop.rs2 == t.jit.front_end.zero:
        store_constant(&t.e, access.size, base, RCX, uop.imm, 0)
    elif access.size >= 4 and t.floating[uop.rs2] >= 0:
        vex_memory(&t.e, VMOVSD_TO if access.size == 8 else VMOVSS_TO, WIG, t.floating[uop.rs2],
                   NO_SOURCE, base, RCX, uop.imm)
    else:
        value = read_operand(t, access.width, uop.rs2, RAX)
        op_memory(&t.e, access.opcode, access.width, value, base, RCX, uop.imm)


cdef void transfer(Compilation* t, Uop* uop, const Access* access, int base) noexcept nogil:
    """Nothing but the load or the store: rcx is what to add to the base register, besides the offset."""
    if access.kind == WRITE:
        store(t, uop, access, base)
    else:
        load(t, uop, access, base)


cdef bint asks_window(Compilation* t, Block* part, Uop* uop, int opcode, Access* access) noexcept nogil:
    """Whether the uop is one of these and asks a window; then, how it moves data."""
    access[0] = accesses[opcode]
    return (
        t.windows and access.size and uop.rs1 < BASE_REGISTERS and uop.rs1 != t.jit.front_end.zero
        and (not access.boxed or t.jit.switches.floats)
        and not part.outside_window and (access.kind == READ or not part.beside_code)
    )


cdef bint emit_access(Compilation* t, Uop* uop, int opcode) noexcept nogil:
    """Whether the uop is one of these; then it has been emitted."""
    cdef const Access* access = &accesses[opcode]
    cdef Cold* cold
    # What is not aligned may lie in two lines: so here only one is to be announced.
    cdef Alignment alignment = NATURAL if t.marks and access.kind == WRITE else ANY_ALIGNMENT
    if not access.size or uop.rs1 >= BASE_REGISTERS or access.boxed and not t.jit.switches.floats:
        return False
    transfer(t, uop, access, emit_page_test(t, uop, access.size, access.kind, alignment, &cold))
    cold.done = here(&t.e)
    return True


cdef bint emit_block_zeroing(Compilation* t, Uop* uop, int opcode) noexcept nogil:
    """Whether the uop is a call that zeroes the naturally aligned 64 bytes around an address; then it has been emitted.

    It asks the TLB: whoever zeroes pages comes to another one soon.
    """
    cdef Emitter* e = &t.e
    cdef Cold* cold
    cdef int32_t offset
    if opcode != UOP_CALL or uop.imm != t.jit.front_end.zeroing_helper or t.sink_counts:
        return False
    cold = new_cold(t, COLD_FALLBACK, uop)
    op_constant_memory(e, CMP_CONSTANT, W32, RBP, offset_of(&(<Cpu*>NULL).may_zero_blocks), 0)
    cold_jump(cold, jump_if(e, IF_EQUAL, NULL))
    load_slot(t, RDX, uop.rs1)
    op_constant(e, AND_CONSTANT, W64, RDX, -64)
    op(e, MOV, W64, RAX, RDX)
    test_tlb(t, cold, WRITE, 1)
    announce(t, RDX, 0)
    vex(e, VXORPS, WIG, XMM0, XMM0, XMM0)
    for offset in range(0, 64, 16):
        vex_memory(e, VMOVUPS_TO, WIG, XMM0, NO_SOURCE, RDX, RCX, offset)
    cold.done = here(e)
    return True


# --- Groups ----------------------------------------------------------------------------------------------------------

cdef int group_length(Compilation* t, Block* part, int first, int* lowest, int* highest) noexcept nogil:
    """How many accesses from here on may be tested together; which of them are at the ends."""
    cdef const Access* access = &accesses[part.info[first].opcode]
    cdef Uop* uop = &part.uops[first]
    cdef int base = uop.rs1, i = first
    cdef int32_t offset = uop.imm
    lowest[0] = highest[0] = first
    if not access.size or base >= BASE_REGISTERS or base == t.jit.front_end.zero:
        return 0
    if not t.jit.switches.grouping or asks_tlb(t, uop):
        return 0
    while i < part.uop_count and i < first + MAX_GROUP:
        uop = &part.uops[i]
        if (
            accesses[part.info[i].opcode].size != access.size
            or accesses[part.info[i].opcode].kind != access.kind
            or accesses[part.info[i].opcode].boxed and not t.jit.switches.floats
            or uop.rs1 != base
            or part.info[i].asks_tlb
            or (uop.imm - offset) % access.size
        ):
            break
        if uop.imm < part.uops[lowest[0]].imm:
            lowest[0] = i
        if uop.imm > part.uops[highest[0]].imm:
            highest[0] = i
        i += 1
        if access.kind == READ and uop.rd == base:
            break
    if part.uops[highest[0]].imm - part.uops[lowest[0]].imm >= PAGE_SIZE:
        return 0
    return i - first


cdef int emit_group(Compilation* t, Block* part, int first) noexcept nogil:
    """How many accesses have been emitted as a group: 0 if none begins here."""
    cdef Cold* cold
    cdef PageEntry* entry = NULL
    cdef Emitter* e = &t.e
    cdef int lowest, highest, base, i
    cdef int count = group_length(t, part, first, &lowest, &highest)
    cdef const Access* access = &accesses[part.info[first].opcode]
    if count < MIN_GROUP:
        return 0
    base = read_slot(t, part.uops[first].rs1, RDX)
    cold = new_cold(t, COLD_GROUP, &part.uops[first])
    cold.count = count
    if stores_beside_code(t, &part.uops[first], access.kind):
        cold.page_entry_offset = store_range_offset(t, part.uops[first].rs1)
        form_address(t, base, part.uops[lowest].imm)
        test_range(t, cold, cold.page_entry_offset, access.size)
        form_address(t, base, part.uops[highest].imm)
        test_range(t, cold, cold.page_entry_offset, access.size)
        load_range_addend(t, cold.page_entry_offset)
    elif t.compact:
        form_address(t, base, part.uops[lowest].imm)
        if t.marks and access.kind == WRITE:                # each is to lie in one line
            cold_jump(cold, jump_if_unaligned(e, access.size))
        load_constant(e, RCX, PAGE_SIZE - access.size - (part.uops[highest].imm - part.uops[lowest].imm))
        call(e, t.jit.stubs.probe_tlb[t.floats][access.kind])
        cold_jump(cold, jump_if(e, IF_NOT_EQUAL, NULL))
        base = read_slot(t, part.uops[first].rs1, RDX)      # the stub changes rdx
    else:
        cold.page_entry_offset = page_entry_offset(t, part.uops[first].rs1)
        form_address(t, base, part.uops[lowest].imm)
        test_page(t, cold, access.kind, access.size)
        form_address(t, base, part.uops[highest].imm)
        test_page(t, cold, access.kind, 1)
        op_memory(e, MOV, W64, RCX, RBP, NO_INDEX, cold.page_entry_offset + <int32_t><intptr_t>&entry.addend)
    for i in range(first, first + count):
        transfer(t, &part.uops[i], &accesses[part.info[i].opcode], base)
    cold.done = here(e)
    cold.page_entry = t.page_entries[part.uops[first].rs1]
    return count


cdef void emit_one_by_one(Compilation* t, Cold* cold) noexcept nogil:
    """Out of line: the accesses of a group, each with a test of its own."""
    cdef int i
    t.refund, t.edges = cold.refund, cold.edges
    t.page_entries[cold.uop.rs1] = cold.page_entry
    for i in range(cold.count):
        emit_access(t, &cold.uop[i], info_of(&cold.uop[i]).opcode)
