"""Tables of page copies, of which any number share what is the same in them.

A table has chunks of 512 pages. One that is derived from another holds the same chunks; a chunk is copied when a page
of it is set, and then holds the same pages but that one. So a table costs what it differs in. Chunks and pages are
counted, by atomic instructions: tables of one family are used and dropped by several threads.
"""
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy
from vm_native.state.collector cimport give_away

cdef extern from *:
    int64_t add_atomically "__sync_add_and_fetch"(int64_t* place, int64_t change) noexcept nogil


cdef PageTable* empty_table(uint64_t page_count) noexcept nogil:
    """A table of no copies, for so many pages; NULL if the host has no memory."""
    cdef uint64_t chunk_count = (page_count + CHUNK_PAGES - 1) >> CHUNK_SHIFT
    cdef PageTable* table = <PageTable*>calloc(1, sizeof(PageTable) + chunk_count * sizeof(Chunk*))
    if table != NULL:
        table.garbage.dispose = dispose_table
        table.chunk_count = chunk_count
        table.chunks = <Chunk**>(table + 1)
    return table


cdef PageTable* derived_table(const PageTable* parent) noexcept nogil:
    """A table of the same copies; NULL if the host has no memory."""
    cdef PageTable* table = empty_table(parent.chunk_count << CHUNK_SHIFT)
    cdef uint64_t i
    if table != NULL:
        for i in range(parent.chunk_count):
            table.chunks[i] = parent.chunks[i]
            if table.chunks[i] != NULL:
                add_atomically(&table.chunks[i].holders, 1)
    return table


cdef Chunk* own_chunk(PageTable* table, uint64_t number) noexcept nogil:
    """A chunk of this table that no other holds; NULL if the host has no memory."""
    cdef Chunk* shared = table.chunks[number]
    cdef Chunk* chunk
    cdef int i
    if shared != NULL and shared.holders == 1:
        return shared
    chunk = <Chunk*>calloc(1, sizeof(Chunk))
    if chunk == NULL:
        return NULL
    chunk.holders = 1
    if shared != NULL:
        memcpy(chunk.pages, shared.pages, sizeof(shared.pages))
        for i in range(CHUNK_PAGES):
            if chunk.pages[i] != NULL:
                add_atomically(&chunk.pages[i].holders, 1)
        drop_chunk(shared)
    table.chunks[number] = chunk
    return chunk


cdef int set_copy(PageTable* table, uint64_t page, const uint8_t* source) noexcept nogil:
    """Copy a page into a table that nobody else knows yet. -1 if the host has no memory; the table is as it was."""
    cdef Chunk* chunk = own_chunk(table, page >> CHUNK_SHIFT)
    cdef Page* copy
    if chunk == NULL:
        return -1
    copy = <Page*>malloc(sizeof(Page))
    if copy == NULL:
        return -1
    copy.holders = 1
    memcpy(copy.data, source, PAGE_SIZE)
    if chunk.pages[page & CHUNK_PAGES - 1] != NULL:
        drop_page(chunk.pages[page & CHUNK_PAGES - 1])
    chunk.pages[page & CHUNK_PAGES - 1] = copy
    table.copies += 1
    return 0


cdef void drop_page(Page* page) noexcept nogil:
    if add_atomically(&page.holders, -1) == 0:
        free(page)


cdef void drop_chunk(Chunk* chunk) noexcept nogil:
    cdef int i
    if add_atomically(&chunk.holders, -1) == 0:
        for i in range(CHUNK_PAGES):
            if chunk.pages[i] != NULL:
                drop_page(chunk.pages[i])
        free(chunk)


cdef void dispose_table(Garbage* garbage) noexcept nogil:
    cdef PageTable* table = <PageTable*>garbage
    cdef uint64_t i
    for i in range(table.chunk_count):
        if table.chunks[i] != NULL:
            drop_chunk(table.chunks[i])
    free(table)


cdef void drop_table(PageTable* table) noexcept nogil:
    """Nobody looks at it any more; what it alone holds is freed soon."""
    if table != NULL:
        give_away(&table.garbage)
