"""The pieces that payloads are made of: numbers and data in hexadecimal, threads, lists."""

from __future__ import annotations

import re

HEX = re.compile(rb"[0-9a-fA-F]{1,16}")
DATA = re.compile(rb"([0-9a-fA-F]{2})*")
THREAD = re.compile(rb"(?:p[0-9a-fA-F]{1,8}\.)?(-1|[0-9a-fA-F]{1,8})")


class Malformed(ValueError):
    """A packet that is none."""


def number(text: bytes) -> int:
    """Of at most 64 bits, without a sign or 0x."""
    if not HEX.fullmatch(text):
        raise Malformed
    return int(text, 16)


def data_of(text: bytes) -> bytes:
    """Bytes of two digits each."""
    if not DATA.fullmatch(text):
        raise Malformed
    return bytes.fromhex(text.decode())


def parted(text: bytes, separator: bytes, count: int) -> list[bytes]:
    """What stands between separators: that many parts, the last with all the rest."""
    parts = text.split(separator, count - 1)
    if len(parts) != count:
        raise Malformed
    return parts


def signed_thread(text: bytes) -> int:
    """The number of a thread, behind that of a process or not; 0 is any, and -1 all."""
    match = THREAD.fullmatch(text)
    if match is None:
        raise Malformed
    return int(match[1], 16)
