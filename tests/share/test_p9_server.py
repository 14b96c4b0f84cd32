"""The server of 9P2000.L, by messages written by hand from its description (diod's protocol.md, intro(5))."""

import errno
import os
import stat
import struct

from tests.share.client import (
    APPEND,
    EXCL,
    NO_FID,
    QID,
    RDWR,
    TRUNC,
    WRONLY,
    Client,
    refused,
    s,
)

REMOVE_FOLDER = 0x200
SET_MODE, SET_UID, SET_GID, SET_SIZE, SET_ATIME, SET_MTIME, ATIME_SET, MTIME_SET = 1, 2, 4, 8, 16, 32, 128, 256
DT_DIR, DT_REG, DT_LNK = 4, 8, 10
NOWHERE = 999


# --- The session -----------------------------------------------------------------------------------------------------

def test_version(server):
    client = Client(server)
    reply = client.exchange(bytes.fromhex("15000000 64 ffff 00d00700 0800") + b"9P2000.L")
    assert reply == bytes.fromhex("15000000 65 ffff 00d00700 0800") + b"9P2000.L"
    assert client.call(100, struct.pack("<I", 1 << 20) + s("9P2000.L")) == struct.pack("<I", 512 << 10) + s("9P2000.L")
    assert client.call(100, struct.pack("<I", 8192) + s("9P2000.u")) == struct.pack("<I", 8192) + s("unknown")
    with refused(errno.EMSGSIZE):
        client.call(100, struct.pack("<I", 4095) + s("9P2000.L"))


def test_a_version_ends_the_session(client, server):
    client.open("file")
    assert len(server.fids) == 2
    client.call(100, struct.pack("<I", 8192) + s("9P2000.L"))
    assert server.fids == [] and server.message_size == 8192
    with refused(errno.EBADF):
        client.getattr(0)


def test_attach(client, folder):
    reply = client.call(104, struct.pack("<II", 5, NO_FID) + s("root") + s("/") + struct.pack("<I", 0))
    kind, _, path = QID.unpack(reply)
    assert (kind, path) == (0x80, folder.stat().st_ino)
    for fid, tree, number in ((5, "/", errno.EINVAL), (6, "sub", errno.ENOENT)):
        with refused(number):
            client.call(104, struct.pack("<II", fid, NO_FID) + s("root") + s(tree) + struct.pack("<I", 0))
    with refused(errno.EINVAL):
        client.call(104, struct.pack("<II", 7, 5) + s("root") + s("") + struct.pack("<I", 0))


def test_what_is_not_there_is_not_supported(client):
    """Linux asks for extended attributes, and goes on without."""
    for kind, body in ((30, struct.pack("<II", 0, 9) + s("user.x")), (102, bytes(12)), (200, b""), (13, b"")):
        with refused(errno.EOPNOTSUPP):
            client.call(kind, body)


def test_flush(client):
    assert client.call(108, struct.pack("<H", 7)) == b""


# --- Walking ---------------------------------------------------------------------------------------------------------

def test_walk(client, folder):
    body = client.call(110, struct.pack("<IIH", 0, 1, 2) + s("sub") + s("below"))
    assert struct.unpack_from("<H", body)[0] == 2
    (first, _, sub), (second, version, below) = QID.iter_unpack(body[2:])
    found = (folder / "sub" / "below").stat()
    assert (first, sub, second, below) == (0x80, (folder / "sub").stat().st_ino, 0, found.st_ino)
    assert version == (found.st_mtime_ns ^ found.st_size << 8) & 0xFFFF_FFFF
    assert client.getattr(1)["size"] == 4


def test_walk_that_stops_on_the_way(client, server):
    """Only where the first name is gone it is an error; and the new fid is none."""
    body = client.call(110, struct.pack("<IIH", 0, 1, 3) + s("sub") + s("gone") + s("x"))
    assert struct.unpack_from("<H", body)[0] == 1
    with refused(errno.ENOENT):
        client.walk("gone", "x")
    with refused(errno.EBADF):
        client.getattr(1)


def test_walk_of_no_names_is_another_fid_of_the_same(client):
    sub = client.walk("sub")
    assert client.getattr(client.walk(fid=sub)) == client.getattr(sub)
    opened = client.lopen(client.walk(fid=sub))
    client.lopen(client.walk(fid=opened))           # Linux does that, too


def test_walk_in_place(client):
    fid = client.walk("sub")
    client.walk("below", fid=fid, new=fid)
    assert client.getattr(fid)["size"] == 4


def test_walk_up_ends_at_the_folder(client, folder):
    sub = client.walk("sub")
    for names in (("..",), ("..", ".."), ("..", "..", "..", "sub", ".."), (".", "..")):
        fid = client.walk(*names, fid=sub)
        assert QID.unpack(client.getattr(fid)["qid"])[2] == folder.stat().st_ino
    body = client.call(110, struct.pack("<IIH", 0, 1, 3) + s("..") + s("gone") + s(".."))
    assert struct.unpack_from("<H", body)[0] == 1


def test_walk_refuses(client):
    client.walk("sub", new=1)
    client.open("file")
    opened = client.free
    for fid, new, names, number in ((NOWHERE, 2, ("sub",), errno.EBADF), (0, 1, ("sub",), errno.EINVAL),
                                    (opened, opened, (), errno.EINVAL), (0, 2, ("sub",) * 17, errno.EINVAL),
                                    (0, 2, ("sub/below",), errno.EINVAL), (0, 2, ("",), errno.EINVAL),
                                    (0, 2, (b"a\0b",), errno.EINVAL), (0, 2, ("x" * 256,), errno.ENAMETOOLONG)):
        with refused(number):
            client.walk(*names, fid=fid, new=new)


def test_a_symbolic_link_is_not_followed(client):
    link = client.walk("link")
    attributes = client.getattr(link)
    assert stat.S_ISLNK(attributes["mode"]) and attributes["qid"][0] == 0x02
    assert client.readlink(link) == b"sub/below"
    with refused(errno.ELOOP):
        client.lopen(link)
    with refused(errno.EINVAL):
        client.readlink(client.walk("file"))


# --- Looking ---------------------------------------------------------------------------------------------------------

def test_getattr(client, folder):
    found = (folder / "file").stat()
    attributes = client.getattr(client.walk("file"))
    assert attributes["valid"] == 0x7FF
    assert (attributes["mode"], attributes["nlink"], attributes["size"]) == (found.st_mode, 1, 7)
    assert (attributes["uid"], attributes["gid"]) == (0, 0)
    assert attributes["mtime"] * 10**9 + attributes["mtime_ns"] == found.st_mtime_ns
    assert (attributes["blksize"], attributes["blocks"]) == (found.st_blksize, found.st_blocks)


def test_statfs(client, folder):
    kind, bsize, blocks, _, _, files, _, _, namelen = struct.unpack("<IIQQQQQQI", client.call(8, bytes(4)))
    found = os.statvfs(folder)
    assert (kind, bsize, blocks, files, namelen) == (0x01021997, found.f_frsize, found.f_blocks, found.f_files, 255)


def test_readdir(client, folder):
    fid = client.lopen(client.walk())
    everything = [(b".", 0x80, DT_DIR), (b"..", 0x80, DT_DIR), (b"file", 0, DT_REG), (b"link", 0x02, DT_LNK),
                  (b"sub", 0x80, DT_DIR)]
    assert client.readdir(fid) == everything
    assert client.readdir(fid, count=60) == everything         # two entries at a time
    with refused(errno.EINVAL):
        client.readdir(fid, count=24)
    (folder / "another").touch()
    assert len(client.readdir(fid)) == 6            # read from the beginning again
    with refused(errno.EBADF):
        client.readdir(client.walk())
    with refused(errno.ENOTDIR):
        client.readdir(client.open("file"))


def test_a_large_folder(client, folder):
    names = sorted(b"%04d" % number for number in range(1000))
    for name in names:
        (folder / "sub" / name.decode()).touch()
    found = [name for name, _, _ in client.readdir(client.open("sub"))]
    assert found == [b".", b"..", *names, b"below"]


def test_names_are_bytes(client, folder):
    odd = b"\xff\xfe \n\x01"
    client.clunk(client.lcreate(odd))
    assert odd in os.listdir(os.fsencode(folder))
    assert odd in [name for name, _, _ in client.readdir(client.lopen(client.walk()))]
    client.unlinkat(0, odd)


# --- Files -----------------------------------------------------------------------------------------------------------

def test_read(client):
    fid = client.open("file")
    assert client.read(fid, 0, 100) == b"content"
    assert client.read(fid, 3, 2) == b"te"
    assert client.read(fid, 7, 10) == client.read(fid, 1 << 40, 10) == client.read(fid, 0, 0) == b""
    with refused(errno.EFBIG):
        client.read(fid, (1 << 63) - 1, 1)


def test_a_reply_is_no_longer_than_was_settled(client, folder):
    (folder / "file").write_bytes(bytes(range(256)) * 4096)
    client.call(100, struct.pack("<I", 8192) + s("9P2000.L"))
    client.call(104, struct.pack("<II", 0, NO_FID) + s("root") + s("") + struct.pack("<I", 0))
    fid = client.open("file")
    assert len(client.read(fid, 0, 1 << 20)) == 8192 - 11
    assert len(client.read(fid, 0, 1 << 20, room=4096)) == 4096 - 11
    assert len(client.read(fid, 0, 0xFFFF_FFFF, room=11)) == 0


def test_write(client, folder):
    fid = client.open("file", flags=RDWR)
    assert client.write(fid, 4, b"ext file") == 8
    assert client.write(fid, 0, b"") == 0
    assert (folder / "file").read_bytes() == b"context file"
    assert client.read(fid, 4, 4) == b"ext "
    with refused(errno.EFBIG):
        client.write(fid, (1 << 63) - 2, b"xx")
    with refused(errno.EPROTO):
        client.call(118, struct.pack("<IQI", fid, 0, 5) + b"four")


def test_an_open_for_append_writes_where_it_is_told(client, folder):
    """A guest with a page cache writes pages back by whatever fid it has."""
    fid = client.open("file", flags=RDWR | APPEND)
    client.write(fid, 0, b"C")
    assert (folder / "file").read_bytes() == b"Content"


def test_how_it_is_open_counts(client):
    for fid in (client.walk("file"), client.open("file", flags=WRONLY)):
        with refused(errno.EBADF):
            client.read(fid, 0, 1)
    with refused(errno.EBADF):
        client.write(client.open("file"), 0, b"x")
    with refused(errno.EISDIR):
        client.read(client.open("sub"), 0, 1)
    with refused(errno.EISDIR):
        client.open("sub", flags=RDWR)
    with refused(errno.EINVAL):
        client.open("file", flags=3)
    with refused(errno.EINVAL):
        client.lopen(client.open("file"))


def test_truncation(client, folder):
    client.open("file", flags=WRONLY | TRUNC)
    assert (folder / "file").read_bytes() == b""


def test_lcreate(client, folder):
    umask = os.umask(0o077)
    try:
        fid = client.lcreate("new", mode=0o664, folder=("sub",))
    finally:
        os.umask(umask)
    client.write(fid, 0, b"text")
    assert (folder / "sub" / "new").read_bytes() == b"text"
    assert stat.S_IMODE((folder / "sub" / "new").stat().st_mode) == 0o664          # the guest's umask counts
    with refused(errno.EEXIST):
        client.lcreate("new", flags=RDWR | EXCL, folder=("sub",))
    assert client.read(client.lcreate("new", folder=("sub",)), 0, 10) == b"text"
    client.lcreate("new", flags=RDWR | TRUNC, folder=("sub",))
    assert (folder / "sub" / "new").read_bytes() == b""
    with refused(errno.ENOTDIR):
        client.lcreate("x", folder=("file",))


def test_a_file_that_was_made_read_only_can_be_written_by_who_made_it(client, folder):
    """As git does with objects."""
    fid = client.lcreate("object", flags=RDWR | EXCL, mode=0o444)
    client.write(fid, 0, b"blob")
    client.setattr(fid, SET_SIZE, size=2)
    assert (folder / "object").read_bytes() == b"bl"


def test_fsync_and_locks(client):
    fid = client.open("file", flags=RDWR)
    for data_only in (0, 1):
        assert client.call(50, struct.pack("<II", fid, data_only)) == b""
    lock = struct.pack("<IBIQQI", fid, 1, 1, 0, 0, 77) + s("debian")
    assert client.call(52, lock) == b"\0"
    query = struct.pack("<IBQQI", fid, 1, 5, 9, 77) + s("debian")
    assert client.call(54, query) == struct.pack("<BQQI", 2, 5, 9, 77) + s("debian")
    with refused(errno.EBADF):
        client.call(50, struct.pack("<II", client.walk("file"), 0))
    with refused(errno.EBADF):
        client.call(52, struct.pack("<I", NOWHERE) + lock[4:])


# --- Changing --------------------------------------------------------------------------------------------------------

def test_mkdir_and_unlinkat(client, folder):
    umask = os.umask(0o077)
    try:
        kind, _, path = client.mkdir(0, "new", 0o1777)
    finally:
        os.umask(umask)
    assert (kind, path) == (0x80, (folder / "new").stat().st_ino)
    assert stat.S_IMODE((folder / "new").stat().st_mode) == 0o1777
    with refused(errno.EEXIST):
        client.mkdir(0, "new")
    with refused(errno.EISDIR):
        client.unlinkat(0, "new")
    with refused(errno.ENOTEMPTY):
        client.unlinkat(0, "sub", REMOVE_FOLDER)
    with refused(errno.ENOTDIR):
        client.unlinkat(0, "file", REMOVE_FOLDER)
    with refused(errno.EINVAL):
        client.unlinkat(0, "file", 1)
    client.unlinkat(0, "new", REMOVE_FOLDER)
    client.unlinkat(0, "link")
    assert sorted(os.listdir(folder)) == ["file", "sub"]
    assert (folder / "sub" / "below").exists()      # what the link led to


def test_symlink_link_and_mknod(client, folder):
    assert client.symlink(0, "to", "/etc/passwd")[0] == 0x02
    assert os.readlink(folder / "to") == "/etc/passwd"
    client.link(client.walk("sub"), client.walk("file"), "hard")
    assert (folder / "sub" / "hard").stat().st_nlink == 2
    client.link(0, client.walk("to"), "again")
    assert os.readlink(folder / "again") == "/etc/passwd"       # of the link, not of what it leads to
    assert client.mknod(0, "node", stat.S_IFREG | 0o600)[0] == 0
    assert stat.S_IMODE((folder / "node").stat().st_mode) == 0o600
    for kind in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, 0):
        with refused(errno.EPERM):
            client.mknod(0, "device", kind | 0o600, 1, 3)
    with refused(errno.EINVAL):
        client.symlink(0, "zero", b"a\0b")
    with refused(errno.ENAMETOOLONG):
        client.symlink(0, "long", "x" * 5000)


def test_remove(client, folder):
    file, sub = client.walk("file"), client.walk("sub")
    client.remove(file)
    with refused(errno.ENOTEMPTY):
        client.remove(sub)
    for fid in (file, sub):                         # they are no more, whatever came of it
        with refused(errno.EBADF):
            client.getattr(fid)
    assert not (folder / "file").exists()
    with refused(errno.EBUSY):
        client.remove(0)
    assert folder.exists()


def test_rename_moves_what_fids_stand_for(client, folder):
    sub, below = client.walk("sub"), client.walk("sub", "below")
    opened = client.open("sub", "below")
    client.renameat(0, "sub", 0, "elsewhere")
    assert client.getattr(below)["size"] == 4
    client.rename(below, 0, "up")
    assert (folder / "up").read_bytes() == client.read(opened, 0, 10) == b"more"
    client.mkdir(sub, "inside")
    assert (folder / "elsewhere" / "inside").is_dir()
    with refused(errno.ENOENT):
        client.walk("sub")
    with refused(errno.EINVAL):
        client.renameat(0, "elsewhere", sub, "into-itself")


def test_what_is_deleted_lasts_as_long_as_it_is_open(client, folder):
    fid, other = client.open("file", flags=RDWR), client.walk("file")
    client.unlinkat(0, "file")
    (folder / "file").write_bytes(b"another")
    assert client.read(fid, 0, 10) == b"content"
    client.write(fid, 0, b"C")
    for one in (fid, other):                        # Linux asks by a fid that is not open
        assert (client.getattr(one)["size"], client.getattr(one)["nlink"]) == (7, 0)
    client.setattr(other, SET_SIZE, size=3)
    assert client.read(client.lopen(client.walk(fid=other)), 0, 10) == b"Con"
    assert (folder / "file").read_bytes() == b"another"
    client.clunk(fid)


def test_what_is_renamed_over_lasts_as_long_as_it_is_open(client):
    fid = client.open("file")
    client.renameat(client.walk("sub"), "below", 0, "file")
    assert client.read(fid, 0, 10) == b"content"
    assert client.read(client.open("file"), 0, 10) == b"more"


def test_what_was_deleted_and_is_not_open_is_gone(client):
    fid = client.walk("file")
    client.unlinkat(0, "file")
    for call in (client.getattr, client.lopen, client.remove):
        with refused(errno.ENOENT):
            call(fid)


def test_setattr(client, folder):
    file = folder / "file"
    fid = client.walk("file")
    client.setattr(fid, SET_MODE | SET_SIZE, mode=0o600, size=3)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and file.read_bytes() == b"con"
    client.setattr(fid, SET_ATIME | ATIME_SET | SET_MTIME | MTIME_SET, atime=(1, 2), mtime=(2**64 - 5, 4))
    assert (file.stat().st_atime_ns, file.stat().st_mtime_ns) == (10**9 + 2, -5 * 10**9 + 4)
    assert client.getattr(fid)["mtime"] == 2**64 - 5
    client.setattr(fid, SET_MTIME)
    assert file.stat().st_atime_ns == 10**9 + 2 and file.stat().st_mtime > 10**9
    client.setattr(fid, SET_ATIME | SET_MTIME)
    assert file.stat().st_atime > 10**9
    client.setattr(fid, 64)                         # the time of change: the host's business
    with refused(errno.EINVAL):
        client.setattr(fid, SET_MTIME | MTIME_SET, mtime=(0, 10**9))
    with refused(errno.EFBIG):
        client.setattr(fid, SET_SIZE, size=1 << 63)
    with refused(errno.EISDIR):
        client.setattr(client.walk("sub"), SET_SIZE)


def test_times_of_a_symbolic_link_are_its_own(client, folder):
    client.setattr(client.walk("link"), SET_MTIME | MTIME_SET, mtime=(7, 0))
    assert (folder / "link").lstat().st_mtime == 7 and (folder / "link").stat().st_mtime != 7


def test_no_file_of_the_guest_runs_as_this_user(client, folder):
    for call in (lambda: client.lcreate("new", mode=0o4755), lambda: client.mknod(0, "new", stat.S_IFREG | 0o2755),
                 lambda: client.setattr(client.walk("file"), SET_MODE, mode=0o6755)):
        with refused(errno.EPERM):
            call()
    assert not (folder / "new").exists()
    client.setattr(client.walk("sub"), SET_MODE, mode=0o2755)
    assert stat.S_IMODE((folder / "sub").stat().st_mode) == 0o2755         # a folder runs nothing
