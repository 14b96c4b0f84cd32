"""Advanced platform-level interrupt controller: 96 wires in two domains, of M-mode and of S-mode.

RISC-V Advanced Interrupt Architecture 1.0, chapter "Advanced Platform-Level Interrupt Controller (APLIC)", in the size
of QEMU's `virt` board; device-tree binding riscv,aplic. Each domain is a device with registers of its own.

    0x0000  domaincfg                   0x1e00, 0x1edc  setie, setienum
    0x0004  sourcecfg of source 1 on    0x1f00, 0x1fdc  clrie, clrienum
    0x1bc0  MSI addresses, fixed        0x2000, 0x2004  setipnum_le, setipnum_be
    0x1c00, 0x1cdc  setip, setipnum     0x3000          genmsi
    0x1d00, 0x1ddc  in_clrip, clripnum  0x3004          target of source 1 on
    0x4000 + 32 * hart  idelivery, iforce, ithreshold; at 0x18 topi and claimi

The root has all wires and the M-mode interrupts of the harts; what it delegates, its child has, with those of S-mode.
Where harts have an IMSIC a domain can only forward messages to it, and else only drive the wires of harts. The
addresses of messages are the harts', whatever software might write.

Sets of sources are integers, one bit for each source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from vm.devices.base import Device, TreeContext, reads, writes
from vm.devices.imsic import IDENTITIES, IMSIC
from vm.devices.interrupt import MACHINE_EXTERNAL, SUPERVISOR_EXTERNAL, InterruptLine
from vm.errors import ConfigurationError

SOURCES = 96
ALL = (2 << SOURCES) - 2
WORDS = SOURCES // 32 + 1
WORD = 0xFFFF_FFFF
MAX_HARTS = 512                     # what fits in `size`
PRIORITY_BITS = 3                   # IPRIOLEN
PRIORITIES = (1 << PRIORITY_BITS) - 1
SUPPORTS_NO_OTHER = 0x80 << 24      # of domaincfg: the byte by which software sees that it is little-endian
INTERRUPT_ENABLE, MSI_DELIVERY = 1 << 8, 1 << 2
DELEGATED = 1 << 10                 # of a source, to the only child
DETACHED, RISING, FALLING, HIGH, LOW = 1, 4, 5, 6, 7
MODES = (DETACHED, RISING, FALLING, HIGH, LOW)
LOCKED = 1 << 31                    # of mmsiaddrcfgh
HART_SHIFT, HART_MASK = 18, 0x3FFF
GUEST_SHIFT = 12
IDENTITY_MASK = 0x7FF
LEVEL_HIGH = 4                      # in a device tree: IRQ_TYPE_LEVEL_HIGH


class Hart(Protocol):
    """What the APLIC asks of a hart."""

    def set_interrupt(self, bit: int, level: bool, /) -> None: ...
    def receive_message(self, interrupt: int, identity: int, guest: int, /) -> None: ...


def numbers(sources: int) -> Iterator[int]:
    """Those in a set, the lowest first."""
    while sources:
        bit = sources & -sources
        yield bit.bit_length() - 1
        sources ^= bit


class APLIC(Device):
    """One domain: the root; or with a `parent`, its child. `imsic` is what takes its messages, if the harts have one.

    Its saved state holds the levels of its source lines and of its outputs; loading it drives neither.
    """

    compatible = "qemu,aplic\0riscv,aplic"
    node_name = "aplic"
    size = 0x8000
    source_count = SOURCES
    words = WORDS
    state = ("config", "modes", "targets", "levels", "pending", "enabled", "deliveries", "forced", "thresholds",
             "outputs")
    unsaved = Device.unsaved + ("hart_count", "parent", "child", "interrupt", "_harts", "_imsic", "_lines", "_active",
                                "_inverted", "_by_edge", "_by_level", "_delegated")

    def __init__(self, harts: Sequence[Hart], imsic: IMSIC | None = None, parent: APLIC | None = None):
        if len(harts) > MAX_HARTS:
            raise ConfigurationError(f"the APLIC serves {MAX_HARTS} harts at most, not {len(harts)}")
        self._harts = harts
        self.hart_count = len(harts)
        self.interrupt = MACHINE_EXTERNAL if parent is None else SUPERVISOR_EXTERNAL
        self._imsic = imsic
        self.parent = parent
        self.child: APLIC | None = None
        self._lines: dict[int, InterruptLine] = {}
        super().__init__()
        self.levels = 0                                     # sources whose line is high
        self.outputs = [False] * self.hart_count
        self._clear()
        if parent is not None:
            parent.child = self
            parent.reset()

    def reset(self) -> None:
        """All that the specification leaves open is zero; but that the root delegates all that there is, so that S-mode
        needs no firmware to have it."""
        self._clear()
        self._deliver()
        super().reset()

    def _clear(self) -> None:
        self.config = 0
        self.modes = [0] + [DELEGATED if self.child is not None else 0] * SOURCES
        self.targets = [0] * (SOURCES + 1)
        self.pending = self.enabled = 0
        self.deliveries = [0] * self.hart_count
        self.forced = [0] * self.hart_count
        self.thresholds = [0] * self.hart_count
        self._sort()

    def load(self, saved: Mapping[str, Any]) -> None:
        super().load(saved)
        self._sort()
        for source, line in self._lines.items():
            line.level = bool(self.levels >> source & 1)

    def tree_properties(self, context: TreeContext) -> dict[str, Any]:
        properties: dict[str, Any] = {
            "#address-cells": 0, "#interrupt-cells": 2, "interrupt-controller": None, "riscv,num-sources": SOURCES,
            "phandle": context.phandle,
        }
        if self._imsic is None:
            properties["interrupts-extended"] = context.to_harts(self.interrupt)
        else:
            properties["msi-parent"] = context.to_device(self._imsic)
        if self.child is not None:
            child = context.to_device(self.child)
            properties |= {"riscv,children": child, "riscv,delegation": [child, 1, SOURCES],
                           "riscv,delegate": [child, 1, SOURCES]}
        return properties

    def interrupt_specifier(self, source: int) -> list[int]:
        return [source, LEVEL_HIGH]

    # --- Sources -----------------------------------------------------------------------------------------------------

    def line(self, source: int, level_triggered: bool = True) -> InterruptLine:
        """The line into `source` (1 to 96) of the root, one for each source. Software says how it is triggered."""
        if not 0 < source <= SOURCES:
            raise ConfigurationError(f"the APLIC has interrupt sources 1 to {SOURCES}, not {source}")
        if source not in self._lines:
            self._lines[source] = InterruptLine(partial(self._line_driven, 1 << source))
        return self._lines[source]

    def _line_driven(self, bit: int, level: bool) -> None:
        self._input(self.levels | bit if level else self.levels & ~bit)
        if self.child is not None:
            self.child._input(self.levels)

    def _input(self, levels: int) -> None:
        before = self._rectified()
        self.levels = levels
        rising = self._rectified() & ~before
        self.pending |= rising
        self._follow_levels()
        self._deliver()

    def _rectified(self) -> int:
        """Sources whose wire says what is an interrupt."""
        return (self.levels ^ self._inverted) & (self._by_edge | self._by_level)

    def _follow_levels(self) -> None:
        """Of a source that is sensitive to a level nothing is pending without it; and all of it is, to a wire."""
        low = self._by_level & ~self._rectified()
        self.pending &= ~low
        if not self._forwards:
            self.pending |= self._by_level & ~low

    def _sort(self) -> None:
        """What the modes of sources come to, in sets."""
        def of(*modes: int) -> int:
            return sum(1 << source for source, mode in enumerate(self.modes) if mode in modes)

        self._active, self._inverted = of(*MODES), of(FALLING, LOW)
        self._by_edge, self._by_level, self._delegated = of(RISING, FALLING), of(HIGH, LOW), of(DELEGATED)

    @property
    def _implemented(self) -> int:
        return ALL if self.parent is None else self.parent._delegated

    # --- Outputs -----------------------------------------------------------------------------------------------------

    @property
    def _guests(self) -> int:
        """What a message's guest can be, as a mask; 0 is the hart itself."""
        return 0 if self._imsic is None else (1 << self._imsic.guest_bits) - 1

    @property
    def _forwards(self) -> bool:
        return self.config & MSI_DELIVERY != 0

    def _deliver(self) -> None:
        if self._imsic is not None:
            if self._forwards and self.config & INTERRUPT_ENABLE:
                self._send()
            return
        for hart in range(self.hart_count):
            delivers = self.config & INTERRUPT_ENABLE and self.deliveries[hart]
            level = bool(delivers and (self.forced[hart] or self._top(hart)))
            if level is not self.outputs[hart]:
                self.outputs[hart] = level
                self._harts[hart].set_interrupt(self.interrupt, level)

    def _send(self) -> None:
        for source in numbers(self.pending & self.enabled):
            self.pending &= ~(1 << source)
            self._message(self.targets[source])

    def _message(self, target: int) -> None:
        hart = target >> HART_SHIFT
        if hart < self.hart_count:
            guest = target >> GUEST_SHIFT & self._guests
            self._harts[hart].receive_message(self.interrupt, target & IDENTITY_MASK, guest)

    def _top(self, hart: int) -> int:
        """topi of a hart: the smallest priority number, then the smallest source."""
        ready = [(self.targets[source] & PRIORITIES, source) for source in numbers(self.pending & self.enabled)
                 if self.targets[source] >> HART_SHIFT == hart]
        if not ready:
            return 0
        priority, source = min(ready)
        threshold = self.thresholds[hart]
        return 0 if threshold and priority >= threshold else source << 16 | priority

    # --- Registers of the domain -------------------------------------------------------------------------------------

    @reads(0x0)
    def read_config(self) -> int:
        return SUPPORTS_NO_OTHER | self.config

    @writes(0x0)
    def write_config(self, value: int) -> None:
        writable = INTERRUPT_ENABLE | (MSI_DELIVERY if self._imsic is not None else 0)
        self.config = value & writable
        if not self._forwards:
            for source in numbers(self._active):
                self.targets[source] = legal_priority(self.targets[source])
        self._follow_levels()
        self._deliver()

    @reads(0x4, count="source_count")
    def read_mode(self, index: int) -> int:
        return self.modes[index + 1]

    @writes(0x4, count="source_count")
    def write_mode(self, index: int, value: int) -> None:
        source, bit = index + 1, 2 << index
        if not self._implemented & bit:
            return
        if value & DELEGATED:
            mode = DELEGATED if self.child is not None and not value & (DELEGATED - 1) else 0
        else:
            mode = value & 7 if value & 7 in MODES else 0
        self.modes[source] = mode
        was_delegated, was_active = self._delegated & bit, self._active & bit
        self._sort()
        if not self._active & bit:
            self.targets[source] = 0
            self.pending &= ~bit
            self.enabled &= ~bit
        elif not was_active:
            self.targets[source] = 0 if self._forwards else 1
        if was_delegated and not self._delegated & bit and self.child is not None:
            self.child.withdraw(source)
        self.pending |= self._by_level & self._rectified() & bit
        self._follow_levels()
        self._deliver()

    def withdraw(self, source: int) -> None:
        """The parent delegates a source no more: all of it is zero."""
        self.modes[source] = self.targets[source] = 0
        self.pending &= ~(1 << source)
        self.enabled &= ~(1 << source)
        self._sort()
        self._deliver()

    @reads(0x1BC4)
    def read_msi_address(self) -> int:
        """mmsiaddrcfgh of the root: messages go where they go, and software has no say in it."""
        return LOCKED if self.parent is None and self._imsic is not None else 0

    @writes(0x1BC4)
    def write_msi_address(self, value: int) -> None:
        """It is locked."""

    @reads(0x1C00, count="words")
    def read_pending(self, word: int) -> int:
        return self.pending >> 32 * word & WORD

    @writes(0x1C00, count="words")
    def write_pending(self, word: int, value: int) -> None:
        self._set_pending(value << 32 * word)

    @writes(0x1CDC)
    @writes(0x2000)
    def write_pending_number(self, value: int) -> None:
        """setipnum, and setipnum_le, which is for messages."""
        self._set_pending(bit_of(value))

    @writes(0x2004)
    def write_big_endian_message(self, value: int) -> None:
        self._set_pending(bit_of(int.from_bytes(value.to_bytes(4, "little"), "big")))

    def _set_pending(self, sources: int) -> None:
        """Section "Precise effects on interrupt-pending bits": of a level only while it is there, and is forwarded."""
        settable = self._active & ~self._by_level
        if self._forwards:
            settable |= self._by_level & self._rectified()
        self.pending |= sources & settable
        self._deliver()

    @reads(0x1D00, count="words")
    def read_inputs(self, word: int) -> int:
        return self._rectified() >> 32 * word & WORD

    @writes(0x1D00, count="words")
    def clear_pending(self, word: int, value: int) -> None:
        self._clear_pending(value << 32 * word)

    @writes(0x1DDC)
    def clear_pending_number(self, value: int) -> None:
        self._clear_pending(bit_of(value))

    def _clear_pending(self, sources: int) -> None:
        self.pending &= ~(sources if self._forwards else sources & ~self._by_level)
        self._deliver()

    @reads(0x1E00, count="words")
    def read_enabled(self, word: int) -> int:
        return self.enabled >> 32 * word & WORD

    @writes(0x1E00, count="words")
    def enable(self, word: int, value: int) -> None:
        self._enable(value << 32 * word)

    @writes(0x1EDC)
    def enable_number(self, value: int) -> None:
        self._enable(bit_of(value))

    def _enable(self, sources: int) -> None:
        self.enabled |= sources & self._active
        self._deliver()

    @writes(0x1F00, count="words")
    def disable(self, word: int, value: int) -> None:
        self._disable(value << 32 * word)

    @writes(0x1FDC)
    def disable_number(self, value: int) -> None:
        self._disable(bit_of(value))

    def _disable(self, sources: int) -> None:
        self.enabled &= ~sources
        self._deliver()

    @reads(0x3000)
    def read_extempore(self) -> int:
        """genmsi: none is ever on its way."""
        return 0

    @writes(0x3000)
    def send_extempore(self, value: int) -> None:
        if self._forwards:
            self._message(value & ~(self._guests << GUEST_SHIFT))

    @reads(0x3004, count="source_count")
    def read_target(self, index: int) -> int:
        return self.targets[index + 1]

    @writes(0x3004, count="source_count")
    def write_target(self, index: int, value: int) -> None:
        if not self._active & 2 << index:
            return
        hart = value >> HART_SHIFT & HART_MASK
        if self._forwards:
            self.targets[index + 1] = hart << HART_SHIFT | value & (self._guests << GUEST_SHIFT | IDENTITIES)
        else:
            self.targets[index + 1] = hart << HART_SHIFT | legal_priority(value) & PRIORITIES
        self._deliver()

    # --- Registers of a hart -----------------------------------------------------------------------------------------

    @reads(0x4000, count="hart_count", stride=32)
    def read_delivery(self, hart: int) -> int:
        return self.deliveries[hart]

    @writes(0x4000, count="hart_count", stride=32)
    def write_delivery(self, hart: int, value: int) -> None:
        self.deliveries[hart] = value & 1
        self._deliver()

    @reads(0x4004, count="hart_count", stride=32)
    def read_force(self, hart: int) -> int:
        return self.forced[hart]

    @writes(0x4004, count="hart_count", stride=32)
    def write_force(self, hart: int, value: int) -> None:
        self.forced[hart] = value & 1
        self._deliver()

    @reads(0x4008, count="hart_count", stride=32)
    def read_threshold(self, hart: int) -> int:
        return self.thresholds[hart]

    @writes(0x4008, count="hart_count", stride=32)
    def write_threshold(self, hart: int, value: int) -> None:
        self.thresholds[hart] = value & PRIORITIES
        self._deliver()

    @reads(0x4018, count="hart_count", stride=32)
    def read_top(self, hart: int) -> int:
        return self._top(hart)

    @reads(0x401C, count="hart_count", stride=32)
    def claim(self, hart: int) -> int:
        """The same; what it gives is pending no more, unless that is the level of a wire."""
        top = self._top(hart)
        if top:
            self.pending &= ~(1 << (top >> 16) & ~self._by_level)
        else:
            self.forced[hart] = 0
        self._deliver()
        return top


def bit_of(number: int) -> int:
    """The set of the source of a number, if there is one."""
    return 1 << number if 0 < number <= SOURCES else 0


def legal_priority(target: int) -> int:
    """Without the bits that a priority has not, and with one that is not 0."""
    kept = target & (HART_MASK << HART_SHIFT | PRIORITIES)
    return kept if kept & PRIORITIES else kept | 1
