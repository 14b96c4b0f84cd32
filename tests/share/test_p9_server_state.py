"""Owners, limits and the saved state of the server of 9P2000.L, with messages written by hand."""

import errno
import os
import stat
import struct

import pytest

from tests.share.client import (
    APPEND,
    CREAT,
    EXCL,
    NO_FID,
    RDONLY,
    RDWR,
    TRUNC,
    WRONLY,
    Client,
    Refused,
    message,
    refused,
)
from vm.errors import ConfigurationError
from vm.share.owners import NOBODY, Owners
from vm.share.server import Server

SET_MODE, SET_UID, SET_GID = 1, 2, 4
DT_REG = 8
NOWHERE = 999


# --- Owners ----------------------------------------------------------------------------------------------------------

def test_what_is_ours_is_the_owner_s(folder):
    server = Server(folder, owner=(1000, 100))
    client = Client(server).start()
    attributes = client.getattr(client.walk("file"))
    assert (attributes["uid"], attributes["gid"]) == (1000, 100)
    before = (folder / "file").stat()
    client.setattr(client.walk("file"), SET_UID | SET_GID, uid=1000, gid=100)       # as it is
    after = (folder / "file").stat()
    assert (after.st_uid, after.st_gid, after.st_ctime_ns) == (before.st_uid, before.st_gid, before.st_ctime_ns)
    server.close()


def test_numbers_of_users():
    owners = Owners((0, 0))
    owners._ours = 1000, 1001
    assert owners.seen(1000, 1001) == (0, 0)
    assert owners.seen(0, 0) == (NOBODY, NOBODY)    # the host's root is not the guest's
    assert owners.seen(7, 8) == (7, 8)
    assert owners.meant(0, 0, (1000, 1001)) == (-1, -1)
    assert owners.meant(0, 8, (7, 1001)) == (1000, 8)
    assert owners.meant(NO_FID, NO_FID, (7, 8)) == (-1, -1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may")
def test_who_may_not_give_files_away_says_so(client):
    with refused(errno.EPERM):
        client.setattr(client.walk("file"), SET_UID, uid=4242)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_who_may_gives_files_to_the_guest_s_users(server, folder):
    client = Client(server).start(uid=4242)
    client.mkdir(0, "home", gid=4243)
    client.lcreate("file", folder=("home",), gid=4243)
    for name in ("home", "home/file"):
        assert ((folder / name).stat().st_uid, (folder / name).stat().st_gid) == (4242, 4243)
    client.setattr(client.walk("home"), SET_UID, uid=0)
    assert (folder / "home").stat().st_uid == 0


# --- What is not to be changed, and limits ---------------------------------------------------------------------------

def test_read_only(folder):
    server = Server(folder, read_only=True)
    client = Client(server).start()
    for call in (lambda: client.open("file", flags=RDWR), lambda: client.open("file", flags=WRONLY),
                 lambda: client.open("file", flags=TRUNC), lambda: client.lcreate("new"),
                 lambda: client.mkdir(0, "new"), lambda: client.unlinkat(0, "file"),
                 lambda: client.remove(client.walk("file")),
                 lambda: client.setattr(client.walk("file"), SET_MODE, mode=0o600),
                 lambda: client.symlink(0, "new", "x"), lambda: client.link(0, client.walk("file"), "new"),
                 lambda: client.mknod(0, "new", stat.S_IFREG), lambda: client.renameat(0, "file", 0, "new"),
                 lambda: client.rename(client.walk("file"), 0, "new")):
        with refused(errno.EROFS):
            call()
    assert client.read(client.open("file"), 0, 10) == b"content"
    server.close()


def test_fids_are_limited(client, monkeypatch):
    monkeypatch.setattr("vm.share.fids.MOST_FIDS", 3)
    client.walk("file")
    client.walk("file")
    with refused(errno.EMFILE):
        client.walk("file")
    client.clunk(client.free - 1)
    client.walk("file")


def test_descriptors_are_limited(client, server, folder):
    """What was not used for longest is opened again when it is; what was deleted cannot be."""
    server._descriptors.most = 2
    fids = [client.lcreate(f"file{number}") for number in range(5)]
    for number, fid in enumerate(fids):
        client.write(fid, 0, b"%d" % number)
        assert len(server._descriptors) <= 2
    assert [client.read(fid, 0, 9) for fid in fids] == [b"0", b"1", b"2", b"3", b"4"]
    client.unlinkat(0, "file3")
    client.unlinkat(0, "file4")
    with refused(errno.EMFILE):
        client.read(fids[0], 0, 1)
    assert client.read(fids[4], 0, 9) == b"4"
    client.clunk(fids[3])
    assert client.read(fids[0], 0, 9) == b"0"
    (folder / "file1").unlink()                     # on the host
    with refused(errno.ESTALE):
        client.read(fids[1], 0, 1)


def test_the_path_is_limited(client):
    fid = 0
    with refused(errno.ENAMETOOLONG):
        for _ in range(20):
            client.mkdir(fid, "x" * 250)
            fid = client.walk("x" * 250, fid=fid)


def test_messages_that_are_cut_short(client):
    assert client.exchange(message(110, struct.pack("<IIH", 0, 1, 1)))[7:] == struct.pack("<I", errno.EPROTO)
    assert client.exchange(message(12, b"\0"))[7:] == struct.pack("<I", errno.EPROTO)
    too_long = message(24, struct.pack("<IQ", 0, 0))
    assert client.exchange(b"\xff" + too_long[1:])[7:] == struct.pack("<I", errno.EPROTO)
    name = struct.pack("<IH", 0, 60_000) + b"x"
    assert client.exchange(message(14, name))[7:] == struct.pack("<I", errno.EPROTO)
    assert client.exchange(message(24, struct.pack("<IQ", 0, 0)), room=100)[7:] == struct.pack("<I", errno.EMSGSIZE)


# --- Saved state -----------------------------------------------------------------------------------------------------

def test_another_server_goes_on(client, server, folder):
    """Descriptors are opened again; what was created, or cut, is so no more than once."""
    fid = client.lcreate("new", flags=RDWR | EXCL | TRUNC)
    client.write(fid, 0, b"text")
    listing, walked, gone, file = client.lopen(client.walk()), client.walk("sub"), client.open("sub", "below"), 1
    client.walk("file", new=file)
    client.renameat(0, "file", 0, "moved")
    saved = server.save()
    client.unlinkat(walked, "below")
    with_host = Server(folder)
    with_host.load(saved)
    other = Client(with_host)
    other.write(fid, 4, b" and more")
    assert other.read(fid, 0, 100) == b"text and more"
    assert (b"moved", 0, DT_REG) in other.readdir(listing)
    assert other.getattr(file)["size"] == 7
    with refused(errno.ESTALE):
        other.read(gone, 0, 1)
    assert with_host.save() == saved
    with_host.close()


def test_fids_follow_from_requests_and_replies(server, folder):
    """Without the host: as in a replay."""
    log = []
    client = Client(server)
    exchange = client.exchange

    def logged(request, room=None):
        log.append((request, exchange(request, room)))
        return log[-1][1]

    client.exchange = logged
    client.start()
    client.write(client.lcreate("new"), 0, b"x")
    client.open("sub", "below")
    client.renameat(0, "sub", 0, "moved")
    client.mkdir(client.walk("moved"), "inside")
    client.unlinkat(client.walk("moved"), "below")
    client.clunk(client.walk("file"))
    for call in (lambda: client.remove(client.walk("moved", "..", "new")), lambda: client.remove(client.walk("moved")),
                 lambda: client.lopen(client.walk("link")), lambda: client.clunk(NOWHERE)):
        try:
            call()
        except Refused:
            pass
    client.rename(client.walk("file"), client.walk("moved"), "file")
    (folder / "moved" / "file").unlink()
    other = Server(folder)
    for request, reply in log:
        other.settle(request[:23] if request[4] == 118 else request, reply)
    assert other.save() == server.save() and len(other.fids) > 4
    other.close()


def test_what_is_no_folder(folder, tmp_path):
    for path, why in ((folder / "file", "Not a directory"), (tmp_path / "gone", "No such file or directory")):
        with pytest.raises(ConfigurationError, match=f"{path}: cannot be shared \\({why}\\); name a folder"):
            Server(path)
    for owner in ((1,), (-1, 0), (0, 1 << 32), "root", (0, "x")):
        with pytest.raises(ConfigurationError, match="owner="):
            Server(folder, owner=owner)


def test_flags_are_as_this_host_has_them():
    """The protocol's numbers are those of most architectures."""
    assert (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_DSYNC,
            os.O_SYNC) == (RDONLY, WRONLY, RDWR, CREAT, EXCL, TRUNC, APPEND, 0o10000, 0o4010000)
