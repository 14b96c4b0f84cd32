# Uop and Block: the only language between a front end and an engine.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from vm_native.unlocked cimport published

cdef enum:
    MAX_BLOCK_STEPS = 64    # instructions in a block at most
    MAX_BLOCK_UOPS = 160    # cells: an instruction takes at most three, and the end of a block one
    SECOND_CELL = 0xFFFF    # opcode of one that holds operands of the uop before it

cdef struct Uop:
    void* handler           # what the engine calls, or in switch form the opcode
    int32_t imm
    uint8_t rd              # register slots
    uint8_t rs1
    uint8_t rs2
    uint8_t cell            # index in the block: leads back to the block and its side table

cdef struct UopInfo:        # the side table: cold facts about the uop in the same cell
    uint16_t opcode
    uint16_t pc_offset      # of its instruction, from the block's pc
    uint8_t step            # how many instructions of the block stand before it
    uint8_t length          # of its instruction, in bytes
    uint16_t pair           # number of the fused pair that begins here, 0: none
    uint8_t strays          # of an access, while its block is on trial: how often it was met outside of its page
    uint8_t asks_tlb        # of one that is compiled: it does, and no PageEntry

cdef enum Trial:            # of a block's accesses in compiled code, see page_trials.pyx
    UNTRIED
    ON_TRIAL                # compiled code counts how often the block runs
    TRIED

cdef enum Stage:            # how a block is compiled, also if that has gone and is made again
    UNCOMPILED              # it never was
    DRAFT                   # alone
    FINAL                   # with what follows

cdef struct Block

cdef struct BlockExit:      # of a block, to an address that is known when it is translated
    Block* target           # NULL: not linked yet, or never
    uint64_t pc
    Block* source
    BlockExit* next_incoming    # the others linked to the same target

cdef inline Block* target_of(BlockExit* exit) noexcept nogil:
    # Another hart, in a thread, may be linking it.
    return <Block*>published(<void**>&exit.target)

cdef struct BlockKey:       # what a block is found by: a change of address space needs no flush
    uint64_t pc             # guest virtual address
    uint64_t mode           # what else translation depended on
    uint64_t physical       # guest physical address of the first byte

cdef inline bint same_key(const BlockKey* a, const BlockKey* b) noexcept nogil:
    return a.pc == b.pc and a.physical == b.physical and a.mode == b.mode

cdef struct Block:
    BlockKey key
    Block* next_in_bucket   # on one line of the host's cache with the key: a look-up wants no more of most blocks
    uint64_t second_page    # physical address of the page that the last instruction crosses into, or 0
    uint32_t size           # guest bytes
    uint16_t steps          # instructions
    uint16_t uop_count
    bint cached             # in the block cache: may be linked and remembered
    bint dead               # invalidated: freed once no hart is inside
    BlockExit exits[2]      # 0: the jump or the taken branch; 1: the instruction after the block
    BlockExit* incoming     # first of those linked to this block
    Block* next_in_page[2]  # blocks that share the first, the second page
    Block** place_in_page[2]    # what points here in their lists
    Block* newer            # its neighbours by age
    Block* older
    Block* next_dead
    bint guarded            # there may be a breakpoint before it: only the run loop, which looks, goes to it
    bint in_middle          # a basic block began before it, at least once, for recorders
    bint beside_code        # a store of it went to a page that holds code
    bint outside_window     # an access of it went elsewhere than to where compiled code has windows
    uint32_t misfits        # how often vectors had another shape than its compiled code takes them to have
    Trial trial
    uint8_t strays          # how many of its accesses were met outside of their pages, before the trial
    uint8_t stage           # a Stage
    uint8_t samples         # that have met its draft
    uint8_t leaning         # 1 + the exit that was taken more often before it had a draft; 0: nobody knows
    uint64_t turns_before   # the trial began
    uint32_t heat           # how often it was interpreted, where there is a compiler
    uint32_t entry_steps    # of the compiled trace that begins here
    void* entry             # its code, or NULL
    void* compiled_into     # the compiler's list of the traces that it is part of
    void* shared_page       # of a layer that several machines run: not to be written to; NULL: its machine's own
    UopInfo* info
    Uop* uops

cdef inline bint has_draft(const Block* block) noexcept nogil:
    return block.stage == DRAFT and block.entry != NULL

cdef inline Block* block_of(Uop* uop) noexcept nogil:
    # The pointer to the block stands in the 16 bytes before cell 0.
    return (<Block**>(uop - uop.cell - 1))[0]

cdef inline UopInfo* info_of(Uop* uop) noexcept nogil:
    return &block_of(uop).info[uop.cell]

# A call may say that it does what another uop with its operands does where the host rounds in a mode that it has. The
# handler of its second cell keeps that.
cdef inline void set_rounded(Uop* call, int opcode, int rounding) noexcept nogil:
    (<uint64_t*>&call[1].handler)[0] = 1 << 24 | rounding << 16 | opcode

cdef inline bint is_rounded(const Uop* call, int* opcode, int* rounding) noexcept nogil:
    cdef uint64_t meaning = <uint64_t>call[1].handler
    opcode[0] = meaning & 0xFFFF
    rounding[0] = meaning >> 16 & 0xFF
    return meaning != 0
