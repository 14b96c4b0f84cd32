"""Makes instruction words from rows of the ISA table."""

from vm_native.riscv.instructions import Row


def encode(row: Row, immediate: int = 0, **registers: int) -> int:
    """The word of an instruction. Registers by operand, as in rd=10; those that are not given are 0 (x8 if short)."""
    word = row.match
    for operand, (field, position) in row.registers.items():
        if not field.startswith("x"):
            short = field.endswith("'")
            number = registers.get(operand, 8 if short else 0) - (8 if short else 0)
            assert 0 <= number < (8 if short else 32), f"{row.name}: {operand} cannot be {registers[operand]}"
            word |= number << position
    for piece in row.pieces:
        word |= (immediate >> piece.target & (1 << piece.width) - 1) << piece.source
    return word
