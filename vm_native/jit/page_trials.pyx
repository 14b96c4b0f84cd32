"""Which accesses of compiled code ask the TLB at once, and no PageEntry before it.

A PageEntry is quicker than the TLB as long as an access stays in its page, and much slower where it does not: the host
has guessed wrongly where to go on, and the TLB is asked all the same. Which accesses roam is not known before they run.
So one of INTERVAL accesses that a PageEntry has failed, and the TLB has not, is looked at. Blocks that are met like
this again and again are tried, with all that shares a trace with them: they are compiled anew, wherever they are part
of a trace, and count how often they run, until that can be held against how often each of their accesses has strayed.
Then they are compiled for good.
"""
from libc.stdint cimport uint64_t
from vm_native.ir.block cimport ON_TRIAL, TRIED, UNTRIED, Block, Uop, block_of, info_of
from vm_native.jit.state cimport Jit, Membership
from vm_native.machine cimport Cpu, Machine, lock_code, unlock_code

cdef enum:
    INTERVAL = 509          # a prime: not in step with the turns of a loop
    SUSPICIOUS = 16         # accesses of a block that have been met: so much has been lost that compiling anew may pay
    ENOUGH = 3              # of one access, before there is a verdict
    BREAK_EVEN = 12         # accesses in a page that pay for one that is elsewhere
    MOST_OTHERS = 64        # blocks whose trials begin or end with one's; further ones wait for a stray of their own
    LONGEST = ENOUGH * INTERVAL * BREAK_EVEN    # turns of a trial: what has strayed less often by then does not roam


cdef inline uint64_t turns_of(const Cpu* cpu, const Block* block) noexcept nogil:
    cdef uint64_t turns = cpu.trial_turns[counter_of(block)]
    return turns - block.turns_before if turns >= block.turns_before else 0     # else another hart began the trial


cdef void begin_trial(Cpu* cpu, Block* block) noexcept nogil:
    block.trial = ON_TRIAL
    block.turns_before = cpu.trial_turns[counter_of(block)]


cdef void pass_verdict(Cpu* cpu, Block* block) noexcept nogil:
    cdef int i
    for i in range(block.uop_count):
        block.info[i].asks_tlb = block.info[i].strays * INTERVAL * BREAK_EVEN > turns_of(cpu, block)
    block.trial = TRIED


cdef bint go_on(Cpu* cpu, Block* block) noexcept nogil:
    """With a trial of this block. Whether it has begun or ended: then the block is to be compiled anew."""
    if block.trial == UNTRIED:
        begin_trial(cpu, block)
        return True
    if block.trial == ON_TRIAL and turns_of(cpu, block) >= LONGEST // 4:
        pass_verdict(cpu, block)
        return True
    return False


cdef bint note_stray(Cpu* cpu, Uop* uop) noexcept nogil:
    """As `look_at_stray`, with the next in some time."""
    cdef bint renewed
    cpu.strays_left = INTERVAL
    lock_code(cpu.machine)
    renewed = look_at_stray(cpu, uop)
    unlock_code(cpu.machine)
    return renewed


cdef bint look_at_stray(Cpu* cpu, Uop* uop) noexcept nogil:
    """This access is not in the page of its PageEntry, and one that is looked at. Whether its block is to be compiled
    anew, and its compiled code has gone.
    """
    cdef Block* block = block_of(uop)
    cdef Membership* membership = <Membership*>block.compiled_into
    cdef Machine* machine = cpu.machine
    cdef Block* others[MOST_OTHERS]
    cdef int i, count = 0
    if not (<Jit*>machine.compiler).switches.trials or block.trial == TRIED or block.shared_page != NULL:
        return False
    if block.trial == UNTRIED:
        block.strays += 1
        if block.strays < SUSPICIOUS:
            return False
    else:
        info_of(uop).strays += 1
        if info_of(uop).strays < ENOUGH and turns_of(cpu, block) < LONGEST:
            return False
        pass_verdict(cpu, block)
    while membership != NULL:
        for i in range(membership.trace.part_count):
            if count < MOST_OTHERS and go_on(cpu, membership.trace.parts[i]):
                others[count] = membership.trace.parts[i]
                count += 1
        membership = membership.next
    # Turns are counted wherever a block is run, as in a loop of its own. Not sooner: this ends memberships.
    for i in range(count):
        machine.compiler.renew(machine.compiler, others[i])
    machine.compiler.renew(machine.compiler, block)
    return True
