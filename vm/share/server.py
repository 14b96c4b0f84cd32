"""A server of 9P2000.L for one folder: each request answered by what the host says of its files.

A request is answered in two halves. `answer` asks the host, and `settle` keeps what follows for the fids: from the
request and its reply alone. So whoever has a log of the replies comes to the same fids, and asks no host.

Requests are answered one after the other; so whatever a `flush` names was answered before. Locks between the guest's
processes are its kernel's; here they always succeed. There are no extended attributes.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any, NamedTuple

from vm.errors import SnapshotError
from vm.share.effort import effort
from vm.share.fids import Descriptors, Fid, Fids, Saved, refuse_unfit
from vm.share.folder import (
    OPENED_TO_CHANGE,
    Entry,
    Folder,
    by_descriptor,
    chmod,
    drop_set_id,
    joined,
    opened,
    os_error,
    path_along,
    refuse_offset,
)
from vm.share.listings import Listings
from vm.share.messages import (
    COUNT,
    DATA_HEAD,
    LERROR,
    MESSAGES,
    NAMED,
    NO_FID,
    QID_LAYOUT,
    MalformedMessage,
    Qid,
    Values,
    header_of,
    reply_to,
)
from vm.share.owners import UNCHANGED, Owners
from vm.share.replies import READ, Reading, Reply, failure
from vm.share.times import SET_TIMES, seconds, set_times
from vm.state import Stateful

READDIR = NAMED["readdir"]
VERSION = b"9P2000.L"
LEAST_MESSAGE, MOST_MESSAGE = 4096, 512 << 10       # bytes, as `version` settles them
MOST_NAMES = 16                         # of one walk
SPECIAL = {b".", b".."}                 # among names

FOLDER, LINK = 0x80, 0x02               # kinds of qids; 0 for a file
QID_KINDS = {stat.S_IFDIR: FOLDER, stat.S_IFLNK: LINK}
V9FS_MAGIC = 0x0102_1997                # the type of the file system
BASIC = 0x7FF                           # `getattr` gives mode, owners, links, sizes and times, whatever is asked for
ENTRY = struct.Struct("<QB")            # of `readdir`: its offset and type, between its qid and its name

SET_MODE, SET_UID, SET_GID, SET_SIZE = (1 << bit for bit in range(4))      # what `setattr` sets, beside times
REMOVE_FOLDER = 0x200                   # a flag of `unlinkat`
SUCCESS, UNLOCKED = 0, 2                # status of `lock`; type of `getlock`: nobody holds it
CHANGING = {"symlink", "mknod", "rename", "setattr", "link", "mkdir", "renameat", "unlinkat", "remove", "lcreate",
            "write"}


class Request(NamedTuple):
    """What there is to a request beside its fields: the data of a `write`, and how long the reply may be."""

    data: Sequence[memoryview]
    room: int


class Server(Stateful):
    """- owner: the user and the group that the guest sees for what belongs to this process.
    - read_only: nothing in the folder is changed.
    - folder: an open one instead of the path's, as a twin has.

    Raises ConfigurationError. The caller closes it.
    """

    state = ("message_size", "fids", "deletions")
    setup = ("read_only", "owner")
    unsaved = ("folder", "_owners", "_fids", "_descriptors", "_listings", "_device")

    def __init__(self, path: str | os.PathLike[str], owner: tuple[int, int] = (0, 0), read_only: bool = False,
                 folder: Folder | None = None):
        self._owners = Owners(owner)
        self.folder = folder or Folder(path)
        self.owner = owner
        self.read_only = read_only
        self._fids = Fids()
        self._descriptors = Descriptors(self.folder, self._fids, read_only)
        self._listings = Listings()
        self._device = self.folder.stat(b"").st_dev
        self.message_size = LEAST_MESSAGE

    def close(self) -> None:
        """What is open is closed. Twice is harmless."""
        self._forget_all()
        self.folder.close()

    def twin(self) -> Server:
        """Another one for the same folder, without a session."""
        return Server(self.folder.path, self.owner, self.read_only, Folder(self.folder.path, self.folder))

    def reset(self) -> None:
        """The session ends."""
        self._forget_all()
        self.message_size = LEAST_MESSAGE

    def _forget_all(self) -> None:
        self.forget_host()
        self._fids.clear()

    # --- Saved state: descriptors are opened again when they are used ------------------------------------------------

    @property
    def fids(self) -> Saved:
        return self._fids.save()

    @fids.setter
    def fids(self, saved: Saved) -> None:
        self._fids.load(saved)

    @property
    def deletions(self) -> int:
        return self._fids.deletions

    @deletions.setter
    def deletions(self, saved: int) -> None:
        self._fids.deletions = saved

    def refuse_unfit(self, saved: Mapping[str, Any]) -> None:
        super().refuse_unfit(saved)
        size, deletions = saved["message_size"], saved["deletions"]
        if not (type(size) is int and LEAST_MESSAGE <= size <= MOST_MESSAGE):
            raise SnapshotError(f"the saved size of messages is damaged: {size!r:.200}")
        if not (type(deletions) is int and deletions >= 0):
            raise SnapshotError(f"the saved number of deletions is damaged: {deletions!r:.200}")
        if saved["fids"] != self.fids:
            refuse_unfit(saved["fids"])

    def load(self, saved: Mapping[str, Any]) -> None:
        """Raises SnapshotError for what is no state of a server; nothing has changed then."""
        super().load(saved)
        self.forget_host()

    def forget_host(self) -> None:
        """What is open may be something else than it was then, even where the fids are the same."""
        self._descriptors.close_all()
        self._listings.clear()

    # --- Messages ----------------------------------------------------------------------------------------------------

    def answer(self, head: bytes, data: Sequence[memoryview], room: int) -> Reply | Reading:
        """Do what a request asks for, and say so; what the host refuses is a reply, too.

        - head: the message; of a `write` what is in front of its data, which is `data`.
        - room: bytes for the reply, at least ERROR_SIZE. It is never longer than that, nor than `message_size`.

        Raises MalformedMessage for less than a header.
        """
        size, number, tag = header_of(head)
        room = min(room, self.message_size)
        try:
            if size > len(head) + sum(map(len, data)):
                raise MalformedMessage("a message that does not end")
            message = MESSAGES.get(number)
            if message is None or message.name not in ANSWERS:
                raise os_error(errno.EOPNOTSUPP)
            if self.read_only and message.name in CHANGING:
                raise os_error(errno.EROFS)
            values = ANSWERS[message.name](self, Request(data, room), *message.request.unpack(head))
            if message is READ:
                return Reading(tag, *values)
            if message is READDIR:
                return Reply(reply_to(message, tag, (len(values[0]),)), values[0])
            reply = reply_to(message, tag, values)
            if len(reply) > room:
                raise os_error(errno.EMSGSIZE)
            return Reply(reply)
        except OSError as error:
            return failure(tag, error.errno or errno.EIO)
        except MalformedMessage:
            return failure(tag, errno.EPROTO)

    def effort(self, head: bytes) -> int:
        """How much a request may take of the host: see `vm.share.effort`."""
        return effort(head, self._fids)

    def settle(self, head: bytes, reply: bytes) -> None:
        """A request was answered. Raises MalformedMessage and OSError for what no server has replied to it."""
        message = MESSAGES.get(header_of(head)[1])
        kind = header_of(reply)[1]
        failed = kind == LERROR.type + 1
        if not failed and (message is None or kind != message.type + 1):
            raise MalformedMessage(f"a reply of type {kind} to a request of type {header_of(head)[1]}")
        if message is None or message.name not in SETTLED:
            return
        if not failed:
            SETTLED[message.name](self, message.request.unpack(head), message.reply.unpack(reply))
        elif message.name in ALWAYS_FORGOTTEN:
            try:
                number = message.request.unpack(head)[0]
            except MalformedMessage:        # which is why it failed
                return
            self._forget(number)

    # --- The session -------------------------------------------------------------------------------------------------

    def _version(self, _: Request, message_size: int, version: bytes) -> Values:
        if message_size < LEAST_MESSAGE:
            raise os_error(errno.EMSGSIZE)
        known = version == VERSION or version.startswith(VERSION + b".")
        return min(message_size, MOST_MESSAGE), VERSION if known else b"unknown"

    def _settle_version(self, _: Values, reply: Values) -> None:
        if not LEAST_MESSAGE <= reply[0] <= MOST_MESSAGE:
            raise MalformedMessage(f"messages of {reply[0]} bytes, which no server settles")
        self._forget_all()
        self.message_size = reply[0]

    def _attach(self, _: Request, number: int, authentication: int, user: bytes, tree: bytes, uid: int) -> Values:
        if authentication != NO_FID:
            raise os_error(errno.EINVAL)
        if tree.strip(b"/"):
            raise os_error(errno.ENOENT)
        self._fids.refuse_taken(number)
        self._fids.refuse_more(number, b"")
        return (self._qid(self.folder.stat(b"")),)

    def _settle_attach(self, request: Values, _: Values) -> None:
        number, uid = request[0], request[-1]
        self._fids.refuse_taken(number)
        self._fids.bind(number, Fid(b"", 0 if uid == NO_FID else uid))

    def _walk(self, _: Request, number: int, new: int, names: list[bytes]) -> Values:
        fid = self._fids.get(number)
        if new != number:
            self._fids.refuse_taken(new)
        if len(names) > MOST_NAMES or (new == number and fid.is_open):
            raise os_error(errno.EINVAL)
        if not names:
            self._fids.refuse_more(new, fid.path)
            return ([],)
        path = self._path(number)
        self._fids.refuse_more(new, path_along(path, names))        # which refuses what is no name
        if SPECIAL.isdisjoint(names):
            return ([self._qid(found) for found in self.folder.walk(path, names)],)
        qids: list[Qid] = []
        for taken in range(1, len(names) + 1):  # the host is not asked for what leads up
            try:
                qids.append(self._qid(self.folder.stat(path_along(path, names[:taken]))))
            except OSError:
                if not qids:
                    raise
                break
        return (qids,)

    def _settle_walk(self, request: Values, reply: Values) -> None:
        number, new, names = request
        if len(reply[0]) == len(names):
            fid = self._fids.get(number)
            if new != number:
                self._fids.refuse_taken(new)
            self._fids.bind(new, Fid(path_along(fid.path, names), fid.uid, deleted=fid.deleted))

    def _nothing(self, _: Request, *fields: Any) -> Values:
        return ()

    def _clunk(self, _: Request, number: int) -> Values:
        self._fids.get(number)
        return ()

    def _settle_clunk(self, request: Values, _: Values) -> None:
        self._forget(request[0])

    def _forget(self, number: int) -> None:
        self._descriptors.close(number)
        self._listings.forget(number)
        self._fids.forget(number)

    # --- What fids stand for -----------------------------------------------------------------------------------------

    def _path(self, number: int) -> bytes:
        """Raises OSError (ENOENT) for what was deleted."""
        fid = self._fids.get(number)
        if fid.deleted:
            raise os_error(errno.ENOENT)
        return fid.path

    def _below(self, number: int, name: bytes) -> bytes:
        return joined(self._path(number), name)

    @contextmanager
    def _node(self, number: int) -> Iterator[int]:
        """A descriptor of what a fid stands for, of any kind."""
        fid = self._fids.get(number)
        if fid.is_open or fid.deleted:
            yield self._descriptors.of(number if fid.is_open else self._fids.opened_like(fid))
        else:
            with self.folder.at(fid.path) as node:
                yield node

    def _stat(self, number: int) -> os.stat_result:
        fid = self._fids.get(number)
        if not (fid.is_open or fid.deleted):
            return self.folder.stat(fid.path)
        with self._node(number) as node:
            return os.fstat(node)

    def _opened(self, number: int, *, reads: bool = False, writes: bool = False) -> int:
        """The descriptor of a fid that is open for this, at least."""
        fid = self._fids.get(number)
        if not fid.is_open or (reads and not fid.reads) or (writes and not fid.writes):
            raise os_error(errno.EBADF)
        return self._descriptors.of(number)

    def _qid(self, found: os.stat_result) -> Qid:
        version = (found.st_mtime_ns ^ found.st_size << 8) & 0xFFFF_FFFF
        return Qid(QID_KINDS.get(stat.S_IFMT(found.st_mode), 0), version, self._number(found.st_dev, found.st_ino))

    def _number(self, device: int, inode: int) -> int:
        """That of a file. The folder may have others mounted in it, with the same inodes."""
        if device == self._device:
            return inode
        return int.from_bytes(blake2b(f"{device} {inode}".encode(), digest_size=8).digest(), "little")

    # --- Looking -----------------------------------------------------------------------------------------------------

    def _getattr(self, _: Request, number: int, mask: int) -> Values:
        found = self._stat(number)
        return (BASIC, self._qid(found), found.st_mode, *self._owners.seen(found.st_uid, found.st_gid), found.st_nlink,
                found.st_rdev, found.st_size, found.st_blksize, found.st_blocks,
                *(part for ns in (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns) for part in seconds(ns)),
                0, 0, 0, 0)

    def _statfs(self, _: Request, number: int) -> Values:
        with self._node(number) as node:
            found = os.fstatvfs(node)
        return (V9FS_MAGIC, found.f_frsize, found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree,
                found.f_fsid & (1 << 64) - 1, found.f_namemax)

    def _readlink(self, _: Request, number: int) -> Values:
        return (self.folder.readlink(self._path(number)),)

    def _readdir(self, request: Request, number: int, offset: int, count: int) -> Values:
        descriptor = self._opened(number)
        listing = self._listing(number, descriptor, anew=offset == 0)
        device = os.fstat(descriptor).st_dev
        room = min(count, request.room - DATA_HEAD)
        packed = bytearray()
        for place in range(offset, len(listing)):
            entry = listing[place]
            qid = QID_KINDS.get(entry.kind, 0), 0, self._number(device, entry.inode)
            one = (QID_LAYOUT.pack(*qid) + ENTRY.pack(place + 1, entry.kind >> 12) + COUNT.pack(len(entry.name))
                   + entry.name)
            if len(packed) + len(one) > room:
                if not packed:
                    raise os_error(errno.EINVAL)
                break
            packed += one
        return (bytes(packed),)

    def _listing(self, number: int, descriptor: int, anew: bool) -> list[Entry]:
        """What is in an open folder, as it was when the guest began to read it."""
        if anew or number not in self._listings:
            self._listings.forget(number)
            itself = os.fstat(descriptor)
            fid = self._fids.get(number)
            above = itself if fid.deleted else self.folder.stat(path_along(fid.path, [b".."]))
            self._listings.keep(number, [Entry(b".", itself.st_ino, stat.S_IFDIR),
                                         Entry(b"..", above.st_ino, stat.S_IFDIR),
                                         *self.folder.entries(descriptor, self._listings.most)])
        return self._listings.of(number)

    # --- Files -------------------------------------------------------------------------------------------------------

    def _lopen(self, _: Request, number: int, flags: int) -> Values:
        if self._fids.get(number).is_open:
            raise os_error(errno.EINVAL)
        if self.read_only and flags & OPENED_TO_CHANGE:
            raise os_error(errno.EROFS)
        with self._node(number) as node:
            descriptor = self._descriptors.keep(number, lambda: opened(node, flags))
        return self._qid(os.fstat(descriptor)), 0

    def _settle_lopen(self, request: Values, _: Values) -> None:
        self._fids.open(*request)

    def _lcreate(self, _: Request, number: int, name: bytes, flags: int, mode: int, gid: int) -> Values:
        if self._fids.get(number).is_open:
            raise os_error(errno.EINVAL)
        path = self._below(number, name)
        self._fids.refuse_more(number, path)
        descriptor = self._descriptors.keep(number, lambda: self.folder.create(
            path, flags, mode, lambda made: self._give(made, number, gid)))
        return self._qid(os.fstat(descriptor)), 0

    def _settle_lcreate(self, request: Values, _: Values) -> None:
        number, name, flags = request[:3]
        fid = self._fids.get(number)
        self._fids.bind(number, Fid(joined(fid.path, name), fid.uid, flags))

    def _read(self, request: Request, number: int, offset: int, count: int) -> Values:
        descriptor = self._opened(number, reads=True)
        count = min(count, request.room - DATA_HEAD)
        refuse_offset(offset, count)
        return descriptor, offset, count

    def _write(self, request: Request, number: int, offset: int, count: int) -> Values:
        descriptor = self._opened(number, writes=True)
        refuse_offset(offset, count)
        if count != sum(map(len, request.data)):
            raise MalformedMessage("a write of another size than its data")
        if self._owners.privileged:             # the host may have set it since the file was opened
            drop_set_id(descriptor)
        return (os.pwritev(descriptor, request.data, offset),) if count else (0,)

    def _fsync(self, _: Request, number: int, data_only: int) -> Values:
        (os.fdatasync if data_only else os.fsync)(self._opened(number))
        return ()

    def _lock(self, _: Request, number: int, *fields: Any) -> Values:
        self._fids.get(number)
        return (SUCCESS,)

    def _getlock(self, _: Request, number: int, kind: int, start: int, length: int, process: int,
                 client: bytes) -> Values:
        self._fids.get(number)
        return UNLOCKED, start, length, process, client

    # --- Changing ----------------------------------------------------------------------------------------------------

    def _setattr(self, _: Request, number: int, valid: int, mode: int, uid: int, gid: int, size: int, *times: int
                 ) -> Values:
        with self._node(number) as node:
            found = os.fstat(node)
            if valid & (SET_UID | SET_GID):
                owners = self._owners.meant(uid if valid & SET_UID else NO_FID, gid if valid & SET_GID else NO_FID,
                                            (found.st_uid, found.st_gid))
                if owners != (UNCHANGED, UNCHANGED):
                    os.chown(by_descriptor(node), *owners)
            if valid & SET_MODE:
                chmod(node, mode)
            if valid & SET_SIZE:
                refuse_offset(size, 0)
                drop_set_id(node)
                if self._fids.get(number).writes:
                    os.ftruncate(node, size)
                else:
                    os.truncate(by_descriptor(node), size)
            if valid & SET_TIMES:
                set_times(node, found, valid, *times)
        return ()

    def _give(self, node: int, number: int, gid: int) -> None:
        """What was made belongs to the guest's user who made it, where this process may do that at all."""
        if self._owners.privileged:
            found = os.fstat(node)
            owners = self._owners.meant(self._fids.get(number).uid, gid, (found.st_uid, found.st_gid))
            if owners != (UNCHANGED, UNCHANGED):
                os.chown(by_descriptor(node), *owners)

    def _made(self, path: bytes, number: int, gid: int) -> Values:
        """It belongs to the guest's user, or is not made."""
        with self.folder.at(path) as node:
            found = os.fstat(node)
            try:
                self._give(node, number, gid)
            except OSError:
                with suppress(OSError):
                    self.folder.remove(path, folder=stat.S_ISDIR(found.st_mode))
                raise
            return (self._qid(found),)

    def _mkdir(self, _: Request, number: int, name: bytes, mode: int, gid: int) -> Values:
        path = self._below(number, name)
        self.folder.make_folder(path, mode)
        return self._made(path, number, gid)

    def _mknod(self, _: Request, number: int, name: bytes, mode: int, major: int, minor: int, gid: int) -> Values:
        path = self._below(number, name)
        if stat.S_IFMT(mode) != stat.S_IFREG:
            raise os_error(errno.EPERM)
        os.close(self.folder.create(path, os.O_WRONLY | os.O_EXCL, mode, lambda made: self._give(made, number, gid)))
        return (self._qid(self.folder.stat(path)),)

    def _symlink(self, _: Request, number: int, name: bytes, target: bytes, gid: int) -> Values:
        path = self._below(number, name)
        if b"\0" in target:
            raise os_error(errno.EINVAL)
        self.folder.make_link(path, target)
        return self._made(path, number, gid)

    def _link(self, _: Request, into: int, number: int, name: bytes) -> Values:
        self.folder.link(self._path(number), self._below(into, name))
        return ()

    def _rename(self, _: Request, number: int, into: int, name: bytes) -> Values:
        return self._move(self._path(number), self._below(into, name))

    def _move(self, path: bytes, new: bytes) -> Values:
        if path != new:
            self._fids.refuse_move(path, new)
            self._descriptors.hold(new)
        self.folder.rename(path, new)
        return ()

    def _settle_rename(self, request: Values, _: Values) -> None:
        number, into, name = request
        self._fids.move(self._path(number), self._below(into, name))

    def _renameat(self, _: Request, number: int, name: bytes, into: int, new: bytes) -> Values:
        return self._move(self._below(number, name), self._below(into, new))

    def _settle_renameat(self, request: Values, _: Values) -> None:
        number, name, into, new = request
        self._fids.move(self._below(number, name), self._below(into, new))

    def _unlinkat(self, _: Request, number: int, name: bytes, flags: int) -> Values:
        path = self._below(number, name)
        if flags & ~REMOVE_FOLDER:
            raise os_error(errno.EINVAL)
        self._descriptors.hold(path)
        self.folder.remove(path, folder=bool(flags))
        return ()

    def _settle_unlinkat(self, request: Values, _: Values) -> None:
        self._fids.delete(self._below(request[0], request[1]))

    def _remove(self, _: Request, number: int) -> Values:
        path = self._path(number)
        self._descriptors.hold(path)
        self.folder.remove(path, folder=stat.S_ISDIR(self.folder.stat(path).st_mode))
        return ()

    def _settle_remove(self, request: Values, _: Values) -> None:
        self._fids.delete(self._path(request[0]))
        self._forget(request[0])


# What is not here is answered with EOPNOTSUPP, which guests are used to
ANSWERS: dict[str, Callable[..., Values]] = {
    "version": Server._version, "attach": Server._attach, "walk": Server._walk, "clunk": Server._clunk,
    "flush": Server._nothing, "getattr": Server._getattr, "setattr": Server._setattr, "statfs": Server._statfs,
    "lopen": Server._lopen, "lcreate": Server._lcreate, "read": Server._read, "write": Server._write,
    "readdir": Server._readdir, "readlink": Server._readlink, "fsync": Server._fsync, "lock": Server._lock,
    "getlock": Server._getlock, "mkdir": Server._mkdir, "mknod": Server._mknod, "symlink": Server._symlink,
    "link": Server._link, "rename": Server._rename, "renameat": Server._renameat, "unlinkat": Server._unlinkat,
    "remove": Server._remove,
}
SETTLED: dict[str, Callable[[Server, Values, Values], None]] = {
    "version": Server._settle_version, "attach": Server._settle_attach, "walk": Server._settle_walk,
    "clunk": Server._settle_clunk, "lopen": Server._settle_lopen, "lcreate": Server._settle_lcreate,
    "rename": Server._settle_rename, "renameat": Server._settle_renameat, "unlinkat": Server._settle_unlinkat,
    "remove": Server._settle_remove,
}
ALWAYS_FORGOTTEN = {"clunk", "remove"}  # whatever comes of it
