"""Vector loads and stores: vector specification 1.0, chapter 7.

They access memory element by element, in order. One that cannot leaves vstart at its element, and what came before has
been done, even other fields of the same element; so the instruction can be run again from there.
"""
from libc.stdint cimport uint8_t, uint64_t
from vm_native.arithmetic.vector.elements cimport bit, element
from vm_native.ir.block cimport info_of
from vm_native.machine cimport CONTINUE, EXIT, STOP_NONE, TRAP, Cpu
from vm_native.riscv.constants cimport MSTATUS_VS_DIRTY
from vm_native.riscv.vector.access cimport access_element
from vm_native.riscv.vector.names cimport FLAG_STORES
from vm_native.riscv.vector.operands cimport (
    Vector, done, is_aligned, is_group, may_read, overwrites_mask, refuse, register_at, registers_of, vd_of, vs2_of,
)
from vm_native.riscv.worlds cimport make_dirty
from vm_native.softmmu cimport outdated

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


cdef int access_elements(Vector* v, Accesses* to) noexcept nogil:
    cdef uint64_t base = v.cpu.state.regs[v.uop.rs1], address, pc = v.cpu.state.pc, i
    cdef bint stores = v.row.flags & FLAG_STORES != 0
    cdef uint8_t* first = register_at(v, vd_of(v))
    cdef int field, status
    make_dirty(v.hart, MSTATUS_VS_DIRTY)
    for i in range(v.hart.state.vstart, to.count):
        if v.mask != NULL and not bit(v.mask, i):
            continue
        v.hart.state.vstart = i
        address = base + (element(to.indices, i, to.index_size, False) if to.indices != NULL else i * to.stride)
        for field in range(to.fields):
            status = access_element(
                v.cpu, stores, address + (<uint64_t>field << to.size), to.size,
                first + <uint64_t>(field * to.spread) * v.hart.state.vlenb + (i << to.size),
            )
            if status == TRAP and to.stops_quietly and i:
                v.hart.state.vl = i
                return finish(v, pc)
            if status != CONTINUE:
                return status
    return finish(v, pc)


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
