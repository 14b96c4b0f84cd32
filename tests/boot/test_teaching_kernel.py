"""A kernel of the kind that courses teach, on this machine and on QEMU's `virt`: they print the same, byte for byte.

teaching_kernel/ is ours; teaching_kernel/kernel.h says which habits of such kernels it has.
"""

import hashlib
import subprocess
from pathlib import Path
from threading import Timer
from typing import NamedTuple

import pytest

import vm
from tests.assembler import OUTPUT
from tests.tools import needs
from vm.guests.compiler import compile_guest

SOURCES = Path(__file__).resolve().parent / "teaching_kernel"
QEMU = "qemu-system-riscv64"
PROMPT = "> "
SECTOR = b"a sector of text"
GUEST_SECONDS = {"virtual": 1, "real": 30}      # far beyond what it takes: 0.3
HOST_SECONDS = 60

EXPECTED = """\
kernel: {harts} harts, vendor 0
paging: 7, read 42 47, written 43 c7
time: timer ticks, time is mtime: yes
rtc: after 2020: yes
faults: 5 5 5
virtio: 2 0 0 0 0 0 0 0
disk: 8 sectors
disk: sector 1 holds: a sector of text
disk: sector 1 holds: A SECTOR OF TEXT
{others}harts: counted to {harts}000
quiet: 0 interrupts
> hello, world
12 characters: hello, world
> {last}
"""


class Ended(NamedTuple):
    """What can be compared of a run: all that was printed, the disk, and the exit code of the process."""

    text: str
    disk: bytes
    exit_code: int | None


@pytest.fixture(scope="module")
def kernel():
    files = sorted(SOURCES.iterdir())
    digest = hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()[:24]
    output = OUTPUT / f"teaching-kernel-{digest}.elf"
    if not output.exists():
        compile_guest(SOURCES, [file.name for file in files if file.suffix in (".S", ".c")], "link.ld", output)
    return output


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(512) + SECTOR.ljust(7 * 512, b"\0"))
    return path


def expected(harts: int, last: str) -> str:
    others = "".join(f"hart {hart}: here, its timer ticks\n" for hart in range(1, harts))
    return EXPECTED.format(harts=harts, others=others, last=last)


def build(kernel: Path, disk: Path, legacy: bool = False, **options) -> vm.Machine:
    machine = vm.Machine(memory="128M", **options)
    machine.attach(vm.devices.BlockDevice(disk, legacy=legacy))
    machine.load(kernel)
    return machine


def converse(machine: vm.Machine, *lines: str) -> vm.Stop:
    """Type a line at each prompt; how it ends."""
    for line in lines:
        machine.console.expect(PROMPT, seconds=GUEST_SECONDS[machine.clock.kind])
        machine.console.send(line + "\n")
    return machine.run(seconds=GUEST_SECONDS[machine.clock.kind], timeout=HOST_SECONDS)


def run_on_qemu(kernel: Path, disk: Path, harts: int, *lines: str, legacy: bool = False) -> Ended:
    command = [
        QEMU, "-M", "virt", "-bios", "none", "-kernel", kernel, "-smp", str(harts), "-m", "128M", "-display", "none",
        "-monitor", "none", "-serial", "stdio", "-no-reboot", "-global",
        f"virtio-mmio.force-legacy={'on' if legacy else 'off'}", "-drive", f"file={disk},if=none,format=raw,id=disk",
        "-device", "virtio-blk-device,drive=disk,bus=virtio-mmio-bus.0",
    ]  # fmt: skip
    text = b""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        watchdog = Timer(HOST_SECONDS, process.kill)
        watchdog.start()
        try:
            for line in lines:
                while not text.endswith(PROMPT.encode()):
                    byte = process.stdout.read(1)
                    assert byte, text
                    text += byte
                process.stdin.write(line.encode() + b"\n")
                text += process.stdout.read(1)
            rest, _ = process.communicate()
        finally:
            watchdog.cancel()
            process.kill()
    return Ended((text + rest).decode(), disk.read_bytes(), process.returncode)


@pytest.mark.parametrize("harts", [1, 3])
@pytest.mark.parametrize("clock", ["virtual", "real"])
@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_boots_and_obeys(kernel, disk, engine, clock, harts):
    with build(kernel, disk, harts=harts, engine=engine, clock=clock) as machine:
        stop = converse(machine, "hello, world", "poweroff")
    assert stop.reason is vm.StopReason.POWER_OFF
    assert machine.console.text == expected(harts, "poweroff")
    assert disk.read_bytes() == bytes(512) + SECTOR.upper().ljust(7 * 512, b"\0")


@needs(QEMU)
@pytest.mark.parametrize("legacy", [False, True], ids=["modern", "legacy"])
@pytest.mark.parametrize("harts", [1, 3])
def test_qemu_prints_the_same(kernel, disk, harts, legacy):
    ended = run_on_qemu(kernel, disk, harts, "hello, world", "poweroff", legacy=legacy)
    assert ended.text == expected(harts, "poweroff")
    assert ended.disk == bytes(512) + SECTOR.upper().ljust(7 * 512, b"\0")
    assert ended.exit_code == 0


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_boots_from_a_legacy_disk(kernel, disk, engine):
    """QEMU's default: the registers of before virtio 1."""
    with build(kernel, disk, harts=3, engine=engine, legacy=True) as machine:
        stop = converse(machine, "hello, world", "poweroff")
    assert stop.reason is vm.StopReason.POWER_OFF
    assert machine.console.text == expected(3, "poweroff")
    assert disk.read_bytes() == bytes(512) + SECTOR.upper().ljust(7 * 512, b"\0")


@pytest.mark.parametrize("word, reason, code", [
    ("poweroff", vm.StopReason.POWER_OFF, 0), ("fail", vm.StopReason.EXIT, 3), ("reboot", vm.StopReason.RESET, None),
])  # fmt: skip
def test_ends_by_the_test_device(kernel, disk, word, reason, code):
    with build(kernel, disk) as machine:
        stop = converse(machine, "hello, world", word)
    assert (stop.reason, stop.exit_code) == (reason, code)


@needs(QEMU)
@pytest.mark.parametrize("word, code", [("poweroff", 0), ("fail", 3), ("reboot", 0)])
def test_qemu_ends_alike(kernel, disk, word, code):
    assert run_on_qemu(kernel, disk, 1, "hello, world", word).exit_code == code


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_reboots(kernel, disk, engine):
    """After a reset all harts begin anew, and the disk has kept what was written."""
    with build(kernel, disk, harts=3, engine=engine) as machine:
        converse(machine, "hello, world", "reboot")
        machine.reset()
        stop = converse(machine, "hello, world", "poweroff")
    assert stop.reason is vm.StopReason.POWER_OFF
    second = expected(3, "poweroff").replace(SECTOR.decode(), SECTOR.decode().upper())
    assert machine.console.text == expected(3, "reboot") + second


def test_types_ahead_and_more_than_the_fifo_holds(kernel, disk):
    """All lines typed at once (the kernel's own queue takes 64 characters): none of it is lost."""
    lines = [f"line {number} of 6" for number in range(1, 5)]
    with build(kernel, disk, harts=3) as machine:
        stop = converse(machine, "\n".join([*lines, "poweroff"]))
    assert stop.reason is vm.StopReason.POWER_OFF
    answers = [line.partition(": ")[2] for line in machine.console.text.splitlines() if " characters: " in line]
    assert answers == lines
