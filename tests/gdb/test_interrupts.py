"""Single steps while an interrupt is due."""

TICKING = """
    la t0, handler; csrw mtvec, t0
    li t0, 0x2004000; sd zero, (t0)         # due for ever
    li t0, 0x80; csrw mie, t0
.globl enable
enable:
    csrsi mstatus, 8
    addi s1, s1, 1
    csrr s2, mie
    addi s1, s1, 1
    wfi
    j .
    .balign 4
.globl handler
handler:
    j .
"""


def test_step_in_real_time_takes_no_interrupt(debugged):
    """Where it would, each step led into the timer's handler. What asks for the enabled ones gets them."""
    stub = debugged(TICKING, clock="real")
    enable = stub.address("enable")
    assert stub.ask(f"Z0,{enable:x},4") == "OK"
    assert "swbreak" in stub.ask("c") and stub.pc() == enable
    for behind in (enable + 4, enable + 6):
        assert stub.ask("vCont;s:1").startswith("T05")
        assert stub.pc() == behind
        assert stub.register(65 + 0x304) == 0x80
    assert stub.ask("vCont;s:1").startswith("T05")         # csrr of mie: taken there
    assert stub.pc() == stub.address("handler") and stub.register(65 + 0x341) == enable + 6


def test_step_in_virtual_time_takes_interrupts(debugged):
    stub = debugged(TICKING)
    stub.ask(f"Z0,{stub.address('enable'):x},4")
    stub.ask("c")
    assert stub.ask("vCont;s:1").startswith("T05") and stub.ask("vCont;s:1").startswith("T05")
    assert stub.pc() == stub.address("handler")
