"""The machine: a board, its harts, its clock and its console, as a program uses them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from vm.boards import Virt
from vm.boards.virt import RAM_BASE
from vm.boot import Loaded, Start, hand_over, host_interface, load_files
from vm.clock import Clock
from vm.console import Console
from vm.devices.base import Device
from vm.devices.port import ConsolePort
from vm.devices.virtio import VirtioDevice
from vm.engine import compiler_for, dispatch_form
from vm.errors import ConfigurationError, LoadError, MachineBusy
from vm.events import EventQueue
from vm.firmware import Firmware
from vm.hart import Hart
from vm.htif import Htif
from vm.inputs import Inputs
from vm.loaders import LinuxBoot, Program
from vm.memory import Memory, unusable
from vm.perf_map import PERF_MAP
from vm.runner import Runner
from vm.settings import Settings
from vm.sizes import parse_size
from vm.stats import summary
from vm.stop import Stop
from vm_native.execution.native_machine import NativeMachine
from vm_native.execution.scheduler import Scheduler
from vm_native.memory.bus import Bus
from vm_native.memory.ram import Ram
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.hart import NativeHart

MAX_HARTS = 8


class Machine:
    """A computer: RISC-V harts on a board like QEMU's `virt`.

    - memory: size of RAM, bytes or text like "512M"; a multiple of 4096.
    - harts: how many, 1 to 8; they take turns in one thread.
    - isa: what the harts have, like "rv64gc_zicntr_sstc"; the default has all there is.
    - clock: "virtual", where guest time is a function of steps and every run is the same, or "real", the host's clock.
    - engine: "interpreter"; "jit", which compiles hot code (ConfigurationError where the host cannot); "auto", which
      is "jit" where that works. The default is $VM_ENGINE or "auto".
    - seed: of all that is random in the machine: entropy device, the date (virtual), the kernel's random seed; not
      negative.
    - perf_map: tell Linux `perf` what compiled code is, in /tmp/perf-PID.map, written at the end of each `run`. The
      default is whether $VM_PERF_MAP is 1.
    - settings: what else can be set, mostly to measure what a part brings; the default is what the environment says.

    What it is made of: `harts`, `memory`, `console`, `board`, `clock` and `isa`; `program` is what was loaded. Tools
    have `events`, `inputs` and `compiler` (None where nothing is compiled).

    Raises ConfigurationError for what cannot be built. A machine holds host resources (RAM, disk images): close it, or
    use it in a `with` statement. It belongs to the process that built it: after os.fork() the other one can read its
    memory and close it, and MachineUnusable is raised for the rest.
    """

    def __init__(
        self,
        memory: int | str = "512M",
        harts: int = 1,
        isa: str = isa_strings.DEFAULT,
        clock: str = "virtual",
        engine: str | None = None,
        seed: int = 0,
        perf_map: bool | None = None,
        settings: Settings | None = None,
    ):
        size = parse_size(memory)
        settings = Settings.from_environment() if settings is None else settings
        form = dispatch_form(settings)
        self.compiler = compiler_for(engine or settings.engine, settings)
        if not 1 <= harts <= MAX_HARTS:
            raise ConfigurationError(f"harts={harts}: a machine has 1 to {MAX_HARTS}")
        if seed < 0:
            raise ConfigurationError(f"seed={seed}: must not be negative")
        if clock not in ("virtual", "real"):
            raise ConfigurationError(f"clock={clock!r}: it is 'virtual' or 'real'")
        try:
            self.isa = isa_strings.parse(isa)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        self.clock = Clock(clock, seed)
        self._bus = Bus()
        try:
            self._bus.add_ram(Ram(RAM_BASE, size))
            self._native = NativeMachine(self._bus, self.clock, compiler=self.compiler, linking=settings.linking,
                                         data_tlb=settings.data_tlb)
        except MemoryError as error:
            raise ConfigurationError(f"memory={memory!r}: {error}; give the machine less, or raise the limits of this "
                                     "process (ulimit -v, -f)") from error
        self._scheduler = Scheduler(self._native, form=form, fusion=settings.fusion)
        self.memory = Memory(self._bus, self._native)
        self.events = EventQueue(self.clock, self._scheduler)
        self._natives = [NativeHart(self._native, number, self.isa, seed % 2**64) for number in range(harts)]
        self.harts = tuple(Hart(native, self.memory) for native in self._natives)
        self._journal = self.compiler if (settings.perf_map if perf_map is None else perf_map) else None
        if self._journal is not None:
            self._journal.start_journal()

        self.inputs = Inputs()
        self._runner = Runner(self._native, self._scheduler, self.clock, self.events, self.inputs, self._natives)
        self.board = Virt(size, self._natives, self.isa, self.clock, self.events, self.memory, seed,
                          self._runner.request_of_device)
        uart = self.board.uart
        self.console = Console(uart.receive, self.run, self.request_stop)
        self._connect_console("uart", uart)
        self._runner.firmware = Firmware(self._natives, self.memory, self.console.write, uart.take,
                                         self._runner.request)
        self._start: Start | None = None        # what `reset` begins with again
        self.program: Program | None = None
        self._mapped = False
        self._in_run = False

    # --- Building ----------------------------------------------------------------------------------------------------

    def attach(self, device: Device, address: int | None = None, irq: int | None = None) -> str:
        """Put a device on the board, before the machine first runs. Returns its name in `board.devices`.

        A virtio device takes the next free slot. Any other stands at a physical `address`; `irq` is the source of the
        PLIC that its line drives, if it has one. A device with a `compatible` gets a node in the device tree. Raises
        ConfigurationError if there is no such place, it is taken, or the device is attached already.
        """
        self._refuse_if_running("attach")
        if self._mapped:
            raise ConfigurationError("devices are attached before a guest is loaded")
        if isinstance(device, VirtioDevice) and address is None and irq is None:
            name = self.board.attach(device)
        elif address is None:
            raise ConfigurationError(f"{type(device).__name__} is no virtio device: say at which address it stands")
        else:
            name = self.board.place(device, address, irq)
        self._connect_console(name, device)
        return name

    def _connect_console(self, name: str, device: Device) -> None:
        if isinstance(device, ConsolePort):
            device.connect_console(self.console.write, self.inputs.add(name, device.accept))

    def load(self, path: str | os.PathLike[str], address: int | None = None) -> Program:
        """Load a bare-metal program: an ELF, or raw bytes at a physical `address`. All harts start there in M-mode.

        a0 is the hart's number, a1 the address of the device tree. An ELF with a symbol `tohost` talks through it as
        under Spike. Raises LoadError; the machine is then as it was.
        """
        self._refuse_if_running("load")
        program = self._begin(Start(program=os.fspath(path), address=address)).program
        assert program is not None
        return program

    def boot(
        self,
        kernel: str | os.PathLike[str],
        initrd: str | os.PathLike[str] | None = None,
        cmdline: str = "",
        firmware: str | os.PathLike[str] | None = None,
    ) -> LinuxBoot:
        """Load a Linux `Image` (gzip is undone) and make the machine ready to boot it.

        firmware: None, and the machine serves the supervisor binary interface itself; or the path of an OpenSBI
        (fw_jump or fw_dynamic, ELF or binary) that runs in M-mode. Raises LoadError; the machine is then as it was.
        """
        self._refuse_if_running("boot")
        linux = self._begin(Start(
            program=None if firmware is None else os.fspath(firmware), address=RAM_BASE, kernel=os.fspath(kernel),
            initrd=None if initrd is None else os.fspath(initrd), cmdline=cmdline,
        )).linux
        assert linux is not None
        return linux

    def reset(self) -> None:
        """Press the reset button: devices and harts to their power-on state; the guest is loaded again from its files.

        RAM that the files do not cover keeps its content; time goes on.
        """
        self._refuse_if_running("reset")
        if self._start is None:
            raise LoadError("nothing is loaded: use load() or boot() first")
        self._begin(self._start)

    def _map_devices(self) -> None:
        if not self._mapped:
            for placed in self.board.devices.values():
                self._bus.add_device(placed.address, placed.device.size, placed.device)
            self._mapped = True

    def _begin(self, start: Start) -> Loaded:
        loaded = load_files(start, self.memory, self.board.ram)
        self._map_devices()
        self.events.clear()
        self.board.reset()
        for native in self._natives:
            native.reset()
        self._runner.reset()
        self.inputs.on_entered = None
        self.program = loaded.program
        hand_over(loaded, self.board, self.memory, self.harts, self._natives)
        self._watch_program(loaded)
        self._start = start
        return loaded

    def _watch_program(self, loaded: Loaded) -> None:
        """Serve a program that talks through a word in memory."""
        words = host_interface(loaded)
        if words is None:
            return
        try:
            htif = Htif(self.memory, self.events, *words, self.console.write, self.board.uart.take,
                        self._runner.request)
            self._runner.watch(htif)
            self.inputs.on_entered = htif.on_input
        except ValueError as error:
            assert loaded.program is not None
            raise LoadError(f"{loaded.program.path}: the symbol tohost: {error}; link it into RAM") from error

    # --- Running -----------------------------------------------------------------------------------------------------

    def run(
        self,
        instructions: int | None = None,
        seconds: float | None = None,
        until: Callable[[Machine], bool] | None = None,
        timeout: float | None = None,
    ) -> Stop:
        """Run until the guest ends or one of the limits is reached; without a limit, until the guest ends.

        - instructions: steps at most, all harts together, exact: retired instructions and instructions that trapped.
        - seconds: of guest time.
        - until: called with the machine every 10,000 steps and after each device event; true stops.
        - timeout: of host time, in seconds.

        A limit that is negative or NaN, or instructions that are no whole number, is a ConfigurationError, which is a
        ValueError.

        An exception of a device comes out unchanged; the access that it interrupted has not happened and is repeated
        when the machine runs on. So does what the handler of a signal raises, between two instructions: handlers wait
        until nothing is half done. A device's method that takes longer than 50 ms they interrupt as if it had raised.

        Raises MachineBusy inside a callback, or while memory is open for writing; MachineUnusable where the machine is
        closed, or another process's.
        """
        self._refuse_if_running("run")
        if self._start is None:
            raise LoadError("nothing is loaded: use load() or boot() first")
        if self.memory.open_for_writing:
            raise MachineBusy("guest memory is open for writing: leave the `with memory.writable(...)` block, and let "
                              "go of slices of its view")
        self._in_run = True
        try:
            condition = None if until is None else partial(until, self)
            return self._runner.run(instructions, seconds, condition, timeout)
        finally:
            self._in_run = False
            if self._journal is not None:
                PERF_MAP.update(self._journal.take_journal(), self._place_name)

    def request_stop(self) -> None:
        """Make `run` return after the instruction at hand, with reason `requested`. For callbacks and other threads."""
        self._scheduler.request_stop()

    def _refuse_if_running(self, what: str) -> None:
        if not self._native.usable:
            raise unusable(self._native)
        if self._in_run:
            raise MachineBusy(f"{what}() was called while the same machine runs: from a callback, or another thread")

    # --- Looking -----------------------------------------------------------------------------------------------------

    @property
    def steps(self) -> int:
        """Retired instructions and instructions that trapped, all harts together, since the machine was built."""
        return self._runner.steps

    def stats(self) -> dict[str, Any]:
        """What has been counted since the machine was built.

        - steps: as the property.
        - dispatch: the interpreter's form, "threaded" or "switch".
        - translations (blocks), invalidations, evictions, bytes (host memory held by blocks): of the block cache.
        - tlb_misses, a dict of loads, stores, fetches: how often the TLB did not have the page, and it was translated,
          checked and looked up on the bus. Fetches are looked up when a block is, not for each instruction.

        jit is there only where hot code is compiled, a dict:

        - traces, instructions, host_bytes, compile_ns: how many have been compiled, how many instructions they have,
          how long their code is, how long that took.
        - discarded: traces given up.
        - reclaimed: regions of code memory emptied for new code.
        - pauses_ns: for how long the last 512 of them held up the machine (count, p50, p99, max).
        - links: set from trace to trace.
        - interpreted: steps that the run loop gave to the interpreter.
        - compiled: the share of the others.
        - fallbacks: instructions that compiled code left to the interpreter's functions, of which it knows no better.
        - exits: how often the run loop took over from compiled code, by reason: "unlinked" (an exit that leads to no
          trace yet), "unknown" (the jump cache does not have the target), "cold" (it does, but that is not compiled),
          "budget" (the slice ends within the trace), "unboxed" (a single that was not NaN-boxed), "fallback" (a stop,
          or floating point on or off, by a fallback).
        """
        return summary({"dispatch": self._scheduler.form, **self._native.statistics()}, self.steps)

    def _place_name(self, pc: int) -> str:
        """A guest address, for people."""
        return self.program and self.program.symbols.lookup(pc) or f"guest {pc:#x}"

    # --- End ---------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Give RAM, compiled code, disk images and their descriptors back to the host; twice is harmless.

        What needs one of them raises MachineUnusable from now on; registers, console and counters can still be read. A
        view of memory that is alive keeps RAM for itself until it dies.
        """
        if self._in_run:
            raise MachineBusy("close() was called while the same machine runs: from a callback, or another thread")
        try:
            self.board.close()
        finally:
            self._native.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
