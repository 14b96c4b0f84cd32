# What nobody holds any more is freed by a thread of its own, beside the machines that run.

cdef struct Garbage:        # the head of what can be given away
    Garbage* next
    void (*dispose)(Garbage* garbage) noexcept nogil

cdef void give_away(Garbage* garbage) noexcept nogil
