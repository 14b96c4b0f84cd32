"""One exception tree: everything this package raises on purpose derives from `VmError`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import re

    from vm.stop import Stop

Access = Literal["read", "write", "execute"]        # what was tried


class VmError(Exception):
    """Base of all errors raised by `vm`.

    A message that is longer than `longest` characters loses its middle: what it echoes may come from a stranger's file.
    """

    longest: ClassVar[int] = 2000

    def __init__(self, message: str = ""):
        super().__init__(shortened(message, self.longest))

    def __reduce__(self) -> tuple[Any, ...]:
        return unpickled, (type(self), self.args, self.__dict__)    # not by way of constructors: each has its own


def unpickled(kind: type[VmError], args: tuple[Any, ...], attributes: dict[str, Any]) -> VmError:
    """The same error again, in another process."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


def shortened(text: str, longest: int) -> str:
    """The text, without its middle where it is longer."""
    half = longest // 2
    if len(text) <= longest:
        return text
    return f"{text[:half]} [{len(text) - 2 * half:,} characters left out] {text[-half:]}"


class ConfigurationError(VmError, ValueError):
    """A machine cannot be built or run as asked: memory size, ISA string, hart count, device, setting, limit."""


class LoadError(VmError, ValueError):
    """A file cannot be loaded into the machine. The message names the file and what to do."""


class SnapshotError(VmError, ValueError):
    """A saved state is damaged, foreign, newer, or does not fit the machine. The message says what, and what to do."""


class MachineBusy(VmError, RuntimeError):
    """`run` was called while the machine runs, from a callback or a thread, or while memory is open for writing."""


class MachineUnusable(VmError, RuntimeError):
    """The machine is closed; or another process has built it, of which this one is a fork."""


class LimitReached(VmError, RuntimeError):
    """A machine has taken all that its `limits` give it. Between two instructions: with others it goes on.

    Attribute: `limit`, the name of the one of `vm.Limits` that was reached.
    """

    def __init__(self, limit: str, given: str):
        self.limit = limit
        super().__init__(f"the machine has taken all that its limits give it: {given}; set machine.limits to let it "
                         "go on")


class WorkerLost(VmError, RuntimeError):
    """An input has ended the process that ran its test, again and again. Attribute: `times`."""

    def __init__(self, message: str, times: int):
        self.times = times
        super().__init__(message)


class CompilerError(VmError):
    """A guest program does not compile, or the compiler is missing. The message holds what the compiler said."""

    longest = sys.maxsize


# --- Images ----------------------------------------------------------------------------------------------------------

class ImageError(VmError):
    """A guest image cannot be found, downloaded or verified."""


class Unreachable(ImageError):
    """A mirror does not answer, or not with the file asked for. Attribute: `missing` (it answered that it has none)."""

    def __init__(self, message: str, missing: bool = False):
        self.missing = missing
        super().__init__(message)


# --- The console -----------------------------------------------------------------------------------------------------

class ExpectFailed(VmError):
    """What was waited for did not come. Of the console, the message ends with its last output."""


class ExpectTimeout(ExpectFailed, TimeoutError):
    """It did not come in the given guest or host time, or never will without input."""


class ExpectStopped(ExpectFailed):
    """The machine stopped before it came. Attribute: `stop`, what `run` returned."""

    def __init__(self, message: str, stop: Stop):
        self.stop = stop
        super().__init__(message)


class UnexpectedOutput(ExpectFailed):
    """The guest printed what `expect(fail=...)` says must not come. Attribute: `match`, of that."""

    def __init__(self, message: str, match: re.Match[Any]):
        self.match = match
        super().__init__(message)


class CommandFailed(VmError):
    """A command in a guest's shell ended with another status than 0.

    Attributes: `command`, `status`, `output` (str).
    """

    def __init__(self, command: str, status: int, output: str):
        self.command = command
        self.status = status
        self.output = output
        super().__init__(f"{command!r} ended with status {status}{output and '; its output ends with:'}"
                         f"{output and chr(10)}{output[-1000:]}")


# --- Recorded runs ---------------------------------------------------------------------------------------------------

class LogError(VmError, ValueError):
    """A file is no log of a recorded run, or a damaged one, or of a newer version. The message says where."""


class ReplayDiverged(VmError):
    """A replayed run is not the one that was recorded. The message says since when, and what differs.

    Attributes: `step` of the machine, and `hart` whose turn it was, where it was found; `fitted`, the last step at
    which all was as recorded, None where the machine does not stand where the log begins; `difference`.
    """

    def __init__(self, step: int, hart: int, fitted: int | None, difference: str):
        self.step = step
        self.hart = hart
        self.fitted = fitted
        self.difference = difference
        where = f"the replay diverges at step {step:,}, hart {hart}" if fitted is not None else "the log does not fit"
        fits = "" if fitted is None else f"; at step {fitted:,} it was as recorded"
        super().__init__(f"{where}: {difference}{fits}")


# --- The guest -------------------------------------------------------------------------------------------------------

class GuestError(VmError):
    """The guest asked for something that cannot be done."""


class BusError(GuestError):
    """A guest physical address is neither RAM nor a device.

    Attributes: `address` (physical), `access` ('read' | 'write' | 'execute').
    """

    def __init__(self, address: int, access: Access, detail: str = ""):
        self.address = address
        self.access: Access = access
        super().__init__(f"nothing answers at physical address {address:#x} ({access}{detail and ', '}{detail})")


class PageFault(GuestError):
    """A guest virtual address has no translation, or none for that access.

    Attributes: `address` (virtual), `access` ('read' | 'write' | 'execute').
    """

    def __init__(self, address: int, access: Access, refused: str = ""):
        """`refused`: why a page that is there does not serve, if so."""
        self.address = address
        self.access: Access = access
        why = f"cannot be accessed: {refused}" if refused else "has no translation"
        super().__init__(f"virtual address {address:#x} {why} ({access})")


class LinuxError(GuestError):
    """What is asked of the guest's Linux is not in its memory: a kernel, its symbols or types, a process."""


class AgentError(GuestError):
    """What answers where the agent of a guest listens is none, or one of another version, or breaks off."""


class MalformedQueue(GuestError):
    """A virtio driver built a queue or a buffer that the specification forbids."""


class MalformedPacket(GuestError):
    """A guest sends what is no packet of the network, or asks for something to be done to one that cannot be."""
