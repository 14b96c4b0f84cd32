"""What users write, for type checkers: `mypy --strict` and pyright must find nothing here, and infer what is asserted.

Nothing in this file is run; continuous integration gives it to the checkers.
"""
# pyright: strict

import io
import mmap
import re
from pathlib import Path
from typing import Literal, assert_type

import numpy as np

import vm
from vm import copy
from vm.devices import BlockDevice, Device, Keyboard, Screen, Tablet
from vm.devices.base import reads, writes
from vm.hart import Hart
from vm.hooks import CsrAccess, Hook, MemoryAccess, MmioAccess, Trap


def bare_metal(path: Path) -> int | None:
    with vm.Machine(memory="64M", harts=2, isa="rv64gc", clock="virtual", engine="interpreter", seed=1) as machine:
        program = machine.load(path)
        machine.load("image.bin", address=0x8000_0000)
        machine.load(b"\x13\0\0\0", address=0x8000_0000)
        machine.load(io.BytesIO(path.read_bytes()))
        with path.open("rb") as file:
            machine.load(file)
        stop = machine.run(instructions=1_000_000, timeout=2.5)
        assert_type(stop, vm.Stop)
        if stop.reason is vm.StopReason.EXIT:
            return stop.exit_code
        print(f"{stop.pc:#x}", program.symbols.lookup(stop.pc), machine.steps)
    return None


def linux(machine: vm.Machine) -> str:
    machine.attach(BlockDevice("disk.img", read_only=True))
    machine.boot("Image", initrd="initrd.gz", cmdline="console=ttyS0")
    started = machine.boot(b"", initrd=io.BytesIO(), cmdline=b"\xff", address=0x8020_0000)
    assert_type(started.symbols["main"].address, int)
    match = machine.console.expect(re.compile(r"(\w+) login:"), seconds=60)
    machine.console.send("root\n")
    machine.run(seconds=1.0, until=lambda machine: machine.steps > 10**9)
    return str(match[1])


def screen(machine: vm.Machine) -> bytes:
    shown, keyboard, tablet = Screen(width=800, height=600), Keyboard(), Tablet()
    for device in (shown, keyboard, tablet):
        machine.attach(device)
    machine.boot(*vm.images.debian(screen=True))
    keyboard.type("ls\n")
    keyboard.tap("KEY_LEFTCTRL", 46)
    tablet.move(0.5, 1)
    tablet.button("BTN_LEFT", pressed=True)
    assert_type(keyboard.lights, list[str])
    assert_type(shown.resolution, tuple[int, int])
    shot = machine.screenshot()
    shot.save(Path("screen.png"))
    return bytes(shot) + bytes([shot.pixels[0, 0, 3]])


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
    assert_type(hart.x["a0"], int)
    assert_type(hart.x[10:18], list[int])
    hart.x[10:12] = [1, 2]
    hart.x["sp"] = 0x8010_0000
    assert_type(hart.f[0], float)
    assert_type(hart.f["fa0"], float)
    assert_type(hart.csr["satp"], int)
    assert_type(hart["a0"], int)
    assert_type(hart["mcause"], int)
    assert_type(hart["fa0"], float)
    hart["fa0"] = 2.5
    hart["pc"] = 0x8000_0000
    state: Literal["started", "stopped", "waiting", "suspended"] = hart.state
    all_csrs: dict[str, int] = dict(hart.csr)
    assert_type(dict(hart), dict[str, int])
    print(state, all_csrs["mstatus"], [name for name in hart.csr], repr(hart), hart)
    return sum(hart.f)


def function(path: Path) -> int:
    with vm.Machine(board="bare") as machine:
        machine.map(0x1_0000, "64K")
        machine.map(0x2000_0000, 1 << 20, "rom", data=np.arange(4, dtype=np.uint32))
        machine.map(0x3000_0000, kind="ram", file=path)
        program = machine.load(path)
        hart = machine.harts[0]
        hart["a0"], hart["ra"] = 0x2000_0000, 0
        hart.pc = program.symbols["sum"].address
        return hart["a0"] if machine.run().pc == 0 else -1


def chosen(engine: Literal["auto", "interpreter", "jit"], clock: Literal["virtual", "real"]) -> vm.Machine:
    return vm.Machine("1.5G", engine=engine, clock=clock, board="virt")


def mistakes(machine: vm.Machine) -> None:
    """What a checker finds: an ignored line that is right is an error of `mypy --strict`."""
    vm.Machine(engine="foo")                            # type: ignore[arg-type]
    vm.Machine(clock="wall")                            # type: ignore[arg-type]
    vm.Machine(board="pc")                              # type: ignore[arg-type]
    machine.map(0, 4096, "flash")                       # type: ignore[arg-type]
    machine.harts[0].virtual.physical(0, "x")           # type: ignore[arg-type]
    machine.run(until=True)                             # type: ignore[arg-type]


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


def hooks(machine: vm.Machine) -> list[int]:
    seen: list[int] = []

    def look(hart: Hart) -> None:
        seen.append(hart["a0"])

    assert_type(machine.on_execute("main", look), Hook[Hart])
    machine.on_execute(range(0x8000_0000, 0x8000_1000), look, space="physical")
    machine.on_execute(0x1000, lambda hart: seen.append(hart.pc), privilege=0, asid=7)
    with machine.on_write(0x8000_0000, lambda access: seen.append(access.old ^ access.value), size=4) as writing:
        assert_type(writing, Hook[MemoryAccess])
    machine.on_read("table", print).remove()
    machine.on_trap(2, lambda trap: seen.append(trap.cause if trap.is_interrupt else trap.pc))
    machine.on_ecall(93, look)
    machine.breakpoint("main", privilege="supervisor", satp=8 << 60)
    machine.watchpoint("counter", access="read", space="physical", asid=3)
    machine.coverage(page_table=0x8020_0000).stop()

    @machine.on_csr("satp", access="write")
    def switched(access: CsrAccess) -> None:
        print(access.name, access.hart.id)

    @machine.on_mmio("uart")
    def used(access: MmioAccess) -> None:
        assert_type(access.access, Literal["read", "write"])
        assert_type(access.device, str)

    @machine.on_trap()
    def trapped(trap: Trap) -> None:
        switched.remove()

    @machine.on_ecall()
    def called(hart: Hart) -> None:
        hart.pc += 4

    assert_type(switched, Hook[CsrAccess])
    assert_type(used, Hook[MmioAccess])
    assert_type(trapped, Hook[Trap])
    assert_type(called, Hook[Hart])
    machine.on_execute(0x1000, len)                     # type: ignore[arg-type]
    machine.on_write(0x1000, look)                      # type: ignore[arg-type]
    return seen


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


class Kernel:
    """Names of the user's own."""

    def name_of(self, address: int) -> str | None:
        return "kernel" if address >> 63 else None


def profiles(machine: vm.Machine, path: Path) -> str:
    with machine.profile(seconds=0.001, symbols=[Kernel(), path, (path, 0x1000)]) as profile:
        machine.run(seconds=1.0)
    path.write_text(profile.svg(by=("process", "hart")))
    assert_type(profile.top()[0].own_share, float)
    machine.profile(1_009, symbols="vmlinux").stop()
    profile.folded(by="core")                           # type: ignore[arg-type]
    return profile.folded("privilege") + str(profile.array["pc"][0])


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


def agent_and_sockets(machine: vm.Machine, vsock: vm.devices.Vsock) -> str:
    agent = machine.agent(seconds=30)
    agent.write_file("/tmp/file", b"content", mode=0o600)
    result = agent.run(["sort"], input="b\na\n", env={"LANG": "C"}, check=True)
    with vsock.listen(5000) as listener, listener.accept() as connection:
        connection.sendall(agent.read_file("/tmp/file"))
        received: bytes = connection.recv(100)
    return result.stdout + str(result.status) + received.decode()


def balloon(device: vm.devices.Balloon) -> int:
    device.resize("64M")
    device.settle(timeout=10)
    return device.actual + device.refresh()["memfree"]


def errors(machine: vm.Machine) -> None:
    try:
        machine.harts[0].virtual.read(0, 8)
    except vm.PageFault as fault:
        access: Literal["read", "write", "execute"] = fault.access
        print(f"{fault.address:#x}", access)
    except (vm.ExpectTimeout, vm.ExpectStopped) as error:
        print(error)
    except (vm.BusError, vm.MachineBusy, vm.ConfigurationError) as error:
        print(error)
