"""Finds the pairs of a block that have a handler of their own."""
from vm_native.ir.block cimport SECOND_CELL, Block


cdef int enter_pair(PairTable* table, int first, int second, int relation, void* handler) except -1:
    if max(first, second) >= MAX_OPCODES:
        raise OverflowError("more uops than the table of fused pairs has room for")
    if not table.first_class[first]:
        table.first_classes += 1
        table.first_class[first] = <uint8_t>table.first_classes
    if not table.second_class[second]:
        table.second_classes += 1
        table.second_class[second] = <uint8_t>table.second_classes
    table.count += 1
    if max(table.first_classes, table.second_classes) >= MAX_CLASSES or table.count >= MAX_PAIRS:
        raise OverflowError("more fused pairs than their table has room for")
    table.number[table.first_class[first]][table.second_class[second]][relation] = <uint16_t>table.count
    table.handlers[table.count] = handler
    return 0


cdef inline int following(Block* block, int cell) noexcept nogil:
    """The cell of the next uop; past the end, uop_count or more."""
    cell += 1
    return cell + 1 if cell < block.uop_count and block.info[cell].opcode == SECOND_CELL else cell


cdef void find_pairs(const PairTable* table, Block* block) noexcept nogil:
    """Number the pairs. From the front: on a chain of neighbours this finds as many as there can be."""
    cdef const uint16_t* numbers
    cdef int first = 0
    cdef uint16_t number
    cdef int second = following(block, first)
    while second < block.uop_count:
        numbers = table.number[table.first_class[block.info[first].opcode]][
            table.second_class[block.info[second].opcode]]
        number = numbers[relation_of(&block.uops[first], &block.uops[second])]
        if number == 0:
            number = numbers[UNRELATED]
        block.info[first].pair = number
        first = following(block, second) if number else second
        second = following(block, first)
