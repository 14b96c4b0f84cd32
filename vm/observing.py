"""The part of a machine by which a program looks at its guest: breakpoints, watchpoints, hooks, debuggers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast, overload

from vm.arguments import one_of, whole_number
from vm.devices.base import Device
from vm.errors import ConfigurationError, GuestError
from vm.hooking import cause_of_trap
from vm.hooks import CsrAccess, Hook, HookSetter, MemoryAccess, MmioAccess, Trap
from vm.privilege import Mode
from vm.probes import Breakpoint, Probe, Space, WatchedAccess, Watchpoint
from vm.scope import Scope, Where, covers, in_64_bits, range_of, refuse_function, scope_of, start_recorder
from vm_native.riscv.registers import CSR_NUMBERS, X_NUMBERS

if TYPE_CHECKING:
    from os import PathLike

    from vm.boards import Board
    from vm.boot import Start
    from vm.clock import Clock
    from vm.coverage.coverage import Coverage
    from vm.coverage.edges import EdgeMap
    from vm.events import EventQueue
    from vm.gdb.server import GdbServer
    from vm.hart import Hart
    from vm.hooking import Hooking
    from vm.linux import LinuxGuest
    from vm.loaders import Program, Symbol
    from vm.loaders.common import Source
    from vm.machine import Machine
    from vm.memory import Memory
    from vm.probing import Probing
    from vm.profiling.names import Naming
    from vm.profiling.profile import Profile
    from vm.runner import Runner
    from vm.screenshot import Screenshot
    from vm.trace import Consumer, Kind, Trace, WhenFull
    from vm.web.console import WebConsole
    from vm_native.execution.native_machine import NativeMachine
    from vm_native.execution.scheduler import Scheduler
    from vm_native.riscv.isa import Isa

Event = TypeVar("Event")
SYSTEM_CALL = X_NUMBERS["a7"]           # which is asked for
WORD = 8                                # bytes from an address that are looked at where nothing is said


class ObservationOfMachine(ABC):
    """What `Machine` lets one see; what is declared here is the machine's."""

    board: Board
    program: Program | None
    _named_by: Program | None
    _start: Start | None
    harts: tuple[Hart, ...]
    memory: Memory
    clock: Clock
    events: EventQueue
    isa: Isa
    _scheduler: Scheduler
    _native: NativeMachine
    _runner: Runner
    _probing: Probing
    _linux: LinuxGuest | None = None

    _hooking: Hooking

    @abstractmethod
    def _refuse_if_running(self, what: str, *, in_hook: bool = False) -> None: ...

    @abstractmethod
    def _refuse_in_run(self, what: str, *, in_hook: bool = True) -> None: ...

    def breakpoint(self, where: int | str, *, space: Space = "virtual", privilege: Mode | None = None,
                   asid: int | None = None, satp: int | None = None, page_table: int | None = None) -> Breakpoint:
        """From now on `run` ends before each instruction at an address or a symbol, with reason `breakpoint`.

        A hart that is reported there goes on past it in the next run. Other parameters: see `on_execute`. Raises
        ConfigurationError.
        """
        address = self._address_of(where) if isinstance(where, str) else where
        return self._probing.add_breakpoint(address, space, scope_of(privilege, asid, satp, page_table))

    def watchpoint(self, where: Where, *, size: int | None = None, access: WatchedAccess = "write",
                   space: Space = "virtual", privilege: Mode | None = None, asid: int | None = None,
                   satp: int | None = None, page_table: int | None = None) -> Watchpoint:
        """From now on `run` ends after each instruction that accesses RAM there, with reason `watchpoint`.

        - where: a range; or an address or a symbol, from which `size` bytes count. size: by default all of a symbol
          that says its own, else 8.
        - access: "read", "write", or "access" for both. Atomics do both. What devices and Python do does not count, nor
          do fetches and the walk of page tables, which can set bits there.

        Other parameters: see `on_execute`. Raises ConfigurationError where physical addresses are not RAM.
        """
        return self._probing.add_watchpoint(self._data_at(where, size), access, space,
                                            scope_of(privilege, asid, satp, page_table))

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The breakpoints and watchpoints that are set."""
        return tuple(self._runner.probes.values())

    # --- Hooks -------------------------------------------------------------------------------------------------------

    @overload
    def on_execute(self, where: Where, function: Callable[[Hart], object], *, space: Space = "virtual",
                   privilege: Mode | None = None, asid: int | None = None, satp: int | None = None,
                   page_table: int | None = None) -> Hook[Hart]: ...

    @overload
    def on_execute(self, where: Where, *, space: Space = "virtual", privilege: Mode | None = None,
                   asid: int | None = None, satp: int | None = None, page_table: int | None = None
                   ) -> HookSetter[Hart]: ...

    def on_execute(self, where: Where, function: Callable[[Hart], object] | None = None, *, space: Space = "virtual",
                   privilege: Mode | None = None, asid: int | None = None, satp: int | None = None,
                   page_table: int | None = None) -> Hook[Hart] | HookSetter[Hart]:
        """Call a function with the hart before each instruction at an address, in a range, or at a symbol.

        It fires on code that has run, or was compiled, before; elsewhere it costs nothing. All of the machine's state
        is exact then, and the function may change it: send the hart elsewhere by its `pc`, take and restore snapshots,
        stop the run, set hooks and remove them. An exception stops the run there and comes out of `run` unchanged;
        the next run goes on with the instruction.

        - where: an address, a range of them, or a symbol, of the program or of a Linux that `linux` has found.
        - space: "virtual", in whichever address space that is executed; or "physical".
        - privilege: "user", "supervisor" or "machine", or the number, 0, 1 or 3, of the instruction; of a hart with H
          also "virtual user" and "virtual supervisor", 4 and 5.
        - asid, satp, page_table: of one address space: by its number, by all of satp, or by the physical address of the
          root of its page tables, whatever mode and number satp has beside it.

        Without a function it is a decorator. Returns the `Hook`, which `remove()` ends, or the end of a `with` block.
        What hooks do to a machine is in no recording of it; a history keeps the state behind it. Raises
        ConfigurationError.
        """
        addresses = range_of("where", where, self._address_of, 1)
        if addresses.stop - addresses.start == 1 and addresses.start % 2:
            raise ConfigurationError(f"where={addresses.start:#x}: no instruction begins at an odd address")
        setter = partial(self._hooking.on_execute, f"on_execute {named(where)}", addresses=addresses,
                         space=one_of("space", space, Space), scope=scope_of(privilege, asid, satp, page_table))
        return set_or_decorate(setter, function)

    @overload
    def on_read(self, where: Where, function: Callable[[MemoryAccess], object], *, size: int | None = None,
                space: Space = "virtual", privilege: Mode | None = None, asid: int | None = None,
                satp: int | None = None, page_table: int | None = None) -> Hook[MemoryAccess]: ...

    @overload
    def on_read(self, where: Where, *, size: int | None = None, space: Space = "virtual", privilege: Mode | None = None,
                asid: int | None = None, satp: int | None = None, page_table: int | None = None
                ) -> HookSetter[MemoryAccess]: ...

    def on_read(self, where: Where, function: Callable[[MemoryAccess], object] | None = None, *,
                size: int | None = None, space: Space = "virtual", privilege: Mode | None = None,
                asid: int | None = None, satp: int | None = None, page_table: int | None = None
                ) -> Hook[MemoryAccess] | HookSetter[MemoryAccess]:
        """Call a function with a `MemoryAccess` after each instruction that reads RAM there.

        - where: a range; or an address or a symbol, from which `size` bytes count. size: by default all of a symbol
          that says its own, else 8.

        Other parameters: see `on_execute`. What counts as a read is as for `watchpoint`; of devices `on_mmio` tells.
        Raises ConfigurationError where physical addresses are not RAM.
        """
        return self._on_access("read", where, function, size, space, scope_of(privilege, asid, satp, page_table))

    @overload
    def on_write(self, where: Where, function: Callable[[MemoryAccess], object], *, size: int | None = None,
                 space: Space = "virtual", privilege: Mode | None = None, asid: int | None = None,
                 satp: int | None = None, page_table: int | None = None) -> Hook[MemoryAccess]: ...

    @overload
    def on_write(self, where: Where, *, size: int | None = None, space: Space = "virtual",
                 privilege: Mode | None = None, asid: int | None = None, satp: int | None = None,
                 page_table: int | None = None) -> HookSetter[MemoryAccess]: ...

    def on_write(self, where: Where, function: Callable[[MemoryAccess], object] | None = None, *,
                 size: int | None = None, space: Space = "virtual", privilege: Mode | None = None,
                 asid: int | None = None, satp: int | None = None, page_table: int | None = None
                 ) -> Hook[MemoryAccess] | HookSetter[MemoryAccess]:
        """Call a function with a `MemoryAccess` after each instruction that writes to RAM there.

        It has the new value and the one before.

        Parameters: see `on_read`. What counts as a write is as for `watchpoint`; of devices `on_mmio` tells. Raises
        ConfigurationError where physical addresses are not RAM.
        """
        return self._on_access("write", where, function, size, space, scope_of(privilege, asid, satp, page_table))

    @overload
    def on_trap(self, cause: int | None, function: Callable[[Trap], object]) -> Hook[Trap]: ...

    @overload
    def on_trap(self, cause: int | None = None) -> HookSetter[Trap]: ...

    def on_trap(self, cause: int | None = None, function: Callable[[Trap], object] | None = None
                ) -> Hook[Trap] | HookSetter[Trap]:
        """Call a function with a `Trap` after each trap, or each of one cause, has been taken.

        - cause: as mcause has it: of an interrupt bit 63 is set. Environment calls that the machine serves itself, as
          the firmware of a kernel, are no traps: `on_ecall` has them.
        """
        wanted = None if cause is None else cause_of_trap(cause)
        setter = partial(self._hooking.on_trap, "on_trap" if cause is None else f"on_trap {cause:#x}", cause=wanted)
        return set_or_decorate(setter, function)

    @overload
    def on_csr(self, csr: str | int, function: Callable[[CsrAccess], object], *,
               access: WatchedAccess = "access") -> Hook[CsrAccess]: ...

    @overload
    def on_csr(self, csr: str | int, *, access: WatchedAccess = "access"
               ) -> HookSetter[CsrAccess]: ...

    def on_csr(self, csr: str | int, function: Callable[[CsrAccess], object] | None = None, *,
               access: WatchedAccess = "access"
               ) -> Hook[CsrAccess] | HookSetter[CsrAccess]:
        """Call a function with a `CsrAccess` after each instruction that accesses a control and status register.

        - csr: its name, in upper or lower case, or number. access: "read", "write", or "access" for both, which one
          instruction may do.

        What traps, floating-point instructions and time do to registers does not count. Raises ConfigurationError.
        """
        refuse_function("csr", csr)
        number = CSR_NUMBERS.get(csr.lower(), -1) if isinstance(csr, str) else whole_number("csr", csr)
        if not 0 <= number < 1 << 12:
            raise ConfigurationError(f"csr={csr!r}: it is a register's name, like 'satp', or a number of 12 bits")
        access = one_of("access", access, WatchedAccess)
        setter = partial(self._hooking.on_csr, f"on_csr {csr}", number=number, access=access)
        return set_or_decorate(setter, function)

    @overload
    def on_mmio(self, where: Where | Device | None, function: Callable[[MmioAccess], object], *,
                access: WatchedAccess = "access") -> Hook[MmioAccess]: ...

    @overload
    def on_mmio(self, where: Where | Device | None = None, *, access: WatchedAccess = "access"
                ) -> HookSetter[MmioAccess]: ...

    def on_mmio(self, where: Where | Device | None = None, function: Callable[[MmioAccess], object] | None = None, *,
                access: WatchedAccess = "access"
                ) -> Hook[MmioAccess] | HookSetter[MmioAccess]:
        """Call a function with an `MmioAccess` after each instruction that accesses a device.

        - where: a device, or its name on the board; a physical address, or a range; None: every device.
        - access: "read", "write", or "access" for both.

        Raises ConfigurationError.
        """
        access = one_of("access", access, WatchedAccess)
        if isinstance(where, (str, Device)):
            device = self.board.name_of(where)
            setter = partial(self._hooking.on_mmio, f"on_mmio {device}", wanted=lambda event: event.device == device)
        else:
            addresses = range(1 << 64) if where is None else range_of("where", where, self._address_of, 1)
            setter = partial(self._hooking.on_mmio, "on_mmio" if where is None else f"on_mmio {named(where)}",
                             wanted=lambda event: (event.address < addresses.stop
                                                   and event.address + event.size > addresses.start))
        return set_or_decorate(partial(setter, access=access), function)

    @overload
    def on_ecall(self, number: int | None, function: Callable[[Hart], object]) -> Hook[Hart]: ...

    @overload
    def on_ecall(self, number: int | None = None) -> HookSetter[Hart]: ...

    def on_ecall(self, number: int | None = None, function: Callable[[Hart], object] | None = None
                 ) -> Hook[Hart] | HookSetter[Hart]:
        """Call a function with the hart before each `ecall`, from whichever privilege.

        - number: what a7 holds, where only one call is wanted: of SBI the extension, of Linux the system call.

        To serve the call, set its results and let `hart.pc` be 4 more: the instruction is then not executed.
        """
        call = None if number is None else in_64_bits("number", number)
        setter = partial(self._hooking.on_call, "on_ecall" if call is None else f"on_ecall {call:#x}",
                         wanted=lambda hart: call is None or hart.x[SYSTEM_CALL] == call)
        return set_or_decorate(setter, function)

    @overload
    def on_block(self, where: Where | None, function: Callable[[Hart], object], *, privilege: Mode | None = None,
                 asid: int | None = None, satp: int | None = None, page_table: int | None = None) -> Hook[Hart]: ...

    @overload
    def on_block(self, where: Where | None = None, *, privilege: Mode | None = None, asid: int | None = None,
                 satp: int | None = None, page_table: int | None = None) -> HookSetter[Hart]: ...

    def on_block(self, where: Where | None = None, function: Callable[[Hart], object] | None = None, *,
                 privilege: Mode | None = None, asid: int | None = None, satp: int | None = None,
                 page_table: int | None = None) -> Hook[Hart] | HookSetter[Hart]:
        """Call a function with the hart before the first instruction of each basic block.

        That is one that a branch, a jump, a trap or a return from one led to.

        - where: where it is: a virtual address, a range, or all of a function by its name; None: anywhere.

        Other parameters: see `on_execute`. Wherever the block is, the machine stops there and calls Python, which looks
        whether it is wanted: where the addresses are known, `on_execute` is faster. Raises ConfigurationError.
        """
        addresses, scope = self._code_at(where), scope_of(privilege, asid, satp, page_table)
        setter = partial(self._hooking.on_block, "on_block" if where is None else f"on_block {named(where)}",
                         wanted=lambda hart: hart.pc in addresses and covers(scope, hart))
        return set_or_decorate(setter, function)

    # --- Recorders ---------------------------------------------------------------------------------------------------

    def trace(self, kind: Kind, *, where: Where | None = None, privilege: Mode | None = None, asid: int | None = None,
              satp: int | None = None, page_table: int | None = None, capacity: int = 1 << 20,
              limit: int | None = None, when_full: WhenFull = "stop", file: str | PathLike[str] | None = None,
              consumer: Consumer | None = None) -> Trace:
        """Record what happens from now on, until `stop()` of the `Trace`, or to the end of a `with` block.

        The engines write it into a buffer that `Trace.array` shows as a NumPy array; no Python is called.

        - kind: "instructions", "blocks", "branches", "memory", "traps" or "mmio".
        - where: virtual addresses of the instructions that count: one, a range, or the name of a function.
        - privilege, asid, satp, page_table: see `on_execute`.
        - capacity: of the buffer, in records. when_full: "stop", and `run` returns with reason `trace-full` before
          anything is lost; or "drop-oldest".
        - limit: stop so right behind the instruction of this record, the first of which is 1. All records of that
          instruction are there.
        - file: a NumPy file (.npy) that gets all of it, also if that is more than fits into memory; it is whole after
          `stop`.
        - consumer: is called with the records, as an array that is only good in the call, each time there is no room
          for more, and by `stop`. Where it returns False the run ends with reason `trace-full`.

        While it is on, code is translated anew, and runs slower. Raises ConfigurationError.
        """
        from vm.trace import Trace

        self._refuse_but_in_hooks("trace")
        trace = Trace(self._native, kind, self._code_at(where), scope_of(privilege, asid, satp, page_table), capacity,
                      limit, when_full, file, consumer, self._refuse_if_in_use, self._end_trace)
        self._runner.traces.append(trace)
        return trace

    def coverage(self, *, where: Where | None = None, privilege: Mode | None = None, asid: int | None = None,
                 satp: int | None = None, page_table: int | None = None,
                 symbols: Naming | Sequence[Naming] = ()) -> Coverage:
        """Count from now on which blocks of code are executed, until `stop()` of the `Coverage`, or to the end of a
        `with` block.

        - where: virtual addresses of the blocks that count, by their first instruction: one, a range, or the name of a
          function.
        - symbols: who knows functions, as of `profile`.

        Other parameters: see `on_execute`.
        While it is on, code is translated anew, and runs slower. Raises ConfigurationError.
        """
        from vm.coverage.code import Pages
        from vm.coverage.coverage import Coverage
        from vm.profiling.names import LinuxNames, Names, all_sources

        names = Names(all_sources(symbols, self.program, LinuxNames(lambda: self._linux)))
        self._refuse_but_in_hooks("coverage")
        recorder = start_recorder("coverage", self._native, "visits", self._code_at(where),
                                  scope_of(privilege, asid, satp, page_table))
        return Coverage(Counter(), partial(Pages, self.harts, self.memory), self.program, names, self.isa.extensions,
                        recorder, self._refuse_if_in_use)

    def edge_map(self, bits: int = 16, *, where: Where | None = None, privilege: Mode | None = None,
                 asid: int | None = None, satp: int | None = None, page_table: int | None = None) -> EdgeMap:
        """Count edges from block to block, from now on, in a map of bytes as AFL and its kin read it.

        - bits: the map has 2**bits bytes.
        - where, privilege, asid, satp, page_table: see `coverage`; of the block that an edge leads to.

        It ends with `stop()` of the `EdgeMap`, or its `with` block. Raises ConfigurationError.
        """
        from vm.coverage.edges import EdgeMap

        self._refuse_but_in_hooks("edge_map")
        return EdgeMap(self._native, bits, self._code_at(where), scope_of(privilege, asid, satp, page_table),
                       self._refuse_if_in_use)

    def profile(self, every: int | None = None, *, seconds: float | None = None,
                symbols: Naming | Sequence[Naming] = (), call_frames: bool = True, depth: int = 128) -> Profile:
        """From now on look at the harts at fixed guest times, and keep where they are, with their call stacks.

        The guest runs as without: the samples of a run with a virtual clock are the same each time.

        - every: steps of the machine from one sample to the next, 100,003 unless something is said; at multiples of it,
          counted from power-on. Each hart that has taken steps since the last sample gives one, with their number as
          its weight, so that weights add up to the steps that were taken.
        - seconds: guest time from one sample to the next, instead. Each hart that has been started gives one, also
          where it waits. With a real clock that is when the slice ends that is running.
        - symbols: ELF files beside the one that was loaded, where they were linked, or (file, by how much it was
          moved); or what knows names otherwise, by a method `name_of(address)`, which returns one or None. Also a list.
          Last comes a Linux, once it was looked at, as by `machine.linux.symbols`; also after the run.
        - call_frames: use the call frame information (.debug_frame, .eh_frame) of these files; elsewhere, and without,
          stacks are walked by frame pointers (-fno-omit-frame-pointer).
        - depth: how many functions of a stack are kept, the innermost.

        Ends with `stop()` of what this returns, or with its `with` block. Raises ConfigurationError, also while another
        profile is taken, and LoadError for a file.
        """
        from vm.profiling.names import LinuxNames
        from vm.profiling.sampling import Watched
        from vm.profiling.starting import start_profile

        self._refuse_but_in_hooks("profile")
        watched = Watched(self._native, self._scheduler, self.clock, self.harts)
        profile = start_profile(self._runner, watched, self.memory, self.program, LinuxNames(lambda: self._linux),
                                every, seconds, symbols, call_frames, depth)
        if self._runner.thread is not None:
            self.events.interrupt()             # a hook has begun it: the slice at hand knows of no sampler
        return profile

    # --- The screen --------------------------------------------------------------------------------------------------

    def screenshot(self) -> Screenshot:
        """What the guest shows now on the first screen that was attached: `.save(path)` writes a PNG file.

        Raises ConfigurationError where there is none.
        """
        from vm.screenshot import taken

        return taken(self.board)

    # --- Debuggers ---------------------------------------------------------------------------------------------------

    def gdb(self, where: int | str = 1234, *, wait: bool = True) -> GdbServer:
        """Let GDB look at the machine: `serve()` of what this returns waits for it, and runs the machine as it says.

        - where: a TCP port of this computer, which no other reaches; "HOST:PORT" for another address; a path with a
          slash in it, for a socket in the file system; or "stdio". Port 0 is one that is free: `address` says which.
        - wait: the machine does not run before a debugger has come.

        Raises ConfigurationError where none can come.
        """
        from vm.gdb.server import GdbServer

        self._refuse_if_running("gdb")
        return GdbServer(cast("Machine", self), self._scheduler, where, wait)

    def web(self, port: int = 0) -> WebConsole:
        """Show the machine in the browser: `serve()` of what this returns runs it as a person there asks for.

        - port: of this computer, which no other reaches; 0 is one that is free. `url` says what to open.

        Needs the extra `web`, and downloads the page's terminal, xterm.js, where the installation does not have it.
        Raises ConfigurationError for the port, Unreachable where the download fails, and VmError without the extra.
        """
        from vm.web import open_console

        self._refuse_if_running("web")
        return open_console(cast("Machine", self), whole_number("port", port))

    @property
    def linux(self) -> LinuxGuest:
        """The Linux that runs in the machine, as its own tables in guest memory show it: processes, modules, log."""
        if self._linux is None:
            from vm.linux import LinuxGuest

            self._linux = LinuxGuest(self.memory, self.harts)
        return self._linux

    def read_symbols(self, file: Source) -> Program:
        """Take names from an ELF file of the program that is in memory already, without loading it.

        That is how a machine from the file of a snapshot, or of a recording, gets them: the file has none. So does raw
        code that was loaded without its ELF. `program` is this one then, until another is loaded; forks have it, too.
        Whether it is the code in memory is not looked at. A Linux has `linux.read_symbols`.

        - file: as of `load`. Raises LoadError for what is no ELF, or is linked for where there is no RAM.
        """
        from vm.loaders import FILE_OVERHEAD, read_file
        from vm.loaders.elf import plan_elf

        self._refuse_but_in_hooks("read_symbols")
        ram = self.board.ram
        program = plan_elf(read_file(file, ram.size + FILE_OVERHEAD), ram)[0]
        self._name_by(program)
        return program

    def _name_by(self, program: Program) -> None:
        """Let it be what names addresses, as `read_symbols` does."""
        self._named_by = self.program = program

    def lookup(self, address: int) -> str | None:
        """The name of a virtual address, as "main+0x10": by the symbols of the program, or of a Linux that `linux` has
        found. None for what has no name.
        """
        if self.program and (name := self.program.symbols.lookup(address)):
            return name
        try:
            return self._linux.lookup(address) if self._linux is not None and self._linux.found else None
        except GuestError:                  # that kernel is gone, or damaged: an address is better than no report
            return None

    # --- What these are made of --------------------------------------------------------------------------------------

    def _refuse_but_in_hooks(self, what: str) -> None:
        """Raise while the machine runs, unless a hook asks."""
        self._refuse_if_running(what, in_hook=True)

    def _on_access(self, access: WatchedAccess, where: Where, function: Callable[[MemoryAccess], object] | None,
                   size: int | None, space: Space, scope: Scope) -> Hook[MemoryAccess] | HookSetter[MemoryAccess]:
        addresses = self._data_at(where, size)
        setter = partial(self._hooking.on_access, f"on_{access} {named(where)}", access=access,
                         space=one_of("space", space, Space), addresses=addresses, scope=scope)
        return set_or_decorate(setter, function)

    def _named(self, symbol: str) -> Symbol:
        """Of the program, or of a Linux that was looked at before. Raises ConfigurationError."""
        if self.program is not None and symbol in self.program.symbols:
            return self.program.symbols[symbol]
        if self._linux is not None and self._linux.found and symbol in self._linux.symbols:
            return self._linux.symbols[symbol]
        raise ConfigurationError(f"no symbol is called {symbol!r}: {self._where_to_look_for(symbol)}")

    def _where_to_look_for(self, symbol: str) -> str:
        """Advice for who has named a symbol that there is not."""
        linux = self._linux if self._linux is not None and self._linux.found else None
        known = [*(self.program.symbols if self.program else ()), *(linux.symbols if linux else ())]
        if similar := get_close_matches(symbol, known, 3):
            return f"did you mean {' or '.join(map(repr, similar))}?"
        if self.program is not None:
            return f"there is none in {self.program.path}"
        if linux is not None:
            return "there is none in this Linux"
        told = "no program is loaded; read_symbols(FILE) takes those of an ELF that is in memory"
        kernel = "; those of a Linux count once they have been looked at, by `machine.linux.symbols`"
        return told + kernel * (self._start is not None)

    def _address_of(self, symbol: str) -> int:
        return self._named(symbol).address

    def _data_at(self, where: Where, size: int | None) -> range:
        """The addresses of a range, or of `size` bytes, as of `on_read`."""
        if size is None:
            size = (self._named(where).size if isinstance(where, str) else 0) or WORD
        return range_of("where", where, self._address_of, positive(size))

    def _code_at(self, where: Where | None) -> range:
        """The addresses of a range, of a function, of one instruction, or all."""
        if where is None:
            return range(1 << 64)
        size = max(self._named(where).size, 1) if isinstance(where, str) else 1
        return range_of("where", where, self._address_of, size)

    def _refuse_if_in_use(self, what: str) -> None:
        """Of what is recorded, which stays when the machine is closed. A consumer is called between two slices."""
        between = self._runner.makes_room and self._runner.is_this_thread and what != "stop"
        if not between:
            self._refuse_in_run(what)

    def _end_trace(self, trace: Trace) -> None:
        if trace in self._runner.traces:
            self._runner.traces.remove(trace)


def set_or_decorate(setter: Callable[..., Hook[Event]], function: Callable[[Event], object] | None
                    ) -> Hook[Event] | HookSetter[Event]:
    """The hook with this function, or a decorator that sets it. Raises ConfigurationError for what is not callable."""
    def set_hook(function: Callable[[Event], object]) -> Hook[Event]:
        if not callable(function):
            raise ConfigurationError(f"function={function!r}: it is called with what has happened")
        return setter(function=function)

    return set_hook if function is None else set_hook(function)


def named(where: Where) -> str:
    if isinstance(where, range):
        return f"[{where.start:#x}, {where.stop:#x})"
    return where if isinstance(where, str) else f"{where:#x}"


def positive(size: int) -> int:
    number = whole_number("size", size)
    if number < 1:
        raise ConfigurationError(f"size={size}: at least one byte")
    return number
