"""What of a machine has state, and what of its attributes no class has named: see `vm.state`."""

from __future__ import annotations

from typing import Any

import vm
from vm.devices.virtio import VirtioDevice
from vm.state import Stateful


def stateful_parts(machine: vm.Machine) -> dict[str, Stateful]:
    """All of a machine in Python that has state, by a name for people."""
    runner = machine._runner
    parts: dict[str, Stateful] = {"clock": machine.clock, "events": machine.events, "console": machine.console,
                                  "inputs": machine.inputs, "runner": runner}
    for name, part in (("firmware", getattr(runner, "firmware", None)), ("htif", runner._htif)):
        if part is not None:
            parts[name] = part
    for name, placed in machine.board.devices.items():
        parts[name] = placed.device
        if isinstance(placed.device, VirtioDevice):
            parts |= {f"{name}.queues[{index}]": queue for index, queue in enumerate(placed.device.queues)}
    return parts


def save(machine: vm.Machine) -> dict[str, dict[str, Any]]:
    return {name: part.save() for name, part in stateful_parts(machine).items()}


def attributes(thing: object) -> dict[str, Any]:
    """What an instance holds, in its dict or in slots."""
    slots = [name for kind in type(thing).__mro__ for name in vars(kind).get("__slots__", ())]
    return {name: getattr(thing, name) for name in (*getattr(thing, "__dict__", ()), *slots) if hasattr(thing, name)}


def uncovered(thing: Stateful) -> set[str]:
    """Attributes that are neither state, nor setup, nor said to be unsaved."""
    return attributes(thing).keys() - {*thing.state, *thing.setup, *thing.unsaved}


def fixed(thing: Stateful) -> dict[str, Any]:
    """Attributes that a run must leave alone."""
    return {name: value for name, value in attributes(thing).items() if name not in (*thing.state, *thing.unsaved)}
