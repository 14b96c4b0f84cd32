"""Guests whose runs are recorded and replayed, and what is compared of them."""

import random
from functools import cache
from hashlib import sha256
from typing import NamedTuple

import vm
from tests.guest import Guest
from vm.devices.base import Device, reads, writes
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
    """Hart 0, whose turn is the last, is past the beginning, where it throws away what was typed before."""
    machine = Guest(BUSY.replace("HARTS", str(harts)), harts=harts, engine=engine, isa=ISA).machine
    machine.run(instructions=1000 + 10_000 * (harts - 1))
    return machine


def run_to_its_end(machine: vm.Machine, choice: random.Random | None = None) -> None:
    """In pieces, at random; or in one."""
    while True:
        stop = machine.run(instructions=None if choice is None else int(10 ** choice.uniform(0, 6)),
                           seconds=None if choice is None or choice.random() < 0.7 else 10 ** choice.uniform(-7, -3))
        if stop.reason is StopReason.REPLAYED:
            return
        assert stop.reason in (StopReason.BUDGET, StopReason.DEADLINE), stop


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


@cache
def session_log() -> vm.Log:
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


def key_number(log: vm.Log, key: str) -> int:
    return next(number for number, entry in enumerate(log) if entry.data == key.encode())
