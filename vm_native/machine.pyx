"""Every effect of one hart, a device or Python on another hart.

Where harts take turns in one thread all of it happens at once. Where each has its own, what takes something away stops
the others until the lock on what they share is given back, and interrupts are posted. Nothing but this and who gives
and takes turns reaches into the caches, the pending exits or the reservation of a hart that is not its own.
"""
from libc.stdint cimport intptr_t, uint64_t
from vm_native.hart_state cimport Reservation
from vm_native.ir.block cimport Block
from vm_native.jump_cache cimport JUMP_CACHE_ENTRIES, JumpCacheEntry, jump_entry
from vm_native.line_marks cimport announce_stores
from vm_native.memory.bus cimport ram_at
from vm_native.memory.ram cimport PAGE_MASK, PAGE_SHIFT, RamRegion
from vm_native.memory.tlb cimport BESIDE_CODE, INVALID_TAG, TLB_BANKS, BANK_ENTRIES, TlbEntry, write_tag_of
from vm_native.memory.zeroed cimport zero_pages
from vm_native.safepoints cimport ask_for_look, is_own, post, stop_others, take_mail
from vm_native.unlocked cimport load_flag


cdef enum:
    OF_OUTSIDE = 2          # a mark that is no hart's


cdef void interrupt(Machine* machine, int hart, uint64_t bits, bint level) noexcept nogil:
    """Make interrupts pending on a hart, or take them back; bits are numbered as its front end does."""
    cdef Cpu* cpu = machine.cpus[hart]
    if machine.safepoints != NULL:
        if post(&cpu.gate, bits, level):
            return
        deliver_mail(cpu)               # which came before
    machine.front_end.set_interrupts(cpu, bits, level)
    cpu.attention = True


cdef void deliver_mail(Cpu* cpu) noexcept nogil:
    """The interrupts that were posted to this hart."""
    cdef uint64_t raised, lowered
    if take_mail(&cpu.gate, &raised, &lowered):
        cpu.front_end.set_interrupts(cpu, raised, True)
        cpu.front_end.set_interrupts(cpu, lowered, False)
        cpu.attention = True


cdef bint harts_go(const Machine* machine) noexcept nogil:
    """Whether there are harts in threads, in a round: one may be anywhere."""
    return machine.safepoints != NULL and load_flag(&machine.safepoints.going)


cdef Cpu** stopped_harts(Machine* machine) noexcept nogil:
    """All harts. Of those in threads all but the own stand still until the code's lock, which is held, is given back:
    only by this function does anything here reach what one of them looks at without the lock.
    """
    if harts_go(machine):
        stop_others(machine.safepoints)
    return machine.cpus


cdef inline bint is_visit(Machine* machine, int hart) noexcept nogil:
    return machine.safepoints != NULL and not is_own(&machine.cpus[hart].gate)


cdef Cpu* visit(Machine* machine, int hart) noexcept nogil:
    """A hart, perhaps another, whose state is about to be changed: it stops until `depart`."""
    if not is_visit(machine, hart):
        return machine.cpus[hart]
    lock_code(machine)
    return stopped_harts(machine)[hart]


cdef void depart(Machine* machine, int hart) noexcept nogil:
    if is_visit(machine, hart):
        unlock_code(machine)
        post(&machine.cpus[hart].gate, 0, True)     # if it waits it looks again


cdef void set_timer(Machine* machine, int hart, uint64_t ticks) noexcept nogil:
    """Let a hart's timer run out when the timebase reaches `ticks`."""
    machine.front_end.set_timer(visit(machine, hart), ticks)
    depart(machine, hart)
    reschedule(machine)


cdef void fence(Machine* machine, int hart, uint64_t start, uint64_t size) noexcept nogil:
    """Let a hart forget its translations of [start, start + size), virtual; all of them for 0 and 0."""
    machine.front_end.fence(visit(machine, hart), start, size)
    depart(machine, hart)


cdef void reschedule(Machine* machine) noexcept nogil:
    """A deadline changed, of an event or of any hart's timer: the slice at hand, if there is one, is cut anew."""
    if machine.current != NULL:
        ask_to_stop(machine.current, STOP_RESCHEDULE)
    elif machine.safepoints != NULL:
        ask_for_look(machine.safepoints)


cdef void forget_block(Machine* machine, Block* block) noexcept nogil:
    """The block is about to go: out of every jump cache, and no exit that was just taken is linked any more."""
    cdef Cpu** cpus = stopped_harts(machine)
    cdef JumpCacheEntry* entry
    cdef int i
    for i in range(machine.cpu_count):
        entry = jump_entry(&cpus[i].jump_cache, block.key.pc)
        if entry.block == block:
            entry.key = 0
            entry.block = NULL
        cpus[i].pending_exit = NULL


cdef inline void redirect_block(Machine* machine, Block* block, void* code) noexcept nogil:
    """From now on jump cache entries for this block lead compiled code there. Harts in threads stand still."""
    cdef JumpCacheEntry* entry
    cdef int i
    for i in range(machine.cpu_count):
        entry = jump_entry(&machine.cpus[i].jump_cache, block.key.pc)
        if entry.block == block:
            entry.code = code


cdef void offer_code(Machine* machine, Block* block, void* code) noexcept nogil:
    """The same of code that there was none of: a hart in a thread of its own finds that out when it comes by."""
    if machine.safepoints == NULL:
        redirect_block(machine, block, code)


cdef void withdraw_code(Machine* machine, Block* block, void* instead) noexcept nogil:
    """The same of code that is about to go; the exit just taken may be its own."""
    cdef Cpu** cpus = stopped_harts(machine)
    cdef int i
    for i in range(machine.cpu_count):
        cpus[i].pending_trace_exit = NULL
    redirect_block(machine, block, instead)


cdef void forget_jumps(Machine* machine) noexcept nogil:
    """What jump caches lead to, and the exits just taken, is no more."""
    cdef Cpu** cpus = stopped_harts(machine)
    cdef int hart
    for hart in range(machine.cpu_count):
        zero_pages(cpus[hart].jump_cache.entries, JUMP_CACHE_ENTRIES * sizeof(JumpCacheEntry))
        cpus[hart].pending_exit = NULL
        cpus[hart].pending_trace_exit = NULL


cdef inline int entries_in(const Cpu* cpu, int bank) noexcept nogil:
    """How many of a bank of the TLB have to be looked at."""
    return BANK_ENTRIES if cpu.filled_banks >> bank & 1 else 0


cdef void forget_all_code(Machine* machine) noexcept nogil:
    """Every block and all compiled code are about to go, between slices. What a hart knows of addresses stays: if and
    when that happens is the host's affair, and a guest must not be able to tell.
    """
    cdef Cpu** cpus = stopped_harts(machine)
    cdef TlbEntry* entry
    cdef Cpu* cpu
    cdef int hart, bank, i
    forget_jumps(machine)
    for hart in range(machine.cpu_count):
        cpu = cpus[hart]
        for bank in range(TLB_BANKS):
            for i in range(entries_in(cpu, bank)):
                entry = &cpu.banks[bank * BANK_ENTRIES + i]
                if entry.write_tag & BESIDE_CODE:
                    entry.write_tag &= ~<uint64_t>BESIDE_CODE
        forget_page_entries(cpu)


cdef void revoke_writes(Machine* machine, RamRegion* region, uint64_t physical) noexcept nogil:
    """The code map has changed for a page: what is remembered of writes to it ends, in every bank of every hart, under
    whichever virtual address, but for what the map still allows.
    """
    cdef Cpu** cpus = stopped_harts(machine)
    cdef uint64_t offset = (physical & PAGE_MASK) - region.base
    cdef intptr_t host_page = <intptr_t>(region.host + offset)
    cdef Cpu* cpu
    cdef TlbEntry* entry
    cdef uint64_t page
    cdef int hart, bank, i
    for hart in range(machine.cpu_count):
        cpu = cpus[hart]
        for bank in range(TLB_BANKS):
            for i in range(entries_in(cpu, bank)):
                entry = &cpu.banks[bank * BANK_ENTRIES + i]
                page = entry.write_tag & PAGE_MASK
                if entry.write_tag != INVALID_TAG and <intptr_t>page + entry.addend == host_page:
                    entry.write_tag = write_tag_of(page, region.code[offset >> PAGE_SHIFT])
        forget_page_entries(cpu)


cdef void revoke_reads(Machine* machine, RamRegion* region, uint64_t physical) noexcept nogil:
    """Loads from a page are watched from now on: the same of what is remembered of reads from it."""
    cdef Cpu** cpus = stopped_harts(machine)
    cdef intptr_t host_page = <intptr_t>(region.host + ((physical & PAGE_MASK) - region.base))
    cdef Cpu* cpu
    cdef TlbEntry* entry
    cdef int hart, bank, i
    for hart in range(machine.cpu_count):
        cpu = cpus[hart]
        for bank in range(TLB_BANKS):
            for i in range(entries_in(cpu, bank)):
                entry = &cpu.banks[bank * BANK_ENTRIES + i]
                if entry.read_tag != INVALID_TAG and <intptr_t>entry.read_tag + entry.addend == host_page:
                    entry.read_tag = INVALID_TAG
        forget_page_entries(cpu)
        close_load_windows(cpu, 0)


cdef void revoke_store_ranges(Machine* machine) noexcept nogil:
    """Bytes of a page that holds code have been translated: compiled code asks anew where it may store."""
    cdef int hart
    if machine.safepoints != NULL:
        return                          # where harts have threads there are none
    for hart in range(machine.cpu_count):
        forget_store_ranges(machine.cpus[hart])


cdef void break_reservations(Machine* machine, uint64_t physical, uint64_t size) noexcept nogil:
    """A device or Python has stored to RAM: what a hart has reserved there, it has reserved no longer.

    Stores of harts need no such look: a hart gives its reservation up with its turn, so there is never another's.
    """
    cdef Reservation* reservation
    cdef Cpu* cpu
    cdef int i
    cdef RamRegion* region
    if machine.safepoints != NULL:
        region = ram_at(machine.map, physical, size)
        announce_stores(machine.safepoints.marks, <uint64_t>region.host + (physical - region.base), size, OF_OUTSIDE)
        if load_flag(&machine.safepoints.going):
            return
    for i in range(machine.cpu_count):
        cpu = machine.cpus[i]
        reservation = &cpu.state.reservation
        if cpu == machine.current:
            settle_reservation(cpu)
        if reservation.address < physical + size and physical < reservation.address + reservation.size:
            drop_reservation(cpu)
