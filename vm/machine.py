"""The machine: a board, its harts and its clock, and the loop that runs them."""

from __future__ import annotations

import functools
import os
import select
import time
import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any

from vm.boards import Virt
from vm.boards.virt import RESET_VECTOR
from vm.clock import Clock
from vm.console import Console
from vm.devices.base import Device
from vm.devices.virtio import VirtioDevice
from vm.errors import ConfigurationError, LoadError, MachineBusy
from vm.events import NEVER, EventQueue
from vm.firmware import Firmware, prepare_for_supervisor
from vm.hart import Hart
from vm.htif import Htif
from vm.loaders import LinuxBoot, Program, Range, load, load_linux, place_device_tree
from vm.memory import Memory
from vm.perf_map import PERF_MAP
from vm.sizes import parse_size
from vm.stats import summary
from vm.stop import Stop, StopReason
from vm_native.execution.loop import forms
from vm_native.execution.scheduler import STOP_CODES, Scheduler
from vm_native.jit.compiler import SWITCHES, JitCompiler, unavailable
from vm_native.memory.bus import Bus
from vm_native.memory.ram import Ram
from vm_native.riscv import isa as isa_strings

RAM_BASE = 0x8000_0000
MAX_HARTS = 8
ENGINES = ("auto", "interpreter", "jit")
CONDITION_EVERY = 10_000                # steps between two looks at `until`
INPUT_EVERY_NS = 10_000_000             # host time between two looks at `input_fd` while the guest is busy
LONGEST_SLEEP = 0.1                     # host seconds; a signal that comes just before it is served after it
FW_DYNAMIC_SIZE = 0x20_0000             # what OpenSBI takes at the start of RAM
FW_JUMP_TREE = 0x220_0000               # where OpenSBI's fw_jump copies the device tree to, from the start of RAM
FW_JUMP_TREE_SIZE = 0x1_0000

# What the environment may say of the compiler.
JIT_NUMBERS = {"hot": "VM_JIT_HOT", "seed": "VM_JIT_SEED", "code_bytes": "VM_JIT_BYTES"}
JIT_SWITCHES = {name: f"VM_JIT_{name.upper()}" for name in SWITCHES}
CODES = {code: name for name, code in STOP_CODES.items()}


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

    Raises ConfigurationError for what cannot be built. A machine holds host resources (RAM, disk images): close it, or
    use it in a `with` statement.
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
    ):
        size = parse_size(memory)
        form = dispatch_form()
        self.compiler = compiler_for(engine or os.environ.get("VM_ENGINE") or "auto")
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
        except MemoryError as error:
            raise ConfigurationError(f"memory={memory!r}: {error}") from error
        linking = switch("VM_LINKING")      # of blocks in the interpreter
        fusion = switch("VM_FUSION")        # of uops there
        data_tlb = switch("VM_TLB")         # of loads and stores
        self._scheduler = Scheduler(self._bus, self.clock, form=form, compiler=self.compiler, linking=linking,
                                    fusion=fusion, data_tlb=data_tlb)
        self.memory = Memory(self._bus, self._scheduler)
        self.events = EventQueue(self.clock, self._scheduler)
        self.harts: tuple[Hart, ...] = tuple(
            Hart(self._scheduler, number, self.isa, seed % 2**64) for number in range(harts)
        )
        for hart in self.harts:
            hart.connect(self.memory)
        self._perf_map = switch("VM_PERF_MAP", False) if perf_map is None else perf_map
        if self._perf_map and self.compiler is not None:
            self.compiler.start_journal()
        self.board = Virt(size, self.harts, self.isa, self.clock, self.events, self.memory, seed,
                          self._on_device_request)
        self.console = Console(self.board.uart.receive, self.run, self.request_stop)
        self.board.uart.output = self.console.write
        self._mapped = False
        self._firmware: Firmware | None = None
        self._htif: Htif | None = None
        self._request: tuple[str, int] | None = None
        self._start: Callable[[], object] | None = None       # what put the guest into memory, for reset()
        self._in_run = False
        self._closed = False
        self.program: Program | None = None
        # An interactive terminal sets these: `on_input` is called between slices when `input_fd` is readable.
        self.input_fd: int | None = None
        self.on_input: Callable[[], None] | None = None

    # Building

    def attach(self, device: Device, address: int | None = None, irq: int | None = None) -> str:
        """Put a device on the board, before the machine first runs. Returns its name in `board.devices`.

        A virtio device takes the next free slot. Any other stands at a physical `address`; `irq` is the source of the
        PLIC that its line drives, if it has one. A device with a `compatible` gets a node in the device tree. Raises
        ConfigurationError if there is no such place, it is taken, or the device is attached already.
        """
        if self._mapped:
            raise ConfigurationError("devices are attached before a guest is loaded")
        if isinstance(device, VirtioDevice) and address is None and irq is None:
            name = self.board.attach(device)
        elif address is None:
            raise ConfigurationError(f"{type(device).__name__} is no virtio device: say at which address it stands")
        else:
            name = self.board.place(device, address, irq)
        if hasattr(device, "output"):
            device.output = self.console.write
        return name

    def load(self, path: str | os.PathLike[str], address: int | None = None) -> Program:
        """Load a bare-metal program: an ELF, or raw bytes at a physical `address`. All harts start there in M-mode.

        a0 is the hart's number, a1 the address of the device tree. An ELF with a symbol `tohost` talks through it as
        under Spike. Raises LoadError; the machine is then as it was.
        """
        self._refuse_if_running("load")
        program = load(path, self.memory, self.board.ram, address)
        self._start_program(program)
        self._start = lambda: self._start_program(load(path, self.memory, self.board.ram, address))
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

        def start() -> LinuxBoot:
            reserved: tuple[Range, ...] = ()
            if firmware is not None:
                reserved = (Range(RAM_BASE, FW_DYNAMIC_SIZE),)
                if "fw_jump" in os.path.basename(os.fspath(firmware)):
                    reserved += (Range(RAM_BASE + FW_JUMP_TREE, FW_JUMP_TREE_SIZE),)
            linux = load_linux(kernel, self.memory, self.board.ram, initrd=initrd, reserved=reserved)
            program = load(firmware, self.memory, self.board.ram, address=RAM_BASE) if firmware is not None else None
            self._map_devices()
            self._reset_state()
            self.memory.write(linux.dtb_address, self.board.device_tree(cmdline, linux.initrd))
            if program is None:
                self._start_with_own_firmware(linux)
            else:
                self.program = program
                self.board.set_reset_vector(program.entry, linux.dtb_address, linux.entry)
                for hart in self.harts:
                    hart.pc = RESET_VECTOR
            return linux

        linux = start()
        self._start = start
        return linux

    def reset(self) -> None:
        """Press the reset button: devices and harts to their power-on state; the guest is loaded again from its files.

        RAM that the files do not cover keeps its content; time goes on.
        """
        self._refuse_if_running("reset")
        if self._start is None:
            raise LoadError("nothing is loaded: use load() or boot() first")
        self._start()

    def _map_devices(self) -> None:
        if not self._mapped:
            for placed in self.board.devices.values():
                self._bus.add_device(placed.address, placed.device.size, placed.device)
            self._mapped = True

    def _reset_state(self) -> None:
        self.events.clear()
        self.board.reset()
        for hart in self.harts:
            hart.reset()
        self._scheduler.watch(0, 0)
        self._firmware = self._htif = self._request = None
        self.program = None

    def _start_program(self, program: Program) -> None:
        tree = place_device_tree(self.board.ram, program.segments)
        self._map_devices()
        self._reset_state()
        self.program = program
        self.memory.write(tree, self.board.device_tree())
        self.board.set_reset_vector(program.entry, tree)
        for hart in self.harts:
            hart.pc = program.entry
            hart.x[10] = hart.id
            hart.x[11] = tree
        if "tohost" in program.symbols:
            tohost = program.symbols["tohost"].address
            fromhost = program.symbols["fromhost"].address if "fromhost" in program.symbols else None
            self._htif = Htif(self.memory, self.events, tohost, fromhost, self.console.write, self._on_exit)
            try:
                self._scheduler.watch(tohost, 8)
            except ValueError as error:
                raise LoadError(f"{program.path}: the symbol tohost: {error}; link it into RAM") from error

    def _start_with_own_firmware(self, linux: LinuxBoot) -> None:
        self._firmware = Firmware(self.harts, self.memory, self.console.write, self._typed, self._on_request)
        for hart in self.harts:
            prepare_for_supervisor(hart)
            hart.stop()
        self.harts[0].start(linux.entry, linux.dtb_address)

    def _typed(self, size: int) -> bytes:
        return self.board.uart.take(size)

    # Running

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

        An exception of a device or a signal handler comes out unchanged; the access it interrupted has not happened and
        is repeated when the machine runs on. Raises MachineBusy inside a callback, or while memory is open for writing.
        """
        self._refuse_if_running("run")
        if self._closed:
            raise ConfigurationError("the machine is closed")
        if self._start is None:
            raise LoadError("nothing is loaded: use load() or boot() first")
        if self.memory.open_for_writing:
            raise MachineBusy("guest memory is open for writing: leave the `with memory.writable(...)` block, and let "
                              "go of slices of its view")
        self._in_run = True
        try:
            return self._run(instructions, seconds, until, timeout)
        finally:
            self._in_run = False
            if self._perf_map and self.compiler is not None:
                PERF_MAP.update(self.compiler.take_journal(), self._place_name)

    def _run(
        self,
        instructions: int | None,
        seconds: float | None,
        until: Callable[[Machine], bool] | None,
        timeout: float | None,
    ) -> Stop:
        if instructions is not None and (not isinstance(instructions, Integral) or instructions < 0):
            raise ConfigurationError(f"instructions={instructions!r}: a limit is a whole number that is not negative")
        start = self._scheduler.clock.steps
        end = NEVER if instructions is None else start + instructions
        stop_ns = later(self.clock.now_ns(), seconds)
        host_end = later(time.monotonic_ns(), timeout)
        while True:
            if until is not None and until(self):
                return self._stop(StopReason.CONDITION, start)
            left = min(end - self.steps, NEVER)
            host_deadline = host_end
            if self.input_fd is not None:
                host_deadline = min(host_end, time.monotonic_ns() + INPUT_EVERY_NS)
            code, number = self._scheduler.run(
                left if until is None else min(left, CONDITION_EVERY), stop_ns, host_deadline
            )
            name = CODES[code]
            if name == "event":
                self.events.run_due()
            elif name == "firmware":
                self._serve_call(self.harts[number])
            elif name == "watch":
                assert self._htif is not None       # nobody else watches memory
                self._htif.stored(self._scheduler.watched_size)
            elif name == "sleep":
                if not self._sleep(stop_ns, host_end):
                    return self._stop(StopReason.IDLE, start)
            elif name == "timeout" and time.monotonic_ns() < host_end:
                self._look_at_input(0)
            elif name == "budget" and self.steps < end:
                pass
            elif name != "requested":
                return self._stop(StopReason(name), start, number)
            elif self._request is None:
                return self._stop(StopReason.REQUESTED, start, number)
            if self._request is not None:
                kind, exit_code = self._request
                self._request = None
                return self._stop(StopReason(kind), start, number, None if kind == "reset" else exit_code)

    def _serve_call(self, hart: Hart) -> None:
        assert self._firmware is not None           # or environment calls would trap
        try:
            self._firmware.handle(hart)
        except BaseException:
            hart.pc -= 4                    # the environment call is repeated
            raise

    def _sleep(self, stop_ns: int, host_end: int) -> bool:
        """Real time, every hart waits: sleep until something is due or typed. False if nothing ever will."""
        due = min(self._scheduler.next_deadline_ns(), stop_ns)
        if due == NEVER and host_end == NEVER and self.input_fd is None:
            return False
        wait = min(due - self.clock.now_ns(), host_end - time.monotonic_ns())
        self._look_at_input(max(wait, 0) / 10**9)
        return True

    def _look_at_input(self, seconds: float) -> None:
        seconds = min(seconds, LONGEST_SLEEP)
        if self.input_fd is None:
            time.sleep(seconds)
        elif select.select([self.input_fd], [], [], seconds)[0]:
            assert self.on_input is not None        # who sets one of the two sets both
            self.on_input()

    def _stop(self, reason: StopReason, start: int, number: int | None = None, exit_code: int | None = None) -> Stop:
        number = self._scheduler.current_hart if number is None else number
        hart = self.harts[number]
        pc, cause, value = hart.pc, None, None
        if reason is StopReason.UNHANDLED_TRAP:
            cause, value = hart.trap
        elif reason is StopReason.TRAP_LOOP:
            pc, cause, value = hart.trap_origin
        return Stop(reason, pc, number, self.steps - start, exit_code, cause, value)

    def request_stop(self) -> None:
        """Make `run` return after the instruction at hand, with reason `requested`. For callbacks and other threads."""
        self._scheduler.request_stop()

    def _on_request(self, kind: str, code: int) -> None:
        """The guest asked for power-off, reset or exit, of what runs between slices: `_run` looks at it next."""
        self._request = (kind, code)

    def _on_device_request(self, kind: str, code: int) -> None:
        """The same of a device, in the middle of a slice: that must end."""
        self._on_request(kind, code)
        self._scheduler.request_stop()

    def _on_exit(self, code: int) -> None:
        self._on_request("exit", code)

    def _refuse_if_running(self, what: str) -> None:
        if self._in_run:
            raise MachineBusy(f"{what}() was called while the same machine runs: from a callback, or another thread")

    # Looking

    @property
    def steps(self) -> int:
        """Retired instructions and instructions that trapped, all harts together, since the machine was built."""
        return self._scheduler.clock.steps

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
        - links: jumps set from trace to trace.
        - interpreted: steps not done by compiled code.
        - compiled: the share of those that were.
        - performed: instructions that compiled code left to the interpreter's functions.
        - left: how often the run loop took over from compiled code, by reason: "unlinked" (a way out that leads to no
          trace yet), "unknown" (the jump cache does not have the target), "cold" (it does, but that is not compiled),
          "budget" (the slice ends within the trace), "unboxed" (a single that was not NaN-boxed), "performed" (a stop,
          or floating point on or off, by an instruction left to the interpreter's functions).
        """
        return summary({"dispatch": self._scheduler.form, **self._scheduler.statistics()}, self.steps)

    def _place_name(self, pc: int) -> str:
        """A guest address, for people."""
        return self.program and self.program.symbols.lookup(pc) or f"guest {pc:#x}"

    # End

    def close(self) -> None:
        """Release disk images and other host resources. The machine does not run again; closing twice is harmless."""
        self._refuse_if_running("close")
        self._closed = True
        self.board.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def later(now_ns: int, seconds: float | None) -> int:
    """`seconds` after `now_ns`, in nanoseconds; NEVER for None and for what is too far away to count."""
    if seconds != seconds:
        raise ConfigurationError("a limit of NaN seconds: give a number")
    if seconds is not None and seconds < 0:
        raise ConfigurationError(f"a limit of {seconds:g} seconds: must not be negative")
    if seconds is None or seconds >= NEVER / 10**9:
        return NEVER
    return min(now_ns + round(seconds * 10**9), NEVER)


def dispatch_form() -> str:
    """The interpreter's form; $VM_DISPATCH chooses between those built."""
    form = os.environ.get("VM_DISPATCH") or forms()[0]
    if form not in forms():
        raise ConfigurationError(f"VM_DISPATCH={form}: built are {', '.join(forms())}")
    return form


def compiler_for(engine: str) -> JitCompiler | None:
    """What compiles hot code for the engine of that name, if it is one that compiles.

    $VM_JIT_HOT is how often a block is interpreted first, $VM_JIT_BYTES the room for code, and $VM_JIT_SLOTS=0 and the
    like turn off one of `SWITCHES`.
    """
    known = (*JIT_NUMBERS.values(), *JIT_SWITCHES.values())
    for variable in os.environ:
        if variable.startswith("VM_JIT_") and variable not in known:
            raise ConfigurationError(f"{variable}: no such setting; there is {', '.join(known)}")
    if engine not in ENGINES:
        raise ConfigurationError(f"engine={engine!r}: there is {', '.join(map(repr, ENGINES))}")
    if engine == "interpreter":
        return None
    missing = unavailable()
    if missing is not None:
        if engine == "jit":
            raise ConfigurationError(f"engine='jit': {missing}; use 'auto' or 'interpreter'")
        say_once(f"no just-in-time compilation: {missing}")
        return None
    settings: dict[str, Any] = {name: switch(variable) for name, variable in JIT_SWITCHES.items()}
    settings |= {name: jit_number(variable) for name, variable in JIT_NUMBERS.items() if variable in os.environ}
    try:
        return JitCompiler(**settings)
    except (ValueError, OverflowError, MemoryError) as error:
        raise ConfigurationError(f"VM_JIT_HOT, VM_JIT_SEED or VM_JIT_BYTES: {error}") from error


def switch(variable: str, default: bool = True) -> bool:
    """What a variable of the environment says that turns something on or off; empty is not set."""
    text = os.environ.get(variable)
    if text and text not in ("0", "1"):
        raise ConfigurationError(f"{variable}={text}: 0 and 1 are what it can be")
    return text == "1" if text else default


def jit_number(variable: str) -> int:
    text = os.environ[variable]
    if not text.isdecimal():
        raise ConfigurationError(f"{variable}={text}: a whole number is wanted")
    return int(text)


@functools.cache
def say_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)
