"""The flattened device tree of the board (Devicetree Specification 0.4, and the bindings of the Linux kernel).

A node is made of what a device is and where it is placed; nothing is listed that is not there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import fdt

from vm.devices.plic import PLIC
from vm.loaders.common import Range

if TYPE_CHECKING:
    from vm.boards.virt import Placed
    from vm_native.riscv.isa import Isa

VERSION = 17
COMPATIBLE_VERSION = 16

# Interrupts of a hart's own controller (riscv,cpu-intc): numbers of the bits in mip
M_SOFTWARE, M_TIMER, S_EXTERNAL, M_EXTERNAL = 3, 7, 9, 11

UART_CLOCK = 3_686_400
CACHE_BLOCK = 64
POWER_OFF, REBOOT = 0x5555, 0x7777          # what the guest writes to the test device

EXTRA: dict[str, dict[str, Any]] = {        # properties by the first compatible string, beyond those of every device
    "ns16550a": {"clock-frequency": UART_CLOCK},
    "virtio,mmio": {"dma-coherent": None},
}


def build(
    devices: Iterable[Placed],
    hart_ids: Iterable[int],
    isa: Isa,
    ram: Range,
    timebase: int,
    seed: int,
    cmdline: str = "",
    initrd: Range | None = None,
) -> bytes:
    """The blob; with the same arguments it is the same."""
    hart_ids = list(hart_ids)
    # phandles: two for each hart (its node, its interrupt controller), then the PLIC and the test device
    cpu = {hart: 2 * index + 1 for index, hart in enumerate(hart_ids)}
    controller = {hart: 2 * index + 2 for index, hart in enumerate(hart_ids)}
    plic = 2 * len(hart_ids) + 1
    test = plic + 1

    soc = _node("soc", {"#address-cells": 2, "#size-cells": 2, "compatible": "simple-bus", "ranges": None})
    serial = None
    for placed in devices:
        if not placed.device.compatible:
            continue
        node = _device(placed, plic)
        first = placed.device.compatible.split("\0")[0]
        if first == "sifive,clint0":
            _set(node, {"interrupts-extended": _per_hart(controller, M_SOFTWARE, M_TIMER)})
        elif isinstance(placed.device, PLIC):
            _set(node, {
                "interrupts-extended": _per_hart(controller, M_EXTERNAL, S_EXTERNAL),
                "interrupt-controller": None, "#interrupt-cells": 1, "#address-cells": 0,
                "riscv,ndev": placed.device.sources - 1, "phandle": plic,
            })
        elif first == "sifive,test1":
            _set(node, {"phandle": test})
        elif first == "ns16550a":
            serial = f"/soc/{node.name}"
        soc.append(node)

    root = _node("/", {"#address-cells": 2, "#size-cells": 2, "compatible": "riscv-virtio", "model": "riscv-virtio,vm"},
                 _chosen(serial, cmdline, initrd, seed),
                 _node(f"memory@{ram.base:x}", {"device_type": "memory", "reg": _cells(ram.base, ram.size)}),
                 _cpus(cpu, controller, isa, timebase),
                 soc,
                 _syscon("poweroff", test, POWER_OFF),
                 _syscon("reboot", test, REBOOT))
    tree = fdt.FDT()
    tree.root = root
    return bytes(tree.to_dtb(version=VERSION, last_comp_version=COMPATIBLE_VERSION, boot_cpuid_phys=hart_ids[0]))


def _chosen(serial: str | None, cmdline: str, initrd: Range | None, seed: int) -> fdt.Node:
    properties: dict[str, Any] = {"rng-seed": hashlib.sha256(b"rng-seed %d" % seed).digest()}
    if serial:
        properties["stdout-path"] = serial
    if cmdline:
        properties["bootargs"] = cmdline.encode() + b"\0"
    if initrd:
        properties["linux,initrd-start"] = _cells(initrd.base)
        properties["linux,initrd-end"] = _cells(initrd.end)
    return _node("chosen", properties)


def _cpus(cpu: Mapping[int, int], controller: Mapping[int, int], isa: Isa, timebase: int) -> fdt.Node:
    base, extensions = _split(isa.string)
    nodes = []
    for hart, phandle in cpu.items():
        properties: dict[str, Any] = {
            "device_type": "cpu", "reg": hart, "status": "okay", "compatible": "riscv",
            "mmu-type": f"riscv,{isa.paging}", "riscv,isa": isa.string, "riscv,isa-base": base,
            "riscv,isa-extensions": extensions, "phandle": phandle,
        }
        for extension in ("zicbom", "zicbop", "zicboz"):
            if extension in extensions:
                properties[f"riscv,{extension[2:]}-block-size"] = CACHE_BLOCK
        nodes.append(_node(f"cpu@{hart:x}", properties, _node("interrupt-controller", {
            "#interrupt-cells": 1, "interrupt-controller": None, "compatible": "riscv,cpu-intc",
            "phandle": controller[hart],
        })))
    cores = [_node(f"core{index}", {"cpu": phandle}) for index, phandle in enumerate(cpu.values())]
    nodes.append(_node("cpu-map", {}, _node("cluster0", {}, *cores)))
    return _node("cpus", {"#address-cells": 1, "#size-cells": 0, "timebase-frequency": timebase}, *nodes)


def _split(isa: str) -> tuple[str, list[str]]:
    """'rv64imac_zba' -> 'rv64i', ['i', 'm', 'a', 'c', 'zba']."""
    letters, *longer = isa.split("_")
    return letters[:5], [*letters[4:], *longer]


def _device(placed: Placed, plic: int) -> fdt.Node:
    strings = placed.device.compatible.split("\0")
    properties: dict[str, Any] = {"compatible": strings, "reg": _cells(placed.address, placed.device.size)}
    if placed.irq is not None:
        properties |= {"interrupts": placed.irq, "interrupt-parent": plic}
    return _node(f"{placed.node}@{placed.address:x}", properties | EXTRA.get(strings[0], {}))


def _syscon(name: str, regmap: int, value: int) -> fdt.Node:
    return _node(name, {"compatible": f"syscon-{name}", "regmap": regmap, "offset": 0, "value": value})


def _per_hart(controller: Mapping[int, int], *interrupts: int) -> list[int]:
    return [cell for phandle in controller.values() for interrupt in interrupts for cell in (phandle, interrupt)]


def _cells(*values: int) -> list[int]:
    """64-bit values as two cells each."""
    return [cell for value in values for cell in (value >> 32, value & 0xFFFF_FFFF)]


def _node(name: str, properties: Mapping[str, Any], *children: fdt.Node) -> fdt.Node:
    node = fdt.Node(name, *children)
    _set(node, properties)
    return node


def _set(node: fdt.Node, properties: Mapping[str, Any]) -> None:
    """Numbers become cells, strings strings, bytes stay as they are, None makes a property without a value."""
    for name, value in properties.items():
        node.set_property(name, value)
