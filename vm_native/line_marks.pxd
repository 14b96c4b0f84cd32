# Who has stored to a line of RAM since somebody reserved it, where harts have threads.
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    /* The mark is there before what is stored: the host keeps stores in order, and so shall the C compiler. */
    #define vm_put_mark(place, value) do { __atomic_store_n(place, value, __ATOMIC_RELAXED); \\
                                           __asm__ volatile("" ::: "memory"); } while (0)
    """
    void put_mark "vm_put_mark"(uint64_t* place, uint64_t value) noexcept nogil

cdef enum:
    LINE_SHIFT = 6
    MARK_BITS = 16          # lines that are 4 MiB apart have a mark together
    MARKS = 1 << MARK_BITS
    LOG2_MARK = 4           # bytes of one

cdef struct LineMark:
    uint64_t mark           # even: of who has stored last; odd: the ticket of those who have reserved it since
    uint64_t held           # a hart is in the middle of an atomic operation on the line

cdef inline LineMark* mark_of(LineMark* marks, uint64_t host) noexcept nogil:
    return &marks[host >> LINE_SHIFT & (MARKS - 1)]

cdef inline void announce_store(LineMark* marks, uint64_t host, uint64_t own) noexcept nogil:
    # A store to this place is about to be done, of one line; `own` is even, and nobody else's.
    put_mark(&mark_of(marks, host).mark, own)

cdef LineMark* map_marks() noexcept nogil
cdef void unmap_marks(LineMark* marks) noexcept nogil
cdef LineMark* hold_line(LineMark* marks, uint64_t host) noexcept nogil
cdef void let_go_of_line(LineMark* line) noexcept nogil
cdef void announce_stores(LineMark* marks, uint64_t host, uint64_t size, uint64_t own) noexcept nogil
