"""What vsetvli, vsetivli and vsetvl set: vector specification 1.0, sections 3.4 and 6."""
from libc.stdint cimport uint64_t
from vm_native.riscv.constants cimport VTYPE_VILL
from vm_native.riscv.state cimport RiscvState
from vm_native.riscv.vector.operands cimport Vector, done


cdef bint is_legal(const RiscvState* state, uint64_t vtype) noexcept nogil:
    cdef int lmul = lmul_of(vtype)
    return vtype >> 8 == 0 and lmul > -4 and size_of(vtype) <= largest_element(state) + (lmul if lmul < 0 else 0)


cdef bint is_legal_type(const RiscvState* hart, const RiscvState* state) noexcept nogil:
    """Whether such a hart can have what the state has of these registers."""
    if not hart.vlenb or state.vtype == VTYPE_VILL:
        return state.vl == 0
    return is_legal(hart, state.vtype) and state.vl <= room(hart.vlenb, size_of(state.vtype), lmul_of(state.vtype))


cdef int run_configure(Vector* v) noexcept nogil:
    """vsetvli, vsetivli, vsetvl. With x0 twice vl stays; then the room for elements must, too, or vtype is illegal."""
    cdef uint64_t rd = v.word >> 7 & 31, rs1 = v.word >> 15 & 31
    cdef uint64_t vtype, before = 0 if v.hart.state.vtype & VTYPE_VILL else v.limit, limit, vl
    cdef bint immediate = v.word & IMMEDIATE_COUNT == IMMEDIATE_COUNT
    if immediate:
        vtype = v.word >> 20 & 0x3FF
    elif v.word & TYPE_IN_REGISTER:
        vtype = v.cpu.state.regs[v.word >> 20 & 31]
    else:
        vtype = v.word >> 20 & 0x7FF
    limit = room(v.hart.state.vlenb, size_of(vtype), lmul_of(vtype))
    if not is_legal(v.hart.state, vtype) or not immediate and not rd and not rs1 and limit != before:
        v.hart.state.vtype = VTYPE_VILL
        vl = 0
    else:
        v.hart.state.vtype = vtype
        if immediate:
            vl = min(rs1, limit)
        elif rs1:
            vl = min(v.cpu.state.regs[rs1], limit)
        else:
            vl = limit if rd else v.vl
    v.hart.state.vl = vl
    if rd:
        v.cpu.state.regs[rd] = vl
    return done(v)
