"""The flattened device tree of a board (Devicetree Specification 0.4, and the bindings of the Linux kernel).

A node is made of where a device is placed and what the device says of itself (`Device.tree_properties`); nothing is
listed that is not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import fdt

from vm.boards.placed import Placed
from vm.devices.base import Device, TreeContext
from vm.errors import ConfigurationError
from vm.loaders.common import Range
from vm_native.riscv.csrs import EVENTS, mask
from vm_native.riscv.sbi_numbers import CPU_CYCLES, HARDWARE_EVENTS, INSTRUCTIONS

if TYPE_CHECKING:
    from vm_native.riscv.isa import Isa

VERSION = 17
COMPATIBLE_VERSION = 16

CACHE_BLOCK = 64
RAW_BITS = (1 << 48) - 1                # of a raw event, as SBI calls numbers of mhpmevent itself
# U-Boot copies as much as the header says is there, puts its own data behind that and only then adds what Linux is to
# know (command line, initrd) to the copy: without room, over its own data.
ROOM = 4096
# For U-Boot (doc/device-tree-bindings/config.txt of it): it boots at once, and is not stopped by what is typed, which
# may be meant for a shell.
LOADER = {"bootdelay": -2 & 0xFFFF_FFFF}

Properties = Mapping[str, Any]


@dataclass(frozen=True)
class Harts:
    """The harts of a machine, all alike."""

    ids: Sequence[int]
    isa: Isa
    timebase: int                           # Hz


@dataclass(frozen=True)
class Chosen:
    """What the guest is told of its start."""

    seed: int
    console: Device | None = None
    cmdline: bytes = b""
    initrd: Range | None = None


def build(devices: Iterable[Placed], harts: Harts, memory: Range, chosen: Chosen) -> bytes:
    """The blob; with the same arguments it is the same."""
    visible = [placed for placed in devices if placed.device.compatible]
    numbers = count(1)
    # phandles: two for each hart (its node, its interrupt controller), then those that device nodes may carry
    cpu, controller = zip(*((next(numbers), next(numbers)) for _ in harts.ids), strict=True)
    phandle = {id(device): next(numbers) for device in _controllers_first(visible)}

    soc = _node("soc", {"#address-cells": 2, "#size-cells": 2, "compatible": "simple-bus", "ranges": None})
    beside = []
    for placed in visible:
        context = TreeContext(phandle[id(placed.device)], controller, phandle)
        soc.append(_device(placed, phandle, context))
        roots = placed.device.root_nodes(context)
        beside += [_node(name, _fit(properties, placed, "root_nodes")) for name, properties in roots.items()]
    console = next((f"/soc/{_name(placed)}" for placed in visible if placed.device is chosen.console), None)

    root = _node("/", {"#address-cells": 2, "#size-cells": 2, "compatible": "riscv-virtio", "model": "riscv-virtio,vm"},
                 _chosen(chosen, console),
                 _node(f"memory@{memory.base:x}", {"device_type": "memory", "reg": _cells(memory.base, memory.size)}),
                 _cpus(harts, cpu, controller),
                 _node("config", LOADER),
                 *_counters(harts.isa),
                 soc, *beside)
    tree = fdt.FDT()
    tree.root = root
    blob = bytes(tree.to_dtb(version=VERSION, last_comp_version=COMPATIBLE_VERSION, boot_cpuid_phys=harts.ids[0]))
    return blob[:4] + (len(blob) + ROOM).to_bytes(4, "big") + blob[8:] + bytes(ROOM)


def _controllers_first(places: Sequence[Placed]) -> list[Device]:
    """Every device once, those that the lines of others lead to first."""
    controllers = [placed.controller for placed in places if placed.controller is not None]
    return list({id(device): device for device in (*controllers, *(placed.device for placed in places))}.values())


def _chosen(chosen: Chosen, console: str | None) -> fdt.Node:
    properties: dict[str, Any] = {"rng-seed": hashlib.sha256(b"rng-seed %d" % chosen.seed).digest()}
    if console:
        properties["stdout-path"] = console
    if chosen.cmdline:
        properties["bootargs"] = chosen.cmdline + b"\0"
    if chosen.initrd:
        properties["linux,initrd-start"] = _cells(chosen.initrd.base)
        properties["linux,initrd-end"] = _cells(chosen.initrd.end)
    return _node("chosen", properties)


def _cpus(harts: Harts, cpu: Sequence[int], controller: Sequence[int]) -> fdt.Node:
    base, extensions = _split(harts.isa.string)
    nodes = []
    for number, own, interrupts in zip(harts.ids, cpu, controller, strict=True):
        properties: dict[str, Any] = {
            "device_type": "cpu", "reg": number, "status": "okay", "compatible": "riscv",
            "mmu-type": f"riscv,{harts.isa.paging}", "riscv,isa": harts.isa.string, "riscv,isa-base": base,
            "riscv,isa-extensions": extensions, "phandle": own,
        }
        for extension in ("zicbom", "zicbop", "zicboz"):
            if extension in extensions:
                properties[f"riscv,{extension[2:]}-block-size"] = CACHE_BLOCK
        nodes.append(_node(f"cpu@{number:x}", properties, _node("interrupt-controller", {
            "#address-cells": 0, "#interrupt-cells": 1, "interrupt-controller": None, "compatible": "riscv,cpu-intc",
            "phandle": interrupts,
        })))
    cores = [_node(f"core{index}", {"cpu": phandle}) for index, phandle in enumerate(cpu)]
    nodes.append(_node("cpu-map", {}, _node("cluster0", {}, *cores)))
    return _node("cpus", {"#address-cells": 1, "#size-cells": 0, "timebase-frequency": harts.timebase}, *nodes)


def _counters(isa: Isa) -> list[fdt.Node]:
    """What programmable counters count, for firmware that programs them (binding riscv,pmu)."""
    if "Zihpm" not in isa.extensions:
        return []
    programmable = mask("mcountinhibit", "HPM")         # a bit for each counter
    fixed = {CPU_CYCLES: mask("mcountinhibit", "CY"), INSTRUCTIONS: mask("mcountinhibit", "IR")}
    return [_node("pmu", {
        "compatible": "riscv,pmu",
        # SBI events, and what mhpmevent calls them; then, from one to another, the counters that can count them
        "riscv,event-to-mhpmevent": [cell for code, own in HARDWARE_EVENTS.items() for cell in (code, 0, own)],
        "riscv,event-to-mhpmcounters": [cell for code in HARDWARE_EVENTS
                                        for cell in (code, code, programmable | fixed.get(code, 0))],
        # Values of mhpmevent, which bits of it say so, and the counters
        "riscv,raw-event-to-mhpmcounters": [cell for own in EVENTS.values() if own
                                            for cell in (*_cells(own, RAW_BITS), programmable)],
    })]


def _split(isa: str) -> tuple[str, list[str]]:
    """'rv64imac_zba' -> 'rv64i', ['i', 'm', 'a', 'c', 'zba']."""
    letters, *longer = isa.split("_")
    return letters[:5], [*letters[4:], *longer]


def _device(placed: Placed, phandle: Mapping[int, int], context: TreeContext) -> fdt.Node:
    device = placed.device
    properties: dict[str, Any] = {"compatible": device.compatible.split("\0"),
                                  "reg": _cells(placed.address, device.size)}
    if placed.controller is not None:
        assert placed.irq is not None
        properties |= {"interrupts": placed.controller.interrupt_specifier(placed.irq),
                       "interrupt-parent": phandle[id(placed.controller)]}
    return _node(_name(placed), properties | _fit(device.tree_properties(context), placed, "tree_properties"))


def _fit(properties: Any, placed: Placed, method: str) -> dict[str, Any]:
    """What a method of a device gave, if it can stand in a tree. Raises ConfigurationError."""
    if not isinstance(properties, dict):
        raise ConfigurationError(f"{placed}: its {method} gives {properties!r}, which is no dict of properties")
    for name, value in properties.items():
        if not _is_text(name):
            raise ConfigurationError(f"{placed}: its {method} gives a property called {name!r}")
        if not _can_stand(value):
            raise ConfigurationError(f"{placed}: its {method} gives {name}={value!r}; a property is a number from 0 to "
                                     "0xffffffff, a text, several of either in a list, bytes, or None")
    return properties


def _can_stand(value: object) -> bool:
    if value is None or isinstance(value, bytes):
        return True
    several = value if isinstance(value, list) else [value]
    cells = all(isinstance(one, int) and 0 <= one <= 0xFFFF_FFFF for one in several)
    return bool(several) and (cells or all(map(_is_text, several)))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable()


def _name(placed: Placed) -> str:
    return f"{placed.device.node_name or type(placed.device).__name__.lower()}@{placed.address:x}"


def _cells(*values: int) -> list[int]:
    """64-bit values as two cells each."""
    return [cell for value in values for cell in (value >> 32, value & 0xFFFF_FFFF)]


def _node(name: str, properties: Properties, *children: fdt.Node) -> fdt.Node:
    """Numbers become cells, strings strings, bytes stay as they are, None makes a property without a value."""
    node = fdt.Node(name, *children)
    for key, value in properties.items():
        node.set_property(key, value)
    return node
