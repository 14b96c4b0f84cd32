"""The host's ends of connections of a virtio socket device: what a program has in its hands.

They are much like `socket.socket`. Who waits lets the machine run, until what is waited for is there or a limit is
reached; so they are used between two runs, and never by callbacks of a machine, which are told MachineBusy.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from vm.devices.virtio.vsock_stream import RECEIVE, SEND, Failure, Phase, Stream
from vm.errors import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import Buffer

FLAGS = {socket.SHUT_RD: RECEIVE, socket.SHUT_WR: SEND, socket.SHUT_RDWR: RECEIVE | SEND}
FAILURES = {Failure.REFUSED: (ConnectionRefusedError, "the guest refused the connection: nobody listens there"),
            Failure.RESET: (ConnectionResetError, "the guest has reset the connection")}


class Action(IntEnum):
    """What the host's program does: the operation of an input."""

    CONNECT = 1                     # number that it gets, port of the guest
    LISTEN = 2                      # port
    LISTEN_NO_MORE = 3              # port
    ACCEPT = 4                      # number
    SEND = 5                        # number; data
    TAKE = 6                        # number, bytes that it has read
    SHUT = 7                        # number, flags
    CLOSE = 8                       # number


class Owner(Protocol):
    """The device, as its ends know it: its file imports this one, and no file imports itself by way of others."""

    listening: list[int]

    def has(self, stream: Stream) -> bool: ...

    def waiting(self, port: int) -> list[Stream]: ...

    def act(self, what: str, action: Action, stream: Stream, argument: int = 0, data: bytes = b"") -> None: ...

    def stop_listening(self, port: int) -> None: ...

    def run_until(self, reached: Callable[[], bool], did_not: str, before: str, seconds: float,
                  timeout: float | None) -> None: ...


class VsockConnection:
    """A connection to a program of the guest, open until `close`, or to the end of a `with` block.

    Attributes:
        seconds, timeout: how long a call waits at most, in guest and in host time (None: no limit); may be changed
        port: the guest's
        local_port: the host's

    Methods that wait raise ExpectTimeout and ExpectStopped as `Console.expect` does, and MachineBusy from within a
    callback or while a log is replayed; all raise ConnectionResetError where the guest has reset the connection, or the
    machine has gone to another state.
    """

    def __init__(self, device: Owner, stream: Stream, seconds: float = 60, timeout: float | None = None):
        self._device = device
        self._stream = stream
        self.seconds = seconds
        self.timeout = timeout
        self.port = stream.guest_port
        self.local_port = stream.host_port

    def __repr__(self) -> str:
        how = "closed" if self._closed else self._stream.lost or (
            "over" if self._stream.phase is Phase.OVER else "open" if self._stream.phase is Phase.OPEN else "asked for")
        return f"<VsockConnection of port {self.local_port} to port {self.port} of the guest: {how}>"

    @property
    def _closed(self) -> bool:
        return self._stream.closed

    # --- Waiting -----------------------------------------------------------------------------------------------------

    @property
    def readable(self) -> bool:
        """Whether `recv` returns or raises at once."""
        return bool(self._stream.incoming) or self._stream.ended or bool(self._stream.shut & RECEIVE)

    @property
    def writable(self) -> bool:
        """Whether `send` returns or raises at once."""
        return self._stream.room > 0 or self._stream.deaf

    def wait(self, *, readable: bool = False, writable: bool = False) -> None:
        """Let the machine run until one of those that are asked for is the case."""
        __tracebackhide__ = True
        self._run_until(lambda: (readable and self.readable) or (writable and self.writable),
                        "did not go on with the connection", "it did")

    def wait_for_answer(self) -> None:
        """Until the guest has answered that there is a connection; else it is closed, and the error raised."""
        __tracebackhide__ = True
        try:
            self._run_until(lambda: self._stream.phase not in (Phase.ASKING, Phase.ASKED), "did not answer",
                            "it answered")
            self._refuse_failed()
        except BaseException:
            self.close()
            raise

    def _run_until(self, reached: Callable[[], bool], did_not: str, before: str) -> None:
        __tracebackhide__ = True
        self._device.run_until(reached, f"port {self.port} of the guest {did_not}", before, self.seconds, self.timeout)

    def _refuse_failed(self) -> None:
        if self._stream.lost:
            raise ConnectionResetError(f"port {self.port} of the guest: the connection is no more: {self._stream.lost}")
        if self._closed:
            raise ConfigurationError(f"port {self.port} of the guest: this connection is closed")
        if self._stream.failure:
            kind, said = FAILURES[self._stream.failure]
            raise kind(f"port {self.port} of the guest: {said}")

    # --- Talking -----------------------------------------------------------------------------------------------------

    def recv(self, size: int) -> bytes:
        """Wait for something, and return it, `size` bytes at most; nothing where the guest sends no more."""
        __tracebackhide__ = True
        if size <= 0:
            raise ConfigurationError(f"recv({size}): at least one byte")
        if not self._closed:
            self._run_until(lambda: self.readable, "sent nothing", "it sent something")
        if not self._stream.incoming or self._closed:
            self._refuse_failed()
            return b""
        data = bytes(self._stream.incoming[:size])
        self._act("recv", Action.TAKE, len(data))
        return data

    def recv_exactly(self, size: int) -> bytes:
        """So many bytes. Raises EOFError where the guest ends before that."""
        __tracebackhide__ = True
        data = bytearray()
        while len(data) < size:
            part = self.recv(size - len(data))
            if not part:
                raise EOFError(f"port {self.port} of the guest ended after {len(data)} of {size} bytes")
            data += part
        return bytes(data)

    def send(self, data: Buffer) -> int:
        """Send as much as there is room for now, and return how much that is; the guest gets it as the machine runs.

        Raises BrokenPipeError where the guest reads no more, or `shutdown` has said that nothing more comes.
        """
        self._refuse_failed()
        if self._stream.deaf or self._stream.shut & SEND:
            raise BrokenPipeError(f"port {self.port} of the guest: "
                                  + ("it reads no more" if self._stream.deaf else "this end was shut for sending"))
        part = bytes(memoryview(data).cast("B")[:self._stream.room])
        if part:
            self._act("send", Action.SEND, data=part)
        return len(part)

    def sendall(self, data: Buffer) -> None:
        """Send all of it. The last of it is under way then: the guest gets it as the machine runs.

        Raises what `send` raises.
        """
        __tracebackhide__ = True
        left = memoryview(data).cast("B")
        while left:
            left = left[self.send(left):]
            if left:
                self._run_until(lambda: self.writable, "did not read", "it read")

    def shutdown(self, how: int = socket.SHUT_WR) -> None:
        """Say that nothing more is sent (socket.SHUT_WR), or read (SHUT_RD), or neither (SHUT_RDWR)."""
        if how not in FLAGS:
            raise ConfigurationError(f"shutdown({how!r}): socket.SHUT_WR, SHUT_RD or SHUT_RDWR")
        self._refuse_failed()
        self._act("shutdown", Action.SHUT, FLAGS[how])

    def close(self) -> None:
        """The end. What was sent still goes to the guest, as the machine runs. Twice is harmless."""
        if not self._closed and self._device.has(self._stream):
            self._act("close", Action.CLOSE)
        self._stream.closed = True

    def _act(self, what: str, action: Action, argument: int = 0, data: bytes = b"") -> None:
        self._device.act(what, action, self._stream, argument, data)

    def __enter__(self) -> VsockConnection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class VsockListener:
    """A port of the host to which programs of the guest connect; until `close`, or to the end of a `with` block.

    Attributes:
        seconds, timeout: how long `accept` waits at most, in guest and in host time; may be changed
        port: the number
    """

    def __init__(self, device: Owner, port: int, seconds: float, timeout: float | None):
        self._device = device
        self.port = port
        self.seconds = seconds
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"<VsockListener on port {self.port} of the host>"

    def accept(self) -> VsockConnection:
        """Wait for the next connection. Raises ExpectTimeout and ExpectStopped as `Console.expect` does."""
        __tracebackhide__ = True
        if self.port not in self._device.listening:
            raise ConfigurationError(f"port {self.port} of the host: this listener is closed")
        self._device.run_until(lambda: bool(self._device.waiting(self.port)),
                               f"nobody in the guest connected to port {self.port}", "somebody connected", self.seconds,
                               self.timeout)
        stream = self._device.waiting(self.port)[0]
        self._device.act("accept", Action.ACCEPT, stream)
        return VsockConnection(self._device, stream, self.seconds, self.timeout)

    def close(self) -> None:
        """Connections that nobody has accepted are reset. Twice is harmless."""
        if self.port in self._device.listening:
            self._device.stop_listening(self.port)

    def __enter__(self) -> VsockListener:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
