"""Why a run ended."""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from vm.display import html_table
from vm.probes import Hit


class StopReason(Enum):
    """Values are what messages and the command line show."""

    BUDGET = "budget"                   # the instructions that were asked for are done
    DEADLINE = "deadline"               # the guest seconds that were asked for are over
    TIMEOUT = "timeout"                 # the host seconds that were asked for are over
    CONDITION = "condition"             # `until` came true
    REQUESTED = "requested"             # Machine.request_stop()
    POWER_OFF = "power-off"             # the guest switched the machine off
    RESET = "reset"                     # the guest asked for a reset: Machine.reset() does it
    EXIT = "exit"                       # the guest gave an exit code
    UNHANDLED_TRAP = "unhandled-trap"   # a trap for M-mode, where the machine itself is the firmware
    TRAP_LOOP = "trap-loop"             # a trap handler's first instruction traps to itself, as where none is
    BREAKPOINT = "breakpoint"           # the next instruction of the hart is at one
    WATCHPOINT = "watchpoint"           # the last instruction of the hart has accessed what is watched
    TRACE_FULL = "trace-full"           # a trace has no room for more: Trace.clear
    REPLAYED = "replayed"               # the log that is replayed ends here: Machine.replay
    BEGINNING = "beginning"             # Machine.run_back found nothing in all of the history
    IDLE = "idle"                       # every hart waits, and nothing is scheduled that would wake one


# How the guest's side asks for an end: POWER_OFF, RESET or EXIT, and the exit code, where there is one.
Request = Callable[[StopReason, int | None], None]


class Stop(NamedTuple):
    """What `Machine.run` returns.

    - pc: virtual address of the next instruction of `hart`; where a trap was the reason, of the one that trapped.
    - exit_code: the guest's, 0 after power-off; None if it gave none.
    - steps: how many this run took, all harts together.
    - cause, value: mcause and mtval of the trap that was the reason.
    - hits: the breakpoints or watchpoints that were the reason; empty for other reasons.
    - message: one line for people; empty where the reason says it all.
    """

    reason: StopReason
    pc: int
    hart: int
    steps: int
    exit_code: int | None = None
    cause: int | None = None
    value: int | None = None
    message: str = ""
    hits: tuple[Hit, ...] = ()

    def __repr__(self) -> str:
        return f"Stop({', '.join(f'{name}={text}' for name, text in self._facts())})"

    def _repr_html_(self) -> str:
        said = [("message", self.message)] if self.message else []
        return html_table("Stop", [*self._facts(), *said])

    def _facts(self) -> list[tuple[str, str]]:
        """What there is to say; addresses in hexadecimal."""
        facts = [("reason", self.reason.value), ("pc", f"{self.pc:#x}"), ("hart", str(self.hart)),
                 ("steps", str(self.steps))]
        if self.exit_code is not None:
            facts.append(("exit_code", str(self.exit_code)))
        if self.cause is not None and self.value is not None:
            facts += [("cause", str(self.cause)), ("value", f"{self.value:#x}")]
        if self.hits:
            facts.append(("hits", ", ".join(repr(hit.probe) for hit in self.hits)))
        return facts
