"""Times two implementations of the memcpy family side by side, without Python in between.

`byte_loop` is the baseline of the copies: one byte a turn, kept so by the flags that setup.py compiles this with.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from vm_native.memory.copy.kernels cimport Kernels

ctypedef void (*Copy)(char*, const char*, size_t) noexcept nogil


cdef void loop_copy(char* target, const char* source, size_t size) noexcept nogil:
    cdef size_t i
    for i in range(size):
        target[i] = source[i]


cdef Kernels table
table.copy = table.move = table.stream = loop_copy
byte_loop = PyCapsule_New(&table, "vm_native.memory.copy.kernels", NULL)


cdef Copy kernel_named(tuple choice) except NULL:
    kernels, name = choice
    cdef Kernels* found = <Kernels*>PyCapsule_GetPointer(kernels, "vm_native.memory.copy.kernels")
    if name == "copy":
        return found.copy
    if name == "move":
        return found.move
    if name == "stream":
        return found.stream
    raise ValueError(f"no kernel is called {name!r}")


cdef double seconds(Copy kernel, char* target, char* source, size_t size, long calls) noexcept nogil:
    cdef timespec start, end
    cdef long _
    clock_gettime(CLOCK_MONOTONIC, &start)
    for _ in range(calls):
        kernel(target, source, size)
    clock_gettime(CLOCK_MONOTONIC, &end)
    return ((end.tv_sec - start.tv_sec) + 1e-9 * (end.tv_nsec - start.tv_nsec)) / calls


def paired(first, second, target, source, long calls, int rounds):
    """Seconds per copy with the first and with the second of two (kernels, name), `rounds` pairs of them.

    `name` is copy, move or stream. Each side makes `calls` calls in a row; who begins changes from pair to pair.
    """
    cdef Copy a = kernel_named(first)
    cdef Copy b = kernel_named(second)
    cdef Py_buffer to, of
    cdef double one, other
    cdef int i
    pairs = []
    PyObject_GetBuffer(target, &to, PyBUF_WRITABLE)
    try:
        PyObject_GetBuffer(source, &of, PyBUF_SIMPLE)
        try:
            if to.len != of.len:
                raise ValueError(f"{to.len} bytes and {of.len} bytes; they must be of one length")
            for i in range(rounds):
                with nogil:
                    if i & 1:
                        one = seconds(a, <char*>to.buf, <char*>of.buf, to.len, calls)
                        other = seconds(b, <char*>to.buf, <char*>of.buf, to.len, calls)
                    else:
                        other = seconds(b, <char*>to.buf, <char*>of.buf, to.len, calls)
                        one = seconds(a, <char*>to.buf, <char*>of.buf, to.len, calls)
                pairs.append((one, other))
        finally:
            PyBuffer_Release(&of)
    finally:
        PyBuffer_Release(&to)
    return pairs
