"""What somebody sits at: the screen of a machine, its keyboard and its tablet, as far as there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vm.devices import Keyboard, Screen, Tablet
from vm.web.keys import BUTTON_CODES, KEY_CODES

if TYPE_CHECKING:
    from vm.machine import Machine


class Desk:
    """The first of each. What is done where there is none is done in vain, as are keys that it does not have."""

    def __init__(self, machine: Machine):
        self._machine = machine

    @property
    def screen(self) -> Screen | None:
        return self._machine.board.first(Screen)

    def key(self, code: str, down: bool) -> None:
        """A key of the browser's keyboard goes down or up."""
        keyboard = self._machine.board.first(Keyboard)
        if keyboard is not None and code in KEY_CODES:
            (keyboard.press if down else keyboard.release)(KEY_CODES[code])

    def move(self, x: int, y: int) -> None:
        """The pointer is there, in the tablet's measure."""
        tablet = self._machine.board.first(Tablet)
        if tablet is not None:
            tablet.move(x, y)

    def button(self, button: int, down: bool) -> None:
        tablet = self._machine.board.first(Tablet)
        if tablet is not None:
            tablet.button(BUTTON_CODES[button], down)

    def wheel(self, notches: int) -> None:
        """Away from the user if positive."""
        tablet = self._machine.board.first(Tablet)
        if tablet is not None:
            tablet.wheel(notches)

    def let_go(self) -> None:
        """Nobody is there any more who could release what is pressed."""
        keyboard, tablet = self._machine.board.first(Keyboard), self._machine.board.first(Tablet)
        if keyboard is not None:
            keyboard.release(*keyboard.pressed)
        if tablet is not None:
            for code in tablet.pressed:
                tablet.button(code, False)
