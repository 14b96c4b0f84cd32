# Guest RAM as the engines see it.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from vm_native.unlocked cimport SharedByte, peek, peek8

cdef enum:
    PAGE_SHIFT = 12
    PAGE_SIZE = 1 << PAGE_SHIFT
    PAGE_OFFSET = PAGE_SIZE - 1     # the bits of an address below its page
    PAGE_MASK = ~PAGE_OFFSET        # those of the page; negative, so that it is as wide as what it is used with

cdef enum PageCode:         # bits of the code map
    HAS_CODE = 1            # translated: stores into the page are compared with the translated ranges
    WATCHED_READS = 2       # somebody waits for loads from the page: never cached, neither for reading nor for writing
    WATCHED_WRITES = 4      # somebody waits for stores into the page: never cached for writing

cdef struct RamRegion:
    uint64_t base           # guest physical address of the first byte
    uint64_t size           # bytes, a multiple of the page size
    uint8_t* host           # host address of the first byte
    uint8_t* dirty          # one byte per page: written since the last snapshot or restore, or since power-on
    uint32_t* dirty_pages   # the numbers of these pages, in the order in which they were written first
    uint64_t dirty_count
    uint64_t most_dirty     # harts write to no more pages than so many: the run ends before the store; all ones: to all
    SharedByte* code        # one byte per page: PageCode bits; not 0 forbids write tags without BESIDE_CODE
    uint8_t* absent         # one byte per page: its bytes are still where `fetch` finds them; NULL: none is
    uint64_t present        # of its pages, those before this one are there
    bint (*fetch)(RamRegion* region, uint64_t page) noexcept nogil   # false: `Ram.failure` says why it cannot be had
    void* content           # for `fetch`
    uint32_t stretches      # of the host's pages that were mapped anew, as they were given back, since it maps an image
    void* owner             # the Ram (borrowed)
    bint rom                # stores of harts are access faults

cdef extern from *:
    """
    #define vm_mark(place) __atomic_exchange_n(place, 1, __ATOMIC_SEQ_CST)
    #define vm_next(count) __atomic_fetch_add(count, 1, __ATOMIC_SEQ_CST)
    """
    uint8_t mark "vm_mark"(uint8_t* place) noexcept nogil
    uint64_t next_place "vm_next"(uint64_t* count) noexcept nogil

cdef inline void mark_dirty(RamRegion* region, uint64_t page) noexcept nogil:
    # The page is written to, now or by whoever has a write tag for it from now on. Harts may do that at the same time.
    if not peek8(&region.dirty[page]) and not mark(&region.dirty[page]):
        region.dirty_pages[next_place(&region.dirty_count)] = <uint32_t>page

cdef inline bint is_used_up(const RamRegion* region, uint64_t page) noexcept nogil:
    # Whether a hart may not write to this page, as that would be one too many.
    return peek(&region.dirty_count) >= region.most_dirty and not peek8(&region.dirty[page])

cdef inline bint all_present(RamRegion* region) noexcept nogil:
    # Asked again and again, it looks at each page once.
    if region.absent == NULL:
        return True
    while region.present < region.size >> PAGE_SHIFT and not region.absent[region.present]:
        region.present += 1
    return region.present == region.size >> PAGE_SHIFT

cdef inline bint make_present(RamRegion* region, uint64_t page) noexcept nogil:
    # To be called before the bytes of a page are looked at, or changed in part, but by an engine that has a tag for it.
    return region.absent == NULL or not region.absent[page] or region.fetch(region, page)

cdef bint take_stretch(RamRegion* region) noexcept
cdef void return_stretches(RamRegion* region) noexcept

cdef class Ram:
    cdef RamRegion region
    cdef int descriptor         # of a memfd, mapped shared; -1 where the mapping is a private one of `content`
    cdef object content         # vm_native.state: what clean pages hold; None before the first snapshot
    cdef object failure         # the exception for which a page could not be fetched
    cdef int exports            # buffers given out and not released
    cdef bint closed

    cdef void unmap_unless_seen(self) noexcept
    cdef int require(self, uint64_t offset, uint64_t size) except -1

cdef class WritableRam:
    cdef Ram ram
    cdef readonly int exports   # buffers given out and not released
