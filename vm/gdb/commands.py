"""What each packet of a debugger does: GDB manual, E.2 (Packets), E.4 (General Query Packets)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from vm.errors import ConfigurationError, MachineBusy, VmError
from vm.gdb.link import Link
from vm.gdb.memory import DebuggersMemory
from vm.gdb.monitor import Monitor
from vm.gdb.packets import PACKET_SIZE, escaped
from vm.gdb.points import Point, Points
from vm.gdb.registers import HartRegisters
from vm.gdb.resuming import resume_of
from vm.gdb.running import Resume
from vm.gdb.stops import Halt, thread_of
from vm.gdb.syntax import Malformed, data_of, number, parted, signed_thread
from vm.gdb.tables import memory_map, thread_list
from vm.hart import Hart
from vm.privilege import Privilege
from vm.reverse import past_of
from vm.stop import Stop

if TYPE_CHECKING:
    from vm.machine import Machine

FEATURES = (b"PacketSize=%x" % PACKET_SIZE, b"QStartNoAckMode+", b"qXfer:features:read+", b"qXfer:memory-map:read+",
            b"qXfer:threads:read+", b"vContSupported+", b"swbreak+", b"hwbreak+", b"ReverseStep+", b"ReverseContinue+")
NAME = re.compile(rb"[qQv][A-Za-z.]*|.", re.DOTALL)     # of a packet: a word, or one character
DONE, WRONG, NO_MEMORY = b"OK", b"E01", b"E0e"          # 14 is EFAULT
LONGEST_MEMORY = PACKET_SIZE // 2 - 8                   # bytes that one packet can hold in hexadecimal
SHOWN = 1024                                            # bytes of text in one packet

log = logging.getLogger("vm.gdb")


class Leave(Enum):
    """How a debugger goes away."""

    DETACH = 1                      # the machine runs on without it
    KILL = 2                        # all of it is to end


Answer = bytes | Resume | Leave


class Commands:
    """Answers the packets of one debugger.

    - halt: the stop that it was told last.
    - extended: it stays when the guest has ended or was killed, and may begin it again (`target extended-remote`).
    - ended: how that was, until then.
    """

    def __init__(self, machine: Machine, link: Link, trusted: bool):
        self.memory = DebuggersMemory(machine.memory)
        self.points = Points(machine, self.memory)
        self.halt = Halt(0)
        self.extended = False
        self.ended: Stop | Leave | None = None
        self._machine = machine
        self._link = link
        self._monitor = Monitor(machine, trusted)
        self._registers = HartRegisters(machine.harts[0])
        self._selected = machine.harts[0]       # for registers and memory
        self._moving: Hart | None = None        # for packets that resume and name no hart; None: the one that stopped

    def answer(self, packet: bytes) -> Answer:
        """The reply, or what to do; nothing for a packet that is not known, and an error for one that is wrong."""
        match = NAME.match(packet)
        handle = HANDLERS.get(match[0]) if match else None
        if match is None or handle is None:
            return b""
        try:
            return handle(self, packet[match.end():])
        except VmError as error:
            log.debug("gdb: %r: %s", packet[:80], error)
            return b"E." + escaped(str(error).encode("ascii", "replace"))
        except (ValueError, KeyError, IndexError, OverflowError) as error:
            log.debug("gdb: %r: %s", packet[:80], error)
            return WRONG
        except Exception:           # of a device that was asked for a register
            log.exception("gdb: %r", packet[:80])
            return WRONG

    def stop_reply(self, halt: Halt) -> bytes:
        """The packet that tells of a stop; the hart that it was on is selected."""
        self.halt = halt
        self._selected = self._machine.harts[halt.hart]
        return halt.reply(self._selected, self._registers)

    # --- What there is -----------------------------------------------------------------------------------------------

    def _supported(self, rest: bytes) -> bytes:
        return b";".join(FEATURES)

    def _no_acknowledgements(self, rest: bytes) -> bytes:
        self._link.acknowledging = False
        return DONE

    def _extend(self, rest: bytes) -> bytes:
        self.extended = True
        return DONE

    def _why(self, rest: bytes) -> bytes:
        return self.stop_reply(self.halt) if self.ended is None else b"W00"

    def _transfer(self, rest: bytes) -> bytes:
        """qXfer:OBJECT:read:ANNEX:OFFSET,LENGTH"""
        _, kind, operation, annex, place = parted(rest, b":", 5)
        offset, length = map(number, parted(place, b",", 2))
        objects: dict[tuple[bytes, bytes], Callable[[], str]] = {
            (b"features", b"target.xml"): self._registers.description,
            (b"memory-map", b""): lambda: memory_map(self._machine.memory),
            (b"threads", b""): lambda: thread_list(self._living),
        }
        if operation != b"read" or (kind, annex) not in objects:
            return b"E00" if kind == b"features" else b""
        document = objects[kind, annex]().encode()
        piece = document[offset : offset + min(length, LONGEST_MEMORY)]
        return (b"m" if offset + len(piece) < len(document) else b"l") + escaped(piece)

    # --- Threads -----------------------------------------------------------------------------------------------------

    def _hart(self, text: bytes) -> Hart | None:
        """The hart of a thread; None where any, or all, are meant."""
        thread = signed_thread(text)
        if thread <= 0:
            return None
        return self._machine.harts[thread - 1]

    def _select(self, rest: bytes) -> bytes:
        hart = self._hart(rest[1:])
        if rest[:1] == b"g":
            self._selected = hart or self._machine.harts[self.halt.hart]
        elif rest[:1] == b"c":
            self._moving = hart
        else:
            return b""
        return DONE

    def _alive(self, rest: bytes) -> bytes:
        self._hart(rest)
        return DONE

    def _threads(self, rest: bytes) -> bytes:
        return b"m" + b",".join(b"%x" % thread_of(hart) for hart in self._living) if self._living else b"l"

    @property
    def _living(self) -> Sequence[Hart]:
        """The harts, while the guest has not ended."""
        return self._machine.harts if self.ended is None else ()

    def _about_thread(self, rest: bytes) -> bytes:
        hart = self._hart(rest[1:])
        if hart is None:
            raise Malformed
        return f"hart {hart.id}: {hart.state}, {Privilege(hart.privilege).letter}".encode().hex().encode()

    def _current_thread(self, rest: bytes) -> bytes:
        return b"QC%x" % thread_of(self._selected) if self._living else b""

    # --- Registers and memory ----------------------------------------------------------------------------------------

    def _read_registers(self, rest: bytes) -> bytes:
        return b"".join(self._registers.read(self._selected, each).hex().encode() for each in self._registers.numbers)

    def _write_registers(self, rest: bytes) -> bytes:
        data = data_of(rest)
        sizes = [self._registers.size(each) for each in self._registers.numbers]
        if len(data) != sum(sizes):
            raise Malformed
        self._refuse_in_replay()
        at = 0
        for each, size in zip(self._registers.numbers, sizes, strict=True):
            self._registers.write(self._selected, each, data[at : at + size])
            at += size
        return DONE

    def _read_register(self, rest: bytes) -> bytes:
        return self._registers.read(self._selected, number(rest)).hex().encode()

    def _write_register(self, rest: bytes) -> bytes:
        name, value = parted(rest, b"=", 2)
        self._refuse_in_replay()
        self._registers.write(self._selected, number(name), data_of(value))
        return DONE

    def _refuse_in_replay(self) -> None:
        """Raises MachineBusy where registers come from the log: with others the machine could not run."""
        history = self._machine.inputs.history
        if history is not None and not history.live:
            raise MachineBusy("the machine replays a log: no register can be written before that ends")

    def _read_memory(self, rest: bytes) -> bytes:
        address, size = map(number, parted(rest, b",", 2))
        if not size:
            raise Malformed
        return self._memory_or_error(lambda: self.memory.read(self._selected, address, min(size, LONGEST_MEMORY))
                                     .hex().encode())

    def _write_memory(self, rest: bytes, decoded: Callable[[bytes], bytes] = data_of) -> bytes:
        place, content = parted(rest, b":", 2)
        address, size = map(number, parted(place, b",", 2))
        data = decoded(content)
        if len(data) != size:
            raise Malformed

        def write() -> bytes:
            self.memory.write(self._selected, address, data)
            return DONE

        return self._memory_or_error(write)

    def _write_binary(self, rest: bytes) -> bytes:
        return self._write_memory(rest, bytes)

    def _memory_or_error(self, action: Callable[[], bytes]) -> bytes:
        try:
            return action()
        except VmError as error:
            log.debug("gdb: %s", error)
            return NO_MEMORY

    def _physical_mode(self, rest: bytes) -> bytes:
        return b"%d" % self.memory.physical

    def _set_physical_mode(self, rest: bytes) -> bytes:
        self.memory.physical = bool(number(rest[1:]))
        return DONE

    # --- Breakpoints -------------------------------------------------------------------------------------------------

    def _point(self, rest: bytes) -> Point:
        kind, address, size = map(number, parted(rest.partition(b";")[0], b",", 3))
        return Point(kind, address, size)

    def _set_point(self, rest: bytes) -> bytes:
        point = self._point(rest)
        if point.kind > 4:
            return b""
        self.points.add(point, self._selected)
        return DONE

    def _remove_point(self, rest: bytes) -> bytes:
        point = self._point(rest)
        if point.kind > 4:
            return b""
        self.points.remove(point)
        return DONE

    # --- Going on, and away ------------------------------------------------------------------------------------------

    @property
    def _default(self) -> Hart:
        return self._moving or self._machine.harts[self.halt.hart]

    def _resume(self, rest: bytes) -> Answer:
        """vCont;ACTION[:THREAD]..."""
        return resume_of(rest, self._machine.harts, self._default)

    def _run(self, rest: bytes) -> Answer:
        return self._from(rest, Resume("run", self._default))

    def _step(self, rest: bytes) -> Answer:
        return self._from(rest, Resume("step", self._default, others=self._moving is None))

    def _run_with_signal(self, rest: bytes) -> Answer:
        """A guest gets no signals: the number is ignored."""
        return self._run(self._without_signal(rest))

    def _step_with_signal(self, rest: bytes) -> Answer:
        return self._step(self._without_signal(rest))

    def _without_signal(self, rest: bytes) -> bytes:
        signal, _, address = rest.partition(b";")
        number(signal)
        return address

    def _from(self, address: bytes, resume: Resume) -> Answer:
        if address:
            pc = number(address)
            self._refuse_in_replay()
            resume.hart.pc = pc
        return resume

    def _back(self, rest: bytes) -> Answer:
        if rest not in (b"s", b"c"):
            return b""
        if past_of(self._machine.inputs) is None:
            raise ConfigurationError("no history is kept: `monitor history` begins one")
        return Resume("step back" if rest == b"s" else "run back", self._default)

    def _detach(self, rest: bytes) -> Answer:
        return Leave.DETACH

    def _kill(self, rest: bytes) -> Answer:
        return Leave.KILL

    def _kill_process(self, rest: bytes) -> Answer:
        if self.extended:
            self.ended = self.ended or Leave.KILL
            return DONE
        self._link.send(DONE)
        return Leave.KILL

    def _begin_again(self, rest: bytes) -> Answer:
        """vRun, of the program that there is, whatever it names; a replay begins at its beginning."""
        if not self.extended:
            return b""
        past = past_of(self._machine.inputs)
        if past is not None and past.is_of_replay:
            self._machine.step_back(self._machine.steps - past.beginning)
        else:
            self._machine.reset()
        self.ended = None
        return self.stop_reply(Halt(0))

    # --- monitor -----------------------------------------------------------------------------------------------------

    def _command(self, rest: bytes) -> bytes:
        line = data_of(rest[1:]).decode(errors="replace")
        text = self._monitor.run(line, self._selected).encode(errors="replace")
        for at in range(0, len(text), SHOWN):
            self._link.show(text[at : at + SHOWN])
        return DONE


HANDLERS: dict[bytes, Callable[[Commands, bytes], Answer]] = {
    b"?": Commands._why, b"g": Commands._read_registers, b"G": Commands._write_registers, b"p": Commands._read_register,
    b"P": Commands._write_register, b"m": Commands._read_memory, b"M": Commands._write_memory,
    b"X": Commands._write_binary, b"H": Commands._select, b"T": Commands._alive, b"Z": Commands._set_point,
    b"z": Commands._remove_point, b"c": Commands._run, b"s": Commands._step, b"C": Commands._run_with_signal,
    b"S": Commands._step_with_signal, b"b": Commands._back, b"D": Commands._detach, b"k": Commands._kill,
    b"vCont": Commands._resume, b"vKill": Commands._kill_process, b"vRun": Commands._begin_again,
    b"!": Commands._extend, b"qSupported": Commands._supported,
    b"QStartNoAckMode": Commands._no_acknowledgements, b"qXfer": Commands._transfer, b"qfThreadInfo": Commands._threads,
    b"qsThreadInfo": lambda commands, rest: b"l", b"qThreadExtraInfo": Commands._about_thread,
    b"qC": Commands._current_thread, b"qAttached": lambda commands, rest: b"1",
    b"qSymbol": lambda commands, rest: DONE, b"qRcmd": Commands._command,
    b"qqemu.Supported": lambda commands, rest: b"PhyMemMode", b"qqemu.PhyMemMode": Commands._physical_mode,
    b"Qqemu.PhyMemMode": Commands._set_physical_mode,
}
