"""The socket that a console is plugged into: of a device by which the guest prints and is typed to."""

from collections.abc import Callable

Bytes = Callable[[bytes], None]


def discard(data: bytes) -> None:
    """The output of a device with nothing plugged in."""


class ConsolePort:
    """A part of such a device. `output(data)` gets what the guest prints, `receive(data)` is the host's way in.

    A machine that the device is attached to connects its console to the one, and its inputs stand before the other, so
    that all that enters the machine is seen in one place. A subclass says in `accept` what becomes of it then.
    """

    unsaved: tuple[str, ...] = ("output", "_entrance")

    output: Bytes = staticmethod(discard)
    _entrance: Bytes | None = None

    def connect_console(self, output: Bytes, entrance: Bytes) -> None:
        """`entrance(data)` brings data to `accept`, by way of the machine's inputs."""
        self.output = output
        self._entrance = entrance

    def disconnect_console(self) -> None:
        """As before it was connected: what the guest prints goes nowhere."""
        self.output = discard
        self._entrance = None

    def receive(self, data: bytes) -> None:
        """Bytes from the host, however many."""
        (self._entrance or self.accept)(data)

    @property
    def unread(self) -> int:
        """How many bytes have come in that the guest has not taken."""
        return 0

    def take(self, size: int) -> bytes:
        """At most `size` of them, for somebody on the board's side who reads in the guest's place."""
        return b""

    def accept(self, data: bytes) -> None:
        """They have come in."""
        raise NotImplementedError(f"{type(self).__name__} takes no input")
