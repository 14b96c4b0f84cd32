# The Python face of the kernels, the same for every instruction set. `vm/copy.py` has the reference for users.
#
# Taking two buffers is most of the cost of a small copy, so it is done by hand: PyBUF_SIMPLE, no memoryview, no `try`;
# nothing can raise between taking a buffer and releasing it.
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release
from cpython.pycapsule cimport PyCapsule_New
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from vm_native.memory.copy.kernels cimport Kernels

cdef enum:
    GIL_SIZE = 1 << 18              # from here on a copy takes 10 us and more: let other threads run meanwhile
    SMALLEST_STREAM = 1 << 20       # calibration tries no less, and no copy below asks for it
    LARGEST_CALIBRATION = 1 << 25
    CALIBRATION_BYTES = 1 << 23     # to be copied at each size, more than once in any case

cdef Kernels table
table.copy = copy_bytes
table.move = move_bytes
table.stream = stream_bytes
table.fill = fill_bytes
table.stream_fill = stream_fill_bytes
table.compare = compare_bytes
kernels = PyCapsule_New(&table, "vm_native.memory.copy.kernels", NULL)

cdef extern from "Python.h":
    size_t NEVER "PY_SSIZE_T_MAX"
    int get_buffer "PyObject_GetBuffer"(object, Py_buffer*, int) noexcept       # its exception is looked at by hand

cdef size_t measured = 0            # what calibration found; 0: not yet done


# --- Calibration ------------------------------------------------------------------------------------------------------

cdef double seconds(void (*kernel)(char*, const char*, size_t) noexcept nogil, char* target, char* source,
                    size_t size) noexcept nogil:
    # The second of two copies: each kernel is to find the caches as it leaves them, not as its rival does.
    cdef timespec start, end
    kernel(target, source, size)
    clock_gettime(CLOCK_MONOTONIC, &start)
    kernel(target, source, size)
    clock_gettime(CLOCK_MONOTONIC, &end)
    return (end.tv_sec - start.tv_sec) + 1e-9 * (end.tv_nsec - start.tv_nsec)


cdef bint streaming_wins(char* target, char* source, size_t size) noexcept nogil:
    # By a tenth: a copy that stays in the caches is worth something to whoever reads it next.
    cdef double cached = seconds(copy_bytes, target, source, size)
    cdef double streamed = seconds(stream_bytes, target, source, size)
    cdef size_t i
    for i in range(1 + CALIBRATION_BYTES // size):
        cached = min(cached, seconds(copy_bytes, target, source, size))
        streamed = min(streamed, seconds(stream_bytes, target, source, size))
    return streamed * 1.1 < cached


cdef size_t calibrate() noexcept nogil:
    # The first of two powers of two in a row at which streaming wins: once may be noise. NEVER where there are none, or
    # no room to try.
    cdef size_t size = SMALLEST_STREAM
    cdef int wins = 0
    cdef char* room = <char*>mmap(NULL, 2 * LARGEST_CALIBRATION, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if room == MAP_FAILED:
        return NEVER
    fill_bytes(room + LARGEST_CALIBRATION, 1, LARGEST_CALIBRATION)      # untouched pages are all one page of zeros
    while size <= LARGEST_CALIBRATION and wins < 2:
        wins = wins + 1 if streaming_wins(room, room + LARGEST_CALIBRATION, size) else 0
        size *= 2
    munmap(room, 2 * LARGEST_CALIBRATION)
    return size >> 2 if wins == 2 else NEVER


cdef size_t streaming_threshold() noexcept nogil:
    global measured
    if measured == 0:
        measured = calibrate()
    return measured


# --- Buffers ----------------------------------------------------------------------------------------------------------

cdef int pending() except -1:
    # Raises the exception that is set already.
    return -1


cdef int refuse(str name, object buffer, bint write) except -1:
    # Objects say in very different words why they give no buffer.
    try:
        pending()
    except Exception as error:
        view = memoryview(buffer)           # a TypeError of its own for what has none
        if write and view.readonly:
            raise BufferError(f"{name}: the destination is read-only") from None
        if not view.c_contiguous:
            raise BufferError(f"{name}: a buffer is not contiguous") from None
        raise


cdef inline int take(str name, object buffer, Py_buffer* view, bint write) except -1:
    if get_buffer(buffer, view, PyBUF_WRITABLE if write else PyBUF_SIMPLE) < 0:
        return refuse(name, buffer, write)
    return 0


cdef int refuse_second(str name, object buffer, Py_buffer* first) except -1:
    try:
        return refuse(name, buffer, False)
    finally:
        PyBuffer_Release(first)


cdef int refuse_both(str problem, Py_buffer* to, Py_buffer* of) except -1:
    release_both(to, of)
    raise ValueError(problem)


cdef inline int take_both(str name, object target, object source, Py_buffer* to, Py_buffer* of,
                          bint write) except -1:
    take(name, target, to, write)
    if get_buffer(source, of, PyBUF_SIMPLE) < 0:
        return refuse_second(name, source, to)
    if to.len != of.len:
        return refuse_both(f"{name}: {to.len} bytes and {of.len} bytes; they must be of one length", to, of)
    return 0


cdef inline int take_apart(str name, object target, object source, Py_buffer* to, Py_buffer* of) except -1:
    take_both(name, target, source, to, of, True)
    if <char*>to.buf < <char*>of.buf + of.len and <char*>of.buf < <char*>to.buf + to.len:
        return refuse_both(f"{name}: the buffers overlap; use memmove", to, of)
    return 0


cdef inline void release_both(Py_buffer* to, Py_buffer* of):
    PyBuffer_Release(to)
    PyBuffer_Release(of)


cdef inline void run(void (*kernel)(char*, const char*, size_t) noexcept nogil, Py_buffer* to, Py_buffer* of):
    if to.len < GIL_SIZE:
        kernel(<char*>to.buf, <char*>of.buf, to.len)
    else:
        with nogil:
            kernel(<char*>to.buf, <char*>of.buf, to.len)


# --- The family -------------------------------------------------------------------------------------------------------

def memcpy_fast(dst, src, /):
    """Copy `src` into `dst` through the caches: for what is read again soon."""
    cdef Py_buffer to, of
    take_apart("memcpy_fast", dst, src, &to, &of)
    run(copy_bytes, &to, &of)
    release_both(&to, &of)


def memcpy_adaptive(dst, src, /):
    """Copy `src` into `dst`, past the caches from `adaptive_threshold()` bytes on.

    The first call with 1 MiB or more takes a tenth of a second longer: it measures the threshold.
    """
    cdef Py_buffer to, of
    take_apart("memcpy_adaptive", dst, src, &to, &of)
    if to.len < SMALLEST_STREAM or <size_t>to.len < streaming_threshold():
        run(copy_bytes, &to, &of)
    else:
        run(stream_bytes, &to, &of)
    release_both(&to, &of)


def memcpy_adaptive_with_threshold(dst, src, Py_ssize_t threshold, /):
    """Copy `src` into `dst`, past the caches from `threshold` bytes on."""
    cdef Py_buffer to, of
    if threshold < 0:
        raise ValueError(f"memcpy_adaptive_with_threshold: the threshold is {threshold}; it must not be negative")
    take_apart("memcpy_adaptive_with_threshold", dst, src, &to, &of)
    run(copy_bytes if to.len < threshold else stream_bytes, &to, &of)
    release_both(&to, &of)


def memmove(dst, src, /):
    """Copy `src` into `dst` as if by way of a third place: the two may overlap."""
    cdef Py_buffer to, of
    take_both("memmove", dst, src, &to, &of, True)
    run(move_bytes, &to, &of)
    release_both(&to, &of)


def fill(dst, int value, /):
    """Set every byte of `dst` to `value` (0 to 255)."""
    cdef Py_buffer to
    if not 0 <= value <= 255:
        raise ValueError(f"fill: {value} is not a byte")
    take("fill", dst, &to, True)
    if to.len < GIL_SIZE:
        fill_bytes(<char*>to.buf, value, to.len)
    else:
        with nogil:
            # half the memory of a copy is at stake, so twice its size fits in the caches
            if to.len < 2 * SMALLEST_STREAM or <size_t>to.len // 2 < streaming_threshold():
                fill_bytes(<char*>to.buf, value, to.len)
            else:
                stream_fill_bytes(<char*>to.buf, value, to.len)
    PyBuffer_Release(&to)


def compare(a, b, /):
    """The offset of the first byte in which `a` and `b` differ, None where they are equal."""
    cdef Py_buffer left, right
    cdef size_t at
    take_both("compare", a, b, &left, &right, False)
    if left.len < GIL_SIZE:
        at = compare_bytes(<char*>left.buf, <char*>right.buf, left.len)
    else:
        with nogil:
            at = compare_bytes(<char*>left.buf, <char*>right.buf, left.len)
    cdef bint same = at == <size_t>left.len
    release_both(&left, &right)
    return None if same else at


def adaptive_threshold():
    """From how many bytes on a copy past the caches is faster on this machine; `sys.maxsize` for never.

    Measured once a process, with copies of 1 to 32 MiB, which takes a tenth of a second.
    """
    cdef size_t found
    with nogil:
        found = streaming_threshold()
    return found
