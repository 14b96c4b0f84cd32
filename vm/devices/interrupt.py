"""Interrupts from devices: the wires that carry them, and what a hart calls those that reach it.

A wire runs between a device and whatever it is wired to, usually an input of the interrupt controller. It has a level
and no memory of edges; what it is wired to hears each time that it is driven high. Both of its ends keep the level in
their own saved state (the device as `irq`, the PLIC as its source levels), so a machine is restored without any wire
moving: see `Device.load`.
"""

from collections.abc import Callable

from vm_native.riscv.registers import INTERRUPTS

# Bits of a hart's mip, and numbers in the device tree's riscv,cpu-intc
MACHINE_SOFTWARE = INTERRUPTS["MSI"]
MACHINE_TIMER = INTERRUPTS["MTI"]
SUPERVISOR_EXTERNAL = INTERRUPTS["SEI"]
MACHINE_EXTERNAL = INTERRUPTS["MEI"]


class InterruptLine:
    """A wire with a level. `sink(level)` is called when the level changes, and when a wire that is high is driven high
    again, as a device does that has another reason. Nobody need listen."""

    __slots__ = ("level", "sink")

    def __init__(self, sink: Callable[[bool], None] | None = None):
        self.level = False
        self.sink = sink

    def set(self, level: bool) -> None:
        """Drive the wire high or low."""
        level = bool(level)
        if level or self.level:
            self.level = level
            if self.sink is not None:
                self.sink(level)

    def raise_(self) -> None:
        """Drive the wire high."""
        self.set(True)

    def lower(self) -> None:
        """Drive the wire low."""
        self.set(False)
