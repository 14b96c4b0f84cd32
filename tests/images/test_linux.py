"""Packages become an initrd: their files, what they depend on, modules and what those need."""

import io
import lzma
import stat
import tarfile

import pytest

from vm.errors import ImageError
from vm.images import Archive, debian
from vm.images.kernel import DEVICES, FILE_SYSTEMS, NEEDED, OPTIONAL_DEVICES, SCREEN_DEVICES, Kernel
from vm.images.linux import initrd
from vm.images.unpack import merged, unpacked, with_dependencies


@pytest.fixture
def deb(make_ar, tmp_path):
    """deb(*members of its tar, with content or None) -> the path of a package"""
    def make(*members: tuple[tarfile.TarInfo, bytes | None]):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:xz") as tar:
            for member, content in members:
                member.size = len(content or b"")
                tar.addfile(member, content and io.BytesIO(content))
        path = tmp_path / "made_1_riscv64.deb"
        path.write_bytes(make_ar({"debian-binary": b"2.0\n", "data.tar.xz": data.getvalue()}))
        return path
    return make


def member(name, kind=tarfile.REGTYPE, mode=0o644, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.linkname = kind, mode, link
    return info


def test_package_is_unpacked_with_kinds_and_modes(deb):
    path = deb((member("./usr", tarfile.DIRTYPE, 0o755), None), (member("./usr/bin/su", mode=0o4755), b"program"),
               (member("./usr/bin/link", tarfile.SYMTYPE, 0o777, "su"), None),
               (member("./usr/bin/hard", tarfile.LNKTYPE, 0o4755, "./usr/bin/su"), None))
    assert [*unpacked(path)] == [
        ("usr", stat.S_IFDIR | 0o755, b"", (0, 0)),
        ("usr/bin/su", stat.S_IFREG | 0o4755, b"program", (0, 0)),
        ("usr/bin/link", stat.S_IFLNK | 0o777, b"su", (0, 0)),
        ("usr/bin/hard", stat.S_IFREG | 0o4755, b"program", (0, 0)),
    ]


def test_documentation_is_left_out(deb):
    path = deb((member("./usr/share/doc/a/copyright"), b"text"), (member("./usr/share/man/man1/a.1.gz"), b"text"),
               (member("./usr/share/a/data"), b"data"))
    assert [name for name, *_ in unpacked(path)] == ["usr/share/a/data"]


@pytest.mark.parametrize("name, place", [
    ("./bin/ls", "usr/bin/ls"), ("./lib/ld.so", "usr/lib/ld.so"), ("./lib", "usr/lib"), ("./library/a", "library/a"),
    ("./usr/bin/ls", "usr/bin/ls"), ("./", ""),
])
def test_directories_are_merged_into_usr(name, place):
    assert merged(name) == place


def test_damaged_package_is_named(deb):
    path = deb((member("./a"), b"x" * 100_000))
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ImageError, match="made_1_riscv64.deb: damaged package"):
        list(unpacked(path))


@pytest.fixture
def stanzas(mirror, server, cache):
    """stanzas(text) -> an archive whose index has these entries, beside hello's"""
    def publish(text: str) -> Archive:
        mirror.stanza += text
        mirror.publish()
        return Archive([server.uri], "trixie", "riscv64", mirror.key.keyring)
    return publish


def entry(name: str, *fields: str) -> str:
    lines = "".join(f"{field}\n" for field in fields)
    return f"Package: {name}\nVersion: 1\n{lines}Filename: pool/{name}.deb\nSize: 1\nSHA256: {'0' * 64}\n\n"


def test_dependencies_of_dependencies_are_found_once(stanzas):
    """Depends and Pre-Depends, alternatives, circles, and a virtual package that another provides."""
    archive = stanzas(entry("shell", "Pre-Depends: libc (>= 2)", "Depends: mail-agent, this | that")
                      + entry("libc", "Depends: libgcc") + entry("libgcc", "Depends: libc") + entry("this")
                      + entry("postman", "Provides: other (= 1), mail-agent"))
    assert [package.name for package in with_dependencies(archive, ["shell"])] == [
        "libc", "libgcc", "postman", "shell", "this"]


def test_dependency_that_nothing_provides_is_named(stanzas):
    archive = stanzas(entry("shell", "Depends: mail-agent") + entry("other", "Provides: mail-agents, a-mail-agent"))
    with pytest.raises(ImageError, match="package mail-agent is not in trixie"):
        with_dependencies(archive, ["shell"])


def module(depends: str = "", alias: str = "") -> bytes:
    return lzma.compress(b"\x7fELF\0name=x\0depends=%b\0alias=%b\0vermagic=6\0" % (depends.encode(), alias.encode()))


@pytest.fixture
def kernel_deb(make_deb, tmp_path, cache):
    path = tmp_path / "linux-image_6_riscv64.deb"
    names = (*DEVICES, *OPTIONAL_DEVICES, *FILE_SYSTEMS, *NEEDED, *SCREEN_DEVICES)
    files = {f"usr/lib/modules/6.1/kernel/{name}.ko.xz": module() for name in names}
    files["usr/lib/modules/6.1/kernel/fs/ext4.ko.xz"] = module("jbd2,crc16", "fs-ext4")
    del files["usr/lib/modules/6.1/kernel/ext4.ko.xz"], files["usr/lib/modules/6.1/kernel/virtio_rng.ko.xz"]
    files |= {"boot/vmlinux-6.1": b"image", "usr/lib/modules/6.1/kernel/virtio-rng.ko.xz": module(),
              "usr/lib/modules/6.1/kernel/top.ko.xz": module("the-middle"),
              "usr/lib/modules/6.1/kernel/the-middle.ko.xz": module("bottom"),
              "usr/lib/modules/6.1/kernel/bottom.ko.xz": module()}
    path.write_bytes(make_deb(files))
    return path


def test_modules_come_behind_what_they_need(kernel_deb):
    kernel = Kernel(kernel_deb)
    assert (kernel.release, kernel.image.read_bytes()) == ("6.1", b"image")
    assert [found.name for found in kernel.modules(["ext4", "virtio-rng", "jbd2"])] == [
        "jbd2", "crc16", "ext4", "virtio_rng"]
    assert kernel.modules(["ext4"])[-1].aliases == ["fs-ext4"]


def test_modules_beyond_the_usual_ones_are_found(kernel_deb):
    """With what they need, by either spelling of a name."""
    assert [found.name for found in Kernel(kernel_deb, ["top"]).modules(["top"])] == ["bottom", "the_middle", "top"]
    assert [found.name for found in Kernel(kernel_deb).modules(["the_middle"])] == ["bottom", "the_middle"]


def test_module_that_is_not_there_is_named(kernel_deb):
    with pytest.raises(ImageError, match=r"no file that matches \*/nothing.ko.xz"):
        Kernel(kernel_deb, ["nothing"])


def test_modules_that_were_asked_for_and_a_shell_on_the_screen_where_there_is_one(kernel_deb, stanzas):
    """A boot without them has nothing to do for that, and one with a screen's has a shell on it."""
    def files(*modules, screen=False):
        kernel = Kernel(kernel_deb, modules)
        return {name: content for name, _, content, _ in initrd(stanzas(""), kernel, [], modules, screen, None)}

    usual, more = files(), files("top")
    assert more.keys() - usual.keys() == {
        f"usr/lib/modules/6.1/{name}.ko" for name in ("top", "the_middle", "bottom")}
    assert usual["etc/inittab"] == more["etc/inittab"] == b"ttyS0::once:/usr/sbin/session\n"
    assert files(screen=True)["etc/inittab"] == usual["etc/inittab"] + b"tty1::respawn:-/bin/sh\n"


@pytest.mark.parametrize("names", [{"packages": "strace"}, {"modules": "overlay"}])
def test_a_name_alone_is_no_list(names):
    with pytest.raises(TypeError, match=r"lists of names"):
        debian(**names)
