"""Platform-level interrupt controller: 95 level-triggered sources, seven priorities, two contexts for each hart.

RISC-V Platform-Level Interrupt Controller Specification 1.0.0, in the size of QEMU's `virt` board; device-tree binding
sifive,plic-1.0.0. Context 2n is hart n's M-mode (its pin 11, MEIP), context 2n + 1 its S-mode (pin 9, SEIP).

    0x000000 + 4 * source       priority, 0 (never interrupts) to 7
    0x001000                    pending, one bit for each source, read-only
    0x002000 + 0x80 * context   enables, one bit for each source
    0x200000 + 0x1000 * context threshold: only higher priorities reach the hart
    0x200004 + 0x1000 * context claim (read), complete (write)

Sets of sources are integers, one bit for each source. As the specification has it, claims ignore the threshold, and a
request that was accepted stays pending though the line falls. As QEMU has it, and the specification has not, a
completion counts whether or not the source is enabled for the context: there are guests that disable it before.

The specification leaves the gateways to the platform. A level-triggered one makes a new request of a line that is high
at the completion. The other kind, that of all sources on QEMU's `virt`, does so only if the device has driven the line
high since the claim: a guest may leave a condition standing that it does not care for, and is not interrupted for it
without end.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Protocol

from vm.devices.base import Device, TreeContext, reads, writes
from vm.devices.interrupt import MACHINE_EXTERNAL, SUPERVISOR_EXTERNAL, InterruptLine
from vm.errors import ConfigurationError

HIGHEST_PRIORITY = 7
MAX_CONTEXTS = 1024                 # what fits in `size`
WORD = 0xFFFF_FFFF
RANKINGS = 16                       # that are remembered: forks of one machine have the same


class Pins(Protocol):
    """What the PLIC asks of a hart."""

    def set_interrupt(self, bit: int, level: bool, /) -> None: ...


class PLIC(Device):
    """Its saved state holds the levels of its source lines and of its outputs; loading it drives neither."""

    compatible = "sifive,plic-1.0.0\0riscv,plic0"
    node_name = "plic"
    size = 0x60_0000
    sources = 96                    # source 0, which does not exist, counted
    words = sources // 32
    state = ("priorities", "levels", "pending", "in_service", "asserted", "enables", "thresholds", "outputs")
    unsaved = Device.unsaved + ("contexts", "enable_words", "_pins", "_lines", "_by_assertion", "_at", "_above")

    def __init__(self, harts: Sequence[Pins]):
        self.contexts = 2 * len(harts)
        if self.contexts > MAX_CONTEXTS:
            raise ConfigurationError(f"the PLIC serves {MAX_CONTEXTS // 2} harts at most, not {len(harts)}")
        self.enable_words = 32 * self.contexts
        super().__init__()
        self._pins = [partial(hart.set_interrupt, bit)
                      for hart in harts for bit in (MACHINE_EXTERNAL, SUPERVISOR_EXTERNAL)]
        self._lines: dict[int, InterruptLine] = {}
        self._by_assertion = 0                              # sources whose gateway is not level-triggered
        self.levels = 0                                     # sources whose line is high
        self.outputs = [False] * self.contexts
        self.reset()

    def reset(self) -> None:
        """All registers zero, all requests forgotten. Lines fall with the devices that the board resets too."""
        self.priorities = [0] * self.sources
        self.pending = 0
        self.in_service = 0                                 # claimed, not yet completed: the gateway is shut
        self.asserted = 0                                   # of those, driven high since the claim
        self.enables = [0] * self.contexts
        self.thresholds = [0] * self.contexts
        self._rank()
        self._drive()
        super().reset()

    def load(self, saved: Mapping[str, Any]) -> None:
        ranked = self.priorities == saved.get("priorities")
        super().load(saved)
        if not ranked:
            self._rank()
        for source, line in self._lines.items():
            line.level = bool(self.levels >> source & 1)

    def tree_properties(self, context: TreeContext) -> dict[str, Any]:
        return {
            "interrupts-extended": context.to_harts(MACHINE_EXTERNAL, SUPERVISOR_EXTERNAL),
            "interrupt-controller": None, "#interrupt-cells": 1, "#address-cells": 0,
            "riscv,ndev": self.sources - 1, "phandle": context.phandle,
        }

    # --- Sources -----------------------------------------------------------------------------------------------------

    def line(self, source: int, level_triggered: bool = True) -> InterruptLine:
        """The line into `source` (1 to 95), one for each source, whose gateway is of this kind."""
        if not 0 < source < self.sources:
            raise ConfigurationError(f"the PLIC has interrupt sources 1 to {self.sources - 1}, not {source}")
        if source not in self._lines:
            self._lines[source] = InterruptLine(partial(self._line_driven, 1 << source))
        bit = 1 << source
        self._by_assertion = self._by_assertion & ~bit if level_triggered else self._by_assertion | bit
        return self._lines[source]

    def _line_driven(self, bit: int, level: bool) -> None:
        if not level:
            self.levels &= ~bit
            return
        self.levels |= bit
        if self.in_service & bit:
            self.asserted |= bit
        elif not self.pending & bit:
            self.pending |= bit
            self.changed()
            self._drive()

    # --- Outputs -----------------------------------------------------------------------------------------------------

    def _rank(self) -> None:
        """Index the sources by priority: `_at[p]` has exactly p, `_above[p]` more than p."""
        self._at = list(sources_by_priority(tuple(self.priorities)))
        self._sum_up()

    def _sum_up(self) -> None:
        above = 0
        self._above = [0] * (HIGHEST_PRIORITY + 1)
        for priority in range(HIGHEST_PRIORITY, -1, -1):
            self._above[priority] = above
            above |= self._at[priority]

    def _drive(self) -> None:
        pending = self.pending
        outputs = self.outputs
        for context, enabled in enumerate(self.enables):
            level = pending & enabled & self._above[self.thresholds[context]] != 0
            if level is not outputs[context]:
                outputs[context] = level
                self._pins[context](level)

    # --- Registers ---------------------------------------------------------------------------------------------------

    @reads(0x0, count="sources", steady=True)
    def read_priority(self, source: int) -> int:
        return self.priorities[source]

    @writes(0x0, count="sources")
    def write_priority(self, source: int, value: int) -> None:
        if source == 0:
            return
        bit = 1 << source
        self._at[self.priorities[source]] &= ~bit
        self.priorities[source] = value & HIGHEST_PRIORITY
        self._at[value & HIGHEST_PRIORITY] |= bit
        self._sum_up()
        self._drive()

    @reads(0x1000, count="words", steady=True)
    def read_pending(self, word: int) -> int:
        return self.pending >> 32 * word & WORD

    @reads(0x2000, count="enable_words", steady=True)
    def read_enables(self, index: int) -> int:
        context, word = divmod(index, 32)
        return self.enables[context] >> 32 * word & WORD

    @writes(0x2000, count="enable_words")
    def write_enables(self, index: int, value: int) -> None:
        context, word = divmod(index, 32)
        if word < self.words:
            kept = self.enables[context] & ~(WORD << 32 * word)
            self.enables[context] = (kept | value << 32 * word) & ~1
            self._drive()

    @reads(0x20_0000, count="contexts", stride=0x1000, steady=True)
    def read_threshold(self, context: int) -> int:
        return self.thresholds[context]

    @writes(0x20_0000, count="contexts", stride=0x1000)
    def write_threshold(self, context: int, value: int) -> None:
        self.thresholds[context] = value & HIGHEST_PRIORITY
        self._drive()

    @reads(0x20_0004, count="contexts", stride=0x1000, steady=True)
    def claim(self, context: int) -> int:
        """The pending, enabled source of highest priority, the lowest number among equals; zero if there is none."""
        candidates = self.pending & self.enables[context] & self._above[0]
        if not candidates:
            return 0
        priority = HIGHEST_PRIORITY
        while not candidates & self._at[priority]:
            priority -= 1
        best = candidates & self._at[priority]
        bit = best & -best
        self.pending &= ~bit
        self.in_service |= bit
        self.changed()
        self._drive()
        return bit.bit_length() - 1

    @writes(0x20_0004, count="contexts", stride=0x1000, steady=True)
    def complete(self, context: int, source: int) -> None:
        """The gateway of `source` opens again; what is a new request then, its kind decides."""
        bit = 1 << source if source < self.sources else 0
        if not bit & self.in_service:
            return
        requested = bit & self.levels & (self.asserted | ~self._by_assertion)
        self.in_service &= ~bit
        self.asserted &= ~bit
        if requested:
            self.pending |= bit
            self.changed()
            self._drive()


@lru_cache(maxsize=RANKINGS)
def sources_by_priority(priorities: tuple[int, ...]) -> tuple[int, ...]:
    """For each priority the sources that have it, where source n has the n-th of `priorities`."""
    sources = [0] * (HIGHEST_PRIORITY + 1)
    for source, priority in enumerate(priorities):
        sources[priority] |= 1 << source
    return tuple(sources)
