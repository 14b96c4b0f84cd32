# The block cache: look-up, invalidation, reclamation. Changed only while no hart is inside a block, except that a
# store may kill blocks: their memory stays until `free_dead`.
from libc.stdint cimport uint64_t
from vm_native.machine cimport BlockCache
from vm_native.memory.ram cimport RamRegion
from vm_native.ir.block cimport Block, Link

cdef Block* new_block() noexcept nogil
cdef void free_block(Block* block) noexcept nogil
cdef Block* find_block(BlockCache* cache, uint64_t pc, uint64_t mode, uint64_t physical) noexcept nogil
cdef Block* keep_block(BlockCache* cache, Block* scratch) noexcept nogil
cdef bint page_is_cacheable(BlockCache* cache, uint64_t physical) noexcept nogil
cdef void link_blocks(Link* link, Block* target) noexcept nogil
cdef void written(BlockCache* cache, uint64_t physical, uint64_t size) noexcept nogil
cdef void forbid_writes(BlockCache* cache, RamRegion* region, uint64_t physical) noexcept nogil
cdef void free_dead(BlockCache* cache) noexcept nogil
cdef int init_cache(BlockCache* cache) noexcept nogil
cdef void destroy_cache(BlockCache* cache) noexcept nogil
