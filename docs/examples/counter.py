"""A device that counts how often it is read, and interrupts at a limit.

    0x0   limit   0 for none; writing it starts anew and lowers the interrupt
    0x4   count   reading counts
"""

from vm.devices import Device, reads, writes


class Counter(Device):
    compatible = "example,counter"
    size = 0x1000
    state = ("limit", "count")

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        super().reset()
        self.limit = self.count = 0

    @reads(0x0)
    def read_limit(self) -> int:
        return self.limit

    @writes(0x0)
    def write_limit(self, value: int) -> None:
        self.limit, self.count = value, 0
        self.irq.lower()

    @reads(0x4)
    def read_count(self) -> int:
        self.count += 1
        if self.count == self.limit:
            self.irq.raise_()
        return self.count
