"""A machine's state as what the file of a snapshot holds, and back.

Beside the pages of RAM that is plain data: what the machine is built of, the state of each hart and of each other part.
Nothing in a file is code, and nothing that it names is opened: devices are made of a table of classes by the values of
their `setup`, and whoever loads the file gives those that need something of the host, as a disk its image.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from vm import devices
from vm.devices import Device
from vm.disks.state import without_disks
from vm.errors import SnapshotError
from vm.plan import FIXED, MachinePlan, MachineState, PlannedDevice, PlannedRegion, kind_of, memory_size, parse_isa
from vm.sizes import PAGE_SIZE
from vm.snapshots.file import SnapshotFile
from vm.snapshots.layout import CHUNK_BYTES, CHUNK_PAGES, Region
from vm.snapshots.writer import write
from vm_native.riscv.hart import STATE_LAYOUT
from vm_native.state.content import RegionContent
from vm_native.state.image import RamImage

# What a file can name, and is made without anything of the host
MADE_BY_NAME = frozenset(("Balloon", "ComputeDevice", "Entropy", "GenerationId", "GoldfishRTC", "Keyboard", "Network",
                          "Screen", "Tablet", "UART", "VirtioConsole", "Vsock"))
ARGUMENTS = (*FIXED, "clock", "seed", "threads")        # of `Machine`, that a file keeps
LONGEST_RUN = 1024                          # pages that are read at once


class Saved(NamedTuple):
    """What a file holds of a snapshot. `host_words`: as those of `vm.boot.Start`."""

    plan: MachinePlan
    state: MachineState
    steps: int
    host_words: tuple[int, int | None] | None


# --- To a file -------------------------------------------------------------------------------------------------------

def save(path: str | os.PathLike[str], saved: Saved, parent: SnapshotFile | None = None,
         before: tuple[RegionContent, ...] = ()) -> bytes:
    """Write the file, whole or not at all; returns its identity. `before` is what the memory of `parent` holds."""
    plan, state = saved.plan, saved.state
    data = {
        "layout": STATE_LAYOUT,
        "arguments": {name: plan.arguments[name] for name in ARGUMENTS},
        "regions": [tuple(region) for region in plan.regions],
        "devices": [(name, address, irq, kind, setup_of(model)) for name, address, irq, kind, model in plan.devices],
        "harts": state.harts,
        "parts": {name: without_disks(part) if isinstance(part, dict) else part for name, part in state.parts.items()},
        "steps": saved.steps,
        "host_words": saved.host_words,
    }
    regions = [Region(f"RAM at {content.base:#x}", content.size) for content in state.memory]
    data["bases"] = [content.base for content in state.memory]
    return write(path, data, regions, pages(state.memory, before), parent)


def setup_of(model: Device | None) -> dict[str, Any]:
    """What is needed to make another one by the name of its class; nothing where nobody can."""
    if model is None or kind_of(model) not in MADE_BY_NAME or not model.made_by_setup:
        return {}
    return model.arguments()


def pages(memory: tuple[RegionContent, ...], before: tuple[RegionContent, ...]) -> Iterator[tuple[int, int, bytearray]]:
    """What a file must hold, in runs: pages that may not be zero, or that may not be as `before`."""
    for number, content in enumerate(memory):
        wanted = content.differing(before[number]) if before else content.touched()
        for is_wanted, run in groupby(range(len(wanted)), wanted.__getitem__):
            run_of_pages = list(run) if is_wanted else []
            for start in range(0, len(run_of_pages), LONGEST_RUN):
                part = run_of_pages[start:start + LONGEST_RUN]
                yield number, part[0], content.read(part[0], len(part))


# --- From a file -----------------------------------------------------------------------------------------------------

def load(file: SnapshotFile) -> Saved:
    """What the file holds; pages of RAM are read when they are first looked at. Raises SnapshotError."""
    data = file.metadata
    try:
        if data["layout"] != STATE_LAYOUT:
            raise SnapshotError(f"{file.path}: of another version of vm, whose harts have another state; load it with "
                                "the one that saved it")
        arguments = {name: data["arguments"][name] for name in ARGUMENTS}
        parse_isa(arguments["isa"], arguments["aia"], arguments["board"], arguments["aia_guests"])
        memory_size(arguments["memory"], arguments["board"])
        if len(data["harts"]) != arguments["harts"]:
            raise ValueError(f"{len(data['harts'])} states for {arguments['harts']} harts")
        plan = MachinePlan(
            arguments,
            tuple(PlannedRegion(*region) for region in data["regions"]),
            tuple(PlannedDevice(name, address, irq, kind, made(kind, setup))
                  for name, address, irq, kind, setup in data["devices"]))
        if len(data["bases"]) != len(file.regions):
            raise ValueError(f"{len(data['bases'])} places for {len(file.regions)} regions of memory")
        memory = tuple(content_of(file, number, base) for number, base in enumerate(data["bases"]))
        state = MachineState(memory, tuple(data["harts"]), dict(data["parts"]))
        return Saved(plan, state, operator.index(data["steps"]), words_of(data["host_words"]))
    except SnapshotError:
        raise
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise SnapshotError(f"{file.path}: holds no state of a machine that this vm knows ({error!r}); save it "
                            "again") from error


def arguments_in(file: SnapshotFile) -> dict[str, Any]:
    """Those of `Machine` that a file of whatever version holds, for people: nobody has looked whether they fit."""
    data = file.metadata if isinstance(file.metadata, dict) else {}
    arguments = data.get("arguments")
    return arguments if isinstance(arguments, dict) else {}


def words_of(value: Any) -> tuple[int, int | None] | None:
    if value is None:
        return None
    tohost, fromhost = value
    return operator.index(tohost), None if fromhost is None else operator.index(fromhost)


def made(kind: str, setup: Mapping[str, Any]) -> Device | None:
    """A device by the name of its class; None for one that must be given. Only its `setup` is a file's to say."""
    if kind not in MADE_BY_NAME:
        return None
    maker: type[Device] = getattr(devices, kind)        # when it is wanted: what it takes is loaded then
    if maker.setup and not setup:
        return None
    if not setup.keys() <= set(maker.setup):
        raise ValueError(f"a {kind} with {', '.join(setup)}")
    return maker(**setup)


def content_of(file: SnapshotFile, number: int, base: int) -> RegionContent:
    size = file.regions[number].size

    def read(page: int) -> tuple[int, bytes]:
        chunk = page // CHUNK_PAGES
        there = min(CHUNK_BYTES, size - chunk * CHUNK_BYTES)
        return chunk * CHUNK_PAGES, file.read_chunk(number, chunk) or bytes(there)

    missing = file.held(number)
    assert len(missing) == size // PAGE_SIZE
    return RegionContent(RamImage(size, missing.tobytes(), read), base)
