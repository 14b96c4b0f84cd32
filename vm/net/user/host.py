"""Sockets of the host, and what a network wants to hear of them."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from typing import NewType, Protocol

from vm.inputs import Alarm

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


class FlowNetwork(Protocol):
    """What a flow asks of the network that it is part of."""

    def call_in(self, seconds: float, action: Callable[[], None]) -> Alarm: ...

    def watch(self, endpoint: Endpoint, interest: Interest) -> None: ...

    def forget(self, endpoint: Endpoint) -> None:
        """It is at its end, and its socket closed."""


class IdleEndpoint(Endpoint):
    """One without an end of its own: it is closed when nothing has come or gone for `patience` host seconds."""

    def __init__(self, network: FlowNetwork, sock: socket.socket, patience: float):
        super().__init__(sock)
        self._owner = network
        self._patience = patience
        self.note_sent()
        network.watch(self, READ)
        self._alarm = network.call_in(patience, self._on_alarm)

    def note_sent(self) -> None:
        """The guest has sent something: an answer may come."""
        self._used = self.expecting = True

    def note_received(self) -> None:
        """It has."""
        self._used, self.expecting = True, False

    def _on_alarm(self) -> None:
        self.expecting = False
        if self._used:
            self._used = False
            self._alarm = self._owner.call_in(self._patience, self._on_alarm)
        else:
            self.abandon()

    def abandon(self) -> None:
        self._alarm.cancel()
        self._owner.forget(self)
        self.socket.close()
