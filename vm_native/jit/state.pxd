# What the compiling engine keeps: code memory, compiled traces and the jumps between them.
from libc.stdint cimport int8_t, intptr_t, uint8_t, uint32_t, uint64_t
from vm_native.hart_state cimport REGISTER_SLOTS
from vm_native.ir.block cimport Block, BlockKey
from vm_native.machine cimport Compiler, FrontEnd, Machine

cdef enum:
    HOST_REGISTERS = 10     # general registers that guest registers live in while compiled code runs
    HOST_FLOATS = 13        # xmm registers likewise
    HOLDERS = HOST_REGISTERS + HOST_FLOATS
    MAX_PARTS = 24          # blocks in a trace
    MAX_TRACE_STEPS = 160
    REGION_BYTES = 256 << 10
    MAX_REGIONS = 2048
    PAUSES = 512            # how many of the last reclamations are remembered

cdef enum:                  # which of a block's exits leads to the next part of a trace
    NO_EXIT = -1            # the trace ends here
    TAKEN = 0
    FALLEN = 1

cdef enum:                  # why compiled code went back to the run loop
    EXIT_UNLINKED           # by an exit that leads to no trace yet
    EXIT_UNKNOWN            # the jump cache does not have the target
    EXIT_COLD               # it does, but the target is not compiled
    EXIT_BUDGET             # the steps that are left do not last for a whole trace
    EXIT_UNBOXED            # a single was not boxed, as the rest of the trace takes it to be
    EXIT_FALLBACK           # after one of the interpreter's functions: a stop, floating point on or off
    EXIT_REASONS

cdef struct Trace
cdef struct Jit

cdef struct CountingExit:   # code that counts the edge to the target, and pays for that; NULL: there is none
    uint8_t* start
    int refund              # steps that the exit gives back
    uint8_t* price          # two constants in the writable mapping: the target's steps without these
    uint8_t* price_back
    uint8_t* jump           # a displacement

cdef struct Exit:           # a jump out of a trace to a guest address in the same page
    uint64_t pc
    uint8_t* jump           # its displacement, in the writable mapping
    uint8_t* unswapped      # one before what the trace has swapped in is swapped back; NULL: it has swapped nothing
    uint8_t* swap_out       # where that leads to swap
    uint8_t* unlinked       # where it leads without a target
    uint8_t* way_back       # the displacement there of the jump to the run loop, or to what asks the jump cache first
    CountingExit counting   # where it leads with a target instead of to that
    Trace* source
    Trace* target           # NULL: not linked
    Exit* next_incoming     # the other exits linked to the target

cdef struct Membership:     # of a block in a trace: any change of the block ends the trace
    Trace* trace
    Membership* next

cdef struct Mark:           # where the host code of a guest instruction begins; kept on request only
    uint64_t pc
    uint32_t offset

cdef struct Held:           # by host registers in a trace
    uint8_t[HOLDERS] slots
    int swaps               # how many of these live in memory elsewhere

cdef struct Trace:          # a block and those that follow it where it is hot, all in one page, compiled
    Block* head
    BlockKey key            # the head's, for whoever looks when the machine is gone, and its second page
    uint64_t second_page
    uint8_t* start          # in the executable mapping; in front, where edges are counted, the edge entry's address
    uint8_t* inside         # behind the swapping of registers, for who has the same in them; NULL: for nobody
    Held held               # there
    uint8_t* counted        # the same for who has paid, and counted the edge to the head; NULL: nobody does
    uint32_t size           # host bytes from there on
    uint32_t ahead          # and those in front: what it calls, and that address
    int region
    Trace* newer            # its neighbours among those of its region
    Trace* older
    Exit* incoming
    int part_count
    Block** parts
    Membership* memberships
    int exit_count
    Exit* exits
    int mark_count
    Mark* marks
    int pointer_count       # -1: they are not known
    uint32_t* pointers      # where addresses of uops and exits stand in its code, from `start` on; where asked for

cdef struct JournalEntry:   # where a trace was put, which may be gone by now
    uint64_t pc
    uint8_t* start
    uint32_t size

cdef struct Region:
    uint8_t* next           # free room, in the writable mapping
    uint8_t* end
    Trace* newest

cdef struct CodeMemory:     # mapped twice: no address is both writable and executable
    uint8_t* writable
    intptr_t executable     # what to add to a writable address
    uint64_t size

cdef struct FloatConstants:  # where they stand: the canonical NaN, masks of the sign and of all else
    uint8_t* nan
    uint8_t* sign
    uint8_t* magnitude

cdef struct Stubs:          # what every trace uses; addresses in an executable mapping, NULL before it is written
    # Index 1: where floating-point state is on, and lives in xmm registers
    uint8_t* enter[2]       # C function (Cpu*, code)
    uint8_t* exit_stored[2]     # jump here with the pc and all registers stored: EXIT_FALLBACK
    uint8_t* exit_at[2][EXIT_REASONS]   # jump here with the pc in rax
    uint8_t* exit_unlinked[2]   # jump here with an Exit* in rax
    uint8_t* look_up_exit[2]  # the same by way of the jump cache
    uint8_t* fallback[2]    # call with a Uop* in rax and the refund in edx
    uint8_t* fall_out[2]    # the same of an access that is in no window; never comes back
    # Call with an address in rax, the last offset in a page in ecx that it may have, and for stores a StoreWindow in
    # rdx. The zero flag says whether the TLB has the page, and it is where a window would have it: then rcx has the
    # addend of windows.
    uint8_t* probe_load_window
    uint8_t* probe_store_window[2]
    # [floats][access][log2 size]: call with an address in rax, a PageEntry in rcx. The zero flag says whether the TLB
    # has it: then the addend is in rcx.
    uint8_t* fill_page_entry[2][2][4]
    # [floats][access]: the same without a PageEntry, with the last offset in a page in ecx that it may have.
    uint8_t* probe_tlb[2][2]
    # [floats][access][log2 size]: the same with nothing but an address in rax. Changes no register but rax and rcx.
    uint8_t* find_page[2][2][4]
    # Call with an address in rax, a StoreRange in rcx: fills that if it can, and changes no register but rax, rcx, rdx
    uint8_t* fill_store_range[2]
    uint8_t* fall_misfit[2]     # the same of an instruction on vectors that have another shape; never comes back
    # Constants of 16 bytes
    uint8_t* box            # what a single stands in
    FloatConstants of_single
    FloatConstants of_double
    uint8_t* half           # 0.5 and 1.0 as doubles
    uint8_t* one
    uint8_t* vectors        # those of 32 bytes, see x86_64/avx2.pxd; NULL: the machine has no vectors
    uint8_t* end            # of all that, which begins the first region; in the writable mapping

cdef struct Switches:       # what can be turned off, to measure what it brings
    bint registers          # guest registers live in host registers
    bint allocation         # each trace may choose other ones
    bint neighbours         # ... those that the traces around it have
    bint page_entries       # a one-page cache for each base register, in front of the TLB
    bint trials             # accesses that leave their page often do not ask that cache any more
    bint grouping           # accesses through one base register are tested together
    bint compact            # accesses of drafts call what looks a page up
    bint windows            # where addresses are physical, accesses are told by one comparison, many together
    bint linking            # jumps from trace to trace
    bint jump_cache         # inline look-up for indirect jumps and other pages
    bint superblocks        # traces of more than one block
    bint floats             # floating point in SSE instructions
    bint rounding           # the same in a rounding mode of the instruction's own
    bint crypto             # cryptography in the host's instructions
    bint words              # results of 32 bits are sign-extended where somebody looks at the upper half, not before
    bint vectors            # instructions on vectors in AVX2
    bint avx512             # or, where the host has it, in AVX-512, with parts of vectors in its registers
    bint combining          # uops in a row that one can do, where a compiler lacked an instruction

cdef struct HandedOver:     # by a machine, with all that it had compiled: many run it, and nobody changes it
    CodeMemory memory
    Stubs stubs
    Switches switches
    bint relocatable        # the traces have their `pointers`
    bint has_drafts         # among them
    bint in_arena           # they lie in that of the layer, and have neither parts nor exits
    Trace* traces           # Trace.older

cdef struct JitStatistics:
    uint64_t traces
    uint64_t instructions   # guest instructions compiled
    uint64_t host_bytes
    uint64_t compile_ns
    uint64_t discarded
    uint64_t reclaimed      # regions
    uint64_t links
    uint64_t[EXIT_REASONS] exits    # how often compiled code went back to the run loop, by reason
    uint64_t fallbacks      # uops that the interpreter's functions did for compiled code
    uint64_t pauses_ns[PAUSES]      # of the last reclamations
    uint64_t pause_count

cdef struct Jit:
    Compiler interface      # first: what the run loop and the block cache see
    Machine* machine
    FrontEnd* front_end
    CodeMemory memory       # mapped when the first trace is compiled
    uint64_t code_bytes     # how much of it there shall be; 0: as RAM is large
    uint64_t draft_bytes    # with so many `interface.bytes` blocks have drafts first
    Switches switches
    bint marking            # traces keep their marks
    bint relocatable        # traces keep their pointers
    bint journaling         # `journal` tells where traces are put
    JournalEntry* journal
    uint64_t journal_count
    Region regions[MAX_REGIONS]
    int region_count
    int region              # the one that is being filled
    int8_t general[REGISTER_SLOTS]      # host register of a slot, or -1
    int8_t floating[REGISTER_SLOTS]     # xmm register of a slot, or -1
    Held held               # the same the other way round
    Stubs stubs             # in `memory`; while there is none, in that of code handed over or taken
    JitStatistics statistics
