"""Compiled traces: their place in code memory, the jumps between them, and their end.

Code memory is cut into regions that are filled one after the other. When the last is full, the oldest is emptied: its
traces are discarded, and blocks that are still hot will be compiled again. Nothing here runs while a hart is inside
compiled code, except that a store or a callback may discard traces: their bytes stay until the region is used anew.
Where harts have threads traces and jumps are added while others run, but a region is emptied when all are at rest.
"""
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp
from vm_native.blocks cimport share_page
from vm_native.clock cimport host_ns
from vm_native.ir.block cimport Block
from vm_native.jit.executable cimport release_code_memory, unmap_code_memory
from vm_native.jit.state cimport (
    EXIT_COLD, HOLDERS, MAX_REGIONS, PAUSES, REGION_BYTES, CodeMemory, CountingExit, Exit, HandedOver, Jit, Membership,
    Region, Switches, Trace,
)
from vm_native.jit.x86_64.assembler cimport patch
from vm_native.machine cimport Compiler, Cpu, harts_go, offer_code, reschedule, withdraw_code
from vm_native.unlocked cimport publish


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
    """Where a trace of at most `size` bytes can be written; the oldest region is emptied if there is no other. NULL
    while harts in threads run: one may be inside that very region. It is emptied when all rest, as they are asked to.
    """
    cdef Region* region = &jit.regions[jit.region]
    if region.next + size <= region.end:
        return region.next
    region = &jit.regions[following_region(jit)]
    if region.newest != NULL or region.next + size > region.end:
        if harts_go(jit.machine):
            jit.interface.wants_room = True
            reschedule(jit.machine)
            return NULL
        reclaim(jit, following_region(jit))
    jit.region = following_region(jit)
    return region.next


cdef inline int following_region(const Jit* jit) noexcept nogil:
    return (jit.region + 1) % jit.region_count


cdef void make_room(Compiler* interface) noexcept nogil:
    """Empty the region that is filled next."""
    cdef Jit* jit = <Jit*>interface
    reclaim(jit, following_region(jit))
    interface.wants_room = False


cdef void reclaim(Jit* jit, int number) noexcept nogil:
    cdef Region* region = &jit.regions[number]
    # The stubs stand at the start of the first region.
    cdef uint8_t* first = jit.memory.writable + number * <uint64_t>REGION_BYTES if number else jit.stubs.end
    cdef uint64_t began = host_ns()
    while region.newest != NULL:
        discard_trace(jit, region.newest)
    jit.interface.bytes -= region.next - first
    region.next = first
    jit.statistics.reclaimed += 1
    jit.statistics.pauses_ns[jit.statistics.pause_count % PAUSES] = host_ns() - began
    jit.statistics.pause_count += 1


cdef inline int most_exits(int part_count) noexcept nogil:
    return part_count + 1           # a branch of each part, and both exits of the last


cdef inline size_t record_bytes(int part_count) noexcept nogil:
    return sizeof(Trace) + part_count * (sizeof(Block*) + sizeof(Membership)) + most_exits(part_count) * sizeof(Exit)


cdef Trace* new_trace(Block** parts, int part_count) noexcept nogil:
    """A record for a trace of these blocks, not kept yet: whoever gives it up frees it. NULL without memory."""
    cdef int exit_count = most_exits(part_count)
    cdef Trace* trace = <Trace*>calloc(1, record_bytes(part_count))
    cdef int i
    if trace == NULL:
        return NULL
    trace.exits = <Exit*>(trace + 1)
    trace.memberships = <Membership*>(trace.exits + exit_count)
    trace.parts = <Block**>(trace.memberships + part_count)
    trace.head = parts[0]
    trace.key = parts[0].key
    trace.second_page = parts[0].second_page
    trace.part_count = part_count
    for i in range(part_count):
        trace.parts[i] = parts[i]
        trace.memberships[i].trace = trace
    return trace


cdef void free_trace(Trace* trace) noexcept nogil:
    free(trace.marks)
    free(trace.pointers)
    free(trace)


cdef void keep_trace(Jit* jit, Trace* trace, uint8_t* end) noexcept nogil:
    """The trace has been written up to `end` of the region at hand: from now on its block runs it."""
    cdef Region* region = &jit.regions[jit.region]
    cdef int i
    trace.region = jit.region
    trace.size = <uint32_t>(end + jit.memory.executable - trace.start)
    trace.ahead = <uint32_t>(trace.start - jit.memory.executable - region.next)
    jit.interface.bytes += end - region.next + record_bytes(trace.part_count)
    region.next = end
    trace.older = region.newest
    if trace.older != NULL:
        trace.older.newer = trace
    region.newest = trace
    for i in range(trace.part_count):
        trace.memberships[i].next = <Membership*>trace.parts[i].compiled_into
        trace.parts[i].compiled_into = &trace.memberships[i]
    publish(&trace.head.entry, trace.start)
    offer_code(jit.machine, trace.head, trace.start)


cdef inline bint hold_the_same(const Trace* source, const Trace* target) noexcept nogil:
    """Whether their host registers have the same guest registers, so that one may jump into the middle of the other."""
    return target.inside != NULL and memcmp(source.held.slots, target.held.slots, HOLDERS) == 0


cdef void unlink(Jit* jit, Exit* exit) noexcept nogil:
    """Let it lead back to the run loop."""
    exit.target = NULL
    patch(exit.jump, jit.memory.executable, exit.unlinked)
    if exit.unswapped != NULL:
        patch(exit.unswapped, jit.memory.executable, exit.swap_out)


cdef void lead_to(Jit* jit, Exit* exit, Trace* target) noexcept nogil:
    cdef CountingExit* counting = &exit.counting
    cdef int32_t price = <int32_t>target.head.entry_steps - counting.refund
    if exit.unswapped != NULL and hold_the_same(exit.source, target):
        patch(exit.unswapped, jit.memory.executable, target.inside)
        return
    if counting.start == NULL:
        patch(exit.jump, jit.memory.executable, target.start)
        return
    (<int32_t*>counting.price)[0] = (<int32_t*>counting.price_back)[0] = price
    patch(counting.jump, jit.memory.executable, target.counted)
    patch(exit.jump, jit.memory.executable, counting.start)


cdef void link(Jit* jit, Exit* exit, Trace* target) noexcept nogil:
    lead_to(jit, exit, target)
    exit.target = target
    exit.next_incoming = target.incoming
    target.incoming = exit
    jit.statistics.links += 1


cdef Trace* trace_of(Block* block) noexcept nogil:
    """The trace that begins with this block."""
    cdef Membership* membership = <Membership*>block.compiled_into
    while membership.trace.head != block:
        membership = membership.next
    return membership.trace


cdef void ask_jump_cache(Jit* jit, Exit* exit) noexcept nogil:
    """Before it goes back to the run loop, where it has no target."""
    cdef bint floats = jit.front_end.uses_float(exit.source.head.key.mode)
    patch(exit.way_back, jit.memory.executable, jit.stubs.look_up_exit[floats])


cdef void link_exit(Compiler* interface, Cpu* cpu, Block* target) noexcept nogil:
    """The exit that was just taken leads to this block: let it jump there directly where that is safe."""
    cdef Jit* jit = <Jit*>interface
    cdef Exit* exit = <Exit*>cpu.pending_trace_exit
    if exit.target != NULL or not jit.switches.linking:
        return
    if exit.pc != target.key.pc or target.guarded or not share_page(&exit.source.head.key, &target.key):
        return
    if target.second_page or target.shared_page != NULL:
        # Whether both pages of a block are where they were, or a shared one is still held, the jump cache knows.
        ask_jump_cache(jit, exit)
    elif target.entry != NULL:
        link(jit, exit, trace_of(target))


cdef void unlink_outgoing(Exit* exit) noexcept nogil:
    cdef Exit** link
    if exit.target == NULL:
        return
    link = &exit.target.incoming
    while link[0] != exit:
        link = &link[0].next_incoming
    link[0] = exit.next_incoming
    exit.target = NULL


cdef void* cold_exit(Jit* jit, Block* block) noexcept nogil:
    """Where compiled code leaves to a block that is not compiled."""
    return jit.stubs.exit_at[jit.front_end.uses_float(block.key.mode)][EXIT_COLD]


cdef void end_membership(Block* block, Membership* membership) noexcept nogil:
    cdef Membership** link = <Membership**>&block.compiled_into
    while link[0] != membership:
        link = &link[0].next
    link[0] = membership.next


cdef void discard_trace(Jit* jit, Trace* trace) noexcept nogil:
    """Undo every jump into a trace, and forget it. Its bytes stay: a hart may be in them.

    It may be a draft whose block has a trace now.
    """
    cdef Exit* exit
    cdef int i
    cdef bint runs = trace.head.entry == trace.start
    withdraw_code(jit.machine, trace.head, cold_exit(jit, trace.head) if runs else trace.head.entry)
    # From here on no other hart runs.
    while trace.incoming != NULL:
        exit = trace.incoming
        trace.incoming = exit.next_incoming
        unlink(jit, exit)
    for i in range(trace.exit_count):
        unlink_outgoing(&trace.exits[i])
    for i in range(trace.part_count):
        end_membership(trace.parts[i], &trace.memberships[i])
    if runs:
        trace.head.entry = NULL
        trace.head.heat = 0
    if trace.newer != NULL:
        trace.newer.older = trace.older
    else:
        jit.regions[trace.region].newest = trace.older
    if trace.older != NULL:
        trace.older.newer = trace.newer
    jit.statistics.discarded += 1
    jit.interface.departures += 1
    jit.interface.bytes -= record_bytes(trace.part_count)
    free_trace(trace)


cdef Trace* draft_before(const Trace* trace) noexcept nogil:
    """That of the same head, NULL if there is none: also if it had to go to make room for this trace."""
    cdef Membership* membership = <Membership*>trace.head.compiled_into
    while membership != NULL and (membership.trace == trace or membership.trace.head != trace.head):
        membership = membership.next
    return membership.trace if membership != NULL else NULL


cdef void discard_draft(Jit* jit, const Trace* trace) noexcept nogil:
    """If the head of this trace had one. What led there leads to the trace when it is next taken."""
    cdef Trace* draft = draft_before(trace)
    if draft != NULL:
        discard_trace(jit, draft)


cdef void discard_block(Compiler* interface, Block* block) noexcept nogil:
    """The block is no longer what memory holds: end every trace that it is part of."""
    while block.compiled_into != NULL:
        discard_trace(<Jit*>interface, (<Membership*>block.compiled_into).trace)


cdef void renew_block(Compiler* interface, Block* block) noexcept nogil:
    """End every trace that the block is part of, and count its head as hot."""
    cdef Block* head
    while block.compiled_into != NULL:
        head = (<Membership*>block.compiled_into).trace.head
        discard_trace(<Jit*>interface, (<Membership*>block.compiled_into).trace)
        head.heat = interface.hot


cdef void forget_traces(Compiler* interface) noexcept nogil:
    """Give the host all memory but that of the stubs."""
    cdef Jit* jit = <Jit*>interface
    if jit.memory.writable != NULL:
        free_all(jit)
        release_code_memory(&jit.memory, jit.stubs.end)
        lay_out_regions(jit, jit.stubs.end)
    interface.bytes = 0


cdef void* hand_over(Compiler* interface) noexcept nogil:
    """Give all traces away with the memory that they lie in. They lead to each other as they do now, and else to what
    the jump cache of the hart that runs them says.
    """
    cdef Jit* jit = <Jit*>interface
    cdef HandedOver* handed = <HandedOver*>malloc(sizeof(HandedOver))
    cdef Trace* trace
    cdef int i, k
    if handed == NULL:
        return NULL
    handed[0] = HandedOver(jit.memory, jit.stubs, jit.switches, jit.relocatable, interface.has_drafts, False, NULL)
    for i in range(jit.region_count):
        while jit.regions[i].newest != NULL:
            trace = jit.regions[i].newest
            jit.regions[i].newest = trace.older
            trace.older = handed.traces
            handed.traces = trace
            for k in range(trace.exit_count):
                if trace.exits[k].target == NULL:
                    ask_jump_cache(jit, &trace.exits[k])
    jit.memory = CodeMemory(NULL, 0, 0)
    jit.region_count = 0
    interface.bytes = 0
    return handed


cdef void free_handed_over(void* compiled) noexcept nogil:
    cdef HandedOver* handed = <HandedOver*>compiled
    cdef Trace* trace
    while handed.traces != NULL and not handed.in_arena:
        trace = handed.traces
        handed.traces = trace.older
        free_trace(trace)
    unmap_code_memory(&handed.memory)
    free(handed)


cdef bint adopt_stubs(Jit* jit, const HandedOver* handed) noexcept nogil:
    """Be ready to run what another machine has handed over. False, and nothing is changed, if other switches made it.

    The host is the same, and whoever asks sees to it that the ISA is.
    """
    if memcmp(&jit.switches, &handed.switches, sizeof(Switches)) != 0:
        return False
    if jit.memory.writable == NULL:
        jit.stubs = handed.stubs
    jit.interface.has_drafts = jit.interface.has_drafts or handed.has_drafts
    return True


cdef void free_all(Jit* jit) noexcept nogil:
    """Looks at neither blocks nor harts: they may be gone."""
    cdef Trace* trace
    cdef int i
    for i in range(jit.region_count):
        while jit.regions[i].newest != NULL:
            trace = jit.regions[i].newest
            jit.regions[i].newest = trace.older
            jit.statistics.discarded += 1
            free_trace(trace)
