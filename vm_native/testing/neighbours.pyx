"""How often which uops followed each other in a block, for benchmarks/fusion.py, which chooses those to fuse."""
from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from vm_native.execution.native_machine cimport NativeMachine
from vm_native.interpreter.fusion cimport RELATIONS, relation_of
from vm_native.ir.block cimport SECOND_CELL, Block
from vm_native.ir.uop cimport UOP_COUNT

from vm_native.ir.uops import UOPS


def take_counts(NativeMachine machine not None):
    """The counts since the last call: {(first, second, relation): count}, the uops by name.

    A machine counts how often a block is interpreted where it has a compiler. That must never find one hot enough:
    what is compiled is counted no more. Blocks that have been invalidated since are missing.
    """
    cdef uint64_t* counts = <uint64_t*>calloc(UOP_COUNT * UOP_COUNT * RELATIONS, sizeof(uint64_t))
    cdef Block* block = machine.machine.blocks.newest
    cdef int first, second, relation
    if counts == NULL:
        raise MemoryError("no room for the counts")
    while block != NULL:
        add(counts, block)
        block.heat = 0
        block = block.older
    result = {}
    for first in range(UOP_COUNT):
        for second in range(UOP_COUNT):
            for relation in range(RELATIONS):
                if counts[index_of(first, second, relation)]:
                    result[UOPS[first].name, UOPS[second].name, relation] = counts[index_of(first, second, relation)]
    free(counts)
    return result


cdef inline int index_of(int first, int second, int relation) noexcept nogil:
    return (first * UOP_COUNT + second) * RELATIONS + relation


cdef void add(uint64_t* counts, Block* block) noexcept nogil:
    cdef int cell, previous = 0
    for cell in range(1, block.uop_count):
        if block.info[cell].opcode != SECOND_CELL:
            counts[index_of(block.info[previous].opcode, block.info[cell].opcode,
                            relation_of(&block.uops[previous], &block.uops[cell]))] += block.heat
            previous = cell
