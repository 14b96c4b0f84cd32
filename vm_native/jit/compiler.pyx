"""The compiler: makes traces of hot blocks, and is what the run loop and the block cache see of them."""
import functools

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset
from vm_native.clock cimport host_ns
from vm_native.ir.block cimport FINAL, Block
from vm_native.jit.executable cimport map_code_memory, unmap_code_memory
from vm_native.jit.neighbours cimport Neighbours
from vm_native.jit.selection cimport become_draft, block_in_page, choose_trace, head_for
from vm_native.jit.state cimport (
    EXIT_REASONS, MAX_PARTS, MAX_REGIONS, NO_EXIT, PAUSES, REGION_BYTES, CodeMemory, HandedOver, Jit, JournalEntry,
    Stubs, Switches, Trace,
)
from vm_native.jit.traces cimport (
    adopt_stubs, cold_exit, discard_block, discard_draft, forget_traces, free_all, free_handed_over, free_trace,
    hand_over, keep_trace, lay_out_regions, link, link_exit, make_room, new_trace, renew_block, room_for_trace,
    trace_of,
)
from vm_native.jit.x86_64.host_features cimport host_has
from vm_native.jit.x86_64.registers cimport place_registers
from vm_native.jit.x86_64.stubs cimport emit_stubs
from vm_native.jit.x86_64.trace cimport (
    HOST_FEATURE_WORDS, describe_host, emit_trace, host_has_instructions, most_bytes,
)
from vm_native.machine cimport MAX_LAYERS, Compiler, Cpu, Machine, forget_jumps
from vm_native.memory.bus cimport share_of_ram
from vm_native.shared_code cimport SharedCode

cdef enum:
    PART_OF_RAM = 8             # that code memory is, unless somebody says how much it shall be
    LEAST_BYTES = 64 << 20
    MOST_BYTES = MAX_REGIONS * REGION_BYTES
    DRAFT_BYTES = 4 << 20       # more than programs of some hundred kilobytes take

# What statistics call EXIT_UNLINKED and those after it, in this order
REASONS = ("unlinked", "unknown", "cold", "budget", "unboxed", "fallback")
assert len(REASONS) == EXIT_REASONS
cdef Switches no_switches
SWITCHES = tuple(dict(no_switches))         # their names, in the order of the struct


@functools.cache
def unavailable():
    """Why this host cannot run compiled code, a str; None if it can. It is asked once, as that takes its time."""
    cdef Jit jit
    if not host_has_instructions():
        return "the compiler makes code for x86-64 processors with AVX2, BMI and FMA"
    memset(&jit, 0, sizeof(Jit))
    refused = map_code_memory(&jit.memory, REGION_BYTES) < 0
    unmap_code_memory(&jit.memory)
    return "the host refuses executable memory" if refused else None


def instruction_sets():
    """Which of those that compiled code uses the host has, a dict of bools. "AVX2" stands for all that it is made of;
    the others it can do without.
    """
    return {"AVX2": host_has_instructions(), "AVX-512": host_has.avx512, "F16C": host_has.halves, "AES": host_has.aes,
            "PCLMULQDQ": host_has.carryless, "SHA": host_has.sha}


def host_features():
    """What the host's processor has, a tuple of numbers: code that was made on one with others is not to be run."""
    cdef uint32_t[HOST_FEATURE_WORDS] words
    describe_host(words)
    return tuple([words[i] for i in range(HOST_FEATURE_WORDS)])


# --- One trace --------------------------------------------------------------------------------------------------------

cdef void note_trace(Jit* jit, uint64_t pc, uint8_t* start, uint64_t size) noexcept nogil:
    cdef JournalEntry* journal = <JournalEntry*>realloc(jit.journal, (jit.journal_count + 1) * sizeof(JournalEntry))
    if journal == NULL:
        return
    jit.journal = journal
    journal[jit.journal_count].pc = pc
    journal[jit.journal_count].start = start
    journal[jit.journal_count].size = <uint32_t>size
    jit.journal_count += 1


cdef void note_stubs(Jit* jit, const CodeMemory* memory, const Stubs* stubs) noexcept nogil:
    note_trace(jit, 0, memory.writable + memory.executable, stubs.end - memory.writable)


cdef void note_handed_over(Jit* jit, const HandedOver* handed) noexcept nogil:
    cdef const Trace* trace = handed.traces
    note_stubs(jit, &handed.memory, &handed.stubs)
    while trace != NULL:
        note_trace(jit, trace.key.pc, trace.start, trace.size)
        trace = trace.older


cdef bint has_code_memory(Jit* jit) noexcept nogil:
    """Map it, and write the stubs, if that is still to be done. False if the host has no memory for it."""
    cdef uint64_t size = jit.code_bytes
    if jit.memory.writable != NULL:
        return True
    if not size:
        size = share_of_ram(jit.machine.map, PART_OF_RAM, LEAST_BYTES, MOST_BYTES) // REGION_BYTES * REGION_BYTES
    if map_code_memory(&jit.memory, size) < 0:
        unmap_code_memory(&jit.memory)
        return False
    emit_stubs(jit)
    lay_out_regions(jit, jit.stubs.end)
    if jit.journaling:
        note_stubs(jit, &jit.memory, &jit.stubs)
    forget_jumps(jit.machine)           # which may lead to stubs that were not there yet
    return True


cdef Trace* compile_trace(
    Jit* jit, Cpu* cpu, Block** parts, int* next_exits, int count, const Neighbours* around
) noexcept nogil:
    """The trace of these blocks; NULL if it grows too large or there is no memory.

    Without neighbours it has the same guest registers in host registers as there are everywhere.
    """
    cdef uint8_t* at
    cdef uint8_t* end
    cdef Trace* trace = new_trace(parts, count)
    if trace == NULL:
        return NULL
    at = room_for_trace(jit, most_bytes(jit, parts, count))
    end = emit_trace(jit, cpu, trace, at, parts, next_exits, count, around) if at != NULL else NULL
    if end == NULL:
        free_trace(trace)
        return NULL
    keep_trace(jit, trace, end)
    if jit.journaling:
        note_trace(jit, parts[0].key.pc, trace.start, trace.size)
    jit.statistics.traces += 1
    jit.statistics.instructions += parts[0].entry_steps
    jit.statistics.host_bytes += trace.size
    return trace


cdef inline bint begins_as_draft(const Jit* jit, const Block* head) noexcept nogil:
    # A block that crosses into a second page is compiled alone anyway.
    return (
        jit.interface.bytes >= jit.draft_bytes and head.entry == NULL and head.stage != FINAL and not head.second_page
    )


cdef void compile(Compiler* interface, Cpu* cpu, Block* head) noexcept nogil:
    """Compile a trace that begins with this block, and link it with what has been compiled around it.

    Where a lot has been compiled, a block has a *draft* first, a trace of it alone: each block is compiled once then,
    and not in several traces, and more of all code is in the host's caches. Who asks for a block that has a draft knows
    that it is run a lot: what is compiled then may begin with another block, that of the loop that it is in.
    """
    cdef Jit* jit = <Jit*>interface
    cdef Trace* trace = NULL
    cdef Block* parts[MAX_PARTS]
    cdef Block* target
    cdef int next_exits[MAX_PARTS]
    cdef uint64_t began = host_ns()
    cdef Neighbours around
    cdef int i, count, stage
    cdef bint is_draft
    if jit.interface.wants_room:
        return
    if not has_code_memory(jit):
        head.heat = 0                   # until it is hot again it is not asked for
        return
    if head.entry != NULL:
        head = head_for(jit, head)
    is_draft, stage = begins_as_draft(jit, head), head.stage
    if is_draft:
        become_draft(jit, head)
    else:
        head.stage = FINAL              # before its code is emitted, which is that of a draft else
        count = choose_trace(jit, cpu, head, parts, next_exits, &around)
        trace = compile_trace(jit, cpu, parts, next_exits, count, &around if jit.switches.allocation else NULL)
    if trace == NULL and not jit.interface.wants_room:
        parts[0], next_exits[0] = head, NO_EXIT
        trace = compile_trace(jit, cpu, parts, next_exits, 1, NULL)
    if trace == NULL:
        head.stage = stage              # if it has a draft, that stays one
    if trace == NULL and not jit.interface.wants_room:
        head.heat = 0                   # it is asked for again when it is hot again
    if trace != NULL and not is_draft:
        discard_draft(jit, trace)
    if trace != NULL and jit.switches.linking and not head.second_page:
        for i in range(trace.exit_count):
            target = block_in_page(jit, head, trace.exits[i].pc)
            if target != NULL and target.entry != NULL:
                link(jit, &trace.exits[i], trace_of(target))
    jit.statistics.compile_ns += host_ns() - began


# --- The interface ----------------------------------------------------------------------------------------------------

ctypedef void (*Enter)(Cpu* cpu, void* code) noexcept nogil


cdef void run(Compiler* interface, Cpu* cpu, Block* block) noexcept nogil:
    (<Enter><void*>(<Jit*>interface).stubs.enter[cpu.front_end.uses_float(block.key.mode)])(cpu, block.entry)


cdef void* continuation(Compiler* interface, Block* block) noexcept nogil:
    return block.entry if block.entry != NULL else cold_exit(<Jit*>interface, block)


cdef class JitCompiler:
    """Compiles for one machine; a `NativeMachine` attaches it.

    hot: how often a block is interpreted before it is compiled; 0 compiles at once. seed: if not 0, each block draws
    its own number between 0 and `hot`. code_bytes: of code memory; None: as RAM is large. draft_bytes: with so many
    bytes of compiled code and its records, blocks are compiled alone first. relocatable: what it hands over can become
    an image (image.pyx). The switches turn off parts of the compiler, to measure what they bring. Code
    memory is mapped when something is hot; where the host then has none, it goes on being interpreted.
    """

    def __cinit__(self, *, uint32_t hot=32, uint64_t seed=0, code_bytes=None, uint64_t draft_bytes=DRAFT_BYTES,
                  bint relocatable=False, **switches):
        cdef uint64_t given = 0 if code_bytes is None else code_bytes
        unknown = set(switches) - set(SWITCHES)
        if unknown:
            raise ValueError(f"no switch {', '.join(sorted(unknown))}; there is {', '.join(SWITCHES)}")
        self.jit.switches = {name: switches.get(name, True) for name in SWITCHES}
        if code_bytes is not None and not 2 * REGION_BYTES <= given <= MOST_BYTES:
            raise ValueError(f"code_bytes={code_bytes}: at least {2 * REGION_BYTES} and at most {MOST_BYTES}")
        self.shared_code = ()
        self.jit.code_bytes = given // REGION_BYTES * REGION_BYTES
        self.jit.draft_bytes = draft_bytes
        self.jit.relocatable = relocatable
        self.jit.interface.hot = hot
        self.jit.interface.seed = seed
        self.jit.interface.compile = compile
        self.jit.interface.run = run
        self.jit.interface.link = link_exit
        self.jit.interface.continuation = continuation
        self.jit.interface.discard = discard_block
        self.jit.interface.renew = renew_block
        self.jit.interface.forget = forget_traces
        self.jit.interface.make_room = make_room
        self.jit.interface.hand_over = hand_over
        self.jit.interface.free_handed_over = free_handed_over

    def __dealloc__(self):
        self.close()

    def close(self):
        """Give code memory back; nothing is compiled or runs any more. Statistics stay."""
        free_all(&self.jit)
        self.shared_code = ()
        free(self.jit.journal)
        self.jit.journal = NULL
        self.jit.journal_count = 0
        unmap_code_memory(&self.jit.memory)

    cdef void attach(self, Machine* machine) except *:
        self.jit.machine = machine
        machine.compiler = &self.jit.interface

    cdef void take_front_end(self) except *:
        """When the first hart is there: give its most used slots to host registers."""
        self.jit.front_end = self.jit.machine.front_end
        place_registers(&self.jit)

    cdef tuple with_layer(self, SharedCode shared):
        """`shared_code` and this one: what the machine has after `add_layer`."""
        return (*self.shared_code, shared)[-MAX_LAYERS:]

    cdef bint accept(self, SharedCode shared) noexcept:
        """Be ready to run it, as `adopt_stubs`."""
        cdef HandedOver* handed = <HandedOver*>shared.layer.compiled
        if not adopt_stubs(&self.jit, handed):
            return False
        if self.jit.journaling:
            note_handed_over(&self.jit, handed)
        return True

    @property
    def marking(self):
        """Whether traces that are compiled from now on keep the addresses of their instructions. Writable."""
        return self.jit.marking

    @marking.setter
    def marking(self, bint value):
        self.jit.marking = value

    @property
    def relocatable(self):
        """Whether traces that are compiled from now on can be kept for another process. Writable."""
        return self.jit.relocatable

    @relocatable.setter
    def relocatable(self, bint value):
        self.jit.relocatable = value

    def traces(self):
        """The compiled traces: (pc, physical address, physical address of the page that its one instruction crosses
        into, or 0, host address, host code, marks), the marks as (pc, offset of its host code).

        A mark with pc 0 is where the code out of line begins. Those of other machines that this one may run are among
        them.
        """
        cdef SharedCode shared
        cdef int i
        found = []
        for i in range(self.jit.region_count):
            describe(self.jit.regions[i].newest, found)
        for shared in self.shared_code:
            describe((<HandedOver*>shared.layer.compiled).traces, found)
        return found

    def start_journal(self):
        """Note from now on where traces are put, for `take_journal`."""
        self.jit.journaling = True
        if self.jit.memory.writable != NULL:
            note_stubs(&self.jit, &self.jit.memory, &self.jit.stubs)

    def take_journal(self):
        """What was put into code memory since the journal was taken last, in this order: (pc, host address, size).

        A later one may lie over an earlier one that is gone. The pc is 0 for what all traces share.
        """
        places = [(self.jit.journal[i].pc, <uint64_t>self.jit.journal[i].start, self.jit.journal[i].size)
                  for i in range(self.jit.journal_count)]
        free(self.jit.journal)
        self.jit.journal = NULL
        self.jit.journal_count = 0
        return places

    def statistics(self):
        """Counters, a dict; `vm.Machine.stats` says what they mean. pauses_ns: of the last reclamations, a list."""
        counters = dict(self.jit.statistics)
        count = min(counters.pop("pause_count"), PAUSES)
        counters["pauses_ns"] = list(counters["pauses_ns"])[:count]
        counters["exits"] = dict(zip(REASONS, counters["exits"], strict=True))
        return counters


cdef void describe(Trace* trace, list found):
    """Add this trace and those older, as `traces` gives them."""
    while trace != NULL:
        marks = [(trace.marks[i].pc, trace.marks[i].offset) for i in range(trace.mark_count)]
        found.append((trace.key.pc, trace.key.physical, trace.second_page, <uint64_t>trace.start,
                      trace.start[:trace.size], marks))
        trace = trace.older
