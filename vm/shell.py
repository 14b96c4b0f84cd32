"""A shell in a guest: commands, what they print, and how they end.

    machine.boot("Image", initrd="initrd.gz", cmdline="console=ttyS0")
    shell = machine.shell()
    print(shell.run("uname -a").output)

Nothing is asked of the shell but that it is one (POSIX.1-2017, volume XCU, chapter 2): the prompt, the echo of the
terminal and the width of its lines do not matter. A command is typed in pieces, escaped, and then evaluated between two
marks that cannot be in what is typed: they hold control characters, which stand there as escapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from vm.errors import CommandFailed, ExpectTimeout, UnexpectedOutput

if TYPE_CHECKING:
    from vm.clock import Clock
    from vm.console import Bytes, Console
    from vm.waiting import Deadline

# Where a message of the kernel begins, with or without its time: a command may print the words.
PANIC = re.compile(rb"(?:(?<=\] )|^)Kernel panic - not syncing", re.MULTILINE)
# At the end of what was printed. Behind its prompt busybox asks the terminal where the cursor is.
PROMPT = re.compile(rb"[#$%>] ?(\x1b\[[0-9;?]*[A-Za-z])*\Z")
LOGIN = re.compile(rb"login: ?\Z")
PASSWORD = re.compile(rb"assword: ?\Z")
PATIENCE = 2                # guest seconds for the answer of a shell that is there
PIECE = 200                 # bytes of a command in a line that is typed: editors of lines take some hundred
MARK = "\\035"              # of printf: the group separator
MARK_BYTE = b"\035"
MARK_SIZE = 22              # bytes of the mark at the end, of a status of three digits
ESCAPE = 5                  # bytes of one: \\0ddd
TAIL_SHOWN = 1000           # bytes of output in an error message
TAIL = 80                   # bytes of output that are looked at for a prompt
PLAIN = re.compile(rb"[A-Za-z0-9 _./:=,@%+-]")


@dataclass(frozen=True)
class Result:
    """What a command printed, both of its outputs, and its exit status.

    Lines end with `\\n`. In `output`, bytes that are not UTF-8 are lone surrogates ("surrogateescape").
    """

    command: str
    output: str
    status: int

    @property
    def output_bytes(self) -> bytes:
        return self.output.encode(errors="surrogateescape")


class WithConsole(Protocol):
    """What a shell needs of a machine."""

    console: Console
    clock: Clock


class Shell:
    """A shell on the console of a machine, which it waits for; with `user`, it logs in.

    - seconds, timeout: limits of guest and host time until the shell answers.

    Raises ExpectTimeout if no shell answers, UnexpectedOutput if Linux panics, ExpectStopped if the machine stops.
    """

    def __init__(self, machine: WithConsole, user: str | None = None, password: str | None = None, *,
                 seconds: float = 60, timeout: float | None = None):
        __tracebackhide__ = True
        self.machine = machine
        self._count = 0
        self._wait(user, password, seconds, timeout)

    def run(self, command: str, *, check: bool = False, seconds: float = 60, timeout: float | None = None,
            show: Callable[[bytes], None] | None = None) -> Result:
        """Run a command, or several lines of them, and wait for its end.

        It runs in the shell itself, so that `cd` and variables stay, without input. Limits are those of
        `Console.expect`, whose errors are raised: UnexpectedOutput if Linux panics; after the others the command goes
        on in the guest, and the next one waits for it: `console.send("\\x03")` is Ctrl-C. With `check`, raises
        CommandFailed for a status that is not 0. `show` is called with the output as it comes.
        """
        __tracebackhide__ = True
        console = self.machine.console
        name = self._next_name(command)
        console.send("vm_command=\n")
        for piece in pieces(escaped(command)):
            console.send(f"vm_command=$vm_command'{piece}'\n")
        console.send(f"printf '{MARK}{name}{MARK}'; command eval \"$(printf %b \"$vm_command\")\" </dev/null; "
                     f"printf '{MARK}%d {name}{MARK}' $?\n")
        end_mark = re.compile(rb"\035(\d+) %b\035" % name.encode())
        deadline = self._deadline(seconds, timeout)
        try:
            self._expect(f"\035{name}\035".encode(), *deadline.left())
            with nullcontext() if show is None else mirrored(console, Follower(end_mark, show).write):
                end = self._expect(end_mark, *deadline.left())
        except ExpectTimeout as error:
            tail = console.pending[-TAIL_SHOWN:].decode(errors="replace")
            raise ExpectTimeout(f"{command!r} did not end in {deadline}; it goes on, until console.send('\\x03'), "
                                f"which is Ctrl-C; last printed:\n{tail}") from error
        output = console.before.replace("\r\n", "\n")
        result = Result(command, output, int(end[1]))
        if check and result.status:
            raise CommandFailed(command, result.status, output)
        return result

    def _deadline(self, seconds: float, timeout: float | None) -> Deadline:
        from vm.waiting import Deadline  # here: tests that ask for no machine load little of it

        return Deadline(self.machine.clock.now_ns, seconds, timeout)

    def _next_name(self, command: str) -> str:
        """Of a pair of marks: no output of the command holds it but on purpose, and it is the same in every run."""
        self._count += 1
        return sha256(f"{self._count} {command}".encode(errors="surrogateescape")).hexdigest()[:16]

    def _wait(self, user: str | None, password: str | None, seconds: float, timeout: float | None) -> None:
        """Until a shell answers: asked where something like a prompt was printed, or nothing for a while.

        Where that was no prompt nothing is lost: what was typed waits for who reads it.
        """
        __tracebackhide__ = True
        console = self.machine.console
        deadline = self._deadline(seconds, timeout)
        answers = {LOGIN: user, PASSWORD: password}
        printed = -1                            # how much the last time
        while True:
            tail = console.output[-TAIL:]
            asked = next((pattern for pattern in answers if pattern.search(tail)), None)
            quiet, printed = printed == len(console.output), len(console.output)
            deadline.refuse_reached("no shell of the guest answered")
            guest_left, host_left = deadline.left()
            if asked is not None and answers[asked] is not None:
                console.send(f"{answers[asked]}\n")
            elif (quiet or PROMPT.search(tail)) and self._answers(min(guest_left, PATIENCE), host_left):
                return
            with suppress(ExpectTimeout):
                self._expect([*answers, PROMPT], min(guest_left, PATIENCE), host_left)

    def _expect(self, pattern: Bytes | Sequence[Bytes], seconds: float, timeout: float | None) -> re.Match[bytes]:
        """As of the console, and no longer than the kernel lives."""
        __tracebackhide__ = True
        console = self.machine.console
        try:
            return console.expect(pattern, seconds, timeout=timeout, fail=PANIC)
        except UnexpectedOutput:
            console.expect(PANIC)               # the next search is for what comes behind, as after a reset
            raise

    def _answers(self, seconds: float, timeout: float | None) -> bool:
        name = self._next_name("")
        self.machine.console.send(f"printf '{MARK}{name}{MARK}'\n")
        try:
            self._expect(f"\035{name}\035".encode(), seconds, timeout)
        except ExpectTimeout:
            return False
        return True


class Follower:
    """Calls `show` with what a command prints, as it comes, up to the mark at its end."""

    def __init__(self, end_mark: re.Pattern[bytes], show: Callable[[bytes], None]):
        self._end_mark = end_mark
        self._show = show
        self._held = b""                        # what may be the beginning of the mark, or of the end of a line
        self._ended = False

    def write(self, data: bytes) -> None:
        if self._ended:
            return
        held = self._held + data
        end = self._end_mark.search(held)
        if end is not None:
            self._ended = True
            size = end.start()
        else:
            mark = held.find(MARK_BYTE, -MARK_SIZE)
            size = mark if mark >= 0 else len(held) - held.endswith(b"\r")
        self._held = held[size:]
        if size:
            self._show(held[:size].replace(b"\r\n", b"\n"))


@contextmanager
def mirrored(console: Console, write: Callable[[bytes], None]) -> Iterator[None]:
    """Within the block, `write` gets what is printed behind the last match, beside the console's mirror."""
    mirror = console.mirror

    def both(data: bytes) -> None:
        if mirror is not None:
            mirror(data)
        write(data)

    write(console.pending)
    console.mirror = both
    try:
        yield
    finally:
        console.mirror = mirror


def escaped(command: str) -> str:
    """For `printf %b`, in single quotes."""
    data = command.encode(errors="surrogateescape")
    return "".join(chr(byte) if PLAIN.match(bytes([byte])) else f"\\0{byte:03o}" for byte in data)


def pieces(text: str) -> Iterator[str]:
    """Cut, but in no escape."""
    start = 0
    while start < len(text):
        end = start + PIECE
        escape = text.rfind("\\", end - ESCAPE + 1, end)
        if escape > start:
            end = escape
        yield text[start:end]
        start = end
