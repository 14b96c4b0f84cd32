# vtype, and how many elements there are.
from libc.stdint cimport uint64_t
from vm_native.riscv.constants cimport FEATURE_ZVE64X
from vm_native.riscv.state cimport RiscvState
from vm_native.riscv.vector.operands cimport Vector

cdef inline int size_of(uint64_t vtype) noexcept nogil:
    # log2 of the bytes of an element.
    return <int>(vtype >> 3 & 7)

cdef inline int lmul_of(uint64_t vtype) noexcept nogil:
    # log2 of how many registers a group has.
    return <int>(vtype & 3) - 4 * <int>(vtype >> 2 & 1)

cdef inline uint64_t room(uint64_t vlenb, int size, int lmul) noexcept nogil:
    # Elements in a group.
    return vlenb << (lmul - size) if lmul > size else vlenb >> (size - lmul)

cdef enum:
    IMMEDIATE_COUNT = 0xC0000000U   # bits of vsetivli
    TYPE_IN_REGISTER = 0x80000000U  # of vsetvl

cdef inline int largest_element(const RiscvState* state) noexcept nogil:
    return 3 if state.features & FEATURE_ZVE64X else 2

cdef bint is_legal(const RiscvState* state, uint64_t vtype) noexcept nogil
cdef bint is_legal_type(const RiscvState* hart, const RiscvState* state) noexcept nogil
cdef int run_configure(Vector* v) noexcept nogil
