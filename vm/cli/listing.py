"""Guest instructions as lines, for what `vm disasm` shows of a file and of compiled code; as objdump(1) prints them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vm.errors import VmError

if TYPE_CHECKING:
    from vm.loaders import Symbols

U64 = (1 << 64) - 1
ZEROES = re.compile(rb"\0{8,}")
# The last operand is the distance to the target
JUMPS = frozenset("j jal beq bne blt bge bltu bgeu beqz bnez blez bgez bltz bgtz".split())


def instructions(decoder: Any, code: list[tuple[int, bytes]], symbols: Symbols) -> Iterator[tuple[int, str]]:
    """(address, line) of every instruction.

    What is none is shown as a number of the length that its first bits tell, and many zero bytes as `...`.
    """
    for base, content in code:
        at = 0
        while at < len(content):
            address = base + at & U64
            if zeroes := ZEROES.match(content, at):
                yield address, f"{'...':>16}"
                at += len(zeroes[0]) & ~1
                continue
            size = 4 if content[at] & 3 == 3 else 2
            word = content[at:at + size]
            number = int.from_bytes(word, "little")
            unknown = (address, size, ".insn", f"{number:#x}")
            _, _, mnemonic, operands = next(decoder.disasm_lite(word, address, 1), unknown)
            text = f"{mnemonic:<10} {named(mnemonic, operands)}{target(address, mnemonic, operands, symbols)}"
            yield address, f"{address:>16x}:  {f'{number:0{2 * size}x}':<8}  {text.rstrip()}"
            at += size


def named(mnemonic: str, operands: str) -> str:
    """The operands, with the names of CSRs that capstone does not know and prints as decimal numbers."""
    if not mnemonic.startswith("csr"):
        return operands
    from vm_native.riscv.registers import CSR_NUMBERS  # here: help comes without the core

    names = {str(number): name for name, number in CSR_NUMBERS.items() if number > 31}      # others are immediates
    return ", ".join(names.get(word, word) for word in operands.split(", "))


def target(address: int, mnemonic: str, operands: str, symbols: Symbols) -> str:
    """Where a jump or branch goes, as a comment."""
    if mnemonic.removeprefix("c.") not in JUMPS:
        return ""
    destination = address + int(operands.rpartition(",")[2], 0) & U64
    name = symbols.lookup(destination)
    return f"    # {destination:x}" + (f" <{name}>" if name else "")


def address_of(file: str, text: str, symbols: Symbols) -> int:
    """The address that an option gives as one, or as a symbol's name."""
    if text in symbols:
        return symbols[text].address
    try:
        return int(text, 0) % (1 << 64)
    except ValueError:
        raise VmError(f"{file}: {text!r} is neither an address, as 0x80000000, nor one of its symbols") from None
