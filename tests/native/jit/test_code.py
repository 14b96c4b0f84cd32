"""Compiled code from its making to its end: what changes below it, room that runs out, and ways into what is gone."""

import gc

import pytest

import vm
from tests.assembler import BASE, assemble_elf
from vm.devices import Device
from vm.stop import StopReason
from vm_native.riscv.csrs import mask
from vm_native.riscv.instructions import encode

A0, S0, S1 = 10, 8, 9
DEVICE = 0x4000_0000
MIB = 1 << 20


class Port(Device):
    """What it does is a function of the test: on_read(offset), on_write(offset, value)."""

    def read(self, offset, size):
        return self.on_read(offset)

    def write(self, offset, size, value):
        self.on_write(offset, value)


# Calls f a number of times by way of a linked jump, and adds up what it gives.
CALLS = """
    .option norvc
1:  j    f
back:
    add  a3, a3, a0
    addi s0, s0, -1
    bnez s0, 1b
    wfi
f:  li   a0, 1
    j    back
new:
    li   a0, 100
"""


def test_links_into_dead_code_are_undone(compiled, counters):
    g = compiled(CALLS)
    g["s0"] = 10
    g.finish()
    assert g["a3"] == 10 and counters(g)["links"] > 0
    g.memory.write(g.address("f"), g.memory.read(g.address("new"), 4))
    g["s0"], g["a3"], g.hart.pc = 10, 0, BASE
    g.finish()
    assert g["a3"] == 1000
    assert counters(g)["discarded"] > 0


@pytest.mark.parametrize("when", range(1, 40))
def test_links_are_undone_between_any_two_steps(when, compiled):
    """`a3` is what follows from the turn in which `f` changes."""
    g = compiled(CALLS)
    g["s0"] = 10
    g.run(instructions=when)
    done = (when + 4) // 6          # times that li was executed: step 2, 8, ...
    g.memory.write(g.address("f"), g.memory.read(g.address("new"), 4))
    g.finish()
    assert g["a3"] == done + 100 * (10 - done)


def test_store_into_another_part_of_the_running_trace(compiled):
    """The store's own trace goes on over a jump into what is stored."""
    g = compiled("""
        .option norvc
        la   t0, f
        la   t1, new
        lw   t2, (t0)
        lw   t3, (t1)
        li   s0, 40
    1:  sw   t2, (t0)
        j    f
    back:
        add  a3, a3, a0
        xor  t2, t2, t3
        xor  t3, t2, t3
        xor  t2, t2, t3
        addi s0, s0, -1
        bnez s0, 1b
        wfi
    new:
        li   a0, 100
        .balign 64
    f:  li   a0, 1
        j    back
    """, hot=2)
    g.finish()
    assert g["a3"] == 20 * 1 + 20 * 100


def test_dma_into_the_running_trace(compiled):
    """A device changes the code behind the store that started it: the next instruction is the new one."""
    port = Port()
    g = compiled("""
        .option norvc
        li   s1, 0x40000000
        li   s0, 10
    1:  sw   s0, (s1)
    f:  li   a0, 1
        add  a3, a3, a0
        addi s0, s0, -1
        bnez s0, 1b
        wfi
    """, devices=[(port, DEVICE)])

    def transfer(offset, value):
        if value == 5:
            g.memory.write(g.address("f"), words([encode("addi", rd=A0, rs1=0, imm=100)]))

    port.on_write = transfer
    g.finish()
    assert g["a3"] == 5 * 1 + 5 * 100


def test_code_is_written_through_a_view(compiled):
    g = compiled(CALLS)
    g["s0"] = 10
    g.finish()
    with g.memory.writable(g.address("f"), 4) as view:
        view[:] = g.memory.read(g.address("new"), 4)
    g["s0"], g["a3"], g.hart.pc = 10, 0, BASE
    g.finish()
    assert g["a3"] == 1000


# --- Room -------------------------------------------------------------------------------------------------------------

def long_program(blocks: int, length: int, instruction: int = encode("addi", rd=A0, rs1=A0, imm=1)) -> bytes:
    """Blocks of one instruction that end in a jump to the next, run over until s0 has been counted down."""
    block = [instruction] * (length - 1) + [encode("jal", rd=0, imm=4)]
    count_down = [encode("addi", rd=S0, rs1=S0, imm=-1), encode("beq", rs1=S0, rs2=0, imm=8)]
    tail = [*count_down, encode("jal", rd=0, imm=-4 * (blocks * length + 2)), encode("wfi")]
    return words(block) * blocks + words(tail)


def words(code: list[int]) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in code)


@pytest.mark.parametrize("hot", [0, 1])
def test_a_small_room_is_used_again_and_again(hot, compiled, counters):
    blocks, length, turns = 20_000, 12, 4
    g = compiled("nop", hot=hot, code_bytes=MIB, memory="4M")
    g.memory.write(BASE, long_program(blocks, length))
    g["s0"] = turns
    assert g.run(instructions=10_000_000).reason is StopReason.IDLE
    assert g["a0"] == turns * blocks * (length - 1)
    assert g.machine.steps == turns * (blocks * length + 3)
    assert counters(g)["reclaimed"] >= 4
    assert counters(g)["host_bytes"] > 2 * MIB
    assert counters(g)["interpreted"] < (0.5 if hot else 0.01) * g.machine.steps


def fill_room(g) -> None:
    """Have more than 64 MiB of code compiled: an atomic maximum takes many bytes of the host's."""
    g["s1"] = BASE + 0x70_0000
    for start in (BASE, BASE + 2 * MIB, BASE + 4 * MIB):
        g.memory.write(start, long_program(2000, 128, encode("amomax.d", rd=0, rs1=S1, rs2=0)))
        g["s0"], g.hart.pc = 1, start
        assert g.run(instructions=10_000_000).reason is StopReason.IDLE
    assert g.machine.stats()["jit"]["host_bytes"] > 64 * MIB


def test_as_much_room_is_used_as_was_asked_for(compiled, counters):
    """More than 64 MiB were once mapped and not used."""
    g = compiled("nop", code_bytes=200 * MIB, memory="8M")
    fill_room(g)
    assert counters(g)["reclaimed"] == 0


def test_all_room_is_used_where_ram_is_no_multiple_of_a_region(compiled, counters):
    """Of the last region a part was once behind the end of code memory."""
    g = compiled("nop", memory="513M")
    fill_room(g)
    assert counters(g)["reclaimed"] > 0


@pytest.mark.parametrize("room", [1000, 1024 * MIB])
def test_room_of_one_region_or_too_many_is_refused(room, compiled):
    with pytest.raises(ValueError, match="at least .* and at most"):
        compiled("nop", code_bytes=room)


# --- Devices and callbacks --------------------------------------------------------------------------------------------

POLL = """
    .option norvc
    li   s1, 0x40000000
    li   s0, 20
1:  addi a3, a3, 1
    lw   a0, (s1)
    add  a2, a2, a0
    addi s0, s0, -1
    bnez s0, 1b
    wfi
"""
SET_UP = 2                          # steps before the loop of five


def test_exception_of_a_device_leaves_the_access_undone(compiled):
    port = Port()
    g = compiled(POLL, devices=[(port, DEVICE)])
    answers = iter([*range(5), ValueError("broken"), *range(5, 20)])

    def read(offset):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    port.on_read = read
    with pytest.raises(ValueError, match="broken"):
        g.run()
    assert g.hart.pc == BASE + 12
    assert (g["a3"], g["a2"]) == (6, sum(range(5)))
    assert g.machine.steps == g.hart.steps == SET_UP + 5 * 5 + 1
    g.finish()
    assert (g["a3"], g["a2"]) == (20, sum(range(20)))
    assert g.machine.steps == SET_UP + 20 * 5 + 1


def test_callback_stops_after_its_instruction(compiled):
    port = Port()
    g = compiled(POLL, devices=[(port, DEVICE)])

    def read(offset):
        if g["s0"] == 12:
            g.machine.request_stop()
        return 1

    port.on_read = read
    stop = g.run()
    assert stop.reason is StopReason.REQUESTED
    assert stop.pc == BASE + 16 and stop.steps == SET_UP + 8 * 5 + 2
    assert (g["a0"], g["a3"], g["a2"]) == (1, 9, 8)
    g.finish()
    assert (g["a3"], g["a2"]) == (20, 20)


def test_callback_sees_and_changes_registers(compiled):
    """Registers that live in the host's are exact in a callback, and what it writes is used from then on."""
    port = Port()
    g = compiled(POLL, devices=[(port, DEVICE)])
    seen = []

    def read(offset):
        seen.append((g.hart.pc, g["a3"], g["s0"], g.hart.steps))
        g["a2"] += 100
        return 0

    port.on_read = read
    g.finish()
    assert seen == [(BASE + 12, turn + 1, 20 - turn, SET_UP + 5 * turn + 1) for turn in range(20)]
    assert g["a2"] == 2000


@pytest.mark.parametrize("registers", [True, False])
def test_callback_writes_a_double_where_a_single_was(registers, compiled):
    """What compiled code knew of a floating-point register, that it holds a boxed single, ends with the callback."""
    port = Port()
    g = compiled("""
        .option norvc
        li   s1, 0x40000000
        fadd.s fa0, fa1, fa2
        lw   a0, (s1)
        fadd.s fa3, fa0, fa0
        wfi
    """, switches={"registers": registers}, devices=[(port, DEVICE)])
    g["mstatus"] = mask("mstatus", "FS")

    def read(offset):
        g.hart.f_bits[10] = 0x4000_0000_3F80_0000
        return 0

    port.on_read = read
    for number in (11, 12):
        g.hart.f_bits[number] = 0xFFFF_FFFF_3F80_0000
    g.finish()
    assert g.hart.f_bits[13] == 0xFFFF_FFFF_7FC0_0000


@pytest.mark.parametrize("registers", [True, False])
def test_callback_writes_a_wide_value_where_a_word_was(registers, compiled):
    """The same of an integer register, that it holds the sign extension of 32 bits."""
    port = Port()
    g = compiled("""
        .option norvc
        li   s1, 0x40000000
        addw a1, a1, a2
        addw s4, a1, a2
        lw   a0, (s1)
        slt  a3, a1, zero
        sltu a4, zero, s4
        or   a5, a1, zero
        wfi
    """, switches={"registers": registers}, devices=[(port, DEVICE)])

    def read(offset):
        g["a1"], g["s4"] = 1 << 63, 1 << 40
        return 0

    port.on_read = read
    g.finish()
    assert (g["a1"], g["a3"], g["s4"], g["a4"], g["a5"]) == (1 << 63, 1, 1 << 40, 1, 1 << 63)


def test_line_that_a_device_raises_interrupts_after_its_instruction(compiled):
    port = Port()
    g = compiled("csrw mie, s2; csrsi mstatus, 8;" + POLL, devices=[(port, DEVICE)])
    g["s2"] = 1 << 11

    def read(offset):
        if g["s0"] == 15:
            g.native.set_interrupt(11, True)
        return 1

    port.on_read = read
    g.run(instructions=200)             # the handler's wfi does not wait: the line stays up
    assert g["mcause"] == 1 << 63 | 11
    assert g["mepc"] == BASE + 8 + 16
    assert (g["a3"], g["a2"]) == (6, 5)


# --- Several harts ----------------------------------------------------------------------------------------------------

HARTS = """
    .option norvc
    csrr s2, mhartid
    la   s1, shared
    li   s0, 3000
1:  amoadd.w a0, s0, (s1)
2:  lr.d a1, 8(s1)
    add  a1, a1, s2
    sc.d a2, a1, 8(s1)
    bnez a2, 2b
    xor  a3, a3, a0
    andi a4, s0, 63
    bnez a4, 3f
    la   t0, patched
    lw   t1, (t0)
    xor  t1, t1, s3                 # li a5, 1 or li a5, 3
    sw   t1, (t0)
    fence.i
3:  call patched
    addi s0, s0, -1
    bnez s0, 1b
    wfi
patched:
    li   a5, 1
    add  a6, a6, a5
    ret
    .balign 64
shared:
    .dword 0, 0
""".replace("8(s1)", "(s4)").replace("li   s0, 3000", "li   s0, 3000\n    addi s4, s1, 8\n    li   s3, 0x200000")


def outcome(g):
    return [g.machine.steps, g.memory.read(BASE, 0x1000)] + [
        (hart.pc, hart.steps, *hart.x, hart["minstret"]) for hart in g.machine.harts
    ]


@pytest.mark.parametrize("harts", [2, 3])
def test_harts_take_turns_as_they_do_interpreted(harts, compiled, guest, counters):
    g = compiled(HARTS, harts=harts)
    plain = guest(HARTS, harts=harts, engine="interpreter")
    for budget in (1, 777, 20_000, 10_000_000):
        g.run(instructions=budget)
        plain.run(instructions=budget)
        assert outcome(g) == outcome(plain)
    assert g.word(g.address("shared"), 4) == harts * sum(range(1, 3001)) % 2**32
    assert g.word(g.address("shared") + 8) == 3000 * sum(range(harts))
    assert counters(g)["interpreted"] < 0.2 * g.machine.steps


@pytest.mark.parametrize("closed", [False, True])
def test_traces_can_be_looked_at_when_the_machine_is_gone(closed):
    """The compiler keeps them, unless the machine was closed, which gives code memory back."""
    machine = vm.Machine(memory="1M", engine="jit", settings=vm.Settings(hot=0))
    machine.load(assemble_elf("li a0, 3; 1: addi a0, a0, -1; bnez a0, 1b; wfi"))
    machine.run()
    compiler = machine.compiler
    before = compiler.traces()
    if closed:
        machine.close()
    del machine
    gc.collect()
    assert before and compiler.traces() == ([] if closed else before)
    assert compiler.take_journal() == [] and compiler.statistics()["traces"] > 0
