"""Why a run ended."""

from dataclasses import dataclass
from enum import Enum

from vm_native.riscv.registers import CAUSES


class StopReason(Enum):
    """Values are what messages and the command line show."""

    BUDGET = "budget"                   # the instructions that were asked for are done
    DEADLINE = "deadline"               # the guest seconds that were asked for are over
    TIMEOUT = "timeout"                 # the host seconds that were asked for are over
    CONDITION = "condition"             # `until` came true
    REQUESTED = "requested"             # Machine.request_stop()
    BREAKPOINT = "breakpoint"
    POWER_OFF = "power-off"             # the guest switched the machine off
    RESET = "reset"                     # the guest asked for a reset: Machine.reset() does it
    EXIT = "exit"                       # the guest gave an exit code
    UNHANDLED_TRAP = "unhandled-trap"   # a trap for M-mode, where the machine itself is the firmware
    TRAP_LOOP = "trap-loop"             # a trap handler's first instruction traps to itself
    IDLE = "idle"                       # every hart waits, and nothing is scheduled that would wake one


@dataclass(frozen=True)
class Stop:
    """What `Machine.run` returns.

    - pc: virtual address of the next instruction of `hart`; where a trap was the reason, of the one that trapped.
    - exit_code: the guest's, 0 after power-off; None if it gave none.
    - steps: how many this run took, all harts together.
    - cause, value: mcause and mtval of the trap that was the reason.
    """

    reason: StopReason
    pc: int
    hart: int
    steps: int
    exit_code: int | None = None
    cause: int | None = None
    value: int | None = None

    @property
    def message(self) -> str:
        """One line for people; empty where the reason says it all."""
        if self.cause is None:
            return ""
        name = CAUSES.get(self.cause, "unknown cause")
        return f"hart {self.hart}: {name} (cause {self.cause}) at pc {self.pc:#x}, tval {self.value:#x}"
