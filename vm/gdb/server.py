"""Waiting for debuggers, and serving one at a time."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from vm.driving import Driver, PlainDriver
from vm.gdb.channels import STDIO, Channel, Listener, StdioChannel
from vm.gdb.commands import Commands, Leave
from vm.gdb.link import Link
from vm.gdb.running import Resume, Running
from vm.gdb.stops import Halt, exit_reply
from vm.stop import Stop, StopReason

if TYPE_CHECKING:
    from types import TracebackType

    from vm.machine import Machine
    from vm_native.execution.scheduler import Scheduler

log = logging.getLogger("vm.gdb")


class Session:
    """One debugger, from its connection on. Raises what the driver's run raises only where that is no Exception."""

    def __init__(self, machine: Machine, scheduler: Scheduler, driver: Driver, link: Link, trusted: bool):
        self.link = link
        self.commands = Commands(machine, link, trusted)
        self.running = Running(machine, scheduler, driver, self.commands.points, link)
        self.commands.halt = Halt(scheduler.current_hart)
        self._machine = machine
        self._driver = driver

    def serve(self) -> Leave | Stop | None:
        """Until the debugger leaves, None where it is lost; or the stop with which the guest has ended.

        One that may begin the guest again stays until it leaves.
        """
        while not self._driver.quitting:
            packet = self.link.next_packet()
            if packet is None:
                if self.link.lost:
                    return self.commands.ended
                self._machine.inputs.poll()
                continue
            answer = self.commands.answer(packet)
            if isinstance(answer, Leave):
                if answer is Leave.DETACH:
                    self.link.send(b"OK")
                return self.commands.ended or answer
            if isinstance(answer, bytes):
                self.link.send(answer)
            elif self.commands.ended is not None:
                self.link.send(b"E.the guest has ended: run begins it again")
            elif (ended := self._resume(answer)) is not None:
                return ended
        return Leave.KILL

    def _resume(self, resume: Resume) -> Stop | None:
        told = self.running.go(resume)
        if isinstance(told, Stop):
            self.link.send(exit_reply(told))
            self.commands.ended = told if self.commands.extended else None
            return None if self.commands.extended else told
        if told.text:
            self.link.show(f"vm: {told.text.rstrip()}\n".encode(errors="replace"))
        self.link.send(self.commands.stop_reply(told))
        return None


class GdbServer:
    """Lets GDB, and other debuggers that speak its remote protocol, look at a machine. `Machine.gdb` makes one.

    `address` is what to tell the debugger, as in `target remote 127.0.0.1:1234`. Use it in a `with` statement, or close
    it: that hangs up and takes the debugger's breakpoints away.
    """

    def __init__(self, machine: Machine, scheduler: Scheduler, where: int | str, wait: bool):
        """As `Machine.gdb` has it, with the machine's scheduler."""
        self._machine = machine
        self._scheduler = scheduler
        self._waiting = wait            # for a debugger, before the machine runs
        self._running_free = False      # without one
        self._link: Link | None = None
        self._successor: Channel | None = None
        self._listener: Listener | None = None
        if where == STDIO:
            self.address = STDIO
            self._connect(StdioChannel())
            machine.console.mirror = self._show
        else:
            self._listener = Listener(where)
            self.address = self._listener.address
            machine.inputs.watch(self._listener.fileno(), self._on_caller, in_the_past=True)

    @property
    def wanted(self) -> bool:
        """Whether a debugger wants the machine to stop: it has asked for that, has come, or is gone."""
        return self._link is not None and (self._link.interrupted or self._link.lost or not self._link.running)

    def serve(self, driver: Driver | None = None) -> Stop:
        """Serve debuggers until the guest ends, or one kills it, whose reason is `requested`. Returns the stop.

        A debugger that detaches lets the machine run on, and can come again; one that is lost leaves it stopped. While
        there is none, the machine runs as it does without a server, and exceptions come out.

        - driver: who runs the machine, where it is not this process alone (vm.cli.session).

        The exception of a device stops the machine, and the debugger's user reads it. It is raised from here if the
        machine is killed before it has run on.
        """
        driver = driver or PlainDriver(self._machine)
        while not driver.quitting:
            if self._link is None and self._waiting:
                self._machine.inputs.poll()
                continue
            if self._link is None:
                self._running_free = True
                try:
                    stop = driver.run(None)
                finally:
                    self._running_free = False
                if stop.reason is not StopReason.REQUESTED or self._link is None:
                    return stop
                continue
            ended = self._serve_one(self._link, driver)
            if ended is not None:
                return ended
        return self._killed()

    def _serve_one(self, link: Link, driver: Driver) -> Stop | None:
        """Serve the debugger that is there; the stop if that was the end."""
        trusted = self._listener is None or self._listener.private
        session = Session(self._machine, self._scheduler, driver, link, trusted)
        try:
            left = session.serve()
        finally:
            session.commands.points.clear()
            self._hang_up()
            self._let_next_in()
        if isinstance(left, Stop):
            return left
        if link.spoken:                 # else it was none
            self._waiting = left is None        # one that is lost has not said that the machine may run
        if left is Leave.DETACH or (left is None and self._listener is not None):
            return None
        if session.running.error is not None:
            raise session.running.error
        return self._killed()

    def _killed(self) -> Stop:
        number = self._scheduler.current_hart
        return Stop(StopReason.REQUESTED, self._machine.harts[number].pc, number, 0)

    def _on_caller(self) -> None:
        assert self._listener is not None
        try:
            channel = self._listener.accept()
        except OSError:
            return
        if self._link is None:
            self._connect(channel)
        elif self._link.is_over() and self._successor is None:
            self._successor = channel
        else:
            channel.close()             # one at a time

    def _connect(self, channel: Channel) -> None:
        self._link = Link(channel, self._machine.request_stop)
        self._machine.inputs.watch(self._link.fileno(), self._link.on_readable, self._link.wants_input,
                                   in_the_past=True)
        if self._running_free:
            self._machine.request_stop()

    def _hang_up(self) -> None:
        if self._link is not None:
            self._machine.inputs.forget(self._link.fileno())
            self._link.close()
            self._link = None

    def _let_next_in(self) -> None:
        """Who has come when the one before was gone, and we did not know that yet."""
        if self._successor is not None:
            self._connect(self._successor)
            self._successor = None

    def _show(self, data: bytes) -> None:
        """What the guest prints, where its console is the debugger's."""
        if self._link is not None and self._link.running:
            self._link.show(data)

    def close(self) -> None:
        """Twice is harmless."""
        self._let_next_in()
        self._hang_up()
        if self._listener is not None:
            with suppress(ValueError):
                self._machine.inputs.forget(self._listener.fileno())
            self._listener.close()
        elif self._machine.console.mirror == self._show:
            self._machine.console.mirror = None

    def __enter__(self) -> GdbServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 where: TracebackType | None) -> None:
        self.close()
