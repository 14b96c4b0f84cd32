"""The part of a machine that says what it may take of its host, and what it has taken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from vm.errors import ConfigurationError
from vm.limits import NS, Limits, Usage
from vm.sizes import PAGE_SIZE

if TYPE_CHECKING:
    from vm.runner import Runner
    from vm_native.execution.native_machine import NativeMachine


class AccountsOfMachine(ABC):
    """What `Machine` takes of its host; what is declared here is the machine's."""

    _native: NativeMachine
    _runner: Runner

    @abstractmethod
    def _refuse_if_running(self, what: str, *, in_hook: bool = False) -> None: ...

    @property
    def limits(self) -> Limits | None:
        """How much of the host the machine may take, None for no limit. To set them begins to count anew.

        A fork has those that its machine was built with, and an account of its own. Raises ConfigurationError for what
        is no `vm.Limits`, and MachineBusy while the machine runs.
        """
        return None if self._runner.account is None else self._runner.account.limits

    @limits.setter
    def limits(self, limits: Limits | None) -> None:
        if limits is not None and not isinstance(limits, Limits):
            raise ConfigurationError(f"limits={limits!r}: they are a vm.Limits")
        self._refuse_if_running("limits")
        self._runner.set_limits(limits)

    @property
    def usage(self) -> Usage | None:
        """What the machine has taken of its limits, None where it has none."""
        account = self._runner.account
        if account is None:
            return None
        return Usage(account.steps, account.host_ns / NS, self._native.written_pages * PAGE_SIZE)
