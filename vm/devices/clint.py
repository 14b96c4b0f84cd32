"""Core-local interruptor: the machine timer and the software interrupts of every hart.

SiFive FU540-C000 manual, "Core-Local Interruptor (CLINT)"; the same layout as RISC-V ACLINT MSWI and MTIMER side by
side; device-tree binding sifive,clint0. Time in ticks of the clock (`Clock.FREQUENCY`, 10 MHz on QEMU's `virt`
board).

    0x0000 + 4 * hart       msip: bit 0 is the hart's machine software interrupt (pin 3, MSIP)
    0x4000 + 8 * hart       mtimecmp: the machine timer interrupt is pending while mtime >= mtimecmp
    0xbff8                  mtime

mtimecmp and mtime are eight bytes wide and may be written in halves. The comparison is the hart's own: this device only
passes on the numbers, so mtimecmp is part of the hart's saved state and mtime of the clock's.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from vm.devices.base import Device, TreeContext, reads, writes
from vm.devices.interrupt import MACHINE_SOFTWARE, MACHINE_TIMER
from vm.errors import ConfigurationError

MAX_HARTS = 4095                    # what fits between 0x4000 and mtime


class Hart(Protocol):
    """What the CLINT asks of a hart."""

    mtimecmp: int

    def set_interrupt(self, bit: int, level: bool, /) -> None: ...


class CLINT(Device):
    """Serves `harts` in the order given; hart n of the sequence has the n-th registers."""

    compatible = "sifive,clint0\0riscv,clint0"
    node_name = "clint"
    size = 0x1_0000
    state = ("msip",)
    unsaved = Device.unsaved + ("_harts", "hart_count")

    def __init__(self, harts: Sequence[Hart]):
        if len(harts) > MAX_HARTS:
            raise ConfigurationError(f"the CLINT serves {MAX_HARTS} harts at most, not {len(harts)}")
        self._harts = harts
        self.hart_count = len(harts)
        super().__init__()
        self.msip = [0] * self.hart_count
        self.reset()

    def reset(self) -> None:
        """Software interrupts fall; mtime runs on. mtimecmp has no reset value: it is zero, as on QEMU, so the timer
        interrupt is pending at once. There are guests whose handler is the first to set it."""
        for hart in range(self.hart_count):
            self.write_msip(hart, 0)
            self.write_mtimecmp(hart, 0)
        super().reset()

    def tree_properties(self, context: TreeContext) -> dict[str, Any]:
        return {"interrupts-extended": context.to_harts(MACHINE_SOFTWARE, MACHINE_TIMER)}

    @reads(0x0, count="hart_count")
    def read_msip(self, hart: int) -> int:
        return self.msip[hart]

    @writes(0x0, count="hart_count")
    def write_msip(self, hart: int, value: int) -> None:
        self.msip[hart] = value & 1
        self._harts[hart].set_interrupt(MACHINE_SOFTWARE, bool(value & 1))

    @reads(0x4000, width=8, count="hart_count", stride=8)
    def read_mtimecmp(self, hart: int) -> int:
        return self._harts[hart].mtimecmp

    @writes(0x4000, width=8, count="hart_count", stride=8, merge=True)
    def write_mtimecmp(self, hart: int, value: int) -> None:
        self._harts[hart].mtimecmp = value

    @reads(0xBFF8, width=8, timebase=True)
    def read_mtime(self) -> int:
        return self.clock.ticks()

    @writes(0xBFF8, width=8, merge=True)
    def write_mtime(self, value: int) -> None:
        self.clock.set_ticks(value)
        for hart in self._harts:
            hart.mtimecmp = hart.mtimecmp       # every timer is due at another time now: the slice is cut anew
