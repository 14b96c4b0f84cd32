# Signal handlers written in Python, put off while something is half done.
from libc.stdint cimport uint64_t

cdef class Deferral:
    cdef object owner           # whose work is not to be interrupted; None: handlers are as they were
    cdef dict handlers          # what was put off: (handler, whether system calls restart), by signal
    cdef dict waiting           # when a signal came (host ns), by signal
    cdef object thread          # the main thread's id, in which Python runs handlers
    cdef bint insisting         # a thread sees to it that no signal waits for long

    cdef int begin(self, owner) except -1
    cdef int end(self) except -1
    cdef object put_back(self)

cdef int put_off_handlers(owner) except -1
cdef int release_handlers(owner) except -1
cdef bint signal_waits() noexcept nogil
