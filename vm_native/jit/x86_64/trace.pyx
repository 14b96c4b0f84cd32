"""One trace as host code: each uop by the emitter that has it in its table, or by the interpreter's function for it."""
from libc.stdint cimport int32_t, intptr_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memset
from vm_native.ir.block cimport DRAFT, ON_TRIAL, SECOND_CELL, Block, Uop
from vm_native.ir.uop cimport UOP_CALL
from vm_native.jit.state cimport FALLEN, TAKEN, Jit, Mark, Trace
from vm_native.jit.x86_64.access cimport (
    choose_page_entry, emit_access, emit_block_zeroing, emit_group, find_strides,
)
from vm_native.jit.x86_64.assembler cimport ADD_CONSTANT, RBP, W64, here, op_constant_memory
from vm_native.jit.x86_64.atomics cimport emit_atomic
from vm_native.jit.x86_64.compilation cimport (
    AS_THE_GUEST, NOTHING_OF_SHAPE, NO_TURN, UNKNOWN, Compilation, Edges, Words, has_room, offset_of,
)
from vm_native.jit.x86_64.control cimport (
    emit_cold, emit_counted_entry, emit_end, emit_entry, emit_fallback_at_hand, emit_fallback_thunk,
)
from vm_native.jit.x86_64.crypto cimport emit_crypto
from vm_native.jit.x86_64.deferred cimport emit_or_defer
from vm_native.jit.x86_64.edges cimport can_count_by_turns
from vm_native.jit.x86_64.floating cimport emit_floating
from vm_native.jit.x86_64.integer cimport emit_integer
from vm_native.jit.x86_64.probes cimport emit_probe
from vm_native.jit.x86_64.registers cimport allocate, swap_in
from vm_native.jit.x86_64.rounding cimport emit_rounded, end_rounding
from vm_native.jit.x86_64.stubs cimport EDGE_ENTRY
from vm_native.jit.x86_64.vector_registers cimport choose_residents, had_misfits, uses_avx512
from vm_native.jit.x86_64.vectors cimport emit_vector, follow_shape
from vm_native.jit.x86_64.window cimport emit_window_access, follow_base, forget_reaches
from vm_native.machine cimport BASE_REGISTERS, INSTRUMENT_ACCESSES, Cpu
from vm_native.jit.neighbours cimport Neighbours
from vm_native.jit.page_trials cimport counter_of


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
    static void vm_describe_host(unsigned int *words) {
        unsigned int other, one = 0;
        __get_cpuid(1, &other, &other, &words[0], &words[1]);
        __get_cpuid_count(7, 0, &other, &words[2], &words[3], &words[4]);
        __get_cpuid_count(7, 1, &words[5], &other, &other, &one);
        __get_cpuid(0x80000001, &other, &other, &words[6], &words[7]);
    }
    #else
    static int vm_host_can_compile(void) { return 0; }
    static void vm_describe_host(unsigned int *words) {}
    #endif
    """
    bint host_can_compile "vm_host_can_compile"() noexcept nogil
    void host_words "vm_describe_host"(uint32_t* words) noexcept nogil


cdef enum:
    BYTES_A_UOP = 320       # out of line parts included: enough unless many registers are swapped
    BYTES_A_VECTOR = 2500   # more, of one on vectors
    MOST_TRACE_BYTES = 200 << 10  # which fit in a region
    LINE = 64               # bytes that the host fetches and decodes at a time, or a multiple of these
    NEVER_RUN = 0xCC        # int3
    BYTES_A_TRACE = 4096    # room behind the limit: more than a uop takes


cdef bint host_has_instructions() noexcept nogil:
    """Whether this host has all the instructions that traces are made of."""
    return host_can_compile()


cdef void describe_host(uint32_t* words) noexcept nogil:
    """HOST_FEATURE_WORDS of what its processor has."""
    memset(words, 0, HOST_FEATURE_WORDS * sizeof(uint32_t))
    host_words(words)


cdef int uops_of(Block** parts, int count) noexcept nogil:
    cdef int i, uops = 0
    for i in range(count):
        uops += parts[i].uop_count
    return uops


cdef uint64_t most_bytes(Jit* jit, Block** parts, int count) noexcept nogil:
    """How much code memory `emit_trace` may fill for these blocks."""
    return BYTES_A_TRACE + bytes_before_limit(jit, parts, count)


cdef uint64_t bytes_before_limit(Jit* jit, Block** parts, int count) noexcept nogil:
    cdef int i, k, vectors = 0
    for i in range(count if jit.stubs.vectors != NULL else 0):
        for k in range(parts[i].uop_count):
            vectors += parts[i].info[k].opcode == UOP_CALL and parts[i].uops[k].imm == jit.front_end.vector_helper
    return min(uops_of(parts, count) * BYTES_A_UOP + vectors * BYTES_A_VECTOR, MOST_TRACE_BYTES)


cdef void mark(Compilation* t, uint64_t pc) noexcept nogil:
    cdef Trace* trace = t.trace
    cdef Mark* marks = <Mark*>realloc(trace.marks, (trace.mark_count + 1) * sizeof(Mark))
    if marks == NULL:
        return
    trace.marks = marks
    marks[trace.mark_count].pc = pc
    marks[trace.mark_count].offset = <uint32_t>(here(&t.e) - trace.start)
    trace.mark_count += 1


cdef void emit_uop(Compilation* t, Block* part, Uop* uop, int opcode, int next_exit) noexcept nogil:
    if (
        emit_integer(t, uop, opcode) or emit_access(t, uop, opcode) or emit_floating(t, uop, opcode)
        or emit_atomic(t, uop, opcode) or emit_probe(t, part, uop, opcode) or emit_end(t, part, uop, opcode, next_exit)
        or emit_rounded(t, uop, opcode) or emit_crypto(t, uop, opcode)
    ):
        return
    if emit_block_zeroing(t, uop, opcode):
        forget_reaches(t)
        return
    emit_fallback_at_hand(t, uop)
    follow_shape(t, uop, opcode)
    # Whatever was known of the registers may have changed.
    memset(t.boxed, 0, sizeof(t.boxed))
    t.words = Words(0, 0)
    forget_reaches(t)


cdef bint emit_part(Compilation* t, Block* part, int next_exit) noexcept nogil:
    """False if there is no room."""
    cdef int i, end, at = 0
    if part.trial == ON_TRIAL:
        op_constant_memory(&t.e, ADD_CONSTANT, W64, RBP, offset_of(&(<Cpu*>NULL).trial_turns[counter_of(part)]), 1)
    while at < part.uop_count:
        if t.jit.marking:
            mark(t, part.key.pc + part.info[at].pc_offset)
        end_rounding(t, &part.uops[at], part.info[at].opcode)
        end = at + emit_or_defer(t, part, at)
        if end == at:
            end = at + emit_window_access(t, part, at)
        if end == at:
            end = at + emit_group(t, part, at)
        if end == at:
            end = at + emit_vector(t, part, at)
        if end == at:
            emit_uop(t, part, &part.uops[at], part.info[at].opcode, next_exit)
            end = at + 1
        if not has_room(t):
            return False
        for i in range(at, end):
            choose_page_entry(t, &part.uops[i], part.info[i].opcode, part.key.pc + part.info[i].pc_offset)
            follow_base(t, &part.uops[i], part.info[i].opcode)
        at = end
        if at < part.uop_count and part.info[at].opcode == SECOND_CELL:
            at += 1
    return True


cdef bint loops(Block** parts, int count) noexcept nogil:
    """Whether the end of the trace leads back to its head."""
    cdef Block* last = parts[count - 1]
    return last.exits[TAKEN].pc == parts[0].key.pc or last.exits[FALLEN].pc == parts[0].key.pc


cdef void align_head(Compilation* t) noexcept nogil:
    """Let the head of a loop, behind what the way in swaps, begin a line of the host's, whatever lies in front."""
    cdef uint8_t* start = t.e.at
    cdef uint64_t padding
    swap_in(t)
    padding = -<uint64_t>(here(&t.e) - EDGE_ENTRY * (t.edge_map != NULL)) % LINE
    memset(start, NEVER_RUN, padding)
    t.e.at = start + padding


cdef bint emit_parts(Compilation* t, Block** parts, int* next_exits, int count) noexcept nogil:
    """False if the trace grows too large."""
    cdef int i
    cdef int left = t.steps
    emit_fallback_thunk(t)
    if t.loops:
        align_head(t)
    if t.edge_map != NULL:
        t.edge_entry = <uint64_t*>t.e.at
        t.e.at -= EDGE_ENTRY
    t.trace.start = here(&t.e)
    emit_entry(t)
    for i in range(count):
        left -= parts[i].steps
        t.refund, t.part = left, i
        if not emit_part(t, parts[i], next_exits[i]):
            return False
    if t.jit.marking:
        mark(t, 0)
    emit_counted_entry(t)
    return emit_cold(t)


cdef bint has_window(Cpu* cpu, int bank) noexcept nogil:
    """Whether there is one for accesses of code that is compiled now."""
    if not cpu.load_windows[bank].places[0] and cpu.front_end.data_bank(cpu.key) == bank:
        cpu.front_end.open_window(cpu)
    return cpu.load_windows[bank].places[0] != 0


cdef uint8_t* emit_trace(
    Jit* jit, Cpu* cpu, Trace* trace, uint8_t* at, Block** parts, int* next_exits, int count,
    const Neighbours* around
) noexcept nogil:
    """Write the code of these blocks to `at`, where `most_bytes` are free; its end, NULL if it grows too large.

    Without `around` no registers are chosen for them.
    """
    cdef Compilation t
    cdef int i
    t.jit = jit
    t.trace = trace
    t.floats = cpu.front_end.uses_float(parts[0].key.mode)
    t.bank = cpu.front_end.data_bank(parts[0].key.mode)
    t.windows = jit.switches.windows and has_window(cpu, t.bank)
    t.compact = jit.switches.compact and parts[0].stage == DRAFT
    t.parts, t.part_count = parts, count
    t.cpu, t.shape, t.shape_known = cpu, cpu.vector_shape, NOTHING_OF_SHAPE
    t.partly = t.out_of_line = False
    t.bits.count = 0
    t.avx512 = uses_avx512(jit)
    t.any_length = t.avx512 and had_misfits(parts, count)
    t.cold_count = 0
    t.in_block = t.transfer.pending = False
    t.edges, t.turn_edge_count, t.counted = Edges(UNKNOWN, NO_TURN), 0, NULL
    t.rounding = AS_THE_GUEST
    t.edge_map, t.edge_recorder, t.blocks = cpu.edge_map, cpu.edge_recorder, cpu.block_log != NULL
    t.sink_counts = cpu.machine.probes.instruments & INSTRUMENT_ACCESSES != 0
    t.steps = t.deferred_count = 0
    t.words = Words(0, 0)
    memset(t.boxed, 0, sizeof(t.boxed))
    forget_reaches(&t)
    t.addend_in_rcx = NULL
    for i in range(BASE_REGISTERS):
        t.page_entries[i] = <uint8_t>i
        t.strides[i] = False
    for i in range(count):
        find_strides(&t, parts[i])
        t.steps += parts[i].steps
    t.loops = loops(parts, count)
    t.by_turns = t.loops and can_count_by_turns(&t, parts, count)
    allocate(&t, parts, count, around)
    choose_residents(&t, parts, count if around != NULL else 0)
    t.e.at = at
    t.e.executable = jit.memory.executable
    t.marks = <int32_t><intptr_t>cpu.marks
    t.e.by_others = cpu.marks != NULL
    t.limit = at + bytes_before_limit(jit, parts, count)
    if not emit_parts(&t, parts, next_exits, count):
        return NULL
    parts[0].entry_steps = t.steps
    trace.inside = t.loop if t.resident_count == 0 else NULL
    return t.e.at
