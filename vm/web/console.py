"""The console: what pages of the browser ask for, and what they are shown."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vm.driving import Driver
from vm.errors import ConfigurationError
from vm.inputs import Alarm
from vm.stop import Stop
from vm.web.connection import Connection, Message, NotUnderstood
from vm.web.control import Control
from vm.web.desk import Desk
from vm.web.looks import facts, state
from vm.web.page import Page
from vm.web.requests import OF_CONTROL, OF_DESK, OF_PAGE
from vm.web.screen import View
from vm.web.scrollback import Scrollback
from vm.web.server import Server

if TYPE_CHECKING:
    from types import TracebackType

    from vm.machine import Machine
    from vm.snapshot import Snapshot

PROMPTLY = 0.004                # host seconds from what the guest prints to the pages
TICK = 0.04                     # between two pictures of the screen, at least
TICKS_REST = 5                  # the same, in what it took to make the last one: a guest's screen may be large
STATE_TICKS = 5                 # between two looks at the harts
ABSENCE = 3                     # for which a page may be away, as one that is loaded anew, before it counts as closed
UNREAD_KEYS = 1 << 20           # bytes that wait for the guest before what is typed is lost


class WebConsole:
    """Shows a machine in the browser, and lets a person drive it. `Machine.web` makes one.

    `url` is the address to open, with a token in it, without which nobody gets in. Pages show what the machine does
    also while a program runs it; they drive it while `serve` does. Use it in a `with` statement, or close it: that
    hangs up.
    """

    def __init__(self, machine: Machine, port: int, files: Mapping[str, Path]):
        """As `Machine.web` has it, with the files of the page."""
        self._machine = machine
        self._printed = Scrollback(machine.console.output)
        self._control = Control(machine, self._printed, self._on_change, self._complain)
        self._desk = Desk(machine)
        self._view = View()
        self._pages: dict[Connection, Page] = {}
        self._printing = self._ticking = False      # an alarm is set for that
        self._absence: Alarm | None = None          # since the last page has gone
        self._ticks = 0
        self._told_steps = -1               # of which the pages know how it stood there
        self._losing_keys = False
        self._server = Server(machine.inputs, port, files, self._on_open, self._on_message, self._on_close)
        self.url = self._server.url
        self._mirror = machine.console.mirror
        machine.console.mirror = self._print

    @property
    def snapshots(self) -> dict[str, Snapshot]:
        """What was taken from pages, by the names that were given there; of one name the last."""
        return {moment.name: moment.snapshot for moment in self._control.timeline}

    def serve(self, driver: Driver | None = None) -> Stop:
        """Run the machine, and do what pages ask for. Returns the stop with which the guest has ended.

        While a page is open, a guest that has ended is still shown, and can go back to a snapshot: then this returns
        when the last page is closed. `Machine.request_stop` ends it as well, while the machine runs. Breakpoints and
        watchpoints pause the machine; what a run raises comes out.

        - driver: who runs the machine, where it is not this process alone.

        Raises ConfigurationError where a log is replayed: all that comes from outside comes from that.
        """
        history = self._machine.inputs.history
        if history is not None and not history.live:
            raise ConfigurationError("a log is replayed, so that nothing can come from a page: open it behind the end")
        return self._control.serve(driver, lambda: bool(self._pages) or self._absence is not None)

    # --- What comes from pages ---------------------------------------------------------------------------------------

    def _on_open(self, connection: Connection) -> None:
        if self._absence is not None:
            self._absence.cancel()
            self._absence = None
        page = self._pages[connection] = Page(connection)
        machine = self._machine
        page.say({"is": "machine", "facts": facts(machine), "screen": self._desk.screen is not None})
        page.say(self._state())
        page.say(self._snapshots())
        self._show(page)
        self._tick_in(TICK)

    def _on_close(self, connection: Connection) -> None:
        del self._pages[connection]
        self._control.tell(self._desk.let_go)
        if not self._pages:
            self._absence = self._machine.inputs.call_in(ABSENCE, self._on_absence)

    def _on_absence(self) -> None:
        self._absence = None

    def _on_message(self, connection: Connection, message: Message) -> None:
        if isinstance(message, bytes):
            self._type(message)
            return
        asked, page = str(message.get("do")), self._pages[connection]
        if asked in OF_CONTROL:
            request = OF_CONTROL[asked]
            self._control.ask(partial(request.act, self._control, *request.values(message)))
        elif asked in OF_DESK:
            request = OF_DESK[asked]
            self._control.tell(partial(request.act, self._desk, *request.values(message)))
        elif asked in OF_PAGE:
            request = OF_PAGE[asked]
            request.act(page, *request.values(message))
            self._show(page)
        else:
            raise NotUnderstood("no such request")

    def _type(self, data: bytes) -> None:
        losing = self._machine.console.unread + len(data) > UNREAD_KEYS
        if losing and not self._losing_keys:
            self._complain("the guest does not read; what is typed is lost until it does")
        self._losing_keys = losing
        if not losing:
            self._control.tell(partial(self._machine.console.send, data))

    # --- What pages are shown ----------------------------------------------------------------------------------------

    def _print(self, data: bytes) -> None:
        """What the guest prints, in the middle of an instruction."""
        if self._mirror is not None:
            self._mirror(data)
        self._printed.write(data)
        if self._pages and not self._printing:
            self._printing = True
            self._machine.inputs.call_in(PROMPTLY, self._on_print)

    def _on_print(self) -> None:
        self._printing = False
        self._show_all()

    def _on_change(self) -> None:
        """Of how the machine runs, or of its snapshots."""
        self._tell(self._state())
        self._tell(self._snapshots())
        self._show_all()

    def _complain(self, text: str) -> None:
        self._tell({"is": "error", "text": text})

    def _tell(self, message: dict[str, Any]) -> None:
        for page in list(self._pages.values()):
            page.say(message)
            self._server.settle(page.connection)

    def _show_all(self) -> None:
        for page in list(self._pages.values()):
            self._show(page)

    def _show(self, page: Page) -> None:
        page.print(self._printed)
        self._server.settle(page.connection)

    def _show_screen(self) -> None:
        screen = self._desk.screen
        if screen is None or all(page.drawing for page in self._pages.values()):
            return
        changed = self._view.look(screen)
        for page in list(self._pages.values()):
            if changed is not None:
                page.spoil(changed)
            page.show(self._view)
            self._server.settle(page.connection)

    def _tick_in(self, seconds: float) -> None:
        """Look again then, as long as somebody looks."""
        if self._pages and not self._ticking:
            self._ticking = True
            self._machine.inputs.call_in(seconds, self._on_tick)

    def _on_tick(self) -> None:
        self._ticking = False
        self._ticks += 1
        if self._ticks % STATE_TICKS == 0 and self._machine.steps != self._told_steps:
            message = self._state()
            for page in self._pages.values():
                if not page.connection.unsent:      # else it has not read the last one
                    page.say(message)
        self._show_all()
        began = time.perf_counter()
        self._show_screen()
        self._tick_in(max(TICK, TICKS_REST * (time.perf_counter() - began)))

    def _state(self) -> dict[str, Any]:
        self._told_steps = self._machine.steps
        return {"is": "state", "mode": self._control.mode, "why": self._control.why, **state(self._machine)}

    def _snapshots(self) -> dict[str, Any]:
        return {"is": "snapshots", "list": self._control.timeline.shown()}

    # --- End ---------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Twice is harmless."""
        self._server.close()
        self._pages.clear()
        if self._machine.console.mirror == self._print:
            self._machine.console.mirror = self._mirror

    def __enter__(self) -> WebConsole:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 where: TracebackType | None) -> None:
        self.close()
