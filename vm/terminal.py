"""The host's terminal, or a pipe, as the far end of the serial console; termios(3).

On a terminal the line is raw: every key goes to the guest, Ctrl-C as much as Enter, which is a carriage return as on a
real serial line. Only output processing stays on, since bare-metal guests end lines with a newline alone. Ctrl-A is the
way out, as in QEMU: Ctrl-A X quits, Ctrl-A H helps, Ctrl-A Ctrl-A types a Ctrl-A.

If standard input is no terminal, its bytes go to the guest as they come and nothing in them is special; at its end
nothing more is typed.
"""

from __future__ import annotations

import os
import select
import signal
import termios
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vm.machine import Machine

ESCAPE = 0x01               # Ctrl-A
CHUNK = 64 * 1024

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
    become `SystemExit` with the code that a shell would show). `quitting` tells that the user asked to quit.
    """

    def __init__(self, machine: Machine, stdin: int = 0, stdout: int = 1, stderr: int = 2):
        self.machine = machine
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.interactive = os.isatty(stdin)
        self.quitting = False
        self._escaped = False               # the last key was Ctrl-A
        self._last_printed = b"\n"
        self._saved_modes: list[Any] | None = None
        self._saved_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Terminal:
        self._catch_signals()
        try:
            if self.interactive:
                self.report(HINT)
                self._make_raw()
            self._start_feeding()
            self.machine.console.mirror = self.write
        except BaseException:
            self.restore()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.machine.console.mirror = None
        self._stop_feeding()
        self.restore()
        if self.interactive and exception[0] is None and self._last_printed != b"\n":
            os.write(self.stderr, b"\n")    # what is printed next begins a line

    def write(self, data: bytes) -> None:
        """Show what the guest prints, now and unchanged."""
        write_all(self.stdout, data)
        self._last_printed = data[-1:] or self._last_printed

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
        """Whether anything more can come from standard input."""
        return self.machine.inputs.watches(self.stdin)

    def report(self, text: str) -> None:
        """Say something to the user, apart from what the guest prints."""
        start = "" if self._last_printed == b"\n" else "\n"
        write_all(self.stderr, f"{start}{text.rstrip()}\n".encode())
        self._last_printed = b"\n"

    def _type(self, data: bytes) -> None:
        if data:
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
            self.machine.inputs.watch(self.stdin, self.on_input)

    def _stop_feeding(self) -> None:
        self.machine.inputs.forget(self.stdin)

    def _make_raw(self) -> None:
        self._saved_modes = termios.tcgetattr(self.stdin)
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
        if self._saved_modes is not None:
            modes, self._saved_modes = self._saved_modes, None
            try:
                termios.tcsetattr(self.stdin, termios.TCSANOW, modes)
            except termios.error:
                pass                        # the terminal hung up: it has no modes any more
        while self._saved_handlers:
            signal.signal(*self._saved_handlers.popitem())

    def _catch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:      # under nohup SIGHUP stays ignored
                self._saved_handlers[number] = signal.signal(number, end_by_signal)


def end_by_signal(number: int, frame: object) -> None:
    """A signal handler that unwinds, so that what was changed is put back, and ends with a shell's code for it."""
    raise SystemExit(128 + number)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`, also where the other end left the descriptor non-blocking."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view):]
        except BlockingIOError:
            select.select([], [fd], [])
