"""Snapshots, restores and forks of machines: exact, independent, refused where they cannot be."""

import hashlib
import os
import random
import re
import threading
from collections.abc import Callable
from typing import NamedTuple

import pytest

import vm
from tests.assembler import assemble_elf
from tests.recorded import session_log
from vm.devices import BlockDevice, Entropy, GenerationId
from vm_native.state import collector

RAM = 0x8000_0000
MEMORY = 1 << 20

# Every hart adds what it reads from the UART, and its number of rounds, to words all over memory, stores an instruction
# into its own code and runs it, and takes a timer interrupt now and then.
BUSY = """
    .option norvc               # instructions of four bytes: one is written anew
    csrr s0, mhartid
    la   t0, handler
    csrw mtvec, t0
    li   t0, 0x80
    csrw mie, t0
    csrsi mstatus, 8
    la   s1, data
    slli t0, s0, 16
    add  s1, s1, t0             # 64 KiB a hart
    li   s2, 0                  # rounds
    li   s3, 0x10000000         # UART
    la   s4, patched
1:  addi s2, s2, 1
    lbu  t0, 5(s3)
    andi t0, t0, 1
    beqz t0, 2f
    lbu  t0, 0(s3)
    sb   t0, 0(s3)              # echo
2:  mul  t1, s2, s2
    slli t1, t1, 3
    slli t1, t1, 48
    srli t1, t1, 48
    add  t1, t1, s1
    ld   t2, 0(t1)
    add  t2, t2, t0
    addi t2, t2, 1
    sd   t2, 0(t1)
    andi t3, s2, 63
    bnez t3, 1b
    slli t3, s2, 14             # another immediate for the addi at `patched`
    li   t4, 0x3ff00000
    and  t3, t3, t4
    li   t4, 0x00050513         # addi a0, a0, 0
    or   t3, t3, t4
    sw   t3, 0(s4)
    fence.i
    j    patched
    .balign 64
patched:
    addi a0, a0, 0
    j    1b
    .balign 4
handler:
    csrr t5, mhartid
    slli t5, t5, 3
    li   t6, 0x2004000          # mtimecmp
    add  t5, t5, t6
    li   t6, 0x200bff8
    ld   t6, 0(t6)
    addi t6, t6, 97
    sd   t6, 0(t5)
    addi s5, s5, 1
    mret
    .balign 4096
data:
    .zero 0x30000
"""


class Copy(NamedTuple):
    """All of a machine, copied: what a snapshot is compared with."""

    memory: bytes
    harts: tuple[bytes, ...]
    parts: dict


def copy_of(machine):
    return Copy(bytes(machine.memory.view(RAM, MEMORY)), tuple(native.save() for native in machine._natives),
                {name: part.save() for name, part in machine._parts().items()})


def busy(harts=1, engine="auto", **options):
    machine = vm.Machine(memory=MEMORY, harts=harts, engine=engine, **options)
    machine.load(assemble_elf(BUSY))
    return machine


@pytest.fixture(params=[("interpreter", 1), ("jit", 1), ("jit", 3)], ids=str)
def machine(request):
    engine, harts = request.param
    with busy(harts, engine) as machine:
        yield machine


# --- Against a model that copies everything ---------------------------------------------------------------------------

class Player:
    """Does random things to machines, and to copies of them; every look must be equal."""

    def __init__(self, seed: int, harts: int, engines: tuple[str, ...]):
        self.choice = random.Random(seed)
        self.engines = engines
        self.machines = [busy(harts, engines[0])]
        self.snapshots: list[tuple[vm.Snapshot, Copy]] = []

    def play(self, actions: int) -> None:
        moves: list[Callable[[vm.Machine], None]] = [
            self.run, self.run, self.run, self.take, self.take, self.go_back, self.go_back, self.fork, self.drop,
            self.write, self.type]
        for _ in range(actions):
            self.choice.choice(moves)(self.choice.choice(self.machines))

    def run(self, machine):
        machine.run(instructions=self.choice.choice([1, 7, 100, 1000, 20_000]))

    def take(self, machine):
        before = copy_of(machine)
        self.snapshots.append((machine.snapshot(), before))
        assert copy_of(machine) == before

    def go_back(self, machine):
        if self.snapshots:
            snapshot, copied = self.choice.choice(self.snapshots)
            machine.restore(snapshot)
            assert copy_of(machine) == copied
            assert machine.equals(snapshot)

    def fork(self, machine):
        before = copy_of(machine)
        if len(self.machines) < 5:
            twin = machine.snapshot().machine(engine=self.choice.choice(self.engines))
            self.machines.append(twin)
            assert copy_of(twin) == copy_of(machine) == before
            steps = self.choice.randrange(5000)
            twin.run(instructions=steps)
            other = machine.fork()
            other.run(instructions=steps)
            assert copy_of(twin) == copy_of(other)
            other.close()
            assert copy_of(machine) == before

    def drop(self, machine):
        if self.snapshots and self.choice.random() < 0.7:
            del self.snapshots[self.choice.randrange(len(self.snapshots))]
        elif len(self.machines) > 1:
            self.machines.remove(machine)
            machine.close()

    def write(self, machine):
        size = self.choice.choice([1, 8, 4096, 9000])
        machine.memory.write(RAM + 0x8000 + self.choice.randrange(MEMORY - 0x8000 - size), self.choice.randbytes(size))

    def type(self, machine):
        machine.console.send(self.choice.randbytes(self.choice.randrange(1, 20)))

    def close(self):
        for machine in self.machines:
            machine.close()


def play(seed, actions):
    player = Player(seed, harts=1 + seed % 3, engines=(("jit", "interpreter"), ("interpreter", "jit"))[seed % 2])
    try:
        player.play(actions)
    finally:
        player.close()


@pytest.mark.parametrize("seed", range(30))
def test_random_sequences(seed):
    play(seed, 40)


@pytest.mark.slow
@pytest.mark.parametrize("thousand", range(100))
def test_a_hundred_thousand_random_sequences(thousand):
    """`pytest -m slow tests/snapshots/test_states.py -k thousand`: a quarter of an hour."""
    for seed in range(1000 * (thousand + 1), 1000 * (thousand + 2)):
        play(seed, 10)


# --- Exactness --------------------------------------------------------------------------------------------------------

def test_again_and_again(machine):
    machine.run(instructions=50_000)
    snapshot = machine.snapshot()
    machine.console.send(b"hello")
    machine.run(instructions=200_000)
    end = copy_of(machine)
    for _ in range(5):
        machine.restore(snapshot)
        machine.console.send(b"hello")
        machine.run(instructions=200_000)
        assert copy_of(machine) == end


def test_a_tree_in_any_order(machine):
    known = []
    for number in range(6):
        machine.run(instructions=3000 + number)
        known.append((machine.snapshot(), copy_of(machine)))
        if number % 2:
            machine.restore(known[number // 2][0])
    for snapshot, copied in [*reversed(known), *known]:
        machine.restore(snapshot)
        assert copy_of(machine) == copied


def test_equals_says_what_differs(machine):
    snapshot = machine.snapshot()
    assert machine.equals(snapshot) and machine.equals(snapshot).differences == []
    machine.harts[0].x[9] += 1
    machine.memory.write(RAM + 0x9000, b"different")
    machine.board.uart.scr = 77
    found = machine.equals(snapshot)
    assert not found
    assert [line.partition(", in the snapshot")[0] for line in found.differences] == [
        f"hart 0: x9 {machine.harts[0].x[9]:#x}", "memory: one page, at 0x80009000", "uart.scr: 77"]


def test_parent_and_steps(machine):
    first = machine.snapshot()
    machine.run(instructions=10)
    second = machine.snapshot()
    assert (first.parent, second.parent, second.steps) == (None, first, first.steps + 10)
    del first
    machine.restore(second)
    assert second.parent is None            # nobody holds it


def test_what_is_dropped_is_freed():
    with busy() as machine:
        machine.snapshot()
        collector.wait()
        before = collector.collected()
        for number in range(50):
            machine.memory.write(RAM + 0x8000, bytes([number + 1]) * 0x20000)
            snapshot = machine.snapshot()
            assert snapshot.copied_bytes == 0x20000
        del snapshot
        collector.wait()
        assert collector.collected() - before >= 48


def test_views_show_what_was_restored(machine):
    snapshot = machine.snapshot()
    view = machine.memory.view(RAM + 0x9000, 4)
    machine.memory.write(RAM + 0x9000, b"1234")
    assert bytes(view) == b"1234"
    machine.restore(snapshot)
    assert bytes(view) == bytes(4)


def test_views_show_what_came_from_elsewhere():
    """Of a fork's copies, which are not in the image that it is mapped from."""
    with busy() as machine, busy() as other:
        machine.snapshot()
        machine.memory.write(RAM + 0x9000, b"1234")
        view = other.memory.view(RAM + 0x9000, 4)
        other.restore(machine.snapshot())
        assert bytes(view) == b"1234"


def test_several_regions_and_rom():
    with vm.Machine(board="bare") as machine:
        machine.map(RAM, 0x10000)
        machine.map(0x4000_0000, 0x2000, data=b"table")
        machine.map(0x5000_0000, 0x1000, kind="rom", data=b"fixed")
        machine.load(assemble_elf("1: j 1b"))
        snapshot = machine.snapshot()
        machine.memory.write(0x4000_0000, b"other")
        machine.memory.write(0x5000_0000, b"burnt")
        twin = machine.fork()
        machine.restore(snapshot)
        assert machine.memory.read(0x4000_0000, 5) + machine.memory.read(0x5000_0000, 5) == b"tablefixed"
        assert twin.memory.read(0x4000_0000, 5) + twin.memory.read(0x5000_0000, 5) == b"otherburnt"
        twin.close()


def test_clear_after_a_snapshot():
    with busy() as machine:
        machine.memory.write(RAM + 0x10000, b"x" * 0x8000)
        snapshot = machine.snapshot()
        machine.memory.clear(RAM + 0x10000, 0x8000)
        assert machine.memory.read(RAM + 0x10000, 0x8000) == bytes(0x8000)
        machine.restore(snapshot)
        assert machine.memory.read(RAM + 0x10000, 0x8000) == b"x" * 0x8000


# --- Forks ------------------------------------------------------------------------------------------------------------

def test_forks_are_independent(machine):
    machine.run(instructions=5000)
    twins = machine.fork(3)
    before = copy_of(machine)
    for number, twin in enumerate(twins):
        twin.console.send(bytes([65 + number]) * 3)
        twin.run(instructions=30_000)
        assert bytes([65 + number]) in twin.console.output
    assert copy_of(machine) == before
    assert len({hashlib.sha256(bytes(twin.memory.view(RAM, MEMORY))).digest() for twin in twins}) == 3
    for twin in twins:
        twin.close()


def test_a_fork_outlives_its_parent():
    machine = busy()
    machine.run(instructions=5000)
    snapshot = machine.snapshot()
    twin = machine.fork()
    expected = copy_of(machine)
    machine.close()
    assert copy_of(twin) == expected
    with snapshot.machine() as third:
        assert copy_of(third) == expected
    twin.close()


def test_a_snapshot_serves_a_fork_of_the_process():
    """The machine is of no use there, and another one can be built of what it was."""
    with busy() as machine:
        machine.run(instructions=5000)
        snapshot = machine.snapshot()
        child = os.fork()
        if child == 0:
            with snapshot.machine(engine="interpreter") as twin:
                twin.run(instructions=30_000)
                twin.snapshot()
                twin.restore(snapshot)
                twin.run(instructions=30_000)
                digest = hashlib.sha256(twin.memory.view(RAM, MEMORY)).digest()
            os._exit(digest[0])
        machine.run(instructions=30_000)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == hashlib.sha256(
            machine.memory.view(RAM, MEMORY)).digest()[0]


def test_forks_in_threads_while_snapshots_are_dropped():
    with busy() as machine:
        machine.run(instructions=5000)
        expected = machine.fork()
        expected.run(instructions=300_000)
        twins = machine.fork(6)
        threads = [threading.Thread(target=twin.run, args=(300_000,)) for twin in twins]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            machine.run(instructions=500)
            machine.snapshot()
        for twin, thread in zip(twins, threads, strict=True):
            thread.join()
            assert copy_of(twin) == copy_of(expected)
            twin.close()
        expected.close()


def test_identity():
    with vm.Machine(memory=MEMORY) as machine:
        machine.attach(Entropy(seed=3))
        machine.attach(GenerationId(), address=0x1100_0000, irq=20)
        machine.load(assemble_elf(BUSY))

        def told(one):
            date = one.clock.epoch_ns()
            return (one.board.devices["virtio0"].device.seed, one.memory.read(0x1100_0000, 8), date,
                    one.harts[0].csr["seed"] if "Zkr" in one.isa.extensions else None)

        same, new, other = machine.fork(), machine.fork(identity="new"), machine.fork(identity="new")
        five, again = machine.fork(identity=5), machine.fork(identity=5)
        assert told(same) == told(machine)
        assert told(five) == told(again) != told(machine)
        assert len({told(one)[:2] for one in (machine, new, other, five)}) == 4
        assert new.board.plic.pending >> 20 & 1 and not same.board.plic.pending >> 20 & 1
        for one in (same, new, other, five, again):
            one.close()


def test_disks_of_forks(tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(b"a" * 4096)
    with vm.Machine(memory=MEMORY) as machine:
        machine.attach(BlockDevice(image))
        machine.load(assemble_elf(BUSY))

        def disk(one):
            return one.board.devices["virtio0"].device.disk

        def content(one):
            data = bytearray(512)
            disk(one).read(0, memoryview(data))
            return bytes(data[:1])

        snapshot = machine.snapshot()
        twin = machine.fork()
        disk(machine).write(0, [memoryview(b"b" * 512)])
        disk(twin).write(0, [memoryview(b"c" * 512)])
        with snapshot.machine() as third:
            assert (content(machine), content(twin), content(third)) == (b"b", b"c", b"a")
        assert image.read_bytes()[:1] == b"b"
        assert any("virtio0" in line for line in machine.equals(snapshot).differences)
        machine.restore(snapshot)
        assert (content(machine), content(twin), image.read_bytes()[:1]) == (b"a", b"c", b"a")
        twin.close()


# --- Refused ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("action", ["snapshot", "restore", "fork", "equals"])
def test_not_inside_a_callback(machine, action):
    snapshot = machine.snapshot()
    arguments = [snapshot] if action in ("restore", "equals") else []

    def inside(machine):
        getattr(machine, action)(*arguments)

    before = copy_of(machine)
    with pytest.raises(vm.MachineBusy, match=f"{'snapshot' if action == 'fork' else action}\\(\\) was called"):
        machine.run(instructions=100, until=inside)
    assert copy_of(machine) == before


def test_not_while_memory_is_open_for_writing(machine):
    snapshot = machine.snapshot()
    with machine.memory.writable(RAM + 0x9000, 8) as view:
        view[:] = b"12345678"
        for action in (machine.snapshot, machine.fork, lambda: machine.restore(snapshot)):
            with pytest.raises(vm.MachineBusy, match="open for writing"):
                action()
    assert machine.memory.read(RAM + 0x9000, 8) == b"12345678"
    machine.restore(snapshot)
    assert machine.memory.read(RAM + 0x9000, 8) == bytes(8)


@pytest.mark.parametrize(("options", "said"), [
    ({"harts": 2}, "its harts: 1, here: 2"), ({"memory": "2M"}, "its memory: 1048576, here: 2097152"),
    ({"isa": "rv64gc"}, "its isa: "),
])
def test_not_onto_a_machine_of_another_shape(options, said):
    with busy() as machine, vm.Machine(**{"memory": MEMORY, **options}) as other:
        before = [native.save() for native in other._natives]
        with pytest.raises(vm.SnapshotError, match=said):
            other.restore(machine.snapshot())
        assert [native.save() for native in other._natives] == before


def test_not_with_other_devices():
    with busy() as machine, vm.Machine(memory=MEMORY) as other:
        other.attach(Entropy())
        with pytest.raises(vm.SnapshotError, match="its devices: .*Entropy"):
            machine.restore(other.snapshot())


def test_not_of_a_closed_machine():
    machine = busy()
    snapshot = machine.snapshot()
    machine.close()
    for action in (machine.snapshot, machine.fork, lambda: machine.restore(snapshot)):
        with pytest.raises(vm.MachineUnusable, match="closed"):
            action()


WRONG = {
    "restore": (lambda machine, _: machine.restore("a.vmsnap"), "restore() takes what snapshot() gave, not str"),
    "equals": (lambda machine, _: machine.equals(None), "equals() takes what snapshot() gave, not NoneType"),
    "replay": (lambda machine, _: machine.replay("a.vmlog"), "replay() takes the log of a recording, a vm.Log"),
    "vm.replay, log": (lambda _, snapshot: vm.replay(snapshot, 5), "replay() takes the log of a recording"),
    "vm.replay, snapshot": (lambda machine, _: vm.replay(machine, session_log()),
                            "replay() takes the snapshot that the recording began with, not Machine"),
    "parent": (lambda _, snapshot: snapshot.save("b.vmsnap", parent="a.vmsnap"),
               "save(parent=...) takes a snapshot that was saved or loaded, not str"),
    "path": (lambda _, snapshot: snapshot.save(5), "expected str, bytes or os.PathLike object, not int"),
    "file": (lambda *_: vm.Snapshot.load(None), "expected str, bytes or os.PathLike object, not NoneType"),
    "devices": (lambda _, snapshot: snapshot.machine(devices=[Entropy()]),
                "machine(devices=...) takes a dict of devices by their names on the board, not list"),
    "device": (lambda _, snapshot: snapshot.machine(devices={"uart": "uart"}),
               "machine(devices=...) takes a device for 'uart', not str"),
    "entries": (lambda *_: vm.Log(("START",)), "Log() takes entries of a log, each a vm.log.Entry, not str"),
}


@pytest.mark.parametrize(("call", "said"), WRONG.values(), ids=WRONG)
def test_what_is_of_another_type_is_refused(call, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with busy() as machine:
        snapshot = machine.snapshot()
        with pytest.raises(TypeError, match=re.escape(said)):
            call(machine, snapshot)
        assert machine.equals(snapshot) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("identity", ["other", 5.5, None])
def test_an_identity_that_is_none_makes_no_fork(machine, identity):
    before = machine._stands_on
    with pytest.raises(vm.ConfigurationError, match=f"identity={identity!r}: "):
        machine.fork(0, identity=identity)
    assert machine._stands_on is before


# --- What is attached later -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("take", [vm.Machine.snapshot, vm.Machine.fork, vm.Machine.keep_history])
def test_a_device_that_comes_after_a_snapshot_is_in_the_next(take, tmp_path):
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    with vm.Machine(memory=MEMORY) as machine:
        machine.load(assemble_elf("1: j 1b"))
        machine.snapshot()
        machine.attach(BlockDevice(tmp_path / "disk", discard=True))
        take(machine)
        machine.run(instructions=10)


def test_a_disk_named_from_here_is_found_when_its_machine_is_closed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk").write_bytes(b"a" * (1 << 20))
    with vm.Machine(memory=MEMORY) as machine:
        machine.attach(BlockDevice("disk", discard=True))
        machine.load(assemble_elf("1: j 1b"))
        snapshot = machine.snapshot()
    with snapshot.machine() as again:
        assert again.equals(snapshot)


def test_disks_that_were_opened_each_on_its_own_are_equal(tmp_path):
    (tmp_path / "disk").write_bytes(b"a" * (1 << 20))
    with vm.Machine(memory=MEMORY) as one, vm.Machine(memory=MEMORY) as other:
        for machine in (one, other):
            machine.attach(BlockDevice(tmp_path / "disk", discard=True))
            machine.load(assemble_elf("1: j 1b"))
        snapshot = one.snapshot()
        other.restore(snapshot)
        assert other.equals(snapshot)
