"""Which blocks make a trace: from a hot block on through unconditional jumps and the hot side of branches.

All of them stand in one virtual page, so that a look at the translation of the first is enough.
"""
from libc.stdint cimport uint64_t
from vm_native.blocks cimport find_block
from vm_native.ir.block cimport DRAFT, Block, BlockKey, has_draft
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


cdef inline Block* behind(Jit* jit, Block* block, int link) noexcept nogil:
    """The block that this exit leads to, as `block_in_page`."""
    return block_in_page(jit, block, block.exits[link].pc)


cdef int hot_exit(Jit* jit, Block* block) noexcept nogil:
    """The exit by which the block is most often left, NO_EXIT if nobody knows."""
    cdef int opcode = block.info[block.uop_count - 1].opcode
    if opcode == UOP_FALL:
        return FALLEN
    if opcode == UOP_JAL:
        return TAKEN
    if not is_branch(opcode):
        return NO_EXIT
    if block.leaning:
        return block.leaning - 1
    return TAKEN if heat_of(jit, behind(jit, block, TAKEN)) >= heat_of(jit, behind(jit, block, FALLEN)) else FALLEN


cdef Block* hot_successor(Jit* jit, Block* block, int* link) noexcept nogil:
    """The block that most often follows, by the exit `link`; NULL if nobody knows."""
    link[0] = hot_exit(jit, block)
    return behind(jit, block, link[0]) if link[0] != NO_EXIT else NULL


cdef void become_draft(Jit* jit, Block* block) noexcept nogil:
    """Which exit the block leans to is noted now, as what follows is no longer counted when it is compiled, too."""
    block.stage = DRAFT
    block.samples = 0
    jit.interface.has_drafts = True
    block.leaning = 0
    block.leaning = 1 + hot_exit(jit, block)


cdef void note_behind(Neighbours* around, const Held* held) noexcept nogil:
    """An exit of the trace leads to where that is held."""
    if around.behind_count < MAX_BEHIND:
        around.behind[around.behind_count] = held[0]
        around.behind_count += 1


cdef void note_target(Neighbours* around, const Block* head, Block* target) noexcept nogil:
    """... to this block, if that has a trace that is no draft."""
    if target != NULL and target != head and target.entry != NULL and not has_draft(target):
        note_behind(around, &trace_of(target).held)


cdef void note_side_exit(Jit* jit, Neighbours* around, const Block* head, Block* part, int link) noexcept nogil:
    """Where else than by that exit the trace is left for behind this part."""
    cdef int opcode = part.info[part.uop_count - 1].opcode
    if is_branch(opcode):
        note_target(around, head, behind(jit, part, FALLEN if link == TAKEN else TAKEN))
    elif opcode == UOP_JALR:
        note_behind(around, &jit.held)


cdef Block* head_for(Jit* jit, Block* block) noexcept nogil:
    """Where the trace begins that is made as this block's draft is run a lot: with the loop that the block is in, or
    leads to, if the first block of that has a draft, too. Else with the block itself.
    """
    cdef Block* part = block
    cdef Block* following
    cdef int link, _
    for _ in range(MAX_PARTS):
        following = hot_successor(jit, part, &link)
        if following == NULL:
            break
        if following.key.pc < part.key.pc + part.size:      # backwards
            return following if has_draft(following) else block
        part = following
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
        while exit != NULL and has_draft(exit.source.head):
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
        following = hot_successor(jit, parts[count - 1], &next_exits[count - 1])
        note_side_exit(jit, around, head, parts[count - 1], next_exits[count - 1])
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
