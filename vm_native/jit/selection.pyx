"""Which blocks make a trace: from a hot block on through unconditional jumps and the hot side of branches.

All of them stand in one virtual page, so that a look at the translation of the first is enough.
"""
from libc.stdint cimport uint64_t
from vm_native.blocks cimport find_block
from vm_native.ir.block cimport DRAFT, Block, BlockKey
from vm_native.ir.uop cimport *
from vm_native.jit.neighbours cimport MAX_BEHIND, Neighbours
from vm_native.jit.state cimport FALLEN, MAX_PARTS, MAX_TRACE_STEPS, NO_EXIT, TAKEN, Exit, Held, Jit
from vm_native.jit.traces cimport trace_of
from vm_native.machine cimport Cpu
from vm_native.memory.ram cimport PAGE_MASK, PAGE_OFFSET, PAGE_SHIFT
from vm_native.unlocked cimport peek32


cdef Block* block_in_page(Jit* jit, Block* near, uint64_t pc) noexcept nogil:
    """The block at pc, if it stands in the page of another and that page alone, and others may lead to it."""
    cdef BlockKey key
    cdef Block* block
    if (pc ^ near.key.pc) >> PAGE_SHIFT:
        return NULL
    key = BlockKey(pc, near.key.mode, near.key.physical & PAGE_MASK | pc & PAGE_OFFSET)
    block = find_block(jit.machine, &key)
    return block if block != NULL and not block.second_page and not block.guarded else NULL


cdef inline uint64_t heat_of(Jit* jit, Block* block) noexcept nogil:
    """A block that has been compiled is no longer counted."""
    if block == NULL:
        return 0
    return peek32(&block.heat) + (jit.interface.hot if block.entry != NULL else 0)


cdef inline int hotter_exit(Jit* jit, Block* taken, Block* fallen) noexcept nogil:
    return TAKEN if heat_of(jit, taken) >= heat_of(jit, fallen) else FALLEN


cdef void become_draft(Jit* jit, Block* block) noexcept nogil:
    """Which exit the block leans to is noted now, as what follows is no longer counted when it is compiled, too."""
    cdef Block* taken
    cdef Block* fallen
    block.stage = DRAFT
    if is_branch(block.info[block.uop_count - 1].opcode):
        taken = block_in_page(jit, block, block.exits[TAKEN].pc)
        fallen = block_in_page(jit, block, block.exits[FALLEN].pc)
        block.leaning = 1 + hotter_exit(jit, taken, fallen)


cdef void note_behind(Neighbours* around, const Held* held) noexcept nogil:
    """An exit of the trace leads to where that is held."""
    if around.behind_count < MAX_BEHIND:
        around.behind[around.behind_count] = held[0]
        around.behind_count += 1


cdef void note_target(Neighbours* around, const Block* head, Block* target) noexcept nogil:
    """... to this block, if that has a trace."""
    if target != NULL and target != head and target.entry != NULL and not trace_of(target).is_draft:
        note_behind(around, &trace_of(target).held)


cdef Block* hot_successor(Jit* jit, const Block* head, Block* block, int* link, Neighbours* around) noexcept nogil:
    """The block that most often follows, NULL if nobody knows; where else the trace is left for is noted."""
    cdef int opcode = block.info[block.uop_count - 1].opcode
    cdef Block* taken
    cdef Block* fallen
    if opcode == UOP_FALL:
        link[0] = FALLEN
        return block_in_page(jit, block, block.exits[FALLEN].pc)
    if opcode == UOP_JAL:
        link[0] = TAKEN
        return block_in_page(jit, block, block.exits[TAKEN].pc)
    if is_branch(opcode):
        taken = block_in_page(jit, block, block.exits[TAKEN].pc)
        fallen = block_in_page(jit, block, block.exits[FALLEN].pc)
        link[0] = block.leaning - 1 if block.leaning else hotter_exit(jit, taken, fallen)
        note_target(around, head, fallen if link[0] == TAKEN else taken)
        return taken if link[0] == TAKEN else fallen
    if opcode == UOP_JALR:
        note_behind(around, &jit.held)
    return NULL


cdef Block* head_for(Jit* jit, Block* block) noexcept nogil:
    """Where the trace shall begin that is made as this draft is run a lot: with the loop that it is in, if what begins
    that is a draft, too.
    """
    cdef Neighbours around
    cdef Block* part = block
    cdef Block* following
    cdef int link, count = 0
    around.behind_count = 0
    while count < MAX_PARTS and not part.second_page:
        following = hot_successor(jit, block, part, &link, &around)
        if following == NULL:
            break
        if following.key.pc < part.key.pc + part.size:
            return following if following.stage == DRAFT and following.entry != NULL else block
        part = following
        count += 1
    return block


cdef bint among(Block* block, Block** parts, int count) noexcept nogil:
    cdef int i
    for i in range(count):
        if parts[i] == block:
            return True
    return False


cdef const Held* held_before(Jit* jit, const Cpu* cpu, Block* head) noexcept nogil:
    """What a trace holds that leads to this block: that which has just done so, or any that is linked to its draft."""
    cdef const Exit* exit = <const Exit*>cpu.pending_trace_exit
    if exit == NULL or exit.pc != head.key.pc:
        exit = trace_of(head).incoming if head.entry != NULL else NULL
        while exit != NULL and exit.source.is_draft:
            exit = exit.next_incoming
    return &exit.source.held if exit != NULL else &jit.held


cdef int choose_trace(
    Jit* jit, const Cpu* cpu, Block* head, Block** parts, int* next_exits, Neighbours* around
) noexcept nogil:
    """How many parts; `next_exits[i]` leads from part i to the next and is NO_EXIT for the last. And what is around."""
    cdef int count = 1, steps = head.steps
    cdef Block* following
    around.before = held_before(jit, cpu, head)[0]
    around.behind_count = 0
    parts[0] = head
    next_exits[0] = NO_EXIT
    while count < MAX_PARTS and jit.switches.superblocks and not head.second_page:
        following = hot_successor(jit, head, parts[count - 1], &next_exits[count - 1], around)
        if (
            following == NULL
            or heat_of(jit, following) * 4 < jit.interface.hot
            or steps + following.steps > MAX_TRACE_STEPS
            or among(following, parts, count)
        ):
            note_target(around, head, following)
            next_exits[count - 1] = NO_EXIT
            break
        parts[count] = following
        next_exits[count] = NO_EXIT
        steps += following.steps
        count += 1
    return count
