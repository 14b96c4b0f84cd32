# Translations as engines see them: an entry of the TLB, a compiled access's copy of one, and the inline probe.
from libc.stdint cimport intptr_t, uint64_t
from vm_native.memory.ram cimport PAGE_OFFSET, PAGE_SHIFT

cdef enum:
    TLB_ENTRIES = 1024      # of a bank
    TLB_BANKS = 4
    INVALID_TAG = 0x800     # no probe produces this bit

cdef enum:                  # kinds of access
    READ = 0
    WRITE = 1
    EXECUTE = 2

cdef struct TlbEntry:
    uint64_t read_tag       # page address; any bit below the page size set means: take the slow path
    uint64_t write_tag
    uint64_t exec_tag
    intptr_t addend         # host address minus guest virtual address

cdef struct PageEntry:      # what compiled code knows of the page that an address points into: a copy from the TLB
    uint64_t read_tag
    uint64_t write_tag
    intptr_t addend
    uint64_t unused         # makes the size a power of two

cdef inline TlbEntry* tlb_entry(TlbEntry* bank, uint64_t address) noexcept nogil:
    # The only one that may hold the translation of this address.
    return &bank[(address >> PAGE_SHIFT) & (TLB_ENTRIES - 1)]

cdef inline bint hits(uint64_t tag, uint64_t address, uint64_t size) noexcept nogil:
    return tag == (address & (~<uint64_t>PAGE_OFFSET | (size - 1)))

cdef inline void clear_entry(TlbEntry* entry) noexcept nogil:
    entry.read_tag = INVALID_TAG
    entry.write_tag = INVALID_TAG
    entry.exec_tag = INVALID_TAG

cdef inline void clear_page_entry(PageEntry* entry) noexcept nogil:
    entry.read_tag = INVALID_TAG
    entry.write_tag = INVALID_TAG
