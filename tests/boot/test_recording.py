"""A session with Debian's kernel, typed and written to a disk, comes again to the instruction."""

import random
from hashlib import sha256
from typing import NamedTuple

import pytest

import vm
from tests.boot.linux import MIB, load_linux, script
from vm.devices import BlockDevice
from vm.stop import StopReason

pytestmark = pytest.mark.network

RAM, MEMORY = 0x8000_0000, 128 * MIB
# Each line that is typed is echoed, and written to the disk at a place of its own.
COMMANDS = script(session="\n".join([
    "while read line; do",
    '  [ "$line" = end ] && break',
    '  echo "$line" | busybox dd of=/dev/vda conv=notrunc bs=4096 seek=${#line} 2>/dev/null',
    "  sync",
    '  echo "wrote $line"',
    "done",
    "busybox dd if=/dev/vda bs=4096 count=64 2>/dev/null | sha256sum",
]))
LINES = ("one", "twotwo", "three more words")
TIMES = 20


class Seen(NamedTuple):
    steps: int
    now_ns: int
    harts: tuple[bytes, ...]
    ram: bytes
    disk: bytes
    printed: bytes


class Booted:
    """A machine with Debian's kernel and an empty disk of its own."""

    def __init__(self, harts: int, engine: str, disk):
        self.disk = disk
        disk.write_bytes(bytes(MIB))
        self.machine = vm.Machine(memory=MEMORY, harts=harts, engine=engine)
        self.machine.attach(BlockDevice(disk))
        load_linux(self.machine, COMMANDS)

    def finish(self) -> Seen:
        machine = self.machine
        machine.harts[0].csr["mip"]     # brings the lines of its timers up to date   # noqa: B018
        found = (machine.steps, machine.clock.now_ns(), tuple(native.save()[:512] for native in machine._natives),
                 sha256(machine.memory.view(RAM, MEMORY)).digest(), machine.console.output)
        machine.close()
        return Seen(*found[:4], self.disk.read_bytes(), found[4])


@pytest.fixture(scope="module", params=[1, 3])
def session(request, tmp_path_factory) -> tuple[int, vm.Log, Seen]:
    booted = Booted(request.param, "jit", tmp_path_factory.mktemp("recorded") / "disk.img")
    machine = booted.machine
    with machine.record() as recording:
        machine.console.expect("== session")
        for line in LINES:
            machine.run(seconds=0.01)
            for key in line + "\n":
                machine.console.send(key)
                machine.run(instructions=12_345)
            machine.console.expect(f"wrote {line}")
        machine.console.send("end\n")
        assert machine.run(seconds=30).reason is StopReason.POWER_OFF
    seen = booted.finish()
    for line in LINES:
        assert seen.disk[4096 * len(line):].startswith(line.encode())
    return request.param, recording.log, seen


@pytest.mark.parametrize("engine", ["jit", pytest.param("interpreter", marks=pytest.mark.slow)])
def test_replayed_twenty_times(session, engine, tmp_path):
    harts, log, wanted = session
    for number in range(TIMES):
        choice = random.Random(number)
        booted = Booted(harts, engine, tmp_path / "disk.img")
        booted.machine.replay(log)
        reasons = []
        while reasons[-1:] != [StopReason.REPLAYED]:
            reasons.append(booted.machine.run(instructions=None if number == 0 else choice.randrange(10 ** 8)).reason)
        assert StopReason.POWER_OFF in reasons
        assert booted.finish() == wanted


def test_an_altered_key_is_found(session, tmp_path):
    """Typed "onx" for "one"."""
    harts, log, _ = session
    number = next(number for number, entry in enumerate(log) if entry.data == b"e")
    entries = list(log)
    entries[number] = entries[number]._replace(data=b"x")
    booted = Booted(harts, "jit", tmp_path / "disk.img")
    with booted.machine, pytest.raises(vm.ReplayDiverged) as caught:
        booted.machine.replay(vm.Log(tuple(entries)))
        booted.machine.run()
    assert (caught.value.fitted, caught.value.step) == (entries[number].stamp.steps, entries[number + 1].stamp.steps)
