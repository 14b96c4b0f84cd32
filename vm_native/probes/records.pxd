# Events that are written down where they happen, without Python: into buffers, tables and maps.
from libc.stdint cimport int64_t, uint64_t
from vm_native.ir.block cimport Uop
from vm_native.machine cimport Cpu, Machine, RecordKind, Recorder, Visit
from vm_native.probes.hooks cimport covers
from vm_native.probes.visits cimport MULTIPLIER

cdef enum:
    RECORDED_READ = 1       # Record.access
    RECORDED_WRITE = 2
    RECORDED_IF_DONE = 4    # of a store-conditional, until it is known
    NO_SLOT = 0xFF          # Record.detail of a step that writes no register
    USUAL_MAP_BITS = 16     # of a map of edges

cdef inline uint64_t place_in_map(uint64_t pc, int bits) noexcept nogil:
    # Of a block, in a map of edges.
    return pc * MULTIPLIER >> (64 - bits)

cdef inline bint is_recorded(Machine* machine, RecordKind kind) noexcept nogil:
    return machine.probes.recorded >> <int>kind & 1 and not machine.probes.silent

cdef inline bint is_about(const Recorder* recorder, Cpu* cpu, uint64_t pc) noexcept nogil:
    return recorder.everything or (
        pc - recorder.base < recorder.end - recorder.base and covers(&recorder.scope, cpu)
    )

cdef int probe_block(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
cdef int probe_end(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
cdef int probe_exit(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
cdef int probe_step(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
cdef int probe_access(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
cdef int probe_loaded(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil
cdef void record_trap(
    Cpu* cpu, uint64_t pc, uint64_t mode, uint64_t cause, uint64_t value, bint executed
) noexcept nogil
cdef void record_access(Cpu* cpu, int access, uint64_t address, int size, uint64_t value) noexcept nogil
cdef void record_mmio(Cpu* cpu, uint64_t pc, int access, uint64_t physical, int size, uint64_t value) noexcept nogil
cdef void stay_in_block(Cpu* cpu) noexcept nogil
cdef void settle_records(Cpu* cpu) noexcept nogil
cdef void settle_transfer(Cpu* cpu) noexcept nogil
cdef void begin_slice(Cpu* cpu) noexcept nogil
cdef void restart_blocks(Machine* machine) noexcept nogil
cdef void forget_block_start(Cpu* cpu) noexcept nogil
cdef void cut_blocks(Machine* machine) noexcept nogil
cdef Visit open_visit(const Recorder* recorder, Cpu* cpu) noexcept nogil
