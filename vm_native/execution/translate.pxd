# From an address to a block that can run: decoding, then a list of passes over its uops.
from vm_native.interpreter.forms cimport DispatchForm
from vm_native.ir.block cimport Block, BlockKey
from vm_native.machine cimport Cpu

cdef enum:
    MAX_PASSES = 8

cdef struct Translator
ctypedef void (*Pass)(const Translator* translator, Block* block) noexcept nogil

cdef struct Translator:
    const DispatchForm* form
    int pass_count
    Pass passes[MAX_PASSES]     # in this order, behind the decoder

cdef void set_up_translator(Translator* translator, const DispatchForm* form, bint fusion) noexcept nogil
cdef Block* translate(
    const Translator* translator, Cpu* cpu, const BlockKey* key, int limit, int* status
) noexcept nogil
