"""The table read the other way: single instructions assembled."""

from vm_native.riscv.instructions.row import BY_NAME, Row


def encode(name: str, *, imm: int = 0, **operands: int) -> int:
    """The word of an instruction: `encode("addi", rd=10, rs1=10, imm=-1)`. Raises ValueError for what does not fit it.

    Registers are numbers, 8 to 15 for the three-bit form, and must all be given; a field like `rm` that is not is 0.
    `imm` is the value that the instruction works with: lui's has twelve zeroes, a jump's is the distance.
    """
    row = BY_NAME[name]
    if unknown := operands.keys() - row.own_registers.keys() - row.fields.keys():
        raise ValueError(f"{name}: has no {', '.join(sorted(unknown))}")
    word = row.match
    for operand, (field, position) in row.own_registers.items():
        first, count = (8, 8) if field.endswith("'") else (0, 32)
        number = operands.get(operand, -1)
        if not first <= number < first + count:
            raise ValueError(f"{name}: {operand} is a register from {first} to {first + count - 1}")
        word |= number - first << position
    for field, (position, width) in row.fields.items():
        value = operands.get(field, 0)
        if not 0 <= value < 1 << width:
            raise ValueError(f"{name}: {field} has {width} bits")
        word |= value << position
    for piece in row.pieces:
        word |= (imm >> piece.target & (1 << piece.width) - 1) << piece.source
    if immediate_of(row, word) != imm:
        raise ValueError(f"{name}: has no immediate {imm}")
    return word


def immediate_of(row: Row, word: int) -> int:
    """The immediate that stands in a word, sign-extended where the row says so; 0 if none does."""
    value = sum((word >> piece.source & (1 << piece.width) - 1) << piece.target for piece in row.pieces)
    return value - (value >> row.sign_bit << row.sign_bit + 1) if row.sign_bit >= 0 else value
