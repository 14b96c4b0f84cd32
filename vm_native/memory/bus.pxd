# The guest physical address map: RAM by arithmetic, everything else by dispatch into Python devices.
from libc.stdint cimport uint64_t
from vm_native.memory.ram cimport RamRegion

cdef enum:
    MAX_RAM_REGIONS = 64

cdef enum BusStatus:
    BUS_OK = 0
    BUS_FAULT = 1           # nobody answers at this address
    BUS_RAISED = 2          # a device raised; the exception is stashed and the access has not happened

cdef struct AddressMap:
    int region_count
    RamRegion* regions[MAX_RAM_REGIONS]
    void* bus               # the Bus that owns this map (borrowed)

cdef inline RamRegion* ram_at(AddressMap* map, uint64_t physical, uint64_t size) noexcept nogil:
    # The region that holds all of [physical, physical + size), or NULL.
    cdef int i
    cdef uint64_t offset
    for i in range(map.region_count):
        offset = physical - map.regions[i].base
        if offset < map.regions[i].size:
            return map.regions[i] if size <= map.regions[i].size - offset else NULL
    return NULL

cdef inline uint64_t physical_of(AddressMap* map, uint64_t host) noexcept nogil:
    # The guest physical address of a byte of RAM, by where the host has it.
    cdef int i
    cdef uint64_t offset
    for i in range(map.region_count):
        offset = host - <uint64_t>map.regions[i].host
        if offset < map.regions[i].size:
            return map.regions[i].base + offset
    return 0

cdef void stash_failure(AddressMap* map, RamRegion* region) noexcept nogil
cdef int device_read(AddressMap* map, uint64_t physical, int size, uint64_t* value) noexcept nogil
cdef int device_write(AddressMap* map, uint64_t physical, int size, uint64_t value) noexcept nogil

cdef class Window:
    cdef uint64_t base
    cdef uint64_t end
    cdef object device
    cdef object read        # its bound methods
    cdef object write
    cdef uint64_t load(self, uint64_t offset, int size) except? 0

cdef class Bus:
    cdef AddressMap map
    cdef list regions       # Ram, keeps the regions alive
    cdef list windows       # of Window, sorted by base
    cdef public object pending_exception
    cdef bint handlers_wait     # what Python does for the machine is not interrupted by signal handlers
    cdef int _refuse_overlap(self, uint64_t base, uint64_t end) except -1
    cdef Py_ssize_t windows_until(self, uint64_t address)
    cdef Window find_window(self, uint64_t physical, int size)
    cdef int put_off_handlers(self) except -1
    cdef int release_handlers(self) except -1
