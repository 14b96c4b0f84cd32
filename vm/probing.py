"""Setting breakpoints and watchpoints, and refusing what is none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

from vm.arguments import one_of
from vm.errors import ConfigurationError
from vm.probes import Breakpoint, Probe, Space, WatchedAccess, Watchpoint
from vm.scope import Scope, in_64_bits
from vm_native.execution.native_machine import NativeMachine


class Probing:
    """The probes of one machine; `probes` has those that are set, by their numbers in the core.

    `refuse(what)` raises where the machine cannot be changed now, as while it runs; `refuse_in_run(what)` only there.
    """

    def __init__(self, native: NativeMachine, probes: dict[int, Probe], refuse: Callable[[str], None],
                 refuse_in_run: Callable[[str], None]):
        self._native = native
        self._probes = probes
        self._refuse = refuse
        self._refuse_in_run = refuse_in_run

    def add_breakpoint(self, address: int, space: Space, scope: Scope) -> Breakpoint:
        """As `Machine.breakpoint`."""
        self._refuse("breakpoint")
        space, address = one_of("space", space, Space), in_64_bits("address", address)
        if address % 2:
            raise ConfigurationError(f"address={address:#x}: no instruction begins at an odd address")
        number = self._native.add_breakpoint(address, physical=space == "physical", scope=scope)
        self._probes[number] = probe = Breakpoint(address, space, partial(self._remove, number))
        return probe

    def add_watchpoint(self, addresses: range, access: WatchedAccess, space: Space, scope: Scope) -> Watchpoint:
        """As `Machine.watchpoint`."""
        self._refuse("watchpoint")
        access, space = one_of("access", access, WatchedAccess), one_of("space", space, Space)
        address, size = addresses.start, addresses.stop - addresses.start
        try:
            number = self._native.add_watch(address, size, physical=space == "physical", scope=scope,
                                            reads=access != "write", writes=access != "read")
        except ValueError as error:
            raise ConfigurationError(f"a watchpoint: {error}; on_mmio tells of devices") from error
        self._probes[number] = probe = Watchpoint(address, size, space, access, partial(self._remove, number))
        return probe

    def _remove(self, number: int) -> None:
        self._refuse_in_run("remove")
        if not self._native.closed:
            self._native.remove_probe(number)
        self._probes.pop(number, None)

    def several(self, wanted: object) -> tuple[Probe, ...]:
        """What is asked for of those that are set: one, or a list or tuple; None for all.

        Raises ConfigurationError for what is not set, and where that is nothing.
        """
        if wanted is None:
            wanted = tuple(self._probes.values())
        probes = (wanted,) if isinstance(wanted, get_args(Probe)) else wanted
        if not isinstance(probes, (list, tuple)) or not all(isinstance(probe, get_args(Probe)) for probe in probes):
            raise ConfigurationError(f"until={wanted!r}: a breakpoint, a watchpoint, or a list of them; ('write', "
                                     "address, size); or text")
        if not probes:
            raise ConfigurationError("no breakpoint or watchpoint is set: set one, or say until=")
        for probe in probes:
            if probe not in self._probes.values():
                raise ConfigurationError(f"{probe!r} is not set, of this machine")
        return tuple(probes)

