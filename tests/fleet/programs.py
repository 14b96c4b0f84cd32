"""Tests that fleets run: at the top of a module, for other processes find them by their names."""

import os
import signal
import threading
import time
from pathlib import Path

import vm
from vm.guests.messages.build import ROOT

FIRMWARE = ROOT / "messages.elf"


def at_ready(memory: str = "1M") -> vm.Snapshot:
    """The firmware waits for a message."""
    with vm.Machine(memory=memory) as machine:
        machine.load(FIRMWARE)
        machine.console.expect("ready\n", seconds=1)
        return machine.snapshot()


def message(*records: tuple[int, bytes]) -> bytes:
    body = b"".join(bytes((kind, len(payload))) + payload for kind, payload in records)
    return b"VM" + bytes((1, len(records))) + body


def answer(machine: vm.Machine, data: bytes) -> str:
    """What the firmware prints about a message."""
    machine.console.send(len(data).to_bytes(2, "little") + data)
    machine.console.expect("\n", seconds=1)
    return machine.console.before


def even_only(machine: vm.Machine, number: int) -> int:
    """Fails for odd numbers, with an error that has an attribute and an odd constructor."""
    text = answer(machine, message((2, str(number).encode())))
    if number % 2:
        raise Odd(number, text)
    return number * 2


class Odd(Exception):
    def __init__(self, number: int, text: str):
        super().__init__(number, text)
        self.number = number


def leaves_things(machine: vm.Machine, data: bytes) -> int:
    """How many probes there are when it begins; it leaves some, and a hook, and another memory."""
    before = len(machine.probes)
    machine.breakpoint("handle_message")
    machine.on_execute("main", print)
    machine.memory.write(0x8000_0000, bytes(64))
    return before


def spin_but_once(machine: vm.Machine, number: int) -> int:
    if number:
        spin(machine, b"")
    return number


def spin(machine: vm.Machine, data: bytes) -> None:
    machine.memory.write(0x8008_0000, b"\x01\xa0\x00\x00")       # c.j to itself
    machine.harts[0].pc = 0x8008_0000
    machine.run()


def endless(machine: vm.Machine, told: str) -> None:
    """Says in a file which process runs it."""
    Path(told).write_text(str(os.getpid()))
    spin(machine, b"")


def kill_once(folder: str, machine: vm.Machine, number: int) -> int:
    """Ends its process the first time it meets number 5."""
    mark = Path(folder, "killed")
    if number == 5 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    answer(machine, b"")
    return number


def kill_always(machine: vm.Machine, number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def slow(machine: vm.Machine, number: int) -> int:
    answer(machine, b"")
    time.sleep(0.05)
    return number


def returns_a_lock(machine: vm.Machine, data: object) -> object:
    return threading.Lock()


def name_of_pc(machine: vm.Machine, data: object) -> str | None:
    return machine.lookup(machine.harts[0].pc)


def disk(image: str) -> dict[str, vm.devices.Device]:
    return {"virtio0": vm.devices.BlockDevice(image, discard=True)}


def steps_of(machine: vm.Machine, count: int) -> int:
    return machine.run(instructions=count).steps
