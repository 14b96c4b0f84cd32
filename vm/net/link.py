"""What a network device is plugged into, as both sides see it."""

from __future__ import annotations

import selectors
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from vm.errors import ConfigurationError
from vm.net.packet import Packet

if TYPE_CHECKING:
    from vm.clock import Clock
    from vm.inputs import Inputs

Deliver = Callable[[Packet], None]

FIRST_MAC = 0x5254_0012_3456        # QEMU's


class Link:
    """The other end of one network device's cable. What it sends to the guest goes through `deliver`.

    It lives outside the machine: nothing of it is part of the guest's state, and a run that is replayed does not ask
    it. A frame of which nothing can be made is dropped, as networks do; only what the host's program has configured
    wrongly raises, when it does so.
    """

    mac = FIRST_MAC                 # of a device that is given none

    _deliver: Deliver | None = None

    def refuse_clock(self, clock: Clock) -> None:
        """Raise ConfigurationError where no machine with such a clock can be plugged in."""

    def plug(self, deliver: Deliver, inputs: Inputs) -> None:
        """The machine is there: frames that come are `deliver`ed, and `inputs` watch what they come from.

        Raises ConfigurationError where somebody else is plugged in, or a port of the host is taken.
        """
        if self._deliver is not None:
            raise ConfigurationError(f"{self!r} has a network device already: each needs one of its own")
        self._deliver = deliver

    def unplug(self) -> None:
        """It is gone: all connections end. Does nothing the second time."""
        self._deliver = None

    def reset(self) -> None:
        """The guest's card has been, or the guest is another one now: what it had under way is of no use."""

    @property
    def plugged(self) -> bool:
        return self._deliver is not None

    def send(self, packet: Packet) -> None:
        """The guest has sent this."""

    def flush(self) -> None:
        """All that it had to send together has been."""

    def deliver(self, packet: Packet) -> None:
        """To the guest; if there is none, nowhere."""
        if self._deliver is not None:
            self._deliver(packet)

    def twin(self) -> Link:
        """What a twin of the device is plugged into, as one of a fork: unless a subclass has better, nothing."""
        return Link()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class SocketLink(Link):
    """A link made of sockets of the host: its `_selector` is watched while it is plugged in."""

    _inputs: Inputs
    _selector: selectors.DefaultSelector

    def plug(self, deliver: Deliver, inputs: Inputs) -> None:
        super().plug(deliver, inputs)
        self._inputs = inputs
        self._selector = selectors.DefaultSelector()
        inputs.watch(self._selector.fileno(), self._on_ready)
        inputs.expect(self._expecting)

    def unplug(self) -> None:
        if self.plugged:
            self._inputs.forget(self._selector.fileno())
            self._inputs.expect_no_more(self._expecting)
            self._selector.close()
        super().unplug()

    @abstractmethod
    def _on_ready(self) -> None:
        """A socket of the selector can do what was wanted."""

    @abstractmethod
    def _expecting(self) -> bool:
        """Whether anything may come at any time."""
