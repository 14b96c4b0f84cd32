"""The part of a machine that gives it a guest, and begins with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import TYPE_CHECKING

from vm.arguments import whole_number
from vm.boards import Virt
from vm.boot import Start, hand_over, start_of_kernel, start_of_program
from vm.errors import ConfigurationError, LoadError
from vm.htif import Htif

if TYPE_CHECKING:
    from vm.boards import Board
    from vm.code_cache import CodeCache
    from vm.console import Console
    from vm.events import EventQueue
    from vm.hart import Hart
    from vm.inputs import Inputs
    from vm.loaders import Program
    from vm.loaders.common import Source
    from vm.loaders.linux import LinuxBoot
    from vm.memory import Memory
    from vm.runner import Runner
    from vm_native.riscv.hart import NativeHart
    from vm_native.riscv.isa import Isa


class StartsOfMachine(ABC):
    """How `Machine` comes to a guest; what is declared here is the machine's."""

    harts: tuple[Hart, ...]
    isa: Isa
    memory: Memory
    events: EventQueue
    inputs: Inputs
    console: Console
    board: Board
    program: Program | None
    _natives: list[NativeHart]
    _runner: Runner
    _start: Start | None                    # what `reset` begins with again
    _named_by: Program | None
    _htif: Htif | None
    _code_cache: CodeCache | None

    @abstractmethod
    def _map_devices(self) -> None: ...

    @abstractmethod
    def _take_typed(self, size: int) -> bytes: ...

    @abstractmethod
    def _refuse_if_running(self, what: str, *, in_hook: bool = False) -> None: ...

    def load(self, file: Source, address: int | None = None) -> Program:
        """Load a bare-metal program: an ELF, or raw bytes at a physical `address`. All harts start there in M-mode.

        file: a path, the bytes themselves, or a binary file object, which is read to its end. It is read once: the
        machine keeps the content for `reset`.

        a0 is the hart's number, a1 the address of the device tree. An ELF with a symbol `tohost` talks through it as
        under Spike. Raises LoadError; the machine is then as it was.
        """
        self._refuse_if_running("load")
        address = None if address is None else whole_number("address", address)
        start = start_of_program(file, address, self.board, self.isa)
        self._named_by = None
        self._begin(start)
        assert self.program is not None
        return self.program

    def boot(self, kernel: Source, initrd: Source | None = None, cmdline: str | bytes = "",
             firmware: Source | None = None, address: int | None = None) -> LinuxBoot:
        """Load a Linux `Image` (compression is undone) and make the machine ready to boot it.

        - kernel: or another kernel that starts in S-mode with a0 = hart, a1 = device tree: an ELF, or raw bytes, which
          go to the physical `address`. As all files here, a path, the bytes themselves, or a binary file object.
        - cmdline: for the kernel; a str is given to it in UTF-8.
        - firmware: None, and the machine serves the supervisor binary interface itself; or an OpenSBI (fw_jump or
          fw_dynamic, ELF or binary) that runs in M-mode.

        Files are read once: the machine keeps their content for `reset`. Raises LoadError; the machine is then as it
        was.
        """
        self._refuse_if_running("boot")
        if not isinstance(self.board, Virt):
            raise ConfigurationError("a bare board boots no kernel: it has neither firmware nor a device tree; load() "
                                     "a program, or build the machine with board='virt'")
        address = None if address is None else whole_number("address", address)
        start = start_of_kernel(kernel, initrd, cmdline, firmware, address, self.board, self.isa)
        self._named_by = None
        self._begin(start)
        assert start.linux is not None
        return start.linux

    def reset(self) -> None:
        """Press the reset button: devices and harts to their power-on state; the guest is loaded again, as it was read.

        RAM that the guest's files do not cover keeps its content; time goes on.
        """
        self._refuse_if_running("reset")
        if self._start is None:
            raise LoadError("nothing is loaded: use load() or boot() first")
        if not self._start.segments:
            raise LoadError("the file of a snapshot does not hold what the machine was started with: use load() or "
                            "boot() first")
        with nullcontext() if self.inputs.history is None else self.inputs.history.reset():
            self._begin(self._start)

    def _reset(self) -> None:
        """`reset`, in the middle of a run, between two slices."""
        assert self._start is not None
        self._begin(self._start)

    def _begin(self, start: Start) -> None:
        self._map_devices()
        self.events.clear()
        for native in self._natives:
            native.reset()
        self.board.reset()
        self._runner.reset()
        self._belong_to(start)
        hand_over(start, self.board, self.memory, self.harts, self._natives)
        if self._code_cache is not None:
            self._code_cache.begin(start)

    def _belong_to(self, start: Start | None) -> None:
        """Be the machine of that guest: of what it may ask the host."""
        self._start = start
        self.program = self._named_by or (None if start is None else start.program)
        self.inputs.on_entered = None
        self._htif = None
        if start is not None and start.host_words is not None:
            self._htif = Htif(self.memory, self.events, *start.host_words, self.console.write, self._take_typed,
                              self._runner.request)
            self._runner.watch(self._htif)
            self.inputs.on_entered = self._htif.on_input
