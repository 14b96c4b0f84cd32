"""Who has stored to a line of RAM since somebody reserved it, where harts have threads.

A store-conditional must fail if another hart has stored to the reserved bytes, also the same value, or another and then
the first again: to compare what is there is not enough (unprivileged specification, section 13.2, and the axiom of
atomicity of RVWMO). So each line of 64 bytes has a *mark*, in a table by its address; some lines share one, and a
store-conditional that fails for another line's sake has failed as it may.

- A plain store writes the hart's own mark first, which costs no lock, and four instructions of compiled code for each
  line that it may lie in. The host does stores in order, so who sees the value sees the mark.
- A load-reserved leaves a ticket, an odd number that never comes again, or takes the one that it finds: until somebody
  stores, all who have reserved the line have the same. Then it loads.
- A store-conditional succeeds if its ticket is still there and memory holds what was loaded, and takes the ticket away.
- Tickets, store-conditionals and all other atomic operations on a line exclude each other.

A store whose mark came before the ticket counts as one before the load-reserved: it stored what that has loaded, or the
comparison tells. What goes unnoticed is a plain store of just the value that is there, if it falls between the look at
the ticket and the exchange, some instructions of the host's.

Compiled code does the same in line (jit/x86_64/atomics.pyx), as long as no other hart holds the line.
"""
from libc.stdint cimport uint64_t
from vm_native.checks cimport static_assert
from vm_native.memory.zeroed cimport map_below_2_gib, unmap_zeroed

cdef extern from *:
    """
    #include <sched.h>
    static inline void vm_hold(unsigned long long *held) {
        for (int turns = 0; __atomic_exchange_n(held, 1, __ATOMIC_SEQ_CST); turns++) {
            if (turns < 100)
                __builtin_ia32_pause();
            else
                sched_yield();          /* who holds it may be waiting for this processor */
        }
    }
    #define vm_let_go(held) __atomic_exchange_n(held, 0, __ATOMIC_SEQ_CST)
    """
    void hold "vm_hold"(uint64_t* held) noexcept nogil
    uint64_t let_go "vm_let_go"(uint64_t* held) noexcept nogil


cdef LineMark* map_marks() noexcept nogil:
    """All even, and below 2 GiB: an instruction of compiled code has room for such an address. NULL: there are none."""
    static_assert(sizeof(LineMark) == 1 << LOG2_MARK)
    return <LineMark*>map_below_2_gib(MARKS * sizeof(LineMark))


cdef void unmap_marks(LineMark* marks) noexcept nogil:
    unmap_zeroed(marks, MARKS * sizeof(LineMark))


cdef LineMark* hold_line(LineMark* marks, uint64_t host) noexcept nogil:
    """Until `let_go_of_line` no other hart is in an atomic operation on the line."""
    cdef LineMark* line = mark_of(marks, host)
    hold(&line.held)
    return line


cdef void let_go_of_line(LineMark* line) noexcept nogil:
    """What was done is seen before what is loaded from here on."""
    let_go(&line.held)


cdef void announce_stores(LineMark* marks, uint64_t host, uint64_t size, uint64_t own) noexcept nogil:
    """The same of stores to several lines."""
    cdef uint64_t line
    for line in range(host >> LINE_SHIFT, (host + size - 1 >> LINE_SHIFT) + 1):
        announce_store(marks, line << LINE_SHIFT, own)
