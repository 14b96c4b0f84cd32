"""Steps that take no interrupts, as those of QEMU's debugger: where the clock is the host's.

It goes on while somebody thinks about the next step, so that each would lead into the handler of the timer. In virtual
time none comes that would not have come anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from vm.errors import BusError, PageFault
from vm.hart import Hart
from vm.sizes import PAGE_SIZE
from vm_native.riscv.registers import CSR_NUMBERS

if TYPE_CHECKING:
    from vm.machine import Machine

SYSTEM, OPCODE = 0x73, 0x7F
WFI = 0x1050_0073
ENABLES = CSR_NUMBERS["mie"], CSR_NUMBERS["sie"]


@contextmanager
def without_interrupts(machine: Machine, hart: Hart) -> Iterator[None]:
    """Inside, one step of the hart takes no interrupt; unless it waits for one, or asks which are enabled."""
    if machine.clock.kind != "real" or hart.state != "started" or minds_interrupts(next_instruction(machine, hart)):
        yield
        return
    enabled = hart.csr["mie"]
    hart.csr["mie"] = 0
    try:
        yield
    finally:
        hart.csr["mie"] = enabled


def next_instruction(machine: Machine, hart: Hart) -> bytes:
    """What is at the pc, as much of four bytes as is on that page; nothing where no code is."""
    with suppress(PageFault, BusError):
        return machine.memory.read(hart.virtual.physical(hart.pc, "execute"), min(4, PAGE_SIZE - hart.pc % PAGE_SIZE))
    return b""


def minds_interrupts(code: bytes) -> bool:
    """Whether an instruction waits for an interrupt, or has to do with the registers of those that are enabled."""
    word = int.from_bytes(code, "little")
    if word & OPCODE != SYSTEM:
        return False
    return len(code) < 4 or word == WFI or (word >> 12 & 7 != 0 and word >> 20 in ENABLES)
