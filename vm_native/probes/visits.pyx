"""How often a basic block was left to which: a hash table that grows, without Python."""
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from vm_native.machine cimport NO_BRANCH, NOWHERE, Cpu, Recorder, Visit

cdef enum:
    FIRST_VISIT_BITS = 10


cdef bint open_table(Recorder* recorder) noexcept nogil:
    """An empty one. False if the host has no memory."""
    recorder.visit_bits = FIRST_VISIT_BITS
    recorder.visits = <Visit*>calloc(1 << FIRST_VISIT_BITS, sizeof(Visit))
    return recorder.visits != NULL


cdef inline uint64_t hash_of(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    return ((a * MULTIPLIER ^ b) * MULTIPLIER ^ c) * MULTIPLIER


cdef Visit visit_of(Cpu* cpu, uint64_t pc) noexcept nogil:
    """Of the block that the hart is in, or has left for this pc; not yet counted. One that goes on is left nowhere."""
    if cpu.transfer == NOWHERE:
        return Visit(cpu.block_pc, pc | NO_BRANCH, NOWHERE, 0, 0)
    return Visit(cpu.block_pc, cpu.transfer, pc, cpu.transfer_length, 0)


cdef void count_visit(Recorder* recorder, Visit of) noexcept nogil:
    cdef Visit* visit
    if of.start == NOWHERE:
        return
    visit = place_of(recorder, &of)
    if visit.count == 0:
        if 2 * recorder.visit_count >> recorder.visit_bits:
            if not widen(recorder):
                recorder.dropped += 1
                return
            visit = place_of(recorder, &of)
        recorder.visit_count += 1
        visit[0] = of
    visit.count += 1


cdef Visit* place_of(Recorder* recorder, const Visit* of) noexcept nogil:
    """Where it is counted, or can be."""
    cdef uint64_t mask = (1ULL << recorder.visit_bits) - 1
    cdef uint64_t i = hash_of(of.start, of.source, of.target) >> (64 - recorder.visit_bits)
    cdef Visit* visit = &recorder.visits[i]
    while visit.count and (visit.start != of.start or visit.source != of.source or visit.target != of.target
                           or visit.length != of.length):
        i = (i + 1) & mask
        visit = &recorder.visits[i]
    return visit


cdef bint widen(Recorder* recorder) noexcept nogil:
    cdef Visit* old = recorder.visits
    cdef Visit* new = <Visit*>calloc(2ULL << recorder.visit_bits, sizeof(Visit))
    cdef uint64_t i
    if new == NULL:
        return False
    recorder.visits = new
    recorder.visit_bits += 1
    for i in range(1ULL << (recorder.visit_bits - 1)):
        if old[i].count:
            place_of(recorder, &old[i])[0] = old[i]
    free(old)
    return True
