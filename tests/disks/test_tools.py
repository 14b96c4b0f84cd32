"""What people do with images, beside qemu-img (`vm.disks`, `vm disk`)."""

import json
import os
import stat

import pytest

from tests.disks.conftest import content_of
from vm import disks
from vm.cli import main
from vm.disks.chain import open_image
from vm.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def content(path):
    image = open_image(path, read_only=True)
    try:
        return content_of(image)
    finally:
        image.close()


def write(path, offset, data):
    image = open_image(path)
    image.write(offset, [memoryview(data)])
    image.close()


@pytest.mark.parametrize("format", ["raw", "qcow2"])
@pytest.mark.parametrize("compress", [False, True])
def test_convert_both_ways(qemu_img, sparse, format, compress):
    if format == "raw" and compress:
        with pytest.raises(ConfigurationError, match="cannot be compressed"):
            disks.convert(sparse, "ours", format="raw", compress=True)
        return
    disks.convert(sparse, "ours", format=format, compress=compress)
    qemu_img("compare", "-f", "raw", "-F", format, sparse, "ours")
    if format == "qcow2":
        qemu_img("check", "ours")
    disks.convert("ours", "back", format="raw")
    assert open("back", "rb").read() == sparse.read_bytes()
    assert os.stat("back").st_blocks * 512 < 1 << 20        # of 3 MiB: zeros take no room
    assert os.stat("ours").st_blocks * 512 < 1 << 20


@pytest.mark.parametrize("size", ["1M", "64G", 512 * 3])
@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_create(qemu_img, size, format):
    disks.create("new.img", size, format=format)
    theirs = json.loads(qemu_img("info", "--output=json", "-f", format, "new.img"))
    assert theirs["virtual-size"] == disks.info("new.img").size == disks.tools.disk_size(size)
    assert os.stat("new.img").st_blocks * 512 <= 1 << 20
    if format == "qcow2":
        qemu_img("check", "new.img")


def test_overlay(qemu_img, sparse):
    os.mkdir("work")
    disks.create("work/over.qcow2", backing="../sparse.img")
    theirs = json.loads(qemu_img("info", "--output=json", "work/over.qcow2"))
    assert theirs["backing-filename"] == "../sparse.img" and theirs["backing-filename-format"] == "raw"
    write("work/over.qcow2", 4096, b"w" * 512)
    expected = sparse.read_bytes()
    assert content("work/over.qcow2") == expected[:4096] + b"w" * 512 + expected[4608:]
    qemu_img("check", "work/over.qcow2")


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_commit(qemu_img, sparse, format):
    """The base is written, made as large as the overlay, and the overlay is empty then."""
    disks.convert(sparse, "base", format=format)
    disks.create("over.qcow2", "4M", backing="base")
    image = open_image("over.qcow2")
    image.write(4096, [memoryview(b"w" * 512)])
    image.zero(0x100000, 0x10000, unmap=True)
    image.close()
    before = content("over.qcow2")
    disks.commit("over.qcow2")
    assert content("base") == content("over.qcow2") == before
    image = open_image("over.qcow2")
    assert {kind for _, _, kind in image.extents(0, image.size)} == {"below"}
    image.close()
    assert os.stat("over.qcow2").st_size <= 5 << 16         # the data is gone: header, tables and counts are left
    for path in {"raw": ("over.qcow2",), "qcow2": ("over.qcow2", "base")}[format]:
        qemu_img("check", path)


def test_commit_needs_something_below():
    disks.create("alone.qcow2", "1M", format="qcow2")
    with pytest.raises(ConfigurationError, match="alone.qcow2: is no overlay"):
        disks.commit("alone.qcow2")


@pytest.mark.parametrize("onto", ["other.img", None])
def test_rebase_keeps_what_the_disk_holds(qemu_img, sparse, onto):
    disks.create("over.qcow2", backing="sparse.img")
    write("over.qcow2", 4096, b"w" * 512)
    expected = content("over.qcow2")
    other = bytearray(sparse.read_bytes())
    other[200_000:200_100] = b"o" * 100
    open("other.img", "wb").write(other)
    disks.rebase("over.qcow2", onto)
    sparse.unlink()
    assert content("over.qcow2") == expected
    assert disks.info("over.qcow2").backing == onto
    qemu_img("check", "over.qcow2")
    qemu_img("convert", "-O", "raw", "over.qcow2", "theirs.img")
    assert open("theirs.img", "rb").read() == expected


def test_rebase_onto_itself_is_refused(sparse):
    disks.create("over.qcow2", backing="sparse.img")
    disks.create("second.qcow2", backing="over.qcow2")
    with pytest.raises(ConfigurationError, match="an overlay of itself|in use"):
        disks.rebase("over.qcow2", "second.qcow2")


@pytest.mark.parametrize("make", [
    lambda: disks.create("there", "1M"), lambda: disks.convert("source", "there"),
])
def test_a_file_that_exists_is_not_overwritten(make):
    disks.create("source", "1M")
    open("there", "w").write("mine")
    with pytest.raises(ConfigurationError, match="there: is there already; .*--force"):
        make()
    assert open("there").read() == "mine"
    assert sorted(os.listdir()) == ["source", "there"]


def test_force_and_permissions():
    open("there", "w").write("mine")
    os.chmod("there", 0o600)
    before = os.umask(0o027)
    try:
        disks.create("there", "1M", force=True)
        disks.create("new", "1M")
    finally:
        os.umask(before)
    assert os.stat("there").st_size == 1 << 20 and stat.S_IMODE(os.stat("there").st_mode) == 0o600
    assert stat.S_IMODE(os.stat("new").st_mode) == 0o640


def test_an_image_has_its_name_when_it_is_whole(sparse, monkeypatch):
    monkeypatch.setattr("vm.disks.tools.content", lambda image: (_ for _ in ()).throw(OSError(28, "injected")))
    with pytest.raises(OSError, match="injected"):
        disks.convert(sparse, "copy.qcow2", format="qcow2")
    assert os.listdir() == ["sparse.img"]


@pytest.mark.parametrize("arguments, said", [
    (["create", "x", "1Q"], "disk size '1Q': not a size"), (["create", "x", "100"], "not a multiple of 512"),
    (["create", "x"], "how large"), (["create", "x", "0"], "nothing at all"),
    (["create", "-f", "raw", "-b", "sparse.img", "x"], "a raw image cannot be an overlay"),
    (["create", "-b", "gone.img", "x"], "gone.img: no such disk image"),
    (["create", "gone/x", "1M"], "gone/x: cannot be made in gone"),
    (["info", "gone.img"], "gone.img: no such disk image"), (["convert", "gone.img", "x"], "gone.img: no such"),
    (["commit", "sparse.img"], "sparse.img: is no qcow2 image"),
    (["convert", "-f", "qcow2", "sparse.img", "x"], "is no qcow2 image"),
])
def test_one_line_says_what_is_wrong(sparse, capfd, arguments, said):
    with pytest.raises(SystemExit) as ended:
        main(["disk", *arguments])
    out, err = capfd.readouterr()
    assert ended.value.code == 2 and said in err and err.count("\n") == 1 and not out
    assert os.listdir() == ["sparse.img"]


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["disk", *arguments])
    assert not ended.value.code


def test_commands(qemu_img, sparse, capfd):
    command("create", "-b", "sparse.img", "over.qcow2")
    command("info", "over.qcow2")
    assert "overlay of    sparse.img" in capfd.readouterr().out
    command("info", "over.qcow2", "--json")
    ours = json.loads(capfd.readouterr().out)
    theirs = json.loads(qemu_img("info", "--output=json", "over.qcow2"))
    assert {name: theirs[name] for name in ours if name != "format-specific"} | {
        "format-specific": ours["format-specific"]} == ours
    write("over.qcow2", 0, b"w" * 512)
    command("convert", "-c", "over.qcow2", "copy.qcow2")
    command("rebase", "-b", "", "over.qcow2")
    qemu_img("compare", "over.qcow2", "copy.qcow2")
    command("rebase", "-b", "sparse.img", "-F", "raw", "over.qcow2")
    command("commit", "over.qcow2")
    assert sparse.read_bytes()[:512] == b"w" * 512


# --- Images that are needed -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("overwrite", [
    lambda: disks.create("below.qcow2", "1M", force=True),
    lambda: disks.convert("other.img", "below.qcow2", force=True),
], ids=["create", "convert"])
def test_force_spares_an_image_that_a_machine_writes(overwrite):
    disks.create("below.qcow2", "1M", format="qcow2")
    disks.create("other.img", "1M")
    image = open_image("below.qcow2")
    try:
        with pytest.raises(ConfigurationError, match="below.qcow2: disk image is in use"):
            overwrite()
    finally:
        image.close()
    overwrite()


def test_force_spares_what_is_read():
    disks.create("below.qcow2", "1M", format="qcow2")
    disks.create("above.qcow2", backing="below.qcow2")
    with pytest.raises(ConfigurationError, match="below.qcow2: disk image is in use"):
        disks.convert("above.qcow2", "below.qcow2", force=True)
    with pytest.raises(ConfigurationError, match="overlay of itself"):
        disks.create("above.qcow2", backing="above.qcow2", force=True)
    with pytest.raises(ConfigurationError, match="overlay of itself"):
        disks.create("below.qcow2", backing="above.qcow2", force=True)
    assert content("above.qcow2") == bytes(1 << 20)
