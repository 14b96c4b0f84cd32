# Copies of pages in a table that is a value: tables share the parts in which they do not differ.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from vm_native.memory.ram cimport PAGE_SIZE
from vm_native.state.collector cimport Garbage

cdef enum:
    CHUNK_SHIFT = 9
    CHUNK_PAGES = 1 << CHUNK_SHIFT

cdef struct Page:
    int64_t holders         # chunks that it is in
    uint8_t data[PAGE_SIZE]

cdef struct Chunk:
    int64_t holders         # tables that it is in
    Page* pages[CHUNK_PAGES]    # NULL: as in the image

cdef struct PageTable:
    Garbage garbage         # first: what a table becomes when it is dropped
    uint64_t chunk_count
    uint64_t copies         # pages made for this table, not for one it was derived from
    Chunk** chunks          # NULL: all pages as in the image

cdef inline const uint8_t* copy_in(const PageTable* table, uint64_t page) noexcept nogil:
    # The table's own copy of a page; NULL where it is as in the image.
    cdef const Chunk* chunk = table.chunks[page >> CHUNK_SHIFT]
    if chunk == NULL or chunk.pages[page & CHUNK_PAGES - 1] == NULL:
        return NULL
    return chunk.pages[page & CHUNK_PAGES - 1].data

cdef PageTable* empty_table(uint64_t page_count) noexcept nogil
cdef PageTable* derived_table(const PageTable* parent) noexcept nogil
cdef int set_copy(PageTable* table, uint64_t page, const uint8_t* source) noexcept nogil
cdef void drop_table(PageTable* table) noexcept nogil
