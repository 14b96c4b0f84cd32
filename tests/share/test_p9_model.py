"""Random operations, compared with a model of a file system in Python.

On the way the server's state is saved and loaded into another one, and there are few descriptors.
"""

import errno
import os
import random

import pytest

from tests.share.client import RDWR, TRUNC, Client, Refused
from vm.share.server import Server

NAMES = ("a", "b", "c", "d", "e")
LARGEST = 20_000                    # bytes of a file
DEEPEST = 8                         # folders in which something is done
FOLDER, FILE, LINK = "folder", "file", "link"


class Node:
    """Of the model: a folder with nodes by name, a file with bytes, or a link."""

    def __init__(self, kind, content):
        self.kind = kind
        self.content = content
        self.links = 1
        self.lost = 0               # names that it had

    def lose_name(self):
        self.links -= 1
        self.lost += 1


class Model:
    def __init__(self):
        self.root = Node(FOLDER, {})

    def folders(self):
        """All, by their paths."""
        found, waiting = [], [((), self.root)]
        while waiting:
            path, node = waiting.pop()
            found.append((path, node))
            waiting += [((*path, name), child) for name, child in node.content.items() if child.kind == FOLDER]
        return sorted(found, key=lambda one: one[0])


class Play:
    """One run: each method without an underscore is an operation, which compares what comes of it."""

    def __init__(self, folder, seed):
        self.random = random.Random(seed)
        self.folder = folder
        self.model = Model()
        self.server = self.begin()
        self.client = Client(self.server).start()
        self.open = {}              # fid -> node, of files that are open
        self.walked = {}            # fid -> node, of what is in hand otherwise
        self.operations = [getattr(self, name) for name in sorted(vars(Play)) if name.startswith("do_")]

    def begin(self):
        server = Server(self.folder)
        server._descriptors.most = 12
        return server

    def place(self):
        """A folder of the model's, its path, and a name that may be in it."""
        path, node = self.random.choice([one for one in self.model.folders() if len(one[0]) <= DEEPEST])
        return path, node, self.random.choice(NAMES)

    def expect(self, number, call, *arguments):
        """The call fails so, or does not fail for 0; what it gives."""
        try:
            result = call(*arguments)
        except Refused as error:
            assert error.errno == number, (errno.errorcode[error.errno], call, arguments)
            return None
        assert number == 0, (errno.errorcode[number], call, arguments)
        return result

    def at(self, path):
        """A fid of a folder, for one operation."""
        fid = self.client.walk(*path)
        self.passing.append(fid)
        return fid

    def run(self, count):
        for _ in range(count):
            self.passing = []
            self.random.choice(self.operations)()
            for fid in self.passing:
                self.client.clunk(fid)
        self.compare()

    # --- What is in folders ------------------------------------------------------------------------------------------

    def do_create(self):
        path, node, name = self.place()
        there = node.content.get(name)
        flags = RDWR | self.random.choice((0, TRUNC, 0o200))
        wrong = 0
        if there is not None:
            wrong = {FOLDER: errno.EISDIR, LINK: errno.ELOOP, FILE: 0}[there.kind]
            wrong = errno.EEXIST if flags & 0o200 else wrong
        fid = self.expect(wrong, self.client.lcreate, name, flags, 0o644, path)
        if fid is None:
            self.client.clunk(self.client.free)
            return
        if there is None:
            there = node.content[name] = Node(FILE, bytearray())
        elif flags & TRUNC:
            del there.content[:]
        self.open[fid] = there

    def do_mkdir(self):
        path, node, name = self.place()
        exists = name in node.content
        self.expect(errno.EEXIST if exists else 0, self.client.mkdir, self.at(path), name)
        if not exists:
            node.content[name] = Node(FOLDER, {})

    def do_symlink(self):
        path, node, name = self.place()
        exists = name in node.content
        target = self.random.choice(("..", "/etc/passwd", "a/b", "b"))
        self.expect(errno.EEXIST if exists else 0, self.client.symlink, self.at(path), name, target)
        if not exists:
            node.content[name] = Node(LINK, target.encode())

    def do_link(self):
        (path, node, name), (into, above, new) = self.place(), self.place()
        there = node.content.get(name)
        if there is None:
            self.expect(errno.ENOENT, self.client.walk, *path, name)
            return
        wrong = errno.EEXIST if new in above.content else errno.EPERM if there.kind == FOLDER else 0
        self.expect(wrong, self.client.link, self.at(into), self.at((*path, name)), new)
        if not wrong:
            above.content[new] = there
            there.links += 1

    def do_unlink(self):
        path, node, name = self.place()
        there, folder = node.content.get(name), self.random.random() < 0.3
        wrong = errno.ENOENT if there is None else 0
        if there is not None and folder:
            wrong = errno.ENOTDIR if there.kind != FOLDER else errno.ENOTEMPTY if there.content else 0
        elif there is not None and there.kind == FOLDER:
            wrong = errno.EISDIR
        self.expect(wrong, self.client.unlinkat, self.at(path), name, 0x200 if folder else 0)
        if not wrong:
            del node.content[name]
            there.lose_name()

    def do_rename(self):
        (path, node, name), (into, above, new) = self.place(), self.place()
        there, target = node.content.get(name), above.content.get(new)
        if target is there and (path, name) != (into, new):
            return                          # two names of one file: nothing is renamed, and no reply says so
        if there is None:
            wrong = errno.ENOENT
        elif there.kind == FOLDER and into[:len(path) + 1] == (*path, name):
            wrong = errno.EINVAL
        elif target is None or target is there:
            wrong = 0
        elif path[:len(into) + 1] == (*into, new):
            wrong = errno.ENOTEMPTY
        elif there.kind == FOLDER:
            wrong = errno.ENOTDIR if target.kind != FOLDER else errno.ENOTEMPTY if target.content else 0
        else:
            wrong = errno.EISDIR if target.kind == FOLDER else 0
        if self.random.random() < 0.7 or there is None:
            self.expect(wrong, self.client.renameat, self.at(path), name, self.at(into), new)
        else:
            self.expect(wrong, self.client.rename, self.at((*path, name)), self.at(into), new)
        if wrong or target is there:
            return
        if target is not None:
            target.lose_name()
        above.content[new] = node.content.pop(name)

    def do_readdir(self):
        path, node, _ = self.place()
        found = {name.decode() for name, _, _ in self.client.readdir(self.client.lopen(self.at(path)), 200)}
        assert found == {".", "..", *node.content}

    # --- What is in hand ---------------------------------------------------------------------------------------------

    def do_open(self):
        path, node, name = self.place()
        there = node.content.get(name)
        if there is None or there.kind != FILE:
            return
        flags = RDWR | self.random.choice((0, 0, TRUNC))
        self.open[self.client.open(*path, name, flags=flags)] = there
        if flags & TRUNC:
            del there.content[:]

    def do_walk(self):
        path, node, name = self.place()
        if name in node.content and len(self.walked) < 40:
            self.walked[self.client.walk(*path, name)] = node.content[name]

    def do_clunk(self):
        for held in (self.open, self.walked):
            if held:
                fid = self.random.choice(list(held))
                self.client.clunk(fid)
                del held[fid]

    def do_getattr(self):
        if not self.walked:
            return
        fid = self.random.choice(list(self.walked))
        node = self.walked[fid]
        try:
            attributes = self.client.getattr(fid)
        except Refused as error:            # gone; or by one of several names that it had
            assert error.errno == errno.ENOENT and node.lost
            return
        if node.kind == FILE:
            assert (attributes["size"], attributes["nlink"]) == (len(node.content), node.links)

    def some(self):
        """An open file, or None."""
        while len(self.open) > 8:           # of which as many may be deleted as there are descriptors
            self.do_clunk()
        return self.random.choice(list(self.open)) if self.open else None

    def do_write(self):
        if (fid := self.some()) is not None:
            content, offset = self.open[fid].content, self.random.randrange(LARGEST)
            data = self.random.randbytes(self.random.randrange(3000))
            assert self.client.write(fid, offset, data) == len(data)
            if data:
                content.extend(bytes(max(0, offset - len(content))))
                content[offset:offset + len(data)] = data

    def do_read(self):
        if (fid := self.some()) is not None:
            offset, size = self.random.randrange(LARGEST), self.random.randrange(5000)
            assert self.client.read(fid, offset, size) == self.open[fid].content[offset:offset + size]

    def do_truncate(self):
        if (fid := self.some()) is not None:
            content, size = self.open[fid].content, self.random.randrange(LARGEST)
            self.client.setattr(fid, 8, size=size)
            del content[size:]
            content.extend(bytes(size - len(content)))

    def do_go_on_elsewhere(self):
        """As a machine that is restored: what is open and deleted is lost."""
        if self.random.random() < 0.9:
            return
        for fid in [fid for fid, node in self.open.items() if not node.links]:
            self.client.clunk(fid)
            del self.open[fid]
        saved = self.server.save()
        self.server.close()
        self.client.server = self.server = self.begin()
        self.server.load(saved)
        lost = {number for number, _, _, flags, deleted in saved["fids"] if deleted and flags >= 0}
        for fid in lost & self.open.keys():         # by the name that it was opened by
            self.client.clunk(fid)
            del self.open[fid]

    # --- All of it ---------------------------------------------------------------------------------------------------

    def compare(self):
        def compare(path, node):
            if node.kind == FILE:
                assert path.read_bytes() == node.content and path.stat().st_nlink == node.links
            elif node.kind == LINK:
                assert os.fsencode(os.readlink(path)) == node.content
            else:
                assert {one.name for one in path.iterdir()} == node.content.keys()
                for name, child in node.content.items():
                    compare(path / name, child)

        compare(self.folder, self.model.root)
        assert len(self.server.fids) == 1 + len(self.open) + len(self.walked)


def played(tmp_path, outside, seed, count):
    folder = tmp_path / "played"
    folder.mkdir()
    play = Play(folder, seed)
    try:
        play.run(count)
    finally:
        play.server.close()


@pytest.mark.parametrize("seed", range(4))
def test_random_operations(tmp_path, outside, seed):
    played(tmp_path, outside, seed, 700)


@pytest.mark.slow
def test_a_hundred_thousand_random_operations(tmp_path, outside):
    played(tmp_path, outside, "long", 100_000)
