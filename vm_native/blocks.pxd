# The block cache: look-up, invalidation, reclamation. Changed only while no hart is inside a block, except that a
# store may kill blocks: their memory stays until `free_dead`.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block, BlockKey, BlockExit
from vm_native.machine cimport CodeLayer, Machine
from vm_native.memory.ram cimport PAGE_SHIFT, RamRegion

cdef inline bint share_page(const BlockKey* a, const BlockKey* b) noexcept nogil:
    # In one virtual page, under one translation of it: a jump from one to the other holds as long as that does, which
    # nothing changes on the way.
    return a.mode == b.mode and not (a.pc ^ b.pc) >> PAGE_SHIFT and a.physical - a.pc == b.physical - b.pc

cdef Block* new_block() noexcept nogil
cdef size_t block_bytes(int uop_count) noexcept nogil
cdef void place_arrays(Block* block, int uop_count) noexcept nogil
cdef void free_block(Block* block) noexcept nogil
cdef Block* find_block(Machine* machine, const BlockKey* key) noexcept nogil
cdef Block* keep_block(Machine* machine, Block* scratch) noexcept nogil
cdef int cacheable_steps(Machine* machine, Block* block) noexcept nogil
cdef void link_blocks(BlockExit* exit, Block* target) noexcept nogil
cdef void drop_all_blocks(Machine* machine) noexcept nogil
cdef void drop_blocks_at(Machine* machine, uint64_t address, uint64_t size, bint physical) noexcept nogil
cdef void invalidate(Machine* machine, uint64_t physical, uint64_t size) noexcept nogil
cdef void forget_code(Machine* machine, RamRegion* region, uint64_t physical, uint64_t size) noexcept nogil
cdef void note_store_beside_code(Machine* machine, Block* block) noexcept nogil
cdef void note_outside_window(Machine* machine, Block* block) noexcept nogil
cdef void note_misfit(Machine* machine, Block* block) noexcept nogil
cdef void free_dead(Machine* machine) noexcept nogil
cdef void settle_cache(Machine* machine, uint64_t most) noexcept nogil
cdef bint hand_over(Machine* machine, CodeLayer* layer) noexcept nogil
cdef void forget_translations(Machine* machine) noexcept nogil
cdef int init_cache(Machine* machine) noexcept nogil
cdef int cover_region(Machine* machine, int number, uint64_t size) noexcept nogil
cdef void destroy_cache(Machine* machine) noexcept nogil
