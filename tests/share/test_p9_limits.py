"""What a server of 9P2000.L believes of a saved state or a log, and how much it keeps for a guest."""

import errno
import os
import stat
import struct

import pytest

from tests.share.client import EXCL, RDWR, TRUNC, WRONLY, Client, message, refused, s
from vm.errors import SnapshotError
from vm.share import fids
from vm.share.effort import SLICE
from vm.share.folder import LONGEST_PATH
from vm.share.messages import MalformedMessage
from vm.share.server import Server

SET_SIZE = 8
LERROR = 7
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


# --- Saved states ----------------------------------------------------------------------------------------------------

GOOD = (1, b"file", 0, -1, 0)


@pytest.mark.parametrize("state", [
    {"fids": None}, {"fids": (GOOD,)}, {"fids": [None]}, {"fids": [GOOD[:4]]}, {"fids": [[*GOOD]]},
    {"fids": [GOOD, GOOD]}, {"fids": [("1", *GOOD[1:])]}, {"fids": [(True, *GOOD[1:])]}, {"fids": [(-1, *GOOD[1:])]},
    {"fids": [(1 << 32, *GOOD[1:])]}, {"fids": [(1, "file", 0, -1, 0)]}, {"fids": [(1, b"file", -1, -1, 0)]},
    {"fids": [(1, b"file", 1 << 32, -1, 0)]}, {"fids": [(1, b"file", 0, -2, 0)]},
    {"fids": [(1, b"file", 0, 1 << 32, 0)]}, {"fids": [(1, b"file", 0, 0, -1)]}, {"fids": [(1, b"file", 0, 0, None)]},
    {"message_size": 1 << 31}, {"message_size": 0}, {"message_size": "4096"}, {"deletions": -1}, {"deletions": b""}])
def test_a_damaged_state_is_refused(client, server, state):
    before = server.save()
    with pytest.raises(SnapshotError, match="damaged"):
        server.load(before | state)
    assert server.save() == before and client.getattr(0)


def test_a_state_is_as_limited_as_a_guest(server, monkeypatch):
    monkeypatch.setattr(fids, "MOST_FIDS", 2)
    monkeypatch.setattr(fids, "MOST_PATH_BYTES", 10)
    for saved in ([(number, b"", 0, -1, 0) for number in range(3)], [(1, b"x" * 11, 0, -1, 0)]):
        with pytest.raises(SnapshotError, match="the saved fids are damaged"):
            server.fids = saved
    server.fids = [(1, b"x" * 10, 0, -1, 0)]


def test_a_server_that_changes_nothing_does_not_for_fids_of_one_that_did(client, server, folder):
    """What is open for writing stays so in a snapshot, whose folder may be given again to be read alone."""
    changing = [client.open("file", flags=flags) for flags in (WRONLY, RDWR, RDWR | TRUNC)]
    made = client.lcreate("made", flags=RDWR | EXCL)
    client.write(changing[2], 0, b"content")
    reading = client.open("file")
    fixed = Server(folder, read_only=True)
    fixed.load(server.save())
    other = Client(fixed)
    for fid in (*changing, made):
        for call in (lambda fid=fid: other.write(fid, 0, b"changed"), lambda fid=fid: other.read(fid, 0, 9),
                     lambda fid=fid: other.setattr(fid, SET_SIZE, size=0)):
            with refused(errno.EROFS, errno.EBADF):
                call()
    assert other.read(reading, 0, 9) == b"content" == (folder / "file").read_bytes()
    with refused(errno.EROFS):
        other.write(reading, 0, b"")
    fixed.close()


# --- Replies of a log ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, body, reply", [
    (100, struct.pack("<I", 8192) + s("9P2000.L"), message(101, struct.pack("<I", 1 << 31) + s("9P2000.L"))),
    (100, struct.pack("<I", 8192) + s("9P2000.L"), message(101, struct.pack("<I", 0) + s("9P2000.L"))),
    (100, struct.pack("<I", 8192) + s("9P2000.L"), message(101, b"\0")),
    (104, struct.pack("<II", 0, 0) + s("") + s("") + bytes(4), message(105, bytes(13))),        # it is taken
    (110, struct.pack("<IIH", 0, 0, 1) + s("file"), message(105, bytes(13))),
    (110, struct.pack("<IIH", 99, 100, 0), message(111, bytes(2))),
    (110, struct.pack("<IIH", 0, 7, 1) + s("a/b"), message(111, struct.pack("<H", 1) + bytes(13))),
    (12, struct.pack("<II", 99, 0), message(13, bytes(17))),
    (116, struct.pack("<IQI", 0, 0, 9), message(25, bytes(4))),
    (99, b"", message(100, b"")),
    (116, struct.pack("<IQI", 0, 0, 9), b"\0\0\0")])
def test_a_reply_that_no_server_gives_changes_nothing(client, server, kind, body, reply):
    before = server.save()
    with pytest.raises((MalformedMessage, OSError)):
        server.settle(message(kind, body), reply)
    assert server.save() == before


# --- Limits ----------------------------------------------------------------------------------------------------------

def test_bytes_of_paths_are_limited(client, server, folder, monkeypatch):
    monkeypatch.setattr(fids, "MOST_PATH_BYTES", 20)
    client.walk("sub", "below")                     # nine
    walked = client.walk("sub", "below")
    for call in (lambda: client.walk("sub"), lambda: client.walk(fid=walked), lambda: client.lcreate("new"),
                 lambda: client.renameat(0, "sub", 0, "longer")):
        with refused(errno.ENOMEM):
            call()
    assert sorted(os.listdir(folder)) == ["file", "link", "sub"]
    client.clunk(walked)
    client.walk("sub")
    client.renameat(0, "sub", 0, "s")
    server.load(server.save())
    for _ in range(3):                              # beside "s" and "s/below"
        client.walk("file")
    with refused(errno.ENOMEM):
        client.walk("file")


def test_what_is_in_hand_below_a_renamed_folder_keeps_a_path_that_can_be_saved(client, server, folder):
    names = ["d" * 250] * 16
    fid = 0
    for name in names:
        client.mkdir(fid, name)
        fid = client.walk(name, fid=fid)
    assert len(server._fids.get(fid).path) > LONGEST_PATH - 100
    client.renameat(0, names[0], 0, "e" * 250)
    client.mkdir(0, "g" * 100)
    with refused(errno.ENAMETOOLONG):
        client.renameat(0, "e" * 250, client.walk("g" * 100), "f" * 250)
    assert (folder / ("e" * 250)).is_dir()
    server.load(server.save())


def test_entries_of_listings_are_limited(client, server, folder):
    """Of all of them: the one that was not used for longest goes."""
    server._listings.most = 8
    for name, count in (("one", 4), ("two", 4), ("large", 9)):
        (folder / name).mkdir()
        for number in range(count):
            (folder / name / str(number)).touch()
    one, two = client.open("one"), client.open("two")
    assert len(client.readdir(one)) == 6
    assert one in server._listings
    assert len(client.readdir(two)) == 6
    assert two in server._listings and one not in server._listings and server._listings._entries == 6
    for _ in range(3):
        with refused(errno.ENOMEM):
            client.readdir(client.open("large"))
    assert len(client.readdir(two, count=60)) == 6
    client.clunk(two)
    assert server._listings._entries == 0


def test_a_deleted_file_is_known_by_any_of_its_open_fids(client, server):
    fids = [client.open("file") for _ in range(3)]
    walked = client.walk("file")
    client.unlinkat(0, "file")
    for fid in fids:
        assert client.getattr(walked)["size"] == 7
        client.clunk(fid)
    with refused(errno.ENOENT):
        client.getattr(walked)
    assert server._fids._open_deleted == {}


def test_what_more_fids_have_open_than_there_are_descriptors_is_not_deleted(client, server, folder):
    server._descriptors.most = 4
    fids = [client.open("file") for _ in range(5)]
    with refused(errno.EMFILE):
        client.unlinkat(0, "file")
    client.clunk(fids[0])
    client.unlinkat(0, "file")
    assert [client.read(fid, 0, 9) for fid in fids[1:]] == [b"content"] * 4


def test_effort(client, server):
    """It follows from the request and the fids, and grows with what there is to do."""
    def of(kind, body):
        return server.effort(message(kind, body))

    deep = client.walk("sub", "below")
    getattr_of = [of(24, struct.pack("<IQ", fid, 0)) for fid in (0, deep)]
    assert 0 < getattr_of[0] < getattr_of[1] < SLICE // 100
    assert of(40, struct.pack("<IQI", 0, 0, 0)) > SLICE             # a folder may be large
    assert of(50, struct.pack("<II", 0, 0)) > SLICE
    assert of(116, struct.pack("<IQI", 0, 0, 1 << 20)) > getattr_of[0] + 1000
    names = struct.pack("<H", 60_000) + s("") * 60_000
    assert of(110, struct.pack("<II", 0, 1) + names) > SLICE
    client.open("file", flags=RDWR | os.O_SYNC)
    assert server.effort(message(118, struct.pack("<IQI", client.free, 0, 0))[:23]) > SLICE
    assert of(99, b"") == of(24, b"") > 0


# --- Files that run as somebody else ---------------------------------------------------------------------------------

@as_root
@pytest.mark.parametrize("change", [
    lambda client: client.write(client.open("file", flags=RDWR), 0, b"x"),
    lambda client: client.open("file", flags=TRUNC),
    lambda client: client.lcreate("file", flags=WRONLY | TRUNC),
    lambda client: client.setattr(client.walk("file"), SET_SIZE, size=3)])
def test_a_file_that_the_guest_changes_runs_as_nobody_else_any_more(client, folder, change):
    """As where others than root write."""
    os.chmod(folder / "file", 0o6755)
    client.read(client.open("file"), 0, 9)
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o6755
    change(client)
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o755


@as_root
@pytest.mark.parametrize("change", [lambda client, fid: client.write(fid, 0, b"x"),
                                    lambda client, fid: client.setattr(fid, SET_SIZE, size=3)])
def test_neither_does_one_that_was_open_before(client, folder, change):
    fid = client.open("file", flags=RDWR)
    os.chmod(folder / "file", 0o6755)
    change(client, fid)
    assert stat.S_IMODE((folder / "file").stat().st_mode) == 0o755


@pytest.mark.parametrize("make", [lambda client: client.lcreate("new"),
                                  lambda client: client.mkdir(0, "new"), lambda client: client.symlink(0, "new", "x"),
                                  lambda client: client.mknod(0, "new", stat.S_IFREG | 0o600)])
def test_what_cannot_be_given_to_the_guest_s_user_is_not_made(folder, server, monkeypatch, make):
    """On a file system that has no such owners, say."""
    def chown(*arguments):
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "chown", chown)
    monkeypatch.setattr(server._owners, "privileged", True)
    client = Client(server).start(uid=4242)
    descriptors = len(os.listdir("/proc/self/fd"))
    with refused(errno.EPERM):
        make(client)
    assert sorted(os.listdir(folder)) == ["file", "link", "sub"]
    assert len(os.listdir("/proc/self/fd")) == descriptors and len(server._descriptors) == 0


@as_root
def test_a_file_that_was_there_keeps_its_owner(folder, server):
    client = Client(server).start(uid=4242)
    client.lcreate("file")
    assert (folder / "file").stat().st_uid == 0
