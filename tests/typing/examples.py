"""What users write, for type checkers: `mypy --strict` and pyright must find nothing here, and infer what is asserted.

Nothing in this file is run; continuous integration gives it to the checkers.
"""

import mmap
import re
from pathlib import Path
from typing import assert_type

import numpy as np

import vm
from vm import copy
from vm.devices import BlockDevice, Device
from vm.devices.base import reads, writes


def bare_metal(path: Path) -> int | None:
    with vm.Machine(memory="64M", harts=2, isa="rv64gc", clock="virtual", engine="interpreter", seed=1) as machine:
        program = machine.load(path)
        machine.load("image.bin", address=0x8000_0000)
        stop = machine.run(instructions=1_000_000, timeout=2.5)
        assert_type(stop, vm.Stop)
        if stop.reason is vm.StopReason.EXIT:
            return stop.exit_code
        print(f"{stop.pc:#x}", program.symbols.lookup(stop.pc), machine.steps)
    return None


def linux(machine: vm.Machine) -> str:
    machine.attach(BlockDevice("disk.img", read_only=True))
    machine.boot("Image", initrd="initrd.gz", cmdline="console=ttyS0")
    match = machine.console.expect(re.compile(r"(\w+) login:"), seconds=60)
    machine.console.send("root\n")
    machine.run(seconds=1.0, until=lambda machine: machine.steps > 10**9)
    return str(match[1])


def commands(machine: vm.Machine) -> str:
    image = vm.images.debian(packages=["strace"])
    assert_type(image.kernel, Path)
    machine.boot(*image)
    shell = machine.shell(timeout=60)
    result = shell.run("uname -r", check=True, show=lambda data: print(data.decode()))
    assert_type(result.status, int)
    which = machine.console.expect(["login: ", re.compile("# $")], fail="panic")
    assert_type(which, re.Match[str])
    assert_type(machine.console.expect(re.compile(rb"(\d+)")), re.Match[bytes])
    assert_type(machine.console.before, str)
    return result.output + machine.console.before


def registers(machine: vm.Machine) -> float:
    hart = machine.harts[0]
    hart.pc = 0x8000_0000
    hart.x[10] = -1
    hart["a0"] = hart.x[11] + 1
    hart.csr["mtvec"] = 0x8000_0100
    assert_type(hart.x[10], int)
    assert_type(hart.f[0], float)
    assert_type(hart.csr["satp"], int)
    return sum(hart.f)


def memory(machine: vm.Machine) -> int:
    machine.memory.write(0x8000_0000, b"\x13\0\0\0")
    machine.memory.write(0x8000_0000, np.arange(4))
    data = machine.memory.read(0x8000_0000, 16)
    assert_type(data, bytes)
    view = machine.memory.view(0x8000_0000, 16)
    words = machine.memory.array(0x8000_0000, (2, 2), "<u4")
    with machine.memory.writable(0x8000_0000, 16) as target:
        copy.memcpy_fast(target, data)
        target[:4] = b"abcd"
    return int(words.sum()) + view[0] + len(machine.harts[0].virtual.read(0x1000, 8))


def copies() -> int:
    target, source = bytearray(1 << 20), np.zeros(1 << 20, np.uint8)
    copy.memcpy_fast(target, source)
    copy.memcpy_adaptive(memoryview(target), bytes(1 << 20))
    with mmap.mmap(-1, 1 << 20) as room:
        copy.memcpy_adaptive_with_threshold(room, target, 4096)
    copy.memmove(target, memoryview(target))
    copy.fill(target, 0xFF)
    assert_type(copy.compare(target, source), int | None)
    assert_type(copy.simd_features(), dict[str, bool])
    return copy.adaptive_threshold()


class Counter(Device):
    """A device of the user's own."""

    compatible = "example,counter"
    state = ("value",)

    def __init__(self) -> None:
        super().__init__()
        self.value = 0

    @reads(0x00)
    def read_value(self) -> int:
        self.events.schedule(1000, self, 0)
        return self.value

    @writes(0x00)
    def write_value(self, value: int) -> None:
        self.value = value
        self.irq.raise_()

    def on_event(self, event: int, data: int) -> None:
        self.memory.write(0x8000_0000, bytes(4))


def errors(machine: vm.Machine) -> None:
    try:
        machine.harts[0].virtual.read(0, 8)
    except vm.PageFault as fault:
        print(f"{fault.address:#x}", fault.access)
    except (vm.BusError, vm.MachineBusy, vm.ConfigurationError) as error:
        print(error)
