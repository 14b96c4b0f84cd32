"""Setting hooks, and calling those that are for all events of a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from vm.errors import ConfigurationError
from vm.hooks import INTERRUPT, CsrAccess, Hook, MemoryAccess, MmioAccess, Trap
from vm.probes import Space, WatchedAccess
from vm.scope import Scope, in_64_bits
from vm_native.execution.native_machine import EVENT_KINDS, NativeMachine
from vm_native.riscv.registers import CAUSES, INTERRUPTS

if TYPE_CHECKING:
    from vm.hart import Hart

Event = TypeVar("Event")
Direction = Literal["read", "write"]
Maker = Callable[..., Event]            # from what the core tells: hart, pc, address, size, value, old; or the hart
LARGEST = (1 << 64) - 1                 # size of a range in the core: the last byte begins no instruction
# What a trap can be of; those that the specification leaves to platforms, too (privileged, tables of section 3.1.15)
EXCEPTIONS = {*CAUSES, *range(24, 32), *range(48, 64)}
INTERRUPTING = {*INTERRUPTS.values(), *range(16, 64)}
DIRECTIONS: dict[WatchedAccess, tuple[Direction, ...]] = {"read": ("read",), "write": ("write",),
                                                          "access": ("read", "write")}


class Listener(NamedTuple):
    """A hook for some of the events of a kind."""

    hook: Hook[Any]
    wanted: Callable[[Any], bool]


class Hooking:
    """The hooks of one machine.

    - refuse(what): raises where the machine cannot be changed now; refuse_in_run(what): only where it runs.
    - device_at(address): the name of the device that is there.
    """

    def __init__(self, native: NativeMachine, refuse: Callable[[str], None], refuse_in_run: Callable[[str], None],
                 device_at: Callable[[int], str]):
        self._native = native
        self._refuse = refuse
        self._refuse_in_run = refuse_in_run
        self._device_at = device_at
        self._listeners: dict[str, list[Listener]] = {}         # by kind of event

    # --- Of addresses ------------------------------------------------------------------------------------------------

    def on_execute(self, description: str, function: Callable[[Hart], object], addresses: range, space: Space,
                   scope: Scope) -> Hook[Hart]:
        """Call it before each instruction at these addresses."""
        self._refuse("on_execute")
        size = min(addresses.stop - addresses.start, LARGEST)
        number = self._native.add_breakpoint(addresses.start, size, physical=space == "physical",
                                             scope=scope, hook=function)
        return Hook(description, function, partial(self._remove, number))

    def on_access(self, description: str, function: Callable[[MemoryAccess], object], addresses: range, space: Space,
                  scope: Scope, access: WatchedAccess) -> Hook[MemoryAccess]:
        """Call it after each instruction that accesses these addresses."""
        self._refuse(f"on_{access}")

        def tell(hart: Hart, pc: int, address: int, physical: int, size: int, value: int, old: int,
                 is_write: bool) -> None:
            function(MemoryAccess(hart, "write" if is_write else "read", address, physical, size, value, old, pc))

        try:
            number = self._native.add_watch(addresses.start, addresses.stop - addresses.start,
                                            physical=space == "physical", scope=scope,
                                            reads=access != "write", writes=access != "read", hook=tell)
        except ValueError as error:
            raise ConfigurationError(f"on_{access}: {error}; on_mmio tells of devices") from error
        return Hook(description, function, partial(self._remove, number))

    def _remove(self, number: int) -> None:
        self._refuse_in_run("remove")
        if not self._native.closed:
            self._native.remove_probe(number)

    # --- Of kinds of events ------------------------------------------------------------------------------------------

    def on_call(self, description: str, function: Callable[[Hart], object], wanted: Callable[[Hart], bool]
                ) -> Hook[Hart]:
        """Call it before each environment call that is wanted."""
        self._refuse("on_ecall")
        return self._listen({"call": the_hart}, description, function, wanted)

    def on_block(self, description: str, function: Callable[[Hart], object], wanted: Callable[[Hart], bool]
                 ) -> Hook[Hart]:
        """Call it before each basic block that is wanted."""
        self._refuse("on_block")
        return self._listen({"block": the_hart}, description, function, wanted)

    def on_trap(self, description: str, function: Callable[[Trap], object], cause: int | None) -> Hook[Trap]:
        """Call it after each trap of this cause has been taken."""
        self._refuse("on_trap")
        return self._listen({"trap": trap}, description, function, lambda event: cause is None or event.cause == cause)

    def on_csr(self, description: str, function: Callable[[CsrAccess], object], number: int,
               access: WatchedAccess) -> Hook[CsrAccess]:
        """Call it after each instruction that accesses this register."""
        self._refuse("on_csr")
        made: dict[str, Maker[CsrAccess]] = {f"csr-{one}": partial(csr_access, one) for one in DIRECTIONS[access]}
        return self._listen(made, description, function, lambda event: event.number == number)

    def on_mmio(self, description: str, function: Callable[[MmioAccess], object], wanted: Callable[[MmioAccess], bool],
                access: WatchedAccess) -> Hook[MmioAccess]:
        """Call it after each instruction that accesses a device so."""
        self._refuse("on_mmio")
        made: dict[str, Maker[MmioAccess]] = {f"mmio-{one}": partial(self._mmio_access, one)
                                              for one in DIRECTIONS[access]}
        return self._listen(made, description, function, wanted)

    def _mmio_access(self, access: Direction, hart: Hart, pc: int, address: int, size: int, value: int, old: int
                     ) -> MmioAccess:
        return MmioAccess(hart, access, self._device_at(address), address, size, value, pc)

    def _listen(self, made: dict[str, Maker[Event]], description: str, function: Callable[[Event], object],
                wanted: Callable[[Event], bool]) -> Hook[Event]:
        """`made`: which kinds of events, and what makes one for Python."""
        hook = Hook(description, function, lambda: self._end(made, hook))
        for kind, make in made.items():
            listeners = self._listeners.setdefault(kind, [])
            if not listeners:
                self._native.hear(EVENT_KINDS[kind], partial(self._hear, kind, make))
            listeners.append(Listener(hook, wanted))
        return hook

    def _end(self, kinds: Iterable[str], hook: Hook[Any]) -> None:
        self._refuse_in_run("remove")
        for kind in kinds:
            listeners = self._listeners[kind]
            listeners[:] = [listener for listener in listeners if listener.hook is not hook]
            if not listeners and not self._native.closed:
                self._native.hear(EVENT_KINDS[kind], None)
        waiting = self._native.waiting
        left = [call for call in waiting if call[0] is not hook]
        waiting.clear()
        waiting.extend(left)

    def _hear(self, kind: str, make: Maker[Any], *happened: Any) -> None:
        """The core tells of an event of this kind: let it call those who want it."""
        event = make(*happened)
        self._native.waiting.extend([(listener.hook, event) for listener in self._listeners[kind]
                                     if listener.wanted(event)])


def the_hart(hart: Hart) -> Hart:
    return hart


def trap(hart: Hart, pc: int, cause: int, size: int, value: int, old: int) -> Trap:
    return Trap(hart, cause, value, pc)


def csr_access(access: Direction, hart: Hart, pc: int, number: int, size: int, value: int, old: int) -> CsrAccess:
    return CsrAccess(hart, access, number, value, old, pc)


def cause_of_trap(cause: int) -> int:
    """As mcause has it. Raises ConfigurationError for what no trap has."""
    number = in_64_bits("cause", cause)
    interrupting = number & INTERRUPT != 0
    if number % INTERRUPT not in (INTERRUPTING if interrupting else EXCEPTIONS):
        known = ", ".join(map(str, INTERRUPTS.values() if interrupting else CAUSES))
        kind = "an interrupt has bit 63 and one of" if interrupting else "an exception has one of the causes"
        raise ConfigurationError(f"cause={cause:#x}: no trap has it; {kind} {known}")
    return number
