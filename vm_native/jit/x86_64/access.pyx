"""Loads and stores.

A `PageEntry` is a copy of the TLB entry of the page that an address pointed into last. One comparison says whether the
access lies in that page and is aligned. Everything else is out of line: if it lies in the page all the same, it is
done; else the TLB is asked, and in the end the interpreter's function does the uop. Each base register has a slot of
its own in each data bank; a register that a trace computes anew, as compilers do with temporary addresses, takes one of
the others from there on, by the place of the computation. A pointer that a trace moves on by long strides changes its
page too often for a slot: it asks the TLB each time.

Loads, or stores, of one size that follow each other through one base register (a function saving registers) are tested
together: where the first and the last lie in the page, all do. Nothing may come between, as what is out of line could
revoke the page.
"""
from libc.stdint cimport int32_t, intptr_t, uint8_t, uint64_t
from vm_native.memory.ram cimport PAGE_SHIFT
from vm_native.machine cimport BASE_REGISTERS, PAGE_ENTRIES, Cpu
from vm_native.memory.tlb cimport PageEntry, TlbEntry
from vm_native.ir.block cimport Block, Uop, info_of
from vm_native.ir.uop cimport *
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.translation cimport (
    COLD_ACCESS, COLD_GROUP, Cold, Job, cold_jump, find_entry, float_target, new_cold, place_of, read_slot, tag_of,
    target_of, wrote, wrote_float,
)


cdef enum:
    LONG_STRIDE = 768
    MIN_GROUP = 3           # accesses that are worth two tests
    MAX_GROUP = 16

cdef struct Access:         # how a uop moves data
    int size                # bytes; 0: it is none of these
    bint write
    int opcode              # of the host's instruction
    bint wide
    bint boxed              # loads a single

cdef Access[UOP_COUNT] accesses
for _uop, _size, _write, _opcode, _wide in (
    (UOP_LB, 1, False, MOVSX8, True), (UOP_LH, 2, False, MOVSX16, True), (UOP_LW, 4, False, MOVSXD, True),
    (UOP_LD, 8, False, MOV, True), (UOP_LBU, 1, False, MOVZX8, False), (UOP_LHU, 2, False, MOVZX16, False),
    (UOP_LWU, 4, False, MOV, False), (UOP_FLW, 4, False, VMOVSS, False),
    (UOP_SB, 1, True, MOV8_TO, False), (UOP_SH, 2, True, MOV16_TO, False), (UOP_SW, 4, True, MOV_TO, False),
    (UOP_SD, 8, True, MOV_TO, True),
):
    accesses[_uop].size, accesses[_uop].write = _size, _write
    accesses[_uop].opcode, accesses[_uop].wide, accesses[_uop].boxed = _opcode, _wide, _uop == UOP_FLW


cdef void choose_slot(Job* job, Uop* uop, int opcode, uint64_t pc) noexcept nogil:
    """After a uop at pc: what it wrote may be a pointer to somewhere else. One that moves on stays what it is."""
    if uop.rd < BASE_REGISTERS and not (opcode == UOP_ADDI and uop.rs1 == uop.rd):
        job.slots[uop.rd] = <uint8_t>(BASE_REGISTERS + (pc >> 1) * 0x9E3779B1U % (PAGE_ENTRIES - BASE_REGISTERS))


cdef void find_strides(Job* job, Block* part) noexcept nogil:
    """Note the base registers that this part moves by a good part of a page."""
    cdef int i
    cdef Uop* uop
    for i in range(part.uop_count):
        uop = &part.uops[i]
        if part.info[i].opcode == UOP_ADDI and uop.rd == uop.rs1 and not -LONG_STRIDE < uop.imm < LONG_STRIDE:
            job.strides[uop.rd] = True


cdef int32_t slot_of(Job* job, int base) noexcept nogil:
    """Displacement from rbp of the PageEntry for what a base register holds now."""
    return place_of(&(<Cpu*>NULL).page_entries) + (job.bank * PAGE_ENTRIES + job.slots[base]) * <int32_t>sizeof(PageEntry)


cdef void form_address(Job* job, int base, int32_t offset) noexcept nogil:
    if offset:
        op_memory(&job.e, LEA, True, RAX, base, NO_INDEX, offset)
    else:
        op(&job.e, MOV, True, RAX, base)


cdef int check(Job* job, Uop* uop, int size, bint write, Cold** cold) noexcept nogil:
    """Emit the test of the page. Gives the base register; rcx is what to add to it, besides the offset."""
    cdef PageEntry* slot = NULL
    cdef Emitter* e = &job.e
    cdef int base = read_slot(job, uop.rs1, RDX)
    cold[0] = new_cold(job, COLD_ACCESS, uop)
    cold[0].size = size
    cold[0].write = write
    cold[0].aligned = False
    cold[0].slot = slot_of(job, uop.rs1)
    cold[0].has_slot = job.jit.switches.slots and not job.strides[uop.rs1]
    form_address(job, base, uop.imm)
    if cold[0].has_slot:
        op_constant(e, AND_CONSTANT, True, RAX, -4096 | (size - 1))
        op_memory(e, CMP, True, RAX, RBP, NO_INDEX, cold[0].slot + tag_of(write))
        cold_jump(cold[0], jump_if(e, IF_NOT_EQUAL, NULL))
        op_memory(e, MOV, True, RCX, RBP, NO_INDEX, cold[0].slot + <int32_t><intptr_t>&slot.addend)
        cold[0].found = here(e)
        return base
    find_entry(e, RCX)
    op_constant(e, AND_CONSTANT, True, RAX, -4096 | (size - 1))
    op_memory(e, CMP, True, RAX, RCX, NO_INDEX, tag_of(write))
    cold_jump(cold[0], jump_if(e, IF_NOT_EQUAL, NULL))
    op_memory(e, MOV, True, RCX, RCX, NO_INDEX, <int32_t><intptr_t>&(<TlbEntry*>NULL).addend)
    return base


cdef void load(Job* job, Uop* uop, const Access* access, int base) noexcept nogil:
    cdef int target
    if access.boxed:
        target = float_target(job, uop.rd, 0)
        vex_memory(&job.e, VMOVSS, False, target, 0, base, RCX, uop.imm)
        vex_literal(&job.e, VORPS, target, target, job.jit.upper_ones)
        wrote_float(job, uop.rd, target, True)
    elif job.floating[uop.rd] >= 0:
        vex_memory(&job.e, VMOVSD, False, job.floating[uop.rd], 0, base, RCX, uop.imm)
        job.boxed[uop.rd] = False
    else:
        target = target_of(job, uop.rd, RAX)
        op_memory(&job.e, access.opcode, access.wide, target, base, RCX, uop.imm)
        wrote(job, uop.rd, target)


cdef void store(Job* job, Uop* uop, const Access* access, int base) noexcept nogil:
    if uop.rs2 == job.jit.zero:
        store_constant(&job.e, access.size, base, RCX, uop.imm, 0)
    elif access.size >= 4 and job.floating[uop.rs2] >= 0:
        vex_memory(&job.e, VMOVSD_TO if access.size == 8 else VMOVSS_TO, False, job.floating[uop.rs2], 0, base, RCX,
                   uop.imm)
    else:
        op_memory(&job.e, access.opcode, access.wide, read_slot(job, uop.rs2, RAX), base, RCX, uop.imm)


cdef inline void transfer(Job* job, Uop* uop, const Access* access, int base) noexcept nogil:
    if access.write:
        store(job, uop, access, base)
    else:
        load(job, uop, access, base)


cdef bint emit_access(Job* job, Uop* uop, int opcode) noexcept nogil:
    """Whether the uop is one of these; then it has been emitted."""
    cdef const Access* access = &accesses[opcode]
    cdef Cold* cold
    if not access.size or uop.rs1 >= BASE_REGISTERS or access.boxed and not job.jit.switches.floats:
        return False
    transfer(job, uop, access, check(job, uop, access.size, access.write, &cold))
    cold.done = here(&job.e)
    return True


# --- Groups ----------------------------------------------------------------------------------------------------------

cdef int group_length(Job* job, Block* part, int first, int* lowest, int* highest) noexcept nogil:
    """How many accesses from here on may be tested together; which of them are at the ends."""
    cdef const Access* access = &accesses[part.info[first].opcode]
    cdef Uop* uop = &part.uops[first]
    cdef int base = uop.rs1, i = first
    cdef int32_t offset = uop.imm
    lowest[0] = highest[0] = first
    if not access.size or base >= BASE_REGISTERS or base == job.jit.zero or job.strides[base]:
        return 0
    if not job.jit.switches.slots or not job.jit.switches.grouping:
        return 0
    while i < part.uop_count and i < first + MAX_GROUP:
        uop = &part.uops[i]
        if (
            accesses[part.info[i].opcode].size != access.size
            or accesses[part.info[i].opcode].write != access.write
            or accesses[part.info[i].opcode].boxed and not job.jit.switches.floats
            or uop.rs1 != base
            or (uop.imm - offset) % access.size
        ):
            break
        if uop.imm < part.uops[lowest[0]].imm:
            lowest[0] = i
        if uop.imm > part.uops[highest[0]].imm:
            highest[0] = i
        i += 1
        if not access.write and uop.rd == base:
            break
    if part.uops[highest[0]].imm - part.uops[lowest[0]].imm >= 1 << PAGE_SHIFT:
        return 0
    return i - first


cdef int emit_group(Job* job, Block* part, int first) noexcept nogil:
    """How many accesses have been emitted as a group: 0 if none begins here."""
    cdef Cold* cold
    cdef PageEntry* slot = NULL
    cdef Emitter* e = &job.e
    cdef int lowest, highest, base, i
    cdef int count = group_length(job, part, first, &lowest, &highest)
    cdef const Access* access = &accesses[part.info[first].opcode]
    if count < MIN_GROUP:
        return 0
    base = read_slot(job, part.uops[first].rs1, RDX)
    cold = new_cold(job, COLD_GROUP, &part.uops[first])
    cold.count = count
    cold.slot = slot_of(job, part.uops[first].rs1)
    form_address(job, base, part.uops[lowest].imm)
    op_constant(e, AND_CONSTANT, True, RAX, -4096 | (access.size - 1))
    op_memory(e, CMP, True, RAX, RBP, NO_INDEX, cold.slot + tag_of(access.write))
    cold_jump(cold, jump_if(e, IF_NOT_EQUAL, NULL))
    form_address(job, base, part.uops[highest].imm)
    op_constant(e, AND_CONSTANT, True, RAX, -4096)
    op_memory(e, CMP, True, RAX, RBP, NO_INDEX, cold.slot + tag_of(access.write))
    cold_jump(cold, jump_if(e, IF_NOT_EQUAL, NULL))
    op_memory(e, MOV, True, RCX, RBP, NO_INDEX, cold.slot + <int32_t><intptr_t>&slot.addend)
    for i in range(first, first + count):
        transfer(job, &part.uops[i], &accesses[part.info[i].opcode], base)
    cold.done = here(e)
    cold.page_slot = job.slots[part.uops[first].rs1]
    return count


cdef void emit_one_by_one(Job* job, Cold* cold) noexcept nogil:
    """Out of line: the accesses of a group, each with a test of its own."""
    cdef int i
    job.refund = cold.refund
    job.slots[cold.uop.rs1] = cold.page_slot
    for i in range(cold.count):
        emit_access(job, &cold.uop[i], info_of(&cold.uop[i]).opcode)
