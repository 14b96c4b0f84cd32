"""Unpacking of Debian packages, deb(5)."""

import pytest

from vm.errors import ImageError
from vm.images import extract

FILES = {"boot/vmlinux-6.1": b"kernel", "usr/lib/a/fw.elf": b"firmware", "usr/lib/a/odd": b"x" * 513}


@pytest.fixture
def deb(tmp_path, cache):
    def write(content):
        path = tmp_path / "hello_1_riscv64.deb"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("compression", ["xz", "gz"])
def test_files_that_match(deb, make_deb, compression):
    files = extract(deb(make_deb(FILES, compression)), "boot/vmlinux-*", "*/odd")
    assert {name: path.read_bytes() for name, path in files.items()} == {
        "boot/vmlinux-6.1": b"kernel",
        "usr/lib/a/odd": b"x" * 513,
    }


def test_second_extraction_uses_the_first(deb, make_deb):
    path = deb(make_deb(FILES))
    (first,) = extract(path, "boot/*").values()
    inode = first.stat().st_ino
    (second,) = extract(path, "boot/*").values()
    assert (second, second.stat().st_ino) == (first, inode)


def test_damaged_extraction_is_repeated(deb, make_deb):
    path = deb(make_deb(FILES))
    (first,) = extract(path, "boot/*").values()
    first.write_bytes(b"damaged")
    assert extract(path, "boot/*")["boot/vmlinux-6.1"].read_bytes() == b"kernel"


@pytest.mark.parametrize("folder", ["stamps", "extracted"])
def test_damaged_notes_are_made_anew(deb, make_deb, cache, folder):
    path = deb(make_deb(FILES))
    extract(path, "boot/*")
    for note in [path for path in (cache / folder).rglob("*") if path.is_file()]:
        note.write_bytes(b"\xff\xfe no text")
    assert extract(path, "boot/*")["boot/vmlinux-6.1"].read_bytes() == b"kernel"


def test_pattern_without_a_match(deb, make_deb):
    with pytest.raises(ImageError, match=r"holds no file that matches \*/none"):
        extract(deb(make_deb(FILES)), "boot/*", "*/none")


def test_member_outside_the_package(deb, make_deb, tmp_path):
    with pytest.raises(ImageError, match="points outside"):
        extract(deb(make_deb({"boot/../../../escaped": b"x"})), "*")
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"debian-binary": b"2.0\n"}, "holds no data.tar"),
        ({"data.tar.zst": b""}, "data.tar.zst is compressed in a way that is not supported"),
        ({"data.tar.xz": b"no xz"}, "damaged package"),
    ],
    ids=["no-data", "zstd", "not-xz"],
)
def test_unusable_members(deb, make_ar, members, message):
    with pytest.raises(ImageError, match=message):
        extract(deb(make_ar(members)), "*")


@pytest.mark.parametrize(
    ("length", "message"),
    [(0, "not a Debian package"), (100, "damaged package: the header"), (-200, "damaged package")],
)
def test_truncated_package(deb, make_deb, length, message):
    with pytest.raises(ImageError, match=message):
        extract(deb(make_deb(FILES)[:length]), "*")


def test_missing_file(cache, tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        extract(tmp_path / "none.deb", "*")
