"""What a debugger is told when the machine has stopped: stop replies, GDB manual, E.3."""

from __future__ import annotations

from typing import NamedTuple

from vm.gdb.registers import QUICK, HartRegisters
from vm.hart import Hart
from vm.probes import Probe
from vm.stop import Stop, StopReason

# Signals as the protocol numbers them
INTERRUPTED, ILLEGAL, TRAPPED, ABORTED, BUS, SEGMENT, CALL = 2, 4, 5, 6, 10, 11, 12
# By the cause of a trap that nobody handles
SIGNALS = {0: BUS, 1: SEGMENT, 2: ILLEGAL, 3: TRAPPED, 4: BUS, 5: SEGMENT, 6: BUS, 7: SEGMENT, 8: CALL, 9: CALL,
           11: CALL, 12: SEGMENT, 13: SEGMENT, 15: SEGMENT}
END_OF_HISTORY, BEGINNING_OF_HISTORY = b"replaylog:end;", b"replaylog:begin;"
ENDS = {StopReason.POWER_OFF: "the guest has powered the machine off", StopReason.EXIT: "the guest has ended"}


class Halt(NamedTuple):
    """A stop as a debugger sees it: which hart, the signal, why, one line for its user; and for which watchpoint."""

    hart: int
    signal: int = TRAPPED
    reason: bytes = b""
    text: str = ""
    watched: Probe | None = None

    def reply(self, hart: Hart, registers: HartRegisters) -> bytes:
        """The packet T."""
        quick = b"".join(b"%02x:%b;" % (number, registers.read(hart, number).hex().encode()) for number in QUICK)
        return b"T%02x%bthread:%x;%b" % (self.signal, self.reason, thread_of(hart), quick)


def thread_of(hart: Hart) -> int:
    """The number of its thread: 0 would mean any."""
    return hart.id + 1


def halt_of(stop: Stop) -> Halt:
    """How a stop is told that is neither a hit nor the debugger's own wish."""
    match stop.reason:
        case StopReason.REQUESTED:
            return Halt(stop.hart, INTERRUPTED)
        case StopReason.UNHANDLED_TRAP | StopReason.TRAP_LOOP:
            return Halt(stop.hart, SIGNALS.get(stop.cause or 0, ABORTED), text=f"{stop.reason.value}: {stop.message}")
        case StopReason.REPLAYED:
            return Halt(stop.hart, reason=END_OF_HISTORY, text="the log ends here")
        case StopReason.IDLE:
            return Halt(stop.hart, text="every hart waits for an interrupt, and nothing is left that could raise one")
        case reason if reason in ENDS:
            code = "" if stop.exit_code is None else f", with exit code {stop.exit_code}"
            return Halt(stop.hart, reason=END_OF_HISTORY, text=f"{ENDS[reason]}{code}")
    return Halt(stop.hart, text=stop.message or stop.reason.value)


def exit_reply(stop: Stop) -> bytes:
    """The packet W: the guest has ended. A process has 8 bits for its code, and a failure must not look like none."""
    code = stop.exit_code or 0
    return b"W%02x" % (code & 0xFF or int(code != 0))
