# Compiled code that several machines run.
from libc.stdint cimport uint32_t, uint64_t
from vm_native.ir.block cimport Block, BlockKey
from vm_native.machine cimport CodeLayer, CodePage, Machine, SharedPage
from vm_native.memory.ram cimport PAGE_SHIFT

cdef inline uint64_t hash_of(const BlockKey* key, int bits) noexcept nogil:
    # Fibonacci hashing: the shared libraries of many processes differ in high bits of pc only.
    cdef uint64_t mixed = key.pc >> 1 ^ key.mode << 48 ^ (key.physical >> PAGE_SHIFT) * 0xFF51AFD7ED558CCDULL
    return (mixed * 0x9E3779B97F4A7C15ULL) >> (64 - bits)

cdef class SharedCode:
    cdef object __weakref__
    cdef CodeLayer layer

cdef bint open_layer(CodeLayer* layer, uint64_t pages, uint64_t heads) noexcept nogil
cdef SharedPage* new_page(CodeLayer* layer, uint64_t physical, const void* content) noexcept nogil
cdef void put_in(CodeLayer* layer, SharedPage* page, Block* block) noexcept nogil
cdef void add_layer(Machine* machine, CodeLayer* layer) noexcept nogil
cdef void hold(Machine* machine, int number, CodePage* record, SharedPage* page) noexcept nogil
cdef Block* find_shared(Machine* machine, const BlockKey* key) noexcept nogil
cdef bint holds_any(const Machine* machine, const CodeLayer* layer) noexcept nogil
cdef bint is_held(Machine* machine, const Block* block) noexcept nogil
cdef bint release_overlapping(Machine* machine, CodePage* record, uint64_t offset, uint64_t size) noexcept nogil
cdef void release_all(Machine* machine, CodePage* record) noexcept nogil
cdef void decline_block(Machine* machine, const Block* block) noexcept nogil
cdef void note_shared_misfit(Machine* machine, const Block* block, uint32_t weight) noexcept nogil
cdef void ask_again(Machine* machine, uint64_t physical) noexcept nogil
