# Bytes to uops, driven by the tables of instructions/.
from vm_native.ir.block cimport Block
from vm_native.machine cimport Cpu
from vm_native.riscv.decode_table cimport DecodeTable

cdef class Decoder:
    cdef DecodeTable table

cdef int decode_block(Cpu* cpu, const DecodeTable* table, Block* block, int limit) noexcept nogil
