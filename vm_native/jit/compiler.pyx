"""Uops to x86-64: compiles traces of hot blocks, and is the face that the run loop and the block cache see."""
from libc.stdint cimport int8_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset
from vm_native.memory.tlb cimport TlbEntry
from vm_native.machine cimport BASE_REGISTERS, BlockCache, Compiler, Cpu, FrontEnd
from vm_native.jump_cache cimport JumpCacheEntry
from vm_native.hart_state cimport REGISTER_SLOTS
from vm_native.clock cimport host_ns
from vm_native.ir.block cimport CONSTANT_SLOT, Block, Uop
from vm_native.ir.uop cimport *
from vm_native.jit.executable cimport map_code_memory, unmap_code_memory
from vm_native.jit.selection cimport block_in_page, choose_trace
from vm_native.jit.state cimport (
    HOST_FLOATS, HOST_REGISTERS, LEFT_COLD, MAX_PARTS, PAUSES, REGION_BYTES, Code, Jit, Mark, Place,
)
from vm_native.jit.traces cimport (
    code_of, discard_block, free_all, free_code, keep_code, lay_out_regions, link, link_exit, new_code,
    room_for_trace,
)
from vm_native.jit.x86_64.access cimport choose_slot, emit_access, emit_group, find_strides
from vm_native.jit.x86_64.assembler cimport R8, R9, R10, R11, R12, R13, R14, R15, RBX, RDI, RSI, here
from vm_native.jit.x86_64.atomics cimport emit_atomic
from vm_native.jit.x86_64.control cimport emit_cold, emit_end, emit_entry, emit_perform, emit_perform_thunk
from vm_native.jit.x86_64.floating cimport emit_floating
from vm_native.jit.x86_64.integer cimport emit_integer
from vm_native.jit.x86_64.registers cimport allocate
from vm_native.jit.x86_64.stubs cimport emit_stubs
from vm_native.jit.x86_64.translation cimport LOG2_ENTRY, Job, has_room


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
    #define VM_STATIC_ASSERT(condition) ((void)sizeof(char[1 - 2 * !(condition)]))
    """
    bint host_can_compile "vm_host_can_compile"() noexcept nogil
    void static_assert "VM_STATIC_ASSERT"(bint condition) noexcept nogil

cdef enum:
    CODE_BYTES = 64 << 20
    BYTES_A_UOP = 320       # out of line parts included: enough unless many registers are swapped
    BYTES_A_TRACE = 4096    # room behind the limit: more than a uop takes

# The host registers that hold guest registers while compiled code runs, best first: short encodings come early.
cdef int[HOST_REGISTERS] GENERAL = [RBX, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15]
cdef int FIRST_XMM = 3            # of those that hold floating-point registers

# Of LEFT_UNLINKED and what follows it, in this order
REASONS = ("unlinked", "unknown", "cold", "budget", "unboxed", "performed")
SWITCHES = ("registers", "allocation", "slots", "grouping", "linking", "jump_cache", "superblocks", "floats")


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

cdef void mark(Job* job, uint64_t pc) noexcept nogil:
    cdef Code* code = job.code
    cdef Mark* marks = <Mark*>realloc(code.marks, (code.mark_count + 1) * sizeof(Mark))
    if marks == NULL:
        return
    code.marks = marks
    marks[code.mark_count].pc = pc
    marks[code.mark_count].offset = <uint32_t>(here(&job.e) - code.start)
    code.mark_count += 1


cdef void note_place(Jit* jit, uint64_t pc, uint8_t* start, uint64_t size) noexcept nogil:
    cdef Place* journal = <Place*>realloc(jit.journal, (jit.journal_count + 1) * sizeof(Place))
    if journal == NULL:
        return
    jit.journal = journal
    journal[jit.journal_count].pc = pc
    journal[jit.journal_count].start = start
    journal[jit.journal_count].size = <uint32_t>size
    jit.journal_count += 1


cdef bint emit_part(Job* job, Block* part, int way) noexcept nogil:
    cdef int slot = 0, opcode, i, grouped
    cdef Uop* uop
    while slot < part.uop_count:
        uop = &part.uops[slot]
        opcode = part.info[slot].opcode
        if job.jit.marking:
            mark(job, part.pc + part.info[slot].pc_offset)
        grouped = emit_group(job, part, slot)
        if grouped:
            if not has_room(job):
                return False
            for i in range(slot, slot + grouped):
                choose_slot(job, &part.uops[i], part.info[i].opcode, part.pc + part.info[i].pc_offset)
            slot += grouped
            continue
        if UOP_BEQ <= opcode <= UOP_FALL or opcode == UOP_CALL_LEAVE:
            emit_end(job, part, uop, opcode, way)
        elif not (
            emit_integer(job, uop, opcode) or emit_access(job, uop, opcode) or emit_floating(job, uop, opcode)
            or emit_atomic(job, uop, opcode)
        ):
            emit_perform(job, uop, job.refund)
            # Whatever was known of the registers may have changed.
            memset(job.boxed, 0, sizeof(job.boxed))
        if not has_room(job):
            return False
        choose_slot(job, uop, opcode, part.pc + part.info[slot].pc_offset)
        slot += 1
        if slot < part.uop_count and part.info[slot].opcode == CONSTANT_SLOT:
            slot += 1
    return True


cdef bint loops(Block** parts, int count) noexcept nogil:
    """Whether the end of the trace leads back to its head."""
    cdef Block* last = parts[count - 1]
    return last.links[0].pc == parts[0].pc or last.links[1].pc == parts[0].pc


cdef bint emit_trace(Job* job, Block** parts, int* ways, int count) noexcept nogil:
    """False if the trace grows too large."""
    cdef int i
    cdef int left = job.steps
    emit_perform_thunk(job)
    job.code.start = here(&job.e)
    emit_entry(job)
    for i in range(count):
        left -= parts[i].steps
        job.refund = left
        if not emit_part(job, parts[i], ways[i]):
            return False
    if job.jit.marking:
        mark(job, 0)
    return emit_cold(job)


cdef Code* compile_trace(Jit* jit, Cpu* cpu, Block** parts, int* ways, int count, bint allocation) noexcept nogil:
    """The trace of these blocks; NULL if it grows too large or there is no memory."""
    cdef Job job
    cdef int i, uops = 0
    job.code = new_code(parts, count)
    if job.code == NULL:
        return NULL
    job.jit = jit
    job.floats = cpu.front_end.uses_float(parts[0].mode)
    job.bank = cpu.front_end.data_bank(parts[0].mode)
    job.cold_count = 0
    job.steps = 0
    memset(job.boxed, 0, sizeof(job.boxed))
    for i in range(BASE_REGISTERS):
        job.slots[i] = <uint8_t>i
        job.strides[i] = False
    for i in range(count):
        find_strides(&job, parts[i])
        job.steps += parts[i].steps
        uops += parts[i].uop_count
    allocate(&job, parts, count if allocation else 0, loops(parts, count))
    job.e.at = room_for_trace(jit, BYTES_A_TRACE + uops * BYTES_A_UOP)
    job.e.executable = jit.memory.executable
    job.limit = job.e.at + uops * BYTES_A_UOP
    if not emit_trace(&job, parts, ways, count):
        free_code(job.code)
        return NULL
    parts[0].entry_steps = job.steps
    keep_code(jit, job.code, job.e.at)
    if jit.journaling:
        note_place(jit, parts[0].pc, job.code.start, job.code.size)
    jit.statistics.traces += 1
    jit.statistics.instructions += job.steps
    jit.statistics.host_bytes += job.code.size
    return job.code


cdef void compile(Compiler* face, Cpu* cpu, Block* head) noexcept nogil:
    """Compile a trace that begins with this block, and link it with what has been compiled around it."""
    cdef Jit* jit = <Jit*>face
    cdef Code* code
    cdef Block* parts[MAX_PARTS]
    cdef Block* target
    cdef int ways[MAX_PARTS]
    cdef uint64_t began = host_ns()
    cdef int i, count = choose_trace(jit, head, parts, ways)
    code = compile_trace(jit, cpu, parts, ways, count, jit.switches.allocation)
    if code == NULL:
        ways[0] = -1
        code = compile_trace(jit, cpu, parts, ways, 1, False)
    if code != NULL and jit.switches.linking and not head.second_page:
        for i in range(code.exit_count):
            target = block_in_page(jit, head, code.exits[i].pc)
            if target != NULL and target.entry != NULL:
                link(jit, &code.exits[i], code_of(target))
    jit.statistics.compile_ns += host_ns() - began


# --- The face ---------------------------------------------------------------------------------------------------------

ctypedef void (*Enter)(Cpu* cpu, void* code) noexcept nogil


cdef void run(Compiler* face, Cpu* cpu, Block* block) noexcept nogil:
    (<Enter><void*>(<Jit*>face).enter[cpu.front_end.uses_float(block.mode)])(cpu, block.entry)


cdef void* way_to(Compiler* face, Block* block) noexcept nogil:
    cdef Jit* jit = <Jit*>face
    if block.entry != NULL:
        return block.entry
    return jit.leave_at[jit.cache.cpus[0].front_end.uses_float(block.mode)][LEFT_COLD]


cdef class JitCompiler:
    """Compiles for one machine; a `Scheduler` attaches it to its block cache.

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
        self.jit.face.hot = hot
        self.jit.face.seed = seed
        self.jit.face.compile = compile
        self.jit.face.run = run
        self.jit.face.link = link_exit
        self.jit.face.way_to = way_to
        self.jit.face.discard = discard_block

    def __dealloc__(self):
        free_all(&self.jit)
        free(self.jit.journal)
        unmap_code_memory(&self.jit.memory)

    cdef void attach(self, BlockCache* cache) except *:
        self.jit.cache = cache
        cache.compiler = &self.jit.face

    cdef void take_front_end(self) except *:
        """When the first hart is there: give its most used slots to host registers, and write the stubs."""
        cdef FrontEnd* front_end = self.jit.cache.cpus[0].front_end
        cdef int i
        static_assert(sizeof(TlbEntry) == 1 << LOG2_ENTRY and sizeof(JumpCacheEntry) == 1 << LOG2_ENTRY)
        self.jit.zero = front_end.zero
        self.jit.sink = front_end.sink
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
        cdef Code* code
        found = []
        for number in range(self.jit.region_count):
            code = self.jit.regions[number].newest
            while code != NULL:
                marks = [(code.marks[i].pc, code.marks[i].offset) for i in range(code.mark_count)]
                found.append((code.head.pc, code.head.physical, code.head.second_page, <uint64_t>code.start,
                              code.start[:code.size], marks))
                code = code.older
        return found

    def start_journal(self):
        """Note from now on where traces are put, for `take_journal`."""
        cdef uint8_t* stubs = self.jit.memory.writable
        self.jit.journaling = True
        note_place(&self.jit, 0, stubs + self.jit.memory.executable, self.jit.stubs_end - stubs)

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
        counters["left"] = dict(zip(REASONS, counters["left"], strict=True))
        counters["interpreted"] = self.jit.face.interpreted
        return counters
