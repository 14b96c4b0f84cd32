"""The command `monitor` of a debugger: what it shows and does of the machine around the guest."""

from __future__ import annotations

import contextlib
import io
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vm.display import hexadecimal
from vm.errors import VmError
from vm.hart import Hart
from vm.reverse import past_of

if TYPE_CHECKING:
    from vm.machine import Machine

HELP = """\
help                this list
info registers [N]  the registers of hart N, or of the one that is selected
info csr [N]        its CSRs that are not 0
info harts          all harts, and how many steps the machine has done
history             keep a history from now on, so that reverse-continue and others work
reset               press the reset button
py CODE             Python, with `machine` and `hart`; shows the value of an expression
"""


class Monitor:
    """Commands of one debugger. `trusted`: nobody else than this user can have sent them, so that Python is run."""

    def __init__(self, machine: Machine, trusted: bool):
        self._machine = machine
        self._trusted = trusted
        self._names: dict[str, Any] = {}

    def run(self, line: str, selected: Hart) -> str:
        """Do what the line says; the text to show, which says also what went wrong."""
        words = line.split()
        command, rest = (words[0], line.strip()[len(words[0]):].strip()) if words else ("help", "")
        if command not in COMMANDS:
            return f"there is no command {line}\n{HELP}"
        try:
            return COMMANDS[command](self, rest, selected)
        except VmError as error:
            return f"{error}\n"

    def _help(self, rest: str, selected: Hart) -> str:
        return HELP

    def _info(self, rest: str, selected: Hart) -> str:
        what, *numbers = rest.split() or [""]
        known = {str(hart.id): hart for hart in self._machine.harts}
        if what not in INFO or len(numbers) > 1 or not set(numbers) <= known.keys():
            return f"info {' or info '.join(INFO)}, the number of a hart behind it: 0 to {len(known) - 1}\n"
        return INFO[what](self, known[numbers[0]] if numbers else selected)

    def _registers(self, hart: Hart) -> str:
        return f"{hart}\n"

    def _csrs(self, hart: Hart) -> str:
        return "".join(f"{name:<16}{hexadecimal(value)}\n" for name in hart.csr if (value := hart.csr[name]))

    def _harts(self, hart: Hart) -> str:
        return "".join(f"{hart!r}\n" for hart in self._machine.harts) + f"{self._machine.steps:,} steps\n"

    def _history(self, rest: str, selected: Hart) -> str:
        past = past_of(self._machine.inputs)
        if past is not None:
            return f"{past!r}\n"
        self._machine.keep_history()
        return f"a history is kept from step {self._machine.steps:,} on\n"

    def _reset(self, rest: str, selected: Hart) -> str:
        self._machine.reset()
        return "the machine has been reset; `maintenance flush register-cache` makes the debugger see it\n"

    def _python(self, rest: str, selected: Hart) -> str:
        """What the code prints, and the value of an expression or the exception."""
        if not self._trusted:
            return ("py: whoever reaches this port could run it, other users and browsers among them; let the "
                    "debugger connect to a path, or start it by stdio\n")
        names = self._names
        names.update(machine=self._machine, hart=selected)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            try:
                try:
                    code = compile(rest, "<monitor>", "eval")
                except SyntaxError:
                    exec(compile(rest, "<monitor>", "exec"), names)
                else:
                    value = eval(code, names)
                    if value is not None:
                        print(repr(value))
            except Exception:
                print(traceback.format_exc(limit=-1), end="")
        return output.getvalue()


COMMANDS: dict[str, Callable[[Monitor, str, Hart], str]] = {
    "help": Monitor._help, "info": Monitor._info, "history": Monitor._history, "reset": Monitor._reset,
    "py": Monitor._python,
}
INFO: dict[str, Callable[[Monitor, Hart], str]] = {
    "registers": Monitor._registers, "csr": Monitor._csrs, "harts": Monitor._harts,
}
