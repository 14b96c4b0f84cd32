# One compilation, and guest registers as the emitting modules see them. rax, rcx, rdx and xmm0 to xmm2 hold none: they
# are for the uop at hand; rbp points into the Cpu, and r15 is its budget.
from libc.stdint cimport int8_t, int32_t, intptr_t, uint8_t, uint32_t, uint64_t
from vm_native.hart_state cimport REGISTER_SLOTS
from vm_native.ir.block cimport Block, Uop
from vm_native.jit.combining cimport Combined
from vm_native.jit.state cimport HOST_FLOATS, HOST_REGISTERS, FloatConstants, Jit, Trace
from vm_native.jit.x86_64.assembler cimport (
    ADD, AND_CONSTANT, IF_NOT_EQUAL, MOV, MOV_TO, MOVSX8, MOVSX16, MOVSXD, NO_INDEX, NO_SOURCE, R15, RAX, RBP, RCX,
    RORX, SINGLE, VMOVAPS, VMOVQ, VMOVQ_TO, VMOVSD, VMOVSD_TO, W32, W64, WIG, XOR, Emitter, Precision, Width, jump_if,
    op, op_constant, op_memory, vex, vex_constant, vex_memory,
)
from vm_native.machine cimport BASE_REGISTERS, Cpu
from vm_native.memory.ram cimport PAGE_SHIFT
from vm_native.memory.tlb cimport TLB_ENTRIES, WRITE, PageEntry, StoreRange

cdef enum:
    BUDGET = R15            # the register that Cpu.budget is in
    BIAS = 128              # rbp points here in the Cpu: the first 32 slots are within a one-byte displacement
    LOG2_ENTRY = 5          # of the size of a TlbEntry, a JumpCacheEntry; asserted in stubs.pyx
    STACK_ROOM = 8          # makes the stack aligned where a function is called
    FIRST_XMM = 3           # of those that floating-point registers live in
    MAX_COLD = 512
    MAX_COLD_OF_UOP = 20    # at most, also of a group of accesses
    MAX_COLD_JUMPS = 4
    UNKNOWN = 1 << 30       # is no place in a map
    MAX_WORDS = 32          # slots, the first ones: no other lives in a general register
    AS_THE_GUEST = -1       # no rounding mode but that of the guest
    MAX_SWAPS = HOST_REGISTERS + HOST_FLOATS
    MAX_TURN_EDGES = 6      # longer loops do not wait for their counters
    NO_TURN = -1
    MAX_DEFERRED = 16
    MAX_RESIDENTS = 16      # parts of vectors in host registers

cdef enum ColdKind:         # what is done out of line, behind the trace
    COLD_FALLBACK           # let the interpreter's function do this uop
    COLD_UNBOXED            # the same, then leave: what follows takes the operands for boxed
    COLD_ACCESS             # fetch the page into its entry and go on, or COLD_FALLBACK
    COLD_WINDOW             # let the TLB say that there is RAM, or do one access and leave
    COLD_GROUP              # do the accesses of a group one by one
    COLD_NAN                # the result is the canonical NaN
    COLD_DIVISION           # the result of a division by 0 or -1, where the host would trap
    COLD_SIDE_EXIT          # give back the steps of the parts that are not run, leave by an exit
    COLD_OUTSIDE            # the same, to another page
    COLD_LOOP               # give back the steps, go on at the head
    COLD_UNKNOWN            # the jump cache does not have what an edge leads to that was to be counted there
    COLD_TURN               # the budget does not last for one more turn: undo, leave at the head
    COLD_MISFIT             # vectors have another shape: let the interpreter's function do this uop, then leave
    COLD_PART               # a vector access to fewer elements than there can be
    COLD_VECTOR_NAN         # results with NaNs have been stored: these become the canonical one
    COLD_FUSED_NAN          # a fused result has some: the same, and products of infinity and 0 are invalid
    COLD_BUDGET             # the budget does not last: undo, leave at the head

cdef enum Alignment:        # of an access
    ANY_ALIGNMENT
    NATURAL                 # else the interpreter's function does it, or traps

cdef enum ShapeKnown:       # what of the shape of vectors is known, at a point of a trace
    NOTHING_OF_SHAPE
    TYPE_OF_SHAPE           # all but how many elements there are
    WHOLE_SHAPE

cdef struct Words:          # what is known of general slots, at a point of a trace; a bit for each
    uint64_t known          # the value is the sign extension of its lower half
    uint64_t narrow         # that, too, and only the lower half of the slot's host register is the value's

cdef struct Transfer:       # of control, for recorders: where a basic block has ended, see Cpu.transfer
    bint pending            # memory does not say so yet
    uint64_t pc
    int length              # of the instruction

cdef struct Edges:          # where those are recorded in line: what is known of them, at a point of a trace
    uint64_t place          # in the map, of the basic block at hand, which memory need not say; UNKNOWN: it does
    int passed              # of the edges of a turn, in this one; NO_TURN: what is passed has been counted

cdef struct Cold:
    ColdKind kind
    Transfer transfer       # that an exit makes
    Words words             # where the hot code jumps here
    Edges edges             # there
    int jump_count
    uint8_t* jumps[MAX_COLD_JUMPS]      # displacements that shall lead here
    uint8_t* found          # executable addresses of the hot code: go on with the page, or behind the uop
    uint8_t* done
    bint has_page_entry     # an access asks a PageEntry, not the TLB
    bint beside_code        # ... or a StoreRange
    int32_t page_entry_offset   # of either
    uint8_t page_entry      # its number, for the accesses of a group
    int count               # of these
    Uop* uop
    int refund
    int size                # of an access
    int32_t low             # from where on, seen from its base, it looks into a window, for `size` bytes
    bint alone              # no other access counts on that
    bint indexed            # its base is still to be computed: the sum of these registers, of which one is shifted
    int base
    int index
    int shift
    uint32_t shape          # of vectors
    int32_t place           # of the result's part at hand, seen from that of all
    int wide                # it has 256 bits: YMM, or 0
    int access              # READ or WRITE
    Alignment alignment     # that it must have
    int xmm                 # of a result
    int mask                # the register that says which elements of that count; 0: all
    uint32_t valid          # residents of vectors where the hot code jumps here, and where it goes on
    uint32_t valid_when_done
    Precision precision
    bint rounded            # the host is in a rounding mode of the uop's
    int result              # host register of a division's: rax the quotient, rdx the remainder
    bint is_signed
    Width width
    uint64_t pc             # where an exit leads
    int exit                # its number

cdef struct Reach:          # offsets from what a register holds: what lies in [low, high) is in a window
    int32_t low
    int32_t high

cdef struct Swap:           # a host register that holds another slot in this trace than everywhere else
    bint floating           # an xmm register
    int host
    int home                # the slot it holds elsewhere
    int guest               # the slot it holds here

cdef struct KnownBits:      # of a mask that has been made: k5 has them, and memory, too
    int count               # 0: nothing is known
    int32_t place           # seen from the Cpu
    int cold_count          # what is out of line since then may have changed the register

cdef struct Resident:       # a part of a vector that lives in a host register during this trace
    int32_t place           # seen from the Cpu
    int bytes               # 16, 32 or 64
    bint written            # by this trace

cdef struct Compilation:
    Emitter e
    int32_t marks           # the address of LineMarks; 0: harts have no threads
    Jit* jit
    Trace* trace
    bint floats             # floating-point state is on
    int bank                # of data
    int steps               # of the whole trace
    bint loops              # its end leads back to its head
    int refund              # steps of the parts behind the one at hand
    int8_t general[REGISTER_SLOTS]      # host register of a slot in this trace, or -1
    int8_t floating[REGISTER_SLOTS]     # xmm register of a slot in this trace, or -1
    int swap_count
    Swap swaps[MAX_SWAPS]
    uint8_t page_entries[BASE_REGISTERS]    # which PageEntry serves what a base register holds now
    bint strides[BASE_REGISTERS]        # base registers that the trace moves on by long strides
    bint windows            # accesses ask windows
    bint compact            # those that ask for a page call what looks it up
    Reach reaches[2][BASE_REGISTERS]    # of what base registers hold now, for READ and WRITE
    uint8_t* addend_in_rcx  # up to here rcx holds the addend of windows; NULL: it does not
    Block** parts           # of the trace
    int part_count
    int part                # the number of the one at hand
    uint8_t* edge_map       # edges are recorded in line, in this map; NULL: they are not
    int edge_recorder       # whose place among the recorders this is
    bint blocks             # are recorded in line
    Cpu* cpu                # the hart that it is made for first
    uint32_t shape          # that vectors are taken to have at the uop at hand, see Cpu.vector_shape
    ShapeKnown shape_known
    bint avx512             # vectors are computed with in AVX-512
    int resident_count
    Resident residents[MAX_RESIDENTS]   # in registers from vector_registers.pxd's FIRST_RESIDENT on
    KnownBits bits
    bint writes_through     # memory has what they have
    uint32_t valid          # residents that have what they shall, at the uop at hand; a bit for each
    bint out_of_line
    bint any_length         # where nothing says what shape vectors have, only their type is asked for
    bint partly             # there may be fewer elements than the shape says: the others stay
    bint sink_counts        # accesses are recorded, also what is loaded into x0
    Edges edges             # at the uop at hand
    bint by_turns           # edges of this loop are counted by its turns, see edges.pyx
    int turn_edge_count
    int32_t turn_edges[MAX_TURN_EDGES]  # their places in the map: the first leads back to the head
    uint8_t* next_turn      # where it begins
    Cold* last_turn         # where that leads if the budget does not last
    uint8_t* settle_turns[MAX_TURN_EDGES]   # by `passed`: routines, see edges.pyx
    uint8_t* resume_turn[MAX_TURN_EDGES]
    bint in_block           # the trace has come to its first probe of a block, so that it is known when others begin
    Transfer transfer       # that is on its way to the next part, where blocks or edges are recorded in line
    uint64_t* edge_entry    # where the trace says where it is entered by jumps whose edge it shall count
    uint8_t* counted        # behind the head's probe, for jumps that have counted their edge
    uint8_t* spent          # where the trace is left for want of budget
    uint8_t* unpaid         # the same for who has paid nothing for it
    uint8_t* loop           # the head, for jumps from inside the trace
    Words words             # at the uop at hand
    int deferred_count
    Combined deferred[MAX_DEFERRED]     # uops whose results nobody has needed yet
    uint8_t* fallback       # to be called for emit_fallback
    uint8_t* fall_out       # the same of an access in no window
    int rounding            # the guest's name of the mode that the host rounds in for a uop, or AS_THE_GUEST
    bint boxed[REGISTER_SLOTS]          # slots that are known to hold a boxed single
    int cold_count
    Cold cold[MAX_COLD]
    uint8_t* limit          # no uop and no cold part begins beyond it

cdef enum:
    ANY = 0                 # where the function of a rule asks for nothing

ctypedef void (*Emit)(Compilation* t, Uop* uop, int host, Width width) noexcept nogil

cdef struct Rule:           # how a uop becomes host instructions; a table of them is indexed by opcode
    Emit emit               # NULL: not by this table
    int host                # what the function asks for: an opcode of the host, an operation, a condition
    Width width

cdef inline bint apply(const Rule* rule, Compilation* t, Uop* uop) noexcept nogil:
    """Whether there is such a rule; then the uop has been emitted."""
    if rule.emit == NULL:
        return False
    rule.emit(t, uop, rule.host, rule.width)
    return True

cdef inline int32_t slot_offset(int slot) noexcept nogil:
    return slot * 8 - BIAS

cdef inline int32_t offset_of(const void* field) noexcept nogil:
    """Displacement from rbp of a field of a Cpu at address 0."""
    return <int32_t>(<intptr_t>field - BIAS)

cdef enum Direction:        # between the register file and host registers
    LOAD
    STORE

cdef inline void move_general(Emitter* e, Direction direction, int reg, int slot) noexcept nogil:
    op_memory(e, MOV if direction == LOAD else MOV_TO, W64, reg, RBP, NO_INDEX, slot_offset(slot))

cdef inline void move_floating(Emitter* e, Direction direction, int xmm, int slot) noexcept nogil:
    vex_memory(e, VMOVSD if direction == LOAD else VMOVSD_TO, WIG, xmm, NO_SOURCE, RBP, NO_INDEX, slot_offset(slot))

cdef inline int32_t tag_offset(int access) noexcept nogil:
    """Where the tag for READ or WRITE stands in a PageEntry or a TlbEntry."""
    cdef PageEntry* entry = NULL
    return <int32_t><intptr_t>(&entry.write_tag if access == WRITE else &entry.read_tag)

cdef inline void load_tlb_entry(Emitter* e, int reg) noexcept nogil:
    """Let a register point to the TlbEntry for the address in rax."""
    vex_constant(e, RORX, W64, reg, NO_SOURCE, RAX, PAGE_SHIFT - LOG2_ENTRY)
    op_constant(e, AND_CONSTANT, W32, reg, TLB_ENTRIES - 1 << LOG2_ENTRY)
    op_memory(e, ADD, W64, reg, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).tlb))

cdef inline uint8_t* jump_if_unaligned(Emitter* e, int size) noexcept nogil:
    """Where the displacement stands of a jump for an address in rax that is no multiple of the size; rcx is lost."""
    op(e, MOV, W32, RCX, RAX)
    op_constant(e, AND_CONSTANT, W32, RCX, size - 1)
    return jump_if(e, IF_NOT_EQUAL, NULL)

cdef inline int log2_of(int size) noexcept nogil:
    """Rounded up."""
    cdef int log2_size = 0
    while 1 << log2_size < size:
        log2_size += 1
    return log2_size

cdef inline int32_t range_offset(int32_t store_range, int size) noexcept nogil:
    """Displacement from rbp of what a StoreRange, which stands there, says of stores of so many bytes."""
    cdef StoreRange* fields = NULL
    return store_range + <int32_t><intptr_t>&fields.places[log2_of(size)]

cdef inline Cold* new_cold(Compilation* t, ColdKind kind, Uop* uop) noexcept nogil:
    cdef Cold* cold = &t.cold[t.cold_count]
    t.cold_count += 1
    cold.kind = kind
    cold.uop = uop
    cold.jump_count = 0
    cold.refund = t.refund
    cold.transfer.pending = False
    cold.words = t.words
    cold.edges = t.edges
    cold.valid = t.valid
    cold.rounded = t.rounding != AS_THE_GUEST
    cold.indexed = False
    return cold

cdef inline bint swaps_nothing(const Compilation* t) noexcept nogil:
    return t.swap_count == 0 and t.resident_count == 0

cdef inline void load_window_addend(Compilation* t) noexcept nogil:
    """Into rcx. Flags stay as they are."""
    op_memory(&t.e, MOV, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).window_addend))

cdef inline bint may_go_back(Compilation* t) noexcept nogil:
    """Whether the trace may go on at its head without leaving."""
    return t.jit.switches.linking and not t.trace.head.second_page and not t.trace.head.guarded

cdef inline bint has_room(Compilation* t) noexcept nogil:
    return t.e.at < t.limit and t.cold_count < MAX_COLD - MAX_COLD_OF_UOP

cdef inline void cold_jump(Cold* cold, uint8_t* displacement) noexcept nogil:
    cold.jumps[cold.jump_count] = displacement
    cold.jump_count += 1

# --- General registers. `scratch` is used where the slot lives elsewhere. What is a word is said of slots that may live
# in such registers; what is said to need a word looks at nothing but the lower half.

cdef inline uint64_t bit_of(int slot) noexcept nogil:
    return <uint64_t>1 << slot if slot < MAX_WORDS else 0

cdef inline bint is_word(Compilation* t, int slot) noexcept nogil:
    """Whether the value is known to be the sign extension of its lower half."""
    return slot == t.jit.front_end.zero or t.words.known & bit_of(slot) != 0

cdef inline bint is_narrow(Compilation* t, int slot) noexcept nogil:
    return t.words.narrow & bit_of(slot) != 0

cdef inline Width width_to_compare(Compilation* t, int a, int b) noexcept nogil:
    """Words are in the same order as their sign extensions are, taken as signed numbers or not."""
    return W32 if is_word(t, a) and is_word(t, b) else W64

cdef inline void widen(Compilation* t, int slot) noexcept nogil:
    """Let the host register hold the whole value. Flags stay as they are."""
    if is_narrow(t, slot):
        op(&t.e, MOVSXD, W64, t.general[slot], t.general[slot])
        t.words.narrow &= ~bit_of(slot)

cdef inline void widen_all(Compilation* t) noexcept nogil:
    cdef int slot
    for slot in range(MAX_WORDS if t.words.narrow else 0):
        widen(t, slot)

cdef inline bint needs_word(int opcode, Width width) noexcept nogil:
    return width == W32 or opcode in (MOVSXD, MOVSX8, MOVSX16)

cdef inline void load_slot(Compilation* t, int reg, int slot) noexcept nogil:
    """Into this very register."""
    cdef int general = t.general[slot]
    if reg == RCX:
        t.addend_in_rcx = NULL
    if general >= 0:
        if general == reg:
            widen(t, slot)
        elif is_narrow(t, slot):
            op(&t.e, MOVSXD, W64, reg, general)
        else:
            op(&t.e, MOV, W64, reg, general)
    elif t.floating[slot] >= 0:
        vex(&t.e, VMOVQ_TO, W64, t.floating[slot], NO_SOURCE, reg)
    elif slot == t.jit.front_end.zero:
        op(&t.e, XOR, W32, reg, reg)
    else:
        move_general(&t.e, LOAD, reg, slot)

cdef inline void load_word(Compilation* t, int reg, int slot) noexcept nogil:
    """The lower half, into the lower half of this very register."""
    if t.general[slot] < 0:
        load_slot(t, reg, slot)
    elif t.general[slot] != reg:
        if reg == RCX:
            t.addend_in_rcx = NULL
        op(&t.e, MOV, W32, reg, t.general[slot])

cdef inline int read_slot(Compilation* t, int slot, int scratch) noexcept nogil:
    """The register that holds the value."""
    if t.general[slot] >= 0:
        widen(t, slot)
        return t.general[slot]
    load_slot(t, scratch, slot)
    return scratch

cdef inline int read_word(Compilation* t, int slot, int scratch) noexcept nogil:
    """The register whose lower half is the value's."""
    return t.general[slot] if t.general[slot] >= 0 else read_slot(t, slot, scratch)

cdef inline void load_operand(Compilation* t, Width width, int reg, int slot) noexcept nogil:
    if width == W32:
        load_word(t, reg, slot)
    else:
        load_slot(t, reg, slot)

cdef inline int read_operand(Compilation* t, Width width, int slot, int scratch) noexcept nogil:
    return read_word(t, slot, scratch) if width == W32 else read_slot(t, slot, scratch)

cdef inline void op_slot(Compilation* t, int opcode, Width width, int reg, int slot) noexcept nogil:
    """An instruction whose last operand is a slot, wherever that lives. In memory, too, the zero slot reads as zero."""
    if t.general[slot] >= 0:
        if not needs_word(opcode, width):
            widen(t, slot)
        op(&t.e, opcode, width, reg, t.general[slot])
    else:
        op_memory(&t.e, opcode, width, reg, RBP, NO_INDEX, slot_offset(slot))

cdef inline int target_of(Compilation* t, int slot, int scratch) noexcept nogil:
    """The register to compute a slot's new value in; `define` it afterwards."""
    return t.general[slot] if t.general[slot] >= 0 else scratch

cdef inline void forget(Compilation* t, int slot) noexcept nogil:
    """What is known of the slot: its value is another now."""
    t.boxed[slot] = False
    t.words.known &= ~bit_of(slot)
    t.words.narrow &= ~bit_of(slot)

cdef inline void define(Compilation* t, int slot, int reg) noexcept nogil:
    """The slot's new value is in this register."""
    cdef int general = t.general[slot]
    forget(t, slot)
    if general >= 0:
        if general != reg:
            op(&t.e, MOV, W64, general, reg)
    elif t.floating[slot] >= 0:
        vex(&t.e, VMOVQ, W64, t.floating[slot], NO_SOURCE, reg)
    elif slot != t.jit.front_end.sink or t.sink_counts:
        move_general(&t.e, STORE, reg, slot)

cdef inline void know_word(Compilation* t, int slot) noexcept nogil:
    """What has just been defined is the sign extension of its lower half."""
    if slot != t.jit.front_end.sink:
        t.words.known |= bit_of(slot) if t.jit.switches.words else 0

cdef inline void define_word(Compilation* t, int slot, int reg) noexcept nogil:
    """The slot's new value is the sign extension of this register's lower half; rax is lost, unless it is that."""
    cdef int general = t.general[slot]
    if general < 0 or not t.jit.switches.words:
        op(&t.e, MOVSXD, W64, general if general >= 0 else RAX, reg)
        define(t, slot, general if general >= 0 else RAX)
    else:
        if general != reg:
            op(&t.e, MOV, W32, general, reg)
        forget(t, slot)
        t.words.narrow |= bit_of(slot)
    know_word(t, slot)

cdef inline void define_result(Compilation* t, Width width, int slot, int reg) noexcept nogil:
    if width == W32:
        define_word(t, slot, reg)
    else:
        define(t, slot, reg)

# --- xmm registers

cdef inline FloatConstants* constants_of(Compilation* t, Precision precision) noexcept nogil:
    return &t.jit.stubs.of_single if precision == SINGLE else &t.jit.stubs.of_double

cdef inline int read_float(Compilation* t, int slot, int scratch) noexcept nogil:
    if t.floating[slot] >= 0:
        return t.floating[slot]
    move_floating(&t.e, LOAD, scratch, slot)
    return scratch

cdef inline int float_target(Compilation* t, int slot, int scratch) noexcept nogil:
    return t.floating[slot] if t.floating[slot] >= 0 else scratch

cdef inline void define_float(Compilation* t, int slot, int xmm, Precision precision) noexcept nogil:
    t.boxed[slot] = precision == SINGLE     # what computes singles keeps the box
    if t.floating[slot] >= 0:
        if t.floating[slot] != xmm:
            vex(&t.e, VMOVAPS, WIG, t.floating[slot], NO_SOURCE, xmm)
    else:
        move_floating(&t.e, STORE, xmm, slot)
