"""Loads, stores and the simplest atomics.

A `PageSlot` is a copy of the TLB entry of the page that an address pointed into last. One comparison says whether the
access lies in that page and is aligned. Everything else is out of line: first the TLB is asked, then the interpreter's
function does the uop. Each base register has a slot of its own in each data bank; a register that a trace computes
anew, as compilers do with temporary addresses, takes one of the others from there on, by the place of the computation.
A pointer that a trace moves on by long strides changes its page too often for a slot: it asks the TLB each time.
"""
from libc.stdint cimport int32_t, intptr_t, uint8_t, uint64_t
from vm_native.cpu cimport BASE_REGISTERS, PAGE_SLOTS, TLB_ENTRIES, Cpu, PageSlot, TlbEntry
from vm_native.ir cimport Block, Uop
from vm_native.jit.job cimport (
    COLD_ACCESS, Cold, Job, cold_jump, float_target, load_slot, new_cold, place_of, read_slot, target_of,
    wrote, wrote_float,
)
from vm_native.jit.x86_64 cimport *

include "uop_enum.pxi"

cdef enum:
    PAGE_BITS = 12
    LONG_STRIDE = 768


cdef void choose_slot(Job* job, Uop* uop, int opcode, uint64_t pc) noexcept nogil:
    """After a uop at pc: what it wrote may be a pointer to somewhere else. One that moves on stays what it is."""
    if uop.rd < BASE_REGISTERS and not (opcode == UOP_ADDI and uop.rs1 == uop.rd):
        job.slots[uop.rd] = <uint8_t>(BASE_REGISTERS + (pc >> 1) * 0x9E3779B1U % (PAGE_SLOTS - BASE_REGISTERS))


cdef void find_strides(Job* job, Block* part) noexcept nogil:
    """Note the base registers that this part moves by a good part of a page."""
    cdef int i
    cdef Uop* uop
    for i in range(part.uop_count):
        uop = &part.uops[i]
        if part.info[i].opcode == UOP_ADDI and uop.rd == uop.rs1 and not -LONG_STRIDE < uop.imm < LONG_STRIDE:
            job.strides[uop.rd] = True


cdef int check(Job* job, Uop* uop, int size, bint write, Cold** cold, int32_t* offset) noexcept nogil:
    """Emit the test of the page. Gives the base register; rcx is what to add to it, besides the offset."""
    cdef int32_t place = place_of(&(<Cpu*>NULL).slots)
    cdef PageSlot* slot = NULL
    cdef Emitter* e = &job.e
    cdef int base
    cold[0] = new_cold(job, COLD_ACCESS, uop)
    cold[0].size = size
    cold[0].write = write
    place += (job.bank * PAGE_SLOTS + job.slots[uop.rs1]) * <int32_t>sizeof(PageSlot)
    cold[0].slot = place
    base = read_slot(job, uop.rs1, RDX)
    offset[0] = uop.imm
    if uop.imm:
        op_memory(e, LEA, True, RAX, base, NO_INDEX, uop.imm)
    else:
        op(e, MOV, True, RAX, base)
    cold[0].has_slot = job.jit.switches.slots and not job.strides[uop.rs1]
    if cold[0].has_slot:
        op_constant(e, AND_CONSTANT, True, RAX, -4096 | (size - 1))
        op_memory(e, CMP, True, RAX, RBP, NO_INDEX,
                  place + <int32_t><intptr_t>(&slot.write_tag if write else &slot.read_tag))
        cold_jump(cold[0], jump_if(e, IF_NOT_EQUAL, NULL))
        op_memory(e, MOV, True, RCX, RBP, NO_INDEX, place + <int32_t><intptr_t>&slot.addend)
        cold[0].found = here(e)
        return base
    # The TLB itself: index, tag, addend.
    op(e, MOV, True, RCX, RAX)
    shift_constant(e, SHR, True, RCX, PAGE_BITS)
    op_constant(e, AND_CONSTANT, False, RCX, TLB_ENTRIES - 1)
    shift_constant(e, SHL, True, RCX, 5)
    op_memory(e, ADD, True, RCX, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).tlb))
    op_constant(e, AND_CONSTANT, True, RAX, -4096 | (size - 1))
    op_memory(e, CMP, True, RAX, RCX, NO_INDEX,
              <int32_t><intptr_t>(&(<TlbEntry*>NULL).write_tag if write else &(<TlbEntry*>NULL).read_tag))
    cold_jump(cold[0], jump_if(e, IF_NOT_EQUAL, NULL))
    op_memory(e, MOV, True, RCX, RCX, NO_INDEX, <int32_t><intptr_t>&(<TlbEntry*>NULL).addend)
    return base


cdef void load(Job* job, Uop* uop, int opcode, bint wide, int size) noexcept nogil:
    cdef Cold* cold
    cdef int32_t offset
    cdef int base = check(job, uop, size, False, &cold, &offset)
    cdef int target
    if job.floating[uop.rd] >= 0:
        vex_memory(&job.e, VMOVSD, False, job.floating[uop.rd], 0, base, RCX, offset)
        job.boxed[uop.rd] = False
    else:
        target = target_of(job, uop.rd, RAX)
        op_memory(&job.e, opcode, wide, target, base, RCX, offset)
        wrote(job, uop.rd, target)
    cold.done = here(&job.e)


cdef void load_single(Job* job, Uop* uop) noexcept nogil:
    cdef Cold* cold
    cdef int32_t offset
    cdef int base = check(job, uop, 4, False, &cold, &offset)
    cdef int target = float_target(job, uop.rd, 0)
    vex_memory(&job.e, VMOVSS, False, target, 0, base, RCX, offset)
    vex_literal(&job.e, VORPS, target, target, job.jit.upper_ones)
    wrote_float(job, uop.rd, target, True)
    cold.done = here(&job.e)


cdef void store(Job* job, Uop* uop, int opcode, bint wide, int size) noexcept nogil:
    cdef Cold* cold
    cdef int32_t offset
    cdef int base = check(job, uop, size, True, &cold, &offset)
    if uop.rs2 == job.jit.zero:
        store_constant(&job.e, size, base, RCX, offset, 0)
    elif size >= 4 and job.floating[uop.rs2] >= 0:
        vex_memory(&job.e, VMOVSD_TO if size == 8 else VMOVSS_TO, False, job.floating[uop.rs2], 0, base, RCX, offset)
    else:
        op_memory(&job.e, opcode, wide, read_slot(job, uop.rs2, RAX), base, RCX, offset)
    cold.done = here(&job.e)


cdef void exchange_add(Job* job, Uop* uop, bint wide, bint swap) noexcept nogil:
    """amoadd, amoswap: the host's own."""
    cdef Cold* cold
    cdef int32_t offset
    cdef int base = check(job, uop, 8 if wide else 4, True, &cold, &offset)
    load_slot(job, RAX, uop.rs2)
    op_memory(&job.e, XCHG if swap else LOCK_XADD, wide, RAX, base, RCX, 0)
    if not wide:
        op(&job.e, MOVSXD, True, RAX, RAX)
    wrote(job, uop.rd, RAX)
    cold.done = here(&job.e)


cdef bint emit_access(Job* job, Uop* uop, int opcode) noexcept nogil:
    """Whether the uop is one of these; then it has been emitted."""
    if uop.rs1 >= BASE_REGISTERS: return False
    if opcode == UOP_LB: load(job, uop, MOVSX8, True, 1)
    elif opcode == UOP_LH: load(job, uop, MOVSX16, True, 2)
    elif opcode == UOP_LW: load(job, uop, MOVSXD, True, 4)
    elif opcode == UOP_LD: load(job, uop, MOV, True, 8)
    elif opcode == UOP_LBU: load(job, uop, MOVZX8, False, 1)
    elif opcode == UOP_LHU: load(job, uop, MOVZX16, False, 2)
    elif opcode == UOP_LWU: load(job, uop, MOV, False, 4)
    elif opcode == UOP_FLW and job.jit.switches.floats: load_single(job, uop)
    elif opcode == UOP_SB: store(job, uop, MOV8_TO, False, 1)
    elif opcode == UOP_SH: store(job, uop, MOV16_TO, False, 2)
    elif opcode == UOP_SW: store(job, uop, MOV_TO, False, 4)
    elif opcode == UOP_SD: store(job, uop, MOV_TO, True, 8)
    elif opcode == UOP_AMOADD_W: exchange_add(job, uop, False, False)
    elif opcode == UOP_AMOADD_D: exchange_add(job, uop, True, False)
    elif opcode == UOP_AMOSWAP_W: exchange_add(job, uop, False, True)
    elif opcode == UOP_AMOSWAP_D: exchange_add(job, uop, True, True)
    else:
        return False
    return True
