"""qcow2 images beside those of qemu-img, in both directions (QEMU, docs/interop/qcow2.txt)."""

import logging
import random
import struct
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.disks.conftest import content_of
from vm import disks
from vm.disks.chain import open_image
from vm.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("options", [
    "compat=0.10", "compat=1.1", "compat=1.1,cluster_size=512", "compat=0.10,cluster_size=2M",
    "compat=1.1,cluster_size=2M", "compat=1.1,refcount_bits=1", "compat=1.1,refcount_bits=64",
    "compat=1.1,lazy_refcounts=on", "preallocation=metadata",
])
def test_images_of_qemu_are_read(qemu_img, sparse, options):
    qemu_img("convert", "-O", "qcow2", "-o", options, sparse, "theirs.qcow2")
    image = open_image("theirs.qcow2")
    assert content_of(image) == sparse.read_bytes()
    image.close()
    qemu_img("check", "theirs.qcow2")


@pytest.mark.parametrize("kind", ["zlib", "zstd"])
def test_compressed_clusters(qemu_img, sparse, kind):
    """Read, and unpacked by a write into one."""
    qemu_img("convert", "-c", "-O", "qcow2", "-o", f"compression_type={kind}", sparse, "theirs.qcow2")
    image = open_image("theirs.qcow2")
    assert content_of(image) == sparse.read_bytes()
    image.write(512, [memoryview(b"w" * 1024)])
    image.close()
    qemu_img("check", "theirs.qcow2")
    qemu_img("convert", "-O", "raw", "theirs.qcow2", "back.img")
    expected = sparse.read_bytes()
    with open("back.img", "rb") as back:
        assert back.read() == expected[:512] + b"w" * 1024 + expected[1536:]


def test_zstd_that_is_not_there_is_named(qemu_img, sparse, monkeypatch):
    qemu_img("convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", sparse, "theirs.qcow2")
    monkeypatch.setattr("vm.disks.qcow2.compression.import_module", lambda name: (_ for _ in ()).throw(ImportError()))
    with pytest.raises(ConfigurationError, match="theirs.qcow2: is compressed by zstd.*pip install backports.zstd"):
        open_image("theirs.qcow2")


@pytest.mark.parametrize("backing_format", ["raw", "qcow2"])
def test_backing_files(qemu_img, qemu_io, sparse, backing_format):
    """The overlay is larger than what is below it, and named from where it lies."""
    qemu_img("convert", "-O", backing_format, sparse, "base.img")
    qemu_img("create", "-f", "qcow2", "-b", "base.img", "-F", backing_format, "over.qcow2", "4M")
    qemu_io("over.qcow2", "write -P 9 64k 4k", "write -z 1M 64k")
    image = open_image("over.qcow2", read_only=True)
    expected = bytearray(sparse.read_bytes().ljust(4 << 20, b"\0"))
    expected[64 << 10:68 << 10] = b"\x09" * 4096
    expected[1 << 20:(1 << 20) + (64 << 10)] = bytes(64 << 10)
    assert content_of(image) == expected
    image.close()


def test_internal_snapshots_stay_as_they_are(qemu_img, qemu_io, caplog):
    """What they share with the disk is copied before it is written; a word says that they are there."""
    qemu_img("create", "-f", "qcow2", "disk.qcow2", "1M")
    qemu_io("disk.qcow2", "write -P 3 0 256k")
    qemu_img("snapshot", "-c", "before", "disk.qcow2")
    with caplog.at_level(logging.WARNING):
        image = open_image("disk.qcow2")
    assert "disk.qcow2: has 1 internal snapshots" in caplog.text
    image.write(4096, [memoryview(b"w" * 4096)])
    image.zero(65536, 65536, unmap=True)
    assert content_of(image)[:8192] == b"\3" * 4096 + b"w" * 4096
    image.close()
    qemu_img("check", "disk.qcow2")
    qemu_img("convert", "-l", "before", "-O", "raw", "disk.qcow2", "before.img")
    with open("before.img", "rb") as before:
        assert before.read() == b"\3" * (256 << 10) + bytes(768 << 10)


@pytest.mark.parametrize("seed", range(24))
def test_any_writes_leave_a_sound_image(qemu_img, qemu_io, tmp_path, seed):
    """Against a bytearray, on all kinds of images; at the end qemu-img finds neither errors nor leaks."""
    draw = random.Random(seed)
    version, bits = draw.choice(["0.10", "1.1"]), draw.choice([9, 10, 12, 16])
    counts = draw.choice([1, 2, 4, 8, 16, 32, 64]) if version == "1.1" else 16
    size = draw.choice([1 << 20, 300 * 512, 5001 * 512])
    below = ()
    if draw.random() < 0.5:
        (tmp_path / "base.img").write_bytes(draw.randbytes(draw.choice([size // 2, size, size + 512])))
        below = ("-b", "base.img", "-F", "raw")
    qemu_img("create", "-f", "qcow2", "-o", f"cluster_size={1 << bits},compat={version},refcount_bits={counts}",
             *below, "disk.qcow2", size)
    sized = True
    if counts > 1 and draw.random() < 0.5:
        qemu_io("disk.qcow2", "write -P 3 0 100k")
        qemu_img("snapshot", "-c", "s", "disk.qcow2")
        sized = False
    qemu_img("convert", "-O", "raw", "disk.qcow2", "model.img")
    model = bytearray((tmp_path / "model.img").read_bytes())
    image = open_image("disk.qcow2")
    for _ in range(60):
        offset = draw.randrange(len(model) // 512) * 512
        length = min(draw.choice([1, 7, draw.randrange(1, 300)]) * 512, len(model) - offset)
        match draw.choice(["write"] * 5 + ["zero", "discard", "flush", "read", "resize"]):
            case "write":
                model[offset:offset + length] = data = draw.randbytes(length)
                image.write(offset, [memoryview(data[:100]), memoryview(data[100:])])
            case "zero" | "discard":
                image.zero(offset, length, unmap=draw.random() < 0.5)
                model[offset:offset + length] = bytes(length)
            case "flush":
                image.flush()
            case "read":
                data = bytearray(length)
                image.read(offset, memoryview(data))
                assert data == model[offset:offset + length]
            case "resize" if sized:
                new = min(max(512, draw.choice([2 * len(model), len(model) - 512, len(model) // 1024 * 512])), 8 << 20)
                image.resize(new)
                model = model[:new] + bytes(max(0, new - len(model)))
    assert content_of(image) == model
    image.close()
    qemu_img("check", "disk.qcow2")
    qemu_img("convert", "-O", "raw", "disk.qcow2", "model.img")
    assert (tmp_path / "model.img").read_bytes() == model


def test_reference_counts_grow_with_the_image(qemu_img):
    """Clusters of 512 bytes: a block counts 128 KiB, a table of one cluster 8 MiB."""
    disks.create("small.qcow2", "12M", format="qcow2", cluster_size=512)
    image = open_image("small.qcow2")
    data = random.Random(3).randbytes(12 << 20)
    for start in range(0, len(data), 1 << 20):
        image.write(start, [memoryview(data)[start:start + (1 << 20)]])
    assert content_of(image) == data
    image.close()
    qemu_img("check", "small.qcow2")


def test_what_is_discarded_takes_no_room(tmp_path):
    """On the host's disk, and again used by the image."""
    disks.create("disk.qcow2", "64M", format="qcow2")
    image = open_image("disk.qcow2")
    data = random.Random(1).randbytes(8 << 20)
    image.write(0, [memoryview(data)])
    image.flush()
    before = (tmp_path / "disk.qcow2").stat()
    image.discard(0, 8 << 20)
    image.flush()
    assert (tmp_path / "disk.qcow2").stat().st_blocks * 512 < 1 << 20
    image.write(32 << 20, [memoryview(data)])
    image.close()
    assert (tmp_path / "disk.qcow2").stat().st_size <= before.st_size + (1 << 16)


# --- What is refused --------------------------------------------------------------------------------------------------

def patched(offset, form, *values):
    """An image with other values in its header."""
    disks.create("bad.qcow2", "64M", format="qcow2", force=True)
    with open("bad.qcow2", "r+b") as file:
        file.seek(offset)
        file.write(struct.pack(form, *values))


@pytest.mark.parametrize("offset, form, value, said", [
    (4, ">I", 1, "version 1"), (4, ">I", 4, "version 4"),
    (20, ">I", 8, "damaged: clusters of 2"), (20, ">I", 22, "damaged: clusters of 2"), (20, ">I", 1 << 31, "clusters"),
    (24, ">Q", 1 << 63, "damaged: a disk of"), (24, ">Q", 513, "damaged: a disk of"),
    (24, ">Q", 1 << 50, "L1 table of 1 entries"),
    (32, ">I", 1, "is encrypted"), (32, ">I", 2, "is encrypted"),
    (36, ">I", 0xFFFFFFFF, "an L1 table of 4294967295 entries"), (36, ">I", 1 << 20, "L1 table at"),
    (40, ">Q", 0, "L1 table at"), (40, ">Q", 1 << 62, "L1 table at"), (40, ">Q", 513, "L1 table at"),
    (48, ">Q", 0, "reference counts at"), (48, ">Q", 1 << 62, "reference counts at"), (56, ">I", 0, "reference counts"),
    (56, ">I", 1 << 31, "reference counts"), (60, ">I", 1 << 31, "snapshots"),
    (72, ">Q", 1, "was not closed.*qemu-img check -r all"), (72, ">Q", 2, "marked as corrupt.*qemu-img check -r all"),
    (72, ">Q", 4, "its data in another file"), (72, ">Q", 16, "extended L2"), (72, ">Q", 1 << 40, "features.*unknown"),
    (96, ">I", 7, "2..7 bits"), (100, ">I", 100, "a header of 100 bytes"), (100, ">I", 1 << 31, "a header of"),
    (8, ">QI", (1 << 40, 5), "name of its backing file"), (8, ">QI", (200, 1 << 30), "name of its backing file"),
    (112, ">II", (0x12345678, 1 << 31), "an extension of"),
    (40, ">Q", 0x10000, "tables overlap"), (48, ">Q", 0x30000, "tables overlap"),
])
def test_damaged_headers_are_refused(offset, form, value, said):
    """One line that names the file; and nothing large is allocated on the word of the file."""
    patched(offset, form, *(value if isinstance(value, tuple) else (value,)))
    tracemalloc.start()
    try:
        with pytest.raises(ConfigurationError, match=f"^bad.qcow2: .*{said}") as caught:
            open_image("bad.qcow2")
        assert "\n" not in str(caught.value)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_loops_of_backing_files_end():
    disks.create("a.qcow2", "1M", format="qcow2")
    disks.create("b.qcow2", backing="a.qcow2")
    with open("a.qcow2", "r+b") as file:
        file.seek(8)
        file.write(struct.pack(">QI", 4096, 7))
        file.seek(4096)
        file.write(b"b.qcow2")
    with pytest.raises(ConfigurationError, match="b.qcow2: is an overlay of itself, by way of ./?a.qcow2|a.qcow2"):
        open_image("b.qcow2")


def test_chains_have_an_end(tmp_path):
    disks.create("0", "1M", format="qcow2")
    for number in range(1, 65):
        disks.create(str(number), "1M", backing=str(number - 1)) if number < 64 else None
    disks.create("top", "1M", format="qcow2")
    header = bytearray((tmp_path / "top").read_bytes())
    header[8:20] = struct.pack(">QI", 4096, 2)
    header[4096:4098] = b"63"
    (tmp_path / "top").write_bytes(header)
    with pytest.raises(ConfigurationError, match="more than 64 images above each other"):
        open_image("top")


@pytest.mark.parametrize("name, said", [
    ("nbd://host/x", "only files can be"), ("json:{}", "only files can be"), ("gone.img", "no such disk image"),
])
def test_backing_files_that_cannot_be(name, said):
    disks.create("top.qcow2", "1M", format="qcow2")
    with open("top.qcow2", "r+b") as file:
        file.seek(8)
        file.write(struct.pack(">QI", 4096, len(name)))
        file.seek(4096)
        file.write(name.encode())
    with pytest.raises(ConfigurationError, match=f"top.qcow2.*{said}"):
        open_image("top.qcow2")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The bytes of a small image with data, zeros and compressed clusters."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "data.img").write_bytes(random.Random(1).randbytes(5000) + bytes(120_000) + b"x" * 6072)
    disks.convert(folder / "data.img", folder / "image.qcow2", compress=True)
    image = open_image(folder / "image.qcow2")
    image.write(65536, [memoryview(b"y" * 512)])
    image.close()
    return (folder / "image.qcow2").read_bytes()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_an_error_or_harmless(sound, tmp_path, data):
    """Any bytes of the tables, and any length: nothing but our errors comes out, of opening, reading and writing."""
    image = bytearray(sound)
    places = st.one_of(st.integers(0, 200), st.integers(0x10000, 0x10010), st.integers(0x20000, 0x20020),
                       st.integers(0x30000, 0x30010), st.integers(0x40000, 0x40010), st.integers(0, len(image) - 1))
    for _ in range(data.draw(st.integers(1, 4))):
        image[data.draw(places)] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    del image[data.draw(st.one_of(st.just(len(image)), st.integers(0, len(image)))):]
    path = tmp_path / "fuzzed.qcow2"
    path.write_bytes(image)
    try:
        opened = open_image(path, "qcow2")
    except ConfigurationError:
        return
    try:
        for start in (0, 65536):
            opened.read(start, memoryview(bytearray(min(65536, max(0, opened.size - start)))))
            opened.write(start, [memoryview(b"w" * 512)] if start < opened.size else [])
        opened.flush()
    except OSError:
        pass
    try:
        opened.close()
    except OSError:
        opened.file.close()
