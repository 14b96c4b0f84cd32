"""Sockets of a device for the world outside its machine: what it is told, a console, a program that talks by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from vm.errors import ConfigurationError, MachineBusy
from vm.waiting import unmet

if TYPE_CHECKING:
    from vm.inputs import Inputs
    from vm.stop import Stop

Bytes = Callable[[bytes], None]


def discard(data: bytes) -> None:
    """The output of a device with nothing plugged in."""


class Outside(NamedTuple):
    """What a machine lends to a device that has to do with the world outside."""

    enter: Bytes                                # brings data to the device's `accept`, by way of the inputs
    inputs: Inputs                              # those
    show: Bytes                                 # puts bytes on the machine's console
    run: Callable[..., Stop]                    # Machine.run
    request_stop: Callable[[], None]            # makes that return after the instruction at hand
    refuse_if_running: Callable[[str], None]    # raises MachineBusy in the middle of a run, for a method of that name


class Port:
    """A part of a device that is told something from outside. `receive(data)` is the host's way in.

    A machine that the device is attached to puts its inputs before it, so that all that enters the machine is seen in
    one place. A subclass says in `accept` what becomes of it then.
    """

    unsaved: tuple[str, ...] = ("_outside",)

    _outside: Outside | None = None

    def connect_outside(self, outside: Outside) -> None:
        """The device is part of a machine now."""
        self._outside = outside

    def disconnect_outside(self) -> None:
        """As before it was connected."""
        self._outside = None

    def receive(self, data: bytes) -> None:
        """Bytes from the host, however many."""
        (self._outside.enter if self._outside else self.accept)(data)

    def accept(self, data: bytes) -> None:
        """They have come in."""
        raise NotImplementedError(f"{type(self).__name__} takes no input")


class ConsolePort(Port):
    """A part of a device by which the guest prints and is typed to. `output(data)` gets what the guest prints."""

    unsaved: tuple[str, ...] = ("output", *Port.unsaved)

    output: Bytes = staticmethod(discard)

    def connect_outside(self, outside: Outside) -> None:
        """What the guest prints goes to the machine's console."""
        super().connect_outside(outside)
        self.output = outside.show

    def disconnect_outside(self) -> None:
        """As before it was connected: what the guest prints goes nowhere."""
        super().disconnect_outside()
        self.output = discard

    @property
    def unread(self) -> int:
        """How many bytes have come in that the guest has not taken."""
        return 0

    def take(self, size: int) -> bytes:
        """At most `size` of them, for somebody on the board's side who reads in the guest's place."""
        return b""


class ProgramPort(Port):
    """A part of a device that the host's program talks to, and waits for while the machine runs.

    What the program says is input: it comes in by `accept`, and a subclass says in `hear` what becomes of it. That
    calls `happened` when something may have come about that is waited for.
    """

    unsaved: tuple[str, ...] = (*Port.unsaved, "_awaited", "_heard")

    _awaited: Callable[[], bool] | None = None
    _heard = 0                                  # how often something has come in

    def accept(self, data: bytes) -> None:
        """It has come in."""
        self._heard += 1
        self.hear(data)

    def hear(self, data: bytes) -> None:
        """The program has said this."""
        raise NotImplementedError(f"{type(self).__name__} is not talked to")

    def tell(self, what: str, data: bytes) -> None:
        """The program says this, by a method of that name.

        Raises ConfigurationError where the device is not attached, and MachineBusy while the machine runs or replays,
        and from another thread than that in which a recorded machine runs.
        """
        outside = self._attached()
        outside.refuse_if_running(what)
        before = self._heard
        outside.enter(data)
        if self._heard == before:
            raise MachineBusy(f"{what}() was called from another thread than that in which the machine runs that is "
                              "recorded: it will have happened at the next run")

    def run_until(self, reached: Callable[[], bool], did_not: str, before: str, seconds: float,
                  timeout: float | None) -> None:
        """Let the machine run until something has come about; it stops after the instruction that brought it.

        Raises ExpectTimeout and ExpectStopped, for which the texts are those of `vm.waiting.unmet`.
        """
        __tracebackhide__ = True
        if reached():
            return
        outside = self._attached()
        self._awaited = reached
        try:
            stop = outside.run(seconds=seconds, timeout=timeout)
        finally:
            self._awaited = None
        if not reached():
            raise unmet(stop, did_not, before, seconds, timeout)

    def happened(self) -> None:
        if self._awaited is not None and self._awaited():
            self._awaited = None
            if self._outside is not None:
                self._outside.request_stop()

    def _attached(self) -> Outside:
        if self._outside is None:
            raise ConfigurationError(f"the {type(self).__name__} is not attached to a machine")
        return self._outside
