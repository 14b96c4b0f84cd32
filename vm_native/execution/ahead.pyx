"""Code that is compiled before it runs: what can be reached from some addresses without a jump to an unknown place.

What is behind a call or a trap is reached as well: it comes back; but not what is behind no instruction. Where a branch
has not been run yet, nobody knows which way it goes. Back, it is taken, and never forward: that is what loops do, and
what compilers lay out.
"""
from libc.stdint cimport uint32_t, uint64_t
from vm_native.execution.allowance cimport run_begins, run_ended
from vm_native.execution.loop cimport find_or_translate
from vm_native.execution.scheduler cimport Scheduler
from vm_native.ir.block cimport FINAL, SECOND_CELL, Block, Uop, has_draft, info_of
from vm_native.ir.uop cimport *
from vm_native.jit.state cimport FALLEN, TAKEN, Trace
from vm_native.jit.traces cimport trace_of
from vm_native.machine cimport Compiler, Cpu

cdef enum:
    WARMEST = 1 << 30       # heat of code at the lowest address


cdef Block* block_at(Scheduler scheduler, uint64_t pc) noexcept:
    """NULL where no code can be fetched, or none that is worth keeping."""
    cdef Cpu* cpu = scheduler.machine.cpus[0]
    cdef int status
    cdef Block* block
    cpu.state.pc = pc
    block = find_or_translate(&scheduler.translator, cpu, &status)
    return block if block != NULL and block.cached and block.shared_page == NULL else NULL


cdef list ways_on(Scheduler scheduler, const Block* block):
    """Where what is behind a block begins, as far as that is known."""
    cdef Uop* last = &block.uops[block.uop_count - 1]
    cdef int opcode = block.info[block.uop_count - 1].opcode
    cdef uint64_t behind = block.key.pc + block.size
    if is_branch(opcode):
        return [block.exits[TAKEN].pc, block.exits[FALLEN].pc]
    if opcode == UOP_JAL or opcode == UOP_JALR:
        found = [block.exits[TAKEN].pc] if opcode == UOP_JAL else []
        return found + [behind] if last.rd != scheduler.machine.front_end.sink else found
    if opcode == SECOND_CELL:
        last -= 1
    if info_of(last).opcode == UOP_CALL_EXIT and last.imm == scheduler.machine.front_end.illegal_helper:
        return []
    return [behind]


def compile_ahead(Scheduler scheduler not None, roots):
    """Compile what hart 0 can come to from these addresses, in the mode that it is in. Between two runs."""
    cdef Cpu* cpu = scheduler.machine.cpus[0]
    cdef Compiler* compiler = scheduler.machine.compiler
    cdef uint64_t before = cpu.state.pc
    cdef Block* block
    cdef Trace* trace
    cdef int i
    run_begins(scheduler.machine)       # its memory is counted at the end
    known = set()
    waiting = list(roots)
    while waiting:
        pc = waiting.pop()
        block = block_at(scheduler, pc) if pc not in known else NULL
        known.add(pc)
        if block != NULL and not block.heat:
            block.heat = compiler.hot + WARMEST - <uint32_t>(block.key.pc >> 1 & WARMEST - 1)
        if block != NULL:
            if has_draft(block):
                compiler.renew(compiler, block)
            block.stage = FINAL         # there is time for traces, and nobody will see which is run a lot
            waiting += ways_on(scheduler, block)
    known.clear()
    waiting = list(roots)
    while waiting:
        pc = waiting.pop()
        block = block_at(scheduler, pc) if pc not in known else NULL
        known.add(pc)
        if block == NULL:
            continue
        if block.entry == NULL:
            compiler.compile(compiler, cpu, block)
        if block.entry == NULL:
            continue
        trace = trace_of(block)
        for i in range(trace.part_count):
            following = trace.parts[i + 1].key.pc if i + 1 < trace.part_count else None
            waiting += [way for way in ways_on(scheduler, trace.parts[i]) if way != following]
    cpu.state.pc = before
    run_ended(scheduler.machine)
