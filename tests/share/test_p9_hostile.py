"""Messages that no client sends: the server answers each, stays whole, and reaches nothing outside the folder."""

import os
import random
import struct

import pytest

from tests.share.client import CREAT, NO_FID, RDWR, Client, Refused, message, s
from vm.share.messages import ERROR_SIZE
from vm.share.server import Server

NAMES = (b"file", b"sub", b"link", b"a", b"b", b"..", b".", b"", b"/", b"../outside/secret", b"/etc/passwd", b"x" * 300,
         b"\0", b"out", b"secret", b"\xff")
NUMBERS = (0, 1, 2, 3, 7, 0o777, 0o4755, 0o100644, 0o20666, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, 1 << 63,
           (1 << 64) - 1)
FIDS = (0, 1, 2, 3, 4, 5, NO_FID)
# Fields of requests: f a fid, 1 2 4 8 numbers, s a name, S names, d data
LAYOUTS = {8: "f", 12: "f4", 14: "fs444", 16: "fss4", 18: "fs4444", 20: "ffs", 22: "f", 24: "f8", 26: "f4444888888",
           30: "ffs", 32: "fs84", 40: "f84", 50: "f4", 52: "f14884s", 54: "f1884s", 70: "ffs", 72: "fs44", 74: "fsfs",
           76: "fs4", 102: "fss4", 104: "ffss4", 108: "2", 110: "ffS", 116: "f84", 118: "f8d", 120: "f", 122: "f"}
MOST_DATA = 4000


class Attacker:
    """Messages of three kinds: of the right shape with odd values, those with some bits changed, and noise."""

    def __init__(self, folder, seed):
        self.random = random.Random(seed)
        self.server = Server(folder)
        self.server._descriptors.most = 8
        self.client = Client(self.server)
        self.answers = {}
        self.begin()

    def begin(self):
        """A session with some fids that are good for something."""
        self.client.start(msize=8192)
        for fid, names in enumerate(((), ("sub",), ("file",), ("file",)), 1):
            try:
                self.client.walk(*names, new=fid)
            except Refused:                 # it was deleted
                self.client.walk(new=fid)

    def number(self, size):
        mask = (1 << 8 * size) - 1
        return (self.random.choice(NUMBERS) if self.random.random() < 0.5 else self.random.getrandbits(16)) & mask

    def field(self, kind):
        if kind == "f":
            return struct.pack("<I", self.random.choice(FIDS))
        if kind == "s":
            return s(self.random.choice(NAMES))
        if kind == "S":
            names = self.random.choices(NAMES, k=self.random.randrange(4))
            return struct.pack("<H", len(names)) + b"".join(map(s, names))
        if kind == "d":
            data = self.random.randbytes(self.random.randrange(MOST_DATA))
            return struct.pack("<I", len(data)) + data
        return self.number(int(kind)).to_bytes(int(kind), "little")

    def shaped(self):
        kind = self.random.choice(list(LAYOUTS))
        body = bytearray(b"".join(map(self.field, LAYOUTS[kind])))
        if kind == 12 and self.random.random() < 0.8:
            body[4:] = struct.pack("<I", self.random.choice((0, 1, 2, RDWR | CREAT)))
        if kind in (26, 118):               # files as large as the host's disk are no use here
            at = 20 if kind == 26 else 4
            body[at:at + 8] = struct.pack("<Q", self.random.randrange(10_000))
        return message(kind, bytes(body), self.random.getrandbits(16))

    def changed(self):
        request = bytearray(self.shaped())
        for _ in range(self.random.randrange(1, 5)):
            request[self.random.randrange(len(request))] ^= 1 << self.random.randrange(8)
        if request[4] in (26, 118) or self.random.random() < 0.3:       # of these, a bit may make a file very large
            request = request[:self.random.randrange(7, 20)]
        return bytes(request)

    def noise(self):
        body = self.random.randbytes(self.random.randrange(60))
        return struct.pack("<IBH", 7 + len(body), self.random.choice((6, *LAYOUTS)), 1) + body

    def attack(self, count):
        for _ in range(count):
            request = self.random.choice((self.shaped, self.shaped, self.shaped, self.changed, self.noise))()
            room = self.random.choice((ERROR_SIZE, 30, 200, 8192, 1 << 20))
            reply = self.client.exchange(request, room)
            size, kind, tag = struct.unpack_from("<IBH", reply)
            assert size == len(reply) <= min(room, 8192 if request[4] != 100 else room)
            assert tag == struct.unpack_from("<H", request, 5)[0] and kind in (7, request[4] + 1)
            self.answers[kind] = self.answers.get(kind, 0) + 1
            assert len(self.server._descriptors) <= 8
            if len(self.server.fids) < 2 or self.random.random() < 0.01:
                self.begin()


def attacked(folder, outside, seed, count):
    (folder / "out").symlink_to(outside)
    attacker = Attacker(folder, seed)
    before = set(os.listdir(outside.parent))
    try:
        attacker.attack(count)
        assert set(os.listdir(outside.parent)) == before
        return attacker.answers
    finally:
        attacker.server.close()


@pytest.mark.parametrize("seed", range(3))
def test_hostile_messages(folder, outside, seed):
    answers = attacked(folder, outside, seed, 3000)
    assert len(answers) > 15 and answers[7] > 1000          # some of everything is done


@pytest.mark.slow
def test_a_hundred_thousand_hostile_messages(folder, outside):
    answers = attacked(folder, outside, "long", 100_000)
    assert answers.keys() >= {kind + 1 for kind in LAYOUTS if kind not in (30, 32, 102)} | {7}
