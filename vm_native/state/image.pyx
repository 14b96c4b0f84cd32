"""Images of RAM that never change: what regions map privately, and whose pages the host has once for all of them."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy
from posix.mman cimport (
    MAP_FAILED, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap as c_mmap, munmap,
)
from posix.unistd cimport close, lseek
from vm_native.memory.ram cimport PAGE_SHIFT, PAGE_SIZE
from vm_native.state.collector cimport Garbage, give_away

from vm_native.descriptors import memory_file

cdef extern from "<unistd.h>" nogil:
    enum: SEEK_DATA
    enum: SEEK_HOLE

cdef extern from *:
    """
    /* Who finds a page not missing, without the GIL, finds its bytes. */
    static inline void vm_store_release(unsigned char *place, unsigned char value) {
        __atomic_store_n(place, value, __ATOMIC_RELEASE);
    }
    """
    void store_release "vm_store_release"(uint8_t* place, uint8_t value) noexcept nogil

cdef struct Mapping:        # what an image was
    Garbage garbage         # first
    int descriptor
    uint64_t size
    uint8_t* host
    uint8_t* missing


cdef void dispose_mapping(Garbage* garbage) noexcept nogil:
    cdef Mapping* mapping = <Mapping*>garbage
    if mapping.host != NULL:
        munmap(mapping.host, mapping.size)
    close(mapping.descriptor)
    free(mapping.missing)
    free(mapping)


cdef class RamImage:
    """An image of `size` bytes. Of pages that are marked in `missing` (bytes, one a page) `load(page)` gives the bytes.

    `load` returns (number of the first page, bytes of whole pages), the page that was asked for among them, and is
    called when one of them is first looked at. Raises MemoryError if the host has no room.
    """

    def __cinit__(self):
        self.descriptor = -1

    def __init__(self, uint64_t size, bytes missing not None, load not None):
        if size == 0 or size % PAGE_SIZE or <uint64_t>len(missing) != size >> PAGE_SHIFT:
            raise ValueError(f"an image of {size} bytes with {len(missing)} pages")
        self.load = load
        self.missing = <uint8_t*>malloc(len(missing))
        if self.missing == NULL:
            raise MemoryError("no room for the page map of an image of RAM")
        memcpy(self.missing, <const char*>missing, len(missing))
        self.descriptor = memory_file(size)
        self.map_whole(size)

    def __dealloc__(self):
        cdef Mapping* mapping
        if self.descriptor < 0:
            free(self.missing)
            return
        mapping = <Mapping*>calloc(1, sizeof(Mapping))
        if mapping == NULL:                 # no room even to free
            return
        mapping.garbage.dispose = dispose_mapping
        mapping.descriptor, mapping.size = self.descriptor, self.size
        mapping.host, mapping.missing = self.host, self.missing
        give_away(&mapping.garbage)

    cdef int map_whole(self, uint64_t size) except -1:
        """Let `host` be all of the memfd."""
        cdef void* address = c_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, self.descriptor, 0)
        self.size = size
        if address == MAP_FAILED:
            raise MemoryError(f"the host does not map {size} bytes of guest RAM")
        self.host = <uint8_t*>address
        return 0

    cdef int map_over(self, uint8_t* host) except -1:
        """Let `size` bytes at a host address be a private view of the image."""
        cdef int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE
        if c_mmap(host, self.size, PROT_READ | PROT_WRITE, flags, self.descriptor, 0) == MAP_FAILED:
            raise MemoryError(f"the host does not map {self.size} bytes of guest RAM")
        return 0

    cdef int fill(self, uint64_t page) except -1:
        """Load a page that is missing, and what comes with it. Raises what `load` raises."""
        cdef Py_buffer source
        cdef uint64_t first, i
        if self.missing == NULL or not self.missing[page]:
            return 0
        start, data = self.load(page)
        first = start
        PyObject_GetBuffer(data, &source, PyBUF_SIMPLE)
        try:
            if not first <= page < first + (<uint64_t>source.len >> PAGE_SHIFT):
                raise ValueError(f"page {page} is not among the {source.len} bytes that were loaded from {first} on")
            for i in range(min(<uint64_t>source.len >> PAGE_SHIFT, (self.size >> PAGE_SHIFT) - first)):
                if self.missing[first + i]:
                    memcpy(self.host + (first + i << PAGE_SHIFT), <uint8_t*>source.buf + (i << PAGE_SHIFT), PAGE_SIZE)
                    store_release(&self.missing[first + i], 0)
        finally:
            PyBuffer_Release(&source)
        return 0

    def touched(self):
        """One byte a page, a bytearray: 0 where the page was never written, and reads as zeroes."""
        cdef bytearray pages = bytearray(self.size >> PAGE_SHIFT)
        cdef uint8_t* page = pages
        cdef int64_t start = 0, end
        cdef uint64_t i
        while True:
            start = lseek(self.descriptor, start, SEEK_DATA)
            if start < 0 or <uint64_t>start >= self.size:
                break
            end = lseek(self.descriptor, start, SEEK_HOLE)
            for i in range(<uint64_t>start >> PAGE_SHIFT, <uint64_t>end >> PAGE_SHIFT):
                page[i] = 1
            start = end
        if self.missing != NULL:
            for i in range(self.size >> PAGE_SHIFT):
                page[i] |= self.missing[i]
        return pages


cdef RamImage image_of(int descriptor, uint64_t size):
    """The image that a memfd is, which nobody writes to from now on; it closes the descriptor. Raises MemoryError."""
    cdef RamImage image = RamImage.__new__(RamImage)
    image.descriptor = descriptor
    image.map_whole(size)
    return image
