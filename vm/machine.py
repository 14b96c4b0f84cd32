"""The machine: a board, its harts, its clock and its console, as a program uses them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from vm.accounts import AccountsOfMachine
from vm.arguments import one_of, whole_number
from vm.boards import Bare, Board, Virt
from vm.boards.bare import TRAP_VECTOR
from vm.boards.regions import Kind, refuse_overlap, region
from vm.boards.virt import RAM_BASE, AiaKind
from vm.boot import Start
from vm.clock import Clock, ClockKind, clock_of
from vm.console import Console
from vm.devices.base import Device
from vm.devices.port import ConsolePort, Outside, Port
from vm.devices.virtio import VirtioDevice
from vm.devices.virtio.net import Network, plugged_in
from vm.display import html_table
from vm.engine import Engine, compiler_for, dispatch_form, run_in_threads
from vm.errors import BusError, ConfigurationError, LoadError, MachineBusy, PageFault
from vm.events import EventQueue
from vm.firmware import Firmware
from vm.hart import Hart, public_names
from vm.hooking import Hooking
from vm.htif import Htif
from vm.inputs import Inputs
from vm.loaders import Program
from vm.memory import Memory, unusable
from vm.net.switch import Member, SwitchPort
from vm.observing import ObservationOfMachine
from vm.perf_map import PERF_MAP
from vm.plan import BoardName, MachinePlan, PlannedDevice, PlannedRegion, kind_of, memory_size, parse_isa
from vm.probing import Probing
from vm.runner import Runner
from vm.settings import Settings
from vm.starting import StartsOfMachine
from vm.state import Stateful
from vm.states import StatesOfMachine
from vm.stats import summary
from vm.stop import Stop
from vm.talking import TalkOfMachine
from vm.witness import witnessed
from vm_native.execution.native_machine import NativeMachine
from vm_native.execution.scheduler import Scheduler
from vm_native.memory.bus import Bus
from vm_native.memory.ram import Ram
from vm_native.riscv import isa as isa_strings
from vm_native.riscv.hart import NativeHart

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from vm.code_cache import CodeCache
    from vm.limits import Limits
    from vm.loaders.common import Source


MAX_HARTS = 8
FEW_REGIONS = 3                 # of memory: a machine that shows itself lists them
MORE_OF_THE_HOST = "; give the machine less, or raise the limits of this process (ulimit -v, -f)"
NOT_IN_A_LOG = {"map", "attach", "detach", "load", "boot", "restore"}     # methods that change what a machine is
OF_TOOLS = ("compiler", "events", "inputs")     # attributes that completion does not show


class Machine(StartsOfMachine, StatesOfMachine, ObservationOfMachine, TalkOfMachine, AccountsOfMachine):
    """A computer: RISC-V harts on a board, which is like QEMU's `virt` unless another is asked for.

    - memory: size of RAM, bytes or text like the default, "512M"; a multiple of 4096. A bare board has what `map` puts
      there.
    - harts: how many, 1 to 8; they take turns in one thread, unless there are `threads`.
    - isa: what the harts have, like "rv64gc_zicntr_sstc", "rva22s64" or "default_zkr"; the default is much like
      QEMU's CPU, and has all that is not in the way of a guest made for that.
    - clock: "virtual", where guest time is a function of steps and every run is the same, or "real", the host's clock.
      The default is "virtual", and "real" with `threads`.
    - engine: "interpreter"; "jit", which compiles hot code (ConfigurationError where the host cannot); "auto", which
      is "jit" where that works. The default is $VM_ENGINE or "auto".
    - seed: of all that is random in the machine: entropy device, the date (virtual), the kernel's random seed; not
      negative.
    - perf_map: tell Linux `perf` what compiled code is, in /tmp/perf-PID.map, written at the end of each `run`. The
      default is whether $VM_PERF_MAP is 1.
    - settings: what else can be set, mostly to measure what a part brings; the default is what the environment says.
    - limits: a `vm.Limits`: how much memory and time of the host it may take, and how many steps; None: no limits.
    - board: "virt"; or "bare", which has harts and a clock only. Memory comes with `map`, devices with `attach`, the
      console with the first UART of these. A trap that the guest has no handler for ends the run with `trap-loop`.
    - aia: how the virt board tells harts of interrupts: "none", by a PLIC; "aplic", by APLICs; "aplic-imsic", by APLICs
      that send messages to an IMSIC of each hart, which software can, too. Harts have Smaia and Ssaia then.
    - aia_guests: for how many guests of its own each hart's IMSIC has a file, 0 to 7; they need "aplic-imsic" and H.
    - threads: each hart runs in a thread of the host's, in real time. Nothing can be recorded, traced or run backwards.

    What it is made of: `harts`, `memory`, `console`, `board`, `clock` and `isa`; `program` is what was loaded. Tools
    have `events`, `inputs` and `compiler` (None where nothing is compiled).

    Raises ConfigurationError for what cannot be built. A machine holds host resources (RAM, disk images): close it, or
    use it in a `with` statement. It belongs to the process that built it: after os.fork() the other one can read its
    memory and close it, and MachineUnusable is raised for the rest.
    """

    def __init__(
        self,
        memory: int | str | None = None,
        harts: int = 1,
        isa: str = isa_strings.DEFAULT,
        clock: ClockKind | None = None,
        engine: Engine | None = None,
        seed: int = 0,
        perf_map: bool | None = None,
        settings: Settings | None = None,
        *,
        board: BoardName = "virt",
        limits: Limits | None = None,
        aia: AiaKind = "none",
        aia_guests: int = 0,
        threads: bool = False,
    ):
        size = memory_size(memory, board)
        settings = Settings.from_environment() if settings is None else settings
        if not isinstance(settings, Settings):
            raise ConfigurationError(f"settings={settings!r}: they are a vm.Settings")
        form = dispatch_form(settings)
        clock = clock_of(clock, threads)
        self.compiler = compiler_for(engine or settings.engine, settings, clock)
        harts, seed = whole_number("harts", harts), whole_number("seed", seed)
        if not 1 <= harts <= MAX_HARTS:
            raise ConfigurationError(f"harts={harts}: a machine has 1 to {MAX_HARTS}")
        if seed < 0:
            raise ConfigurationError(f"seed={seed}: must not be negative")
        aia_guests = whole_number("aia_guests", aia_guests)
        self.isa = parse_isa(isa, aia, board, aia_guests)
        self.clock = Clock(one_of("clock", clock, ClockKind), seed)
        self._bus = Bus(self.clock, answering=settings.answers)
        try:
            self._native = NativeMachine(self._bus, self.clock, compiler=self.compiler, linking=settings.linking,
                                         data_tlb=settings.data_tlb)
        except MemoryError as error:
            raise ConfigurationError(f"a machine: {error}{MORE_OF_THE_HOST}") from error
        if board == "virt":
            self._add_memory(f"memory={memory!r}", RAM_BASE, size)
        self._scheduler = Scheduler(self._native, form=form, fusion=settings.fusion)
        self.memory = Memory(self._bus, self._native)
        self.events = EventQueue(self.clock, self._scheduler)
        self._natives = [NativeHart(self._native, number, self.isa, seed % 2**64, TRAP_VECTOR if board == "bare" else 0,
                                    aia == "aplic-imsic", aia_guests) for number in range(harts)]
        self.harts = tuple(Hart(native, self.memory) for native in self._natives)
        self._in_threads = run_in_threads(self._scheduler) if threads else ""
        self._code_cache: CodeCache | None = None
        if settings.code_cache and not threads and self.compiler is not None:
            from vm.code_cache import CodeCache  # here: it takes long to load

            self._code_cache = CodeCache(self._native, self.compiler, self.isa, settings, processes=clock == "virtual")
        self._journal = self.compiler if (settings.perf_map if perf_map is None else perf_map) else None
        if self._journal is not None:
            self._journal.start_journal()

        self.inputs = Inputs()
        self._runner = Runner(self._native, self._scheduler, self.clock, self.events, self.inputs, self._natives)
        self._probing = Probing(self._native, self._runner.probes, self._refuse_but_in_hooks, self._refuse_in_run)
        self._hooking = Hooking(self._native, self._refuse_but_in_hooks, self._refuse_in_run,
                                lambda address: self.board.device_at(address))
        self._native.subjects = self.harts
        self._console_device: ConsolePort | None = None     # what is typed to
        self._on_switch: Member | None = None   # with whom it runs, if it is on one
        self.console = Console(self._type, self._unread, self.run, self.request_stop, self._bus.forget_answers)
        self.board: Board = Bare(self.clock, self.events, self.memory) if board == "bare" else \
            self._virt(size, seed, aia, aia_guests)
        self._start: Start | None = None        # what `reset` begins with again
        self._htif: Htif | None = None
        self.program: Program | None = None
        self._named_by: Program | None = None   # whose symbols are said to be those of the guest
        self._mapped = self._in_run = False
        self.limits = limits
        self._plan = MachinePlan({"memory": size or None, "harts": harts, "isa": isa, "clock": clock,
                                  "engine": engine, "seed": seed, "perf_map": perf_map, "settings": settings,
                                  "board": board, "limits": limits, "aia": aia, "aia_guests": aia_guests,
                                  "threads": threads})

    def _virt(self, size: int, seed: int, aia: AiaKind, aia_guests: int) -> Virt:
        """The board, with the console and the firmware connected to it."""
        board = Virt(size, self._natives, self.isa, self.clock, self.events, self.memory, seed,
                     self._runner.request_of_device, aia, aia_guests)
        self._connect("uart", board.uart)
        self._runner.firmware = Firmware(self._natives, self.memory, self.console.write, board.uart.take,
                                         self._runner.request)
        return board

    # --- Building ----------------------------------------------------------------------------------------------------

    def map(self, address: int, size: int | str | None = None, kind: Kind = "ram", *, file: Source | None = None,
            data: Buffer | NDArray[Any] | None = None) -> None:
        """Put memory at a physical address, at any time between two runs.

        - address, size: multiples of 4096; the size as that of a machine. Without one it is that of the content,
          rounded up.
        - kind: "ram"; or "rom", where a store of a hart is an access fault. `memory.write` writes to both, and so does
          a device that is told to.
        - file, data: the content of the beginning; the rest is zeroes.

        `load` takes programs that lie there. The device tree does not name it, and `boot` does not use it. Raises
        ConfigurationError for what overlaps memory or a device, and LoadError for the file; nothing is mapped then.
        """
        self._refuse_if_running("map")
        wanted = region(address, size, kind, file, data)
        refuse_overlap(wanted, self._bus.ram_regions(), self.board.devices)
        self._add_memory(str(wanted), wanted.place.base, wanted.place.size, rom=kind == "rom")
        if wanted.content:
            self.memory.write(wanted.place.base, wanted.content)
        self.board.add_memory(wanted.place)
        self._plan = self._plan.with_region(PlannedRegion(wanted.place.base, wanted.place.size, kind))

    def _add_memory(self, name: str, base: int, size: int, rom: bool = False) -> None:
        """`name` is for messages."""
        try:
            self._native.add_ram(Ram(base, size, rom=rom))
        except ValueError as error:
            raise ConfigurationError(f"{name}: {error}") from error
        except MemoryError as error:
            raise ConfigurationError(f"{name}: {error}{MORE_OF_THE_HOST}") from error

    def attach(self, device: Device, address: int | None = None, irq: int | None = None) -> str:
        """Put a device on the board. Returns its name in `board.devices`.

        A virtio device takes the next free slot, on a board that has slots, or the one at `address`; that may be done
        between two runs as well, when the guest has to be told to look (Linux: `bind`). Before the first guest is
        loaded or run there is room for more than have slots, which cannot be detached. Any other stands at a physical
        `address`, from before the first guest is loaded or run; `irq` is the source of the PLIC that its line drives,
        if it has one. A device with a `compatible` gets a node in the device tree. Raises ConfigurationError if there
        is no such place, it is taken, or the device is attached already.

        The board closes it, when the machine is closed; one that is detached before is the caller's again.
        """
        self._refuse_if_running("attach")
        address = None if address is None else whole_number("address", address)
        irq = None if irq is None else whole_number("irq", irq)
        virtio = isinstance(device, VirtioDevice)
        if self._mapped and not (virtio and self.board.has_slot(address, irq)):
            raise ConfigurationError(f"a {type(device).__name__} at an address of its own is attached before a guest "
                                     "is loaded or run; later only virtio devices are, to slots of the virt board")
        if address is None and not (virtio and irq is None):
            what = f"{type(device).__name__} is no virtio device" if not virtio else f"irq={irq}"
            raise ConfigurationError(f"{what}: say at which address it stands")
        if self._on_switch is not None and isinstance(device, Network) and isinstance(device.link, SwitchPort):
            raise ConfigurationError("the machine is on a switch already, and can be on one: it runs with those there")
        with plugged_in(device, self.inputs, self.clock):
            if address is None:
                assert isinstance(device, VirtioDevice)
                name = self.board.attach(device, further=not self._mapped)
            else:
                name = self.board.place(device, address, irq)
        self._plug(name)
        self._connect(name, device)
        placed = self.board.devices[name]
        self._plan = self._plan.with_device(PlannedDevice(name, placed.address, placed.irq,
                                                                kind_of(device), device))
        return name

    def detach(self, device: Device | str, force: bool = False) -> Device:
        """Take a virtio device out of its slot, between two runs. Returns it: it is the caller's, who closes it.

        - device: or its name in `board.devices`.
        - force: although the guest's driver uses it. What that has asked for is done first; then the driver hears that
          the device needs a reset, and its configuration reads as zeros (a disk of no size). The slot can be filled
          again when the driver has let go.

        The device is in its power-on state, none of its events pending, and can be attached again, to any machine.
        Raises ConfigurationError for what is not attached or not in a slot, and if the guest's driver uses it, with
        what to do in the guest; nothing has changed then.
        """
        self._refuse_if_running("detach")
        name = self.board.name_of(device)
        gone = self.board.detach(name, force)
        self._plug(name)
        self._plan = self._plan.without_device(name)
        if isinstance(gone, Port):
            gone.disconnect_outside()
            self.inputs.remove(name)
        if isinstance(gone, ConsolePort) and gone is self._console_device:
            self._console_device = None
        elif isinstance(gone, Network) and isinstance(gone.link, SwitchPort):
            self._on_switch = None
        return gone

    def _plug(self, name: str) -> None:
        """What the board has there now is what the bus reaches."""
        if self._mapped:
            placed = self.board.devices[name]
            self._bus.replace_device(placed.address, witnessed(name, placed.device, self.inputs))

    def _connect(self, name: str, device: Device) -> None:
        """To the world outside, by way of the inputs."""
        if isinstance(device, Port):
            device.connect_outside(Outside(self.inputs.add(name, device.accept), self.inputs, self.console.write,
                                           self.run, self.request_stop, self._refuse_if_running))
        if isinstance(device, ConsolePort):
            self._console_device = self._console_device or device
        elif isinstance(device, Network) and isinstance(device.link, SwitchPort):
            self._on_switch = device.link.join(self.clock, self._scheduler, self.harts, self._run_alone)

    def _type(self, data: bytes) -> None:
        if self._console_device is None:
            raise ConfigurationError("there is no console to type to: attach a vm.devices.UART first")
        self._console_device.receive(data)

    def _unread(self) -> int:
        return 0 if self._console_device is None else self._console_device.unread

    def _take_typed(self, size: int) -> bytes:
        """What of the keys no console device has read yet, for a program that asks the host."""
        return b"" if self._console_device is None else self._console_device.take(size)

    def _map_devices(self) -> None:
        if not self._mapped:
            for name, placed in self.board.devices.items():
                self._bus.add_device(placed.address, placed.device.size, witnessed(name, placed.device, self.inputs))
            self._mapped = True

    # --- Running -----------------------------------------------------------------------------------------------------

    def run(self, instructions: int | None = None, seconds: float | None = None,
            until: Callable[[Machine], bool] | None = None, timeout: float | None = None) -> Stop:
        """Run until the guest ends or one of the limits is reached; without a limit, until the guest ends.

        What runs is the program that was loaded; or, where none was, what was written to memory, from the `pc` that was
        set of each hart.

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
        if until is not None and not callable(until):
            raise ConfigurationError(f"until={until!r}: it is called with the machine, and true stops the run")
        condition = None if until is None else partial(until, self)
        run = self._run_alone if self._on_switch is None else self._on_switch.lead
        return run(instructions, seconds, condition, timeout)

    def _run_alone(self, instructions: int | None = None, seconds: float | None = None,
                   condition: Callable[[], bool] | None = None, timeout: float | None = None) -> Stop:
        """The same, while whoever is on a switch with it stands still."""
        self._refuse_if_running("run")
        if self._start is None:
            self._refuse_nowhere()
            self._map_devices()
        if self.memory.open_for_writing:
            raise MachineBusy("guest memory is open for writing: leave the `with memory.writable(...)` block, and let "
                              "go of slices of its view")
        self._in_run = True
        try:
            return self._runner.run(instructions, seconds, condition, timeout)
        finally:
            self._in_run = False
            if self._journal is not None:
                PERF_MAP.update(self._journal.take_journal(), self._place_name)

    def _refuse_nowhere(self) -> None:
        """Before the first step without a program: each hart must have been sent to memory."""
        for hart in self.harts if self.steps == 0 else ():
            try:
                self.memory.view(hart.virtual.physical(hart.pc, "execute"), 1)
            except (BusError, PageFault):
                raise LoadError(f"nothing is loaded, and at pc {hart.pc:#x} of hart {hart.id} is no memory: use load() "
                                "or boot(), or write a program to memory and set the pc") from None

    def request_stop(self) -> None:
        """Make `run` return after the instruction at hand, with reason `requested`. For callbacks and other threads.

        From another thread it ends `step_back` and `run_back` too; the machine is then where it was.
        """
        self._runner.ask_to_stop()

    def _refuse_if_running(self, what: str, *, in_hook: bool = False) -> None:
        """`in_hook`: hooks may do that, in whose thread the run is; nothing is half done then."""
        if not self._native.usable:
            raise unusable(self._native)
        self._refuse_in_run(what, in_hook=in_hook)
        if what in NOT_IN_A_LOG and self.inputs.refuses(what):
            raise ConfigurationError(f"{what}() cannot be part of a recorded run or of a history, which begin after "
                                     "it: end the recording, the replay or the history first")

    def _refuse_in_run(self, what: str, *, in_hook: bool = True) -> None:
        """The same of what only ends something, or looks at it: that may come after the machine was closed."""
        if not self._native.usable and not self._native.closed:
            raise unusable(self._native)        # what it would end is another process's
        if self._in_run and not (in_hook and self._native.in_hook and self._runner.is_this_thread):
            raise MachineBusy(f"{what}() was called while the same machine runs: from a callback, or another thread")

    def _refuse_unless_still(self, what: str, *, in_hook: bool = False) -> None:
        self._refuse_if_running(what, in_hook=in_hook)
        if self.memory.open_for_writing:
            raise MachineBusy(f"{what}() was called while guest memory is open for writing: leave the `with "
                              "memory.writable(...)` block, and let go of slices of its view")

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
          how long their code is, how long that took. discarded: given up.
        - reclaimed: regions of code memory emptied for new code.
        - pauses_ns: for how long the last 512 of them held up the machine (count, p50, p99, max).
        - links: set from trace to trace.
        - interpreted, compiled: steps that the run loop gave to the interpreter, and the share of the others.
        - fallbacks: instructions that compiled code left to the interpreter's functions, of which it knows no better.
        - exits: how often the run loop took over from compiled code, by reason: "unlinked" (an exit that leads to no
          trace yet), "unknown" (the jump cache does not have the target), "cold" (it does, but that is not compiled),
          "budget" (the slice ends within the trace), "unboxed" (a single that was not NaN-boxed), "fallback" (a stop,
          or floating point on or off, by a fallback).

        threads is there where harts have threads, two dicts (count, total_ns, longest_ns): how often they stood still.
        stops: as one took code and the like from others; rests: between rounds.

        code_cache is there only with that setting, a dict:

        - outcome: "warm", "cold" where there was nothing for this guest, "no guest", or what was wrong with the file.
        - bytes, read_ns: what was read when the guest began, and how long that took.
        - written, write_ns: the same of what was written when the machine was closed.
        """
        counters = {"dispatch": self._scheduler.form, **self._native.statistics()}
        if self._code_cache is not None:
            counters["code_cache"] = dict(self._code_cache.stats)
        return summary(counters, self.steps)

    def __repr__(self) -> str:
        return f"<Machine: {', '.join(text for _, text in self._facts())}>"

    def _repr_html_(self) -> str:
        return html_table("Machine", (*self._facts(), *((f"hart {hart.id}", repr(hart)[1:-1]) for hart in self.harts)))

    def _facts(self) -> list[tuple[str, str]]:
        """What the machine is, for people."""
        regions = len(self._bus.ram_regions())
        memory = repr(self.memory)[len("<memory: "):-1] if regions <= FEW_REGIONS else f"{regions} regions of memory"
        return [
            ("board", f"{type(self.board).__name__.lower()}"),
            ("harts", f"{len(self.harts)} hart{'s' * (len(self.harts) > 1)}{self._in_threads}"),
            ("memory", memory),
            ("clock", repr(self.clock)[1:-1]),
            ("engine", "interpreter" if self.compiler is None else "jit"),
            ("program", self.program.path if self.program else "a kernel" if self._start else "nothing loaded"),
            ("steps", f"{self.steps:,} steps" + ", closed" * self._native.closed),
        ]

    def __dir__(self) -> list[str]:
        return public_names(self, but=OF_TOOLS)

    def _place_name(self, pc: int) -> str:
        """A guest address, for people."""
        return self.lookup(pc) or f"guest {pc:#x}"

    def _parts(self) -> dict[str, Stateful | Scheduler]:
        """What has state beside RAM and harts; the queue comes last, for it names devices."""
        own: dict[str, Stateful | Scheduler] = {"clock": self.clock, "scheduler": self._scheduler,
                                                "console": self.console, "runner": self._runner,
                                                **self._runner.parts()}
        if self._htif is not None:
            own["htif"] = self._htif
        devices = {name: placed.device for name, placed in self.board.devices.items()}
        return {**own, **devices, "events": self.events}

    # --- End ---------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Give RAM, compiled code, disk images and their descriptors back to the host; twice is harmless.

        What needs one of them raises MachineUnusable from now on; registers, console and counters can still be read. A
        view of memory that is alive keeps RAM for itself until it dies, and a snapshot what it needs.
        """
        if self._in_run:
            raise MachineBusy("close() was called while the same machine runs: from a callback, or another thread")
        try:
            self.board.close()
        finally:
            try:
                if self._code_cache is not None:
                    self._code_cache.keep()
                if self._compiled is not None:
                    self._compiled.share()      # now or never, for who begins with a snapshot of this machine
            finally:
                self._native.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a machine holds memory and disks of this process: it cannot be copied or pickled")

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
