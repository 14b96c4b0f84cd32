"""Steady registers, which the core answers: the same as if the device were asked each time, but without asking."""

from random import Random

import pytest

import vm
from tests.assembler import assemble_elf
from tests.guest import Guest
from vm.devices import UART
from vm.devices.base import Device, reads, writes
from vm.devices.virtio import Entropy
from vm.errors import ConfigurationError
from vm.settings import Settings

ENGINES = ("interpreter", "jit")
PLACE = 0x1001_0000
STATUS, BELL, DATA, LOUD = range(0, 16, 4)


class Sensor(Device):
    """A status that others set. `asked` counts how often a method is called."""

    state = ("level", "asked", "waiting")

    def __init__(self):
        super().__init__()
        self.level = 1
        self.waiting = 0
        self.asked = 0

    @reads(STATUS, steady=True)
    def read_status(self):
        self.asked += 1
        return self.level

    @writes(BELL, steady=True)
    def ring(self, value):
        if value:
            self.level = value
            self.changed()

    @reads(DATA, steady=True)
    def take(self):
        self.asked += 1
        if not self.waiting:
            return 0
        self.waiting -= 1
        self.changed()
        return self.waiting + 1

    @writes(LOUD)
    def set_level(self, value):
        self.level = value


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


def polling(body: str, turns: int = 1000) -> str:
    """A loop; a0 is the sum of what its body leaves in a1."""
    return f"""
        li   s0, {PLACE:#x}
        li   s1, {turns}
        li   a0, 0
    again:
        {body}
        add  a0, a0, a1
        addi s1, s1, -1
        bnez s1, again
        wfi
    """


def test_poll_does_not_ask_the_device(engine):
    """Once for each slice, of which there are few: of at most a million steps, and the start of the timers."""
    sensor = Sensor()
    guest = Guest(polling(f"lw a1, {STATUS}(s0)"), [(sensor, PLACE)], engine=engine)
    guest.finish()
    assert guest["a0"] == 1000
    assert sensor.asked < 10


def test_in_real_time_slices_are_short(engine):
    """Each asks the device once. Timers and input wait for the end of one: not for a million accesses to devices."""
    sensor = Sensor()
    guest = Guest(polling(f"lw a1, {STATUS}(s0)", 100_000), [(sensor, PLACE)], engine=engine, clock="real")
    guest.finish()
    assert guest["a0"] == 100_000
    assert sensor.asked >= 4


def test_without_answers_each_read_is_the_devices(engine):
    sensor = Sensor()
    guest = Guest(polling(f"lw a1, {STATUS}(s0)"), [(sensor, PLACE)], engine=engine,
                  settings=Settings(answers=False))
    guest.finish()
    assert (guest["a0"], sensor.asked) == (1000, 1000)


@pytest.mark.parametrize("register", [BELL, LOUD])
def test_write_that_changes_the_status_is_seen_at_once(register, engine):
    """By the device's word where it is declared steady, of itself where it is not."""
    guest = Guest(polling(f"lw a2, {STATUS}(s0); sw s1, {register}(s0); lw a1, {STATUS}(s0)"), [(Sensor(), PLACE)],
                  engine=engine)
    guest.finish()
    assert guest["a0"] == sum(range(1, 1001))


def test_steady_write_that_changes_nothing_leaves_the_answer(engine):
    sensor = Sensor()
    guest = Guest(polling(f"sw zero, {BELL}(s0); lw a1, {STATUS}(s0)"), [(sensor, PLACE)], engine=engine)
    guest.finish()
    assert guest["a0"] == 1000
    assert sensor.asked < 10


def test_read_that_takes_something_is_done_each_time(engine):
    sensor = Sensor()
    guest = Guest(polling(f"lw a1, {DATA}(s0)"), [(sensor, PLACE)], engine=engine)
    sensor.waiting = 100
    guest.finish()
    assert guest["a0"] == sum(range(1, 101))
    assert 100 < sensor.asked < 120


def test_what_another_device_does_is_seen(engine):
    """An access to one changes the other, which need not say so."""
    class Driver(Device):
        unsaved = (*Device.unsaved, "sensor")

        def __init__(self, sensor):
            super().__init__()
            self.sensor = sensor

        @writes(0)
        def drive(self, value):
            self.sensor.level = value

    sensor = Sensor()
    guest = Guest(polling(f"li a3, {PLACE + 0x1000:#x}; sw s1, 0(a3); lw a1, {STATUS}(s0)"),
                  [(sensor, PLACE), (Driver(sensor), PLACE + 0x1000)], engine=engine)
    guest.finish()
    assert guest["a0"] == sum(range(1, 1001))


def test_what_a_device_does_to_another_by_its_address_is_seen(engine):
    """In a write that is declared steady, as it changes nothing itself."""
    class Driver(Device):
        @writes(0, steady=True)
        def drive(self, value):
            self.memory.write(PLACE + LOUD, value.to_bytes(4, "little"))

    guest = Guest(polling(f"lw a2, {STATUS}(s0); li a3, {PLACE + 0x1000:#x}; sw s1, 0(a3); lw a1, {STATUS}(s0)"),
                  [(Sensor(), PLACE), (Driver(), PLACE + 0x1000)], engine=engine)
    guest.finish()
    assert guest["a0"] == sum(range(1, 1001))


def test_what_the_mirror_of_the_console_does_is_seen(engine):
    sensor = Sensor()
    guest = Guest(polling(f"lw a2, {STATUS}(s0); li a3, {PLACE + 0x1000:#x}; sb s1, 0(a3); lw a1, {STATUS}(s0)"),
                  [(sensor, PLACE), (UART(), PLACE + 0x1000)], engine=engine)

    def answer(data: bytes) -> None:
        sensor.level += 1

    guest.machine.console.mirror = answer
    guest.finish()
    assert guest["a0"] == sum(range(2, 1002))


def test_what_is_changed_between_runs_is_seen(engine):
    sensor = Sensor()
    guest = Guest(polling(f"lw a1, {STATUS}(s0)"), [(sensor, PLACE)], engine=engine)
    guest.run(instructions=3 + 4 * 500)
    assert (guest["a0"], guest["s1"]) == (500, 500)
    sensor.level = 7
    guest.finish()
    assert guest["a0"] == 500 + 7 * 500


def test_what_an_event_changes_is_seen(engine):
    class Timed(Sensor):
        def on_event(self, event, data):
            self.level = data

    sensor = Timed()
    guest = Guest(polling(f"lw a1, {STATUS}(s0)"), [(sensor, PLACE)], engine=engine)
    sensor.events.schedule(2005, sensor, 0, 5)          # a nanosecond a step: in turn 501
    guest.finish()
    asked = Settings(answers=False)
    other = Timed()
    same = Guest(polling(f"lw a1, {STATUS}(s0)"), [(other, PLACE)], engine=engine, settings=asked)
    other.events.schedule(2005, other, 0, 5)
    same.finish()
    assert guest["a0"] == same["a0"] > 2500


def test_what_a_hook_changes_is_seen(engine):
    sensor = Sensor()
    guest = Guest(polling(f"lw a1, {STATUS}(s0); rung: nop"), [(sensor, PLACE)], engine=engine)

    def ring(*_):
        sensor.level = guest["s1"]

    guest.machine.on_execute(guest.address("rung"), ring)
    guest.finish()
    # Each turn reads what the hook of the one before has set.
    assert guest["a0"] == 1 + sum(range(2, 1001))


def test_hooks_and_traces_see_every_access(engine):
    guest = Guest(polling(f"lw a1, {STATUS}(s0)", turns=50), [(Sensor(), PLACE)], engine=engine)
    seen = []
    guest.machine.on_mmio(PLACE, seen.append)
    with guest.machine.trace("mmio") as trace:
        guest.finish()
    assert (trace.array["address"] == PLACE).sum() == 50
    assert [(access.address, access.size, access.value) for access in seen] == [(PLACE, 4, 1)] * 50


def test_method_that_overrides_a_steady_one_is_asked_each_time(engine):
    """What the class promised, its subclass does not promise by that."""
    class Counting(Sensor):
        def read_status(self):
            self.asked += 1
            return self.asked

    guest = Guest(polling(f"lw a1, {STATUS}(s0)"), [(Counting(), PLACE)], engine=engine)
    guest.finish()
    assert guest["a0"] == sum(range(1, 1001))


def test_method_of_an_instance_is_asked_each_time(engine):
    class Counting(Sensor):
        unsaved = (*Device.unsaved, "read_status")

        def __init__(self):
            super().__init__()
            self.read_status = self.count

        def count(self):
            self.level += 1
            return self.level

    guest = Guest(polling(f"lw a1, {STATUS}(s0)"), [(Counting(), PLACE)], engine=engine)
    guest.finish()
    assert guest["a0"] == sum(range(2, 1002))


def test_device_with_a_read_of_its_own_is_asked_each_time(engine):
    class Logging(UART):
        def __init__(self):
            super().__init__()
            self.seen = 0

        def read(self, offset, size):
            self.seen += 1
            return super().read(offset, size)

    uart = Logging()
    guest = Guest(polling("lbu a1, 5(s0)"), [(uart, PLACE)], engine=engine)
    guest.finish()
    assert uart.seen == 1000


def test_accesses_of_another_width_are_asked(engine):
    guest = Guest(polling(f"lbu a1, {STATUS}(s0); sw s1, {LOUD}(s0); lhu a2, {STATUS}(s0); add a1, a1, a2"),
                  [(Sensor(), PLACE)], engine=engine)
    guest.finish()
    bytes_read = [1, *(value & 0xFF for value in range(1000, 1, -1))]
    assert guest["a0"] == sum(bytes_read) + sum(range(1, 1001))


def test_device_that_is_pulled_out_no_longer_answers(engine):
    machine = vm.Machine(memory="2M", engine=engine)
    name = machine.attach(Entropy())
    slot = machine.board.devices[name].address
    machine.load(assemble_elf(polling("lw a1, 8(s0)").replace(f"{PLACE:#x}", f"{slot:#x}")))     # DeviceID
    hart = machine.harts[0]
    while hart["s1"] != 500:
        machine.run(instructions=1)
    machine.detach(name)
    before = hart["a0"]
    assert before == Entropy.device_id * 500
    machine.run()
    assert (hart["a0"], hart["s1"]) == (before, 0)


def test_only_registers_are_steady():
    with pytest.raises(ConfigurationError, match="block from 0x10 on"):
        reads(0x10, 0x20, steady=True)


# --- The board's own devices ------------------------------------------------------------------------------------------

def test_mtime_is_exact_to_the_step(engine):
    """At a nanosecond a step, 100 steps are a tick; each read is that of its own step."""
    source = polling("ld a1, 0(s0)").replace(f"{PLACE:#x}", "0x200bff8")
    guest = Guest(source, engine=engine)
    guest.finish()
    first = guest.hart.steps - 1 - 4 * 1000             # `wfi` and a thousand turns follow it
    assert guest["a0"] == sum((first + 4 * turn) // 100 for turn in range(1000))


def test_mtime_in_real_time_goes_on(engine):
    guest = Guest("""
        li   s0, 0x200bff8
        ld   a0, 0(s0)
    again:
        ld   a1, 0(s0)
        beq  a0, a1, again
        wfi
    """, engine=engine, clock="real")
    guest.machine.run(seconds=10)
    assert guest["a1"] > guest["a0"]


def test_input_is_seen_by_who_polls(engine):
    guest = Guest("""
        li   s0, 0x10000000
    again:
        lbu  a0, 5(s0)
        andi a0, a0, 1
        beqz a0, again
        lbu  a1, 0(s0)
        lbu  a2, 5(s0)
        wfi
    """, engine=engine)
    guest.run(instructions=50_000)
    guest.machine.console.send(b"x")
    guest.finish()
    assert (guest["a1"], guest["a2"]) == (ord("x"), 0x60)


def test_answer_to_what_the_guest_prints_is_seen(engine):
    """The host types while the guest is inside its write: a write that is declared steady."""
    guest = Guest("""
        li   s0, 0x10000000
        li   s1, 200
        li   a0, 0
    again:
        lbu  a1, 5(s0)
        sb   s1, 0(s0)
        lbu  a1, 5(s0)
        andi a1, a1, 1
        add  a0, a0, a1
        lbu  a2, 0(s0)
        addi s1, s1, -1
        bnez s1, again
        wfi
    """, engine=engine)
    guest.machine.console.mirror = lambda data: guest.machine.console.send(data) if data[0] % 2 else None
    guest.finish()
    assert guest["a0"] == 100


# Registers that guests poll, and others of the same devices that change them: address, size, writes.
ACCESSES = [
    *((0x1000_0000 + offset, 1, writes) for offset in range(8) for writes in (False, True)),
    (0x1000_0005, 1, False), (0x1000_0005, 1, False), (0x1000_0004, 2, False), (0x1000_0004, 4, False),
    *((0x0C00_0000 + 4 * source, 4, writes) for source in (8, 10) for writes in (False, True)),
    (0x0C00_1000, 4, False), (0x0C00_1000, 8, False),
    *((0x0C00_2000 + 0x80 * context, 4, writes) for context in (0, 1) for writes in (False, True)),
    *((0x0C20_0000 + 0x1000 * context + word, 4, writes)
      for context in (0, 1) for word in (0, 4, 4, 4) for writes in (False, True)),
    (0x0200_BFF8, 8, False), (0x0200_BFF8, 8, False), (0x0200_BFF8, 4, False), (0x0200_BFFC, 4, False),
    (0x0200_BFF8, 8, True), (0x0200_0000, 4, False), (0x0200_4000, 8, False),
    *((0x1000_1000 + offset, 4, False) for offset in (0, 4, 8, 12, 0x60, 0x70, 0xFC, 0x100)),
    *((0x1000_1000 + offset, 4, True) for offset in (0x14, 0x50, 0x64, 0x70)),
]
# Those of them that are declared steady and change something now and then, and what shows that.
STEADY = [(0x1000_0000, 1, True), *((0x1000_0005, 1, False),) * 3, (0x0C00_1000, 4, False),
          *((0x0C20_0004 + 0x1000 * context, 4, writes) for context in (0, 1) for writes in (False, True))]
# What they need for that: loop-back without FIFOs, the interrupt of the transmitter, a priority of its source, enables.
SETTINGS = [(0x1000_0001, 1, 2), (0x1000_0002, 1, 0), (0x1000_0003, 1, 0), (0x1000_0004, 1, 0x10),
            (0x1000_0004, 1, 0), (0x0C00_0028, 4, 1), (0x0C00_2000, 4, 0x400), (0x0C00_2080, 4, 0x400)]
COUNT = 3000
READS = {1: "lbu t2, 0(t0)", 2: "lhu t2, 0(t0)", 4: "lw t2, 0(t0)", 8: "ld t2, 0(t0)"}
WRITES = {1: "sb t1, 0(t0)", 4: "sw t1, 0(t0)", 8: "sd t1, 0(t0)"}
KINDS = {(size, False): text for size, text in READS.items()} | {(size, True): text for size, text in WRITES.items()}
CASES = "\n".join(f".balign 8\ncase_{number}:\n{access}\nj done" for number, access in enumerate(KINDS.values()))
DIFFERENTIAL = f"""
    la   s0, table
    li   s1, {COUNT}
    la   s2, cases
next:
    ld   t0, 0(s0)
    ld   t1, 8(s0)
    lw   t3, 16(s0)
    slli t3, t3, 3
    add  t3, t3, s2
    li   t2, 0
    jr   t3
    .balign 8
cases:
{CASES}
done:
    xor  a0, a0, t2
    slli t4, a0, 7
    srli t5, a0, 57
    or   a0, t4, t5
    sd   t2, 16(s0)
    addi s0, s0, 24
    addi s1, s1, -1
    bnez s1, next
    wfi
    .balign 8
table:
"""


def accesses_of(seed: int) -> str:
    """The table of a random program: an address, a value to write, and which instruction."""
    draw = Random(seed)
    rows = []
    while len(rows) < COUNT:
        address, size, written = draw.choice(ACCESSES)
        value = draw.choice((0, 1, 2, 7, 8, 10, 0x400, 0x55, 0xFF, draw.getrandbits(8)))
        rows.append((address, value, (size, written)))
        if draw.random() < 0.05:
            rows += [(address, value, (size, True)) for address, size, value in draw.sample(SETTINGS, 6)]
            steady = [draw.choice(STEADY) for _ in range(20)]
            rows += [(address, draw.choice((10, 10, 0x55)), (size, written)) for address, size, written in steady]
    return "\n".join(f".dword {address:#x}, {value:#x}, {list(KINDS).index(kind)}"
                     for address, value, kind in rows[:COUNT])


def ends_of(machine: vm.Machine, seed: int) -> list[tuple[object, ...]]:
    """Run the program in pieces, with input and snapshots between them; what there is to see at the end of each."""
    draw = Random(seed)
    seen = []
    for piece in range(60):
        if draw.random() < 0.3:
            machine.console.send(bytes(draw.getrandbits(7) for _ in range(draw.randrange(1, 20))))
        kept = machine.snapshot() if draw.random() < 0.3 else None
        steps = draw.randrange(1, 2000)
        machine.run(instructions=steps)
        if kept is not None:                    # what was remembered meanwhile is of a run that never was
            machine.restore(kept)
            machine.run(instructions=steps)
        if piece == 30:
            machine = machine.fork()
        hart = machine.harts[0]
        seen.append((hart.steps, hart.pc, hart["a0"], hart["mip"], machine.console.output,
                     *(placed.device.save() for placed in machine.board.devices.values())))
    return seen


@pytest.mark.parametrize("seed", range(2))
def test_all_is_as_if_devices_were_asked_each_time(seed):
    program = assemble_elf(DIFFERENTIAL + accesses_of(seed))
    ends = []
    for engine in ENGINES:
        for answers in (True, False):
            machine = vm.Machine(memory="2M", engine=engine, settings=Settings(answers=answers, hot=2))
            machine.load(program)
            ends.append(ends_of(machine, seed))
    assert all(end == ends[0] for end in ends)
    assert len({str(end[2]) for end in ends[0]}) > 30
