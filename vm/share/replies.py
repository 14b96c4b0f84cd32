"""What a server of 9P2000.L replies, on its way to the guest."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import NamedTuple

from vm.share.messages import LERROR, NAMED, reply_to

READ = NAMED["read"]


class Reply(NamedTuple):
    """A message: what stands in front of its data, and that.

    - placed: bytes of data that are already where the reply is to go.
    """

    front: bytes
    data: bytes = b""
    placed: int = 0


class Reading(NamedTuple):
    """A reply whose data is in a file, until somebody says where it is to go."""

    tag: int
    descriptor: int
    offset: int
    size: int

    def into(self, buffers: Sequence[memoryview]) -> Reply:
        """The reply, with its data in these buffers, of `size` bytes together: all that the file has there."""
        try:
            size = os.preadv(self.descriptor, buffers, self.offset)
        except OSError as error:
            return failure(self.tag, error.errno or errno.EIO)
        return Reply(reply_to(READ, self.tag, (size,)), placed=size)


def failure(tag: int, number: int) -> Reply:
    """The reply that a request failed, and with which errno."""
    return Reply(reply_to(LERROR, tag, (number,)))
