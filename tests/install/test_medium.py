"""The disk that a system is installed from, read with tarfile, and its packages with dpkg-deb."""

import io
import subprocess
import tarfile

import pytest

from tests import tools
from vm.errors import ImageError
from vm.images import Package
from vm.images.deb import decompressed
from vm.install.medium import FOLDER, write_medium
from vm.install.selection import Selection

CONTROL = b"Package: %b\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: none\n"


def archive_of(members):
    """A tar archive of these, each by (name, content) or (name, target of a link)."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size, member.uid, member.mode = len(content), 7, 0o640
                tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


def package_of(folder, name, *members):
    """(Package, path) of a package with these."""
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": archive_of([("./control", CONTROL % name.encode())]),
             "data.tar.xz": archive_of(members)}
    content = b"!<arch>\n"
    for part, data in parts.items():
        content += f"{part:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data
        content += b"\n" * (len(data) % 2)
    path = folder / f"{name}.deb"
    path.write_bytes(content)
    return Package(name, "1", path.name, len(content), "", ()), path


@pytest.fixture
def packages(tmp_path):
    """Three of them: of `first`, one has the link through which the other's file goes."""
    return {
        name: package_of(tmp_path, name, *members)
        for name, members in {
            "aaa": [("./bin/tool", b"a tool")],
            "base-files": [("./bin", "usr/bin"), ("./usr/bin/x", b"x")],
            "other": [("./usr/bin/other", b"another")],
        }.items()
    }


def medium_of(packages, **own):
    selection = Selection([packages["aaa"][0], packages["base-files"][0]], [packages["other"][0]])
    told = []
    file = io.BytesIO()
    write_medium(file, selection, dict(packages.values()), own, told.append)
    assert told == selection.packages
    file.seek(0)
    return tarfile.open(fileobj=file)


def test_the_links_of_base_files_come_before_what_lies_behind_them(packages):
    names = medium_of(packages).getnames()
    assert names.index("./bin") < names.index("./bin/tool")


def test_files_of_the_first_are_there_with_owner_and_mode_and_those_of_others_in_their_packages(packages):
    medium = medium_of(packages)
    tool = medium.getmember("./bin/tool")
    assert (tool.uid, tool.mode, medium.extractfile(tool).read()) == (7, 0o640, b"a tool")
    assert "./usr/bin/other" not in medium.getnames()
    assert {f"{FOLDER}/{name}.deb" for name in packages} <= set(medium.getnames())


def test_own_files_are_roots(packages):
    medium = medium_of(packages, **{"etc/secret": (0o600, b"text")})
    own = medium.getmember("etc/secret")
    assert (own.uid, own.mode, medium.extractfile(own).read()) == (0, 0o600, b"text")


def test_dpkg_reads_a_decompressed_package(packages, tmp_path):
    tools.require("dpkg-deb")
    path = tmp_path / "decompressed.deb"
    path.write_bytes(decompressed(packages["other"][1]))
    listing = subprocess.run(["ar", "t", path], capture_output=True, text=True, check=True).stdout.split()
    assert listing == ["debian-binary", "control.tar", "data.tar"]
    assert subprocess.run(["dpkg-deb", "--field", path, "Package"], capture_output=True, text=True,
                          check=True).stdout == "other\n"
    subprocess.run(["dpkg-deb", "--extract", path, tmp_path / "out"], check=True)
    assert (tmp_path / "out/usr/bin/other").read_bytes() == b"another"


def test_a_damaged_package_is_named(packages, tmp_path):
    package, path = packages["other"]
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"{path}: damaged package"):
        decompressed(path)
