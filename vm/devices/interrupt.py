"""One interrupt wire between a device and whatever it is wired to, usually an input of the interrupt controller.

A wire has a level and no memory of edges. Both of its ends keep the level in their own saved state (the device as
`irq`, the PLIC as its source levels), so a machine is restored without any wire moving: see `Device.load`.
"""

from collections.abc import Callable


class InterruptLine:
    """A level-triggered wire. `sink(level)` is called when the level changes, and only then; nobody need listen."""

    __slots__ = ("level", "sink")

    def __init__(self, sink: Callable[[bool], None] | None = None):
        self.level = False
        self.sink = sink

    def set(self, level: bool) -> None:
        """Drive the wire high or low."""
        level = bool(level)
        if level is not self.level:
            self.level = level
            if self.sink is not None:
                self.sink(level)

    def raise_(self) -> None:
        """Drive the wire high."""
        self.set(True)

    def lower(self) -> None:
        """Drive the wire low."""
        self.set(False)
