"""What of a machine has state, and what of its attributes no class has named: see `vm.state`."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import vm
from vm.devices.virtio import SharedFolder, VirtioDevice
from vm.state import Stateful, is_plain, plain


def stateful_parts(machine: vm.Machine) -> dict[str, Stateful]:
    """All of a machine in Python that has state, by a name for people."""
    runner = machine._runner
    parts: dict[str, Stateful] = {"clock": machine.clock, "events": machine.events, "console": machine.console,
                                  "inputs": machine.inputs, "runner": runner}
    parts |= runner.parts()
    for name, part in (("firmware", runner.firmware), ("htif", runner._htif)):
        if part is not None:
            parts[name] = part
    for name, placed in machine.board.devices.items():
        parts[name] = placed.device
        if isinstance(placed.device, VirtioDevice):
            parts |= {f"{name}.queues[{index}]": queue for index, queue in enumerate(placed.device.queues)}
        if isinstance(placed.device, SharedFolder):
            parts[f"{name}.server"] = placed.device.server
    return parts


def of_the_package(machine: vm.Machine) -> list[Any]:
    """Every object of the package that the machine leads to, in Python."""
    found: dict[int, Any] = {id(machine): machine}
    ahead: list[Any] = [machine]
    while ahead:
        for one in gc.get_referents(ahead.pop()):
            if id(one) not in found and not isinstance(one, (type, ModuleType, FunctionType)):
                found[id(one)] = one
                ahead.append(one)
    return [one for one in found.values() if type(one).__module__.partition(".")[0] == "vm"]


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


# Plain data that stays when a machine goes back, by class.
KEPT = {
    "Device": {"_readers", "_writers"},                                 # found when they are first asked for
    "Runner": {"served", "_start", "_moved"},       # since a recording, or a run, began
    "Screen": {"generation"},                                           # which only grows
    "Queue": {"_chains"},                                               # known by content, as is the next one
    "ComputeDevice": {"_plans"},
    "Console": {"_saved"},                                              # what `save` gave last
    "Layer": {"_table", "_chunks", "_owned", "_shared"},                # compared by DiskState, or what an image held
    "ImageDisk": {"tracking"},
}


def held(objects: list[Any]) -> dict[tuple[int, str, str], Any]:
    """All plain data in attributes, of state and of what is said to follow from it: by place, class and name."""
    found = {}
    for place, one in enumerate(objects):
        kept = {name for kind in type(one).__mro__ for name in KEPT.get(kind.__name__, ())}
        found |= {(place, type(one).__name__, name): plain(value) for name, value in attributes(one).items()
                  if name not in kept and is_plain(value)}
    return found


def left_over(machine: vm.Machine, run: Callable[[], object]) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Run, and go back, and forward again: which plain data of the machine the run changed, and which is not back."""
    first = machine.snapshot()
    objects = of_the_package(machine)
    before = held(objects)
    run()
    behind, last = held(objects), machine.snapshot()
    not_back = set()
    for snapshot, wanted in ((first, before), (last, behind)):
        machine.restore(snapshot)
        now = held(objects)
        not_back |= {key[1:] for key in wanted.keys() | now.keys() if wanted.get(key) != now.get(key)}
    return {key[1:] for key in before if before[key] != behind.get(key)}, not_back
