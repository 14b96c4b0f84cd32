# The guest physical address map: RAM by arithmetic, everything else by dispatch into Python devices.
from libc.stdint cimport uint64_t
from vm_native.memory.ram cimport RamRegion

cdef enum:
    MAX_RAM_REGIONS = 64
    LOG2_ANSWERS = 6
    ANSWERS = 1 << LOG2_ANSWERS

cdef enum BusStatus:
    BUS_OK = 0
    BUS_FAULT = 1           # nobody answers at this address
    BUS_RAISED = 2          # a device raised; the exception is stashed and the access has not happened

cdef enum AnswerKind:       # what an access does, as the device says
    ANSWER_UNKNOWN = 0      # nobody has asked
    ANSWER_UNSTEADY         # it may change what any register of any device reads as
    ANSWER_STEADY           # it changes nothing, unless the device says so; a read gives the same until something does
    ANSWER_TIMEBASE         # it reads the timebase

cdef struct Answer:         # an access to a device
    uint64_t key            # see `answer_key`; 0: none
    AnswerKind kind
    uint64_t epoch          # a read can be answered as long as this is the map's
    uint64_t value          # with this, where it is steady

cdef struct AddressMap:
    int region_count
    RamRegion* regions[MAX_RAM_REGIONS]
    void* bus               # the Bus that owns this map (borrowed)
    uint64_t epoch          # counted on whenever something may have changed that a device shows; from 1
    Answer answers[2][ANSWERS]  # of reads, and what is known of writes; by a hash of the key

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

cdef inline uint64_t share_of_ram(
    const AddressMap* map, uint64_t divisor, uint64_t least, uint64_t most
) noexcept nogil:
    # How much of the host's memory something may take that is the larger, the more RAM there is.
    cdef uint64_t size = 0
    cdef int i
    for i in range(map.region_count):
        size += map.regions[i].size
    return min(max(size // divisor, least), most)

cdef inline uint64_t answer_key(uint64_t physical, int size) noexcept nogil:
    return physical << 4 | <uint64_t>size

cdef inline Answer* answer_at(AddressMap* map, uint64_t key, bint writes) noexcept nogil:
    # The only one that may be of this key.
    return &map.answers[writes][key * 0x9E3779B97F4A7C15ULL >> 64 - LOG2_ANSWERS]

cdef inline Answer* find_answer(AddressMap* map, uint64_t physical, int size) noexcept nogil:
    # What to answer a read with; NULL: the device is to be asked.
    cdef uint64_t key = answer_key(physical, size)
    cdef Answer* answer = answer_at(map, key, False)
    return answer if answer.key == key and answer.epoch == map.epoch else NULL

cdef inline void forget_answers(AddressMap* map) noexcept nogil:
    # Whenever Python may have been at work that is no access to a device.
    map.epoch += 1

cdef void stash_failure(AddressMap* map, RamRegion* region) noexcept nogil
cdef int device_read(AddressMap* map, uint64_t physical, int size, uint64_t* value) noexcept nogil
cdef int device_write(AddressMap* map, uint64_t physical, int size, uint64_t value) noexcept nogil

cdef class Window:
    cdef uint64_t base
    cdef uint64_t end
    cdef object device
    cdef object read        # its bound methods
    cdef object write
    cdef object steady      # its SteadyAccesses, or None
    cdef uint64_t load(self, uint64_t offset, int size) except? 0
    cdef uint64_t checked(self, uint64_t offset, int size, object value) except? 0
    cdef AnswerKind kind_of(self, uint64_t offset, int size, bint writes) except *

cdef class Bus:
    cdef AddressMap map
    cdef list regions       # Ram, keeps the regions alive
    cdef list windows       # of Window, sorted by base
    cdef public object pending_exception
    cdef list later_exceptions      # of harts in threads that raised in the same round
    cdef readonly object clock      # of the machine, whose timebase a register may be
    cdef readonly bint answering
    cdef list methods       # of registers: what is called for the access of the same place in map.answers; or None
    cdef bint handlers_wait     # what Python does for the machine is not interrupted by signal handlers
    cdef int _refuse_overlap(self, uint64_t base, uint64_t end) except -1
    cdef RamRegion* region_of(self, object address, object size) except? NULL
    cdef Py_ssize_t windows_until(self, uint64_t address)
    cdef Window find_window(self, uint64_t physical, int size)
    cdef Window window_for(self, uint64_t base, uint64_t end, object device)
    cdef Answer* about_to_access(self, Window window, uint64_t physical, int size, bint writes) except NULL
    cdef object method_of(self, Answer* answer)
    cdef uint64_t load_for_guest(self, Window window, uint64_t physical, int size) except? 0
    cdef int store_for_guest(self, Window window, uint64_t physical, int size, uint64_t value) except -1
    cdef void keep(self, error) noexcept
    cdef bint has_raised(self) noexcept
    cdef int put_off_handlers(self) except -1
    cdef int release_handlers(self) except -1
