"""The part of a machine by which a program talks to its guest: a shell on the console, and an agent behind a socket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vm.agent import Agent
    from vm.boards import Board
    from vm.clock import Clock
    from vm.console import Console
    from vm.shell import Shell
    from vm.stop import Stop


class TalkOfMachine(ABC):
    """What is declared here is the machine's."""

    board: Board
    clock: Clock
    console: Console

    @abstractmethod
    def run(self, instructions: int | None = None, seconds: float | None = None,
            until: Callable[[Any], bool] | None = None, timeout: float | None = None) -> Stop: ...

    def shell(self, user: str | None = None, password: str | None = None, *, seconds: float = 60,
              timeout: float | None = None) -> Shell:
        """Wait for a shell on the console, and return what runs commands in it: `shell.run("uname -a").output`.

        See `vm.shell.Shell`, whose arguments these are.
        """
        from vm.shell import Shell

        __tracebackhide__ = True
        return Shell(self, user, password, seconds=seconds, timeout=timeout)

    def agent(self, port: int | None = None, *, seconds: float = 60, timeout: float | None = None) -> Agent:
        """Wait for the agent in the guest, and return what it does: `agent.run("uname -a").stdout`.

        It needs a `vm.devices.Vsock` that was attached before the boot, and is there in guests of `vm.images.debian`.
        See `vm.agent.Agent`, whose arguments these are.
        """
        from vm.agent import Agent

        __tracebackhide__ = True
        return Agent(self, port, seconds=seconds, timeout=timeout)
