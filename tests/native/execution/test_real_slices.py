"""In real time a timer waits for the end of a slice, which is fitted to how long steps take."""

import time

from tests.guest import Guest
from vm.devices.base import Device, reads

PLACE = 0x1001_0000
TICKS = 6
ACCESS = 0.0005                     # s, at least: one of the device
TICK = 20_000                       # of the timebase: 2 ms
# Between two interrupts a0 counts accesses; a5 is how many there were in the last.
SOURCE = f"""
    .option norvc
    la   t0, tick
    csrw mtvec, t0
    li   s0, {PLACE}
    li   s1, 0x02004000             # mtimecmp
    li   a2, {TICKS}
    csrr t0, time
    sd   t0, (s1)
    li   t0, 0x80
    csrw mie, t0
    csrsi mstatus, 8
again:
    lw   a1, (s0)
    addi a0, a0, 1
    j    again
    .balign 4
tick:
    mv   a5, a0
    li   a0, 0
    csrr t0, time
    li   t1, {TICK}
    add  t0, t0, t1
    sd   t0, (s1)
    addi a2, a2, -1
    bnez a2, back
    csrw mie, zero
    wfi
back:
    mret
"""


class Slow(Device):
    @reads(0)
    def value(self):
        time.sleep(ACCESS)
        return 0


def test_timer_does_not_wait_for_thousands_of_slow_accesses():
    guest = Guest(SOURCE, [(Slow(), PLACE)], clock="real")
    guest.machine.run()
    assert guest["a2"] == 0
    assert 0 < guest["a5"] < 200
