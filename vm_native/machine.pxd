# The machine as the core sees it: its harts, what they share, and the tables by which the run loop reaches a front end
# and a compiler. A function here or in machine.pyx is the only way in which one hart has an effect on another.
from libc.stdint cimport int64_t, intptr_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset
from posix.types cimport pid_t
from vm_native.clock cimport Timeline
from vm_native.hart_state cimport HartState, Reservation
from vm_native.ir.block cimport Block, BlockExit, Uop, UopInfo, block_of, info_of
from vm_native.ir.vectors cimport VectorUop
from vm_native.jump_cache cimport JumpCache
from vm_native.line_marks cimport LineMark, announce_stores
from vm_native.memory.bus cimport MAX_RAM_REGIONS, AddressMap, physical_of, ram_at
from vm_native.memory.ram cimport PAGE_SIZE, RamRegion
from vm_native.memory.tlb cimport MODE_BANKS, LoadWindow, PageEntry, StoreRange, StoreWindow, TlbEntry, clear_page_entry
from vm_native.safepoints cimport (
    Gate, Safepoints, lock_shared, step_aside, step_back, try_lock_shared, unlock_shared,
)
from vm_native.unlocked cimport SharedFlag

cdef extern from *:
    """
    #define VM_NOWHERE (~0ULL)
    """
    uint64_t NOWHERE "VM_NOWHERE"       # no instruction stands at this address

cdef enum:
    MAX_RECORDERS = 8
    BASE_REGISTERS = 32     # the first slots: those that addresses are formed from
    PAGE_ENTRIES = 128      # in each bank: one for each base register, the others for computed addresses
    REMEMBERED_ENTRIES = 64
    TRIAL_COUNTERS = 512
    MODE_BITS = 11          # of Cpu.key, the lowest: the mode
    MODE_MASK = (1 << MODE_BITS) - 1
    GRANULE_SHIFT = 1       # of code pages: instructions are of two bytes at least
    GRANULE_WORDS = (PAGE_SIZE >> GRANULE_SHIFT) // 64
    CODE_LINE_SHIFT = 6     # code that keeps changing is told from its neighbours by lines of so many bytes
    CODE_LINES = PAGE_SIZE >> CODE_LINE_SHIFT
    MAX_LAYERS = 8          # of code that machines share

# What a helper or a slow path tells the engine.
cdef enum Status:
    CONTINUE = 0            # go on with the next uop
    EXIT = 1                # the instruction is done, pc is set: back to the run loop
    TRAP = 2                # trap_cause and trap_value are set: the instruction did not happen
    RETRY = 3               # the instruction did not happen and shall be repeated: back to the run loop

# Why the run loop came back before its budget was used up.
cdef enum StopCode:
    STOP_NONE = 0
    STOP_RAISED = 1         # an exception is stashed on the bus
    STOP_WAITING = 2        # the hart waits for an interrupt
    STOP_REQUESTED = 3      # a device or a callback asked to stop after the instruction
    STOP_UNHANDLED = 4      # a trap that nobody takes: trap_cause, trap_value and pc tell
    STOP_TRAP_LOOP = 5      # the trap handler's first fetch traps to itself
    STOP_FIRMWARE = 6       # a firmware call that Python serves
    STOP_RESCHEDULE = 7     # a deadline changed: the slice must be cut anew
    STOP_BUDGET = 8         # all steps that were asked for are done
    STOP_EVENT = 9          # a device's event is due
    STOP_DEADLINE = 10      # the guest time, STOP_TIMEOUT: the host time that was asked for is over
    STOP_TIMEOUT = 11
    STOP_IDLE = 12          # every hart waits, and nothing is scheduled that would wake one
    STOP_SLEEP = 13         # real time: every hart waits, the caller may sleep until the next deadline
    STOP_WATCH = 14         # an access to a watched range has been done
    STOP_BREAKPOINT = 15    # the next instruction is at a breakpoint
    STOP_HOOK = 16          # events wait for the hooks that asked for them
    STOP_FULL = 17          # a recorder has no room for more
    STOP_MEMORY = 18        # a store to a page of RAM that would be one too many

cdef extern from *:
    bint compare_and_swap "__sync_bool_compare_and_swap"(StopCode* place, StopCode old, StopCode new) noexcept nogil

cdef struct FrontEnd
cdef struct Compiler
cdef struct SharedPage
cdef struct Recorder
cdef struct Machine

cdef struct Cpu:            # a hart's state, and what engines keep of it besides: all of that can be made anew
    HartState state
    PageEntry page_entries[MODE_BANKS * PAGE_ENTRIES]
    int64_t budget          # steps left in the slice; an engine keeps it in a host register while inside
    TlbEntry* tlb           # the bank of the effective data mode
    uint64_t key            # mode in the low MODE_BITS, generation of the fetch translations above
    JumpCache jump_cache
    bint may_zero_blocks    # in the mode at hand, see FrontEnd.zeroing_helper
    SharedFlag attention    # the front end wants a look before the next block (interrupts)
    StopCode stop
    BlockExit* pending_exit      # the exit just taken, not linked yet
    void* pending_trace_exit      # the same of compiled code
    void* host_stack        # of compiled code, to leave it from any depth
    uint32_t page_entry_fills   # how many of `filled_page_entries` count; all of them: any PageEntry may be valid
    PageEntry* filled_page_entries[REMEMBERED_ENTRIES]
    StoreRange store_ranges[MODE_BANKS * PAGE_ENTRIES]   # numbered as page entries
    uint32_t store_range_fills  # how many of `filled_store_ranges` count; all of them: any StoreRange may be valid
    StoreRange* filled_store_ranges[REMEMBERED_ENTRIES]
    LoadWindow load_windows[MODE_BANKS]
    StoreWindow store_windows[MODE_BANKS * BASE_REGISTERS]
    int strays_left         # accesses outside of their PageEntry's page until one is looked at, see page_trials.pyx
    uint64_t trial_turns[TRIAL_COUNTERS]    # of blocks on trial
    bint has_store_windows  # there is one that is not empty
    intptr_t window_addend  # as in a TlbEntry, for all of them, also while they are closed
    uint64_t reserved_host  # where the host has what is reserved (0: nothing is); engines set this, not the address
    uint64_t trap_cause     # of the trap that is about to be taken
    uint64_t trap_value
    int64_t slice           # the budget that the slice began with
    uint64_t slice_start    # timeline.steps at the start of the slice
    uint64_t tlb_misses[3]  # statistics, by kind of access
    TlbEntry* fetch_tlb     # the bank of the fetch privilege
    TlbEntry* banks         # TLB_BANKS * BANK_ENTRIES
    uint32_t filled_banks   # a bit for each bank that may have a valid entry
    Machine* machine
    int number              # its place in machine.cpus
    FrontEnd* front_end
    Block* scratch          # a block for code that is not cached
    uint64_t reported_pc    # of the breakpoint that ended a run last: the hart goes on past it ...
    uint64_t reported_step  # ... if it still stands there; its `consumed_steps` then and 1 more, 0: nowhere
    uint64_t hooked_pc      # the same of what hooks have been told of last
    uint64_t hooked_step
    uint32_t hooked_kinds   # a bit for each EventKind that it was
    uint64_t transfer       # where a basic block has ended, with NO_BRANCH or not; NOWHERE: one goes on
    uint64_t sequel         # where the one that seems to have ended goes on after all; NOWHERE
    int sequel_privilege    # in which it does
    uint32_t transfer_length    # of the instruction there
    uint64_t transfer_step      # behind it, if slices of other harts have been since; 0
    uint64_t block_pc       # where the last one began
    Recorder* block_log     # of basic blocks, if compiled code can do all that is to be done for it; NULL
    Recorder* access_log    # the same of accesses to memory
    uint8_t* edge_map       # the same of edges, the map itself
    int edge_recorder       # the place of its recorder
    uint64_t edges_before[MAX_RECORDERS]    # by that of a recorder of edges: where its map has the last block, halved
    uint32_t first_turn_budget  # the lower half, of a loop whose edges are counted by turns
    uint32_t block_wanted   # a bit for each recorder, by its place, whether that one counts
    uint64_t left_pc        # where the hart was when its last slice ended
    int64_t unsampled       # steps since it was looked at, up to this slice, see `take_sample` of execution/loop.pyx
    # Addresses of loads and stores are not all that registers hold: by that the TLB has them, see `effective_address`
    int ignored_bits        # of them the highest; 0: none
    bint extends_sign       # for these the highest of the others is taken, or else 0
    bint has_vectors        # the hart has instructions on vectors
    Gate gate               # where its thread is, if harts have threads
    LineMark* marks         # of lines that harts store to; NULL: they have no threads
    uint64_t ticket         # of what is reserved, where there are marks
    uint64_t next_ticket    # of its own
    int64_t thread_slice    # there: the steps of a slice
    uint64_t interpreted    # steps that were not run by compiled code, where there is a compiler
    bint may_end_early      # where that is so: a slice is over before a block that is longer than what is left of it
    uint32_t vector_shape   # what compiled code counts on where it computes with vectors, see ir/vectors.pxd

cdef struct CodePage:       # a page of RAM that holds translated code, or held some
    uint64_t physical       # its address
    Block* blocks           # every block with bytes in it (Block.next_in_page)
    uint64_t translated[GRANULE_WORDS]  # a bit for each granule of which bytes may be translated
    uint8_t churn[CODE_LINES]   # invalidations by stores to a line, recently
    uint64_t restless       # a bit for each line of which code is not cached, for all of them
    uint64_t churned_at     # timeline.steps of the last of these invalidations
    SharedPage* shared[MAX_LAYERS]  # by layer: its record of this page, where `held` has the layer's bit
    uint8_t held            # a bit for each layer whose code of this page is what memory holds
    uint8_t declined        # of those not to be asked for until a restore: there were stores beside code
    uint8_t differing       # of those not to be asked for until then, or until code changes: memory had other bytes
    uint32_t misfits        # how often shared code of this page was not what is to be run, see `note_shared_misfit`
    CodePage* next          # of all there are

cdef struct SharedPage:     # what a layer has of a page of RAM
    uint64_t physical
    Block* heads            # of its traces (Block.next_in_page[0])
    uint64_t translated[GRANULE_WORDS]
    uint8_t content[PAGE_SIZE]      # what it held then; only what is `translated` counts

cdef struct CodeLayer:      # compiled code that several machines run; shared_code.pyx makes it, and it never changes
    Block** buckets         # 1 << bucket_bits: the heads of traces by their keys
    int bucket_bits
    Block* blocks           # all that traces are made of (Block.older)
    SharedPage* pages
    int page_count
    uint64_t bytes          # of the host's memory
    void* arena             # where the blocks lie, of mmap(2); NULL: each of malloc(3)
    uint64_t arena_bytes
    void* compiled          # the compiler's
    void (*free_compiled)(void* compiled) noexcept nogil

cdef struct BlockCache:     # what code is known; blocks.pyx keeps it
    Block** buckets         # 1 << bucket_bits of them
    int bucket_bits
    uint64_t count          # live blocks
    CodePage** pages[MAX_RAM_REGIONS]   # by region, by page: NULL where no code was ever translated
    uint64_t page_counts[MAX_RAM_REGIONS]
    CodePage* records       # all of them
    CodeLayer* layers[MAX_LAYERS]   # what it runs of others, the oldest first
    int layer_count
    Block* dead             # invalidated, not freed yet
    uint64_t bytes          # host memory held by live blocks
    uint64_t limit          # of bytes: past it the oldest blocks go
    Block* newest
    Block* oldest
    bint linking            # off: every block returns to the run loop (for measurements)
    uint64_t translations   # statistics
    uint64_t invalidations
    uint64_t evictions      # invalidations for want of room

cdef struct Hit:            # an instruction has met a probe
    int accesses            # which: WATCHED_READS, WATCHED_WRITES; not 0 for a breakpoint; 0: none, or told of already
    uint64_t address        # what was accessed, virtual or physical as the probe is, of two pages the first part
    int size
    uint64_t pc             # of the instruction
    uint64_t step           # the machine's, before it
    int hart

cdef struct Scope:          # of a probe: whose accesses and instructions it is about
    int privileges          # a bit for each
    uint64_t space          # of the address space's number, those bits that are in the mask
    uint64_t space_mask

cdef struct Watch:          # accesses to [base, last] stop the run after their instruction, or are told to a hook
    int id
    int accesses            # which
    bint always             # also while probes are only noted
    bint hook
    bint physical           # which addresses they are
    Scope scope
    uint64_t base
    uint64_t last
    Hit hit                 # the last

cdef struct Breakpoint:     # the run stops before the instruction at an address, or a hook is told
    int id
    bint hook
    bint physical           # which address it is
    Scope scope
    uint64_t address
    uint64_t size           # 1, or more of a hook
    Hit hit

cdef struct LaterHit:       # of a probe whose own place another hart, in a thread, has taken in the same round
    int id
    bint breakpoint
    Hit hit

cdef enum EventKind:        # what hooks are told of
    EVENT_EXECUTE           # of an instruction that is the next one
    EVENT_READ              # the others are told behind the instruction
    EVENT_WRITE
    EVENT_TRAP
    EVENT_CSR_READ
    EVENT_CSR_WRITE
    EVENT_MMIO_READ
    EVENT_MMIO_WRITE
    EVENT_CALL              # of an environment call that is the next one
    EVENT_BLOCK             # of the first instruction of a basic block that is the next one
    EVENT_KINDS

cdef struct Event:
    EventKind kind
    int id                  # of the probe; of those that are for all events of their kind ~kind
    int hart
    uint64_t pc             # of the instruction
    uint64_t address        # of RAM virtual, of devices physical; of a trap the cause, of a CSR its number
    uint64_t physical       # of RAM
    int size
    uint64_t value          # that was read or written
    uint64_t old            # that was there before

cdef enum Instruments:      # what translations have in them for probes
    INSTRUMENT_BLOCKS = 1   # where basic blocks begin and end
    INSTRUMENT_STEPS = 2    # each instruction
    INSTRUMENT_ACCESSES = 4     # each access to memory
    INSTRUMENT_CSRS = 8     # each access to a register of control and status

cdef enum RecordKind:       # what recorders are for
    RECORD_BLOCKS
    RECORD_BRANCHES
    RECORD_STEPS
    RECORD_ACCESSES
    RECORD_TRAPS
    RECORD_MMIO
    RECORD_VISITS           # how often which block was left to which
    RECORD_EDGES            # the same in a map of bytes
    RECORD_KINDS            # how many there are

cdef enum:
    EVERY_PRIVILEGE = 0xFF      # Scope.privileges
    NO_BRANCH = 1           # bit of Cpu.transfer: a trap, or what the recorders have not seen

cdef struct Record:         # what a recorder writes down; of some kinds without the last fields
    uint64_t pc             # of the instruction, virtual
    uint64_t step           # the machine's, before it
    uint32_t word           # the instruction
    uint8_t hart
    uint8_t privilege
    uint8_t detail          # size of an access, slot that a step writes, whether a branch was taken
    uint8_t access          # RECORDED_READ, RECORDED_WRITE; of a step whether it trapped
    uint64_t address        # of an access, of a target; a cause
    uint64_t value

cdef struct Visit:
    uint64_t start          # of a block
    uint64_t source         # its last instruction, with NO_BRANCH or not
    uint64_t target         # what came next
    uint64_t length         # of the last instruction
    uint64_t count          # 0: none

cdef struct Recorder:       # probes/records.pyx keeps it
    RecordKind kind
    Scope scope
    uint64_t base           # virtual addresses of the instructions that count
    uint64_t end
    bint everything         # all of them do, and those of every scope
    int record_bytes
    uint8_t* start          # of its buffer
    uint8_t* next
    uint8_t* limit          # where it is full
    uint8_t* room           # behind the buffer
    Record* last
    int unfinished          # the last has no value yet, 1 ...
    int slot                # ... which an access leaves here; compiled code writes both at once
    bint ring               # the oldest are overwritten when it is full
    bint full
    uint64_t laps           # how often the buffer was full, and begun again
    uint64_t dropped        # what there was no room for
    Visit* visits           # 1 << visit_bits places, by a hash
    int visit_bits
    uint64_t visit_count
    int map_bits            # of edges: the buffer has 1 << map_bits counters

cdef struct Probes:         # probes/ keeps them
    Watch* watches
    int watch_count
    int virtual_watches     # how many of them have virtual addresses, and of the harts' triggers for accesses
    Breakpoint* breakpoints
    int breakpoint_count
    LaterHit* later_hits    # until Python has taken them
    int later_count
    int later_room
    int execute_triggers    # of all harts
    int last_id             # that was given to one of either kind
    bint noting             # nothing stops: what has been met last is noted
    uint32_t instruments    # Instruments that translations have
    uint32_t recorded       # a bit for each RecordKind that there is a recorder for
    Recorder* recorders[MAX_RECORDERS]
    int recorder_count
    bint silent             # hooks are told of nothing, and nothing is recorded
    uint32_t wanted         # a bit for each EventKind that a hook is for, of those that have no probe
    Event* events           # that wait for their hooks
    int event_room
    int event_count
    int event_next          # the first that has not been told

cdef struct IdleMachine:    # execution/allowance.pyx keeps it
    Machine* later          # its neighbours by when they ran
    Machine* earlier
    uint64_t bytes          # what its translations held when its last run ended
    uint64_t ended_ns       # when that was, on the host's clock
    pid_t process           # in whose list it is; 0: in none
    int begun               # runs of it: a hook goes to another state in the middle of one, as if that were another

cdef struct Machine:
    AddressMap* map
    Timeline* timeline
    Cpu** cpus              # of every hart
    int cpu_count
    Cpu* current            # the hart whose slice it is; NULL between slices, and where harts have threads
    Safepoints* safepoints  # of harts in threads of their own; NULL: they take turns in one
    FrontEnd* front_end     # of all harts
    BlockCache blocks
    Compiler* compiler      # NULL: blocks are interpreted
    Probes probes
    bint data_tlb           # off: no load or store is remembered in a TLB (for measurements)
    IdleMachine idle

# A compiling engine as the run loop and the block cache see it.
cdef struct Compiler:
    uint32_t hot            # how often a block is interpreted before it is compiled
    uint64_t seed           # not 0: each block has its own such number, drawn between 0 and `hot`
    uint64_t bytes          # host memory that compiled code and its records take
    uint64_t departures     # how often compiled code that a hart may be inside was discarded or given up
    bint has_drafts         # blocks that are compiled alone until they are seen to be run a lot: samples are wanted
    bint wants_room         # nothing more is compiled until `make_room`
    # Compiles a trace that begins with this block. Sets block.entry if it can.
    void (*compile)(Compiler* self, Cpu* cpu, Block* block) noexcept nogil
    # Runs block.entry. The budget is at least block.entry_steps.
    void (*run)(Compiler* self, Cpu* cpu, Block* block) noexcept nogil
    # cpu.pending_trace_exit has led to this block.
    void (*link)(Compiler* self, Cpu* cpu, Block* target) noexcept nogil
    # Where a jump cache entry for this block leads compiled code.
    void* (*continuation)(Compiler* self, Block* block) noexcept nogil
    # The block is about to go.
    void (*discard)(Compiler* self, Block* block) noexcept nogil
    # Compiled code is not what it should be: ends what this block is part of, to be compiled anew where it next runs.
    void (*renew)(Compiler* self, Block* block) noexcept nogil
    # Gives all compiled code away, which never changes from now on; NULL if there is no memory for that. No hart is
    # inside a slice.
    void* (*hand_over)(Compiler* self) noexcept nogil
    void (*free_handed_over)(void* compiled) noexcept nogil
    # All blocks are about to go, no hart is inside a slice, and none knows of any compiled code.
    void (*forget)(Compiler* self) noexcept nogil
    # Gives up the oldest compiled code. No hart is inside a slice.
    void (*make_room)(Compiler* self) noexcept nogil

# A helper finds pc and budget exact on the CPU and says with a Status how to go on.
ctypedef int (*Helper)(Cpu* cpu, Uop* uop) noexcept nogil

cdef struct FrontEnd:
    # Virtual to physical for one access that lies inside a page; enters the TLB where that is allowed.
    # Returns CONTINUE, or TRAP with cause and value set, or RETRY if a page of RAM could not be fetched.
    int (*translate_address)(Cpu* cpu, uint64_t address, int access, uint64_t size, uint64_t* physical) noexcept nogil
    # Decodes at most `limit` instructions into the block, where its key says that they stand.
    # Returns CONTINUE, or TRAP if the first instruction cannot be fetched, or RETRY if a device raised.
    int (*translate_block)(Cpu* cpu, Block* block, int limit) noexcept nogil
    # Takes the trap (trap_cause, trap_value) at cpu.state.pc.
    void (*take_trap)(Cpu* cpu) noexcept nogil
    # Triggers that the guest has set for the hart, at virtual addresses in [first, first + size); `accesses` has a bit
    # for each of READ, WRITE, EXECUTE. Is there one, whenever it may fire? Changed ones drop translations and the TLB.
    bint (*has_trigger)(Cpu* cpu, int accesses, uint64_t first, uint64_t size) noexcept nogil
    # Does one fire now, before the access? Then cause and value are set.
    bint (*trigger_fires)(Cpu* cpu, int accesses, uint64_t first, uint64_t size) noexcept nogil
    # Takes an interrupt that is due; called when attention is set, which it clears.
    void (*attend)(Cpu* cpu) noexcept nogil
    # Makes interrupts pending or takes them back, by the front end's numbers; for `interrupt` alone.
    void (*set_interrupts)(Cpu* cpu, uint64_t bits, bint level) noexcept nogil
    # Sets the hart's timer, in timebase ticks; for `set_timer` alone.
    void (*set_timer)(Cpu* cpu, uint64_t ticks) noexcept nogil
    # Drops the translations of [start, start + size), or all for 0 and 0; for `fence` alone.
    void (*fence)(Cpu* cpu, uint64_t start, uint64_t size) noexcept nogil
    # The scheduler's questions, between slices. Poll: has a timer of this hart run out? It sets attention.
    void (*poll)(Cpu* cpu) noexcept nogil
    bint (*runnable)(Cpu* cpu) noexcept nogil
    # Guest nanoseconds since power-on at which the hart's next timer runs out; NEVER if none is set.
    uint64_t (*deadline_ns)(Cpu* cpu) noexcept nogil
    # On entering and leaving native code: the host's floating-point status and rounding are the guest's while inside
    void (*enter)(Cpu* cpu) noexcept nogil
    void (*leave)(Cpu* cpu) noexcept nogil
    uint64_t access_fault[3]        # trap causes of a failed bus access, by its kind
    uint64_t misaligned[2]          # trap causes of a misaligned atomic: READ (a load-reserved), WRITE
    Helper* helpers
    uint64_t call_causes            # a bit for each trap that an instruction is there to raise
    uint64_t privilege_bits         # of a mode: the privilege of instructions
    int jump_helper                 # a helper that is a branch or a jump
    int illegal_helper              # that of what is no instruction
    int zeroing_helper              # one that zeroes the 64 bytes around what rs1 points to, if Cpu.may_zero_blocks
    int vector_helper               # that of all instructions on vectors
    # What one of them is where the hart has this shape; 0: what it is in any.
    void (*describe_vector)(Cpu* cpu, Uop* uop, uint64_t mode, uint32_t shape, VectorUop* vector) noexcept nogil
    int sink                        # the register slot that takes writes to nowhere
    int zero                        # the one that reads as zero
    uint8_t hot_slots[16]           # the slots of integers that programs use most, best first
    uint8_t hot_floats[16]          # and of floating-point numbers
    int first_float                 # the slots of floating-point numbers follow each other
    int float_count
    uint32_t nan_single             # what an operation gives for NaN
    uint64_t nan_double
    int (*data_bank)(uint64_t mode) noexcept nogil
    uint64_t window_start           # where LoadWindows begin
    # Opens that of the mode at hand if there is no paging. Where there is, a load may do that.
    void (*open_window)(Cpu* cpu) noexcept nogil
    uint64_t (*address_space)(Cpu* cpu) noexcept nogil  # the number of the one that is translated by now
    bint (*uses_float)(uint64_t mode) noexcept nogil

# --- Addresses of which a part is ignored: no tag of the TLB is like one with something else there, so that each such
# --- access is a slow one, and all that is not costs nothing.

cdef inline uint64_t effective_address(const Cpu* cpu, uint64_t address) noexcept nogil:
    # Of a load or store in the mode at hand. Doing it again changes nothing.
    if not cpu.ignored_bits:
        return address
    if cpu.extends_sign:
        return <uint64_t>(<int64_t>(address << cpu.ignored_bits) >> cpu.ignored_bits)
    return address << cpu.ignored_bits >> cpu.ignored_bits

# --- Where a hart is

cdef inline uint64_t consumed_steps(const Cpu* cpu) noexcept nogil:
    return cpu.state.steps + <uint64_t>(cpu.slice - cpu.budget)

cdef inline uint64_t machine_steps(Cpu* cpu) noexcept nogil:
    return cpu.slice_start + <uint64_t>(cpu.slice - cpu.budget)

cdef inline void store_position(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    # Before the instruction of this uop: nothing of it has happened, nothing of it is paid for.
    cdef UopInfo* info = info_of(uop)
    cpu.state.pc = block_of(uop).key.pc + info.pc_offset
    cpu.budget = budget + block_of(uop).steps - info.step

cdef inline void step_over(Cpu* cpu, Uop* uop) noexcept nogil:
    # From before the instruction to behind it.
    cpu.state.pc += info_of(uop).length
    cpu.budget -= 1

cdef inline int privilege_of(Cpu* cpu, uint64_t mode) noexcept nogil:
    return <int>(mode & cpu.front_end.privilege_bits)

cdef inline void forget_store_ranges(Cpu* cpu) noexcept nogil:
    cdef uint32_t i
    if cpu.store_range_fills < REMEMBERED_ENTRIES:
        for i in range(cpu.store_range_fills):
            memset(cpu.filled_store_ranges[i], 0, sizeof(StoreRange))
    else:
        memset(cpu.store_ranges, 0, sizeof(cpu.store_ranges))
    cpu.store_range_fills = 0
    if cpu.has_store_windows:
        memset(cpu.store_windows, 0, sizeof(cpu.store_windows))
        cpu.has_store_windows = False

cdef inline void forget_page_entries(Cpu* cpu) noexcept nogil:
    # To be called whenever a translation may have ended.
    cdef uint32_t i
    if cpu.page_entry_fills < REMEMBERED_ENTRIES:
        for i in range(cpu.page_entry_fills):
            clear_page_entry(cpu.filled_page_entries[i])
    else:
        for i in range(MODE_BANKS * PAGE_ENTRIES):
            clear_page_entry(&cpu.page_entries[i])
    cpu.page_entry_fills = 0
    forget_store_ranges(cpu)

cdef inline void close_load_windows(Cpu* cpu, int first) noexcept nogil:
    # From this bank on: not all that they show may be loaded as it stands any more. Compiled code counts on them from
    # one access to others, so it must not go on behind what has called this: a CSR, a fence and whatever Python changes
    # of a hart end the block, and watches are set between two runs of it.
    cdef int bank
    for bank in range(first, MODE_BANKS):
        if cpu.load_windows[bank].places[0]:
            memset(&cpu.load_windows[bank], 0, sizeof(LoadWindow))

cdef inline void ask_to_stop(Cpu* cpu, StopCode why) noexcept nogil:
    # Also from another thread. Unless the hart has a reason already: that is not to be lost.
    compare_and_swap(&cpu.stop, STOP_NONE, why)

cdef inline void drop_reservation(Cpu* cpu) noexcept nogil:
    cpu.reserved_host = 0
    cpu.state.reservation = Reservation(0, 0, 0)

cdef inline void settle_reservation(Cpu* cpu) noexcept nogil:
    # At the end of a slice: make the state say what the engine knows.
    if cpu.reserved_host:
        cpu.state.reservation.address = physical_of(cpu.machine.map, cpu.reserved_host)
    else:
        cpu.state.reservation = Reservation(0, 0, 0)

cdef inline void resume_reservation(Cpu* cpu) noexcept nogil:
    # At the start of a slice, the other way round. A state from elsewhere may name what is no RAM: nothing is reserved.
    cdef uint64_t address = cpu.state.reservation.address
    cdef uint64_t size = cpu.state.reservation.size
    cdef RamRegion* region = ram_at(cpu.machine.map, address, size) if size else NULL
    cpu.reserved_host = <uint64_t>region.host + (address - region.base) if region != NULL else 0

# --- Harts in threads of their own

cdef inline void lock_code(Machine* machine) noexcept nogil:
    # What harts share of code is about to be looked at or changed.
    if machine.safepoints != NULL:
        lock_shared(machine.safepoints)

cdef inline bint try_lock_code(Machine* machine) noexcept nogil:
    # For what can as well be done another time. False: another hart has the lock.
    return machine.safepoints == NULL or try_lock_shared(machine.safepoints)

cdef inline void unlock_code(Machine* machine) noexcept nogil:
    if machine.safepoints != NULL:
        unlock_shared(machine.safepoints)

cdef inline int leave_for_python(Cpu* cpu) noexcept nogil:
    # A device is about to be asked: the host's floating point is its own, and other harts go on.
    cpu.front_end.leave(cpu)
    return step_aside(&cpu.gate) if cpu.machine.safepoints != NULL else 0

cdef inline void return_from_python(Cpu* cpu, int held) noexcept nogil:
    # `held` is what `leave_for_python` gave.
    if cpu.machine.safepoints != NULL:
        step_back(&cpu.gate, held)
    cpu.front_end.enter(cpu)

cdef inline void about_to_store(Cpu* cpu, const void* host, uint64_t size) noexcept nogil:
    # To RAM, by whichever way.
    if cpu.marks != NULL:
        announce_stores(cpu.marks, <uint64_t>host, size, <uint64_t>cpu)

cdef inline void note_time(Cpu* cpu) noexcept nogil:
    # Somebody may ask what time it is; where harts have threads the host knows.
    if cpu.machine.safepoints == NULL:
        cpu.machine.timeline.steps = machine_steps(cpu)

# --- What one hart, a device or Python does to harts. At once where harts take turns in one thread; where each has its
# --- own, interrupts are posted, and for all else the others are parked meanwhile.

cdef bint harts_go(const Machine* machine) noexcept nogil
cdef Cpu* visit(Machine* machine, int hart) noexcept nogil
cdef void depart(Machine* machine, int hart) noexcept nogil
cdef void interrupt(Machine* machine, int hart, uint64_t bits, bint level) noexcept nogil
cdef void set_timer(Machine* machine, int hart, uint64_t ticks) noexcept nogil
cdef void fence(Machine* machine, int hart, uint64_t start, uint64_t size) noexcept nogil
cdef void reschedule(Machine* machine) noexcept nogil
cdef void forget_block(Machine* machine, Block* block) noexcept nogil
cdef void offer_code(Machine* machine, Block* block, void* code) noexcept nogil
cdef void deliver_mail(Cpu* cpu) noexcept nogil
cdef void withdraw_code(Machine* machine, Block* block, void* instead) noexcept nogil
cdef void forget_jumps(Machine* machine) noexcept nogil
cdef void forget_all_code(Machine* machine) noexcept nogil
cdef void revoke_writes(Machine* machine, RamRegion* region, uint64_t physical) noexcept nogil
cdef void revoke_reads(Machine* machine, RamRegion* region, uint64_t physical) noexcept nogil
cdef void revoke_store_ranges(Machine* machine) noexcept nogil
cdef void break_reservations(Machine* machine, uint64_t physical, uint64_t size) noexcept nogil
