"""Numbers of the supervisor binary interface (RISC-V SBI specification 2.0) that the core and vm/firmware share."""

from enum import IntEnum


class Extension(IntEnum):
    """Chapters 4 to 8 and 15: what a call has in a7."""

    LEGACY_SET_TIMER = 0
    LEGACY_PUTCHAR = 1
    LEGACY_GETCHAR = 2
    LEGACY_CLEAR_IPI = 3
    LEGACY_SEND_IPI = 4
    LEGACY_FENCE_I = 5
    LEGACY_SFENCE_VMA = 6
    LEGACY_SFENCE_VMA_ASID = 7
    LEGACY_SHUTDOWN = 8
    BASE = 0x10
    TIME = 0x54494D45
    IPI = 0x735049
    RFENCE = 0x52464E43
    HSM = 0x48534D
    SRST = 0x53525354
    DBCN = 0x4442434E


class Error(IntEnum):
    """Chapter 3: what a call gives back in a0."""

    SUCCESS = 0
    NOT_SUPPORTED = -2
    INVALID_PARAM = -3
    INVALID_ADDRESS = -5
    ALREADY_AVAILABLE = -6
