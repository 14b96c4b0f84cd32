# The C struct that engines run on, and the functions by which a front end serves it.
from libc.stdint cimport int64_t, intptr_t, uint8_t, uint32_t, uint64_t
from vm_native.clock cimport Timeline
from vm_native.ir.block cimport Block, Link, Uop
from vm_native.memory.bus cimport MAX_RAM_REGIONS, AddressMap

cdef enum:
    REGISTER_SLOTS = 80     # what a front end may use: general, floating point, sink, temporaries
    TLB_ENTRIES = 1024
    TLB_BANKS = 4
    JUMP_CACHE_ENTRIES = 4096
    BASE_REGISTERS = 32     # the first slots: those that addresses are formed from
    PAGE_SLOTS = 128        # in each bank: one for each base register, the others for computed addresses
    REMEMBERED_SLOTS = 64

cdef enum:
    PAGE_OFFSET = 0xFFF
    INVALID_TAG = 0x800     # no probe produces this bit
    MODE_MASK = 0xFF        # the part of Cpu.key that is the mode

cdef enum:                  # kinds of access
    READ = 0
    WRITE = 1
    EXECUTE = 2

# What a helper or a slow path tells the engine.
cdef enum Status:
    CONTINUE = 0            # go on with the next uop
    LEAVE = 1               # the instruction is done, pc is set: back to the run loop
    TRAP = 2                # trap_cause and trap_value are set: the instruction did not happen
    ABANDON = 3             # the instruction did not happen and shall be repeated: back to the run loop

# Why the run loop came back before its budget was used up.
cdef enum StopCode:
    STOP_NONE = 0
    STOP_RAISED = 1         # an exception is stashed on the bus
    STOP_WAITING = 2        # the hart waits for an interrupt
    STOP_REQUESTED = 3      # a device, a watch or a callback asked to stop after the instruction
    STOP_UNHANDLED = 4      # a trap that nobody takes: trap_cause, trap_value and pc tell
    STOP_TRAP_LOOP = 5      # the trap handler's first fetch traps to itself
    STOP_FIRMWARE = 6       # a firmware call that Python serves
    STOP_RESCHEDULE = 7     # a deadline changed: the slice must be cut anew
    STOP_BUDGET = 8         # all steps that were asked for are done
    STOP_EVENT = 9          # a device's event is due
    STOP_DEADLINE = 10      # the guest time, STOP_TIMEOUT: the host time that was asked for is over
    STOP_TIMEOUT = 11
    STOP_IDLE = 12          # every hart waits, and nothing is scheduled that would wake one
    STOP_WATCH = 14         # a store into AddressMap's watched range has been done
    STOP_SLEEP = 13         # real time: every hart waits, the caller may sleep until the next deadline

cdef struct TlbEntry:
    uint64_t read_tag       # page address; any bit below the page size set means: take the slow path
    uint64_t write_tag
    uint64_t exec_tag
    intptr_t addend         # host address minus guest virtual address

cdef struct JumpCacheEntry:
    uint64_t pc
    uint64_t key            # Cpu.key when it was entered
    Block* block
    void* code              # where compiled code goes on: the block's, or a way back to the run loop

cdef struct PageSlot:       # what compiled code knows of the page that an address points into: a copy from the TLB
    uint64_t read_tag
    uint64_t write_tag
    intptr_t addend
    uint64_t unused         # makes the size a power of two

cdef struct FrontEnd
cdef struct Cpu
cdef struct Compiler

cdef struct CodePage:       # a page of RAM that holds translated code
    Block* blocks           # every block with bytes in it (Block.next_in_page)
    uint64_t granules       # bit i: bytes [64 i, 64 i + 64) may be translated
    uint32_t churn          # invalidations by stores, recently
    uint64_t churned_at     # timeline.steps of the last of them

cdef struct BlockCache:
    Block** buckets
    CodePage** pages[MAX_RAM_REGIONS]   # by region, by page: NULL where no code was ever translated
    uint64_t page_count[MAX_RAM_REGIONS]
    Block* dead             # invalidated, not freed yet
    uint64_t bytes          # host memory held by live blocks
    uint64_t limit          # of bytes: past it the oldest blocks go
    Block* newest
    Block* oldest
    Cpu** cpus              # of every hart that runs on this cache
    int cpu_count
    AddressMap* map
    Timeline* timeline
    Compiler* compiler      # NULL: blocks are interpreted
    bint linking            # off: every block returns to the run loop (for measurements)
    uint64_t translations   # statistics
    uint64_t invalidations
    uint64_t evictions      # invalidations for want of room

cdef struct Cpu:
    uint64_t regs[REGISTER_SLOTS]
    uint64_t pc             # exact whenever anything but an engine looks
    int64_t budget          # steps left in the slice; an engine keeps it in a host register while inside
    TlbEntry* tlb           # the bank of the effective data mode
    uint64_t key            # mode in the low 8 bits, generation of the fetch translations above
    JumpCacheEntry* jump_cache
    uint64_t code_pages[64]  # a bit for each virtual page, by its number modulo 4096, that the jump cache has code of
    bint attention          # the front end wants a look before the next block (interrupts)
    StopCode stop
    Link* pending_link      # the way out just taken, not linked yet
    void* pending_exit      # the same of compiled code
    void* host_stack        # of compiled code, to leave it from any depth
    uint32_t slot_fills     # how many of `filled_slots` count; all of them: any PageSlot may be valid
    PageSlot* filled_slots[REMEMBERED_SLOTS]
    PageSlot slots[TLB_BANKS * PAGE_SLOTS]
    uint64_t reserved_host  # LR: host address (0: none), value and size in bytes of the reservation
    uint64_t reserved_value
    int reserved_size
    uint64_t trap_cause
    uint64_t trap_value
    uint64_t steps          # at the start of the slice
    int64_t slice           # the budget that the slice began with
    uint64_t slice_start    # timeline.steps at the start of the slice
    uint64_t traps          # steps that did not retire
    uint64_t origin_pc      # the last trap, or what led to a trap loop
    uint64_t origin_cause
    uint64_t origin_value
    uint64_t origin_step    # steps after it
    uint64_t tlb_misses[3]  # statistics, by Access
    TlbEntry* fetch_tlb     # the bank of the fetch privilege
    TlbEntry* banks         # TLB_BANKS * TLB_ENTRIES
    AddressMap* map
    Timeline* timeline
    BlockCache* blocks
    FrontEnd* front_end
    Block* scratch          # a block for code that is not cached

# A compiling engine as the run loop and the block cache see it.
cdef struct Compiler:
    uint32_t hot            # how often a block is interpreted before it is compiled
    uint64_t seed           # not 0: each block has its own such number, drawn between 0 and `hot`
    uint64_t interpreted    # steps that were not run by compiled code
    # Compiles a trace that begins with this block. Sets block.entry if it can.
    void (*compile)(Compiler* self, Cpu* cpu, Block* block) noexcept nogil
    # Runs block.entry. The budget is at least block.entry_steps.
    void (*run)(Compiler* self, Cpu* cpu, Block* block) noexcept nogil
    # cpu.pending_exit has led to this block.
    void (*link)(Compiler* self, Cpu* cpu, Block* target) noexcept nogil
    # Where a jump cache entry for this block leads compiled code.
    void* (*way_to)(Compiler* self, Block* block) noexcept nogil
    # The block is about to go.
    void (*discard)(Compiler* self, Block* block) noexcept nogil

# A helper finds pc and budget exact on the CPU and says with a Status how to go on.
ctypedef int (*Helper)(Cpu* cpu, Uop* uop) noexcept nogil

cdef struct FrontEnd:
    # Virtual to physical for one access that lies inside a page; enters the TLB where that is allowed.
    # Returns CONTINUE, or TRAP with cause and value set.
    int (*translate_address)(Cpu* cpu, uint64_t address, int access, uint64_t size, uint64_t* physical) noexcept nogil
    # Decodes at most `limit` instructions at pc, whose first byte is at `physical`, into `block`.
    # Returns CONTINUE, or TRAP if the first instruction cannot be fetched, or ABANDON if a device raised.
    int (*translate_block)(Cpu* cpu, Block* block, uint64_t physical, int limit) noexcept nogil
    # Takes the trap (trap_cause, trap_value) at cpu.pc.
    void (*take_trap)(Cpu* cpu) noexcept nogil
    # Takes an interrupt that is due; called when attention is set, which it clears.
    void (*attend)(Cpu* cpu) noexcept nogil
    # The scheduler's questions, between slices. Poll: has a timer of this hart run out? It sets attention.
    void (*poll)(Cpu* cpu) noexcept nogil
    bint (*runnable)(Cpu* cpu) noexcept nogil
    # Guest nanoseconds since power-on at which the hart's next timer runs out; UINT64_MAX if none is set.
    uint64_t (*deadline_ns)(Cpu* cpu) noexcept nogil
    # On entering and leaving native code: the host's floating-point status is the guest's while inside.
    void (*enter)(Cpu* cpu) noexcept nogil
    void (*leave)(Cpu* cpu) noexcept nogil
    uint64_t access_fault[3]        # trap causes of a failed bus access, by Access
    uint64_t misaligned[2]          # trap causes of a misaligned atomic: READ (a load-reserved), WRITE
    Helper* helpers
    int sink                        # the register slot that takes writes to nowhere
    int zero                        # the one that reads as zero
    uint8_t hot_slots[16]           # the slots of integers that programs use most, best first
    uint8_t hot_floats[16]          # and of floating-point numbers
    int first_float                 # the slots of floating-point numbers follow each other
    int float_count
    uint32_t nan_single             # what an operation gives for NaN
    uint64_t nan_double
    int (*data_bank)(uint64_t mode) noexcept nogil
    bint (*uses_float)(uint64_t mode) noexcept nogil

cdef inline uint64_t consumed_steps(Cpu* cpu) noexcept nogil:
    return cpu.steps + <uint64_t>(cpu.slice - cpu.budget)

cdef inline uint64_t machine_steps(Cpu* cpu) noexcept nogil:
    return cpu.slice_start + <uint64_t>(cpu.slice - cpu.budget)

cdef inline void clear_slot(PageSlot* slot) noexcept nogil:
    slot.read_tag = INVALID_TAG
    slot.write_tag = INVALID_TAG

cdef inline void forget_slots(Cpu* cpu) noexcept nogil:
    # To be called whenever a translation may have ended.
    cdef uint32_t i
    if cpu.slot_fills < REMEMBERED_SLOTS:
        for i in range(cpu.slot_fills):
            clear_slot(cpu.filled_slots[i])
    else:
        for i in range(TLB_BANKS * PAGE_SLOTS):
            clear_slot(&cpu.slots[i])
    cpu.slot_fills = 0

cdef inline void clear_entry(TlbEntry* entry) noexcept nogil:
    entry.read_tag = INVALID_TAG
    entry.write_tag = INVALID_TAG
    entry.exec_tag = INVALID_TAG

cdef inline void note_code_page(Cpu* cpu, uint64_t address) noexcept nogil:
    cpu.code_pages[(address >> 18) & 63] |= 1ULL << ((address >> 12) & 63)

cdef inline bint may_be_code_page(Cpu* cpu, uint64_t address) noexcept nogil:
    return cpu.code_pages[(address >> 18) & 63] >> ((address >> 12) & 63) & 1

cdef inline uint64_t jump_cache_index(uint64_t pc) noexcept nogil:
    # Functions that call each other often lie a multiple of some pages apart: the bits above count, too.
    return (pc >> 1 ^ pc >> 13) & (JUMP_CACHE_ENTRIES - 1)
