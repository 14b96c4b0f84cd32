"""How the machines of tests are built and started, as values: tests that want the same begin with forks of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from vm.machine import Machine

if TYPE_CHECKING:
    from vm.console import Pattern
    from vm.loaders.common import Source

READY_SECONDS = 60          # of guest time
# Arguments of the marks, beside those of `Machine`
OF_PROGRAM, OF_LINUX = ("program", "until", "seconds", "build", "setup"), ("packages", "modules")
OF_MACHINE = tuple(signature(Machine).parameters)


class Start(Protocol):
    """What a test's machine begins as. Two that are equal begin alike."""

    def build(self) -> Machine:
        """The machine, with its guest loaded; whoever calls closes it."""

    def settle(self, machine: Machine) -> None:
        """Run it to where tests begin."""


@dataclass(frozen=True)
class OfProgram:
    """A bare-metal program, which has printed `until` if that is given.

    - options: arguments of `Machine`.
    - construct: makes the machine instead, with all that is in it.
    - setup: called with the machine before the program is loaded, to attach devices.
    """

    program: Source | None = None
    until: Pattern | None = None
    seconds: float = READY_SECONDS
    options: Mapping[str, Any] = field(default_factory=dict)
    construct: Callable[[], Machine] | None = None
    setup: Callable[[Machine], object] | None = None

    def build(self) -> Machine:
        if self.construct is not None:
            made = self.construct()
            if not isinstance(made, Machine):
                raise pytest.UsageError(f"mark vm: build={self.construct!r} has returned {made!r}, and no vm.Machine")
            return made
        machine = Machine(**self.options)
        try:
            if self.setup is not None:
                self.setup(machine)
            if self.program is not None:
                machine.load(self.program)
        except BaseException:
            machine.close()
            raise
        return machine

    def settle(self, machine: Machine) -> None:
        if self.until is not None:
            machine.console.expect(self.until, self.seconds)


@dataclass(frozen=True)
class OfLinux:
    """Debian's Linux, whose shell has answered. `options` are arguments of `Machine`."""

    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Machine:
        from vm.images import debian

        linux = debian(self.packages, self.modules)
        machine = Machine(**self.options)
        try:
            machine.boot(*linux)
        except BaseException:
            machine.close()
            raise
        return machine

    def settle(self, machine: Machine) -> None:
        machine.shell()


def start_of_program(request: pytest.FixtureRequest) -> OfProgram:
    """What the marks `vm` of a test say, the closest last, and the ini file where they say nothing."""
    marked = marked_options(request.node, "vm", OF_PROGRAM)
    for name in ("build", "setup"):
        if name in marked and not callable(marked[name]):
            raise pytest.UsageError(f"mark vm of {request.node.nodeid}: {name}={marked[name]!r}: it is a function")
    if "build" in marked:
        others = sorted(marked.keys() - {"build", "until", "seconds"})
        if others:
            raise pytest.UsageError(f"mark vm of {request.node.nodeid}: build= makes the whole machine; {others[0]}= "
                                    "is for those that the plugin builds")
        return OfProgram(None, marked.get("until"), marked.get("seconds", READY_SECONDS), construct=marked["build"])
    options = ini_options(request.config) | marked
    return OfProgram(**{name: options.pop(name) for name in ("program", "until", "seconds", "setup")
                        if name in options}, options=options)


def start_of_linux(request: pytest.FixtureRequest) -> OfLinux:
    """What the marks `vm_linux` of a test say."""
    options = marked_options(request.node, "vm_linux", OF_LINUX)
    packages, modules = (tuple(options.pop(name, ())) for name in ("packages", "modules"))
    return OfLinux(packages, modules, options)


def marked_options(node: Any, name: str, others: tuple[str, ...]) -> dict[str, Any]:
    """What a mark says on a test, its class and its module: arguments of `Machine`, and `others`."""
    known = (*others, *OF_MACHINE)
    options: dict[str, Any] = {}
    for mark in reversed([*node.iter_markers(name)]):
        if mark.args:
            raise pytest.UsageError(f"mark {name} of {node.nodeid}: its arguments have names, as {name}(memory='16M')")
        for option in mark.kwargs:
            if option not in known:
                similar = get_close_matches(option, known, 1)
                hint = f"did you mean {similar[0]}=?" if similar else f"it has {', '.join(known)}"
                raise pytest.UsageError(f"mark {name} of {node.nodeid}: it has no {option}=; {hint}")
        options |= mark.kwargs
    return options


def ini_options(config: pytest.Config) -> dict[str, Any]:
    """The machine that the ini file describes, by the arguments of the mark."""
    texts = {name: config.getini(f"vm_{name}") for name in ("program", "memory", "isa", "harts", "until")}
    options: dict[str, Any] = {name: text for name, text in texts.items() if text}
    if "program" in options:
        folder = config.rootpath if config.inipath is None else config.inipath.parent
        options["program"] = Path(folder, options["program"])
    if "harts" in options:
        if not options["harts"].isdecimal():
            raise pytest.UsageError(f"{config.inipath}: vm_harts = {options['harts']}: a whole number is wanted")
        options["harts"] = int(options["harts"])
    return options
