"""Who may look at the console: a socket on loopback, the files of the page, and those who know the token.

Any page that the user's browser shows can send requests here, and with the help of a name server even as if it came
from here. So a request must have the token, which only the address that was printed has, and name this server as the
one it wants (Host) and, where it is a WebSocket, as where its page comes from (Origin).
"""

from __future__ import annotations

import logging
import secrets
import selectors
import socket
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path

from websockets.datastructures import Headers, MultipleValuesError
from websockets.frames import Frame
from websockets.http11 import Request, Response
from websockets.typing import Origin

from vm.errors import ConfigurationError
from vm.inputs import Alarm, Inputs
from vm.web.connection import Connection, Message, NotUnderstood

LOOPBACK = "127.0.0.1"
MOST_CLIENTS = 32               # that have said the token
MOST_CALLERS = 32               # that have not yet; for one more the first of them goes
PATIENCE = 10                   # host seconds in which a client becomes a WebSocket, or is served and gone
CALLERS_PATIENCE = 2            # in which it says the token
DEAF = 1                        # for which nobody is let in after that has failed, as when descriptors have run out
TOKEN_BYTES = 32
SOCKET = "socket"               # what the page's WebSocket is called
INDEX = "index.html"
PLAIN = "text/plain; charset=utf-8"
KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".mjs": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
# Nothing but this server's own files and WebSocket, nor may another page frame it. xterm.js writes style elements.
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self'; connect-src 'self' "
          "ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
ALWAYS = {"Cache-Control": "no-store", "Connection": "close", "Cross-Origin-Opener-Policy": "same-origin",
          "Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer",
          "X-Content-Type-Options": "nosniff"}

log = logging.getLogger("vm.web")


class Server:
    """Serves the page, watched by a machine's inputs. `url` is the address that lets a browser in.

    - files: of the page, by name.
    - on_open, on_message, on_close: called with the connection of a page. `on_message` raises NotUnderstood for what no
      page of ours sends, and the connection ends.

    Raises ConfigurationError for a port that is none, or in use, and for a file that cannot be read.
    """

    def __init__(self, inputs: Inputs, port: int, files: Mapping[str, Path], on_open: Callable[[Connection], None],
                 on_message: Callable[[Connection, Message], None], on_close: Callable[[Connection], None]):
        self._inputs = inputs
        self._files = contents(files)           # whatever becomes of them while the machine runs
        self._on_open, self._on_message, self._on_close = on_open, on_message, on_close
        self._token = secrets.token_urlsafe(TOKEN_BYTES)
        self._listener = listener(port)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self.port}/?token={self._token}"
        self._hosts = [f"{name}:{self.port}" for name in (LOOPBACK, "localhost")]
        self._origins = [Origin(f"http://{host}") for host in self._hosts]
        self._clients: dict[int, Connection] = {}       # by descriptor
        self._pages: set[Connection] = set()            # of them, those that are WebSockets
        self._deaf: Alarm | None = None                 # until then the listener is not looked at
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        inputs.watch(self._selector.fileno(), self._on_ready)

    # --- Sockets -----------------------------------------------------------------------------------------------------

    def _on_ready(self) -> None:
        for key, events in self._selector.select(0):
            client = self._clients.get(key.fd)
            if client is not None:
                self._on_client(client, events)
            elif key.fileobj is self._listener:     # else that of a client which had to go a moment ago
                self._on_caller()

    def _on_client(self, client: Connection, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            client.push()
        if events & selectors.EVENT_READ:
            for event in client.receive():
                if isinstance(event, Request):
                    self._on_request(client, event)
                elif client.open:
                    self._on_frame(client, event)
        self.settle(client)

    def _on_caller(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):       # whoever came has left again
            return
        except OSError as error:                # who waits is still there, and would be at each look
            log.warning("nobody is let in to the web console for %d s: %s", DEAF, error.strerror)
            self._selector.unregister(self._listener)
            self._deaf = self._inputs.call_in(DEAF, self._listen)
            return
        callers = [client for client in self._clients.values() if not client.admitted]
        if len(callers) >= MOST_CALLERS:
            self._drop(callers[0])
        try:
            client = Connection(sock, self._origins)
        except OSError:                         # the same, on some systems
            sock.close()
            return
        self._clients[sock.fileno()] = client
        self._selector.register(sock, client.events)
        self._inputs.call_in(CALLERS_PATIENCE, partial(self._turn_away, client))

    def _listen(self) -> None:
        self._deaf = None
        self._selector.register(self._listener, selectors.EVENT_READ)

    def _on_frame(self, client: Connection, frame: Frame) -> None:
        try:
            message = client.message(frame)
            if message is not None:
                self._on_message(client, message)
        except NotUnderstood as error:
            client.refuse(str(error))

    def settle(self, client: Connection) -> None:
        """After something was sent or has come: wait for what the client is to do now."""
        if client in self._pages and not client.open:
            self._pages.remove(client)
            self._on_close(client)
            self._inputs.call_in(PATIENCE, partial(self._lose_patience, client))
        if client.gone:
            self._drop(client)
        elif self._clients.get(client.socket.fileno()) is client:
            self._selector.modify(client.socket, client.events)

    def _turn_away(self, client: Connection) -> None:
        """Who has not said the token."""
        if not client.admitted:
            self._drop(client)

    def _lose_patience(self, client: Connection) -> None:
        """With who does not come to the point, or does not hang up."""
        if not client.open:
            self._drop(client)

    def _drop(self, client: Connection) -> None:
        if self._clients.get(client.socket.fileno()) is client:
            self._selector.unregister(client.socket)
            del self._clients[client.socket.fileno()]
            client.close()

    # --- Requests ----------------------------------------------------------------------------------------------------

    def _on_request(self, client: Connection, request: Request) -> None:
        accepted = False
        with client.spared():
            accepted = self._answer(client, request)
        if accepted:
            self._pages.add(client)
            self._on_open(client)

    def _answer(self, client: Connection, request: Request) -> bool:
        """Whether it is a page now."""
        status, name = self._judged(request)
        if status is not HTTPStatus.FORBIDDEN and status is not HTTPStatus.BAD_REQUEST:
            if sum(other.admitted for other in self._clients.values()) < MOST_CLIENTS:
                client.admitted = True
                self._inputs.call_in(PATIENCE, partial(self._lose_patience, client))
            else:
                status = HTTPStatus.SERVICE_UNAVAILABLE
        if status is HTTPStatus.SEE_OTHER:      # from here on the names of files are relative to the token
            client.respond(self._response(status, b"", {"Location": f"/{self._token}/"}))
        elif status is not HTTPStatus.OK:
            client.respond(self._response(status, f"vm: {WORDS[status]}\n".encode()))
        elif name == SOCKET:
            return client.accept(request)
        else:
            kind = KINDS.get(Path(name).suffix, PLAIN)
            client.respond(self._response(status, self._files[name], {"Content-Type": kind}))
        return False

    def _judged(self, request: Request) -> tuple[HTTPStatus, str]:
        """What becomes of a request, and the name of what it asks for."""
        headers = request.headers
        try:
            host, origin = headers.get("Host"), headers.get("Origin")
        except MultipleValuesError:
            return HTTPStatus.BAD_REQUEST, ""
        if host not in self._hosts or (origin is not None and origin not in self._origins):
            return HTTPStatus.FORBIDDEN, ""
        path, _, query = request.path.partition("?")
        if path == "/" and self._is_token(query.removeprefix("token=")):
            return HTTPStatus.SEE_OTHER, ""
        token, _, name = path.removeprefix("/").partition("/")
        if not self._is_token(token):
            return HTTPStatus.FORBIDDEN, ""
        if request.method != "GET":
            return HTTPStatus.METHOD_NOT_ALLOWED, ""
        name = name or INDEX
        return (HTTPStatus.OK if name in self._files or name == SOCKET else HTTPStatus.NOT_FOUND), name

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(errors="replace"), self._token.encode())

    def _response(self, status: HTTPStatus, body: bytes, more: Mapping[str, str] | None = None) -> Response:
        headers = {**ALWAYS, "Content-Length": str(len(body)), "Content-Type": PLAIN,
                   "Content-Security-Policy": POLICY.format(host=" ws://".join(self._hosts)), **(more or {})}
        return Response(status.value, status.phrase, Headers(headers), body)

    # --- End ---------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Twice is harmless."""
        if self._listener.fileno() < 0:
            return
        if self._deaf is not None:
            self._deaf.cancel()
        self._inputs.forget(self._selector.fileno())
        self._selector.close()
        self._listener.close()
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._pages.clear()


WORDS = {
    HTTPStatus.BAD_REQUEST: "a request has one Host, and at most one Origin",
    HTTPStatus.FORBIDDEN: "this console is opened by the address that vm has printed, with its token",
    HTTPStatus.METHOD_NOT_ALLOWED: "GET is what is answered",
    HTTPStatus.NOT_FOUND: "the page has no such file",
    HTTPStatus.SERVICE_UNAVAILABLE: f"{MOST_CLIENTS} pages are open, and no more are served: close one",
}


def contents(files: Mapping[str, Path]) -> dict[str, bytes]:
    """Of files by name. Raises ConfigurationError."""
    try:
        return {name: path.read_bytes() for name, path in files.items()}
    except OSError as error:
        raise ConfigurationError(f"a file of the console's page cannot be read: {error}") from error


def listener(port: int) -> socket.socket:
    """Raises ConfigurationError."""
    if not 0 <= port <= 0xFFFF:
        raise ConfigurationError(f"port={port}: a port is a number up to 65535; 0 is any that is free")
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((LOOPBACK, port))
        sock.listen()
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ConfigurationError(f"no console can be opened at {LOOPBACK} port {port}: {error.strerror}; name another "
                                 "port") from error
    return sock
