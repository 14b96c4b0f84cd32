# What is known of the pages of RAM that hold translated code.
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport Block
from vm_native.machine cimport CodePage, Machine
from vm_native.memory.ram cimport PAGE_MASK, PAGE_OFFSET, PAGE_SIZE

cdef inline bint holds_code(const CodePage* page) noexcept nogil:
    # Whether something that was translated of it can be run.
    return page.blocks != NULL or page.held != 0

cdef inline uint64_t bytes_in_first_page(const Block* block) noexcept nogil:
    cdef uint64_t room = PAGE_SIZE - (block.key.physical & PAGE_OFFSET)
    return block.size if block.size < room else room

cdef inline int which_page(const Block* block, uint64_t page) noexcept nogil:
    # Of those that a block lies in: 0 for the first.
    return 0 if (block.key.physical & PAGE_MASK) == page else 1

cdef CodePage** code_page_of(Machine* machine, uint64_t physical) noexcept nogil
cdef CodePage* code_beside(Machine* machine, uint64_t host) noexcept nogil
cdef CodePage* record_of(Machine* machine, uint64_t physical) noexcept nogil
cdef void expect_code(Machine* machine, uint64_t physical) noexcept nogil
cdef void notice_stores(Machine* machine, uint64_t physical) noexcept nogil
cdef void ignore_stores(Machine* machine, uint64_t physical) noexcept nogil
cdef uint64_t cacheable_bytes(Machine* machine, uint64_t physical) noexcept nogil
cdef void note_churn(Machine* machine, CodePage* page, uint64_t offset, uint64_t size) noexcept nogil
cdef bint any_translated(const uint64_t* translated, uint64_t offset, uint64_t size) noexcept nogil
cdef void mark_translated(uint64_t* translated, uint64_t offset, uint64_t size) noexcept nogil
cdef void mark_shared(CodePage* page) noexcept nogil
cdef void settle_page(Machine* machine, CodePage* page) noexcept nogil
cdef void untranslated_around(const CodePage* page, uint64_t offset, uint64_t* start, uint64_t* end) noexcept nogil
