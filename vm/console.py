"""The machine's serial console as a program sees it: what the guest prints, what is typed to it, and waiting.

Waiting is after the manner of Expect (Libes, 1990), in guest time: with a virtual clock the same script finds the same
output at the same step every time.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, overload
from zlib import crc32

from vm.errors import UnexpectedOutput
from vm.state import Stateful
from vm.stop import Stop
from vm.waiting import unmet

REGEX_WINDOW = 4096         # bytes before new output that a regular expression is tried on
TAIL = 1000                 # bytes of output in an error message
REPR_TAIL = 40              # the same where the console shows itself

Text: TypeAlias = str | re.Pattern[str]
Bytes: TypeAlias = bytes | re.Pattern[bytes]
Pattern: TypeAlias = Text | Bytes


class Console(Stateful):
    """Everything the guest prints and everything typed to it.

    `send`, `unread`, `run` and `request_stop` are the machine's: input to the console device, how much of it the guest
    has not read, `Machine.run`, and the request that makes `run` return as soon as the current instruction is done.

    Attributes:
        before: the output between the previous match of `expect` and the last one, as text; bytes that are not UTF-8
            are lone surrogates ("surrogateescape")
        before_bytes: the same as bytes
        index: which pattern of the list matched last
        mirror: called with a copy of all output, as it comes
        record: keep the output; without it only what comes while `expect` waits is kept
    """

    state = ("output", "position", "before", "before_bytes", "index")
    unsaved = ("_send", "_unread", "_run", "_request_stop", "_forget_answers", "_output", "_saved", "_position",
               "_search", "mirror", "record", "printed")

    def __init__(self, send: Callable[[bytes], None], unread: Callable[[], int], run: Callable[..., Stop],
                 request_stop: Callable[[], None], forget_answers: Callable[[], None]):
        self._send = send
        self._unread = unread
        self._run = run
        self._request_stop = request_stop
        self._forget_answers = forget_answers
        self._output = bytearray()
        self._saved = b""                       # what was saved or loaded last; output is appended, so it begins so
        self._position = 0                      # the end of the last match
        self._search: Search | None = None      # what `expect` waits for
        self.before: str = ""
        self.before_bytes: bytes = b""
        self.index: int = 0
        self.mirror: Callable[[bytes], None] | None = None
        self.record = True
        self.printed: int | None = None         # where a run is recorded or replayed: the CRC-32 of what it has printed

    def __repr__(self) -> str:
        ending = bytes(self._output[-REPR_TAIL:]).decode(errors="replace")
        return f"<Console: {len(self._output):,} bytes printed, the last {ending!r}>"

    @property
    def output(self) -> bytes:
        """All that was printed so far."""
        return self._saved if len(self._saved) == len(self._output) else bytes(self._output)

    @property
    def pending(self) -> bytes:
        """What was printed behind the last match of `expect`, where the next search begins."""
        return bytes(self._output[self._position:])

    @property
    def text(self) -> str:
        """The same as text; what is not UTF-8 shows as U+FFFD."""
        return self._output.decode(errors="replace")

    @property
    def unread(self) -> int:
        """How many bytes of what was typed the guest has not read yet."""
        return self._unread()

    def send(self, data: str | bytes) -> None:
        """Type something. Enter is `\\n` here; a terminal sends `\\r` for it, and most guests take either."""
        if not isinstance(data, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"send() takes text or bytes, not {type(data).__name__}")
        self._send(data.encode() if isinstance(data, str) else bytes(data))

    def write(self, data: bytes) -> None:
        """Take what the guest prints: the output of its console devices."""
        if self.mirror is not None:
            self.mirror(data)                   # first: if it raises, the guest will print this again
            self._forget_answers()              # it may have changed a device
        if self.printed is not None:
            self.printed = crc32(data, self.printed)
        if not self.record and self._search is None:
            return
        old_end = len(self._output)
        self._output += data
        if self._search is not None and self._search.found is None:
            self._search.look(self._output, self._position, old_end)
            if self._search.found is not None:
                self._request_stop()

    @overload
    def expect(self, pattern: Text | Sequence[Text], seconds: float = 60, *, timeout: float | None = None,
               fail: Pattern | Sequence[Pattern] = ()) -> re.Match[str]: ...

    @overload
    def expect(self, pattern: Bytes | Sequence[Bytes], seconds: float = 60, *, timeout: float | None = None,
               fail: Pattern | Sequence[Pattern] = ()) -> re.Match[bytes]: ...

    def expect(self, pattern: Pattern | Sequence[Pattern], seconds: float = 60, *, timeout: float | None = None,
               fail: Pattern | Sequence[Pattern] = ()) -> re.Match[Any]:
        """Run until the guest prints `pattern`, behind the previous match, and return the match.

        - pattern: text, bytes, or a compiled regular expression; or a list of them, of which the one that begins first
          in the output is taken, and of those the first in the list: `index` says which.
        - seconds: the limit in guest time.
        - timeout: the limit in host time, in seconds; without, there is none.
        - fail: what must not be printed before, as "Kernel panic": it ends the wait at once.

        Returns at once if it is there already. Otherwise the machine stops when the byte that completes the match is
        printed; output that came with that byte in one piece stays for the next `expect`.

        A string is found wherever it is. A regular expression is tried whenever something is printed, so it matches as
        soon as it can (`[0-9]+` on the first digit), and on the line being printed and the one before it only, of these
        on the last 4096 bytes: waiting costs the same however much the guest prints. `^` needs `re.MULTILINE`.

        The match is over text for a text pattern and over bytes for a bytes pattern; its positions count from where
        the search began. In text, bytes that are not UTF-8 are lone surrogates ("surrogateescape").

        Raises ExpectTimeout where a limit is reached, or the guest waits for what never comes; UnexpectedOutput for
        `fail`; ExpectStopped where the machine stops before. All are ExpectFailed.
        """
        __tracebackhide__ = True                # pytest shows the line of the test
        search = Search(pattern, fail)
        search.look(self._output, self._position)
        if search.found is None:
            self._search = search
            try:
                stop = self._run(seconds=seconds, timeout=timeout)
            finally:
                self._search = None
        if search.found is None:
            raise unmet(stop, f"the guest did not print {search.wanted}", f"it printed {search.wanted}", seconds,
                        timeout, self._ending())
        match, first, end, self.index = search.found
        self.before_bytes = bytes(self._output[self._position:first])
        self.before = self.before_bytes.decode(errors="surrogateescape")
        if search.failed:
            raise UnexpectedOutput(f"the guest printed {match[0]!r} before {search.wanted}{self._ending()}", match)
        self._position = end
        return match

    # --- Saved state -------------------------------------------------------------------------------------------------

    @classmethod
    def _places(cls) -> dict[str, str]:
        return super()._places() | {"output": "_kept", "position": "_position"}

    @property
    def _kept(self) -> bytes:
        """The output, of which the next state saved has the same copy where no more has come."""
        self._saved = self.output
        return self._saved

    def differs(self, saved: Mapping[str, Any]) -> bool:
        return len(self._output) != len(saved["output"]) or super().differs(saved)

    def load(self, saved: Mapping[str, Any]) -> None:
        self.refuse_unfit(saved)
        if saved["output"] is self._saved:
            del self._output[len(self._saved):]
        else:
            self._output[:] = saved["output"]
            self._saved = saved["output"]
        self._position, self.index = saved["position"], saved["index"]
        self.before, self.before_bytes = saved["before"], saved["before_bytes"]

    # --- Why it was not found ----------------------------------------------------------------------------------------

    def _ending(self) -> str:
        tail = self._output[self._position:][-TAIL:].decode(errors="replace")
        return f"; its output ends with:\n{tail}" if tail else "; it printed nothing"


class Found(NamedTuple):
    """A match, where in the output it begins and ends, and which pattern of its list it is of."""

    match: re.Match[Any]
    first: int
    end: int
    pattern: int


class Search:
    """What `expect` waits for: patterns that are wanted, and patterns that must not come before."""

    def __init__(self, pattern: Pattern | Sequence[Pattern], fail: Pattern | Sequence[Pattern]):
        self._wanted = needles(pattern)
        self._unwanted = needles(fail)
        if not self._wanted:
            raise ValueError("expect() without a pattern would wait for ever")
        self.found: Found | None = None
        self.failed = False                     # what was found is one of those that must not come

    @property
    def wanted(self) -> str:
        """For messages."""
        return " or ".join(repr(needle.shown) for needle in self._wanted)

    def look(self, output: bytearray, start: int, old_end: int | None = None) -> None:
        """Look from `start` on, or for what new output behind `old_end` completes."""
        for number, needle in enumerate((*self._wanted, *self._unwanted)):
            begin = start if old_end is None else max(start, needle.start(output, old_end))
            found = needle.find(output, begin)
            if found is not None and (self.found is None or found[1] < self.found.first):
                self.failed = number >= len(self._wanted)
                self.found = Found(*found, number - self.failed * len(self._wanted))


def needles(pattern: Pattern | Sequence[Pattern]) -> list[Needle]:
    """One pattern or several, ready to be looked for."""
    if isinstance(pattern, (list, tuple)):
        return [Needle(one) for one in pattern]
    return [Needle(pattern)]                    # type: ignore[arg-type]    # it says what else it is


class Needle:
    """One pattern, ready to be looked for in the output."""

    def __init__(self, pattern: Pattern):
        self.plain: bytes | None = None         # of what is no regular expression
        self.regex: re.Pattern[Any]
        if isinstance(pattern, re.Pattern):
            self.regex = pattern
        elif isinstance(pattern, str):
            self.plain = pattern.encode()
            self.regex = re.compile(re.escape(pattern))
        elif isinstance(pattern, (bytes, bytearray)):
            self.plain = bytes(pattern)
            self.regex = re.compile(re.escape(self.plain))
        else:
            raise TypeError(f"expect() takes text, bytes, a compiled regular expression or a list of those, not "
                            f"{type(pattern).__name__}")
        self.shown = pattern.pattern if isinstance(pattern, re.Pattern) else pattern
        self.is_text = isinstance(self.shown, str)

    def start(self, output: bytearray, old_end: int) -> int:
        """Where a match that new output behind `old_end` completes can begin."""
        if self.plain is not None:
            return max(old_end - len(self.plain) + 1, 0)
        window = max(old_end - REGEX_WINDOW, 0)
        line = output.rfind(b"\n", window, old_end)
        return max(output.rfind(b"\n", window, max(line, window)) + 1, window)

    def find(self, output: bytearray, start: int) -> tuple[re.Match[Any], int, int] | None:
        """The first match from `start` on, with where in the output it begins and ends."""
        end = len(output)
        if self.plain is not None:
            start = output.find(self.plain, start)
            if start < 0:
                return None
            end = start + len(self.plain)
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
