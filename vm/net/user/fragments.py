"""Putting IP packets together that a guest has cut into fragments (RFC 791, section 3.2; RFC 8200, section 4.5)."""

from __future__ import annotations

import time
from typing import NamedTuple

from vm.net.packet import SHORTEST_IPV4_HEADER
from vm.net.user.headers import Datagram

MOST_PACKETS = 16               # that are under way at a time: of more, the oldest is given up
LARGEST = 65535
PATIENCE = 30.0                 # host seconds


class Key(NamedTuple):
    source: bytes
    destination: bytes
    protocol: int
    identification: int


class Partial:
    """A packet of which some fragments have come."""

    def __init__(self) -> None:
        self.since = time.monotonic()
        self.pieces: dict[int, bytes] = {}
        self.room = LARGEST
        self.size: int | None = None        # known when the last one has come

    def add(self, fragment: Datagram) -> bytes | None:
        """All of it, if it is all. Pieces that overlap, or come twice, make none: nobody but an attacker cuts so."""
        self.room -= len(fragment.payload)
        if fragment.offset in self.pieces or self.room < 0:
            return None
        self.pieces[fragment.offset] = fragment.payload
        if not fragment.more:
            self.size = fragment.offset + len(fragment.payload)
        if self.size is None or LARGEST - self.room != self.size:
            return None
        end = 0
        for offset in sorted(self.pieces):
            if offset != end:
                return None
            end += len(self.pieces[offset])
        return b"".join(self.pieces[offset] for offset in sorted(self.pieces))


class Reassembly:
    """Of all packets of one guest."""

    def __init__(self) -> None:
        self._partial: dict[Key, Partial] = {}

    def add(self, fragment: Datagram) -> Datagram | None:
        """The packet that this completes."""
        header = SHORTEST_IPV4_HEADER if len(fragment.source) == 4 else 0      # what the size of IPv4 counts, too
        if header + fragment.offset + len(fragment.payload) > LARGEST:
            return None
        key = Key(*fragment[:3], fragment.identification)
        partial = self._partial.get(key)
        if partial is None or time.monotonic() - partial.since > PATIENCE:
            self._partial.pop(key, None)
            if len(self._partial) == MOST_PACKETS:
                del self._partial[next(iter(self._partial))]
            partial = self._partial[key] = Partial()
        payload = partial.add(fragment)
        if payload is None:
            return None
        del self._partial[key]
        return fragment._replace(payload=payload, offset=0, more=False)
