"""The block cache.

A block is found by its key, virtual pc, mode and physical address. Each page of RAM that holds translated code has a
record of its blocks; a store into such a page is compared with the translated byte ranges, and kills what it overlaps.
Where code keeps being overwritten, the line that it stands in is not cached for a while: its instructions are run one
by one, translated each time. When the cache is full, each new block makes a few of the oldest go, so that the machine
never stops for long; where harts have threads, those that are too many go when all are at rest.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset
from vm_native.code_pages cimport (
    bytes_in_first_page, cacheable_bytes, code_page_of, ignore_stores, holds_code, mark_translated, note_churn,
    notice_stores, any_translated, record_of, settle_page, which_page,
)
from vm_native.ir.block cimport (
    MAX_BLOCK_UOPS, SECOND_CELL, UNTRIED, Block, BlockKey, BlockExit, Uop, UopInfo, same_key,
)
from vm_native.machine cimport (
    BlockCache, CodeLayer, CodePage, Machine, SharedPage, forget_all_code, forget_block, forget_jumps, harts_go,
    lock_code, unlock_code,
)
from vm_native.memory.bus cimport MAX_RAM_REGIONS, ram_at, share_of_ram
from vm_native.memory.ram cimport (
    HAS_CODE, PAGE_MASK, PAGE_OFFSET, PAGE_SHIFT, PAGE_SIZE, RamRegion, make_present, mark_dirty,
)
from vm_native.memory.zeroed cimport map_zeroed, unmap_zeroed, zero_pages
from vm_native.shared_code cimport (
    add_layer, decline_block, hash_of, hold, new_page, note_shared_misfit, open_layer, put_in, release_all,
    release_overlapping,
)
from vm_native.unlocked cimport publish, published

cdef enum:
    FIRST_BUCKET_BITS = 8           # a machine that has run nothing is small
    LAST_BUCKET_BITS = 20
    PART_OF_RAM = 4                 # that its translations may take: large programs run where there is much RAM ...
    LEAST_BYTES = 128 << 20         # ... but so much whatever there is
    MOST_BYTES = 1 << 30
    EVICTED_AT_ONCE = 16
    FIRST_MISFITS = 16              # a power of two


cdef size_t block_bytes(int uop_count) noexcept nogil:
    # A multiple of what any part of a block is aligned to: blocks stand side by side in an arena.
    return sizeof(Block) + (uop_count + 1) * sizeof(Uop) + (uop_count * sizeof(UopInfo) + 15) // 16 * 16


cdef Block* allocate_block(int uop_count) noexcept nogil:
    cdef Block* block = <Block*>calloc(1, block_bytes(uop_count))
    if block != NULL:
        place_arrays(block, uop_count)
    return block


cdef void place_arrays(Block* block, int uop_count) noexcept nogil:
    """Lay the uops and the side table behind the header; the cell before the first uop leads back to the block."""
    cdef Uop* cells = <Uop*>(block + 1)
    (<Block**>cells)[0] = block
    block.uops = cells + 1
    block.info = <UopInfo*>(cells + 1 + uop_count)
    block.exits[0].source = block
    block.exits[1].source = block


cdef Block* new_block() noexcept nogil:
    """A block with room for any translation, outside the cache. NULL if the host has no memory."""
    return allocate_block(MAX_BLOCK_UOPS)


cdef void free_block(Block* block) noexcept nogil:
    free(block)


cdef int init_cache(Machine* machine) noexcept nogil:
    cdef int i
    machine.blocks.buckets = <Block**>calloc(1 << FIRST_BUCKET_BITS, sizeof(Block*))
    if machine.blocks.buckets == NULL:
        return -1
    machine.blocks.bucket_bits = FIRST_BUCKET_BITS
    for i in range(machine.map.region_count):
        if cover_region(machine, i, machine.map.regions[i].size) < 0:
            return -1
    return 0


cdef int cover_region(Machine* machine, int number, uint64_t size) noexcept nogil:
    """Be ready for code in a region of RAM, by its number on the map. -1 if the host has no memory for that."""
    cdef uint64_t count = size >> PAGE_SHIFT
    cdef CodePage** pages = <CodePage**>map_zeroed(count * sizeof(CodePage*))
    if pages == NULL:
        return -1
    machine.blocks.pages[number] = pages
    machine.blocks.page_counts[number] = count
    machine.blocks.limit = share_of_ram(machine.map, PART_OF_RAM, LEAST_BYTES, MOST_BYTES)
    return 0


cdef void free_blocks(Machine* machine) noexcept nogil:
    """Live and dead ones, and what is known of their pages. The tables still point to them."""
    cdef Block* block
    cdef CodePage* record
    while machine.blocks.newest != NULL:
        block = machine.blocks.newest
        machine.blocks.newest = block.older
        free(block)
    machine.blocks.oldest = NULL
    machine.blocks.bytes = 0
    machine.blocks.count = 0
    free_dead(machine)
    while machine.blocks.records != NULL:
        record = machine.blocks.records
        machine.blocks.records = record.next
        free(record)


cdef void forget_translations(Machine* machine) noexcept nogil:
    """Give the host what the machine's own blocks and compiled code take. Between slices."""
    cdef CodePage* page = machine.blocks.records
    cdef int i
    forget_all_code(machine)
    if machine.compiler != NULL:
        machine.compiler.forget(machine.compiler)
    while page != NULL:
        ignore_stores(machine, page.physical)
        page = page.next
    machine.blocks.invalidations += machine.blocks.count
    machine.blocks.evictions += machine.blocks.count
    free_blocks(machine)
    for i in range(machine.map.region_count):
        zero_pages(machine.blocks.pages[i], machine.blocks.page_counts[i] * sizeof(CodePage*))
    memset(machine.blocks.buckets, 0, sizeof(Block*) << machine.blocks.bucket_bits)


cdef void destroy_cache(Machine* machine) noexcept nogil:
    """Free everything, once. Looks at neither RAM nor harts: the garbage collector may have taken them first."""
    cdef int i
    free_blocks(machine)
    machine.blocks.layer_count = 0
    free(machine.blocks.buckets)
    machine.blocks.buckets = NULL
    for i in range(MAX_RAM_REGIONS):
        unmap_zeroed(machine.blocks.pages[i], machine.blocks.page_counts[i] * sizeof(CodePage*))
        machine.blocks.pages[i] = NULL


cdef inline Block** bucket_of(const BlockCache* cache, const BlockKey* key) noexcept nogil:
    return &cache.buckets[hash_of(key, cache.bucket_bits)]


cdef void put_in_bucket(BlockCache* cache, Block* block) noexcept nogil:
    cdef Block** bucket = bucket_of(cache, &block.key)
    block.next_in_bucket = bucket[0]
    publish(<void**>bucket, block)


cdef bint widen(BlockCache* cache) noexcept nogil:
    """Twice the buckets. False: they stay as they are, as the host has no memory."""
    cdef Block** buckets = <Block**>calloc(2 << cache.bucket_bits, sizeof(Block*))
    cdef Block* block = cache.newest
    if buckets == NULL:
        return False
    free(cache.buckets)
    cache.buckets = buckets
    cache.bucket_bits += 1
    while block != NULL:
        put_in_bucket(cache, block)
        block = block.older
    return True


cdef void settle_cache(Machine* machine, uint64_t most) noexcept nogil:
    """Have buckets for all blocks, and let the oldest go, so many of them at most, while there are too many.

    Harts in threads look blocks up without a lock: there, this is for the moments at which all are at rest.
    """
    while machine.blocks.count >> machine.blocks.bucket_bits and machine.blocks.bucket_bits < LAST_BUCKET_BITS:
        if not widen(&machine.blocks):
            break
    while machine.blocks.bytes > machine.blocks.limit and most:
        kill_block(machine, machine.blocks.oldest)
        machine.blocks.evictions += 1
        most -= 1


cdef Block* find_block(Machine* machine, const BlockKey* key) noexcept nogil:
    cdef Block* block = <Block*>published(<void**>bucket_of(&machine.blocks, key))
    while block != NULL:
        if same_key(&block.key, key):
            return block
        block = block.next_in_bucket
    return NULL


cdef int cacheable_steps(Machine* machine, Block* block) noexcept nogil:
    """How many instructions from the start of a fresh translation on may be cached."""
    cdef uint64_t room = cacheable_bytes(machine, block.key.physical)
    cdef int i
    if block.second_page:
        return block.steps if room and cacheable_bytes(machine, block.second_page) else 0
    for i in range(block.uop_count if block.size > room else 0):
        if block.info[i].opcode != SECOND_CELL and block.info[i].pc_offset + block.info[i].length > room:
            return block.info[i].step
    return block.steps


cdef void insert_in_page(Block** first, Block* block, int which, uint64_t page) noexcept nogil:
    block.next_in_page[which] = first[0]
    block.place_in_page[which] = first
    if first[0] != NULL:
        first[0].place_in_page[which_page(first[0], page)] = &block.next_in_page[which]
    first[0] = block


cdef void remove_from_page(Block* block, int which, uint64_t page) noexcept nogil:
    cdef Block* following = block.next_in_page[which]
    block.place_in_page[which][0] = following
    if following != NULL:
        following.place_in_page[which_page(following, page)] = block.place_in_page[which]


cdef int register_in_page(Machine* machine, Block* block, int which, uint64_t physical, uint64_t size) noexcept nogil:
    cdef CodePage* record = record_of(machine, physical)
    if record == NULL:
        return -1
    notice_stores(machine, physical)
    # Where both virtual pages are one physical page, the block stands in its list once, for both parts.
    if which_page(block, physical & PAGE_MASK) == which:
        insert_in_page(&record.blocks, block, which, physical & PAGE_MASK)
    mark_translated(record.translated, physical & PAGE_OFFSET, size)
    return 0


cdef Block* keep_block(Machine* machine, Block* scratch) noexcept nogil:
    """Copy a fresh translation into the cache. NULL if the host has no memory: then it can still run uncached.

    Others may find it from where it is put into its bucket on.
    """
    cdef uint64_t first = bytes_in_first_page(scratch)
    cdef Block* block
    if not harts_go(machine):
        settle_cache(machine, EVICTED_AT_ONCE)
    block = <Block*>malloc(block_bytes(scratch.uop_count))
    if block == NULL:
        return NULL
    memcpy(block, scratch, sizeof(Block))
    place_arrays(block, scratch.uop_count)
    memcpy(block.uops, scratch.uops, scratch.uop_count * sizeof(Uop))
    memcpy(block.info, scratch.info, scratch.uop_count * sizeof(UopInfo))
    if register_in_page(machine, block, 0, block.key.physical, first) < 0:
        free(block)
        return NULL
    block.cached = True
    block.beside_code = block.outside_window = block.in_middle = False
    block.misfits = 0
    block.trial, block.strays = UNTRIED, 0
    put_in_bucket(&machine.blocks, block)
    machine.blocks.count += 1
    block.newer = NULL
    block.older = machine.blocks.newest
    if machine.blocks.newest != NULL:
        machine.blocks.newest.newer = block
    else:
        machine.blocks.oldest = block
    machine.blocks.newest = block
    machine.blocks.bytes += block_bytes(block.uop_count)
    machine.blocks.translations += 1
    if block.second_page and register_in_page(machine, block, 1, block.second_page, block.size - first) < 0:
        block.second_page = 0           # it stands in the first page's list alone
        kill_block(machine, block)
        return NULL
    return block


cdef void link_blocks(BlockExit* exit, Block* target) noexcept nogil:
    if exit.target == NULL:
        publish(<void**>&exit.target, target)
        exit.next_incoming = target.incoming
        target.incoming = exit


cdef void unlink_outgoing(BlockExit* exit) noexcept nogil:
    cdef BlockExit** place
    if exit.target == NULL:
        return
    place = &exit.target.incoming
    while place[0] != exit:
        place = &place[0].next_incoming
    place[0] = exit.next_incoming
    exit.target = NULL


cdef void take_out(Machine* machine, Block* block) noexcept nogil:
    """Of its bucket, and of those that are counted."""
    cdef Block** place = bucket_of(&machine.blocks, &block.key)
    while place[0] != block:
        place = &place[0].next_in_bucket
    place[0] = block.next_in_bucket
    if block.newer != NULL:
        block.newer.older = block.older
    else:
        machine.blocks.newest = block.older
    if block.older != NULL:
        block.older.newer = block.newer
    else:
        machine.blocks.oldest = block.newer
    machine.blocks.bytes -= block_bytes(block.uop_count)
    machine.blocks.count -= 1


cdef void kill_block(Machine* machine, Block* block) noexcept nogil:
    """Take a block out of the cache, the links, the jump caches and the page lists."""
    cdef BlockExit* exit = block.incoming
    cdef BlockExit* following
    forget_block(machine, block)        # from here on no other hart runs
    take_out(machine, block)
    while exit != NULL:
        following = exit.next_incoming
        exit.target = NULL
        exit = following
    block.incoming = NULL
    unlink_outgoing(&block.exits[0])
    unlink_outgoing(&block.exits[1])
    if machine.compiler != NULL:
        machine.compiler.discard(machine.compiler, block)
    drop_from_page(machine, block, 0, block.key.physical)
    if block.second_page:
        drop_from_page(machine, block, 1, block.second_page)
    block.dead = True
    block.next_dead = machine.blocks.dead
    machine.blocks.dead = block
    machine.blocks.invalidations += 1


cdef void drop_from_page(Machine* machine, Block* block, int which, uint64_t physical) noexcept nogil:
    cdef CodePage* page = code_page_of(machine, physical)[0]
    cdef uint64_t base = physical & PAGE_MASK
    if which_page(block, base) == which:
        remove_from_page(block, which, base)
    if not holds_code(page):
        settle_page(machine, page)


cdef void kill_overlapping(Machine* machine, CodePage* page, uint64_t physical, uint64_t size) noexcept nogil:
    """Kill the blocks of one page that share a byte with [physical, physical + size), which lies in that page."""
    cdef uint64_t base = physical & PAGE_MASK
    cdef uint64_t start, end
    cdef Block* block = page.blocks
    cdef Block* following
    cdef bint killed = False
    while block != NULL:
        if which_page(block, base) == 0:
            following = block.next_in_page[0]
            start = block.key.physical
            end = start + bytes_in_first_page(block)
        else:
            following = block.next_in_page[1]
            start = base
            end = base + block.size - bytes_in_first_page(block)
        if physical < end and start < physical + size or block.second_page == base and (
            physical < base + block.size - bytes_in_first_page(block)
        ):
            kill_block(machine, block)
            killed = True
        block = following
    if release_overlapping(machine, page, physical & PAGE_OFFSET, size):
        killed = True
    if killed:
        page.differing = 0              # perhaps it holds what a layer was made of, now or soon
        note_churn(machine, page, physical & PAGE_OFFSET, size)
    settle_page(machine, page)


cdef void invalidate(Machine* machine, uint64_t physical, uint64_t size) noexcept nogil:
    """RAM in [physical, physical + size) has been or will be changed: mark pages dirty, kill what was translated."""
    cdef RamRegion* region = ram_at(machine.map, physical, size)
    cdef uint64_t part
    while size:
        part = PAGE_SIZE - (physical & PAGE_OFFSET)
        if part > size:
            part = size
        mark_dirty(region, (physical - region.base) >> PAGE_SHIFT)
        forget_code(machine, region, physical, part)
        physical += part
        size -= part


cdef void drop_blocks_at(Machine* machine, uint64_t address, uint64_t size, bint physical) noexcept nogil:
    """Kill the blocks that reach into this range, physical or virtual, or up to it: they will end elsewhere now."""
    cdef CodePage* page = machine.blocks.records
    cdef Block* block = machine.blocks.newest
    cdef Block* older
    cdef uint64_t start
    while block != NULL:
        older = block.older
        start = block.key.physical if physical else block.key.pc
        if address - start <= block.size or start - address < size:
            kill_block(machine, block)
        block = older
    while page != NULL:                 # where there is a breakpoint, no shared code is asked for
        release_all(machine, page)
        page = page.next


cdef void drop_all_blocks(Machine* machine) noexcept nogil:
    """Code is translated in another way from now on."""
    cdef CodePage* page = machine.blocks.records
    while machine.blocks.newest != NULL:
        kill_block(machine, machine.blocks.newest)
    while page != NULL:
        release_all(machine, page)
        page = page.next


cdef void forget_code(Machine* machine, RamRegion* region, uint64_t physical, uint64_t size) noexcept nogil:
    """Kill what was translated of [physical, physical + size), which lies in one page of the region."""
    cdef CodePage* page
    if region.code[(physical - region.base) >> PAGE_SHIFT] & HAS_CODE:
        lock_code(machine)
        page = code_page_of(machine, physical)[0]
        if any_translated(page.translated, physical & PAGE_OFFSET, size):
            kill_overlapping(machine, page, physical, size)
        unlock_code(machine)


cdef void note(Machine* machine, Block* block, bint* fact) noexcept nogil:
    """Something to be minded when the block is compiled: what has been compiled of it ends."""
    if fact[0]:
        return
    lock_code(machine)
    if block.shared_page != NULL:
        decline_block(machine, block)   # it is translated anew, and that one can be told
    else:
        fact[0] = True
        if machine.compiler != NULL:
            machine.compiler.renew(machine.compiler, block)
    unlock_code(machine)


cdef void note_store_beside_code(Machine* machine, Block* block) noexcept nogil:
    """A store of this block went to a page that holds code: when compiled, it shall look where in the page."""
    note(machine, block, &block.beside_code)


cdef void note_outside_window(Machine* machine, Block* block) noexcept nogil:
    """An access of this block is in no window: when compiled, those that it makes shall ask about pages."""
    note(machine, block, &block.outside_window)


cdef void note_misfit(Machine* machine, Block* block) noexcept nogil:
    """Vectors had another shape than compiled code of this block takes them to have.

    Where that happens often it is compiled anew, for the shape of that time; which is ever more often, lest that never
    ends where shapes take turns.
    """
    cdef uint32_t count = block.misfits + 1
    if block.shared_page != NULL:
        note_shared_misfit(machine, block, 1)
        return
    block.misfits = count
    if count >= FIRST_MISFITS and count & count - 1 == 0 and machine.compiler != NULL:
        lock_code(machine)
        machine.compiler.renew(machine.compiler, block)
        unlock_code(machine)


cdef void free_dead(Machine* machine) noexcept nogil:
    """Free the blocks that were killed. No hart may be inside one."""
    cdef Block* block
    while machine.blocks.dead != NULL:
        block = machine.blocks.dead
        machine.blocks.dead = block.next_dead
        free(block)


# --- What is given to others ------------------------------------------------------------------------------------------

cdef inline bint can_be_shared(const Block* block) noexcept nogil:
    # To share traces of one block that ends in another page is not worth the trouble.
    return block.compiled_into != NULL and not block.second_page


cdef bint hand_over(Machine* machine, CodeLayer* layer) noexcept nogil:
    """Let a new layer have all compiled code and the blocks that it was made of, and the machine run that layer.

    False if nothing is compiled, or the host has no memory for it. Between slices.
    """
    cdef CodePage* record
    cdef Block* block
    cdef uint64_t pages = 0, heads = 0
    record = machine.blocks.records
    while record != NULL:
        block = shareable_from(record, record.blocks)
        pages += block != NULL
        if block != NULL and not make_page_present(machine, record.physical):
            return False
        while block != NULL:
            heads += block.entry != NULL
            block = shareable_from(record, block.next_in_page[0])
        record = record.next
    if not pages or not open_layer(layer, pages, heads):
        return False
    discard_across_pages(machine)
    layer.bytes += machine.compiler.bytes
    layer.free_compiled = machine.compiler.free_handed_over
    layer.compiled = machine.compiler.hand_over(machine.compiler)
    if layer.compiled == NULL:
        return False
    forget_jumps(machine)
    add_layer(machine, layer)
    record = machine.blocks.records
    while record != NULL:
        if shareable_from(record, record.blocks) != NULL:
            move_shareable(machine, record, layer)
        record = record.next
    return True


cdef bint make_page_present(Machine* machine, uint64_t physical) noexcept nogil:
    """So that its bytes can be looked at: after a restore they may still be those of another moment."""
    cdef RamRegion* region = ram_at(machine.map, physical, PAGE_SIZE)
    return make_present(region, (physical - region.base) >> PAGE_SHIFT)


cdef void discard_across_pages(Machine* machine) noexcept nogil:
    """All that is compiled is about to be handed over, and these cannot be."""
    cdef Block* block = machine.blocks.newest
    while block != NULL:
        if block.second_page:
            machine.compiler.discard(machine.compiler, block)
        block = block.older


cdef Block* shareable_from(CodePage* record, Block* block) noexcept nogil:
    """The first that can be shared, of the blocks of this page from this one on."""
    while block != NULL and not can_be_shared(block):
        block = block.next_in_page[which_page(block, record.physical)]
    return block


cdef void move_shareable(Machine* machine, CodePage* record, CodeLayer* layer) noexcept nogil:
    """Those of one page; the machine holds the layer there. Where there is a compiler no blocks are linked, so there
    are no exits to undo.
    """
    cdef RamRegion* region = ram_at(machine.map, record.physical, PAGE_SIZE)
    cdef SharedPage* page = new_page(layer, record.physical, region.host + (record.physical - region.base))
    cdef Block* block = shareable_from(record, record.blocks)
    cdef Block* following
    while block != NULL:
        following = shareable_from(record, block.next_in_page[0])
        take_out(machine, block)
        remove_from_page(block, 0, record.physical)
        layer.bytes += block_bytes(block.uop_count)
        put_in(layer, page, block)
        block = following
    hold(machine, machine.blocks.layer_count - 1, record, page)
