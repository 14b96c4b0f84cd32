# Vector instructions on masks, and those that move elements: one function for each of their shapes.
from vm_native.riscv.vector.operands cimport Vector

cdef int run_logic(Vector* v) noexcept nogil
cdef int run_count(Vector* v) noexcept nogil
cdef int run_find(Vector* v) noexcept nogil
cdef int run_until(Vector* v) noexcept nogil
cdef int run_iota(Vector* v) noexcept nogil
cdef int run_index(Vector* v) noexcept nogil
cdef int run_take(Vector* v) noexcept nogil
cdef int run_take_float(Vector* v) noexcept nogil
cdef int run_give(Vector* v) noexcept nogil
cdef int run_slide_up(Vector* v) noexcept nogil
cdef int run_slide_down(Vector* v) noexcept nogil
cdef int run_slide_up_one(Vector* v) noexcept nogil
cdef int run_slide_down_one(Vector* v) noexcept nogil
cdef int run_gather(Vector* v) noexcept nogil
cdef int run_compress(Vector* v) noexcept nogil
cdef int run_move_whole(Vector* v) noexcept nogil
