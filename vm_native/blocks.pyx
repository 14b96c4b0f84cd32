"""The block cache.

A block is found by its key, virtual pc, mode and physical address. Each page
of RAM that holds translated code has a record of its blocks; a store into such a page is compared with the translated
byte ranges, and kills what it overlaps. A page whose code keeps being overwritten is not cached for a while. When the
cache is full, each new block makes a few of the oldest go, so that the machine never stops for long.
"""
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy
from vm_native.ir.block cimport MAX_BLOCK_UOPS, Block, BlockKey, BlockExit, Uop, UopInfo, same_key
from vm_native.machine cimport CodePage, Machine, forbid_writes, forget_block
from vm_native.memory.bus cimport MAX_RAM_REGIONS, ram_at
from vm_native.memory.ram cimport HAS_CODE, PAGE_MASK, PAGE_OFFSET, PAGE_SHIFT, PAGE_SIZE, RamRegion

cdef enum:
    BUCKET_BITS = 18
    BUCKETS = 1 << BUCKET_BITS
    CHURN_LIMIT = 24                # invalidations by stores before a page is left uncached ...
    CHURN_FORGOTTEN = 5000000       # ... until this many steps have passed without another
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
    machine.blocks.buckets = <Block**>calloc(BUCKETS, sizeof(Block*))
    if machine.blocks.buckets == NULL:
        return -1
    for i in range(machine.map.region_count):
        machine.blocks.pages[i] = <CodePage**>calloc(machine.map.regions[i].size >> PAGE_SHIFT, sizeof(CodePage*))
        if machine.blocks.pages[i] == NULL:
            return -1
    return 0


cdef void destroy_cache(Machine* machine) noexcept nogil:
    """Free everything, once. Looks at neither RAM nor harts: the garbage collector may have taken them first."""
    cdef Block* block
    cdef CodePage* record
    cdef int i
    while machine.blocks.newest != NULL:
        block = machine.blocks.newest
        machine.blocks.newest = block.older
        free(block)
    machine.blocks.oldest = NULL
    machine.blocks.bytes = 0
    free_dead(machine)
    free(machine.blocks.buckets)
    machine.blocks.buckets = NULL
    while machine.blocks.records != NULL:
        record = machine.blocks.records
        machine.blocks.records = record.next
        free(record)
    for i in range(MAX_RAM_REGIONS):
        free(machine.blocks.pages[i])
        machine.blocks.pages[i] = NULL


cdef inline uint64_t bucket_of(const BlockKey* key) noexcept nogil:
    # Fibonacci hashing: the shared libraries of many processes differ in high bits of pc only.
    cdef uint64_t mixed = key.pc >> 1 ^ key.mode << 48 ^ (key.physical >> PAGE_SHIFT) * 0xFF51AFD7ED558CCDULL
    return (mixed * 0x9E3779B97F4A7C15ULL) >> (64 - BUCKET_BITS)


cdef Block* find_block(Machine* machine, const BlockKey* key) noexcept nogil:
    cdef Block* block = machine.blocks.buckets[bucket_of(key)]
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


cdef bint page_is_cacheable(Machine* machine, uint64_t physical) noexcept nogil:
    """Whether code at this physical address may be cached: it is RAM, and not overwritten all the time."""
    cdef CodePage** record = code_page_of(machine, physical)
    if record == NULL:
        return False
    if record[0] == NULL or record[0].churn < CHURN_LIMIT:
        return True
    if machine.timeline.steps - record[0].churned_at < CHURN_FORGOTTEN:
        return False
    record[0].churn = 0
    return True


cdef inline uint64_t granules_of(uint64_t offset, uint64_t size) noexcept nogil:
    """Bits of the 64-byte granules that [offset, offset + size) touches; it lies inside a page, size > 0."""
    cdef uint64_t first = offset >> 6
    cdef uint64_t last = (offset + size - 1) >> 6
    return (<uint64_t>-1 << first) & (<uint64_t>-1 >> (63 - last))


cdef inline int which_page(Block* block, uint64_t page) noexcept nogil:
    return 0 if (block.key.physical & PAGE_MASK) == page else 1


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
        record[0].next = machine.blocks.records
        machine.blocks.records = record[0]
    page = (physical - region.base) >> PAGE_SHIFT
    if not region.code[page] & HAS_CODE:
        region.code[page] |= HAS_CODE
        forbid_writes(machine, region, physical)
    # Where both virtual pages are one physical page, the block stands in its list once, for both parts.
    if which_page(block, physical & PAGE_MASK) == which:
        insert_in_page(&record[0].blocks, block, which, physical & PAGE_MASK)
    record[0].granules |= granules_of(physical & PAGE_OFFSET, size)
    return 0


cdef inline uint64_t bytes_in_first_page(Block* block) noexcept nogil:
    cdef uint64_t room = PAGE_SIZE - (block.key.physical & PAGE_OFFSET)
    return block.size if block.size < room else room


cdef Block* keep_block(Machine* machine, Block* scratch) noexcept nogil:
    """Copy a fresh translation into the cache. NULL if the host has no memory: then it can still run uncached."""
    cdef uint64_t bucket, first = bytes_in_first_page(scratch)
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
    bucket = bucket_of(&block.key)
    block.next_in_bucket = machine.blocks.buckets[bucket]
    machine.blocks.buckets[bucket] = block
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
    cdef Block** place = &machine.blocks.buckets[bucket_of(&block.key)]
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
    machine.blocks.invalidations += 1


cdef void drop_from_page(Machine* machine, Block* block, int which, uint64_t physical) noexcept nogil:
    cdef CodePage* page = code_page_of(machine, physical)[0]
    cdef uint64_t base = physical & PAGE_MASK
    cdef RamRegion* region
    if which_page(block, base) == which:
        remove_from_page(block, which, base)
    if page.blocks == NULL:
        page.granules = 0
        region = ram_at(machine.map, base, PAGE_SIZE)
        region.code[(base - region.base) >> PAGE_SHIFT] &= ~HAS_CODE


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
        page.churn += 1
        page.churned_at = machine.timeline.steps


cdef void invalidate(Machine* machine, uint64_t physical, uint64_t size) noexcept nogil:
    """RAM in [physical, physical + size) has been or will be changed: mark pages dirty, kill what was translated."""
    cdef RamRegion* region = ram_at(machine.map, physical, size)
    cdef CodePage** record
    cdef uint64_t part, page
    while size:
        part = PAGE_SIZE - (physical & PAGE_OFFSET)
        if part > size:
            part = size
        page = (physical - region.base) >> PAGE_SHIFT
        region.dirty[page] = 1
        if region.code[page] & HAS_CODE:
            record = code_page_of(machine, physical)
            if record[0].granules & granules_of(physical & PAGE_OFFSET, part):
                kill_overlapping(machine, record[0], physical, part)
        physical += part
        size -= part


cdef void free_dead(Machine* machine) noexcept nogil:
    """Free the blocks that were killed. No hart may be inside one."""
    cdef Block* block
    while machine.blocks.dead != NULL:
        block = machine.blocks.dead
        machine.blocks.dead = block.next_dead
        free(block)
