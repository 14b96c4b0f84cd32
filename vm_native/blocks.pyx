"""The block cache.

A block is found by its key, virtual pc, mode and physical address. Each page of RAM that holds translated code has a
record of its blocks; a store into such a page is compared with the translated byte ranges, and kills what it overlaps.
Where code keeps being overwritten, the line that it stands in is not cached for a while: its instructions are run one
by one, translated each time. When the cache is full, each new block makes a few of the oldest go, so that the machine
never stops for long.
"""
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset
from vm_native.ir.block cimport MAX_BLOCK_UOPS, SECOND_CELL, Block, BlockKey, BlockExit, Uop, UopInfo, same_key
from vm_native.machine cimport (
    CODE_LINE_SHIFT, GRANULE_SHIFT, GRANULE_WORDS, BlockCache, CodePage, Machine, forget_all_code, forget_block,
    revoke_store_ranges, revoke_writes,
)
from vm_native.memory.bus cimport MAX_RAM_REGIONS, physical_of, ram_at
from vm_native.memory.ram cimport HAS_CODE, PAGE_MASK, PAGE_OFFSET, PAGE_SHIFT, PAGE_SIZE, RamRegion, mark_dirty
from vm_native.memory.zeroed cimport map_zeroed, unmap_zeroed, zero_pages

cdef extern from *:
    int count_leading_zeros "__builtin_clzll"(unsigned long long value) noexcept nogil
    int count_trailing_zeros "__builtin_ctzll"(unsigned long long value) noexcept nogil

cdef enum:
    FIRST_BUCKET_BITS = 8           # a machine that has run nothing is small
    LAST_BUCKET_BITS = 18
    CHURN_LIMIT = 24                # invalidations by stores to a line before its code is left uncached ...
    CHURN_FORGOTTEN = 5000000       # ... until this many steps have passed without another in its page
    EVICTED_AT_ONCE = 16


cdef inline size_t block_bytes(int uop_count) noexcept nogil:
    return sizeof(Block) + (uop_count + 1) * sizeof(Uop) + uop_count * sizeof(UopInfo)


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


cdef void has_no_code(Machine* machine, uint64_t physical) noexcept nogil:
    cdef RamRegion* region = ram_at(machine.map, physical, 1)
    region.code[(physical - region.base) >> PAGE_SHIFT] &= ~HAS_CODE


cdef void forget_translations(Machine* machine) noexcept nogil:
    """Give the host what all blocks and compiled code take. Between slices."""
    cdef Block* block = machine.blocks.newest
    cdef int i
    forget_all_code(machine)
    if machine.compiler != NULL:
        machine.compiler.forget(machine.compiler)
    while block != NULL:
        has_no_code(machine, block.key.physical)
        if block.second_page:
            has_no_code(machine, block.second_page)
        block = block.older
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
    free(machine.blocks.buckets)
    machine.blocks.buckets = NULL
    for i in range(MAX_RAM_REGIONS):
        unmap_zeroed(machine.blocks.pages[i], machine.blocks.page_counts[i] * sizeof(CodePage*))
        machine.blocks.pages[i] = NULL


cdef inline Block** bucket_of(const BlockCache* cache, const BlockKey* key) noexcept nogil:
    # Fibonacci hashing: the shared libraries of many processes differ in high bits of pc only.
    cdef uint64_t mixed = key.pc >> 1 ^ key.mode << 48 ^ (key.physical >> PAGE_SHIFT) * 0xFF51AFD7ED558CCDULL
    return &cache.buckets[(mixed * 0x9E3779B97F4A7C15ULL) >> (64 - cache.bucket_bits)]


cdef void put_in_bucket(BlockCache* cache, Block* block) noexcept nogil:
    cdef Block** bucket = bucket_of(cache, &block.key)
    block.next_in_bucket = bucket[0]
    bucket[0] = block


cdef void widen(BlockCache* cache) noexcept nogil:
    """Twice the buckets; they stay as they are if the host has no memory."""
    cdef Block** buckets = <Block**>calloc(2 << cache.bucket_bits, sizeof(Block*))
    cdef Block* block = cache.newest
    if buckets == NULL:
        return
    free(cache.buckets)
    cache.buckets = buckets
    cache.bucket_bits += 1
    while block != NULL:
        put_in_bucket(cache, block)
        block = block.older


cdef Block* find_block(Machine* machine, const BlockKey* key) noexcept nogil:
    cdef Block* block = bucket_of(&machine.blocks, key)[0]
    while block != NULL:
        if same_key(&block.key, key):
            return block
        block = block.next_in_bucket
    return NULL


cdef CodePage** code_page_of(Machine* machine, uint64_t physical) noexcept nogil:
    cdef int i
    cdef uint64_t offset
    for i in range(machine.map.region_count):
        offset = physical - machine.map.regions[i].base
        if offset < machine.map.regions[i].size:
            return &machine.blocks.pages[i][offset >> PAGE_SHIFT]
    return NULL


cdef uint64_t cacheable_bytes(Machine* machine, uint64_t physical) noexcept nogil:
    """How many bytes of code from this physical address on, in its page, are RAM and not overwritten all the time."""
    cdef CodePage** record = code_page_of(machine, physical)
    cdef uint64_t offset = physical & PAGE_OFFSET
    cdef uint64_t ahead
    if record == NULL:
        return 0
    if record[0] == NULL or not record[0].restless:
        return PAGE_SIZE - offset
    if machine.timeline.steps - record[0].churned_at >= CHURN_FORGOTTEN:
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
    page.churned_at = machine.timeline.steps


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


cdef inline uint64_t bytes_in_first_page(Block* block) noexcept nogil:
    cdef uint64_t room = PAGE_SIZE - (block.key.physical & PAGE_OFFSET)
    return block.size if block.size < room else room


cdef inline int which_page(Block* block, uint64_t page) noexcept nogil:
    return 0 if (block.key.physical & PAGE_MASK) == page else 1


# --- Which bytes of a page are translated. Offsets are in the page; a range lies inside it and is not empty. ----------

cdef inline uint64_t granules_in_word(uint64_t word, uint64_t first, uint64_t last) noexcept nogil:
    """The bits of granules `first` to `last` that stand in a word of `CodePage.translated`, which has some of them."""
    cdef uint64_t bits = <uint64_t>-1
    if word == first >> 6:
        bits &= <uint64_t>-1 << (first & 63)
    if word == last >> 6:
        bits &= <uint64_t>-1 >> (63 - (last & 63))
    return bits


cdef bint is_translated(const CodePage* page, uint64_t offset, uint64_t size) noexcept nogil:
    """Whether a byte of [offset, offset + size) may be; one that is not certainly is not."""
    cdef uint64_t first = offset >> GRANULE_SHIFT
    cdef uint64_t last = (offset + size - 1) >> GRANULE_SHIFT
    cdef uint64_t word
    for word in range(first >> 6, (last >> 6) + 1):
        if page.translated[word] & granules_in_word(word, first, last):
            return True
    return False


cdef void mark_translated(CodePage* page, uint64_t offset, uint64_t size) noexcept nogil:
    cdef uint64_t first = offset >> GRANULE_SHIFT
    cdef uint64_t last = (offset + size - 1) >> GRANULE_SHIFT
    cdef uint64_t word
    for word in range(first >> 6, (last >> 6) + 1):
        page.translated[word] |= granules_in_word(word, first, last)


cdef void mark_again(CodePage* page, uint64_t base) noexcept nogil:
    """Just what the blocks of the page at `base` were made of: some are gone."""
    cdef Block* block = page.blocks
    cdef uint64_t first
    cdef int which
    memset(page.translated, 0, sizeof(page.translated))
    while block != NULL:
        which = which_page(block, base)
        first = bytes_in_first_page(block)
        if which == 0:
            mark_translated(page, block.key.physical & PAGE_OFFSET, first)
        if block.second_page == base:
            mark_translated(page, 0, block.size - first)
        block = block.next_in_page[which]


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
    cdef CodePage** record = code_page_of(machine, physical)
    cdef RamRegion* region = ram_at(machine.map, physical, 1)
    cdef uint64_t page
    if record == NULL:
        return -1
    if record[0] == NULL:
        record[0] = <CodePage*>calloc(1, sizeof(CodePage))
        if record[0] == NULL:
            return -1
        record[0].physical = physical & PAGE_MASK
        record[0].next = machine.blocks.records
        machine.blocks.records = record[0]
    page = (physical - region.base) >> PAGE_SHIFT
    if region.code[page] & HAS_CODE:
        revoke_store_ranges(machine)
    else:
        region.code[page] |= HAS_CODE
        revoke_writes(machine, region, physical)
    # Where both virtual pages are one physical page, the block stands in its list once, for both parts.
    if which_page(block, physical & PAGE_MASK) == which:
        insert_in_page(&record[0].blocks, block, which, physical & PAGE_MASK)
    mark_translated(record[0], physical & PAGE_OFFSET, size)
    return 0


cdef Block* keep_block(Machine* machine, Block* scratch) noexcept nogil:
    """Copy a fresh translation into the cache. NULL if the host has no memory: then it can still run uncached."""
    cdef uint64_t first = bytes_in_first_page(scratch)
    cdef int evicted = 0
    cdef Block* block
    while machine.blocks.bytes > machine.blocks.limit and evicted < EVICTED_AT_ONCE:
        kill_block(machine, machine.blocks.oldest)
        machine.blocks.evictions += 1
        evicted += 1
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
    block.beside_code = False
    if machine.blocks.count >> machine.blocks.bucket_bits and machine.blocks.bucket_bits < LAST_BUCKET_BITS:
        widen(&machine.blocks)
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
        exit.target = target
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


cdef void kill_block(Machine* machine, Block* block) noexcept nogil:
    """Take a block out of the bucket, the links, the jump caches and the page lists."""
    cdef Block** place = bucket_of(&machine.blocks, &block.key)
    cdef BlockExit* exit = block.incoming
    cdef BlockExit* following
    while place[0] != block:
        place = &place[0].next_in_bucket
    place[0] = block.next_in_bucket
    while exit != NULL:
        following = exit.next_incoming
        exit.target = NULL
        exit = following
    block.incoming = NULL
    unlink_outgoing(&block.exits[0])
    unlink_outgoing(&block.exits[1])
    forget_block(machine, block)
    if machine.compiler != NULL:
        machine.compiler.discard(machine.compiler, block)
    drop_from_page(machine, block, 0, block.key.physical)
    if block.second_page:
        drop_from_page(machine, block, 1, block.second_page)
    if block.newer != NULL:
        block.newer.older = block.older
    else:
        machine.blocks.newest = block.older
    if block.older != NULL:
        block.older.newer = block.newer
    else:
        machine.blocks.oldest = block.newer
    block.dead = True
    block.next_dead = machine.blocks.dead
    machine.blocks.dead = block
    machine.blocks.bytes -= block_bytes(block.uop_count)
    machine.blocks.count -= 1
    machine.blocks.invalidations += 1


cdef void drop_from_page(Machine* machine, Block* block, int which, uint64_t physical) noexcept nogil:
    cdef CodePage* page = code_page_of(machine, physical)[0]
    cdef uint64_t base = physical & PAGE_MASK
    if which_page(block, base) == which:
        remove_from_page(block, which, base)
    if page.blocks == NULL:
        memset(page.translated, 0, sizeof(page.translated))
        has_no_code(machine, base)


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
    if killed:
        note_churn(machine, page, physical & PAGE_OFFSET, size)
    mark_again(page, base)


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


cdef void drop_blocks_at(Machine* machine, uint64_t address, bint physical) noexcept nogil:
    """Kill the blocks that reach over this address, physical or virtual, or up to it: they will end elsewhere now."""
    cdef Block* block = machine.blocks.newest
    cdef Block* older
    cdef uint64_t start
    while block != NULL:
        older = block.older
        start = block.key.physical if physical else block.key.pc
        if address - start <= block.size:
            kill_block(machine, block)
        block = older


cdef void forget_code(Machine* machine, RamRegion* region, uint64_t physical, uint64_t size) noexcept nogil:
    """Kill what was translated of [physical, physical + size), which lies in one page of the region."""
    cdef CodePage* page
    if region.code[(physical - region.base) >> PAGE_SHIFT] & HAS_CODE:
        page = code_page_of(machine, physical)[0]
        if is_translated(page, physical & PAGE_OFFSET, size):
            kill_overlapping(machine, page, physical, size)


cdef CodePage* code_beside(Machine* machine, uint64_t host) noexcept nogil:
    """What was translated of the page of RAM in which the host has this address; NULL if nothing ever was."""
    return code_page_of(machine, physical_of(machine.map, host))[0]


cdef void note_store_beside_code(Machine* machine, Block* block) noexcept nogil:
    """A store of this block went to a page that holds code: when compiled, it shall look where in the page."""
    if not block.beside_code:
        block.beside_code = True
        if machine.compiler != NULL:
            machine.compiler.discard(machine.compiler, block)


cdef void free_dead(Machine* machine) noexcept nogil:
    """Free the blocks that were killed. No hart may be inside one."""
    cdef Block* block
    while machine.blocks.dead != NULL:
        block = machine.blocks.dead
        machine.blocks.dead = block.next_dead
        free(block)
