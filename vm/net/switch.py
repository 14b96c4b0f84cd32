"""Several machines of one process on one virtual Ethernet, whose runs repeat to the step.

Whichever of them is asked to run, all do, in turns: what one sends at a time of its own reaches the others a latency
later, at that time of theirs. So each can run alone for so long without missing anything, and what comes is known
before it is due. Guest time is the only time there is: the host's speed, and who is first, change nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple, Protocol

from vm.errors import ConfigurationError
from vm.net.link import FIRST_MAC, Link
from vm.net.packet import Packet
from vm.stop import Stop, StopReason

if TYPE_CHECKING:
    from vm.clock import Clock
    from vm.registers import ControlRegisters

LATENCY = 50e-6                         # guest seconds
SECOND = 10**9
GROUP = 1                               # bit of the first byte of an address that is not one card's
MOST_COMING = 4096                      # frames on their way to one machine
MOST_ADDRESSES = 4096                   # that a switch remembers the ports of
NEVER = 1 << 62                         # of deadlines: what is none is the largest number
ENDS = {StopReason.POWER_OFF, StopReason.EXIT, StopReason.RESET, StopReason.UNHANDLED_TRAP, StopReason.TRAP_LOOP}

Run = Callable[[int | None, float | None, Callable[[], bool] | None, float | None], Stop]


class Deadlines(Protocol):
    """Of a machine's scheduler, what a switch asks it."""

    def next_deadline_ns(self) -> int: ...

    def let_pass(self, ns: int) -> None: ...


class Waiting(Protocol):
    """Of a hart."""

    @property
    def state(self) -> str: ...

    @property
    def csr(self) -> ControlRegisters: ...


def runs(hart: Waiting) -> bool:
    """Whether it takes a step when its machine runs: also where what it waits for has come since."""
    return hart.state == "started" or hart.state != "stopped" and bool(hart.csr["mip"] & hart.csr["mie"])


class Frame(NamedTuple):
    """On its way to a machine. `order` is that in which frames of the same nanosecond were sent."""

    due_ns: int                         # in the switch's time
    order: int
    packet: Packet


class Wanted:
    """What the machine that leads was asked to do, and how much of that it has done."""

    def __init__(self, instructions: int | None, condition: Callable[[], bool] | None, timeout: float | None):
        self.steps = 0
        self._instructions = instructions
        self._condition = condition
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def run(self, run: Run, seconds: float | None) -> Stop:
        """So many of the guest's seconds of it."""
        instructions = None if self._instructions is None else self._instructions - self.steps
        timeout = None if self._deadline is None else max(self._deadline - time.monotonic(), 0)
        stop = run(instructions, seconds, self._condition, timeout)
        self.steps += stop.steps
        return stop._replace(steps=self.steps)


def run_for(run: Run, seconds: float) -> Stop:
    return run(None, seconds, None, None)


class Member:
    """A machine on a switch: its clock beside that of the others, and how it runs."""

    def __init__(self, port: SwitchPort, clock: Clock, deadlines: Deadlines, harts: Sequence[Waiting], run: Run):
        self.port = port
        self.ended = False              # it does not run on before it is asked to
        self.run = run
        self._clock = clock
        self._deadlines = deadlines
        self._harts = harts
        self._ahead_ns = 0              # of the switch's time
        self._left_ns = clock.now_ns()  # where the last run with the others ended
        self._coming: list[Frame] = []  # a heap

    def set_now(self, now_ns: int) -> None:
        """The switch's time is this at the machine's present one."""
        self._ahead_ns = self._clock.now_ns() - now_ns

    def lead(self, instructions: int | None, seconds: float | None, condition: Callable[[], bool] | None,
             timeout: float | None) -> Stop:
        """As `Machine.run` of this machine, with the others."""
        return self.port.switch._run(self, instructions, seconds, condition, timeout)

    @property
    def now_ns(self) -> int:
        """The switch's time as far as this machine has come."""
        return self._clock.now_ns() - self._ahead_ns

    def busy_from_ns(self) -> int | None:
        """When it may send next, unless something comes that is not under way yet; None for never."""
        if self.ended:
            return None
        if any(map(runs, self._harts)):
            return self.now_ns
        deadline = self._deadlines.next_deadline_ns()
        times = [] if deadline >= NEVER else [max(deadline - self._ahead_ns, self.now_ns)]
        return min([*times, *(frame.due_ns for frame in self._coming[:1])], default=None)

    def expect(self, frame: Frame) -> None:
        """As many as are under way; others are lost."""
        if len(self._coming) < MOST_COMING:
            heappush(self._coming, frame)

    def begin(self) -> None:
        """A run begins. A machine that went somewhere else meanwhile, as by a restore, goes on from where it was left.
        """
        if self._clock.now_ns() != self._left_ns:
            if self._clock.now_ns() < self._left_ns:
                self._coming.clear()
            self.set_now(self._left_ns - self._ahead_ns)

    def end(self) -> None:
        """It is over."""
        self._left_ns = self._clock.now_ns()

    def advance(self, until_ns: int, run: Callable[[float], Stop]) -> Stop | None:
        """Run up to that time, and take what comes on the way. Why it has ended before; None: it has not."""
        self._take_due()
        while self.now_ns < until_ns:
            end_ns = min(until_ns, self._coming[0].due_ns) if self._coming else until_ns
            stop = run((end_ns - self.now_ns) / SECOND)
            if stop.reason is StopReason.IDLE:
                self._deadlines.let_pass(end_ns - self.now_ns)
            elif stop.reason is not StopReason.DEADLINE:
                return stop
            self._take_due()
        return None

    def _take_due(self) -> None:
        while self._coming and self._coming[0].due_ns <= self.now_ns:
            self.port.deliver(heappop(self._coming).packet)


class SwitchPort(Link):
    """Where one machine is plugged into a switch: made by `Switch.port`."""

    def __init__(self, switch: Switch, number: int):
        self.switch = switch
        self.mac = FIRST_MAC + number

    def refuse_clock(self, clock: Clock) -> None:
        if clock.kind != "virtual":
            raise ConfigurationError("machines on a switch wait for each other in virtual time: build this one with "
                                     "clock='virtual', or use a vm.net.Stream")

    def join(self, clock: Clock, deadlines: Deadlines, harts: Sequence[Waiting], run: Run) -> Member:
        """The machine that is plugged in runs with the others from now on, who wait for each other."""
        return self.switch._let_in(Member(self, clock, deadlines, harts, run))

    def send(self, packet: Packet) -> None:
        self.switch._pass_on(self, packet)

    def unplug(self) -> None:
        super().unplug()
        self.switch._leave(self)


class Switch:
    """An Ethernet of machines with virtual clocks: `machine.attach(Network(switch.port()))` for each.

    Then `run` of one, or what calls it as `expect` and `Shell.run`, runs all of them: the others come along to where it
    ends, but for those that have switched themselves off. Each call leads where the same call led before.

    - latency: guest seconds from one machine to another. The longer, the less often machines take turns.
    """

    def __init__(self, latency: float = LATENCY):
        if not 0 < latency < 1:
            raise ConfigurationError(f"latency={latency!r}: seconds from one machine to another, more than 0 and less "
                                     "than 1")
        self.latency_ns = max(round(latency * SECOND), 1)
        self._ports = 0
        self._members: list[Member] = []
        self._known: dict[bytes, Member] = {}           # by the addresses that they have sent from
        self._order = 0

    def port(self) -> Link:
        """A new one."""
        self._ports += 1
        return SwitchPort(self, self._ports - 1)

    def _let_in(self, member: Member) -> Member:
        """A machine more, whose time is that of the others from now on."""
        member.set_now(max((other.now_ns for other in self._members), default=0))
        self._members.append(member)
        return member

    def _leave(self, port: SwitchPort) -> None:
        """It is plugged in no more. Does nothing the second time."""
        self._members = [member for member in self._members if member.port is not port]
        self._known = {address: member for address, member in self._known.items() if member.port is not port}

    def _pass_on(self, port: SwitchPort, packet: Packet) -> None:
        """To whom it is addressed, or everybody else."""
        sender = next((member for member in self._members if member.port is port), None)
        if sender is None:
            return
        source = packet.frame[6:12]
        if source in self._known or len(self._known) < MOST_ADDRESSES:
            self._known[source] = sender
        known = None if packet.frame[0] & GROUP else self._known.get(packet.frame[:6])
        self._order += 1
        frame = Frame(sender.now_ns + self.latency_ns, self._order, packet)
        for member in self._members if known is None else [known]:
            if member is not sender and not member.ended:
                member.expect(frame)

    def _run(self, leader: Member, instructions: int | None, seconds: float | None,
             condition: Callable[[], bool] | None, timeout: float | None) -> Stop:
        """All of them, until the leader's limits, as those of `Machine.run`, are reached, or it ends."""
        wanted = Wanted(instructions, condition, timeout)
        leader.ended = False
        for member in self._members:
            member.begin()
        end_ns = None if seconds is None else leader.now_ns + round(seconds * SECOND)
        try:
            return self._run_to(leader, wanted, end_ns)
        finally:
            for member in self._members:
                member.end()

    def _run_to(self, leader: Member, wanted: Wanted, end_ns: int | None) -> Stop:
        while end_ns is None or leader.now_ns < end_ns:
            first_ns = min((time for member in self._members if (time := member.busy_from_ns()) is not None),
                           default=None)
            if first_ns is None:
                break                                   # everybody waits, for ever
            horizon_ns = first_ns + self.latency_ns
            for member in list(self._members):
                if member is leader:
                    until_ns = horizon_ns if end_ns is None else min(horizon_ns, end_ns)
                    stop = member.advance(until_ns, partial(wanted.run, member.run))
                    if stop is not None:
                        member.ended = stop.reason in ENDS
                        return stop
                elif not member.ended:
                    stop = member.advance(horizon_ns, partial(run_for, member.run))
                    member.ended = stop is not None
        return wanted.run(leader.run, None if end_ns is None else max(end_ns - leader.now_ns, 0) / SECOND)
