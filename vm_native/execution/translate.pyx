"""From an address to a block that can run: decode, then pass after pass over its uops.

The front end decodes into the hart's scratch block. Each pass may look at the whole block and change it; the last one
binds its uops to the handlers of the dispatch form. A hook, a recording, an optimisation is one more pass before that.
"""
from libc.stdint cimport uint8_t
from vm_native.interpreter.forms cimport DispatchForm
from vm_native.interpreter.fusion cimport find_pairs
from vm_native.ir.block cimport SECOND_CELL, Block, BlockKey
from vm_native.machine cimport CONTINUE, Cpu
from vm_native.probes.instrument cimport instrument, most_with_probes


cdef void add_pass(Translator* translator, Pass new) noexcept nogil:
    translator.passes[translator.pass_count] = new
    translator.pass_count += 1


cdef void set_up_translator(Translator* translator, const DispatchForm* form, bint fusion) noexcept nogil:
    """`fusion`: let pairs of uops share a handler, where the form has any."""
    translator.form = form
    translator.pass_count = 0
    if fusion and form.pairs != NULL:
        add_pass(translator, fuse)
    add_pass(translator, bind)


cdef Block* translate(
    const Translator* translator, Cpu* cpu, const BlockKey* key, int limit, int* status
) noexcept nogil:
    """Translate at most `limit` instructions into the scratch block, which gets this key.

    NULL with a Status if the first instruction cannot be had.
    """
    cdef Block* block = cpu.scratch
    cdef int i
    block.key = key[0]
    if cpu.machine.probes.instruments:
        limit = most_with_probes(cpu.machine, limit)
    status[0] = cpu.front_end.translate_block(cpu, block, limit)
    if status[0] != CONTINUE:
        return NULL
    if cpu.machine.probes.instruments:
        instrument(cpu, block)
    for i in range(translator.pass_count):
        translator.passes[i](translator, block)
    return block


# --- Passes ----------------------------------------------------------------------------------------------------------

cdef void fuse(const Translator* translator, Block* block) noexcept nogil:
    find_pairs(translator.form.pairs, block)


cdef void bind(const Translator* translator, Block* block) noexcept nogil:
    """Give each uop its place in the block and its handler: the pair's where one begins, else that of its opcode."""
    cdef int cell
    cdef int pair
    for cell in range(block.uop_count):
        block.uops[cell].cell = <uint8_t>cell
        pair = block.info[cell].pair
        if pair:
            block.uops[cell].handler = translator.form.pairs.handlers[pair]
        elif block.info[cell].opcode != SECOND_CELL:
            block.uops[cell].handler = translator.form.handler_of(block.info[cell].opcode)
