"""Debian's kernel and a shell: the same moment again and again, many of it at once, on each engine, with a disk.

The hundred rounds of each engine and both in turn, on one hart and on three:
`pytest -m slow tests/boot/test_snapshots.py`.
"""

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import cycle, islice
from typing import NamedTuple

import pytest

import vm
from tests.boot.linux import MIB, load_linux
from vm.devices import BlockDevice

pytestmark = pytest.mark.network

RAM, MEMORY = 0x8000_0000, 128 * MIB
STEPS = 10 ** 8
ENGINES = ("jit", "interpreter")
ROUNDS = 100
FORKS, THREADS = 20, 4
# Goes on for longer than is looked at, prints, and gives every hart something to do.
WORK = "for hart in 1 2 3; do (while :; do seq 300 | sha256sum; done) & done\n"


class Seen(NamedTuple):
    steps: int
    registers: tuple
    ram: bytes
    printed: bytes


def seen(machine: vm.Machine) -> Seen:
    registers = tuple((hart.pc, tuple(hart.x[number] for number in range(32))) for hart in machine.harts)
    return Seen(machine.steps, registers, sha256(machine.memory.view(RAM, MEMORY)).digest(), machine.console.output)


@pytest.fixture(scope="module", params=[1, 3], ids=["one hart", "three harts"])
def at_work(request) -> vm.Snapshot:
    with vm.Machine(memory=MEMORY, harts=request.param) as machine:
        load_linux(machine, "exec sh")
        machine.shell()
        machine.console.send(WORK)
        return machine.snapshot()


@pytest.mark.parametrize("engines, rounds", [
    pytest.param(ENGINES, 2, id="both"),
    pytest.param(ENGINES, ROUNDS, id="both, many times", marks=pytest.mark.slow),
    *[pytest.param((engine,), ROUNDS, id=f"{engine}, many times", marks=pytest.mark.slow) for engine in ENGINES],
])
def test_the_same_stretch_again(at_work, engines, rounds):
    """The state that the first run comes to is what each run comes to; the machine says so, and so do we."""
    machines = [at_work.machine(engine=engine) for engine in engines]
    try:
        machines[0].run(instructions=STEPS)
        wanted, end = seen(machines[0]), machines[0].snapshot()
        assert wanted.steps == at_work.steps + STEPS
        assert wanted.printed.count(b"  -\r\n") > 3       # lines of the work
        for machine in islice(cycle(machines), rounds):
            machine.restore(at_work)
            assert machine.equals(at_work)
            machine.run(instructions=STEPS)
            comparison = machine.equals(end)
            assert comparison, comparison.differences
            assert seen(machine) == wanted
    finally:
        for machine in machines:
            machine.close()


@pytest.fixture(scope="module")
def at_prompt() -> vm.Snapshot:
    with vm.Machine(memory=MEMORY) as machine:
        load_linux(machine, "exec sh")
        machine.shell()
        return machine.snapshot()


def test_forks_answer_in_threads(at_prompt):
    """Each another question, and each once more after all of them have answered: nothing of one is in another."""
    with at_prompt.machine() as machine:
        forks = machine.fork(FORKS)
        try:
            with ThreadPoolExecutor(THREADS) as pool:
                first = list(pool.map(lambda number: ask(forks[number], f"mine=$(({number} * 7)); echo $mine"),
                                      range(FORKS)))
                again = list(pool.map(lambda number: ask(forks[number], "echo $mine"), range(FORKS)))
            assert first == again == [f"{number * 7}\n" for number in range(FORKS)]
            assert ask(machine, "echo $mine") == "\n"
        finally:
            for fork in forks:
                fork.close()


def ask(machine: vm.Machine, command: str) -> str:
    return machine.shell().run(command, check=True).output


def test_fork_with_another_engine_does_the_same(at_work):
    """A machine that takes the snapshot in the midst of the work, and one of the other engine, go on alike."""
    with at_work.machine(engine="jit") as machine:
        machine.run(instructions=STEPS // 10)
        with machine.snapshot().machine(engine="interpreter") as other:
            machine.run(instructions=STEPS)
            other.run(instructions=STEPS)
            comparison = other.equals(machine.snapshot())
            assert comparison, comparison.differences
            assert seen(other) == seen(machine)


WRITE = "echo {} | dd of=/dev/vda conv=notrunc 2>/dev/null; sync"
READ = "echo 3 >/proc/sys/vm/drop_caches; head -n 1 /dev/vda"


@pytest.fixture(params=[False, True], ids=["through", "discard"])
def with_disk(request, tmp_path):
    """A machine with a disk that has been written, its shell, and the file."""
    path = tmp_path / "disk.img"
    path.write_bytes(b"image\n".ljust(MIB, b"\0"))
    with vm.Machine(memory=MEMORY) as machine:
        machine.attach(BlockDevice(path, discard=request.param))
        load_linux(machine, "exec sh")
        machine.shell().run(WRITE.format("before"), check=True)
        yield machine, path, b"image" if request.param else b"before"


def first_line(path) -> bytes:
    return path.read_bytes().split(b"\n")[0]


def test_what_a_fork_writes_is_its_own(with_disk):
    machine, path, in_file = with_disk
    with machine.fork() as fork:
        ask(fork, WRITE.format("fork"))
        assert ask(fork, READ) == "fork\n"
        assert ask(machine, READ) == "before\n"
        assert first_line(path) == in_file
        ask(machine, WRITE.format("original"))
        assert ask(fork, READ) == "fork\n"
        assert ask(machine, READ) == "original\n"


def test_restore_undoes_what_the_disk_was_told(with_disk):
    machine, path, in_file = with_disk
    snapshot = machine.snapshot()
    for number in range(3):
        ask(machine, WRITE.format(f"after{number}"))
        assert ask(machine, READ) == f"after{number}\n"
        machine.restore(snapshot)
        assert machine.equals(snapshot)
        assert ask(machine, READ) == "before\n"
        machine.restore(snapshot)
        assert first_line(path) == in_file
