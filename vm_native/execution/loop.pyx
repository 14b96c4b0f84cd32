"""The run loop of a hart: finds or translates the block at pc and enters it, until the slice is over or something stops
it.
"""
from libc.stdint cimport int64_t, uint64_t
from vm_native.blocks cimport cacheable_steps, find_block, keep_block, link_blocks, share_page
from vm_native.clock cimport steps_of
from vm_native.code_pages cimport cacheable_bytes, expect_code
from vm_native.execution.translate cimport translate
from vm_native.exits cimport deliver_trap
from vm_native.interpreter.dispatch cimport remembered
from vm_native.interpreter.forms cimport DispatchForm
from vm_native.ir.block cimport MAX_BLOCK_STEPS, Block, BlockKey, BlockExit, has_draft, same_key
from vm_native.jump_cache cimport JumpCacheEntry, jump_entry, note_code
from vm_native.machine cimport (
    CONTINUE, EXIT, MODE_MASK, RETRY, STOP_NONE, STOP_RAISED, TRAP, Compiler, Cpu, Machine, deliver_mail,
    lock_code, resume_reservation, settle_reservation, try_lock_code, unlock_code,
)
from vm_native.memory.bus cimport physical_of
from vm_native.memory.ram cimport PAGE_MASK
from vm_native.memory.tlb cimport EXECUTE, TlbEntry, tlb_entry
from vm_native.probes.breakpoints cimport has_breakpoints, is_breakpoint, stops_at
from vm_native.probes.records cimport begin_slice, settle_records, settle_transfer
from vm_native.safepoints cimport RUNNING, is_own, park, unpark
from vm_native.shared_code cimport find_shared, is_held, note_shared_misfit
from vm_native.unlocked cimport load_flag, peek32, poke32, published


cdef enum:
    SAMPLED_STEPS = 10000       # between two samples: more than any trace has, or such a one would never run
    ENOUGH_SAMPLES = 24         # that have met a draft: what a trace costs is paid back
    SAMPLED_MISFITS = 4         # that a sample counts for in shared code: after 64 a page is translated anew


cdef int fetch_address(Cpu* cpu, uint64_t pc, uint64_t* physical) noexcept nogil:
    """Where the instruction at pc stands in physical memory; TRAP if it may not be fetched."""
    cdef TlbEntry* entry = tlb_entry(cpu.fetch_tlb, pc)
    if entry.exec_tag == (pc & PAGE_MASK):
        physical[0] = physical_of(cpu.machine.map, pc + <uint64_t>entry.addend)
        return CONTINUE
    return cpu.front_end.translate_address(cpu, pc, EXECUTE, 2, physical)


cdef bint second_page_holds(Cpu* cpu, Block* block) noexcept nogil:
    """Whether the page that the last instruction crosses into is still where it was at translation."""
    cdef uint64_t physical
    return (
        fetch_address(cpu, (block.key.pc + block.size) & PAGE_MASK, &physical) == CONTINUE
        and (physical & PAGE_MASK) == block.second_page
    )


cdef inline Block* find_known(Cpu* cpu, const BlockKey* key) noexcept nogil:
    """As `find_block`; from another address space the jump cache may know the block still."""
    cdef Block* block = jump_entry(&cpu.jump_cache, key.pc).block
    if block != NULL and same_key(&block.key, key) and block.shared_page == NULL:
        return block
    return find_block(cpu.machine, key)


cdef Block* find_or_translate(const Translator* translator, Cpu* cpu, int* status) noexcept nogil:
    """The block at pc. NULL: `status` says how to go on.

    Of blocks that are known none goes while a hart runs, so that they are looked for without the lock.
    """
    cdef BlockKey key
    cdef Block* block
    cdef JumpCacheEntry* entry
    cdef bint whole, guarded
    key.pc = cpu.state.pc
    key.mode = cpu.key & MODE_MASK
    if cpu.machine.probes.execute_triggers and cpu.front_end.trigger_fires(cpu, 1 << EXECUTE, key.pc, 1):
        status[0] = TRAP
        return NULL
    status[0] = fetch_address(cpu, key.pc, &key.physical)
    if status[0] != CONTINUE:
        return NULL
    guarded = has_breakpoints(cpu.machine) and is_breakpoint(cpu.machine, &key)
    if guarded and stops_at(cpu, &key):
        status[0] = EXIT
        return NULL
    # Code in devices, in pages that a PMP entry cuts, and in lines that change all the time is run by the step.
    whole = tlb_entry(cpu.fetch_tlb, cpu.state.pc).exec_tag == (cpu.state.pc & PAGE_MASK)
    block = find_known(cpu, &key) if whole else NULL
    if block == NULL:
        lock_code(cpu.machine)
        # While it waited, others may have ended what was found out about the address, or have translated it.
        if not cpu.gate.changed:
            block = add_block(translator, cpu, &key, whole, guarded, status)
        unlock_code(cpu.machine)
        if block == NULL or not block.cached:
            return block
    if block.second_page and not second_page_holds(cpu, block):
        return translate(translator, cpu, &key, 1, status)
    if cpu.machine.blocks.linking and not guarded:
        # A block on two pages, too: the key changes when either may be elsewhere.
        note_code(&cpu.jump_cache, cpu.state.pc, block.size)
        entry = jump_entry(&cpu.jump_cache, cpu.state.pc)
        entry.pc = cpu.state.pc
        entry.key = cpu.key
        entry.block = block
        if cpu.machine.compiler != NULL:
            entry.code = cpu.machine.compiler.continuation(cpu.machine.compiler, block)
    return block


cdef Block* add_block(
    const Translator* translator, Cpu* cpu, const BlockKey* key, bint whole, bint guarded, int* status
) noexcept nogil:
    """That of another machine, or a translation, which is cached where that may be. The lock is held."""
    cdef Block* block = NULL
    cdef Block* kept
    cdef bint cacheable
    cdef int steps
    if whole and cpu.machine.safepoints != NULL:
        block = find_block(cpu.machine, key)
    if block == NULL and whole and cpu.machine.blocks.layer_count and takes_code_of_others(cpu.machine):
        block = find_shared(cpu.machine, key)
    if block != NULL:
        return block
    cacheable = whole and cacheable_bytes(cpu.machine, key.physical) != 0
    if cacheable and cpu.machine.safepoints != NULL:
        expect_code(cpu.machine, key.physical)      # of other harts' stores, before the bytes are looked at
    block = translate(translator, cpu, key, MAX_BLOCK_STEPS if cacheable else 1, status)
    if block == NULL or not cacheable:
        return block
    if block.second_page and cpu.machine.safepoints != NULL:
        expect_code(cpu.machine, block.second_page)
        block = translate(translator, cpu, key, MAX_BLOCK_STEPS, status)
        if block == NULL:
            return NULL
    steps = cacheable_steps(cpu.machine, block)
    if steps < block.steps:
        block = translate(translator, cpu, key, max(steps, 1), status)
        if block == NULL or steps == 0:
            return block
    block.guarded = guarded
    kept = keep_block(cpu.machine, block)
    return kept if kept != NULL else block


cdef inline bint takes_code_of_others(Machine* machine) noexcept nogil:
    """Which has neither ends where there are breakpoints here, nor what recorders need."""
    return not has_breakpoints(machine) and not machine.probes.instruments


cdef bint may_link(BlockExit* exit, Block* target) noexcept nogil:
    return (
        exit.pc == target.key.pc
        and share_page(&exit.source.key, &target.key)
        and exit.source.cached
        and target.cached
        and not target.second_page
        and not target.guarded
    )


cdef inline void set_aside(Cpu* cpu, int64_t steps) noexcept nogil:
    """Let the slice be over so many steps sooner; a negative number gives them back."""
    cpu.slice -= steps
    cpu.budget -= steps


cdef void interpret(const DispatchForm* form, Cpu* cpu, Block* block) noexcept nogil:
    """From this block on, until something leaves the chain; where there is a compiler, this block alone."""
    cdef int64_t rest
    if cpu.machine.compiler == NULL:
        form.run_block(cpu, block)
        return
    rest = cpu.budget - block.steps
    set_aside(cpu, rest)
    form.run_block(cpu, block)
    cpu.interpreted += <uint64_t>(block.steps - cpu.budget)
    set_aside(cpu, -rest)


cdef inline void* code_of(Block* block) noexcept nogil:
    """Where its compiled code begins, or NULL. Another hart, in a thread, may have just compiled it."""
    return published(&block.entry)


cdef inline bint is_hot(Compiler* compiler, Block* block) noexcept nogil:
    """Whether a block should be compiled now; each question counts as a use."""
    cdef uint64_t threshold = compiler.hot
    if compiler.seed:
        threshold = ((block.key.pc ^ compiler.seed) * 0x9E3779B97F4A7C15ULL >> 33) % (threshold + 1)
    poke32(&block.heat, peek32(&block.heat) + 1)      # of what harts in threads count at the same time some is lost
    return peek32(&block.heat) > threshold


cdef void compile_and_link(Cpu* cpu, Block* block, bint hot) noexcept nogil:
    """If the block is hot; and let the exit just taken lead to its code."""
    cdef Compiler* compiler = cpu.machine.compiler
    if try_lock_code(cpu.machine):      # else it is interpreted, and compiled when it is met again
        if hot and block.entry == NULL:
            compiler.compile(compiler, cpu, block)
        if cpu.pending_trace_exit != NULL:
            compiler.link(compiler, cpu, block)
        unlock_code(cpu.machine)
    cpu.pending_trace_exit = NULL


cdef void lead_to_code(Cpu* cpu, Block* block) noexcept nogil:
    """This hart's jump cache may have the block from when it was not compiled."""
    cdef JumpCacheEntry* entry = jump_entry(&cpu.jump_cache, block.key.pc)
    if entry.block == block:
        entry.code = code_of(block)


cdef inline bint ends_in(Cpu* cpu, Block* block) noexcept nogil:
    """Whether the slice is over before the block, or the trace that begins with it, is."""
    return cpu.budget < (block.entry_steps if code_of(block) != NULL else block.steps)


cdef inline int64_t until_sample(const Cpu* cpu) noexcept nogil:
    """How many steps the hart may take before it is looked at; below 0 where that is overdue."""
    return SAMPLED_STEPS - cpu.unsampled - (cpu.slice - cpu.budget)


cdef void take_sample(Cpu* cpu, Block* block) noexcept nogil:
    """The hart is here after so many steps, whatever they were: it is likely to be here often. If that is seen again
    and again of a block with a draft, it is time for a longer trace. So nothing has to count how often drafts are run.
    """
    cdef Compiler* compiler = cpu.machine.compiler
    cpu.unsampled = cpu.budget - cpu.slice
    if not has_draft(block) or not try_lock_code(cpu.machine):
        return
    if block.shared_page != NULL:
        note_shared_misfit(cpu.machine, block, SAMPLED_MISFITS)
    elif block.samples < ENOUGH_SAMPLES:
        block.samples += 1
    else:
        compiler.compile(compiler, cpu, block)
    unlock_code(cpu.machine)


cdef bint run_compiled(Cpu* cpu, Block* block) noexcept nogil:
    """Run the block's compiled code, if it has some or deserves it and the budget lasts for it. False: it is still to
    be run.
    """
    cdef Compiler* compiler = cpu.machine.compiler
    cdef bint hot = code_of(block) == NULL and block.cached and is_hot(compiler, block)
    cdef bint sampled
    cdef int64_t rest = 0
    if hot or cpu.pending_trace_exit != NULL:
        compile_and_link(cpu, block, hot)
    sampled = compiler.has_drafts       # asked once: a hart in another thread may make the first
    if sampled and until_sample(cpu) < block.entry_steps:
        take_sample(cpu, block)
        if block.shared_page != NULL and not is_held(cpu.machine, block):
            return False                # that page was given up: its code does not hear of stores any more
    if code_of(block) == NULL or cpu.budget < block.entry_steps:
        return False
    if cpu.machine.safepoints != NULL:
        lead_to_code(cpu, block)
    if sampled:                         # compiled code comes back when the sample is due
        rest = max(cpu.budget - until_sample(cpu), <int64_t>0)
    set_aside(cpu, rest)
    compiler.run(compiler, cpu, block)
    set_aside(cpu, -rest)
    return True


cdef void link_alone(Cpu* cpu, BlockExit* exit, Block* target) noexcept nogil:
    if try_lock_code(cpu.machine):
        link_blocks(exit, target)
        unlock_code(cpu.machine)


cdef bint look_up(Cpu* cpu) noexcept nogil:
    """Of a hart in its own thread: let others that want that change what it knows. Whether the slice is to end."""
    if load_flag(&cpu.machine.safepoints.going) != RUNNING:
        return True
    if load_flag(&cpu.machine.safepoints.stopping):
        cpu.gate.inside = 0             # nothing has been looked at, yet: there is no code that it is in
        park(&cpu.gate)
        unpark(&cpu.gate)
        cpu.gate.inside, cpu.gate.changed = 1, 0
    deliver_mail(cpu)
    return False


cdef void run_slice(const Translator* translator, Cpu* cpu) noexcept nogil:
    """Run until the budget is used up to the step, or cpu.stop says otherwise."""
    cdef Block* block
    cdef BlockExit* exit
    cdef int status
    while True:
        if cpu.machine.probes.instruments:
            settle_records(cpu)
        if cpu.stop != STOP_NONE or cpu.budget <= 0:
            break
        if cpu.machine.safepoints != NULL:
            cpu.gate.changed = 0
        if cpu.attention:
            cpu.front_end.attend(cpu)
            if cpu.stop != STOP_NONE:       # hooks are told of the interrupt that it took
                continue
            if is_own(&cpu.gate):           # after that has cleared `attention`: what others want next sets it again
                if look_up(cpu):
                    break
                if cpu.attention:
                    continue
        status = CONTINUE
        block = remembered(cpu, cpu.state.pc)
        if block == NULL:
            block = find_or_translate(translator, cpu, &status)
        if block != NULL:
            if cpu.may_end_early and ends_in(cpu, block):
                break
            if cpu.machine.compiler != NULL:
                cpu.pending_exit = NULL
                if run_compiled(cpu, block):
                    continue
            exit = cpu.pending_exit
            if exit != NULL and cpu.machine.blocks.linking and may_link(exit, block):
                link_alone(cpu, exit, block)
            if block.steps > cpu.budget or block.shared_page != NULL:
                # The slice ends inside the block: run just the instructions up to there. Or the block is shared: its
                # uops have handlers of another machine's engine, so it is translated for this one.
                block = translate(translator, cpu, &block.key, <int>min(cpu.budget, block.steps), &status)
        cpu.pending_exit = NULL
        if block != NULL:
            interpret(translator.form, cpu, block)
        elif status == RETRY:
            cpu.stop = STOP_RAISED
        elif status == TRAP:
            deliver_trap(cpu)
    cpu.pending_exit = NULL
    cpu.pending_trace_exit = NULL


cdef void open_slice(Cpu* cpu, int64_t length) noexcept nogil:
    """The hart is about to run so many steps; whoever lets it says what else of a slice is its own affair."""
    begin_slice(cpu)
    cpu.slice = cpu.budget = length
    cpu.slice_start = steps_of(cpu.machine.timeline)
    resume_reservation(cpu)
    cpu.front_end.enter(cpu)


cdef int64_t close_slice(Cpu* cpu) noexcept nogil:
    """The hart's state says all of what it has done. How many steps that were, which are not counted to it yet."""
    cpu.front_end.leave(cpu)
    settle_reservation(cpu)
    settle_transfer(cpu)
    cpu.state.regs[cpu.front_end.sink] = 0      # whatever an engine has left there
    cpu.unsampled += cpu.slice - cpu.budget
    return cpu.slice - cpu.budget
