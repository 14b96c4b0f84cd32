"""Compiled traces: their place in code memory, the jumps between them, and their end.

Code memory is cut into regions that are filled one after the other. When the last is full, the oldest is emptied: its
traces are discarded, and blocks that are still hot will be compiled again. Nothing here runs while a hart is inside
compiled code, except that a store or a callback may discard traces: their bytes stay until the region is used anew.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from vm_native.memory.ram cimport PAGE_SHIFT
from vm_native.machine cimport Compiler, Cpu
from vm_native.jump_cache cimport JumpCacheEntry
from vm_native.clock cimport host_ns
from vm_native.ir.block cimport Block
from vm_native.jit.state cimport LEFT_COLD, MAX_REGIONS, PAUSES, REGION_BYTES, Code, Exit, Jit, Membership, Region
from vm_native.jit.x86_64.assembler cimport patch


cdef void lay_out_regions(Jit* jit, uint8_t* first) noexcept nogil:
    """Cut the memory behind the stubs, which end at `first`, into regions."""
    cdef uint8_t* end = jit.memory.writable + jit.memory.size
    cdef Region* region
    jit.region_count = 0
    while first < end and jit.region_count < MAX_REGIONS:
        region = &jit.regions[jit.region_count]
        region.next = first
        first = jit.memory.writable + (jit.region_count + 1) * <uint64_t>REGION_BYTES
        region.end = first
        region.newest = NULL
        jit.region_count += 1
    jit.region = 0


cdef uint8_t* room_for_trace(Jit* jit, uint64_t size) noexcept nogil:
    """Where a trace of at most `size` bytes can be written; the oldest region is emptied if there is no other."""
    cdef Region* region = &jit.regions[jit.region]
    if region.next + size > region.end:
        jit.region = (jit.region + 1) % jit.region_count
        region = &jit.regions[jit.region]
        if region.newest != NULL or region.next + size > region.end:
            reclaim(jit, jit.region)
    return region.next


cdef void reclaim(Jit* jit, int number) noexcept nogil:
    cdef Region* region = &jit.regions[number]
    cdef uint64_t began = host_ns()
    while region.newest != NULL:
        discard_code(jit, region.newest)
    # The stubs stand at the start of the first region.
    region.next = jit.memory.writable + number * <uint64_t>REGION_BYTES if number else jit.stubs_end
    jit.statistics.reclaimed += 1
    jit.statistics.pauses_ns[jit.statistics.pause_count % PAUSES] = host_ns() - began
    jit.statistics.pause_count += 1


cdef Code* new_code(Block** parts, int part_count) noexcept nogil:
    """A record for a trace of these blocks, not kept yet: whoever gives it up frees it. NULL without memory."""
    cdef int exit_count = part_count + 1            # a branch of each, and both ways of the last
    cdef Code* code = <Code*>calloc(
        1, sizeof(Code) + part_count * (sizeof(Block*) + sizeof(Membership)) + exit_count * sizeof(Exit)
    )
    cdef int i
    if code == NULL:
        return NULL
    code.exits = <Exit*>(code + 1)
    code.memberships = <Membership*>(code.exits + exit_count)
    code.parts = <Block**>(code.memberships + part_count)
    code.head = parts[0]
    code.part_count = part_count
    for i in range(part_count):
        code.parts[i] = parts[i]
        code.memberships[i].code = code
    return code


cdef void free_code(Code* code) noexcept nogil:
    free(code.marks)
    free(code)


cdef void keep_code(Jit* jit, Code* code, uint8_t* end) noexcept nogil:
    """The trace has been written up to `end` of the region at hand: from now on its block runs it."""
    cdef Region* region = &jit.regions[jit.region]
    cdef int i
    code.region = jit.region
    code.size = <uint32_t>(end + jit.memory.executable - code.start)
    region.next = end
    code.older = region.newest
    if code.older != NULL:
        code.older.newer = code
    region.newest = code
    for i in range(code.part_count):
        code.memberships[i].next = <Membership*>code.parts[i].compiled_into
        code.parts[i].compiled_into = &code.memberships[i]
    code.head.entry = code.start
    lead_jump_caches(jit, code.head, code.start)


cdef void lead_jump_caches(Jit* jit, Block* block, uint8_t* entry) noexcept nogil:
    cdef JumpCacheEntry* place
    cdef int i
    for i in range(jit.cache.cpu_count):
        place = jump_entry(&jit.cache.cpus[i].jump_cache, block.pc)
        if place.block == block:
            place.code = entry


cdef void link(Jit* jit, Exit* way, Code* target) noexcept nogil:
    patch(way.jump, jit.memory.executable, target.start)
    way.target = target
    way.next_incoming = target.incoming
    target.incoming = way
    jit.statistics.links += 1


cdef Code* code_of(Block* block) noexcept nogil:
    """The trace that begins with this block."""
    cdef Membership* membership = <Membership*>block.compiled_into
    while membership.code.head != block:
        membership = membership.next
    return membership.code


cdef void link_exit(Compiler* face, Cpu* cpu, Block* target) noexcept nogil:
    """The exit that was just taken leads to this block: let it jump there directly where that is safe.

    Inside one virtual page it holds as long as the page's translation, which nothing changes on the way.
    """
    cdef Jit* jit = <Jit*>face
    cdef Exit* way = <Exit*>cpu.pending_exit
    cdef Block* source = way.source.head
    if way.target != NULL or way.pc != target.pc or target.mode != source.mode or not jit.switches.linking:
        return
    if (way.pc ^ source.pc) >> PAGE_SHIFT or target.physical - target.pc != source.physical - source.pc:
        return
    if target.second_page:
        # Both pages of that block must be looked at on every way in: the jump cache knows whether they were.
        patch(way.jump, jit.memory.executable, way.probe)
    elif target.entry != NULL:
        link(jit, way, code_of(target))


cdef void unlink_outgoing(Exit* way) noexcept nogil:
    cdef Exit** place
    if way.target == NULL:
        return
    place = &way.target.incoming
    while place[0] != way:
        place = &place[0].next_incoming
    place[0] = way.next_incoming
    way.target = NULL


cdef void leave_part(Block* block, Membership* membership) noexcept nogil:
    cdef Membership** place = <Membership**>&block.compiled_into
    while place[0] != membership:
        place = &place[0].next
    place[0] = membership.next


cdef void discard_code(Jit* jit, Code* code) noexcept nogil:
    """Undo every way into a trace, and forget it. Its bytes stay: a hart may be in them."""
    cdef Exit* way
    cdef int i
    while code.incoming != NULL:
        way = code.incoming
        code.incoming = way.next_incoming
        way.target = NULL
        patch(way.jump, jit.memory.executable, way.leave)
    for i in range(code.exit_count):
        unlink_outgoing(&code.exits[i])
    for i in range(code.part_count):
        leave_part(code.parts[i], &code.memberships[i])
    code.head.entry = NULL
    code.head.heat = 0
    lead_jump_caches(jit, code.head, jit.leave_at[jit.cache.cpus[0].front_end.uses_float(code.head.mode)][LEFT_COLD])
    for i in range(jit.cache.cpu_count):
        jit.cache.cpus[i].pending_exit = NULL
    if code.newer != NULL:
        code.newer.older = code.older
    else:
        jit.regions[code.region].newest = code.older
    if code.older != NULL:
        code.older.newer = code.newer
    jit.statistics.discarded += 1
    free_code(code)


cdef void discard_block(Compiler* face, Block* block) noexcept nogil:
    """The block is no longer what memory holds: end every trace that it is part of."""
    while block.compiled_into != NULL:
        discard_code(<Jit*>face, (<Membership*>block.compiled_into).code)


cdef void free_all(Jit* jit) noexcept nogil:
    """Looks at neither blocks nor harts: they may be gone."""
    cdef Code* code
    cdef int i
    for i in range(jit.region_count):
        while jit.regions[i].newest != NULL:
            code = jit.regions[i].newest
            jit.regions[i].newest = code.older
            jit.statistics.discarded += 1
            free_code(code)
