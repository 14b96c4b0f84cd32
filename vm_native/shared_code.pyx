"""Compiled code that several machines run: a fork begins with what its parent has compiled.

A layer is what one machine had compiled when another began with a snapshot of it, or when it was closed: the traces,
the blocks they were made of, and the page bytes that these were translated of. It never changes again, so machines in
many threads run it, its maker too. What each compiles later is its own. A machine runs a few layers at most, the newest
found first.

Whether a layer's code of a page is what the machine's memory holds is known page by page, for each machine: the bytes
are compared when code of that page is first asked for, and from then on the layer is *held* there, until something
stores to these bytes. All of the layer's code of that page is then given up, and the machine translates its own: a
layer's jumps stay in their page, so nothing leads there any more. Where code of the page has changed, the bytes are
compared again: a kernel patches itself while it boots, and what a layer has may be made of the outcome.

What is found here is an entry of a trace: it is run as it is, neither linked nor interpreted, nor part of new traces.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy
from posix.mman cimport munmap
from vm_native.checks cimport static_assert
from vm_native.code_pages cimport (
    code_page_of, mark_shared, mark_translated, notice_stores, any_translated, record_of, settle_page,
)
from vm_native.ir.block cimport same_key
from vm_native.machine cimport GRANULE_SHIFT, GRANULE_WORDS, MAX_LAYERS, forget_block
from vm_native.memory.bus cimport ram_at
from vm_native.memory.ram cimport PAGE_OFFSET, PAGE_SIZE, RamRegion

cdef enum:
    WORD_BYTES = 64 << GRANULE_SHIFT        # of a page, for which a word of `translated` stands
    GRANULE_BYTES = 1 << GRANULE_SHIFT
    MANY_MISFITS = 256                      # take about as long as it takes to compile a trace


cdef class SharedCode:
    """Owns a layer. Machines that run it have this among their `shared_code`."""

    def __dealloc__(self):
        cdef Block* block
        if self.layer.compiled != NULL:
            self.layer.free_compiled(self.layer.compiled)
        while self.layer.blocks != NULL and self.layer.arena == NULL:
            block = self.layer.blocks
            self.layer.blocks = block.older
            free(block)
        if self.layer.arena != NULL:
            munmap(self.layer.arena, self.layer.arena_bytes)
        free(self.layer.buckets)
        free(self.layer.pages)


# --- A layer ----------------------------------------------------------------------------------------------------------

cdef bint open_layer(CodeLayer* layer, uint64_t pages, uint64_t heads) noexcept nogil:
    """Make room for so many pages and heads of traces. False if the host has no memory for that."""
    layer.bucket_bits = 1
    while 1ULL << layer.bucket_bits < heads:
        layer.bucket_bits += 1
    layer.buckets = <Block**>calloc(1 << layer.bucket_bits, sizeof(Block*))
    layer.pages = <SharedPage*>malloc(pages * sizeof(SharedPage))
    layer.bytes = (sizeof(Block*) << layer.bucket_bits) + pages * sizeof(SharedPage)
    return layer.buckets != NULL and layer.pages != NULL


cdef SharedPage* new_page(CodeLayer* layer, uint64_t physical, const void* content) noexcept nogil:
    """The record of a page that holds this, with no blocks yet."""
    cdef SharedPage* page = &layer.pages[layer.page_count]
    cdef int word
    layer.page_count += 1
    page.physical = physical
    page.heads = NULL
    for word in range(GRANULE_WORDS):
        page.translated[word] = 0
    memcpy(page.content, content, PAGE_SIZE)
    return page


cdef void put_in(CodeLayer* layer, SharedPage* page, Block* block) noexcept nogil:
    """Let the layer own a block that lies in that page, and nowhere else; it can be found if a trace begins with it."""
    cdef Block** bucket = &layer.buckets[hash_of(&block.key, layer.bucket_bits)]
    block.shared_page = page
    block.older = layer.blocks
    layer.blocks = block
    mark_translated(page.translated, block.key.physical & PAGE_OFFSET, block.size)
    if block.entry != NULL:
        block.next_in_bucket = bucket[0]
        bucket[0] = block
        block.next_in_page[0] = page.heads
        page.heads = block


cdef Block* head_in(const CodeLayer* layer, const BlockKey* key) noexcept nogil:
    cdef Block* block = layer.buckets[hash_of(key, layer.bucket_bits)]
    while block != NULL and not same_key(&block.key, key):
        block = block.next_in_bucket
    return block


cdef bint is_content(const SharedPage* page, const uint8_t* host) noexcept nogil:
    """Whether the bytes that were translated stand in a page that the host has there."""
    cdef uint64_t word, granule, offset, at
    for word in range(GRANULE_WORDS):
        offset = word * WORD_BYTES
        if not page.translated[word] or memcmp(&page.content[offset], host + offset, WORD_BYTES) == 0:
            continue
        for granule in range(64):       # something else may stand beside them
            at = offset + granule * GRANULE_BYTES
            if page.translated[word] >> granule & 1 and memcmp(&page.content[at], host + at, GRANULE_BYTES) != 0:
                return False
    return True


# --- What a machine runs of it ----------------------------------------------------------------------------------------

cdef void add_layer(Machine* machine, CodeLayer* layer) noexcept nogil:
    """Let the machine run this one, too; where there are MAX_LAYERS, the oldest is given up. Between slices."""
    static_assert(MAX_LAYERS <= 8 * sizeof(uint8_t))        # each is a bit of CodePage.held
    if machine.blocks.layer_count == MAX_LAYERS:
        drop_oldest(machine)
    machine.blocks.layers[machine.blocks.layer_count] = layer
    machine.blocks.layer_count += 1


cdef void drop_oldest(Machine* machine) noexcept nogil:
    cdef CodePage* record = machine.blocks.records
    cdef int i
    while record != NULL:
        if record.held & 1:
            release(machine, record, 0)
        record.held >>= 1
        record.declined >>= 1
        record.differing >>= 1
        for i in range(MAX_LAYERS - 1):
            record.shared[i] = record.shared[i + 1]
        record = record.next
    machine.blocks.layer_count -= 1
    for i in range(machine.blocks.layer_count):
        machine.blocks.layers[i] = machine.blocks.layers[i + 1]


cdef Block* find_shared(Machine* machine, const BlockKey* key) noexcept nogil:
    """The head of a trace that any layer has for this key, made of what memory holds; NULL if none has."""
    cdef int i
    cdef Block* block
    for i in range(machine.blocks.layer_count - 1, -1, -1):
        block = head_in(machine.blocks.layers[i], key)
        if block != NULL and holds_here(machine, i, <SharedPage*>block.shared_page):
            return block
    return NULL


cdef bint holds_here(Machine* machine, int number, SharedPage* page) noexcept nogil:
    """Whether memory has this layer's code of the page. An instruction of the page is about to be fetched."""
    cdef CodePage* record = record_of(machine, page.physical)
    cdef RamRegion* region = ram_at(machine.map, page.physical, PAGE_SIZE)
    if record == NULL or region == NULL or (record.declined | record.differing) >> number & 1:
        return False
    if not record.held >> number & 1:
        if not is_content(page, region.host + (page.physical - region.base)):
            record.differing |= 1 << number
            return False
        hold(machine, number, record, page)
    return True


cdef void hold(Machine* machine, int number, CodePage* record, SharedPage* page) noexcept nogil:
    record.held |= 1 << number
    record.shared[number] = page
    mark_shared(record)
    notice_stores(machine, page.physical)


cdef bint holds_any(const Machine* machine, const CodeLayer* layer) noexcept nogil:
    """Whether memory has this layer's code of any page."""
    cdef const CodePage* record = machine.blocks.records
    cdef int number = 0
    while number < machine.blocks.layer_count and machine.blocks.layers[number] != layer:
        number += 1
    while record != NULL and not record.held >> number & 1:
        record = record.next
    return record != NULL and number < machine.blocks.layer_count


cdef bint is_held(Machine* machine, const Block* block) noexcept nogil:
    """Whether a shared block is what memory holds, still."""
    return layer_of(code_page_of(machine, block.key.physical)[0], block) >= 0


cdef int layer_of(const CodePage* record, const Block* block) noexcept nogil:
    """The number of the layer that is held of this page, and has that block; -1 if none has."""
    cdef int i
    for i in range(MAX_LAYERS):
        if record.held >> i & 1 and record.shared[i] == block.shared_page:
            return i
    return -1


cdef void release(Machine* machine, CodePage* record, int number) noexcept nogil:
    """Nothing runs this layer's code of the page any more; a hart may be inside it."""
    cdef Block* head = record.shared[number].heads
    record.held &= ~(1 << number)
    while head != NULL:
        forget_block(machine, head)
        head = head.next_in_page[0]
    machine.compiler.departures += 1
    settle_page(machine, record)


cdef bint release_overlapping(Machine* machine, CodePage* record, uint64_t offset, uint64_t size) noexcept nogil:
    """Give up what was made of a byte of [offset, offset + size); whether any was."""
    cdef bint any = False
    cdef int i
    for i in range(machine.blocks.layer_count):
        if record.held >> i & 1 and any_translated(record.shared[i].translated, offset, size):
            release(machine, record, i)
            any = True
    return any


cdef void release_all(Machine* machine, CodePage* record) noexcept nogil:
    """Hold nothing of this page, until it is asked for again."""
    cdef int i
    for i in range(machine.blocks.layer_count):
        if record.held >> i & 1:
            release(machine, record, i)


cdef void decline_block(Machine* machine, const Block* block) noexcept nogil:
    """Give up, until a restore, the page's code of the layer that has this block, if it is held there still."""
    cdef CodePage* record = code_page_of(machine, block.key.physical)[0]
    cdef int number = layer_of(record, block)
    if number >= 0:
        release(machine, record, number)
        record.declined |= 1 << number


cdef void note_shared_misfit(Machine* machine, const Block* block, uint32_t weight) noexcept nogil:
    """This block, which never changes, was compiled for vectors of another shape, or alone and is run a lot. Where
    that is often so, the machine translates the page's code itself. weight: as how many misfits it counts.
    """
    cdef CodePage* record = code_page_of(machine, block.key.physical)[0]
    record.misfits += weight
    if record.misfits >= MANY_MISFITS:
        record.misfits = 0
        decline_block(machine, block)


cdef void ask_again(Machine* machine, uint64_t physical) noexcept nogil:
    """The page at this address holds other bytes now: perhaps those that a layer has code of."""
    cdef CodePage* record
    if machine.blocks.layer_count:
        record = code_page_of(machine, physical)[0]
        if record != NULL:
            record.declined = record.differing = 0
