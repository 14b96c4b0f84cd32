# One compilation, and guest registers as the emitting modules see them. rax, rcx, rdx and xmm0 to xmm2 hold none: they
# are for the uop at hand.
from libc.stdint cimport int8_t, int32_t, intptr_t, uint8_t, uint32_t, uint64_t
from vm_native.memory.ram cimport PAGE_SHIFT
from vm_native.memory.tlb cimport TLB_ENTRIES, PageEntry
from vm_native.machine cimport BASE_REGISTERS, Cpu
from vm_native.hart_state cimport REGISTER_SLOTS
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.state cimport HOST_FLOATS, HOST_REGISTERS, Code, Jit
from vm_native.jit.x86_64.assembler cimport (
    ADD, AND_CONSTANT, MOV, MOV_TO, NO_INDEX, RAX, RBP, SHL, SHR, VMOVAPS, VMOVQ, VMOVQ_TO, VMOVSD, VMOVSD_TO, XOR,
    Emitter, op, op_constant, op_memory, shift_constant, vex, vex_memory,
)

cdef enum:
    BIAS = 128              # rbp points here in the Cpu: the first 32 slots are within a one-byte displacement
    LOG2_ENTRY = 5          # of the size of a TlbEntry, a JumpCacheEntry; asserted in compiler.pyx
    MAX_COLD = 512
    MAX_COLD_OF_UOP = 20    # at most, also of a group of accesses
    MAX_COLD_JUMPS = 4
    MAX_SWAPS = HOST_REGISTERS + HOST_FLOATS

cdef enum ColdKind:         # what is done out of line, behind the trace
    COLD_PERFORM            # let the interpreter's function do this uop
    COLD_UNBOXED            # the same, then leave: what follows takes the operands for boxed
    COLD_ACCESS             # fetch the page into the slot and go on, or COLD_PERFORM
    COLD_GROUP              # do the accesses of a group one by one
    COLD_NAN_SINGLE         # the result is the canonical NaN
    COLD_NAN_DOUBLE
    COLD_SIDE_EXIT          # give back the steps of the parts that are not run, leave by an exit
    COLD_OUTSIDE            # the same, to another page
    COLD_LOOP               # give back the steps, go on at the head
    COLD_BUDGET             # the budget does not last: undo, leave at the head

cdef struct Cold:
    ColdKind kind
    int jump_count
    uint8_t* jumps[MAX_COLD_JUMPS]      # displacements that shall lead here
    uint8_t* found          # executable addresses of the hot code: go on with the page, or behind the uop
    uint8_t* done
    bint has_slot           # an access asks a PageEntry, not the TLB
    int32_t slot            # displacement of that
    uint8_t page_slot       # number of that, for the accesses of a group
    int count               # of these
    Uop* uop
    int refund
    int size                # of an access
    bint write
    bint aligned            # it has to be
    int xmm
    uint64_t pc             # where an exit leads
    int exit                # its number

cdef struct Swap:           # a host register that holds another slot in this trace than everywhere else
    bint floats
    int host
    int home                # the slot it holds elsewhere
    int guest               # the slot it holds here

cdef struct Job:
    Emitter e
    Jit* jit
    Code* code
    bint floats             # floating-point state is on
    int bank                # of data
    int steps               # of the whole trace
    int refund              # steps of the parts behind the one at hand
    int8_t general[REGISTER_SLOTS]      # host register of a slot in this trace, or -1
    int8_t floating[REGISTER_SLOTS]     # xmm register of a slot in this trace, or -1
    int swap_count
    Swap swaps[MAX_SWAPS]
    uint8_t slots[BASE_REGISTERS]       # which PageEntry serves what a base register holds now
    bint strides[BASE_REGISTERS]        # base registers that the trace moves on by long strides
    uint8_t* loop           # the head, for jumps from inside the trace
    uint8_t* perform        # to be called for emit_perform
    uint8_t boxed[REGISTER_SLOTS]       # slots that are known to hold a boxed single
    int cold_count
    Cold cold[MAX_COLD]
    uint8_t* limit          # no uop and no cold part begins beyond it

cdef inline int32_t slot_place(int slot) noexcept nogil:
    return slot * 8 - BIAS

cdef inline int32_t place_of(const void* field) noexcept nogil:
    # Displacement from rbp of a field of a Cpu at address 0.
    return <int32_t>(<intptr_t>field - BIAS)

cdef inline int32_t tag_of(bint write) noexcept nogil:
    """Where a tag stands in a PageEntry or a TlbEntry."""
    cdef PageEntry* slot = NULL
    return <int32_t><intptr_t>(&slot.write_tag if write else &slot.read_tag)

cdef inline void find_entry(Emitter* e, int reg) noexcept nogil:
    """Let a register point to the TlbEntry for the address in rax."""
    op(e, MOV, True, reg, RAX)
    shift_constant(e, SHR, True, reg, PAGE_SHIFT)
    op_constant(e, AND_CONSTANT, False, reg, TLB_ENTRIES - 1)
    shift_constant(e, SHL, True, reg, LOG2_ENTRY)
    op_memory(e, ADD, True, reg, RBP, NO_INDEX, place_of(&(<Cpu*>NULL).tlb))

cdef inline Cold* new_cold(Job* job, ColdKind kind, Uop* uop) noexcept nogil:
    cdef Cold* cold = &job.cold[job.cold_count]
    job.cold_count += 1
    cold.kind = kind
    cold.uop = uop
    cold.jump_count = 0
    cold.refund = job.refund
    return cold

cdef inline bint has_room(Job* job) noexcept nogil:
    return job.e.at < job.limit and job.cold_count < MAX_COLD - MAX_COLD_OF_UOP

cdef inline void cold_jump(Cold* cold, uint8_t* displacement) noexcept nogil:
    cold.jumps[cold.jump_count] = displacement
    cold.jump_count += 1

# --- General registers. `scratch` is used where the slot lives elsewhere.

cdef inline void load_slot(Job* job, int reg, int slot) noexcept nogil:
    """Into this very register."""
    cdef int general = job.general[slot]
    if general >= 0:
        if general != reg:
            op(&job.e, MOV, True, reg, general)
    elif job.floating[slot] >= 0:
        vex(&job.e, VMOVQ_TO, True, job.floating[slot], 0, reg)
    elif slot == job.jit.zero:
        op(&job.e, XOR, False, reg, reg)
    else:
        op_memory(&job.e, MOV, True, reg, RBP, NO_INDEX, slot_place(slot))

cdef inline int read_slot(Job* job, int slot, int scratch) noexcept nogil:
    """The register that holds the value."""
    if job.general[slot] >= 0:
        return job.general[slot]
    load_slot(job, scratch, slot)
    return scratch

cdef inline void op_slot(Job* job, int opcode, bint wide, int reg, int slot) noexcept nogil:
    """An instruction whose last operand is a slot, wherever that lives. x0 reads as zero from memory, too."""
    if job.general[slot] >= 0:
        op(&job.e, opcode, wide, reg, job.general[slot])
    else:
        op_memory(&job.e, opcode, wide, reg, RBP, NO_INDEX, slot_place(slot))

cdef inline int target_of(Job* job, int slot, int scratch) noexcept nogil:
    """The register to compute a slot's new value in; `wrote` it afterwards."""
    return job.general[slot] if job.general[slot] >= 0 else scratch

cdef inline void wrote(Job* job, int slot, int reg) noexcept nogil:
    cdef int general = job.general[slot]
    job.boxed[slot] = False
    if general >= 0:
        if general != reg:
            op(&job.e, MOV, True, general, reg)
    elif job.floating[slot] >= 0:
        vex(&job.e, VMOVQ, True, job.floating[slot], 0, reg)
    elif slot != job.jit.sink:
        op_memory(&job.e, MOV_TO, True, reg, RBP, NO_INDEX, slot_place(slot))

# --- xmm registers

cdef inline int read_float(Job* job, int slot, int scratch) noexcept nogil:
    if job.floating[slot] >= 0:
        return job.floating[slot]
    vex_memory(&job.e, VMOVSD, False, scratch, 0, RBP, NO_INDEX, slot_place(slot))
    return scratch

cdef inline int float_target(Job* job, int slot, int scratch) noexcept nogil:
    return job.floating[slot] if job.floating[slot] >= 0 else scratch

cdef inline void wrote_float(Job* job, int slot, int xmm, bint boxed) noexcept nogil:
    job.boxed[slot] = boxed
    if job.floating[slot] >= 0:
        if job.floating[slot] != xmm:
            vex(&job.e, VMOVAPS, False, job.floating[slot], 0, xmm)
    else:
        vex_memory(&job.e, VMOVSD_TO, False, xmm, 0, RBP, NO_INDEX, slot_place(slot))
