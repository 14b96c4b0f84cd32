# What is known of the pages of RAM that hold translated code.
from libc.stdint cimport uint64_t
from vm_native.machine cimport CodePage, Machine

cdef inline bint holds_code(const CodePage* page) noexcept nogil:
    # Whether something that was translated of it can be run.
    return page.blocks != NULL or page.held != 0

cdef CodePage** code_page_of(Machine* machine, uint64_t physical) noexcept nogil
cdef CodePage* code_beside(Machine* machine, uint64_t host) noexcept nogil
cdef CodePage* record_of(Machine* machine, uint64_t physical) noexcept nogil
cdef void notice_stores(Machine* machine, uint64_t physical) noexcept nogil
cdef void has_no_code(Machine* machine, uint64_t physical) noexcept nogil
cdef uint64_t cacheable_bytes(Machine* machine, uint64_t physical) noexcept nogil
cdef void note_churn(Machine* machine, CodePage* page, uint64_t offset, uint64_t size) noexcept nogil
cdef bint overlap(const uint64_t* translated, uint64_t offset, uint64_t size) noexcept nogil
cdef void mark_translated(uint64_t* translated, uint64_t offset, uint64_t size) noexcept nogil
cdef void untranslated_around(const CodePage* page, uint64_t offset, uint64_t* start, uint64_t* end) noexcept nogil
