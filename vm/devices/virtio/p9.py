"""Virtio 9P device: a folder of the host, by the protocol 9P2000.L over one queue of requests.

Virtio 1.2 has its number among those of section 5, and no more: drivers and devices follow Linux's
net/9p/trans_virtio.c. A request is a chain of a message to read and of room for the reply; the configuration space has
the tag by which a folder is mounted: u16 length, then its bytes.

What the files hold is the world's, not the machine's: a snapshot has none of it, and going back undoes nothing of what
the guest has written. While a run is recorded or a history kept, the replies enter the machine as all input does, one
after the other, so that the log has them; a replay does not ask the host, and writes nothing there.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

from vm.devices.port import Port
from vm.devices.virtio.queue import Buffer, Chain
from vm.devices.virtio.transport import VirtioDevice
from vm.errors import ConfigurationError, LogError, MalformedQueue, SnapshotError
from vm.share.effort import SLICE
from vm.share.messages import DATA_HEAD, ERROR_SIZE, HEADER, WRITE, WRITE_HEAD, MalformedMessage, header_of
from vm.share.replies import Reading, Reply, failure
from vm.share.server import Server

F_MOUNT_TAG = 0
TAG_LENGTH = struct.Struct("<H")
LONGEST_TAG = 255

SHORT = 4096                            # bytes of a message that is copied as a whole
MOST_WINDOWS = 8                        # pieces of guest memory that a file is read into; to copy is faster for more
ANSWER, GO_ON = 0, 1                    # events: look for what is to be answered; the same after a rest
REST_NS = 100_000                       # guest time that the harts have where requests have taken much of the host
LOST_NS = 10**9                         # by then a reply has come, if it is not lost with the history that had it


class Exchange(NamedTuple):
    """A chain, taken apart: a message, but for the data that it writes; that; and where the reply goes."""

    chain: Chain
    head: bytes
    data: list[memoryview]
    room: Buffer


class SharedFolder(Port, VirtioDevice):
    """A folder of the host in the guest, which reads and writes it as this process may, and nothing outside it.

    How it is mounted says `docs/how-to/folders.md`.

    - tag: the name by which it is mounted, ASCII without spaces.
    - read_only: the guest changes nothing; it is told that the file system is read-only.
    - owner: the user and the group that the guest sees for what belongs to this process.
    - server: what is at work in the folder, if there is one, as a twin has.

    Raises ConfigurationError for a path that is no folder, and for what no tag or owner can be.
    """

    device_id = 9
    queue_count = 1
    state = VirtioDevice.state + ("session", "awaiting", "taken", "resting")
    setup = ("path", "tag", "read_only", "owner")
    unsaved = VirtioDevice.unsaved + Port.unsaved + ("server", "_come")

    def __init__(self, path: str | os.PathLike[str], tag: str = "share", read_only: bool = False,
                 owner: tuple[int, int] = (0, 0), server: Server | None = None):
        if not (tag.isascii() and tag.isprintable() and tag and " " not in tag and len(tag) <= LONGEST_TAG):
            raise ConfigurationError(f"tag={tag!r}: the name by which a guest mounts {os.fspath(path)} is ASCII "
                                     f"without spaces, of 1 to {LONGEST_TAG} characters")
        self.path = os.fspath(path)
        self.tag = tag
        self.read_only = read_only
        self.owner = owner
        self.server = server or Server(self.path, owner, read_only)
        self.awaiting = False           # the reply to the request at the queue's head is to come in
        self._come = b""                # it has, just now
        self.taken = 0                  # effort, since the queue was empty, or the harts had their turn
        self.resting = False            # they have it
        super().__init__()

    # --- The folder --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        self.server.close()

    def reset(self) -> None:
        self._await(False)
        if self.resting:
            self.events.cancel(self, GO_ON)
        self.resting = False
        self.taken = 0
        self.server.reset()
        super().reset()

    def twin(self) -> SharedFolder:
        """Another one on the same folder, with a session of its own."""
        return type(self)(server=self.server.twin(), **self.arguments())

    @property
    def session(self) -> dict[str, Any]:
        """The guest's fids, and what it has negotiated."""
        return self.server.save()

    @session.setter
    def session(self, saved: Mapping[str, Any]) -> None:
        self.server.load(saved)

    def refuse_unfit(self, saved: Mapping[str, Any]) -> None:
        super().refuse_unfit(saved)
        try:
            if [type(saved[name]) for name in ("awaiting", "taken", "resting")] != [bool, int, bool]:
                raise SnapshotError("what it was about to do is none")
            self.server.refuse_unfit(saved["session"])
        except (SnapshotError, TypeError, AttributeError) as error:
            raise SnapshotError(f"the saved state of {type(self).__name__} of {self.path} is damaged: {error}"
                                ) from error

    def load(self, saved: Mapping[str, Any]) -> None:
        super().load(saved)
        self.server.forget_host()

    # --- Features and configuration ----------------------------------------------------------------------------------

    def features(self) -> int:
        return 1 << F_MOUNT_TAG

    def config(self) -> bytes:
        return TAG_LENGTH.pack(len(self.tag)) + self.tag.encode()

    # --- Requests ----------------------------------------------------------------------------------------------------

    def on_event(self, event: int, data: int) -> None:
        if event == GO_ON:
            self.resting = False
        else:
            self.awaiting = False
        self.serve(0)

    def accept(self, data: bytes) -> None:
        """A reply has come in."""
        if self.awaiting:
            self._come = data
            self.serve(0)

    def handle(self, index: int) -> None:
        if self._come:
            self._take()
        elif self.resting:
            return
        elif self._outside is not None and self._outside.inputs.history is not None:
            self._ask()
        else:
            self._await(False)
            while not self.resting and (chain := self.queues[index].next()):
                exchange = exchange_in(chain, self.server.message_size)
                self._complete(exchange, self._answer(exchange, in_place=True))

    def _ask(self) -> None:
        """Let the reply to the next request come in, if none is to come. Where it is known it comes by itself."""
        chain = None if self.awaiting else self.queues[0].next()
        if chain is None:
            return
        exchange = exchange_in(chain, self.server.message_size)
        self._await(True)
        assert self._outside is not None
        if self._outside.inputs.asks:
            reply = self._answer(exchange, in_place=False)
            self._outside.enter(reply.front + reply.data)

    def _take(self) -> None:
        """The reply that has come in. Raises LogError for one that is none, which is then not answered."""
        self._await(False)
        reply, self._come = Reply(self._come), b""
        chain = self.queues[0].next()
        if chain is not None:
            exchange = exchange_in(chain, self.server.message_size)
            try:
                self._complete(exchange, reply)
            except (MalformedMessage, OSError) as error:
                raise LogError(f"the log has a reply of the shared folder {self.tag!r} that no server gives to the "
                               f"guest's request ({error}): it is damaged, or was made by another release of vm"
                               ) from error
        if not self.resting and self.queues[0].next() is not None:
            self.events.schedule(0, self, ANSWER)

    def _await(self, awaiting: bool) -> None:
        if self.awaiting:
            self.events.cancel(self, ANSWER)
        self.awaiting = awaiting
        if awaiting:
            self.events.schedule(LOST_NS, self, ANSWER)

    def _answer(self, exchange: Exchange, *, in_place: bool) -> Reply:
        """What the host says. `in_place`: it may read a file into guest memory."""
        if exchange.chain.readable.size > self.server.message_size:
            return failure(header_of(exchange.head)[2], errno.EMSGSIZE)
        reply = self.server.answer(exchange.head, exchange.data, exchange.room.size)
        if not isinstance(reply, Reading):
            return reply
        place = exchange.room.split(DATA_HEAD)[1].split(reply.size)[0]
        if in_place and len(place.segments) <= MOST_WINDOWS:
            with ExitStack() as stack:
                return reply.into([stack.enter_context(self.memory.writable(*segment)) for segment in place.segments])
        data = memoryview(bytearray(reply.size))
        read = reply.into([data])
        return Reply(read.front, bytes(data[:read.placed]))

    def _complete(self, exchange: Exchange, reply: Reply) -> None:
        """Give the reply to the guest. Where others have asked for too much before, the next ones wait."""
        self.taken += self.server.effort(exchange.head)
        self.server.settle(exchange.head, reply.front)
        written = exchange.room.write(reply.front)
        if reply.data:
            written += exchange.room.split(written)[1].write(reply.data)
        self.queues[0].push(exchange.chain, written + reply.placed)
        if self.queues[0].next() is None:
            self.taken = 0
        elif self.taken >= SLICE:
            self.taken = 0
            self.resting = True
            self.events.schedule(REST_NS, self, GO_ON)


def exchange_in(chain: Chain, most: int) -> Exchange:
    """Of a message that is longer than `most`, only the beginning is read.

    Raises MalformedQueue for less than a message has, and where there is no room for an answer.
    """
    if chain.readable.size < HEADER.size or chain.writable.size < ERROR_SIZE:
        raise MalformedQueue("a request without room for its header, or for an error")
    if chain.readable.size <= SHORT:
        head, data = chain.readable.read(), b""
        if header_of(head)[1] == WRITE:
            head, data = head[:WRITE_HEAD], head[WRITE_HEAD:]
        return Exchange(chain, head, [memoryview(data)], chain.writable.merged())
    beginning, rest = chain.readable.split(WRITE_HEAD)
    head = beginning.read()
    views: list[memoryview] = []
    if chain.readable.size <= most:
        if header_of(head)[1] == WRITE:
            views = rest.views()
        else:
            head += rest.read()
    return Exchange(chain, head, views, chain.writable.merged())
