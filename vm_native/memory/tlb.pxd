# Translations as engines see them: an entry of the TLB, a compiled access's copy of one, and the inline probe.
from libc.stdint cimport intptr_t, uint64_t
from vm_native.memory.ram cimport HAS_CODE, PAGE_MASK, PAGE_OFFSET, PAGE_SHIFT, WATCHED_READS

cdef enum:
    TLB_ENTRIES = 1024      # of a bank: each page has one place
    SPARE_ENTRIES = 256     # behind them: a second place, for what another page has driven out of the first
    BANK_ENTRIES = TLB_ENTRIES + SPARE_ENTRIES
    MODE_BANKS = 4          # M-mode's, and three for each address space: see Bank of the front end
    ADDRESS_SPACES = 4      # that are remembered at a time
    TLB_BANKS = 1 + (MODE_BANKS - 1) * ADDRESS_SPACES
    INVALID_TAG = 0x800     # no probe produces these bits
    BESIDE_CODE = 0x400     # with the page, a write tag: stores that touch no translated byte may be done at once
    OF_DEVICE = 0x200       # with the page, a tag: the access is allowed, but no RAM is there
    LOAD_SPANS = 13         # that a LoadWindow knows of: powers of two, up to a page
    STORE_SPANS = 8         # and a StoreWindow: up to 128

cdef enum:                  # kinds of access
    READ = 0
    WRITE = 1
    EXECUTE = 2

cdef struct TlbEntry:
    uint64_t read_tag       # page address; any bit below the page size set means: take the slow path
    uint64_t write_tag
    uint64_t exec_tag
    intptr_t addend         # host address minus guest virtual address; of a device see device_addend

cdef struct PageEntry:      # what compiled code knows of the page that an address points into: a copy from the TLB
    uint64_t read_tag
    uint64_t write_tag
    intptr_t addend
    uint64_t missed         # the page of the last access that was not in this one

cdef struct StoreRange:     # untranslated bytes of one page, beside code or not: what compiled code may store to
    uint64_t start          # guest virtual address of the first
    uint64_t places[4]      # at how many addresses from there on a store may begin, by log2 of its size; 0: nowhere
    intptr_t addend         # as in a TlbEntry

cdef struct LoadWindow:     # RAM that compiled code may load from, all of a region, at its physical addresses
    uint64_t places[LOAD_SPANS]     # at how many addresses from its start on 1 << i bytes begin; all 0: it is closed

cdef struct StoreWindow:    # pages of it, one behind the other, that may be stored to as well
    uint64_t start          # address of the first
    uint64_t places[STORE_SPANS]
    uint64_t missed         # the page of the last store that was in none of them

cdef inline uint64_t write_tag_of(uint64_t page, int code) noexcept nogil:
    # The write tag of a page that may be written and is dirty; `code` is what the code map has of it (PageCode).
    return page if not code else page | BESIDE_CODE if code == HAS_CODE else INVALID_TAG

cdef inline uint64_t read_tag_of(uint64_t page, int code) noexcept nogil:
    # The same of one that may be read.
    return page if not code & WATCHED_READS else INVALID_TAG

cdef inline intptr_t device_addend(uint64_t physical, uint64_t address) noexcept nogil:
    # Physical minus virtual address, plus 1, which no page of the host's has.
    return <intptr_t>(physical - address + 1)

cdef inline uint64_t device_address(const TlbEntry* entry, uint64_t address) noexcept nogil:
    # The physical one.
    return address + <uint64_t>entry.addend - 1

cdef inline TlbEntry* tlb_entry(TlbEntry* bank, uint64_t address) noexcept nogil:
    # The one that is asked for the translation of this address.
    return &bank[(address >> PAGE_SHIFT) & (TLB_ENTRIES - 1)]

cdef inline TlbEntry* spare_entry(TlbEntry* bank, uint64_t address) noexcept nogil:
    # The only other that may hold it.
    return &bank[TLB_ENTRIES + ((address >> PAGE_SHIFT) & (SPARE_ENTRIES - 1))]

cdef inline bint is_of_page(const TlbEntry* entry, uint64_t page) noexcept nogil:
    # Whether it holds any translation of the page.
    return (
        entry.read_tag & (PAGE_MASK | INVALID_TAG) == page or entry.write_tag & (PAGE_MASK | INVALID_TAG) == page
        or entry.exec_tag & (PAGE_MASK | INVALID_TAG) == page
    )

cdef inline bint hits(uint64_t tag, uint64_t address, uint64_t size) noexcept nogil:
    return tag == (address & (~<uint64_t>PAGE_OFFSET | (size - 1)))

cdef inline void clear_entry(TlbEntry* entry) noexcept nogil:
    entry.read_tag = INVALID_TAG
    entry.write_tag = INVALID_TAG
    entry.exec_tag = INVALID_TAG

cdef inline bint is_vacant(const TlbEntry* bank, const TlbEntry* entry) noexcept nogil:
    # Whether it holds no translation. One that has never been filled is zeroes, which no page but the first has.
    return (
        entry.read_tag & entry.write_tag & entry.exec_tag & INVALID_TAG != 0
        or entry != bank and not entry.read_tag | entry.write_tag | entry.exec_tag
    )

cdef inline void recall(TlbEntry* bank, uint64_t page) noexcept nogil:
    # Let the first place of a page have what its second may hold.
    cdef TlbEntry* entry = tlb_entry(bank, page)
    cdef TlbEntry* spare = spare_entry(bank, page)
    cdef TlbEntry found = spare[0]
    if not is_of_page(spare, page):
        return
    if is_vacant(bank, entry):
        clear_entry(spare)
    else:
        spare[0] = entry[0]
    entry[0] = found

cdef inline void prepare_bank(TlbEntry* bank) noexcept nogil:
    # A zeroed bank becomes one without valid entries: only the first of each kind could be taken for page 0, and none
    # is ever looked at for another entry's page.
    clear_entry(bank)
    clear_entry(&bank[TLB_ENTRIES])

cdef inline void clear_page_entry(PageEntry* entry) noexcept nogil:
    entry.read_tag = INVALID_TAG
    entry.write_tag = INVALID_TAG
