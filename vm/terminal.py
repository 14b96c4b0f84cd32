"""The host's terminal, or a pipe, as the far end of the serial console; termios(3).

On a terminal the line is raw: every key goes to the guest, Ctrl-C as much as Enter, which is a carriage return as on a
real serial line. Only output processing stays on, since bare-metal guests end lines with a newline alone. Ctrl-A is the
way out, as in QEMU: Ctrl-A X quits, Ctrl-A H helps, Ctrl-A Ctrl-A types a Ctrl-A.

If standard input is no terminal, its bytes go to the guest as they come and nothing in them is special; at its end
nothing more is typed. Nothing is taken from it while the guest has not read what came before.

Output that nobody takes stops the machine, never the process: see `stalled`.
"""

from __future__ import annotations

import os
import select
import signal
import termios
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vm.inputs import LONGEST_WAIT
from vm.outlet import Outlet

if TYPE_CHECKING:
    from vm.machine import Machine

ESCAPE = 0x01               # Ctrl-A
CHUNK = 64 * 1024
UNREAD = 64 * 1024          # bytes that wait for the guest before no more are taken from a pipe
UNREAD_KEYS = 1024 * 1024   # the same of a terminal, where what comes then is lost: Ctrl-A must be seen

HINT = "vm: Ctrl-A X quits, Ctrl-A H helps"
HELP = """
vm: Ctrl-A X        quit; the machine is gone
    Ctrl-A H        this help
    Ctrl-A Ctrl-A   type a Ctrl-A
"""

# termios attributes by index
IFLAG, OFLAG, CFLAG, LFLAG, CC = 0, 1, 2, 3, 6


class Terminal:
    """Joins a machine's console with file descriptors of the host, from `with` to its end.

    The terminal's modes are put back on every way out: the end of the block, an exception, SIGTERM and SIGHUP (which
    become `SystemExit` with the code that a shell would show), and from SIGTSTP to SIGCONT. `quitting` tells that the
    user asked to quit.
    """

    def __init__(self, machine: Machine, stdin: int = 0, stdout: int = 1, stderr: int = 2):
        self.machine = machine
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.interactive = os.isatty(stdin)
        self.quitting = False
        self._output = Outlet(stdout)
        self._reports = Outlet(stderr)
        self._escaped = False               # the last key was Ctrl-A
        self._losing_keys = False
        self._last_printed = b"\n"
        self._saved_modes: list[Any] | None = None
        self._saved_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Terminal:
        self._catch_signals()
        try:
            if self.interactive:
                self.report(HINT)
                self._saved_modes = termios.tcgetattr(self.stdin)
                self._make_raw()
            self._start_feeding()
            self.machine.inputs.interactive = self.interactive
            self.machine.console.mirror = self.write
        except BaseException:
            self.restore()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.machine.console.mirror = None
        self.machine.inputs.interactive = False
        self._stop_feeding()
        try:
            if self.interactive and exception[0] is None and self._last_printed != b"\n":
                self._reports.write(b"\n")  # what is printed next begins a line
        finally:
            self.restore()

    def write(self, data: bytes) -> None:
        """Show what the guest prints, unchanged, and now unless the output is stalled."""
        self._output.write(data)
        self._last_printed = data[-1:] or self._last_printed
        if self._output.full:
            self.machine.request_stop()

    @property
    def stalled(self) -> bool:
        """Whether so much of what was printed waits for its reader that the machine should not run."""
        return self._output.full

    def wait_for_reader(self, seconds: float | None = None) -> None:
        """Wait a while, not longer than `seconds`, for somebody to take what was printed; keys are heard meanwhile."""
        keys = [self.stdin] if self.feeding else []
        waited = LONGEST_WAIT if seconds is None else min(seconds, LONGEST_WAIT)
        if select.select(keys, [self.stdout], [], waited)[0]:
            self.on_input()
        self._output.push()

    def flush(self, time_left: Callable[[], float | None]) -> bool:
        """Wait until all that was printed is taken, the time is over or the user quits; whether all of it is."""
        while not (self._output.empty or self.quitting or time_left() == 0):
            self.wait_for_reader(time_left())
        return self._output.empty

    def on_input(self) -> None:
        """Take what can be read from standard input; called when something can."""
        try:
            data = os.read(self.stdin, CHUNK)
        except OSError:                     # a terminal that hung up
            data = b""
        if not data:
            self._stop_feeding()
            if self.interactive:
                self._quit()
        else:
            self._type(self._without_escapes(data) if self.interactive else data)

    @property
    def feeding(self) -> bool:
        """Whether anything more can come from standard input, as things stand."""
        return self.machine.inputs.watches(self.stdin) and self._wants_input()

    def report(self, text: str) -> None:
        """Say something to the user, apart from what the guest prints. Lost where nobody takes it."""
        start = "\n" if self.interactive and self._last_printed != b"\n" else ""
        self._reports.write(f"{start}{text.rstrip()}\n".encode())
        self._last_printed = b"\n"

    def _wants_input(self) -> bool:
        return self.interactive or self.machine.console.unread < UNREAD

    def _type(self, data: bytes) -> None:
        losing = self.interactive and self.machine.console.unread + len(data) > UNREAD_KEYS
        if losing and not self._losing_keys:
            self.report("vm: the guest does not read; what is typed is lost until it does")
        self._losing_keys = losing
        if data and not losing:
            self.machine.console.send(data)

    def _without_escapes(self, data: bytes) -> bytes:
        """What of the keys is for the guest; the rest is done here."""
        keys = bytearray()
        for key in data:
            if not self._escaped:
                self._escaped = key == ESCAPE
                if not self._escaped:
                    keys.append(key)
                continue
            self._escaped = False
            if key == ESCAPE:
                keys.append(key)
            elif key in b"xX":
                self._quit()
                break
            elif key in b"hH?":
                self.report(HELP)
            else:
                name = chr(key) if 0x20 < key < 0x7F else f"{key:#04x}"
                self.report(f"vm: Ctrl-A {name} means nothing; Ctrl-A H helps")
        return bytes(keys)

    def _quit(self) -> None:
        self.quitting = True
        self.machine.request_stop()

    def _start_feeding(self) -> None:
        if is_open(self.stdin):
            self.machine.inputs.watch(self.stdin, self.on_input, self._wants_input)

    def _stop_feeding(self) -> None:
        self.machine.inputs.forget(self.stdin)

    def _make_raw(self) -> None:
        modes = termios.tcgetattr(self.stdin)
        modes[IFLAG] &= ~(termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR
                          | termios.IGNCR | termios.ICRNL | termios.IXON)
        modes[OFLAG] |= termios.OPOST | termios.ONLCR
        modes[CFLAG] = modes[CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        modes[LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN | termios.ISIG)
        modes[CC][termios.VMIN] = 1
        modes[CC][termios.VTIME] = 0
        termios.tcsetattr(self.stdin, termios.TCSANOW, modes)       # keeps what was typed already

    def restore(self) -> None:
        """Put back the terminal's modes and the signal handlers. Does nothing the second time."""
        self._put_modes_back()
        self._saved_modes = None
        while self._saved_handlers:
            signal.signal(*self._saved_handlers.popitem())
        for outlet in (self._output, self._reports):
            outlet.close()

    def _put_modes_back(self) -> None:
        if self._saved_modes is not None:
            try:
                termios.tcsetattr(self.stdin, termios.TCSANOW, self._saved_modes)
            except termios.error:
                pass                        # the terminal hung up: it has no modes any more

    def _catch_signals(self) -> None:
        handlers: dict[signal.Signals, Callable[[int, object], None]] = {
            signal.SIGTERM: end_by_signal, signal.SIGHUP: end_by_signal,
        }
        if self.interactive:
            handlers |= {signal.SIGTSTP: self._suspend, signal.SIGCONT: self._go_on}
        for number, handler in handlers.items():
            if signal.getsignal(number) == signal.SIG_DFL:      # under nohup SIGHUP stays ignored
                self._saved_handlers[number] = signal.signal(number, handler)

    def _suspend(self, number: int, frame: object) -> None:
        """Stop, as everybody does, with the terminal as the shell left it.

        The terminal is raw again only when the next SIGTSTP comes here again: whoever sees it raw may send one at once.
        """
        self._put_modes_back()
        handlers = {caught: signal.signal(caught, signal.SIG_DFL) for caught in (number, signal.SIGCONT)}
        signal.raise_signal(number)
        for caught, handler in handlers.items():        # continued; or never stopped, where no shell could continue us
            signal.signal(caught, handler)
        self._go_on(number, frame)

    def _go_on(self, number: int, frame: object) -> None:
        """The shell has taken the terminal meanwhile, also where we were stopped without a word."""
        if self._saved_modes is not None:
            try:
                self._make_raw()
            except termios.error:
                pass                            # it hung up


def end_by_signal(number: int, frame: object) -> None:
    """A signal handler that unwinds, so that what was changed is put back, and ends with a shell's code for it."""
    raise SystemExit(128 + number)


def unwind_by_signals() -> None:
    """From here on SIGTERM and SIGHUP unwind, so that disks are closed; under nohup SIGHUP stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end_by_signal)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
