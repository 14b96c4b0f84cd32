"""What a page can ask for, by name, and what values go with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from vm.web.connection import NotUnderstood
from vm.web.control import Control
from vm.web.page import Page
from vm.web.timeline import LONGEST_NAME

MOST_STEPS = 10**12
MOST_NUMBER = 2**53 - 1         # that JavaScript counts to


class Value(NamedTuple):
    """A number from `least` to `most`, or text with so many characters."""

    kind: type
    least: int
    most: int

    def fits(self, value: Any) -> bool:
        if type(value) is not self.kind:            # nor is a bool a number here
            return False
        size = len(value) if self.kind is str else value
        return self.least <= size <= self.most


class Request(NamedTuple):
    """`act` is called with who it is asked of, and the values of `takes`, in their order."""

    act: Callable[..., None]
    takes: Mapping[str, Value] = {}

    def values(self, message: Mapping[str, Any]) -> list[Any]:
        """Those of a message. Raises NotUnderstood."""
        for name, wanted in self.takes.items():
            if not wanted.fits(message.get(name)):
                raise NotUnderstood(f"{name} is none")
        return [message[name] for name in self.takes]


COUNT, STEPS = Value(int, 0, MOST_NUMBER), Value(int, 1, MOST_STEPS)
# Done when the machine stands still.
OF_CONTROL = {
    "pause": Request(Control.pause),
    "go on": Request(Control.go_on),
    "step": Request(Control.step, {"count": STEPS}),
    "snapshot": Request(Control.take, {"name": Value(str, 0, LONGEST_NAME)}),
    "restore": Request(Control.restore, {"number": COUNT}),
    "drop": Request(Control.drop, {"number": COUNT}),
    "name functions": Request(Control.name_functions),
}
OF_PAGE = {
    "shown": Request(Page.shown, {"bytes": COUNT}),
    "drawn": Request(Page.drawn),
}
