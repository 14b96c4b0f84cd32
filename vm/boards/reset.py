"""What the boot ROM holds: the code every hart starts at, and what it passes on to the firmware.

The hand-over is the one of OpenSBI's `fw_dynamic` (its docs/firmware/fw_dynamic.md), which fw_jump, kernels and
bare-metal programs take as well: a0 = hart id, a1 = device tree, a2 = struct fw_dynamic_info.
"""

import struct

CODE = (
    0x0000_0297,            # auipc  t0, 0
    0x0282_8613,            # addi   a2, t0, 40         the fw_dynamic_info
    0xF140_2573,            # csrr   a0, mhartid
    0x0202_B583,            # ld     a1, 32(t0)         the device tree
    0x0182_B283,            # ld     t0, 24(t0)         the start
    0x0002_8067,            # jr     t0
)
# start and device tree; then fw_dynamic_info: magic, version, next_addr, next_mode, options, boot_hart
DATA = struct.Struct("<QQ QQQQQQ")

FW_DYNAMIC_MAGIC = 0x4942534F               # "OSBI"
FW_DYNAMIC_VERSION = 2
SUPERVISOR_MODE = 1
NO_OPTIONS = 0


def reset_vector(start: int, dtb_address: int, next_address: int = 0, boot_hart: int = 0) -> bytes:
    """Jump to `start`. `next_address` is where firmware that reads fw_dynamic_info goes on in S-mode."""
    code = struct.pack(f"<{len(CODE)}I", *CODE)
    return code + DATA.pack(start, dtb_address, FW_DYNAMIC_MAGIC, FW_DYNAMIC_VERSION, next_address, SUPERVISOR_MODE,
                            NO_OPTIONS, boot_hart)
