"""What stands between a machine and a device that is not deterministic, so that a run with it can be recorded.

All that the guest can notice of such a device passes here: what an access or an event of it gives, and what it does
meanwhile or on its own: its interrupt line, its writes to memory (which vm.memory tells), the events that it schedules.
In a recording that is written down; in a replay it comes from the log, and the device itself is not asked.
"""

from __future__ import annotations

from collections.abc import Callable

from vm.devices.base import Device
from vm.events import Receiver
from vm.inputs import Inputs


class Witness:
    """Serves the device's accesses and events in its place, by its `name` on the board."""

    def __init__(self, name: str, device: Device, inputs: Inputs):
        self._name = name
        self._device = device
        self._inputs = inputs
        self._queue = device.events
        self._events = device.on_event
        self._sink = device.irq.sink
        device.events = self                            # type: ignore[assignment]  # as far as a device uses it
        device.on_event = self.on_event                 # type: ignore[method-assign]
        device.irq.sink = self._driven
        inputs.witnesses[name] = self

    # --- What the machine asks the device ----------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> int:
        return self._ask(lambda: self._device.read(offset, size))

    def write(self, offset: int, size: int, value: int) -> None:
        self._ask(lambda: self._device.write(offset, size, value))

    def on_event(self, event: int, data: int) -> None:
        self._ask(lambda: self._events(event, data))

    def _ask(self, question: Callable[[], int | None]) -> int:
        history = self._inputs.history
        return (question() if history is None else history.answer(self._name, question)) or 0

    # --- What the device does ----------------------------------------------------------------------------------------

    def _driven(self, level: bool) -> None:
        if self._inputs.history is None:
            self.drive(level)
        else:
            self._inputs.history.drove(self._name, level)

    def schedule(self, delay_ns: int, device: Receiver, event: int, data: int = 0) -> None:
        if self._inputs.history is None:
            self.let_schedule(delay_ns, event, data)
        else:
            self._inputs.history.scheduled(self._name, delay_ns, event, data)

    def cancel(self, device: Receiver, event: int) -> None:
        if self._inputs.history is None:
            self.let_cancel(event)
        else:
            self._inputs.history.cancelled(self._name, event)

    # --- What then happens in the machine ----------------------------------------------------------------------------

    def drive(self, level: bool) -> None:
        self._device.irq.level = level
        if self._sink is not None:
            self._sink(level)

    def let_schedule(self, delay_ns: int, event: int, data: int) -> None:
        self._queue.schedule(delay_ns, self._device, event, data)

    def let_cancel(self, event: int) -> None:
        self._queue.cancel(self._device, event)


def witnessed(name: str, device: Device, inputs: Inputs) -> Device | Witness:
    """What the bus is to ask for the device."""
    return device if device.deterministic else Witness(name, device, inputs)
