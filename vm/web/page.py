"""One open page: what it has been sent of the machine, and what it is sent next.

Binary messages to a page begin with a byte that says what they are, TEXT or PIXELS; binary ones from it are what is
typed. All else is JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vm.web.connection import Connection
from vm.web.screen import MOST_SHOWN, Picture, Spans, View

if TYPE_CHECKING:
    from vm.web.scrollback import Scrollback

TEXT, PIXELS = b"\x00", b"\x01"
CHUNK = 1 << 16                 # bytes of text in one message
MOST_UNSHOWN = 1 << 18          # bytes of text that a page has not said to have shown yet: it gets no more


class Page:
    """Sends what is new, and no more than the page keeps up with."""

    def __init__(self, connection: Connection):
        self.connection = connection
        self._era = -1                      # of the scrollback
        self._position = 0                  # in it, behind what was sent
        self._unshown = 0
        self._picture = Picture()
        self._drawing = False               # the last picture
        self._told_too_large: tuple[int, int] | None = None

    def print(self, printed: Scrollback) -> None:
        """Send what of the console's output it does not have. Who has missed some gets the end of it, afresh."""
        while self.connection.open and self._unshown < MOST_UNSHOWN:
            if self._era != printed.era or self._position < printed.start:
                self._era, self._position = printed.era, printed.start
                self.connection.say({"is": "clear", "old": printed.end - printed.start})
            text = printed.since(self._position, CHUNK)
            if not text:
                return
            self._position += len(text)
            self._unshown += len(text)
            self.connection.send(TEXT + text)

    @property
    def drawing(self) -> bool:
        """Whether it still draws, and wants no other picture yet."""
        return self._drawing or not self.connection.open

    def spoil(self, changed: Spans) -> None:
        """What it has of the view is old there."""
        self._picture.spoil(changed)

    def show(self, view: View) -> None:
        """Send what of the view it does not have, unless it still draws; that there is none, if it is too large."""
        if view.too_large != self._told_too_large:
            self._told_too_large = view.too_large
            self.say({"is": "screen", "why": refusal(view.too_large)})
        if self.drawing or view.too_large is not None:
            return
        update = self._picture.update(view.pixels)
        if update.content:
            self._drawing = True
            self.connection.send(PIXELS + update.content)

    def say(self, message: dict[str, Any]) -> None:
        if self.connection.open:
            self.connection.say(message)

    def shown(self, count: int) -> None:
        """It has shown so many bytes of text."""
        self._unshown = max(self._unshown - count, 0)

    def drawn(self) -> None:
        """It has drawn the last picture."""
        self._drawing = False


def refusal(resolution: tuple[int, int] | None) -> str:
    """Why there is no picture of a screen; nothing where there is one."""
    if resolution is None:
        return ""
    width, height = resolution
    return (f"The guest's screen has {width} x {height} pixels, which are more than the {MOST_SHOWN} that are shown "
            "here. Choose a smaller mode in the guest.")
