"""Where a debugger comes in: a TCP port, a socket in the file system, or standard input and output."""

from __future__ import annotations

import os
import re
import socket
from errno import EADDRINUSE
from pathlib import Path
from typing import Protocol

from vm.errors import ConfigurationError

LOOPBACK = "127.0.0.1"
STDIO = "stdio"
PORT = re.compile(r"(?:(?P<host>\[[^\]]*\]|[^/:\[\]]*):)?(?P<port>\d+)")
CHUNK = 1 << 16
PATIENCE = 60                       # host seconds in which a debugger takes what it is sent


class Channel(Protocol):
    """Bytes to and from one debugger."""

    def fileno(self) -> int: ...

    def receive(self) -> bytes:
        """What is there; nothing at the end. Called when something is."""

    def send(self, data: bytes) -> None:
        """Raises OSError where nobody takes it."""

    def close(self) -> None: ...


class SocketChannel:
    """A debugger that has connected."""

    def __init__(self, connection: socket.socket):
        self._socket = connection
        connection.settimeout(PATIENCE)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> bytes:
        try:
            return self._socket.recv(CHUNK)
        except OSError:             # reset by the peer
            return b""

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        self._socket.close()


class StdioChannel:
    """The debugger that has started this process: `target remote | vm gdb --at stdio FILE`."""

    def fileno(self) -> int:
        return 0

    def receive(self) -> bytes:
        return os.read(0, CHUNK)

    def send(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(1, left):]

    def close(self) -> None:
        pass


class Listener:
    """A socket that debuggers connect to.

    `private`: none but this user's processes reach it. Raises OSError where it cannot be opened, and ConfigurationError
    where it is in use.
    """

    def __init__(self, where: int | str):
        match = PORT.fullmatch(str(where))
        if match is None:
            refuse_no_path(where)
        self._path = None if match else Path(where)     # type: ignore[arg-type]    # a number matches
        self.private = self._path is not None
        if match is None:
            self._socket, self.address = listen_in_files(str(where)), str(where)
            return
        port = int(match["port"])
        host = (match["host"] or LOOPBACK).strip("[]")
        if port > 0xFFFF:
            raise ConfigurationError(f"where={where!r}: a port is a number up to 65535")
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self._socket = socket.socket(family, kind, protocol)
        except OSError as error:
            raise ConfigurationError(f"where={where!r}: {error.strerror or error}") from error
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(place)
            self._socket.listen()
        except OSError as error:
            self._socket.close()
            raise ConfigurationError(f"no debugger can be waited for at {host} port {port}: {error.strerror}; name "
                                     "another port") from error
        self._socket.setblocking(False)
        name, number = self._socket.getsockname()[:2]
        self.address = f"[{name}]:{number}" if ":" in name else f"{name}:{number}"

    def fileno(self) -> int:
        return self._socket.fileno()

    def accept(self) -> SocketChannel:
        """Raises OSError where whoever came has left again."""
        return SocketChannel(self._socket.accept()[0])

    def close(self) -> None:
        """Twice is harmless."""
        if self._path is not None and self._socket.fileno() >= 0:
            self._path.unlink(missing_ok=True)
        self._socket.close()


def listen_in_files(path: str) -> socket.socket:
    """A socket at a path, for this user alone. One that a process has left which is no more is taken away."""
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        if is_forsaken(path):
            os.unlink(path)
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        there = error.errno == EADDRINUSE and not Path(path).is_socket()
        why = "a file is there" if there else error.strerror or error
        raise ConfigurationError(f"no debugger can be waited for at {path}: {why}; name another path, or a port"
                                 ) from error
    finally:
        os.umask(mask)
    return listener


def refuse_no_path(where: int | str) -> None:
    """Raise ConfigurationError for what is no port, and may be meant as a host: a path has a slash."""
    text = where if isinstance(where, str) else ""
    if "/" in text:
        return
    there = ", where a file is" if text and Path(text).exists() else ""
    here = f", as ./{text}" if text else ""
    raise ConfigurationError(f"where={where!r}{there}: a port is a number up to 65535, 'HOST:PORT' one of that host, "
                             f"'stdio' standard input and output, and the path of a socket has a slash in it{here}")


def is_forsaken(path: str) -> bool:
    """Whether a socket is there at which nobody listens."""
    if not Path(path).is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
    return False
