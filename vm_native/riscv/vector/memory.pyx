"""Vector loads and stores: vector specification 1.0, chapter 7.

They access memory element by element, in order, or what is on one page at once. One that cannot leaves vstart at its
element, and what came before has been done, even other fields of the same element; so the instruction can be run again
from there.
"""
from libc.stdint cimport intptr_t, uint8_t, uint64_t
from libc.string cimport memcpy
from vm_native.arithmetic.vector.elements cimport ROOM, bit, element, store_elements
from vm_native.ir.block cimport info_of
from vm_native.machine cimport CONTINUE, EXIT, RECORD_ACCESSES, STOP_NONE, TRAP, Cpu, about_to_store
from vm_native.memory.access cimport copy_bytes
from vm_native.memory.ram cimport PAGE_MASK, PAGE_OFFSET, PAGE_SIZE
from vm_native.memory.tlb cimport TlbEntry
from vm_native.probes.records cimport is_recorded
from vm_native.riscv.constants cimport MSTATUS_VS_DIRTY
from vm_native.riscv.vector.access cimport access_element
from vm_native.riscv.vector.names cimport FLAG_STORES
from vm_native.riscv.vector.operands cimport (
    Vector, done, is_aligned, is_group, may_read, overwrites_mask, refuse, register_at, registers_of, vd_of, vs2_of,
)
from vm_native.riscv.worlds cimport make_dirty
from vm_native.softmmu cimport entry_of, outdated

cdef enum:
    NO_PAGE = 1             # no page's address

cdef struct Accesses:
    int size                # log2 of the bytes of an element
    int spread              # registers from one field to the next
    int fields
    uint64_t count
    uint64_t stride         # from one element to the next
    const uint8_t* indices  # or offsets of their own; NULL: none
    int index_size
    bint stops_quietly      # a fault behind the first element only makes vl smaller


cdef inline int fields_of(const Vector* v) noexcept nogil:
    return (v.word >> 29) + 1


cdef inline bint is_room(const Vector* v, int lmul) noexcept nogil:
    """Whether there are such groups for all fields: at most eight registers, and not beyond the last one."""
    cdef int registers = fields_of(v) * registers_of(lmul)
    return is_aligned(vd_of(v), lmul) and registers <= 8 and vd_of(v) + registers <= 32


cdef inline bint is_dense(const Accesses* to) noexcept nogil:
    return to.indices == NULL and to.fields == 1 and to.stride == <uint64_t>1 << to.size


cdef inline uint8_t* host_page(Cpu* cpu, bint stores, uint64_t address) noexcept nogil:
    """Where the page of this address is, if all of it can be accessed at once; or NULL."""
    cdef uint64_t page = address & PAGE_MASK
    cdef TlbEntry* entry = entry_of(cpu, address)
    cdef uint64_t tag = entry.write_tag if stores else entry.read_tag
    return <uint8_t*>(<intptr_t>page + entry.addend) if tag == page else NULL


cdef inline uint64_t copy_run(Vector* v, const Accesses* to, bint stores, uint64_t i, uint64_t address) noexcept nogil:
    """As many elements, one behind the other from this one on, as its page has; none if that takes more than a copy."""
    cdef uint8_t room[ROOM]
    cdef uint64_t offset = address & PAGE_OFFSET, count = min(to.count - i, (PAGE_SIZE - offset) >> to.size)
    cdef uint8_t* group = register_at(v, vd_of(v))
    cdef uint8_t* host
    if not count or v.mask != NULL and (stores or i or count < to.count):
        return 0
    host = host_page(v.cpu, stores, address)
    if host == NULL:
        return 0
    if stores:
        about_to_store(v.cpu, host + offset, count << to.size)
        memcpy(host + offset, group + (i << to.size), count << to.size)
    elif v.mask == NULL:
        memcpy(group + (i << to.size), host + offset, count << to.size)
    else:
        memcpy(room, host + offset, count << to.size)
        store_elements(group, room, count, to.size, v.mask)
    return count


cdef int access_elements(Vector* v, Accesses* to) noexcept nogil:
    """What is on a page that has just been accessed is accessed there; the rest, one by one, by what the TLB says."""
    cdef uint64_t base = v.cpu.state.regs[v.uop.rs1], address, at, pc = v.cpu.state.pc, i = v.hart.state.vstart, run
    cdef uint64_t bytes = <uint64_t>1 << to.size, page = NO_PAGE
    cdef bint stores = v.row.flags & FLAG_STORES != 0, unseen = not is_recorded(v.cpu.machine, RECORD_ACCESSES)
    # Where harts have threads each element is accessed once, and at once: memcpy(3) promises neither.
    cdef bint dense = unseen and is_dense(to) and v.cpu.marks == NULL, all_direct = True
    cdef uint8_t* first = register_at(v, vd_of(v))
    cdef uint8_t* place
    cdef uint8_t* host = NULL
    cdef int field, status
    make_dirty(v.hart, MSTATUS_VS_DIRTY)
    while i < to.count:
        if dense:
            run = copy_run(v, to, stores, i, base + (i << to.size))
            if run:
                i += run
                continue
        if v.mask != NULL and not bit(v.mask, i):
            i += 1
            continue
        address = base + (element(to.indices, i, to.index_size, False) if to.indices != NULL else i * to.stride)
        for field in range(to.fields):
            at = address + (<uint64_t>field << to.size)
            place = first + <uint64_t>(field * to.spread) * v.hart.state.vlenb + (i << to.size)
            if at & PAGE_MASK == page and (at & PAGE_OFFSET) + bytes <= PAGE_SIZE:
                at &= PAGE_OFFSET
                if stores:
                    about_to_store(v.cpu, host + at, bytes)
                    copy_bytes(host + at, place, bytes)
                else:
                    copy_bytes(place, host + at, bytes)
                continue
            v.hart.state.vstart = i
            all_direct = False
            status = access_element(v.cpu, stores, at, to.size, place)
            if status == TRAP and to.stops_quietly and i:
                v.hart.state.vl = i
                return finish(v, pc)
            if status != CONTINUE:
                return status
            host = host_page(v.cpu, stores, at) if unseen else NULL
            page = NO_PAGE if host == NULL else at & PAGE_MASK
        i += 1
    return done(v) if all_direct else finish(v, pc)


cdef int finish(Vector* v, uint64_t pc) noexcept nogil:
    """Go on, unless an access has changed what comes next: a device's answer, a watchpoint, a store into this code."""
    cdef Cpu* cpu = v.cpu
    cdef int status = done(v)
    if cpu.state.pc != pc:                  # a callback has sent the hart elsewhere
        return EXIT
    if cpu.attention or cpu.stop != STOP_NONE or outdated(cpu, v.uop):
        cpu.state.pc += info_of(v.uop).length
        return EXIT
    return status


cdef int access_regularly(Vector* v, uint64_t stride, bint stops_quietly) noexcept nogil:
    cdef Accesses to
    cdef int size = v.row.operation, lmul = v.lmul + size - v.size
    if not is_group(v, size, lmul) or not is_room(v, lmul) or overwrites_mask(v):
        return refuse(v)
    to = Accesses(size, registers_of(lmul), fields_of(v), v.vl, stride, NULL, 0, stops_quietly)
    return access_elements(v, &to)


cdef int run_access_unit(Vector* v) noexcept nogil:
    return access_regularly(v, <uint64_t>fields_of(v) << v.row.operation, False)


cdef int run_access_first(Vector* v) noexcept nogil:
    return access_regularly(v, <uint64_t>fields_of(v) << v.row.operation, True)


cdef int run_access_strided(Vector* v) noexcept nogil:
    return access_regularly(v, v.cpu.state.regs[v.word >> 20 & 31], False)


cdef int run_access_indexed(Vector* v) noexcept nogil:
    """Ordered or not: it is done in order."""
    cdef Accesses to
    cdef int size = v.row.operation, lmul = v.lmul + size - v.size
    if not is_group(v, size, lmul) or not is_aligned(vs2_of(v), lmul) or not is_room(v, v.lmul):
        return refuse(v)
    if overwrites_mask(v) or not v.row.flags & FLAG_STORES and not loads_spare_indices(v, size, lmul):
        return refuse(v)
    to = Accesses(
        v.size, registers_of(v.lmul), fields_of(v), v.vl, 0, register_at(v, vs2_of(v)), size, False
    )
    return access_elements(v, &to)


cdef bint loads_spare_indices(const Vector* v, int size, int lmul) noexcept nogil:
    """Sections 5.2 and 7.8.3: of segments no group overlaps that of the indices; else as of other sources."""
    cdef int registers = fields_of(v) * registers_of(v.lmul)
    if fields_of(v) == 1:
        return may_read(v, vs2_of(v), size, lmul, v.size, v.lmul)
    return vd_of(v) >= vs2_of(v) + registers_of(lmul) or vs2_of(v) >= vd_of(v) + registers


cdef int run_access_mask(Vector* v) noexcept nogil:
    """As many bytes as the bits of all elements take."""
    cdef Accesses to = Accesses(0, 1, 1, (v.vl + 7) >> 3, 1, NULL, 0, False)
    return access_elements(v, &to)


cdef int run_access_whole(Vector* v) noexcept nogil:
    cdef Accesses to
    cdef int size = v.row.operation, registers = fields_of(v)
    if size > v.largest or vd_of(v) & (registers - 1):
        return refuse(v)
    to = Accesses(size, 1, 1, registers * v.hart.state.vlenb >> size, <uint64_t>1 << size, NULL, 0, False)
    return access_elements(v, &to)
