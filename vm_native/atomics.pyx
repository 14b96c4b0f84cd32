"""Atomics: load-reserved, store-conditional, read-modify-write and compare-and-swap on RAM, by the host's own.

Where harts have threads, those on one line exclude each other (line_marks.pyx).
"""
from libc.stdint cimport int32_t, int64_t, intptr_t, uint64_t
from vm_native.exits cimport not_accessed, trap_at
from vm_native.ir.block cimport Uop
from vm_native.line_marks cimport LineMark, hold_line, let_go_of_line, put_mark
from vm_native.machine cimport CONTINUE, Cpu, effective_address
from vm_native.memory.access cimport load32, load64
from vm_native.memory.bus cimport ram_at
from vm_native.memory.ram cimport WATCHED_READS, WATCHED_WRITES, RamRegion
from vm_native.memory.tlb cimport READ, WRITE, TlbEntry, hits
from vm_native.safepoints cimport TICKET_STEP
from vm_native.softmmu cimport (
    Piece, accessed, after_load, after_store, entry_of, fault, operand_beside_code, stored, trigger_fires,
)
from vm_native.unlocked cimport peek, poke

cdef extern from *:
    """
    #define VM_ATOMIC(name, type, unsigned_type) \\
    static inline unsigned long long name(void *host, int operation, unsigned long long operand) { \\
        type *place = (type *)host, old, wanted, value = (type)operand; \\
        switch (operation) { \\
        case 0: return (unsigned long long)(long long)__atomic_exchange_n(place, value, __ATOMIC_SEQ_CST); \\
        case 1: return (unsigned long long)(long long)__atomic_fetch_add(place, value, __ATOMIC_SEQ_CST); \\
        case 2: return (unsigned long long)(long long)__atomic_fetch_xor(place, value, __ATOMIC_SEQ_CST); \\
        case 3: return (unsigned long long)(long long)__atomic_fetch_and(place, value, __ATOMIC_SEQ_CST); \\
        case 4: return (unsigned long long)(long long)__atomic_fetch_or(place, value, __ATOMIC_SEQ_CST); \\
        } \\
        old = __atomic_load_n(place, __ATOMIC_SEQ_CST); \\
        do { \\
            wanted = operation == 5 ? (old < value ? old : value) \\
                   : operation == 6 ? (old > value ? old : value) \\
                   : operation == 7 ? ((unsigned_type)old < (unsigned_type)value ? old : value) \\
                                    : ((unsigned_type)old > (unsigned_type)value ? old : value); \\
        } while (!__atomic_compare_exchange_n(place, &old, wanted, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)); \\
        return (unsigned long long)(long long)old; \\
    }
    VM_ATOMIC(vm_atomic8, signed char, unsigned char)
    VM_ATOMIC(vm_atomic16, short, unsigned short)
    VM_ATOMIC(vm_atomic32, int, unsigned int)
    VM_ATOMIC(vm_atomic64, long long, unsigned long long)

    /* Compare and swap; gives the value found, sign-extended. */
    #define VM_EXCHANGE(name, type) \\
    static inline unsigned long long name(void *host, unsigned long long expected, unsigned long long wanted) { \\
        type found = (type)expected; \\
        __atomic_compare_exchange_n((type *)host, &found, (type)wanted, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \\
        return (unsigned long long)(long long)found; \\
    }
    VM_EXCHANGE(vm_exchange8, signed char)
    VM_EXCHANGE(vm_exchange16, short)
    VM_EXCHANGE(vm_exchange32, int)
    VM_EXCHANGE(vm_exchange64, long long)
    """
    uint64_t atomic8 "vm_atomic8"(void* host, int operation, uint64_t operand) noexcept nogil
    uint64_t atomic16 "vm_atomic16"(void* host, int operation, uint64_t operand) noexcept nogil
    uint64_t atomic32 "vm_atomic32"(void* host, int operation, uint64_t operand) noexcept nogil
    uint64_t atomic64 "vm_atomic64"(void* host, int operation, uint64_t operand) noexcept nogil
    uint64_t exchange8 "vm_exchange8"(void* host, uint64_t expected, uint64_t wanted) noexcept nogil
    uint64_t exchange16 "vm_exchange16"(void* host, uint64_t expected, uint64_t wanted) noexcept nogil
    uint64_t exchange32 "vm_exchange32"(void* host, uint64_t expected, uint64_t wanted) noexcept nogil
    uint64_t exchange64 "vm_exchange64"(void* host, uint64_t expected, uint64_t wanted) noexcept nogil


cdef uint64_t ALLOWED = <uint64_t>-1        # no operand that is aligned has this address

cdef enum:
    READS_AND_WRITES = 1 << READ | 1 << WRITE


cdef void* atomic_operand(
    Cpu* cpu, Uop* uop, int64_t budget, uint64_t address, int accesses, int size, uint64_t* physical, int* status
) noexcept nogil:
    """Host address of an aligned operand in RAM; or NULL, and `status` says how to go on.

    `accesses` has a bit for READ and for WRITE; what writes needs no permission to read besides.

    `physical` is ALLOWED where the TLB allowed the access, so that there is nothing to do after it.
    """
    cdef TlbEntry* entry = entry_of(cpu, address)
    cdef RamRegion* region
    cdef void* host
    cdef int access = WRITE if accesses & 1 << WRITE else READ
    physical[0] = ALLOWED
    if hits(entry.write_tag if access == WRITE else entry.read_tag, address, size):
        return <void*>(<intptr_t>address + entry.addend)
    if trigger_fires(cpu, accesses, address, size):
        status[0] = trap_at(cpu, uop, budget)
        return NULL
    if address & (size - 1):
        status[0] = fault(cpu, uop, budget, cpu.front_end.misaligned[access], address)
        return NULL
    host = operand_beside_code(cpu, uop, address, size, entry) if access == WRITE else NULL
    if host != NULL:
        return host
    status[0] = cpu.front_end.translate_address(cpu, address, access, size, physical)
    if status[0] != CONTINUE:
        status[0] = not_accessed(cpu, uop, budget, status[0])
        return NULL
    region = ram_at(cpu.machine.map, physical[0], size)
    if region == NULL:
        status[0] = fault(cpu, uop, budget, cpu.front_end.access_fault[access], address)
        return NULL
    return region.host + (physical[0] - region.base)


cdef int after_atomic(
    Cpu* cpu, Uop* uop, int64_t budget, int accesses, uint64_t address, uint64_t physical, int size, uint64_t old
) noexcept nogil:
    cdef Piece piece
    if physical == ALLOWED:
        return CONTINUE
    piece = Piece(address, physical, size, old, ram_at(cpu.machine.map, physical, size))
    stored(cpu, uop, budget, accesses, &piece)
    return after_store(cpu, uop, budget)


cdef void take_ticket(Cpu* cpu, uint64_t host) noexcept nogil:
    """Of the line that is about to be reserved: the one that is there, or one of its own."""
    cdef LineMark* line = hold_line(cpu.marks, host)
    cpu.ticket = peek(&line.mark)
    if not cpu.ticket & 1:
        cpu.ticket = cpu.next_ticket
        cpu.next_ticket += TICKET_STEP
        poke(&line.mark, cpu.ticket)
    let_go_of_line(line)


cdef int reserve(Cpu* cpu, Uop* uop, int64_t budget, int size) noexcept nogil:
    """Load-reserved."""
    cdef uint64_t physical, address = effective_address(cpu, cpu.state.regs[uop.rs1])
    cdef int status
    cdef Piece piece
    cdef void* host = atomic_operand(cpu, uop, budget, address, 1 << READ, size, &physical, &status)
    if host == NULL:
        return status
    if cpu.marks != NULL:
        take_ticket(cpu, <uint64_t>host)        # which orders all before it, as one that releases shall
    if size == 4:
        cpu.state.reservation.value = <uint64_t><int64_t><int32_t>load32(host)
    else:
        cpu.state.reservation.value = load64(host)
    cpu.reserved_host = <uint64_t>host
    cpu.state.reservation.size = size
    cpu.state.regs[uop.rd] = cpu.state.reservation.value
    if physical != ALLOWED:
        piece = Piece(address, physical, size, cpu.state.reservation.value, ram_at(cpu.machine.map, physical, size))
        accessed(cpu, uop, budget, WATCHED_READS, &piece)
    return after_load(cpu, uop, budget)


cdef int store_conditional(Cpu* cpu, Uop* uop, int64_t budget, int size) noexcept nogil:
    """Store-conditional: succeeds if the reserved bytes still hold the value that was loaded."""
    cdef uint64_t physical, expected, address = effective_address(cpu, cpu.state.regs[uop.rs1])
    cdef int status
    cdef bint done = False
    cdef uint64_t value = cpu.state.regs[uop.rs2]
    cdef void* host = atomic_operand(cpu, uop, budget, address, 1 << WRITE, size, &physical, &status)
    cdef LineMark* line = NULL
    if host == NULL:
        return status
    if cpu.marks != NULL:
        line = hold_line(cpu.marks, <uint64_t>host)
    if cpu.reserved_host == <uint64_t>host and <uint64_t>size <= cpu.state.reservation.size and (
        line == NULL or peek(&line.mark) == cpu.ticket
    ):
        if size == 4:
            expected = <uint64_t><int64_t><int32_t>cpu.state.reservation.value
            done = exchange32(host, expected, value) == expected
        else:
            done = exchange64(host, cpu.state.reservation.value, value) == cpu.state.reservation.value
    if line != NULL:
        if done:
            poke(&line.mark, <uint64_t>cpu)
        let_go_of_line(line)
    cpu.reserved_host = 0
    cpu.state.regs[uop.rd] = not done
    if not done:
        return CONTINUE
    return after_atomic(cpu, uop, budget, WATCHED_WRITES, address, physical, size, cpu.state.reservation.value)


cdef LineMark* begin_atomic(Cpu* cpu, void* host) noexcept nogil:
    """An operation that stores, or may; for `end_atomic`."""
    cdef LineMark* line
    if cpu.marks == NULL:
        return NULL
    line = hold_line(cpu.marks, <uint64_t>host)
    put_mark(&line.mark, <uint64_t>cpu)
    return line


cdef void end_atomic(LineMark* line) noexcept nogil:
    if line != NULL:
        let_go_of_line(line)


cdef int atomic(Cpu* cpu, Uop* uop, int64_t budget, int operation, int size) noexcept nogil:
    """Atomic read-modify-write."""
    cdef uint64_t physical, old, address = effective_address(cpu, cpu.state.regs[uop.rs1])
    cdef int status
    cdef uint64_t value = cpu.state.regs[uop.rs2]
    cdef void* host = atomic_operand(cpu, uop, budget, address, READS_AND_WRITES, size, &physical, &status)
    cdef LineMark* line
    if host == NULL:
        return status
    line = begin_atomic(cpu, host)
    if size == 4:
        old = atomic32(host, operation, value)
    elif size == 8:
        old = atomic64(host, operation, value)
    elif size == 2:
        old = atomic16(host, operation, value)
    else:
        old = atomic8(host, operation, value)
    end_atomic(line)
    cpu.state.regs[uop.rd] = old
    return after_atomic(cpu, uop, budget, WATCHED_READS | WATCHED_WRITES, address, physical, size, old)


cdef int exchange(Cpu* cpu, Uop* uop, int64_t budget, int size) noexcept nogil:
    """Compare-and-swap: rd is the value expected, and becomes the value found. Needs write permission either way."""
    cdef uint64_t physical, found, address = effective_address(cpu, cpu.state.regs[uop.rs1])
    cdef int status
    cdef uint64_t value = cpu.state.regs[uop.rs2]
    # The sink holds whatever was written to x0 last; as a source x0 is zero.
    cdef uint64_t expected = cpu.state.regs[uop.rd] if uop.rd != cpu.front_end.sink else 0
    cdef void* host = atomic_operand(cpu, uop, budget, address, READS_AND_WRITES, size, &physical, &status)
    cdef LineMark* line
    if host == NULL:
        return status
    line = begin_atomic(cpu, host)
    if size == 4:
        found = exchange32(host, expected, value)
    elif size == 8:
        found = exchange64(host, expected, value)
    elif size == 2:
        found = exchange16(host, expected, value)
    else:
        found = exchange8(host, expected, value)
    end_atomic(line)
    cpu.state.regs[uop.rd] = found
    return after_atomic(cpu, uop, budget, WATCHED_READS | WATCHED_WRITES, address, physical, size, found)
