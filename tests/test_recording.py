"""A recorded run comes again, to the instruction: on any engine, any number of harts, however it is divided.

A run is compared by all that a guest could notice: the states of its harts, its RAM, guest time and what it printed.
"""

import os
import random
import threading
import time
from hashlib import sha256
from typing import NamedTuple

import pytest

import vm
from tests.guest import Guest
from vm.devices.base import Device, reads, writes
from vm.log import MAGIC, VERSION, Kind
from vm.stop import StopReason

# Each hart computes for a while that depends on what it has seen, then waits. Its timer, the keys and messages from the
# hart before it wake it; a key is echoed, and goes into all that follows.
BUSY = """
.equ UART, 0x10000000
.equ PLIC, 0x0c000000
.equ CLINT, 0x02000000
    csrr s0, mhartid
    la   t0, handler
    csrw mtvec, t0
    li   s1, UART
    li   s2, CLINT
    slli t0, s0, 3
    li   s3, CLINT + 0x4000
    add  s3, s3, t0             # mtimecmp of this hart
    li   s5, 12345              # what it has seen
    add  s5, s5, s0
    li   t0, 0x2000             # floating point on
    csrs mstatus, t0
    la   s6, place
    slli t0, s0, 8
    add  s6, s6, t0
    addi s8, s6, 8
    bnez s0, 1f
    li   t0, 0xc7               # FIFO on, 14 bytes trigger: fewer come with a time-out, which is an event
    sb   t0, 2(s1)
    li   t0, 1
    sb   t0, 1(s1)              # receive interrupt
    li   t1, PLIC
    sw   t0, 40(t1)             # priority of source 10, the UART
    li   t1, PLIC + 0x2000
    li   t0, 1 << 10
    sw   t0, (t1)               # enabled for hart 0 in M-mode
1:  rdtime t0
    addi t0, t0, 150
    sd   t0, (s3)
    li   t0, 0x888              # MEIE, MTIE, MSIE
    csrw mie, t0
    csrsi mstatus, 8
again:
    srli t1, s5, 3
    andi t1, t1, 0x3ff
    addi t1, t1, 1
2:  mul  s7, s7, s5
    addi s7, s7, 77
    xor  s5, s5, s7
    sd   s7, (s6)
    fcvt.d.l fa0, s7
    fadd.d fs0, fs0, fa0
    amoadd.w t2, s5, (s8)
    addi t1, t1, -1
    bnez t1, 2b
    wfi
    j again
    .balign 4
handler:
    csrr t3, mcause
    slli t3, t3, 1
    srli t3, t3, 1
    rdtime t4
    add  s5, s5, t4
    xor  s5, s5, t3
    li   t5, 7
    beq  t3, t5, timer
    li   t5, 3
    beq  t3, t5, message
    li   t4, PLIC + 0x200004    # claim
    lw   t5, (t4)
3:  lbu  t6, 5(s1)
    andi t6, t6, 1
    beqz t6, 4f
    lbu  t6, (s1)
    sb   t6, (s1)
    add  s5, s5, t6
    slli s5, s5, 1
    j 3b
4:  sw   t5, (t4)
    mret
timer:
    andi t5, s5, 0x7f
    addi t5, t5, 90
    add  t4, t4, t5
    sd   t4, (s3)
    la   t5, harts              # a message to the next hart
    lw   t5, (t5)
    addi t6, s0, 1
    bne  t6, t5, 5f
    li   t6, 0
5:  slli t6, t6, 2
    add  t6, t6, s2
    li   t5, 1
    sw   t5, (t6)
    mret
message:
    slli t6, s0, 2
    add  t6, t6, s2
    sw   zero, (t6)
    mret
    .balign 8
harts: .dword HARTS
    .balign 8
place: .zero 4096
"""
ISA = "rv64gc_zicntr"
ENGINES = ("interpreter", "jit")
BASE, SIZE = 0x8000_0000, 2 << 20


class Seen(NamedTuple):
    """All that a guest could notice of a run, and its output."""

    steps: int
    now_ns: int
    harts: tuple[bytes, ...]
    ram: str
    printed: bytes


def seen(machine: vm.Machine) -> Seen:
    for hart in machine.harts:
        hart.csr["mip"]                 # brings the lines of its timers up to date   # noqa: B018
    return Seen(machine.steps, machine.clock.now_ns(), tuple(native.save()[:512] for native in machine._natives),
                sha256(machine.memory.view(BASE, SIZE)).hexdigest(), machine.console.output)


def busy(harts: int = 1, engine: str = "interpreter") -> vm.Machine:
    """Past the beginning, where it throws away what was typed before."""
    machine = Guest(BUSY.replace("HARTS", str(harts)), harts=harts, engine=engine, isa=ISA).machine
    machine.run(instructions=1000)
    return machine


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


def run_to_its_end(machine: vm.Machine, choice: random.Random | None = None) -> None:
    """In pieces, at random; or in one."""
    while True:
        stop = machine.run(instructions=None if choice is None else int(10 ** choice.uniform(0, 6)),
                           seconds=None if choice is None or choice.random() < 0.7 else 10 ** choice.uniform(-7, -3))
        if stop.reason is StopReason.REPLAYED:
            return
        assert stop.reason in (StopReason.BUDGET, StopReason.DEADLINE), stop


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


@pytest.mark.parametrize("engine", ENGINES)
def test_calls_of_the_firmware_and_a_reset(engine):
    """The machine serves calls between slices; what is typed comes before or after one, and so in the replay."""
    def made(engine: str) -> vm.Machine:
        g = Guest(FIRMWARE, engine=engine, isa=ISA)
        g.native.sbi = True
        return g.machine

    with made(engine) as original, original.record() as recording:
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
            with made(other) as machine:
                machine.replay(log)
                run_to_its_end(machine, choice)
                assert seen(machine) == wanted


class Dice(Device):
    """Its answers, interrupts, writes to memory and events come from the host's entropy."""

    deterministic = False

    def __init__(self) -> None:
        super().__init__()
        self.told = 0

    @reads(0)
    def roll(self) -> int:
        self.told += 1
        if random.random() < 0.2:
            self.memory.write(BASE + 0x10_0000, random.randbytes(8))
        if random.random() < 0.2:
            self.events.schedule(random.randrange(5000), self, 1, random.randrange(100))
        if random.random() < 0.1:
            self.events.cancel(self, 1)
        self.irq.set(random.random() < 0.3)
        return random.getrandbits(32)

    @writes(4)
    def stop(self, value: int) -> None:
        self.irq.lower()

    def on_event(self, event: int, data: int) -> None:
        self.told += 1
        self.irq.set(data < 50)
        self.memory.write(BASE + 0x10_0008, random.randbytes(8))


ASKING = """
    la   t0, handler
    csrw mtvec, t0
    li   s1, 0x10010000
    li   t0, 1
    li   t1, 0x0c000000
    sw   t0, 80(t1)             # priority of source 20
    li   t1, 0x0c002000
    li   t0, 1 << 20
    sw   t0, (t1)
    li   t0, 0x800
    csrw mie, t0
    csrsi mstatus, 8
    li   s6, 0x80100000
1:  lw   t0, (s1)
    add  s5, s5, t0
    ld   t0, (s6)
    add  s5, s5, t0
    ld   t0, 8(s6)
    xor  s5, s5, t0
    srli t0, s5, 50             # up to 16,383 turns
2:  addi t0, t0, -1
    addi s7, s7, 1
    bgtz t0, 2b
    j    1b
    .balign 4
handler:
    li   t4, 0x0c200004
    lw   t5, (t4)
    sw   zero, 4(s1)
    rdtime t6
    add  s5, s5, t6
    sw   t5, (t4)
    mret
"""


def asking(engine: str) -> tuple[vm.Machine, Dice]:
    dice = Dice()
    return Guest(ASKING, devices=[(dice, 0x1001_0000, 20)], harts=2, engine=engine, isa=ISA).machine, dice


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


# --- A log that is not as it was -------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def session() -> vm.Log:
    """Keys typed every 300,000 steps."""
    with busy() as machine, machine.record() as recording:
        for key in "abcdefgh":
            machine.run(instructions=300_000)
            machine.console.send(key)
        machine.run(instructions=300_000)
    return recording.log


def changed(log: vm.Log, number: int, **fields) -> vm.Log:
    """The log with another entry in that place, its checksums right again."""
    entries = list(log)
    entries[number] = entries[number]._replace(**fields)
    return vm.Log(tuple(entries))


def divergence(log: vm.Log) -> vm.ReplayDiverged:
    with busy() as machine, pytest.raises(vm.ReplayDiverged) as caught:
        machine.replay(log)
        while machine.run().reason is not StopReason.REPLAYED:
            pass
    return caught.value


def key_number(log: vm.Log, key: str) -> int:
    return next(number for number, entry in enumerate(log) if entry.data == key.encode())


def test_a_session_has_its_keys_and_checkpoints(session):
    assert bytes(entry.data[0] for entry in session if entry.kind is Kind.INPUT) == b"abcdefgh"
    assert sum(entry.kind is Kind.CHECKPOINT for entry in session) == 1         # at 2**20 steps; the next at 2**21 more
    assert "8 inputs" in repr(session) and session.end.steps == 1000 + 9 * 300_000


def test_another_key_is_found_at_the_next_entry(session):
    number = key_number(session, "c")
    error = divergence(changed(session, number, data=b"x"))
    assert error.fitted == session.entries[number].stamp.steps
    assert error.step == session.entries[number + 1].stamp.steps
    assert "hart 0: " in str(error) and f"{error.fitted:,}" in str(error)


def test_another_key_that_nobody_reads_is_found_at_the_next_checkpoint(session):
    """Also where the guest comes to the same state: what came in is part of what an entry proves."""
    with vm.Machine(memory="1M", board="virt") as machine:
        machine.load(bytes.fromhex("6f000000"), BASE)           # j .
        with machine.record() as recording:
            machine.run(instructions=100)
            machine.console.send("a")
            machine.run(instructions=100)
    log = recording.log
    found = pytest.raises(vm.ReplayDiverged, match="step 200.*from outside.*the log was changed")
    with vm.Machine(memory="1M") as machine, found as it:
        machine.load(bytes.fromhex("6f000000"), BASE)
        machine.replay(changed(log, 1, data=b"b"))
        machine.run()
    assert it.value.fitted == 100


def test_a_key_that_was_taken_out(session):
    number = key_number(session, "c")
    error = divergence(vm.Log(session.entries[:number] + session.entries[number + 1:]))
    assert (error.fitted, error.step) == (session.entries[number - 1].stamp.steps,
                                          session.entries[number + 1].stamp.steps)


@pytest.mark.parametrize("steps", [-1, 1, -299_999, 299_999])
def test_a_key_at_another_moment(session, steps):
    """The harts do not stand as they did where it came, or time is not what it was."""
    number = key_number(session, "c")
    stamp = session.entries[number].stamp
    error = divergence(changed(session, number, stamp=stamp._replace(steps=stamp.steps + steps, ns=stamp.ns + steps)))
    assert error.fitted == session.entries[number - 1].stamp.steps
    assert error.fitted < error.step <= stamp.steps + max(steps, 0) + 1


@pytest.mark.parametrize("served", [-1, 1])
def test_a_key_on_the_other_side_of_an_event(session, served):
    number = key_number(session, "c")
    stamp = session.entries[number].stamp
    error = divergence(changed(session, number, stamp=stamp._replace(served=stamp.served + served)))
    assert error.fitted == session.entries[number - 1].stamp.steps


def test_it_says_which_registers(session):
    """The log of a guest with another value in one register."""
    with busy() as machine:
        machine.harts[0]["s9"] = 5
        with pytest.raises(vm.ReplayDiverged, match="the log does not fit: hart 0: s9 is 0x5, recorded 0x0$"):
            machine.replay(session)
        machine.harts[0]["s9"] = 0
        machine.replay(session)                 # nothing had changed


def test_a_machine_that_stands_elsewhere(session):
    with busy() as machine:
        machine.run(instructions=1)
        with pytest.raises(vm.ReplayDiverged, match=r"begins at step 1,000 .* stands at step 1,001"):
            machine.replay(session)
    with busy(2) as machine, pytest.raises(vm.ReplayDiverged, match="another number of harts"):
        machine.replay(session)


def test_a_device_that_is_not_there(session):
    with busy() as machine, pytest.raises(vm.ReplayDiverged, match="input came at step .* of 'modem', and"):
        machine.replay(changed(session, 1, source="modem"))


def test_a_device_that_is_asked_at_another_step():
    original, _ = asking("interpreter")
    with original, original.record() as recording:
        original.run(instructions=100_000)
    log = recording.log
    number = next(number for number, entry in enumerate(log) if number > 5 and entry.kind is Kind.ANSWER)
    stamp = log.entries[number].stamp
    machine, _ = asking("interpreter")
    moved = stamp._replace(steps=stamp.steps + 2, ns=stamp.ns + 2)
    with machine, pytest.raises(vm.ReplayDiverged, match=f"asked at {moved}.*asks 'dice.* at {stamp}") as caught:
        machine.replay(changed(log, number, stamp=moved))
        machine.run()
    assert caught.value.step == stamp.steps


# --- The file --------------------------------------------------------------------------------------------------------

def test_a_file_has_all_of_it(session, tmp_path):
    path = tmp_path / "session.vmlog"
    path.write_text("what was there before")
    session.save(path)
    assert vm.Log.load(path) == session
    assert [file.name for file in tmp_path.iterdir()] == ["session.vmlog"]


def test_a_file_that_cannot_be_written_leaves_what_was_there(session, tmp_path, monkeypatch):
    path = tmp_path / "session.vmlog"
    path.write_text("what was there before")
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.close(-1))
    with pytest.raises(OSError):
        session.save(path)
    assert path.read_text() == "what was there before" and len(list(tmp_path.iterdir())) == 1


def test_every_flipped_byte_is_refused(session, tmp_path):
    path = tmp_path / "session.vmlog"
    session.save(path)
    content = path.read_bytes()
    choice = random.Random(0)
    for place in [*range(40), *choice.sample(range(len(content)), 500)]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << choice.randrange(8)]) + content[place + 1:])
        with pytest.raises(vm.LogError, match="session.vmlog: "):
            vm.Log.load(path)


def test_every_truncation_is_refused(session, tmp_path):
    path = tmp_path / "session.vmlog"
    session.save(path)
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(vm.LogError, match="session.vmlog: "):
            vm.Log.load(path)


def test_the_damaged_entry_is_named(session, tmp_path):
    path = tmp_path / "session.vmlog"
    session.save(path)
    content = path.read_bytes()
    number = key_number(session, "c")
    record = session.entries[number].packed()
    assert content.count(record) == 1
    step = f"entry {number}, behind {session.entries[number - 1].stamp}, is damaged"
    path.write_bytes(content.replace(record, record[:-1] + b"x"))
    with pytest.raises(vm.LogError, match=step):
        vm.Log.load(path)
    at = content.index(record)
    path.write_bytes(content[:at - 4] + content[at + len(record) + 16:])        # length and checksum as well
    with pytest.raises(vm.LogError, match=f"entry {number}, .* one was taken away"):
        vm.Log.load(path)
    path.write_bytes(content + b"more")
    with pytest.raises(vm.LogError, match="something follows"):
        vm.Log.load(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "session.vmlog"
    for content, told in ((b"", "no log"), (b"\x7fELF" * 100, "no log"),
                          (MAGIC + (VERSION + 1).to_bytes(4, "little"), "version 2, .* knows 1: update")):
        path.write_bytes(content)
        with pytest.raises(vm.LogError, match=told):
            vm.Log.load(path)


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


def test_a_hart_that_is_changed_in_a_replay(session):
    with busy() as machine:
        machine.replay(session)
        machine.run(instructions=500_000)
        machine.harts[0]["s5"] += 1
        with pytest.raises(vm.MachineBusy, match="a hart or the clock was changed"):
            machine.run()


def test_idle_time_costs_nothing(guest):
    """A machine that waits adds nothing to the log, however often it runs, or reads registers."""
    machine = guest("1: wfi; j 1b").machine
    with machine.record() as recording:
        machine.run()
        for _ in range(1000):
            machine.run(seconds=1)
        assert len(recording.log) == 2
