"""Counts pairs of neighbouring uops as they are executed, for benchmarks/fusion.py, which chooses those to fuse.

A dispatch form of its own: blocks run one at a time in switch form. The counts are those of the process.
"""
from libc.stdint cimport uint64_t
from vm_native.machine cimport Cpu
from vm_native.interpreter cimport switch
from vm_native.interpreter.fusion cimport RELATIONS, relation_of
from vm_native.ir.block cimport CONSTANT_SLOT, Block
from vm_native.ir.uop cimport *

from vm_native.ir.uops import UOPS


cdef uint64_t counts[UOP_COUNT][UOP_COUNT][RELATIONS]


cdef void run_block(Cpu* cpu, Block* block) noexcept nogil:
    cdef int slot, previous = 0
    for slot in range(1, block.uop_count):
        if block.info[slot].opcode != CONSTANT_SLOT:
            counts[block.info[previous].opcode][block.info[slot].opcode][
                relation_of(&block.uops[previous], &block.uops[slot])] += 1
            previous = slot
    switch.run_block(cpu, block)


def take():
    """The counts since the last call: {(first, second, relation): count}, the uops by name."""
    cdef int first, second, relation
    result = {}
    for first in range(UOP_COUNT):
        for second in range(UOP_COUNT):
            for relation in range(RELATIONS):
                if counts[first][second][relation]:
                    result[UOPS[first].name, UOPS[second].name, relation] = counts[first][second][relation]
                    counts[first][second][relation] = 0
    return result
