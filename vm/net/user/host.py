"""Sockets of the host, and what a network wants to hear of them."""

from __future__ import annotations

import selectors
import socket
from typing import NewType

Interest = NewType("Interest", int)
READ, WRITE = Interest(selectors.EVENT_READ), Interest(selectors.EVENT_WRITE)


class Endpoint:
    """The host's end of one conversation of the guest's."""

    interest = Interest(0)                  # as the selector has it
    expecting = True                        # that something comes by it, at any time

    def __init__(self, sock: socket.socket):
        self.socket = sock
        sock.setblocking(False)

    def on_ready(self, interest: Interest) -> None:
        """The socket can do what was wanted, or some of it."""

    def abandon(self) -> None:
        """The network goes away: close the socket, and say nothing to the guest."""
