"""Which guest registers live in host registers during a trace.

Everywhere the same ones do, so that a jump from trace to trace moves nothing. A trace that would rather have others
swaps them in at its start and out at its exits; a loop then runs without. What counts is how many instructions of the
host that saves: to read an operand in memory mostly takes no more of them than to read it in a register.

Between two traces that hold the same a jump swaps nothing. So a trace may do better with what a neighbour has: that is
weighed against what it would choose for itself, by what coming from the one before and leaving for those behind costs.
Where a trace is left for one that nobody knows, it is for one that holds what everybody does.
"""
from libc.stdint cimport int8_t, uint8_t
from libc.string cimport memcmp, memcpy, memset
from vm_native.hart_state cimport REGISTER_SLOTS
from vm_native.ir.block cimport SECOND_CELL, Block
from vm_native.ir.uop cimport *
from vm_native.jit.neighbours cimport Neighbours
from vm_native.jit.state cimport HOLDERS, HOST_FLOATS, HOST_REGISTERS, Held, Jit
from vm_native.jit.x86_64.assembler cimport R8, R9, R10, R11, R12, R13, R14, RBX, RDI, RSI
from vm_native.jit.x86_64.compilation cimport (
    FIRST_XMM, LOAD, STORE, Direction, Swap, Compilation, move_floating, move_general,
)
from vm_native.jit.x86_64.vector_registers cimport load_residents, store_residents

cdef enum:
    GAIN_IN_LOOP = 2        # how much more a slot must gain than another for a swap, with its two stores and two loads
    GAIN_ELSEWHERE = 8
    PRICE_OF_SWAP = 4       # two instructions
    TURNS = 16              # that a loop is taken to make, at least
    NOTHING = 0xFF          # in place of a slot

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
    memset(jit.held.slots, NOTHING, HOLDERS)
    jit.held.swaps = 0
    if jit.switches.registers:
        for i in range(HOST_REGISTERS):
            jit.general[jit.front_end.hot_slots[i]] = <int8_t>GENERAL[i]
            jit.held.slots[i] = jit.front_end.hot_slots[i]
        for i in range(HOST_FLOATS if jit.switches.floats else 0):
            jit.floating[jit.front_end.hot_floats[i]] = <int8_t>(FIRST_XMM + i)
            jit.held.slots[HOST_REGISTERS + i] = jit.front_end.hot_floats[i]


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


cdef void choose_best(
    const Compilation* t, const int* gained, Held* held, int8_t* hosts, int first, int end, int holder, int last_holder
) noexcept nogil:
    """Give host registers to those of these slots that have none and gain most, as long as that is enough."""
    cdef int gain = GAIN_IN_LOOP if t.loops else GAIN_ELSEWHERE
    cdef int slot, most, least, i
    while held.slots[holder] != NOTHING:
        most, least = -1, holder
        for slot in range(first, end):
            if hosts[slot] < 0 and slot != t.jit.front_end.zero and (most < 0 or gained[slot] > gained[most]):
                most = slot
        for i in range(holder + 1, last_holder + 1):
            if gained[held.slots[i]] < gained[held.slots[least]]:
                least = i
        if gained[most] < gained[held.slots[least]] + gain:
            return
        hosts[most] = hosts[held.slots[least]]
        hosts[held.slots[least]] = -1
        held.slots[least] = <uint8_t>most
        held.swaps += 1


cdef inline int price(const Held* first, const Held* second) noexcept nogil:
    """Of going from code that holds the one to code that holds the other, or back: counted as gains are."""
    if memcmp(first.slots, second.slots, HOLDERS) == 0:
        return 0
    return PRICE_OF_SWAP * (first.swaps + second.swaps)


cdef int score(const Compilation* t, const Held* held, const int* gained, const Neighbours* around) noexcept nogil:
    """What the trace saves if it holds this, without what coming there and leaving costs."""
    cdef int i, saved = 0, left = 0
    for i in range(HOLDERS):
        if held.slots[i] != NOTHING:
            saved += gained[held.slots[i]]
    for i in range(around.behind_count):
        left += price(held, &around.behind[i])
    left = left // around.behind_count if around.behind_count else price(held, &t.jit.held)
    return (TURNS * saved if t.loops else saved) - left - price(held, &around.before)


cdef const Held* best_of_neighbours(
    const Compilation* t, const Held* own, const int* gained, const Neighbours* around
) noexcept nogil:
    """What one of the neighbours holds, or everybody does, if that is clearly better than this; else this."""
    cdef const Held* best = own
    cdef const Held* other = &t.jit.held
    cdef int most = score(t, own, gained, around), of_other, i
    for i in range(-1, around.behind_count + 1):
        if i >= 0:
            other = &around.before if i == 0 else &around.behind[i - 1]
            if other.swaps == 0:
                continue
        of_other = score(t, other, gained, around)
        if of_other >= most + PRICE_OF_SWAP:
            best, most = other, of_other
    return best


cdef bint all_hold_the_usual(const Neighbours* around) noexcept nogil:
    cdef int i
    for i in range(around.behind_count):
        if around.behind[i].swaps:
            return False
    return around.before.swaps == 0


cdef void place_everywhere(Compilation* t) noexcept nogil:
    memcpy(t.general, t.jit.general, sizeof(t.general))
    memcpy(t.floating, t.jit.floating, sizeof(t.floating))
    t.swap_count = 0


cdef void hold(Compilation* t, const Held* held) noexcept nogil:
    """Let the trace have these slots in host registers, and swap what other code has elsewhere."""
    cdef const Held* usual = &t.jit.held
    cdef int i, host
    cdef bint floating
    cdef int8_t* hosts
    place_everywhere(t)
    for i in range(HOLDERS if held.swaps else 0):
        if held.slots[i] == usual.slots[i]:
            continue
        floating = i >= HOST_REGISTERS
        host = FIRST_XMM + i - HOST_REGISTERS if floating else GENERAL[i]
        hosts = &t.floating[0] if floating else &t.general[0]
        hosts[usual.slots[i]] = -1
        hosts[held.slots[i]] = <int8_t>host
        t.swaps[t.swap_count] = Swap(floating, host, usual.slots[i], held.slots[i])
        t.swap_count += 1


cdef void allocate(Compilation* t, Block** parts, int count, const Neighbours* around) noexcept nogil:
    """Choose by what these blocks use, and what the traces around hold; without those, nothing is swapped."""
    cdef int gained[256]
    cdef Held* held = &t.trace.held
    cdef int first_float = t.jit.front_end.first_float
    cdef int i
    place_everywhere(t)
    held[0] = t.jit.held
    if around == NULL:
        return
    memset(gained, 0, sizeof(gained))
    for i in range(count):
        add_gains(parts[i], gained)
    choose_best(t, gained, held, t.general, 0, first_float, 0, HOST_REGISTERS - 1)
    if t.floats:
        choose_best(t, gained, held, t.floating, first_float, first_float + t.jit.front_end.float_count,
                    HOST_REGISTERS, HOLDERS - 1)
    if t.jit.switches.neighbours and not (held.swaps == 0 and all_hold_the_usual(around)):
        held[0] = best_of_neighbours(t, held, gained, around)[0]
    hold(t, held)


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
