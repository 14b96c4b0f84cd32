"""Tests of the firmware: each begins where it has just printed its prompt, on a machine of its own."""

import random
import zlib

import pytest

import vm

TEXTS = ["", "a", "123456789", *(f"a line that is {'rather ' * count}long" for count in range(12))]
DICE = random.Random(1)
LISTS = [[DICE.randrange(-99, 99) for _ in range(length)] for length in range(1, 16)]
NUMBERS = [0, -1, 10, 255, 256, *(10**power + 7 for power in range(1, 16))]


def ask(machine: vm.Machine, command: str) -> str:
    """Type a command, and return the answer."""
    machine.console.send(f"{command}\n")
    machine.console.expect(f"{command}\n", seconds=1)           # the echo
    machine.console.expect("ready> ", seconds=1)                # guest seconds: no computer is too slow for them
    return machine.console.before.rstrip("\n")


@pytest.mark.parametrize("text", TEXTS)
def test_crc(machine: vm.Machine, text: str) -> None:
    assert ask(machine, f"crc {text}") == f"{zlib.crc32(text.encode()):08x}"


@pytest.mark.parametrize("numbers", LISTS, ids=lambda numbers: str(len(numbers)))
def test_sort(machine: vm.Machine, numbers: list[int]) -> None:
    assert ask(machine, f"sort {' '.join(map(str, numbers))}") == " ".join(map(str, sorted(numbers)))


@pytest.mark.parametrize("number", NUMBERS)
def test_hex(machine: vm.Machine, number: int) -> None:
    assert ask(machine, f"hex {number}") == f"{number % 2**64:x}"


def test_what_is_no_command(machine: vm.Machine) -> None:
    assert ask(machine, "dance") == "unknown command"


def test_off(machine: vm.Machine) -> None:
    machine.console.send("off\n")
    assert machine.run(seconds=1).reason is vm.StopReason.POWER_OFF


def test_store_to_nowhere_is_reported(machine: vm.Machine) -> None:
    machine.console.send("crash\n")
    stop = machine.run(seconds=1)
    assert stop.exit_code == 64 + 7                             # store/AMO access fault
    machine.console.expect("trap 7 at 0x")


@pytest.mark.guest_timeout(0.1)
def test_sorted_twice_is_the_same(machine: vm.Machine) -> None:
    once = ask(machine, "sort 3 -1 2")
    assert ask(machine, f"sort {once}") == once
