"""A hart's architectural state is one value: the same on every engine, and enough to go on from."""

import pytest

import vm
from tests.assembler import BASE, assemble_elf
from vm_native.interpreter.forms import forms
from vm_native.riscv.hart import NativeHart

# Integer and floating-point work, traps and returns, reservations.
PROGRAM = """
    la   t0, handler
    csrw mtvec, t0
    li   t0, 0x6000
    csrs mstatus, t0
    li   s0, 0x80010000
    li   s1, 0
    fcvt.d.l fa0, zero
1:  addi s1, s1, 7
    fcvt.d.l fa1, s1
    fdiv.d fa2, fa1, fa0
    fadd.d fa0, fa0, fa1
    lr.d a0, (s0)
    add  a0, a0, s1
    sc.d a1, a0, (s0)
    addi a4, s0, 8
    amoadd.d zero, s1, (a4)
    ecall
    csrr a2, minstret
    xor  s2, s2, a2
    lr.w a3, (s0)
    j    1b
    .balign 4
handler:
    csrr t1, mepc
    addi t1, t1, 4
    csrw mepc, t1
    mret
"""
STEPS = [1, 2, 3, 11, 12, 13, 14, 100, 1_000, 54_321]


def machine_on(form: str) -> vm.Machine:
    settings = vm.Settings(hot=0) if form == "jit" else vm.Settings(dispatch=form)
    machine = vm.Machine(memory="1M", engine="jit" if form == "jit" else "interpreter", settings=settings)
    machine.load(assemble_elf(PROGRAM))
    return machine


def hart(machine: vm.Machine) -> NativeHart:
    return machine._natives[0]


def states(machine: vm.Machine) -> list[bytes]:
    return [hart(machine).save() for steps in STEPS if machine.run(instructions=steps)]


def test_all_engines_agree():
    """After any number of steps, in the middle of anything."""
    with machine_on("switch") as machine:
        expected = states(machine)
    assert len(set(expected)) == len(STEPS)
    for form in (*forms(), "jit"):
        with machine_on(form) as machine:
            assert states(machine) == expected, form


@pytest.mark.parametrize("steps", range(20, 40))
def test_a_hart_goes_on_from_anothers_state(steps):
    """With what it has reserved: RAM is copied beside it."""
    with machine_on("switch") as first, machine_on("jit") as second:
        first.run(instructions=steps)
        second.run(instructions=5)
        second.memory.write(BASE, first.memory.read(BASE, 1 << 20))
        hart(second).load(hart(first).save())
        first.run(instructions=100)
        second.run(instructions=100)
        assert hart(second).save() == hart(first).save()
        assert second.memory.read(BASE, 1 << 20) == first.memory.read(BASE, 1 << 20)


def test_a_state_of_another_size_is_refused(guest):
    g = guest("wfi")
    before = g.native.save()
    with pytest.raises(ValueError, match="bytes, not 3"):
        g.native.load(b"abc")
    assert g.native.save() == before


def test_a_state_of_another_hart_is_refused(guest):
    one, three = guest("wfi"), guest("wfi", harts=3)
    narrow = guest("wfi", isa="rv64imac")
    with pytest.raises(ValueError, match="hart 2, not 0"):
        one.native.load(three.machine._natives[2].save())
    with pytest.raises(ValueError, match="another ISA"):
        narrow.native.load(one.native.save())
    assert narrow.hart.csr["misa"] == 1 << 63 | 0x14_1105          # A C I M S U


def test_a_lost_reservation_leaves_no_trace(guest):
    """Whether a hart has had one that it has no longer, nobody can tell."""
    had, never = (
        guest(f".option norvc; li a0, 0x80010000; {load} a1, (a0); wfi") for load in ("lr.d", "ld")
    )
    for g in (had, never):
        g.finish()
        g.memory.write(0x8001_0000, bytes(8))
    assert had.native.save() == never.native.save()


def test_a_reservation_of_what_is_no_ram_is_none(guest):
    """A state may come from anywhere: the address of the reservation stands behind all registers."""
    g = guest("li a0, 0x80010000; lr.d a1, (a0); sc.d a2, a1, (a0); wfi")
    g.run(instructions=3)
    state = g.native.save()
    place = state.rindex((0x8001_0000).to_bytes(8, "little"))
    g.native.load(state[:place] + (0x1234_5678_9000).to_bytes(8, "little") + state[place + 8:])
    g.finish()
    assert g["a2"] == 1


@pytest.mark.parametrize(("set_up", "said"), [
    (lambda state, satp: state.replace(satp, (1 << 60).to_bytes(8, "little")), "a mode that this hart has not"),
    (lambda state, satp: (7).to_bytes(8, "little") + state[8:], "are no hart's"),
], ids=["satp", "x0"])
def test_a_state_that_no_hart_can_be_in_is_refused(set_up, said):
    with machine_on("switch") as machine:
        marked = 8 << 60 | 0x1234_5678_9AB
        machine.harts[0].csr["satp"] = marked
        state = hart(machine).save()
        with pytest.raises(ValueError, match=said):
            hart(machine).load(set_up(state, marked.to_bytes(8, "little")))
        assert hart(machine).save() == state
