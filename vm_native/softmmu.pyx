"""The slow side of guest memory: TLB misses, misaligned accesses, devices, stores into code.

A load or store that reaches a device leaves pc and budget exact before Python can look, and repeats the instruction
if the device raised. An access that crosses a page translates both pages before it changes anything.
"""
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, intptr_t, uint8_t, uint64_t
from vm_native.arithmetic.float_rules cimport BOX16, BOX32
from vm_native.blocks cimport invalidate, note_store_beside_code
from vm_native.clock cimport timeline_ticks
from vm_native.code_pages cimport code_beside, holds_code, any_translated, untranslated_around
from vm_native.exits cimport deliver_trap, not_accessed, trap_at
from vm_native.ir.block cimport Block, Uop, block_of
from vm_native.machine cimport (
    CONTINUE, EVENT_MMIO_READ, EVENT_MMIO_WRITE, EXIT, RECORD_MMIO, REMEMBERED_ENTRIES, RETRY, STOP_NONE,
    STOP_RAISED, TRAP, CodePage, Cpu, about_to_store, effective_address, leave_for_python, note_time,
    reschedule, return_from_python, step_over, store_position,
)
from vm_native.memory.access cimport copy_bytes
from vm_native.memory.bus cimport (
    ANSWER_TIMEBASE, BUS_OK, BUS_RAISED, Answer, device_read, device_write, find_answer, ram_at,
)
from vm_native.memory.ram cimport (
    HAS_CODE, PAGE_MASK, PAGE_OFFSET, PAGE_SHIFT, PAGE_SIZE, WATCHED_READS, WATCHED_WRITES, RamRegion, mark_dirty,
)
from vm_native.memory.tlb cimport (
    BESIDE_CODE, OF_DEVICE, READ, STORE_SPANS, WRITE, StoreRange, StoreWindow, TlbEntry, device_address,
)
from vm_native.probes.hooks cimport is_wanted, tell_all
from vm_native.probes.records cimport RECORDED_READ, RECORDED_WRITE, is_recorded, record_mmio
from vm_native.probes.watch cimport is_watched, look_at_watches
from vm_native.shared_code cimport is_held
from vm_native.signals cimport signal_waits
from vm_native.unlocked cimport peek8

cdef enum:
    PAGES_AROUND = 128      # that a StoreWindow has at most, on either side of the one that it is filled for


cdef int fault(Cpu* cpu, Uop* uop, int64_t budget, uint64_t cause, uint64_t address) noexcept nogil:
    cpu.trap_cause = cause
    cpu.trap_value = address
    return trap_at(cpu, uop, budget)


cdef inline uint64_t extend(uint64_t value, int kind) noexcept nogil:
    if kind == (1 | SIGNED):
        return <uint64_t><int64_t><int8_t>value
    if kind == (2 | SIGNED):
        return <uint64_t><int64_t><int16_t>value
    if kind == (4 | SIGNED):
        return <uint64_t><int64_t><int32_t>value
    if kind == (2 | BOXED):
        return value | BOX16
    if kind == (4 | BOXED):
        return value | BOX32
    return value


cdef bint outdated(Cpu* cpu, Uop* uop) noexcept nogil:
    """Whether the rest of the block may no longer be what memory holds. Of uncached ones nobody keeps track."""
    cdef Block* block = block_of(uop)
    if cpu.gate.changed:
        return True
    return block.dead or not block.cached or block.shared_page != NULL and not is_held(cpu.machine, block)


cdef int after_device(Cpu* cpu, Uop* uop, uint64_t pc) noexcept nogil:
    """The access at `pc` has happened: go on, unless it changed what the hart should do next, or this very code."""
    if signal_waits() and cpu.machine.safepoints == NULL:
        reschedule(cpu.machine)
    if cpu.state.pc != pc:                    # a callback has sent the hart elsewhere
        cpu.budget -= 1
        return EXIT
    if cpu.attention or cpu.stop != STOP_NONE or outdated(cpu, uop):
        step_over(cpu, uop)
        return EXIT
    return CONTINUE


cdef inline char* unaligned_operand(uint64_t address, uint64_t size, uint64_t tag, TlbEntry* entry) noexcept nogil:
    """Where the bytes are, if the TLB has the page and all lie in it: what the fast path turns down is not aligned."""
    cdef uint64_t offset = address & PAGE_OFFSET
    if tag != address - offset or offset + size > PAGE_SIZE:
        return NULL
    return <char*>(<intptr_t>address + entry.addend)


cdef char* operand_beside_code(
    Cpu* cpu, Uop* uop, uint64_t address, uint64_t size, TlbEntry* entry
) noexcept nogil:
    """Where the bytes to be stored to are, if the TLB has their page as one with code, and they are none of it."""
    cdef uint64_t offset = address & PAGE_OFFSET
    cdef char* host = <char*>(<intptr_t>address + entry.addend)
    cdef CodePage* page
    if entry.write_tag != (address - offset | BESIDE_CODE) or offset + size > PAGE_SIZE:
        return NULL
    if cpu.machine.safepoints != NULL:
        return NULL                     # another hart may be translating these bytes: first stored, then looked at
    page = code_beside(cpu.machine, <uint64_t>host)
    if not holds_code(page):
        entry.write_tag = address - offset          # the code has gone
    elif any_translated(page.translated, offset, size):
        return NULL
    else:
        note_store_beside_code(cpu.machine, block_of(uop))
    return host


cdef inline bint refill(Cpu* cpu, uint64_t page, int access) noexcept nogil:
    cdef TlbEntry* entry = entry_of(cpu, page)
    cdef uint64_t* tag = &entry.write_tag if access == WRITE else &entry.read_tag
    cdef uint64_t physical
    if tag[0] == page:
        return True
    if (
        tag[0] & PAGE_MASK == page or cpu.machine.probes.virtual_watches or not cpu.machine.data_tlb
        or effective_address(cpu, page) != page
    ):
        return False
    # Where harts have threads, nothing here parks: what the trace counts on stays as it is.
    if cpu.front_end.translate_address(cpu, page, access, 1, &physical) == CONTINUE and tag[0] == page:
        return True
    cpu.tlb_misses[access] -= 1         # it is translated once more, for the access itself
    return False


cdef bint refill_for_load(Cpu* cpu, uint64_t page) noexcept nogil:
    """For compiled code that is about to load from this page: let the TLB have it in its first place.

    False if it is one to which that does not apply; then the load is still to be translated and checked.
    """
    return refill(cpu, page, READ)


cdef bint refill_for_store(Cpu* cpu, uint64_t page) noexcept nogil:
    """The same for one that is about to store."""
    return refill(cpu, page, WRITE)


cdef bint fill_store_range(Cpu* cpu, uint64_t address, StoreRange* filled) noexcept nogil:
    """For compiled code: all around the address that it may store to without a look at what is translated.

    False if the TLB does not have the page, or the address is one of code.
    """
    cdef TlbEntry* entry = entry_of(cpu, address)
    cdef uint64_t offset = address & PAGE_OFFSET
    cdef uint64_t page = address - offset
    cdef uint64_t start = 0, end = PAGE_SIZE, size
    cdef CodePage* code
    cdef int i
    if cpu.machine.safepoints != NULL:
        return False                    # as `operand_beside_code`
    if entry.write_tag == (page | BESIDE_CODE):
        code = code_beside(cpu.machine, address + <uint64_t>entry.addend)
        if any_translated(code.translated, offset, 1):
            return False
        untranslated_around(code, offset, &start, &end)
    elif entry.write_tag != page:
        return False
    filled.start = page + start
    filled.addend = entry.addend
    for i in range(4):
        size = 1 << i
        filled.places[i] = end - start - size + 1 if end - start >= size else 0
    if cpu.store_range_fills < REMEMBERED_ENTRIES:
        cpu.filled_store_ranges[cpu.store_range_fills] = filled
        cpu.store_range_fills += 1
    return True


cdef inline bint takes_any_store(const RamRegion* region, uint64_t page) noexcept nogil:
    return peek8(&region.dirty[page]) and not region.code[page]


cdef bint fill_store_window(Cpu* cpu, uint64_t address, StoreWindow* window) noexcept nogil:
    """For compiled code: the page of this address and those around it, if it may store to all of them as it likes.

    False if the TLB does not have the page as such a one, or not at its physical address.
    """
    cdef const TlbEntry* entry = entry_of(cpu, address)
    cdef const RamRegion* region = ram_at(cpu.machine.map, address, 1)
    cdef uint64_t first, page, end, size
    cdef int i
    if region == NULL or region.base != cpu.front_end.window_start or entry.write_tag != address & PAGE_MASK:
        return False
    if entry.addend != cpu.window_addend:
        return False
    page = first = (address - region.base) >> PAGE_SHIFT
    end = page + 1
    if cpu.load_windows[cpu.front_end.data_bank(cpu.key)].places[0]:
        while first and page - first < PAGES_AROUND and takes_any_store(region, first - 1):
            first -= 1
        while end < region.size >> PAGE_SHIFT and end - page < PAGES_AROUND and takes_any_store(region, end):
            end += 1
    size = (end - first) << PAGE_SHIFT
    window.start = region.base + (first << PAGE_SHIFT)
    for i in range(STORE_SPANS):
        window.places[i] = size - (1 << i) + 1
    cpu.has_store_windows = True
    return True


cdef struct Operand:
    int count               # of pieces: 2 if it crosses a page
    Piece[2] pieces


cdef inline uint8_t* host_of(const Piece* piece) noexcept nogil:
    return piece.region.host + (piece.physical - piece.region.base)


cdef inline int find_operand(
    Cpu* cpu, Uop* uop, int64_t budget, uint64_t address, int access, uint64_t size, Operand* operand
) noexcept nogil:
    """Translate and check all that is accessed. A Status: where that is TRAP, the trap has been taken."""
    cdef uint64_t first = min(size, PAGE_SIZE - (address & PAGE_OFFSET))
    cdef Piece* piece = operand.pieces
    cdef int i, status
    if trigger_fires(cpu, 1 << access, address, size):
        return trap_at(cpu, uop, budget)
    operand.count = 1 if first == size else 2
    piece[0].address, piece[0].size = address, first
    piece[1].address, piece[1].size = address + first, size - first
    for i in range(operand.count):
        status = cpu.front_end.translate_address(cpu, piece[i].address, access, piece[i].size, &piece[i].physical)
        if status != CONTINUE:
            return not_accessed(cpu, uop, budget, status)
    for i in range(operand.count):
        piece[i].region = ram_at(cpu.machine.map, piece[i].physical, piece[i].size)
        if piece[i].region == NULL and operand.count == 2:
            return fault(cpu, uop, budget, cpu.front_end.access_fault[access], piece[i].address)
    return CONTINUE


cdef void accessed(
    Cpu* cpu, Uop* uop, int64_t budget, int accesses, const Piece* piece
) noexcept nogil:
    """Ask the watchpoints."""
    if is_watched(cpu.machine, piece.region, piece.physical):
        store_position(cpu, uop, budget)
        look_at_watches(cpu, accesses, piece.address, piece.physical, piece.size, piece.old)


cdef inline void remember(Cpu* cpu, Piece* piece) noexcept nogil:
    """What stands in the piece, before the access, for watchpoints."""
    if is_watched(cpu.machine, piece.region, piece.physical):
        piece.old = 0
        copy_bytes(&piece.old, host_of(piece), piece.size)


cdef inline bint finds_device(
    Cpu* cpu, uint64_t address, int size, uint64_t tag, const TlbEntry* entry
) noexcept nogil:
    """Whether the TLB has the page, by this tag, as one without RAM, where none has come since; of what is aligned."""
    return (
        tag == (address & (PAGE_MASK | (size - 1)) | OF_DEVICE)
        and not cpu.machine.probes.virtual_watches
        and ram_at(cpu.machine.map, device_address(entry, address), 1) == NULL
    )


cdef int load_slowly(Cpu* cpu, Uop* uop, int64_t budget, uint64_t address, int kind) noexcept nogil:
    cdef int size = kind & SIZE_MASK
    cdef TlbEntry* entry
    cdef char* host
    cdef uint64_t value = 0
    cdef Operand operand
    cdef Piece* piece = operand.pieces
    cdef int i, status
    address = effective_address(cpu, address)
    entry = entry_of(cpu, address)
    host = unaligned_operand(address, size, entry.read_tag, entry)
    if host != NULL:
        copy_bytes(&value, host, size)
        cpu.state.regs[uop.rd] = extend(value, kind)
        return CONTINUE
    if finds_device(cpu, address, size, entry.read_tag, entry):
        return load_from_device(cpu, uop, budget, address, device_address(entry, address), kind)
    status = find_operand(cpu, uop, budget, address, READ, size, &operand)
    if status != CONTINUE:
        return status
    if piece[0].region == NULL:
        return load_from_device(cpu, uop, budget, address, piece[0].physical, kind)
    for i in range(operand.count):
        copy_bytes(<uint8_t*>&value + (piece[i].address - address), host_of(&piece[i]), piece[i].size)
        remember(cpu, &piece[i])
        accessed(cpu, uop, budget, WATCHED_READS, &piece[i])
    cpu.state.regs[uop.rd] = extend(value, kind)
    return after_load(cpu, uop, budget)


cdef int after_load(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    if cpu.stop != STOP_NONE or cpu.gate.changed:
        store_position(cpu, uop, budget)
        step_over(cpu, uop)
        return EXIT
    return CONTINUE


cdef int load_from_device(
    Cpu* cpu, Uop* uop, int64_t budget, uint64_t address, uint64_t physical, int kind
) noexcept nogil:
    cdef uint64_t value = 0, pc
    cdef int status = BUS_OK, size = kind & SIZE_MASK, held
    cdef const Answer* answer = NULL
    if cpu.machine.safepoints == NULL:      # else another hart may be changing it
        answer = find_answer(cpu.machine.map, physical, size)
    if address & (size - 1):
        return fault(cpu, uop, budget, cpu.front_end.access_fault[READ], address)
    store_position(cpu, uop, budget)
    pc = cpu.state.pc
    note_time(cpu)
    if answer != NULL:
        value = answer.value
        if answer.kind == ANSWER_TIMEBASE:
            value = timeline_ticks(cpu.machine.timeline, cpu.machine.timeline.steps)
    else:
        held = leave_for_python(cpu)
        status = device_read(cpu.machine.map, physical, size, &value)
        return_from_python(cpu, held)
    if status == BUS_OK:
        cpu.state.regs[uop.rd] = extend(value, kind)
        if is_recorded(cpu.machine, RECORD_MMIO):
            record_mmio(cpu, pc, RECORDED_READ, physical, size, value)
        if is_wanted(cpu.machine, EVENT_MMIO_READ):
            tell_all(cpu, EVENT_MMIO_READ, pc, physical, size, value, value)
        return after_device(cpu, uop, pc)
    return device_failed(cpu, status, cpu.front_end.access_fault[READ], address)


cdef int device_failed(Cpu* cpu, int status, uint64_t cause, uint64_t address) noexcept nogil:
    if status == BUS_RAISED:
        cpu.stop = STOP_RAISED
        return RETRY
    cpu.trap_cause = cause
    cpu.trap_value = address
    deliver_trap(cpu)
    return TRAP


cdef int stored(Cpu* cpu, Uop* uop, int64_t budget, int accesses, const Piece* piece) noexcept nogil:
    """Bookkeeping of a store into RAM that the fast path may not do; the bytes are there already.

    `accesses` are those that watchpoints are asked about.
    """
    cdef uint64_t page = (piece.physical - piece.region.base) >> PAGE_SHIFT
    if piece.region.code[page] & HAS_CODE:
        note_store_beside_code(cpu.machine, block_of(uop))
        if cpu.machine.safepoints == NULL:
            cpu.machine.timeline.steps = cpu.slice_start + <uint64_t>(cpu.slice - budget)
        invalidate(cpu.machine, piece.physical, piece.size)
    mark_dirty(piece.region, page)
    accessed(cpu, uop, budget, accesses, piece)
    return CONTINUE


cdef int after_store(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:
    if outdated(cpu, uop) or cpu.stop != STOP_NONE:
        store_position(cpu, uop, budget)
        step_over(cpu, uop)
        return EXIT
    return CONTINUE


cdef int store_slowly(Cpu* cpu, Uop* uop, int64_t budget, uint64_t address, int size) noexcept nogil:
    cdef TlbEntry* entry
    cdef char* host
    cdef uint64_t value = cpu.state.regs[uop.rs2]
    cdef Operand operand
    cdef Piece* piece = operand.pieces
    cdef int i, status
    address = effective_address(cpu, address)
    entry = entry_of(cpu, address)
    host = unaligned_operand(address, size, entry.write_tag, entry)
    if host == NULL:
        host = operand_beside_code(cpu, uop, address, size, entry)
    if host != NULL:
        about_to_store(cpu, host, size)
        copy_bytes(host, &value, size)
        return CONTINUE
    if finds_device(cpu, address, size, entry.write_tag, entry):
        return store_to_device(cpu, uop, budget, address, device_address(entry, address), size)
    status = find_operand(cpu, uop, budget, address, WRITE, size, &operand)
    if status != CONTINUE:
        return status
    if piece[0].region == NULL:
        return store_to_device(cpu, uop, budget, address, piece[0].physical, size)
    for i in range(operand.count):
        remember(cpu, &piece[i])
        about_to_store(cpu, host_of(&piece[i]), piece[i].size)
        copy_bytes(host_of(&piece[i]), <uint8_t*>&value + (piece[i].address - address), piece[i].size)
    for i in range(operand.count):
        stored(cpu, uop, budget, WATCHED_WRITES, &piece[i])
    return after_store(cpu, uop, budget)


cdef int store_to_device(
    Cpu* cpu, Uop* uop, int64_t budget, uint64_t address, uint64_t physical, int size
) noexcept nogil:
    cdef int status, held
    cdef uint64_t value = cpu.state.regs[uop.rs2], pc
    if size < 8:
        value &= (1ULL << (8 * size)) - 1
    if address & (size - 1):
        return fault(cpu, uop, budget, cpu.front_end.access_fault[WRITE], address)
    store_position(cpu, uop, budget)
    pc = cpu.state.pc
    note_time(cpu)
    held = leave_for_python(cpu)
    status = device_write(cpu.machine.map, physical, size, value)
    return_from_python(cpu, held)
    if status == BUS_OK:
        if is_recorded(cpu.machine, RECORD_MMIO):
            record_mmio(cpu, pc, RECORDED_WRITE, physical, size, value)
        if is_wanted(cpu.machine, EVENT_MMIO_WRITE):
            tell_all(cpu, EVENT_MMIO_WRITE, pc, physical, size, value, value)
        return after_device(cpu, uop, pc)
    return device_failed(cpu, status, cpu.front_end.access_fault[WRITE], address)
