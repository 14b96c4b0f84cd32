"""What the firmware uses of a hart, and what it answers."""

from __future__ import annotations

from typing import Protocol

from vm_native.riscv.isa import Isa
from vm_native.riscv.registers import CSR_NUMBERS

Answer = tuple[int, int]                        # error, value


class Hart(Protocol):
    """What the firmware uses of a hart."""

    isa: Isa

    @property
    def id(self) -> int: ...
    @property
    def state(self) -> str: ...             # a key of sbi.HART_STATES

    def read_x(self, number: int, /) -> int: ...
    def write_x(self, number: int, value: int, /) -> None: ...
    def read_csr(self, number: int, /) -> int | None: ...
    def write_csr(self, number: int, value: int, /) -> bool: ...
    def firmware_event(self, code: int, /) -> int: ...          # how often it happened to this hart
    def start(self, address: int, opaque: int) -> None: ...     # in S-mode, a0 = id, a1 = opaque, satp = 0, SIE = 0
    def stop(self) -> None: ...
    def suspend(self) -> None: ...          # keep everything and wait for an interrupt, as `wfi` does


def read(hart: Hart, csr: str) -> int:
    value = hart.read_csr(CSR_NUMBERS[csr])
    assert value is not None
    return value


def write(hart: Hart, csr: str, value: int) -> None:
    """By the WARL rules of the hart; nothing where there is no such register."""
    hart.write_csr(CSR_NUMBERS[csr], value)
