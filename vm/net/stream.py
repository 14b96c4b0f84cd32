"""Frames over a stream, as QEMU's `-netdev stream` and `socket` have them: to another machine, or to passt or gvproxy.

Each frame has its size in front, 32 bits big-endian. The other program takes plain frames: what the guest has left to
do to them is done here. What it does not take in time is lost, as on any network.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from vm.errors import ConfigurationError
from vm.inputs import Alarm
from vm.net.link import Deliver, SocketLink
from vm.net.packet import ETHERNET_HEADER, LARGEST, Packet, finished

if TYPE_CHECKING:
    from vm.inputs import Inputs

log = logging.getLogger("vm.net")

SIZE = 4                            # bytes in front of a frame
AT_ONCE = 1 << 18                   # bytes that are taken before it is another's turn
ROOM = 1 << 20                      # that the peer has not taken yet; what the guest sends beyond is lost
AGAIN = 1.0                         # host seconds between two tries to connect
PATIENCE, IMPATIENCE = 10.0, 0.1    # that the first may take, and each that the guest waits for


class Stream(SocketLink):
    """A connection to a peer of the same kind.

    - connect, listen: one of them: "HOST:PORT" or the path of a Unix socket. Who connects tries again when the
      connection has ended; who listens takes the next one. There is one at a time.

    `address` is where it listens, with the number of a port that was free where 0 was asked for. Plugging it in raises
    ConfigurationError where nobody listens, or it cannot.
    """

    def __init__(self, connect: str = "", listen: str = ""):
        if bool(connect) == bool(listen):
            raise ConfigurationError("a stream either connects or listens: say one of the two, as HOST:PORT or the "
                                     "path of a socket")
        self.address = connect or listen
        self._listens = bool(listen)
        self._family, self._place = place_of(self.address)
        self._listener: socket.socket | None = None
        self._peer: socket.socket | None = None
        self._received = bytearray()
        self._unsent = bytearray()
        self._alarm: Alarm | None = None

    # --- Life --------------------------------------------------------------------------------------------------------

    def plug(self, deliver: Deliver, inputs: Inputs) -> None:
        super().plug(deliver, inputs)
        try:
            self._open(PATIENCE)
        except OSError as error:
            self.unplug()
            what = "cannot listen there" if self._listens else "nobody is there"
            raise ConfigurationError(f"{self.address}: {what}: {error.strerror or error}") from error

    def unplug(self) -> None:
        if not self.plugged:
            return
        self._drop_peer()
        if self._alarm is not None:
            self._alarm.cancel()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            if self._family == socket.AF_UNIX:
                with suppress(FileNotFoundError):
                    os.unlink(self.address)
        super().unplug()

    def __repr__(self) -> str:
        return f"<Stream {self.address}: {'nobody' if self._peer is None else 'a peer'} is there>"

    def _open(self, patience: float) -> None:
        sock = socket.socket(self._family, socket.SOCK_STREAM)
        sock.settimeout(patience)
        try:
            if self._listens:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(self._place)
                sock.listen()
            else:
                sock.connect(self._place)
        except BaseException:
            sock.close()
            raise
        if self._listens:
            self._listener = sock
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ)
            if self._family != socket.AF_UNIX:
                host, port = sock.getsockname()[:2]
                self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        else:
            self._take_peer(sock)

    def _expecting(self) -> bool:
        return self._peer is not None or self._listener is not None

    # --- The peer ----------------------------------------------------------------------------------------------------

    def _take_peer(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if self._family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peer = sock
        self._selector.register(sock, selectors.EVENT_READ)

    def _drop_peer(self) -> None:
        """Its connection has ended. What was on its way is lost."""
        if self._peer is not None:
            self._selector.unregister(self._peer)
            self._peer.close()
            self._peer = None
        self._received.clear()
        self._unsent.clear()

    def _lose_peer(self, why: str) -> None:
        log.info("%s: the peer is gone: %s", self.address, why)
        self._drop_peer()
        if not self._listens:
            self._alarm = self._inputs.call_in(AGAIN, self._connect_again)

    def _connect_again(self) -> None:
        try:
            self._open(IMPATIENCE)
        except OSError:
            self._alarm = self._inputs.call_in(AGAIN, self._connect_again)

    def _on_ready(self) -> None:
        for key, events in self._selector.select(0):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._peer:
                if events & selectors.EVENT_WRITE:
                    self._flush_unsent()
                if events & selectors.EVENT_READ and self._peer is not None:
                    self._receive()

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return                                  # it has gone already
        if self._peer is None:
            self._take_peer(sock)
        else:
            sock.close()                            # one at a time

    # --- Frames ------------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        assert self._peer is not None
        try:
            data = self._peer.recv(AT_ONCE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose_peer(error.strerror or str(error))
            return
        if not data:
            self._lose_peer("it has closed the connection")
            return
        self._received += data
        at = 0
        while len(self._received) - at >= SIZE:
            size = int.from_bytes(self._received[at:at + SIZE], "big")
            if not ETHERNET_HEADER <= size <= LARGEST:
                self._lose_peer(f"it sends a frame of {size} bytes, which is none")
                return
            if len(self._received) - at - SIZE < size:
                break
            self.deliver(Packet(bytes(self._received[at + SIZE:at + SIZE + size])))
            at += SIZE + size
        del self._received[:at]

    def send(self, packet: Packet) -> None:
        if self._peer is not None:
            for frame in finished(packet):
                if len(self._unsent) + SIZE + len(frame) <= ROOM:
                    self._unsent += len(frame).to_bytes(SIZE, "big") + frame

    def flush(self) -> None:
        self._flush_unsent()

    def _flush_unsent(self) -> None:
        if self._peer is None:
            return
        try:
            while self._unsent:
                with memoryview(self._unsent) as view:
                    sent = self._peer.send(view)
                del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose_peer(error.strerror or str(error))
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        if self._selector.get_key(self._peer).events != wanted:
            self._selector.modify(self._peer, wanted)


def place_of(address: str) -> tuple[int, str | tuple[str, int]]:
    """The family of sockets, and what those take: of "HOST:PORT", without a slash, or a path."""
    host, colon, port = address.rpartition(":")
    if address.isdecimal():
        raise ConfigurationError(f"{address}: write a port as 127.0.0.1:{address}, or a socket of that name as "
                                 f"./{address}")
    if "/" in address or not colon:
        return socket.AF_UNIX, address
    if not port.isdecimal() or int(port) > 65535:
        raise ConfigurationError(f"{address}: {port!r} is no port; write HOST:PORT, or the path of a socket")
    host = host.strip("[]") or "127.0.0.1"
    return socket.AF_INET6 if ":" in host else socket.AF_INET, (host, int(port))
