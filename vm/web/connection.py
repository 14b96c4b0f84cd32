"""One client: a socket, and the protocol of HTTP and WebSocket on it (RFC 9112, RFC 6455), which `websockets` speaks.

Nothing that a client sends or does not take makes more than a bounded number of bytes wait here, and nothing waits for
it.
"""

from __future__ import annotations

import json
import logging
import selectors
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CONNECTING, OPEN
from websockets.server import ServerProtocol
from websockets.typing import Origin

CHUNK = 1 << 16
END_OF_HEAD = b"\r\n\r\n"       # of a request
LARGEST_HEAD = 1 << 15          # bytes; that of a browser has a thousand
MOST_RECEIVED = 1 << 16         # bytes of one message
MOST_UNSENT = 1 << 18           # bytes that wait for a client; before it has taken them, it is not listened to
MOST_KEPT = 1 << 24             # the same, and a client that leaves more is gone; it is free to come again
DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)

SWITCHING_PROTOCOLS = 101

Message = dict[str, Any] | bytes

log = logging.getLogger("vm.web")


class NotUnderstood(Exception):
    """What a page of ours would never send."""


class Connection:
    """A client, from its first byte on. What it sends is taken by `receive`, and what it is sent goes by itself.

    `admitted`: it has said what lets it in.
    """

    def __init__(self, sock: socket.socket, origins: list[Origin]):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.gone = False               # nothing more comes, or can be sent
        self.admitted = False
        self._head: bytearray | None = bytearray()      # of its request; None: that is complete
        self._protocol = ServerProtocol(origins=origins, max_size=MOST_RECEIVED)
        self._unsent = bytearray()
        self._ending = False            # when all is sent, no more goes out
        self._parts = bytearray()       # of a message that comes in several
        self._parts_are_text = False

    @property
    def open(self) -> bool:
        """Whether it is a WebSocket, and messages can be sent."""
        return self._protocol.state is OPEN and not self.gone

    @property
    def unsent(self) -> int:
        """How many bytes it has not taken yet."""
        return len(self._unsent)

    @property
    def events(self) -> int:
        """What of its socket is waited for."""
        return selectors.EVENT_WRITE * bool(self._unsent) | selectors.EVENT_READ * (self.unsent <= MOST_UNSENT)

    # --- What comes --------------------------------------------------------------------------------------------------

    def receive(self) -> Iterator[Request | Frame]:
        """What has come, of which `message` makes sense; called when something can be read.

        A request is to be judged when it comes: what is behind it is not looked at before, and only in a WebSocket.
        """
        try:
            data = self.socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:                         # reset by the client
            data = b""
        if not data:
            self.gone = True
            return
        if self._head is not None:
            self._head += data
            head, end, data = bytes(self._head).partition(END_OF_HEAD)
            if not end:
                self.gone = len(self._head) > LARGEST_HEAD
                return
            self._head = None
            yield from self._understood(head + end)
        if self._protocol.state is not CONNECTING:
            yield from self._understood(data)

    def _understood(self, data: bytes) -> list[Request | Frame]:
        events: list[Request | Frame | Response] = []
        with self.spared():
            self._protocol.receive_data(data)
            events = self._protocol.events_received()
        self.push()
        return [event for event in events
                if isinstance(event, Request) or (isinstance(event, Frame) and event.opcode in DATA)]

    @contextmanager
    def spared(self) -> Iterator[None]:
        """Around what is done for this client alone: where that fails the client is gone, and the machine runs on."""
        try:
            yield
        except Exception:
            log.exception("a client of the web console is hung up on, for it cannot be served")
            self.gone = True

    def message(self, frame: Frame) -> Message | None:
        """What is complete with this frame: text as an object, keys as bytes. Raises NotUnderstood."""
        if frame.opcode is not Opcode.CONT:
            self._parts_are_text = frame.opcode is Opcode.TEXT
        self._parts += frame.data
        if not frame.fin:
            return None
        data = bytes(self._parts)
        self._parts.clear()
        if not self._parts_are_text:
            return data
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            raise NotUnderstood("no JSON") from None
        if not isinstance(said, dict):
            raise NotUnderstood("no object")
        return said

    # --- What goes ---------------------------------------------------------------------------------------------------

    def accept(self, request: Request) -> bool:
        """Make it a WebSocket; whether it is one. A client that may be none is told so."""
        with self.spared():
            response = self._protocol.accept(request)
            if response.status_code == SWITCHING_PROTOCOLS:
                self._protocol.send_response(response)
                self.push()
            else:
                self.respond(response)
        return self.open

    def respond(self, response: Response) -> None:
        """Answer a request, and end it; the protocol of WebSocket has no part in that."""
        self._unsent += response.serialize()
        self._ending = True
        self.push()

    def refuse(self, reason: str) -> None:
        """End it, because of what it has sent."""
        if self.open:
            with self.spared():
                self._protocol.fail(CloseCode.POLICY_VIOLATION, reason)
            self.push()

    def say(self, message: dict[str, Any]) -> None:
        data = json.dumps(message, separators=(",", ":")).encode()
        with self.spared():
            self._protocol.send_text(data)
        self.push()

    def send(self, data: bytes) -> None:
        with self.spared():
            self._protocol.send_binary(data)
        self.push()

    def push(self) -> None:
        """Send what waits, as much as is taken now."""
        for data in self._protocol.data_to_send():
            self._unsent += data
            self._ending = self._ending or not data     # which is the sign for that
        try:
            while self._unsent:
                del self._unsent[:self.socket.send(self._unsent)]
            if self._ending:
                self.socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            self.gone = self.gone or self.unsent > MOST_KEPT
        except OSError:                         # it is gone
            self.gone = True

    def close(self) -> None:
        """Twice is harmless."""
        self.gone = True
        self.socket.close()
