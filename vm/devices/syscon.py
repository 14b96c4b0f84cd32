"""Power switch of the board: the guest writes how it ends.

The "test finisher" of SiFive's test device as QEMU's `virt` board has it; device-tree binding sifive,test1 under
syscon, which also serves the bindings syscon-poweroff and syscon-reboot.

    0x0     0x5555                  power off
            0x3333 | code << 16     end with the exit code
            0x7777                  reset
"""

from typing import Any

from vm.devices.base import Device, TreeContext, log, reads, writes
from vm.stop import Request, StopReason

FAIL = 0x3333
PASS = 0x5555
RESET = 0x7777


class Syscon(Device):
    """Calls `on_request(reason, code)`: POWER_OFF with code 0, RESET with None, EXIT with the guest's, 0 to 65535."""

    compatible = "sifive,test1\0sifive,test0\0syscon"
    node_name = "test"
    size = 0x1000
    unsaved = Device.unsaved + ("on_request",)

    def __init__(self, on_request: Request):
        super().__init__()
        self.on_request = on_request

    def tree_properties(self, context: TreeContext) -> dict[str, Any]:
        return {"phandle": context.phandle}

    def root_nodes(self, context: TreeContext) -> dict[str, dict[str, Any]]:
        return {
            name: {"compatible": f"syscon-{name}", "regmap": context.phandle, "offset": 0, "value": value}
            for name, value in (("poweroff", PASS), ("reboot", RESET))
        }

    @reads(0x0)
    def read_nothing(self) -> int:
        return 0

    @writes(0x0)
    def finish(self, value: int) -> None:
        command = value & 0xFFFF
        if command == PASS:
            self.on_request(StopReason.POWER_OFF, 0)
        elif command == FAIL:
            self.on_request(StopReason.EXIT, value >> 16)
        elif command == RESET:
            self.on_request(StopReason.RESET, None)
        else:
            log.info("Syscon: no such request: %#x", value)
