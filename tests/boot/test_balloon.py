"""Debian's driver of the memory balloon: what the guest gives, the host has; and the guest's content stays right."""

from pathlib import Path

import pytest

import vm
from vm.devices import Balloon, Vsock
from vm.images import debian
from vm.sizes import PAGE_SIZE

pytestmark = pytest.mark.network

MIB = 1 << 20
FILE = 96 * MIB
MOST = 0.5 * FILE               # of what is freed lies in whole blocks of 2 MiB, which Linux reports
# A file that is no zeros, and its sum
FILL = ("head -c 1048576 /dev/urandom > /dev/shm/part; "
        f"for i in $(seq {FILE // MIB}); do cat /dev/shm/part; done > /dev/shm/file; md5sum < /dev/shm/file")


class Guest:
    def __init__(self, machine):
        self.machine = machine
        self.balloon = Balloon()
        for device in (self.balloon, Vsock()):
            machine.attach(device)
        machine.boot(*debian())
        self.agent = machine.agent()

    def run(self, command: str) -> str:
        return self.agent.run(command, check=True).stdout


@pytest.fixture(scope="module")
def guest():
    """Of which nobody takes a snapshot: from then on the host would get nothing back."""
    with vm.Machine(memory="512M") as machine:
        yield Guest(machine)


@pytest.fixture(scope="module")
def other():
    with vm.Machine(memory="512M") as machine:
        yield Guest(machine)


def resident() -> int:
    """Bytes of memory that the host has given this process."""
    line = next(line for line in Path("/proc/self/smaps_rollup").read_text().splitlines() if line.startswith("Rss:"))
    return int(line.split()[1]) << 10


def zero_pages(machine: vm.Machine) -> int:
    ram = machine.memory.array(machine.board.ram.base, (machine.board.ram.size // PAGE_SIZE, PAGE_SIZE // 8), "uint64")
    return int((~ram.any(axis=1)).sum())


def test_what_the_guest_frees_the_host_has_back(guest):
    """Free page reporting: unasked, some two seconds later."""
    guest.run(FILL)
    full = resident()
    guest.run("rm /dev/shm/file; sleep 5")
    assert full - resident() > MOST


def test_a_balloon_takes_memory_and_gives_it_back(guest):
    before = guest.balloon.refresh()
    guest.run(FILL)
    full = resident()
    guest.run("rm /dev/shm/file")
    guest.balloon.resize("320M")
    guest.balloon.settle()
    assert guest.balloon.actual == 320 * MIB
    assert full - resident() > 0.5 * FILE               # the rest of it was free, or was reported
    squeezed = guest.balloon.refresh()
    assert before["memfree"] - squeezed["memfree"] > 300 * MIB
    guest.balloon.resize(0)
    guest.balloon.settle()
    # Linux keeps some of them in lists of the processor, which do not count as free.
    assert guest.balloon.refresh()["memfree"] - squeezed["memfree"] > 250 * MIB
    assert guest.run(FILL) == guest.run("md5sum < /dev/shm/file; rm /dev/shm/file")


def test_statistics_are_the_kernel_s(guest):
    stats = guest.balloon.refresh()
    told = dict(line.split(":") for line in guest.run("cat /proc/meminfo").splitlines())
    assert stats["memtot"] == int(told["MemTotal"].split()[0]) << 10
    assert abs(stats["memfree"] - (int(told["MemFree"].split()[0]) << 10)) < 8 * MIB
    assert stats["minflt"] > 0 and "swap_in" in stats


def test_a_guest_in_need_takes_pages_out(guest):
    """F_DEFLATE_ON_OOM: a balloon of nearly all there is leaves programs alive."""
    guest.balloon.resize("384M")
    guest.balloon.settle()
    assert guest.run(FILL) == guest.run("md5sum < /dev/shm/file")
    assert guest.balloon.actual < 384 * MIB
    guest.balloon.resize(0)
    guest.balloon.settle()
    guest.run("rm /dev/shm/file")


def test_forks_and_restored_machines_are_right(other):
    """Memory is given back before and behind a snapshot; both machines, and the same one again, have their content."""
    told = other.run(FILL)
    other.run("cp /dev/shm/file /dev/shm/other; rm /dev/shm/other; sleep 5")
    saved = other.machine.snapshot()
    zeros = zero_pages(other.machine)
    with other.machine.fork() as fork:
        agent = fork.agent()
        agent.run("rm /dev/shm/file; sleep 5", check=True)
        assert zero_pages(fork) - zeros > MOST / PAGE_SIZE
        agent.run(FILL, check=True)
        assert other.run("md5sum < /dev/shm/file") == told
    other.run("rm /dev/shm/file; sleep 5")
    assert zero_pages(other.machine) - zeros > MOST / PAGE_SIZE
    other.machine.restore(saved)
    assert other.machine.equals(saved)
    assert other.run("md5sum < /dev/shm/file") == told


def test_a_session_is_replayed(other):
    start = other.machine.snapshot()
    with other.machine.record() as recording:
        other.balloon.resize("128M")
        other.balloon.settle()
        other.balloon.refresh()
        other.run(f"({FILL}; rm /dev/shm/file; sleep 3; grep MemFree /proc/meminfo) > /dev/ttyS0")
        other.balloon.resize("64M")
        other.balloon.settle()
        log = recording.stop()
    steps, output, stats = other.machine.steps, other.machine.console.output, other.balloon.stats
    with vm.replay(start, log) as again:
        assert again.run().reason is vm.StopReason.REPLAYED
        assert (again.steps, again.console.output) == (steps, output)
        device = again.board.devices["virtio0"].device
        assert (device.actual, device.stats) == (64 * MIB, stats)
