"""Captures of frames, in the file format that tcpdump and Wireshark read: pcap with nanoseconds, of Ethernet."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Callable

from vm.errors import ConfigurationError

log = logging.getLogger("vm.net")

MAGIC = 0xA1B2_3C4D                 # of files whose times have nanoseconds
MAJOR, MINOR = 2, 4
LARGEST = 1 << 18                   # bytes of a frame that are kept: all, of any there is
ETHERNET = 1                        # LINKTYPE_ETHERNET
HEADER = struct.Struct("<IHHiIII")  # magic, version, zone, accuracy, largest, link type
RECORD = struct.Struct("<IIII")     # seconds, nanoseconds, bytes that are kept, bytes that there were


class Capture:
    """A file that frames are written to. It is made anew, and whole up to the last `flush`.

    Raises ConfigurationError where it cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        try:
            self._file = open(path, "wb")
        except OSError as error:
            raise ConfigurationError(f"{self.path}: the capture cannot be written: {error.strerror}") from error
        self._broken = False
        self._do(lambda: self._file.write(HEADER.pack(MAGIC, MAJOR, MINOR, 0, 0, LARGEST, ETHERNET)))
        self.flush()

    def write(self, ns: int, frame: bytes) -> None:
        """A frame, and when it was there: nanoseconds since 1970."""
        seconds, nanoseconds = divmod(ns, 10**9)
        record = RECORD.pack(seconds & 0xFFFF_FFFF, nanoseconds, len(frame), len(frame)) + frame
        self._do(lambda: self._file.write(record))

    def flush(self) -> None:
        self._do(self._file.flush)

    def close(self) -> None:
        """Twice is harmless."""
        self._do(self._file.close)

    def _do(self, action: Callable[[], object]) -> None:
        """A disk that is full ends the capture, not the guest's run."""
        if self._broken:
            return
        try:
            action()
        except OSError as error:
            self._broken = True
            log.warning("%s: the capture ends: %s", self.path, error.strerror)
