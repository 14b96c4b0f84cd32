# The jump cache of a hart: the blocks it entered lately, by virtual pc, and the pages that they stand in.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block
from vm_native.memory.ram cimport PAGE_MASK, PAGE_SHIFT

cdef enum:
    JUMP_CACHE_BITS = 15    # of an index: some ten thousand blocks that call each other find room
    JUMP_CACHE_FOLD = 5
    JUMP_CACHE_ENTRIES = 1 << JUMP_CACHE_BITS
    ENTERED_PAGES = 2048
    CHUNK_SHIFT = 6         # of a page: as many as an EnteredPage has bits
    CHUNKS = 64
    FROM_BEFORE = 1         # in EnteredPage.page: a block runs into the page
    SEVERAL_PAGES = 2       # there: it is not only about this one

cdef struct JumpCacheEntry:
    uint64_t pc
    uint64_t key            # Cpu.key when it was entered
    Block* block
    void* code              # where compiled code goes on: the block's, or a way back to the run loop

cdef struct EnteredPage:    # where in a virtual page there may be blocks that the jump cache knows; 0 and 0: nowhere
    uint64_t page           # its address
    uint64_t chunks         # a bit for each in which one begins

cdef struct JumpCache:
    JumpCacheEntry* entries
    EnteredPage* pages      # by the number of the page, modulo ENTERED_PAGES

cdef inline uint64_t jump_cache_index(uint64_t pc) noexcept nogil:
    # Functions that call each other often lie a multiple of some pages apart: bits above the index count, too. Blocks
    # at a distance that is a power of two shall not be as far apart here: caches of the host would have few places.
    return (pc >> 1 ^ pc >> 1 + JUMP_CACHE_FOLD) & (JUMP_CACHE_ENTRIES - 1)

cdef inline JumpCacheEntry* jump_entry(JumpCache* cache, uint64_t pc) noexcept nogil:
    return &cache.entries[jump_cache_index(pc)]

cdef inline EnteredPage* entered_page(JumpCache* cache, uint64_t address) noexcept nogil:
    return &cache.pages[(address >> PAGE_SHIFT) & (ENTERED_PAGES - 1)]

cdef inline EnteredPage* enter_page(JumpCache* cache, uint64_t address) noexcept nogil:
    # To be told what is known of this page's code, besides what it is told of others.
    cdef EnteredPage* entered = entered_page(cache, address)
    if not entered.page and not entered.chunks:
        entered.page = address & PAGE_MASK
    elif (entered.page ^ address) & PAGE_MASK:
        entered.page |= SEVERAL_PAGES
    return entered

cdef inline void note_code(JumpCache* cache, uint64_t pc, uint64_t size) noexcept nogil:
    # A block begins at pc.
    enter_page(cache, pc).chunks |= 1ULL << (pc >> CHUNK_SHIFT & CHUNKS - 1)
    if (pc + size - 1 ^ pc) & PAGE_MASK:
        enter_page(cache, pc + size - 1).page |= FROM_BEFORE

cdef inline bint may_have_code(const EnteredPage* entered, uint64_t address) noexcept nogil:
    # Of the page at the address.
    return (
        entered.page & SEVERAL_PAGES != 0
        or (entered.page ^ address) & PAGE_MASK == 0 and (entered.chunks != 0 or entered.page & FROM_BEFORE != 0)
    )
