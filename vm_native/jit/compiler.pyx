"""Uops to x86-64: compiles traces of hot blocks, and is what the run loop and the block cache see of it."""
from libc.stdint cimport int8_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset
from vm_native.checks cimport static_assert
from vm_native.clock cimport host_ns
from vm_native.hart_state cimport REGISTER_SLOTS
from vm_native.ir.block cimport SECOND_CELL, Block, Uop
from vm_native.jit.executable cimport map_code_memory, unmap_code_memory
from vm_native.jit.selection cimport block_in_page, choose_trace
from vm_native.jit.state cimport (
    EXIT_REASONS, FALLEN, HOST_FLOATS, HOST_REGISTERS, MAX_PARTS, NO_EXIT, PAUSES, REGION_BYTES, TAKEN, Jit,
    JournalEntry, Mark, Switches, Trace,
)
from vm_native.jit.traces cimport (
    cold_exit, discard_block, free_all, free_trace, keep_trace, lay_out_regions, link, link_exit, new_trace,
    room_for_trace, trace_of,
)
from vm_native.jit.x86_64.access cimport choose_page_entry, emit_access, emit_group, find_strides
from vm_native.jit.x86_64.assembler cimport R8, R9, R10, R11, R12, R13, R14, R15, RBX, RDI, RSI, here
from vm_native.jit.x86_64.atomics cimport emit_atomic
from vm_native.jit.x86_64.compilation cimport LOG2_ENTRY, Compilation, has_room
from vm_native.jit.x86_64.control cimport emit_cold, emit_end, emit_entry, emit_fallback, emit_fallback_thunk
from vm_native.jit.x86_64.floating cimport emit_floating
from vm_native.jit.x86_64.integer cimport emit_integer
from vm_native.jit.x86_64.registers cimport allocate
from vm_native.jit.x86_64.stubs cimport emit_stubs
from vm_native.jump_cache cimport JumpCacheEntry
from vm_native.machine cimport BASE_REGISTERS, Compiler, Cpu, FrontEnd, Machine
from vm_native.memory.tlb cimport TlbEntry


cdef extern from *:
    """
    #if defined(__x86_64__)
    #include <cpuid.h>
    static int vm_host_can_compile(void) {
        unsigned int a, b, c = 0, d;
        __get_cpuid(0x80000001, &a, &b, &c, &d);
        /* Without LZCNT its code is that of BSR, which counts from the other side. */
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi")
            && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") && c & bit_LZCNT;
    }
    #else
    static int vm_host_can_compile(void) { return 0; }
    #endif
    """
    bint host_can_compile "vm_host_can_compile"() noexcept nogil

cdef enum Allocation:       # which guest registers live in host registers during a trace
    AS_EVERYWHERE
    BY_USE                  # those that its blocks use most

cdef enum:
    CODE_BYTES = 64 << 20
    BYTES_A_UOP = 320       # out of line parts included: enough unless many registers are swapped
    BYTES_A_TRACE = 4096    # room behind the limit: more than a uop takes

# The host registers that hold guest registers while compiled code runs, best first: short encodings come early.
cdef int[HOST_REGISTERS] GENERAL = [RBX, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15]
cdef int FIRST_XMM = 3            # of those that hold floating-point registers

# What statistics call EXIT_UNLINKED and those after it, in this order
REASONS = ("unlinked", "unknown", "cold", "budget", "unboxed", "fallback")
assert len(REASONS) == EXIT_REASONS
cdef Switches no_switches
SWITCHES = tuple(dict(no_switches))         # their names, in the order of the struct


def unavailable():
    """Why this host cannot run compiled code, a str; None if it can."""
    cdef Jit jit
    if not host_can_compile():
        return "the compiler makes code for x86-64 processors with AVX2, BMI and FMA"
    memset(&jit, 0, sizeof(Jit))
    refused = map_code_memory(&jit.memory, REGION_BYTES) < 0
    unmap_code_memory(&jit.memory)
    return "the host refuses executable memory" if refused else None


# --- One trace --------------------------------------------------------------------------------------------------------

cdef void mark(Compilation* t, uint64_t pc) noexcept nogil:
    cdef Trace* trace = t.trace
    cdef Mark* marks = <Mark*>realloc(trace.marks, (trace.mark_count + 1) * sizeof(Mark))
    if marks == NULL:
        return
    trace.marks = marks
    marks[trace.mark_count].pc = pc
    marks[trace.mark_count].offset = <uint32_t>(here(&t.e) - trace.start)
    trace.mark_count += 1


cdef void note_trace(Jit* jit, uint64_t pc, uint8_t* start, uint64_t size) noexcept nogil:
    cdef JournalEntry* journal = <JournalEntry*>realloc(jit.journal, (jit.journal_count + 1) * sizeof(JournalEntry))
    if journal == NULL:
        return
    jit.journal = journal
    journal[jit.journal_count].pc = pc
    journal[jit.journal_count].start = start
    journal[jit.journal_count].size = <uint32_t>size
    jit.journal_count += 1


cdef void emit_uop(Compilation* t, Block* part, Uop* uop, int opcode, int next_exit) noexcept nogil:
    if (
        emit_integer(t, uop, opcode) or emit_access(t, uop, opcode) or emit_floating(t, uop, opcode)
        or emit_atomic(t, uop, opcode) or emit_end(t, part, uop, opcode, next_exit)
    ):
        return
    emit_fallback(t, uop, t.refund)
    # Whatever was known of the registers may have changed.
    memset(t.boxed, 0, sizeof(t.boxed))


cdef bint emit_part(Compilation* t, Block* part, int next_exit) noexcept nogil:
    """False if there is no room."""
    cdef int i, end, at = 0
    while at < part.uop_count:
        if t.jit.marking:
            mark(t, part.key.pc + part.info[at].pc_offset)
        end = at + emit_group(t, part, at)
        if end == at:
            emit_uop(t, part, &part.uops[at], part.info[at].opcode, next_exit)
            end = at + 1
        if not has_room(t):
            return False
        for i in range(at, end):
            choose_page_entry(t, &part.uops[i], part.info[i].opcode, part.key.pc + part.info[i].pc_offset)
        at = end
        if at < part.uop_count and part.info[at].opcode == SECOND_CELL:
            at += 1
    return True


cdef bint loops(Block** parts, int count) noexcept nogil:
    """Whether the end of the trace leads back to its head."""
    cdef Block* last = parts[count - 1]
    return last.exits[TAKEN].pc == parts[0].key.pc or last.exits[FALLEN].pc == parts[0].key.pc


cdef bint emit_trace(Compilation* t, Block** parts, int* next_exits, int count) noexcept nogil:
    """False if the trace grows too large."""
    cdef int i
    cdef int left = t.steps
    emit_fallback_thunk(t)
    t.trace.start = here(&t.e)
    emit_entry(t)
    for i in range(count):
        left -= parts[i].steps
        t.refund = left
        if not emit_part(t, parts[i], next_exits[i]):
            return False
    if t.jit.marking:
        mark(t, 0)
    return emit_cold(t)


cdef Trace* compile_trace(
    Jit* jit, Cpu* cpu, Block** parts, int* next_exits, int count, Allocation allocation
) noexcept nogil:
    """The trace of these blocks; NULL if it grows too large or there is no memory."""
    cdef Compilation t
    cdef int i, uops = 0
    t.trace = new_trace(parts, count)
    if t.trace == NULL:
        return NULL
    t.jit = jit
    t.floats = cpu.front_end.uses_float(parts[0].key.mode)
    t.bank = cpu.front_end.data_bank(parts[0].key.mode)
    t.cold_count = 0
    t.steps = 0
    memset(t.boxed, 0, sizeof(t.boxed))
    for i in range(BASE_REGISTERS):
        t.page_entries[i] = <uint8_t>i
        t.strides[i] = False
    for i in range(count):
        find_strides(&t, parts[i])
        t.steps += parts[i].steps
        uops += parts[i].uop_count
    allocate(&t, parts, count if allocation == BY_USE else 0, loops(parts, count))
    t.e.at = room_for_trace(jit, BYTES_A_TRACE + uops * BYTES_A_UOP)
    t.e.executable = jit.memory.executable
    t.limit = t.e.at + uops * BYTES_A_UOP
    if not emit_trace(&t, parts, next_exits, count):
        free_trace(t.trace)
        return NULL
    parts[0].entry_steps = t.steps
    keep_trace(jit, t.trace, t.e.at)
    if jit.journaling:
        note_trace(jit, parts[0].key.pc, t.trace.start, t.trace.size)
    jit.statistics.traces += 1
    jit.statistics.instructions += t.steps
    jit.statistics.host_bytes += t.trace.size
    return t.trace


cdef void compile(Compiler* interface, Cpu* cpu, Block* head) noexcept nogil:
    """Compile a trace that begins with this block, and link it with what has been compiled around it."""
    cdef Jit* jit = <Jit*>interface
    cdef Trace* trace
    cdef Block* parts[MAX_PARTS]
    cdef Block* target
    cdef int next_exits[MAX_PARTS]
    cdef uint64_t began = host_ns()
    cdef int i, count = choose_trace(jit, head, parts, next_exits)
    trace = compile_trace(jit, cpu, parts, next_exits, count, BY_USE if jit.switches.allocation else AS_EVERYWHERE)
    if trace == NULL:
        next_exits[0] = NO_EXIT
        trace = compile_trace(jit, cpu, parts, next_exits, 1, AS_EVERYWHERE)
    if trace != NULL and jit.switches.linking and not head.second_page:
        for i in range(trace.exit_count):
            target = block_in_page(jit, head, trace.exits[i].pc)
            if target != NULL and target.entry != NULL:
                link(jit, &trace.exits[i], trace_of(target))
    jit.statistics.compile_ns += host_ns() - began


# --- The interface ----------------------------------------------------------------------------------------------------

ctypedef void (*Enter)(Cpu* cpu, void* code) noexcept nogil


cdef void run(Compiler* interface, Cpu* cpu, Block* block) noexcept nogil:
    (<Enter><void*>(<Jit*>interface).enter[cpu.front_end.uses_float(block.key.mode)])(cpu, block.entry)


cdef void* continuation(Compiler* interface, Block* block) noexcept nogil:
    return block.entry if block.entry != NULL else cold_exit(<Jit*>interface, block)


cdef class JitCompiler:
    """Compiles for one machine; a `NativeMachine` attaches it.

    hot: how often a block is interpreted before it is compiled; 0 compiles at once. seed: if not 0, each block draws
    its own number between 0 and `hot`. The switches turn off parts of the compiler, to measure what they bring.
    Raises MemoryError if the host refuses executable memory.
    """

    def __cinit__(self, *, uint32_t hot=32, uint64_t seed=0, uint64_t code_bytes=CODE_BYTES, **switches):
        unknown = set(switches) - set(SWITCHES)
        if unknown:
            raise ValueError(f"no switch {', '.join(sorted(unknown))}; there is {', '.join(SWITCHES)}")
        self.jit.switches = {name: switches.get(name, True) for name in SWITCHES}
        if code_bytes < 2 * REGION_BYTES:
            raise ValueError(f"code_bytes={code_bytes}: at least {2 * REGION_BYTES}")
        if map_code_memory(&self.jit.memory, code_bytes // REGION_BYTES * REGION_BYTES) < 0:
            raise MemoryError("the host refuses executable memory")
        self.jit.interface.hot = hot
        self.jit.interface.seed = seed
        self.jit.interface.compile = compile
        self.jit.interface.run = run
        self.jit.interface.link = link_exit
        self.jit.interface.continuation = continuation
        self.jit.interface.discard = discard_block

    def __dealloc__(self):
        free_all(&self.jit)
        free(self.jit.journal)
        unmap_code_memory(&self.jit.memory)

    cdef void attach(self, Machine* machine) except *:
        self.jit.machine = machine
        machine.compiler = &self.jit.interface

    cdef void take_front_end(self) except *:
        """When the first hart is there: give its most used slots to host registers, and write the stubs."""
        cdef FrontEnd* front_end = self.jit.machine.front_end
        cdef int i
        static_assert(sizeof(TlbEntry) == 1 << LOG2_ENTRY and sizeof(JumpCacheEntry) == 1 << LOG2_ENTRY)
        self.jit.front_end = front_end
        for i in range(REGISTER_SLOTS):
            self.jit.general[i] = self.jit.floating[i] = -1
        if self.jit.switches.registers:
            for i in range(HOST_REGISTERS):
                self.jit.general[front_end.hot_slots[i]] = <int8_t>GENERAL[i]
            for i in range(HOST_FLOATS if self.jit.switches.floats else 0):
                self.jit.floating[front_end.hot_floats[i]] = <int8_t>(FIRST_XMM + i)
        emit_stubs(&self.jit)
        lay_out_regions(&self.jit, self.jit.stubs_end)

    @property
    def marking(self):
        """Whether traces that are compiled from now on keep the addresses of their instructions. Writable."""
        return self.jit.marking

    @marking.setter
    def marking(self, bint value):
        self.jit.marking = value

    def traces(self):
        """The compiled traces: (pc, physical address, physical address of the page that its one instruction crosses
        into, or 0, host address, host code, marks), the marks as (pc, offset of its host code).

        A mark with pc 0 is where the code out of line begins.
        """
        cdef Trace* trace
        found = []
        for number in range(self.jit.region_count):
            trace = self.jit.regions[number].newest
            while trace != NULL:
                marks = [(trace.marks[i].pc, trace.marks[i].offset) for i in range(trace.mark_count)]
                found.append((trace.key.pc, trace.key.physical, trace.second_page, <uint64_t>trace.start,
                              trace.start[:trace.size], marks))
                trace = trace.older
        return found

    def start_journal(self):
        """Note from now on where traces are put, for `take_journal`."""
        cdef uint8_t* stubs = self.jit.memory.writable
        self.jit.journaling = True
        note_trace(&self.jit, 0, stubs + self.jit.memory.executable, self.jit.stubs_end - stubs)

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
        counters["interpreted"] = self.jit.interface.interpreted
        return counters
