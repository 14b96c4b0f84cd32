"""The host rounds as frm says while the guest runs, and in its own way while Python does.

A third (1.0 / 3.0) is rounded down to nearest: only RUP gives another number than the other modes.
"""

import pytest

from vm.devices import Device, reads

pytestmark = pytest.mark.usefixtures("dispatch")

RDN, RUP, RMM = 2, 3, 4
ILLEGAL = 2
THIRD, THIRD_UP = 0x3FD5_5555_5555_5555, 0x3FD5_5555_5555_5556
DEVICE = 0x3000_0000
START = """
    li t0, 3 << 13
    csrs mstatus, t0
    li t0, 1
    fcvt.d.w fa0, t0
    li t0, 3
    fcvt.d.w fa1, t0
"""


class Adder(Device):
    compatible = "test,adder"
    size = 0x1000

    @reads(0x00)
    def add(self) -> int:
        self.sum = float("0.1") + float("0.2")
        return 0


def test_device_computes_as_always(guest):
    """Down, the sum were 0.3. The guest goes on in its mode behind the access."""
    device = Adder()
    g = guest(START + f"""
        fsrmi {RUP}
        li t0, {DEVICE:#x}
        lw t0, (t0)
        fdiv.d fa2, fa0, fa1
        fsrmi {RDN}
        li t0, {DEVICE:#x}
        lw t0, (t0)
        fdiv.d fa3, fa0, fa1
        wfi
    """, devices=[(device, DEVICE)])
    g.machine.run()
    assert device.sum == 0.30000000000000004
    assert (g.hart.f_bits[12], g.hart.f_bits[13]) == (THIRD_UP, THIRD)
    assert float("0.1") + float("0.2") == 0.30000000000000004


def test_mode_set_from_python(guest):
    g = guest(START + """
        ebreak
    again:
        fdiv.d fa2, fa0, fa1
        wfi
    """)
    g.machine.run()
    for mode, third in ((RUP, THIRD_UP), (RDN, THIRD), (RUP, THIRD_UP)):
        g.hart.csr["frm"] = mode
        g.hart.pc = g.address("again")
        g.machine.run()
        assert g.hart.f_bits[12] == third


def test_mode_comes_back_with_a_snapshot(guest):
    g = guest(START + f"""
        fsrmi {RUP}
        wfi
    again:
        fdiv.d fa2, fa0, fa1
        wfi
    """)
    g.machine.run()
    snapshot = g.machine.snapshot()
    g.hart.csr["frm"] = RDN
    g.hart.pc = g.address("again")
    g.machine.run()
    assert g.hart.f_bits[12] == THIRD
    g.machine.restore(snapshot)
    g.hart.pc = g.address("again")
    g.machine.run()
    assert g.hart.f_bits[12] == THIRD_UP


@pytest.mark.parametrize("mode", range(8))
def test_dynamic_mode_is_that_of_frm(mode, guest):
    """Reserved ones are illegal; a mode in the instruction counts, whatever frm is."""
    g = guest(START + f"""
        fsrmi {mode}
        fdiv.d fa2, fa0, fa1, rup
        fdiv.d fa3, fa0, fa1, rdn
        fdiv.d fa4, fa0, fa1, rne
        fdiv.d fa5, fa0, fa1, rup
        fdiv.d fa6, fa0, fa1
        wfi
    """)
    g.machine.run()
    f = g.hart.f_bits
    assert (f[12], f[13], f[14], f[15]) == (THIRD_UP, THIRD, THIRD, THIRD_UP)
    if mode > RMM:
        assert g["mcause"] == ILLEGAL
    else:
        assert f[16] == (THIRD_UP if mode == RUP else THIRD)
