"""A machine that runs on the user's terminal until it ends, and what the process then says and returns.

A reset that the guest asks for starts it anew. Exit codes: what the guest says (power-off is 0), or of
`vm.cli.exit_codes`. Who quits with Ctrl-A X gets 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from vm.cli.exit_codes import CRASHED, NOBODY_READS, NOT_DONE
from vm.machine import Machine
from vm.stop import Stop, StopReason
from vm.terminal import Terminal


def run_to_end(machine: Machine, name: str, instructions: int | None = None, timeout: float | None = None, *,
               quiet: bool = False, terminal_class: type[Terminal] = Terminal) -> int:
    """Run the machine with the terminal as its console; the exit code.

    `name` is the guest's, for the message on how it ended, which `quiet` leaves out.
    """
    machine.console.record = False
    try:
        with terminal_class(machine) as terminal:
            stop = run_with_input(machine, terminal, instructions, timeout)
            if terminal.quitting:
                return 0
            code, message = conclusion(machine, stop)
            if message and not quiet:
                terminal.report(f"vm: {name}: {message}")
            return code
    except BrokenPipeError:
        return NOBODY_READS


def nobody() -> bool:
    return False


def run_with_input(machine: Machine, terminal: Terminal, instructions: int | None = None, timeout: float | None = None,
                   asked: Callable[[], bool] = nobody) -> Stop:
    """Run through resets. In virtual time a guest that waits is idle at once: then wait for the user as it does.

    `asked` tells whether somebody else than the terminal has requested a stop.
    While nobody takes what the guest has printed, it does not run; who asked to quit is heard all the same.
    """
    last_step = None if instructions is None else machine.steps + instructions
    end = None if timeout is None else time.monotonic() + timeout

    def time_left() -> float | None:
        return None if end is None else max(end - time.monotonic(), 0)

    while True:
        stop = machine.run(None if last_step is None else last_step - machine.steps, timeout=time_left())
        if terminal.quitting or stop.reason is StopReason.TIMEOUT:
            return stop
        if stop.reason is StopReason.RESET:
            if machine.inputs.history is None or machine.inputs.history.live:       # else the log has it
                machine.reset()
        elif stop.reason is StopReason.IDLE and terminal.feeding:
            machine.inputs.poll(time_left())
        elif stop.reason is StopReason.REQUESTED and asked():
            return stop
        elif stop.reason is not StopReason.REQUESTED:           # which is the terminal's request, as it is stalled
            return stop if terminal.flush(time_left) else stop._replace(reason=StopReason.TIMEOUT)
        while terminal.stalled and not terminal.quitting and time_left() != 0:
            terminal.wait_for_reader(time_left())


def conclusion(machine: Machine, stop: Stop) -> tuple[int, str]:
    """The exit code for how a run ended, and what there is to say about it."""
    match stop.reason:
        case StopReason.POWER_OFF:
            return 0, ""
        case StopReason.EXIT:
            # A process has only 8 bits for it; a failure must not look like success.
            code = stop.exit_code or 0
            return code & 0xFF or int(code != 0), ""
        case StopReason.BUDGET:
            return NOT_DONE, "not done within --max-instructions"
        case StopReason.TIMEOUT:
            return NOT_DONE, "not done within --timeout"
        case StopReason.TRACE_FULL:
            return 0, "the trace has as many records as --limit says"
        case StopReason.REPLAYED:
            return 0, "the log ends here"
        case StopReason.IDLE:
            return NOT_DONE, "every hart waits for an interrupt, and nothing is left that could raise one"
        case _:
            symbol = machine.lookup(stop.pc)
            return CRASHED, f"{stop.reason.value}: {stop.message}" + (f" ({symbol})" if symbol else "")
