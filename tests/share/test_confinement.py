"""Nothing outside the folder: neither by what a guest asks for, nor by what changes on the host meanwhile."""

import errno
import itertools
import os
import socket
import stat
import struct
import threading
import time

import pytest

from tests.share.client import RDWR, TRUNC, WRONLY, Client, Refused, message, refused, s
from vm.errors import SnapshotError
from vm.share.folder import Folder
from vm.share.server import Server

NAMES_THAT_LEAD_AWAY = ("..", ".", "", "/", "a/../../outside", "../outside", "sub/..", "/etc", "..\0", "sub/below")


@pytest.mark.parametrize("name", NAMES_THAT_LEAD_AWAY)
def test_names_that_are_none(client, folder, outside, name):
    file = client.walk("file")
    before = sorted(os.listdir(folder))
    for call in (lambda: client.lcreate(name), lambda: client.mkdir(0, name), lambda: client.symlink(0, name, "x"),
                 lambda: client.mknod(0, name, stat.S_IFREG | 0o600), lambda: client.link(0, file, name),
                 lambda: client.rename(file, 0, name), lambda: client.renameat(0, name, 0, "new"),
                 lambda: client.renameat(0, "file", 0, name), lambda: client.unlinkat(0, name),
                 lambda: client.unlinkat(0, name, 0x200)):
        with refused(errno.EINVAL):
            call()
    assert sorted(os.listdir(folder)) == before and sorted(os.listdir(folder / "sub")) == ["below"]


@pytest.mark.parametrize("name", NAMES_THAT_LEAD_AWAY[2:])
def test_walks_that_lead_away(client, outside, name):
    for names in ((name,), ("sub", name)):
        with refused(errno.EINVAL, errno.ENOENT):
            client.walk(*names)


PATHS_THAT_LEAD_AWAY = (b"../outside/secret", b"..", b"sub/../../outside/secret", b"sub/..", b".", b"sub/.", b"/",
                        b"sub//below", b"sub/", b"/etc/passwd", b"./file")


@pytest.mark.parametrize("path", PATHS_THAT_LEAD_AWAY)
def test_the_folder_is_closed_whatever_path_it_is_given(folder, outside, path):
    """Whoever has made that path: nobody has to be believed."""
    closed = Folder(folder)
    for call in (lambda: closed.at(path).__enter__(), lambda: closed.above(path).__enter__(),
                 lambda: closed.stat(path), lambda: closed.walk(path, [b"below"]),
                 lambda: closed.walk(b"", path.split(b"/")), lambda: closed.readlink(path),
                 lambda: closed.open(path, 0), lambda: closed.create(path, RDWR, 0o600, lambda made: None),
                 lambda: closed.make_folder(path, 0o700), lambda: closed.make_link(path, b"x"),
                 lambda: closed.link(path, b"new"), lambda: closed.link(b"file", path),
                 lambda: closed.rename(path, b"new"), lambda: closed.rename(b"file", path),
                 lambda: closed.remove(path, folder=False), lambda: closed.remove(path, folder=True)):
        with pytest.raises(OSError, match="Invalid argument"):
            call()
    closed.close()
    assert sorted(os.listdir(folder)) == ["file", "link", "sub"]


@pytest.mark.parametrize("path", [*PATHS_THAT_LEAD_AWAY, b"a\0b", b"x" * 256, b"/".join([b"x" * 200] * 30)])
def test_a_saved_state_that_leads_away_is_refused(client, server, outside, path):
    """The file of a snapshot may come from a stranger."""
    before = server.save()
    with pytest.raises(SnapshotError, match="the saved fids are damaged: .* is none"):
        server.load(before | {"fids": [(0, b"", 0, -1, 0), (1, path, 0, 0, 0)]})
    with pytest.raises(SnapshotError, match="the saved fids are damaged"):
        server.fids = [(1, path, 0, -1, 0)]
    assert server.save() == before
    with refused(errno.EBADF):
        client.read(1, 0, 100)


def refuse_link(client, name, target):
    """All that can be done with it is done to the link itself, which is gone then."""
    link = client.walk(name)
    assert client.readlink(link) == target.encode()
    for flags in (0, WRONLY | TRUNC):
        with refused(errno.ELOOP):
            client.open(name, flags=flags)
    with refused(errno.ELOOP, errno.EINVAL):
        client.setattr(link, 8, size=0)
    with refused(errno.ENOTDIR, errno.ENOENT):
        client.walk(name, "secret")
    with refused(errno.ELOOP):
        client.lcreate(name, flags=RDWR | TRUNC)
    for call in (lambda: client.mkdir(link, "x"), lambda: client.symlink(link, "x", "y"),
                 lambda: client.unlinkat(link, "secret"), lambda: client.link(link, client.walk("file"), "x"),
                 lambda: client.mknod(link, "x", stat.S_IFREG), lambda: client.renameat(link, "secret", 0, "x"),
                 lambda: client.renameat(0, "file", link, "x")):
        with refused(errno.ENOTDIR):
            call()
    client.setattr(client.walk(name), 32 | 256, mtime=(5, 0))
    with refused(errno.ENOTDIR):
        client.unlinkat(0, name, 0x200)
    client.renameat(0, name, 0, "renamed")
    client.unlinkat(0, "renamed")


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "../outside", "../outside/secret", ".", "/", "sub/../..",
                                    "{}"])
def test_what_a_symbolic_link_leads_to_is_not_reached(client, folder, outside, target):
    """Whether the guest has made it or the host; the guest's kernel follows it in the guest."""
    target = target.format(outside)
    client.symlink(0, "guest", target)
    (folder / "host").symlink_to(target)
    for name in ("guest", "host"):
        refuse_link(client, name, target)
    assert outside.stat().st_mtime != 5
    assert sorted(os.listdir(folder)) == ["file", "link", "sub"]


def test_a_folder_that_becomes_a_link_while_it_is_in_hand(client, folder, outside):
    """Fids from before lead nowhere: neither into what was moved away, nor along the link."""
    sub, below = client.walk("sub"), client.walk("sub", "below")
    (folder / "sub").rename(outside.parent / "moved-away")
    (folder / "sub").symlink_to(outside)
    for call in (lambda: client.walk("below", fid=sub), lambda: client.walk("secret", fid=sub),
                 lambda: client.getattr(below), lambda: client.lopen(below), lambda: client.mkdir(sub, "x"),
                 lambda: client.unlinkat(sub, "secret"), lambda: client.lopen(sub)):
        with refused(errno.ENOTDIR, errno.ENOENT, errno.ELOOP):
            call()
    assert os.listdir(outside.parent / "moved-away") == ["below"]


def test_links_swapped_in_while_it_is_walked(client, folder, outside):
    """For a second somebody on the host swaps a folder and a link to what is outside."""
    (folder / "sub" / "secret").write_text("in the folder")
    (folder / "swap").symlink_to(outside)
    done = threading.Event()

    def swap():
        for first, second in itertools.cycle((("sub", "swap"), ("swap", "sub"))):
            if done.is_set():
                return
            os.rename(folder / first, folder / "aside")
            os.rename(folder / second, folder / first)
            os.rename(folder / "aside", folder / second)

    swapping = threading.Thread(target=swap)
    swapping.start()
    end, outcomes = time.monotonic() + 1, set()
    try:
        while time.monotonic() < end:
            try:
                fid = client.walk("sub", "secret")
                try:
                    outcomes.add(client.read(client.lopen(fid, RDWR), 0, 100))
                finally:
                    client.clunk(fid)
            except Refused as error:
                outcomes.add(error.errno)
            try:
                client.clunk(client.lcreate("made", folder=("sub",)))
            except Refused as error:
                outcomes.add(error.errno)
    finally:
        done.set()
        swapping.join()
    assert b"in the folder" in outcomes and b"the host's own" not in outcomes
    assert outcomes <= {b"in the folder", errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EBADF}


def test_what_is_no_file_is_never_opened(client, folder):
    """A FIFO would wait, a device do something."""
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(folder / "socket"))
        for name, kind in (("fifo", stat.S_IFIFO), ("socket", stat.S_IFSOCK)):
            fid = client.walk(name)
            assert stat.S_IFMT(client.getattr(fid)["mode"]) == kind
            for flags in (0, WRONLY, RDWR):
                with refused(errno.EPERM):
                    client.lopen(client.walk(name), flags)
            with refused(errno.EPERM):
                client.lcreate(name)
            with refused(errno.EINVAL, errno.ENXIO, errno.EPERM):
                client.setattr(fid, 8, size=0)
            client.setattr(fid, 1, mode=0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_device_of_the_host_is_never_opened(client, folder):
    try:
        os.mknod(folder / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("needs the capability to make devices")
    fid = client.walk("zero")
    assert client.getattr(fid)["rdev"] == 1 << 8 | 5
    with refused(errno.EPERM):
        client.lopen(fid)
    with refused(errno.EPERM):
        client.lcreate("zero")


def test_a_link_that_one_folder_up_is_told_of(folder, outside):
    """The folder's own path may have links in it: who shares it has named it."""
    (outside.parent / "alias").symlink_to(folder)
    server = Server(outside.parent / "alias")
    assert Client(server).start().walk("file")
    server.close()


def test_the_folder_is_the_one_that_was_shared(client, folder, outside):
    """Even where another is at its path now."""
    folder.rename(outside.parent / "away")
    folder.symlink_to(outside)
    assert client.read(client.open("file"), 0, 10) == b"content"
    with refused(errno.ENOENT):
        client.walk("secret")


def test_a_walk_along_many_names(client, outside):
    names = b"".join(s(name) for name in ["sub", ".."] * 7 + ["..", ".."])
    reply = client.exchange(message(110, struct.pack("<IIH", 0, 1, 16) + names))
    assert struct.unpack_from("<H", reply, 7)[0] == 16
    assert client.walk("file", fid=1)
