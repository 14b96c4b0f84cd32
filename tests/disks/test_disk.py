"""The disk of a machine and its state: layers, snapshots, forks (`vm.disks.disk`)."""

import errno
import os
import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.disks.conftest import content_of
from vm import disks
from vm.disks import disk as disk_module
from vm.disks.chain import open_image
from vm.disks.disk import open_disk
from vm.disks.layer import CHUNK_BYTES, CLUSTER
from vm.errors import ConfigurationError, SnapshotError

SIZE = CHUNK_BYTES + 3 * CLUSTER + 512          # two chunks of the layer, and a cluster that is not whole


def pattern(size):
    return b"".join(bytes([number % 251 + 1]) * 512 for number in range(size // 512))


@pytest.fixture(params=["raw", "qcow2"])
def image(request, tmp_path):
    """An image with a pattern."""
    raw = tmp_path / "raw.img"
    raw.write_bytes(pattern(SIZE))
    if request.param == "raw":
        return raw
    disks.convert(raw, tmp_path / "disk.qcow2", format="qcow2")
    return tmp_path / "disk.qcow2"


def content(image):
    opened = open_image(image, read_only=True)
    try:
        return content_of(opened)
    finally:
        opened.close()


# --- Any operations, against a model that copies everything -----------------------------------------------------------

class Disks(RuleBasedStateMachine):
    """One disk of any kind and its forks, beside bytearrays; states are taken and gone back to in any order."""

    @initialize(kind=st.sampled_from(["through", "discard"]), format=st.sampled_from(["raw", "qcow2"]))
    def build(self, kind, format):
        import tempfile
        from pathlib import Path

        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "disk.img"
        path.write_bytes(pattern(SIZE))
        if format == "qcow2":
            disks.convert(path, path.with_suffix(".qcow2"), format="qcow2")
            path = path.with_suffix(".qcow2")
        self.first = open_disk(path, discard=kind == "discard")
        self.disks = [(self.first, bytearray(pattern(SIZE)))]
        self.states = []
        # What the base holds: of a disk that is written through it is known when somebody relies on it.
        self.based = pattern(SIZE) if kind == "discard" else None

    def drawn(self, number):
        return self.disks[number % len(self.disks)]

    @rule(number=st.integers(0, 3), sector=st.integers(0, 1 << 13), count=st.integers(1, 40), value=st.integers(0, 255))
    def write(self, number, sector, count, value):
        disk, model = self.drawn(number)
        offset = sector * 512 % disk.size
        data = (bytes([value]) * (512 * count))[:disk.size - offset]
        disk.write(offset, [memoryview(data)[:700], memoryview(data)[700:]])
        model[offset:offset + len(data)] = data

    @rule(number=st.integers(0, 3), sector=st.integers(0, 1 << 13), count=st.sampled_from([1, 9, 64, 5000]),
          how=st.sampled_from(["zero", "unmap", "discard"]))
    def zero(self, number, sector, count, how):
        disk, model = self.drawn(number)
        offset = sector * 512 % disk.size
        length = min(512 * count, disk.size - offset)
        if how == "discard":
            disk.discard(offset, length)
        else:
            disk.zero(offset, length, unmap=how == "unmap")
        model[offset:offset + length] = bytes(length)

    @rule(number=st.integers(0, 3), sectors=st.sampled_from([1, 9, 100, SIZE // 512, SIZE // 512 + 7, SIZE // 256]))
    def resize(self, number, sectors):
        disk, model = self.drawn(number)
        disk.resize(512 * sectors)
        del model[512 * sectors:]
        model.extend(bytes(512 * sectors - len(model)))

    @rule(number=st.integers(0, 3))
    def capture(self, number):
        disk, model = self.drawn(number)
        self.based = self.based or bytes(self.disks[0][1])
        state = disk.capture()
        assert disk.is_at(state) and state == disk.capture()
        self.states.append((state, bytes(model)))

    @rule(number=st.integers(0, 3), which=st.integers(0, 20), plain=st.booleans())
    def restore(self, number, which, plain):
        if self.states:
            disk, model = self.drawn(number)
            state, expected = self.states[which % len(self.states)]
            if not plain:
                assert not disk.is_at(state) or bytes(model) == expected
            disk.restore(state.plain() if plain else state)
            assert plain or disk.is_at(state)
            model[:] = expected

    @rule(number=st.integers(0, 3))
    def fork(self, number):
        if len(self.disks) < 4:
            self.based = self.based or bytes(self.disks[0][1])
            self.disks.append((self.drawn(number)[0].twin(), bytearray(self.based)))

    @invariant()
    def they_hold_the_same(self):
        for disk, model in self.disks:
            data = bytearray(disk.size)
            disk.read(0, memoryview(data))
            assert data == model

    def teardown(self):
        for disk, _ in self.disks:
            disk.close()
        self.folder.cleanup()


TestDisks = Disks.TestCase
TestDisks.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


# --- Written through --------------------------------------------------------------------------------------------------

def test_going_back_writes_the_image(image):
    disk = open_disk(image)
    disk.write(512, [memoryview(b"a" * 512)])
    state = disk.capture()
    disk.write(0, [memoryview(b"b" * 8192)])
    disk.restore(state)
    disk.close()
    assert content(image) == pattern(SIZE)[:512] + b"a" * 512 + pattern(SIZE)[1024:]


def test_a_fork_never_writes_the_image(image):
    disk = open_disk(image)
    twin = disk.twin()
    twin.write(0, [memoryview(b"t" * 512)])
    disk.write(4096, [memoryview(b"d" * 512)])
    found = bytearray(8192)
    twin.read(0, memoryview(found))
    assert found == b"t" * 512 + pattern(SIZE)[512:8192]        # its own, then what the disk was
    disk.close()
    twin.close()
    assert content(image) == pattern(SIZE)[:4096] + b"d" * 512 + pattern(SIZE)[4608:]


def test_without_a_state_nothing_is_kept(image):
    disk = open_disk(image)
    disk.write(0, [memoryview(b"d" * 8192)])
    assert not disk.layer and not disk.base.preserved
    disk.close()


def test_a_write_that_fails_in_the_middle_is_in_the_state(image, monkeypatch):
    """As it is in the file: the state is what a guest reads."""
    disk = open_disk(image)
    before = disk.capture()
    write = disk.image.write

    def fails(offset, views):
        write(offset, [memoryview(b"".join(views))[:512]])
        raise OSError(errno.ENOSPC, "injected")

    monkeypatch.setattr(disk.image, "write", fails)
    with pytest.raises(OSError, match="injected"):
        disk.write(0, [memoryview(b"w" * 1024)])
    monkeypatch.undo()
    assert not disk.is_at(before)
    disk.restore(before)
    disk.close()
    assert content(image) == pattern(SIZE)


def test_one_descriptor_and_one_lock_for_all_forks(image):
    """The image is closed when the last goes."""
    before = len(os.listdir("/proc/self/fd"))
    disk = open_disk(image)
    twins = [disk.twin() for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) == before + 1
    disk.close()
    disk.close()
    for twin in twins:
        with pytest.raises(ConfigurationError, match="in use"):
            open_disk(image)
        twin.close()
    open_disk(image).close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_disk_that_was_closed_has_twins(image):
    """A snapshot outlives its machine; the image is opened again, if nobody has written it since."""
    disk = open_disk(image)
    state = disk.capture()
    disk.write(0, [memoryview(b"w" * 512)])
    disk.close()
    twin = disk.twin()
    twin.restore(state)
    found = bytearray(512)
    twin.read(0, memoryview(found))
    assert found == pattern(512)
    twin.close()
    other = open_disk(image)
    other.write(SIZE - 512, [memoryview(b"o" * 512)])
    other.close()
    os.utime(image, ns=(1, 1))
    with pytest.raises(ConfigurationError, match="has changed since the snapshot"):
        disk.twin()


# --- In a file --------------------------------------------------------------------------------------------------------

def test_saved_on_another_disk(image, tmp_path):
    disk = open_disk(image)
    disk.capture()
    disk.write(4096, [memoryview(b"w" * 512)])
    state = disk.capture()
    disk.write(8192, [memoryview(b"later" * 512)[:512]])
    disk.flush()
    plain = state.plain()
    assert sorted(plain["clusters"]) == [1, 2]
    disk.close()
    loaded = open_disk(image, discard=True)
    loaded.restore(plain)
    found = bytearray(SIZE)
    loaded.read(0, memoryview(found))
    assert found == pattern(SIZE)[:4096] + b"w" * 512 + pattern(SIZE)[4608:]
    loaded.close()


@pytest.fixture
def saved(image):
    disk = open_disk(image, discard=True)
    disk.write(0, [memoryview(b"w" * 512)])
    plain = disk.capture().plain()
    disk.close()
    return plain


def test_a_copy_of_the_image_will_do(image, saved, tmp_path):
    copy = tmp_path / f"copy-{image.name}"
    copy.write_bytes(image.read_bytes())
    disk = open_disk(copy, discard=True)
    disk.restore(saved)
    assert disk.capture().plain()["clusters"] == saved["clusters"]
    disk.close()


def test_another_image_is_refused(image, saved):
    """Before anything has changed."""
    disk = open_disk(image)
    disk.write(0, [memoryview(b"x" * 512)])
    disk.flush()
    with pytest.raises(SnapshotError, match=f"{image.name}.* with another content; attach that image as it was then"):
        disk.restore(saved)
    disk.resize(2 * SIZE)
    with pytest.raises(SnapshotError, match="with another size"):
        disk.restore(saved)
    disk.close()
    assert content(image)[:512] == b"x" * 512


@pytest.mark.parametrize("path", ["absolute", "relative"])
def test_an_image_that_was_written_since_is_refused(image, saved, path, monkeypatch):
    """By whatever path it is named."""
    os.utime(image, ns=(1, 1))
    monkeypatch.chdir(image.parent)
    disk = open_disk(image if path == "absolute" else image.name, discard=True)
    with pytest.raises(SnapshotError, match="has been written since the state was saved"):
        disk.restore(saved)
    disk.close()


@pytest.mark.parametrize("damage", [
    {"clusters": {-1: b""}}, {"clusters": {1 << 60: b""}}, {"clusters": {0: b"x"}}, {"clusters": None},
    {"clusters": {"0": b""}}, {"clusters": {0: 5}}, {"size": -512}, {"size": 513}, {"size": 1 << 80}, {"size": "1M"},
    {"image": {}}, {"image": 5},
])
def test_damaged_states_are_refused(image, saved, damage):
    disk = open_disk(image, discard=True)
    with pytest.raises(SnapshotError, match="the saved disk is damaged"):
        disk.restore(saved | damage)
    assert disk.size == SIZE and not disk.layer
    disk.close()


@pytest.fixture
def saved_read_only(image):
    disk = open_disk(image, read_only=True)
    plain = disk.capture().plain()
    disk.close()
    return plain


def test_a_read_only_disk_is_of_its_image(image, saved_read_only, tmp_path):
    """The image itself and a copy of it will do, and the disk is then as it was saved."""
    copy = tmp_path / f"copy-{image.name}"
    copy.write_bytes(image.read_bytes())
    for path in (image, copy):
        disk = open_disk(path, read_only=True)
        disk.restore(saved_read_only)
        assert disk.is_at(saved_read_only)
        disk.close()


@pytest.mark.parametrize("change, said", [
    (lambda image: image.write_bytes(b"x" * image.stat().st_size), "with another content; attach that image"),
    (lambda image: os.truncate(image, 2 * SIZE), "with another size"),
    (lambda image: os.utime(image, ns=(1, 1)), "has been written since the state was saved"),
], ids=["content", "size", "modified"])
def test_a_read_only_disk_of_another_image_is_refused(tmp_path, change, said):
    """By a state from a file, and by one of this process, of a disk that is closed by then or is not."""
    image, other = tmp_path / "disk.img", tmp_path / "other.img"
    image.write_bytes(pattern(SIZE))
    disk = open_disk(image, read_only=True)
    state = disk.capture()
    plain = state.plain()
    disk.close()
    changed = image
    if said.startswith("with"):
        other.write_bytes(image.read_bytes())
        changed = other
    change(changed)
    opened = open_disk(changed, read_only=True)
    for one in (plain, state) if changed is other else (plain,):
        with pytest.raises(SnapshotError, match=said):
            opened.restore(one)
        assert not opened.is_at(one)
    opened.close()


def test_a_disk_of_the_other_kind_is_refused(image, saved, saved_read_only):
    disk = open_disk(image, read_only=True)
    with pytest.raises(SnapshotError, match="the saved disk could be written; attach it without read_only"):
        disk.restore(saved)
    disk.close()
    disk = open_disk(image, discard=True)
    with pytest.raises(SnapshotError, match="the saved disk was attached read-only; attach it alike"):
        disk.restore(saved_read_only)
    disk.close()


@pytest.mark.parametrize("damage", [{"image": {}}, {"image": None}, {"image": 5}], ids=str)
def test_damaged_states_of_read_only_disks_are_refused(image, saved_read_only, damage):
    disk = open_disk(image, read_only=True)
    for state in (saved_read_only | damage, {}):
        with pytest.raises(SnapshotError, match="the saved disk is damaged"):
            disk.restore(state)
    disk.close()


def test_an_image_that_is_only_read_is_sampled_once(image, saved_read_only, monkeypatch):
    """So that going back to the state of a file costs the same every time but the first."""
    sampled, sample = [], disk_module.sample
    monkeypatch.setattr(disk_module, "sample", lambda image: sampled.append(1) or sample(image))
    disk = open_disk(image, read_only=True)
    for _ in range(3):
        disk.restore(saved_read_only)
    assert sampled == [1]
    os.utime(image, ns=(1, 1))
    with pytest.raises(SnapshotError, match="has been written since"):
        disk.restore(saved_read_only)
    disk.close()


# --- What it costs ----------------------------------------------------------------------------------------------------

def test_states_cost_what_is_written_between_them(tmp_path):
    """Of a disk of 1 TiB: taken, held and gone back to."""
    path = tmp_path / "large.img"
    disks.create(path, "1T")
    disk = open_disk(path)
    tracemalloc.start()
    try:
        states = []
        for number in range(100):
            disk.write(number << 30, [memoryview(bytes([number + 1]) * 512)])
            states.append(disk.capture())
        for state in reversed(states):
            disk.restore(state)
        disk.zero(0, 1 << 21, unmap=True)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
        disk.close()


# --- The format of a raw image ----------------------------------------------------------------------------------------

def test_a_guest_cannot_make_qcow2_of_a_raw_image(tmp_path):
    """Who opens the image next looks how it begins; the guest would name any file of the host as what is below."""
    path = tmp_path / "disk.img"
    disks.create(path, "1M")
    disk = open_disk(path)
    for views in ([b"QFI\xfb" + bytes(508)], [b"Q", b"FI", b"\xfb" + bytes(508)]):
        with pytest.raises(OSError, match="say that the image is raw") as caught:
            disk.write(0, [memoryview(view) for view in views])
        assert caught.value.errno == errno.EPERM
    disk.write(512, [memoryview(b"QFI\xfb" + bytes(508))])
    disk.close()
    disk = open_disk(path, format="raw")
    disk.write(0, [memoryview(b"QFI\xfb" + bytes(508))])
    disk.close()
    assert path.read_bytes()[:4] == b"QFI\xfb"
