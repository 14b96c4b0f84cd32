"""Guest RAM: one mapping per region, with a dirty map and a code map of one byte a page.

It is of a memfd of its own until the first snapshot. That takes the memfd over as it is, and the region becomes a
private mapping of it: the host copies a page when it is first written to, and forks map the same memfd
(vm_native.state). Pages that are not in the memfd are absent: fetched when somebody first looks at them.
"""
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from posix.mman cimport MAP_FAILED, MAP_NORESERVE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap as c_mmap, munmap
from posix.unistd cimport close
from vm_native.memory.zeroed cimport map_zeroed, unmap_zeroed

from vm_native.descriptors import memory_file


cdef enum:
    BYTES_OF_MAPS = sizeof(uint32_t) + 2    # a page: its place in the list of dirty ones, the dirty and the code map

PAGE_BYTES = PAGE_SIZE      # for Python


cdef enum:
    MOST_STRETCHES = 8192       # of all regions; each may cost two of the 65,530 mappings that a process can have

cdef uint32_t stretches = 0


cdef bint take_stretch(RamRegion* region) noexcept:
    """Whether one more stretch of a region that maps an image may be mapped for itself."""
    global stretches
    if stretches == MOST_STRETCHES:
        return False
    stretches += 1
    region.stretches += 1
    return True


cdef void return_stretches(RamRegion* region) noexcept:
    """They are no more: all of the region is mapped anew, or nothing."""
    global stretches
    stretches -= region.stretches
    region.stretches = 0


cdef class Ram:
    """A region of guest RAM: `size` bytes of zeroes at guest physical address `base`. `rom`: harts cannot store to it.

    The buffer protocol gives a read-only, zero-copy view; who writes goes through the bus, which keeps the maps true.
    Raises ValueError for a size that is not a positive multiple of 4096, MemoryError if the host has no room. `close`
    gives the host everything back, but for bytes that a view still shows: those go with the last view.
    """

    def __cinit__(self, uint64_t base, uint64_t size, *, bint rom=False):
        self.descriptor = -1
        if size == 0 or size % PAGE_SIZE or base % PAGE_SIZE:
            raise ValueError(f"RAM at {base:#x} of {size:#x} bytes: base and size must be multiples of {PAGE_SIZE}")
        self.region.base = base
        self.region.size = size
        self.region.rom = rom
        self.region.most_dirty = ~<uint64_t>0
        self.region.host = NULL
        self.region.owner = <void*>self
        cdef uint64_t count = size >> PAGE_SHIFT
        self.region.dirty_pages = <uint32_t*>map_zeroed(count * BYTES_OF_MAPS)
        if self.region.dirty_pages == NULL:
            raise MemoryError(f"no room for the page maps of {size} bytes of guest RAM")
        self.region.dirty = <uint8_t*>(self.region.dirty_pages + count)
        self.region.code = <SharedByte*>(self.region.dirty + count)
        self.descriptor = memory_file(size)
        cdef void* host = c_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, self.descriptor, 0)
        if host == MAP_FAILED:
            raise MemoryError(f"the host does not map {size} bytes of guest RAM")
        self.region.host = <uint8_t*>host

    def __dealloc__(self):
        self.exports = 0
        self.close()

    def close(self):
        """Give back what the host lent. No new views from now on; nothing may look at the region any more."""
        self.closed = True
        if self.descriptor >= 0:
            close(self.descriptor)
        self.descriptor = -1
        unmap_zeroed(self.region.dirty_pages, (self.region.size >> PAGE_SHIFT) * BYTES_OF_MAPS)
        unmap_zeroed(self.region.absent, self.region.size >> PAGE_SHIFT)
        self.region.dirty = self.region.absent = NULL
        self.region.code = NULL
        self.region.dirty_pages = NULL
        self.region.dirty_count = 0
        self.region.content = NULL
        self.content = None
        self.unmap_unless_seen()

    cdef void unmap_unless_seen(self) noexcept:
        if self.closed and self.exports == 0 and self.region.host != NULL:
            munmap(self.region.host, self.region.size)
            self.region.host = NULL
            return_stretches(&self.region)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        if self.closed:
            raise BufferError("this RAM is closed")
        PyBuffer_FillInfo(buffer, self, self.region.host, <Py_ssize_t>self.region.size, 1, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer* buffer):
        self.exports -= 1
        self.unmap_unless_seen()

    def writable(self):
        """A `WritableRam` over the whole region, for whoever keeps the maps true (`NativeMachine.invalidate`)."""
        return WritableRam(self)

    @property
    def base(self):
        """Guest physical address of the first byte."""
        return self.region.base

    @property
    def size(self):
        """Bytes."""
        return self.region.size

    @property
    def rom(self):
        """Whether harts cannot store to it."""
        return self.region.rom

    cdef int require(self, uint64_t offset, uint64_t size) except -1:
        """Fetch what is absent of [offset, offset + size). Raises what fetching raises."""
        cdef uint64_t page
        if self.region.absent != NULL and size:
            for page in range(offset >> PAGE_SHIFT, (offset + size - 1 >> PAGE_SHIFT) + 1):
                if not make_present(&self.region, page):
                    failure, self.failure = self.failure, None
                    raise failure
        return 0

    def view(self, uint64_t offset, uint64_t size):
        """A read-only memoryview of [offset, offset + size), zero-copy. Raises what fetching an absent page raises."""
        if not self.closed:
            self.require(offset, size)
        return memoryview(self)[offset:offset + size]

    def dirty_pages(self):
        """One byte a page, bytes: 1 where the page has been written since the last snapshot or restore."""
        if self.closed:
            raise ValueError("this RAM is closed")
        return (<char*>self.region.dirty)[:self.region.size >> PAGE_SHIFT]


cdef class WritableRam:
    """A writable buffer over a region that knows how many views of it are alive, slices of views included."""

    def __init__(self, Ram ram not None):
        self.ram = ram

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        if self.ram.closed:
            raise BufferError("this RAM is closed")
        PyBuffer_FillInfo(buffer, self, self.ram.region.host, <Py_ssize_t>self.ram.region.size, 0, flags)
        self.exports += 1
        self.ram.exports += 1

    def __releasebuffer__(self, Py_buffer* buffer):
        self.exports -= 1
        self.ram.exports -= 1
        self.ram.unmap_unless_seen()
