"""The agent in a guest: it runs commands with input and separate outputs, copies files, and sets the clock.

    machine.attach(vm.devices.Vsock())
    machine.boot(*vm.images.debian())
    agent = machine.agent()
    print(agent.run("uname -a").stdout)

It is `vm/guests/agent`, a program without a C library, which listens on a port of a virtio socket; images of
`vm.images.debian` start it where there is such a device. Each request is a connection of its own, and a process there.

The protocol, version 1. Both ends send frames: u32 kind, u32 size, and so many bytes, at most 32,768; numbers are
little-endian. The agent begins, with HELLO: "vm-agent" and u32 version. Then the host asks one thing:

- ARGUMENT, VARIABLE and DIRECTORY, each a string, as many as there are, and RUN. From the host follow INPUT, the last
  one empty; from the agent OUTPUT and ERRORS, and at the end STATUS: i32, the exit status, or minus a signal.
- GET: a path. The answer is OUTPUT, and STATUS 0.
- PUT: i32 mode (-1: as it is), and a path. The answer is STATUS 0 when the file is open; then comes INPUT from the
  host, the last one empty, and the answer is STATUS 0.
- TIME: nothing, or i64 seconds and i64 nanoseconds since 1970, to be set. The answer is TIME with what they are now.

Instead of STATUS, and of what follows in general, FAILURE tells an error: i32, a number of errno. The command's process
group is killed where the host closes the connection.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from vm.devices import Vsock, VsockConnection
from vm.errors import AgentError, CommandFailed, ConfigurationError, ExpectTimeout
from vm.stop import Stop, StopReason
from vm.waiting import Deadline, unmet
from vm.whole_file import whole_file

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from vm.boards import Board
    from vm.clock import Clock

PORT = 1024
VERSION = 1
MAGIC = b"vm-agent"
LARGEST = 32 << 10                  # bytes of a frame behind its header
FRAME = struct.Struct("<II")        # kind, size
NUMBER = struct.Struct("<i")
UNSIGNED = struct.Struct("<I")
TIME_OF_DAY = struct.Struct("<qq")
KEEP_MODE = -1
NS = 10**9

HELLO, ARGUMENT, VARIABLE, DIRECTORY, RUN, INPUT = map(ord, "HAVDRI")
OUTPUT, ERRORS, STATUS, FAILURE, GET, PUT, TIME = map(ord, "OESFGPT")

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
BETWEEN_ATTEMPTS = 0.05             # guest seconds, while the agent is not there yet
RUNS_ON = {StopReason.DEADLINE, StopReason.TIMEOUT}
LIMIT = 256 << 20                   # bytes from the guest in one answer, where nothing else is said


class Answers(Protocol):
    """What an agent needs of a machine."""

    board: Board
    clock: Clock

    def run(self, *, seconds: float | None = None, timeout: float | None = None) -> Stop: ...


@dataclass(frozen=True)
class CommandResult:
    """What a command printed, by itself and as errors, and how it ended.

    Attributes:
        command: as `Agent.run` was given it
        status: the exit status; of a command that a signal ended 128 and its number, as a shell has it
        signal: that number, or None

    In text, bytes that are not UTF-8 are lone surrogates ("surrogateescape").
    """

    command: str | Sequence[str]
    stdout_bytes: bytes
    stderr_bytes: bytes
    status: int
    signal: int | None = None

    @property
    def stdout(self) -> str:
        """What it printed, as text."""
        return self.stdout_bytes.decode(errors="surrogateescape")

    @property
    def stderr(self) -> str:
        """What it printed as errors, as text."""
        return self.stderr_bytes.decode(errors="surrogateescape")


class Agent:
    """The agent of a machine's guest, which it waits for.

    - port: where it listens, 1024 if nothing is said.
    - seconds, timeout: limits of guest and host time until it answers.

    Everything here lets the machine run, and is limited by `seconds` (guest) and `timeout` (host): ExpectTimeout and
    ExpectStopped are raised as by `Console.expect`. What the guest's kernel refuses is the OSError that it says, as
    FileNotFoundError. Raises ConfigurationError where the machine has no `vm.devices.Vsock`.
    """

    def __init__(self, machine: Answers, port: int | None = None, *, seconds: float = 60, timeout: float | None = None):
        __tracebackhide__ = True
        self.machine = machine
        self.port = PORT if port is None else port
        self._wait(seconds, timeout)

    @property
    def _device(self) -> Vsock:
        device = self.machine.board.first(Vsock)
        if device is None:
            raise ConfigurationError("the machine has no virtio socket by which an agent could be asked: "
                                     "machine.attach(vm.devices.Vsock()) before the boot")
        return device

    def _wait(self, seconds: float, timeout: float | None) -> None:
        """Until it answers. A guest that boots refuses connections before."""
        __tracebackhide__ = True
        device = self._device
        deadline = Deadline(self.machine.clock.now_ns, seconds, timeout)
        did_not = f"no agent of the guest answered on port {self.port}"
        while True:
            deadline.refuse_reached(did_not)
            guest_left, host_left = deadline.left()
            try:
                with device.connect_to(self.port, seconds=guest_left, timeout=host_left) as connection:
                    Request(connection, deadline).greet()
                return
            except (ConnectionRefusedError, ConnectionResetError):
                stop = self.machine.run(seconds=min(BETWEEN_ATTEMPTS, guest_left), timeout=host_left)
            if stop.reason not in RUNS_ON:
                raise unmet(stop, did_not, "one answered", seconds, timeout)

    @contextmanager
    def _request(self, what: str, seconds: float, timeout: float | None, name: str = "") -> Iterator[Request]:
        """A connection for one request. `what`: it is, for people; `name`: of what the guest may not find."""
        __tracebackhide__ = True
        deadline = Deadline(self.machine.clock.now_ns, seconds, timeout)
        try:
            with self._device.connect_to(self.port, seconds=seconds, timeout=timeout) as connection:
                request = Request(connection, deadline, name)
                request.greet()
                yield request
        except ExpectTimeout as error:
            raise ExpectTimeout(f"{what} did not end in {deadline}, and was given up") from error

    # --- Commands ----------------------------------------------------------------------------------------------------

    def run(self, command: str | Sequence[str], *, input: Buffer | str = b"", env: Mapping[str, str] | None = None,
            cwd: str | None = None, check: bool = False, seconds: float = 60, timeout: float | None = None,
            show: Callable[[bytes], None] | None = None, limit: int = LIMIT) -> CommandResult:
        """Run a command and wait for its end.

        - command: text for /bin/sh, or a program and its arguments, of which the guest's shell knows nothing.
        - input: what it reads on its standard input, which ends behind that.
        - env: variables beside PATH and HOME. cwd: the directory, "/" if nothing is said.
        - check: raise CommandFailed for a status that is not 0.
        - show: called with what it prints, errors too, as it comes.
        - limit: how much it may print, bytes of both outputs together: 256 MiB if nothing is said. Raises AgentError
          for more, and the command is killed.

        It is a session and a process group of its own, without a terminal. Those it leaves behind go on, with nobody at
        the other end of their outputs. When a limit is reached before it ends, the whole group is killed.
        """
        __tracebackhide__ = True
        words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        if not words or not all(isinstance(word, str) for word in words):
            raise ConfigurationError(f"run({command!r}): text, or a list of them that begins with a program")
        data = memoryview(input.encode() if isinstance(input, str) else input).cast("B")
        variables = ENVIRONMENT | dict(env or {})
        head = [*((ARGUMENT, word) for word in words), *((VARIABLE, f"{name}={value}")
                                                         for name, value in variables.items()), (DIRECTORY, cwd or "/")]
        printed = {OUTPUT: bytearray(), ERRORS: bytearray()}
        missing = words[0] if cwd is None else cwd if isinstance(command, str) else f"{words[0]} in {cwd}"
        with self._request(repr(command), seconds, timeout, missing) as request:
            request.say(b"".join(frame(kind, encoded(text)) for kind, text in head) + frame(RUN))
            request.input = InputFrames(data)
            while (kind := request.hear()) in printed:
                if len(request.payload) + sum(map(len, printed.values())) > limit:
                    raise AgentError(f"{command!r} printed more than {limit:,} bytes, and was killed: let it write to "
                                     "a file, for copy_out(), or give a higher limit=")
                printed[kind] += request.payload
                if show is not None:
                    show(request.payload)
            code = request.status()
        status, ended_by = (code, None) if code >= 0 else (128 - code, -code)
        result = CommandResult(command, bytes(printed[OUTPUT]), bytes(printed[ERRORS]), status, ended_by)
        if check and status:
            raise CommandFailed(command if isinstance(command, str) else " ".join(command), status,
                                result.stdout + result.stderr)
        return result

    # --- Files -------------------------------------------------------------------------------------------------------

    def read_file(self, path: str, *, seconds: float = 60, timeout: float | None = None, limit: int = LIMIT) -> bytes:
        """The content of a file of the guest.

        - limit: how much that may be, bytes: 256 MiB if nothing is said.

        Raises the OSError that the guest says, as FileNotFoundError, and AgentError for more than `limit`.
        """
        __tracebackhide__ = True
        content = io.BytesIO()
        self._read_into(content, path, seconds, timeout, limit)
        return content.getvalue()

    def _read_into(self, file: BinaryIO, path: str, seconds: float, timeout: float | None, limit: int) -> None:
        __tracebackhide__ = True
        left = limit
        with self._request(f"reading {path!r}", seconds, timeout, path) as request:
            request.say(frame(GET, encoded(path)))
            while request.hear() == OUTPUT:
                left -= len(request.payload)
                if left < 0:
                    raise AgentError(f"{path!r} of the guest has more than {limit:,} bytes: give a higher limit=, for "
                                     "what is large of copy_out(), which does not hold it in memory")
                file.write(request.payload)
            request.status()

    def write_file(self, path: str, data: Buffer | str, mode: int | None = None, *, seconds: float = 60,
                   timeout: float | None = None) -> None:
        """Write a file of the guest, in place of what was there.

        - mode: as 0o755; None: as it is, and 0o644 of a new one.

        Raises the OSError that the guest says, as FileNotFoundError where there is no such directory.
        """
        __tracebackhide__ = True
        content = memoryview(data.encode() if isinstance(data, str) else data).cast("B")
        with self._request(f"writing {path!r}", seconds, timeout, path) as request:
            request.say(frame(PUT, NUMBER.pack(KEEP_MODE if mode is None else mode) + encoded(path)))
            request.hear()
            request.status()                    # it is open
            request.input = InputFrames(content)
            request.hear()
            request.status()

    def copy_in(self, source: str | os.PathLike[str], path: str, *, seconds: float = 60,
                timeout: float | None = None) -> None:
        """Copy a file of the host to a path of the guest, with its mode."""
        __tracebackhide__ = True
        file = Path(source)
        self.write_file(path, file.read_bytes(), file.stat().st_mode & 0o7777, seconds=seconds, timeout=timeout)

    def copy_out(self, path: str, target: str | os.PathLike[str], *, seconds: float = 60,
                 timeout: float | None = None, limit: int = LIMIT) -> None:
        """Copy a file of the guest to a path of the host, where it stands when it is whole.

        - limit: how much that may be, bytes: 256 MiB if nothing is said.

        Raises what `read_file` raises, and OSError for a target that is no file; then what was there is as it was.
        """
        __tracebackhide__ = True
        with whole_file(target) as file:
            self._read_into(file, path, seconds, timeout, limit)

    # --- Time --------------------------------------------------------------------------------------------------------

    def time(self, *, seconds: float = 60, timeout: float | None = None) -> float:
        """What the guest's clock says: seconds since 1970, UTC."""
        __tracebackhide__ = True
        return self._time(b"", seconds, timeout)

    def set_time(self, now: float, *, seconds: float = 60, timeout: float | None = None) -> None:
        """Set the guest's clock, to seconds since 1970, UTC; as to `time.time()`."""
        __tracebackhide__ = True
        whole, ns = divmod(round(now * NS), NS)
        self._time(TIME_OF_DAY.pack(whole, ns), seconds, timeout)

    def _time(self, data: bytes, seconds: float, timeout: float | None) -> float:
        __tracebackhide__ = True
        with self._request("the clock", seconds, timeout) as request:
            request.say(frame(TIME, data))
            request.hear()
            whole, ns = request.numbers(TIME, TIME_OF_DAY)
        return float(whole + ns / NS)

    def __repr__(self) -> str:
        return f"<Agent on port {self.port}>"


class InputFrames:
    """Data in frames of INPUT, with the empty one at the end, in pieces as there is room for."""

    def __init__(self, data: memoryview):
        self._data = data
        self._at = 0
        self._piece = memoryview(b"")
        self.done = False

    def next(self) -> memoryview:
        """What is to be sent now: something of it, at least."""
        if not self._piece:
            part = self._data[self._at:self._at + LARGEST]
            self._at += len(part)
            self._piece = memoryview(frame(INPUT, part))
            self._last = not part
        return self._piece

    def sent(self, size: int) -> None:
        self._piece = self._piece[size:]
        self.done = self._last and not self._piece


class Request:
    """One request of an agent: frames to it and from it, within limits for all of them together.

    - input: what is sent while the agent is listened to.
    - payload: of the frame that came last.
    """

    def __init__(self, connection: VsockConnection, deadline: Deadline, name: str = ""):
        self._connection = connection
        self._deadline = deadline
        self._name = name                       # of what the agent may not find
        self._received = bytearray()
        self._kind = 0
        self.input: InputFrames | None = None
        self.payload = b""

    def _limit(self) -> None:
        self._connection.seconds, self._connection.timeout = self._deadline.left()

    def greet(self) -> None:
        """Raises AgentError where no agent is at the other end, or another one."""
        __tracebackhide__ = True
        self.hear()
        if self._kind != HELLO or self.payload[:len(MAGIC)] != MAGIC or len(self.payload) < len(MAGIC) + UNSIGNED.size:
            raise AgentError(f"what answers on port {self._connection.port} of the guest is no agent of vm")
        version, = UNSIGNED.unpack_from(self.payload, len(MAGIC))
        if version != VERSION:
            raise AgentError(f"the agent in the guest speaks version {version} of the protocol, and not {VERSION}: "
                             "build the guest's image again")

    def say(self, data: bytes) -> None:
        __tracebackhide__ = True
        self._limit()
        self._connection.sendall(data)

    def hear(self) -> int:
        """Wait for a frame, and return its kind; `input` goes out meanwhile."""
        __tracebackhide__ = True
        while not self._take_frame():
            connection, source = self._connection, self.input
            speaks = source is not None and not source.done
            self._limit()
            if source is not None and speaks and connection.writable:
                try:
                    source.sent(connection.send(source.next()))
                except (BrokenPipeError, ConnectionResetError):
                    self.input = None           # it wants no more of it; what it says to that may have come
            elif connection.readable:
                data = connection.recv(1 << 20)
                if not data:
                    raise AgentError("the agent has ended in the middle of a request")
                self._received += data
            else:
                connection.wait(readable=True, writable=speaks)
        return self._kind

    def _take_frame(self) -> bool:
        if len(self._received) < FRAME.size:
            return False
        self._kind, size = FRAME.unpack_from(self._received)
        if size > LARGEST:
            raise AgentError(f"the agent sends a frame of {size} bytes, and the largest has {LARGEST}")
        end = FRAME.size + size
        if len(self._received) < end:
            return False
        self.payload = bytes(self._received[FRAME.size:end])
        del self._received[:end]
        return True

    def numbers(self, kind: int, form: struct.Struct) -> tuple[int, ...]:
        """The numbers in the frame that came last. Raises the OSError that it tells instead."""
        if self._kind == FAILURE and len(self.payload) == NUMBER.size:
            number, = NUMBER.unpack(self.payload)
            raise OSError(number, os.strerror(number), *([self._name] if self._name else []))
        if self._kind != kind or len(self.payload) != form.size:
            raise AgentError(f"the agent answers with a frame of kind {self._kind:#x} and {len(self.payload)} bytes")
        return form.unpack(self.payload)

    def status(self) -> int:
        __tracebackhide__ = True
        return self.numbers(STATUS, NUMBER)[0]


def frame(kind: int, payload: Buffer = b"") -> bytes:
    data = bytes(payload)
    return FRAME.pack(kind, len(data)) + data


def encoded(text: str) -> bytes:
    """A string for the guest. Raises ConfigurationError for what none can be."""
    data = text.encode(errors="surrogateescape")
    if b"\0" in data or len(data) > LARGEST - NUMBER.size:
        raise ConfigurationError(f"{text[:40]!r}: a string for the guest has no zero in it, and at most "
                                 f"{LARGEST - NUMBER.size} bytes")
    return data
