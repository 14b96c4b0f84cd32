"""A recorded run comes again, to the instruction: on any engine, any number of harts, however it is divided.

A run is compared by all that a guest could notice: the states of its harts, its RAM, guest time and what it printed.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable

import pytest

import vm
from tests.assembler import assemble_elf
from tests.guest import Guest
from tests.recorded import BASE, ENGINES, ISA, Seen, asking, busy, run_to_its_end, seen, session_log
from vm.devices import Device, reads
from vm.log import Kind


def typed(machine: vm.Machine, keys: random.Random) -> bytes:
    return bytes(keys.choices(b"abcdefgh\n", k=keys.randrange(1, 40)))


def act(machine: vm.Machine, choice: random.Random) -> None:
    """Something that comes from outside, or a run of some kind."""
    match choice.randrange(12):
        case 0 | 1 | 2:
            machine.console.send(typed(machine, choice))
        case 3 | 4:
            machine.run(instructions=int(10 ** choice.uniform(0, 5.5)))
        case 5:
            machine.run(seconds=10 ** choice.uniform(-7, -3.3))
        case 6:
            place = BASE + 0x10_0000 + 8 * choice.randrange(100)
            machine.memory.write(place, choice.randbytes(choice.randrange(1, 90)))
        case 7:
            hart = choice.choice(machine.harts)
            hart[choice.choice(["s5", "s7", "s9", "mscratch"])] = choice.randrange(1 << 64)
        case 8:
            wanted = machine.steps + choice.randrange(100_000)
            machine.run(instructions=200_000, until=lambda m: m.steps >= wanted and not machine.console.send("u"))
        case 9:
            machine.console.send("x" * choice.randrange(1, 20))
            machine.console.expect("x")             # stops in the middle of a slice, at a store to a device
        case 10:
            answer = iter([b"answer"])
            machine.console.mirror = lambda data: machine.console.send(next(answer, b""))
            machine.console.send("y")
            machine.run(instructions=100_000)       # types in the middle of an instruction
            machine.console.mirror = None
        case 11:
            with machine.memory.writable(BASE + 0x11_0000, 64) as view:
                view[choice.randrange(64)] = choice.randrange(256)
            machine.memory.clear(BASE + 0x10_0000, choice.randrange(900))


def recorded(machine: vm.Machine, seed: int, actions: int = 40) -> vm.Log:
    choice = random.Random(seed)
    with machine.record() as recording:
        for _ in range(actions):
            act(machine, choice)
        machine.run(instructions=30_000)
    return recording.log


@pytest.mark.parametrize("harts", [1, 3])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(6))
def test_replay_is_the_same_run(seed, engine, harts):
    """Random things come in at random moments; replayed on both engines, in one piece and in random ones."""
    with busy(harts, engine) as original:
        log = recorded(original, seed)
        wanted = seen(original)
    for other in ENGINES:
        for choice in (None, random.Random(seed)):
            with busy(harts, other) as machine:
                machine.replay(log)
                run_to_its_end(machine, choice)
                assert seen(machine) == wanted


@pytest.mark.parametrize("harts", [1, 3])
def test_recording_changes_nothing(harts):
    """What is typed between two runs enters at the same step; a recorded run is the one that would have been."""
    def ran(machine: vm.Machine) -> Seen:
        for number in range(30):
            machine.console.send(f"key {number}")
            machine.run(instructions=number * 5000 + 1)
            machine.run(seconds=number * 1e-5)
        return seen(machine)

    with busy(harts) as plain, busy(harts) as watched, watched.record():
        assert ran(watched) == ran(plain)


@pytest.mark.parametrize("harts", [1, 3])
def test_what_comes_by_a_descriptor_and_from_a_thread(harts):
    """A descriptor is looked at between slices, at the pace of the host's clock; a thread types whenever it likes."""
    reading, writing = os.pipe()
    with busy(harts) as original, original.record() as recording:
        original.inputs.watch(reading, lambda: original.console.send(os.read(reading, 10)))
        original.inputs.interactive = True
        done = threading.Event()

        def type_now_and_then() -> None:
            while not done.wait(0.002):
                os.write(writing, b"by a descriptor")
                original.console.send("from a thread")

        thread = threading.Thread(target=type_now_and_then)
        thread.start()
        for _ in range(10):
            original.run(timeout=0.01)
            original.run(seconds=0.002)
        done.set()
        thread.join()
        original.inputs.forget(reading)
        wanted, log = seen(original), recording.stop()
    os.close(reading)
    os.close(writing)
    assert log.inputs > 20
    for engine in ENGINES:
        for choice in (None, random.Random(harts)):
            with busy(harts, engine) as machine:
                machine.replay(log)
                run_to_its_end(machine, choice)
                assert seen(machine) == wanted


def test_what_a_thread_types_while_something_comes_in():
    """It does not follow from that, and comes again."""
    def provoked(answer: Callable[[], None]) -> tuple[vm.Machine, Callable[[bytes], None]]:
        machine = busy()
        return machine, machine.inputs.add("provoking", lambda data: answer())

    def answer() -> None:
        thread = threading.Thread(target=original.console.send, args=("from a thread",))
        thread.start()
        thread.join()

    original, provoke = provoked(answer)
    with original, original.record() as recording:
        original.run(instructions=1000)
        provoke(b"?")
        original.run(instructions=100_000)
        wanted = seen(original)
    assert [entry.source for entry in recording.log if entry.kind is Kind.INPUT] == ["provoking", "uart"]
    machine, _ = provoked(lambda: None)
    with machine:
        machine.replay(recording.log)
        run_to_its_end(machine)
        assert seen(machine) == wanted


FIRMWARE = """
    li   t0, -1
    csrw pmpaddr0, t0
    li   t0, 0x1f
    csrw pmpcfg0, t0
    la   t0, supervisor
    csrw mepc, t0
    li   t0, 0x800
    csrs mstatus, t0
    mret
supervisor:
    li   a7, 2                  # console_getchar
    ecall
    bltz a0, 1f
    add  s5, s5, a0
    slli s5, s5, 1
    li   a7, 1                  # console_putchar
    ecall
1:  addi s5, s5, 3
    j    supervisor
"""


def supervised(engine: str = "jit") -> vm.Machine:
    g = Guest(FIRMWARE, engine=engine, isa=ISA)
    g.native.sbi = True
    return g.machine


@pytest.mark.parametrize("engine", ENGINES)
def test_calls_of_the_firmware_and_a_reset(engine):
    """The machine serves calls between slices; what is typed comes before or after one, and so in the replay."""
    with supervised(engine) as original, original.record() as recording:
        for key in b"some keys":
            original.console.send(bytes([key]))
            original.console.expect(chr(key))
            original.run(instructions=key)
        original.reset()
        original._natives[0].sbi = True
        original.console.send("again")
        original.run(instructions=1000)
        wanted, log = seen(original), recording.stop()
    for other in ENGINES:
        for choice in (None, random.Random(1)):
            with supervised(other) as machine:
                machine.replay(log)
                run_to_its_end(machine, choice)
                assert seen(machine) == wanted


@pytest.mark.parametrize("engine", ENGINES)
def test_a_device_that_is_not_deterministic_is_written_down(engine):
    """Its reads, interrupts, DMA and events, also what another thread has it do; in the replay it is not asked."""
    original, dice = asking(engine)
    with original, original.record() as recording:
        machine_runs = threading.Event()
        done = threading.Event()

        def prod() -> None:
            machine_runs.wait()
            while not done.is_set():
                dice.irq.set(random.random() < 0.5)
                time.sleep(0.001)

        thread = threading.Thread(target=prod)
        thread.start()
        machine_runs.set()
        for _ in range(10):
            original.run(instructions=200_000)
            dice.irq.raise_()
            original.memory.read(0x1001_0000, 4)
        done.set()
        thread.join()
        wanted = seen(original)
        log = recording.stop()
    assert {Kind.ANSWER, Kind.DMA, Kind.LINE, Kind.SCHEDULE, Kind.CANCEL, Kind.READ} <= {entry.kind for entry in log}
    for other in ENGINES:
        for choice in (None, random.Random(1)):
            machine, other_dice = asking(other)
            with machine:
                machine.replay(log)
                run_to_its_end(machine, choice)
                assert seen(machine) == wanted
                assert other_dice.told == 0
                machine.run(instructions=100_000)
                assert other_dice.told > 0                  # the log is over


@pytest.fixture
def session() -> vm.Log:
    return session_log()


# --- What cannot be --------------------------------------------------------------------------------------------------

def test_real_time_cannot_be_recorded(guest):
    machine = guest("wfi", clock="real").machine
    with pytest.raises(vm.ConfigurationError, match="clock='real' cannot be recorded.*clock='virtual'"):
        machine.record()


def test_one_history_at_a_time(session):
    with busy() as machine:
        with machine.record(), pytest.raises(vm.ConfigurationError, match="recorded already"):
            machine.record()
        machine.replay(session)
        with pytest.raises(vm.ConfigurationError, match="replays a log"):
            machine.record()


@pytest.mark.parametrize("change", [
    lambda machine: machine.load(b"\0\0\0\0", BASE), lambda machine: machine.map(0x4000_0000, 4096),
    lambda machine: machine.attach(vm.devices.Entropy()),
], ids=["load", "map", "attach"])
def test_what_a_machine_is_does_not_change_while_it_is_recorded(change):
    with busy() as machine, machine.record(), pytest.raises(vm.ConfigurationError, match="part of a recorded run"):
        change(machine)


FROM_OUTSIDE = {
    "input": lambda machine: machine.console.send("x"),
    "memory": lambda machine: machine.memory.write(BASE + 0x10_0000, b"x"),
    "clear": lambda machine: machine.memory.clear(BASE + 0x10_0000, 1),
    "device": lambda machine: machine.memory.read(0x1000_0000, 1),
    "reset": lambda machine: machine.reset(),
}


@pytest.mark.parametrize("name", FROM_OUTSIDE)
def test_nothing_comes_from_outside_in_a_replay(name, session):
    with busy() as machine:
        machine.replay(session)
        machine.run(instructions=500_000)
        with pytest.raises(vm.MachineBusy, match="replays a log.*until step 2,701,000"):
            FROM_OUTSIDE[name](machine)
        run_to_its_end(machine)
        FROM_OUTSIDE[name](machine)
        machine.run(instructions=1000)


# One for each register that a program can change by name, or that lies in a state beside those.
CHANGED = {"mscratch": 0x1234, "mepc": BASE + 8, "mcause": 5, "mtval": 6, "mtvec": BASE + 16, "sscratch": 7,
           "sepc": BASE + 12, "scause": 8, "stval": 9, "stvec": BASE + 20, "s1": 10, "medeleg": 1 << 8, "satp": 8 << 60}


@pytest.mark.parametrize("name", [*CHANGED, "privilege"])
def test_what_is_done_to_a_hart_between_two_runs_comes_again(name, guest):
    """The guest never reads it: it is there in the end."""
    g = guest("1: j 1b")
    hart = g.machine.harts[0]
    snapshot = g.machine.snapshot()
    with g.machine.record() as recording:
        g.machine.run(instructions=10)
        if name == "privilege":
            hart["pmpaddr0"], hart["pmpcfg0"] = (1 << 54) - 1, 0x1F
            hart.privilege = 1
        else:
            hart[name] = CHANGED[name]
        g.machine.run(instructions=10)
    with vm.replay(snapshot, recording.log) as replayed:
        assert replayed.run().reason.value == "replayed"
        again = replayed.harts[0]
        assert again.privilege == hart.privilege == (name == "privilege" or 3)
        assert name == "privilege" or again[name] == hart[name] == CHANGED[name]


def test_a_hart_that_is_changed_in_a_replay(session):
    with busy() as machine:
        machine.replay(session)
        machine.run(instructions=500_000)
        machine.harts[0]["s5"] += 1
        with pytest.raises(vm.MachineBusy, match="a hart, the clock or a device was changed"):
            machine.run()


def test_idle_time_costs_nothing(guest):
    """A machine that waits adds nothing to the log, however often it runs, or reads registers."""
    machine = guest("1: wfi; j 1b").machine
    with machine.record() as recording:
        machine.run()
        for _ in range(1000):
            machine.run(seconds=1)
        assert len(recording.log) == 2


class Interrupted(Exception):
    """Of a signal's handler."""


@pytest.fixture
def interruptions():
    """interruptions(seconds): in so many a signal's handler raises, once; 0 ends that."""
    wanted = False

    def interrupt(number: int, frame: object) -> None:
        nonlocal wanted
        if wanted:
            wanted = False
            raise Interrupted

    def ask(seconds: float) -> None:
        nonlocal wanted
        wanted = seconds > 0
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)

    before = signal.signal(signal.SIGALRM, interrupt)
    yield ask
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.timeout(method="thread")       # the timer that would end a test which takes too long is taken
@pytest.mark.parametrize("guest_of", [supervised, busy], ids=["firmware", "busy"])
def test_what_is_typed_when_a_signal_has_ended_a_run(guest_of, interruptions):
    """Also where that came before what the slice ended for was served."""
    ends = 0
    with guest_of() as original, original.record() as recording:
        while ends < 100:
            try:
                interruptions(0.0007)
                original.run(instructions=1_000_000)
                interruptions(0)
            except Interrupted:
                ends += 1
                original.console.send(f"{ends} ")
        wanted, log = seen(original), recording.stop()
    for engine in ENGINES:
        with guest_of(engine=engine) as machine:
            machine.replay(log)
            run_to_its_end(machine)
            assert seen(machine) == wanted


class Failing(Device):
    """Its first access raises."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    @reads(0)
    def value(self) -> int:
        if self.failures:
            self.failures -= 1
            raise OSError("the host's file is gone")
        return 7


def test_an_access_that_raised_is_repeated_and_counts_once(guest):
    """The exception was the host's, and the replay has none."""
    def made(failures: int) -> vm.Machine:
        source = "li s1, 0x10010000; 1: lw a0, (s1); add s5, s5, a0; lbu a1, 0x5(s2); addi s6, s6, 1; j 1b"
        return guest("li s2, 0x10000000;" + source, devices=[(Failing(failures), 0x1001_0000)]).machine

    original = made(3)
    with original.record() as recording:
        for _ in range(3):
            with pytest.raises(OSError):
                original.run(instructions=1000)
            original.console.send("a key")
        original.run(instructions=1000)
    machine = made(0)
    machine.replay(recording.log)
    run_to_its_end(machine)
    assert seen(machine) == seen(original)


def test_of_devices_only_what_has_changed_is_saved_anew():
    """Around each run all of them are looked at; the same object says that nothing has happened to a device."""
    with vm.Machine(memory="16M") as machine:
        standing = machine._outside().standing
        before = standing.devices()
        machine.board.uart.write(7, 1, 0x55)
        after = standing.devices()
        assert {name for name in after if after[name] is not before[name]} == {"uart"}
        assert after == {name: placed.device.save() for name, placed in machine.board.devices.items()}
        assert before["uart"]["scr"] == 0


def test_a_device_that_is_changed_from_python(guest):
    """Another size of a terminal: its configuration changes, and an interrupt rises."""
    source = """
        li   t0, 0x0c000000
        li   t1, 1
        sw   t1, 4(t0)              # priority of source 1, the slot's
        li   t0, 0x0c002000
        li   t1, 2
        sw   t1, (t0)
        li   s1, 0x10001000
    1:  lhu  a0, 0x100(s1)          # columns
        lw   a1, 0x60(s1)           # InterruptStatus
        csrr a2, mip
        add  s5, s5, a0
        add  s5, s5, a1
        add  s5, s5, a2
        j    1b
    """

    def made() -> vm.Machine:
        return guest(source, devices=[(vm.devices.VirtioConsole(),)]).machine

    original = made()
    console = original.board.devices["virtio0"].device
    with original.record() as recording:
        original.run(instructions=1000)
        console.resize(132, 50)
        console.resize(133, 50)
        original.run(instructions=1000)
        original.board.devices["rtc"].device.alarm = 5
        original.run(instructions=1000)
    assert {entry.source for entry in recording.log if entry.kind is Kind.DEVICE} >= {"virtio0", "rtc"}
    machine = made()
    machine.replay(recording.log)
    run_to_its_end(machine)
    assert seen(machine) == seen(original)
    assert {name: placed.device.save() for name, placed in machine.board.devices.items()} == \
        {name: placed.device.save() for name, placed in original.board.devices.items()}


def test_input_of_a_virtio_console(guest):
    """Its driver's buffers are filled when the input comes in."""
    def made() -> vm.Machine:
        return guest("1: addi s5, s5, 1; j 1b", devices=[(vm.devices.VirtioConsole(),)]).machine

    original = made()
    with original.record() as recording:
        original.run(instructions=1000)
        original.board.devices["virtio0"].device.receive(b"hello")
        original.run(instructions=1000)
    machine = made()
    machine.replay(recording.log)
    run_to_its_end(machine)
    assert machine.board.devices["virtio0"].device.input == b"hello"


@pytest.mark.parametrize("harts", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_replay_from_a_snapshot(seed, harts):
    """From the middle of a run, in a new machine on either engine and in the same machine again."""
    choice = random.Random(seed)
    with busy(harts) as original:
        for _ in range(10):
            act(original, choice)
        snapshot = original.snapshot()
        log = recorded(original, seed)
        end, printed = original.snapshot(), original.console.output
        for engine in ENGINES:
            with vm.replay(snapshot, log, engine=engine) as machine:
                run_to_its_end(machine, choice)
                assert differences(machine, end) == [] and machine.console.output == printed
        original.restore(snapshot)
        original.replay(log)
        run_to_its_end(original)
        assert differences(original, end) == []


def differences(machine: vm.Machine, snapshot) -> list[str]:
    """But for what `expect` has found, which is the program's and not the guest's."""
    return [line for line in machine.equals(snapshot).differences if not line.startswith("console.")]


def test_what_is_done_to_a_disk_between_two_runs_comes_again(tmp_path):
    """In a replay and in a history; and nobody may do something else to a device while a log is replayed."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(65536))
    with vm.Machine(memory="1M") as machine:
        disk = vm.devices.BlockDevice(image, discard=True)
        machine.attach(disk)
        machine.load(assemble_elf("1: addi a0, a0, 1; j 1b"))
        snapshot = machine.snapshot()
        recording = machine.record()
        machine.run(instructions=1000)
        disk.resize(131072)
        machine.run(instructions=500)
        log = recording.stop()
        with vm.replay(snapshot, log) as replayed:
            replayed.run()
            assert replayed.board.devices["virtio0"].device.disk.size == 131072
        with vm.replay(snapshot, log) as replayed:
            replayed.run(instructions=200)
            replayed.board.devices["virtio0"].device.resize(32768)
            with pytest.raises(vm.MachineBusy, match="a device was changed"):
                replayed.run()
        machine.restore(snapshot)
        with machine.keep_history():
            machine.run(instructions=1000)
            disk.resize(131072)
            machine.run(instructions=1000)
            machine.step_back(1500)
            assert disk.disk.size == 65536
            machine.run(instructions=1000)
            assert disk.disk.size == 131072
