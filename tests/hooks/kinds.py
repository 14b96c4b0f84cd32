"""A loop for each kind of hook, in which one thing happens once a round, and how a hook for that is set."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tests.assembler import BASE
from tests.guest import Guest
from tests.stepping import HANDLER
from vm.devices.base import Device, reads
from vm.hart import Hart
from vm.hooks import Hook

FAR = BASE + 0x10_0000              # data on a page without code
PORT = 0x1001_0000                  # of a device
# Behind each body: a handler that goes on behind the instruction, or with the event that a hook replaces.
LOOP = """
    la   t0, handler
    csrw mtvec, t0
    la   s2, place
loop:
    addi a3, a3, 1
    slli a1, a3, 3
    .balign 4
here:
    {body}
behind:
    add  a4, a4, a1
    andi t2, s1, 1
    beqz t2, even
    addi a5, a5, 5
even:
    addi s1, s1, -1
    bnez s1, loop
out:
    wfi
    nop
""" + HANDLER + """
    .balign 8
place:
    .dword 0
"""


class Port(Device):
    compatible = "test,port"
    size = 0x1000

    @reads(0x00)
    def seven(self) -> int:
        return 7


class Kind(NamedTuple):
    """Where the hart stands when a hook is called: at label `pc`, and how many steps after it came to `here`."""

    body: str
    set: Callable[[Guest, Callable], Hook]
    pc: str
    steps: int


KINDS = {
    "execute": Kind("addi a2, a2, 2", lambda g, call: g.machine.on_execute(g.address("here"), call), "here", 0),
    "read": Kind("ld a2, 0(a0)", lambda g, call: g.machine.on_read(FAR, call), "behind", 1),
    "write": Kind("sd a3, 0(a0)", lambda g, call: g.machine.on_write(FAR, call), "behind", 1),
    "trap": Kind(".4byte 0xffffffff", lambda g, call: g.machine.on_trap(2, call), "handler", 1),
    "csr": Kind("csrw mscratch, a3", lambda g, call: g.machine.on_csr("mscratch", call), "behind", 1),
    "mmio": Kind("lw a2, 0(a6)", lambda g, call: g.machine.on_mmio(PORT, call), "behind", 1),
    "ecall": Kind("ecall", lambda g, call: g.machine.on_ecall(None, call), "here", 0),
}


def looping(guest, kind: str, rounds: int = 20, **options) -> Guest:
    """A machine whose loop is about to be run."""
    g = guest(LOOP.format(body=KINDS[kind].body), devices=[(Port(), PORT)], **options)
    for hart in g.machine.harts:
        hart["a0"], hart["a6"], hart["s1"] = FAR, PORT, rounds
    return g


def hart_of(event) -> Hart:
    """Of what a hook is called with."""
    return event if isinstance(event, Hart) else event.hart
