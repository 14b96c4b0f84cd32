# The jump cache of a hart: the blocks it entered lately, by virtual pc, and the pages that they stand in.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block

cdef enum:
    JUMP_CACHE_ENTRIES = 4096

cdef struct JumpCacheEntry:
    uint64_t pc
    uint64_t key            # Cpu.key when it was entered
    Block* block
    void* code              # where compiled code goes on: the block's, or a way back to the run loop

cdef struct JumpCache:
    JumpCacheEntry* entries
    uint64_t code_pages[64]  # a bit for each virtual page, by its number modulo 4096, that an entry has code of

cdef inline uint64_t jump_cache_index(uint64_t pc) noexcept nogil:
    # Functions that call each other often lie a multiple of some pages apart: the bits above the index count, too.
    return (pc >> 1 ^ pc >> 13) & (JUMP_CACHE_ENTRIES - 1)

cdef inline JumpCacheEntry* jump_entry(JumpCache* cache, uint64_t pc) noexcept nogil:
    return &cache.entries[jump_cache_index(pc)]

cdef inline void note_code_page(JumpCache* cache, uint64_t address) noexcept nogil:
    cache.code_pages[(address >> 18) & 63] |= 1ULL << ((address >> 12) & 63)

cdef inline bint may_be_code_page(JumpCache* cache, uint64_t address) noexcept nogil:
    return cache.code_pages[(address >> 18) & 63] >> ((address >> 12) & 63) & 1
