"""What the guest has printed last, for those who come later or cannot follow."""

from __future__ import annotations

LIMIT = 1 << 19                 # bytes that are kept, at least; up to twice as many before the older ones go


class Scrollback:
    """The end of the console's output. Positions count from the beginning of it all, and never go back.

    - era: another one when the output is another, as after going back to a snapshot.
    - start, end: what is kept.
    """

    def __init__(self, data: bytes):
        self.era = 0
        self.start = 0
        self._data = bytearray()
        self.write(data)

    @property
    def end(self) -> int:
        return self.start + len(self._data)

    def write(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > 2 * LIMIT:
            line = self._data.find(b"\n", len(self._data) - LIMIT) + 1      # 0: in LIMIT bytes there is no line
            gone = line or len(self._data) - LIMIT
            del self._data[:gone]
            self.start += gone

    def since(self, position: int, most: int) -> bytes:
        """So many bytes from there on, which is kept."""
        begin = position - self.start
        return bytes(self._data[begin:begin + most])

    def save(self) -> bytes:
        return bytes(self._data)

    def load(self, saved: bytes) -> None:
        """Be as it was; who has followed until now begins again."""
        self.era += 1
        self.start = self.end
        self._data[:] = saved
