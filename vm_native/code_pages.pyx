"""What is known of the pages of RAM that hold translated code, or held some.

Which of their bytes are translated: a store is compared with these, to two bytes. And which of their lines keep being
overwritten: what stands there is not cached for a while, but run one by one, translated each time.
"""
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memset
from vm_native.clock cimport steps_of
from vm_native.ir.block cimport Block
from vm_native.machine cimport (
    CODE_LINE_SHIFT, GRANULE_SHIFT, GRANULE_WORDS, MAX_LAYERS, CodePage, Machine, revoke_store_ranges, revoke_writes,
)
from vm_native.memory.bus cimport physical_of, ram_at
from vm_native.memory.ram cimport HAS_CODE, PAGE_MASK, PAGE_OFFSET, PAGE_SHIFT, PAGE_SIZE, RamRegion

cdef extern from *:
    int count_leading_zeros "__builtin_clzll"(unsigned long long value) noexcept nogil
    int count_trailing_zeros "__builtin_ctzll"(unsigned long long value) noexcept nogil

cdef enum:
    CHURN_LIMIT = 24                # invalidations by stores to a line before its code is left uncached ...
    CHURN_FORGOTTEN = 5000000       # ... until this many steps have passed without another in its page


cdef CodePage** code_page_of(Machine* machine, uint64_t physical) noexcept nogil:
    cdef int i
    cdef uint64_t offset
    for i in range(machine.map.region_count):
        offset = physical - machine.map.regions[i].base
        if offset < machine.map.regions[i].size:
            return &machine.blocks.pages[i][offset >> PAGE_SHIFT]
    return NULL


cdef CodePage* record_of(Machine* machine, uint64_t physical) noexcept nogil:
    """What is known of the page; NULL where there is no RAM, or the host has no memory for a record."""
    cdef CodePage** record = code_page_of(machine, physical)
    if record == NULL:
        return NULL
    if record[0] == NULL:
        record[0] = <CodePage*>calloc(1, sizeof(CodePage))
        if record[0] != NULL:
            record[0].physical = physical & PAGE_MASK
            record[0].next = machine.blocks.records
            machine.blocks.records = record[0]
    return record[0]


cdef uint64_t cacheable_bytes(Machine* machine, uint64_t physical) noexcept nogil:
    """How many bytes of code from this physical address on, in its page, are RAM and not overwritten all the time."""
    cdef CodePage** record = code_page_of(machine, physical)
    cdef uint64_t offset = physical & PAGE_OFFSET
    cdef uint64_t ahead
    if record == NULL:
        return 0
    if record[0] == NULL or not record[0].restless:
        return PAGE_SIZE - offset
    if steps_of(machine.timeline) - record[0].churned_at >= CHURN_FORGOTTEN:
        record[0].restless = 0
        memset(record[0].churn, 0, sizeof(record[0].churn))
        return PAGE_SIZE - offset
    ahead = record[0].restless & <uint64_t>-1 << (offset >> CODE_LINE_SHIFT)
    if not ahead:
        return PAGE_SIZE - offset
    ahead = <uint64_t>count_trailing_zeros(ahead) << CODE_LINE_SHIFT
    return ahead - offset if ahead > offset else 0


cdef void note_churn(Machine* machine, CodePage* page, uint64_t offset, uint64_t size) noexcept nogil:
    """A store to [offset, offset + size) has killed blocks."""
    cdef uint64_t line
    for line in range(offset >> CODE_LINE_SHIFT, (offset + size - 1 >> CODE_LINE_SHIFT) + 1):
        page.churn[line] += 1
        if page.churn[line] >= CHURN_LIMIT:
            page.churn[line] = CHURN_LIMIT
            page.restless |= 1ULL << line
    page.churned_at = steps_of(machine.timeline)


cdef CodePage* code_beside(Machine* machine, uint64_t host) noexcept nogil:
    """What is known of the page of RAM in which the host has this address; NULL if nothing ever was."""
    return code_page_of(machine, physical_of(machine.map, host))[0]


cdef void notice_stores(Machine* machine, uint64_t physical) noexcept nogil:
    """Bytes of the page are code from now on: no hart stores there without a look at what is translated."""
    cdef RamRegion* region = ram_at(machine.map, physical, 1)
    cdef uint64_t page = (physical - region.base) >> PAGE_SHIFT
    if region.code[page] & HAS_CODE:
        revoke_store_ranges(machine)
        return
    region.code[page] |= HAS_CODE
    if region.dirty[page] or machine.safepoints != NULL:    # else no hart has a write tag of it
        revoke_writes(machine, region, physical)


cdef void expect_code(Machine* machine, uint64_t physical) noexcept nogil:
    """Where harts have threads: from here on a store to the page comes before its code is looked at, or finds it."""
    cdef RamRegion* region = ram_at(machine.map, physical, 1)
    if region != NULL and not region.code[(physical - region.base) >> PAGE_SHIFT] & HAS_CODE:
        if record_of(machine, physical) != NULL:
            notice_stores(machine, physical)


cdef void ignore_stores(Machine* machine, uint64_t physical) noexcept nogil:
    """Nothing of the page is code any more: stores there need no look."""
    cdef RamRegion* region = ram_at(machine.map, physical, 1)
    region.code[(physical - region.base) >> PAGE_SHIFT] &= ~HAS_CODE


# --- Which bytes of a page are translated. Offsets are in the page; a range lies inside it and is not empty. ----------

cdef inline uint64_t granules_in_word(uint64_t word, uint64_t first, uint64_t last) noexcept nogil:
    """The bits of granules `first` to `last` that stand in a word of `CodePage.translated`, which has some of them."""
    cdef uint64_t bits = <uint64_t>-1
    if word == first >> 6:
        bits &= <uint64_t>-1 << (first & 63)
    if word == last >> 6:
        bits &= <uint64_t>-1 >> (63 - (last & 63))
    return bits


cdef bint any_translated(const uint64_t* translated, uint64_t offset, uint64_t size) noexcept nogil:
    """Whether a byte of [offset, offset + size) may be translated; one that is not certainly is not."""
    cdef uint64_t first = offset >> GRANULE_SHIFT
    cdef uint64_t last = (offset + size - 1) >> GRANULE_SHIFT
    cdef uint64_t word
    for word in range(first >> 6, (last >> 6) + 1):
        if translated[word] & granules_in_word(word, first, last):
            return True
    return False


cdef void mark_translated(uint64_t* translated, uint64_t offset, uint64_t size) noexcept nogil:
    cdef uint64_t first = offset >> GRANULE_SHIFT
    cdef uint64_t last = (offset + size - 1) >> GRANULE_SHIFT
    cdef uint64_t word
    for word in range(first >> 6, (last >> 6) + 1):
        translated[word] |= granules_in_word(word, first, last)


cdef void untranslated_around(const CodePage* page, uint64_t offset, uint64_t* start, uint64_t* end) noexcept nogil:
    """The longest range [start, end) with nothing translated that has `offset` in it; that byte is not."""
    cdef uint64_t granule = offset >> GRANULE_SHIFT
    cdef int word = <int>(granule >> 6)
    cdef uint64_t below = page.translated[word] & ~(<uint64_t>-1 << (granule & 63))
    cdef uint64_t above = page.translated[word] & (<uint64_t>-1 << (granule & 63))
    cdef int first = word, last = word
    while not below and first > 0:
        first -= 1
        below = page.translated[first]
    while not above and last < GRANULE_WORDS - 1:
        last += 1
        above = page.translated[last]
    start[0] = (first * 64 + 64 - count_leading_zeros(below)) << GRANULE_SHIFT if below else 0
    end[0] = (last * 64 + count_trailing_zeros(above)) << GRANULE_SHIFT if above else PAGE_SIZE


cdef void mark_shared(CodePage* page) noexcept nogil:
    """What is held of the page is translated."""
    cdef int i, word
    for i in range(MAX_LAYERS):
        for word in range(GRANULE_WORDS if page.held >> i & 1 else 0):
            page.translated[word] |= page.shared[i].translated[word]


cdef void mark_again(CodePage* page) noexcept nogil:
    """Just what the code of the page was made of: some is gone."""
    cdef Block* block = page.blocks
    cdef uint64_t base = page.physical
    cdef uint64_t first
    cdef int which
    memset(page.translated, 0, sizeof(page.translated))
    mark_shared(page)
    while block != NULL:
        which = which_page(block, base)
        first = bytes_in_first_page(block)
        if which == 0:
            mark_translated(page.translated, block.key.physical & PAGE_OFFSET, first)
        if block.second_page == base:
            mark_translated(page.translated, 0, block.size - first)
        block = block.next_in_page[which]


cdef void settle_page(Machine* machine, CodePage* page) noexcept nogil:
    """Code of the page is gone, or no longer held."""
    mark_again(page)
    if not holds_code(page):
        ignore_stores(machine, page.physical)
