"""The machine's serial console as a program sees it: what the guest prints, what is typed to it, and waiting.

Waiting is after the manner of Expect (Libes, 1990), in guest time: with a virtual clock the same script finds the same
output at the same step every time.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Any

from vm.errors import ExpectFailed, ExpectStopped, ExpectTimeout
from vm.stop import Stop, StopReason

REGEX_WINDOW = 4096         # bytes before new output that a regular expression is tried on
TAIL = 1000                 # bytes of output in an error message
REPR_TAIL = 40              # the same where the console shows itself


class Console:
    """Everything the guest prints and everything typed to it.

    `send`, `run` and `request_stop` are the machine's: input to the console device, `Machine.run`, and the request that
    makes `run` return as soon as the current instruction is done.

    Attributes:
        before: the output between the previous match of `expect` and the last one
        mirror: called with a copy of all output, as it comes
        record: keep the output; without it only what comes while `expect` waits is kept
    """

    def __init__(self, send: Callable[[bytes], None], run: Callable[..., Stop], request_stop: Callable[[], None]):
        self._send = send
        self._run = run
        self._request_stop = request_stop
        self._output = bytearray()
        self._position = 0                      # the end of the last match
        self._search: Search | None = None      # what `expect` waits for
        self.before: str | bytes = ""
        self.mirror: Callable[[bytes], None] | None = None
        self.record = True

    def __repr__(self) -> str:
        ending = bytes(self._output[-REPR_TAIL:]).decode(errors="replace")
        return f"<Console: {len(self._output):,} bytes printed, the last {ending!r}>"

    @property
    def output(self) -> bytes:
        """All that was printed so far."""
        return bytes(self._output)

    @property
    def text(self) -> str:
        """The same as text; what is not UTF-8 shows as U+FFFD."""
        return self._output.decode(errors="replace")

    def send(self, data: str | bytes) -> None:
        """Type something. Enter is `\\n` here; a terminal sends `\\r` for it, and most guests take either."""
        self._send(data.encode() if isinstance(data, str) else bytes(data))

    def write(self, data: bytes) -> None:
        """Take what the guest prints: the output of its console devices."""
        if self.mirror is not None:
            self.mirror(data)                   # first: if it raises, the guest will print this again
        if not self.record and self._search is None:
            return
        old_end = len(self._output)
        self._output += data
        if self._search is not None and self._search.match is None:
            start = max(self._position, self._search.start(self._output, old_end))
            if self._find(self._search, start):
                self._request_stop()

    def expect(self, pattern: str | bytes | re.Pattern[Any], seconds: float = 60) -> re.Match[Any]:
        """Run until the guest prints `pattern`, behind the previous match; guest time, in seconds, is the limit.

        Returns at once if it is there already. Otherwise the machine stops when the byte that completes the match is
        printed; output that came with that byte in one piece stays for the next `expect`.

        A string is found wherever it is. A regular expression is tried whenever something is printed, so it matches as
        soon as it can (`[0-9]+` on the first digit), and on the line being printed and the one before it only, of these
        on the last 4096 bytes: waiting costs the same however much the guest prints. `^` needs `re.MULTILINE`.

        The match is over text for a text pattern and over bytes for a bytes pattern, and so is `before`; its positions
        count from where the search began. In text, bytes that are not UTF-8 are lone surrogates ("surrogateescape").
        """
        search = Search(pattern)
        if not self._find(search, self._position):
            self._search = search
            try:
                stop = self._run(seconds=seconds)
            finally:
                self._search = None
        if search.match is None:
            raise self._failure(pattern, seconds, stop)
        return search.match

    def _find(self, search: Search, start: int) -> bool:
        found = search.find(self._output, start)
        if found is None:
            return False
        search.match, first, end = found
        before = self._output[self._position:first]
        self.before = before.decode(errors="surrogateescape") if search.is_text else bytes(before)
        self._position = end
        return True

    def _failure(self, pattern: str | bytes | re.Pattern[Any], seconds: float, stop: Stop) -> ExpectFailed:
        wanted = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
        pending = self._output[self._position:]
        tail = pending[-TAIL:].decode(errors="replace")
        ending = f"; its output ends with:\n{tail}" if tail else "; it printed nothing"
        if stop.reason is StopReason.DEADLINE:
            return ExpectTimeout(f"the guest did not print {wanted!r} in {seconds:g} seconds of its time{ending}")
        if stop.reason is StopReason.IDLE:
            return ExpectTimeout(f"the guest did not print {wanted!r}: it waits, and only input can wake it{ending}")
        message = f" ({stop.message})" if stop.message else ""
        reason = stop.reason.value
        return ExpectStopped(f"the machine stopped with {reason}{message} before it printed {wanted!r}{ending}", stop)


class Search:
    """One pattern, ready to be looked for in the output."""

    def __init__(self, pattern: str | bytes | re.Pattern[Any]):
        self.is_text = isinstance(pattern.pattern if isinstance(pattern, re.Pattern) else pattern, str)
        self.match: re.Match[Any] | None = None
        self.needle: bytes | None = None
        self.regex: re.Pattern[Any]
        if isinstance(pattern, re.Pattern):
            self.regex = pattern
        elif isinstance(pattern, str):
            self.needle = pattern.encode()
            self.regex = re.compile(re.escape(pattern))
        else:
            self.needle = bytes(pattern)
            self.regex = re.compile(re.escape(pattern))

    def start(self, output: bytearray, old_end: int) -> int:
        """Where a match that new output behind `old_end` completes can begin."""
        if self.needle is not None:
            return max(old_end - len(self.needle) + 1, 0)
        window = max(old_end - REGEX_WINDOW, 0)
        line = output.rfind(b"\n", window, old_end)
        return max(output.rfind(b"\n", window, max(line, window)) + 1, window)

    def find(self, output: bytearray, start: int) -> tuple[re.Match[Any], int, int] | None:
        """The first match from `start` on, with where in the output it begins and ends."""
        end = len(output)
        if self.needle is not None:
            start = output.find(self.needle, start)
            if start < 0:
                return None
            end = start + len(self.needle)
        if not self.is_text:
            match: re.Match[Any] | None = self.regex.search(bytes(output[start:end]))
            return match and (match, start + match.start(), start + match.end())
        # Not final: a character of which only the first bytes are printed is not there yet.
        text, _ = codecs.utf_8_decode(output[start:end], "surrogateescape", False)
        match = self.regex.search(text)
        return match and (match, start + encoded_size(text[:match.start()]), start + encoded_size(text[:match.end()]))


def encoded_size(text: str) -> int:
    """How many bytes of output became `text`."""
    return len(text.encode(errors="surrogateescape"))
