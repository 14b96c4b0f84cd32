"""How packets lie in the stream of bytes: `$payload#checksum`, and the single bytes that may stand between them.

GDB manual, E.1 (Overview). A `$` within a packet begins it anew; `}` escapes the byte after it, which has bit 5
inverted.
"""

from __future__ import annotations

import re
from enum import Enum

PACKET_SIZE = 0x40000               # bytes of a payload that we take, as told to the debugger
HEX_DIGITS = re.compile(rb"[0-9a-fA-F]{2}")
ESCAPE, INVERTED = 0x7D, 0x20
TO_ESCAPE = re.compile(rb"[#$*}]")  # `*` begins a run length


class Mark(Enum):
    """What comes between packets, or instead of one."""

    INTERRUPT = 0x03                # stop the machine
    TAKEN = ord("+")                # the last packet arrived
    REPEAT = ord("-")               # it did not: send it again
    DAMAGED = 0                     # a packet whose checksum is wrong, or that is too long


STARTS = re.compile(rb"[$\x03+-]")


class PacketReader:
    """Cuts a stream of bytes into packets and marks, however the bytes come; what is neither is left out."""

    def __init__(self, longest: int = 2 * PACKET_SIZE):     # every byte may be escaped
        self._longest = longest
        self._held = bytearray()    # what is not cut yet; it begins with `$`
        self._searched = 0          # up to where there is no `#`
        self._losing = False        # a packet that was too long goes on

    def feed(self, data: bytes) -> list[bytes | Mark]:
        """What has become whole with this data: payloads, with nothing escaped any more, and marks."""
        self._held += data
        found: list[bytes | Mark] = []
        at = 0
        while True:
            if self._losing:
                ended = self._held.find(b"#", at)
                if ended < 0:
                    at = len(self._held)
                    break
                self._losing = False
                at = ended + 1
            start = STARTS.search(self._held, at)
            if start is None:
                at = len(self._held)
                break
            at = start.start()
            if self._held[at] != ord("$"):
                found.append(Mark(self._held[at]))
                at += 1
                continue
            end = self._held.find(b"#", max(at, self._searched))
            if end < 0 and len(self._held) - at > self._longest:
                found.append(Mark.DAMAGED)
                self._losing, self._searched = True, 0
                continue
            if end < 0 or end + 2 >= len(self._held):
                self._searched = len(self._held) - at if end < 0 else end - at
                break
            self._searched = 0
            found.append(opened(bytes(self._held[at + 1:end]), bytes(self._held[end + 1:end + 3])))
            at = end + 3
        del self._held[:at]
        return found


def opened(content: bytes, checksum: bytes) -> bytes | Mark:
    """The payload of a packet, by what stands between `$` and `#`, and behind that."""
    payload = content.rpartition(b"$")[2]
    if not HEX_DIGITS.fullmatch(checksum) or sum(payload) & 0xFF != int(checksum, 16):
        return Mark.DAMAGED
    first, *others = payload.split(bytes([ESCAPE]))
    if not all(others):             # an escape that nothing follows, or another
        return Mark.DAMAGED
    return first + b"".join(bytes([other[0] ^ INVERTED]) + other[1:] for other in others)


def framed(payload: bytes) -> bytes:
    """The packet with this payload, in which all is escaped that must be."""
    return b"$%b#%02x" % (payload, sum(payload) & 0xFF)


def escaped(data: bytes) -> bytes:
    """Binary data as it may stand in a payload."""
    return TO_ESCAPE.sub(lambda match: bytes([ESCAPE, match[0][0] ^ INVERTED]), data)
