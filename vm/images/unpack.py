"""Packages as entries of an initrd: files, directories and links of a .deb, and the packages that one needs.

Maintainer scripts do not run: what a package makes when it is installed is not there.
"""

from __future__ import annotations

import re
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from vm.images.archive import Archive
from vm.images.cpio import Entry
from vm.images.deb import data_of
from vm.images.package import Package
from vm.images.progress import Progress

# Of no use to programs.
LEFT_OUT = re.compile(r"usr/share/(doc|info|lintian|locale|man)/")
# Debian's directories since "merged /usr"; packages still name files by either path.
LINKED = re.compile(r"(bin|sbin|lib|lib64)(?=/|$)")
KINDS = {tarfile.DIRTYPE: stat.S_IFDIR, tarfile.REGTYPE: stat.S_IFREG, tarfile.AREGTYPE: stat.S_IFREG,
         tarfile.SYMTYPE: stat.S_IFLNK, tarfile.LNKTYPE: stat.S_IFREG}


def with_dependencies(archive: Archive, names: Iterable[str], progress: Progress | None = None) -> list[Package]:
    """The packages and all that they depend on, by name; of alternatives the first."""
    found: dict[str, Package] = {}              # by the name it was asked for, which may be a virtual one
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = archive.package(name, progress)
            waiting += found[name].depends
    packages = {package.name: package for package in found.values()}
    return [packages[name] for name in sorted(packages)]


def unpacked(deb: Path) -> Iterator[Entry]:
    """What a package holds, without documentation."""
    contents: dict[str, bytes] = {}             # of files so far, for hard links
    with data_of(deb) as tar:
        for member in tar:
            name = merged(member.name)
            if not name or LEFT_OUT.match(f"{name}/") or member.type not in KINDS:
                continue
            if member.issym():
                content = member.linkname.encode()
            elif member.islnk():
                if (target := merged(member.linkname)) not in contents:
                    raise tarfile.ReadError(f"{name} is a link to {target}, which is not there")
                content = contents[target]
            else:
                source = tar.extractfile(member)
                content = b"" if source is None else source.read()
                contents[name] = content
            yield name, KINDS[member.type] | member.mode & 0o7777, content, (0, 0)


def merged(name: str) -> str:
    """The path of a member, without the dot and the slash in front and with the directories of merged /usr."""
    name = name.removeprefix(".").strip("/")
    return f"usr/{name}" if LINKED.match(name) else name
