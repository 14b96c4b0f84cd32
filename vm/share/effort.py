"""How much a request may take of the host, before it is answered: from the request and the fids alone.

So it is the same in each run of a machine and in its replay, whatever the host is doing. The unit is about what one
system call on a name takes, a microsecond; what is meant is an upper bound, and no measure.
"""

from __future__ import annotations

import os

from vm.share.fids import Fids
from vm.share.messages import MESSAGES, MalformedMessage, header_of

BASE = 20                               # of every request
PER_KIB = 1                             # of the message and of data
SLICE = 20_000                          # after so much, others have their turn
FIDS = {"fid", "dfid", "olddirfid", "newdirfid", "dirfid"}     # fields
THROUGH_ALL = {"rename", "renameat", "unlinkat", "remove"}     # look at all fids, and open those of a file again
LONG = {"readdir", "fsync"}             # a large folder is listed; a disk is waited for
SYNCHRONOUS = os.O_SYNC | os.O_DSYNC


def effort(head: bytes, fids: Fids) -> int:
    """`head` is the message, at least a header; of a `write` what is in front of its data."""
    message = MESSAGES.get(header_of(head)[1])
    if message is None:
        return BASE
    try:
        fields = dict(zip(message.request.names, message.request.unpack(head), strict=True))
    except MalformedMessage:            # nothing is done then
        return BASE
    named = [fid for name, number in fields.items() if name in FIDS and (fid := fids.find(number)) is not None]
    taken = sum(fid.path.count(b"/") + 1 for fid in named) * (1 + len(fields.get("names", ())))
    if message.name in THROUGH_ALL:
        taken += len(fids)
    if message.name in LONG or (message.name == "write" and any(fid.flags & SYNCHRONOUS for fid in named)):
        taken += SLICE
    size: int = fields.get("count", fields.get("data", 0))
    taken += PER_KIB * (len(head) + size >> 10)
    return BASE + taken
