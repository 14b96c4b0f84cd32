"""What a page can ask for, by name, and what values go with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from vm.devices.virtio.input import REACH
from vm.web.connection import NotUnderstood
from vm.web.control import Control
from vm.web.desk import Desk
from vm.web.keys import BUTTON_CODES
from vm.web.page import Page
from vm.web.timeline import LONGEST_NAME

MOST_STEPS = 10**12
MOST_NUMBER = 2**53 - 1         # that JavaScript counts to
MOST_NOTCHES = 100
LONGEST_CODE = 40               # characters


class Value(NamedTuple):
    """A number from `least` to `most`, a switch, or text with so many characters."""

    kind: type[Any]
    least: int
    most: int

    def fits(self, value: Any) -> bool:
        if type(value) is not self.kind:            # nor is a switch a number
            return False
        return self.least <= (len(value) if type(value) is str else value) <= self.most


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


SWITCH = Value(bool, 0, 1)
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
OF_DESK = {
    "key": Request(Desk.key, {"code": Value(str, 1, LONGEST_CODE), "down": SWITCH}),
    "move": Request(Desk.move, {"x": Value(int, 0, REACH), "y": Value(int, 0, REACH)}),
    "button": Request(Desk.button, {"button": Value(int, 0, len(BUTTON_CODES) - 1), "down": SWITCH}),
    "wheel": Request(Desk.wheel, {"notches": Value(int, -MOST_NOTCHES, MOST_NOTCHES)}),
}
OF_PAGE = {
    "shown": Request(Page.shown, {"bytes": COUNT}),
    "drawn": Request(Page.drawn),
}
