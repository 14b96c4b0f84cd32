"""Which guest registers live in host registers during a trace.

Everywhere the same ones do, so that a jump from trace to trace moves nothing. A trace that would rather have others
swaps them in at its start and out at its exits; a loop then runs without.
"""
from libc.stdint cimport int8_t
from libc.string cimport memcpy
from vm_native.hart_state cimport REGISTER_SLOTS
from vm_native.ir.block cimport CONSTANT_SLOT, Block
from vm_native.jit.x86_64.assembler cimport MOV, MOV_TO, NO_INDEX, RBP, VMOVSD, VMOVSD_TO, op_memory, vex_memory
from vm_native.jit.x86_64.translation cimport Job, Swap, slot_place

cdef enum:
    FIRST_FLOAT = 32        # slots from here on live in xmm registers
    LAST_FLOAT = 63
    GAIN_IN_LOOP = 1        # how many more uses make a swap worth its two stores and two loads
    GAIN_ELSEWHERE = 5


cdef void count_uses(Block* part, int* uses) noexcept nogil:
    cdef int slot
    for slot in range(part.uop_count):
        uses[part.uops[slot].rs1] += 1
        if part.info[slot].opcode != CONSTANT_SLOT:
            uses[part.uops[slot].rs2] += 1
            uses[part.uops[slot].rd] += 1


cdef void swap_best(Job* job, int* uses, int8_t* hosts, int first, int last, int gain) noexcept nogil:
    """Give host registers to the most used slots without one, as long as that gains enough."""
    cdef int slot, most, least
    cdef Swap* swap
    while True:
        most = least = -1
        for slot in range(first, last + 1):
            if slot == job.jit.zero:
                continue
            if hosts[slot] < 0:
                if most < 0 or uses[slot] > uses[most]:
                    most = slot
            elif least < 0 or uses[slot] < uses[least]:
                least = slot
        if most < 0 or least < 0 or uses[most] < uses[least] + gain:
            return
        swap = &job.swaps[job.swap_count]
        job.swap_count += 1
        swap.floats = first >= FIRST_FLOAT
        swap.host = hosts[least]
        swap.home = least
        swap.guest = most
        hosts[most] = hosts[least]
        hosts[least] = -1


cdef void allocate(Job* job, Block** parts, int count, bint loops) noexcept nogil:
    """Choose by what these blocks use; without blocks, nothing is swapped."""
    cdef int uses[256]
    cdef int i, gain = GAIN_IN_LOOP if loops else GAIN_ELSEWHERE
    memcpy(job.general, job.jit.general, sizeof(job.general))
    memcpy(job.floating, job.jit.floating, sizeof(job.floating))
    job.swap_count = 0
    for i in range(REGISTER_SLOTS):
        uses[i] = 0
    for i in range(count):
        count_uses(parts[i], uses)
    swap_best(job, uses, job.general, 0, FIRST_FLOAT - 1, gain)
    if job.floats:
        swap_best(job, uses, job.floating, FIRST_FLOAT, LAST_FLOAT, gain)


cdef void move(Job* job, Swap* swap, int slot, bint load) noexcept nogil:
    if swap.floats:
        vex_memory(&job.e, VMOVSD if load else VMOVSD_TO, False, swap.host, 0, RBP, NO_INDEX, slot_place(slot))
    else:
        op_memory(&job.e, MOV if load else MOV_TO, True, swap.host, RBP, NO_INDEX, slot_place(slot))


cdef void emit_swap(Job* job, bint enter) noexcept nogil:
    """From what lives in host registers everywhere to what does in this trace, or back. Changes no scratch register."""
    cdef Swap* swap
    cdef int i
    for i in range(job.swap_count):
        swap = &job.swaps[i]
        move(job, swap, swap.home if enter else swap.guest, False)
        move(job, swap, swap.guest if enter else swap.home, True)
