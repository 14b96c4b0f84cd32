"""A client of 9P2000.L that writes its messages by hand, as the protocol's description has them."""

import errno
import struct

import pytest

NO_FID = 0xFFFF_FFFF
RDONLY, WRONLY, RDWR, CREAT, EXCL, TRUNC, APPEND = 0, 1, 2, 0o100, 0o200, 0o1000, 0o2000
QID = struct.Struct("<BIQ")


class Refused(Exception):
    """Rlerror."""

    def __init__(self, number):
        super().__init__(errno.errorcode.get(number, number))
        self.errno = number


def refused(*numbers):
    """Around a call that fails with one of these."""
    return pytest.raises(Refused, match="|".join(errno.errorcode[number] for number in numbers))


def s(text):
    text = text.encode() if isinstance(text, str) else text
    return struct.pack("<H", len(text)) + text


def message(kind, body, tag=1):
    return struct.pack("<IBH", 7 + len(body), kind, tag) + body


class Client:
    """Calls `server` as the device does: the data of a Twrite lies beside its head. `call` returns a reply's body."""

    def __init__(self, server, room=1 << 20):
        self.server = server
        self.room = room
        self.free = 100

    def exchange(self, request, room=None):
        """The bytes of a reply."""
        room = self.room if room is None else room
        head, data = (request[:23], [memoryview(request[23:])]) if request[4] == 118 else (request, [])
        reply = self.server.answer(head, data, room)
        if hasattr(reply, "into"):
            buffer = memoryview(bytearray(reply.size))
            reply = reply.into([buffer])
            reply = reply._replace(data=bytes(buffer[:reply.placed]), placed=0)
        self.server.settle(head, reply.front)
        whole = reply.front + reply.data
        assert len(whole) == struct.unpack_from("<I", whole)[0] <= room
        return whole

    def call(self, kind, body, room=None):
        reply = self.exchange(message(kind, body), room)
        _, answered, tag = struct.unpack_from("<IBH", reply)
        assert tag == 1
        if answered == 7:
            raise Refused(struct.unpack_from("<I", reply, 7)[0])
        assert answered == kind + 1
        return reply[7:]

    # --- By name -----------------------------------------------------------------------------------------------------

    def start(self, msize=512_000, uid=0):
        """A session whose fid 0 is the folder itself."""
        assert self.call(100, struct.pack("<I", msize) + s("9P2000.L"))[4:] == s("9P2000.L")
        self.call(104, struct.pack("<II", 0, NO_FID) + s("root") + s("") + struct.pack("<I", uid))
        return self

    def new(self):
        self.free += 1
        return self.free

    def walk(self, *names, fid=0, new=None):
        """A fid of what is there. Raises Refused (ENOENT) where only a part of the way was gone."""
        new = self.new() if new is None else new
        body = self.call(110, struct.pack("<IIH", fid, new, len(names)) + b"".join(map(s, names)))
        if struct.unpack_from("<H", body)[0] != len(names):
            raise Refused(errno.ENOENT)
        return new

    def lopen(self, fid, flags=RDONLY):
        self.call(12, struct.pack("<II", fid, flags))
        return fid

    def open(self, *names, flags=RDONLY):
        return self.lopen(self.walk(*names), flags)

    def lcreate(self, name, flags=RDWR, mode=0o644, folder=(), gid=0):
        fid = self.walk(*folder)
        self.call(14, struct.pack("<I", fid) + s(name) + struct.pack("<III", flags | CREAT, mode, gid))
        return fid

    def read(self, fid, offset, count, room=None):
        body = self.call(116, struct.pack("<IQI", fid, offset, count), room)
        assert struct.unpack_from("<I", body)[0] == len(body) - 4
        return body[4:]

    def write(self, fid, offset, data):
        return struct.unpack("<I", self.call(118, struct.pack("<IQI", fid, offset, len(data)) + data))[0]

    def clunk(self, fid):
        assert self.call(120, struct.pack("<I", fid)) == b""

    def getattr(self, fid):
        fields = struct.unpack("<Q13sIIIQQQQQQQQQQQQQQQ", self.call(24, struct.pack("<IQ", fid, 0x7FF)))
        names = ("valid", "qid", "mode", "uid", "gid", "nlink", "rdev", "size", "blksize", "blocks", "atime",
                 "atime_ns", "mtime", "mtime_ns", "ctime", "ctime_ns", "btime", "btime_ns", "gen", "data_version")
        return dict(zip(names, fields, strict=True))

    def setattr(self, fid, valid, mode=0, uid=0, gid=0, size=0, atime=(0, 0), mtime=(0, 0)):
        self.call(26, struct.pack("<IIIIIQQQQQ", fid, valid, mode, uid, gid, size, *atime, *mtime))

    def readdir(self, fid, count=8000):
        """Names with the kinds of their qids and their types, from the beginning to the end."""
        found, offset = [], 0
        while body := self.call(40, struct.pack("<IQI", fid, offset, count))[4:]:
            assert len(body) <= count
            at = 0
            while at < len(body):
                kind, _, _ = QID.unpack_from(body, at)
                offset, dtype, length = struct.unpack_from("<QBH", body, at + 13)
                found.append((body[at + 24:at + 24 + length], kind, dtype))
                at += 24 + length
        return found

    def mkdir(self, fid, name, mode=0o755, gid=0):
        return QID.unpack(self.call(72, struct.pack("<I", fid) + s(name) + struct.pack("<II", mode, gid)))

    def symlink(self, fid, name, target):
        return QID.unpack(self.call(16, struct.pack("<I", fid) + s(name) + s(target) + struct.pack("<I", 0)))

    def mknod(self, fid, name, mode, major=0, minor=0):
        body = struct.pack("<I", fid) + s(name) + struct.pack("<IIII", mode, major, minor, 0)
        return QID.unpack(self.call(18, body))

    def readlink(self, fid):
        body = self.call(22, struct.pack("<I", fid))
        return body[2:]

    def link(self, folder, fid, name):
        self.call(70, struct.pack("<II", folder, fid) + s(name))

    def rename(self, fid, folder, name):
        self.call(20, struct.pack("<II", fid, folder) + s(name))

    def renameat(self, folder, name, into, new):
        self.call(74, struct.pack("<I", folder) + s(name) + struct.pack("<I", into) + s(new))

    def unlinkat(self, folder, name, flags=0):
        self.call(76, struct.pack("<I", folder) + s(name) + struct.pack("<I", flags))

    def remove(self, fid):
        self.call(122, struct.pack("<I", fid))
