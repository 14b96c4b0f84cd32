"""Captures of frames, in the file format that tcpdump and Wireshark read: pcap with nanoseconds, of Ethernet."""

from __future__ import annotations

import os
import struct

from vm.errors import ConfigurationError

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
        self._file.write(HEADER.pack(MAGIC, MAJOR, MINOR, 0, 0, LARGEST, ETHERNET))
        self.flush()

    def write(self, ns: int, frame: bytes) -> None:
        """A frame, and when it was there: nanoseconds since 1970."""
        seconds, nanoseconds = divmod(ns, 10**9)
        self._file.write(RECORD.pack(seconds & 0xFFFF_FFFF, nanoseconds, len(frame), len(frame)) + frame)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Twice is harmless."""
        self._file.close()
