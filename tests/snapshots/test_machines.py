"""Machines in files: whole, by page, by what differs, and refused where they are damaged."""

import hashlib
import os
import pickle
import random
import subprocess
import sys

import pytest

import vm
from tests.assembler import assemble_elf
from vm.devices import BlockDevice, Device, Entropy, VirtioConsole
from vm.saving import made
from vm.snapshots.file import SnapshotFile
from vm.snapshots.writer import write

RAM = 0x8000_0000
MEMORY = 2 << 20

# Counts in a word of each of 64 pages, one after the other, and adds floating-point numbers up.
COUNTER = """

    li   t0, 0x6000             # FS
    csrs mstatus, t0
    la   t1, pages
    li   t2, 0
    fcvt.d.w ft0, t2
    li   t3, 3
    fcvt.d.w ft1, t3
1:  andi t4, t2, 63
    slli t4, t4, 12
    add  t4, t4, t1
    ld   t5, 0(t4)
    add  t5, t5, t2
    sd   t5, 0(t4)
    fadd.d ft0, ft0, ft1
    addi t2, t2, 1
    j    1b
    .balign 4096
pages:
    .zero 0x40000
"""


def counting(**options):
    machine = vm.Machine(memory=MEMORY, **options)
    machine.load(assemble_elf(COUNTER))
    machine.run(instructions=5000)
    return machine


def looks(machine):
    """All that a test can see."""
    return ([native.save() for native in machine._natives], hashlib.sha256(machine.memory.view(RAM, MEMORY)).digest(),
            machine.steps, machine.console.output, machine.clock.now_ns())


@pytest.fixture
def machine():
    with counting() as machine:
        yield machine


@pytest.fixture
def path(tmp_path):
    return tmp_path / "machine.vmsnap"


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
@pytest.mark.parametrize("harts", [1, 3])
def test_goes_on_alike(path, engine, harts):
    with counting(harts=harts) as machine:
        machine.snapshot().save(path)
        with vm.Snapshot.load(path).machine(engine=engine) as other:
            assert other.steps == machine.steps
            machine.run(instructions=100_000)
            other.run(instructions=100_000)
            assert looks(other) == looks(machine)
            assert other.equals(machine.snapshot())


def test_another_process_goes_on_alike(machine, path):
    machine.snapshot().save(path)
    machine.run(instructions=54_321)
    script = ("import sys, vm, hashlib\nwith vm.Snapshot.load(sys.argv[1]).machine() as machine:\n"
              "    machine.run(instructions=54_321)\n"
              f"    print(machine.steps, hashlib.sha256(machine.memory.view({RAM}, {MEMORY})).hexdigest(),"
              " machine._natives[0].save().hex())")
    shown = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True, timeout=60)
    harts, memory, steps, _, _ = looks(machine)
    assert shown.stdout.split() == [str(steps), memory.hex(), harts[0].hex()]


def test_onto_a_machine_that_is_there(machine, path):
    machine.snapshot().save(path)
    before = looks(machine)
    machine.run(instructions=9999)
    machine.restore(vm.Snapshot.load(path))
    assert looks(machine) == before


def test_what_was_loaded_is_saved_again(machine, path, tmp_path):
    machine.snapshot().save(path)
    before = looks(machine)
    vm.Snapshot.load(path).save(tmp_path / "again")
    with vm.Snapshot.load(tmp_path / "again").machine() as other:
        assert looks(other) == before


def test_only_what_differs(machine, path, tmp_path):
    first = machine.snapshot()
    first.save(path)
    machine.memory.write(RAM + 0x10_0000, b"x" * 5000)
    second = machine.snapshot()
    second.save(tmp_path / "second", parent=first)
    assert (tmp_path / "second").stat().st_size < path.stat().st_size
    with vm.Snapshot.load(tmp_path / "second").machine() as other:
        assert other.equals(second)
    path.unlink()
    with pytest.raises(vm.SnapshotError, match=r"holds what differs from .*machine\.vmsnap, which cannot be read"):
        vm.Snapshot.load(tmp_path / "second")


def test_a_parent_needs_a_file_that_is_still_its_own(machine, path, tmp_path):
    first = machine.snapshot()
    second = machine.snapshot()
    with pytest.raises(vm.SnapshotError, match="its parent has no file"):
        second.save(path, parent=first)
    first.save(path)
    machine.run(instructions=100)
    machine.snapshot().save(path)
    with pytest.raises(vm.SnapshotError, match="not the file any more"):
        second.save(tmp_path / "second", parent=first)


def test_pickled(machine):
    snapshot = machine.snapshot()
    loaded = pickle.loads(pickle.dumps(snapshot))
    assert loaded.file is None and snapshot.file is None
    with loaded.machine() as other:
        assert other.equals(snapshot)


def test_flags_of_floating_point_are_the_guests(path):
    """Pages are loaded by Python, which may compute, in the middle of the guest's run: 3 + 3 + ... is exact."""
    with counting() as machine:
        machine.snapshot().save(path)
    with vm.Snapshot.load(path).machine() as other:
        other.run(instructions=200_000)
        assert other.harts[0].csr["fflags"] == 0


def test_devices_come_back(path):
    with vm.Machine(memory=MEMORY) as machine:
        machine.attach(Entropy(seed=7))
        machine.attach(VirtioConsole())
        machine.load(assemble_elf(COUNTER))
        machine.snapshot().save(path)
        with vm.Snapshot.load(path).machine() as other:
            assert list(other.board.devices) == list(machine.board.devices)
            assert other.board.devices["virtio0"].device.seed == 7


def test_disks_are_given(path, tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(4096))
    with vm.Machine(memory=MEMORY) as machine:
        machine.attach(BlockDevice(image, discard=True))
        machine.load(assemble_elf(COUNTER))
        machine.board.devices["virtio0"].device.disk.write(512, [memoryview(b"x" * 512)])
        machine.snapshot().save(path)
    snapshot = vm.Snapshot.load(path)
    with pytest.raises(vm.SnapshotError, match="virtio0 is a BlockDevice, which a file cannot make"):
        snapshot.machine()
    with snapshot.machine(devices={"virtio0": BlockDevice(image, discard=True)}) as other:
        data = bytearray(512)
        other.board.devices["virtio0"].device.disk.read(512, memoryview(data))
        assert data == b"x" * 512


@pytest.mark.parametrize("options", [{}, {"discard": True}, {"read_only": True}], ids=str)
def test_another_image_is_refused_by_the_names_of_both(path, tmp_path, options):
    image, other = tmp_path / "disk.img", tmp_path / "other.img"
    image.write_bytes(b"a" * 8192)
    other.write_bytes(b"b" * 8192)
    with vm.Machine(memory=MEMORY) as machine:
        machine.attach(BlockDevice(image, **options))
        machine.load(assemble_elf(COUNTER))
        machine.snapshot().save(path)
    snapshot = vm.Snapshot.load(path)
    with pytest.raises(vm.SnapshotError, match=rf"{path}: .*{other}: .* of {image} with another content; attach"):
        snapshot.machine(devices={"virtio0": BlockDevice(other, **options)})
    with snapshot.machine(devices={"virtio0": BlockDevice(image, **options)}) as same:
        assert same.equals(snapshot)


def test_devices_of_ones_own_are_given(path):
    class Mine(Device):
        state = ("value",)
        value = 0

    with vm.Machine(memory=MEMORY) as machine:
        mine = Mine()
        machine.attach(mine, address=0x1100_0000)
        mine.value = 5
        machine.load(assemble_elf(COUNTER))
        machine.snapshot().save(path)
    name = "mine@11000000"
    with pytest.raises(vm.SnapshotError, match=rf"{name} is a .*Mine, which a file cannot make"):
        vm.Snapshot.load(path).machine()
    other = Mine()
    with vm.Snapshot.load(path).machine(devices={name: other}):
        assert other.value == 5


def test_reset_needs_what_was_loaded(machine, path):
    machine.snapshot().save(path)
    with vm.Snapshot.load(path).machine() as other:
        with pytest.raises(vm.LoadError, match="does not hold what the machine was started with"):
            other.reset()
        other.load(assemble_elf(COUNTER))
        other.reset()


def test_a_machine_of_another_shape(machine, path):
    machine.snapshot().save(path)
    with vm.Machine(memory=MEMORY, harts=2) as other, pytest.raises(vm.SnapshotError, match="its harts: 1, here: 2"):
        other.restore(vm.Snapshot.load(path))


def test_every_truncation_is_refused(machine, path):
    machine.snapshot().save(path)
    content = path.read_bytes()
    cut = path.with_name("cut")
    for size in range(0, len(content), max(len(content) // 400, 1)):
        cut.write_bytes(content[:size])
        with pytest.raises(vm.SnapshotError, match="cut: "):
            vm.Snapshot.load(cut)


def test_flipped_bytes_are_refused_or_harmless(machine, path):
    """Where the damage is in a page, it is noticed when the page is looked at."""
    machine.snapshot().save(path)
    before = looks(machine)
    content = path.read_bytes()
    damaged = path.with_name("damaged")
    numbers = random.Random(12)
    refused = 0
    for _ in range(1000):
        place = numbers.randrange(len(content))
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 1 << numbers.randrange(8)]) + content[place + 1:])
        try:
            with vm.Snapshot.load(damaged).machine(engine="interpreter") as other:
                assert looks(other) == before
        except vm.SnapshotError as error:
            assert str(damaged) in str(error)
            refused += 1
    assert refused > 900


@pytest.mark.parametrize("change", [
    {"bases": [RAM, RAM]}, {"bases": [-1]}, {"bases": [1 << 70]}, {"bases": None}, {"harts": [b"short"]}, {"harts": 5},
    {"parts": {}}, {"parts": None}, {"arguments": {}}, {"arguments": {"memory": "lots"}}, {"steps": "many"},
    {"regions": [(1, 2)]}, {"devices": [("virtio0", 0, None, "Entropy", {"seed": -1})]}, {"layout": (0, 0, 0)},
    {"devices": [("x", 5, 6, "system", {})]}, {"host_words": "here"}, {"host_words": (1 << 63, None)},
], ids=str)
def test_whole_files_of_nonsense_are_refused(machine, path, change):
    """With checksums that fit, as only somebody who means it makes them."""
    machine.snapshot().save(path)
    with SnapshotFile(path) as file:
        metadata, regions = dict(file.metadata), file.regions
    arguments = {**metadata["arguments"], **change.get("arguments", {})} if change.get("arguments") else {}
    write(path, {**metadata, **change, **({"arguments": arguments} if arguments else {})}, regions, [])
    with pytest.raises((vm.SnapshotError, vm.ConfigurationError)):
        vm.Snapshot.load(path).machine().close()


@pytest.mark.parametrize("arguments", [{"isa": "rv64nonsense"}, {"isa": None}, {"memory": "1X"}, {"board": "desk"},
                                       {"harts": 2}, {"harts": "one"}], ids=str)
def test_a_machine_that_none_can_build_is_refused_when_it_is_loaded(machine, path, arguments):
    machine.snapshot().save(path)
    with SnapshotFile(path) as file:
        metadata, regions = dict(file.metadata), file.regions
    write(path, {**metadata, "arguments": {**metadata["arguments"], **arguments}}, regions, [])
    with pytest.raises(vm.SnapshotError, match=f"{path}: holds no state of a machine that this vm knows"):
        vm.Snapshot.load(path)


def with_long_text(value):
    """A value again and again, each time with another of the texts in it, or of its bytes, a megabyte long."""
    if isinstance(value, (str, bytes)):
        yield ("x" if isinstance(value, str) else b"x") * (1 << 20)
    elif isinstance(value, (list, tuple)):
        for place, part in enumerate(value):
            for changed in with_long_text(part):
                yield type(value)([*value[:place], changed, *value[place + 1:]])
    elif isinstance(value, dict):
        for key, part in value.items():
            for changed in with_long_text(part):
                yield {**value, key: changed}
            for changed in with_long_text(key):
                yield {changed if name == key else name: part for name, part in value.items()}


def test_what_a_file_says_is_not_echoed_without_end(path, tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(4096))
    with vm.Machine(memory=MEMORY) as machine:
        machine.attach(Entropy(seed=7))
        machine.attach(BlockDevice(image, read_only=True))
        machine.load(assemble_elf(COUNTER))
        machine.snapshot().save(path)
    with SnapshotFile(path) as file:
        metadata, regions = file.metadata, file.regions
    refused = 0
    for changed in with_long_text(metadata):
        write(path, changed, regions, [])
        disk = BlockDevice(image, read_only=True)
        try:
            vm.Snapshot.load(path).machine(devices={"virtio1": disk}).close()
        except vm.VmError as error:
            assert len(str(error)) < 2200
            refused += 1
        disk.close()
    assert refused > 100


@pytest.mark.parametrize(("part", "change"), [
    ("uart", {"fifo": 1 << 36}), ("uart", {"queue": "text"}), ("plic", {"priorities": 5}), ("clock", {"steps": "many"}),
    ("console", {"output": None}), ("runner", {"request_made": ("nonsense", 0)}),
], ids=str)
def test_parts_of_nonsense_change_nothing(machine, path, part, change):
    machine.snapshot().save(path)
    with SnapshotFile(path) as file:
        metadata, regions = dict(file.metadata), file.regions
    known = {name: value for name, value in change.items() if name in metadata["parts"][part]}
    assert known, metadata["parts"][part].keys()
    parts = {**metadata["parts"], part: {**metadata["parts"][part], **known}}
    write(path, {**metadata, "parts": parts}, regions, [])
    machine.run(instructions=777)
    before = looks(machine)
    with pytest.raises(vm.SnapshotError):
        machine.restore(vm.Snapshot.load(path))
    assert looks(machine) == before


def test_damage_comes_out_of_the_run_that_meets_it(machine, path):
    """The access has not happened; the machine is there still, and so is what it did."""
    machine.memory.write(RAM + 0x10_0000, os.urandom(65536))
    machine.snapshot().save(path)
    whole = path.with_name("whole")
    content = bytearray(path.read_bytes())
    whole.write_bytes(content)
    with SnapshotFile(path) as file:
        frames = [(int(entry["offset"]), int(entry["stored"])) for entry in file._index]
    for offset, size in frames:
        content[offset + size // 2] ^= 0x55
    path.write_bytes(content)
    other = vm.Snapshot.load(path).machine()
    with other:
        with pytest.raises(vm.SnapshotError, match="damaged"):
            other.run(instructions=1000)
        assert other.steps == machine.steps
        with pytest.raises(vm.SnapshotError, match="damaged"):
            other.memory.read(RAM + 0x10_0000, 16)
        other.restore(vm.Snapshot.load(whole))
        other.run(instructions=1000)
        machine.run(instructions=1000)
        assert looks(other) == looks(machine)


def test_a_file_names_nothing_of_the_host(tmp_path):
    """A card's capture would be written where the file says."""
    with pytest.raises(ValueError, match="a Network with pcap"):
        made("Network", {"pcap": str(tmp_path / "precious")})
    assert not (tmp_path / "precious").exists()
