"""Which guest registers live in host registers during a trace.

Everywhere the same ones do, so that a jump from trace to trace moves nothing. A trace that would rather have others
swaps them in at its start and out at its exits; a loop then runs without. What counts is how many instructions of the
host that saves: to read an operand in memory mostly takes no more of them than to read it in a register.
"""
from libc.stdint cimport int8_t
from libc.string cimport memcpy
from vm_native.hart_state cimport REGISTER_SLOTS
from vm_native.ir.block cimport SECOND_CELL, Block
from vm_native.ir.uop cimport *
from vm_native.jit.state cimport HOST_FLOATS, HOST_REGISTERS, Jit
from vm_native.jit.x86_64.assembler cimport R8, R9, R10, R11, R12, R13, R14, RBX, RDI, RSI
from vm_native.jit.x86_64.compilation cimport (
    FIRST_XMM, LOAD, STORE, Direction, Swap, Compilation, move_floating, move_general,
)
from vm_native.jit.x86_64.vector_registers cimport load_residents, store_residents

cdef enum:
    GAIN_IN_LOOP = 2        # how much more a slot must gain than another for a swap, with its two stores and two loads
    GAIN_ELSEWHERE = 8

cdef struct Gains:          # host instructions, each counted twice, that a uop saves if these live in host registers
    int rs1
    int rs2
    int rd

# The host registers that hold guest registers while compiled code runs, best first: short encodings come early.
cdef int[HOST_REGISTERS] GENERAL = [RBX, RSI, RDI, R8, R9, R10, R11, R12, R13, R14]


cdef void place_registers(Jit* jit) noexcept nogil:
    """Everywhere: the guest's most used registers."""
    cdef int i
    for i in range(REGISTER_SLOTS):
        jit.general[i] = jit.floating[i] = -1
    if jit.switches.registers:
        for i in range(HOST_REGISTERS):
            jit.general[jit.front_end.hot_slots[i]] = <int8_t>GENERAL[i]
        for i in range(HOST_FLOATS if jit.switches.floats else 0):
            jit.floating[jit.front_end.hot_floats[i]] = <int8_t>(FIRST_XMM + i)


# Of most uops: the host takes one of two operands from memory with the same instruction, but writes no result there.
cdef Gains[UOP_COUNT] gains
for _uop in range(UOP_COUNT):
    gains[_uop] = Gains(1, 1, 2)
# An address and what is stored must be in registers, and where that is a slot's it needs no instruction.
for _uop in (UOP_LB, UOP_LH, UOP_LW, UOP_LD, UOP_LBU, UOP_LHU, UOP_LWU, UOP_FLW, UOP_SB, UOP_SH, UOP_SW, UOP_SD):
    gains[<int>_uop] = Gains(2, 2, 2)
gains[<int>UOP_MV] = Gains(1, 0, 1)             # to or from memory in one instruction


cdef void add_gains(Block* part, int* gained) noexcept nogil:
    """To what a host register for each slot would."""
    cdef int i
    cdef const Gains* gain
    for i in range(part.uop_count):
        if part.info[i].opcode == SECOND_CELL:
            gained[part.uops[i].rs1] += 1       # a third source
            continue
        gain = &gains[part.info[i].opcode]
        gained[part.uops[i].rs1] += gain.rs1
        gained[part.uops[i].rs2] += gain.rs2
        gained[part.uops[i].rd] += gain.rd


cdef void swap_best(Compilation* t, int* gained, int8_t* hosts, int first, int end, int gain) noexcept nogil:
    """Give host registers to those of these slots that have none and gain most, as long as that is enough."""
    cdef int slot, most, least
    cdef Swap* swap
    while True:
        most = least = -1
        for slot in range(first, end):
            if slot == t.jit.front_end.zero:
                continue
            if hosts[slot] < 0:
                if most < 0 or gained[slot] > gained[most]:
                    most = slot
            elif least < 0 or gained[slot] < gained[least]:
                least = slot
        if most < 0 or least < 0 or gained[most] < gained[least] + gain:
            return
        swap = &t.swaps[t.swap_count]
        t.swap_count += 1
        swap.floating = hosts == t.floating
        swap.host = hosts[least]
        swap.home = least
        swap.guest = most
        hosts[most] = hosts[least]
        hosts[least] = -1


cdef void allocate(Compilation* t, Block** parts, int count, bint loops) noexcept nogil:
    """Choose by what these blocks use; without blocks, nothing is swapped."""
    cdef int gained[256]
    cdef int first_float = t.jit.front_end.first_float
    cdef int i, gain = GAIN_IN_LOOP if loops else GAIN_ELSEWHERE
    memcpy(t.general, t.jit.general, sizeof(t.general))
    memcpy(t.floating, t.jit.floating, sizeof(t.floating))
    t.swap_count = 0
    for i in range(REGISTER_SLOTS):
        gained[i] = 0
    for i in range(count):
        add_gains(parts[i], gained)
    swap_best(t, gained, t.general, 0, first_float, gain)
    if t.floats:
        swap_best(t, gained, t.floating, first_float, first_float + t.jit.front_end.float_count, gain)


cdef inline void move(Compilation* t, Direction direction, Swap* swap, int slot) noexcept nogil:
    if swap.floating:
        move_floating(&t.e, direction, swap.host, slot)
    else:
        move_general(&t.e, direction, swap.host, slot)


cdef void swap_in(Compilation* t) noexcept nogil:
    """From what lives in host registers everywhere to what does in this trace. Changes no scratch register."""
    cdef int i
    for i in range(t.swap_count):
        move(t, STORE, &t.swaps[i], t.swaps[i].home)
        move(t, LOAD, &t.swaps[i], t.swaps[i].guest)
    if not t.writes_through:
        load_residents(t)


cdef void swap_out(Compilation* t) noexcept nogil:
    """And back."""
    cdef int i
    for i in range(t.swap_count):
        move(t, STORE, &t.swaps[i], t.swaps[i].guest)
        move(t, LOAD, &t.swaps[i], t.swaps[i].home)
    store_residents(t)
