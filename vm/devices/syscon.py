"""Power switch of the board: the guest writes how it ends.

The "test finisher" of SiFive's test device as QEMU's `virt` board has it; device-tree binding sifive,test1 under
syscon, which also serves the bindings syscon-poweroff and syscon-reboot.

    0x0     0x5555                  power off
            0x3333 | code << 16     end with the exit code
            0x7777                  reset
"""

from collections.abc import Callable

from vm.devices.base import Device, log, reads, writes

FAIL = 0x3333
PASS = 0x5555
RESET = 0x7777


class Syscon(Device):
    """Calls `on_request(kind, code)`: 'power-off' and 'reset' with code 0, 'exit' with the guest's code, 0 to 65535."""

    compatible = "sifive,test1\0sifive,test0\0syscon"
    size = 0x1000

    def __init__(self, on_request: Callable[[str, int], None]):
        super().__init__()
        self.on_request = on_request

    @reads(0x0)
    def read_nothing(self) -> int:
        return 0

    @writes(0x0)
    def finish(self, value: int) -> None:
        command = value & 0xFFFF
        if command == PASS:
            self.on_request("power-off", 0)
        elif command == FAIL:
            self.on_request("exit", value >> 16)
        elif command == RESET:
            self.on_request("reset", 0)
        else:
            log.info("Syscon: no such request: %#x", value)
