"""Which recorders there are, and what translations need for them.

Where one recorder alone asks for blocks, edges or accesses, and for all of them, compiled code writes into its buffer
or map itself (vm_native/jit/x86_64/probes.pyx); else the functions of records.pyx do.
"""
from libc.stdint cimport intptr_t, uint8_t, uint32_t
from vm_native.blocks cimport drop_all_blocks
from vm_native.machine cimport (
    EVENT_BLOCK, EVENT_CSR_READ, EVENT_CSR_WRITE, EVERY_PRIVILEGE, INSTRUMENT_ACCESSES, INSTRUMENT_BLOCKS,
    INSTRUMENT_CSRS, INSTRUMENT_STEPS, MAX_RECORDERS, NOWHERE, RECORD_ACCESSES, RECORD_BLOCKS, RECORD_BRANCHES,
    RECORD_EDGES, RECORD_KINDS, RECORD_MMIO, RECORD_STEPS, RECORD_TRAPS, RECORD_VISITS, Cpu, Machine, Probes, Record,
    RecordKind, Recorder,
)
from vm_native.probes.records cimport (
    USUAL_MAP_BITS, cut_blocks, forget_block_start, is_about, restart_blocks,
)
from vm_native.probes.visits cimport open_table


cdef inline int offset_of(const void* field) noexcept:
    """Of a field of a Record at address 0."""
    return <int><intptr_t>field


cdef Record* fields = NULL

# How much of a Record each kind has, and what translations have in them for it.
cdef int[RECORD_KINDS] SIZES
cdef int[RECORD_KINDS] INSTRUMENTS
SIZES[<int>RECORD_BLOCKS], INSTRUMENTS[<int>RECORD_BLOCKS] = offset_of(&fields.address), INSTRUMENT_BLOCKS
SIZES[<int>RECORD_BRANCHES], INSTRUMENTS[<int>RECORD_BRANCHES] = offset_of(&fields.value), INSTRUMENT_BLOCKS
SIZES[<int>RECORD_STEPS], INSTRUMENTS[<int>RECORD_STEPS] = sizeof(Record), INSTRUMENT_STEPS
SIZES[<int>RECORD_ACCESSES], INSTRUMENTS[<int>RECORD_ACCESSES] = sizeof(Record), INSTRUMENT_ACCESSES
SIZES[<int>RECORD_TRAPS], INSTRUMENTS[<int>RECORD_TRAPS] = sizeof(Record), 0
SIZES[<int>RECORD_MMIO], INSTRUMENTS[<int>RECORD_MMIO] = sizeof(Record), 0
SIZES[<int>RECORD_VISITS], INSTRUMENTS[<int>RECORD_VISITS] = 0, INSTRUMENT_BLOCKS
SIZES[<int>RECORD_EDGES], INSTRUMENTS[<int>RECORD_EDGES] = 0, INSTRUMENT_BLOCKS


cdef int record_size(RecordKind kind) noexcept nogil:
    """In bytes; 0 of those that count."""
    return SIZES[<int>kind]


cdef int add_recorder(Machine* machine, Recorder* recorder) except -1:
    """It stays its owner's. Raises ValueError where no more are possible, MemoryError."""
    cdef Probes* probes = &machine.probes
    cdef Cpu* cpu
    cdef int i
    if probes.recorder_count == MAX_RECORDERS:
        raise ValueError(f"{MAX_RECORDERS} traces and counts are on already: end one")
    recorder.everything = (
        recorder.base == 0 and recorder.end == NOWHERE and recorder.scope.space_mask == 0
        and recorder.scope.privileges == EVERY_PRIVILEGE
    )
    if recorder.record_bytes:
        recorder.next = recorder.start
        recorder.limit = recorder.room - SLACK * recorder.record_bytes
    elif recorder.kind == RECORD_VISITS:
        if not open_table(recorder):
            raise MemoryError("no room to count blocks")
    if probes.recorder_count == 0 or not probes.instruments & INSTRUMENT_BLOCKS:
        restart_blocks(machine)
    elif machine.cpus[0].block_log != NULL or machine.cpus[0].edge_map != NULL:
        for i in range(machine.cpu_count):
            forget_block_start(machine.cpus[i])
    elif recorder.kind == RECORD_VISITS:
        cut_blocks(machine)
    for i in range(machine.cpu_count):
        cpu = machine.cpus[i]
        cpu.block_wanted |= <uint32_t>is_about(recorder, cpu, cpu.block_pc) << probes.recorder_count
        cpu.edges_before[probes.recorder_count] = 0
    probes.recorders[probes.recorder_count] = recorder
    probes.recorder_count += 1
    update_instruments(machine)
    return 0


cdef int forget_recorder(Machine* machine, Recorder* recorder) noexcept nogil:
    """It is no longer there, and the last one at its place, which is returned; -1 where it is none. The harts may be
    gone already.
    """
    cdef Probes* probes = &machine.probes
    cdef int i = 0
    while i < probes.recorder_count and probes.recorders[i] != recorder:
        i += 1
    if i == probes.recorder_count:
        return -1
    probes.recorder_count -= 1
    probes.recorders[i] = probes.recorders[probes.recorder_count]
    return i


cdef void remove_recorder(Machine* machine, Recorder* recorder) noexcept nogil:
    """Twice is harmless."""
    cdef Probes* probes = &machine.probes
    cdef uint32_t wanted, last
    cdef int hart, i = forget_recorder(machine, recorder)
    if i < 0:
        return
    for hart in range(machine.cpu_count):
        wanted = machine.cpus[hart].block_wanted
        last = wanted >> probes.recorder_count & 1
        wanted &= ~(1U << i | 1U << probes.recorder_count)
        machine.cpus[hart].block_wanted = wanted | (last << i if i < probes.recorder_count else 0)
        machine.cpus[hart].edges_before[i] = machine.cpus[hart].edges_before[probes.recorder_count]
    update_instruments(machine)


cdef Recorder* sole_recorder(Machine* machine, uint32_t instrument, RecordKind kind) noexcept nogil:
    """The recorder that compiled code can do the work of: it alone needs this instrument, and asks for nothing."""
    cdef Probes* probes = &machine.probes
    cdef Recorder* found = NULL
    cdef int i
    if probes.silent or instrument == INSTRUMENT_BLOCKS and probes.wanted >> <int>EVENT_BLOCK & 1:
        return NULL
    for i in range(probes.recorder_count):
        if INSTRUMENTS[<int>probes.recorders[i].kind] & instrument:
            if found != NULL or probes.recorders[i].kind != kind or not probes.recorders[i].everything:
                return NULL
            found = probes.recorders[i]
    return found


cdef bint choose_inline_recorders(Machine* machine) noexcept nogil:
    """Which recorders it serves itself; whether these are others than before."""
    cdef Recorder* blocks = sole_recorder(machine, INSTRUMENT_BLOCKS, RECORD_BLOCKS)
    cdef Recorder* accesses = sole_recorder(machine, INSTRUMENT_ACCESSES, RECORD_ACCESSES)
    cdef Recorder* edges = sole_recorder(machine, INSTRUMENT_BLOCKS, RECORD_EDGES)
    cdef uint8_t* map = edges.start if edges != NULL and edges.map_bits == USUAL_MAP_BITS else NULL
    cdef int i, place = 0
    cdef bint new
    while map != NULL and machine.probes.recorders[place] != edges:
        place += 1
    new = (
        blocks != machine.cpus[0].block_log or map != machine.cpus[0].edge_map or place != machine.cpus[0].edge_recorder
    )
    for i in range(machine.cpu_count):
        machine.cpus[i].block_log, machine.cpus[i].access_log = blocks, accesses
        machine.cpus[i].edge_map, machine.cpus[i].edge_recorder = map, place
    return new


cdef void update_instruments(Machine* machine) noexcept nogil:
    """Recorders and hooks are others than before, or silent: let translations have what they need."""
    cdef Probes* probes = &machine.probes
    cdef uint32_t before = probes.instruments
    cdef int i, kind
    probes.recorded = probes.instruments = 0
    if probes.wanted >> <int>EVENT_BLOCK & 1:
        probes.instruments = INSTRUMENT_BLOCKS
    if probes.wanted >> <int>EVENT_CSR_READ & 1 or probes.wanted >> <int>EVENT_CSR_WRITE & 1:
        probes.instruments |= INSTRUMENT_CSRS
    for i in range(probes.recorder_count):
        kind = <int>probes.recorders[i].kind
        probes.recorded |= 1 << kind
        probes.instruments |= INSTRUMENTS[kind]
    if choose_inline_recorders(machine) or probes.instruments != before:
        if not before & INSTRUMENT_BLOCKS:
            restart_blocks(machine)
        drop_all_blocks(machine)
