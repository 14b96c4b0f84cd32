# What a region of RAM holds at one moment: an image, and copies of the pages in which it differs from that.
from libc.stdint cimport uint8_t, uint64_t
from vm_native.machine cimport Machine
from vm_native.memory.ram cimport Ram
from vm_native.state.image cimport RamImage
from vm_native.state.pages cimport PageTable

cdef struct Pages:          # of a RegionContent, for those who have no GIL
    PageTable* table
    uint8_t* image
    uint8_t* missing        # in the image
    void* owner             # the RegionContent (borrowed)

cdef class RegionContent:
    cdef RamImage image
    cdef Pages pages
    cdef readonly uint64_t base
    cdef readonly uint64_t size

    cdef int set_pages(self, RamImage image, uint64_t base, PageTable* table) except -1
    cdef int load(self, uint64_t page) except -1

cdef RegionContent capture_region(Ram ram)
cdef int prepare_restore(Machine* machine, Ram ram, RegionContent target) except -1
cdef void restore_region(Machine* machine, Ram ram, RegionContent target) except *
