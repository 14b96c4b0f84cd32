# Pairs of uops that one handler performs. It stands in the first uop of its pair; the second keeps its own.
from libc.stdint cimport uint8_t, uint16_t
from vm_native.ir.block cimport Block, Uop

cdef enum:
    MAX_OPCODES = 512
    MAX_CLASSES = 160       # opcodes that begin a pair, or that end one; class 0 is of all others
    MAX_PAIRS = 4096

cdef enum:                  # relations: which operand of the second is the result of the first
    UNRELATED = 0
    IN_RS1 = 1
    IN_RS2 = 2
    RELATIONS = 3

cdef struct PairTable:
    uint8_t first_class[MAX_OPCODES]
    uint8_t second_class[MAX_OPCODES]
    int first_classes
    int second_classes
    uint16_t number[MAX_CLASSES][MAX_CLASSES][RELATIONS]    # 0: not fused
    void* handlers[MAX_PAIRS]
    int count

cdef inline int relation_of(const Uop* first, const Uop* second) noexcept nogil:
    # Means something only where the first writes a register, which is never x0: x0 as a source is no result.
    if second.rs1 == first.rd:
        return IN_RS1
    return IN_RS2 if second.rs2 == first.rd else UNRELATED

cdef int enter_pair(PairTable* table, int first, int second, int relation, void* handler) except -1
cdef void find_pairs(const PairTable* table, Block* block) noexcept nogil
