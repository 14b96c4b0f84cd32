"""The pass that puts probes into a fresh translation, for the recorders that there are.

    probe.block             at the start
    probe.end, probe.exit   before what ends the block, where that may lead elsewhere than behind it
    probe.access            before an access to memory, and probe.loaded behind one that writes a register
    probe.step              before each instruction; the decoder puts it there, which knows the words of instructions
"""
from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy, memset
from vm_native.ir.block cimport MAX_BLOCK_UOPS, SECOND_CELL, Block, Uop, UopInfo
from vm_native.ir.uop cimport *
from vm_native.machine cimport INSTRUMENT_ACCESSES, INSTRUMENT_BLOCKS, Cpu, Machine
from vm_native.probes.records cimport RECORDED_IF_DONE, RECORDED_READ, RECORDED_WRITE

# What a record says of an access, by what the uop does to memory.
cdef uint8_t[5] RECORDED
RECORDED[ACCESS_LOADS] = RECORDED_READ
RECORDED[ACCESS_STORES] = RECORDED_WRITE
RECORDED[ACCESS_STORES_IF] = RECORDED_WRITE | RECORDED_IF_DONE
RECORDED[ACCESS_BOTH] = RECORDED_READ | RECORDED_WRITE


cdef enum:
    MOST_WITH_PROBES = 20   # instructions in a block where each of them has probes: up to seven cells


cdef int most_with_probes(Machine* machine, int limit) noexcept nogil:
    """How many instructions a block can have. For probes at its ends alone the decoder has left room."""
    return limit if machine.probes.instruments == INSTRUMENT_BLOCKS else min(limit, MOST_WITH_PROBES)


cdef struct Rewriting:      # a block that gets more cells
    Block* block
    int count               # of those that it has by now
    int opcode              # of the uop at hand
    Uop uops[MAX_BLOCK_UOPS]
    UopInfo info[MAX_BLOCK_UOPS]


cdef Uop* put(Rewriting* to, const Uop* uop, const UopInfo* info) noexcept nogil:
    cdef Uop* placed = &to.block.uops[to.count]
    placed[0] = uop[0]
    to.block.info[to.count] = info[0]
    to.count += 1
    return placed


cdef Uop* put_probe(Rewriting* to, int opcode, const UopInfo* before) noexcept nogil:
    """Of the instruction that this uop is of."""
    cdef Uop uop
    cdef UopInfo info = before[0]
    memset(&uop, 0, sizeof(Uop))
    info.opcode = opcode
    info.pair = 0
    return put(to, &uop, &info)


cdef void put_access_probe(Rewriting* to, const Uop* uop, const UopInfo* info, int access, int size) noexcept nogil:
    cdef Uop* probe = put_probe(to, UOP_PROBE_ACCESS, info)
    probe.rs1, probe.rs2 = uop.rs1, uop.rs2
    if access == ACCESS_LOADS or access == ACCESS_STORES:
        probe.imm = uop.imm             # atomics have no offset
    probe = put_probe(to, SECOND_CELL, info)
    probe.rd, probe.rs1, probe.rs2 = uop.rd, <uint8_t>size, RECORDED[access]


cdef int end_probe(Cpu* cpu, const Uop* uop, int opcode) noexcept nogil:
    """What stands before a uop that ends its block; -1: nothing."""
    if is_branch(opcode) or opcode == UOP_JAL or opcode == UOP_JALR:
        return UOP_PROBE_END
    if opcode == UOP_CALL_EXIT:
        return UOP_PROBE_END if uop.imm == cpu.front_end.jump_helper else UOP_PROBE_EXIT
    return -1


cdef void instrument(Cpu* cpu, Block* block) noexcept nogil:
    cdef Rewriting to
    cdef UopInfo first
    cdef bint blocks = cpu.machine.probes.instruments & INSTRUMENT_BLOCKS != 0
    cdef bint accesses = cpu.machine.probes.instruments & INSTRUMENT_ACCESSES != 0
    cdef int i = 0, opcode, end, access, size = 0
    to.block, to.count = block, 0
    memcpy(to.uops, block.uops, block.uop_count * sizeof(Uop))
    memcpy(to.info, block.info, block.uop_count * sizeof(UopInfo))
    if blocks:
        first = to.info[0]
        first.pc_offset = first.step = 0    # instructions may stand before it that became nothing
        put_probe(&to, UOP_PROBE_BLOCK, &first)
    while i < block.uop_count:
        opcode = to.info[i].opcode
        access = access_of(opcode, &size) if accesses else 0
        end = end_probe(cpu, &to.uops[i], opcode) if blocks else -1
        if access:
            put_access_probe(&to, &to.uops[i], &to.info[i], access, size)
        if end >= 0:
            put_probe(&to, end, &to.info[i])
        put(&to, &to.uops[i], &to.info[i])
        i += 1
        if i < block.uop_count and to.info[i].opcode == SECOND_CELL:
            put(&to, &to.uops[i], &to.info[i])
            i += 1
        if access and access != ACCESS_STORES:
            put_probe(&to, UOP_PROBE_LOADED, &to.info[i - 1])
    block.uop_count = <uint16_t>to.count
