"""The sockets of a device into which something of the world outside is plugged: what it is told, a console."""

from collections.abc import Callable

Bytes = Callable[[bytes], None]


def discard(data: bytes) -> None:
    """The output of a device with nothing plugged in."""


class InputPort:
    """A part of a device that is told something from outside. `receive(data)` is the host's way in.

    A machine that the device is attached to puts its inputs before it, so that all that enters the machine is seen in
    one place. A subclass says in `accept` what becomes of it then.
    """

    unsaved: tuple[str, ...] = ("_entrance",)

    _entrance: Bytes | None = None

    def connect_inputs(self, entrance: Bytes) -> None:
        """`entrance(data)` brings data to `accept`, by way of the machine's inputs."""
        self._entrance = entrance

    def disconnect_inputs(self) -> None:
        """As before it was connected."""
        self._entrance = None

    def receive(self, data: bytes) -> None:
        """Bytes from the host, however many."""
        (self._entrance or self.accept)(data)

    def accept(self, data: bytes) -> None:
        """They have come in."""
        raise NotImplementedError(f"{type(self).__name__} takes no input")


class ConsolePort(InputPort):
    """A part of a device by which the guest prints and is typed to. `output(data)` gets what the guest prints."""

    unsaved: tuple[str, ...] = ("output", *InputPort.unsaved)

    output: Bytes = staticmethod(discard)

    def connect_console(self, output: Bytes, entrance: Bytes) -> None:
        """What the guest prints goes to `output`; what is typed comes as of `connect_inputs`."""
        self.output = output
        self.connect_inputs(entrance)

    def disconnect_console(self) -> None:
        """As before it was connected: what the guest prints goes nowhere."""
        self.output = discard
        self.disconnect_inputs()

    @property
    def unread(self) -> int:
        """How many bytes have come in that the guest has not taken."""
        return 0

    def take(self, size: int) -> bytes:
        """At most `size` of them, for somebody on the board's side who reads in the guest's place."""
        return b""
