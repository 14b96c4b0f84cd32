"""Which blocks make a trace: from a hot block on through unconditional jumps and the hot side of branches.

All of them stand in one virtual page, so that a look at the translation of the first is enough.
"""
from libc.stdint cimport uint64_t
from vm_native.memory.ram cimport PAGE_SHIFT, PAGE_SIZE
from vm_native.blocks cimport find_block
from vm_native.ir.block cimport Block
from vm_native.ir.uop cimport *
from vm_native.jit.state cimport MAX_PARTS, MAX_TRACE_STEPS, Jit


cdef uint64_t OFFSET_MASK = PAGE_SIZE - 1


cdef Block* block_in_page(Jit* jit, Block* near, uint64_t pc) noexcept nogil:
    """The block at pc, if it stands in the page of another and that page alone."""
    cdef Block* block
    if (pc ^ near.pc) >> PAGE_SHIFT:
        return NULL
    block = find_block(jit.cache, pc, near.mode, near.physical & ~OFFSET_MASK | pc & OFFSET_MASK)
    return block if block != NULL and not block.second_page else NULL


cdef inline uint64_t heat_of(Jit* jit, Block* block) noexcept nogil:
    """A block that has been compiled is no longer counted."""
    if block == NULL:
        return 0
    return block.heat + (jit.face.hot if block.entry != NULL else 0)


cdef Block* hot_successor(Jit* jit, Block* block, int* way) noexcept nogil:
    cdef int opcode = block.info[block.uop_count - 1].opcode
    cdef Block* taken
    cdef Block* fallen
    if opcode == UOP_FALL:
        way[0] = 1
        return block_in_page(jit, block, block.links[1].pc)
    if opcode == UOP_JAL:
        way[0] = 0
        return block_in_page(jit, block, block.links[0].pc)
    if UOP_BEQ <= opcode <= UOP_BGEU:
        taken = block_in_page(jit, block, block.links[0].pc)
        fallen = block_in_page(jit, block, block.links[1].pc)
        way[0] = 0 if heat_of(jit, taken) >= heat_of(jit, fallen) else 1
        return taken if way[0] == 0 else fallen
    return NULL


cdef bint among(Block* block, Block** parts, int count) noexcept nogil:
    cdef int i
    for i in range(count):
        if parts[i] == block:
            return True
    return False


cdef int choose_trace(Jit* jit, Block* head, Block** parts, int* ways) noexcept nogil:
    """How many parts; `ways[i]` leads from part i to the next and is -1 for the last."""
    cdef int count = 1, steps = head.steps
    cdef Block* following
    parts[0] = head
    ways[0] = -1
    while count < MAX_PARTS and jit.switches.superblocks and not head.second_page:
        following = hot_successor(jit, parts[count - 1], &ways[count - 1])
        if (
            following == NULL
            or heat_of(jit, following) * 4 < jit.face.hot
            or steps + following.steps > MAX_TRACE_STEPS
            or among(following, parts, count)
        ):
            ways[count - 1] = -1
            break
        parts[count] = following
        ways[count] = -1
        steps += following.steps
        count += 1
    return count
