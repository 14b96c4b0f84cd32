# The jump cache of a hart: the blocks it entered lately, by virtual pc, and the pages that they stand in.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block
from vm_native.memory.ram cimport PAGE_SHIFT

cdef enum:
    JUMP_CACHE_BITS = 15    # of an index: some ten thousand blocks that call each other find room
    JUMP_CACHE_FOLD = 5
    JUMP_CACHE_ENTRIES = 1 << JUMP_CACHE_BITS
    WORD_BITS = 64
    CODE_PAGE_WORDS = 64
    CODE_PAGES = CODE_PAGE_WORDS * WORD_BITS

cdef struct JumpCacheEntry:
    uint64_t pc
    uint64_t key            # Cpu.key when it was entered
    Block* block
    void* code              # where compiled code goes on: the block's, or a way back to the run loop

cdef struct JumpCache:
    JumpCacheEntry* entries
    # A bit for each virtual page that an entry has code of, by its number modulo CODE_PAGES
    uint64_t[CODE_PAGE_WORDS] code_pages

cdef inline uint64_t jump_cache_index(uint64_t pc) noexcept nogil:
    # Functions that call each other often lie a multiple of some pages apart: bits above the index count, too. Blocks
    # at a distance that is a power of two shall not be as far apart here: caches of the host would have few places.
    return (pc >> 1 ^ pc >> 1 + JUMP_CACHE_FOLD) & (JUMP_CACHE_ENTRIES - 1)

cdef inline JumpCacheEntry* jump_entry(JumpCache* cache, uint64_t pc) noexcept nogil:
    return &cache.entries[jump_cache_index(pc)]

cdef inline void note_code_page(JumpCache* cache, uint64_t address) noexcept nogil:
    cdef uint64_t page = (address >> PAGE_SHIFT) % CODE_PAGES
    cache.code_pages[page // WORD_BITS] |= 1ULL << page % WORD_BITS

cdef inline bint may_be_code_page(JumpCache* cache, uint64_t address) noexcept nogil:
    cdef uint64_t page = (address >> PAGE_SHIFT) % CODE_PAGES
    return cache.code_pages[page // WORD_BITS] >> page % WORD_BITS & 1
